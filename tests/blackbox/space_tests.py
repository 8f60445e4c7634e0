"""Disk space comes back: what was removed is given up, though something old stays in every segment of the log."""
import json, os, subprocess, tempfile, time

from run import Skip, test
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


@test(heavy=True)
def a_full_disk_of_dead_records_frees_itself(context):
    folder = tempfile.mkdtemp(prefix="hw-full-")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], capture_output=True).returncode:
        raise Skip("mounting a small file system needs root")
    block = 'jetstream {\n store_dir: "%s/store"\n segment_bytes: 2M\n checkpoint_bytes: 100M\n clean: %s\n}\n'
    newest = {}  # subject -> (sequence, payload) that was acknowledged

    def fill(server, count):
        """Big values of a few keys, and small ones that stay, in every segment. How many were stored until one was refused, which must cost nothing."""
        with Wire(server.port, timeout=30) as wire:
            for i in range(count):
                number = len(newest) * 1000 + i
                stays = i % 25 == 0
                subject, payload = f"k.{'old' + str(number) if stays else 'hot' + str(i % 10)}", f"{number} ".encode() + b"x" * (300 if stays else 40_000)
                reply = json.loads(wire.request(subject, payload).data)
                if "error" in reply:
                    assert reply["error"]["err_code"] == 10047, reply
                    return i
                newest[subject] = (reply["seq"], payload)
            return count

    def check(server):
        with Wire(server.port, timeout=30) as wire:
            assert wire.api("STREAM.INFO.K")["state"]["messages"] == len(newest)
            for subject, (seq, payload) in newest.items():
                msg = wire.request(f"$JS.API.DIRECT.GET.K.{subject}")
                assert f"Nats-Sequence: {seq}\r\n" in msg.headers and msg.data == payload, (subject, seq, msg.headers)
    try:
        with Server(context.binary, jetstream=False, conf=block % (folder, "false")) as server:
            with Wire(server.port) as wire:
                wire.api("STREAM.CREATE.K", {"name": "K", "subjects": ["k.>"], "max_msgs_per_subject": 1, "allow_direct": True, "metadata": {"_holdwater.dedup": "off"}})
            assert fill(server, 3000) < 3000, "the disk is not full"
            check(server)
            server.kill()
            server.conf = block % (folder, "true")
            server.start()
            end, stored = time.monotonic() + 120, 0
            while stored < 3000:  # again as much as there is disk, and more
                stored += fill(server, 500)
                assert time.monotonic() < end, (stored, server.log_text()[-3000:])
                time.sleep(0.2)
            check(server)
            server.kill()
            server.start()
            check(server)
    finally:
        subprocess.run(["umount", folder], check=True)
        os.rmdir(folder)
