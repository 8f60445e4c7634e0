"""Consumers: creating, pulling, pushing, acknowledging."""
import json
from wire import Msg
from oracle import scenario, table

SECOND = 1_000_000_000


def create(trial, name, config, action=None, subject="CONSUMER.CREATE.S.C"):
    trial.stream()
    trial.publish("s.a", "1", "2")
    body = config if isinstance(config, str) else {"stream_name": "S", "config": config, **({"action": action} if action else {})}
    trial.api(subject, body)


table("consumer create", [
    ("durable", {"durable_name": "C", "ack_policy": "explicit"}), ("ephemeral named", {"name": "C"}), ("empty body", ""), ("no config", '{"stream_name":"S"}'), ("other stream", '{"stream_name":"T","config":{}}'),
    ("not json", "xyz"), ("array", "[]"), ("unknown key", '{"stream_name":"S","bogus":1}'), ("unknown config key", {"bogus": 1}), ("bad ack policy", {"ack_policy": "bogus"}),
    ("null policy", '{"stream_name":"S","config":{"deliver_policy":null}}'), ("number policy", '{"stream_name":"S","config":{"replay_policy":1}}'), ("bad type", {"ack_wait": "x"}),
    ("durable mismatch", {"durable_name": "D"}), ("name mismatch", {"name": "D"}), ("negative ack wait", {"ack_policy": "explicit", "ack_wait": -1}), ("max deliver zero", {"max_deliver": 0}),
    ("backoff over max deliver", {"ack_policy": "explicit", "max_deliver": 1, "backoff": [1, 2]}), ("backoff negative", {"ack_policy": "explicit", "backoff": [-1]}),
    ("backoff sets ack wait", {"ack_policy": "explicit", "backoff": [5 * SECOND, 6 * SECOND]}), ("max waiting push", {"deliver_subject": "d", "max_waiting": 5}), ("max ack pending", {"ack_policy": "explicit", "max_ack_pending": -5}),
    ("push none pending", {"deliver_subject": "d", "max_ack_pending": 5}), ("max expires small", {"max_expires": 5}), ("sample", {"sample_freq": "x"}), ("sample negative", {"sample_freq": "-1"}), ("sample percent", {"sample_freq": "50%"}),
    ("heartbeat pull", {"idle_heartbeat": SECOND}), ("heartbeat small", {"deliver_subject": "d", "idle_heartbeat": 5}), ("flow pull", {"flow_control": True}), ("flow without heartbeat", {"deliver_subject": "d", "flow_control": True}),
    ("rate limit pull", {"rate_limit_bps": 5}), ("replicas", {"num_replicas": 3}), ("negative replicas", {"num_replicas": -1}), ("description", {"description": "d" * 5000}), ("bad filter", {"filter_subject": "a..b"}),
    ("both filters", {"filter_subject": "s.a", "filter_subjects": ["s.b"]}), ("empty filter", {"filter_subjects": [""]}), ("overlapping filters", {"filter_subjects": ["s.a", "s.*"]}), ("filters", {"filter_subjects": ["s.a", "s.b"]}),
    ("wildcard deliver", {"deliver_subject": "d.*"}), ("invalid deliver", {"deliver_subject": "d d"}), ("cycle", {"deliver_subject": "s.x"}), ("group", {"deliver_group": "g"}), ("start seq without policy", {"opt_start_seq": 5}),
    ("start seq missing", {"deliver_policy": "by_start_sequence"}), ("start time missing", {"deliver_policy": "by_start_time"}), ("start seq", {"deliver_policy": "by_start_sequence", "opt_start_seq": 100}), ("start time", {"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"}),
    ("last", {"deliver_policy": "last"}), ("new", {"deliver_policy": "new"}), ("last per subject without filter", {"deliver_policy": "last_per_subject"}), ("last per subject", {"deliver_policy": "last_per_subject", "filter_subject": ">"}),
    ("priority without group", {"priority_policy": "overflow"}), ("group without policy", {"priority_groups": ["A"]}), ("bad group", {"priority_policy": "overflow", "priority_groups": ["a b"]}), ("pinned", {"priority_policy": "pinned_client", "priority_groups": ["A"], "ack_policy": "explicit"}),
    ("priority push", {"priority_policy": "overflow", "priority_groups": ["A"], "deliver_subject": "d"}), ("timeout without policy", {"priority_timeout": SECOND}), ("metadata", {"metadata": {"z": "1", "a": "2"}}), ("bad metadata", {"metadata": {"z": 1}}),
    ("pause", {"pause_until": "2020-01-01T00:00:00Z"}), ("bad pause", {"pause_until": "x"}), ("direct pull", {"direct": True}), ("inactive", {"inactive_threshold": 5 * SECOND}), ("memory", {"mem_storage": True}),
    ("update missing", {}, "update"), ("bogus action", {}, "bogus"), ("create", {"durable_name": "C"}, "create"),
    ("legacy ephemeral with durable", {"durable_name": "C"}, None, "CONSUMER.CREATE.S"), ("legacy durable", {"durable_name": "C"}, None, "CONSUMER.DURABLE.CREATE.S.C"), ("legacy durable without", {}, None, "CONSUMER.DURABLE.CREATE.S.C"),
    ("legacy durable mismatch", {"durable_name": "D"}, None, "CONSUMER.DURABLE.CREATE.S.C"), ("filter in subject", {"filter_subject": "s.a"}, None, "CONSUMER.CREATE.S.C.s.a"), ("filter mismatch", {"filter_subject": "s.b"}, None, "CONSUMER.CREATE.S.C.s.a"),
    ("filter absent", {}, None, "CONSUMER.CREATE.S.C.s.a"), ("filters in subject", {"filter_subjects": ["s.a"]}, None, "CONSUMER.CREATE.S.C.s.a"), ("slash", {}, None, "CONSUMER.CREATE.S.a/b"), ("no stream", {}, None, "CONSUMER.CREATE.X.C"),
], create)


def work_queue(trial, name, first, second):
    trial.stream(retention="workqueue")
    for config, consumer in ((first, "C"), (second, "D")):
        trial.api(f"CONSUMER.CREATE.S.{consumer}", {"stream_name": "S", "config": config}, keep=["type"])


table("work queue", [
    ("two unfiltered", {"ack_policy": "explicit"}, {"ack_policy": "explicit"}), ("overlap", {"ack_policy": "explicit", "filter_subject": "s.*"}, {"ack_policy": "explicit", "filter_subject": "s.a"}),
    ("disjoint", {"ack_policy": "explicit", "filter_subject": "s.b"}, {"ack_policy": "explicit", "filter_subject": "s.a"}), ("ack none", {"ack_policy": "none"}, {"ack_policy": "all"}),
    ("deliver new", {"ack_policy": "explicit", "deliver_policy": "new"}, {"ack_policy": "none", "deliver_subject": "d"}), ("unfiltered beside", {"ack_policy": "explicit", "filter_subject": "s.a"}, {"ack_policy": "explicit"}),
], work_queue)


def update(trial, name, before, after):
    trial.stream(), trial.publish("s.a", "1", "2"), trial.consumer(**before)
    trial.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit", **after}})


table("consumer update", [
    ("same", {}, {}), ("description", {}, {"description": "x"}), ("deliver policy", {}, {"deliver_policy": "new"}), ("ack policy", {}, {"ack_policy": "all"}), ("replay", {}, {"replay_policy": "original"}), ("ack wait", {}, {"ack_wait": SECOND}),
    ("to push", {}, {"deliver_subject": "d"}), ("to pull", {"deliver_subject": "d"}, {}), ("max waiting", {}, {"max_waiting": 3}), ("memory", {}, {"mem_storage": True}), ("filter", {}, {"filter_subject": "s.b"}), ("heartbeat", {"deliver_subject": "d", "idle_heartbeat": SECOND}, {"deliver_subject": "d", "idle_heartbeat": 2 * SECOND}),
], update)


def pull(trial, body, count=1, timeout=2, consumer="C"):
    inbox = trial.main.new_inbox()
    trial.main.pub(f"$JS.API.CONSUMER.MSG.NEXT.S.{consumer}", body if isinstance(body, str) else json.dumps(body), inbox)
    got = []
    for _ in range(count):
        got.append(trial.main.take(timeout=timeout))
        trial.note("pulled", got[-1])
    return got


def pulling(trial, name, config, messages, *requests):
    trial.stream(), trial.consumer(**config)
    for i in range(messages):
        trial.publish("s." + "ab"[i % 2], f"m{i}")
    for body, count in requests:
        pull(trial, body, count)
    trial.info()


table("pull", [
    ("one", {}, 2, ("", 1), ("1", 1)), ("number", {}, 3, ("2", 2)), ("odd numbers", {}, 6, ("abc", 1), ("-1", 1), ("0", 1), ("[]", 1)), ("no wait empty", {}, 0, ({"no_wait": True}, 1)),
    ("no wait fewer", {}, 2, ({"no_wait": True, "batch": 5}, 3)), ("no wait exact", {}, 2, ({"no_wait": True, "batch": 2}, 2)), ("expires", {}, 1, ({"batch": 3, "expires": 200_000_000}, 2)),
    ("expires at once", {}, 0, ({"expires": 1}, 1)), ("negative expires", {}, 0, ({"expires": -1}, 1)), ("max bytes", {}, 4, ({"batch": 5, "max_bytes": 150, "expires": SECOND}, 3)), ("bytes too small", {}, 1, ({"batch": 5, "max_bytes": 10, "expires": SECOND}, 1)),
    ("batch completed", {}, 4, ({"batch": 2, "max_bytes": 9999, "expires": SECOND}, 3)), ("heartbeat", {}, 0, ({"batch": 1, "expires": 350_000_000, "idle_heartbeat": 150_000_000}, 3)), ("heartbeat too large", {}, 0, ({"expires": SECOND, "idle_heartbeat": SECOND}, 1)),
    ("bad json", {}, 0, ("{bad", 1)), ("bad type", {}, 0, ('{"batch":"x"}', 1)), ("max batch", {"max_batch": 3}, 4, ({"batch": 4}, 1), ({"batch": 3}, 3)), ("max expires", {"max_expires": 500_000_000}, 0, ({"expires": SECOND}, 1)), ("max request bytes", {"max_bytes": 200}, 0, ({"batch": 1, "max_bytes": 300}, 1)),
    ("max waiting", {"max_waiting": 1}, 0, ({"expires": SECOND}, 0), ({"expires": SECOND}, 1)), ("priority out of range", {}, 0, ({"priority": 10}, 1)), ("overflow only", {}, 0, ({"min_pending": 5}, 1)), ("pin only", {}, 0, ({"id": "x"}, 1)),
    ("push consumer", {"deliver_subject": "d"}, 0, ("1", 1)), ("filtered", {"filter_subject": "s.b"}, 5, ({"batch": 2, "no_wait": True}, 2)), ("filters", {"filter_subjects": ["s.a", "s.c"]}, 5, ({"batch": 5, "no_wait": True}, 4)),
    ("headers only", {"headers_only": True}, 1, ("1", 1)), ("ack none", {"ack_policy": "none"}, 2, ("2", 2)), ("last per subject", {"deliver_policy": "last_per_subject", "filter_subject": ">"}, 5, ({"batch": 5, "no_wait": True}, 3)),
    ("last", {"deliver_policy": "last"}, 0, ({"no_wait": True}, 1)), ("max ack pending", {"max_ack_pending": 1}, 3, ({"batch": 2, "expires": 200_000_000}, 2)), ("unknown fields", {}, 1, ({"bogus": 1, "batch": 1}, 1)),
    ("group missing", {"priority_policy": "overflow", "priority_groups": ["A"]}, 1, ({"batch": 1}, 1), ({"batch": 1, "group": "B"}, 1), ({"batch": 1, "group": "A"}, 1)),
    ("overflow", {"priority_policy": "overflow", "priority_groups": ["A"]}, 2, ({"batch": 1, "group": "A", "min_pending": 5, "expires": 200_000_000}, 1), ({"batch": 1, "group": "A", "min_pending": 2, "expires": 200_000_000}, 1)),
    ("pinned", {"priority_policy": "pinned_client", "priority_groups": ["A"]}, 2, ({"batch": 1, "group": "A", "expires": SECOND}, 1), ({"batch": 1, "group": "A", "id": "wrong", "expires": SECOND}, 1)),
], pulling)


def acking(trial, name, config, payloads):
    trial.stream(), trial.consumer(**config)
    trial.publish("s.a", *[str(i) for i in range(len(payloads) + 1)])
    for payload in payloads:
        got = pull(trial, "1")[0]
        trial.note("ack", payload, trial.main.request(got.reply, payload, timeout=0.5))
        trial.info()


table("ack", [
    ("plus ack", {}, ["+ACK", "", "+OK"]), ("unknown", {}, ["zzz", "+ACK ", "ack"]), ("term", {}, ["+TERM", "+TERM why"]), ("nak", {}, ["-NAK", "-NAK"]), ("in progress", {}, ["+WPI"]),
    ("all", {"ack_policy": "all"}, ["+WPI", "zzz", "+ACK"]), ("none", {"ack_policy": "none"}, ["+ACK"]), ("nak delayed", {}, ['-NAK {"delay":100000000}', "+ACK"]),
], acking)


@scenario()
def acks_out_of_order_move_the_floor(trial):
    trial.stream(), trial.consumer()
    trial.publish("s.a", *"123456")
    got = pull(trial, "6", 6)
    for i in (1, 0, 4, 2, 3, 5):
        trial.main.request(got[i].reply, "+ACK")
        trial.info()
    trial.note(trial.main.request(got[0].reply, "+ACK"))


@scenario()
def ack_next(trial):
    trial.stream(), trial.consumer()
    trial.publish("s.a", *"12345")
    got = pull(trial, "1")[0]
    inbox = trial.main.new_inbox()
    trial.main.pub(got.reply, "+NXT", inbox)
    trial.expect()
    inbox = trial.main.new_inbox()
    trial.main.pub(got.reply, '+NXT {"batch":2,"no_wait":true}', inbox)
    trial.expect(count=2)
    trial.info()


@scenario()
def redelivery_after_ack_wait(trial):
    trial.stream(), trial.consumer(ack_wait=300_000_000, max_deliver=2)
    trial.publish("s.a", "1", "2")
    pull(trial, "1"), pull(trial, {"batch": 2, "expires": SECOND}, 2)
    trial.info()


@scenario()
def max_deliver_advisory(trial):
    trial.main.sub("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>")
    trial.stream(), trial.consumer(ack_wait=200_000_000, max_deliver=1)
    trial.publish("s.a", "1")
    pull(trial, "1")
    trial.expect()
    trial.info()


@scenario()
def nak_and_term_advisories(trial):
    trial.main.sub("$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.>"), trial.main.sub("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>"), trial.main.sub("$JS.EVENT.METRIC.>")
    trial.stream(), trial.consumer(sample_freq="100")
    trial.publish("s.a", "1", "2")
    for payload in ("-NAK", "+TERM bye", "+ACK"):
        got = pull(trial, "1")[0]
        trial.main.pub(got.reply, payload)
        trial.expect()


@scenario()
def push_delivers_and_beats(trial):
    trial.stream()
    trial.publish("s.a", "1", "2")
    trial.main.sub("d.x")
    trial.main.flush()
    trial.consumer(deliver_subject="d.x", ack_policy="none", idle_heartbeat=200_000_000)
    trial.expect(count=3)
    trial.info("S", "C", "delivered", "push_bound", "num_pending")


@scenario()
def push_needs_the_exact_subject(trial):
    trial.stream()
    trial.publish("s.a", "1")
    trial.main.sub("d.*")
    trial.consumer(deliver_subject="d.x", ack_policy="none")
    trial.quiet()
    trial.info("S", "C", "delivered", "push_bound", "num_pending")
    sid = trial.main.sub("d.x")
    trial.expect(count=2)
    trial.main.send(f"UNSUB {sid}\r\n")
    trial.main.flush()
    trial.info("S", "C", "delivered", "push_bound", "num_pending")


@scenario()
def push_flow_control(trial):
    trial.stream()
    trial.publish("s.a", *["x" * 500000] * 7)
    trial.main.sub("d.x")
    trial.main.flush()
    trial.consumer(deliver_subject="d.x", ack_policy="none", flow_control=True, idle_heartbeat=300_000_000)
    seen = [trial.main.take() for _ in range(7)]
    trial.note([(op.headers or "").replace("\r\n", "|") or len(op.data) for op in seen])
    flow = [op for op in seen if op.reply and op.reply.startswith("$JS.FC")]
    trial.main.pub(flow[0].reply)
    seen = [trial.main.take() for _ in range(2)]
    trial.note([len(op.data) for op in seen])


@scenario()
def pause_and_resume(trial):
    trial.stream(), trial.consumer()
    trial.publish("s.a", "1")
    for body in ({"pause_until": "2120-01-01T00:00:00Z"}, {"bogus": 1}, {"pause_until": "2020-01-01T00:00:00Z"}, "", {"pause_until": "2120-01-01T00:00:00Z"}):
        trial.api("CONSUMER.PAUSE.S.C", body)
    trial.api("CONSUMER.PAUSE.S.X"), pull(trial, {"no_wait": True})
    trial.api("CONSUMER.PAUSE.S.C"), pull(trial, "1")


@scenario()
def reset(trial):
    trial.stream(), trial.consumer()
    trial.publish("s.a", *"12345")
    got = pull(trial, "3", 3)
    trial.main.request(got[0].reply, "+ACK")
    for body in ("", {"seq": 2}, {"seq": 100}, "{}", "x"):
        trial.api("CONSUMER.RESET.S.C", body)
    pull(trial, "1")


@scenario()
def consumer_info_delete_and_lists(trial):
    trial.stream(), trial.consumer(), trial.consumer(name="A")
    trial.api("CONSUMER.INFO.S.C"), trial.api("CONSUMER.INFO.S.X"), trial.api("CONSUMER.INFO.S.C", {"x": 1}), trial.api("CONSUMER.NAMES.S"), trial.api("CONSUMER.LIST.S"), trial.api("CONSUMER.LIST.S", {"offset": 1})
    trial.api("CONSUMER.DELETE.S.C", {"x": 1}), trial.api("CONSUMER.DELETE.S.C"), trial.api("CONSUMER.DELETE.S.C"), trial.api("STREAM.INFO.S", keep=["state"])


@scenario()
def deleted_consumer_ends_its_requests(trial):
    trial.stream(), trial.consumer()
    pull(trial, {"batch": 1, "expires": 5 * SECOND}, 0)
    trial.main.flush()
    trial.api("CONSUMER.DELETE.S.C", quiet=True)
    trial.note(*trial.main.pending or trial.main.flush())


@scenario()
def work_queue_removes_what_is_acked(trial):
    trial.stream(retention="workqueue"), trial.consumer()
    trial.publish("s.a", *"123")
    got = pull(trial, "3", 3)
    trial.main.request(got[1].reply, "+ACK"), trial.state(), trial.main.request(got[0].reply, "+TERM"), trial.state()
    trial.api("CONSUMER.DELETE.S.C", quiet=True), trial.state()


@scenario()
def interest_stream_keeps_until_all_acked(trial):
    trial.stream(retention="interest"), trial.consumer(), trial.consumer(name="D", filter_subject="s.a")
    trial.publish("s.a", "1"), trial.publish("s.b", "2")
    one, two = pull(trial, "2", 2), pull(trial, "1", 1, consumer="D")
    for got in (one[0], one[1], two[0]):
        trial.main.request(got.reply, "+ACK")
        trial.state("S", "messages", "first_seq", "last_seq")


@scenario()
def pending_follows_purges_and_deletes(trial):
    trial.stream(), trial.consumer()
    trial.publish("s.a", *"12345678")
    pull(trial, "3", 3)
    for call, body in (("STREAM.MSG.DELETE.S", {"seq": 2}), ("STREAM.MSG.DELETE.S", {"seq": 5}), ("STREAM.PURGE.S", {"seq": 4}), ("STREAM.PURGE.S", "")):
        trial.api(call, body, quiet=True)
        trial.info()


@scenario()
def max_consumers(trial):
    trial.stream(max_consumers=1)
    for name in "AB":
        trial.api(f"CONSUMER.CREATE.S.{name}", {"stream_name": "S", "config": {"durable_name": name}}, keep=["type"])


@scenario(name="required api level of a pull")
def pull_level(trial):
    trial.stream(), trial.consumer()
    trial.request("$JS.API.CONSUMER.MSG.NEXT.S.C", "1", {"Nats-Required-Api-Level": "9"})


@scenario()
def a_no_wait_pull_that_max_ack_pending_stops(trial):
    trial.stream()
    trial.consumer(max_ack_pending=2)
    trial.publish("s.a", "1", "2", "3", "4")
    trial.main.pub("$JS.API.CONSUMER.MSG.NEXT.S.C", json.dumps({"batch": 3, "no_wait": True, "expires": 5_000_000_000, "idle_heartbeat": 100_000_000}), trial.main.new_inbox())
    trial.expect(count=3)


@scenario()
def requests_of_different_priorities_that_come_together(trial):
    trial.stream(), trial.consumer(priority_policy="prioritized", priority_groups=["A"])
    trial.publish("s.a", *"123456")
    wire, ask = trial.wire(), lambda inbox, **more: "PUB $JS.API.CONSUMER.MSG.NEXT.S.C %s %d\r\n%s\r\n" % (inbox, len(text := json.dumps({"group": "A", "expires": 5 * SECOND, **more})), text)
    low = wire.sub("low.x")
    wire.sub("high.x"), wire.flush()
    wire.send(ask("low.x", batch=3, priority=1) + ask("high.x", batch=3, priority=0))
    for _ in range(6):
        message = wire.take(lambda op: isinstance(op, Msg))
        trial.note("low" if message.sid == low else "high", message)
