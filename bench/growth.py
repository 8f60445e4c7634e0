#!/usr/bin/env python3
"""How the cost of one operation grows with the number of consumers: server CPU in µs per operation, and
memory per consumer. A column that grows with n faster than a logarithm is a fault.

  growth.py --binary PATH [--max 100000] [--only watch|durable|queue] [--start 100]

watch    ephemeral watchers of one bucket, each of a key of its own, over four connections
durable  durable pull consumers of one stream, each with a filter of its own
queue    a work queue whose consumers have a subject each, with one message pending in every consumer"""
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
    first.check(first.request("$JS.API.STREAM.CREATE.KV_b", b'{"name":"KV_b","subjects":["$KV.b.>"],"max_msgs_per_subject":1,"discard":"new",'
                              b'"allow_direct":true,"allow_rollup_hdrs":true,"deny_delete":true,"storage":"file","num_replicas":1}'))
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
    def matching():
        for i in range(0, per, max(per // 1000, 1)):
            first.send(b"PUB $KV.b.key.%d 1\r\nv\r\n" % i); first.next()
    table.measure("put+watch", len(range(0, per, max(per // 1000, 1))), matching)
    table.measure("info", 1000, lambda: first.many((f"$JS.API.CONSUMER.INFO.KV_b.w{i % n}", b"") for i in range(1000)))
    table.measure("names", n, lambda: pages(first, "KV_b", "NAMES", n))
    table.measure("stream info", 200, lambda: first.many(("$JS.API.STREAM.INFO.KV_b", b"") for _ in range(200)))
    table.measure("delete", n, lambda: first.many((f"$JS.API.CONSUMER.DELETE.KV_b.w{i}", b"") for i in range(per * 4)))
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
        for i in some:
            client.send(b"PUB $JS.API.CONSUMER.MSG.NEXT.D.c%d %s.m 0\r\n\r\n" % (i, client.inbox.encode()))
            reply, _ = client.next()
            client.send(b"PUB %s %s.a 4\r\n+ACK\r\n" % (reply, client.inbox.encode())); client.next()
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
    parser.add_argument("--only", choices=["watch", "durable", "queue"])
    args = parser.parse_args()
    for run in (watch, durable, queue):
        if args.only and run.__name__ != args.only:
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
