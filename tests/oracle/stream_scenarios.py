"""Streams: creating, updating, publishing, reading, removing."""
import json
from oracle import scenario, table

MINUTE = 60_000_000_000


def create(trial, name, config):
    trial.api("STREAM.CREATE.S", config if isinstance(config, str) else {"name": "S", **config})


table("stream create", [
    ("defaults", {}), ("subjects", {"subjects": ["a", "b.>"]}), ("empty body", ""), ("other name", {"name": "T"}), ("unknown field", {"bogus": 1}),
    ("not json", "nope"), ("cut off", '{"name":"S"'), ("text behind", '{"name":"S"}x'), ("wrong type", '{"name":"S","max_msgs":"x"}'),
    ("fraction", '{"name":"S","max_msgs":1.5}'), ("exponent", '{"name":"S","max_msgs":1e9}'), ("array", '[]'), ("bad retention", {"retention": "xx"}),
    ("null retention", '{"name":"S","retention":null}'), ("bad storage", {"storage": "disk"}), ("bad compression", {"compression": "zip"}), ("bad discard", {"discard": "x"}),
    ("overlapping subjects", {"subjects": ["a", "a"]}), ("overlapping wildcard", {"subjects": ["a.>", "a.b"]}), ("invalid subject", {"subjects": ["a..b"]}),
    ("blank subject", {"subjects": ["a b"]}), ("api subjects", {"subjects": ["$JS.API.>"]}), ("all subjects", {"subjects": [">"]}),
    ("sys subjects", {"subjects": ["$SYS.>"]}), ("negative age", {"max_age": -1}), ("small age", {"max_age": 1}), ("age", {"max_age": MINUTE}),
    ("window over age", {"max_age": MINUTE, "duplicate_window": 2 * MINUTE}), ("negative window", {"duplicate_window": -1}), ("small window", {"duplicate_window": 5}),
    ("long description", {"description": "d" * 5000}), ("replicas", {"num_replicas": 3}), ("replicas six", {"num_replicas": 6}), ("negative replicas", {"num_replicas": -1}),
    ("sealed", {"sealed": True}), ("rollup with deny purge", {"allow_rollup_hdrs": True, "deny_purge": True}),
    ("per subject discard without new", {"discard_new_per_subject": True}), ("per subject discard without limit", {"discard": "new", "discard_new_per_subject": True}),
    ("negatives become -1", {"max_msgs": -5, "max_bytes": -2, "max_consumers": 0}), ("pedantic negative", {"max_msgs": -5, "pedantic": True}),
    ("ttl", {"allow_msg_ttl": True}), ("marker", {"subject_delete_marker_ttl": 5_000_000_000}), ("marker too small", {"subject_delete_marker_ttl": 5}),
    ("marker pedantic", {"subject_delete_marker_ttl": 5_000_000_000, "pedantic": True}), ("metadata", {"metadata": {"b": "1", "a": "<&>", "_nats.ver": "x"}}),
    ("first seq", {"first_seq": 10}), ("transform", {"subject_transform": {"src": "a.*", "dest": "b.{{wildcard(1)}}"}}),
    ("bad transform", {"subject_transform": {"src": "a.*", "dest": "b.{{foo(1)}}"}}), ("bad transform source", {"subject_transform": {"src": "a..", "dest": "b"}}),
    ("transform index", {"subject_transform": {"src": "a.*", "dest": "b.$2"}}), ("republish cycle", {"subjects": ["a.>"], "republish": {"src": "a.*", "dest": "a.x.$1"}}),
    ("republish", {"subjects": ["a.>"], "republish": {"src": ">", "dest": "r.>"}}), ("placement", {"placement": {"cluster": "c", "tags": ["x"]}}),
    ("preferred", {"placement": {"preferred": "n"}}), ("consumer limits", {"consumer_limits": {"max_ack_pending": 5, "inactive_threshold": 5}}),
    ("mirror direct without mirror", {"mirror_direct": True}), ("case of keys", '{"NAME":"S","Max_Msgs":5}'), ("repeated key", '{"name":"S","max_msgs":5,"max_msgs":6}'),
    ("work queue", {"retention": "workqueue"}), ("interest memory", {"retention": "interest", "storage": "memory"}), ("no ack", {"subjects": [">"], "no_ack": True}),
    ("max msg size over int32", {"max_msg_size": 3000000000}), ("huge metadata", {"metadata": {"k": "v" * 140000}}),
], create)


def update(trial, name, before, after):
    trial.stream(**before)
    trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], **after})


table("stream update", [
    ("missing fields fall back", {"max_msgs": 5, "description": "x"}, {}), ("storage", {}, {"storage": "memory"}), ("to work queue", {}, {"retention": "workqueue"}),
    ("limits to interest", {}, {"retention": "interest"}), ("unseal", {"deny_delete": True}, {"deny_delete": False}), ("deny purge", {"deny_purge": True}, {}),
    ("seal", {}, {"sealed": True}), ("ttl off", {"allow_msg_ttl": True}, {}), ("subjects", {}, {"subjects": ["x.>"]}), ("max age", {}, {"max_age": MINUTE}),
    ("persist of window", {"duplicate_window": MINUTE}, {}), ("other name", {}, {"name": "T"}), ("replicas", {}, {"num_replicas": 3}),
], update)


@scenario()
def stream_names_and_rules(trial):
    for name in ("a.b", "a*", "a>", "a/b", "x" * 256):
        trial.api(f"STREAM.CREATE.{name}", {"name": name})
    trial.api("STREAM.INFO.NONE"), trial.api("STREAM.DELETE.NONE"), trial.api("STREAM.PURGE.NONE"), trial.api("STREAM.UPDATE.NONE", {"name": "NONE"})
    trial.api("STREAM.MSG.GET.NONE", {"seq": 1}), trial.api("STREAM.MSG.DELETE.NONE", {"seq": 1}), trial.api("STREAM.CREATE.S", {"name": "S"})
    trial.api("STREAM.CREATE.S", {"name": "S"}), trial.api("STREAM.CREATE.S", {"name": "S", "max_msgs": 4}), trial.api("STREAM.CREATE.T", {"name": "T", "subjects": ["S"]})
    trial.api("STREAM.INFO.S"), trial.api("STREAM.DELETE.S", {"x": 1}), trial.api("STREAM.DELETE.S", "{}"), trial.api("STREAM.DELETE.S")


@scenario()
def stream_names_and_list(trial):
    trial.api("STREAM.NAMES"), trial.api("STREAM.LIST", keep=["total", "offset", "limit", "streams"])
    for name in "ABC":
        trial.stream(name)
    trial.api("STREAM.NAMES"), trial.api("STREAM.NAMES", {"subject": "b.*"}), trial.api("STREAM.NAMES", {"offset": 2}), trial.api("STREAM.NAMES", {"offset": 9})
    trial.api("STREAM.NAMES", {"offset": -1}), trial.api("STREAM.NAMES", {"subject": "x..y"}), trial.api("STREAM.NAMES", {"bogus": 1}), trial.api("STREAM.NAMES", {"subject": "nope"})
    trial.api("STREAM.LIST"), trial.api("STREAM.LIST", {"subject": "c.x"}), trial.api("CONSUMER.NAMES.A"), trial.api("CONSUMER.LIST.A"), trial.api("CONSUMER.NAMES.X")


@scenario()
def account_info(trial):
    trial.stream(max_bytes=1000), trial.stream("M", storage="memory"), trial.consumer()
    info = trial.api("INFO", quiet=True)
    info.pop("api", None)
    trial.note(info)


@scenario()
def no_answer_for_unknown_api_subjects(trial):
    for subject in ("$JS.API.FOO", "$JS.API.STREAM.INFO", "$JS.API.STREAM.INFO.a.b", "$JS.API.CONSUMER.RESET.X.Y"):
        trial.request(subject, timeout=0.3)
    trial.request("$JS.API.DIRECT.GET.X", '{"seq":1}'), trial.request("$JS.API.CONSUMER.MSG.NEXT.X.Y", "1")
    trial.request("$JS.API.DIRECT.GET.X.y"), trial.request("$JS.ACK.X.Y.1.1.1.1.1", "+ACK")


@scenario()
def cluster_only_endpoints(trial):
    trial.stream()
    trial.api("STREAM.LEADER.STEPDOWN.S"), trial.api("STREAM.PEER.REMOVE.S", {"peer": "x"}), trial.consumer(), trial.api("CONSUMER.LEADER.STEPDOWN.S.C")


def publishing(trial, name, config, *messages):
    trial.stream(**{"allow_rollup_hdrs": True, **config})
    for subject, payload, headers in messages:
        trial.request(subject, payload, headers)
    trial.state()


def h(**headers):
    return {"Nats-" + k.replace("_", "-"): v for k, v in headers.items()}


table("publish", [
    ("plain", {}, ("s.a", "x", None), ("s.b", "", None)), ("headers", {}, ("s.a", "x", {"K": "v"})),
    ("message id", {}, ("s.a", "x", h(Msg_Id="1")), ("s.b", "y", h(Msg_Id="1")), ("s.a", "y", h(Msg_Id="2"))),
    ("expected stream", {}, ("s.a", "x", h(Expected_Stream="S")), ("s.a", "x", h(Expected_Stream="T"))),
    ("expected last sequence", {}, ("s.a", "x", h(Expected_Last_Sequence="0")), ("s.a", "x", h(Expected_Last_Sequence="0")), ("s.a", "x", h(Expected_Last_Sequence="1")),
     ("s.a", "x", h(Expected_Last_Sequence="abc")), ("s.a", "x", h(Expected_Last_Sequence="-1")), ("s.a", "x", h(Expected_Last_Sequence="0002"))),
    ("expected last subject sequence", {}, ("s.a", "x", h(Expected_Last_Subject_Sequence="0")), ("s.a", "x", h(Expected_Last_Subject_Sequence="0")),
     ("s.b", "x", h(Expected_Last_Subject_Sequence="1")), ("s.a", "x", h(Expected_Last_Subject_Sequence="1")), ("s.a", "x", h(Expected_Last_Subject_Sequence="x"))),
    ("expected subject of other", {}, ("s.a", "x", None), ("s.b", "x", h(Expected_Last_Subject_Sequence="1", Expected_Last_Subject_Sequence_Subject="s.a")),
     ("s.b", "x", h(Expected_Last_Subject_Sequence="2", Expected_Last_Subject_Sequence_Subject="s.*")), ("s.b", "x", h(Expected_Last_Subject_Sequence_Subject="s.a")),
     ("s.b", "x", h(Expected_Last_Subject_Sequence="0", Expected_Last_Subject_Sequence_Subject="z.a"))),
    ("expected last id", {}, ("s.a", "x", h(Msg_Id="1")), ("s.a", "x", h(Expected_Last_Msg_Id="2")), ("s.a", "x", h(Expected_Last_Msg_Id="1")), ("s.a", "x", h(Expected_Last_Msg_Id="1"))),
    ("stale beats duplicate", {}, ("s.a", "x", h(Msg_Id="1")), ("s.a", "x", h(Msg_Id="1", Expected_Last_Sequence="9")), ("s.a", "x", h(Msg_Id="1", Expected_Last_Msg_Id="9"))),
    ("rollup sub", {}, ("s.a", "1", None), ("s.b", "2", None), ("s.a", "3", h(Rollup="sub")), ("s.a", "4", h(Rollup="SUB"))),
    ("rollup all", {}, ("s.a", "1", None), ("s.b", "2", None), ("s.a", "3", h(Rollup="all"))), ("rollup bad", {}, ("s.a", "1", h(Rollup="xx"))),
    ("rollup refused", {"allow_rollup_hdrs": False}, ("s.a", "1", h(Rollup="sub"))),
    ("ttl disabled", {}, ("s.a", "1", h(TTL="5")), ("s.a", "1", h(TTL="0"))),
    ("ttl values", {"allow_msg_ttl": True}, *[("s.a", "1", h(TTL=v)) for v in ("5", "0", "0s", "-1", "+5", "0.5", "500ms", "1d", "1e3", "1500ms", "1m30s", "never", "NEVER", "x", "")]),
    ("max msg size", {"max_msg_size": 20}, ("s.a", "x" * 20, None), ("s.a", "x" * 21, None), ("s.a", "x" * 10, {"Key": "v"})),
    ("discard old max msgs", {"max_msgs": 2}, ("s.a", "1", None), ("s.b", "2", None), ("s.c", "3", None)),
    ("discard new max msgs", {"max_msgs": 2, "discard": "new"}, ("s.a", "1", None), ("s.b", "2", None), ("s.c", "3", None)),
    ("discard new max bytes", {"max_bytes": 80, "discard": "new"}, ("s.a", "1", None), ("s.b", "2", None), ("s.c", "3", None)),
    ("discard old max bytes", {"max_bytes": 80}, ("s.a", "1", None), ("s.b", "2", None), ("s.c", "3", None), ("s.d", "x" * 100, None)),
    ("per subject", {"max_msgs_per_subject": 1}, ("s.a", "1", None), ("s.b", "2", None), ("s.a", "3", None)),
    ("per subject new", {"max_msgs_per_subject": 1, "discard": "new"}, ("s.a", "1", None), ("s.b", "2", None), ("s.a", "3", None)),
    ("per subject new refused", {"max_msgs_per_subject": 1, "discard": "new", "discard_new_per_subject": True}, ("s.a", "1", None), ("s.a", "3", None)),
    ("per subject at max msgs", {"max_msgs_per_subject": 1, "max_msgs": 2, "discard": "new"}, ("s.a", "1", None), ("s.b", "2", None), ("s.a", "3", None), ("s.c", "4", None)),
    ("sealed later", {}, ("s.a", "1", None)), ("memory", {"storage": "memory"}, ("s.a", "1", {"K": "v"}), ("s.a", "1", None)),
    ("interest without consumers", {"retention": "interest"}, ("s.a", "1", None), ("s.a", "2", h(Msg_Id="1")), ("s.a", "3", h(Msg_Id="1"))),
    ("counter header", {}, ("s.a", "", h(Incr="1"))), ("batch header", {}, ("s.a", "x", h(Batch_Id="1"))), ("schedule header", {}, ("s.a", "x", h(Schedule="@every 5s"))),
    ("source header", {}, ("s.a", "x", h(Stream_Source="a 1"))), ("status line", {}, ("s.a", "x", "NATS/1.0 503\r\nK: v\r\n\r\n")),
    ("first seq", {"first_seq": 100}, ("s.a", "x", None)), ("transform", {"subject_transform": {"src": "s.*", "dest": "t.{{wildcard(1)}}"}}, ("s.a", "x", None), ("s.a.b", "x", None)),
    ("empty headers count as absent", {}, ("s.a", "x", h(Msg_Id="", Expected_Last_Sequence=" "))), ("case sensitive", {}, ("s.a", "x", {"nats-msg-id": "1"}), ("s.a", "x", {"nats-msg-id": "1"})),
], publishing)


@scenario()
def no_ack_stream(trial):
    trial.stream(no_ack=True)
    trial.request("s.a", "x", timeout=0.3)
    trial.state()


@scenario()
def sealed_stream(trial):
    trial.stream()
    trial.publish("s.a", "1")
    trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], "sealed": True}, keep=["config"])
    trial.request("s.a", "2"), trial.api("STREAM.PURGE.S"), trial.api("STREAM.MSG.DELETE.S", {"seq": 1}), trial.api("STREAM.MSG.GET.S", {"seq": 1})
    trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"]})


def reading(trial, name, *bodies):
    trial.stream(allow_direct=True)
    for i, subject in enumerate(("s.a", "s.b", "s.a", "s.c", "s.b")):
        trial.publish(subject, f"m{i}", headers={"N": str(i)} if i % 2 else None)
    trial.api("STREAM.MSG.DELETE.S", {"seq": 4}, quiet=True)
    for body in bodies:
        text = body if isinstance(body, str) else json.dumps(body)
        trial.api("STREAM.MSG.GET.S", text)
        inbox = trial.main.new_inbox()
        trial.main.pub("$JS.API.DIRECT.GET.S", text, inbox)
        while True:
            got = trial.main.take(timeout=1)
            trial.note("direct", got)
            if got is None or not json_batch(text) or (got.headers or "").startswith("NATS/1.0 "):
                break


def json_batch(text):
    try:
        body = json.loads(text)
        return isinstance(body, dict) and ("batch" in body or "multi_last" in body)
    except ValueError:
        return False


table("get", [
    ("seq", {"seq": 1}, {"seq": 2}, {"seq": 4}, {"seq": 9}, {"seq": 0}), ("last by subject", {"last_by_subj": "s.a"}, {"last_by_subj": "s.*"}, {"last_by_subj": "x"}),
    ("next by subject", {"next_by_subj": "s.a"}, {"seq": 2, "next_by_subj": "s.a"}, {"seq": 3, "next_by_subj": "s.>"}, {"seq": 9, "next_by_subj": "s.a"}),
    ("bad bodies", "", "{}", "nope", {"bogus": 1}, {"seq": 1, "last_by_subj": "s.a"}, {"seq": "x"}), ("no headers", {"seq": 2, "no_hdr": True}),
    ("batch", {"seq": 1, "batch": 3}, {"seq": 1, "batch": 10, "next_by_subj": "s.b"}, {"seq": 9, "batch": 3}), ("batch bytes", {"seq": 1, "batch": 9, "max_bytes": 1}),
    ("multi last", {"multi_last": ["s.a", "s.b"]}, {"multi_last": ["s.>"]}, {"multi_last": ["x"]}, {"multi_last": []}, {"multi_last": ["s.>"], "up_to_seq": 3}, {"multi_last": ["s.*"], "batch": 1}),
    ("start time", {"start_time": "2020-01-01T00:00:00Z"}, {"start_time": "2120-01-01T00:00:00Z"}, {"start_time": "bad"}),
    ("negative batch", {"seq": 1, "batch": -1}), ("last with batch", {"last_by_subj": "s.a", "batch": 2}),
], reading)


@scenario()
def direct_get_by_subject(trial):
    trial.stream(allow_direct=True)
    trial.publish("s.a", "1", "2")
    for subject, body in (("s.a", ""), ("s.a", "{}"), ("s.*", ""), ("s.x", ""), ("s.a", '{"seq":1}'), ("s.a", '{"no_hdr":true}')):
        trial.request("$JS.API.DIRECT.GET.S." + subject, body)
    trial.stream("T")
    trial.request("$JS.API.DIRECT.GET.T", '{"seq":1}')


def removing(trial, name, *calls):
    trial.stream()
    for i in range(8):
        trial.publish("s." + "ab"[i % 2], str(i))
    for subject, body in calls:
        trial.api(subject, body)
    trial.state()


table("remove", [
    ("delete", ("STREAM.MSG.DELETE.S", {"seq": 3}), ("STREAM.MSG.DELETE.S", {"seq": 3}), ("STREAM.MSG.DELETE.S", {"seq": 0}), ("STREAM.MSG.DELETE.S", {"seq": 99}), ("STREAM.MSG.DELETE.S", "")),
    ("delete ends", ("STREAM.MSG.DELETE.S", {"seq": 1, "no_erase": True}), ("STREAM.MSG.DELETE.S", {"seq": 8}), ("STREAM.MSG.DELETE.S", {"seq": 1})),
    ("purge all", ("STREAM.PURGE.S", "")), ("purge seq", ("STREAM.PURGE.S", {"seq": 4}), ("STREAM.PURGE.S", {"seq": 2})), ("purge beyond", ("STREAM.PURGE.S", {"seq": 100})),
    ("purge keep", ("STREAM.PURGE.S", {"keep": 3})), ("purge filter", ("STREAM.PURGE.S", {"filter": "s.a"}), ("STREAM.PURGE.S", {"filter": "none"})),
    ("purge filter keep", ("STREAM.PURGE.S", {"filter": "s.a", "keep": 1})), ("purge filter seq", ("STREAM.PURGE.S", {"filter": "s.*", "seq": 5})),
    ("purge seq and keep", ("STREAM.PURGE.S", {"seq": 4, "keep": 1})), ("purge bad", ("STREAM.PURGE.S", {"bogus": 1}), ("STREAM.PURGE.S", "x")),
], removing)


@scenario()
def deny_flags(trial):
    trial.stream(deny_delete=True, deny_purge=True)
    trial.publish("s.a", "1")
    trial.api("STREAM.MSG.DELETE.S", {"seq": 1}), trial.api("STREAM.PURGE.S")


@scenario()
def info_with_subjects_and_deleted(trial):
    trial.stream()
    for i in range(6):
        trial.publish(f"s.{i}", "x")
    trial.api("STREAM.MSG.DELETE.S", {"seq": 3}, quiet=True)
    for body in ({"subjects_filter": ">"}, {"subjects_filter": "s.1"}, {"subjects_filter": "none"}, {"subjects_filter": ">", "offset": 4}, {"subjects_filter": ">", "offset": 40}, {"deleted_details": True}):
        info = trial.api("STREAM.INFO.S", body, quiet=True)
        trial.note({k: info.get(k) for k in ("total", "offset", "limit")}, info.get("state"))


@scenario()
def republish(trial):
    trial.stream(republish={"src": "s.*", "dest": "r.{{wildcard(1)}}"})
    trial.main.sub("r.>")
    for headers in (None, {"K": "v"}):
        trial.main.pub("s.a", "x", headers=headers)
        trial.expect()


@scenario()
def republish_headers_only(trial):
    trial.stream(republish={"src": ">", "dest": "r.>", "headers_only": True})
    trial.main.sub("r.>")
    trial.main.pub("s.a", "xyz")
    trial.expect()


@scenario()
def message_expiry_leaves_a_marker(trial):
    trial.stream(allow_msg_ttl=True, subject_delete_marker_ttl=2_000_000_000)
    trial.request("s.a", "x", h(TTL="1"))
    trial.consumer(ack_policy="none", deliver_policy="all")
    trial.until(lambda: trial.main.api("STREAM.INFO.S")["state"]["last_seq"] >= 2)
    trial.api("STREAM.MSG.GET.S", {"seq": 1}), trial.api("STREAM.MSG.GET.S", {"last_by_subj": "s.a"})


@scenario()
def stream_advisories(trial):
    trial.main.sub("$JS.EVENT.ADVISORY.STREAM.>"), trial.main.sub("$JS.EVENT.ADVISORY.CONSUMER.>")
    trial.main.flush()
    trial.stream(), trial.expect()
    trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], "max_msgs": 5}, keep=["type"]), trial.expect()
    trial.consumer(), trial.expect()
    trial.api("CONSUMER.DELETE.S.C"), trial.expect()
    trial.api("STREAM.DELETE.S"), trial.expect()


@scenario()
def required_api_level(trial):
    trial.stream(allow_direct=True)
    for level in ("5", "6", "x"):
        trial.request("$JS.API.STREAM.NAMES", "", h(Required_Api_Level=level))
        trial.request("$JS.API.DIRECT.GET.S", '{"seq":1}', h(Required_Api_Level=level))
