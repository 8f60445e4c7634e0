"""Nats-Trace-Dest: where a message went."""
import json
import re
import batch_scenarios
from oracle import scenario, table


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


MSG_TRACE = """
accounts {
  A { jetstream: enabled, users [{user: a, password: a}, {user: p, password: p, permissions: {publish: {deny: ["no.>", "trace.a"]}}}], msg_trace: trace.a, mappings { "old.*": "new.$1", "s.mapped": "s.a" } }
  B { users [{user: b, password: b}], msg_trace: {dest: trace.b, sampling: 100} }
  C { users [{user: c, password: c}], trace_dest: {dest: trace.c, sampling: "100%"} }
  D { users [{user: d, password: d}] }
  E { users [{user: e, password: e}], trace_dest: trace.e }
}
no_auth_user: a
"""
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def says(trial, wire, watcher, subject, headers, data="x", reply=None):
    """Publishes with these header lines; notes what comes until it is quiet for a moment: an event, or that there is none."""
    block = "NATS/1.0\r\n" + "".join(f"{line}\r\n" for line in headers) + "\r\n"
    trial.note("publish", subject, *headers)
    wire.send(f"HPUB {subject} {reply + ' ' if reply else ''}{len(block)} {len(block) + len(data)}\r\n{block}{data}\r\n")
    others, events = [], []
    for one in [wire] + ([watcher] if watcher is not wire else []):
        while (op := one.take(timeout=0.12)) is not None:
            if str(getattr(op, "subject", "")).startswith("trace."):
                events.append(op)
            elif not str(op).startswith("INFO"):
                others.append(trial.show(op))
    trial.note(*sorted(others) or ["nothing else"])
    for event in events:
        trial.note("on", event.subject)
        show(trial, event)


PARENTS = [
    f"traceparent: {SAMPLED}", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "traceparent: 00-x-y-01", "traceparent: 00-x-y-03", "traceparent: 00-x-y-02", "traceparent: 00-x-y-1", "traceparent: 00-x-y-001", "traceparent: 00-x-01",
    "traceparent: 00-x-y-z-01", "traceparent: x-x-x-ff", "traceparent: x-x-x-7f", "traceparent: x-x-x-81", "traceparent: x-x-x-0g", "traceparent: x-x-x-+1", "traceparent: x-x-x-01 ", "traceparent:00-x-y-01", "traceparent:   00-x-y-01  ", "traceparent: ", "traceparent: 00-x-y-01-", "traceparent: ---01",
    f"Traceparent: {SAMPLED}", f"TRACEPARENT: {SAMPLED}", f"TraceParent: {SAMPLED}", f"x-traceparent: {SAMPLED}",
]


@scenario(conf=MSG_TRACE)
def trace_by_traceparent(trial):
    for user in "abcde":
        wire = trial.wire({"user": user, "pass": user, "name": "me"})
        wire.sub("trace.>"), wire.flush(), wire.pending.clear()
        trial.note("user", user)
        for line in PARENTS if user == "a" else PARENTS[:2]:
            says(trial, wire, wire, "x.y", [line])
        for lines in (["Nats-Trace-Dest: trace.mine"], ["Nats-Trace-Dest: trace.mine", PARENTS[0]], [PARENTS[0], "Nats-Trace-Dest: trace.mine"], ["Nats-Trace-Dest: trace disabled", PARENTS[0]], [PARENTS[0], "Nats-Trace-Dest: trace disabled"], [PARENTS[0], "Nats-Trace-Dest: trace.*"], [PARENTS[0], "Nats-Trace-Dest: "],
                      [PARENTS[0], "Nats-Trace-Only: true"], [PARENTS[1], PARENTS[0]], [PARENTS[0], PARENTS[1]], ["A: 1", PARENTS[0], "tracestate: x=y"]):
            says(trial, wire, wire, "x.y", lines)


@scenario(conf=MSG_TRACE)
def trace_by_traceparent_into_streams(trial):
    trial.stream()
    trial.main.sub("trace.>"), trial.main.flush()
    says(trial, trial.main, trial.main, "s.a", [PARENTS[0]]), trial.api("STREAM.MSG.GET.S", {"seq": 1})
    says(trial, trial.main, trial.main, "s.mapped", [PARENTS[0], "Nats-Trace-Only: 1"]), trial.state("S", "messages")
    says(trial, trial.main, trial.main, "s.a", ["Nats-Trace-Dest: trace.mine", PARENTS[0]]), trial.api("STREAM.MSG.GET.S", {"seq": 2}), trial.api("STREAM.MSG.GET.S", {"seq": 3})
    says(trial, trial.main, trial.main, "s.mapped", [PARENTS[0]])
    says(trial, trial.main, trial.main, "$JS.API.INFO", [PARENTS[0]], "", "trace_reply")
    trial.consumer("S", "C"), says(trial, trial.main, trial.main, "$JS.API.CONSUMER.MSG.NEXT.S.C", [PARENTS[0]], "", "trace_reply"), says(trial, trial.main, trial.main, "$JS.API.CONSUMER.MSG.NEXT.S.C", [PARENTS[0], "Nats-Trace-Only: 1"], "", "trace_reply")


@scenario(conf=MSG_TRACE)
def trace_of_a_mapping(trial):
    trial.main.sub("new.*"), trial.main.sub("trace.>"), trial.main.sub("q.*", "g"), trial.main.sub("q.*", "h"), trial.main.sub("q.a"), trial.main.flush()
    for lines in (["Nats-Trace-Dest: trace.mine"], ["Nats-Trace-Dest: trace.mine", "Nats-Trace-Only: true"], [PARENTS[0]]):
        says(trial, trial.main, trial.main, "old.a", lines), says(trial, trial.main, trial.main, "q.a", lines), says(trial, trial.main, trial.main, "q.b", lines)


@scenario(conf=MSG_TRACE)
def trace_of_what_may_not_be_published(trial):
    wire = trial.wire({"user": "p", "pass": "p", "name": "me"})
    trial.main.sub("trace.>"), trial.main.sub("x.*"), trial.main.flush(), wire.flush(), wire.pending.clear()
    for subject in ("no.a", "x.a"):
        for lines in (["Nats-Trace-Dest: trace.mine"], [PARENTS[0]], ["Nats-Trace-Dest: trace.a"], [PARENTS[0], "Nats-Trace-Only: true"]):
            says(trial, wire, trial.main, subject, lines)


@scenario(conf=MSG_TRACE)
def trace_of_batches(trial):
    trial.stream(allow_atomic=True, allow_batched=True)
    trial.main.sub("trace.>"), trial.main.sub("FI.>"), trial.main.sub("R"), trial.main.flush()
    T = "Nats-Trace-Dest: trace.mine"
    B = lambda seq, *more: [T, "Nats-Batch-Id: b", f"Nats-Batch-Sequence: {seq}", *more]
    for seq in (1, 2):
        says(trial, trial.main, trial.main, "s.a", B(seq), reply="R")
    says(trial, trial.main, trial.main, "s.a", B(3, "Nats-Batch-Commit: 1"), reply="R")
    says(trial, trial.main, trial.main, "s.a", B(1)), says(trial, trial.main, trial.main, "s.b", B(2, "Nats-Batch-Commit: eob"))
    says(trial, trial.main, trial.main, "s.a", B(1)), says(trial, trial.main, trial.main, "s.b", B(2, "Nats-Expected-Stream: T", "Nats-Batch-Commit: 1"))
    says(trial, trial.main, trial.main, "s.a", B(1)), says(trial, trial.main, trial.main, "s.b", B(2, "Nats-Expected-Last-Sequence: 77", "Nats-Batch-Commit: 1"))
    says(trial, trial.main, trial.main, "s.a", B(1)), says(trial, trial.main, trial.main, "s.b", B(3))
    says(trial, trial.main, trial.main, "s.a", B(2)), says(trial, trial.main, trial.main, "s.a", B("x")), says(trial, trial.main, trial.main, "s.a", [T, "Nats-Batch-Id: " + "i" * 65, "Nats-Batch-Sequence: 1"])
    O = "Nats-Trace-Only: 1"
    says(trial, trial.main, trial.main, "s.a", B(1, "Nats-Batch-Commit: 1", O), reply="R"), trial.state("S", "messages"), says(trial, trial.main, trial.main, "s.a", B(1, O), reply="R"), says(trial, trial.main, trial.main, "s.a", B(2, O, "Nats-Batch-Commit: 1"), reply="R"), trial.state("S", "messages")
    says(trial, trial.main, trial.main, "s.a", B(1, O), reply="R"), says(trial, trial.main, trial.main, "s.a", B(2, "Nats-Batch-Commit: 1"), reply="R"), trial.state("S", "messages"), says(trial, trial.main, trial.main, "s.a", B(1), reply="R"), says(trial, trial.main, trial.main, "s.a", B(2, O, "Nats-Batch-Commit: eob"), reply="R"), trial.state("S", "messages")
    says(trial, trial.main, trial.main, "s.a", [PARENTS[0], *B(1)[1:]], reply="R"), says(trial, trial.main, trial.main, "s.a", [PARENTS[0], *B(2, "Nats-Batch-Commit: 1")[1:]], reply="R")
    says(trial, trial.main, trial.main, "s.a", B(1, "Nats-Batch-Commit: 1")), trial.api("STREAM.MSG.GET.S", {"seq": 1}), trial.api("STREAM.MSG.GET.S", {"last_by_subj": "s.a"})
    says(trial, trial.main, trial.main, "s.a", [T], reply="FI.f.2.ok.1.0.$FI"), says(trial, trial.main, trial.main, "s.a", [T, "Nats-Expected-Stream: T"], reply="FI.f.2.ok.2.1.$FI"), says(trial, trial.main, trial.main, "s.a", [T], reply="FI.f.2.ok.9.1.$FI")
    says(trial, trial.main, trial.main, "s.a", [T], reply="FI.f.2.ok.9.4.$FI"), says(trial, trial.main, trial.main, "s.a", [], reply="FI.k.9.ok.1.0.$FI"), says(trial, trial.main, trial.main, "s.a", [T, "Nats-Trace-Only: 1"], reply="FI.k.9.ok.2.1.$FI"), says(trial, trial.main, trial.main, "s.a", [T], reply="FI.g.2.ok.11.1.$FI")
    says(trial, trial.main, trial.main, "s.a", [T], reply="FI.h.2.ok.1.0.$FI"), says(trial, trial.main, trial.main, "s.a", [T], reply="FI.h.2.ok.1.0.$FI"), says(trial, trial.main, trial.main, "s.a", [T], reply="FI.i.2.ok.1.0.$FI"), says(trial, trial.main, trial.main, "s.a", [T], reply="FI.i.2.ok.2.3.$FI"), says(trial, trial.main, trial.main, "s.a", [T], reply="FI.j.2.ok.1.2.$FI")
    says(trial, trial.main, trial.main, "s.a", [T], reply="FI.x.$FI")
    trial.state("S", "messages")


@scenario(conf=MSG_TRACE)
def trace_of_batches_that_are_not_allowed(trial):
    trial.stream(), trial.main.sub("trace.>"), trial.main.sub("FI.>"), trial.main.sub("R"), trial.main.flush()
    says(trial, trial.main, trial.main, "s.a", ["Nats-Trace-Dest: trace.mine", "Nats-Batch-Id: b", "Nats-Batch-Sequence: 1"]), says(trial, trial.main, trial.main, "s.a", ["Nats-Trace-Dest: trace.mine"], reply="FI.f.2.ok.1.0.$FI")


REFUSED = [
    ("expected stream", ["Nats-Expected-Stream: T"], {}), ("last", ["Nats-Expected-Last-Sequence: 9"], {}), ("last no number", ["Nats-Expected-Last-Sequence: x"], {}), ("subject", ["Nats-Expected-Last-Subject-Sequence: 9"], {}), ("filter", ["Nats-Expected-Last-Subject-Sequence-Subject: s.a"], {}),
    ("filter and subject", ["Nats-Expected-Last-Subject-Sequence-Subject: s.*", "Nats-Expected-Last-Subject-Sequence: 9"], {}), ("last msg id", ["Nats-Expected-Last-Msg-Id: x"], {}), ("duplicate", ["Nats-Msg-Id: i"], {}), ("ttl", ["Nats-TTL: 5s"], {}), ("ttl invalid", ["Nats-TTL: x"], dict(allow_msg_ttl=True)),
    ("rollup denied", ["Nats-Rollup: sub"], {}), ("rollup invalid", ["Nats-Rollup: x"], dict(allow_rollup_hdrs=True)), ("increment", ["Nats-Incr: 1"], {}), ("increment invalid", ["Nats-Incr: x"], {}), ("increment payload", ["Nats-Incr: 1"], dict(allow_msg_counter=True)), ("increment missing", [], dict(allow_msg_counter=True)),
    ("schedule", ["Nats-Schedule: @at x"], {}), ("schedule invalid", ["Nats-Schedule: @at x"], dict(allow_msg_schedules=True, allow_msg_ttl=True)), ("schedule target", ["Nats-Schedule: @at 2099-01-01T00:00:00Z"], dict(allow_msg_schedules=True, allow_msg_ttl=True)), ("source", ["Nats-Stream-Source: x"], {}), ("size", ["X: " + "y" * 300], dict(max_msg_size=200)), ("header size", ["X: " + "y" * 70000], {}),
    ("max msgs", [], dict(max_msgs=1, discard="new")), ("max bytes", [], dict(max_bytes=100, discard="new")), ("max per subject", [], dict(max_msgs=10, max_msgs_per_subject=1, discard="new", discard_new_per_subject=True)), ("sealed", [], dict(sealed_later=True)), ("no interest", [], dict(retention="interest")), ("scheduler", ["Nats-Scheduler: s.x"], {}), ("object", [], dict(max_msgs_per_subject=2)),
    ("last and subject", ["Nats-Expected-Last-Sequence: 9", "Nats-Expected-Last-Subject-Sequence: 8"], {}), ("no ack", ["Nats-Expected-Stream: T"], dict(no_ack=True)), ("memory last", ["Nats-Expected-Last-Sequence: 9"], dict(storage="memory")), ("required level", ["Nats-Required-Api-Level: 99"], {}),
]


def refused(trial, name, lines, config):
    config = dict(config)
    is_sealed = config.pop("sealed_later", False)
    trial.stream(**config)
    trial.main.sub("trace.>"), trial.main.sub("R"), trial.main.flush()
    for block in ({"Nats-Msg-Id": "i", **({"Nats-Incr": "1"} if config.get("allow_msg_counter") else {})},):
        trial.main.request("s.a", b"" if config.get("allow_msg_counter") else b"one", block, timeout=0.3)
    if is_sealed:
        trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], "sealed": True, **config}, keep=())
    says(trial, trial.main, trial.main, "s.a", ["Nats-Trace-Dest: trace.mine", *lines], reply="R"), says(trial, trial.main, trial.main, "s.a", ["Nats-Trace-Dest: trace.mine", "Nats-Trace-Only: true", *lines], reply="R")
    trial.state("S", "messages")


table("trace refused", REFUSED, refused)


@scenario()
def trace_on_streams_of_others(trial):
    """What a mirror, a source and a republish make of it; consumers."""
    trial.stream("O", subjects=["o.>"], republish={"src": "o.>", "dest": "r.>"}), trial.stream("M", subjects=None, mirror={"name": "O"}), trial.stream("P", subjects=["p.>"], sources=[{"name": "O"}])
    trial.main.sub("trace.>"), trial.main.sub("r.>"), trial.main.flush()
    says(trial, trial.main, trial.main, "o.a", ["Nats-Trace-Dest: trace.mine"], reply="R")
    for name in "MP":
        trial.until(lambda: trial.main.api(f"STREAM.INFO.{name}")["state"]["messages"] == 1)
        trial.note(trial.main.api(f"STREAM.MSG.GET.{name}", {"seq": 1})["message"]["subject"])


@scenario()
def trace_where_two_streams_and_others_hear(trial):
    wire = trial.wire({"name": "other"})
    trial.stream("S", subjects=["s.*"]), trial.main.sub("s.>"), wire.sub("s.a", "g"), wire.flush(), trial.main.sub("trace.>"), trial.main.flush()
    for only in ((), ("Nats-Trace-Only: true",)):
        says(trial, trial.main, trial.main, "s.a", ["Nats-Trace-Dest: trace.mine", *only], reply="R"), trial.quiet(wire)


def refused_batch(trial, name, steps, before, config):
    trial.stream(**{"allow_atomic": True, **config}), trial.main.sub("trace.>"), trial.main.sub("R"), trial.main.flush()
    for subject, headers in before:
        trial.main.request(subject, b"before", {k.replace("_", "-"): v for k, v in headers.items()} or None)
    for i, (subject, headers, *data) in enumerate(steps):
        commit = ["Nats-Batch-Commit: 1"] if i == len(steps) - 1 else []
        says(trial, trial.main, trial.main, subject, ["Nats-Trace-Dest: trace.mine", "Nats-Batch-Id: b", f"Nats-Batch-Sequence: {i + 1}", *commit, *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())], *data, reply="R")


table("trace batch", batch_scenarios.rows(), refused_batch)

LIMITED = """
accounts { A { jetstream: {max_file: 500, max_mem: 300}, users [{user: a, password: a}] } }
no_auth_user: a
"""


@scenario(conf=LIMITED)
def trace_of_a_full_account(trial):
    trial.stream(allow_atomic=True), trial.stream("I", retention="interest"), trial.main.sub("trace.>"), trial.main.sub("R"), trial.main.flush()
    for _ in range(3):
        trial.main.request("s.a", b"x" * 300)
    for only in ((), ("Nats-Trace-Only: 1",)):
        says(trial, trial.main, trial.main, "s.a", ["Nats-Trace-Dest: trace.mine", *only], "x" * 600, reply="R"), says(trial, trial.main, trial.main, "i.a", ["Nats-Trace-Dest: trace.mine", *only], "x" * 600, reply="R")
        says(trial, trial.main, trial.main, "s.a", ["Nats-Trace-Dest: trace.mine", "Nats-Batch-Id: b", "Nats-Batch-Sequence: 1", "Nats-Batch-Commit: 1", *only], "x" * 600, reply="R")


@scenario(conf=MSG_TRACE)
def trace_with_a_reserved_reply(trial):
    trial.main.sub("trace.>"), trial.main.flush()
    for reply in ("_R_.x", "$GR.aaaaaaaaaaaaaaaaa", "a.*"):
        says(trial, trial.main, trial.main, "x.a", ["Nats-Trace-Dest: trace.mine"], reply=reply)


@scenario(conf='accounts { A { users [{user: a, password: a}], msg_trace: {dest: t, sampling: 1} } }\nno_auth_user: a\n')
def trace_that_is_not_sampled(trial):
    """One of a hundred is: what the others look like."""
    trial.main.sub("x.*"), trial.main.flush()
    for headers in ({"traceparent": SAMPLED}, {"A": "1", "traceparent": SAMPLED, "B": "2"}, {"Nats-Trace-Dest": "", "traceparent": SAMPLED, "B": "2"}):
        seen = set()
        for _ in range(20):
            trial.main.pub("x.y", b"hi", headers=headers)
            seen.add(trial.main.take(lambda op: getattr(op, "subject", "") == "x.y").headers)
        trial.note(sorted(seen, key=len)[-1])


@scenario(conf=MSG_TRACE)
def trace_that_other_servers_would_mark(trial):
    trial.main.sub("x.*"), trial.main.sub("trace.>"), trial.main.flush()
    for lines in (["Nats-Trace-Hop: 1"], ["Nats-Trace-Origin-Account: A"], ["Nats-Trace-Origin-Account: Q", "Other: 1"], ["Nats-Trace-Origin-Account: "]):
        says(trial, trial.main, trial.main, "x.a", ["Nats-Trace-Dest: trace.mine", *lines]), says(trial, trial.main, trial.main, "x.a", [PARENTS[0], *lines])
