"""Clients that keep on working while a server's disk fails, and know what must be there afterwards.

Each answer is one of three: acknowledged (it must be there), refused (once something later was acknowledged it must never appear), or
none (it may be there or not, but whole)."""
import asyncio, json, random, time

import nats
from nats.errors import Error as NatsError
from nats.js.errors import APIError

PAUSE = 0.003  # what is written must be read again afterwards
GONE = (NatsError, OSError, asyncio.TimeoutError, asyncio.CancelledError)


class Wrong(Exception):
    pass


def must(condition, *what):
    if not condition:
        raise Wrong(" ".join(str(w) for w in what))


class Load:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.count = self.acked = self.refused = self.silent = 0
        self.values, self.maybe, self.dead = {}, {}, set()      # bucket B: key -> value; values that may be; that must not be
        self.log, self.open, self.open_refused, self.buried = {}, set(), set(), set()  # stream P: seq -> payload; may be; may be still; must not be
        self.batches, self.batch_open = {}, set()               # stream A: batch -> last sequence
        self.jobs, self.done = set(), set()                     # work queue W
        self.removed = set()                                    # stream D: sequences that must be gone
        self.slowest_refusal, self.last_ack = 0.0, 0.0
        self.errors = {}

    async def connect(self, url):
        asyncio.get_running_loop().set_exception_handler(lambda loop, facts: None)
        self.nc = await nats.connect(url, allow_reconnect=False, connect_timeout=10, error_cb=self.ignore)
        self.js = self.nc.jetstream(timeout=3)

    async def ignore(self, error):
        pass

    async def setup(self, url):
        await self.connect(url)
        await self.js.create_key_value(bucket="B")
        await self.js.add_stream(name="P", subjects=["p.>"])
        await self.js.add_stream(name="D", subjects=["d.>"])
        await self.js.add_stream(name="W", subjects=["w.>"], retention="workqueue")
        await self.request("$JS.API.STREAM.CREATE.A", json.dumps({"name": "A", "subjects": ["a.>"], "allow_atomic": True}))
        await self.js.add_consumer("W", durable_name="w", ack_policy="explicit", ack_wait=2)
        await self.nc.close()

    async def request(self, subject, data=b"", headers=None, timeout=3):
        data = data.encode() if isinstance(data, str) else data
        reply = await self.nc.request(subject, data, timeout=timeout, headers=headers)
        answer = json.loads(reply.data)
        if "error" in answer:
            raise APIError.from_error(answer["error"])
        return answer

    # ---- what happens to one request ----

    async def ask(self, coroutine):
        """(answer, None), (None, error) when refused, (None, None) when nothing is known."""
        await asyncio.sleep(PAUSE)
        began = time.monotonic()
        try:
            answer = await coroutine
            self.acked, self.last_ack = self.acked + 1, time.monotonic()
            return answer, None
        except APIError as error:
            self.refused += 1
            self.slowest_refusal = max(self.slowest_refusal, time.monotonic() - began)
            self.errors[f"{error.code} {error.err_code} {error.description}"] = self.errors.get(f"{error.code} {error.err_code} {error.description}", 0) + 1
            return None, error
        except GONE:
            self.silent += 1
            return None, None

    # ---- the kinds of work ----

    async def put(self):
        key = f"k{self.random.randrange(20)}"
        self.count += 1
        value = f"{key}={self.count}"
        is_delete = self.random.random() < 0.1
        bucket = self.bucket
        self.maybe.setdefault(key, set()).add(None if is_delete else value)
        before = set(self.maybe[key])
        answer, error = await self.ask(bucket.delete(key) if is_delete else bucket.put(key, value.encode()))
        if answer is not None:
            self.dead |= before - {value, None}
            old = self.values.get(key)
            if old:
                self.dead.add(old)
            self.values[key] = None if is_delete else value
            self.maybe[key] -= before

    async def keys(self):
        while self.is_running:
            await self.put()

    async def publish(self):
        while self.is_running:
            self.count += 1
            payload = f"p{self.count} " + "x" * self.random.choice((0, 20, 200, 6000))
            answer, error = await self.ask(self.js.publish(f"p.{self.count % 5}", payload.encode()))
            if answer is not None:
                self.log[answer.seq] = payload
                self.buried |= self.open_refused
                self.open_refused = set()
            elif error is not None:
                self.open_refused.add(payload)
            else:
                self.open.add(payload)

    async def remove(self):
        while self.is_running:
            answer, _ = await self.ask(self.js.publish("d.x", b"to be removed"))
            if answer is None:
                continue
            if self.random.random() < 0.1:
                ok, _ = await self.ask(self.js.purge_stream("D", seq=answer.seq))
                gone = set(range(1, answer.seq))
            else:
                ok, _ = await self.ask(self.js.delete_msg("D", answer.seq))
                gone = {answer.seq}
            if ok:
                self.removed |= gone

    async def queue(self):
        sub = await self.js.pull_subscribe_bind("w", "W")
        while self.is_running:
            for _ in range(3):
                answer, _ = await self.ask(self.js.publish("w.job", b"job"))
                if answer is not None:
                    self.jobs.add(answer.seq)
            try:
                messages = await sub.fetch(3, timeout=0.3)
            except GONE:
                continue
            for message in messages:
                seq = message.metadata.sequence.stream
                if seq in self.done:
                    self.problem = f"confirmed job {seq} delivered again"
                try:
                    await message.ack_sync(timeout=1)
                    self.done.add(seq)
                except Exception:
                    pass

    async def batch(self):
        while self.is_running:
            self.count += 1
            number, size = self.count, self.random.randrange(2, 9)
            for i in range(1, size):
                await self.nc.publish(f"a.{i}", f"{number} {i} {size} {'x' * self.random.choice((0, 900))}".encode(), headers={"Nats-Batch-Id": str(number), "Nats-Batch-Sequence": str(i)})
            answer, error = await self.ask(self.request(f"a.{size}", f"{number} {size} {size} ", {"Nats-Batch-Id": str(number), "Nats-Batch-Sequence": str(size), "Nats-Batch-Commit": "1"}))
            if answer is not None:
                self.batches[number] = answer["seq"]

    # ---- running and checking ----

    async def begin(self, url):
        await self.connect(url)
        self.bucket = await self.js.key_value("B")
        self.is_running, self.problem = True, None
        self.tasks = [asyncio.create_task(work()) for work in (self.keys, self.publish, self.publish, self.publish, self.remove, self.queue, self.batch)]

    async def end(self, is_alive=True):
        self.is_running = False
        await asyncio.wait(self.tasks, timeout=8 if is_alive else 1)
        for task in self.tasks:
            task.cancel()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.nc.close()
        bad = [r for r in results if isinstance(r, Exception) and not isinstance(r, GONE)]
        must(not bad or not is_alive, "a client broke:", bad[:1])
        must(self.problem is None, self.problem)

    async def acknowledged_within(self, seconds):
        """Somebody is acknowledged something again."""
        began = time.monotonic()
        while self.last_ack < began:
            must(time.monotonic() - began < seconds, f"nothing acknowledged for {seconds} s; answers:", self.errors)
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def messages(self, stream, last):
        """(sequence, message or None) of all, some at a time."""
        for first in range(1, last + 1, 64):
            numbers = range(first, min(first + 64, last + 1))
            for seq, message in zip(numbers, await asyncio.gather(*(self.message(stream, seq) for seq in numbers))):
                yield seq, message

    async def message(self, stream, seq):
        try:
            return await self.js.get_msg(stream, seq)
        except APIError as error:
            must(error.err_code in (10037, 10194, 10195) or error.code in (404, 500, 503), "reading", stream, seq, "says", error)
            return None

    async def check(self, url, is_damaged=False):
        """is_damaged: the disk spoiled what it had acknowledged: what is served must be right, not all must be. Returns how many are missing."""
        await self.connect(url)
        try:
            return await self.check_keys(is_damaged) + await self.check_log(is_damaged) + await self.check_batches(is_damaged) + (0 if is_damaged else await self.check_queue() + await self.check_removed())
        finally:
            await self.nc.close()

    async def check_keys(self, is_damaged):
        bucket, missing = await self.js.key_value("B"), 0
        for key in set(self.values) | set(self.maybe):
            try:
                have = (await bucket.get(key)).value.decode()
            except Exception:
                have = None
            want = self.values.get(key)
            possible = {want} | self.maybe.get(key, set())
            if have not in possible:
                # A block that never reached the disk cannot say whose value it had: then the one before stands.
                must(is_damaged and (have is None or have.startswith(key + "=")), "key", key, "is", have, "not", possible)
                missing += 1
            else:
                self.values[key] = have
                self.maybe[key] = set()
                self.dead |= possible - {have, None}
        return missing

    async def check_log(self, is_damaged):
        state, seen, missing = (await self.js.stream_info("P")).state, {}, 0
        last = max(self.log, default=0)
        must(state.last_seq >= last or is_damaged, "P lost its end:", state.last_seq, "<", last)
        async for seq, message in self.messages("P", state.last_seq):
            if message is None:
                must(is_damaged or seq not in self.log, "acknowledged message", seq, "is gone")
                missing += 1
                continue
            payload = message.data.decode()
            must(payload not in seen, "P has", payload[:12], "twice:", seen.get(payload), seq)
            seen[payload] = seq
            if seq in self.log:
                must(payload == self.log[seq], "P", seq, "is", payload[:12], "instead of", self.log[seq][:12])
            else:
                must(payload not in self.buried, "refused message", payload[:12], "came back as", seq)
                must(payload in self.open or payload in self.open_refused, "P", seq, "is what nobody sent:", payload[:20])
                self.log[seq] = payload
        self.open -= set(seen)
        self.open_refused -= set(seen)
        return missing

    async def check_batches(self, is_damaged):
        last, whole, open_batch, missing = (await self.js.stream_info("A")).state.last_seq, {}, None, 0
        async for seq, message in self.messages("A", last):
            if message is None:
                must(is_damaged, "A", seq, "is gone")
                open_batch, missing = None, missing + 1
                continue
            number, i, size = (int(x) for x in message.data.split()[:3])
            must(is_damaged or (number, i) == (open_batch or (number, 1)), "half a batch before", seq, open_batch, (number, i))
            open_batch = (number, i + 1) if i < size else None
            if i == size:
                whole[number] = seq
        must(open_batch is None or is_damaged, "half a batch at the end")
        for number, seq in self.batches.items():
            must(is_damaged or whole.get(number) == seq, "committed batch", number, "is not at", seq, "but", whole.get(number))
        return missing

    async def check_queue(self):
        for seq in self.random.sample(sorted(self.done), min(60, len(self.done))):
            must(await self.message("W", seq) is None, "confirmed job", seq, "is back")
        return 0

    async def check_removed(self):
        for seq in self.random.sample(sorted(self.removed), min(60, len(self.removed))):
            must(await self.message("D", seq) is None, "removed message", seq, "is back")
        return 0
