#!/usr/bin/env python3
"""Runs each scenario against the genuine nats-server 2.15.1 and against ours, and compares what came back, ids and times masked.

  oracle.py --ours BINARY [--genuine BINARY] [WORD ...]     only scenarios whose name contains a word
  oracle.py --show WORD                                     prints what the genuine server answers
  oracle.py --ours BINARY --errors                          all scenarios; then writes errors.md anew

A scenario is a function with @scenario(...) in tests/oracle/*_scenarios.py; it is given a Trial and does things to it."""
import argparse, difflib, glob, importlib.util, json, os, re, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)
from server import Server  # noqa: E402
from wire import Closed, Msg, Wire  # noqa: E402
import errors  # noqa: E402

SCENARIOS = []

AGAIN = 4  # the genuine server answers some races either way: what ours says once, it must say in one of so many more runs
ENDED = "ended by"


def scenario(name=None, conf="", fresh=False, jetstream=True, monitor=False):
    """fresh: wants a server of its own (it changes limits, restarts ...); others share one per binary and configuration."""
    def add(function):
        SCENARIOS.append(dict(name=name or function.__name__.replace("_", " "), run=function, conf=conf, fresh=fresh,
                              jetstream=jetstream, monitor=monitor))
        return function
    return add


def table(prefix, rows, run, **options):
    """One scenario per row: run(trial, *row)."""
    for row in rows:
        scenario(f"{prefix}: {row[0]}", **options)(lambda trial, row=row: run(trial, *row))


MASKS = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"N[A-Z2-7]{55}", "<server>"), (r"X[A-Z2-7]{55}", "<xkey>"),
    (r"_INBOX\.T[0-9a-f]+", "_INBOX"),
    (r'"id": ?"[0-9A-Za-z]{22}"', '"id":"<nuid>"'),
    (r"\$JS\.ACK\.([^. ]+)\.[0-9A-Za-z]{8}\.", r"$JS.ACK.\1.<name>."),
    (r"(\$JS\.ACK\.[^ ]*?\.\d+\.\d+\.\d+)\.\d{16,20}\.", r"\1.<ns>."),
    (r"(\$JS\.FC\.[^. ]+\.[^. ]+)\.[0-9A-Za-z]{4,8}\b", r"\1.<token>"),
    (r"Nats-Pin-Id: [0-9A-Za-z]{22}", "Nats-Pin-Id: <pin>"),
    (r'"pinned_client_id": ?"[0-9A-Za-z]{22}"', '"pinned_client_id":"<pin>"'),
    (r'"(ack_time|pause_remaining|active|rtt|cid|client_id|port|leader_since)": ?\d+', r'"\1":<n>'),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"), (r"identity does not match: [0-9A-Za-z]{8}", "identity does not match: <name>"),
]


def mask(text):
    for pattern, instead in MASKS:
        text = re.sub(pattern, instead, text)
    return text


class Trial:
    """What a scenario acts on. Everything noted is compared."""

    def __init__(self, server, tag):
        self.server, self.tag, self.notes, self.wires, self.names = server, tag, [], [], {}

    def note(self, *what):
        self.notes.append(mask(" ".join(self.show(w) for w in what)))

    def show(self, what):
        if isinstance(what, Msg):
            headers = "" if what.headers is None else " " + what.headers.replace("\r\n", "|")
            return f"MSG {what.subject} reply={what.reply}{headers} {what.data.decode('utf-8', 'replace')}"
        if isinstance(what, str) and what.startswith("INFO {"):
            return "INFO " + " ".join(sorted(k for k in json.loads(what[5:]) if k not in ("git_commit", "go", "xkey")))
        if isinstance(what, (dict, list)):
            return json.dumps(what)
        return str(what)

    def wire(self, connect={}):
        wire = Wire(self.server.port, connect)
        self.wires.append(wire)
        return wire

    @property
    def main(self):
        if "main" not in self.names:
            self.names["main"] = self.wire()
            self.names["main"].flush()
            self.names["main"].take(lambda op: str(op).startswith("INFO"))  # it follows the first PONG; not compared
        return self.names["main"]

    def api(self, subject, body=None, wire=None, quiet=False, keep=None):
        """Calls the JetStream API and notes the reply (only the keys in keep, when given)."""
        reply = (wire or self.main).api(subject, body)
        if not quiet:
            shown = reply
            if isinstance(reply, dict):
                shown = {k: v for k, v in reply.items() if k != "ts" and (keep is None or k in keep or k == "error")}
                shown = clean(shown)
            self.note("api", subject, "->", shown)
        return reply

    def request(self, subject, data=b"", headers=None, timeout=None):
        reply = self.main.request(subject, data, headers, timeout)
        self.note("request", subject, headers or "", "->", reply)
        return reply

    def stream(self, name="S", **config):
        """Creates a stream quietly; a wrong answer fails the scenario."""
        config = {"name": name, "subjects": [f"{name.lower()}.>"], **config}
        reply = self.main.api(f"STREAM.CREATE.{name}", config)
        if "error" in reply:
            self.note("stream", name, reply["error"])
        return reply

    def consumer(self, stream="S", name="C", **config):
        config = {"durable_name": name, "ack_policy": "explicit", **config}
        reply = self.main.api(f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config})
        if "error" in reply:
            self.note("consumer", name, reply["error"])
        return reply

    def publish(self, subject, *payloads, headers=None):
        for payload in payloads:
            self.main.request(subject, payload, headers)

    def state(self, name="S", *keys):
        info = self.main.api(f"STREAM.INFO.{name}")
        state = info.get("state", info)
        self.note("state", {k: v for k, v in state.items() if not keys or k in keys})

    def info(self, stream="S", name="C", *keys):
        info = self.main.api(f"CONSUMER.INFO.{stream}.{name}")
        keys = keys or ("delivered", "ack_floor", "num_ack_pending", "num_redelivered", "num_waiting", "num_pending", "error")
        self.note("consumer", clean({k: v for k, v in info.items() if k in keys}))

    def expect(self, wire=None, count=1, timeout=5):
        for _ in range(count):
            self.note("got", (wire or self.main).take(timeout=timeout))

    def quiet(self, wire=None):
        """Notes what has come until now, after a round trip."""
        wire = wire or self.main
        for op in list(wire.pending) + wire.flush():
            self.note("got", op)
        wire.pending.clear()

    def closed(self, wire):
        for op in wire.until_closed():
            self.note("got", op)
        self.note("closed")

    def until(self, what, timeout=10):
        """Waits for a condition, an event that the protocol does not announce."""
        end = time.monotonic() + timeout
        while not what():
            if time.monotonic() > end:
                self.note("never came about")
                return
            time.sleep(0.01)

    def cleanup(self):
        try:
            names = self.main.api("STREAM.NAMES").get("streams") or []
            for name in names:
                self.main.api(f"STREAM.DELETE.{name}")
        except (OSError, Closed, AttributeError, TimeoutError):
            pass
        for wire in self.wires:
            wire.close()


def clean(value):
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items() if k not in ("created", "last_active")}
    return [clean(v) for v in value] if isinstance(value, list) else value


class Side:
    def __init__(self, name, binary):
        self.name, self.binary, self.shared, self.ends = name, binary, {}, []

    def run(self, one, tag):
        key = (one["conf"], one["jetstream"], one["monitor"])
        server = None if one["fresh"] else self.shared.get(key)
        if server is None or server.process.poll() is not None:
            server = Server(self.binary, conf=one["conf"], jetstream=one["jetstream"], monitor=one["monitor"])
            server.start()
            if not one["fresh"]:
                self.shared[key] = server
        trial = Trial(server, tag)
        try:
            one["run"](trial)
        except (OSError, Closed, TimeoutError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            trial.note(f"{ENDED} {type(error).__name__}: {error}")
        if server.process.poll() is not None and not one["fresh"]:
            trial.note("the server is gone")
        if one["fresh"]:
            for wire in trial.wires:
                wire.close()
            self.end(server, one["name"])
        else:
            trial.cleanup()
        return trial.notes

    def end(self, server, name):
        was_running = server.process.poll() is None
        code = server.stop()
        server.close()
        if was_running and code:
            self.ends.append(f"{name}: {self.name} ended with {code}")

    def close(self):
        for server in self.shared.values():
            self.end(server, "shared server")


def load():
    sys.modules["oracle"] = sys.modules[__name__]
    for path in sorted(glob.glob(os.path.join(HERE, "*_scenarios.py"))):
        spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
        if spec.name in sys.modules:  # another topic took something of it
            continue
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours")
    parser.add_argument("--genuine", default=os.path.join(HERE, "..", "..", ".deps", "venv", "bin", "nats-server"))
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    load()
    chosen = [s for s in SCENARIOS if not options.words or any(w in s["name"] for w in options.words)]
    genuine = Side("genuine", options.genuine)
    ours = None if options.show else Side("ours", options.ours)
    passed = failed = varied = 0
    reached = {}  # error code -> scenarios
    try:
        for i, one in enumerate(chosen):
            want = genuine.run(one, f"T{i}")
            if options.show:
                print(f"== {one['name']}", *want, sep="\n   ")
                continue
            have = ours.run(one, f"T{i}")
            for again in range(AGAIN):
                if want == have:
                    break
                varied += again == 0
                want = genuine.run(one, f"T{i}x{again}")
            ended = [line for line in want if line.startswith(ENDED)]  # by a mistake of the scenario: what follows it is not compared
            if want == have and want and not ended:
                passed += 1
                for code in errors.codes_in(have):
                    reached.setdefault(code, []).append(one["name"])
                continue
            failed += 1
            print(f"FAILED {one['name']}")
            if ended:
                print("   ", *ended)
            for line in difflib.unified_diff(want, have, "genuine", "ours", lineterm="", n=1):
                print("   ", line[:600])
    finally:
        genuine.close()
        if ours:
            ours.close()
    for end in ours.ends if ours else ():  # a crash on the way out
        failed += 1
        print("FAILED", end)
    if options.errors:
        errors.write(reached)
    if ours and not options.words:
        for wrong in errors.check(reached):
            failed += 1
            print("FAILED errors:", wrong)
    if not options.show:
        print(f"{varied} were not the same at first")
        print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
