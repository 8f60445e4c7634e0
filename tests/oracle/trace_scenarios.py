"""Nats-Trace-Dest: where a message went."""
import json
import re
from oracle import scenario


def traced(trial, subject, data="x", only=None, wait=True, pub=None, **headers):
    """Publishes, and notes the event without its times and names."""
    trial.main.sub("trace.me") if "traced" not in trial.names else None
    trial.names["traced"] = trial.main
    lines = {"Nats-Trace-Dest": "trace.me", **({"Nats-Trace-Only": only} if only else {}), **headers}
    block = "NATS/1.0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
    trial.main.send(f"HPUB {subject} {len(block)} {len(block) + len(data)}\r\n{block}{data}\r\n")
    if wait:
        show(trial, trial.main.take(lambda op: getattr(op, "subject", "") == "trace.me", timeout=5))


def show(trial, got):
    if got is None:
        trial.note("no event")
        return
    event = json.loads(got.data)
    event["events"][1:] = sorted(event["events"][1:], key=lambda e: (e["type"], e.get("sub", "")))
    event["server"] = sorted(set(event["server"]) - {"feature_flags"})
    for one in event["events"]:
        one["ts"] = "<ts>"
        if "cid" in one:
            one["cid"] = "<cid>"
    trial.note("event", got.headers, json.dumps(event))


@scenario()
def trace_of_nobody(trial):
    traced(trial, "a.b")


@scenario()
def trace_of_subscribers(trial):
    other = trial.wire({"name": "other"})
    other.sub("a.*"), other.flush()
    trial.main.sub("a.b"), trial.main.flush()
    traced(trial, "a.b", "hello", X="1"), trial.expect(), trial.expect(other)
    traced(trial, "a.b", "hello", only="true"), trial.main.flush(), trial.note("pending", [str(op) for op in trial.main.pending])
    for value in ("1", "on", "TRUE", "0", "x"):
        traced(trial, "a.c", only=value)


@scenario()
def trace_of_no_echo(trial):
    wire = trial.wire({"echo": False, "name": "me"})
    wire.sub("a.b"), wire.flush()
    trial.main.sub("trace.me"), trial.main.flush()
    block = "NATS/1.0\r\nNats-Trace-Dest: trace.me\r\n\r\n"
    wire.send(f"HPUB a.b {len(block)} {len(block) + 1}\r\n{block}x\r\n")
    show(trial, trial.main.take(timeout=5))


@scenario()
def trace_of_a_stream(trial):
    trial.stream()
    traced(trial, "s.a"), trial.api("STREAM.MSG.GET.S", {"seq": 1})
    traced(trial, "s.a", only="true"), trial.state("S", "messages")
    traced(trial, "s.a", **{"Nats-Expected-Last-Sequence": "9"}), traced(trial, "s.a", **{"Nats-Msg-Id": "i"}), traced(trial, "s.a", **{"Nats-Msg-Id": "i"})
    traced(trial, "s.a", **{"Nats-TTL": "5s"}), trial.state("S", "messages")


@scenario()
def trace_of_a_transformed_and_an_interest_stream(trial):
    trial.stream("I", retention="interest"), trial.stream("X", subject_transform={"src": "x.*", "dest": "y.$1"}), trial.stream("M", max_msg_size=10)
    traced(trial, "i.a"), traced(trial, "x.a"), traced(trial, "m.a")


@scenario()
def trace_of_an_api_call(trial):
    traced(trial, "$JS.API.INFO", "")


PERMITTED = """
accounts { A { jetstream: enabled, users [{user: a, password: a}, {user: b, password: b, permissions: {publish: {allow: ["ok.>", "trace.>"], deny: "trace.no"}}}, {user: c, password: c, permissions: {publish: "trace.>", allow_responses: true}}] } }
no_auth_user: a
"""


@scenario(conf=PERMITTED)
def trace_to_where_one_may_not_publish(trial):
    """It is a message of the client's, so it is one for its permissions."""
    for subject in ("ok.a", "no.a", "secret", "trace.>"):
        trial.main.sub(subject)
    trial.main.flush()
    for user in "bc":
        wire = trial.wire({"user": user, "pass": user})
        wire.flush(), wire.pending.clear()
        for subject, dest in (("ok.a", "trace.me"), ("ok.a", "secret"), ("ok.a", "trace.no"), ("no.a", "secret"), ("no.a", "trace.me"), ("ok.a", "secret.*"), ("ok.a", "trace.*"), ("ok.a", "a..b"), ("ok.a", "trace disabled"), ("ok.a", "")):
            block = f"NATS/1.0\r\nNats-Trace-Dest: {dest}\r\n\r\n"
            trial.note(user, subject, dest)
            wire.send(f"HPUB {subject} {len(block)} {len(block) + 1}\r\n{block}x\r\n"), trial.quiet(wire)
            ops = trial.main.flush() + list(trial.main.pending)
            trial.note("others got", *[op for op in ops if not getattr(op, "subject", "trace.").startswith("trace.")])
            trial.main.pending.clear()
