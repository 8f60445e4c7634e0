#!/usr/bin/env python3
"""Stores of earlier states of the formats, opened by the binary of today: everything answers as it did then.

  upgrade.py --binary PATH [NAME ...]     opens copies of fixtures/NAME.tar.xz (all of them), compares with the answers in them: at once, after
                                          a kill, after a stop in order, and after more has been written
  upgrade.py --binary PATH --make NAME    makes fixtures/NAME.tar.xz by that binary: NAME is a date and one of the kinds, "2026-11-plain-killed"

A fixture is made once, by the version that wrote that format, and never again. Kinds: plain-killed (a log behind the last checkpoint),
plain-stopped (all in the checkpoint), key-killed (encrypted). Payloads are below the size from which they are stored as chunks."""
import argparse, base64, glob, io, json, os, shutil, subprocess, sys, tarfile, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from server import Server  # noqa: E402
from wire import Msg, Wire  # noqa: E402

FIXTURES = os.path.join(HERE, "fixtures")
S = 1_000_000_000
YEARS = 20 * 365 * 24 * 3600 * S
LINES = " segment_bytes: 1M\n checkpoint_bytes: 1000000\n"
KEY = ' key: "upgrade"\n cipher: aes\n'


def lines_of(name):
    return LINES + (KEY if "-key-" in name else "")


# --- what is compared ---

def config_of(config):
    """Without what says which version answers."""
    config = dict(config)
    config["metadata"] = {k: v for k, v in (config.get("metadata") or {}).items() if not k.startswith("_nats.")}
    return config


def consumer_of(info):
    kept = {k: info.get(k) for k in ("created", "delivered", "ack_floor", "num_ack_pending", "num_redelivered", "num_pending", "paused")}
    for pair in ("delivered", "ack_floor"):
        kept[pair] = {k: v for k, v in kept[pair].items() if k != "last_active"}
    return dict(kept, config=config_of(info["config"]))


def look(wire):
    """Everything that can be asked of every stream, its messages and its consumers."""
    found = {}
    for name in sorted(wire.api("STREAM.NAMES")["streams"]):
        info = wire.api(f"STREAM.INFO.{name}", {"subjects_filter": ">", "deleted_details": True})
        state, messages, consumers = info["state"], {}, {}
        for seq in range(state["first_seq"], state["last_seq"] + 1):
            reply = wire.api(f"STREAM.MSG.GET.{name}", {"seq": seq})
            messages[str(seq)] = reply.get("message") or reply["error"]["err_code"]
        for consumer in wire.api(f"CONSUMER.NAMES.{name}").get("consumers") or []:
            consumers[consumer] = consumer_of(wire.api(f"CONSUMER.INFO.{name}.{consumer}"))
        found[name] = {"created": info["created"], "config": config_of(info["config"]), "state": state, "messages": messages, "consumers": consumers}
    return found


def differences(want, have, path=""):
    if isinstance(want, dict) and isinstance(have, dict):
        for key in sorted(set(want) | set(have)):
            yield from differences(want.get(key), have.get(key), f"{path}/{key}")
    elif want != have:
        yield f"{path}: was {str(want)[:200]}, is {str(have)[:200]}"


# --- making one ---

def create(wire, name, subjects, **config):
    reply = wire.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": subjects, **config} if subjects else {"name": name, **config})
    assert "error" not in reply, reply


def consumer(wire, stream, name, **config):
    reply = wire.api(f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": {"durable_name": name, "ack_policy": "explicit", "ack_wait": YEARS // 20, **config}})
    assert "error" not in reply, reply


def pull(wire, stream, name, count, answers):
    """Takes count messages, answers them in turn; None leaves one pending."""
    wire.pub(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", json.dumps({"batch": count}), wire.new_inbox())
    for i in range(count):
        msg = wire.take(lambda op: isinstance(op, Msg) and op.reply and op.reply.startswith("$JS.ACK."))
        if answers[i % len(answers)]:
            wire.request(msg.reply, answers[i % len(answers)])


def ask(wire, subject, data=b"", headers=None):
    reply = json.loads(wire.request(subject, data, headers).data)
    assert "error" not in reply, (subject, reply)
    return reply


def fill(wire, scale):
    create(wire, "KV_big", ["$KV.big.>"], max_msgs_per_subject=3, allow_rollup_hdrs=True, allow_direct=True, allow_msg_ttl=True, subject_delete_marker_ttl=YEARS)
    create(wire, "TTL", ["ttl.>"], allow_msg_ttl=True, max_age=YEARS)
    create(wire, "WQ", ["wq.>"], retention="workqueue")
    create(wire, "INT", ["int.>"], retention="interest")
    create(wire, "CNT", ["cnt.>"], allow_msg_counter=True)
    create(wire, "SCH", ["sch.>"], allow_msg_schedules=True)
    create(wire, "AT", ["at.>"], allow_atomic=True)
    create(wire, "DUP", ["dup.>"], duplicate_window=YEARS)
    create(wire, "LIM", ["lim.>"], max_msgs=40, max_bytes=100_000, discard="new", discard_new_per_subject=False)
    create(wire, "HOT", ["hot.>"], max_msgs_per_subject=1)
    create(wire, "MIR", None, mirror={"name": "DUP"})
    create(wire, "AGG", ["agg.>"], sources=[{"name": "DUP", "filter_subject": "dup.1"}])
    create(wire, "GONE", ["gone.>"])
    consumer(wire, "INT", "I", filter_subject="int.a")
    for i in range(200 * scale):
        wire.pub(f"$KV.big.k{i % (120 * scale)}", f"value {i}", headers={"Nats-TTL": "90000h"} if i % 7 == 0 else None)
    for i in range(60):
        wire.pub(f"ttl.{i % 9}", f"t{i}", headers={"Nats-TTL": ("90000h", "never")[i % 2]})
        wire.pub(f"wq.{i % 5}", f"job {i}", headers={"Kind": f"{i % 3}"})
        wire.pub(f"int.{'ab'[i % 2]}", f"{i}")
        wire.pub(f"lim.{i}", f"limited {i}")
        wire.pub(f"gone.{i}", "x")
        ask(wire, f"dup.{i % 3}", f"once {i}", {"Nats-Msg-Id": f"id{i}"})
        ask(wire, f"cnt.{i % 4}", b"", {"Nats-Incr": f"{'+-'[i % 2]}{i}{'0' * (i % 25)}"})
    for i in range(3):
        ask(wire, f"sch.{i}", "later", {"Nats-Schedule": f"@at 206{i}-01-01T00:00:00Z", "Nats-Schedule-Target": "sch.target"})
    for batch in range(4):
        for i in range(1, 5):
            wire.pub(f"at.{i}", f"{batch} {i}", None, {"Nats-Batch-Id": f"b{batch}", "Nats-Batch-Sequence": str(i)})
        ask(wire, "at.5", f"{batch} 5", {"Nats-Batch-Id": f"b{batch}", "Nats-Batch-Sequence": "5", "Nats-Batch-Commit": "1"})
    reply = wire.api("HW.TXN", {"ops": [{"bucket": "big", "key": f"txn{i}", "text": "together"} for i in range(3)]})
    assert len(reply["results"]) == 3, reply
    consumer(wire, "WQ", "D")
    pull(wire, "WQ", "D", 30, ("+ACK", json_nak(), None, "+TERM"))
    consumer(wire, "KV_big", "D", filter_subject="$KV.big.>", max_ack_pending=500)
    pull(wire, "KV_big", "D", 60, ("+ACK", None, json_nak()))
    consumer(wire, "TTL", "ALL", ack_policy="all")
    pull(wire, "TTL", "ALL", 20, (None,) * 9 + ("+ACK",))
    consumer(wire, "TTL", "GIVEN", max_deliver=1, ack_wait=S // 2)
    pull(wire, "TTL", "GIVEN", 5, (None,))
    consumer(wire, "AT", "PAUSED", pause_until="2060-01-01T00:00:00Z")
    pull(wire, "INT", "I", 10, ("+ACK", None))
    wire.pub("$KV.big.k1", b"", None, {"KV-Operation": "DEL"})
    wire.pub("$KV.big.k2", b"", None, {"KV-Operation": "PURGE", "Nats-Rollup": "sub"})
    wire.api("STREAM.MSG.DELETE.KV_big", {"seq": 150})
    wire.api("STREAM.PURGE.TTL", {"filter": "ttl.7"})
    wire.api("STREAM.PURGE.DUP", {"keep": 50})
    wire.api("STREAM.DELETE.GONE")
    wire.flush()


def json_nak():
    return "-NAK " + json.dumps({"delay": YEARS // 2})


def churn(server, wire, seconds=60):
    """Until cleaning has emptied the log's first segment, which then has gone."""
    end, round_number = time.monotonic() + seconds, 0
    while glob.glob(f"{server.dir}/store/*/log/1.log"):
        assert time.monotonic() < end, server.get("/jsz")["hw_store"]
        round_number += 1
        for i in range(40):
            wire.pub(f"hot.{i % 4}", b"hot" * 2500)
            if i % 10 == 0:
                wire.pub(f"hot.old{round_number}.{i}", f"old {i}")
        wire.flush()
        time.sleep(0.05)


def after(wire):
    """A little more, so that there is a log behind the checkpoint."""
    for i in range(20):
        wire.pub(f"$KV.big.late{i}", f"late {i}")
    ask(wire, "cnt.1", b"", {"Nats-Incr": "+5"})
    pull(wire, "WQ", "D", 5, ("+ACK", None))
    wire.api("STREAM.MSG.DELETE.HOT", {"seq": wire.api("STREAM.INFO.HOT")["state"]["first_seq"]})
    wire.flush()


def settle(wire):
    """Copies have caught up."""
    end = time.monotonic() + 20
    while wire.api("STREAM.INFO.MIR")["state"]["last_seq"] < wire.api("STREAM.INFO.DUP")["state"]["last_seq"]:
        assert time.monotonic() < end
        time.sleep(0.05)


def make(binary, name):
    server = Server(binary, jetstream=lines_of(name), monitor=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            server.start()
            with Wire(server.port, timeout=30) as wire:
                fill(wire, 1 if "-key-" in name else 5)
                if "-key-" not in name:
                    churn(server, wire)
                settle(wire)
                time.sleep(1)  # what was given up is given up now
                after(wire)
                answers = look(wire)
            server.kill() if name.endswith("-killed") else server.stop()
            shutil.move(f"{server.dir}/store", f"{folder}/store")
        finally:
            server.close()
        os.makedirs(FIXTURES, exist_ok=True)
        with tarfile.open(f"{FIXTURES}/{name}.tar.xz", "w:xz", preset=9) as tar:
            tar.add(f"{folder}/store", "store", filter=lambda entry: None if os.path.basename(entry.name) in ("LOCK",) or "/spare." in entry.name else anonymous(entry))
            data = json.dumps(answers, sort_keys=True).encode()
            entry = tarfile.TarInfo("answers.json")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    print(name, os.path.getsize(f"{FIXTURES}/{name}.tar.xz"), "bytes")


def anonymous(entry):
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


# --- opening one ---

def go_on(wire):
    """What was known then holds for what comes now."""
    assert ask(wire, "dup.0", "again", {"Nats-Msg-Id": "id59"}).get("duplicate"), "an id of then is forgotten"
    before = int(json.loads(last(wire, "CNT", "cnt.1"))["val"])
    assert int(ask(wire, "cnt.1", b"", {"Nats-Incr": "+7"})["val"]) == before + 7
    refused = json.loads(wire.request("lim.more", "x").data)
    assert refused["error"]["err_code"] == 10077, refused
    pull(wire, "WQ", "D", 3, ("+ACK",))
    for i in range(50):
        wire.pub(f"$KV.big.k{i}", f"new {i}")
    wire.flush()


def last(wire, stream, subject):
    return base64.b64decode(wire.api(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})["message"]["data"]).decode()


def check(binary, name):
    """Yields what is wrong."""
    folder = tempfile.mkdtemp(prefix="hw-upgrade-")
    server = None
    try:
        with tarfile.open(f"{FIXTURES}/{name}.tar.xz") as tar:
            tar.extractall(folder, filter="data")
        with open(f"{folder}/answers.json") as file:
            want = json.load(file)
        store = next(path for path, folders, _ in os.walk(f"{folder}/store") if "log" in folders)
        env = dict(os.environ, HOLDWATER_KEY="upgrade") if "-key-" in name else None
        done = subprocess.run([binary, "check-store", store], capture_output=True, text=True, env=env)
        if done.returncode:
            yield f"check-store: {done.stdout} {done.stderr}"
        server = Server(binary, jetstream=lines_of(name), directory=folder)
        for when, end in (("at once", "kill"), ("after a kill", "stop"), ("after a stop", "more"), ("after more was written", "stop")):
            server.start()
            with Wire(server.port, timeout=30) as wire:
                have = json.loads(json.dumps(look(wire)))
                for line in list(differences(want, have))[:10]:
                    yield f"{when}: {line}"
                if end == "more":
                    go_on(wire)
                    settle(wire)
                    want = json.loads(json.dumps(look(wire)))
            server.stop() if end == "stop" else server.kill()
        with open(f"{folder}/log", errors="replace") as file:
            for line in file:
                if "[ERR]" in line or "damaged" in line:
                    yield f"log: {line.strip()[:300]}"
    finally:
        if server:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--make")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.make:
        make(options.binary, options.make)
        return 0
    passed = failed = 0
    for file in sorted(os.listdir(FIXTURES)):
        name = file.split(".")[0]
        if not file.endswith(".tar.xz") or (options.names and name not in options.names):
            continue
        wrong = list(check(options.binary, name))
        for line in wrong:
            print(f"FAILED {name}: {line}", flush=True)
        passed, failed = passed + (not wrong), failed + bool(wrong)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
