"""Every endpoint of the JetStream API: who is asked, with how many names, with which bodies; what is refused before anything is done."""
from oracle import clean, scenario, table

STREAM = ["STREAM.INFO", "STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.CREATE", "STREAM.UPDATE"]
CONSUMER = ["CONSUMER.INFO", "CONSUMER.PAUSE", "CONSUMER.UNPIN", "CONSUMER.RESET", "CONSUMER.DURABLE.CREATE", "CONSUMER.CREATE", "CONSUMER.DELETE"]
LISTS = ["STREAM.NAMES", "STREAM.LIST", "CONSUMER.NAMES.S", "CONSUMER.LIST.S"]
CLUSTERED = ["STREAM.LEADER.STEPDOWN.S", "STREAM.PEER.REMOVE.S", "STREAM.PEER.EVACUATE.S", "STREAM.CANCEL_MOVE.S", "CONSUMER.LEADER.STEPDOWN.S.C", "CONSUMER.PEER.REMOVE.S.C", "CONSUMER.PEER.EVACUATE.S.C"]
SYSTEM = ["META.LEADER.STEPDOWN", "META.RESCUE", "SERVER.REMOVE", "SERVER.EVACUATE", "ACCOUNT.PURGE.A", "ACCOUNT.STREAM.MOVE.A.S", "ACCOUNT.STREAM.CANCEL_MOVE.A.S"]
BODIES = ["", "{}", "{ }", " ", "[]", "x", "{", '"x"', "1", "null", '{"bogus":1}', ' {"bogus":1}', '{"bogus":1}x', "\n{}"]


def ask(trial, subject, body="", headers=None, wire=None):
    """The answer, or silence, known by what is asked behind it."""
    wire = wire or trial.main
    inbox = wire.new_inbox()
    wire.pub("$JS.API." + subject, body, inbox, headers)
    got = wire.take(lambda op: getattr(op, "subject", None) == inbox, timeout=0.15)
    text = got.data.decode() if got else None
    if text and '"config"' in text:
        text = "(info)"
    if text and text.endswith("}}") and '"api":' in text:
        text = text[:text.index('"api":')]
    trial.note(subject, repr(body), headers or "", "->", (got.headers or "", text) if got else "silence")


def both(trial):
    trial.stream(), trial.consumer()


table("endpoint bodies", [(verb,) for verb in STREAM], lambda trial, verb: [both(trial), [ask(trial, verb + ".S", body) for body in BODIES]])
table("endpoint bodies", [(verb,) for verb in CONSUMER], lambda trial, verb: [both(trial), [ask(trial, verb + ".S.C", body) for body in BODIES]])
table("endpoint bodies", [(verb,) for verb in LISTS], lambda trial, verb: [both(trial), [ask(trial, verb, body) for body in BODIES]])
table("endpoint bodies for nothing", [(verb,) for verb in STREAM], lambda trial, verb: [ask(trial, verb + ".S", body) for body in BODIES])
table("endpoint bodies for nothing", [(verb,) for verb in CONSUMER], lambda trial, verb: [trial.stream()] + [ask(trial, verb + ".S.C", body) for body in BODIES])
table("endpoint bodies without a stream", [(verb,) for verb in CONSUMER], lambda trial, verb: [ask(trial, verb + ".S.C", body) for body in BODIES])
table("endpoint bodies of a cluster", [(verb,) for verb in CLUSTERED], lambda trial, verb: [both(trial), [ask(trial, verb, body) for body in BODIES + ['{"peer":"x"}']]])
table("endpoint bodies of a cluster for nothing", [(verb,) for verb in CLUSTERED], lambda trial, verb: [ask(trial, verb, body) for body in BODIES + ['{"peer":"x"}']])


@scenario()
def endpoint_of_the_system_for_users(trial):
    both(trial)
    for verb in SYSTEM:
        for body in ("", "{}", '{"peer":"x"}', "x"):
            ask(trial, verb, body)


WITH_SYSTEM = """
accounts { A { jetstream: enabled, users [{user: a, password: a}] }, B { users [{user: b, password: b}] }, $SYS { users [{user: s, password: s}] } }
no_auth_user: a
"""


@scenario(conf=WITH_SYSTEM)
def endpoint_of_the_system(trial):
    both(trial)
    wire = trial.wire({"user": "s", "pass": "s"})
    wire.flush()
    for verb in SYSTEM + ["ACCOUNT.PURGE.NONE", "ACCOUNT.STREAM.MOVE.A.NONE", "INFO", "STREAM.NAMES", "STREAM.INFO.S", "STREAM.CREATE.S", "FOO", "STREAM.INFO", "STREAM.LEADER.STEPDOWN.S", "CONSUMER.CREATE.S.C", "CONSUMER.RESET.S.C", "CONSUMER.MSG.NEXT.S.C", "DIRECT.GET.S"]:
        for body in ("", "{}", '{"peer":"x"}', "x"):
            ask(trial, verb, body, wire=wire)
    trial.api("STREAM.NAMES")


@scenario(conf=WITH_SYSTEM)
def endpoint_without_jetstream(trial):
    both(trial)
    wire = trial.wire({"user": "b", "pass": "b"})
    wire.flush()
    for verb in ["INFO", "FOO"] + LISTS + [v + ".S" for v in STREAM] + [v + ".S.C" for v in CONSUMER] + CLUSTERED + ["STREAM.SNAPSHOT.S", "STREAM.RESTORE.S", "DIRECT.GET.S", "CONSUMER.MSG.NEXT.S.C"]:
        for body in ("", "{}", "x", '{"seq":1}'):
            ask(trial, verb, body, wire=wire)
        ask(trial, verb, "", {"Nats-Required-Api-Level": "9"}, wire=wire)


@scenario()
def endpoint_names_count(trial):
    both(trial)
    for verb in STREAM + CONSUMER + ["STREAM.NAMES", "STREAM.LIST", "CONSUMER.NAMES", "CONSUMER.LIST", "STREAM.LEADER.STEPDOWN", "STREAM.PEER.REMOVE", "CONSUMER.LEADER.STEPDOWN", "INFO", "STREAM.SNAPSHOT", "STREAM.RESTORE",
                                     "STREAM.PEER.EVACUATE", "STREAM.CANCEL_MOVE", "CONSUMER.PEER.REMOVE", "CONSUMER.PEER.EVACUATE", "DIRECT.GET", "CONSUMER.MSG.NEXT"]:
        for names in ("", ".S", ".S.C", ".S.C.D", ".S.C.D.E"):
            if not (verb == "STREAM.DELETE" and names == ".S") and not (verb == "STREAM.RESTORE" and names == ".S"):
                ask(trial, verb + names, "x" if "CREATE" in verb or "MSG" in verb or "UPDATE" in verb else "")


@scenario()
def endpoint_required_level(trial):
    both(trial)
    for level in ("5", "0", "-1", "6", "x", "", " 5", "5 ", "05", "5.0", "99999999999999999999"):
        for verb in ("INFO", "STREAM.NAMES", "STREAM.INFO.S", "STREAM.PURGE.S", "CONSUMER.INFO.S.C", "CONSUMER.RESET.S.C", "CONSUMER.PAUSE.S.C", "STREAM.LEADER.STEPDOWN.S", "STREAM.DELETE.NONE", "STREAM.CREATE.T", "CONSUMER.CREATE.S", "FOO", "META.LEADER.STEPDOWN"):
            ask(trial, verb, "", {"Nats-Required-Api-Level": level})
    trial.state()


@scenario()
def endpoint_without_reply(trial):
    trial.main.pub("$JS.API.STREAM.CREATE.S", '{"name":"S"}')
    trial.until(lambda: "error" not in trial.main.api("STREAM.INFO.S"))
    trial.main.pub("$JS.API.CONSUMER.CREATE.S.C", '{"stream_name":"S","config":{"durable_name":"C","ack_policy":"none"}}')
    trial.until(lambda: trial.main.api("CONSUMER.NAMES.S")["consumers"])
    trial.main.pub("$JS.API.STREAM.PURGE.S"), trial.main.pub("$JS.API.CONSUMER.DELETE.S.C")
    trial.until(lambda: not trial.main.api("CONSUMER.NAMES.S")["consumers"])
    trial.main.pub("$JS.API.STREAM.DELETE.S")
    trial.until(lambda: not trial.main.api("STREAM.NAMES")["streams"])
    trial.note("all happened")


@scenario()
def endpoint_calls_are_counted(trial):
    before = trial.main.api("INFO")["api"]
    for subject, body in (("STREAM.NAMES", ""), ("STREAM.INFO.X", ""), ("FOO", ""), ("STREAM.MSG.GET.X", '{"seq":1}'), ("STREAM.LEADER.STEPDOWN.X", ""), ("META.LEADER.STEPDOWN", ""), ("CONSUMER.MSG.NEXT.S.C", ""), ("DIRECT.GET.S", "")):
        ask(trial, subject, body)
        now = trial.main.api("INFO")["api"]
        trial.note(subject, {k: now[k] - before[k] for k in ("total", "errors")})
        before = now
