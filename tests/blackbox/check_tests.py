"""check-store: finds damage in each kind of file of a store, names it, and changes nothing."""
import glob, hashlib, json, os, shutil, subprocess, time

from run import test
from scrub_tests import fill, find_in, flip, until
from server import Server
from wire import Wire


def check(context, store, code):
    done = subprocess.run([context.binary, "check-store", store, "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    text = subprocess.run([context.binary, "check-store", store], capture_output=True, text=True, timeout=60)
    assert text.returncode == code, text.stdout
    return json.loads(done.stdout), text.stdout


def content(store):
    return {path: hashlib.sha256(open(path, "rb").read()).hexdigest() for path in glob.glob(store + "/**", recursive=True) if os.path.isfile(path)}


@test()
def check_store_finds_damage_in_every_kind_of_file(context):
    with Server(context.binary, jetstream=" scrub: off, checkpoint_bytes: 1M\n") as server:
        with Wire(server.port) as wire:
            fill(wire, count=500)
        store = f"{server.dir}/store/jetstream"
        until(lambda: glob.glob(store + "/idx/*.run") and len(glob.glob(store + "/checkpoint.*")) == 2, "runs and checkpoints")
        time.sleep(0.3)
        server.stop()
        before = content(store)
        whole, text = check(context, store, 0)
        assert whole["whole"] and whole["runs"] >= 1 and whole["checkpoints"] == 2 and whole["unknown_files"] == [] and text.endswith("whole\n"), (whole, text)
        assert content(store) == before
        runs = sorted(glob.glob(store + "/idx/*.run"), key=lambda path: int(path.split(".")[-2]))
        newest = int(runs[-1].split(".")[-2])

        def damaged(change, code=1):
            """What is said of a copy after change(copy)."""
            copy = f"{server.dir}/copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(store, copy)
            change(copy)
            before = content(copy)
            found, text = check(context, copy, code)
            assert content(copy) == before
            return found, text

        run_name = "/idx/" + os.path.basename(runs[-1])
        checkpoint = sorted(glob.glob(store + "/checkpoint.*"), key=lambda path: int(path.split(".")[-1]))[-1]
        found, text = damaged(lambda copy: flip(copy + "/SUPER.a", 30))
        assert found["super"] == "half" and "one copy of SUPER" in text
        found, text = damaged(lambda copy: (flip(copy + "/SUPER.a", 30), flip(copy + "/SUPER.b", 30)))
        assert found["super"] == "lost" and "both copies of SUPER" in text
        found, text = damaged(lambda copy: flip(copy + "/" + os.path.basename(checkpoint), 300))
        assert found["damaged_checkpoints"] == 1 and found["bad_checkpoints"] == [int(checkpoint.split(".")[-1])]
        size = os.path.getsize(runs[-1])
        for at, what in ((40, "head"), (5000, "body"), (size - 20, "places")):
            found, text = damaged(lambda copy: flip(copy + run_name, at))
            assert [run["what"] for run in found["bad_runs"]] == [what] and found["bad_runs"][0]["file"] == run_name[1:], (at, found)
            assert found["bad_runs"][0]["stream"] in ("$G S", "$G T") and run_name[1:] in text
        found, text = damaged(lambda copy: [os.remove(path) for path in glob.glob(f"{copy}/idx/*.{newest}.run")])
        assert any(run["what"] == "missing" for run in found["bad_runs"]), found
        found, text = damaged(lambda copy: flip(copy + "/log/1.log", find_in(copy + "/log/1.log", b"<T30>") + 100))
        assert found["damages"][0]["segment"] == 1 and found["damages"][0]["streams"] == ["$G T"] and "$G T" in text, found
        found, text = damaged(lambda copy: os.truncate(copy + "/log/1.log", 2 << 20))
        assert found["damages"], found
        found, text = damaged(lambda copy: os.remove(sorted(glob.glob(copy + "/log/*.log"))[1]))
        assert found["damages"], found

        def strangers(copy):
            for name in ("notes.txt", "log/notes.txt", "idx/7.run", "bad/old.block"):
                with open(f"{copy}/{name}", "w") as file:
                    file.write("hello")
        found, text = damaged(strangers, code=0)
        assert sorted(found["unknown_files"]) == ["idx/7.run", "log/notes.txt", "notes.txt"] and found["set_aside"] == {"files": 1, "bytes": 5}, found
        assert "unknown: log/notes.txt" in text and "bad/: 1 files" in text

        def foreign(copy):
            for name in "ab":
                with open(f"{copy}/SUPER.{name}", "r+b") as file:
                    file.write(b"SOMETHNG")
        assert damaged(foreign, code=2)[0]["done"] is False
        found, text = damaged(lambda copy: shutil.rmtree(copy + "/log") or [os.remove(f"{copy}/SUPER.{n}") for n in "ab"], code=2)
        assert found["done"] is False
