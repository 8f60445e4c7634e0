"""Lists of more than one page, advisories of calls, alternates."""
import json
from oracle import scenario

def pages(trial, subject, key):
    offsets = [0, 256, 257, 300, 1023, 1024, 1025, 1030, 5000]
    for offset in offsets:
        reply = trial.main.api(subject, {"offset": offset})
        found = reply.get(key)
        found = found and [one if isinstance(one, str) else one.get("name") or one["config"]["name"] for one in found]
        trial.note(subject, {k: reply[k] for k in ("total", "offset", "limit")}, found and (len(found), found[0], found[-1]))


@scenario()
def lists_of_streams_above_a_page(trial):
    inboxes = [trial.main.new_inbox() for _ in range(1030)]
    for i, inbox in enumerate(inboxes):
        trial.main.pub(f"$JS.API.STREAM.CREATE.N{i}", json.dumps({"name": f"N{i}", "subjects": [f"n.{i}.>"], "storage": "memory"}), inbox)
    for _ in inboxes:
        trial.main.take(timeout=20)
    pages(trial, "STREAM.NAMES", "streams"), pages(trial, "STREAM.LIST", "streams")
    for body in ({"subject": "n.1.*"}, {"subject": "n.>", "offset": 1029}, {"subject": "n.*.x", "offset": 1}):
        reply = trial.main.api("STREAM.NAMES", body)
        trial.note(body, {k: reply[k] for k in ("total", "offset", "limit")}, reply["streams"] and len(reply["streams"]))
    trial.api("INFO", keep=["streams", "memory", "storage"])
    for i, inbox in enumerate(inboxes):
        trial.main.pub(f"$JS.API.STREAM.DELETE.N{i}", "", inbox)
    for _ in inboxes:
        trial.main.take(timeout=20)


@scenario()
def lists_of_consumers_above_a_page(trial):
    trial.stream(storage="memory", max_consumers=2000)
    inboxes = [trial.main.new_inbox() for _ in range(1030)]
    for i, inbox in enumerate(inboxes):
        trial.main.pub(f"$JS.API.CONSUMER.CREATE.S.C{i}", json.dumps({"stream_name": "S", "config": {"durable_name": f"C{i}", "ack_policy": "none"}}), inbox)
    for _ in inboxes:
        trial.main.take(timeout=20)
    pages(trial, "CONSUMER.NAMES.S", "consumers"), pages(trial, "CONSUMER.LIST.S", "consumers")


@scenario()
def advisories_of_calls(trial):
    trial.main.sub("$JS.EVENT.ADVISORY.>")
    trial.main.flush()

    def heard(subject, body="", count=1):
        trial.main.request("$JS.API." + subject, body)
        for op in sorted((trial.main.take(timeout=1) for _ in range(count)), key=lambda op: op.subject if op else ""):
            if op is None:
                trial.note(subject, "nothing more")
                continue
            advisory = json.loads(op.data)
            trial.note(op.subject, list(advisory), {k: v for k, v in advisory.items() if k not in ("timestamp", "id", "response", "server", "client")})
            if "client" in advisory:
                trial.note({k: v if k not in ("start", "rtt", "server", "id") else type(v).__name__ for k, v in advisory["client"].items()})
    heard("STREAM.CREATE.S", '{"name":"S","subjects":["s.>"]}', 2), heard("STREAM.CREATE.S", '{"name":"S","subjects":["s.>"]}', 1), heard("STREAM.UPDATE.S", '{"name":"S","subjects":["s.>"],"max_msgs":5}', 2), heard("STREAM.UPDATE.S", '{"name":"S","subjects":["s.>"],"max_msgs":5}', 2)
    heard("STREAM.INFO.S"), heard("STREAM.INFO.NONE"), heard("STREAM.NAMES", '{"bogus":1}'), heard("CONSUMER.CREATE.S.C", '{"stream_name":"S","config":{"durable_name":"C"}}', 2), heard("CONSUMER.CREATE.S.C", '{"stream_name":"S","config":{"durable_name":"C","description":"x"}}', 2)
    heard("STREAM.MSG.GET.S", '{"seq":1}'), heard("CONSUMER.PAUSE.S.C", '{"pause_until":"2120-01-01T00:00:00Z"}', 2), heard("CONSUMER.DELETE.S.C", "", 2), heard("STREAM.LEADER.STEPDOWN.S"), heard("STREAM.DELETE.S", "", 2)


NAMED = """
accounts { A { jetstream: enabled, users [{user: a, password: a}] } }
"""


@scenario(conf=NAMED)
def advisories_of_calls_of_users(trial):
    wire = trial.wire({"user": "a", "pass": "a", "name": "me", "lang": "c", "version": "3"})
    wire.sub("$JS.EVENT.ADVISORY.API"), wire.flush()
    wire.request("$JS.API.INFO")
    client = json.loads(wire.take(lambda op: getattr(op, "subject", "").startswith("$JS")).data)["client"]
    trial.note({k: v if k not in ("start", "rtt", "server", "id") else type(v).__name__ for k, v in client.items()})


@scenario()
def alternates_of_mirrors(trial):
    trial.stream("O"), trial.main.api("STREAM.CREATE.M", {"name": "M", "mirror": {"name": "O"}}), trial.main.api("STREAM.CREATE.N", {"name": "N", "mirror": {"name": "O"}})
    for name in "OMN":
        info = trial.main.api(f"STREAM.INFO.{name}")
        trial.note(name, list(info), info.get("alternates"))
