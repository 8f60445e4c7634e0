#!/usr/bin/env python3
"""Black-box tests of the binary: what a user sees of ordering, limits, files, signals, restarts.

  run.py --binary PATH [--tolerant] [WORD ...]    --tolerant: a sanitizer build: heavy tests are left out"""
import argparse, glob, importlib.util, os, sys, traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), HERE]
TESTS = []


def test(heavy=False, workers=()):
    """workers: run once for each number, the configuration gets `workers: N`."""
    def add(function):
        for n in workers or (None,):
            name = function.__name__.replace("_", " ") + (f" ({n} workers)" if n else "")
            TESTS.append((name, heavy, lambda context, n=n: function(context, *([f"workers: {n}\n"] if n else []))))
        return function
    return add


class Skip(Exception):
    pass


class Context:
    def __init__(self, binary, tolerant):
        self.binary, self.tolerant = os.path.abspath(binary), tolerant


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--tolerant", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    sys.modules["run"] = sys.modules["__main__"]
    for path in sorted(glob.glob(os.path.join(HERE, "*_tests.py"))):
        spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    passed = failed = skipped = 0
    context = Context(options.binary, options.tolerant)
    for name, heavy, run in TESTS:
        if options.words and not any(word in name for word in options.words):
            continue
        if heavy and options.tolerant:
            continue
        try:
            run(context)
            passed += 1
        except Skip as why:
            skipped += 1
            print(f"skipped {name}: {why}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
