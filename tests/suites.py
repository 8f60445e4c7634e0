#!/usr/bin/env python3
"""Runs the client projects' own test suites against a server of ours and counts.

  suites.py --binary PATH --conformance DIR --lab DIR [--quick] [--jobs N] [SUITE ...]     suites: nats.go jsm.go cli

Counted is what passes with nats-server 2.15.1 and is neither flaky there nor runs without a server. Of a test that fails, the log
says why: one whose server has an option that is not supported yet is skipped (and its option named), others are run once more,
alone, and then failed. The last line is "N passed, N failed, N skipped"."""
import argparse, collections, os, re, subprocess, sys, tempfile

OPTION = re.compile(r'option "([a-z_.0-9]+)" is not supported yet')
# Of the CLI tour: what a part needs, as its output does not show the server's refusal.
TOUR_NEEDS = {"17-cluster": "cluster", "22-tls": "tls", "23-websocket": "websocket", "24-leafnode": "leafnodes", "27-accounts-exports": "exports"}


def rows(path):
    with open(path) as file:
        for line in file:
            cells = line.rstrip("\n").split("\t") + [""] * 5
            yield cells[1], cells[2], cells[4]


def missing_option(name, logs):
    if name in TOUR_NEEDS:
        return TOUR_NEEDS[name]
    path = os.path.join(logs, re.sub(r"[^A-Za-z0-9_.-]+", "_", name) + ".log")
    try:
        with open(path, errors="replace") as file:
            found = OPTION.search(file.read())
        return found and found.group(1)
    except OSError:
        return None


def run(options, suite, results, logs, *words):
    command = ["bash", os.path.join(options.conformance, "run.sh"), suite, options.binary, results, "--logs", logs, "--jobs", str(options.jobs), *words]
    subprocess.run(command, env=dict(os.environ, LAB=options.lab), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=3000)
    return list(rows(results))


def judge(options, suite, folder):
    """(passed, failed names, skipped by option)"""
    counted = {name for name, outcome, flags in rows(os.path.join(options.conformance, "baseline", suite + ".tsv")) if outcome == "pass" and not flags}
    results, logs = os.path.join(folder, suite + ".tsv"), os.path.join(folder, suite)
    done = [(name, outcome) for name, outcome, _ in run(options, suite, results, logs, *(["--quick"] if options.quick else [])) if name in counted]
    if not options.quick:  # such as those behind a panic
        done += [(name, "missing") for name in sorted(counted - {name for name, _ in done})]
    passed, failed, skipped = sum(outcome == "pass" for _, outcome in done), [], collections.Counter()
    for name, outcome in done:
        if outcome != "pass":
            option = missing_option(name, logs)
            if option:
                skipped[option] += 1
            else:
                failed.append(name)
    if failed:
        again = os.path.join(folder, "again.tsv")
        with open(again, "w") as file:
            file.writelines(name + "\n" for name in failed)
        options.jobs, jobs = 1, options.jobs
        good = {name for name, outcome, _ in run(options, suite, again + ".out", logs, "--only", again) if outcome == "pass"}
        options.jobs = jobs
        passed, failed = passed + len(good), [name for name in failed if name not in good]
    return passed, failed, skipped


def show(name, logs):
    path = os.path.join(logs, re.sub(r"[^A-Za-z0-9_.-]+", "_", name) + ".log")
    print(f"FAILED {name}")
    if os.path.exists(path):
        with open(path, errors="replace") as file:
            print("    " + "\n    ".join(line for line in file.read().splitlines() if re.search(r"_test\.go:\d+:|panic:|^FAIL", line)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--conformance", required=True)
    parser.add_argument("--lab", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("suites", nargs="*")
    options = parser.parse_args()
    options.binary, options.lab, options.conformance = (os.path.abspath(path) for path in (options.binary, options.lab, options.conformance))
    total, bad, left = 0, 0, collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for suite in options.suites or ["nats.go", "jsm.go", "cli"]:
            try:
                subprocess.run(["bash", os.path.join(options.conformance, "setup.sh"), suite], env=dict(os.environ, LAB=options.lab), check=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=1500)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                print(f"{suite}: cannot be installed here, skipped: {error}", flush=True)
                left["installing"] += 1
                continue
            passed, failed, skipped = judge(options, suite, folder)
            for name in failed:
                show(name, os.path.join(folder, suite))
            print(f"{suite}: {passed} passed, {len(failed)} failed, not supported yet: " + (", ".join(f"{option} {n}" for option, n in skipped.most_common()) or "nothing"), flush=True)
            total, bad, left = total + passed, bad + len(failed), left + skipped
    print(f"{total} passed, {bad} failed, {sum(left.values())} skipped")
    return 1 if bad or not (total or left) else 0


if __name__ == "__main__":
    sys.exit(main())
