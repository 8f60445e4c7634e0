"""Backups: of streams with the genuine server and the CLI, in both directions; of whole stores, also of one in use."""
import datetime, glob, json, os, shutil, subprocess, sys, tempfile, threading, time

import archive
from run import Skip, test
from server import Server
from wire import Wire

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def find(*names):
    for top in (ROOT, os.environ.get("HOLDWATER_DEPS", ""), os.path.dirname(os.path.dirname(sys.executable))):
        for name in names:
            if top and os.path.isfile(path := os.path.join(top, name)) and os.access(path, os.X_OK):
                return path
    raise Skip(f"no {names[0]}")


def genuine():
    return find(".deps/venv/bin/nats-server", "venv/bin/nats-server", "bin/nats-server")


def cli():
    return find(".deps/nats", "nats", "../nats", "../../.deps/nats")


def pull(wire, consumer, batch):
    inbox = wire.new_inbox()
    wire.pub(f"$JS.API.CONSUMER.MSG.NEXT.S.{consumer}", json.dumps({"batch": batch}), reply=inbox)
    return [wire.take(lambda op: getattr(op, "subject", "").startswith("s.")) for _ in range(batch)]


def fill(wire, **config):
    """Gaps at both ends and inside, headers, empty and large payloads, consumers with all that they can have."""
    created = wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "allow_msg_ttl": True, **config})
    assert "error" not in created, created
    for i in range(2000):
        wire.pub(f"s.{i % 7}", f"hello {i} " * (i % 30), headers={"A": f"b{i}"} if i % 3 == 0 else None)
    wire.flush()
    wire.request("s.big", os.urandom(300_000))
    wire.request("s.gone", "")
    for seq in (1, 2, 5, 100, 1999, 2002):
        wire.api("STREAM.MSG.DELETE.S", {"seq": seq})
    wire.api("CONSUMER.CREATE.S.D", {"stream_name": "S", "config": {"durable_name": "D", "ack_policy": "explicit", "ack_wait": 3600 * 10**9}})
    wire.api("CONSUMER.CREATE.S.E", {"stream_name": "S", "config": {"name": "E", "ack_policy": "none", "inactive_threshold": 3600 * 10**9}})
    wire.api("CONSUMER.CREATE.S.A", {"stream_name": "S", "config": {"durable_name": "A", "ack_policy": "all", "filter_subject": "s.3"}})
    for consumer in "DEA":
        for n, msg in enumerate(pull(wire, consumer, 20)):
            if consumer != "E" and n in (0, 1, 3, 7):
                wire.request(msg.reply, "+ACK")
            elif consumer == "D" and n == 5:
                wire.pub(msg.reply, "-NAK")
    pull(wire, "D", 1)


def view(wire):
    info = wire.api("STREAM.INFO.S", {"deleted_details": True})
    seen = {"config": info.get("config"), "state": info.get("state")}
    for consumer in "DEA":
        info = wire.api(f"CONSUMER.INFO.S.{consumer}")
        seen[consumer] = {key: info.get(key) for key in ("delivered", "ack_floor", "num_ack_pending", "num_redelivered", "num_pending", "config")}
        for key in ("delivered", "ack_floor"):
            (seen[consumer][key] or {}).pop("last_active", None)
    for seq in (3, 4, 5, 6, 7, 31, 150, 2001, 2002):
        seen[seq] = wire.api("STREAM.MSG.GET.S", {"seq": seq})
    return seen


def same(before, after, has_last_time=True):
    if not has_last_time:  # the original takes it from the last message that is there
        before["state"].pop("last_ts"), after["state"].pop("last_ts")
    for key in before:
        assert before[key] == after[key], (key, before[key], after[key])


def pairs(context):
    ours = context.binary
    return [(ours, genuine()), (genuine(), ours), (ours, ours)]


@test()
def stream_moves_between_servers(context):
    for source, target in pairs(context):
        for config in ({}, {"storage": "memory"}, {"compression": "s2"}):
            with Server(source) as one, Server(target) as two, Wire(one.port) as from_wire, Wire(two.port) as to_wire:
                fill(from_wire, **config)
                response, whole, _ = archive.snapshot(from_wire, "S", chunk_size=10_000)
                answer = archive.restore(to_wire, "S", whole, response["config"], response["state"], piece=7777)
                assert "error" not in answer, answer
                same(view(from_wire), view(to_wire), target == context.binary)
                # What was pending comes again to who asks, what follows goes on.
                assert to_wire.request("s.0", "more").data.endswith(b'"seq":2003}')


@test(workers=(1, 4))
def restored_stream_survives_a_restart(context, conf):
    with Server(genuine()) as one, Server(context.binary, conf=conf) as two:
        with Wire(one.port) as from_wire, Wire(two.port) as to_wire:
            fill(from_wire)
            response, whole, _ = archive.snapshot(from_wire, "S")
            assert "error" not in archive.restore(to_wire, "S", whole, response["config"], response["state"])
            before = view(to_wire)
        two.stop(), two.start()
        with Wire(two.port) as to_wire:
            same(before, view(to_wire))
        two.kill(), two.start()
        with Wire(two.port) as to_wire:
            same(before, view(to_wire))


@test(workers=(1, 4))
def half_a_restore_leaves_nothing(context, conf):
    with Server(context.binary, conf=conf) as server:
        with Wire(server.port) as wire:
            fill(wire)
            response, whole, _ = archive.snapshot(wire, "S")
            wire.api("STREAM.DELETE.S")
            begun = wire.api("STREAM.RESTORE.S", {"config": response["config"], "state": {}})
            wire.request(begun["deliver_subject"], whole[:len(whole) // 2])
            assert wire.api("STREAM.NAMES")["streams"] is None and "error" in wire.api("STREAM.INFO.S")
        server.kill(), server.start()
        with Wire(server.port) as wire:
            assert wire.api("STREAM.NAMES")["streams"] is None and "error" in wire.api("STREAM.INFO.S")
            assert "error" not in archive.restore(wire, "S", whole, response["config"])
            assert wire.api("STREAM.INFO.S")["state"]["messages"] == 1996


@test()
def snapshot_is_a_cut_while_the_stream_goes_on(context):
    for storage in ("file", "memory"):
        with Server(context.binary) as one, Server(context.binary) as two, Wire(one.port) as wire, Wire(one.port) as other, Wire(two.port) as to_wire:
            wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "storage": storage})
            for i in range(3000):
                wire.pub("s.x", os.urandom(500))
            before = wire.api("STREAM.INFO.S")["state"]
            wire.sub("cut.x"), wire.flush()
            response = wire.api("STREAM.SNAPSHOT.S", {"deliver_subject": "cut.x", "chunk_size": 1024, "window_size": 4096})
            first = wire.next()
            for i in range(500):
                other.pub("s.x", "later")
            other.flush()
            for seq in (1500, 2999, 1501):
                other.api("STREAM.MSG.DELETE.S", {"seq": seq})
            other.api("STREAM.PURGE.S")
            whole, msg = b"", first
            while msg.data:
                whole += msg.data
                if msg.reply:
                    wire.pub(msg.reply)
                msg = wire.take(lambda op: getattr(op, "subject", None) == "cut.x")
            assert "error" not in archive.restore(to_wire, "S", whole, response["config"])
            after = to_wire.api("STREAM.INFO.S")["state"]
            assert after == before, (before, after)


@test()
def cli_backs_up_and_restores(context):
    tool = cli()
    for source, target in pairs(context)[:2]:
        with Server(source) as one, Server(target) as two, tempfile.TemporaryDirectory() as folder:
            with Wire(one.port) as wire:
                fill(wire)
                before = view(wire)
            run = lambda server, *words: subprocess.run([tool, "-s", server.url, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
            run(one, "stream", "backup", "S", folder + "/s", "--no-progress", "--consumers")
            run(two, "stream", "restore", folder + "/s", "--no-progress")
            with Wire(two.port) as wire:
                same({**before, "state": dict(before["state"])}, view(wire), target == context.binary)
                wire.api("STREAM.DELETE.S")
            run(one, "account", "backup", folder + "/all", "--consumers", "--force")
            run(two, "account", "restore", folder + "/all")
            with Wire(two.port) as wire:
                same(before, view(wire), target == context.binary)


# --- whole stores ---

def command(context, *words, code=0):
    done = subprocess.run([context.binary, *words, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == code, (words, done)
    return json.loads(done.stdout)


def store_of(server):
    return glob.glob(os.path.join(server.dir, "**", "SUPER.a"), recursive=True)[0].rsplit("/", 1)[0]


def serve(context, folder):
    """A server of a restored store: the directory is <store_dir>/jetstream."""
    return Server(context.binary, conf=f"jetstream {{ store_dir: \"{folder}\" }}\n", jetstream=False)


@test(workers=(1, 4))
def store_is_backed_up_in_use_and_grows(context, conf):
    with tempfile.TemporaryDirectory() as folder:
        target = folder + "/target"
        with Server(context.binary, conf=conf) as server, Wire(server.port) as wire:
            store = store_of(server)
            wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
            for i in range(1000):
                wire.pub("s.x", os.urandom(2000))
            wire.request("s.x", "first")
            first = command(context, "backup", store, target)
            assert first["bytes_written"] > 2_000_000
            stop = threading.Event()

            def publish():
                with Wire(server.port) as other:
                    while not stop.is_set():
                        other.request("s.y", os.urandom(1000))

            thread = threading.Thread(target=publish)
            thread.start()
            try:
                for _ in range(3):
                    command(context, "backup", store, target)
                    assert command(context, "check-store", target)["whole"]
            finally:
                stop.set(), thread.join()
            last = wire.api("STREAM.INFO.S")["state"]
            command(context, "backup", store, target)
            assert command(context, "backup", store, target)["bytes_written"] == 0
        command(context, "restore", target, folder + "/a/jetstream")
        command(context, "restore", target, folder + "/a/jetstream", code=2)
        assert command(context, "check-store", folder + "/a/jetstream")["whole"]
        with serve(context, folder + "/a") as server, Wire(server.port) as wire:
            assert wire.api("STREAM.INFO.S")["state"] == last
            wire.request("s.x", "goes on")
            assert wire.api("STREAM.INFO.S")["state"]["messages"] == last["messages"] + 1


@test()
def store_is_restored_to_a_point_in_time(context):
    with tempfile.TemporaryDirectory() as folder, Server(context.binary) as server, Wire(server.port) as wire:
        store, target = store_of(server), folder + "/target"
        wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
        times = []
        for i in range(20):
            wire.request("s.x", str(i))
            times.append(datetime.datetime.fromtimestamp(time.time(), datetime.timezone.utc).isoformat())
        wire.api("STREAM.PURGE.S")
        command(context, "backup", store, target)
        for n in (5, 20):
            where = f"{folder}/{n}"
            command(context, "restore", target, where + "/jetstream", "--at", times[n - 1])
            assert command(context, "check-store", where)["whole"]
            with serve(context, where) as other, Wire(other.port) as to_wire:
                assert to_wire.api("STREAM.INFO.S")["state"]["messages"] == n
                assert to_wire.request("s.x", "new").data.endswith(b'"seq":%d}' % (n + 1))
        block = command(context, "restore", target, folder + "/none/jetstream", "--at", "2020-01-01T00:00:00Z")["last_block"]
        assert block == 0
        command(context, "restore", target, folder + "/seq/jetstream", "--seq", "1")


@test()
def check_store_finds_damage_and_says_whose(context):
    with Server(context.binary) as server:
        store = store_of(server)
        with Wire(server.port) as wire:
            wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
            for i in range(50):
                wire.request("s.x", "payload-%d" % i * 20)
        assert command(context, "check-store", store)["whole"]
        server.stop()
        assert command(context, "check-store", store)["whole"]
        path = sorted(glob.glob(store + "/log/*.log"))[0]
        with open(path, "r+b") as file:
            at = file.read().index(b"payload-25")
            file.seek(at), file.write(b"P")
        found = command(context, "check-store", store, code=1)
        assert not found["whole"] and len(found["damages"]) == 1 and found["damages"][0]["streams"] == ["$G S"], found
        assert command(context, "backup", store, server.dir + "/t", code=1)["damaged_blocks"] == 1
        command(context, "check-store", server.dir + "/nothing", code=2)
        before = {name: os.path.getmtime(name) for name in glob.glob(store + "/**", recursive=True)}
        command(context, "check-store", store, code=1)
        assert before == {name: os.path.getmtime(name) for name in glob.glob(store + "/**", recursive=True)}
