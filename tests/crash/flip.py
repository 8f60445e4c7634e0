#!/usr/bin/env python3
"""Bits flipped in copies of a store: in index runs, checkpoints and log segments. After each start every message is served as it
was written or said to be damaged (never anything else), nothing that the flip did not hit is lost, and damage to what is derived
(runs, checkpoints) costs nothing.   flip.py --binary PATH [--rounds 40] [--seed N] [--key] [--compressed]"""
import argparse, base64, json, os, random, shutil, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from server import Server  # noqa: E402
from wire import Wire  # noqa: E402

CHECKPOINTS = " checkpoint_bytes: 300000\n"
SMALL = " segment_bytes: 65536\n"  # with frames of 8 KiB of records
FRAME_RECORDS = 8192 // 56


def must(condition, *what):
    if not condition:
        raise SystemExit("FAILED " + " ".join(str(w) for w in what))


def fill(server, chance, compression):
    """A stream and a bucket, long enough for runs, with removals between; what should be there: {stream: {seq: (subject, body)}}."""
    want = {"S": {}, "KV_B": {}}
    with Wire(server.port, timeout=60) as wire:
        wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "num_replicas": 1, "compression": compression})
        wire.api("STREAM.CREATE.KV_B", {"name": "KV_B", "subjects": ["$KV.B.>"], "max_msgs_per_subject": 1, "allow_rollup_hdrs": True, "deny_delete": True, "num_replicas": 1, "compression": compression})
        for i in range(6000):
            name, subject = ("S", f"s.{i % 50}.{i}") if i % 2 else ("KV_B", f"$KV.B.k{chance.randrange(400)}")
            body = b"%d " % i + chance.randbytes(chance.randrange(120))
            reply = json.loads(wire.request(subject, body).data)
            must("error" not in reply, reply)
            if name == "KV_B":
                for old in [seq for seq, (of, _) in want[name].items() if of == subject]:
                    del want[name][old]
            want[name][reply["seq"]] = (subject, body)
            if i % 17 == 0 and want["S"]:
                seq = chance.choice(list(want["S"]))
                must(wire.api("STREAM.MSG.DELETE.S", {"seq": seq}).get("success"), "delete", seq)
                del want["S"][seq]
    return want


def until_packed(server):
    """Old messages are in frames, and nothing moves any more."""
    end, before = time.monotonic() + 60, None
    while True:
        space = server.get("/jsz")["hw_store"]
        if space["frame_bytes"] and space == before:
            return
        must(time.monotonic() < end, "not compressed:", space)
        before = space
        time.sleep(3)


def check(server, want, damaged_key):
    """Number of messages that are said to be damaged. damaged_key: keys whose newest message may be damaged."""
    damaged = 0
    with Wire(server.port, timeout=60) as wire:
        for name, messages in want.items():
            state = wire.api(f"STREAM.INFO.{name}", {})["state"]
            for seq, (subject, body) in messages.items():
                reply = wire.api(f"STREAM.MSG.GET.{name}", {"seq": seq})
                if "error" in reply:
                    damaged += 1
                    continue
                message = reply["message"]
                must(message["subject"] == subject and base64.b64decode(message.get("data", "")) == body, name, seq, "is another message:", message)
            # A flipped subject is not believed: the message then pushes nothing out of its key, and stands beside the older one.
            extra = damaged_key if name == "KV_B" else 0
            must(len(messages) <= state["messages"] <= len(messages) + extra, name, "messages:", state["messages"], "instead of", len(messages))
        for name in want:
            reply = json.loads(wire.request("s.new" if name == "S" else "$KV.B.new", b"new").data)
            must("error" not in reply, name, "takes nothing any more:", reply)
    return damaged


def files(root, kind):
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if (kind == "run" and name.endswith(".run")) or (kind == "checkpoint" and name.startswith("checkpoint.")) or (kind == "log" and name.endswith(".log")):
                found.append(path)
    return found


def flip(path, chance):
    """One bit of a byte that is not zero (most of a segment is unused)."""
    with open(path, "r+b") as file:
        data = file.read()
        end = len(data.rstrip(b"\0"))
        at = chance.randrange(end)
        while data[at] == 0:
            at = chance.randrange(end)
        file.seek(at)
        file.write(bytes([data[at] ^ 1 << chance.randrange(8)]))
    return at


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--key", action="store_true", help="the store is encrypted")
    parser.add_argument("--compressed", action="store_true", help="most messages are in frames: a flip may cost all that is in one")
    options = parser.parse_args()
    print("seed", options.seed, flush=True)
    chance = random.Random(options.seed)
    server = Server(options.binary, monitor=True, jetstream=CHECKPOINTS + (" key: secret\n" if options.key else "") + (SMALL if options.compressed else ""))
    damages, most = {}, FRAME_RECORDS if options.compressed else 1
    try:
        server.start()
        want = fill(server, chance, "s2" if options.compressed else "none")
        if options.compressed:
            until_packed(server)
        server.kill()
        whole = os.path.join(server.dir, "whole")
        store = os.path.join(server.dir, "store")
        shutil.move(store, whole)
        must(files(whole, "run"), "no run was written")
        for round_number in range(options.rounds):
            kind = ("run", "checkpoint", "log", "run")[round_number % 4]
            shutil.copytree(whole, store)
            path = chance.choice(files(store, kind))
            at = flip(path, chance)
            server.start()
            damaged = check(server, want, kind == "log")
            server.kill()
            damages[kind] = damages.get(kind, 0) + damaged
            must(damaged <= (most if kind == "log" else 0), f"round {round_number}: {damaged} damaged after a flip at {at} of {path}")
            shutil.rmtree(store)
    finally:
        server.close()
    print("damaged messages reported:", damages)
    print(f"{options.rounds} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
