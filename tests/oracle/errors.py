"""Which error of the API which scenario reaches; errors.md shows it. A code that none reaches needs a reason here."""
import os, re

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "errors.md")
ROWS = os.path.join(HERE, "..", "..", "src", "stream", "api_error.def")

CLUSTER = "only clusters say it"
GONE = "nothing in the original says it any more"
DISK = "only when a disk fails"
JSON = "a body that would lead there is refused by its JSON before"
CONFIG = "the defaults change what would lead there before it is looked at"
WITHOUT = {
    10004: GONE, 10005: CLUSTER, 10006: CLUSTER, 10007: CLUSTER, 10008: CLUSTER, 10009: CLUSTER, 10011: GONE, 10016: "its subject has no subscriber", 10019: GONE, 10029: "shown by a mirror whose origin refuses its consumer; one that is here never does, those consumers pass all limits",
    10032: GONE, 10033: GONE, 10035: "accounts of a resolver", 10036: GONE, 10040: CLUSTER, 10041: CLUSTER, 10042: DISK, 10044: CLUSTER, 10045: "as 10029, of a source", 10048: CLUSTER, 10050: DISK, 10051: DISK, 10053: CLUSTER,
    10064: "only when a disk fails; here also the 65th snapshot of a stream at a time", 10132: "the subject's name takes the place of the body's before the two are compared", 10228: "shown by a source whose origin's consumer waits for a flow control answer that was lost on the way: never on one server",
    10061: GONE, 10063: GONE, 10066: GONE, 10067: GONE, 10068: GONE, 10072: GONE, 10073: GONE, 10075: CLUSTER, 10076: "without JetStream nobody subscribes, so there is 503 No Responders", 10078: JSON, 10085: GONE, 10087: CONFIG, 10092: GONE, 10093: GONE, 10096: "requests to a stream that is about to go",
    10103: "a name with dots is another subject", 10104: DISK, 10105: CLUSTER, 10106: CLUSTER, 10114: CONFIG, 10117: GONE, 10118: CLUSTER, 10119: CLUSTER, 10120: "tiers of accounts with a JWT", 10123: CLUSTER, 10124: CLUSTER, 10126: "10074 is said before", 10129: CLUSTER, 10134: "10074 is said before",
    10158: "replicated streams", 10163: GONE, 10180: "a status of DIRECT.GET on replicated streams", 10181: JSON, 10182: JSON, 10194: "an asset of a later version in the store", 10195: "an asset of a later version in the store", 10202: CLUSTER, 10219: CONFIG, 10224: CLUSTER, 10226: CLUSTER,
}


def rows():
    """(constant, code, text) of every row that is the original's."""
    with open(ROWS) as file:
        found = re.findall(r'^ROW\((\w+), \d+, (\d+), "(.*)"\)', file.read(), re.M)
    return [(name, int(code), text) for name, code, text in found if int(code) < 19000]


def codes_in(notes):
    return {int(code) for note in notes for code in re.findall(r'err_code\\*"?: ?(\d{5})', note)}


def check(reached):
    """What is wrong with the table, given {code: [scenario]} of those that passed."""
    wrong = [f"{code} {name} is reached by no scenario and has no reason" for name, code, _ in rows() if code not in reached and code not in WITHOUT]
    return wrong + [f"{code} has a reason and is reached by {reached[code][0]}" for code in WITHOUT if code in reached]


def write(reached):
    with open(TABLE, "w") as file:
        file.write("# Errors of the API and where the oracle sees them\n\nMade by `oracle.py --errors`; the reasons are those of `errors.py`. A run of all scenarios fails when a code is in neither.\n\n"
                   "| Code | Text | Seen in |\n|---|---|---|\n")
        for _, code, text in rows():
            seen = reached.get(code)
            where = f"`{seen[0]}`" + (f" and {len(seen) - 1} more" if len(seen) > 1 else "") if seen else f"none: {WITHOUT.get(code, 'to be found')}"
            file.write(f"| {code} | {text.replace('|', chr(92) + '|')} | {where} |\n")
