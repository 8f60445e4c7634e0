"""What becomes of files while no server runs: cut short, gone, exchanged, older than they should be. Each damage is done to a copy of one store."""
import asyncio, copy, glob, os, random, shutil

from load import Load, Wrong, must

BODY = 6000


def facts_of(load):
    other = Load(1)
    for name in ("values", "maybe", "dead", "log", "open", "open_refused", "buried", "batches", "jobs", "done", "removed"):
        setattr(other, name, copy.copy(getattr(load, name)))
    return other


class Stores:
    """One store with two segments, checkpoints and a run; `old` is a copy of it from before its last third."""

    def __init__(self, server, load):
        self.server, self.load = server, load
        self.whole, self.old = f"{server.dir}/whole", f"{server.dir}/old"

    def fill(self):
        async def publish(first, count):
            await self.load.connect(self.server.url)
            for start in range(first, first + count, 50):
                payloads = [f"p{i} ".ljust(BODY, "x") for i in range(start, start + 50)]
                for payload, ack in zip(payloads, await asyncio.gather(*(self.load.js.publish(f"p.{i % 50}", p.encode()) for i, p in enumerate(payloads)))):
                    self.load.log[ack.seq] = payload
            await self.load.nc.close()
        asyncio.run(publish(10000, 600))
        self.server.kill()
        shutil.copytree(self.server.store(), self.old)
        self.server.start()
        asyncio.run(publish(20000, 400))
        self.server.kill()
        os.rename(self.server.store(), self.whole)

    def again(self):
        shutil.rmtree(self.server.store(), ignore_errors=True)
        shutil.copytree(self.whole, f"{self.server.dir}/store/jetstream", dirs_exist_ok=True)

    def files(self, pattern):
        found = sorted(glob.glob(self.server.store(pattern)), key=lambda path: [int(part) if part.isdigit() else 0 for part in os.path.basename(path).split(".")])
        must(found, "the store has no", pattern)
        return found


def truncate(path, share):
    os.truncate(path, int(os.path.getsize(path) * share))


def exchange(one, two):
    os.rename(one, one + ".x")
    os.rename(two, one)
    os.rename(one + ".x", two)


def garble_end(stores, chance):
    """What stands behind the last block was never acknowledged: whatever it is."""
    path = stores.files("log/*.log")[-1]
    with open(path, "r+b") as file:
        end = (len(file.read().rstrip(b"\0")) + 4095) // 4096 * 4096
        file.seek(end + 512 * chance.randrange(8))
        file.write(chance.randbytes(512 * chance.randrange(1, 40)))


# name, what is done, whether something acknowledged may be missing then
DAMAGES = [
    ("garbage behind the last block", garble_end, False),
    ("one SUPER gone", lambda s, c: os.remove(s.files(c.choice(("SUPER.a", "SUPER.b")))[0]), False),
    ("one SUPER cut short", lambda s, c: truncate(s.files(c.choice(("SUPER.a", "SUPER.b")))[0], 0.5), False),
    ("both SUPER gone", lambda s, c: [os.remove(path) for path in s.files("SUPER.*")], False),
    ("the newest checkpoint gone", lambda s, c: os.remove(s.files("checkpoint.*")[-1]), False),
    ("the newest checkpoint cut short", lambda s, c: truncate(s.files("checkpoint.*")[-1], c.random()), False),
    ("all checkpoints gone", lambda s, c: [os.remove(path) for path in s.files("checkpoint.*")], True),
    ("a run gone", lambda s, c: os.remove(s.files("idx/*.run")[-1]), False),
    ("a run cut short", lambda s, c: truncate(s.files("idx/*.run")[-1], c.random()), False),
    ("LOCK gone", lambda s, c: os.remove(s.files("LOCK")[0]), False),
    ("a segment cut short", lambda s, c: truncate(c.choice(s.files("log/*.log")), 0.02), True),
    ("the first segment gone", lambda s, c: os.remove(s.files("log/*.log")[0]), True),
    ("the last segment gone", lambda s, c: os.remove(s.files("log/*.log")[-1]), True),
    ("two segments exchanged", lambda s, c: exchange(*s.files("log/*.log")[:2]), True),
    ("an old copy of a segment", lambda s, c: shutil.copy(os.path.join(s.old, "log/1.log"), s.files("log/1.log")[0]), True),
    ("an old copy of SUPER", lambda s, c: [shutil.copy(path.replace(s.server.store(), s.old), path) for path in s.files("SUPER.*")], False),
    ("unknown files", lambda s, c: [open(s.server.store(name), "w").close() for name in ("log/what.log", "what", "idx/1.what")], False),
]


def damaged_files(context, fresh):
    server, load = fresh(context, " checkpoint_bytes: 1000000\n", 110)
    chance, problems = random.Random(context.seed), []
    try:
        stores = Stores(server, load)
        stores.fill()
        for name, damage, may_miss in DAMAGES:
            stores.again()
            before = len(server.log_text())
            try:
                damage(stores, chance)
                server.start()
                missing = asyncio.run(facts_of(load).check(server.url, is_damaged=may_miss))
                must(may_miss or missing == 0, missing, "messages are missing")
                must(missing == 0 or "damage" in server.log_text()[before:], "nothing was reported,", missing, "are missing")
                must(server.stop() == 0, "it does not end in order")
            except RuntimeError as error:
                problems.append(f"{name}: {str(error)[-300:]}")
            except Wrong as wrong:
                problems.append(f"{name}: {wrong}")
            finally:
                server.kill()
        must(not problems, *("\n  " + problem for problem in problems))
    finally:
        server.close()
