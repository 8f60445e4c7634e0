"""Command line, files, signals, store directories."""
import glob, json, os, shutil, signal, socket, subprocess, tempfile, time
from run import test
from server import Server
from wire import Closed, Msg, Wire


def command(context, *args, env=None, name=None, timeout=20):
    binary = context.binary
    if name:
        folder = tempfile.mkdtemp(prefix="hw-name-")
        binary = os.path.join(folder, name)
        os.symlink(context.binary, binary)
    done = subprocess.run([binary, *args], capture_output=True, text=True, timeout=timeout, env=dict(os.environ, **(env or {})))
    return done.returncode, done.stdout, done.stderr


def checked(context, text, *args):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        code, out, err = command(context, "-t", "-c", file.name, *args)
        return code, (out + err).replace(file.name, "FILE")


@test()
def versions_under_both_names(context):
    assert command(context, "-v", name="nats-server")[1] == "nats-server: v2.15.1\n"
    assert command(context, "--version", name="nats-server")[1] == "nats-server: v2.15.1\n"
    assert command(context, "version", name="holdwater")[1].startswith("holdwater: v")


@test()
def help_and_unknown_flags(context):
    code, out, err = command(context, "--help")
    assert code == 0 and "--config" in out + err
    code, out, err = command(context, "-bogus")
    assert "flag provided but not defined: -bogus" in out + err


@test()
def a_good_file_is_valid_and_a_bad_one_says_where(context):
    code, text = checked(context, 'listen: "127.0.0.1:4222"\nmax_payload: 2MB\n')
    assert code == 0 and "configuration file FILE is valid (sha256:" in text, text
    code, text = checked(context, "listen: 4222\nbogus: 1\n")
    assert code == 1 and 'FILE:2:1: unknown field "bogus"' in text, text
    code, text = checked(context, "listen: {\n")
    assert code == 1 and "line" in text, text
    code, text = checked(context, "port: $NOPE_NOPE\n")
    assert code == 1 and "variable reference for 'NOPE_NOPE' on line 1 can not be found" in text, text
    for name in ("cluster { name: c, listen: 1 }", "gateway { name: g }", "mqtt { port: 1 }", "tls { cert_file: a, key_file: b }", "operator: x"):
        code, text = checked(context, name + "\n")
        assert code == 1 and name.split()[0].rstrip(":") in text, (name, text)


@test()
def a_broken_file_stops_before_the_store_is_touched(context):
    folder = tempfile.mkdtemp(prefix="hw-test-")
    path = f"{folder}/a.conf"
    with open(path, "w") as file:
        file.write(f'jetstream {{ store_dir: "{folder}/store" }}\nbogus: 1\n')
    assert command(context, "-c", path)[0] == 1
    assert not os.path.exists(f"{folder}/store")
    shutil.rmtree(folder)


@test()
def ports_and_pid_files_come_and_go(context):
    folder = tempfile.mkdtemp(prefix="hw-test-")
    with Server(context.binary, monitor=True, args=["-P", f"{folder}/pid"]) as server:
        with open(f"{folder}/pid") as file:
            assert int(file.read()) == server.process.pid
        ports = glob.glob(f"{server.dir}/*_{server.process.pid}.ports")
        assert len(ports) == 1 and "monitoring" in server.ports
        assert server.stop() == 0
        assert not os.path.exists(f"{folder}/pid") and not glob.glob(f"{server.dir}/*.ports")
    shutil.rmtree(folder)


@test()
def signals(context):
    with Server(context.binary, args=["-l", "/dev/null"]) as server:
        wire = Wire(server.port)
        wire.flush()
        assert command(context, "--signal", f"ldm={server.process.pid}")[0] == 0
        op = wire.take(lambda op: str(op).startswith("INFO") and '"ldm":true' in op)
        assert op
    with Server(context.binary) as server:
        server.signal(signal.SIGINT)
        assert server.process.wait(20) == 0


@test()
def a_reload_takes_what_it_can_and_refuses_the_rest(context):
    with Server(context.binary, conf="max_payload: 1000\n", jetstream=False) as server:
        wire = Wire(server.port)
        wire.flush()
        path = f"{server.dir}/server.conf"
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text.replace("max_payload: 1000", "max_payload: 5000"))
        server.signal(signal.SIGHUP)
        op = wire.take(lambda op: str(op).startswith("INFO") and '"max_payload":5000' in op)
        assert op, server.log_text()


@test()
def what_is_pending_is_delivered_before_a_shutdown(context):
    with Server(context.binary) as server:
        subscriber = Wire(server.port)
        subscriber.sub("d")
        subscriber.flush()
        publisher = Wire(server.port)
        for _ in range(100):
            publisher.pub("d", b"x" * 10000)
        publisher.flush()
        server.signal(signal.SIGTERM)
        ops = [op for op in subscriber.until_closed(20) if isinstance(op, Msg)]
        assert len(ops) == 100, len(ops)
        assert server.process.wait(20) == 0


@test()
def a_second_server_does_not_get_the_same_store(context):
    with Server(context.binary) as server:
        code, out, err = command(context, "-p", "-1", "-a", "127.0.0.1", "-js", "-sd", f"{server.dir}/store")
        assert code == 1 and "store" in (out + err).lower(), (code, out, err)


@test()
def a_store_in_a_file_is_refused_in_the_originals_words(context):
    with tempfile.NamedTemporaryFile() as file:
        code, out, err = command(context, "-p", "-1", "-a", "127.0.0.1", "-js", "-sd", file.name)
        assert code == 1 and "storage directory is not a directory" in out + err, (code, out, err)


@test()
def as_nats_server_the_default_store_is_temporary_and_private_when_taken(context):
    folder = tempfile.mkdtemp(prefix="hw-test-")
    binary = f"{folder}/nats-server"
    os.symlink(context.binary, binary)
    env = {"TMPDIR": f"{folder}/tmp"}
    os.mkdir(f"{folder}/tmp")
    one, two = Server(binary, jetstream=False, args=["-js"], env=env), Server(binary, jetstream=False, args=["-js"], env=env)
    with one, two:
        assert os.path.isdir(f"{folder}/tmp/nats/jetstream")
        for server in (one, two):
            with Wire(server.port) as wire:
                assert "error" not in wire.api("STREAM.CREATE.S", {"name": "S"})
        assert "[WRN]" in one.log_text()
    shutil.rmtree(folder)


@test()
def a_server_with_a_port_finds_its_temporary_store_again_though_another_has_the_default_one(context):
    folder = tempfile.mkdtemp(prefix="hw-test-")
    binary = f"{folder}/nats-server"
    os.symlink(context.binary, binary)
    env = {"TMPDIR": f"{folder}/tmp"}
    os.mkdir(f"{folder}/tmp")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    first = Server(binary, jetstream=False, args=["-js"], env=env)
    with first:
        with Server(binary, jetstream=False, args=["-js", "-p", port], env=env) as server:
            with Wire(server.port) as wire:
                assert "error" not in wire.api("STREAM.CREATE.S", {"name": "S"})
        with Server(binary, jetstream=False, args=["-js", "-p", port], env=env) as server:
            with Wire(server.port) as wire:
                assert wire.api("STREAM.INFO.S")["config"]["name"] == "S"
    with Server(binary, jetstream=False, args=["-js", "-p", port], env=env) as server:
        with Wire(server.port) as wire:
            assert wire.api("STREAM.INFO.S")["config"]["name"] == "S"
    shutil.rmtree(folder)


@test()
def a_store_that_is_let_go_is_waited_for(context):
    with Server(context.binary) as server:
        with Wire(server.port) as wire:
            assert "error" not in wire.api("STREAM.CREATE.S", {"name": "S"})
        server.process.send_signal(signal.SIGSTOP)
        heir = subprocess.Popen([context.binary, "-p", "-1", "-a", "127.0.0.1", "-js", "-sd", f"{server.dir}/store"], stderr=subprocess.PIPE, text=True)
        for line in heir.stderr:
            if "Starting JetStream" in line:
                break
        server.process.kill()
        for line in heir.stderr:
            if "Server is ready" in line or "FTL" in line:
                break
        heir.terminate()
        heir.stderr.close()
        assert heir.wait() in (0, 1) and "Server is ready" in line, line


@test()
def as_holdwater_the_default_store_is_persistent(context):
    folder = tempfile.mkdtemp(prefix="hw-test-")
    binary = f"{folder}/holdwater"
    os.symlink(context.binary, binary)
    env = {"XDG_DATA_HOME": f"{folder}/data", "TMPDIR": f"{folder}/tmp"}
    os.mkdir(f"{folder}/tmp")
    with Server(binary, jetstream=False, args=["-js"], env=env) as server:
        with Wire(server.port) as wire:
            assert "error" not in wire.api("STREAM.CREATE.S", {"name": "S"})
        assert glob.glob(f"{folder}/data/holdwater/**", recursive=True)
        assert not os.listdir(f"{folder}/tmp")
    shutil.rmtree(folder)


@test()
def a_store_of_something_else_is_refused_untouched(context):
    server = Server(context.binary)
    with server:
        with Wire(server.port) as wire:
            wire.api("STREAM.CREATE.S", {"name": "S"})
        store = f"{server.dir}/store"
        server.stop()
        supers = glob.glob(f"{store}/**/SUPER.*", recursive=True)
        assert len(supers) == 2
        for path in supers:
            with open(path, "r+b") as file:
                file.write(b"NOTOURS!" * 8)
        before = {p: os.path.getsize(p) for p in glob.glob(f"{store}/**", recursive=True) if os.path.isfile(p)}
        code, out, err = command(context, "-c", f"{server.dir}/server.conf")
        assert code == 1, (out, err)
        assert before == {p: os.path.getsize(p) for p in glob.glob(f"{store}/**", recursive=True) if os.path.isfile(p)}


@test(workers=(1, 4))
def everything_is_there_after_a_restart(context, conf):
    server = Server(context.binary, conf=conf)
    with server:
        with Wire(server.port) as wire:
            wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "metadata": {"k": "v"}})
            for i in range(50):
                wire.request("s." + str(i % 5), f"m{i}", {"Nats-Msg-Id": str(i)})
            wire.api("STREAM.MSG.DELETE.S", {"seq": 7})
            wire.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit", "ack_wait": 60_000_000_000}})
            inbox = wire.new_inbox()
            wire.pub("$JS.API.CONSUMER.MSG.NEXT.S.C", "5", inbox)
            got = [wire.take(lambda op: isinstance(op, Msg)) for _ in range(5)]
            wire.request(got[1].reply, "+ACK")
            before = wire.api("STREAM.INFO.S"), wire.api("CONSUMER.INFO.S.C")
        # The next start sees another number of workers too.
        assert server.stop() == 0
        server.conf = "workers: 2\n"
        server.start()
        with Wire(server.port) as wire:
            after = wire.api("STREAM.INFO.S"), wire.api("CONSUMER.INFO.S.C")
            assert before[0]["config"] == after[0]["config"] and before[0]["created"] == after[0]["created"]
            assert before[0]["state"] == after[0]["state"], (before[0]["state"], after[0]["state"])
            for key in ("num_ack_pending", "num_pending", "config", "created"):
                assert before[1][key] == after[1][key], key
            for key in ("delivered", "ack_floor"):
                assert before[1][key]["stream_seq"] == after[1][key]["stream_seq"], (key, before[1][key], after[1][key])
            assert b'"duplicate": true' in wire.request("s.0", "again", {"Nats-Msg-Id": "49"}).data


@test()
def a_stop_in_order_leaves_nothing_for_the_next_start_to_read(context):
    with Server(context.binary) as server:
        with Wire(server.port) as wire:
            wire.api("STREAM.CREATE.s", {"name": "s", "subjects": ["s.>"]})
            for i in range(100):
                wire.request("s.%d" % (i % 7), "x" * 100)
        server.stop()
        before = sorted(os.path.basename(path) for path in glob.glob(f"{server.dir}/**/checkpoint.*", recursive=True))
        assert before, "no checkpoint was made"
        server.start()
        server.stop()
        assert sorted(os.path.basename(path) for path in glob.glob(f"{server.dir}/**/checkpoint.*", recursive=True)) == before


@test()
def memory_streams_are_gone_after_a_restart(context):
    server = Server(context.binary)
    with server:
        with Wire(server.port) as wire:
            wire.api("STREAM.CREATE.M", {"name": "M", "storage": "memory"})
            wire.api("STREAM.CREATE.F", {"name": "F"})
        server.stop()
        server.start()
        with Wire(server.port) as wire:
            assert wire.api("STREAM.NAMES")["streams"] == ["F"]


@test(heavy=True)
def a_full_disk_refuses_writes_and_recovers_by_itself(context):
    folder = tempfile.mkdtemp(prefix="hw-full-")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", folder], capture_output=True).returncode:
        from run import Skip
        raise Skip("mounting a small file system needs root")
    try:
        with Server(context.binary, jetstream=False, conf=f'jetstream {{ store_dir: "{folder}/store" }}\n') as server:
            wire = Wire(server.port, timeout=30)
            assert "error" not in wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s"]})
            payload, acked, refused = b"x" * 900000, 0, None
            for _ in range(600):
                reply = json.loads(wire.request("s", payload).data)
                if "error" in reply:
                    refused = reply["error"]
                    break
                acked += 1
            assert refused and acked > 50, (acked, refused)
            assert wire.api("STREAM.INFO.S")["state"]["messages"] == acked
            assert wire.api("STREAM.MSG.DELETE.S", {"seq": 1}).get("success")
            assert wire.api("STREAM.PURGE.S").get("success")
            end = time.monotonic() + 30
            while "error" in json.loads(wire.request("s", b"small").data):
                assert time.monotonic() < end, "does not take writes again"
                time.sleep(0.2)
    finally:
        subprocess.run(["umount", folder], check=True)
        os.rmdir(folder)
