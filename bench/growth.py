#!/usr/bin/env python3
"""How the cost of one operation grows with the number of consumers: server CPU in µs per operation, and
memory per consumer. A column that grows with n faster than a logarithm is a fault.

  growth.py --binary PATH [--max 100000] [--only NAME[,NAME]] [--start 100]

watch    ephemeral watchers of one bucket, each of a key of its own, over four connections
fanout   watchers that all want every key; then their connections close and they end by themselves
durable  durable pull consumers of one stream, each with a filter of its own
queue    a work queue whose consumers have a subject each, with one message pending in every consumer
shared   a work queue of n subjects that 10 and 1000 consumers share
interest a stream kept while one of n equal consumers needs the message
pulls    a request waits in each of n consumers
waiting  n requests wait in one consumer
keys     a bucket of n keys: what a watcher's start costs
bounded  consumers of a stream with max_consumers, all created at once
streams  streams, at most 10,000"""
import argparse, os, shutil, signal, socket, subprocess, tempfile, time

WINDOW = 256

class Server:
    def __init__(self, binary, folder):
        self.folder = folder
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        with open(f"{folder}/server.conf", "w") as f:
            f.write(f'listen: "127.0.0.1:{self.port}"\nmax_control_line: 4096\n'
                    f'jetstream {{ store_dir: "{folder}/js", max_mem: 4GB, max_file: 16GB }}\n')
        self.binary = binary
        self.start()
    def start(self):
        began = time.monotonic()
        self.process = subprocess.Popen([self.binary, "-c", f"{self.folder}/server.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                Client(self.port).request("$JS.API.INFO")
                return time.monotonic() - began
            except OSError:
                if self.process.poll() is not None or time.monotonic() - began > 120:
                    raise RuntimeError("the server does not answer")
                time.sleep(0.005)
    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
    def cpu_us(self):
        total, folder = 0, f"/proc/{self.process.pid}/task"
        for task in os.listdir(folder):
            with open(f"{folder}/{task}/schedstat") as f:
                total += int(f.read().split()[0])
        return total / 1000
    def rss(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Rss:"))

class Client:
    """Just enough of the protocol, pipelined."""
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(60)
        self.reader = self.socket.makefile("rb", 1 << 20)
        self.reader.readline()
        self.inbox = f"_INBOX.{id(self):x}"
        self.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true,"protocol":1}\r\n' + f"SUB {self.inbox}.> 1\r\n".encode())
    def send(self, data):
        self.socket.sendall(data)
    def close(self):
        self.reader.close(); self.socket.close()
    def next(self):
        """Payload of the next message, (reply subject, payload)."""
        while True:
            line = self.reader.readline()
            if line.startswith((b"MSG", b"HMSG")):
                parts = line.split()
                reply = parts[3] if len(parts) > (5 if line[:1] == b"H" else 4) else b""
                return reply, self.reader.read(int(parts[-1]) + 2)[:-2]
            if line.startswith(b"PING"):
                self.send(b"PONG\r\n")
            elif line.startswith(b"-ERR") or not line:
                raise RuntimeError(f"the server said {line!r}")
    def request(self, subject, body=b""):
        self.send(b"PUB %s %s.r %d\r\n%s\r\n" % (subject.encode(), self.inbox.encode(), len(body), body))
        return self.next()[1]
    def many(self, operations, window=WINDOW):
        """operations: (subject, body) each; every answer must be without an error."""
        waiting, batch = 0, []
        for subject, body in operations:
            batch.append(b"PUB %s %s.r %d\r\n%s\r\n" % (subject.encode(), self.inbox.encode(), len(body), body))
            if len(batch) + waiting < window and len(batch) < window:
                continue
            self.send(b"".join(batch)); waiting += len(batch); batch = []
            while waiting > window // 2:
                self.check(self.next()[1]); waiting -= 1
        self.send(b"".join(batch))
        for _ in range(waiting + len(batch)):
            self.check(self.next()[1])
    def check(self, answer):
        if b'"error"' in answer:
            raise RuntimeError(answer.decode(errors="replace"))

class Table:
    def __init__(self, name, server, n):
        self.name, self.server, self.n, self.row = name, server, n, {}
    def measure(self, what, count, run):
        cpu = self.server.cpu_us()
        run()
        self.row[what] = (self.server.cpu_us() - cpu) / max(count, 1)
    def show(self):
        print(f"{self.name:8} n={self.n:<7} " + "  ".join(f"{k} {v:,.1f}" for k, v in self.row.items()), flush=True)

def pages(client, stream, kind, n):
    """All pages of the consumer names or infos."""
    at = 0
    while at < n:
        answer = client.request(f"$JS.API.CONSUMER.{kind}.{stream}", b'{"offset":%d}' % at)
        if kind == "NAMES":
            at += answer[answer.index(b'"consumers":['):].count(b'",') + 1
        else:
            at += answer.count(b'"stream_name":')

def create(stream, name, **config):
    import json
    return f"$JS.API.CONSUMER.CREATE.{stream}.{name}", json.dumps({"stream_name": stream, "config": {"name": name, **config}}).encode()

def watch(server, n):
    clients = [Client(server.port) for _ in range(4)]
    first = clients[0]
    first.check(first.request("$JS.API.STREAM.CREATE.KV_b", BUCKET))
    first.many(((f"$KV.b.other.{i}", b"v") for i in range(1000)))
    table = Table("watch", server, n)
    per, before = n // 4, server.rss()
    for k, client in enumerate(clients):
        client.send(b"".join(b"SUB w.%d %d\r\n" % (i, i + 10) for i in range(k * per, (k + 1) * per)))
        client.request("$JS.API.INFO")
    subscribed = server.rss()
    def make():
        for k, client in enumerate(clients):
            client.many(create("KV_b", f"w{i}", deliver_subject=f"w.{i}", deliver_policy="last_per_subject", ack_policy="none", max_deliver=1,
                               filter_subject=f"$KV.b.key.{i}", mem_storage=True, num_replicas=1, inactive_threshold=300_000_000_000) for i in range(k * per, (k + 1) * per))
    table.measure("create", n, make)
    table.row["B/sub"], table.row["B/watcher"] = (subscribed - before) / n, (server.rss() - subscribed) / n
    table.measure("put", 4000, lambda: first.many((f"$KV.b.other.{i % 1000}", b"v") for i in range(4000)))
    some = [k * per + i for k in range(4) for i in range(0, per, max(per // 500, 1))]
    other = Client(server.port)
    def matching():
        other.many((f"$KV.b.key.{i}", b"v") for i in some)
        for client in clients:
            for _ in range(len(some) // 4):
                client.next()
    table.measure("put+watch", len(some), matching)
    table.measure("info", 1000, lambda: first.many((f"$JS.API.CONSUMER.INFO.KV_b.w{i % n}", b"") for i in range(1000)))
    table.measure("names", n, lambda: pages(first, "KV_b", "NAMES", n))
    table.measure("stream info", 200, lambda: first.many(("$JS.API.STREAM.INFO.KV_b", b"") for _ in range(200)))
    table.measure("purge key", 400, lambda: first.many(("$JS.API.STREAM.PURGE.KV_b", b'{"filter":"$KV.b.other.%d"}' % i) for i in range(400)))
    def page():
        for i in range(20):
            first.many([create("KV_b", f"extra{i}", deliver_subject="extra", ack_policy="none", filter_subject="$KV.b.extra", mem_storage=True)])
            first.request("$JS.API.CONSUMER.NAMES.KV_b")
    table.measure("create+names", 20, page)
    table.measure("delete", n, lambda: first.many((f"$JS.API.CONSUMER.DELETE.KV_b.w{i}", b"") for i in range(per * 4)))
    table.show()

BUCKET = (b'{"name":"KV_b","subjects":["$KV.b.>"],"max_msgs_per_subject":1,"discard":"new","allow_direct":true,"allow_rollup_hdrs":true,'
          b'"deny_delete":true,"storage":"file","num_replicas":1}')

def fanout(server, n):
    first, clients = Client(server.port), [Client(server.port) for _ in range(4)]
    first.check(first.request("$JS.API.STREAM.CREATE.KV_b", BUCKET))
    table, per = Table("fanout", server, n), n // 4
    config = dict(deliver_policy="last_per_subject", ack_policy="none", max_deliver=1, filter_subject="$KV.b.>", mem_storage=True, num_replicas=1, inactive_threshold=1_000_000_000)
    def make():
        for k, client in enumerate(clients):
            client.send(b"".join(b"SUB w.%d %d\r\n" % (i, i + 10) for i in range(k * per, (k + 1) * per)))
            client.many(create("KV_b", f"w{i}", deliver_subject=f"w.{i}", **config) for i in range(k * per, (k + 1) * per))
    table.measure("create", n, make)
    puts = max(4, 20000 // n)
    def put():
        for _ in range(puts):
            first.send(b"PUB $KV.b.key 1\r\nv\r\n")
            for client in clients:
                for _ in range(per):
                    client.next()
    table.measure("put per delivery", puts * n, put)
    def end():
        for client in clients:
            client.close()
        while b'"consumer_count":0' not in first.request("$JS.API.STREAM.INFO.KV_b"):
            time.sleep(0.2)
    table.measure("close", n, end)
    clients = [Client(server.port) for _ in range(1)]
    clients[0].send(b"SUB one 7\r\n")
    table.measure("create, one inbox", n, lambda: first.many(create("KV_b", f"w{i}", deliver_subject="one", **config) for i in range(n)))
    table.measure("delete", n, lambda: first.many((f"$JS.API.CONSUMER.DELETE.KV_b.w{i}", b"") for i in range(n)))
    table.show()

def shared(server, n):
    client, table = Client(server.port), Table("shared", server, n)
    for consumers in (10, 1000):
        name = f"S{consumers}"
        client.check(client.request(f"$JS.API.STREAM.CREATE.{name}", b'{"name":"%s","subjects":["%s.>"],"retention":"workqueue","storage":"file"}' % (name.encode(), name.encode())))
        client.many(create(name, f"c{i}", durable_name=f"c{i}", ack_policy="explicit", filter_subject=f"{name}.{i}.*", max_ack_pending=-1) for i in range(consumers))
        table.measure(f"put/{consumers}", n, lambda: client.many((f"{name}.{i % consumers}.{i}", b"v") for i in range(n)))
        acks = []
        def pull():
            for start in range(0, n, WINDOW):
                part = range(start, min(start + WINDOW, n))
                client.send(b"".join(b"PUB $JS.API.CONSUMER.MSG.NEXT.%s.c%d %s.m 0\r\n\r\n" % (name.encode(), i % consumers, client.inbox.encode()) for i in part))
                acks.extend(client.next()[0] for _ in part)
        table.measure(f"pull/{consumers}", n, pull)
        table.measure(f"ack/{consumers}", n, lambda: client.many((a.decode(), b"+ACK") for a in acks))
    table.show()

def interest(server, n):
    client, table = Client(server.port), Table("interest", server, n)
    client.check(client.request("$JS.API.STREAM.CREATE.I", b'{"name":"I","subjects":["i.>"],"retention":"interest","storage":"file"}'))
    table.measure("create", n, lambda: client.many(create("I", f"c{i}", durable_name=f"c{i}", ack_policy="explicit", filter_subject="i.>") for i in range(n)))
    puts, acks = 4, []
    table.measure("put", puts * n, lambda: client.many((f"i.{i}", b"v") for i in range(puts)))
    def pull():
        for start in range(0, n, 64):
            part = range(start, min(start + 64, n))
            client.send(b"".join(b'PUB $JS.API.CONSUMER.MSG.NEXT.I.c%d %s.m 11\r\n{"batch":%d}\r\n' % (i, client.inbox.encode(), puts) for i in part))
            acks.extend(client.next()[0] for _ in part for _ in range(puts))
    table.measure("pull", puts * n, pull)
    table.measure("ack", puts * n, lambda: client.many((a.decode(), b"+ACK") for a in acks))
    assert b'"messages":0,' in client.request("$JS.API.STREAM.INFO.I")
    table.show()

def pulls(server, n):
    client, table = Client(server.port), Table("pulls", server, n)
    client.check(client.request("$JS.API.STREAM.CREATE.P", b'{"name":"P","subjects":["p.>"],"storage":"file"}'))
    client.many(create("P", f"c{i}", durable_name=f"c{i}", ack_policy="none", filter_subject=f"p.{i}") for i in range(n))
    before, body = server.rss(), b'{"batch":1,"expires":300000000000}'
    def wait():
        for start in range(0, n, 10000):
            client.send(b"".join(b"PUB $JS.API.CONSUMER.MSG.NEXT.P.c%d %s.m%d %d\r\n%s\r\n" % (i, client.inbox.encode(), i, len(body), body)
                                 for i in range(start, min(start + 10000, n))))
        client.request("$JS.API.INFO")
    table.measure("request", n, wait)
    table.row["B/request"] = (server.rss() - before) / n
    other = Client(server.port)
    def put():
        for start in range(0, n, WINDOW):
            other.many((f"p.{i}", b"v") for i in range(start, min(start + WINDOW, n)))
            for _ in range(start, min(start + WINDOW, n)):
                client.next()
    table.measure("put", n, put)
    table.show()

def waiting(server, n):
    client, other, table = Client(server.port), Client(server.port), Table("waiting", server, n)
    client.check(client.request("$JS.API.STREAM.CREATE.W", b'{"name":"W","subjects":["w.>"],"storage":"file"}'))
    client.many([create("W", "c", durable_name="c", ack_policy="none", max_waiting=2 * n + 1000)])
    other.send(b"SUB none.* 5\r\n")
    before = server.rss()
    def ask(count, seconds, beat=0):
        for start in range(0, count, 1000):
            some = []
            for i in range(start, min(start + 1000, count)):
                body = b'{"batch":1,"expires":%d%s}' % (int(seconds * 1e9), b',"idle_heartbeat":%d' % int(beat * 1e9) if beat else b"")
                some.append(b"PUB $JS.API.CONSUMER.MSG.NEXT.W.c %s.m%d %d\r\n%s\r\n" % (client.inbox.encode(), i, len(body), body))
            client.send(b"".join(some))
        other.request("$JS.API.INFO")
    table.measure("request", n, lambda: ask(n, 300))
    table.row["B/request"] = (server.rss() - before) / n
    table.measure("no wait", 200, lambda: [other.request("$JS.API.CONSUMER.MSG.NEXT.W.c", b'{"batch":1,"no_wait":true}') for _ in range(200)])
    table.measure("info", 50, lambda: other.many(("$JS.API.CONSUMER.INFO.W.c", b"") for _ in range(50)))
    def put():
        other.many((f"w.{i}", b"v") for i in range(n))
        for _ in range(n):
            client.next()
    table.measure("put", n, put)
    def expire():
        ask(n, 5)
        for _ in range(n):
            client.next()
    table.measure("expire", n, expire)
    table.show()

def keys(server, n):
    client, other, table = Client(server.port), Client(server.port), Table("keys", server, n)
    client.check(client.request("$JS.API.STREAM.CREATE.KV_b", BUCKET))
    client.check(client.request("$JS.API.STREAM.CREATE.H", b'{"name":"H","subjects":["h.>"],"storage":"file","max_msgs_per_subject":5}'))
    before = server.rss()
    table.measure("put", n, lambda: client.many((f"$KV.b.{i % 100}.{i}", b"v") for i in range(n)))
    table.row["B/key"] = (server.rss() - before) / n
    table.measure("put, history", n, lambda: client.many((f"h.{i % 100}.{i}", b"v") for i in range(n)))
    for what, stream, prefix in (("", "KV_b", "$KV.b."), (" hist", "H", "h.")):
        for name, tail, count in (("literal", "7.7", 200), ("1% *", "7.*", 50), ("all >", ">", 10)):
            table.measure(f"{name}{what}", count, lambda: client.many(
                create(stream, f"w{i}", deliver_subject=f"nobody.{i}", deliver_policy="last_per_subject", ack_policy="none", filter_subject=prefix + tail, mem_storage=True)
                for i in range(count)))
            client.many((f"$JS.API.CONSUMER.DELETE.{stream}.w{i}", b"") for i in range(count))
    table.show()

def bounded(server, n):
    client, table = Client(server.port), Table("bounded", server, n)
    for name, retention, limit in (("limits", "limits", n), ("queue", "workqueue", 0)):
        client.check(client.request(f"$JS.API.STREAM.CREATE.{name}", b'{"name":"%s","subjects":["%s.>"],"retention":"%s","max_consumers":%d,"storage":"file"}' % (
            name.encode(), name.encode(), retention.encode(), limit or -1)))
        table.measure(name, n, lambda: client.many((create(name, f"c{i}", durable_name=f"c{i}", ack_policy="explicit", filter_subject=f"{name}.{i}") for i in range(n)), 20000))
    table.show()

def streams(server, n):
    if n > 10000:
        return
    client, table, before = Client(server.port), Table("streams", server, n), server.rss()
    table.measure("create", n, lambda: client.many((f"$JS.API.STREAM.CREATE.S{i}", b'{"name":"S%d","subjects":["s.%d.>"],"storage":"file"}' % (i, i)) for i in range(n)))
    table.row["B/stream"] = (server.rss() - before) / n
    table.measure("put", 4000, lambda: client.many((f"s.{i % n}.x", b"v") for i in range(4000)))
    table.measure("info", 1000, lambda: client.many((f"$JS.API.STREAM.INFO.S{i % n}", b"") for i in range(1000)))
    table.measure("names page", 20, lambda: [client.request("$JS.API.STREAM.NAMES") for _ in range(20)])
    table.measure("names of subject", 50, lambda: [client.request("$JS.API.STREAM.NAMES", b'{"subject":"s.7.x"}') for _ in range(50)])
    table.measure("list page", 20, lambda: [client.request("$JS.API.STREAM.LIST") for _ in range(20)])
    table.measure("account", 20, lambda: [client.request("$JS.API.INFO") for _ in range(20)])
    server.stop()
    table.row["restart ms"] = server.start() * 1000
    client = Client(server.port)
    table.measure("delete", n, lambda: client.many((f"$JS.API.STREAM.DELETE.S{i}", b"") for i in range(n)))
    table.show()

def durable(server, n):
    client = Client(server.port)
    client.check(client.request("$JS.API.STREAM.CREATE.D", b'{"name":"D","subjects":["d.>"],"max_msgs_per_subject":1,"storage":"file","num_replicas":1}'))
    table, before = Table("durable", server, n), server.rss()
    table.measure("create", n, lambda: client.many(create("D", f"c{i}", durable_name=f"c{i}", ack_policy="explicit", filter_subject=f"d.{i}") for i in range(n)))
    table.row["B/consumer"] = (server.rss() - before) / n
    table.measure("put", 4000, lambda: client.many((f"d.other.{i % 1000}", b"v") for i in range(4000)))
    some = range(0, n, max(n // 1000, 1))
    client.many((f"d.{i}", b"v") for i in some)
    def take():
        for start in range(0, len(some), WINDOW):
            part = some[start:start + WINDOW]
            client.send(b"".join(b"PUB $JS.API.CONSUMER.MSG.NEXT.D.c%d %s.m 0\r\n\r\n" % (i, client.inbox.encode()) for i in part))
            acks = [client.next()[0] for _ in part]
            client.many((a.decode(), b"+ACK") for a in acks)
    table.measure("pull+ack", len(some), take)
    table.measure("info", 1000, lambda: client.many((f"$JS.API.CONSUMER.INFO.D.c{i % n}", b"") for i in range(1000)))
    table.measure("names", n, lambda: pages(client, "D", "NAMES", n))
    table.measure("list", n, lambda: pages(client, "D", "LIST", n))
    server.stop()
    table.row["restart ms"] = server.start() * 1000
    table.row["restart cpu"] = server.cpu_us() / n
    table.row["B after"] = (server.rss() - before) / n
    client = Client(server.port)
    table.measure("delete", n, lambda: client.many((f"$JS.API.CONSUMER.DELETE.D.c{i}", b"") for i in range(n)))
    table.show()

def queue(server, n):
    client = Client(server.port)
    client.check(client.request("$JS.API.STREAM.CREATE.Q", b'{"name":"Q","subjects":["q.>"],"retention":"workqueue","storage":"file","num_replicas":1}'))
    table, before = Table("queue", server, n), server.rss()
    table.measure("create", n, lambda: client.many(create("Q", f"c{i}", durable_name=f"c{i}", ack_policy="explicit", filter_subject=f"q.{i}.*", ack_wait=3600_000_000_000) for i in range(n)))
    table.row["B/consumer"] = (server.rss() - before) / n
    table.measure("put", n, lambda: client.many((f"q.{i}.x", b"v") for i in range(n)))
    acks = []
    def pull():
        for start in range(0, n, WINDOW):
            part = range(start, min(start + WINDOW, n))
            client.send(b"".join(b"PUB $JS.API.CONSUMER.MSG.NEXT.Q.c%d %s.m 0\r\n\r\n" % (i, client.inbox.encode()) for i in part))
            acks.extend(client.next()[0] for _ in part)
    table.measure("pull", n, pull)
    table.row["B pending"] = (server.rss() - before) / n
    def ack():
        for start in range(0, n, WINDOW):
            part = acks[start:start + WINDOW]
            client.send(b"".join(b"PUB %s %s.a 4\r\n+ACK\r\n" % (a, client.inbox.encode()) for a in part))
            for _ in part:
                client.next()
    table.measure("ack", n, ack)
    table.measure("delete", n, lambda: client.many((f"$JS.API.CONSUMER.DELETE.Q.c{i}", b"") for i in range(n)))
    table.show()

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--start", type=int, default=100)
    parser.add_argument("--max", type=int, default=100000)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    for run in (watch, fanout, durable, queue, shared, interest, pulls, waiting, keys, bounded, streams):
        if args.only and run.__name__ not in args.only.split(","):
            continue
        n = args.start
        while n <= args.max:
            folder = tempfile.mkdtemp(prefix="growth-")
            server = Server(args.binary, folder)
            try:
                run(server, n)
            finally:
                server.process.kill(); server.process.wait()
                shutil.rmtree(folder, ignore_errors=True)
            n *= 10

if __name__ == "__main__":
    main()
