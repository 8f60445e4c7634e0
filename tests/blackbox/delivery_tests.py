"""Order, causality, queues, slow consumers, memory."""
import json, os, threading
from run import Skip, test
from server import Server
from wire import Closed, Msg, Wire


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@test(workers=(1, 4))
def each_publisher_is_seen_in_order(context, conf):
    with Server(context.binary, conf=conf, jetstream=False) as server:
        subscribers = [Wire(server.port) for _ in range(4)]
        for wire in subscribers:
            wire.sub("t.>")
            wire.flush()
        publishers = [Wire(server.port) for _ in range(4)]

        def publish(i):
            for n in range(500):
                publishers[i].pub(f"t.{i}", str(n))
            publishers[i].flush()

        threads = [threading.Thread(target=publish, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for wire in subscribers:
            seen = {i: 0 for i in range(4)}
            for _ in range(2000):
                msg = wire.take(lambda op: isinstance(op, Msg))
                i = int(msg.subject[2:])
                assert int(msg.data) == seen[i], (i, msg.data, seen)
                seen[i] += 1


@test(workers=(1, 4))
def what_was_confirmed_to_one_is_known_to_all(context, conf):
    with Server(context.binary, conf=conf, jetstream=False) as server:
        wires = [Wire(server.port) for _ in range(8)]
        for wire in wires:
            wire.flush()
        for n in range(400):
            subscriber, publisher = wires[n % 8], wires[(n * 3 + 1) % 8]
            sid = subscriber.sub(f"c.{n}")
            subscriber.flush()
            publisher.pub(f"c.{n}", "x")
            assert subscriber.take(lambda op: isinstance(op, Msg), 5), n
            subscriber.send(f"UNSUB {sid}\r\n")
            subscriber.flush()
            publisher.pub(f"c.{n}", "x")
            publisher.flush()
            assert not [op for op in subscriber.flush() if isinstance(op, Msg)]


@test(workers=(1, 4))
def a_stream_is_there_for_all_once_its_create_was_answered(context, conf):
    with Server(context.binary, conf=conf) as server:
        wires = [Wire(server.port) for _ in range(8)]
        for n in range(60):
            maker, user = wires[n % 8], wires[(n * 3 + 1) % 8]
            assert "error" not in maker.api(f"STREAM.CREATE.S{n}", {"name": f"S{n}", "subjects": [f"s{n}"], "storage": "memory" if n % 2 else "file"})
            msg = user.request(f"s{n}", "x")
            assert b'"seq":1' in msg.data, msg
            assert maker.api(f"STREAM.INFO.S{n}")["state"]["messages"] == 1


@test(workers=(1, 4))
def a_queue_group_gets_each_message_once(context, conf):
    with Server(context.binary, conf=conf, jetstream=False) as server:
        members = [Wire(server.port) for _ in range(6)]
        for wire in members:
            wire.sub("jobs", "workers")
            wire.flush()
        with Wire(server.port) as publisher:
            for n in range(600):
                publisher.pub("jobs", str(n))
            publisher.flush()
        shares = []
        total = set()
        for wire in members:
            mine = []
            while True:
                ops = [op for op in wire.flush() if isinstance(op, Msg)]
                if not ops:
                    break
                mine += [int(op.data) for op in ops]
            assert not total & set(mine)
            total |= set(mine)
            shares.append(len(mine))
        assert len(total) == 600, shares
        assert min(shares) > 20, shares


@test()
def a_byte_at_a_time_is_the_same_as_at_once(context):
    text = b'CONNECT {"verbose":true,"headers":true}\r\nSUB a.* 1\r\nPUB a.b 5\r\nhello\r\nHPUB a.c r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1\r\nPING\r\n'
    with Server(context.binary, jetstream=False) as server:
        seen = []
        for step in (1, 7, 100000):
            with Wire(server.port, connect=None) as wire:
                for i in range(0, len(text), step):
                    wire.send(text[i:i + step])
                ops = []
                while True:
                    op = wire.next()
                    if op == "PONG":
                        break
                    ops.append(op)
                seen.append(ops)
        assert seen[0] == seen[1] == seen[2] and len(seen[0]) >= 6, seen


@test(heavy=True)
def deaf_subscribers_of_a_flood_do_no_harm(context):
    with Server(context.binary, jetstream=False, conf="max_pending: 8MB\nwrite_deadline: \"60s\"\n") as server:
        deaf = []
        for _ in range(10):
            wire = Wire(server.port)
            wire.sub("flood")
            wire.flush()
            deaf.append(wire)
        listener = Wire(server.port)
        listener.sub("other")
        listener.flush()
        with Wire(server.port, timeout=60) as publisher:
            payload = b"x" * 65536
            for _ in range(1500):
                publisher.pub("flood", payload)
            publisher.flush(60)
            publisher.pub("other", "still here")
            publisher.flush(60)
        assert listener.take(lambda op: isinstance(op, Msg)).data == b"still here"
        assert rss_bytes(server.process.pid) < 400 << 20, rss_bytes(server.process.pid)


@test(heavy=True)
def an_idle_server_is_small(context):
    with Server(context.binary) as server:
        with Wire(server.port) as wire:
            wire.flush()
        assert rss_bytes(server.process.pid) < 10 << 20, rss_bytes(server.process.pid)


@test()
def garbage_of_all_kinds_closes_only_its_own_connection(context):
    import random
    chance = random.Random(5)
    with Server(context.binary) as server:
        good = Wire(server.port)
        good.sub("alive")
        good.flush()
        for n in range(200):
            with Wire(server.port, connect=None, timeout=5) as wire:
                data = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 400)))
                if n % 3 == 0:
                    data = b"PUB x %d\r\n" % chance.randrange(1000) + data
                if n % 3 == 1:
                    data = b"CONNECT " + data + b"\r\n" + b"SUB " + data
                try:
                    wire.send(data)
                    wire.send(b"\r\n\r\n")
                except OSError:
                    pass
        good.pub("alive", "yes")
        assert [op for op in good.flush() if isinstance(op, Msg)] and server.process.poll() is None


@test()
def out_of_descriptors_refuses_the_new_and_keeps_the_old(context):
    import resource
    import subprocess
    soft = 120
    server = Server(context.binary, jetstream=False)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The limit is inherited; the server raises the soft one to the hard one, so both are set in the child.
    wrapper = os.path.join(server.dir, "limited")
    with open(wrapper, "w") as file:
        file.write(f"#!/bin/sh\nulimit -n {soft}\nexec {context.binary} \"$@\"\n")
    os.chmod(wrapper, 0o755)
    server.binary = wrapper
    with server:
        wires = []
        try:
            for _ in range(soft + 20):
                wires.append(Wire(server.port, timeout=0.5))
        except (TimeoutError, Closed, OSError):
            pass
        assert 50 < len(wires) < soft
        assert wires[0].flush(5) is not None
        for wire in wires[10:]:
            wire.close()
        with Wire(server.port, timeout=10) as again:
            again.flush()
    del before, subprocess


@test(workers=(2, 4))
def a_request_that_brings_its_subscription_along_is_answered(context, conf):
    """The answer comes from a worker that must have heard of the subscription by then."""
    with Server(context.binary, conf=conf) as server:
        for i in range(60):
            with Wire(server.port) as wire, Wire(server.port) as other:
                wire.flush(), other.flush()
                body = json.dumps({"name": "S", "subjects": ["s"]})
                wire.send(f"SUB in.{i}.* 1\r\nPUB $JS.API.STREAM.CREATE.S in.{i}.1 {len(body)}\r\n{body}\r\n")
                assert wire.take(lambda op: getattr(op, "subject", "") == f"in.{i}.1", timeout=5), i
