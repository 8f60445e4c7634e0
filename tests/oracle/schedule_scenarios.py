"""Messages that a stream stores later, again and again."""
import datetime
import re
from oracle import scenario


def scheduler(trial, name="S", **more):
    return trial.stream(name, subjects=["s.>", "t.>"], allow_msg_schedules=True, allow_msg_ttl=True, allow_direct=True, **more)


def ask(trial, subject, pattern, target="t.a", data="body", **headers):
    return trial.request(subject, data, {"Nats-Schedule": pattern, **({"Nats-Schedule-Target": target} if target is not None else {}), **{k.replace("_", "-"): v for k, v in headers.items()}})


def soon(ms=300):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def poll(trial, subject, body=None):
    """Asked as often as it takes, so not on the wire whose inboxes are compared."""
    if "poll" not in trial.names:
        trial.names["poll"] = trial.wire()
    return trial.names["poll"].api(subject, body)


def last(trial, subject, stream="S"):
    """Waits for a message of the subject and shows it, times of repetitions aside."""
    import base64
    trial.until(lambda: "error" not in poll(trial, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}))
    got = poll(trial, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}).get("message", {})
    headers = base64.b64decode(got.get("hdrs", "")).decode()
    headers = re.sub(r"Next: 2\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", "Next: TIME", headers).replace("\r\n", "|")
    trial.note("last", subject, got.get("seq"), headers, base64.b64decode(got.get("data", "")).decode())
    return got


PATTERNS = ["@at 2099-01-01T00:00:00Z", "@at 2099-01-01T00:00:00+02:00", "@at 2099-01-01", "@at", "@at  2099-01-01T00:00:00Z", "@AT 2099-01-01T00:00:00Z", "@every 1h", "@every 1s", "@every 999ms", "@every -5s",
            "@every 5", "@every", "@every  1h", "@every 1h30m", "@daily", "@Daily", "@yearly", "@annually", "@monthly", "@weekly", "@midnight", "@hourly", "@hourly ", "@reboot", "0 0 0 1 1 *", "* * * * *", "* * * * * * *",
            "0 0 0 1 1 7", "0 0 0 L * *", "0 0 0 31 2 *", "0 0 0 30 2 *", "0 0 0 * JAN MON-FRI", "0 0 0 * jan-mar 1,3", "*/10 * * * * *", "60 * * * * *", "0 0 0 */2 * ?", "5/15 0 0 1 1 *", "TZ=UTC 0 0 0 1 1 *", ", 0 0 1 1 *", "x"]


@scenario()
def schedule_info(trial):
    trial.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "allow_msg_schedules": True})


@scenario()
def schedule_patterns(trial):
    scheduler(trial)
    for pattern in PATTERNS:
        ask(trial, "s.a", pattern)
    for pattern in PATTERNS[:3] + PATTERNS[6:8] + PATTERNS[14:15] + PATTERNS[-3:]:
        for zone in ("Europe/Berlin", "UTC", "Local", "EST", "", "Nowhere", "+02:00", "../x", "/etc/localtime", "europe/berlin", "Europe", "America/Argentina/Ushuaia"):
            ask(trial, "s.a", pattern, Nats_Schedule_Time_Zone=zone)


@scenario()
def schedule_refusals(trial):
    scheduler(trial)
    at = "@at 2099-01-01T00:00:00Z"
    for target in (None, "", "t.*", "t.>", "x.a", "s.a", "s.b", "t..a", "t.a b"):
        ask(trial, "s.a", at, target)
    for source in ("", "t.a", "s.a", "s.b", "s.*", "x.a", "t.b"):
        ask(trial, "s.a", at, Nats_Schedule_Source=source)
    for ttl in ("", "5", "5s", "never", "0", "-1", "500ms", "x"):
        ask(trial, "s.a", at, Nats_Schedule_TTL=ttl)
    for rollup in ("", "sub", "all", "SUB", "x"):
        ask(trial, "s.a", at, Nats_Schedule_Rollup=rollup), ask(trial, "s.a", at, Nats_Rollup=rollup)
    ask(trial, "s.a", "x", "x.a", Nats_Schedule_Source="x"), ask(trial, "s.a", at, "x.a", Nats_Schedule_Source="x.b", Nats_Schedule_TTL="x", Nats_Rollup="all", Nats_Schedule_Rollup="x")
    ask(trial, "s.a", at, Nats_Schedule_TTL="x", Nats_Schedule_Source="x.b"), ask(trial, "s.a", at, Nats_Rollup="all", Nats_Schedule_Rollup="x")
    ask(trial, "s.a", at, Nats_Schedule_Source="x.b", Nats_Rollup="all"), ask(trial, "s.a", ""), ask(trial, "s.a", " ")
    ask(trial, "s.a", at, Nats_Scheduler="s.b"), ask(trial, "s.a", at, Nats_Schedule_Next="purge"), ask(trial, "s.a", at, Nats_Scheduler="s.b", Nats_Schedule_Next="purge")
    trial.state()


@scenario()
def schedules_elsewhere(trial):
    trial.stream(subjects=["s.>", "t.>"])
    ask(trial, "s.a", "@at 2099-01-01T00:00:00Z"), ask(trial, "s.a", "x"), ask(trial, "s.a", "@at 2099-01-01T00:00:00Z", "x.a"), ask(trial, "s.a", "@daily", Nats_Schedule_Time_Zone="Nowhere")
    ask(trial, "s.a", "@daily", Nats_Schedule_TTL="5s")
    trial.request("s.a", "x", {"Nats-Schedule-Target": "t.a"}), trial.state()


@scenario()
def schedule_ttl_without_ttls(trial):
    trial.stream(subjects=["s.>", "t.>"], allow_msg_schedules=True)
    ask(trial, "s.a", "@at 2099-01-01T00:00:00Z", Nats_Schedule_TTL="5s"), ask(trial, "s.a", "@at 2099-01-01T00:00:00Z", "x.a", Nats_Schedule_TTL="5s"), ask(trial, "s.a", "@at 2099-01-01T00:00:00Z", Nats_Schedule_TTL="x")


@scenario()
def schedule_as_stored(trial):
    scheduler(trial)
    ask(trial, "s.a", "@at 2099-01-01T00:00:00Z", X="1"), trial.api("STREAM.MSG.GET.S", {"seq": 1})
    ask(trial, "s.a", "@at 2099-01-01T00:00:00Z", Nats_Rollup="sub"), trial.api("STREAM.MSG.GET.S", {"seq": 2}), trial.state()


@scenario()
def schedule_at_past(trial):
    scheduler(trial)
    trial.main.sub("t.>"), trial.main.sub("s.>"), trial.main.flush()
    ask(trial, "s.a", "@at 2020-01-01T00:00:00Z", X="1", Nats_Msg_Id="i", Nats_Expected_Stream="S", Y="2", Nats_TTL="never", Nats_Schedule_Foo="x")
    last(trial, "t.a"), trial.state("S", "messages", "first_seq", "last_seq", "num_subjects"), trial.quiet()


@scenario()
def schedule_at(trial):
    scheduler(trial)
    ask(trial, "s.a", "@at " + soon(), "t.a", "", Nats_Schedule_TTL="1h", Nats_Schedule_Rollup="sub")
    last(trial, "t.a"), trial.state("S", "messages", "first_seq", "last_seq")


@scenario()
def schedule_source(trial):
    scheduler(trial)
    trial.request("s.src", "from source", {"A": "1", "Nats-Msg-Id": "x", "Nats-TTL": "1h", "Nats-Expected-Stream": "S"})
    ask(trial, "s.a", "@at 2020-01-01T00:00:00Z", X="1", Nats_Schedule_Source="s.src"), last(trial, "t.a")
    ask(trial, "s.b", "@at 2020-01-01T00:00:00Z", "t.b", X="1", Nats_Schedule_Source="s.none"), last(trial, "t.b")
    trial.state("S", "messages", "last_seq")


@scenario()
def schedule_every(trial):
    scheduler(trial)
    ask(trial, "s.a", "@every 1s", X="1")
    trial.until(lambda: poll(trial, "STREAM.INFO.S").get("state", {}).get("messages") == 3), last(trial, "t.a")
    trial.api("STREAM.PURGE.S", {"filter": "s.a"}), trial.state("S", "messages")


@scenario()
def schedule_cron_and_zone(trial):
    scheduler(trial)
    ask(trial, "s.a", "*/2 * * * * *", "t.a", Nats_Schedule_Time_Zone="Asia/Kolkata", Nats_Schedule_Rollup="sub"), last(trial, "t.a")
    trial.api("STREAM.PURGE.S", quiet=True)
    trial.stream("U", subjects=["u.>"], allow_msg_schedules=True)
    ask(trial, "u.b", "*/2 * * * * *", "u.t"), last(trial, "u.t", "U")


@scenario()
def schedule_stopped(trial):
    scheduler(trial)
    ask(trial, "s.a", "@at " + soon(600), "t.a"), trial.request("s.a", "plain")
    ask(trial, "s.b", "@at " + soon(600), "t.b"), trial.api("STREAM.MSG.DELETE.S", {"seq": 3})
    ask(trial, "s.c", "@at " + soon(600), "t.c"), trial.api("STREAM.PURGE.S", {"filter": "s.c"})
    ask(trial, "s.d", "@at " + soon(600), "t.d"), ask(trial, "s.d", "@at " + soon(900), "t.e")
    last(trial, "t.e"), trial.state("S", "messages", "last_seq", "num_subjects")


@scenario()
def schedule_purged_by_client(trial):
    scheduler(trial)
    purge = lambda subject, scheduler, next="purge": trial.request(subject, "x", {"Nats-Scheduler": scheduler, "Nats-Schedule-Next": next})
    ask(trial, "s.a", "@at 2099-01-01T00:00:00Z"), purge("t.x", "s.a"), trial.state("S", "messages", "first_seq", "last_seq")
    ask(trial, "s.a", "@at 2099-01-01T00:00:00Z"), trial.request("s.a", "plain"), purge("t.x", "s.a"), trial.state("S", "messages", "first_seq", "last_seq")
    trial.request("s.p", "plain"), trial.request("s.p", "plain"), purge("t.x", "s.p"), trial.state("S", "messages", "first_seq", "last_seq")
    purge("t.x", "x.y"), purge("t.x", "t.x"), purge("t.x", "s.*"), purge("t.x", "s.a", "2099-01-01T00:00:00Z"), purge("t.x", "", "purge"), purge("t.x", "s.a", ""), purge("t.x", "s..a")
    trial.state("S", "messages", "first_seq", "last_seq")


@scenario()
def schedule_to_a_consumer(trial):
    scheduler(trial)
    trial.main.sub("d.x"), trial.main.flush()
    trial.api("CONSUMER.CREATE.S", {"stream_name": "S", "config": {"deliver_subject": "d.x", "ack_policy": "none", "filter_subject": "t.>"}}, quiet=True)
    ask(trial, "s.a", "@at 2020-01-01T00:00:00Z"), trial.expect()


@scenario()
def schedule_target_is_a_schedule_source(trial):
    scheduler(trial)
    ask(trial, "s.a", "@at 2020-01-01T00:00:00Z", "t.a"), last(trial, "t.a")
    ask(trial, "s.b", "@at 2020-01-01T00:00:00Z", "t.b", Nats_Schedule_Source="t.a"), last(trial, "t.b"), trial.state("S", "messages", "last_seq")


@scenario()
def schedule_on_interest(trial):
    scheduler(trial, retention="interest")
    trial.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit", "filter_subject": "t.>"}}, quiet=True)
    ask(trial, "s.a", "@at 2020-01-01T00:00:00Z"), trial.state("S", "messages", "last_seq")
