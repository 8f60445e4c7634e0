"""Schedules, counters and traces over restarts, kills and workers."""
import datetime, json, time
from run import test
from server import Server
from wire import Wire


def in_seconds(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def create(wire, **more):
    reply = wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>", "t.>"], **more})
    assert "error" not in reply, reply


def count(wire, subject):
    """Messages of the subject now."""
    state = wire.api("STREAM.INFO.S", {"subjects_filter": subject})["state"]
    return (state.get("subjects") or {}).get(subject, 0)


def until(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "never came about"
        time.sleep(0.02)


def restart(server, is_killed):
    (server.kill if is_killed else server.stop)()
    server.start()
    return Wire(server.port)


def missed(context, is_killed):
    with Server(context.binary) as server:
        wire = Wire(server.port)
        create(wire, allow_msg_schedules=True)
        due = time.monotonic() + 1
        for name, pattern in (("once", "@at " + in_seconds(1)), ("again", "@every 1s"), ("zone", "* * * * * *")):
            more = {"Nats-Schedule-Time-Zone": "Asia/Kolkata"} if name == "zone" else {}
            wire.request(f"s.{name}", name, {"Nats-Schedule": pattern, "Nats-Schedule-Target": f"t.{name}", **more})
        wire.request("s.never", "", {"Nats-Schedule": "@at " + in_seconds(1), "Nats-Schedule-Target": "t.never"})
        wire.api("STREAM.PURGE.S", {"filter": "s.never"})
        (server.kill if is_killed else server.stop)()
        while time.monotonic() < due + 1.5:  # all of them come due while nobody is there
            time.sleep(0.05)
        server.start()
        wire = Wire(server.port)
        until(lambda: count(wire, "t.once") == 1 and count(wire, "t.again") >= 1 and count(wire, "t.zone") >= 1)
        before = count(wire, "t.again"), count(wire, "t.zone")
        assert max(before) <= 2, before  # missed ones came once, not all
        until(lambda: count(wire, "t.again") > before[0] and count(wire, "t.zone") > before[1])
        assert count(wire, "t.once") == 1 and count(wire, "s.once") == 0 and count(wire, "t.never") == 0
        wire = restart(server, is_killed)
        assert count(wire, "t.once") == 1 and count(wire, "s.again") == 1
        after = count(wire, "t.again")
        until(lambda: count(wire, "t.again") > after)


@test()
def schedules_missed_while_stopped_come_once(context):
    missed(context, False)


@test()
def schedules_missed_while_killed_come_once(context):
    missed(context, True)


@test()
def counters_go_on_after_a_kill(context):
    with Server(context.binary) as server:
        wire = Wire(server.port)
        create(wire, allow_msg_counter=True)
        total = 0
        for is_killed in (True, False, True):
            for i in range(20):
                total += 10**30 + i
                ack = json.loads(wire.request("s.a", "", {"Nats-Incr": str(10**30 + i)}).data)
                assert ack.get("val") == str(total), ack
            wire = restart(server, is_killed)
        last = wire.api("STREAM.INFO.S")["state"]["last_seq"]
        wire.api("STREAM.MSG.DELETE.S", {"seq": last})
        wire = restart(server, True)
        ack = json.loads(wire.request("s.a", "", {"Nats-Incr": "0"}).data)
        assert ack["val"] == str(total - 10**30 - 19), ack


@test(workers=(1, 4))
def a_trace_tells_of_receivers_on_all_workers(context, conf):
    with Server(context.binary, conf) as server:
        wires = [Wire(server.port, {"name": f"w{i}"}) for i in range(6)]
        for wire in wires:
            wire.sub("a.*"), wire.sub("q.x", "group"), wire.flush()
        create(wires[0])
        wires[0].sub("trace.me"), wires[0].flush()

        def traced(subject, only=False):
            lines = {"Nats-Trace-Dest": "trace.me", **({"Nats-Trace-Only": "true"} if only else {})}
            wires[0].pub(subject, b"x", headers=lines)
            got = wires[0].take(lambda op: getattr(op, "subject", "") == "trace.me")
            return [e for e in json.loads(got.data)["events"] if e["type"] != "in"]

        for only in (False, True):
            assert sorted(e["name"] for e in traced("a.b", only)) == [f"w{i}" for i in range(6)]
            assert len(traced("q.x", only)) == 1
            assert [e["stream"] for e in traced("s.a", only)] == ["S"]
        assert wires[0].api("STREAM.INFO.S")["state"]["messages"] == 1
        for wire in wires[1:]:
            wire.flush()
            assert sum(getattr(op, "subject", "") == "a.b" for op in wire.pending) <= 1, wire.pending
