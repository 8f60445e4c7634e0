"""Streams with compression: their disk use shrinks, and everything is read as before."""
import glob, json, os, random, struct, subprocess, time

from run import test
from server import Server
from space import SMALL, until_below
from wire import Msg, Wire

COUNT = 24_000


def value(n):
    words = random.Random(n)
    return json.dumps({"order": n, "customer": f"customer-{words.randrange(1000)}", "state": words.choice(["open", "paid", "shipped", "delivered"]),
                       "total": words.randrange(100_000), "address": {"street": "Long Street", "number": words.randrange(200), "town": "Some Town"},
                       "lines": [{"article": f"article-{words.randrange(5000)}", "count": words.randrange(1, 9), "price": words.randrange(10_000)} for _ in range(6)]})


def noise(n):
    return random.Random(n).randbytes(900)


def fill(wire, stream, make, count=COUNT, config={}):
    wire.api(f"STREAM.CREATE.{stream}", {"name": stream, "subjects": [f"{stream}.>"], "allow_direct": True, "compression": "s2", **config})
    for n in range(1, count + 1):
        wire.pub(f"{stream}.{n % 300}", make(n))
        if n % 1000 == 0:
            wire.api(f"STREAM.INFO.{stream}")


def check_all(wire, stream, make, count=COUNT):
    """By a consumer, and some alone."""
    info = wire.api(f"STREAM.INFO.{stream}")
    assert info["state"]["messages"] == count, info
    name = f"c{time.monotonic_ns()}"
    wire.api(f"CONSUMER.DURABLE.CREATE.{stream}.{name}", {"stream_name": stream, "config": {"durable_name": name, "ack_policy": "none"}})
    wire.sub("box")
    for first in range(1, count + 1, 500):
        wire.pub(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", json.dumps({"batch": 500, "expires": 30_000_000_000}), "box")
        for n in range(first, min(first + 500, count + 1)):
            msg = wire.take(lambda op: isinstance(op, Msg) and op.reply and op.reply.startswith("$JS.ACK."), timeout=20)
            want = make(n)
            assert msg.data == (want if isinstance(want, bytes) else want.encode()), (n, msg)
    wire.api(f"CONSUMER.DELETE.{stream}.{name}")
    for n in range(1, count + 1, 997):
        msg = wire.request(f"$JS.API.DIRECT.GET.{stream}", json.dumps({"seq": n}))
        want = make(n)
        assert msg.data == (want if isinstance(want, bytes) else want.encode()), (n, msg)


def until_at_rest(server, has_frames=False, seconds=60):
    """Nothing is moved any more."""
    end, before = time.monotonic() + seconds, None
    while (space := server.get("/jsz")["hw_store"]) != before or (has_frames and not space["frame_bytes"]):
        assert time.monotonic() < end, space
        before = space
        time.sleep(2.5)
    return space


@test(workers=(1, 2))
def a_stream_with_compression_takes_less_and_is_read_as_before(context, conf=""):
    with Server(context.binary, conf, monitor=True, jetstream=SMALL) as server:
        with Wire(server.port) as wire:
            fill(wire, "F", value)
            before = wire.api("STREAM.INFO.F")["state"]
        until_below(server, before["bytes"] * 0.6)
        space = server.get("/jsz")["hw_store"]
        assert space["frame_bytes"] * 2 < space["packed_bytes"], space
        with Wire(server.port) as wire:
            assert wire.api("STREAM.INFO.F")["state"] == before
            check_all(wire, "F", value)
        server.kill()
        server.start()
        with Wire(server.port) as wire:
            state = wire.api("STREAM.INFO.F")["state"]
            assert {**state, "consumer_count": 0} == {**before, "consumer_count": 0}, (before, state)
            check_all(wire, "F", value)


@test(workers=(1,))
def what_does_not_become_smaller_is_not_written_again_and_again(context, conf=""):
    with Server(context.binary, conf, monitor=True, jetstream=SMALL) as server, Wire(server.port) as wire:
        fill(wire, "N", noise)
        time.sleep(3)
        space = until_at_rest(server)
        # Once at most: small commits leave gaps that cleaning closes.
        assert space["packed_bytes"] == 0 and space["moved_bytes"] < 2 * space["live_bytes"], space
        check_all(wire, "N", noise)
        assert until_at_rest(server)["moved_bytes"] < space["moved_bytes"] + 4_000_000


@test(workers=(1,))
def a_stream_that_asks_later_is_compressed_too(context, conf=""):
    with Server(context.binary, conf, monitor=True, jetstream=SMALL) as server, Wire(server.port) as wire:
        fill(wire, "L", value, config={"compression": "none"})
        bytes_ = wire.api("STREAM.INFO.L")["state"]["bytes"]
        config = wire.api("STREAM.INFO.L")["config"]
        wire.api("STREAM.UPDATE.L", {**config, "compression": "s2"})
        until_below(server, bytes_ * 0.6)
        check_all(wire, "L", value)


def find_frame(server):
    """A frame that lies before the head: (path, offset, bytes, records)."""
    paths = sorted(glob.glob(f"{server.dir}/store/jetstream/log/[0-9]*.log"), key=lambda path: int(os.path.basename(path)[:-4]))
    for path in paths[:-1]:
        with open(path, "rb") as file:
            data = file.read()
        for at in range(96, len(data) - 56, 8):
            if data[at + 12] != 33 or data[at + 14:at + 16] != b"\0\0":
                continue
            length, (raw, count) = struct.unpack_from("<I", data, at)[0], struct.unpack_from("<II", data, at + 40)
            if 100 < length <= 57344 and length < raw <= 65536 and 0 < count <= 1638:
                return path, at, length, count
    raise AssertionError("no frame found")


@test(workers=(1, 2))
def a_frame_that_the_disk_damages_is_found_and_costs_its_records(context, conf=""):
    system = "accounts { $SYS { users: [ {user: admin, password: pw} ] } }\n"
    with Server(context.binary, system + conf, monitor=True, jetstream=SMALL + " scrub: off\n") as server:
        with Wire(server.port) as wire:
            fill(wire, "F", value, 12_000)
        until_at_rest(server, has_frames=True)
        path, at, length, count = find_frame(server)
        with open(path, "r+b") as file:
            file.seek(at + length // 2)
            byte = file.read(1)[0]
            file.seek(at + length // 2)
            file.write(bytes([byte ^ 0x20]))
        with Wire(server.port, {"user": "admin", "pass": "pw"}) as wire:
            assert json.loads(wire.request("$SYS.REQ.SERVER.PING.SCRUB").data)["data"]["started"] is True
        end = time.monotonic() + 30
        while "damage looked at" not in server.log_text():
            assert time.monotonic() < end, server.get("/scrubz")
            time.sleep(0.1)
        damaged = []
        with Wire(server.port) as wire:
            for n in range(1, 12_001):
                reply = wire.api("STREAM.MSG.GET.F", {"seq": n})
                if "error" in reply:
                    assert "damaged" in reply["error"]["description"], reply
                    damaged.append(n)
        assert 0 < len(damaged) <= count and damaged == list(range(damaged[0], damaged[-1] + 1)), (count, damaged)
        assert f"messages={len(damaged)} " in server.log_text()
        server.stop()
        store = f"{server.dir}/store/jetstream"
        told = subprocess.run([context.binary, "check-store", store, "--json"], capture_output=True, text=True)
        assert told.returncode == 1 and '"F"' in told.stdout or "F" in told.stdout, (told.returncode, told.stdout)


@test(workers=(1,))
def a_store_with_frames_is_whole_to_check_store_and_in_a_backup(context, conf=""):
    with Server(context.binary, conf, monitor=True, jetstream=SMALL + " cipher: chacha\n key: secret\n") as server:
        with Wire(server.port) as wire:
            fill(wire, "F", value, 12_000)
        until_at_rest(server, has_frames=True)
        store = f"{server.dir}/store/jetstream"
        env = {**os.environ, "HOLDWATER_KEY": "secret"}
        assert subprocess.run([context.binary, "check-store", store], env=env, capture_output=True).returncode == 0
        made = subprocess.run([context.binary, "backup", store, f"{server.dir}/copy"], env=env, capture_output=True)
        assert made.returncode == 0, made
        server.stop()
        os.rename(store, f"{server.dir}/old")
        back = subprocess.run([context.binary, "restore", f"{server.dir}/copy", store], env=env, capture_output=True)
        assert back.returncode == 0, back
        server.start()
        with Wire(server.port) as wire:
            check_all(wire, "F", value, 12_000)
