"""Large payloads that are equal are stored once: with real clients, over restarts, backups and damage."""
import json, os, random, subprocess, tempfile

from backup_tests import cli, command, serve, store_of
from extension_tests import play
from run import test
from scrub_tests import SYSTEM, find_in, flip, scrub, until
from server import Server
from wire import Wire

DATA = random.Random(5).randbytes(3 << 20)
BIG = b"<big>" + random.Random(6).randbytes(64 * 1024)


def chunks(server):
    return server.get("/jsz").get("hw_chunks", {})



async def put(nc, bucket, *names, data=DATA):
    store = await nc.jetstream().object_store(bucket)
    for name in names:
        await store.put(name, data)


async def holds(nc, bucket, *names):
    store = await nc.jetstream().object_store(bucket)
    for name in names:
        assert (await store.get(name)).data == DATA, name


async def create(nc, *buckets):
    for bucket in buckets:
        await nc.jetstream().create_object_store(bucket)


@test(workers=(1, 3))
def an_object_is_stored_once_whatever_its_names_and_buckets(context, conf):
    with Server(context.binary, SYSTEM + conf, monitor=True, jetstream=" checkpoint_bytes: 1M\n") as server:
        play(create, server, "a", "b")
        play(put, server, "a", "one")
        once = chunks(server)
        assert once["bytes"] == once["stored_bytes"] and once["stored_bytes"] > len(DATA) - 32 * 1024 and once["messages"] == once["chunks"] == 24, once
        play(put, server, "a", "one", "two", "three"), play(put, server, "b", "one", "two")
        many = chunks(server)
        assert many["stored_bytes"] == once["stored_bytes"] and many["bytes"] == 5 * once["bytes"], many
        server.kill()
        server.start()
        assert chunks(server) == many
        play(holds, server, "a", "one", "two", "three"), play(holds, server, "b", "one", "two")
        with Wire(server.port) as wire:
            assert wire.api("STREAM.DELETE.OBJ_a")["success"]
            play(holds, server, "b", "one", "two")
            info = wire.api("STREAM.INFO.OBJ_b", {"hw_chunks": True})
            assert info["hw_chunks"] == {"messages": 48, "bytes": 2 * once["bytes"]}, info
            assert "hw_chunks" not in wire.api("STREAM.INFO.OBJ_b")
        server.stop()
        server.start()
        play(holds, server, "b", "one", "two")


@test()
def objects_go_through_backups_of_stores_and_of_streams(context):
    with tempfile.TemporaryDirectory() as folder, Server(context.binary, monitor=True, jetstream=" checkpoint_bytes: 1M\n") as server:
        play(create, server, "a"), play(put, server, "a", "one", "two")
        command(context, "backup", store_of(server), folder + "/target")
        command(context, "restore", folder + "/target", folder + "/again/jetstream")
        assert command(context, "check-store", folder + "/again/jetstream")["whole"]
        with serve(context, folder + "/again") as other:
            play(holds, other, "a", "one", "two")
        nats = [cli(), "-s", server.url]
        subprocess.run([*nats, "stream", "backup", "OBJ_a", folder + "/archive"], check=True, capture_output=True)
        with Wire(server.port) as wire:
            assert wire.api("STREAM.DELETE.OBJ_a")["success"]
        subprocess.run([*nats, "stream", "restore", folder + "/archive"], check=True, capture_output=True)
        play(holds, server, "a", "one", "two")
        name = folder + "/file"
        with open(name, "wb") as file:
            file.write(DATA)
        subprocess.run([*nats, "object", "put", "a", name, "--name", "cli", "--force"], check=True, capture_output=True)
        subprocess.run([*nats, "object", "get", "a", "cli", "-O", name + ".got", "--force"], check=True, capture_output=True)
        with open(name + ".got", "rb") as file:
            assert file.read() == DATA
        play(holds, server, "a", "cli")


@test(workers=(1, 3))
def mirrors_sources_and_restored_streams_share_what_they_have(context, conf):
    with tempfile.TemporaryDirectory() as folder, Server(context.binary, SYSTEM + conf, monitor=True, jetstream=" checkpoint_bytes: 1M\n") as server:
        play(create, server, "a"), play(put, server, "a", "one", "two")
        once = chunks(server)
        with Wire(server.port) as wire:
            wire.api("STREAM.CREATE.M", {"name": "M", "mirror": {"name": "OBJ_a"}, "allow_direct": True})
            wire.api("STREAM.CREATE.N", {"name": "N", "sources": [{"name": "OBJ_a"}], "allow_direct": True})
            first = wire.api("STREAM.INFO.OBJ_a")["state"]
            for name in ("M", "N"):
                until(lambda: wire.api(f"STREAM.INFO.{name}")["state"]["messages"] == first["messages"], name)
            for turn in range(2):
                figures = chunks(server)
                assert figures["stored_bytes"] == once["stored_bytes"] and figures["bytes"] == 3 * once["bytes"], figures
                assert wire.api("STREAM.INFO.M")["state"]["bytes"] == first["bytes"]
                for seq in range(first["first_seq"], first["last_seq"] + 1):
                    want, *got = (wire.request(f"$JS.API.DIRECT.GET.{name}", json.dumps({"seq": seq})) for name in ("OBJ_a", "M", "N"))
                    assert all(one.data == want.data for one in got), seq
                if turn == 0:
                    server.kill()
                    server.start()
                    wire = Wire(server.port)
        nats = [cli(), "-s", server.url]
        subprocess.run([*nats, "stream", "backup", "OBJ_a", folder + "/archive"], check=True, capture_output=True)
        with Wire(server.port) as wire:
            assert wire.api("STREAM.DELETE.OBJ_a")["success"]
        before = chunks(server)
        subprocess.run([*nats, "stream", "restore", folder + "/archive"], check=True, capture_output=True)
        play(holds, server, "a", "one", "two")
        after = chunks(server)
        assert after["stored_bytes"] == before["stored_bytes"] and after["bytes"] == 3 * once["bytes"], (before, after)


@test(workers=(1, 2))
def a_damaged_chunk_is_told_and_its_content_is_stored_anew(context, conf):
    with Server(context.binary, SYSTEM + conf, monitor=True, jetstream=" scrub: off\n") as server:
        with Wire(server.port) as wire:
            for name in ("S", "T"):
                wire.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], "allow_direct": True})
            for subject in ("S.a", "T.a", "S.b"):
                wire.request(subject, BIG)
            for _ in range(400):
                wire.pub("S.fill", os.urandom(20_000))
            wire.request("S.end", "end")
            log = f"{server.dir}/store/jetstream/log/1.log"
            flip(log, find_in(log, b"<big>") + 1000)
            assert scrub(server)["damages"] == 1
            for name, seq in (("S", 1), ("T", 1), ("S", 2)):
                assert wire.request(f"$JS.API.DIRECT.GET.{name}", json.dumps({"seq": seq})).headers.startswith("NATS/1.0 500"), (name, seq)
            assert wire.request("$JS.API.DIRECT.GET.S", '{"seq":3}').headers.startswith("NATS/1.0\r\n")
            assert chunks(server)["damaged"] == 1
            assert wire.api("STREAM.INFO.S")["state"]["lost"]["msgs"] == [1, 2]
            before = chunks(server)["chunks"]
            wire.request("T.b", BIG)
            wire.request("S.b", BIG)
            assert chunks(server)["damaged"] == 1 and chunks(server)["chunks"] == before + 1
            last = wire.api("STREAM.INFO.S")["state"]["last_seq"]
            for name, seq in (("T", 2), ("S", last)):
                assert wire.request(f"$JS.API.DIRECT.GET.{name}", json.dumps({"seq": seq})).data == BIG, (name, seq)
            assert wire.api("STREAM.INFO.S")["state"]["lost"]["msgs"] == [1, 2]
        server.kill()
        server.start()
        with Wire(server.port) as wire:
            for name, seq in (("T", 2), ("S", last)):
                assert wire.request(f"$JS.API.DIRECT.GET.{name}", json.dumps({"seq": seq})).data == BIG, (name, seq)
            for name, seq in (("S", 1), ("T", 1), ("S", 2)):
                assert wire.request(f"$JS.API.DIRECT.GET.{name}", json.dumps({"seq": seq})).headers.startswith("NATS/1.0 500"), (name, seq)


@test(workers=(1, 2))
def payloads_in_a_row_keep_their_order_and_are_stored_once(context, conf):
    """All at once, most of them on their way already when their like comes; after a start, when nothing is in memory, again."""
    pool = [random.Random(n).randbytes(100_000) for n in range(7)]
    order = [random.Random(1).randrange(7) for _ in range(60)]
    with Server(context.binary, conf, monitor=True) as server:
        for turn in range(3):
            with Wire(server.port) as wire:
                if turn == 0:
                    wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "allow_direct": True})
                for place, n in enumerate(order):
                    wire.pub(f"s.{turn}.{place}", pool[n])
                    wire.pub(f"s.{turn}.{place}.small", str(place))
                assert json.loads(wire.request("s.end", "end").data)["seq"] == (turn + 1) * 121
                for place, n in enumerate(order):
                    for offset, subject, data in ((1, f"s.{turn}.{place}", pool[n]), (2, f"s.{turn}.{place}.small", str(place).encode())):
                        got = wire.request("$JS.API.DIRECT.GET.S", json.dumps({"seq": turn * 121 + 2 * place + offset}))
                        assert got.data == data and f"Nats-Subject: {subject}\r\n" in got.headers, (turn, place, offset)
            assert chunks(server)["chunks"] == len(set(order)) and chunks(server)["messages"] == (turn + 1) * 60, chunks(server)
            server.kill()
            server.start()


@test()
def accounts_do_not_share_and_may_switch_it_off(context):
    conf = ("accounts { A { jetstream: enabled, users: [ {user: a, password: p} ] }, B { jetstream: enabled, users: [ {user: b, password: p} ] },\n"
            "  C { jetstream { dedup: off }, users: [ {user: c, password: p} ] } }\n")
    with Server(context.binary, conf, monitor=True) as server:
        for count, user in ((1, "a"), (2, "b"), (2, "c")):
            with Wire(server.port, {"user": user, "pass": "p"}) as wire:
                wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
                for _ in range(3):
                    wire.request("s.x", BIG)
                wire.api("STREAM.CREATE.O", {"name": "O", "subjects": ["o.>"], "metadata": {"_holdwater.dedup": "off"}})
                wire.request("o.x", BIG)
                assert wire.api("STREAM.INFO.S")["state"]["messages"] == 3
            assert chunks(server)["chunks"] == count, (user, chunks(server))
            assert chunks(server)["messages"] == 3 * count
