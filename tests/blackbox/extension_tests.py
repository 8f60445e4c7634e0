"""What is ours beyond the API that clients know (docs/EXTENSIONS.md), asked with nats-py."""
import asyncio, base64, json, os, time
from run import Skip, test
from server import Server
from wire import Wire

try:
    import nats
    from nats.js.api import KeyValueConfig, ObjectStoreConfig, StreamConfig
    from nats.js.errors import APIError
except ImportError:
    nats = None


def play(story, server, *args):
    """Runs the coroutine with a connection of its own."""
    if nats is None:
        raise Skip("nats-py is not installed")

    async def run():
        nc = await nats.connect(server.url)
        try:
            return await asyncio.wait_for(story(nc, *args), 120)
        finally:
            await nc.close()

    return asyncio.run(run())


async def ask(nc, subject, body=b"", headers=None):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return await nc.request(subject, body, headers=headers, timeout=10)


async def keys(nc, bucket, **body):
    return json.loads((await ask(nc, f"$JS.API.HW.KEYS.KV_{bucket}", body)).data)


async def bucket(nc, name, **more):
    return await nc.jetstream().create_key_value(KeyValueConfig(bucket=name, direct=True, **more))


async def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.02)


async def is_gone(kv, key):
    try:
        await kv.get(key)
        return False
    except nats.js.errors.KeyNotFoundError:
        return True


@test(workers=(1, 4))
def extensions_gets_see_what_they_ask_for(context, conf):
    async def story(nc):
        kv = await bucket(nc, "b")
        for n in range(200):
            seq = await kv.put("k", str(n).encode())
            got = await ask(nc, "$JS.API.DIRECT.GET.KV_b.$KV.b.k", headers={"HW-Min-Seq": str(seq)})
            assert got.headers["Nats-Sequence"] == str(seq), (got.headers, seq)
            await nc.publish("$KV.b.k", b"not waited for")
            got = await ask(nc, "$JS.API.DIRECT.GET.KV_b.$KV.b.k", headers={"HW-Linearizable": "1"})
            assert got.headers["Nats-Sequence"] == str(seq + 1), (got.headers, seq)
        last = seq + 1
        waiting = asyncio.create_task(ask(nc, "$JS.API.DIRECT.GET.KV_b.$KV.b.k", headers={"HW-Min-Seq": str(last + 1), "HW-Max-Wait": "20s"}))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await kv.put("k", b"now")
        assert (await waiting).data == b"now"
        got = await ask(nc, "$JS.API.DIRECT.GET.KV_b.$KV.b.k", headers={"HW-If-Not-Seq": str(last + 1)})
        assert got.headers["Status"] == "304" and got.data == b""

    with Server(context.binary, conf=conf) as server:
        play(story, server)


@test()
def extensions_a_wrong_sequence_brings_the_value_from_the_disk(context):
    async def fill(nc):
        kv = await bucket(nc, "b")
        await kv.put("k", b"v" * 1000)

    async def story(nc):
        got = await ask(nc, "$KV.b.k", b"x", {"Nats-Expected-Last-Subject-Sequence": "7", "HW-Want-Current": "value"})
        answer = json.loads(got.data)
        assert got.headers["HW-Last-Sequence"] == "1" and answer["error"]["err_code"] == 10071
        assert base64.b64decode(answer["current"]["data"]) == b"v" * 1000

    with Server(context.binary) as server:
        play(fill, server)
        server.kill()
        server.start()
        play(story, server)


@test(workers=(1, 4))
def extensions_keys_come_in_pages(context, conf):
    names = [f"{a}.{b}" for a in ("x", "x-y", "y") for b in range(400)]

    async def fill(nc):
        kv = await bucket(nc, "b", history=3)
        for name in names:
            await nc.publish(f"$KV.b.{name}", name.encode())
        await kv.delete("x.7")
        await kv.purge("y.8")

    async def story(nc):
        want = sorted((n for n in names if n not in ("x.7", "y.8")), key=lambda n: n.split("."))
        have, after, pages = [], "", 0
        while True:
            page = await keys(nc, "b", limit=100, after=after, values=True)
            for entry in page["keys"]:
                name = entry["key"][len("$KV.b."):]
                assert base64.b64decode(entry["value"]).decode() == name
                have.append(name)
            pages += 1
            if not page["more"]:
                break
            after = page["last"]
            await nc.publish(f"$KV.b.a.{pages}", b"before all pages")  # shifts nothing
        assert have == want, (len(have), len(want))
        assert (await keys(nc, "b", count_only=True, filter="$KV.b.x-y.*"))["count"] == 400
        assert (await keys(nc, "b", count_only=True, deleted=True))["count"] == len(names) + pages - 1

    with Server(context.binary, conf=conf) as server:
        play(fill, server)
        server.kill()
        server.start()
        play(story, server)


@test()
def extensions_a_bucket_is_seen_as_it_was(context):
    async def story(nc):
        kv = await bucket(nc, "b", history=10)
        for n in range(1500):
            await nc.publish(f"$KV.b.k{n}", b"old")
        point = await kv.put("last", b"old")
        moment = (await ask(nc, "$JS.API.DIRECT.GET.KV_b.$KV.b.last")).headers["Nats-Time-Stamp"]
        for n in range(1500):
            await nc.publish(f"$KV.b.k{n}", b"new")
        await kv.put("later", b"new")
        for selector in ({"as_of_seq": point}, {"as_of_time": moment}):
            have, after = {}, ""
            while True:
                page = await keys(nc, "b", limit=700, values=True, after=after, **selector)
                assert page["exact"] and page["as_of_seq"] == point
                have.update((e["key"], base64.b64decode(e["value"])) for e in page["keys"])
                if not page["more"]:
                    break
                after = page["last"]
            assert len(have) == 1501 and set(have.values()) == {b"old"} and "$KV.b.later" not in have
        got = await ask(nc, "$JS.API.DIRECT.GET.KV_b.$KV.b.k3", headers={"HW-As-Of-Time": moment})
        assert got.data == b"old" and got.headers["HW-As-Of-Exact"] == "1"
        await kv.purge("k3")
        got = await ask(nc, "$JS.API.DIRECT.GET.KV_b.$KV.b.k3", headers={"HW-As-Of-Seq": str(point)})
        assert got.headers["Status"] == "410", got.headers
        assert not (await keys(nc, "b", as_of_seq=point, limit=1))["exact"]

    with Server(context.binary) as server:
        play(story, server)


@test()
def extensions_touched_times_survive_kills(context):
    async def fill(nc):
        js = nc.jetstream()
        await ask(nc, "$JS.API.STREAM.CREATE.KV_b", {"name": "KV_b", "subjects": ["$KV.b.>"], "max_msgs_per_subject": 1,
                                                     "allow_direct": True, "allow_msg_ttl": True})
        for key in ("long", "short"):
            await js.publish(f"$KV.b.{key}", b"v", headers={"Nats-TTL": "3s"})
        answer = json.loads((await ask(nc, "$JS.API.HW.TOUCH.KV_b", {"subject": "$KV.b.long", "ttl": "1h"})).data)
        assert answer["success"] and answer["seq"] == 1, answer

    async def story(nc):
        async def short_is_gone():
            return (await ask(nc, "$JS.API.DIRECT.GET.KV_b.$KV.b.short")).headers.get("Status") == "404"
        await until(short_is_gone)
        got = await ask(nc, "$JS.API.DIRECT.GET.KV_b.$KV.b.long")
        assert got.headers["Nats-Sequence"] == "1" and got.headers["Nats-TTL"] == "3s", got.headers

    with Server(context.binary) as server:
        play(fill, server)
        server.kill()
        server.start()
        play(story, server)
        server.kill()
        server.start()
        play(story, server)


@test(workers=(1, 4))
def extensions_leases_end_with_their_holder(context, conf):
    async def story(nc, server):
        kv = await bucket(nc, "b")
        watcher = await kv.watchall()
        await watcher.updates(timeout=5)  # the end of what is there
        last = 0
        for n in range(10):
            holder = await nats.connect(server.url)
            inbox = holder.new_inbox()
            await holder.subscribe(inbox)
            ack = await holder.jetstream().publish("$KV.b.leader", str(n).encode(), headers={"HW-Lease": "30s", "HW-Lease-Bind": inbox})
            assert ack.seq > last
            last = ack.seq
            try:
                await nc.jetstream().publish("$KV.b.leader", b"other", headers={"HW-Lease": "30s"})
                assert False, "two hold it"
            except APIError as error:
                assert error.err_code == 10071
            await holder.close()
            assert (await watcher.updates(timeout=10)).value == str(n).encode()
            end = await watcher.updates(timeout=10)
            assert end.operation == "DEL" and end.revision > last, end

    with Server(context.binary, conf=conf) as server:
        play(story, server, server)


@test(workers=(1, 4))
def extensions_leases_end_with_a_connection_that_never_subscribed(context, conf):
    """Holders without a subscription, that ask for no answer and go without a word."""
    async def story(nc, server):
        kv = await bucket(nc, "b")
        watcher = await kv.watchall()
        await watcher.updates(timeout=5)
        for n in range(10):
            wire = Wire(server.port)
            wire.pub("$KV.b.leader", str(n), None, {"HW-Lease": "30s"}), wire.flush()
            held = await watcher.updates(timeout=10)
            wire.pub("$JS.API.HW.TOUCH.KV_b", json.dumps({"subject": "$KV.b.leader", "seq": held.revision, "connection": True})), wire.flush()
            answer = json.loads((await ask(nc, "$JS.API.HW.TOUCH.KV_b", {"subject": "$KV.b.leader", "seq": held.revision})).data)
            assert answer["success"], answer  # still held, and behind the holder's own request
            wire.close()
            end = await watcher.updates(timeout=10)
            assert held.value == str(n).encode() and end.operation == "DEL" and end.revision > held.revision, end
        answer = json.loads((await ask(nc, "$JS.API.HW.TOUCH.KV_b", {"subject": "$KV.b.leader", "bind": "x", "connection": True})).data)
        assert answer["error"]["err_code"] == 10003, answer

    with Server(context.binary, conf=conf) as server:
        play(story, server, server)


@test()
def extensions_leases_survive_kills_for_their_time(context):
    async def fill(nc, server):
        await bucket(nc, "b")
        js = nc.jetstream()
        await nc.subscribe("holder.1")
        await nc.subscribe("holder.2")
        for n in (1, 2):
            await js.publish(f"$KV.b.bound{n}", b"v", headers={"HW-Lease": "2s", "HW-Lease-Bind": f"holder.{n}"})
        await js.publish("$KV.b.short", b"v", headers={"HW-Lease": "1s"})
        await js.publish("$KV.b.long", b"v", headers={"HW-Lease": "1s"})
        await ask(nc, "$JS.API.HW.TOUCH.KV_b", {"subject": "$KV.b.long", "ttl": "1h"})
        server.kill()  # the holder is still there

    async def story(nc):
        kv = await nc.jetstream().key_value("b")
        await nc.subscribe("holder.2")
        await nc.flush()
        await until(lambda: is_gone(kv, "short"))
        await until(lambda: is_gone(kv, "bound1"))
        assert (await kv.get("long")).value == b"v"
        assert (await kv.get("bound2")).value == b"v"

    async def after(nc):
        kv = await nc.jetstream().key_value("b")
        await until(lambda: is_gone(kv, "bound2"))
        assert (await kv.get("long")).value == b"v"

    with Server(context.binary) as server:
        play(fill, server, server)
        server.start()
        play(story, server)
        play(after, server)


@test(workers=(1, 4))
def extensions_ranges_of_objects_are_read(context, conf):
    data = os.urandom(1_000_003)

    async def fill(nc):
        store = await nc.jetstream().create_object_store("files", ObjectStoreConfig(bucket="files"))
        await store.put("film", data)

    async def read(nc, **body):
        inbox = nc.new_inbox()
        sub = await nc.subscribe(inbox)
        await nc.publish("$JS.API.HW.OBJECT.GET.files", json.dumps({"name": "film", **body}).encode(), reply=inbox)
        parts = []
        while True:
            part = await sub.next_msg(timeout=10)
            if "Status" in part.headers:
                await sub.unsubscribe()
                return part.headers, b"".join(parts)
            parts.append(part.data)

    async def story(nc):
        for offset, length in ((0, len(data)), (0, 1), (131071, 2), (500_000, 300_001), (len(data) - 1, 1), (len(data), 5)):
            headers, got = await read(nc, offset=offset, length=length)
            assert headers["Status"] == "204" and headers["HW-Size"] == str(len(data)), headers
            assert got == data[offset:offset + length], (offset, length, len(got))
        headers, _ = await read(nc, offset=len(data) + 1)
        assert headers["Status"] == "416"

    with Server(context.binary, conf=conf) as server:
        play(fill, server)
        server.kill()
        server.start()
        play(story, server)


LIMITED = '''accounts { A { jetstream: enabled
  mappings = { "mapped.k": "$KV.b.k" }
  users: [ {user: all, password: p}
    {user: limited, password: p, permissions: { publish: { allow: ["$JS.API.HW.>", "$JS.ACK.>", "mapped.>", "$KV.b.mine.>"] } } }
    {user: reader, password: p, permissions: { publish: { allow: ["$JS.API.>", "$KV.b.mine.>"] } } } ] } }
'''


@test(workers=(1, 4))
def extensions_no_request_writes_what_its_user_may_not(context, conf):
    key = lambda name: {"ops": [{"bucket": "b", "key": "mine.x", "text": "1"}, {"bucket": "b", "key": name, "text": "2"}]}

    def wire(server, user):
        return Wire(server.port, {"user": user, "pass": "p"})

    with Server(context.binary, conf=conf + LIMITED, jetstream=True) as server:
        with wire(server, "all") as owner:
            made = owner.api("STREAM.CREATE.KV_b", {"name": "KV_b", "subjects": ["$KV.b.>"], "allow_msg_ttl": True, "max_msgs_per_subject": 1, "allow_direct": True})
            assert "error" not in made, made
            owner.request("$KV.b.secret", b"s3cret")
            for name in ("limited", "reader"):
                with wire(server, name) as user:
                    got = user.api("HW.TXN", key("k"))
                    assert got["error"]["err_code"] == 19120 and got["failed"] == {"op": 1}, got
                    got = user.api("HW.TOUCH.KV_b", {"subject": "$KV.b.secret", "ttl": "1s"})
                    assert got["error"]["err_code"] == 19120, got
                    told = [op for op in user.pending if isinstance(op, str) and op.startswith("-ERR")]
                    assert told == [f"-ERR 'Permissions Violation for Publish to \"$KV.b.{k}\"'" for k in ("k", "secret")], told
                    assert "results" in user.api("HW.TXN", key("mine.y"))
            info = owner.api("STREAM.INFO.KV_b", {"subjects_filter": ">"})
            assert set(info["state"]["subjects"]) == {"$KV.b.secret", "$KV.b.mine.x", "$KV.b.mine.y"}, info
            # A mapping lets a publish through, under the name that is allowed; a transaction names the stream's own.
            with wire(server, "limited") as user:
                assert b"seq" in user.request("mapped.k", b"x").data
                assert user.api("HW.TXN", key("k"))["error"]["err_code"] == 19120
                # What may only be written is not read by way of a refusal.
                headers = {"Nats-Expected-Last-Subject-Sequence": "99", "Nats-Expected-Last-Subject-Sequence-Subject": "$KV.b.secret", "HW-Want-Current": "value"}
                got = user.request("$KV.b.mine.x", b"x", headers=headers)
                assert b"current" not in got.data and b"10071" in got.data, got
            with wire(server, "reader") as user:
                got = user.request("$KV.b.mine.x", b"x", headers=headers)
                assert base64.b64encode(b"s3cret") in got.data, got


@test(workers=(1, 4))
def extensions_a_mirror_answers_only_for_a_stream_that_is_gone(context, conf):
    with Server(context.binary, conf=conf, jetstream=True) as server, Wire(server.port) as wire:
        for config in ({"name": "S", "subjects": ["s.*"], "allow_direct": True}, {"name": "M", "mirror": {"name": "S"}, "mirror_direct": True, "allow_direct": True}):
            made = wire.api("STREAM.CREATE." + config["name"], config)
            assert "error" not in made, made
        for n in range(300):
            assert b'"seq":%d' % (n + 1) in wire.request("s.k", str(n)).data
            got = wire.request("$JS.API.DIRECT.GET.S.s.k")
            assert got.data == b"%d" % n and "Nats-Stream: S\r\n" in got.headers, got
        end = time.monotonic() + 20
        while wire.api("STREAM.INFO.M")["state"]["last_seq"] < 300:
            assert time.monotonic() < end, "the mirror does not follow"
        assert wire.api("STREAM.DELETE.S")["success"]
        got = wire.request("$JS.API.DIRECT.GET.S.s.k")
        assert got.data == b"299" and "Nats-Stream: M\r\n" in got.headers, got
