"""Disk space comes back: what was removed is given up, though something old stays in every segment of the log."""
import json, time

from run import test
from server import Server
from space import SMALL, log_bytes, until_below
from wire import Msg, Wire

@test(workers=(1, 2))
def a_work_queue_that_was_consumed_leaves_almost_nothing(context, conf=""):
    with Server(context.binary, conf, monitor=True, jetstream=SMALL) as server, Wire(server.port) as wire:
        wire.api("STREAM.CREATE.Q", {"name": "Q", "subjects": ["q.>"], "retention": "workqueue"})
        wire.api("CONSUMER.DURABLE.CREATE.Q.c", {"stream_name": "Q", "config": {"durable_name": "c", "ack_policy": "explicit"}})
        count, batch = 10_000, 500
        for i in range(1, count + 1):
            wire.pub(f"q.{i % 10}", b"x" * 900)
            if i % 1000 == 0:
                wire.api("STREAM.INFO.Q")
        assert log_bytes(server) > 8_000_000, log_bytes(server)
        inbox = "box"
        wire.sub(inbox)
        for _ in range(count // batch):
            wire.pub("$JS.API.CONSUMER.MSG.NEXT.Q.c", json.dumps({"batch": batch, "expires": 30_000_000_000}), inbox)
            for _ in range(batch):
                msg = wire.take(lambda op: isinstance(op, Msg) and op.reply and op.reply.startswith("$JS.ACK."), timeout=20)
                wire.pub(msg.reply, b"+ACK")
        end = time.monotonic() + 20
        while (state := wire.api("STREAM.INFO.Q")["state"])["messages"]:
            assert time.monotonic() < end, state
        until_below(server, 3 * 1024 * 1024)


@test(workers=(1, 2))
def a_key_in_each_segment_does_not_keep_the_segment(context, conf=""):
    with Server(context.binary, conf, monitor=True, jetstream=SMALL) as server:
        with Wire(server.port) as wire:
            wire.api("STREAM.CREATE.K", {"name": "K", "subjects": ["k.>"], "max_msgs_per_subject": 1, "allow_direct": True})
            for i in range(20_000):
                if i % 100 == 0:
                    wire.pub(f"k.old{i}", f"old{i}" + "y" * 500)
                wire.pub(f"k.hot{i % 20}", f"hot{i}" + "x" * 500)
                if i % 1000 == 0:
                    wire.api("STREAM.INFO.K")
            before = wire.api("STREAM.INFO.K")["state"]
            assert before["messages"] == 220, before
        until_below(server, 4 * 1024 * 1024)
        space = server.get("/jsz")["hw_store"]
        assert space["moved_records"] > 0 and space["live_bytes"] < 200_000, space
        server.kill()
        server.start()
        with Wire(server.port) as wire:
            after = wire.api("STREAM.INFO.K")["state"]
            assert (after["messages"], after["bytes"], after["last_seq"]) == (before["messages"], before["bytes"], before["last_seq"]), (before, after)
            for i in range(0, 20_000, 100):
                msg = wire.request("$JS.API.DIRECT.GET.K", json.dumps({"last_by_subj": f"k.old{i}"}))
                assert msg.data.startswith(f"old{i}y".encode()), (i, msg)
            for i in range(19_980, 20_000):
                msg = wire.request("$JS.API.DIRECT.GET.K", json.dumps({"last_by_subj": f"k.hot{i % 20}"}))
                assert msg.data.startswith(f"hot{i}x".encode()), (i, msg)
