"""Snapshot and restore: the protocol itself. Archives differ in their bytes, so what is compared is who says what when."""
import json, random, time

import archive
from oracle import Msg, scenario, table


def ask(trial, body, stream="S"):
    trial.note("ask", body, trial.main.request(f"$JS.API.STREAM.SNAPSHOT.{stream}", body if isinstance(body, str) else json.dumps(body)).data)


BODIES = [("no body", ""), ("empty object", "{}"), ("not json", "{x"), ("no subject", {"chunk_size": 5}), ("empty subject", {"deliver_subject": ""}), ("wildcard", {"deliver_subject": "a.*"}),
          ("empty token", {"deliver_subject": "a..b"}), ("blank", {"deliver_subject": "a b"}), ("unknown field", {"deliver_subject": "x", "foo": 1}), ("wrong type", {"deliver_subject": 5}), ("float size", {"deliver_subject": "x", "chunk_size": 1.5})]


def bad_request(trial, name, body):
    trial.stream()
    ask(trial, body)


table("snapshot refused", BODIES, bad_request)


@scenario()
def snapshot_of_no_stream(trial):
    ask(trial, {"deliver_subject": "x"}, "NONE")


def is_message(op):
    return isinstance(op, Msg)


def shape(trial, name, request, size=0):
    """Lengths of the chunks, replies with their lengths and numbers, the end."""
    trial.stream()
    if size:
        trial.publish("s.big", *[random.Random(k).randbytes(50_000) for k in range(size)])
    wire = trial.wire()
    wire.sub("in.x"), wire.flush()
    response = trial.main.api("STREAM.SNAPSHOT.S", {"deliver_subject": "in.x", **request})
    trial.note("response", sorted(response), response["config"]["name"], response["config"].get("metadata"), {k: v for k, v in response["state"].items() if not k.endswith("_ts")})
    full, chunk_bytes = 0, None
    while True:
        msg = wire.take(is_message, timeout=8)
        if not msg.data:
            trial.note("end", msg.reply, msg.headers)
            return
        if msg.reply:
            tokens = msg.reply.split(".")
            assert int(tokens[-1]) == full + 1 and int(tokens[-2]) == len(msg.data) and tokens[:4] == ["$JS", "SNAPSHOT", "ACK", "S"]
            full, chunk_bytes = full + 1, len(msg.data)
            wire.pub(msg.reply)
        else:
            trial.note("last chunk without reply", chunk_bytes)


table("snapshot shape", [("empty stream", {}), ("small chunks", {"chunk_size": 1}, 1), ("large chunks", {"chunk_size": 1 << 30}, 30), ("usual", {}, 10), ("small window", {"window_size": 1, "chunk_size": 4096}, 2),
                         ("negative sizes", {"window_size": -1, "chunk_size": -1}, 10)],
      lambda trial, name, request, size=0: shape(trial, name, request, size))


@scenario()
def snapshot_without_acks_stops(trial):
    trial.stream()
    trial.publish("s.big", *[random.Random(k).randbytes(50_000) for k in range(4)])
    wire = trial.wire()
    wire.sub("in.y"), wire.flush()
    trial.main.api("STREAM.SNAPSHOT.S", {"deliver_subject": "in.y", "chunk_size": 1024, "window_size": 8192})
    start = time.monotonic()
    while wire.take(is_message, timeout=10).data:
        pass
    trial.note("stopped", 4 < time.monotonic() - start < 7)


@scenario()
def snapshot_of_who_goes_away(trial):
    trial.main.sub("$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.S")
    trial.stream()
    trial.publish("s.big", *[random.Random(k).randbytes(50_000) for k in range(4)])
    wire = trial.wire()
    wire.sub("in.z"), wire.flush()
    trial.main.api("STREAM.SNAPSHOT.S", {"deliver_subject": "in.z", "chunk_size": 1024, "window_size": 8192})
    wire.next()
    wire.send("UNSUB 1\r\n"), wire.flush()
    trial.note("error", json.loads(trial.main.take(lambda op: getattr(op, "subject", "").startswith("$JS.EVENT"), timeout=8).data).get("error"))


RESTORES = [("no body", "R", ""), ("empty object", "R", "{}"), ("unknown field", "R", {"config": {}, "x": 1}), ("other name", "R", {"config": {"name": "T"}}), ("bad config", "R", {"config": {"name": "R", "subjects": ["a b"]}}),
            ("bad type", "R", {"config": {"name": 5}}), ("there is one", "S", {"config": {"name": "S"}}), ("there is one and another name", "S", {"config": {"name": "T"}}), ("no config", "S", {"state": {}})]


def bad_restore(trial, name, stream, body):
    trial.stream()
    trial.note(trial.main.request(f"$JS.API.STREAM.RESTORE.{stream}", body if isinstance(body, str) else json.dumps(body)).data)


table("restore refused", RESTORES, bad_restore)


def begin(trial, name="R", **config):
    answer = trial.main.api(f"STREAM.RESTORE.{name}", {"config": {"name": name, **config}, "state": {}})
    subject = answer["deliver_subject"]
    trial.note("begun", sorted(answer), subject.rsplit(".", 1)[0], len(subject.rsplit(".", 1)[1]))
    return subject


def archive_of(trial, subjects=("s.>",)):
    trial.stream(subjects=list(subjects))
    trial.publish("s.a", "one", "two", "three")
    trial.api("STREAM.MSG.DELETE.S", {"seq": 2}, quiet=True)
    trial.consumer(durable_name="C", ack_policy="explicit")
    return archive.snapshot(trial.main, "S")[1]


@scenario()
def restore_of_nothing(trial):
    trial.note(trial.main.request(begin(trial)).data)
    trial.api("STREAM.INFO.R")


@scenario()
def restore_of_rubbish(trial):
    subject = begin(trial)
    for piece in ("rubbish", "more", ""):
        trial.note(piece, trial.main.request(subject, piece).data)
    trial.api("STREAM.INFO.R")


@scenario()
def restore_of_a_cut_archive(trial):
    whole = archive_of(trial)
    trial.main.api("STREAM.DELETE.S")
    subject = begin(trial, "S", subjects=["s.>"])
    for piece in (whole[:len(whole) - 20], ""):
        trial.note(trial.main.request(subject, piece).data)
    trial.api("STREAM.INFO.S")


@scenario()
def restore_of_a_stream(trial):
    whole = archive_of(trial)
    trial.main.api("STREAM.DELETE.S")
    for kind in ("RESTORE_CREATE", "CREATED", "RESTORE_COMPLETE"):
        trial.main.sub(f"$JS.EVENT.ADVISORY.STREAM.{kind}.S")
    trial.main.flush()
    subject = begin(trial, "S", subjects=["s.>"])
    trial.note({trial.main.request(subject, whole[at:at + 100]).data for at in range(0, len(whole), 100)})
    answer = json.loads(trial.main.request(subject).data)
    answer.pop("created"), answer.pop("ts")
    trial.note("end", answer)
    for _ in range(3):
        event = trial.main.take(lambda op: getattr(op, "subject", "").startswith("$JS.EVENT"))
        body = json.loads(event.data)
        trial.note(event.subject, body["type"], "bytes" in body, body.get("action"))
    trial.state("S"), trial.info("S", "C")
    trial.api("STREAM.MSG.GET.S", {"seq": 3}), trial.api("STREAM.MSG.GET.S", {"seq": 2})
    trial.note(trial.main.request("s.a", "four").data)


@scenario()
def restore_onto_the_subjects_of_another(trial):
    whole = archive_of(trial)
    subject = begin(trial, "R", subjects=["s.>"])
    for piece in (whole, ""):
        trial.note(trial.main.request(subject, piece).data)
    trial.api("STREAM.INFO.R")


@scenario()
def restore_whose_name_is_taken_meanwhile(trial):
    whole = archive_of(trial)
    subject = begin(trial, "W", subjects=["w.>"])
    trial.stream("W", subjects=["w.>"])
    for piece in (whole, ""):
        answer = json.loads(trial.main.request(subject, piece).data or b"{}")
        trial.note("error" in answer)
    trial.state("W")


@scenario()
def restore_without_reply_is_given_up(trial):
    whole = archive_of(trial)
    trial.main.api("STREAM.DELETE.S")
    subject = begin(trial, "S", subjects=["s.>"])
    trial.main.pub(subject, whole), trial.main.flush()
    trial.until(lambda: trial.main.request(subject, "").headers is not None)
    trial.api("STREAM.INFO.S")


@scenario()
def restore_whose_end_has_no_reply(trial):
    whole = archive_of(trial)
    trial.main.api("STREAM.DELETE.S")
    subject = begin(trial, "S", subjects=["s.>"])
    trial.note(trial.main.request(subject, whole).data)
    trial.main.pub(subject), trial.main.flush()
    trial.until(lambda: "state" in trial.main.api("STREAM.INFO.S"))
    trial.state("S")


@scenario()
def restore_of_version_1(trial):
    state = archive.v1_consumer_state((1, 1), (4, 6), {3: (2, 1_700_000_000), 6: (4, 1_700_000_001), 4: (3, 1_700_000_000)}, {4: 2})
    whole = archive.v1("V", {"Created": "2024-01-02T03:04:05.6Z", "name": "V", "subjects": ["v.>"], "retention": "limits", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "discard": "old", "max_age": 0,
                             "max_msgs_per_subject": -1, "max_msg_size": -1, "storage": "file", "num_replicas": 1, "duplicate_window": 120_000_000_000},
                       [[(1, 1_700_000_000_000_000_000, "v.a", b"", b"one"), (3, 1_700_000_000_000_000_005, "v.b", b"NATS/1.0\r\nA: b\r\n\r\n", b"three")], [(4, 1_700_000_001_000_000_000, "v.a", b"", b""), (6, 1_700_000_002_000_000_000, "v.a", b"", b"six")]],
                       {"D": ({"Created": "2024-01-02T03:04:06Z", "Name": "D", "durable_name": "D", "name": "D", "deliver_policy": "all", "ack_policy": "explicit", "ack_wait": 3_600_000_000_000, "max_deliver": -1, "max_ack_pending": 1000,
                               "max_waiting": 512, "replay_policy": "instant", "num_replicas": 0}, state)})
    trial.main.api("STREAM.DELETE.V")
    answer = archive.restore(trial.main, "V", whole, {"name": "V", "subjects": ["v.>"]}, {"first_seq": 1, "last_seq": 6})
    trial.note(answer.get("error"), answer.get("state"), answer.get("created"))
    trial.state("V"), trial.info("V", "D")
    for seq in (1, 3, 4, 6):
        trial.api("STREAM.MSG.GET.V", {"seq": seq})


def empty_restore(trial, name, state):
    text = json.dumps({"messages": 0, "bytes": 0, "first_ts": "0001-01-01T00:00:00Z", "last_ts": "0001-01-01T00:00:00Z", "consumer_count": 0, **state}).encode()
    entry = archive.uvarint(len("state.json")) + archive.varint(1_700_000_000_000_000_000) + archive.uvarint(0) + archive.uvarint(0) + archive.uvarint(len(text))
    whole = archive.s2_plain(b"NATSARC1" + entry + b"state.json" + text + bytes(5))
    answer = archive.restore(trial.main, "E", whole, {"name": "E", "subjects": ["e.>"]}, state)
    trial.note(answer.get("error"), answer.get("state"))
    trial.note(trial.main.request("e.a", "x").data)


table("restore of an empty stream", [(f"from {first} to {last}", {"first_seq": first, "last_seq": last}) for first, last in ((0, 0), (1, 0), (5, 4), (3, 7))], empty_restore)


@scenario()
def advisories_of_snapshots_and_restores(trial):
    """Who asked, whole."""
    trial.stream(), trial.publish("s.a", b"one")
    watcher = trial.wire()
    watcher.sub("$JS.EVENT.ADVISORY.STREAM.>"), watcher.flush(), watcher.pending.clear()
    whole = archive_of(trial)
    trial.main.api("STREAM.DELETE.S")
    subject = begin(trial, "S", subjects=["s.>"])
    trial.main.request(subject, whole), trial.main.request(subject)
    for word in ("SNAPSHOT_CREATE", "SNAPSHOT_COMPLETE", "RESTORE_CREATE", "RESTORE_COMPLETE"):
        got = watcher.take(lambda op: word in getattr(op, "subject", ""), timeout=5)
        if got is None:
            trial.note(word, "nothing")
            continue
        client = json.loads(got.data).get("client")
        trial.note(word, list(json.loads(got.data)), {k: v for k, v in client.items() if k not in ("start", "id", "rtt", "server", "ver")}, list(k for k in client if k != "rtt"))
