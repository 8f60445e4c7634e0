"""Streams that count."""
from oracle import scenario, table


def counter(trial, name="S", **more):
    return trial.stream(name, allow_msg_counter=True, allow_direct=True, **more)


def add(trial, subject, value, data="", **headers):
    return trial.request(subject, data, {"Nats-Incr": value, **{k.replace("_", "-"): v for k, v in headers.items()}})


@scenario()
def counter_info(trial):
    trial.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "allow_msg_counter": True})
    for change in ({"allow_msg_counter": False}, {"allow_msg_ttl": True}, {"discard": "new"}, {"retention": "workqueue"}):
        trial.api("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], "allow_msg_counter": True, **change})


@scenario()
def counting(trial):
    counter(trial)
    for value in ("1", "+2", "-10", "0", "007", "-0", "99999999999999999999999999999999", "-1"):
        add(trial, "s.a", value)
    add(trial, "s.b", "3")
    for seq in range(1, 10):
        trial.api("STREAM.MSG.GET.S", {"seq": seq})
    trial.request("$JS.API.DIRECT.GET.S.s.a"), trial.state()


@scenario()
def counter_refusals(trial):
    counter(trial)
    trial.request("s.a", ""), trial.request("s.a", "x"), trial.request("s.a", "", {"Other": "1"})
    for value in ("", " ", "1.5", "1e3", "0x10", "1_000", "+-1", "x", "--1", "+", "1 2"):
        add(trial, "s.a", value), add(trial, "s.a", value, "x")
    add(trial, "s.a", "1", "x")
    for header, value in (("Nats-Expected-Stream", "S"), ("Nats-Expected-Last-Sequence", "0"), ("Nats-Expected-Last-Subject-Sequence", "0"),
                          ("Nats-Expected-Last-Msg-Id", ""), ("Nats-Expected-Last-Msg-Id", "x"), ("Nats-Rollup", "sub"), ("Nats-Rollup", "nonsense"), ("Nats-TTL", "5s"), ("Nats-TTL", "x")):
        add(trial, "s.a", "1", "", **{header: value}), add(trial, "s.a", "1", "x", **{header: value})
    trial.state()


@scenario()
def increments_elsewhere(trial):
    trial.stream()
    add(trial, "s.a", "1"), add(trial, "s.a", "x"), add(trial, "s.a", ""), trial.state()


@scenario()
def counter_duplicates(trial):
    counter(trial)
    add(trial, "s.a", "5", Nats_Msg_Id="i"), add(trial, "s.a", "5", Nats_Msg_Id="i"), add(trial, "s.a", "5"), trial.state()


@scenario()
def counter_after_deletes(trial):
    counter(trial)
    for value in "123":
        add(trial, "s.a", value)
    trial.api("STREAM.MSG.DELETE.S", {"seq": 3}), add(trial, "s.a", "1")
    trial.api("STREAM.MSG.DELETE.S", {"seq": 2}), add(trial, "s.a", "1")
    trial.api("STREAM.PURGE.S", {"filter": "s.a", "keep": 1}), add(trial, "s.a", "1")
    trial.api("STREAM.PURGE.S", {"filter": "s.a"}), add(trial, "s.a", "1")
    trial.api("STREAM.PURGE.S"), add(trial, "s.a", "1"), trial.state()


@scenario()
def counter_of_one_message(trial):
    counter(trial, max_msgs_per_subject=1)
    for value in ("5", "6", "-1"):
        add(trial, "s.a", value), add(trial, "s.b", value)
    trial.state()


@scenario()
def counter_headers_of_clients(trial):
    counter(trial)
    add(trial, "s.a", "5", Nats_Counter_Sources='{"K":{"k":"2"}}'), add(trial, "s.a", "6"), add(trial, "s.a", "7", Other="x")
    for seq in (1, 2, 3):
        trial.api("STREAM.MSG.GET.S", {"seq": seq})
    add(trial, "s.b", "5", Nats_Stream_Source="S 1"), trial.state()


@scenario()
def counter_republish(trial):
    counter(trial, republish={"src": "s.>", "dest": "r.>"})
    trial.main.sub("r.>"), trial.main.flush()
    add(trial, "s.a", "5"), trial.expect()


@scenario()
def counter_pipelined(trial):
    counter(trial)
    for value in range(200):
        trial.main.pub("s.a", "", headers={"Nats-Incr": str(value)}) if hasattr(trial.main, "pub") else add(trial, "s.a", str(value))
    add(trial, "s.a", "0"), trial.state("S", "messages", "last_seq")
