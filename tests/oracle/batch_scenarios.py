"""Atomic batches: all or nothing."""
import re
from oracle import scenario, table

ATOMIC = {"allow_atomic": True}


def member(trial, batch, seq, subject="s.a", data="x", commit=None, reply=True, **headers):
    block = {} if batch is None else {"Nats-Batch-Id": batch}
    if seq is not None:
        block["Nats-Batch-Sequence"] = str(seq)
    if commit is not None:
        block["Nats-Batch-Commit"] = commit
    block.update({k.replace("_", "-"): v for k, v in headers.items()})
    if reply:
        return trial.request(subject, data.encode(), block, timeout=2)
    trial.main.pub(subject, data, None, block)


def messages(trial, stream="S"):
    last = trial.main.api(f"STREAM.INFO.{stream}")["state"]["last_seq"]
    for seq in range(1, last + 1):
        reply = trial.main.api(f"STREAM.MSG.GET.{stream}", {"seq": seq})
        trial.note(seq, {k: v for k, v in reply.get("message", reply).items() if k != "time"})
    trial.state(stream, "messages", "bytes", "first_seq", "last_seq", "num_subjects")


@scenario()
def batch_commit_one(trial):
    trial.stream(**ATOMIC)
    trial.publish("s.z", b"before")
    for seq in (1, 2):
        member(trial, "b1", seq, f"s.{seq}", f"m{seq}")
    member(trial, "b1", 3, "s.3", "m3", commit="1")
    member(trial, "b1", 4, "s.4")
    messages(trial)


@scenario()
def batch_commit_eob(trial):
    trial.stream(**ATOMIC)
    member(trial, "b1", 1, "s.1", "m1")
    member(trial, "b1", 2, "s.2", "m2", commit="eob")
    member(trial, "b2", 1, "s.1", "m1", reply=False)
    member(trial, "b2", 2, "s.2", "m2", reply=False)
    member(trial, "b2", 3, "s.2", "m2", commit="eob")
    messages(trial)


@scenario()
def batch_memory_stream(trial):
    trial.stream(**ATOMIC, storage="memory")
    member(trial, "b1", 1, "s.1", "m1"), member(trial, "b1", 2, "s.2", "m2"), member(trial, "b1", 3, "s.2", "m2", commit="eob")
    messages(trial)


@scenario()
def batch_interleaved(trial):
    trial.stream(**ATOMIC)
    member(trial, "b1", 1, "s.1", "b1.1"), trial.request("s.p", b"plain"), member(trial, "b2", 1, "s.2", "b2.1")
    member(trial, "b1", 2, "s.1", "b1.2"), trial.request("s.p", b"plain"), member(trial, "b2", 2, "s.2", "b2.2", commit="1")
    member(trial, "b1", 3, "s.1", "b1.3", commit="1")
    messages(trial)


def at_once(trial, steps, **config):
    trial.stream(**{**ATOMIC, **config})
    trial.main.sub("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>")
    trial.main.flush()
    for step in steps:
        batch, seq, commit, headers = (list(step) + [None, {}])[:4] if len(step) < 4 else step
        member(trial, batch, seq, commit=commit, **(headers or {}))
    trial.quiet()
    messages(trial)


table("batch at once", [
    ("disabled", [("b", 1, "1")], dict(allow_atomic=False)), ("id of 64", [("b" * 64, 1, "1")], {}), ("id of 65", [("b" * 65, 1, "1")], {}), ("empty id", [("", 1)], {}),
    ("no sequence", [("b", None)], {}), ("no number", [("b", "x")], {}), ("empty sequence", [("b", "")], {}), ("negative", [("b", "-1")], {}), ("sequence 0", [("b", 0)], {}),
    ("plus", [("b", "+1", "1")], {}), ("leading zero", [("b", "01", "1")], {}), ("sequence over 64 bits", [("b", "99999999999999999999999", "1")], {}),
    ("gap", [("b", 1), ("b", 3), ("b", 2)], {}), ("repeat", [("b", 1), ("b", 1), ("b", 2)], {}), ("unknown", [("b", 2)], {}), ("zero when open", [("b", 1), ("b", 0), ("b", 2)], {}),
    ("missing sequence when open", [("b", 1), ("b", None), ("b", 2, "1")], {}), ("no number when open", [("b", 1), ("b", "x"), ("b", 2, "1")], {}),
    ("commit of nothing known", [("b", 1, "2")], {}), ("commit empty", [("b", 1), ("b", 2, "")], {}), ("commit word", [("b", 1), ("b", 2, "yes"), ("b", 2, "1")], {}),
    ("commit with gap and word", [("b", 1), ("b", 3, "yes"), ("b", 2, "1")], {}), ("commit case", [("b", 1), ("b", 2, "EOB")], {}),
    ("eob first", [("b", 1, "eob"), ("b", 2)], {}), ("one", [("b", 1, "1")], {}), ("twice", [("b", 1, "1"), ("b", 1, "1")], {}),
    ("level", [("b", 1, None, {"Nats_Required_Api_Level": "9"}), ("b", 2, "1")], {}), ("level later", [("b", 1), ("b", 2, None, {"Nats_Required_Api_Level": "9"}), ("b", 3, "1")], {}),
    ("level good", [("b", 1, "1", {"Nats_Required_Api_Level": "2"})], {}), ("level no number", [("b", 1, "1", {"Nats_Required_Api_Level": "x"})], {}), ("level empty", [("b", 1, "1", {"Nats_Required_Api_Level": ""})], {}),
    ("level negative", [("b", 1, "1", {"Nats_Required_Api_Level": "-1"})], {}), ("level on gap", [("b", 1), ("b", 3, None, {"Nats_Required_Api_Level": "9"})], {}), ("level unknown batch", [("b", 2, None, {"Nats_Required_Api_Level": "9"})], {}),
    ("disabled and large", [("b", 1, "1", {"Nats_Long": "x" * 500})], dict(allow_atomic=False, max_msg_size=100)), ("large at once", [("b", 1, None, {"Nats_Long": "x" * 500}), ("b", 1), ("b", 2, None, {"Nats_Long": "x" * 500}), ("b", 2), ("b", 3, "1")], dict(max_msg_size=100)),
    ("level and commit word", [("b", 1, "x", {"Nats_Required_Api_Level": "9"})], {}),
], lambda trial, name, steps, config: at_once(trial, steps, **config))


def at_commit(trial, steps, before=(), **config):
    """Each step: subject, headers. The last one commits."""
    trial.stream(**{**ATOMIC, **config})
    trial.main.sub("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>")
    trial.main.flush()
    for subject, headers in before:
        trial.request(subject, b"before", {k.replace("_", "-"): v for k, v in headers.items()} or None)
    for i, (subject, headers, *data) in enumerate(steps):
        member(trial, "b", i + 1, subject, *data, commit="1" if i == len(steps) - 1 else None, **headers)
    trial.quiet()
    messages(trial)


TWO = [("s.a", {}), ("s.b", {})]
LAST, SUBJECT, FILTER, ID, ROLLUP, TTL = ("Nats_Expected_Last_Sequence", "Nats_Expected_Last_Subject_Sequence", "Nats_Expected_Last_Subject_Sequence_Subject",
                                         "Nats_Msg_Id", "Nats_Rollup", "Nats_TTL")


def rows():
    def row(name, steps, before=(), **config):
        return (name, steps, before, config)
    return [
        row("expected stream", [("s.a", {}), ("s.b", {"Nats_Expected_Stream": "T"})]), row("expected stream good", [("s.a", {}), ("s.b", {"Nats_Expected_Stream": "S"})]),
        row("ttl disabled", [("s.a", {}), ("s.b", {TTL: "5"})]), row("ttl invalid", [("s.a", {}), ("s.b", {TTL: "x"})], allow_msg_ttl=True), row("ttl", [("s.a", {}), ("s.b", {TTL: "60"})], allow_msg_ttl=True),
        row("counter", [("s.a", {}), ("s.b", {"Nats_Incr": "1"})]), row("source", [("s.a", {}), ("s.b", {"Nats_Stream_Source": "x"})]), row("size", [("s.a", {}), ("s.b", {}, "y" * 600)], max_msg_size=500),
        row("schedule", [("s.a", {}), ("s.b", {"Nats_Schedule": "@at x"})]), row("scheduler", [("s.a", {}), ("s.b", {"Nats_Scheduler": "s.x"})]),
        row("last msg id", [("s.a", {}), ("s.b", {"Nats_Expected_Last_Msg_Id": "x"})]), row("last msg id first", [("s.a", {"Nats_Expected_Last_Msg_Id": "x"}), ("s.b", {})], [("s.a", {ID: "x"})]),
        row("msg ids", [("s.a", {ID: "1"}), ("s.b", {ID: "2"})]), row("msg id twice", [("s.a", {ID: "1"}), ("s.b", {ID: "1"})]), row("msg id known", [("s.a", {}), ("s.b", {ID: "1"})], [("s.a", {ID: "1"})]),
        row("msg id without window", [("s.a", {ID: "1"}), ("s.b", {ID: "1"})], duplicate_window=0),
        row("last first", [("s.a", {LAST: "1"}), ("s.b", {})], [("s.z", {})]), row("last first wrong", [("s.a", {LAST: "2"}), ("s.b", {})], [("s.z", {})]),
        row("last later", [("s.a", {}), ("s.b", {LAST: "2"})], [("s.z", {})]), row("last later before", [("s.a", {}), ("s.b", {LAST: "1"})], [("s.z", {})]), row("last later wrong", [("s.a", {}), ("s.b", {LAST: "9"})], [("s.z", {})]),
        row("last third", [("s.a", {}), ("s.b", {}), ("s.c", {LAST: "3"})], [("s.z", {})]), row("last on both", [("s.a", {LAST: "1"}), ("s.b", {LAST: "2"})], [("s.z", {})]), row("last no number", [("s.a", {LAST: "x"}), ("s.b", {})]),
        row("subject", [("s.a", {SUBJECT: "1"}), ("s.b", {SUBJECT: "0"})], [("s.a", {})]), row("subject wrong", [("s.a", {SUBJECT: "0"}), ("s.b", {})], [("s.a", {})]), row("subject twice", [("s.a", {}), ("s.a", {SUBJECT: "2"})], [("s.a", {})]),
        row("subject twice old", [("s.a", {}), ("s.a", {SUBJECT: "1"})], [("s.a", {})]), row("subject twice both", [("s.a", {SUBJECT: "1"}), ("s.a", {SUBJECT: "1"})], [("s.a", {})]), row("subject then none", [("s.a", {SUBJECT: "1"}), ("s.a", {})], [("s.a", {})]),
        row("subject twice wrong", [("s.a", {}), ("s.a", {SUBJECT: "9"})], [("s.a", {})]),
        row("filter", [("s.a", {}), ("s.b", {SUBJECT: "1", FILTER: "s.z"})], [("s.z", {})]), row("filter wild", [("s.a", {}), ("s.b", {SUBJECT: "1", FILTER: "s.*"})], [("s.z", {})]), row("filter wild new", [("s.a", {}), ("s.b", {SUBJECT: "2", FILTER: "s.*"})], [("s.z", {})]),
        row("filter of earlier", [("s.a", {}), ("s.b", {SUBJECT: "0", FILTER: "s.a"})]), row("filter written later", [("s.a", {SUBJECT: "0", FILTER: "s.b"}), ("s.b", {})]), row("filter twice", [("s.a", {SUBJECT: "1", FILTER: "s.z"}), ("s.b", {SUBJECT: "1", FILTER: "s.z"})], [("s.z", {})]),
        row("filter twice different", [("s.a", {SUBJECT: "1", FILTER: "s.z"}), ("s.b", {SUBJECT: "2", FILTER: "s.z"})], [("s.z", {})]),
        row("filter alone", [("s.a", {}), ("s.b", {FILTER: "s.z"})], [("s.z", {})]), row("filter then its subject expects", [("s.a", {SUBJECT: "1", FILTER: "s.z"}), ("s.z", {SUBJECT: "1"})], [("s.z", {})]),
        row("filter then its subject", [("s.a", {SUBJECT: "1", FILTER: "s.z"}), ("s.z", {})], [("s.z", {})]), row("filter wild twice", [("s.a", {SUBJECT: "1", FILTER: "s.>"}), ("s.b", {SUBJECT: "1", FILTER: "s.>"})], [("s.z", {})]),
        row("rollup denied", [("s.a", {}), ("s.b", {ROLLUP: "sub"})]), row("rollup bad", [("s.a", {}), ("s.b", {ROLLUP: "x"})], allow_rollup_hdrs=True), row("rollup sub", [("s.a", {}), ("s.b", {ROLLUP: "sub"})], [("s.b", {}), ("s.a", {})], allow_rollup_hdrs=True),
        row("rollup sub earlier", [("s.a", {}), ("s.a", {ROLLUP: "sub"})], allow_rollup_hdrs=True), row("rollup sub twice", [("s.a", {ROLLUP: "sub"}), ("s.a", {ROLLUP: "sub"})], allow_rollup_hdrs=True), row("rollup sub first", [("s.a", {ROLLUP: "sub"}), ("s.a", {})], [("s.a", {})], allow_rollup_hdrs=True),
        row("rollup all first", [("s.a", {ROLLUP: "all"}), ("s.b", {})], [("s.z", {})], allow_rollup_hdrs=True), row("rollup all later", [("s.a", {}), ("s.b", {ROLLUP: "all"})], [("s.z", {})], allow_rollup_hdrs=True), row("rollup sub case", [("s.a", {}), ("s.a", {ROLLUP: "SUB"})], allow_rollup_hdrs=True),
        row("max msgs old", TWO, [("s.z", {}), ("s.y", {})], max_msgs=3), row("max msgs old small", TWO, [("s.z", {})], max_msgs=1), row("max msgs new", TWO, [("s.z", {}), ("s.y", {})], max_msgs=3, discard="new"), row("max msgs new fits", TWO, [("s.z", {}), ("s.y", {})], max_msgs=4, discard="new"),
        row("max bytes new", TWO, [("s.z", {}), ("s.y", {})], max_bytes=250, discard="new"), row("max bytes new fits", TWO, [("s.z", {})], max_bytes=350, discard="new"), row("max bytes old", TWO, [("s.z", {})], max_bytes=150),
        row("per subject", [("s.a", {}), ("s.a", {})], [("s.a", {}), ("s.b", {})], max_msgs_per_subject=1), row("per subject new", [("s.a", {}), ("s.a", {})], max_msgs_per_subject=1, discard="new", discard_new_per_subject=True),
        row("per subject new full", [("s.b", {}), ("s.a", {})], [("s.a", {})], max_msgs_per_subject=1, discard="new", discard_new_per_subject=True), row("per subject max msgs", [("s.a", {}), ("s.b", {})], [("s.a", {}), ("s.b", {})], max_msgs_per_subject=1, max_msgs=2, discard="new"),
        row("per subject max msgs again", [("s.c", {}), ("s.c", {})], [("s.a", {})], max_msgs_per_subject=1, max_msgs=2, discard="new"),
        row("no interest", TWO, retention="interest"), row("work queue", TWO, retention="workqueue"), row("markers", [("s.a", {TTL: "60"}), ("s.b", {})], subject_delete_marker_ttl=120_000_000_000, allow_msg_ttl=True, allow_rollup_hdrs=True),
        row("order of errors", [("s.a", {LAST: "9", SUBJECT: "8"}), ("s.b", {})]), row("order of errors msg id", [("s.a", {ID: "1"}), ("s.b", {ID: "1", LAST: "9"})]), row("first error counts", [("s.a", {}), ("s.b", {LAST: "9"}), ("s.c", {TTL: "5"})]),
        row("source and last", [("s.a", {}), ("s.b", {"Nats_Stream_Source": "x", LAST: "9"})]), row("source and subject", [("s.a", {}), ("s.b", {"Nats_Stream_Source": "x", SUBJECT: "9"})]), row("source and schedule", [("s.a", {}), ("s.b", {"Nats_Stream_Source": "x", "Nats_Schedule": "@at x"})]),
        row("msg id and source", [("s.a", {ID: "1"}), ("s.b", {"Nats_Stream_Source": "x", ID: "1"})]), row("last msg id and stream", [("s.a", {}), ("s.b", {"Nats_Expected_Last_Msg_Id": "x", "Nats_Expected_Stream": "T"})]), row("last msg id and ttl", [("s.a", {}), ("s.b", {"Nats_Expected_Last_Msg_Id": "x", TTL: "5"})]),
        row("ttl invalid and disabled", [("s.a", {}), ("s.b", {TTL: "x"})]), row("ttl invalid and last", [("s.a", {}), ("s.b", {TTL: "x", LAST: "9"})], allow_msg_ttl=True), row("ttl zero and disabled", [("s.a", {}), ("s.b", {TTL: "0"})]), row("ttl empty and disabled", [("s.a", {}), ("s.b", {TTL: ""})]),
        row("transform", TWO, subject_transform={"src": "s.*", "dest": "t.$1"}), row("first seq", TWO, first_seq=100), row("no ack", TWO, no_ack=True),
    ]


table("batch at commit", rows(), lambda trial, name, steps, before, config: at_commit(trial, steps, before, **config))


@scenario()
def batch_of_1000_and_1001(trial):
    trial.stream(**ATOMIC)
    trial.main.sub("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>")
    for batch, count in (("b", 1000), ("c", 1001)):
        for seq in range(1, count):
            member(trial, batch, seq, reply=False)
        member(trial, batch, count, commit="1")
    for seq in range(1, 1001):
        member(trial, "d", seq, reply=False)
    member(trial, "d", 1001, commit="eob")
    trial.quiet()
    trial.state("S", "messages", "last_seq")


@scenario()
def batch_too_many_open(trial):
    trial.stream(**ATOMIC)
    for i in range(51):
        member(trial, f"b{i}", 1)
    member(trial, "b7", 2, commit="1"), member(trial, "b51", 1), member(trial, "b52", 1)
    member(trial, "b53", 1, commit="1")
    trial.state("S", "messages", "last_seq")


@scenario(conf="jetstream { limits { batch { max_inflight_per_stream: 2, max_inflight_total: 3, max_msgs: 3, timeout: 300ms } } }", fresh=True)
def batch_limits_of_the_server(trial):
    trial.stream(**ATOMIC)
    trial.stream("T", **ATOMIC)
    trial.stream("U", **ATOMIC)
    trial.main.sub("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>")
    for i in range(3):
        member(trial, f"b{i}", 1)
    for i in range(2):
        member(trial, f"b{i}", 1, "t.a")
    member(trial, "b0", 1, "u.a")
    trial.expect(count=3)
    member(trial, "b0", 2)
    for seq in range(1, 5):
        member(trial, "c", seq)
    trial.expect()


@scenario()
def batch_dropped_with_its_stream_or_flag(trial):
    trial.stream(**ATOMIC)
    trial.main.sub("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.>")
    member(trial, "b", 1)
    trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], "allow_atomic": False}, keep=("error",))
    member(trial, "b", 2)
    trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], "allow_atomic": True}, keep=("error",))
    member(trial, "b", 2), member(trial, "c", 1)
    trial.api("STREAM.DELETE.S")
    trial.stream(**ATOMIC)
    member(trial, "c", 2)
    trial.quiet()


@scenario()
def batch_seen_by_consumers_in_order(trial):
    trial.stream(**ATOMIC, republish={"src": ">", "dest": "r.>"})
    trial.main.sub("r.>")
    trial.main.sub("d")
    trial.main.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "deliver_subject": "d", "ack_policy": "none"}})
    trial.main.flush()
    for seq in (1, 2):
        member(trial, "b", seq, "s.a", f"m{seq}", reply=False)
    member(trial, "b", 3, "s.b", "m3", commit="1", reply=False)
    ops = sorted(re.sub(r"\.\d+ NATS", ".<pending> NATS", trial.show(trial.main.take())) for _ in range(6))
    for op in ops:
        trial.note(op)


@scenario()
def batch_without_replies(trial):
    trial.stream(**ATOMIC)
    member(trial, "b", 1, reply=False), member(trial, "b", 3, reply=False), member(trial, "c", 1, commit="1", reply=False)
    trial.until(lambda: trial.main.api("STREAM.INFO.S")["state"]["last_seq"] == 1)
    messages(trial)


def fast(trial, flow, gap, seq, op, batch="f", data="x", subject="s.a", headers=None, answers=1):
    """Publishes with a reply subject of control and notes what comes back."""
    if not hasattr(trial, "fast_inbox"):
        trial.fast_inbox = "FI"
        trial.main.sub("FI.>")
        trial.main.flush()
    trial.main.pub(subject, data.encode(), f"FI.{batch}.{flow}.{gap}.{seq}.{op}.$FI", headers)
    if answers is None:
        return
    for _ in range(answers):
        trial.note("got", trial.main.take(timeout=2))


def came(trial):
    """What comes until it is quiet for a moment: nothing tells that an answer will not come."""
    seen = []
    while (op := trial.main.take(timeout=0.2)) is not None:
        seen.append(trial.show(op))
    return seen


def fast_steps(trial, name, steps, config):
    trial.stream(**{"allow_batched": True, **config})
    for step in steps:
        fast(trial, *step[:4], **(step[4] if len(step) > 4 else {}), answers=None)
        trial.note(*came(trial) or ["nothing"])
    state = trial.main.api("STREAM.INFO.S").get("state", {})
    trial.note("state", {k: state.get(k) for k in ("messages", "last_seq")})


def H(**headers):
    return {"headers": {k.replace("_", "-"): v for k, v in headers.items()}}


RUN = [(2, "fail", n, 1) for n in range(2, 30)]
table("fast", [
    ("flow of 2", [(2, "fail", 1, 0)] + RUN[:5] + [(2, "fail", 7, 2)], {}), ("flow of 1", [(1, "fail", 1, 0), (1, "fail", 2, 1), (1, "fail", 3, 2)], {}),
    ("flow of 0", [(0, "fail", 1, 0)] + [(0, "fail", n, 1) for n in range(2, 25)], {}), ("flow no number", [("x", "fail", 1, 0)], {}), ("flow large", [(1000, "fail", 1, 0)], {}), ("flow negative", [(-4, "fail", 1, 0)], {}),
    ("end", [(5, "fail", 1, 0), (5, "fail", 2, 1), (5, "fail", 3, 3)], {}), ("end at once", [(5, "fail", 1, 3)], {}), ("one", [(5, "fail", 1, 2)], {}), ("append first", [(5, "fail", 1, 1)], {}),
    ("start at 2", [(5, "fail", 2, 0)], {}), ("commit at 2", [(5, "fail", 2, 2)], {}), ("end at 2", [(5, "fail", 2, 3)], {}), ("ping first", [(5, "fail", 1, 4)], {}),
    ("gap fail", [(5, "fail", 1, 0), (5, "fail", 3, 1), (5, "fail", 2, 1)], {}), ("gap ok", [(5, "ok", 1, 0), (5, "ok", 3, 1), (5, "ok", 4, 1), (5, "ok", 9, 2)], {}), ("gap at commit", [(5, "fail", 1, 0), (5, "fail", 3, 2)], {}),
    ("gap at end", [(5, "fail", 1, 0), (5, "fail", 4, 3)], {}), ("gap at end ok", [(5, "ok", 1, 0), (5, "ok", 4, 3)], {}), ("repeat", [(5, "ok", 1, 0), (5, "ok", 1, 1), (5, "ok", 2, 1), (5, "ok", 3, 2)], {}), ("lower", [(9, "ok", 1, 0), (9, "ok", 2, 1), (9, "ok", 3, 1), (9, "ok", 2, 1), (9, "ok", 3, 2)], {}),
    ("start twice", [(5, "ok", 1, 0), (5, "ok", 1, 0), (5, "ok", 2, 2)], {}), ("start twice fail", [(5, "fail", 1, 0), (5, "fail", 1, 0)], {}), ("sequence 0", [(5, "ok", 1, 0), (5, "ok", 0, 1), (5, "ok", 1, 1)], {}),
    ("ping", [(2, "fail", 1, 0), (2, "fail", 1, 4), (2, "fail", 2, 1), (2, "fail", 2, 4), (2, "fail", 3, 1), (2, "fail", 3, 4)], {}), ("ping gap", [(5, "ok", 1, 0), (5, "ok", 3, 4), (5, "ok", 4, 1), (5, "ok", 2, 4), (5, "ok", 5, 2)], {}), ("ping gap fail", [(5, "fail", 1, 0), (5, "fail", 3, 4)], {}),
    ("gap changes", [(5, "ok", 1, 0), (5, "fail", 3, 1), (5, "ok", 4, 1)], {}), ("flow changes", [(2, "ok", 1, 0), (9, "ok", 2, 1), (9, "ok", 3, 1), (9, "ok", 4, 1), (9, "ok", 5, 1)], {}),
    ("bad op", [(5, "ok", 1, 5)], {}), ("op word", [(5, "ok", 1, "x")], {}), ("gap word", [(5, "yes", 1, 0)], {}), ("seq word", [(5, "ok", "x", 0)], {}), ("seq 0", [(5, "ok", 0, 0)], {}),
    ("long id", [(5, "ok", 1, 0, {"batch": "i" * 65})], {}), ("id of 64", [(5, "ok", 1, 0, {"batch": "i" * 64})], {}), ("disabled", [(5, "ok", 1, 0)], dict(allow_batched=False)),
    ("after commit", [(5, "ok", 1, 0), (5, "ok", 2, 2), (5, "ok", 3, 1)], {}), ("again", [(5, "ok", 1, 2), (5, "ok", 1, 2)], {}),
    ("refused ok", [(3, "ok", 1, 0), (3, "ok", 2, 1, H(Nats_Expected_Last_Sequence="9")), (3, "ok", 3, 1), (3, "ok", 4, 2)], {}), ("refused fail", [(3, "fail", 1, 0), (3, "fail", 2, 1, H(Nats_Expected_Last_Sequence="9")), (3, "fail", 3, 1)], {}),
    ("refused start", [(3, "fail", 1, 0, H(Nats_Expected_Last_Sequence="9")), (3, "fail", 2, 1)], {}), ("refused start ok", [(3, "ok", 1, 0, H(Nats_Expected_Last_Sequence="9")), (3, "ok", 2, 1), (3, "ok", 3, 2)], {}),
    ("refused commit", [(3, "ok", 1, 0), (3, "ok", 2, 2, H(Nats_Expected_Stream="T")), (3, "ok", 3, 1)], {}), ("refused commit of one", [(3, "ok", 1, 2, H(Nats_Expected_Stream="T"))], {}),
    ("gap and flow", [(2, "ok", 1, 0), (2, "ok", 2, 1), (2, "ok", 9, 1), (2, "ok", 9, 4), (2, "ok", 10, 1), (2, "ok", 11, 1), (2, "ok", 12, 1), (2, "ok", 16, 1), (2, "ok", 17, 2)], {}),
    ("gaps and flow of 5", [(5, "ok", 1, 0), (5, "ok", 3, 1), (5, "ok", 3, 4), (5, "ok", 7, 1), (5, "ok", 8, 1), (5, "ok", 9, 1), (5, "ok", 20, 1), (5, "ok", 21, 4), (5, "ok", 23, 1)], {}),
    ("refused and flow", [(2, "ok", 1, 0), (2, "ok", 2, 1, H(Nats_Expected_Stream="T")), (2, "ok", 3, 1), (2, "ok", 3, 4), (2, "ok", 4, 1, H(Nats_Expected_Stream="T")), (2, "ok", 4, 4), (2, "ok", 5, 1), (2, "ok", 6, 1), (2, "ok", 7, 1, H(Nats_Expected_Stream="T")), (2, "ok", 8, 2)], {}),
    ("refused start and flow", [(1, "ok", 1, 0, H(Nats_Expected_Stream="T")), (1, "ok", 2, 1), (1, "ok", 3, 1, H(Nats_Expected_Stream="T")), (1, "ok", 4, 1), (1, "ok", 4, 4)], {}), ("duplicates and flow", [(2, "ok", 1, 0, H(Nats_Msg_Id="1")), (2, "ok", 2, 1, H(Nats_Msg_Id="1")), (2, "ok", 3, 1), (2, "ok", 4, 1, H(Nats_Msg_Id="1")), (2, "ok", 5, 4)], {}),
    ("large", [(3, "ok", 1, 0), (3, "ok", 2, 1, {"data": "y" * 200}), (3, "ok", 3, 1), (3, "ok", 4, 2)], dict(max_msg_size=100)), ("large start", [(3, "ok", 1, 0, {"data": "y" * 200}), (3, "ok", 2, 1)], dict(max_msg_size=100)),
    ("duplicate", [(3, "ok", 1, 0, H(Nats_Msg_Id="1")), (3, "ok", 2, 1, H(Nats_Msg_Id="1")), (3, "ok", 3, 1), (3, "ok", 4, 2, H(Nats_Msg_Id="1"))], {}),
    ("batch headers", [(3, "ok", 1, 0, H(Nats_Batch_Id="b", Nats_Batch_Sequence="7")), (3, "ok", 2, 2, H(Nats_Batch_Id="b"))], {}), ("full", [(3, "ok", 1, 0), (3, "ok", 2, 1), (3, "ok", 3, 2)], dict(max_msgs=1, discard="new")),
    ("two", [(20, "ok", 1, 0)] + [(20, "ok", n, 1) for n in range(2, 20)] + [(20, "ok", 1, 0, {"batch": "g"})] + [(20, "ok", n, 1) for n in range(20, 60)] + [(20, "ok", n, 1, {"batch": "g"}) for n in range(2, 40)], {}),
], fast_steps)


@scenario()
def fast_short_replies(trial):
    trial.stream(allow_batched=True)
    trial.main.sub("FI.>"), trial.main.sub("x.>"), trial.main.flush()
    for reply in ("x.$FI", "x.y.$FI", "f.3.ok.1.0.$FI", "x.3.ok.1.0.$FI", "x..3.ok.1.0.$FI", "x.f.ok.1.0.$FI", "x.f.3.ok.1.$FI", "x.f.3.OK.1.0.$FI"):
        trial.main.pub("s.a", b"x", reply)
        trial.note(reply, *came(trial))


@scenario(conf="jetstream { limits { batch { timeout: 200ms } } }", fresh=True)
def fast_timeout(trial):
    import time
    trial.stream(allow_batched=True)
    trial.main.sub("$JS.EVENT.ADVISORY.STREAM.>")
    fast(trial, 5, "ok", 1, 0)
    time.sleep(0.6)  # nothing tells that it is over
    fast(trial, 5, "ok", 2, 1)
    trial.quiet()


@scenario()
def fast_too_many(trial):
    trial.stream(allow_batched=True)
    trial.main.sub("FI.>"), trial.main.flush()
    for i in range(1000):
        trial.main.pub("s.a", b"x", f"FI.b{i}.2.ok.1.0.$FI")
    trial.note(sum('"seq":0' in op.data.decode() for op in (trial.main.take(lambda op: '"seq":0' in op.data.decode(), timeout=5) for _ in range(1000)))), came(trial)
    for name in ("more", "b7"):
        fast(trial, 2, "ok", 1, 0, batch=name)
    fast(trial, 2, "ok", 2, 2, batch="b0"), came(trial), fast(trial, 2, "ok", 1, 0, batch="more"), trial.state("S", "messages")
