"""Core protocol: what is said on the wire, and what closes."""
from oracle import scenario, table


def raw(trial, name, text, *rest):
    """Sends bytes as they are on a fresh connection; what comes until it closes, or until a PONG."""
    wire = trial.wire(None)
    wire.send('CONNECT {"verbose":false,"headers":true}\r\n')
    wire.send(text)
    try:
        for op in wire.flush(2):
            trial.note("got", op)
        trial.note("open")
    except Exception as error:
        for op in wire.pending:
            trial.note("got", op)
        trial.note(type(error).__name__)


def closing(trial, name, text):
    wire = trial.wire(None)
    wire.send('CONNECT {"verbose":false,"headers":true}\r\n' + text)
    trial.closed(wire)


table("closes", [
    ("unknown verb", "BOGUS\r\n"), ("payload without CRLF", "PUB a 2\r\nabcd\r\n"), ("pub without size", "PUB a\r\n"),
    ("pub with bad size", "PUB a x\r\n"), ("pub with negative size", "PUB a -1\r\n"), ("pub with too many", "PUB a b c 1\r\nx\r\n"),
    ("sub without sid", "SUB a\r\n"), ("sub with too many", "SUB a b c d\r\n"), ("unsub without sid", "UNSUB\r\n"),
    ("err from client", "-ERR 'x'\r\n"), ("hpub with header over total", "HPUB a 5 3\r\nabc\r\n"), ("payload too big", "PUB a 9999999\r\n"),
    ("line too long", "PUB " + "a" * 5000 + " 1\r\n"), ("pub max int", "PUB a 99999999999999999999\r\n"),
    ("bad json", "CONNECT {bad\r\n"), ("http", "GET / HTTP/1.1\r\n\r\n"), ("bad protocol version", 'CONNECT {"protocol":7}\r\n'),
    ("no responders without headers", 'CONNECT {"no_responders":true,"headers":false}\r\n'),
    ("account in connect", 'CONNECT {"account":"x"}\r\n'),
], closing, jetstream=False)

table("keeps open", [
    ("lower case", "sub a 1\r\npub a 2\r\nhi\r\n"), ("tabs and blanks", "SUB\ta \t 1\r\nPUB  a   2 \r\nhi\r\n"), ("bare LF", "SUB a 1\nPUB a 2\nhi\r\n"),
    ("ok and info", "+OK\r\nINFO {}\r\n"), ("empty payload", "SUB a 1\r\nPUB a 0\r\n\r\n"), ("invalid subject", "SUB a..b 1\r\n"),
    ("sub with blank token", "SUB .a 1\r\n"), ("sub star inside", "SUB a*b 1\r\nPUB a*b 1\r\nx\r\n"), ("publish to wildcard", "SUB ok.> 1\r\nPUB ok.* 1\r\nx\r\n"),
    ("same sid again", "SUB a 1\r\nSUB b 1\r\nPUB a 1\r\nx\r\nPUB b 1\r\ny\r\n"), ("unsub unknown", "UNSUB 99\r\n"),
    ("unsub max", "SUB a 1\r\nUNSUB 1 2\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n"),
    ("unsub max reached", "SUB a 1\r\nPUB a 1\r\n1\r\nUNSUB 1 1\r\nPUB a 1\r\n2\r\n"),
    ("hpub", "SUB a 1\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"), ("hpub junk header", "SUB a 1\r\nHPUB a 6 8\r\njunk!!hi\r\n"),
    ("hpub with reply", "SUB a 1\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"), ("hpub without header", "SUB a 1\r\nHPUB a 0 2\r\nhi\r\n"),
    ("two subs", "SUB a 1\r\nSUB a 2\r\nSUB * 3\r\nSUB > 4\r\nPUB a 1\r\nx\r\n"), ("queue", "SUB a q 1\r\nPUB a 1\r\nx\r\n"), ("utf-8", "SUB größe 1\r\nPUB größe 1\r\nx\r\n"),
], raw, jetstream=False)


@scenario(jetstream=False)
def verbose_says_ok(trial):
    wire = trial.wire({"verbose": True})
    wire.send("SUB a 1\r\nPUB a 1\r\nx\r\nUNSUB 1\r\n")
    trial.quiet(wire)


@scenario(jetstream=False)
def pedantic_checks_subjects(trial):
    wire = trial.wire({"pedantic": True})
    wire.send("PUB a..b 1\r\nx\r\nPUB a.* 1\r\nx\r\nPUB > 1\r\nx\r\nSUB a..b 1\r\n")
    trial.quiet(wire)


@scenario(jetstream=False)
def no_echo(trial):
    wire = trial.wire({"echo": False})
    wire.send("SUB a 1\r\nPUB a 1\r\nx\r\n")
    trial.quiet(wire)
    trial.note(wire.request("a", "x"))


@scenario(jetstream=False)
def no_responders(trial):
    trial.request("nobody.here", "x")


@scenario(jetstream=False)
def subscriber_without_headers_gets_the_payload(trial):
    plain = trial.wire({"headers": False, "no_responders": False})
    plain.sub("a")
    plain.flush()
    trial.main.pub("a", "body", headers={"K": "v"})
    trial.main.flush()
    trial.quiet(plain)


@scenario(jetstream=False)
def info_after_the_first_ping(trial):
    wire = trial.wire()
    trial.note(sorted(k for k in wire.info if k not in ("git_commit", "xkey", "go")))
    for op in wire.flush():
        trial.note(op)
    trial.quiet(wire)


@scenario(jetstream=False, conf='authorization { user: u, password: p }\n')
def wrong_password(trial):
    for connect in ({"user": "u", "pass": "x"}, {"user": "u"}, {}, {"auth_token": "p"}):
        trial.closed(trial.wire(connect))
    wire = trial.wire({"user": "u", "pass": "p"})
    wire.send("SUB a 1\r\nPUB a 1\r\nx\r\n")
    trial.quiet(wire)


@scenario(jetstream=False, conf='authorization { user: u, password: p, timeout: 0.3 }\n')
def authentication_timeout(trial):
    trial.closed(trial.wire(None))
    wire = trial.wire(None)
    wire.send("PING\r\n")
    trial.closed(wire)


@scenario(jetstream=False, conf='authorization { token: secret }\n')
def token(trial):
    trial.closed(trial.wire({"auth_token": "no"}))
    trial.note(len(trial.wire({"auth_token": "secret"}).flush()))


@scenario(jetstream=False, conf='max_connections: 2\n', fresh=True)
def maximum_connections(trial):
    one, two = trial.wire(), trial.wire()
    one.flush(), two.flush()
    trial.closed(trial.wire(None))


@scenario(jetstream=False, conf='max_subscriptions: 2\nmax_subscription_tokens: 3\n', fresh=True)
def maximum_subscriptions(trial):
    trial.main.send("SUB a 1\r\nSUB a.b.c.d 2\r\nSUB b 3\r\nSUB c 4\r\n")
    trial.quiet()


@scenario(jetstream=False, conf='''authorization { users: [ {user: a, password: p, permissions: {
  publish: {allow: ["ok.>", "_INBOX.>"], deny: "ok.no"}, subscribe: {allow: ["ok.>", "_INBOX.>", "q.x wrk"], deny: "ok.secret"} }},
  {user: b, password: p, permissions: { publish: "resp.never", subscribe: "svc", allow_responses: {max: 1, expires: "1m"} }},
  {user: c, password: p} ] }\n''', fresh=True)
def permissions(trial):
    a, c = trial.wire({"user": "a", "pass": "p"}), trial.wire({"user": "c", "pass": "p"})
    a.send("SUB ok.> 1\r\nSUB no 2\r\nSUB ok.secret 3\r\nSUB q.x wrk 4\r\nSUB q.x other 5\r\nSUB q.x 6\r\n")
    a.send("PUB ok.yes 1\r\nx\r\nPUB ok.no 1\r\nx\r\nPUB no 1\r\nx\r\n")
    trial.quiet(a)
    c.send("PUB ok.secret 1\r\ns\r\nPUB ok.open 1\r\no\r\n")
    c.flush()
    trial.quiet(a)
    b = trial.wire({"user": "b", "pass": "p"})
    b.send("SUB svc 1\r\n")
    b.flush()
    inbox = c.new_inbox()
    c.pub("svc", "q", inbox)
    got = b.take(lambda op: not isinstance(op, str))
    b.pub(got.reply, "one")
    b.pub(got.reply, "two")
    trial.note([str(op).replace(inbox, "<inbox>") for op in b.flush()])
    trial.note([op.data.decode() for op in c.flush() if not isinstance(op, str)])


@scenario(jetstream=False, conf='mappings = { "foo": "bar", "in.*.*": "out.$2.$1", "w": [ {destination: "w1", weight: 100%} ] }\n')
def subject_mapping(trial):
    trial.main.sub("bar"), trial.main.sub("foo"), trial.main.sub("out.>"), trial.main.sub("w1")
    trial.main.send("PUB foo 1\r\nx\r\nPUB in.a.b 1\r\ny\r\nPUB w 1\r\nz\r\n")
    trial.quiet()
