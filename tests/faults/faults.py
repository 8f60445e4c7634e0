#!/usr/bin/env python3
"""The real server on a disk that fails: errors, short and torn writes, power cuts, a full disk, lying disks, damaged files, clocks that
jump. Real clients work meanwhile; afterwards nothing acknowledged is lost, nothing removed comes back, no batch is half there.

  faults.py --binary PATH --layer PATH [--rounds N] [--seed N] [--jobs N] [WORD ...]     --rounds: power cuts; WORD: only tests whose names have it"""
import argparse, asyncio, os, random, sys, time, traceback
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "crash")]
import files  # noqa: E402
from layer import *  # noqa: E402,F403
from load import Load, Wrong, must  # noqa: E402

TESTS = []


def test(function):
    TESTS.append((function.__name__.replace("_", " "), function))
    return function


class Context:
    def __init__(self, options):
        self.binary, self.layer, self.seed, self.rounds = os.path.abspath(options.binary), os.path.abspath(options.layer), options.seed, options.rounds

    def server(self, jetstream="", seed=0, **more):
        return FaultyServer(self.binary, self.layer, jetstream, seed=self.seed * 1000 + seed + 1, **more)


def health(server):
    try:
        return server.get("/healthz")["status"]
    except Exception as error:
        return error.read().decode() if hasattr(error, "read") else str(error)


def run_load(server, load, during, seconds=0.4):
    """Work; what `during` does to the disk; work."""
    async def all_of_it():
        await load.begin(server.url)
        await asyncio.sleep(seconds)
        try:
            await during()
        finally:
            await load.end()
    asyncio.run(all_of_it())


def fresh(context, jetstream="", seed=0):
    server = context.server(jetstream, seed)
    load = Load(context.seed * 1000 + seed)
    try:
        server.start()
        asyncio.run(load.setup(server.url))
    except BaseException:
        server.close()
        raise
    return server, load


# ---- a device that fails for a while ----

FAILURES = {
    "sync": dict(ops=SYNC, pattern=".log", error=5),
    "write": dict(ops=WRITE, pattern=".log", error=5),
    "torn write": dict(ops=WRITE, kind=TORN, pattern=".log", error=5),
    "write without space": dict(ops=WRITE, pattern=".log", error=28),
    "everything": dict(ops=OPEN | WRITE | SYNC | SYNC_DIR | RENAME | REMOVE, error=5),
    "a read-only file system": dict(ops=CREATE | WRITE | RENAME | REMOVE, error=30),
}


def fail_and_heal(context, rule, seed, jetstream="", fails_for=0.5, ends=6.5, kill="kill"):
    server, load = fresh(context, jetstream, seed)
    try:
        async def during():
            server.rule(skip=seed % 7, **rule)
            while not server.hits():
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.1)
            refused = load.refused
            await asyncio.sleep(fails_for)
            must(load.refused > refused, "nothing was refused while the disk failed", load.errors)
            state = health(server)
            must("log" in state and "failed" in state, "health while the disk fails:", state)
            server.heal()
            await load.acknowledged_within(ends)
            must(health(server) == "ok", "health after the failure:", health(server))
            await asyncio.sleep(0.3)
        run_load(server, load, during)
        must(load.slowest_refusal < 2.5, "a refusal took", load.slowest_refusal, "s")
        asyncio.run(load.check(server.url))
        getattr(server, kill)()
        server.start()
        asyncio.run(load.check(server.url))
        must(server.stop() == 0, "it does not end in order")
        server.start()
        asyncio.run(load.check(server.url))
    except Wrong as wrong:
        raise Wrong(f"{wrong}\n{server.log_text()[-1500:]}") from wrong
    finally:
        server.close()


def add_failures():
    for i, (name, rule) in enumerate(FAILURES.items()):
        TESTS.append((f"after {name} failed service resumes", lambda context, rule=rule, i=i: fail_and_heal(context, rule, 10 + i)))


add_failures()


@test
def with_a_sync_interval_too(context):
    fail_and_heal(context, FAILURES["sync"], 30, ' sync_interval: "100ms"\n')


@test
def a_failed_write_with_a_sync_interval(context):
    fail_and_heal(context, FAILURES["write"], 31, ' sync_interval: "100ms"\n')


@test
def a_failure_and_then_a_power_cut(context):
    """The device forgets what it was given when a sync fails; after the log went on power is lost."""
    for seed in range(2):
        server, load = fresh(context, "", 40 + seed)
        try:
            server.track()

            async def during():
                server.rule(SYNC, pattern=".log", skip=seed, count=1)
                while not server.hits():
                    await asyncio.sleep(0.002)
                await load.acknowledged_within(4)
                await asyncio.sleep(0.2)
            run_load(server, load, during)
            server.cut()
            server.start()
            asyncio.run(load.check(server.url))
        finally:
            server.close()


@test
def power_cuts_while_the_log_tries_to_go_on(context):
    for seed in range(4):
        server, load = fresh(context, "", 50 + seed)
        try:
            server.track()

            async def during():
                server.rule(SYNC, pattern=".log", skip=3, count=1)
                while not server.hits():
                    await asyncio.sleep(0.002)
                server.rule(SYNC | WRITE | SYNC_DIR | RENAME, kind=CUT, skip=seed * 2, count=1, slot=1)
                await asyncio.sleep(1.6)
            run_load_until_dead(server, load, during)
            server.after_cut()
            server.start()
            asyncio.run(load.check(server.url))
        finally:
            server.close()


def run_load_until_dead(server, load, during):
    async def all_of_it():
        await load.begin(server.url)
        await asyncio.sleep(0.2)
        await during()
        await load.end(is_alive=False)
    asyncio.run(all_of_it())
    must(server.wait_dead(3), "the server should have died")


# ---- short transfers, one failing call at a time ----

@test
def short_writes_and_reads_are_no_errors(context):
    server, load = fresh(context, "", 60)
    try:
        server.rule(WRITE, kind=SHORT, count=200)
        server.rule(READ, kind=SHORT, count=200, slot=1)

        async def during():
            await asyncio.sleep(0.3)
        run_load(server, load, during)
        must(load.refused == 0, "refused:", load.errors)
        server.kill()
        server.rule(READ, kind=SHORT, count=200)
        server.start()
        asyncio.run(load.check(server.url))
    finally:
        server.close()


@test
def each_call_of_a_new_segment_may_fail_once(context):
    """The log rolls over again and again; opening, renaming, making and syncing names fail in turn."""
    server, load = fresh(context, " checkpoint_bytes: 2000000\n", 61)
    try:
        async def during():
            for i, ops in enumerate((RENAME, SYNC_DIR, OPEN, CREATE, REMOVE)):
                server.rule(ops, pattern="/log", error=24 if ops == OPEN else 5, count=1)
                fill = [load.js.publish("p.fill", b"f" * 500000) for _ in range(12)]
                results = await asyncio.gather(*fill, return_exceptions=True)
                load.log.update({r.seq: "f" * 500000 for r in results if not isinstance(r, Exception)})
                await load.acknowledged_within(6)
                server.heal()
        load.check_log = lambda is_damaged: check_long(load)
        run_load(server, load, during, 0.2)
        server.kill()
        server.start()
        asyncio.run(load.check(server.url))
    finally:
        server.close()


async def check_long(load):
    """Payloads repeat here: only what was acknowledged is compared."""
    for seq, payload in load.log.items():
        message = await load.message("P", seq)
        must(message is not None and message.data.decode() == payload, "P", seq, "is not what was acknowledged")
    return 0


@test
def checkpoints_and_runs_that_cannot_be_written_cost_nothing(context):
    server, load = fresh(context, " checkpoint_bytes: 300000\n", 62)
    try:
        async def during():
            for error in (5, 28):
                server.rule(WRITE | SYNC | RENAME | CREATE, pattern="checkpoint", error=error)
                server.rule(WRITE | SYNC | CREATE, pattern="/idx/", error=error, slot=1)
                await asyncio.sleep(0.5)
                server.heal()
                await asyncio.sleep(0.3)
        run_load(server, load, during)
        must(load.refused == 0, "refused:", load.errors)
        server.kill()
        server.start()
        asyncio.run(load.check(server.url))
    finally:
        server.close()


# ---- a full disk ----

@test
def after_a_full_disk_service_resumes_in_two_seconds(context):
    server, load = fresh(context, " checkpoint_bytes: 300000\n", 70)
    try:
        async def during():
            server.full(True)
            end = time.monotonic() + 15
            while not load.refused:
                must(time.monotonic() < end, "nothing was refused on a full disk")
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            must("out of space" in health(server), "health on a full disk:", health(server))
            seq = max(load.log)
            must(await load.js.delete_msg("P", seq), "a delete was refused")
            load.log.pop(seq)
            server.full(False)
            took = await load.acknowledged_within(2)
            must(took < 2, "it took", took)
        run_load(server, load, during)
        server.kill()
        server.start()
        asyncio.run(load.check(server.url))
    finally:
        server.close()


# ---- descriptors, reads, clocks, locks ----

@test
def without_descriptors_nothing_is_lost(context):
    server, load = fresh(context, " checkpoint_bytes: 300000\n", 80)
    try:
        async def during():
            server.rule(OPEN, error=24)
            await asyncio.sleep(1)
            server.heal()
            await load.acknowledged_within(6)
        run_load(server, load, during)
        server.kill()
        server.start()
        asyncio.run(load.check(server.url))
    finally:
        server.close()


@test
def a_read_error_costs_the_read_and_no_more(context):
    server, load = fresh(context, "", 81)
    try:
        async def during():
            await asyncio.sleep(0.2)
        run_load(server, load, during)
        server.kill()
        server.start()

        async def read():
            await load.connect(server.url)
            seq = min(load.log)
            server.rule(READ, pattern=".log")
            must(await load.message("P", seq) is None, "read in spite of the error")
            must(health(server) == "ok", "a read error is not the store's end:", health(server))
            must((await load.js.publish("p.more", b"more")).seq, "not stored")
            load.log[(await load.js.publish("p.more", b"and more")).seq] = "and more"
            load.open.add("more")
            server.heal()
            end = time.monotonic() + 3  # what the disk refused is not asked for again at once
            while await load.message("P", seq) is None:
                must(time.monotonic() < end, "still not read")
                await asyncio.sleep(0.1)
            must((await load.message("P", seq)).data.decode() == load.log[seq], "read wrongly")
            await load.nc.close()
        asyncio.run(read())
        asyncio.run(load.check(server.url))
    finally:
        server.close()


@test
def read_errors_at_a_start_are_damage_of_what_they_hit(context):
    server, load = fresh(context, "", 82)
    try:
        async def during():
            await asyncio.sleep(0.2)
        run_load(server, load, during)
        server.kill()
        server.rule(READ, pattern="/1.log", skip=4, count=1)
        try:
            server.start()
        except RuntimeError:
            server.kill()
            server.heal()
            server.start()
        server.heal()
        asyncio.run(load.check(server.url, is_damaged=True))
    finally:
        server.close()


@test
def clocks_that_jump_lose_nothing(context):
    server, load = fresh(context, "", 83)
    try:
        async def during():
            for shift in (3600, -3600, 86400 * 400, -86400, 0):
                server.shift_clock(shift)
                await load.acknowledged_within(2)
                await asyncio.sleep(0.1)
        run_load(server, load, during)
        must(load.refused == 0, "refused:", load.errors)
        asyncio.run(load.check(server.url))
        server.kill()
        server.shift_clock(-7200)
        server.start()
        asyncio.run(load.check(server.url))
        server.kill()
        server.shift_clock(0)
        server.start()
        asyncio.run(load.check(server.url))
    finally:
        server.close()


@test
def times_of_a_stream_never_go_back(context):
    server, _ = fresh(context, "", 84)
    load = Load(1)
    try:
        async def publish():
            await load.connect(server.url)
            times = []
            for shift in (0, 5, -3600, 0):
                server.shift_clock(shift)
                ack = await load.js.publish("p.x", b"x")
                message = await load.request("$JS.API.STREAM.MSG.GET.P", '{"seq":%d}' % ack.seq)
                times.append(message["message"]["time"][:19])
            must(times == sorted(times), "times:", times)
            await load.nc.close()
        asyncio.run(publish())
    finally:
        server.close()


@test
def a_store_in_use_is_refused_and_one_of_a_killed_server_is_not(context):
    server, load = fresh(context, "", 85)
    try:
        os.mkdir(server.dir + "/second")
        second = Server(context.binary, directory=server.dir + "/second", wait=10)
        os.symlink(server.dir + "/store", second.dir + "/store")
        try:
            second.start()
            raise Wrong("two servers on one store")
        except RuntimeError as error:
            must("another server has it" in str(error), "no clear message:", error)
        finally:
            second.kill()
        server.kill()
        server.start()
        asyncio.run(load.check(server.url))
    finally:
        server.close()


# ---- disks that lie ----

@test
def lost_and_misdirected_and_flipped_writes_are_never_served(context):
    for i, kind in enumerate((LOST, SHIFT, FLIP)):
        server, load = fresh(context, "", 90 + i)
        try:
            async def during():
                server.rule(WRITE, kind=kind, pattern=".log", skip=20, count=1)
                end = time.monotonic() + 20
                while server.hits() == 0 and time.monotonic() < end:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.1)
            run_load(server, load, during)
            must(server.hits() == 1, "the fault never happened")
            server.kill()
            server.start()
            missing = asyncio.run(load.check(server.url, is_damaged=True))
            is_harmless = kind == FLIP and missing == 0  # between a block's records and its end
            must(is_harmless or "damaged" in server.log_text(), "the damage was not reported:", server.log_text()[-500:])
        finally:
            server.close()


@test
def files_cut_short_gone_exchanged_or_old(context):
    files.damaged_files(context, fresh)


# ---- kills and power cuts at every step of a start, and at work ----

@test
def kills_at_every_step_of_a_start(context):
    server, load = fresh(context, " checkpoint_bytes: 300000\n", 100)
    try:
        async def during():
            await asyncio.sleep(0.3)
        run_load(server, load, during)
        server.kill()
        before = server.calls
        server.start()
        steps = server.calls - before
        server.kill()
        chance = random.Random(context.seed)
        for step in sorted(chance.sample(range(steps), min(12, steps))):
            server.rule(255, kind=KILL, skip=step, count=1)
            try:
                server.start()
            except RuntimeError:
                pass
            server.kill()
        server.heal()
        server.start()
        asyncio.run(load.check(server.url))
    finally:
        server.close()


@test
def power_cuts_at_every_step_of_a_start(context):
    server, load = fresh(context, " checkpoint_bytes: 300000\n", 101)
    try:
        server.track()

        async def during():
            await asyncio.sleep(0.3)
        run_load(server, load, during)
        server.cut()
        chance = random.Random(context.seed + 1)
        for i in range(12):
            server.put(0, chance.getrandbits(31))
            server.rule(255, kind=CUT, skip=chance.randrange(60), count=1)
            try:
                server.start()
            except RuntimeError:
                pass
            server.cut()
        server.start()
        asyncio.run(load.check(server.url))
    finally:
        server.close()


def power_cut_rounds(context):
    """The writers of the crash test, whose knowledge lasts over all rounds."""
    import crash
    from wire import Wire
    server = context.server(" checkpoint_bytes: 1000000\n", 200)
    writers = [crash.Publisher("P1", 1), crash.Bucket("B1", 3), crash.Objects("O1", 5), crash.Queue("Q1", 6), crash.Limits("L1", 7), crash.Batches("A1", 8), crash.Transactions("T", 9)]
    chance, good = random.Random(context.seed), 0
    try:
        server.track()
        server.start()
        with Wire(server.port) as wire:
            for writer in writers:
                writer.setup(wire)
        for _ in range(context.rounds):
            for writer in writers:
                writer.again(server.port)
            server.put(0, chance.getrandbits(31))
            if chance.random() < 0.5:
                server.rule(chance.choice((255, WRITE, SYNC, RENAME | SYNC_DIR)), kind=CUT, skip=chance.randrange(300), count=1)
            time.sleep(chance.uniform(0.05, 0.5))
            server.cut()
            for writer in writers:
                writer.join()
            server.start()
            with Wire(server.port, timeout=30) as wire:
                for writer in writers:
                    if writer.error:
                        raise writer.error
                    writer.check(wire)
            good += 1
    except Exception as error:
        server.owns_dir = False
        raise Wrong(f"power cut {good}: {type(error).__name__} {error}; store kept in {server.dir}") from error
    finally:
        server.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--layer", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=3, help="tests at a time: they mostly wait")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    context = Context(options)
    print("seed", options.seed, flush=True)
    tests = [(f"{options.rounds} power cuts at work", power_cut_rounds)] + TESTS
    tests = [test for test in tests if not options.words or any(word in test[0] for word in options.words)]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda test: run_one(context, *test), tests))
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed, 0 skipped")
    return 0 if results and all(results) else 1


def run_one(context, name, function):
    began = time.monotonic()
    try:
        function(context)
        print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
        return True
    except Exception as error:
        detail = str(error) if isinstance(error, Wrong) else traceback.format_exc(limit=-4)
        print(f"FAILED {name}: {type(error).__name__} {detail}", flush=True)
        return False


if __name__ == "__main__":
    sys.exit(main())
