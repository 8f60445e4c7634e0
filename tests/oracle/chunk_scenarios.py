"""Large payloads, equal ones among them: whatever is done with the messages, clients see what the original shows."""
import base64
import hashlib
import json
from oracle import scenario

SIZE = 64 * 1024
ONE, TWO = b"one-" * (SIZE // 4), b"two." * (SIZE // 4)


def digest(data):
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()[:12]}" if len(data) > 200 else data.decode("utf-8", "replace")


def show(trial, msg):
    """A delivered message, its payload as a digest."""
    headers = "" if msg.headers is None else msg.headers.replace("\r\n", "|")
    trial.note("got", msg.subject, f"reply={msg.reply}", headers, digest(msg.data))


def expect(trial, count=1):
    for _ in range(count):
        show(trial, trial.main.take(lambda op: hasattr(op, "data"), timeout=8))


def get(trial, seq, name="S"):
    reply = trial.main.api(f"STREAM.MSG.GET.{name}", {"seq": seq})
    message = reply.get("message")
    if message:
        trial.note("get", seq, message["subject"], base64.b64decode(message.get("hdrs", "")).decode().replace("\r\n", "|"), digest(base64.b64decode(message["data"])))
    else:
        trial.note("get", seq, reply["error"])


def direct(trial, body, name="S"):
    reply = trial.main.request(f"$JS.API.DIRECT.GET.{name}", json.dumps(body))
    show(trial, reply)


@scenario()
def equal_payloads_are_messages_of_their_own(trial):
    trial.stream(allow_direct=True)
    trial.request("s.a", ONE), trial.request("s.b", ONE, {"A": "b"}), trial.request("s.a", TWO), trial.request("s.c", ONE)
    for seq in (1, 2, 3, 4, 5):
        get(trial, seq)
    for body in ({"seq": 2}, {"last_by_subj": "s.a"}, {"next_by_subj": "s.b", "seq": 1}):
        direct(trial, body)
    trial.state("S", "messages", "bytes", "first_seq", "last_seq", "num_subjects")


@scenario()
def large_messages_go_in_every_way(trial):
    trial.stream(allow_rollup_hdrs=True)
    for data in (ONE, ONE, TWO, ONE, ONE, TWO):
        trial.request("s.a", data)
    trial.request("s.b", ONE)
    trial.api("STREAM.MSG.DELETE.S", {"seq": 1}), trial.api("STREAM.MSG.DELETE.S", {"seq": 2, "no_erase": True})
    trial.api("STREAM.PURGE.S", {"filter": "s.b"}), get(trial, 4), trial.api("STREAM.PURGE.S", {"keep": 2}), get(trial, 5), get(trial, 6)
    trial.request("s.a", ONE, {"Nats-Rollup": "sub"}), trial.state("S", "messages", "bytes", "first_seq", "last_seq")
    trial.api("STREAM.PURGE.S"), trial.request("s.a", ONE), get(trial, 9), trial.state("S", "messages", "bytes", "first_seq", "last_seq")
    trial.api("STREAM.DELETE.S"), trial.stream(), trial.request("s.a", ONE), get(trial, 1)


@scenario()
def limits_count_large_messages_as_they_are(trial):
    trial.stream(max_bytes=2 * SIZE + 200)
    for data in (ONE, ONE, ONE):
        trial.request("s.a", data)
    trial.state("S", "messages", "bytes", "first_seq", "last_seq"), get(trial, 3)
    trial.stream("N", max_bytes=2 * SIZE + 200, discard="new", max_msg_size=SIZE)
    for data in (ONE, ONE, ONE, ONE + b"x"):
        trial.request("n.a", data)
    trial.state("N", "messages", "bytes", "first_seq", "last_seq")
    trial.stream("P", max_msgs_per_subject=1)
    for data in (ONE, ONE, TWO):
        trial.request("p.a", data)
    trial.state("P", "messages", "bytes", "first_seq", "last_seq"), get(trial, 3, "P")


@scenario()
def conditions_hold_for_large_messages(trial):
    trial.stream()
    trial.request("s.a", ONE, {"Nats-Msg-Id": "1"}), trial.request("s.a", ONE, {"Nats-Msg-Id": "1"}), trial.request("s.a", ONE, {"Nats-Expected-Last-Sequence": "7"})
    trial.request("s.a", ONE, {"Nats-Expected-Last-Sequence": "1"}), trial.request("s.a", ONE, {"Nats-Expected-Last-Subject-Sequence": "1"}), trial.state("S", "messages", "last_seq")


@scenario()
def consumers_get_large_messages(trial):
    trial.stream()
    trial.main.sub("push.x"), trial.main.flush()
    trial.api("CONSUMER.CREATE.S.PUSH", {"stream_name": "S", "config": {"durable_name": "PUSH", "ack_policy": "none", "deliver_subject": "push.x"}}, keep=["num_pending"])
    trial.consumer(name="PULL", ack_policy="explicit", ack_wait=1_000_000_000)
    for data in (ONE, ONE, TWO, ONE):
        trial.main.request("s.a", data, {"K": "v"} if data is TWO else None)
        expect(trial)
    trial.main.sub("pull.x"), trial.main.flush()
    trial.main.pub("$JS.API.CONSUMER.MSG.NEXT.S.PULL", json.dumps({"batch": 3, "expires": 3_000_000_000}), reply="pull.x"), expect(trial, 3)
    trial.info("S", "PULL", "num_pending", "num_ack_pending")
    trial.main.pub("$JS.API.CONSUMER.MSG.NEXT.S.PULL", json.dumps({"batch": 1, "max_bytes": 1000, "expires": 1_000_000_000}), reply="pull.x"), expect(trial)
    trial.main.pub("$JS.API.CONSUMER.MSG.NEXT.S.PULL", json.dumps({"batch": 2, "expires": 3_000_000_000}), reply="pull.x"), expect(trial, 2)
    trial.main.sub("heads.x"), trial.main.flush()
    trial.api("CONSUMER.CREATE.S.HEADS", {"stream_name": "S", "config": {"durable_name": "HEADS", "ack_policy": "none", "deliver_subject": "heads.x", "headers_only": True}}, keep=["num_pending"])
    expect(trial, 4)


@scenario()
def waiting_pulls_get_a_known_payload(trial):
    trial.stream()
    trial.main.request("s.a", ONE)
    trial.consumer(name="C", deliver_policy="new")
    trial.main.sub("pull.x"), trial.main.flush()
    trial.main.pub("$JS.API.CONSUMER.MSG.NEXT.S.C", json.dumps({"batch": 2, "expires": 5_000_000_000}), reply="pull.x"), trial.main.flush()
    for _ in range(2):
        trial.main.request("s.b", ONE)
        expect(trial)
    trial.info("S", "C", "num_pending", "num_ack_pending", "delivered")


@scenario()
def queues_and_interest_let_large_messages_go(trial):
    trial.stream("Q", retention="workqueue"), trial.consumer("Q", "C")
    trial.stream("I", retention="interest"), trial.request("i.a", ONE), trial.consumer("I", "C")
    for name in ("Q", "I"):
        trial.main.sub(f"in.{name}"), trial.main.flush()
        for _ in range(2):
            trial.main.request(f"{name.lower()}.a", ONE)
        trial.main.pub(f"$JS.API.CONSUMER.MSG.NEXT.{name}.C", json.dumps({"batch": 2, "expires": 3_000_000_000}), reply=f"in.{name}")
        for _ in range(2):
            msg = trial.main.take(lambda op: hasattr(op, "data"), timeout=8)
            show(trial, msg), trial.main.request(msg.reply, "+ACK")
        trial.until(lambda: trial.main.api(f"STREAM.INFO.{name}")["state"]["messages"] == 0)
        trial.state(name, "messages", "bytes", "first_seq", "last_seq")


@scenario()
def mirrors_and_sources_copy_large_messages(trial):
    trial.stream()
    for data in (ONE, TWO, ONE):
        trial.main.request("s.a", data, {"A": "b"} if data is TWO else None)
    trial.stream("M", subjects=None, mirror={"name": "S"}, mirror_direct=True), trial.stream("T", subjects=None, sources=[{"name": "S"}])
    for name in ("M", "T"):
        trial.until(lambda: trial.main.api(f"STREAM.INFO.{name}")["state"]["last_seq"] == 3, 20)
        trial.state(name, "messages", "first_seq", "last_seq")
    for seq in (1, 2, 3):
        get(trial, seq, "M")
    trial.main.request("s.a", ONE)
    trial.until(lambda: trial.main.api("STREAM.INFO.M")["state"]["last_seq"] == 4, 20), get(trial, 4, "M")


@scenario()
def large_messages_are_republished(trial):
    for name, only in (("S", False), ("H", True)):
        trial.stream(name, republish={"src": ">", "dest": f"again.{name}.>", "headers_only": only})
        trial.main.sub(f"again.{name}.>"), trial.main.flush()
        for _ in range(2):
            trial.main.request(f"{name.lower()}.a", ONE)
            msg = trial.main.take(lambda op: hasattr(op, "data"), timeout=8)
            trial.note(msg.subject, sorted(line for line in msg.headers.split("\r\n") if not line.startswith("Nats-Time")), digest(msg.data))


@scenario()
def batches_of_large_messages_are_read(trial):
    trial.stream(allow_direct=True)
    for i, data in enumerate((ONE, ONE, TWO)):
        trial.main.request(f"s.{i}", data)
    trial.main.sub("in.b"), trial.main.flush()
    for body in ({"seq": 1, "batch": 3}, {"multi_last": ["s.*"]}, {"seq": 1, "batch": 3, "max_bytes": SIZE}):
        trial.main.pub("$JS.API.DIRECT.GET.S", json.dumps(body), reply="in.b")
        while True:
            msg = trial.main.take(lambda op: hasattr(op, "data"), timeout=8)
            show(trial, msg)
            if not msg.data:
                break


@scenario()
def large_messages_expire(trial):
    trial.stream(max_age=1_000_000_000, duplicate_window=1_000_000_000)
    trial.request("s.a", ONE), trial.request("s.a", ONE)
    trial.until(lambda: trial.main.api("STREAM.INFO.S")["state"]["messages"] == 0)
    trial.main.request("s.a", ONE), get(trial, 3)


@scenario()
def an_object_is_put_again(trial):
    trial.stream("OBJ_o", subjects=["$O.o.C.>", "$O.o.M.>"], discard="new", allow_rollup_hdrs=True, allow_direct=True, max_bytes=-1)
    for nuid in ("n1", "n2"):
        for data in (ONE, TWO, ONE, b"end"):
            trial.main.request(f"$O.o.C.{nuid}", data)
        trial.request("$O.o.M.bmFtZQ==", json.dumps({"name": "name", "nuid": nuid}), {"Nats-Rollup": "sub"})
    trial.api("STREAM.PURGE.OBJ_o", {"filter": "$O.o.C.n1"}), trial.state("OBJ_o", "messages", "bytes", "first_seq", "last_seq")
    trial.main.sub("o.x"), trial.main.flush()
    trial.api("CONSUMER.CREATE.OBJ_o", {"stream_name": "OBJ_o", "config": {"deliver_policy": "all", "ack_policy": "none", "filter_subject": "$O.o.C.n2", "deliver_subject": "o.x", "mem_storage": True}}, keep=["num_pending"])
    expect(trial, 4)
