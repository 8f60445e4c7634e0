"""Refusals that no other topic reaches, and which of two comes first where a request has two faults."""
import base64, itertools, json
import archive
from oracle import clean, scenario, table

SECOND = 1_000_000_000


def put(trial, title, config, subject="CONSUMER.CREATE.S.C", stream="S", **more):
    reply = trial.main.api(subject, {"stream_name": stream, "config": config, **more})
    shown = clean(reply.get("error") or {k: reply[k] for k in ("name", "config")}) if isinstance(reply, dict) else reply
    if isinstance(shown, dict) and len(shown.get("name", "")) == 8:
        shown["name"] = shown["config"]["name"] = "<name>"
    trial.note(title, "->", shown)
    if isinstance(reply, dict) and "error" not in reply:
        trial.main.api(f"CONSUMER.DELETE.{stream}.{reply['name']}")


NAMES = [
    ("long name", {"name": "x" * 256}, "CONSUMER.CREATE.S"), ("dotted name", {"name": "a.b"}, "CONSUMER.CREATE.S"), ("star", {"name": "a*"}, "CONSUMER.CREATE.S"), ("blank", {"name": "a b"}, "CONSUMER.CREATE.S"), ("slash", {"name": "a/b"}, "CONSUMER.CREATE.S"), ("backslash", {"name": "a\\b"}, "CONSUMER.CREATE.S"),
    ("long", {}, "CONSUMER.CREATE.S." + "x" * 256), ("longest", {}, "CONSUMER.CREATE.S." + "x" * 255), ("long durable", {"durable_name": "x" * 256}, "CONSUMER.DURABLE.CREATE.S." + "x" * 256), ("durable slash", {"durable_name": "a/b"}, "CONSUMER.DURABLE.CREATE.S.a/b"),
    ("dotted durable", {"durable_name": "a.b"}, "CONSUMER.CREATE.S.a.b"), ("dotted durable legacy", {"durable_name": "a.b"}, "CONSUMER.DURABLE.CREATE.S.a"), ("durable star", {"durable_name": "a*"}, "CONSUMER.CREATE.S.a*"), ("durable more", {"durable_name": "a>"}, "CONSUMER.CREATE.S.a>"), ("durable tab", {"durable_name": "a\tb"}, "CONSUMER.CREATE.S"),
    ("names differ", {"durable_name": "C", "name": "D"}, "CONSUMER.CREATE.S.C"), ("names differ legacy", {"durable_name": "C", "name": "D"}, "CONSUMER.DURABLE.CREATE.S.C"), ("names agree", {"durable_name": "C", "name": "C"}, "CONSUMER.CREATE.S.C"), ("name differs", {"name": "D"}, "CONSUMER.CREATE.S.C"),
    ("name in ephemeral", {"name": "E"}, "CONSUMER.CREATE.S"), ("no name", {}, "CONSUMER.CREATE.S"), ("durable in ephemeral", {"durable_name": "E", "name": "F"}, "CONSUMER.CREATE.S"), ("durable in named", {"durable_name": "E"}, "CONSUMER.CREATE.S.C"),
]


@scenario()
def error_consumer_names(trial):
    trial.stream()
    for title, config, subject in NAMES:
        put(trial, title, {"ack_policy": "explicit", **config}, subject)
    for body in ('{"stream_name":"S"}', '{"stream_name":"S","config":null}', '{"stream_name":"S","config":{}}', '{"stream_name":"T","config":{}}', '{"config":{}}', '{"stream_name":"S","config":[]}', '{"stream_name":"S","config":{"ack_policy":""}}', '{"stream_name":"S","config":{"ack_policy":7}}',
                 '{"stream_name":"S","config":{"replay_policy":"x"}}', '{"stream_name":"S","config":{"deliver_policy":null}}', '{"stream_name":"S","action":7}', '{"stream_name":"S","config":{},"pedantic":"x"}'):
        trial.api("CONSUMER.CREATE.S.C", body), trial.api("CONSUMER.CREATE.S", body, keep=["error"]), trial.api("CONSUMER.DURABLE.CREATE.S.C", body, keep=["error"])
        trial.main.api("CONSUMER.DELETE.S.C")


PUSH = {"deliver_subject": "d"}
FAULTS = [
    ("flow acks pull", {"ack_policy": "flow_control", "max_ack_pending": 5}), ("flow acks push", {**PUSH, "ack_policy": "flow_control", "max_ack_pending": 5}), ("flow acks unlimited", {**PUSH, "ack_policy": "flow_control"}), ("flow acks minus", {**PUSH, "ack_policy": "flow_control", "max_ack_pending": -1}),
    ("flow acks wait", {**PUSH, "ack_policy": "flow_control", "max_ack_pending": 5, "ack_wait": SECOND}), ("flow acks backoff", {**PUSH, "ack_policy": "flow_control", "max_ack_pending": 5, "backoff": [SECOND]}), ("flow acks deliver", {**PUSH, "ack_policy": "flow_control", "max_ack_pending": 5, "max_deliver": 3}),
    ("flow acks heartbeat", {**PUSH, "ack_policy": "flow_control", "max_ack_pending": 5, "flow_control": True, "idle_heartbeat": 2 * SECOND}), ("replicas 3", {"num_replicas": 3}), ("replicas negative", {"num_replicas": -1}), ("replicas 9", {"num_replicas": 9}), ("replicas 1", {"num_replicas": 1}), ("backoff negative", {"backoff": [-1]}), ("wait negative", {"ack_wait": -1}),
    ("deliver below backoff", {"backoff": [1, 2, 3], "max_deliver": 2}), ("deliver as backoff", {"backoff": [1, 2, 3], "max_deliver": 3}), ("description", {"description": "d" * 4097}), ("wildcard deliver", {"deliver_subject": "d.*"}), ("bad deliver", {"deliver_subject": "d..d"}), ("cycle", {"deliver_subject": "s.x"}), ("cycle wide", {"deliver_subject": "s"}),
    ("push waiting", {**PUSH, "max_waiting": 5}), ("push none pending", {**PUSH, "ack_policy": "none", "max_ack_pending": 5}), ("push heartbeat", {**PUSH, "idle_heartbeat": 5}), ("push heartbeat negative", {**PUSH, "idle_heartbeat": -5}), ("pull waiting", {"max_waiting": -5}), ("rate", {"rate_limit_bps": 5}), ("pull heartbeat", {"idle_heartbeat": SECOND}), ("pull flow", {"flow_control": True}),
    ("push flow", {**PUSH, "flow_control": True}), ("batch negative", {"max_batch": -5}), ("expires small", {"max_expires": 5}), ("expires negative", {"max_expires": -5}), ("bytes negative", {"max_bytes": -5}), ("pending over", {"max_ack_pending": 51}), ("pending minus", {"max_ack_pending": -1}), ("threshold over", {"inactive_threshold": 600 * SECOND}), ("threshold negative", {"inactive_threshold": -5}),
    ("direct pull", {"direct": True}), ("direct durable", {**PUSH, "direct": True, "durable_name": "C"}), ("sourcing", {**PUSH, "sourcing": True}), ("filter both", {"filter_subject": "s.a", "filter_subjects": ["s.b"]}), ("filter empty", {"filter_subjects": ["s.a", ""]}), ("filter overlap", {"filter_subjects": ["s.a", "s.*"]}), ("filter twice", {"filter_subjects": ["s.a", "s.a"]}), ("filter bad", {"filter_subject": "s..a"}), ("filters bad", {"filter_subjects": ["s..a"]}),
    ("start seq", {"opt_start_seq": 5}), ("start time", {"opt_start_time": "2020-01-01T00:00:00Z"}), ("seq missing", {"deliver_policy": "by_start_sequence"}), ("time missing", {"deliver_policy": "by_start_time"}), ("seq and time", {"deliver_policy": "by_start_sequence", "opt_start_seq": 5, "opt_start_time": "2020-01-01T00:00:00Z"}), ("time and seq", {"deliver_policy": "by_start_time", "opt_start_seq": 5, "opt_start_time": "2020-01-01T00:00:00Z"}),
    ("last per subject", {"deliver_policy": "last_per_subject"}), ("last and seq", {"deliver_policy": "last", "opt_start_seq": 5}), ("new and time", {"deliver_policy": "new", "opt_start_time": "2020-01-01T00:00:00Z"}), ("sampling", {"sample_freq": "x"}), ("sampling negative", {"sample_freq": "-5"}), ("sampling 101", {"sample_freq": "101"}), ("sampling huge", {"sample_freq": "99999999999999999999"}), ("sampling percent", {"sample_freq": "%"}),
    ("names", {"durable_name": "C", "name": "D"}), ("metadata", {"metadata": {"k": "v" * 140000}}), ("policy without group", {"priority_policy": "overflow"}), ("group without policy", {"priority_groups": ["A"]}), ("group empty", {"priority_policy": "overflow", "priority_groups": [""]}), ("group bad", {"priority_policy": "pinned_client", "priority_groups": ["a b"]}), ("group long", {"priority_policy": "overflow", "priority_groups": ["x" * 17]}),
    ("groups", {"priority_policy": "overflow", "priority_groups": ["A", "B"]}), ("groups empty second", {"priority_policy": "overflow", "priority_groups": ["A", ""]}), ("groups twice", {"priority_policy": "overflow", "priority_groups": ["A", "A"]}), ("group push", {**PUSH, "priority_policy": "overflow", "priority_groups": ["A"]}), ("ttl", {"priority_timeout": 5}), ("ttl overflow", {"priority_policy": "overflow", "priority_groups": ["A"], "priority_timeout": 5}), ("ttl negative", {"priority_timeout": -5}), ("ttl pinned negative", {"priority_policy": "pinned_client", "priority_groups": ["A"], "priority_timeout": -5}),
    ("none", {"ack_policy": "none"}), ("none pending", {"ack_policy": "none", "max_ack_pending": 5}), ("all", {"ack_policy": "all"}), ("none backoff", {"ack_policy": "none", "backoff": [SECOND]}), ("group of push", {"deliver_group": "g"}), ("bad group of push", {**PUSH, "deliver_group": "g g"}), ("pause", {"pause_until": "2020-01-01T00:00:00Z"}),
]


def pairs_of(faults):
    """Not the consumers of copies, direct and sourcing: they are a topic of their own."""
    for (one, left), (two, right) in itertools.combinations(faults, 2):
        if all(left[key] == right[key] for key in set(left) & set(right)) and not {"direct", "sourcing"} <= {**left, **right}.keys():
            yield f"{one} + {two}", {**left, **right}


def consumer_faults(trial, name, stream, base, pairs):
    trial.stream(**stream)
    for title, config in FAULTS if not pairs else pairs_of(FAULTS):
        put(trial, title, {**base, **config})


table("error consumer rules", [
    ("one by one", {"consumer_limits": {"max_ack_pending": 50, "inactive_threshold": 60 * SECOND}}, {"ack_policy": "explicit"}, False), ("without limits", {}, {"ack_policy": "explicit"}, False), ("without acks", {}, {}, False), ("durable", {}, {"durable_name": "C", "ack_policy": "all"}, False),
    ("of a work queue", {"retention": "workqueue"}, {"ack_policy": "explicit"}, False), ("of a work queue without acks", {"retention": "workqueue"}, {}, False), ("of an interest stream", {"retention": "interest"}, {"ack_policy": "explicit"}, False), ("in memory", {"storage": "memory"}, {"ack_policy": "explicit"}, False),
    ("two at a time", {"consumer_limits": {"max_ack_pending": 50, "inactive_threshold": 60 * SECOND}}, {}, True), ("two at a time of a work queue", {"retention": "workqueue"}, {}, True),
], consumer_faults)


@scenario()
def error_consumer_rules_pedantic(trial):
    trial.stream(consumer_limits={"max_ack_pending": 50, "inactive_threshold": 60 * SECOND})
    for title, config in FAULTS + [("negative deliver", {"max_deliver": -5}), ("zero", {"max_deliver": 0}), ("pending negative", {"max_ack_pending": -5}), ("no threshold", {"durable_name": "C"})]:
        put(trial, title, config, pedantic=True), put(trial, title, {"ack_policy": "explicit", **config}, pedantic=True)


BATCHED = "limits { max_request_batch: 10, max_ack_pending: 20, max_ha_assets: 5, duplicate_window: 60s }\n"


@scenario(jetstream=BATCHED)
def error_server_limits(trial):
    trial.stream()
    for title, config in (("batch over", {"max_batch": 11}), ("batch", {"max_batch": 10}), ("none", {}), ("negative", {"max_batch": -1}), ("pending over", {"ack_policy": "explicit", "max_ack_pending": 21}), ("pending", {"ack_policy": "explicit"}), ("pending minus", {"ack_policy": "explicit", "max_ack_pending": -1}), ("push batch", {**PUSH, "max_batch": 11})):
        put(trial, title, config)
        put(trial, title + " pedantic", config, pedantic=True)
    trial.api("STREAM.CREATE.T", {"name": "T", "duplicate_window": 61 * SECOND}), trial.api("STREAM.CREATE.T", {"name": "T", "consumer_limits": {"max_ack_pending": 21}}, keep=["config"])


LIMITED = """
accounts { A { users [{user: a, password: a}], jetstream { max_mem: 1000, max_file: 2000, max_streams: 2, max_bytes: true } }, B { users [{user: b, password: b}], jetstream { max_mem: 300, max_file: 500 } } }
no_auth_user: a
"""


@scenario(conf=LIMITED)
def error_account_limits(trial):
    trial.api("STREAM.CREATE.S", {"name": "S"}), trial.api("STREAM.CREATE.S", {"name": "S", "max_bytes": 0}), trial.api("STREAM.CREATE.S", {"name": "S", "max_bytes": -1, "subjects": ["a..b"]})
    trial.api("STREAM.CREATE.S", {"name": "S", "max_bytes": 1500, "subjects": ["s"]}, keep=["config"]), trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s"]}), trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s"], "max_bytes": 2001}), trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s"], "max_bytes": 2000}, keep=["config"])
    trial.api("STREAM.CREATE.T", {"name": "T", "max_bytes": 1}), trial.api("STREAM.CREATE.T", {"name": "T", "max_bytes": 500, "storage": "memory"}, keep=["config"]), trial.api("STREAM.CREATE.U", {"name": "U", "max_bytes": 1}), trial.api("STREAM.CREATE.U", {"name": "U", "max_bytes": 1, "subjects": ["s"]}), trial.main.api("STREAM.DELETE.T"), trial.api("STREAM.CREATE.U", {"name": "U", "max_bytes": 1, "subjects": ["s"]}), trial.api("STREAM.CREATE.U", {"name": "U", "max_bytes": 1, "subjects": ["s"], "storage": "memory"}), trial.api("STREAM.CREATE.T", {"name": "T", "max_bytes": 500, "storage": "memory"}, keep=["type"]), trial.api("STREAM.CREATE.S", {"name": "S", "max_bytes": 1})
    trial.api("STREAM.UPDATE.T", {"name": "T", "max_bytes": 1001, "storage": "memory"}), trial.api("STREAM.UPDATE.T", {"name": "T", "max_bytes": 1001}), trial.api("INFO", keep=["memory", "storage", "reserved_memory", "reserved_storage", "streams", "limits"])


@scenario(conf=LIMITED)
def error_account_is_full(trial):
    wire = trial.wire({"user": "b", "pass": "b"})
    wire.flush()
    for storage, size in (("file", 100), ("memory", 80)):
        wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.*"], "storage": storage})
        for i in range(6):
            trial.note(wire.request(f"s.{i % 2}", "x" * size))
        trial.note(wire.request("s.1", "", {"Nats-Expected-Last-Sequence": "99"})), trial.note(wire.request("s.1", "x" * 150, {"Nats-Msg-Id": "1"}))
        info = wire.api("STREAM.INFO.S")["state"]
        trial.note({k: info[k] for k in ("messages", "bytes", "first_seq", "last_seq")})
        info = wire.api("INFO")
        trial.note({k: info[k] for k in ("memory", "storage", "reserved_memory", "reserved_storage")})
        trial.note(wire.api("STREAM.CREATE.T", {"name": "T", "storage": storage, "max_bytes": 600})), trial.note(outcome_of(wire.api("STREAM.CREATE.T", {"name": "T", "storage": storage, "max_bytes": 20})))
        wire.api("STREAM.DELETE.S"), wire.api("STREAM.DELETE.T")


def outcome_of(reply):
    return reply.get("error") or "good"


@scenario(fresh=True, jetstream="max_file_store: 600\nmax_memory_store: 400\n")
def error_server_is_full(trial):
    for storage, size in (("file", 100), ("memory", 80)):
        trial.stream("S", subjects=["s.*"], storage=storage), trial.stream("T", subjects=["t.*"], storage=storage)
        for i in range(8):
            trial.request(f"{'st'[i % 2]}.x", "x" * size)
        trial.state("S", "messages", "last_seq"), trial.state("T", "messages", "last_seq")
        trial.note(outcome_of(trial.main.api("STREAM.CREATE.U", {"name": "U", "storage": storage, "max_bytes": 601}))), trial.note(outcome_of(trial.main.api("STREAM.CREATE.U", {"name": "U", "storage": storage, "max_bytes": 10})))
        trial.main.api("STREAM.PURGE.S"), trial.request("t.x", "again"), trial.main.api("STREAM.DELETE.S"), trial.main.api("STREAM.DELETE.T"), trial.main.api("STREAM.DELETE.U")


@scenario()
def error_large_headers(trial):
    trial.stream(), trial.stream("M", storage="memory")
    for subject in ("s.a", "m.a"):
        for size in (65535, 65536):
            reply = trial.main.request(subject, "x", {"K": "v" * (size - len("NATS/1.0\r\nK: \r\n\r\n"))})
            trial.note(size, reply)


@scenario()
def error_of_names_in_use(trial):
    trial.stream(), trial.main.sub("d.a"), trial.main.flush()
    push = {"durable_name": "C", "deliver_subject": "d.a"}
    trial.consumer(**push)
    put_kept = lambda title, config, **more: trial.note(title, outcome_of(trial.main.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": config, **more})))
    for title, config in (("same", {"ack_policy": "explicit", **push}), ("other subject", {"ack_policy": "explicit", **push, "deliver_subject": "d.b"}), ("group", {"ack_policy": "explicit", **push, "deliver_group": "g"}), ("ephemeral", {"ack_policy": "explicit", "deliver_subject": "d.a"}), ("to pull", {"ack_policy": "explicit", "durable_name": "C"})):
        put_kept(title, config), put_kept(title + " create", config, action="create"), put_kept(title + " update", config, action="update")
    trial.note(outcome_of(trial.main.api("CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "S", "config": {"ack_policy": "explicit", **push, "deliver_subject": "d.c"}})))
    trial.note(outcome_of(trial.main.api("CONSUMER.CREATE.S", {"stream_name": "S", "config": {"ack_policy": "explicit", "deliver_subject": "d.a"}})))


CHANGES = [("limits over", {"max_ack_pending": 60}), ("threshold over", {"inactive_threshold": 120 * SECOND}), ("filter", {"filter_subject": "s.a"}), ("filters", {"filter_subjects": ["s.a", "s.b"]}), ("waiting", {"max_waiting": 4}), ("groups", {"priority_policy": "overflow", "priority_groups": ["A"]}), ("replay", {"replay_policy": "original"}), ("ack", {"ack_policy": "all"}),
           ("deliver", {"deliver_policy": "new"}), ("start", {"deliver_policy": "by_start_sequence", "opt_start_seq": 4}), ("time", {"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"}), ("memory", {"mem_storage": True}), ("push", {"deliver_subject": "d"}), ("wait", {"ack_wait": 5}), ("max deliver", {"max_deliver": 3}), ("backoff", {"backoff": [5, 6], "max_deliver": 5}), ("sampling", {"sample_freq": "5%"}),
           ("metadata", {"metadata": {"a": "b"}}), ("rate", {"rate_limit_bps": 5}), ("batch", {"max_batch": 5}), ("bytes", {"max_bytes": 5}), ("expires", {"max_expires": SECOND}), ("headers only", {"headers_only": True}), ("replicas", {"num_replicas": 1}), ("pause", {"pause_until": "2120-01-01T00:00:00Z"}), ("name", {"name": "C"}), ("ephemeral", {"durable_name": ""}), ("heartbeat", {"deliver_subject": "d", "idle_heartbeat": SECOND}), ("sourcing", {"sourcing": True}), ("direct", {"direct": True})]


@scenario()
def error_consumer_changes(trial):
    trial.stream(consumer_limits={"max_ack_pending": 50, "inactive_threshold": 60 * SECOND})
    for title, change in CHANGES + list(pairs_of(CHANGES)):
        trial.consumer(max_ack_pending=10)
        trial.note(title, outcome_of(trial.main.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit", "max_ack_pending": 10, **change}})),
                   outcome_of(trial.main.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "action": "create", "config": {"durable_name": "C", "ack_policy": "explicit", "max_ack_pending": 10, **change}})))
        trial.main.api("CONSUMER.DELETE.S.C")


@scenario()
def error_unpin_and_reset(trial):
    trial.stream(), trial.publish("s.a", *"12345"), trial.consumer(), trial.consumer(name="P", priority_policy="pinned_client", priority_groups=["A"]), trial.consumer(name="O", priority_policy="overflow", priority_groups=["A"]), trial.consumer(name="N", deliver_policy="new"), trial.consumer(name="Q", deliver_policy="by_start_sequence", opt_start_seq=3)
    trial.consumer(name="X", deliver_policy="last"), trial.consumer(name="Y", ack_policy="none"), trial.consumer(name="Z", deliver_policy="by_start_time", opt_start_time="2020-01-01T00:00:00Z"), trial.consumer(name="W", deliver_policy="last_per_subject", filter_subject=">")
    for consumer in "CPON":
        for body in ('{"group":"A"}', '{"group":"B"}', '{"group":""}', "{}", "", '{"group":7}', '{"group":"A","x":1}', "x"):
            trial.api(f"CONSUMER.UNPIN.S.{consumer}", body)
    for consumer in "CNQPXYZW":
        for body in ('{"seq":1}', '{"seq":3}', '{"seq":5}', '{"seq":6}', '{"seq":7}', '{"seq":0}', '{"seq":-1}', '{"seq":"x"}', '{"x":1}', "", "{}", "x", "[]"):
            reply = trial.main.api(f"CONSUMER.RESET.S.{consumer}", body)
            trial.note("reset", consumer, body, reply.get("error") or {k: reply.get(k) for k in ("reset_seq", "type", "num_pending")}, clean({k: reply.get(k) for k in ("delivered", "ack_floor")}))


@scenario()
def error_identity(trial):
    trial.stream()
    for identity in ("x", "", "12345678", "T 1"):
        for subject in ("CONSUMER.CREATE.S.C", "CONSUMER.CREATE.S", "CONSUMER.DURABLE.CREATE.S.C"):
            reply = trial.main.request("$JS.API." + subject, json.dumps({"stream_name": "S", "config": {"name": "C"}}), {"Nats-Stream-Identity": identity})
            trial.note(identity, subject, outcome_of(json.loads(reply.data)))
        copier = {"name": "K", "deliver_subject": "k", "sourcing": True, "direct": True, "ack_policy": "none", "flow_control": True, "idle_heartbeat": SECOND}
        reply = trial.main.request("$JS.API.CONSUMER.CREATE.S", json.dumps({"stream_name": "S", "config": copier}), {"Nats-Stream-Identity": identity})
        trial.note(identity, "copier", outcome_of(json.loads(reply.data)))
    for deliver in ("s.x", "s", "S", "s.>", "q"):
        trial.note(deliver, outcome_of(trial.main.api("STREAM.CREATE.E", {"name": "E", "subjects": ["s.x", "e.>"], "sources": [{"name": "O", "external": {"api": "hub.api", "deliver": deliver}}]})))
        trial.note(deliver, outcome_of(trial.main.api("STREAM.CREATE.E", {"name": "E", "subjects": ["e.>", "d.>"], "sources": [{"name": "O", "external": {"api": "hub.api", "deliver": "d.x"}}]})))


@scenario()
def error_streams_in_use(trial):
    trial.stream(), trial.stream("T"), trial.consumer(max_ack_pending=20, inactive_threshold=50 * SECOND)
    for config in ({"consumer_limits": {"max_ack_pending": 19}}, {"consumer_limits": {"max_ack_pending": 20}}, {"consumer_limits": {"inactive_threshold": 49 * SECOND}}, {"consumer_limits": {"inactive_threshold": 50 * SECOND}}, {"max_consumers": 1}, {"subjects": ["t.x"]}, {"subjects": ["S"]}, {"max_msgs": 1}, {"name": "T"}, {"subjects": ["d"]}):
        trial.note(config, outcome_of(trial.main.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], **config})))
    trial.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "max_msgs": 7}), trial.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "max_msgs": 1, "consumer_limits": {"max_ack_pending": 20}})


@scenario()
def error_republish_loops(trial):
    trial.stream("A", subjects=["a.>"], republish={"src": "a.>", "dest": "b.>"}), trial.stream("B", subjects=["b.>"], republish={"src": "b.>", "dest": "c.>"}), trial.stream("C", subjects=["c.>"])
    trial.request("a.x", "1"), trial.until(lambda: trial.main.api("STREAM.INFO.C")["state"]["last_seq"] == 1), trial.state("B", "last_seq"), trial.state("C", "last_seq")
    for name in "BC":
        trial.note(base64.b64decode(trial.main.api(f"STREAM.MSG.GET.{name}", {"seq": 1})["message"]["hdrs"]).decode())
    for dest in ("", "$JS.API.>", "$JS.ACK.>", "a.x.>", "d.>", ">", "a", "a..b", "d.$1"):
        trial.note(dest, outcome_of(trial.main.api("STREAM.UPDATE.C", {"name": "C", "subjects": ["c.>"], "republish": {"src": ">", "dest": dest}})))


@scenario()
def error_republish_round_trip(trial):
    trial.stream("A", subjects=["a.>"], max_msgs=5, republish={"src": "a.>", "dest": "b.>"}), trial.stream("B", subjects=["b.>"], max_msgs=5)
    trial.note(outcome_of(trial.main.api("STREAM.UPDATE.B", {"name": "B", "subjects": ["b.>"], "max_msgs": 5, "republish": {"src": "b.>", "dest": "a.>"}})))


@scenario()
def flow_replies_to_nobody(trial):
    trial.stream(), trial.consumer(), trial.consumer(name="P", deliver_subject="d.p"), trial.consumer(name="F", deliver_subject="d.f", flow_control=True, idle_heartbeat=5 * SECOND)
    for subject in ("$JS.FC.S.C.xxxx", "$JS.FC.S.P.xxxx", "$JS.FC.S.F.xxxx", "$JS.FC.S.NONE.xxxx", "$JS.FC.NONE.C.xxxx", "$JS.FC.S.F", "$JS.FC", "$JS.FC.S.F.x.y", "$JS.FC._.xxxxxxxx.S.F.x", "$JS.ACK.S.C", "$JS.ACK", "$JS.ACK.S.F.1.1.1.1.1", "$JS.ACK.S.F.1.1.1.1.x", "$JS.ACK.S.C.x.y.z.1.1", "$JS.ACK.S.C.1.1.1.1.1.1", "$JS.ACK.S.C.1.1.1"):
        trial.request(subject, timeout=0.3)


@scenario()
def error_of_a_delivery_prefix(trial):
    """It overlaps when the origin's subject, which is known here, could begin with it."""
    trial.stream("O", subjects=["a.*.>", "c.d"]), trial.stream("Q", subjects=["q.a"])
    for prefix in ("a", "a.a", "a.b", "b", "c", "c.d", "b.a", "a.>", "*.b", ""):
        external = {"api": "$JS.other.API", "deliver": prefix}
        trial.api("STREAM.CREATE.T", {"name": "T", "sources": [{"name": "O", "external": external}]}, keep=("error",)), trial.api("STREAM.DELETE.T", keep=("error",))
        trial.api("STREAM.CREATE.T", {"name": "T", "mirror": {"name": "O", "external": external}}, keep=("error",)), trial.api("STREAM.DELETE.T", keep=("error",))
        trial.api("STREAM.CREATE.T", {"name": "T", "subjects": ["t.>"], "sources": [{"name": "Nobody", "external": external}, {"name": "O"}]}, keep=("error",)), trial.api("STREAM.DELETE.T", keep=("error",))
        trial.api("STREAM.CREATE.T", {"name": "T", "subjects": [f"{prefix}.b.>"], "sources": [{"name": "Q", "external": external}]}, keep=("error",)), trial.api("STREAM.DELETE.T", keep=("error",))


@scenario()
def error_of_two_names(trial):
    trial.stream()
    for endpoint in ("CONSUMER.CREATE.S", "CONSUMER.CREATE.S.A", "CONSUMER.CREATE.S.B", "CONSUMER.DURABLE.CREATE.S.A", "CONSUMER.DURABLE.CREATE.S.B", "CONSUMER.CREATE.S.A.s.x", "CONSUMER.CREATE.S.B.s.x"):
        for config in ({"durable_name": "A", "name": "B"}, {"durable_name": "A", "name": "B", "filter_subject": "s.x"}, {"durable_name": "A", "name": "A"}):
            trial.api(endpoint, {"stream_name": "S", "config": {"ack_policy": "explicit", **config}}, keep=("error",))


@scenario()
def error_of_a_broken_counter(trial):
    """A total that no number is comes from an archive alone."""
    config = {"Created": "2024-01-02T03:04:05.6Z", "name": "V", "subjects": ["v.>"], "retention": "limits", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "discard": "old", "max_age": 0,
              "max_msgs_per_subject": -1, "max_msg_size": -1, "storage": "file", "num_replicas": 1, "duplicate_window": 120_000_000_000, "allow_msg_counter": True, "allow_atomic": True, "allow_batched": True}
    rows = [(1, "v.a", b"", b"junk"), (2, "v.b", b"", b'{"val":5}'), (3, "v.c", b"", b'{"val":"x"}'), (4, "v.d", b"", b""), (5, "v.e", b"NATS/1.0\r\nNats-Counter-Sources: no\r\n\r\n", b'{"val":"1"}'), (6, "v.f", b"", b'{"val":"7"}'), (7, "v.g", b"", b"{}")]
    whole = archive.v1("V", config, [[(seq, 1_700_000_000_000_000_000 + seq, subject, headers, data) for seq, subject, headers, data in rows]], {})
    answer = archive.restore(trial.main, "V", whole, {"name": "V", "subjects": ["v.>"], "allow_msg_counter": True, "allow_atomic": True, "allow_batched": True}, {"first_seq": 1, "last_seq": 7})
    trial.note(answer.get("error"), answer.get("state"))
    for _, subject, _, _ in rows:
        trial.request(subject, b"", {"Nats-Incr": "1"})
    trial.main.sub("FI.>"), trial.main.flush()
    for subject in ("v.f", "v.a"):
        trial.request("v.f", b"", {"Nats-Incr": "1", "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"}), trial.request(subject, b"", {"Nats-Incr": "1", "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"})
    trial.main.pub("v.a", b"", "FI.f.2.ok.1.2.$FI", {"Nats-Incr": "1"}), trial.note(trial.main.take(timeout=2), trial.main.take(timeout=1))
    trial.state("V", "messages", "last_seq")


@scenario(jetstream="max_buffered_msgs: 2\n", fresh=True)
def error_too_many_requests(trial):
    """More at once than may wait; how many are refused is chance."""
    trial.stream()
    inbox, answers = trial.main.new_inbox(), set()
    for _ in range(200):
        trial.main.send(b"".join(f"PUB s.a {inbox} 1\r\nx\r\n".encode() for _ in range(500)))
        for _ in range(500):
            got = trial.main.take(lambda op: getattr(op, "subject", "") == inbox, timeout=5)
            answers.add(trial.show(got)) if got is not None and b"error" in got.data else None
        if answers:
            break
    trial.note(*answers)
