#!/usr/bin/env python3
"""Writers on many streams and buckets, the server killed with -9 at random moments, started again, everything compared.

After each restart: every acknowledged write is there with its sequence and content, nothing that was not acknowledged is half there,
objects verify by their digest, and what was removed stays removed (evicted revisions, purged keys and chunks, expired messages,
confirmed consumer acks).   crash.py --binary PATH [--rounds 50] [--seed N] [--checkpoint-bytes N] [--segment-bytes N] [--key]"""
import argparse, base64, hashlib, json, os, random, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from server import Server  # noqa: E402
from wire import Closed, Msg, Wire  # noqa: E402

GONE = (Closed, OSError, TimeoutError, AttributeError, ValueError)


class Failure(Exception):
    pass


def must(condition, *what):
    if not condition:
        raise Failure(" ".join(str(w) for w in what))


class Writer(threading.Thread):
    """One kind of work on one connection, until the server goes away. What is known survives restarts."""

    def __init__(self, name, seed):
        super().__init__()
        self.name, self.random, self.port, self.error = name, random.Random(seed), None, None
        self.acked = 0

    def again(self, port):
        """The same knowledge, a new thread."""
        self.port = port
        threading.Thread.__init__(self, name=self.name)
        self.start()

    def run(self):
        try:
            with Wire(self.port, timeout=20) as wire:
                self.wire = wire
                self.work()
        except GONE:
            pass
        except Failure as failure:
            self.error = failure
        except Exception as error:  # an answer that nobody expected
            self.error = Failure(f"{self.name} does not understand an answer: {error!r}")

    def ack(self, msg):
        reply = json.loads(msg.data)
        must("error" not in reply, self.name, "refused:", reply)
        self.acked += 1
        return reply["seq"]


class Publisher(Writer):
    """Pipelined publishes with acks: every acknowledged sequence has its content; the others are whole or absent."""
    WINDOW = 32

    def setup(self, wire):
        wire.api(f"STREAM.CREATE.{self.name}", {"name": self.name, "subjects": [f"{self.name}.>"]})
        self.known, self.sent, self.count = {}, {}, 0

    def work(self):
        waiting, inbox = {}, f"_INBOX.{self.name}"
        self.wire.sub(inbox + ".*")
        while True:
            while len(waiting) < self.WINDOW:
                self.count += 1
                payload = f"{self.name}-{self.count}-" + "x" * self.random.choice((0, 10, 100, 5000))
                self.sent[payload] = True
                waiting[str(self.count)] = payload
                self.wire.pub(f"{self.name}.{self.count % 7}", payload, f"{inbox}.{self.count}", {"Nats-Msg-Id": str(self.count)} if self.count % 5 == 0 else None)
            msg = self.wire.take(lambda op: isinstance(op, Msg))
            self.known[self.ack(msg)] = waiting.pop(msg.subject.rsplit(".", 1)[1])

    def check(self, wire):
        state = wire.api(f"STREAM.INFO.{self.name}")["state"]
        last = max(self.known, default=0)
        must(state["last_seq"] >= last, self.name, "lost the end:", state["last_seq"], "<", last)
        must(state["messages"] == state["last_seq"], self.name, "holes", state)
        checked = self.random.sample(sorted(self.known), min(200, len(self.known))) + sorted(self.known)[-50:]
        for seq in checked:
            reply = wire.api(f"STREAM.MSG.GET.{self.name}", {"seq": seq})
            must("message" in reply, self.name, "acknowledged message is gone:", seq, reply)
            must(base64.b64decode(reply["message"].get("data", "")).decode() == self.known[seq], self.name, "wrong content at", seq)
        for seq in range(last + 1, state["last_seq"] + 1):
            data = base64.b64decode(wire.api(f"STREAM.MSG.GET.{self.name}", {"seq": seq})["message"]["data"]).decode()
            must(data in self.sent, self.name, "half a message at", seq)
            self.known[seq] = data


class Churn(Writer):
    """Large values of a few keys, one over the other, and small ones that stay: segments hold little that is live, and cleaning moves it."""
    WINDOW, KEYS, EVERY = 16, 10, 40

    def setup(self, wire):
        wire.api(f"STREAM.CREATE.{self.name}", {"name": self.name, "subjects": [f"{self.name}.>"], "max_msgs_per_subject": 1, "allow_direct": True})
        self.known, self.sent, self.count = {}, {}, 0

    def work(self):
        waiting, inbox = {}, f"_INBOX.{self.name}"
        self.wire.sub(inbox + ".*")
        while True:
            while len(waiting) < self.WINDOW:
                self.count += 1
                stays = self.count % self.EVERY == 0
                subject, payload = f"{self.name}.{'old' + str(self.count) if stays else 'hot' + str(self.count % self.KEYS)}", f"{self.count} " + "x" * (200 if stays else 8000)
                self.sent[self.count] = subject
                waiting[str(self.count)] = subject
                self.wire.pub(subject, payload, f"{inbox}.{self.count}")
            msg = self.wire.take(lambda op: isinstance(op, Msg))
            number = msg.subject.rsplit(".", 1)[1]
            self.known[waiting.pop(number)] = (self.ack(msg), int(number))

    def check(self, wire):
        old = [subject for subject in self.known if ".old" in subject]
        for subject in [s for s in self.known if ".hot" in s] + self.random.sample(old, min(150, len(old))):
            seq, number = self.known[subject]
            msg = wire.request(f"$JS.API.DIRECT.GET.{self.name}.{subject}")
            must("404" not in msg.headers.split("\r\n")[0], self.name, subject, "is gone")
            have, of = int(msg.headers.split("Nats-Sequence: ")[1].split("\r\n")[0]), int(msg.data.split(b" ")[0])
            must((have, of) == (seq, number) or have > seq and of > number and self.sent.get(of) == subject, self.name, subject, "is", (have, of), "not", (seq, number))
            self.known[subject] = (have, of)
        messages = wire.api(f"STREAM.INFO.{self.name}")["state"]["messages"]
        must(len(self.known) <= messages <= len(set(self.sent.values())), self.name, messages, "messages of", len(self.known))


class Copied(Publisher):
    """A mirror and a sourcing stream end up with every message of their origin, once and in its order, wherever they were when the server was killed."""

    def setup(self, wire):
        super().setup(wire)
        for kind, config in (("M", {"mirror": {"name": self.name}}), ("S", {"sources": [{"name": self.name}]})):
            wire.api(f"STREAM.CREATE.{self.name}{kind}", {"name": f"{self.name}{kind}", **config})

    def check(self, wire):
        super().check(wire)
        origin = wire.api(f"STREAM.INFO.{self.name}")["state"]
        end = time.monotonic() + 30
        while any(wire.api(f"STREAM.INFO.{self.name}{kind}")["state"]["last_seq"] < origin["last_seq"] for kind in "MS"):
            must(time.monotonic() < end, self.name, "copies do not catch up")
            time.sleep(0.05)
        mirror, sourced = (wire.api(f"STREAM.INFO.{self.name}{kind}")["state"] for kind in "MS")
        must(mirror == origin, self.name, "the mirror differs:", mirror, origin)
        must(sourced["messages"] == origin["messages"], self.name, "sourced:", sourced, origin)
        for seq in self.random.sample(range(1, origin["last_seq"] + 1), min(100, origin["last_seq"])):
            one, two, three = (wire.api(f"STREAM.MSG.GET.{self.name}{kind}", {"seq": seq})["message"] for kind in ("", "M", "S"))
            must(one == two, self.name, "mirrored otherwise:", one, two)
            must(one.get("data") == three.get("data"), self.name, "sourced otherwise:", one, three)
            header = base64.b64decode(three["hdrs"]).decode()
            must(f"Nats-Stream-Source: {self.name} {seq} > > " in header, self.name, "sourced as", header)


class Bucket(Writer):
    """Compare-and-set on few keys: the last acknowledged revision is the value, older ones stay away."""

    def setup(self, wire):
        wire.api(f"STREAM.CREATE.KV_{self.name}", {"name": f"KV_{self.name}", "subjects": [f"$KV.{self.name}.>"], "max_msgs_per_subject": 1, "discard": "new",
                 "allow_rollup_hdrs": True, "deny_delete": True, "allow_direct": True})
        self.values, self.doubt, self.gone = {}, {}, set()

    def work(self):
        while True:
            key = f"k{self.random.randrange(30)}"
            revision, _ = self.values.get(key, (0, None))
            action = self.random.random()
            if action < 0.1 and revision:
                self.doubt[key] = None
                reply = self.wire.api(f"STREAM.PURGE.KV_{self.name}", {"filter": f"$KV.{self.name}.{key}"})
                must(reply.get("success"), reply)
                self.gone.add(revision)
                del self.values[key], self.doubt[key]
                continue
            value = f"{key}={self.random.random()}"
            self.doubt[key] = value
            msg = self.wire.request(f"$KV.{self.name}.{key}", value, {"Nats-Expected-Last-Subject-Sequence": str(revision)})
            seq = self.ack(msg)
            if revision:
                self.gone.add(revision)
            self.values[key] = (seq, value)
            del self.doubt[key]

    def check(self, wire):
        for key in [f"k{i}" for i in range(30)]:
            msg = wire.request(f"$JS.API.DIRECT.GET.KV_{self.name}.$KV.{self.name}.{key}")
            have = None if "404" in msg.headers.split("\r\n")[0] else msg.data.decode()
            seq = None if have is None else int(msg.headers.split("Nats-Sequence: ")[1].split("\r\n")[0])
            revision, value = self.values.get(key, (None, None))
            possible = {(revision, value)}
            if key in self.doubt:
                must((seq, have) == (revision, value) or have == self.doubt[key], self.name, key, "is", have, "neither", value, "nor", self.doubt[key])
                if (seq, have) != (revision, value) and revision:
                    self.gone.add(revision)
            else:
                must((seq, have) in possible, self.name, key, "is", (seq, have), "not", (revision, value))
            if have is None:
                self.values.pop(key, None)
            else:
                self.values[key] = (seq, have)
            self.doubt.pop(key, None)
        for seq in self.random.sample(sorted(self.gone), min(100, len(self.gone))):
            reply = wire.api(f"STREAM.MSG.GET.KV_{self.name}", {"seq": seq})
            must("error" in reply, self.name, "removed revision came back:", seq)
        messages = wire.api(f"STREAM.INFO.KV_{self.name}")["state"]["messages"]
        must(messages == len(self.values), self.name, messages, "messages for", len(self.values), "keys")


class Objects(Writer):
    """Objects in chunks, overwritten and removed: each whole by its digest, old chunks gone. Half of the chunks have been put before, there or in another bucket, and maybe removed since."""
    POOL = [random.Random(k).randbytes(size) for k, size in enumerate((32768, 40000, 65536, 131072) * 3)]

    def setup(self, wire):
        wire.api(f"STREAM.CREATE.OBJ_{self.name}", {"name": f"OBJ_{self.name}", "subjects": [f"$O.{self.name}.C.>", f"$O.{self.name}.M.>"], "discard": "new",
                 "allow_rollup_hdrs": True, "allow_direct": True})
        self.objects, self.purged, self.version = {}, set(), 0

    def work(self):
        while True:
            name = f"o{self.random.randrange(4)}"
            self.version += 1
            nuid, digest, chunks = f"n{self.version}", hashlib.sha256(), self.random.randrange(1, 6)
            for i in range(chunks):
                chunk = self.random.choice(self.POOL) if self.random.random() < 0.5 else self.random.randbytes(self.random.choice((100, 40000, 131072)))
                digest.update(chunk)
                self.ack(self.wire.request(f"$O.{self.name}.C.{nuid}", chunk))
            meta = {"name": name, "nuid": nuid, "chunks": chunks, "digest": digest.hexdigest()}
            old = self.objects.get(name)
            self.ack(self.wire.request(f"$O.{self.name}.M.{name}", json.dumps(meta), {"Nats-Rollup": "sub"}))
            self.objects[name] = meta
            if old:
                must(self.wire.api(f"STREAM.PURGE.OBJ_{self.name}", {"filter": f"$O.{self.name}.C.{old['nuid']}"}).get("success"))
                self.purged.add(old["nuid"])

    def check(self, wire):
        for name, meta in list(self.objects.items()):
            msg = wire.request(f"$JS.API.DIRECT.GET.OBJ_{self.name}.$O.{self.name}.M.{name}")
            have = json.loads(msg.data)
            must(have["nuid"] == meta["nuid"] or int(have["nuid"][1:]) > int(meta["nuid"][1:]), self.name, name, "went back to", have)
            self.objects[name] = have
            digest, seq = hashlib.sha256(), 0
            for _ in range(have["chunks"]):
                reply = wire.api(f"STREAM.MSG.GET.OBJ_{self.name}", {"next_by_subj": f"$O.{self.name}.C.{have['nuid']}", "seq": seq + 1})
                must("message" in reply, self.name, name, "lacks a chunk")
                seq = reply["message"]["seq"]
                digest.update(base64.b64decode(reply["message"].get("data", "")))
            must(digest.hexdigest() == have["digest"], self.name, name, "does not fit its digest")
        subjects = wire.api(f"STREAM.INFO.OBJ_{self.name}", {"subjects_filter": f"$O.{self.name}.C.>"})["state"].get("subjects") or {}
        for nuid in self.purged:
            must(f"$O.{self.name}.C.{nuid}" not in subjects, self.name, "purged chunks came back:", nuid)


class Queue(Writer):
    """A work queue with confirmed acks: what was confirmed is neither delivered again nor in the stream."""

    def setup(self, wire):
        wire.api(f"STREAM.CREATE.{self.name}", {"name": self.name, "subjects": [f"{self.name}.>"], "retention": "workqueue"})
        wire.api(f"CONSUMER.CREATE.{self.name}.w", {"stream_name": self.name, "config": {"durable_name": "w", "ack_policy": "explicit", "ack_wait": 2_000_000_000}})
        self.confirmed, self.published = set(), set()

    def work(self):
        inbox = self.wire.new_inbox()
        while True:
            for _ in range(5):
                self.published.add(self.ack(self.wire.request(f"{self.name}.job", "job")))
            self.wire.pub(f"$JS.API.CONSUMER.MSG.NEXT.{self.name}.w", '{"batch":5,"no_wait":true}', inbox)
            got = []
            while True:
                msg = self.wire.take(lambda op: isinstance(op, Msg) and (op.subject == inbox or (op.reply or "").startswith("$JS.ACK")))
                if msg.headers and " 404" in msg.headers.split("\r\n")[0]:
                    break
                got.append(msg)
                if len(got) == 5:
                    break
            for msg in got:
                seq = int(msg.reply.split(".")[5])
                must(seq not in self.confirmed, self.name, "confirmed job delivered again:", seq)
                if self.random.random() < 0.9:
                    must(self.wire.request(msg.reply, "+ACK") is not None, "no confirmation")
                    self.confirmed.add(seq)

    def check(self, wire):
        for seq in self.random.sample(sorted(self.confirmed), min(100, len(self.confirmed))) + sorted(self.confirmed)[-20:]:
            must("error" in wire.api(f"STREAM.MSG.GET.{self.name}", {"seq": seq}), self.name, "confirmed job is back:", seq)
        open_jobs = sorted(self.published - self.confirmed)
        for seq in open_jobs[-50:]:
            reply = wire.api(f"STREAM.MSG.GET.{self.name}", {"seq": seq})
            if "error" in reply:  # an ack that was sent and not confirmed may have counted
                self.published.discard(seq)


class Limits(Writer):
    """Streams with limits: what was evicted, purged or has expired stays away; first_seq never goes back."""

    def setup(self, wire):
        wire.api(f"STREAM.CREATE.{self.name}", {"name": self.name, "subjects": [f"{self.name}.>"], "max_msgs": 50, "max_age": 3_000_000_000, "duplicate_window": 1_000_000_000, "allow_msg_ttl": True})
        self.first = self.last = 0

    def work(self):
        while True:
            ttl = {"Nats-TTL": "1"} if self.random.random() < 0.2 else None
            self.last = max(self.last, self.ack(self.wire.request(f"{self.name}.x", "value", ttl)))
            if self.random.random() < 0.05:
                state = self.wire.api(f"STREAM.INFO.{self.name}")["state"]
                self.first = max(self.first, state["first_seq"])
            if self.random.random() < 0.01:
                must(self.wire.api(f"STREAM.PURGE.{self.name}", {"seq": self.last}).get("success"))
                self.first = max(self.first, self.last)

    def check(self, wire):
        state = wire.api(f"STREAM.INFO.{self.name}")["state"]
        must(state["last_seq"] >= self.last, self.name, "lost", state, self.last)
        must(state["first_seq"] >= self.first, self.name, "first_seq went back:", state["first_seq"], "<", self.first)
        must(state["messages"] <= 50, self.name, state)


class Batches(Writer):
    """Atomic batches, several open at a time: each is whole or absent, its members together."""

    def setup(self, wire):
        wire.api(f"STREAM.CREATE.{self.name}", {"name": self.name, "subjects": [f"{self.name}.>"], "allow_atomic": True})
        self.count, self.known = 0, {}

    def work(self):
        while True:
            self.count += 1
            size = self.random.randrange(2, 12)
            for i in range(1, size):
                self.wire.pub(f"{self.name}.{i}", f"{self.count} {i} {size} " + "x" * self.random.choice((0, 50, 3000)), None,
                              {"Nats-Batch-Id": str(self.count), "Nats-Batch-Sequence": str(i)})
                if self.random.random() < 0.2:
                    self.wire.pub(f"{self.name}.plain", f"0 1 1 ")
            msg = self.wire.request(f"{self.name}.{size}", f"{self.count} {size} {size} ", {"Nats-Batch-Id": str(self.count), "Nats-Batch-Sequence": str(size), "Nats-Batch-Commit": "1"})
            self.known[self.count] = self.ack(msg)

    def check(self, wire):
        last = wire.api(f"STREAM.INFO.{self.name}")["state"]["last_seq"]
        must(last >= max(self.known.values(), default=0), self.name, "lost the end")
        seen, open_batch = {}, None
        for seq in range(max(1, last - 400), last + 1):
            data = base64.b64decode(wire.api(f"STREAM.MSG.GET.{self.name}", {"seq": seq})["message"]["data"]).decode()
            batch, i, size = (int(x) for x in data.split(" ")[:3])
            if open_batch and open_batch[0]:
                must((batch, i) == (open_batch[0], open_batch[1] + 1), self.name, "half a batch before", seq, open_batch, data[:20])
            else:
                must(i == 1 or not seen, self.name, "a batch without its begin at", seq, data[:20])
            open_batch = (batch, i) if i < size else None
            seen[batch] = seq
        must(open_batch is None, self.name, "half a batch at the end")
        for batch, seq in self.known.items():
            if seq > last - 380:
                must(seen.get(batch) == seq, self.name, "committed batch", batch, "is not at", seq)


class Transactions(Writer):
    """The same number in keys of three buckets: always equal, never older than what was answered."""

    def setup(self, wire):
        self.buckets = [f"{self.name}{i}" for i in range(3)]
        for bucket in self.buckets:
            wire.api(f"STREAM.CREATE.KV_{bucket}", {"name": f"KV_{bucket}", "subjects": [f"$KV.{bucket}.>"], "max_msgs_per_subject": 1, "discard": "new",
                     "allow_rollup_hdrs": True, "deny_delete": True, "allow_direct": True})
        self.number, self.done = 0, {}

    def work(self):
        while True:
            self.number += 1
            key = f"k{self.random.randrange(5)}"
            self.wire.pub(f"$KV.{self.buckets[0]}.noise", "x")  # something is in flight
            ops = [{"bucket": b, "key": key, "text": str(self.number)} for b in self.buckets]
            if self.random.random() < 0.2:
                ops.append({"bucket": self.buckets[1], "key": "never", "op": "check", "expected_seq": 99})
            reply = self.wire.api("HW.TXN", {"ops": ops}, timeout=20)
            if len(ops) == 4:
                must(reply["failed"] == {"op": 3, "current_seq": 0}, self.name, reply)
                continue
            must(len(reply.get("results", [])) == 3, self.name, reply)
            self.done[key] = self.number
            self.acked += 1

    def check(self, wire):
        for key in [f"k{i}" for i in range(5)]:
            values = set()
            for bucket in self.buckets:
                msg = wire.request(f"$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}")
                values.add(0 if "404" in msg.headers.split("\r\n")[0] else int(msg.data))
            must(len(values) == 1, self.name, key, "differs:", values)
            must(min(values) >= self.done.get(key, 0), self.name, key, "lost", self.done.get(key), values)


def jetstream(options, number):
    """The block's lines; the key is one after the other, the one before is named, the cipher changes now and then."""
    text = f" checkpoint_bytes: {options.checkpoint_bytes}\n"
    if options.segment_bytes:
        text += f" segment_bytes: {options.segment_bytes}\n"
    if options.key:
        text += f" key: key{number}\n prev_key: key{number - 1}\n cipher: {('aes', 'chacha')[number // 3 % 2]}\n"
    return text


def compress_all():
    """Every stream that is created from now on."""
    api = Wire.api

    def compressed(wire, subject, body=None, timeout=None):
        if subject.startswith("STREAM.CREATE.") and isinstance(body, dict):
            body = {**body, "compression": "s2"}
        return api(wire, subject, body, timeout)
    Wire.api = compressed


def packed_by(server):
    try:
        return server.get("/jsz")["hw_store"]["packed_bytes"]
    except (OSError, ValueError, KeyError):
        return 0


def moved_by(server):
    """Records that cleaning has moved since the start, as far as that can still be asked."""
    try:
        return server.get("/jsz")["hw_store"]["moved_records"]
    except (OSError, ValueError, KeyError):
        return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--conf", default="")
    parser.add_argument("--checkpoint-bytes", type=int, default=0, help="many checkpoints: one after each so many bytes of log")
    parser.add_argument("--segment-bytes", type=int, default=0, help="many segments, so that cleaning takes part (at least 1 MiB); how much it moved is printed")
    parser.add_argument("--compressed", action="store_true", help="all streams want compression; how much was compressed is printed")
    parser.add_argument("--key", action="store_true", help="the store is encrypted, with another key after each kill")
    options = parser.parse_args()
    print("seed", options.seed, flush=True)
    chance = random.Random(options.seed)
    if options.compressed:
        compress_all()
    server = Server(options.binary, conf=options.conf, jetstream=jetstream(options, 0), monitor=options.segment_bytes > 0)
    writers = [Publisher("P1", 1), Publisher("P2", 2), Bucket("B1", 3), Bucket("B2", 4), Objects("O1", 5), Objects("O2", 11), Queue("Q1", 6), Limits("L1", 7), Copied("C1", 8), Batches("A1", 8), Transactions("T", 9)]
    if options.segment_bytes:
        writers = [writer for writer in writers if writer.name not in ("P2", "B2", "O2", "C1")] + [Churn("H1", 10), Churn("H2", 11)]
    passed = failed = moved = packed = 0
    try:
        server.start()
        with Wire(server.port) as wire:
            for writer in writers:
                writer.setup(wire)
        for round_number in range(options.rounds):
            for writer in writers:
                writer.again(server.port)
            time.sleep(chance.uniform(0.05, 2.5 if options.segment_bytes else 0.6))  # the moment of the kill is what is random
            ended = server.process.poll()
            moved += moved_by(server) if options.segment_bytes and ended is None else 0
            packed += packed_by(server) if options.segment_bytes and options.compressed and ended is None else 0
            server.kill()
            for writer in writers:
                writer.join()
            if ended is not None:
                raise RuntimeError(f"FAILED round {round_number}: the server ended by itself with {ended}")
            server.jetstream = jetstream(options, round_number + 1)
            server.start()
            with Wire(server.port, timeout=30) as wire:
                for writer in writers:
                    try:
                        if writer.error:
                            raise writer.error
                        writer.check(wire)
                    except (Failure, *GONE) as failure:
                        failed += 1
                        print(f"FAILED round {round_number}: {type(failure).__name__} {failure}", flush=True)
                        raise SystemExit from failure
            passed += 1
        idle = [writer.name for writer in writers if not writer.acked]
        if options.segment_bytes:
            print("records moved by cleaning:", moved)
        if options.segment_bytes and options.compressed:
            print("bytes compressed:", packed)
            if not packed and options.rounds >= 10:
                failed += 1
                print("FAILED: nothing was ever compressed")
        if idle and options.rounds >= 10:
            failed += 1
            print("FAILED: nothing was ever acknowledged to", *idle)
    except (SystemExit, RuntimeError) as error:
        failed = max(failed, 1)
        print(error)
        print("store kept in", server.dir, server.log_text()[-2000:])
        server.owns_dir = False
    finally:
        server.close()
    print("acknowledged:", {w.name: w.acked for w in writers})
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
