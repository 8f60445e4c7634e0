#!/usr/bin/env python3
"""Leafnodes between pairs of servers: ours and the genuine one in both roles, and ours with itself.

  leafnodes.py --ours PATH [--genuine PATH] [--pairs ours:genuine,...] [WORD ...]     a pair is HUB:LEAF"""
import argparse, asyncio, json, os, signal, socket, sys, time, traceback, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import nats
from nats.errors import NoRespondersError
from nats.js.api import ExternalStream, StreamSource
from server import Server

TESTS = []
DOMAINS = {"hub": "domain: hub\n", "leaf": "domain: leaf\n"}


def test(hub="", leaf="", block="", user="", remote="", domains=False):
    """Configuration of both sides; block: within the hub's leafnodes; user: "name:password@"; remote: within the leaf's remote."""
    def add(function):
        TESTS.append((function.__name__.replace("_", " "), function, dict(hub=hub, leaf=leaf, block=block, user=user, remote=remote, domains=domains)))
        return function
    return add


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def until(ask, what, seconds=10):
    end = time.monotonic() + seconds
    while True:
        value = ask()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"not in time: {what}"
        await asyncio.sleep(0.02)


class Node(Server):
    def __init__(self, binary, name, block, conf, domains):
        super().__init__(binary, f"server_name: {name}\nleafnodes {{\n{block}\n}}\n{conf}", monitor=True, jetstream=DOMAINS[name] if domains else False)

    def page(self, path):
        with urllib.request.urlopen(self.monitor + path, timeout=5) as answer:
            return json.load(answer)

    def linked(self):
        return self.page("/leafz")["leafnodes"]

    def reload(self, old, new):
        assert old in self.conf
        self.conf = self.conf.replace(old, new)
        path = f"{self.dir}/server.conf"
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text.replace(old, new))
        self.process.send_signal(signal.SIGHUP)


class Pair:
    def __init__(self, binaries, ours, setting):
        self.ours = ours
        self.port, self.clients, self.more = free_port(), [], []
        self.binaries = binaries
        self.hub = Node(binaries[0], "hub", f'listen: "127.0.0.1:{self.port}"\n{setting["block"]}', setting["hub"], setting["domains"])
        self.leaf = Node(binaries[1], "leaf", self.remotes(setting["user"], setting["remote"]), setting["leaf"], setting["domains"])
        self.hub.start()
        self.leaf.start()

    def remotes(self, user="", remote=""):
        more = f", {remote}" if remote else ""
        return f'reconnect: "1s"\nremotes: [ {{ url: "nats-leaf://{user}127.0.0.1:{self.port}"{more} }} ]'

    async def client(self, node, **options):
        client = await nats.connect(node.url, allow_reconnect=False, **options)
        self.clients.append(client)
        return client

    async def both(self, **options):
        await until(lambda: self.hub.linked() == 1 and self.leaf.linked() == 1, "linked")
        return await self.client(self.hub, **options), await self.client(self.leaf, **options)

    async def settle(self, reach):
        """Interest has crossed: a subscription made on one side after those of a test is known on the other."""
        for here in reach:
            there = [c for c in reach if c is not here] or reach
            subject = here.new_inbox()
            probe = await here.subscribe(subject)
            await here.flush()
            for other in there:
                async def answered():
                    await other.publish(subject, b"")
                    try:
                        return await probe.next_msg(0.1)
                    except nats.errors.TimeoutError:
                        return None
                await until(answered, "interest crosses")
            await probe.unsubscribe()
            await here.flush()

    async def close(self):
        for client in self.clients:
            try:
                await client.close()
            except Exception:  # its server is gone
                pass
        ends = []
        for node in (*self.more, self.leaf, self.hub):
            code = node.stop()
            if code not in (0, -signal.SIGKILL) and node.binary == self.ours:  # a crash on the way out, or what a sanitizer found
                ends.append(f"ended with {code}:\n{node.log_text()[-4000:]}")
            node.close()
        assert not ends, "\n".join(ends)


async def drained(subscription):
    subjects = []
    while subscription.pending_msgs:
        subjects.append((await subscription.next_msg(1)).subject)
    return subjects


@test()
async def messages_with_headers_and_replies_cross_once(pair):
    a, b = await pair.both()
    at_hub, at_leaf = await a.subscribe("x.>"), await b.subscribe("y.*")
    await pair.settle([a, b])
    await b.publish("x.1", b"one", headers={"A": "b"})
    await a.publish("y.1", b"two", reply="answer.here")
    message = await at_hub.next_msg(3)
    assert (message.data, message.headers) == (b"one", {"A": "b"})
    message = await at_leaf.next_msg(3)
    assert (message.data, message.reply) == (b"two", "answer.here")
    large = os.urandom(500_000)
    await b.publish("x.large", large)
    assert (await at_hub.next_msg(5)).data == large
    await a.publish("y.large", large)
    assert (await at_leaf.next_msg(5)).data == large
    second = await a.subscribe("x.*")
    await pair.settle([a, b])
    await b.publish("x.2", b"")
    await b.publish("x.last", b"")
    assert [(await at_hub.next_msg(3)).subject for _ in range(2)] == ["x.2", "x.last"]
    assert [(await second.next_msg(3)).subject for _ in range(2)] == ["x.2", "x.last"]
    shown = pair.hub.page("/leafz?subs=1")["leafs"][0]
    assert (shown["name"], shown["account"], shown["is_spoke"]) == ("leaf", "$G", False) and "y.*" in shown["subscriptions_list"]
    assert pair.leaf.page("/leafz")["leafs"][0]["is_spoke"] and pair.hub.page("/varz")["leafnodes"] == 1


@test()
async def requests_are_answered_and_lost_interest_is_no_responder(pair):
    a, b = await pair.both()

    async def answer(message):
        await message.respond(b"re:" + message.data)
    far = await a.subscribe("at.hub", cb=answer)
    await b.subscribe("at.leaf", cb=answer)
    await pair.settle([a, b])
    for i in range(20):
        assert (await b.request("at.hub", b"%d" % i, timeout=3)).data == b"re:%d" % i
        assert (await a.request("at.leaf", b"%d" % i, timeout=3)).data == b"re:%d" % i
    await far.unsubscribe()
    await a.flush()

    async def is_alone():
        try:
            await b.request("at.hub", b"", timeout=0.3)
        except NoRespondersError:
            return True
        except nats.errors.TimeoutError:
            return False
    await until(is_alone, "no responders")


@test()
async def queue_groups_prefer_their_own_side(pair):
    a, b = await pair.both()
    count = {"hub": 0, "leaf": 0}

    def counter(side):
        async def add(message):
            count[side] += 1
        return add
    at_hub = await a.subscribe("q", "g", cb=counter("hub"))
    for _ in range(3):
        await b.subscribe("q", "g", cb=counter("leaf"))
    await pair.settle([a, b])
    for wanted, publisher in ((dict(hub=50, leaf=0), a), (dict(hub=50, leaf=50), b)):
        for _ in range(50):
            await publisher.publish("q", b"")
        await until(lambda: sum(count.values()) >= sum(wanted.values()), "all came")
        assert count == wanted, count
    await at_hub.unsubscribe()
    await pair.settle([a, b])
    for _ in range(50):
        await a.publish("q", b"")
    await until(lambda: count == dict(hub=50, leaf=100), "the other side has them")


@test(domains=True)
async def jetstream_is_reached_by_its_domain(pair):
    a, b = await pair.both()
    at_hub, at_leaf = a.jetstream(timeout=5), b.jetstream(timeout=5)
    await at_hub.add_stream(name="H", subjects=["h.>"])
    await at_leaf.add_stream(name="L", subjects=["l.>"])
    for i in range(10):
        await at_hub.publish(f"h.{i}", b"", headers={"N": str(i)})
        await at_leaf.publish(f"l.{i}", b"")
    for js, stream in ((a.jetstream(domain="leaf", timeout=5), "L"), (b.jetstream(domain="hub", timeout=5), "H")):
        assert (await js.stream_info(stream)).state.messages == 10
        pull = await js.pull_subscribe(f"{stream.lower()}.>", durable="D")
        messages = await pull.fetch(10, timeout=5)
        assert [m.subject for m in messages] == [f"{stream.lower()}.{i}" for i in range(10)]
        for message in messages:
            await message.ack_sync()
        info = await js.consumer_info(stream, "D")
        assert (info.num_ack_pending, info.ack_floor.consumer_seq) == (0, 10)
        push = await js.subscribe(f"{stream.lower()}.>", stream=stream, durable="P")
        for i in range(10):
            message = await push.next_msg(5)
            assert message.subject == f"{stream.lower()}.{i}"
            await message.ack()
    await at_leaf.add_stream(name="SOURCED", sources=[StreamSource(name="H", external=ExternalStream(api="$JS.hub.API"))])
    await at_hub.add_stream(name="MIRROR", mirror=StreamSource(name="L", external=ExternalStream(api="$JS.leaf.API")))

    async def has(js, stream, count):
        return (await js.stream_info(stream)).state.messages == count
    await until(lambda: has(at_leaf, "SOURCED", 10), "source", 20)
    await until(lambda: has(at_hub, "MIRROR", 10), "mirror", 20)
    await at_hub.publish("h.late", b"late", headers={"A": "B"})
    await until(lambda: has(at_leaf, "SOURCED", 11), "what came late")
    late = await at_leaf.get_msg("SOURCED", 11)
    assert (late.subject, late.data, late.headers["A"]) == ("h.late", b"late", "B")
    assert (await at_hub.publish("l.from.afar", b"")).stream == "L"


@test(domains=True)
async def a_source_goes_on_when_the_hub_is_back(pair):
    a, b = await pair.both()
    await a.jetstream(timeout=5).add_stream(name="H", subjects=["h"])
    js = b.jetstream(timeout=5)
    await js.add_stream(name="S", sources=[StreamSource(name="H", external=ExternalStream(api="$JS.hub.API"))])

    async def has(count):
        return (await js.stream_info("S")).state.messages == count
    for _ in range(5):
        await a.jetstream(timeout=5).publish("h", b"")
    await until(lambda: has(5), "before", 20)
    await a.close()
    pair.hub.stop()
    pair.hub.start()
    await until(lambda: pair.hub.linked() == 1, "linked again")
    a = await pair.client(pair.hub)
    for _ in range(5):
        await a.jetstream(timeout=5).publish("h", b"")
    await until(lambda: has(10), "after", 45)


@test()
async def either_side_may_come_back(pair):
    _, b = await pair.both()
    subscription = await b.subscribe("y")
    await b.flush()
    pair.hub.stop()
    await until(lambda: pair.leaf.linked() == 0, "left")
    pair.hub.start()
    await until(lambda: pair.hub.linked() == 1, "linked again")
    a = await pair.client(pair.hub)
    await pair.settle([b, a])
    await a.publish("y", b"")
    await subscription.next_msg(3)
    pair.leaf.process.kill()
    await until(lambda: pair.hub.linked() == 0, "gone")


ACCOUNTS = "accounts { A { users [{user: a, password: a}] }, B { users [{user: b, password: b}] } }\n"


@test(hub=ACCOUNTS, leaf=ACCOUNTS, block="authorization { users [{user: la, password: la, account: A}, {user: lb, password: lb, account: B}] }", user="lb:lb@", remote="account: A")
async def a_remote_joins_two_accounts(pair):
    await until(lambda: pair.hub.linked() == 1, "linked")
    assert pair.hub.page("/leafz")["leafs"][0]["account"] == "B" and pair.leaf.page("/leafz")["leafs"][0]["account"] == "A"
    b, wrong = await pair.client(pair.hub, user="b", password="b"), await pair.client(pair.hub, user="a", password="a")
    a = await pair.client(pair.leaf, user="a", password="a")
    here, there = await b.subscribe("t"), await wrong.subscribe("t")
    await wrong.flush()
    await pair.settle([b, a])
    await a.publish("t", b"")
    await here.next_msg(3)
    await wrong.flush()
    assert there.pending_msgs == 0 and pair.hub.page("/leafz?acc=A")["leafnodes"] == 0
    figures = [one for one in pair.hub.page("/accstatz?unused=1")["account_statz"] if one["acc"] == "B"]
    assert figures[0]["leafnodes"] == 1


@test(block="authorization { user: u, password: p }", user="u:wrong@")
async def a_wrong_password_is_refused(pair):
    await until(lambda: "Authorization Violation" in pair.leaf.log_text(), "refused")
    assert pair.hub.linked() == 0


@test(hub='accounts { A { users [{user: a, password: a}, {user: l, password: l, permissions: {publish: ["up.>", "_INBOX.>"], subscribe: {allow: ["down.>", "_INBOX.>"], deny: down.secret}}}] } }\n', user="l:l@", remote="deny_exports: [up.own]")
async def permissions_of_the_hubs_user_and_denials_of_the_remote_hold(pair):
    await until(lambda: pair.hub.linked() == 1, "linked")
    a, b = await pair.client(pair.hub, user="a", password="a"), await pair.client(pair.leaf)
    everything, down, other = await a.subscribe(">"), await b.subscribe("down.>"), await b.subscribe("other")
    await pair.settle([a, b])
    await drained(everything)
    sent, came = ("up.1", "up.own", "nope", "up.last"), []
    for subject in sent:
        await b.publish(subject, b"")
    while came[-1:] != ["up.last"]:
        subject = (await everything.next_msg(3)).subject
        came += [subject] * (subject in sent)  # servers and clients say more than that
    assert came == ["up.1", "up.last"], came
    for subject in ("down.1", "down.secret", "other", "down.last"):
        await a.publish(subject, b"")
    assert [(await down.next_msg(3)).subject for _ in range(2)] == ["down.1", "down.last"]
    assert other.pending_msgs == 0 and pair.hub.linked() == 1


@test()
async def leafs_reach_each_other_through_the_hub(pair):
    second = Node(pair.binaries[1], "leaf", pair.remotes(), "", False)
    second.conf = second.conf.replace("server_name: leaf", "server_name: leaf2")
    pair.more.append(second.start())
    await until(lambda: pair.hub.linked() == 2, "two")
    b, c = await pair.client(pair.leaf), await pair.client(second)
    plain, count = await b.subscribe("z"), []

    async def add(message):
        count.append(message)
    await c.subscribe("w", "g", cb=add)
    await pair.settle([b, c])
    await c.publish("z", b"")
    await plain.next_msg(3)
    await b.publish("w", b"")
    await until(lambda: len(count) == 1, "a group two hops away")
    await pair.settle([b, c])
    assert plain.pending_msgs == 0 and len(count) == 1


@test(remote="hub: true")
async def who_connects_may_be_the_hub(pair):
    a, b = await pair.both()
    assert pair.hub.page("/leafz")["leafs"][0]["is_spoke"] and not pair.leaf.page("/leafz")["leafs"][0]["is_spoke"]
    await pair.settle([a, b])


@test(hub='mappings { "from.*": "to.$1" }\n')
async def mappings_draw_messages_from_the_other_side(pair):
    a, b = await pair.both()
    subscription = await a.subscribe("to.*")
    await pair.settle([a, b])
    await b.publish("from.x", b"")
    assert (await subscription.next_msg(3)).subject == "to.x"


@test(block='min_version: "9.0.0"')
async def older_versions_may_be_refused(pair):
    await until(lambda: "minimum version" in pair.leaf.log_text(), "refused")


@test()
async def a_loop_is_found(pair):
    ports = free_port(), free_port()
    for i, name in enumerate(("one", "two")):
        node = Node(pair.binaries[i], "leaf", f'listen: "127.0.0.1:{ports[i]}"\nreconnect: "1s"\nremotes: [ {{ url: "nats-leaf://127.0.0.1:{ports[1 - i]}" }} ]', "", False)
        node.conf = node.conf.replace("server_name: leaf", f"server_name: {name}")
        pair.more.append(node.start())
    await until(lambda: any("Loop detected" in node.log_text() for node in pair.more), "loop", 15)


@test(block="authorization { user: u, password: first }", user="u:first@")
async def a_reload_of_the_leaf_changes_its_remotes(pair):
    await until(lambda: pair.hub.linked() == 1, "linked")
    pair.leaf.reload("url:", "disabled: true, url:")
    await until(lambda: pair.hub.linked() == 0, "disabled")
    pair.leaf.reload("disabled: true, url:", "url:")
    await until(lambda: pair.hub.linked() == 1, "back")


async def run(options):
    binaries = {"ours": os.path.abspath(options.ours), "genuine": options.genuine and os.path.abspath(options.genuine)}
    pairs = [tuple(one.split(":")) for one in options.pairs.split(",")] if options.pairs else [("ours", "ours")] + ([("ours", "genuine"), ("genuine", "ours")] if options.genuine else [])
    passed = failed = 0
    for kinds in pairs:
        for name, function, setting in TESTS:
            if options.words and not any(word in name for word in options.words):
                continue
            pair = Pair([binaries[kind] for kind in kinds], binaries["ours"], setting)
            try:
                try:
                    await asyncio.wait_for(function(pair), 90)
                finally:
                    await pair.close()
                passed += 1
            except Exception:
                failed += 1
                print(f"FAILED {name} (hub {kinds[0]}, leaf {kinds[1]})\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--genuine")
    parser.add_argument("--pairs", default="")
    parser.add_argument("words", nargs="*")
    sys.exit(asyncio.run(run(parser.parse_args())))
