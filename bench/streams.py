#!/usr/bin/env python3
"""Many small streams: memory of each, time of a start, durable puts spread over a thousand of them.

  streams.py --binary PATH [--streams 5000] [--messages 5] [--seconds 3] [--other NATS_SERVER]

Memory is resident memory beyond that of the empty server. Puts: 256 outstanding on one connection, 128 B, in turn over all streams; the other
binary does the same with sync_interval: always."""
import argparse, json, os, socket, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "lib"))
from server import Server  # noqa: E402
from wire import Msg, Wire  # noqa: E402

OUTSTANDING = 256


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))


def all_of(wire, requests):
    """Pipelined requests, each of which must succeed."""
    inbox, waiting = "_INBOX.many", 0
    sid = wire.sub(inbox)
    for subject, body in requests:
        wire.pub(subject, body, reply=inbox)
        waiting += 1
        while waiting >= OUTSTANDING:
            waiting -= take(wire)
    while waiting:
        waiting -= take(wire)
    wire.send(f"UNSUB {sid}\r\n")


def take(wire):
    msg = wire.take(lambda op: isinstance(op, Msg))
    assert msg and '"error"' not in str(msg.data), msg
    return 1


def create(wire, count):
    all_of(wire, ((f"$JS.API.STREAM.CREATE.S{i}", json.dumps({"name": f"S{i}", "subjects": [f"s{i}.>"]})) for i in range(count)))


def memory(binary, streams, messages):
    with Server(binary, wait=120) as server:
        with Wire(server.port, timeout=60) as wire:
            wire.api("STREAM.CREATE.W", {"name": "W", "subjects": ["w"]})
            empty = resident_kb(server.process.pid)

            def show(what, count=streams):
                print(f"{what}: {(resident_kb(server.process.pid) - empty) / count:.1f} KB a stream", flush=True)
            began = time.monotonic()
            create(wire, streams)
            print(f"{streams} streams made in {time.monotonic() - began:.2f} s")
            show("without messages")
            all_of(wire, ((f"s{i}.{k}", "x" * 100) for k in range(messages) for i in range(streams)))
            show(f"with {messages} messages of {messages} subjects")
            before = resident_kb(server.process.pid)
            all_of(wire, ((f"$JS.API.CONSUMER.CREATE.S{i}.C", json.dumps({"stream_name": f"S{i}", "config": {"name": "C", "durable_name": "C", "ack_policy": "explicit"}})) for i in range(streams)))
            print(f"a consumer: {(resident_kb(server.process.pid) - before) / streams:.1f} KB")
        server.kill()
        for how in ("kill -9", "a stop"):
            began = time.monotonic()
            server.start()
            with Wire(server.port, timeout=60) as wire:
                assert "error" not in wire.api(f"STREAM.INFO.S{streams - 1}")
                print(f"start after {how}: {time.monotonic() - began:.2f} s, {(resident_kb(server.process.pid) - empty) / streams:.1f} KB a stream with its consumer", flush=True)
            server.stop(60)


def puts(binary, streams, seconds):
    with Server(binary, jetstream=" sync_interval: always\n", wait=120) as server:
        with Wire(server.port, timeout=60) as wire:
            create(wire, streams)
        pubs = [f"PUB s{i}.a _P {128}\r\n{'x' * 128}\r\n".encode() for i in range(streams)]
        pubs *= 2 + OUTSTANDING // streams
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b'CONNECT {"verbose":false}\r\nSUB _P 1\r\n')
            at = acked = waiting = 0
            rest = b""
            end, before = time.monotonic() + seconds, cpu_s(server.process.pid)
            while time.monotonic() < end:
                n = OUTSTANDING - waiting
                client.sendall(b"".join(pubs[at:at + n]))
                at, waiting = (at + n) % streams, OUTSTANDING
                data = rest + client.recv(1 << 16)
                cut = data.rfind(b"\r\n") + 2
                rest, data = data[cut:], data[:cut]
                got = data.count(b"MSG _P ")
                assert b'"error"' not in data, data
                acked, waiting = acked + got, waiting - got
            return acked / seconds, (cpu_s(server.process.pid) - before) / acked * 1e6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--other")
    parser.add_argument("--streams", type=int, default=5000)
    parser.add_argument("--messages", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    memory(options.binary, options.streams, options.messages)
    for streams in (1, 1000):
        ours, cpu = puts(options.binary, streams, options.seconds)
        print(f"durable puts over {streams} streams: {ours:,.0f} a second, {cpu:.1f} us of CPU each", flush=True)
        if options.other:
            theirs, their_cpu = puts(options.other, streams, options.seconds)
            print(f"{options.other}: {theirs:,.0f}, {their_cpu:.0f} us; ratio {ours / theirs:.1f}, {cpu / their_cpu:.3f}", flush=True)


if __name__ == "__main__":
    main()
