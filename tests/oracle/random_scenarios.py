"""Random operations on streams and consumers, the same on both servers. RANDOM_SEEDS="FIRST COUNT" chooses others than the usual few.

Not compared: ack floors once pending messages were removed (2.15.1 moves them by when it noticed); pulls whose max_bytes refuses a redelivery
(2.15.1 forgets that message until its ack wait is over); deleted_details of a stream that never held a message, where 2.15.1 names sequence 0 as deleted."""
import json, os, random

from oracle import scenario, table, clean
from wire import Msg

SUBJECTS = ["s.a", "s.b", "s.a.x", "s.b.x", "s.c.y.z", "s.a.y", "t.a", "t.b.x"]
PATTERNS = ["s.>", "s.*", "s.*.x", "s.a.>", "s.a", "t.>", ">", "*.a", "s.b.*", "nope", "s..a", "s.*.*.z"]
CONFIGS = [
    ("max_msgs", [3, 7, 20, -1, 0, -5]), ("max_msgs_per_subject", [1, 2, 5, -1]), ("max_bytes", [300, 1000, 100000, -1]), ("max_msg_size", [5, 40, 2000]),
    ("discard", ["old", "new"]), ("discard_new_per_subject", [True]), ("retention", ["limits", "interest", "workqueue"]), ("max_age", [10 ** 12, 3600 * 10 ** 9, 5]),
    ("duplicate_window", [10 ** 11, 60 * 10 ** 9, 1, 10 ** 13]), ("no_ack", [True]), ("allow_direct", [True, True, False]), ("allow_rollup_hdrs", [True, True, False]),
    ("deny_delete", [True]), ("deny_purge", [True]), ("allow_msg_ttl", [True]), ("subject_delete_marker_ttl", [100 * 10 ** 9, 5]), ("description", ["x", "y" * 5000]),
    ("metadata", [{"a": "b"}, {"_nats.req.level": "9", "z": "1"}]), ("first_seq", [5, 100]), ("max_consumers", [1, 2, 10]), ("compression", ["s2", "none", "zip"]),
    ("subject_transform", [{"src": "s.*", "dest": "t.{{wildcard(1)}}"}, {"src": "s.>", "dest": "t.>"}, {"src": "s.*", "dest": "x.$2"}]),
    ("republish", [{"src": "s.>", "dest": "r.>"}, {"src": "s.*", "dest": "r.{{wildcard(1)}}", "headers_only": True}, {"dest": "s.q"}]),
    ("consumer_limits", [{"max_ack_pending": 5}, {"inactive_threshold": 10 ** 11}, {}]), ("storage", ["memory", "file"]), ("sealed", [True]), ("num_replicas", [1, 0, 3]),
    ("subjects", [["s.>"], ["s.>", "t.>"], ["s.a", "s.b", "s.a.x"], ["s.*", "s.*"], [">"], ["t.*"], []]), ("allow_msg_counter", [True]), ("allow_atomic", [True]), ("bogus", [1]),
    ("placement", [{"tags": ["x"]}, {}]), ("persist_mode", ["default", "async"]), ("pedantic", [True]),
]
CONSUMER = [
    ("deliver_policy", ["all", "last", "new", "by_start_sequence", "last_per_subject", "by_start_time"]), ("opt_start_seq", [1, 3, 50, 0]), ("opt_start_time", ["2020-01-01T00:00:00Z"]),
    ("ack_policy", ["explicit", "all", "none", "explicit", "explicit"]), ("ack_wait", [10 ** 11, 60 * 10 ** 9]), ("max_deliver", [2, 3, -1, 0]), ("filter_subject", PATTERNS),
    ("filter_subjects", [["s.a", "s.b"], ["s.*", "t.>"], ["s.>", "s.a"], [""], []]), ("replay_policy", ["instant"]), ("sample_freq", ["100", "30%", "x"]), ("max_waiting", [5, 1]),
    ("headers_only", [True]), ("max_batch", [3]), ("max_bytes", [200]), ("max_expires", [10 ** 9, 5]), ("inactive_threshold", [10 ** 12]), ("backoff", [[10 ** 11, 2 * 10 ** 11]]),
    ("mem_storage", [True]), ("num_replicas", [1, 0, 3]), ("metadata", [{"k": "v"}]), ("description", ["d"]), ("rate_limit_bps", [1000]), ("idle_heartbeat", [10 ** 9]),
    ("flow_control", [True]), ("priority_policy", ["overflow", "pinned_client", "none"]), ("priority_groups", [["A"], ["bad group"]]), ("max_ack_pending", [1000, -1]), ("bogus", [1]),
    ("pause_until", ["2099-01-01T00:00:00Z", "2001-01-01T00:00:00Z"]), ("deliver_subject", ["deliver.x", "d.*"]), ("durable_name", ["C1", "C2", "other"]),
]
HEADERS = [
    ("Nats-Msg-Id", ["i1", "i2", "i3", "i4"]), ("Nats-Expected-Stream", ["S", "T"]), ("Nats-Expected-Last-Sequence", ["0", "1", "5", "x", "07"]),
    ("Nats-Expected-Last-Subject-Sequence", ["0", "1", "2", "3", "4"]), ("Nats-Expected-Last-Subject-Sequence-Subject", ["s.a", "s.*", "q"]), ("Nats-Expected-Last-Msg-Id", ["i1", ""]),
    ("Nats-Rollup", ["sub", "all", "SUB", "x"]), ("Nats-TTL", ["100", "1h", "never", "0", "x", "-1"]), ("Nats-Incr", ["1"]), ("Nats-Batch-Id", [""]), ("X-Own", ["v", ""]),
    ("KV-Operation", ["DEL", "PURGE"]), ("Nats-Schedule", ["@every 1h"]), ("Nats-Stream-Source", ["x"]), ("Nats-Marker-Reason", ["MaxAge"]), ("Nats-Scheduler", ["s.a"]),
]


def some(rng, rows, least, most):
    chosen = {}
    for name, values in rng.sample(rows, rng.randint(least, most)):
        chosen[name] = rng.choice(values)
    return chosen


class Random:
    def __init__(self, trial, seed):
        self.trial, self.rng, self.acks, self.streams, self.has_removed = trial, random.Random(seed), [], ["S", "T"], False

    def stream_name(self):
        return self.rng.choice(self.streams)

    def config(self):
        name = self.stream_name()
        config = {"name": name, "subjects": ["s.>"] if name == "S" else ["t.>"], **some(self.rng, CONFIGS, 0, 5)}
        return name, config

    def op_create(self):
        name, config = self.config()
        self.trial.note(config)
        self.trial.api(f"STREAM.CREATE.{name}", config)

    def op_update(self):
        name, config = self.config()
        self.trial.note(config)
        self.trial.api(f"STREAM.UPDATE.{name}", config)

    def op_delete(self):
        if self.rng.random() < 0.2:
            self.trial.api(f"STREAM.DELETE.{self.stream_name()}", self.rng.choice([None, {}, {"x": 1}]))

    def op_publish(self):
        for _ in range(self.rng.randint(1, 5)):
            headers = some(self.rng, HEADERS, 0, 2) if self.rng.random() < 0.5 else None
            self.trial.request(self.rng.choice(SUBJECTS), self.rng.choice(["", "x", "hello", "y" * 50, "z" * 500]), headers or None, timeout=0.3)

    def op_info(self):
        body = some(self.rng, [("deleted_details", [True]), ("subjects_filter", PATTERNS), ("offset", [0, 1, 2, 100])], 0, 3)
        reply = self.trial.api(f"STREAM.INFO.{self.stream_name()}", body, quiet=True)
        if reply.get("state", {}).get("deleted") == [0]:
            del reply["state"]["deleted"], reply["state"]["num_deleted"]
        reply.pop("ts", None)
        self.trial.note("info", body, "->", clean(reply))

    def op_list(self):
        self.trial.api(self.rng.choice(["STREAM.NAMES", "STREAM.LIST"]), some(self.rng, [("subject", PATTERNS), ("offset", [0, 1, 5])], 0, 2))

    def op_purge(self):
        self.has_removed = True
        self.trial.api(f"STREAM.PURGE.{self.stream_name()}", some(self.rng, [("filter", PATTERNS), ("seq", [0, 1, 3, 5, 100]), ("keep", [0, 1, 2])], 0, 2))

    def op_msg_get(self):
        body = some(self.rng, [("seq", [0, 1, 2, 3, 5, 8, 100]), ("last_by_subj", PATTERNS), ("next_by_subj", PATTERNS), ("no_hdr", [True]), ("start_time", ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"]), ("batch", [1])], 1, 2)
        self.trial.api(f"STREAM.MSG.GET.{self.stream_name()}", body)

    def op_msg_delete(self):
        self.has_removed = True
        self.trial.api(f"STREAM.MSG.DELETE.{self.stream_name()}", {"seq": self.rng.choice([0, 1, 2, 3, 4, 6, 9, 50]), **some(self.rng, [("no_erase", [True])], 0, 1)})

    def op_direct(self):
        name, rng, main = self.stream_name(), self.rng, self.trial.main
        body = some(rng, [("seq", [0, 1, 2, 4, 60]), ("last_by_subj", PATTERNS), ("next_by_subj", PATTERNS), ("batch", [2, 5]), ("multi_last", [["s.>"], ["s.a", "s.b"], []]), ("up_to_seq", [3, 99]), ("no_hdr", [True]), ("max_bytes", [60])], 0, 3)
        subject = f"$JS.API.DIRECT.GET.{name}" + (f".{rng.choice(SUBJECTS + PATTERNS[:8])}" if rng.random() < 0.3 else "")
        reply = main.new_inbox()
        main.pub(subject, json.dumps(body) if body else "", reply)
        many = "batch" in body or "multi_last" in body
        for _ in range(30):
            msg = main.take(lambda op: isinstance(op, Msg) and op.subject == reply, 0.4)
            self.trial.note("direct", subject, body, "->", msg)
            if msg is None or not many or (msg.headers and (" EOB" in msg.headers.split("\r\n")[0] or msg.headers.startswith("NATS/1.0 4"))):
                break

    def consumer_name(self):
        return self.rng.choice(["C1", "C2", "C3"])

    def op_consumer(self):
        stream, name = self.stream_name(), self.consumer_name()
        body = {"stream_name": stream, "config": {"ack_policy": "explicit", "durable_name": name, **some(self.rng, CONSUMER, 0, 4)}, **some(self.rng, [("action", ["create", "update", "", "x"])], 0, 1)}
        self.trial.note(body)
        self.trial.api(f"CONSUMER.{self.rng.choice(['CREATE', 'CREATE', 'DURABLE.CREATE'])}.{stream}.{name}", body)

    def op_consumer_info(self):
        stream = self.stream_name()
        subject = self.rng.choice([f"CONSUMER.INFO.{stream}.{self.consumer_name()}", f"CONSUMER.NAMES.{stream}", f"CONSUMER.LIST.{stream}"])
        reply = clean(self.trial.api(subject, quiet=True))
        for info in [reply] + [c for c in reply.get("consumers") or [] if isinstance(c, dict)]:
            info.pop("ts", None)
            if self.has_removed:
                info.pop("ack_floor", None)
        self.trial.note("api", subject, "->", reply)

    def op_consumer_delete(self):
        if self.rng.random() < 0.3:
            self.trial.api(f"CONSUMER.DELETE.{self.stream_name()}.{self.consumer_name()}")

    def op_pause(self):
        self.trial.api(f"CONSUMER.PAUSE.{self.stream_name()}.{self.consumer_name()}", self.rng.choice([None, {"pause_until": "2099-01-01T00:00:00Z"}, {"pause_until": "2001-01-01T00:00:00Z"}, {"x": 1}]), keep=("type", "paused", "pause_until", "error"))

    def op_reset(self):
        self.trial.main.request(f"$JS.API.CONSUMER.RESET.{self.stream_name()}.none", "{}", timeout=0.1)
        self.trial.note("reset of nothing")

    def op_pull(self):
        main, batch = self.trial.main, self.rng.choice([1, 2, 5, 10])
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream_name()}.{self.consumer_name()}"
        body = {"batch": batch, "no_wait": True, **some(self.rng, [("max_bytes", [5000]), ("group", ["A", "B"]), ("x", [1]), ("min_pending", [3])], 0, 1)}
        reply = main.new_inbox()
        main.pub(subject, json.dumps(body), reply)
        self.trial.note("pull", subject, body)
        while True:
            msg = main.take(lambda op: isinstance(op, Msg) and op.sid == main.inbox_sid, 0.08)
            if msg is None:
                break
            self.trial.note("   got", msg)
            if msg.reply:
                self.acks.append(msg.reply)

    def op_ack(self):
        if self.acks:
            ack, word = self.rng.choice(self.acks), self.rng.choice(["", "+ACK", "+TERM", "+TERM why", "-NAK", "+WPI", "-NAK 1h", "rubbish"])
            self.trial.note("ack", word)
            self.trial.request(ack, word, timeout=0.3)

    def step(self):
        ops = [(self.op_create, 4), (self.op_update, 3), (self.op_delete, 1), (self.op_publish, 10), (self.op_info, 5), (self.op_list, 2), (self.op_purge, 2), (self.op_msg_get, 4), (self.op_msg_delete, 3),
               (self.op_direct, 4), (self.op_consumer, 6), (self.op_consumer_info, 5), (self.op_consumer_delete, 1), (self.op_pause, 1), (self.op_pull, 6), (self.op_ack, 6)]
        self.rng.choices([op for op, _ in ops], [weight for _, weight in ops])[0]()


def walk(trial, name, seed):
    run = Random(trial, seed)
    trial.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "allow_direct": True, **some(run.rng, CONFIGS[:7], 0, 3)})
    for i in range(40):
        trial.note(f"-- {i}")
        run.step()


BUSY_STREAM = [("max_msgs", [3, 7, 20]), ("max_msgs_per_subject", [1, 2, 5]), ("max_bytes", [300, 1000]), ("discard", ["new"]), ("retention", ["interest", "workqueue", "limits"]),
               ("storage", ["memory"]), ("allow_rollup_hdrs", [True]), ("first_seq", [100]), ("subject_transform", [{"src": "s.a", "dest": "s.q"}]), ("allow_msg_ttl", [True])]
BUSY_CONSUMER = [("deliver_policy", ["last", "new", "last_per_subject"]), ("ack_policy", ["explicit", "all", "none"]), ("max_deliver", [2, 3]), ("filter_subject", ["s.>", "s.*", "s.*.x", "s.a.>", "s.a", "s.b.*"]),
                 ("headers_only", [True]), ("mem_storage", [True]), ("backoff", [[10 ** 11]]), ("sample_freq", ["100"])]


def busy(trial, name, seed):
    run = Random(trial, seed)
    rng, run.streams = run.rng, ["S"]
    trial.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "allow_direct": True, **some(rng, BUSY_STREAM, 0, 3)})
    for name in ("C1", "C2", "C3"):
        config = {"durable_name": name, "ack_policy": "explicit", "ack_wait": 10 ** 11, **some(rng, BUSY_CONSUMER, 0, 3)}
        trial.note(config)
        trial.api(f"CONSUMER.CREATE.S.{name}", {"stream_name": "S", "config": config})
    ops = [(run.op_publish, 8), (run.op_pull, 8), (run.op_ack, 10), (run.op_consumer_info, 6), (run.op_info, 3), (run.op_msg_delete, 2), (run.op_purge, 1), (run.op_direct, 2), (run.op_msg_get, 2), (run.op_pause, 1)]
    for i in range(60):
        trial.note(f"-- {i}")
        rng.choices([op for op, _ in ops], [weight for _, weight in ops])[0]()


FIRST, COUNT = (int(n) for n in os.environ.get("RANDOM_SEEDS", "1 12").split())
table("random", [(f"seed {seed}", seed) for seed in range(FIRST, FIRST + COUNT)], walk)
table("random", [(f"busy seed {seed}", seed) for seed in range(FIRST, FIRST + COUNT)], busy)
