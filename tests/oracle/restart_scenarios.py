"""Random operations on streams and consumers with restarts in order between them, the same on both servers: what is there afterwards. RESTART_SEEDS="FIRST COUNT" chooses others than the usual few.

Not compared, beside what random_scenarios.py says: ack floors and what is pending of a consumer once messages it had delivered were removed (2.15.1 moves them by when it noticed, also while it starts); first_seq of an update,
which 2.15.1 takes for an empty stream when it is started again."""
import json, os

from oracle import clean, table
from random_scenarios import BUSY_CONSUMER, BUSY_STREAM, CONFIGS, Random, some

MESSAGES_MAX = 120


class Restarting(Random):
    def op_update(self):
        name, config = self.config()
        config.pop("first_seq", None)
        self.trial.note(config)
        self.trial.api(f"STREAM.UPDATE.{name}", config)

    def restart(self):
        trial = self.trial
        for wire in trial.wires:
            wire.close()
        trial.wires.clear()
        trial.names.clear()
        trial.server.stop()
        trial.server.start()
        trial.until(lambda: isinstance(trial.main.api("STREAM.NAMES"), dict))
        trial.note("-- restarted")
        self.look()

    def look(self):
        """Everything that is there."""
        trial = self.trial
        names = trial.main.api("STREAM.NAMES").get("streams") or []
        trial.note("streams", names)
        for name in names:
            info = trial.main.api(f"STREAM.INFO.{name}", {"deleted_details": True, "subjects_filter": ">"})
            state = info.get("state", {})
            if state.get("deleted") == [0]:
                del state["deleted"], state["num_deleted"]
            info.pop("ts", None)
            trial.note(name, clean(info))
            first, last = state.get("first_seq", 0), state.get("last_seq", 0)
            for seq in range(max(1, first), min(last, first + MESSAGES_MAX) + 1):
                reply = trial.main.api(f"STREAM.MSG.GET.{name}", {"seq": seq})
                trial.note(seq, clean({k: v for k, v in reply.items() if k != "ts"}))
            for consumer in sorted(trial.main.api(f"CONSUMER.NAMES.{name}").get("consumers") or []):
                self.look_consumer(name, consumer, self.has_removed or first > 1 or "num_deleted" in state)

    def look_consumer(self, stream, name, has_removed):
        info = clean(self.trial.main.api(f"CONSUMER.INFO.{stream}.{name}"))
        info.pop("ts", None)
        if has_removed:
            for key in ("ack_floor", "num_ack_pending", "num_redelivered"):
                info.pop(key, None)
        self.trial.note(stream, name, info)


def walk(trial, name, seed):
    run = Restarting(trial, seed)
    trial.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "allow_direct": True, **some(run.rng, CONFIGS[:7], 0, 3)})
    restarts = {run.rng.randrange(5, 30), run.rng.randrange(5, 30)}
    for i in range(30):
        trial.note(f"-- {i}")
        run.step()
        if i in restarts:
            run.restart()
    run.restart()


def busy(trial, name, seed):
    run = Restarting(trial, seed)
    rng, run.streams = run.rng, ["S"]
    stream = {k: v for k, v in some(rng, BUSY_STREAM, 0, 3).items() if k != "storage"}
    trial.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "allow_direct": True, **stream})
    for consumer in ("C1", "C2", "C3"):
        config = {"durable_name": consumer, "ack_policy": "explicit", "ack_wait": 10 ** 11, **some(rng, BUSY_CONSUMER, 0, 3)}
        config.pop("mem_storage", None)
        trial.note(config)
        trial.api(f"CONSUMER.CREATE.S.{consumer}", {"stream_name": "S", "config": config})
    ops = [(run.op_publish, 8), (run.op_pull, 8), (run.op_ack, 10), (run.op_consumer_info, 4), (run.op_info, 2), (run.op_msg_delete, 1), (run.op_direct, 2), (run.op_msg_get, 2), (run.op_pause, 1)]
    restarts = {rng.randrange(5, 40), rng.randrange(5, 40)}
    for i in range(40):
        trial.note(f"-- {i}")
        rng.choices([op for op, _ in ops], [weight for _, weight in ops])[0]()
        if i in restarts:
            run.restart()
    run.restart()


FIRST, COUNT = (int(n) for n in os.environ.get("RESTART_SEEDS", "1 6").split())
table("restarts", [(f"seed {seed}", seed) for seed in range(FIRST, FIRST + COUNT)], walk, fresh=True)
table("restarts", [(f"busy seed {seed}", seed) for seed in range(FIRST, FIRST + COUNT)], busy, fresh=True)
