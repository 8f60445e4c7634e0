"""What streams are asked to be: every rule for configs, the order of the rules, and what an update may change."""
import itertools
from oracle import clean, scenario, table

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


def outcome(reply):
    """The config, or the error; what comes of it later is not compared."""
    if not isinstance(reply, dict):
        return reply
    return clean({k: v for k, v in reply.items() if k in ("error", "config", "did_create")})


def origins(trial):
    trial.stream("O", subjects=["o.>"], allow_direct=True, max_msg_size=1000)
    trial.stream("P", subjects=["p.>"])


def try_create(trial, title, config):
    body = config if isinstance(config, str) else {"name": "S", **config}
    reply = trial.main.api("STREAM.CREATE.S", body)
    trial.note(title, "->", outcome(reply))
    if isinstance(reply, dict) and "error" not in reply:
        trial.main.api("STREAM.DELETE.S")


BAD_SOURCES = [
    ("empty name", {"name": ""}), ("no name", {}), ("dotted name", {"name": "a.b"}), ("wildcard name", {"name": "a*"}), ("slash", {"name": "a/b"}), ("long name", {"name": "x" * 300}),
    ("plain", {"name": "O"}), ("unknown", {"name": "NOPE"}), ("start seq", {"name": "O", "opt_start_seq": 5}),
    ("start time", {"name": "O", "opt_start_time": "2024-01-01T02:00:00.500+02:00"}), ("zero start time", {"name": "O", "opt_start_time": "0001-01-01T00:00:00Z"}),
    ("both starts", {"name": "O", "opt_start_seq": 5, "opt_start_time": "2024-01-01T00:00:00Z"}), ("filter", {"name": "O", "filter_subject": "o.x"}),
    ("filter outside", {"name": "O", "filter_subject": "zz"}), ("bad filter", {"name": "O", "filter_subject": "a..b"}), ("blank filter", {"name": "O", "filter_subject": "a b"}),
    ("transform", {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "q.$1"}]}), ("empty transforms", {"name": "O", "subject_transforms": []}),
    ("transform without dest", {"name": "O", "subject_transforms": [{"src": "o.*", "dest": ""}]}), ("transform without src", {"name": "O", "subject_transforms": [{"dest": "q.>"}]}),
    ("filter and transforms", {"name": "O", "filter_subject": "o.x", "subject_transforms": [{"src": "o.*", "dest": "q.$1"}]}),
    ("filter and empty transforms", {"name": "O", "filter_subject": "o.x", "subject_transforms": []}),
    ("bad transform src", {"name": "O", "subject_transforms": [{"src": "o..", "dest": "q.$1"}]}), ("bad transform dest", {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "q.$2"}]}),
    ("bad transform function", {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "q.{{foo(1)}}"}]}), ("overlap", {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "q.$1"}, {"src": "o.a", "dest": "z"}]}),
    ("overlap the other way", {"name": "O", "subject_transforms": [{"src": "o.a", "dest": "z"}, {"src": "o.*", "dest": "q.$1"}]}), ("crossing", {"name": "O", "subject_transforms": [{"src": "o.*.b", "dest": "z.$1"}, {"src": "o.a.*", "dest": "q.$1"}]}),
    ("equal transforms", {"name": "O", "subject_transforms": [{"src": "o.a", "dest": "z"}, {"src": "o.a", "dest": "y"}]}), ("two transforms", {"name": "O", "subject_transforms": [{"src": "o.a", "dest": "z"}, {"src": "o.b", "dest": "y"}]}),
    ("empty and other", {"name": "O", "subject_transforms": [{"src": "", "dest": "z.>"}, {"src": "o.b", "dest": "y"}]}), ("other and empty", {"name": "O", "subject_transforms": [{"src": "o.b", "dest": "y"}, {"src": "", "dest": "z.>"}]}),
    ("bad second of overlapping", {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "z"}, {"src": "o.a", "dest": "y.$1"}]}),
    ("external empty", {"name": "O", "external": {}}), ("external api empty", {"name": "O", "external": {"api": ""}}), ("external", {"name": "O", "external": {"api": "hub.api", "deliver": "hub.d"}}),
    ("external null", {"name": "O", "external": None}), ("external wildcard", {"name": "O", "external": {"api": "x.*"}}), ("external all", {"name": "O", "external": {"api": "x.>"}}), ("external invalid", {"name": "O", "external": {"api": "x..y"}}),
    ("external deliver wildcard", {"name": "O", "external": {"api": "x", "deliver": "d.*"}}), ("external deliver invalid", {"name": "O", "external": {"api": "x", "deliver": "d..e"}}),
    ("external js", {"name": "O", "external": {"api": "$JS.API"}}), ("external domain", {"name": "O", "external": {"api": "$JS.hub.API"}}), ("external js deeper", {"name": "O", "external": {"api": "$JS.API.x"}}), ("external js short", {"name": "O", "external": {"api": "$JS"}}),
    ("external with bad name", {"name": "a.b", "external": {"api": "x"}}), ("external with bad filter", {"name": "O", "filter_subject": "a..b", "external": {"api": "x"}}),
    ("external with filter and transforms", {"name": "O", "filter_subject": "o.x", "subject_transforms": [{"src": "o.*", "dest": "q.$1"}], "external": {"api": "x"}}),
    ("external with bad transform", {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "q.$2"}], "external": {"api": "x"}}), ("external itself", {"name": "S", "external": {"api": "x"}}),
    ("external deliver over origin", {"name": "O", "external": {"api": "x", "deliver": "o"}}), ("itself", {"name": "S"}), ("itself filtered", {"name": "S", "filter_subject": "zz"}),
    ("consumer", {"name": "O", "consumer": {"name": "C", "deliver_subject": "d.x"}}), ("consumer empty", {"name": "O", "consumer": {}}), ("consumer null", {"name": "O", "consumer": None}),
    ("consumer without deliver", {"name": "O", "consumer": {"name": "C"}}), ("consumer without name", {"name": "O", "consumer": {"deliver_subject": "d.x"}}), ("consumer wildcard deliver", {"name": "O", "consumer": {"name": "C", "deliver_subject": "d.*"}}),
    ("consumer invalid deliver", {"name": "O", "consumer": {"name": "C", "deliver_subject": "d..e"}}), ("consumer bad name", {"name": "O", "consumer": {"name": "a.b", "deliver_subject": "d.x"}}), ("consumer slash name", {"name": "O", "consumer": {"name": "a/b", "deliver_subject": "d.x"}}),
    ("consumer long name", {"name": "O", "consumer": {"name": "x" * 300, "deliver_subject": "d.x"}}), ("consumer with start seq", {"name": "O", "opt_start_seq": 4, "consumer": {"name": "C", "deliver_subject": "d.x"}}),
    ("consumer with start time", {"name": "O", "opt_start_time": "2024-01-01T00:00:00Z", "consumer": {"name": "C", "deliver_subject": "d.x"}}), ("consumer with filter", {"name": "O", "filter_subject": "o.x", "consumer": {"name": "C", "deliver_subject": "d.x"}}),
    ("consumer with transforms", {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "q.$1"}], "consumer": {"name": "C", "deliver_subject": "d.x"}}), ("consumer external", {"name": "O", "external": {"api": "x"}, "consumer": {"name": "C", "deliver_subject": "d.x"}}),
    ("consumer deliver in api", {"name": "O", "consumer": {"name": "C", "deliver_subject": "$JS.API.x"}}), ("unknown field", {"name": "O", "bogus": 1}), ("wrong type", {"name": 1}), ("wrong seq", {"name": "O", "opt_start_seq": -1}),
    ("bad time", {"name": "O", "opt_start_time": "yesterday"}), ("time number", {"name": "O", "opt_start_time": 5}), ("transforms object", {"name": "O", "subject_transforms": {}}), ("transforms of numbers", {"name": "O", "subject_transforms": [1]}),
    ("transforms of wrong types", {"name": "O", "subject_transforms": [{"src": 1}]}), ("external number", {"name": "O", "external": 1}), ("external wrong type", {"name": "O", "external": {"api": 1}}), ("consumer wrong type", {"name": "O", "consumer": {"name": 1}}),
    ("null transform", {"name": "O", "subject_transforms": [None]}), ("null name", {"name": None}),
]


@scenario()
def config_mirrors_one_by_one(trial):
    origins(trial)
    for title, source in BAD_SOURCES:
        try_create(trial, title, {"mirror": source})
    for title, mirror in (("null", None), ("number", 1), ("list", []), ("empty", {})):
        try_create(trial, title, {"mirror": mirror})


@scenario()
def config_sources_one_by_one(trial):
    origins(trial)
    for title, source in BAD_SOURCES:
        try_create(trial, title, {"sources": [source]})
    for title, sources in (("null", None), ("number", 1), ("object", {}), ("empty", []), ("null entry", [None]), ("number entry", [1]), ("good and null", [{"name": "O"}, None])):
        try_create(trial, title, {"sources": sources})


DURABLE = {"name": "C", "deliver_subject": "d.x"}


@scenario()
def config_sources_together(trial):
    origins(trial)
    rows = [
        ("twice", [{"name": "O"}, {"name": "O"}]), ("twice with filters", [{"name": "O", "filter_subject": "o.a"}, {"name": "O", "filter_subject": "o.b"}]),
        ("same filter", [{"name": "O", "filter_subject": "o.a"}, {"name": "O", "filter_subject": "o.a"}]), ("all and none", [{"name": "O", "filter_subject": ">"}, {"name": "O"}]),
        ("filter and transform", [{"name": "O", "filter_subject": "o.a"}, {"name": "O", "subject_transforms": [{"src": "o.a", "dest": "x"}]}]),
        ("filter and transform to all", [{"name": "O", "filter_subject": "o.a"}, {"name": "O", "subject_transforms": [{"src": "o.a", "dest": ""}]}]),
        ("overlapping filters", [{"name": "O", "filter_subject": "o.a"}, {"name": "O", "filter_subject": "o.>"}]),
        ("same transforms", [{"name": "O", "subject_transforms": [{"src": "o.a", "dest": "x"}]}] * 2), ("other starts", [{"name": "O", "opt_start_seq": 1}, {"name": "O", "opt_start_seq": 2}]),
        ("other externals", [{"name": "O", "external": {"api": "x"}}, {"name": "O", "external": {"api": "y"}}]), ("same externals", [{"name": "O", "external": {"api": "x", "deliver": "a"}}, {"name": "O", "external": {"api": "x", "deliver": "b"}}]),
        ("external and local", [{"name": "O", "external": {"api": "x"}}, {"name": "O"}]), ("external empty and local", [{"name": "O", "external": {}}, {"name": "O"}]),
        ("same consumer", [{"name": "O", "filter_subject": "o.a", "consumer": DURABLE}, {"name": "O", "filter_subject": "o.b", "consumer": DURABLE}]),
        ("same consumer of two streams", [{"name": "O", "consumer": DURABLE}, {"name": "P", "consumer": DURABLE}]),
        ("two consumers, one deliver", [{"name": "O", "filter_subject": "o.a", "consumer": DURABLE}, {"name": "O", "filter_subject": "o.b", "consumer": {**DURABLE, "name": "D"}}]),
        ("two consumers", [{"name": "O", "filter_subject": "o.a", "consumer": DURABLE}, {"name": "O", "filter_subject": "o.b", "consumer": {"name": "D", "deliver_subject": "d.y"}}]),
        ("one consumer, two delivers", [{"name": "O", "filter_subject": "o.a", "consumer": DURABLE}, {"name": "O", "filter_subject": "o.b", "consumer": {**DURABLE, "deliver_subject": "d.y"}}]),
        ("two consumers, no filter", [{"name": "O", "consumer": DURABLE}, {"name": "O", "consumer": {"name": "D", "deliver_subject": "d.y"}}]),
        ("same consumer twice", [{"name": "O", "consumer": DURABLE}] * 2), ("same consumer, transforms", [{"name": "O", "consumer": DURABLE}, {"name": "O", "consumer": DURABLE, "subject_transforms": [{"src": "o.a", "dest": "x"}]}]),
        ("same consumer, two delivers", [{"name": "O", "consumer": DURABLE}, {"name": "O", "consumer": {**DURABLE, "deliver_subject": "d.y"}}]),
        ("one with consumer", [{"name": "O", "consumer": DURABLE}, {"name": "O"}]), ("bad and twice", [{"name": "O"}, {"name": "O"}, {"name": "a.b"}]), ("twice and bad filter", [{"name": "O", "filter_subject": "a..b"}, {"name": "O", "filter_subject": "a..b"}]),
        ("transforms and twice", [{"name": "P", "subject_transforms": [{"src": "p..", "dest": "x"}]}, {"name": "O"}, {"name": "O"}]), ("twice and transforms", [{"name": "O"}, {"name": "O"}, {"name": "P", "subject_transforms": [{"src": "p..", "dest": "x"}]}]),
    ]
    for title, sources in rows:
        try_create(trial, title, {"sources": sources})


LOCAL = [
    ("mirror size below", {"mirror": {"name": "O"}, "max_msg_size": 999}), ("mirror size equal", {"mirror": {"name": "O"}, "max_msg_size": 1000}), ("mirror of unlimited", {"mirror": {"name": "P"}, "max_msg_size": 5}),
    ("source size below", {"sources": [{"name": "O"}], "max_msg_size": 999}), ("source size equal", {"sources": [{"name": "O"}], "max_msg_size": 1000}), ("source of unlimited", {"sources": [{"name": "P"}], "max_msg_size": 5}),
    ("external mirror size below", {"mirror": {"name": "O", "external": {"api": "x"}}, "max_msg_size": 9}), ("external source size below", {"sources": [{"name": "O", "external": {"api": "x"}}], "max_msg_size": 9}),
    ("mirror direct of direct", {"mirror": {"name": "O"}, "mirror_direct": True}), ("mirror direct of other", {"mirror": {"name": "P"}, "mirror_direct": True}), ("pedantic of direct", {"mirror": {"name": "O"}, "pedantic": True}),
    ("pedantic direct of direct", {"mirror": {"name": "O"}, "mirror_direct": True, "pedantic": True}), ("pedantic direct of other", {"mirror": {"name": "P"}, "mirror_direct": True, "pedantic": True}),
    ("pedantic of unknown", {"mirror": {"name": "NOPE"}, "mirror_direct": True, "pedantic": True}), ("direct of external", {"mirror": {"name": "O", "external": {"api": "x"}}, "mirror_direct": True}),
    ("direct with sources", {"sources": [{"name": "O"}], "mirror_direct": True}), ("window of mirror", {"mirror": {"name": "O"}, "duplicate_window": MINUTE}), ("window of sources", {"sources": [{"name": "O"}], "duplicate_window": MINUTE}),
    ("mirror with ttl", {"mirror": {"name": "O"}, "allow_msg_ttl": True}), ("mirror with marker", {"mirror": {"name": "O"}, "subject_delete_marker_ttl": 5 * SECOND}), ("sources with marker", {"sources": [{"name": "O"}], "subject_delete_marker_ttl": 5 * SECOND}),
    ("mirror republish", {"mirror": {"name": "O"}, "republish": {"src": ">", "dest": "r.>"}}), ("mirror republish to origin", {"mirror": {"name": "O"}, "republish": {"src": "o.>", "dest": "o.r.>"}}), ("mirror transform", {"mirror": {"name": "O"}, "subject_transform": {"src": "o.>", "dest": "q.>"}}),
    ("mirror retention", {"mirror": {"name": "O"}, "retention": "workqueue"}), ("mirror discard", {"mirror": {"name": "O"}, "discard": "new"}), ("mirror rollup", {"mirror": {"name": "O"}, "allow_rollup_hdrs": True}), ("source subjects", {"sources": [{"name": "O"}], "subjects": ["q.>"]}),
    ("source first seq", {"sources": [{"name": "O"}], "first_seq": 7}), ("source counter", {"sources": [{"name": "O"}], "allow_msg_counter": True}), ("source atomic", {"sources": [{"name": "O"}], "allow_atomic": True, "allow_batched": True}),
    ("source schedules", {"sources": [{"name": "O"}], "allow_msg_schedules": True}), ("source republish to origin", {"sources": [{"name": "O"}], "republish": {"src": ">", "dest": "o.r.>"}}), ("source of own subjects", {"sources": [{"name": "O"}], "subjects": ["o.>"]}),
    ("empty mirror subjects", {"mirror": {"name": "O"}, "subjects": []}), ("mirror no ack", {"mirror": {"name": "O"}, "no_ack": True}), ("mirror async", {"mirror": {"name": "O"}, "persist_mode": "async"}),
    ("counter", {"allow_msg_counter": True}), ("atomic", {"allow_atomic": True}), ("schedules", {"allow_msg_schedules": True}), ("batched", {"allow_batched": True}), ("all levels", {"allow_atomic": True, "allow_batched": True, "allow_msg_ttl": True}),
    ("counter with marker", {"allow_msg_counter": True, "subject_delete_marker_ttl": 5 * SECOND}), ("counter with marker and rollups", {"allow_msg_counter": True, "subject_delete_marker_ttl": 5 * SECOND, "allow_rollup_hdrs": True, "allow_msg_ttl": False}),
    ("schedules and deny purge", {"allow_msg_schedules": True, "deny_purge": True}), ("pedantic schedules", {"allow_msg_schedules": True, "pedantic": True}), ("pedantic schedules with rollups", {"allow_msg_schedules": True, "allow_rollup_hdrs": True, "pedantic": True}),
    ("schedules and rollups and deny purge", {"allow_msg_schedules": True, "allow_rollup_hdrs": True, "deny_purge": True}), ("async batched", {"persist_mode": "async", "allow_batched": True}), ("async atomic", {"persist_mode": "async", "allow_atomic": True}),
    ("counter interest", {"allow_msg_counter": True, "retention": "interest"}), ("counter atomic", {"allow_msg_counter": True, "allow_atomic": True, "allow_batched": True}),
]


@scenario()
def config_local_rules(trial):
    origins(trial)
    for title, config in LOCAL:
        try_create(trial, title, config)


# One fault each; any two of them together show which rule comes first.
FAULTS = [
    ("description", {"description": "d" * 5000}), ("replicas", {"num_replicas": 6}), ("replicas 3", {"num_replicas": 3}), ("pedantic msgs", {"max_msgs": -5, "pedantic": True}), ("pedantic size", {"max_msg_size": -5, "pedantic": True}), ("age", {"max_age": -1}),
    ("small age", {"max_age": 5}), ("window", {"duplicate_window": -1}), ("small window", {"duplicate_window": 5}), ("window over age", {"duplicate_window": 2 * MINUTE, "max_age": MINUTE}), ("purge", {"deny_purge": True, "allow_rollup_hdrs": True}),
    ("per subject", {"discard_new_per_subject": True}), ("marker", {"subject_delete_marker_ttl": 5}), ("marker negative", {"subject_delete_marker_ttl": -5}), ("marker pedantic", {"subject_delete_marker_ttl": 5 * SECOND, "pedantic": True}),
    ("counter discard", {"allow_msg_counter": True, "discard": "new"}), ("counter ttl", {"allow_msg_counter": True, "allow_msg_ttl": True}), ("counter retention", {"allow_msg_counter": True, "retention": "interest"}), ("counter schedules", {"allow_msg_counter": True, "allow_msg_schedules": True}),
    ("schedules discard", {"allow_msg_schedules": True, "discard": "new"}), ("schedules pedantic", {"allow_msg_schedules": True, "pedantic": True}), ("async memory", {"persist_mode": "async", "storage": "memory"}), ("async atomic", {"persist_mode": "async", "allow_atomic": True}),
    ("mirror first", {"mirror": {"name": "O"}, "first_seq": 5}), ("mirror subjects", {"mirror": {"name": "O"}, "subjects": ["q"]}), ("mirror sources", {"mirror": {"name": "O"}, "sources": [{"name": "P"}]}), ("mirror counter", {"mirror": {"name": "O"}, "allow_msg_counter": True}),
    ("mirror atomic", {"mirror": {"name": "O"}, "allow_atomic": True}), ("mirror batched", {"mirror": {"name": "O"}, "allow_batched": True}), ("mirror schedules", {"mirror": {"name": "O"}, "allow_msg_schedules": True}), ("mirror name", {"mirror": {"name": "a.b"}}),
    ("mirror filter", {"mirror": {"name": "O", "filter_subject": "a..b"}}), ("mirror transform", {"mirror": {"name": "O", "subject_transforms": [{"src": "a..b", "dest": "x"}]}}), ("mirror size", {"mirror": {"name": "O"}, "max_msg_size": 5}), ("mirror self", {"mirror": {"name": "S"}}),
    ("mirror external", {"mirror": {"name": "O", "external": {"api": "x.*"}}}), ("mirror consumer", {"mirror": {"name": "O", "consumer": {}}}), ("mirror pedantic", {"mirror": {"name": "O"}, "pedantic": True}), ("mirror marker", {"mirror": {"name": "O"}, "subject_delete_marker_ttl": 5 * SECOND}),
    ("source name", {"sources": [{"name": "a.b"}]}), ("source twice", {"sources": [{"name": "P"}, {"name": "P"}]}), ("source filter", {"sources": [{"name": "P", "filter_subject": "a..b"}]}), ("source transform", {"sources": [{"name": "P", "subject_transforms": [{"src": "a..b", "dest": "x"}]}]}),
    ("source size", {"sources": [{"name": "O"}], "max_msg_size": 5}), ("source self", {"sources": [{"name": "S"}]}), ("source external", {"sources": [{"name": "O", "external": {"api": "x.*"}}]}), ("source deliver", {"sources": [{"name": "O", "external": {"api": "x", "deliver": "y.*"}}]}),
    ("source api", {"sources": [{"name": "O", "external": {"api": "$JS.API"}}]}), ("source consumer", {"sources": [{"name": "O", "consumer": {}}]}), ("source schedules", {"sources": [{"name": "P"}], "allow_msg_schedules": True}),
    ("subject", {"subjects": ["a..b"]}), ("subject twice", {"subjects": ["a", "a"]}), ("subject api", {"subjects": ["$JS.API.>"]}), ("subject of other", {"subjects": ["p.x"]}), ("republish", {"republish": {"src": "s.*", "dest": "r.$2"}}), ("transform", {"subject_transform": {"src": "s..", "dest": "x"}}),
    ("preferred", {"placement": {"preferred": "x"}}), ("sealed", {"sealed": True}), ("direct", {"mirror_direct": True}),
]


def pairs_of(faults):
    for (one, left), (two, right) in itertools.combinations(faults, 2):
        shared = set(left) & set(right)
        if all(left[key] == right[key] for key in shared):
            yield f"{one} + {two}", {**left, **right}


@scenario()
def config_order_of_rules(trial):
    origins(trial)
    for title, config in pairs_of(FAULTS):
        try_create(trial, title, config)


CYCLES = [
    ("two sources", {"A": {"sources": [{"name": "B"}]}}, "B", {"sources": [{"name": "A"}]}),
    ("three sources", {"A": {"sources": [{"name": "B"}]}, "C": {"sources": [{"name": "A"}]}}, "B", {"sources": [{"name": "C"}]}),
    ("over a mirror", {"A": {"mirror": {"name": "B"}}}, "B", {"sources": [{"name": "A"}]}), ("two mirrors", {"A": {"mirror": {"name": "B"}}}, "B", {"mirror": {"name": "A"}}),
    ("filtered apart", {"A": {"subjects": ["a.>"], "sources": [{"name": "B", "filter_subject": "b.x"}]}}, "B", {"subjects": ["b.>"], "sources": [{"name": "A", "filter_subject": "a.x"}]}),
    ("external", {"A": {"sources": [{"name": "B", "external": {"api": "x"}}]}}, "B", {"sources": [{"name": "A"}]}), ("diamond", {"A": {"sources": [{"name": "D"}]}, "C": {"sources": [{"name": "D"}]}, "D": {"subjects": ["d"]}}, "B", {"sources": [{"name": "A"}, {"name": "C"}]}),
    ("cycle elsewhere", {"A": {"sources": [{"name": "C", "external": {"api": "x"}}]}, "C": {"sources": [{"name": "A"}]}}, "B", {"sources": [{"name": "A"}, {"name": "C"}]}),
    ("mirror of a source", {"A": {"sources": [{"name": "B"}]}}, "B", {"mirror": {"name": "A"}}), ("subjects besides", {"A": {"sources": [{"name": "B"}]}}, "B", {"subjects": ["b.x"], "sources": [{"name": "A", "filter_subject": "zz"}]}),
]


def cycle(trial, title, before, name, config):
    for other, asked in before.items():
        trial.note(other, outcome(trial.main.api(f"STREAM.CREATE.{other}", {"name": other, **asked})).get("error"))
    trial.note("create", outcome(trial.main.api(f"STREAM.CREATE.{name}", {"name": name, **config})))
    trial.main.api(f"STREAM.DELETE.{name}")
    trial.main.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": ["b.>"]})
    trial.note("update", outcome(trial.main.api(f"STREAM.UPDATE.{name}", {"name": name, **config})))


table("config cycle", CYCLES, cycle)


# Updates: from, to.
UPDATES = [
    ("mirror added", {"subjects": ["s"]}, {"mirror": {"name": "O"}}), ("mirror same", {"mirror": {"name": "O"}}, {"mirror": {"name": "O"}}), ("mirror other", {"mirror": {"name": "O"}}, {"mirror": {"name": "P"}}),
    ("mirror filter", {"mirror": {"name": "O"}}, {"mirror": {"name": "O", "filter_subject": "o.x"}}), ("mirror start", {"mirror": {"name": "O"}}, {"mirror": {"name": "O", "opt_start_seq": 3}}), ("mirror same time", {"mirror": {"name": "O", "opt_start_time": "2024-01-01T02:00:00+02:00"}}, {"mirror": {"name": "O", "opt_start_time": "2024-01-01T00:00:00Z"}}),
    ("mirror empty external", {"mirror": {"name": "O"}}, {"mirror": {"name": "O", "external": {}}}), ("mirror limits", {"mirror": {"name": "O"}}, {"mirror": {"name": "O"}, "max_msgs": 5}),
    ("promotion", {"mirror": {"name": "O"}}, {"subjects": ["s.>"]}), ("promotion without subjects", {"mirror": {"name": "O"}}, {}), ("promotion onto the origin", {"mirror": {"name": "O"}}, {"subjects": ["o.x"]}), ("promotion to sources", {"mirror": {"name": "O"}}, {"sources": [{"name": "O"}]}),
    ("promotion with first seq", {"mirror": {"name": "O"}}, {"first_seq": 9}), ("promotion keeps direct", {"mirror": {"name": "O"}}, {"mirror_direct": True}), ("mirror gets subjects", {"mirror": {"name": "O"}}, {"mirror": {"name": "O"}, "subjects": ["x"]}),
    ("mirror direct", {"mirror": {"name": "O"}}, {"mirror": {"name": "O"}, "mirror_direct": False}), ("mirror pedantic", {"mirror": {"name": "O"}}, {"mirror": {"name": "O"}, "mirror_direct": False, "pedantic": True}), ("mirror bad filter", {"mirror": {"name": "O"}}, {"mirror": {"name": "O", "filter_subject": "a..b"}}),
    ("direct without mirror", {}, {"mirror_direct": True}), ("sources added", {}, {"sources": [{"name": "O"}]}), ("sources added with window", {}, {"sources": [{"name": "O"}], "duplicate_window": MINUTE}), ("sources removed", {"sources": [{"name": "O"}]}, {}),
    ("sources changed", {"sources": [{"name": "O"}]}, {"sources": [{"name": "P"}, {"name": "O", "filter_subject": "o.x"}]}), ("sources bad filter", {}, {"sources": [{"name": "O", "filter_subject": "a..b"}]}), ("sources bad filter kept", {"sources": [{"name": "O"}]}, {"sources": [{"name": "O"}, {"name": "P", "filter_subject": "a..b"}]}),
    ("sources twice", {}, {"sources": [{"name": "O"}, {"name": "O"}]}), ("source size", {"sources": [{"name": "O"}]}, {"sources": [{"name": "O"}], "max_msg_size": 5}), ("mirror size", {"mirror": {"name": "O"}}, {"mirror": {"name": "O"}, "max_msg_size": 5}), ("sources to mirror", {"sources": [{"name": "O"}]}, {"mirror": {"name": "O"}}),
    ("counter on", {}, {"allow_msg_counter": True}), ("counter off", {"allow_msg_counter": True}, {}), ("counter stays", {"allow_msg_counter": True}, {"allow_msg_counter": True, "max_msgs": 4}), ("counter ttl", {"allow_msg_counter": True}, {"allow_msg_counter": True, "allow_msg_ttl": True}),
    ("schedules on", {}, {"allow_msg_schedules": True}), ("schedules off", {"allow_msg_schedules": True}, {}), ("schedules with deny purge", {"deny_purge": True}, {"allow_msg_schedules": True}), ("schedules without rollups", {"allow_msg_schedules": True}, {"allow_msg_schedules": True, "allow_rollup_hdrs": False}),
    ("atomic on", {}, {"allow_atomic": True}), ("atomic off", {"allow_atomic": True}, {}), ("batched on", {}, {"allow_batched": True}), ("batched off", {"allow_batched": True}, {}), ("async on", {}, {"persist_mode": "async"}), ("async off", {"persist_mode": "async"}, {}),
    ("ttl on", {}, {"allow_msg_ttl": True}), ("marker on", {}, {"subject_delete_marker_ttl": 5 * SECOND}), ("marker off", {"subject_delete_marker_ttl": 5 * SECOND}, {}), ("marker off, ttl kept", {"subject_delete_marker_ttl": 5 * SECOND}, {"allow_msg_ttl": True}),
    ("marker with deny purge", {"deny_purge": True}, {"subject_delete_marker_ttl": 5 * SECOND}), ("deny purge kept", {"deny_purge": True}, {"deny_purge": True}), ("rollups with deny purge", {"deny_purge": True}, {"deny_purge": True, "allow_rollup_hdrs": True}),
    ("first seq", {}, {"first_seq": 7}), ("first seq gone", {"first_seq": 7}, {}), ("retention", {"retention": "interest"}, {}), ("from work queue", {"retention": "workqueue"}, {"retention": "interest"}), ("compression", {}, {"compression": "s2"}), ("max consumers", {}, {"max_consumers": 3}),
    ("per subject", {}, {"discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": 4}), ("per subject without", {}, {"discard_new_per_subject": True}), ("transform", {}, {"subject_transform": {"src": "s", "dest": "t"}}), ("bad transform", {}, {"subject_transform": {"src": "s..", "dest": "t"}}),
    ("republish", {}, {"republish": {"src": ">", "dest": "r.>"}}), ("republish gone", {"republish": {"src": ">", "dest": "r.>"}}, {}), ("republish cycle", {}, {"republish": {"src": ">", "dest": "S"}}), ("overlap", {}, {"subjects": ["p.x"]}), ("self", {}, {"sources": [{"name": "S"}]}),
    ("placement", {}, {"placement": {"tags": ["x"]}}), ("preferred", {}, {"placement": {"preferred": "x"}}), ("metadata", {"metadata": {"a": "b"}}, {"metadata": {"c": "d"}}), ("description", {}, {"description": "x"}), ("no ack", {}, {"no_ack": True}), ("empty", {}, {}), ("replicas", {}, {"num_replicas": 3}),
]


@scenario()
def config_updates_one_by_one(trial):
    origins(trial)
    for title, before, after in UPDATES:
        trial.note(title, "before", outcome(trial.main.api("STREAM.CREATE.S", {"name": "S", **before})).get("error"))
        trial.note(title, "->", outcome(trial.main.api("STREAM.UPDATE.S", {"name": "S", **after})))
        trial.main.api("STREAM.DELETE.S")


UPDATE_FAULTS = [
    ("name", {"name": "T"}), ("storage", {"storage": "memory"}), ("retention", {"retention": "workqueue"}), ("deny delete", {"deny_delete": False}), ("deny purge", {"deny_purge": False}), ("mirror", {"mirror": {"name": "O"}}), ("counter", {"allow_msg_counter": True}),
    ("ttl", {"allow_msg_ttl": False}), ("schedules", {"allow_msg_schedules": False}), ("async", {"persist_mode": "async"}), ("per subject", {"discard": "new", "discard_new_per_subject": True}), ("replicas", {"num_replicas": 3}), ("overlap", {"subjects": ["p.x"]}),
    ("source filter", {"sources": [{"name": "O", "filter_subject": "a..b"}]}), ("transform", {"subject_transform": {"src": "s..", "dest": "t"}}), ("limits", {"consumer_limits": {"max_ack_pending": 3}}), ("bytes", {"max_bytes": 1 << 60}),
]


@scenario()
def config_order_of_update_rules(trial):
    origins(trial)
    base = {"name": "S", "subjects": ["s.>"], "deny_delete": True, "deny_purge": True, "allow_msg_ttl": True}
    trial.note(outcome(trial.main.api("STREAM.CREATE.S", base)))
    trial.consumer(max_ack_pending=10)
    for title, change in pairs_of(UPDATE_FAULTS):
        change = {k: v for k, v in change.items()}
        body = {**base, **change}
        if "mirror" in body and "subjects" not in change:
            body.pop("subjects")
        trial.note(title, "->", outcome(trial.main.api("STREAM.UPDATE.S", body)))
    trial.main.api("STREAM.DELETE.S")
    trial.note(outcome(trial.main.api("STREAM.CREATE.S", {"name": "S", "allow_msg_schedules": True, "allow_msg_ttl": True})))
    for title, change in (("schedules and ttl", {}), ("schedules and storage", {"storage": "memory"}), ("schedules and counter", {"allow_msg_counter": True, "allow_msg_ttl": True})):
        trial.note(title, "->", outcome(trial.main.api("STREAM.UPDATE.S", {"name": "S", **change})))


LIMITED = """
accounts { A { users [{user: a, password: a}], jetstream { max_mem: 1000, max_store: 100000, max_streams: 3, max_consumers: 2, max_ack_pending: 7, store_max_stream_bytes: 5000 } } }
no_auth_user: a
"""


@scenario(conf=LIMITED)
def config_limits_of_an_account(trial):
    trial.stream("A"), trial.stream("B", max_consumers=5)
    for stream in "AB":
        for name in ("x", "y", "z"):
            trial.api(f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": {"durable_name": name, "ack_policy": "explicit"}}, keep=["config"])
    trial.main.api("CONSUMER.DELETE.A.y")
    trial.api("CONSUMER.CREATE.A.z", {"stream_name": "A", "config": {"durable_name": "z", "ack_policy": "explicit", "max_ack_pending": 8}}, keep=["config"])
    trial.api("STREAM.CREATE.C", {"name": "C", "max_bytes": 5001}, keep=["config"])
    trial.api("STREAM.CREATE.C", {"name": "C", "max_bytes": 5000}, keep=["config"])
    trial.api("STREAM.CREATE.D", {"name": "D"}, keep=["config"])
    trial.api("STREAM.DELETE.C")
    trial.api("STREAM.CREATE.C", {"name": "C", "storage": "memory", "max_bytes": 1001}, keep=["config"])
