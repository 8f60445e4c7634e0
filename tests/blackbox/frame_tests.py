"""Streams with compression: their disk use shrinks, and everything is read as before."""
import json, random, time

from run import test
from server import Server
from space import SMALL, log_bytes, until_below
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
    assert wire.api(f"STREAM.INFO.{stream}")["state"]["messages"] == count
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


@test(workers=(1, 2))
def a_stream_with_compression_takes_less_and_is_read_as_before(context, conf=""):
    with Server(context.binary, conf, monitor=True, jetstream=SMALL) as server:
        with Wire(server.port) as wire:
            fill(wire, "F", value)
            before = wire.api("STREAM.INFO.F")["state"]
            assert log_bytes(server) > before["bytes"], (log_bytes(server), before)
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
        end = time.monotonic() + 12
        while time.monotonic() < end:
            time.sleep(0.5)
        space = server.get("/jsz")["hw_store"]
        assert space["packed_bytes"] == 0 and space["moved_bytes"] < 4_000_000, space
        check_all(wire, "N", noise)
        moved = space["moved_bytes"]
        time.sleep(3)
        assert server.get("/jsz")["hw_store"]["moved_bytes"] == moved


@test(workers=(1,))
def a_stream_that_asks_later_is_compressed_too(context, conf=""):
    with Server(context.binary, conf, monitor=True, jetstream=SMALL) as server, Wire(server.port) as wire:
        fill(wire, "L", value, config={"compression": "none"})
        bytes_ = wire.api("STREAM.INFO.L")["state"]["bytes"]
        config = wire.api("STREAM.INFO.L")["config"]
        wire.api("STREAM.UPDATE.L", {**config, "compression": "s2"})
        until_below(server, bytes_ * 0.6)
        check_all(wire, "L", value)
