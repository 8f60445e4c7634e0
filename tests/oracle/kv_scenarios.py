"""Buckets and object stores as clients make them."""
from oracle import scenario

KV = dict(subjects=["$KV.b.>"], max_consumers=-1, max_msgs=-1, max_bytes=-1, max_msgs_per_subject=1, max_msg_size=-1, discard="new", duplicate_window=120_000_000_000,
          allow_rollup_hdrs=True, deny_delete=True, deny_purge=False, allow_direct=True)


def bucket(trial, **more):
    return trial.stream("KV_b", **{**KV, **more})


@scenario()
def bucket_info(trial):
    trial.api("STREAM.CREATE.KV_b", {"name": "KV_b", **KV})


@scenario()
def put_get_update_delete(trial):
    bucket(trial)
    put = lambda value, headers=None: trial.request("$KV.b.key", value, headers)
    put("1"), put("2", {"Nats-Expected-Last-Subject-Sequence": "0"}), put("2", {"Nats-Expected-Last-Subject-Sequence": "1"}), put("", {"KV-Operation": "DEL"})
    trial.request("$JS.API.DIRECT.GET.KV_b.$KV.b.key"), put("3", {"Nats-Expected-Last-Subject-Sequence": "3"}), put("", {"KV-Operation": "PURGE", "Nats-Rollup": "sub"})
    trial.request("$JS.API.DIRECT.GET.KV_b.$KV.b.key"), trial.api("STREAM.PURGE.KV_b", {"filter": "$KV.b.key"}), put("4", {"Nats-Expected-Last-Subject-Sequence": "0"})
    trial.api("STREAM.MSG.DELETE.KV_b", {"seq": 6}), trial.state("KV_b")


@scenario()
def history(trial):
    bucket(trial, max_msgs_per_subject=3)
    trial.publish("$KV.b.k", *"12345")
    trial.state("KV_b")
    trial.api("STREAM.MSG.GET.KV_b", {"next_by_subj": "$KV.b.k", "seq": 1})


@scenario()
def watch(trial):
    bucket(trial)
    for key in ("a", "b", "a", "c"):
        trial.publish(f"$KV.b.{key}", key)
    trial.main.sub("w.x")
    trial.main.flush()
    trial.api("CONSUMER.CREATE.KV_b", {"stream_name": "KV_b", "config": {"deliver_policy": "last_per_subject", "ack_policy": "none", "max_deliver": 1, "filter_subject": "$KV.b.>", "replay_policy": "instant", "flow_control": True,
              "idle_heartbeat": 5_000_000_000, "deliver_subject": "w.x", "num_replicas": 1, "mem_storage": True}}, keep=["num_pending", "delivered", "type"])
    trial.expect(count=3)
    trial.publish("$KV.b.b", "again")
    trial.expect()


@scenario()
def keys_are_headers_only(trial):
    bucket(trial)
    trial.publish("$KV.b.a", "value"), trial.request("$KV.b.b", "", {"KV-Operation": "DEL"})
    trial.main.sub("w.k")
    trial.main.flush()
    trial.api("CONSUMER.CREATE.KV_b", {"stream_name": "KV_b", "config": {"deliver_policy": "last_per_subject", "ack_policy": "none", "filter_subject": "$KV.b.>", "headers_only": True, "deliver_subject": "w.k", "mem_storage": True}}, keep=["num_pending"])
    trial.expect(count=2)


@scenario()
def bucket_full_of_bytes(trial):
    bucket(trial, max_bytes=100)
    for value in ("x" * 30, "y" * 30, "z" * 60):
        trial.request("$KV.b.k", value)
    trial.state("KV_b")


@scenario()
def object_store(trial):
    trial.stream("OBJ_o", subjects=["$O.o.C.>", "$O.o.M.>"], discard="new", allow_rollup_hdrs=True, allow_direct=True, max_bytes=-1)
    for i in range(4):
        trial.publish("$O.o.C.nuid1", f"chunk{i}")
    trial.request("$O.o.M.bmFtZQ==", '{"name":"name"}', {"Nats-Rollup": "sub"}), trial.request("$O.o.M.bmFtZQ==", '{"name":"name2"}', {"Nats-Rollup": "sub"})
    trial.api("STREAM.NAMES", {"subject": "$O.*.C.>"}), trial.api("STREAM.MSG.GET.OBJ_o", {"last_by_subj": "$O.o.M.>"}), trial.api("STREAM.PURGE.OBJ_o", {"filter": "$O.o.C.nuid1"}), trial.state("OBJ_o")


@scenario()
def marker_ttl_bucket(trial):
    bucket(trial, allow_msg_ttl=True, subject_delete_marker_ttl=10_000_000_000)
    trial.request("$KV.b.k", "x", {"Nats-TTL": "2"})
    trial.request("$KV.b.k", "", {"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": "2s"})
    trial.api("STREAM.MSG.GET.KV_b", {"last_by_subj": "$KV.b.k"})


@scenario()
def rollup_of_a_subject_with_wildcards(trial):
    trial.stream(allow_rollup_hdrs=True)
    trial.publish("s.a", "1", "2")
    trial.publish("s.b", "3")
    trial.publish("s.c.d", "4")
    trial.request("s.*", "5", {"Nats-Rollup": "sub"})
    trial.state()
    trial.api("STREAM.INFO.S", {"subjects_filter": ">", "deleted_details": True})
    trial.request("s.>", "6", {"Nats-Rollup": "sub"})
    trial.api("STREAM.INFO.S", {"subjects_filter": ">", "deleted_details": True})
