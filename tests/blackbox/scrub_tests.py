"""The scrubber: damage that appears on the disk of a running server is found, named, and costs no more than what it hits."""
import glob, json, os, subprocess, time

from run import test
from server import Server
from wire import Msg, Wire

SYSTEM = "accounts { $SYS { users: [ {user: admin, password: pw} ] } }\n"
ADMIN = {"user": "admin", "pass": "pw"}


def until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
    return result


def scrub(server):
    """One whole pass; what is known after it."""
    with Wire(server.port, ADMIN) as wire:
        before = json.loads(wire.request("$SYS.REQ.SERVER.PING.SCRUBZ").data)["data"]["passes"]
        assert json.loads(wire.request("$SYS.REQ.SERVER.PING.SCRUB").data)["data"]["started"] is True
    return until(lambda: (s := server.get("/scrubz"))["passes"] > before and s, "the end of the pass")


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x20]))


def fill(wire, streams="ST", count=300, bytes_each=10_000):
    """Messages of several streams, one after the other in the log."""
    for name in streams:
        wire.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], "allow_direct": True})
    for i in range(1, count + 1):
        for name in streams:
            wire.pub(f"{name}.{i % 5}", f"<{name}{i}>" + "x" * bytes_each)
        if i % 50 == 0:
            wire.api("STREAM.INFO.S")
    for name in streams:
        wire.request(f"{name}.end", "end")


def find_in(path, text):
    with open(path, "rb") as file:
        at = file.read().find(text)
    assert at >= 0, (path, text)
    return at


def block_after(path, at):
    with open(path, "rb") as file:
        data = file.read()
    return next(page for page in range(at, len(data), 4096) if data[page:page + 4] == b"HWBK")


@test(workers=(1, 2))
def a_byte_that_flips_under_a_running_server_is_found_by_the_scrubber(context, conf=""):
    with Server(context.binary, SYSTEM + conf, monitor=True, jetstream=" scrub: off\n") as server:
        with Wire(server.port) as wire:
            fill(wire)
            assert len(glob.glob(f"{server.dir}/store/jetstream/log/*.log")) > 1
            clean = scrub(server)
            assert clean["damages"] == 0 and clean["segments"] >= 1 and clean["bytes"] >= 4 << 20, clean
            assert server.get("/healthz") == {"status": "ok"}
            wire.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"name": "C", "ack_policy": "none"}})
            wire.sub("$JS.EVENT.ADVISORY.STREAM.DAMAGED.>")
            wire.sub("$JS.EVENT.ADVISORY.CONSUMER.MSG_DAMAGED.>")
            wire.flush()
            log = f"{server.dir}/store/jetstream/log/1.log"
            flip(log, find_in(log, b"<S40>") + 5000)
            found = scrub(server)
            assert found["damages"] == 1 and found["damaged_bytes"] > 0, found
            told = json.loads(wire.take(lambda op: isinstance(op, Msg) and op.subject == "$JS.EVENT.ADVISORY.STREAM.DAMAGED.S").data)
            assert told["type"] == "io.nats.jetstream.advisory.v1.hw_stream_damaged" and told["stream_seqs"] == [40] and told["segment"] == 1, told
            assert server.get("/healthz")["status"] == "ok" and "damaged" in server.get("/healthz")["warning"]
            assert os.listdir(f"{server.dir}/store/jetstream/bad")
            check_only_40_is_gone(wire)
            inbox = wire.new_inbox()
            wire.pub("$JS.API.CONSUMER.MSG.NEXT.S.C", json.dumps({"batch": 300}), reply=inbox)
            got = [wire.take(lambda op: isinstance(op, Msg) and op.subject.startswith("S.")).data for _ in range(300)]
            assert not any(data.startswith(b"<S40>") for data in got) and got[-1] == b"end"
            skipped = json.loads(wire.take(lambda op: isinstance(op, Msg) and op.subject == "$JS.EVENT.ADVISORY.CONSUMER.MSG_DAMAGED.S.C").data)
            assert skipped["stream_seq"] == 40, skipped
        assert "store damaged" in server.log_text()
        assert scrub(server)["damages"] == 1  # found again, told once
        server.stop()
        server.start()
        with Wire(server.port) as wire:
            check_only_40_is_gone(wire)


def check_only_40_is_gone(wire):
    reply = wire.api("STREAM.MSG.GET.S", {"seq": 40})
    assert reply["error"]["err_code"] >= 19000 and "damaged" in reply["error"]["description"], reply
    assert wire.request("$JS.API.DIRECT.GET.S", '{"seq":40}').headers.startswith("NATS/1.0 500")
    for name, seq in (("S", 39), ("S", 41), ("S", 301), ("T", 40), ("T", 39), ("T", 41)):
        assert "message" in wire.api(f"STREAM.MSG.GET.{name}", {"seq": seq}), (name, seq)


def checkpoints(server):
    return sorted(int(path.rsplit(".", 1)[1]) for path in glob.glob(f"{server.dir}/store/jetstream/checkpoint.*") if not path.endswith("tmp"))


@test()
def a_checkpoint_that_is_damaged_is_replaced_at_once(context):
    with Server(context.binary, SYSTEM, monitor=True, jetstream=" scrub: off, checkpoint_bytes: 1M\n") as server:
        with Wire(server.port) as wire:
            fill(wire, count=200)
        until(lambda: len(checkpoints(server)) == 2, "two checkpoints")
        time.sleep(0.2)
        newest = checkpoints(server)[-1]
        flip(f"{server.dir}/store/jetstream/checkpoint.{newest}", 200)
        found = scrub(server)
        assert found["damages"] >= 1, found
        until(lambda: len(checkpoints(server)) == 2 and checkpoints(server)[0] > newest - 1 and newest not in checkpoints(server), "newer checkpoints")
        assert os.path.exists(f"{server.dir}/store/jetstream/bad/checkpoint.{newest}")
        until(lambda: scrub(server)["damages"] == 0, "a pass without damage")
        assert server.get("/healthz") == {"status": "ok"}
        done = subprocess.run([context.binary, "check-store", f"{server.dir}/store", "--json"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        server.kill()
        server.start()
        with Wire(server.port) as wire:
            assert wire.api("STREAM.INFO.S")["state"]["messages"] == 201


@test()
def a_damaged_index_run_is_never_written_on(context):
    with Server(context.binary, SYSTEM, monitor=True, jetstream=" scrub: off, checkpoint_bytes: 1M\n") as server:
        with Wire(server.port) as wire:
            fill(wire, streams="S", count=600)
            runs = until(lambda: glob.glob(f"{server.dir}/store/jetstream/idx/*.run"), "a run")
            time.sleep(0.3)
            runs = glob.glob(f"{server.dir}/store/jetstream/idx/*.run")
            for run in runs:
                flip(run, 4096 + 8)
            found = scrub(server)
            assert found["damages"] >= len(runs), found
            for i in range(200):
                wire.pub("S.x", "y" * 10_000)
            wire.request("S.x", "last")
            until(lambda: "index run not written" in server.log_text(), "the refusal")
            state = wire.api("STREAM.INFO.S")["state"]
        server.stop()
        server.start()
        with Wire(server.port) as wire:
            assert wire.api("STREAM.INFO.S")["state"] == state
            for seq in (1, 100, 300, 601, 802):
                assert "message" in wire.api("STREAM.MSG.GET.S", {"seq": seq}), seq
        assert scrub(server)["passes"] == 1


@test()
def an_encrypted_store_is_scrubbed_too_and_its_runs_heal(context):
    with Server(context.binary, SYSTEM, monitor=True, jetstream=' scrub: off, checkpoint_bytes: 1M, key: "a key that is long enough for a test"\n') as server:
        store = f"{server.dir}/store/jetstream"
        with Wire(server.port) as wire:
            fill(wire, count=500)
            until(lambda: glob.glob(store + "/idx/*.run"), "a run")
            time.sleep(0.3)
            clean = scrub(server)
            assert clean["damages"] == 0 and clean["segments"] >= 1, clean
            before = set(glob.glob(store + "/idx/*.run"))
            for run in before:
                flip(run, 4096 + 8)
            assert scrub(server)["damages"] >= 1
            until(lambda: not before & set(glob.glob(store + "/idx/*.run")) and glob.glob(store + "/idx/*.run"), "new runs")
            until(lambda: scrub(server)["damages"] == 0, "a pass without damage")
            flip(store + "/log/1.log", block_after(store + "/log/1.log", 1 << 20) + 5000)  # in its first record
            assert scrub(server)["damages"] == 1
            until(lambda: "damage looked at" in server.log_text(), "the marks")
            damaged = [(name, seq) for name in "ST" for seq in range(1, 502) if "message" not in wire.api(f"STREAM.MSG.GET.{name}", {"seq": seq})]
            assert len(damaged) == 1, damaged
