#!/usr/bin/env python3
"""Builds everything and runs every test; called by ./check, which installs what is missing.

  check.py [STEP ...] [--suites]     steps: tidy format unit sim blackbox oracle interop examples crash upgrade faults quick asan tsan fuzz; quick is an
  eighth of the client projects' test suites, --suites adds the whole
Each step prints its result; the last line is "N passed, N failed, N skipped"."""
import json, os, re, subprocess, sys, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
DEPS = os.path.join(ROOT, ".deps")
PYTHON = os.path.join(DEPS, "venv", "bin", "python")
SHARED = os.environ.get("HOLDWATER_SHARED", os.path.join(ROOT, "..", "shared"))
ENV = dict(os.environ, PATH=os.pathsep.join([os.path.join(DEPS, "venv", "bin"), os.environ["PATH"]]), PYTHONDONTWRITEBYTECODE="1")
SIM_SEEDS = int(os.environ.get("SIM_SEEDS", "20000"))
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "8"))

passed = failed = skipped = 0


def run(command, timeout=1500, **options):
    """(exit code, output); the output is shown only when it matters."""
    try:
        done = subprocess.run(command, cwd=options.pop("cwd", ROOT), env=dict(ENV, **options.pop("env", {})), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, **options)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        return 124, (error.stdout or b"").decode(errors="replace") if isinstance(error.stdout, bytes) else (error.stdout or "") + f"\nno end after {timeout} s"


def count(good, bad=0, skip=0):
    global passed, failed, skipped
    passed, failed, skipped = passed + good, failed + bad, skipped + skip


def single(name, command, tail=60, **options):
    code, output = run(command, **options)
    count(code == 0, code != 0)
    if code != 0:
        print(f"FAILED {name} (exit {code})\n" + "\n".join(output.splitlines()[-tail:]), flush=True)
    return code == 0


def totals(name, command, **options):
    """A runner whose last line is "N passed, N failed[, N skipped]"."""
    code, output = run(command, **options)
    match = re.findall(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", output, re.M)
    if not match:
        count(0, 1)
        print(f"FAILED {name} (exit {code}), no totals\n" + "\n".join(output.splitlines()[-60:]), flush=True)
        return
    good, bad, skip = (int(n or 0) for n in match[-1])
    count(good, bad or (1 if code else 0), skip)
    print(f"{name}: {good} passed, {bad} failed, {skip} skipped", flush=True)
    if code or bad:
        print("\n".join(output.splitlines()[-200:]), flush=True)


def build(name, *options, env=None, targets=()):
    folder = os.path.join(ROOT, "build-" + name) if name else os.path.join(ROOT, "build")
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        code, output = run(["meson", "setup", folder, *options], env=env or {})
        if code:
            print(output)
            return None
    code, output = run(["ninja", "-C", folder, *targets], env=env or {})
    if code:
        print("FAILED to build", name, "\n" + "\n".join(output.splitlines()[-60:]), flush=True)
        count(0, 1)
        return None
    return folder


def meson_test(name, folder, *options, env=None, timeout=1500):
    code, output = run(["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", *options], env=env or {}, timeout=timeout)
    numbers = {k: int(n) for k, n in re.findall(r"^(Ok|Fail|Timeout|Skipped|Unexpected Pass|Expected Fail):\s+(\d+)", output, re.M)}
    bad = numbers.get("Fail", 0) + numbers.get("Timeout", 0)
    count(numbers.get("Ok", 0), bad or (1 if code and not numbers else 0), numbers.get("Skipped", 0))
    print(f"{name}: {numbers.get('Ok', 0)} passed, {bad} failed", flush=True)
    if code:
        print("\n".join(output.splitlines()[-150:]), flush=True)


def binary():
    folder = build("", "--buildtype=release", "-Db_lto=true")
    return os.path.join(folder, "src", "server", "holdwater") if folder else None


def as_genuine(path):
    """The binary under its other name."""
    link = os.path.join(os.path.dirname(path), "nats-server")
    if not os.path.lexists(link):
        os.symlink(os.path.basename(path), link)
    return link


def step_tidy():
    single("tidy", [sys.executable, "tools/tidy.py"])


def step_format():
    files = [os.path.join(d, f) for top in ("src", "fuzz", "tests") for d, _, names in os.walk(os.path.join(ROOT, top)) for f in names if f.endswith((".c", ".h"))]
    single("clang-format", ["clang-format-14", "--dry-run", "--Werror", *files])


def step_unit():
    if binary():
        meson_test("unit", os.path.join(ROOT, "build"), "--no-suite", "sim")


def step_sim():
    if binary():
        meson_test("sim", os.path.join(ROOT, "build"), "--suite", "sim")
        folder = os.path.join(ROOT, "build", "tests", "sim")
        half = SIM_SEEDS // 2
        many_seeds([[os.path.join(folder, "whole_sim_test"), str(first), str(half)] for first in (1001, 1001 + half)])
        many_seeds([[os.path.join(folder, "jetstream_sim_test"), str(first), str(half // 4)] for first in (1001, 1001 + half)])
        many_seeds([[os.path.join(folder, "delivery_sim_test"), str(first), "1500"] for first in (1001, 2501)])
        many_seeds([[os.path.join(folder, "timed_sim_test"), str(first), "1500"] for first in (1001, 2501)])
        single("mutations", [os.path.join(folder, "mutation_sim_test")], timeout=600)


def many_seeds(commands):
    """Side by side; one test each."""
    children = [subprocess.Popen(c, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") for c in commands]
    for command, child in zip(commands, children):
        name = f"{os.path.basename(command[0])} {command[2]} seeds from {command[1]}"
        try:
            output, _ = child.communicate(timeout=1500)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
        count(child.returncode == 0, child.returncode != 0)
        print(f"{name}: {'passed' if child.returncode == 0 else 'FAILED'}", flush=True)
        if child.returncode:
            print("\n".join(output.splitlines()[-30:]), flush=True)


SANITIZE = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:detect_stack_use_after_return=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1", "TSAN_OPTIONS": "halt_on_error=1"}


def sanitized(name, sanitizers, suites):
    folder = build(name, "--buildtype=debugoptimized", f"-Db_sanitize={sanitizers}", "-Db_lundef=false", "-Db_lto=false", env={"CC": "clang-14"})
    if folder:
        meson_test(name, folder, *suites, "-t", "5", env=SANITIZE)
        server = os.path.join(folder, "src", "server", "holdwater")
        if os.path.exists(server):
            totals(f"{name} blackbox", [PYTHON, "tests/blackbox/run.py", "--binary", server, "--tolerant"], env=SANITIZE, timeout=900)


def step_asan():
    sanitized("asan", "address,undefined", ["--no-suite", "sim"])


def step_tsan():
    sanitized("tsan", "thread", ["--suite", "threads"])


def step_fuzz():
    folder = build("fuzz", "--buildtype=debugoptimized", "-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false", env={"CC": "clang-14"}, targets=["fuzzers"])
    if not folder:
        return
    for name in sorted(os.listdir(os.path.join(folder, "fuzz"))):
        path = os.path.join(folder, "fuzz", name)
        if name.endswith("_fuzz") and os.access(path, os.X_OK):
            corpus = os.path.join(ROOT, "fuzz", "corpus", name)
            fresh = os.path.join(folder, "corpus-" + name)
            os.makedirs(fresh, exist_ok=True)
            single(name, [path, f"-max_total_time={FUZZ_SECONDS}", "-max_len=65536", "-rss_limit_mb=2048", "-timeout=20", f"-artifact_prefix={folder}/", fresh, *([corpus] if os.path.isdir(corpus) else [])], env=SANITIZE)


def step_blackbox():
    path = binary()
    if path:
        totals("blackbox", [PYTHON, "tests/blackbox/run.py", "--binary", path])


def step_oracle():
    path = binary()
    if path:
        totals("oracle", [PYTHON, "tests/oracle/oracle.py", "--ours", as_genuine(path)])


def step_interop():
    path = binary()
    if path:
        genuine = os.path.join(os.path.dirname(PYTHON), "nats-server")
        totals("interop", [PYTHON, "tests/interop/leafnodes.py", "--ours", path, *(["--genuine", genuine] if os.path.exists(genuine) else [])])


def step_crash():
    path = binary()
    if path:
        totals("crash", [PYTHON, "tests/crash/crash.py", "--binary", path, "--rounds", os.environ.get("CRASH_ROUNDS", "50")])
        totals("crash, small segments", [PYTHON, "tests/crash/crash.py", "--binary", path, "--rounds", os.environ.get("CRASH_ROUNDS", "30"), "--segment-bytes", "1048576", "--checkpoint-bytes", "1000000"])
        totals("flipped bits", [PYTHON, "tests/crash/flip.py", "--binary", path])
        totals("crash, compressed", [PYTHON, "tests/crash/crash.py", "--binary", path, "--rounds", "12", "--segment-bytes", "1048576", "--checkpoint-bytes", "1000000", "--compressed"])
        totals("flipped bits, compressed", [PYTHON, "tests/crash/flip.py", "--binary", path, "--rounds", "12", "--compressed"])
        totals("crash, encrypted", [PYTHON, "tests/crash/crash.py", "--binary", path, "--rounds", "12", "--checkpoint-bytes", "1000000", "--key"])
        totals("flipped bits, encrypted", [PYTHON, "tests/crash/flip.py", "--binary", path, "--rounds", "12", "--key"])


def step_upgrade():
    path = binary()
    if path:
        totals("upgrade", [PYTHON, "tests/upgrade/upgrade.py", "--binary", path])


def step_faults():
    path = binary()
    if path:
        layer = os.path.join(ROOT, "build", "tests", "faults", "libfaults.so")
        totals("faults", [PYTHON, "tests/faults/faults.py", "--binary", path, "--layer", layer, "--rounds", os.environ.get("FAULT_ROUNDS", "15")])


def step_examples():
    path = binary()
    examples = os.path.join(SHARED, "examples")
    if not path:
        return
    if not os.path.isdir(examples):
        print("examples: not beside this checkout, skipped")
        return count(0, 0, 1)
    totals("examples", [PYTHON, "tests/examples.py", "--binary", path, "--examples", examples, "--home", os.path.join(DEPS, "examples"), "--cli", os.path.join(DEPS, "nats")], timeout=1200)


def suites(*words):
    path = binary()
    conformance = os.path.join(SHARED, "conformance")
    if not path:
        return
    if not os.path.isdir(conformance):
        print("suites: not beside this checkout, skipped")
        return count(0, 0, 1)
    totals("suites", [PYTHON, "tests/suites.py", "--binary", as_genuine(path), "--conformance", conformance, "--lab", os.path.join(DEPS, "conformance"), *words], timeout=3600)


def step_quick():
    suites("--quick")


def step_suites():
    suites()


STEPS = ["tidy", "format", "unit", "sim", "blackbox", "oracle", "interop", "examples", "crash", "upgrade", "faults", "quick", "asan", "tsan", "fuzz"]


def main():
    words = sys.argv[1:]
    chosen = [w for w in words if not w.startswith("-")] or STEPS
    if "--suites" in words:
        chosen = [w for w in chosen if w != "quick"] + ["suites"]
    for name in chosen:
        began = time.monotonic()
        print(f"== {name}", flush=True)
        globals()["step_" + name]()
        print(f"   {time.monotonic() - began:.0f} s", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
