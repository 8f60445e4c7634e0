"""Increments in batches, atomic and fast ones."""
import base64
import re
from oracle import scenario, table
from batch_scenarios import came, fast, member, messages


def inc(value, **more):
    return {"Nats_Incr": value, **more}


ID, INCR = "Nats_Msg_Id", "Nats_Incr"


def counted(trial, steps, before=(), **config):
    """Each step: subject, headers, data. The last one commits."""
    trial.stream(allow_atomic=True, allow_msg_counter=True, allow_direct=True, **config)
    trial.main.sub("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>"), trial.main.flush()
    for subject, headers in before:
        trial.request(subject, b"", {k.replace("_", "-"): v for k, v in headers.items()})
    for i, (subject, headers, *data) in enumerate(steps):
        member(trial, "b", i + 1, subject, *(data or [""]), commit="1" if i == len(steps) - 1 else None, **headers)
    trial.quiet()
    messages(trial)
    for subject in ("s.a", "s.b", "s.z"):
        trial.request(subject, b"", {"Nats-Incr": "1"})


A, B = ("s.a", inc("1")), ("s.b", inc("2"))
table("counter batch", [
    ("one", [A], (), {}), ("two subjects", [A, B], (), {}), ("one subject", [("s.a", inc("1")), ("s.a", inc("2")), ("s.a", inc("-10"))], (), {}),
    ("on top", [("s.a", inc("1")), ("s.b", inc("5")), ("s.a", inc("2"))], [("s.a", inc("100")), ("s.b", inc("-7"))], {}), ("memory", [A, B, A], [A], dict(storage="memory")),
    ("large numbers", [("s.a", inc("99999999999999999999999999")), ("s.a", inc("1")), ("s.a", inc("-100000000000000000000000000"))], (), {}),
    ("missing", [A, ("s.b", {})], (), {}), ("missing first", [("s.a", {}), B], (), {}), ("empty", [A, ("s.b", inc(""))], (), {}), ("payload", [A, ("s.b", inc("1"), "x")], (), {}), ("payload first", [("s.b", inc("1"), "x"), A], (), {}),
    ("no number", [A, ("s.b", inc("x"))], (), {}), ("no number first", [("s.b", inc("1.5")), A], (), {}), ("payload and no number", [A, ("s.b", inc("x"), "x")], (), {}),
    ("expected stream", [A, ("s.b", inc("1", Nats_Expected_Stream="S"))], (), {}), ("expected last", [("s.a", inc("1", Nats_Expected_Last_Sequence="0")), B], (), {}), ("expected subject", [("s.a", inc("1", Nats_Expected_Last_Subject_Sequence="0")), B], (), {}),
    ("expected msg id", [("s.a", inc("1", Nats_Expected_Last_Msg_Id="x")), B], (), {}), ("rollup", [A, ("s.b", inc("1", Nats_Rollup="sub"))], (), {}), ("ttl", [A, ("s.b", inc("1", Nats_TTL="5s"))], (), {}), ("missing and expected", [A, ("s.b", dict(Nats_Expected_Last_Sequence="9"))], (), {}),
    ("source", [A, ("s.b", inc("1", Nats_Stream_Source="x"))], (), {}), ("msg ids", [("s.a", inc("1", Nats_Msg_Id="1")), ("s.a", inc("1", Nats_Msg_Id="2"))], (), {}), ("msg id twice", [("s.a", inc("1", Nats_Msg_Id="1")), ("s.b", inc("1", Nats_Msg_Id="1"))], (), {}),
    ("msg id known", [("s.a", inc("1", Nats_Msg_Id="1")), B], [("s.a", inc("1", Nats_Msg_Id="1"))], {}), ("headers", [("s.a", inc("1", Other="x")), ("s.a", inc("1", Nats_Counter_Sources='{"K":{"k":"2"}}')), ("s.a", inc("3"))], (), {}),
    ("republish", [A, B], (), dict(republish={"src": "s.>", "dest": "r.>"})), ("per subject", [A, A, B, A], [A, B], dict(max_msgs_per_subject=1)), ("max msgs", [A, A, B, A], [A, B], dict(max_msgs=2)), ("transform", [A, B], (), dict(subject_transform={"src": "s.*", "dest": "t.$1"})),
    ("no ack", [A, B], (), dict(no_ack=True)), ("large", [A, ("s.b", inc("1", Long="y" * 300))], (), dict(max_msg_size=200)), ("size of the sum", [("s.a", inc("9" * 60)), ("s.a", inc("9" * 60))], (), dict(max_msg_size=200)), ("schedule", [A, ("s.b", inc("1", Nats_Schedule="@at x"))], (), {}),
]+ [(f"missing and {name}", [A, ("s.b", headers)], before, {}) for name, headers, before in [
    ("stream", dict(Nats_Expected_Stream="T"), ()), ("ttl", dict(Nats_TTL="5s"), ()), ("bad ttl", dict(Nats_TTL="x"), ()), ("subject", dict(Nats_Expected_Last_Subject_Sequence="9"), ()), ("filter", dict(Nats_Expected_Last_Subject_Sequence_Subject="s.z"), ()),
    ("msg id twice", dict(Nats_Msg_Id="1"), [("s.a", inc("1", Nats_Msg_Id="1"))]), ("rollup", dict(Nats_Rollup="sub"), ()), ("schedule", dict(Nats_Schedule="@at x"), ()), ("source", dict(Nats_Stream_Source="x"), ()), ("size", dict(Long="y" * 70000), ()),
    ("last msg id", dict(Nats_Expected_Last_Msg_Id="x"), ())]] +
    [(f"msg id and {name}", [A, ("s.b", {"Nats_Expected_Last_Msg_Id": "x", **headers}, *data)], before, {}) for name, headers, data, before in [
    ("no number", inc("x"), (), ()), ("stream", inc("1", Nats_Expected_Stream="T"), (), ()), ("payload", inc("1"), ("x",), ()), ("msg id twice", inc("1", Nats_Msg_Id="1"), (), [("s.a", inc("1", Nats_Msg_Id="1"))])]],
lambda trial, name, steps, before, config: counted(trial, steps, before, **config))


@scenario()
def counter_batch_to_the_end(trial):
    trial.stream(allow_atomic=True, allow_msg_counter=True)
    for seq in (1, 2):
        member(trial, "b", seq, "s.a", "", **inc(str(seq)))
    member(trial, "b", 3, "s.a", "", commit="eob", **inc("9"))
    member(trial, "c", 1, "s.a", "", **inc("1")), member(trial, "c", 2, "s.b", "x", commit="eob"), messages(trial)


@scenario()
def counter_batches_between_others(trial):
    trial.stream(allow_atomic=True, allow_msg_counter=True)
    member(trial, "b", 1, "s.a", "", **inc("1")), trial.request("s.a", b"", {"Nats-Incr": "10"}), member(trial, "c", 1, "s.a", "", **inc("100"))
    member(trial, "c", 2, "s.a", "", commit="1", **inc("1000")), trial.request("s.a", b"", {"Nats-Incr": "10000"}), member(trial, "b", 2, "s.a", "", commit="1", **inc("2"))
    trial.api("STREAM.MSG.DELETE.S", {"seq": 6}), member(trial, "d", 1, "s.a", "", commit="1", **inc("5")), messages(trial)
    trial.api("STREAM.PURGE.S", {"filter": "s.a"}), member(trial, "e", 1, "s.a", "", commit="1", **inc("5")), messages(trial)


@scenario()
def counter_batch_pipelined(trial):
    """Batches and single increments of one subject, all in flight together."""
    trial.stream(allow_atomic=True, allow_msg_counter=True)
    inbox = trial.main.new_inbox()
    for n in range(40):
        for seq in (1, 2, 3):
            trial.main.pub("s.a", "", inbox if seq == 3 else None, {"Nats-Incr": str(n + seq), "Nats-Batch-Id": f"b{n}", "Nats-Batch-Sequence": str(seq), **({"Nats-Batch-Commit": "1"} if seq == 3 else {})})
        trial.main.pub("s.a" if n % 2 else "s.b", "", inbox, {"Nats-Incr": str(-n)})
    for _ in range(80):
        trial.note("got", trial.main.take(lambda op: getattr(op, "subject", "") == inbox, timeout=5))
    trial.request("s.a", b"", {"Nats-Incr": "0"}), trial.request("s.b", b"", {"Nats-Incr": "0"}), trial.state("S", "messages", "last_seq")


@scenario()
def counter_batch_into_other_streams(trial):
    """A counter stream that takes from one that was written by batches."""
    def filled(count):
        trial.until(lambda: trial.main.api("STREAM.INFO.S")["state"]["messages"] == count)
    trial.stream("O", subjects=["o.>"], allow_atomic=True, allow_msg_counter=True)
    trial.stream("S", subjects=["s.>"], allow_msg_counter=True, allow_atomic=True, sources=[{"name": "O", "subject_transforms": [{"src": "o.>", "dest": "s.>"}]}])
    for batch, subject, first, second, count in (("b", "o.a", "3", "4", 2), ("c", "s.a", "100", "1000", 4), ("d", "o.a", "1", "-2", 6)):
        member(trial, batch, 1, subject, "", reply=False, **inc(first)), member(trial, batch, 2, subject, "", reply=False, commit="1", **inc(second)), filled(count)
    for seq in range(1, 7):
        message = trial.main.api("STREAM.MSG.GET.S", {"seq": seq})["message"]
        headers = base64.b64decode(message["hdrs"]).decode()
        trial.note(seq, re.sub(r"(Source: O .*) \w{8}\r", r"\1 <id>\r", headers), message["data"])
    trial.state("S", "messages", "last_seq")


def counted_fast(trial, name, steps, config):
    trial.stream(allow_batched=True, allow_msg_counter=True, **config)
    for step in steps:
        options = {"data": "", **(step[4] if len(step) > 4 else {})}
        options["headers"] = {k.replace("_", "-"): v for k, v in options.get("headers", {}).items()} or None
        fast(trial, *step[:4], **options, answers=None)
        trial.note(*came(trial) or ["nothing"])
    messages(trial)
    trial.request("s.a", b"", {"Nats-Incr": "1"})


def H(value, **more):
    return {"headers": inc(value, **more)}


table("counter fast", [
    ("some", [(2, "fail", 1, 0, H("1"))] + [(2, "fail", n, 1, H(str(n))) for n in range(2, 7)] + [(2, "fail", 7, 2, H("-1"))], {}), ("one", [(5, "fail", 1, 2, H("5"))], {}), ("end", [(5, "fail", 1, 0, H("5")), (5, "fail", 2, 3)], {}),
    ("missing", [(3, "ok", 1, 0, H("1")), (3, "ok", 2, 1), (3, "ok", 3, 1, H("2")), (3, "ok", 4, 2, H("3"))], {}), ("missing fail", [(3, "fail", 1, 0, H("1")), (3, "fail", 2, 1), (3, "fail", 3, 1, H("2"))], {}), ("missing start", [(3, "fail", 1, 0), (3, "fail", 2, 1, H("1"))], {}),
    ("payload", [(3, "ok", 1, 0, H("1")), (3, "ok", 2, 1, {"data": "x", **H("1")}), (3, "ok", 3, 2, H("2"))], {}), ("no number", [(3, "ok", 1, 0, H("1")), (3, "ok", 2, 1, H("x")), (3, "ok", 3, 2, H("2"))], {}),
    ("expected", [(3, "ok", 1, 0, H("1")), (3, "ok", 2, 1, H("1", Nats_Expected_Last_Sequence="1")), (3, "ok", 3, 2, H("2"))], {}), ("duplicate", [(3, "ok", 1, 0, H("1", Nats_Msg_Id="1")), (3, "ok", 2, 1, H("1", Nats_Msg_Id="1")), (3, "ok", 3, 2, H("2"))], {}),
    ("per subject", [(3, "ok", 1, 0, H("1")), (3, "ok", 2, 1, H("1")), (3, "ok", 3, 2, H("2"))], dict(max_msgs_per_subject=1)), ("memory", [(3, "ok", 1, 0, H("1")), (3, "ok", 2, 1, H("1")), (3, "ok", 3, 2, H("2"))], dict(storage="memory")), ("refused commit", [(3, "ok", 1, 0, H("1")), (3, "ok", 2, 2)], {}),
], counted_fast)


@scenario()
def counter_fast_pipelined(trial):
    trial.stream(allow_batched=True, allow_msg_counter=True)
    trial.main.sub("FI.>"), trial.main.flush()
    for n in range(1, 100):
        trial.main.pub("s.a", b"", f"FI.f.500.ok.{n}.{0 if n == 1 else 1}.$FI", {"Nats-Incr": str(n)})
        if n % 10 == 0:
            trial.main.pub("s.a", b"", None, {"Nats-Incr": "1000"})
    trial.main.pub("s.a", b"", "FI.f.500.ok.100.2.$FI", {"Nats-Incr": "100"})
    trial.note(trial.main.take(lambda op: '"batch"' in getattr(op, "data", b"").decode(), timeout=5))
    trial.request("s.a", b"", {"Nats-Incr": "0"}), trial.state("S", "messages", "last_seq")
