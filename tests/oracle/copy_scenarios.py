"""Mirrors and sources: what they copy, from where, and how they show it."""
import base64
import re
import time
from oracle import scenario, table

SECOND = 1_000_000_000


def upto(trial, name, last):
    """Until the stream has that last sequence."""
    trial.until(lambda: trial.main.api(f"STREAM.INFO.{name}")["state"]["last_seq"] >= last, 20)


def settle(trial, name):
    """Until all sources of a stream were heard and nothing waits."""
    def done():
        info = trial.main.api(f"STREAM.INFO.{name}")
        parts = info.get("sources") or [info["mirror"]]
        return all(part["active"] >= 0 and part["lag"] == 0 for part in parts)
    trial.until(done, 20)


def show(trial, name):
    info = trial.main.api(f"STREAM.INFO.{name}")
    parts = sorted(info.get("sources") or [], key=str)
    trial.note(name, {k: info["state"][k] for k in ("messages", "bytes", "first_seq", "last_seq")}, info.get("mirror"),
               [{k: v for k, v in part.items() if k != "active"} for part in parts])


def messages(trial, name, *seqs):
    for seq in seqs:
        reply = trial.main.api(f"STREAM.MSG.GET.{name}", {"seq": seq})
        message = reply.get("message")
        if not message:
            trial.note(name, seq, reply["error"])
            continue
        headers = base64.b64decode(message.get("hdrs", "")).decode()
        trial.note(name, seq, message["subject"], message.get("data"), re.sub(r" [0-9A-Za-z]{8}(?=\r\n)", " <identity>", headers).replace("\r\n", "|"))


def ask(trial, subject, data=b""):
    """A request whose inbox is not compared: how many were needed before depends on time."""
    reply = trial.main.request(subject, data)
    trial.note(subject, re.sub(r"^MSG [^ ]+ ", "", trial.show(reply)))


def origin(trial, **config):
    trial.stream("O", **config)
    trial.publish("o.a", b"one", b"two", headers={"Nats-Expected-Stream": "O", "Kept": "yes"})
    trial.publish("o.b", b"three", headers={"Nats-Msg-Id": "m"})
    trial.publish("o.c.d", b"four")


def copy(trial, name, config, last, *seqs):
    origin(trial)
    if "error" in trial.api("STREAM.CREATE.C", {"name": "C", **config}):
        return
    upto(trial, "C", last)
    settle(trial, "C")
    show(trial, "C")
    messages(trial, "C", *seqs)


table("mirror", [
    ("of everything", {"mirror": {"name": "O"}}, 4, 1, 2, 3, 4),
    ("from a sequence", {"mirror": {"name": "O", "opt_start_seq": 3}}, 4, 2, 3, 4),
    ("filtered", {"mirror": {"name": "O", "filter_subject": "o.b"}}, 3, 1, 3),
    ("transformed", {"mirror": {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "n.$1"}]}}, 3, 1, 2, 3, 4),
    ("with a transform of its own", {"mirror": {"name": "O"}, "subject_transform": {"src": "o.>", "dest": "x.>"}}, 4, 1, 4),
    ("in memory", {"mirror": {"name": "O"}, "storage": "memory"}, 4, 1, 4),
    ("one of each subject", {"mirror": {"name": "O"}, "max_msgs_per_subject": 1}, 4, 1, 2, 3),
    ("of two messages", {"mirror": {"name": "O"}, "max_msgs": 2}, 4, 2, 3),
    ("through a prefix of its own domain", {"mirror": {"name": "O", "external": {"api": "$JS.API"}}}, 4, 1),
], copy)

table("source", [
    ("everything", {"sources": [{"name": "O"}]}, 4, 1, 2, 3, 4),
    ("filtered", {"sources": [{"name": "O", "filter_subject": "o.b"}]}, 1, 1),
    ("transformed", {"sources": [{"name": "O", "subject_transforms": [{"src": "o.*", "dest": "n.$1"}, {"src": "o.c.>", "dest": ""}]}]}, 4, 1, 3, 4),
    ("from a sequence", {"sources": [{"name": "O", "opt_start_seq": 4}]}, 1, 1),
    ("transformed again", {"sources": [{"name": "O"}], "subject_transform": {"src": "o.a", "dest": "z"}}, 4, 1, 3),
    ("beside subjects of its own", {"subjects": ["c.>"], "sources": [{"name": "O"}]}, 4, 4),
    ("with a first sequence", {"first_seq": 100, "sources": [{"name": "O"}]}, 103, 100, 103),
    ("without repeated ids", {"duplicate_window": 60 * SECOND, "sources": [{"name": "O", "filter_subject": "o.b"}]}, 1, 1),
], copy)


@scenario()
def mirror_follows_gaps_deletes_and_purges(trial):
    origin(trial)
    trial.api("STREAM.MSG.DELETE.O", {"seq": 2})
    trial.api("STREAM.CREATE.C", {"name": "C", "mirror": {"name": "O"}}, quiet=True)
    upto(trial, "C", 4), settle(trial, "C"), show(trial, "C")
    trial.api("STREAM.MSG.DELETE.C", {"seq": 3})
    trial.api("STREAM.PURGE.C")
    show(trial, "C")
    trial.publish("o.a", b"five")
    upto(trial, "C", 5), show(trial, "C"), messages(trial, "C", 5)
    ask(trial, "C", b"for nobody")


@scenario()
def promoted_mirror_goes_on(trial):
    origin(trial)
    trial.api("STREAM.CREATE.C", {"name": "C", "mirror": {"name": "O"}}, quiet=True)
    upto(trial, "C", 4)
    trial.api("STREAM.UPDATE.C", {"name": "C", "mirror": {"name": "P"}})
    trial.api("STREAM.UPDATE.C", {"name": "C", "subjects": ["c.>"]})
    ask(trial, "c.x", b"mine")
    trial.publish("o.a", b"not copied")
    time.sleep(0.3)
    show(trial, "C"), messages(trial, "C", 5)


@scenario()
def mirror_of_nothing_shows_why(trial):
    trial.api("STREAM.CREATE.C", {"name": "C", "mirror": {"name": "NOPE"}})
    trial.until(lambda: "error" in trial.main.api("STREAM.INFO.C")["mirror"])
    show(trial, "C")


@scenario()
def work_queue_is_emptied_by_its_mirror(trial):
    trial.stream("W", retention="workqueue")
    trial.publish("w.a", b"1", b"2", b"3")
    trial.api("STREAM.CREATE.C", {"name": "C", "mirror": {"name": "W"}}, quiet=True)
    upto(trial, "C", 3)
    trial.until(lambda: trial.main.api("STREAM.INFO.W")["state"]["messages"] == 0)
    settle(trial, "C"), show(trial, "C"), show(trial, "W")
    names = trial.main.api("CONSUMER.NAMES.W")
    trial.note(names)
    for name in names.get("consumers") or []:
        info = trial.main.api(f"CONSUMER.INFO.W.{name}")
        trial.note({k: v for k, v in info["config"].items() if k != "deliver_subject"})
    trial.api("STREAM.DELETE.C")
    trial.until(lambda: trial.main.api("CONSUMER.NAMES.W").get("consumers") == [])


@scenario()
def copiers_are_hidden(trial):
    origin(trial, max_consumers=1)
    trial.api("STREAM.CREATE.C", {"name": "C", "sources": [{"name": "O"}]}, quiet=True)
    upto(trial, "C", 4)
    trial.api("CONSUMER.NAMES.O"), trial.api("CONSUMER.LIST.O"), trial.state("O")
    trial.consumer("O", "D")


@scenario()
def sources_change(trial):
    origin(trial)
    trial.stream("P")
    trial.publish("p.x", b"p")
    trial.api("STREAM.CREATE.C", {"name": "C", "sources": [{"name": "O"}]}, quiet=True)
    upto(trial, "C", 4)
    trial.api("STREAM.UPDATE.C", {"name": "C", "sources": [{"name": "O"}, {"name": "P"}]}, quiet=True)
    upto(trial, "C", 5)
    trial.api("STREAM.UPDATE.C", {"name": "C", "sources": [{"name": "P"}]}, quiet=True)
    trial.publish("o.a", b"five")
    trial.publish("p.x", b"q")
    upto(trial, "C", 6)
    trial.api("STREAM.UPDATE.C", {"name": "C", "sources": [{"name": "O"}, {"name": "P"}]}, quiet=True)
    upto(trial, "C", 7)
    time.sleep(0.3)
    show(trial, "C"), messages(trial, "C", 5, 6, 7)


@scenario()
def origin_made_anew_is_sourced_from_its_start(trial):
    origin(trial)
    trial.api("STREAM.CREATE.C", {"name": "C", "sources": [{"name": "O"}]}, quiet=True)
    upto(trial, "C", 4)
    trial.api("STREAM.DELETE.O")
    trial.stream("O")
    trial.publish("o.a", b"again")
    trial.until(lambda: trial.main.api("STREAM.INFO.C")["state"]["last_seq"] >= 5, 30)
    time.sleep(0.3)
    show(trial, "C"), messages(trial, "C", 5)


@scenario()
def limits_ids_and_rollups_of_copies(trial):
    trial.stream("T", allow_msg_ttl=True, allow_rollup_hdrs=True)
    trial.publish("t.a", b"1", headers={"Nats-Msg-Id": "x"})
    trial.publish("t.c", b"2", b"3")
    trial.publish("t.c", b"4", headers={"Nats-Rollup": "sub"})
    trial.publish("t.d", b"5", headers={"Nats-TTL": "1h"})
    made = [("PLAIN", {}), ("ROLL", {"allow_rollup_hdrs": True, "allow_msg_ttl": True}), ("FULL", {"discard": "new", "max_msgs": 2}),
            ("NOBODY", {"retention": "interest"}), ("SMALL", {"max_msgs": 1})]
    for name, config in made:
        trial.api(f"STREAM.CREATE.{name}", {"name": name, "sources": [{"name": "T"}], **config}, quiet=True)
    upto(trial, "PLAIN", 3)
    time.sleep(1)
    for name, _ in made:
        trial.note(name, {k: v for k, v in trial.main.api(f"STREAM.INFO.{name}")["state"].items() if k in ("messages", "bytes", "first_seq", "last_seq")})
    messages(trial, "ROLL", 1, 2, 3)


@scenario()
def bucket_and_its_mirror(trial):
    bucket = dict(max_msgs_per_subject=1, discard="new", allow_rollup_hdrs=True, deny_delete=True)
    trial.api("STREAM.CREATE.KV_b", {"name": "KV_b", "subjects": ["$KV.b.>"], "allow_direct": True, **bucket}, quiet=True)
    trial.publish("$KV.b.k", b"1", b"2")
    trial.publish("$KV.b.l", b"3")
    trial.api("STREAM.CREATE.KV_m", {"name": "KV_m", "mirror": {"name": "KV_b"}, **bucket})
    upto(trial, "KV_m", 3)
    trial.publish("$KV.b.l", b"", headers={"KV-Operation": "PURGE", "Nats-Rollup": "sub"})
    upto(trial, "KV_m", 4)
    settle(trial, "KV_m"), show(trial, "KV_m"), messages(trial, "KV_m", 2, 3, 4)
    ask(trial, "$JS.API.DIRECT.GET.KV_m.$KV.b.k")
    trial.api("STREAM.DELETE.KV_b")
    ask(trial, "$JS.API.DIRECT.GET.KV_b.$KV.b.k")
    ask(trial, "$JS.API.DIRECT.GET.KV_b", b'{"seq":4}')


@scenario()
def aggregate_of_buckets(trial):
    for name in ("x", "y"):
        trial.api(f"STREAM.CREATE.KV_{name}", {"name": f"KV_{name}", "subjects": [f"$KV.{name}.>"], "max_msgs_per_subject": 1}, quiet=True)
        trial.publish(f"$KV.{name}.k", b"v" + name.encode())
        trial.api("STREAM.CREATE.KV_all" if name == "x" else "STREAM.UPDATE.KV_all",
                  {"name": "KV_all", "subjects": ["$KV.all.>"], "max_msgs_per_subject": 1, "sources": [
                      {"name": f"KV_{n}", "subject_transforms": [{"src": f"$KV.{n}.>", "dest": f"$KV.all.{n}.>"}]} for n in ("x", "y")[:1 if name == "x" else 2]]}, quiet=True)
        upto(trial, "KV_all", 1 if name == "x" else 2)
    settle(trial, "KV_all"), show(trial, "KV_all"), messages(trial, "KV_all", 1, 2)
    ask(trial, "$KV.all.x.k", b"own")
    messages(trial, "KV_all", 1, 3)


def sourcing(trial, name, headers, config):
    trial.stream("O")
    full = {"name": "JS_SRC_x", "deliver_policy": "all", "ack_policy": "none", "ack_wait": 79200 * SECOND, "max_deliver": 1, "replay_policy": "instant",
            "flow_control": True, "deliver_subject": "$JS.S.abcdefgh", "idle_heartbeat": SECOND, "inactive_threshold": 10 * SECOND, "num_replicas": 0,
            "direct": True, "sourcing": True, **config}
    reply = trial.main.request("$JS.API.CONSUMER.CREATE.O", __import__("json").dumps({"stream_name": "O", "config": full}).encode(), headers)
    text = re.sub(r"JS_SRC_x-[0-9A-Za-z]{8}", "JS_SRC_x-<name>", trial.show(reply))
    text = re.sub(r"(Identity: |match: )[0-9A-Za-z]{8}", r"\1<identity>", text)
    trial.note(text)


table("origin's consumer", [
    ("as asked", {"Nats-Required-Api-Level": "5"}, {}), ("of a sequence", None, {"deliver_policy": "by_start_sequence", "opt_start_seq": 7}),
    ("of another incarnation", {"Nats-Stream-Identity": "WRONGxxx"}, {}), ("with filters", None, {"filter_subjects": ["o.a", "o.b"]}),
    ("not direct", None, {"direct": False}), ("level too high", {"Nats-Required-Api-Level": "9"}, {}),
], sourcing)


def refused_by_its_origin(trial, name, acks):
    """The consumer that is named for it does not ack by flow."""
    trial.stream("O")
    trial.api("CONSUMER.CREATE.O.C", {"stream_name": "O", "config": {"name": "C", "deliver_subject": "d.x", "ack_policy": acks, "flow_control": True, "idle_heartbeat": 1000000000}}, keep=["name"])
    origin = {"name": "O", "consumer": {"name": "C", "deliver_subject": "d.x"}}
    trial.api("STREAM.CREATE.M", {"name": "M", "mirror": origin}, keep=["name"]), trial.api("STREAM.CREATE.N", {"name": "N", "sources": [origin]}, keep=["name"])
    errors = {}

    def seen():
        info, more = trial.main.api("STREAM.INFO.M").get("mirror", {}), trial.main.api("STREAM.INFO.N").get("sources", [{}])[0]
        errors.update({k: v for k, v in (("mirror", info.get("error")), ("source", more.get("error"))) if v})
        return len(errors) == 2
    trial.until(seen)
    trial.note(dict(sorted(errors.items())))


table("copy refused", [("without acks", "none"), ("explicit", "explicit"), ("all", "all")], refused_by_its_origin)
