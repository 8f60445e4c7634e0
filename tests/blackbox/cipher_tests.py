"""Encryption at rest: keys at a start and at a reload, what stands on disk, tools without and with the key."""
import glob, hashlib, json, os, re, shutil, signal, subprocess

from run import test
from server import Server
from wire import Wire

MARKER = b"MARKER-of-what-nobody-may-read"


def block(key=None, before=None, cipher=None):
    lines = [("key", key), ("prev_key", before), ("cipher", cipher)]
    return " checkpoint_bytes: 200000\n" + "".join(f' {name}: "{value}"\n' for name, value in lines if value)


def content(store):
    return {path: hashlib.sha256(open(path, "rb").read()).hexdigest() for path in glob.glob(store + "/**", recursive=True) if os.path.isfile(path)}


def has_marker(store):
    return [path for path in glob.glob(store + "/**", recursive=True) if os.path.isfile(path) and b"MARKER" in open(path, "rb").read()]


def plain_bytes(store):
    """Where something readable stands, and what. A log segment that is used again has another name, but is the same file."""
    found = set()
    for path in has_marker(store):
        with open(path, "rb") as file:
            file_id, data = os.fstat(file.fileno()).st_ino, file.read()
        found |= {(file_id, at.start(), data[at.start() : at.start() + 40]) for at in re.finditer(b"MARKER", data)}
    return found


def put(server, count, first=0):
    with Wire(server.port, timeout=60) as wire:
        if first == 0:
            wire.api("STREAM.CREATE.KV_B", {"name": "KV_B", "description": "MARKER", "subjects": ["$KV.B.>"], "max_msgs_per_subject": 1, "allow_rollup_hdrs": True, "deny_delete": True, "allow_direct": True, "num_replicas": 1})
        for i in range(first, first + count):
            reply = json.loads(wire.request(f"$KV.B.MARKER{i}", MARKER + b" %d" % i, {"MARKER-Header": "MARKER"}).data)
            assert reply.get("seq") == i + 1, reply


def get(server, count):
    with Wire(server.port, timeout=60) as wire:
        state = wire.api("STREAM.INFO.KV_B", {})["state"]
        assert state["messages"] == count, state
        for i in range(0, count, 7):
            message = wire.request("$JS.API.DIRECT.GET.KV_B", json.dumps({"last_by_subj": f"$KV.B.MARKER{i}"}))
            assert message.data == MARKER + b" %d" % i, (i, message.data)


def refused(server, jetstream, why):
    store = f"{server.dir}/store"
    before = content(store)
    server.jetstream = jetstream
    try:
        server.start()
    except RuntimeError:
        text = server.log_text()
        assert server.process.wait(timeout=10) == 1 and why in text.splitlines()[-1], text[-500:]
        assert content(store) == before, "the store was touched"
        return
    raise AssertionError("it started")


def again(server, jetstream):
    server.jetstream = jetstream
    server.start()


@test()
def an_encrypted_store_shows_nothing_and_opens_with_its_key_only(context):
    for cipher, name in (("aes", "AES-GCM"), ("ChachaPoly", "ChaCha20-Poly1305"), (None, "ChaCha20-Poly1305")):
        with Server(context.binary, jetstream=block("sesame", cipher=cipher), wait=10) as server:
            put(server, 1200)
            store = f"{server.dir}/store"
            assert f"Encryption:      {name}" in server.log_text(), server.log_text()
            server.kill()
            server.start()
            get(server, 1200)
            put(server, 300, 1200)
            server.stop()
            assert glob.glob(store + "/jetstream/checkpoint.*") and glob.glob(store + "/jetstream/idx/*.run")
            assert has_marker(store) == []
            refused(server, block("sesame2", cipher=cipher), "it is encrypted, and not with the key that is given")
            refused(server, block("sesame2", "sesame3", cipher=cipher), "it is encrypted, and not with the key that is given")
            refused(server, block(), "it is encrypted, and no key is given")
            refused(server, block(before="sesame"), "it is encrypted, and no key is given")
            again(server, block("sesame", cipher=cipher))
            get(server, 1500)
            assert "sesame" not in server.log_text()


@test()
def a_plain_store_goes_on_encrypted_and_stays_readable(context):
    with Server(context.binary, jetstream=block()) as server:
        put(server, 300)
        server.stop()
        store = f"{server.dir}/store"
        old = plain_bytes(store)
        assert old
        again(server, block("one"))
        put(server, 900, 300)
        get(server, 1200)
        server.stop()
        new = plain_bytes(store) - old
        assert not new, f"something new is plain: {has_marker(store)} {sorted(new)[:5]}"
        again(server, block("one"))
        get(server, 1200)
        server.stop()
        refused(server, block(), "it is encrypted, and no key is given")


@test()
def a_key_is_changed_at_a_start_and_at_a_reload(context):
    with Server(context.binary, jetstream=block("one"), wait=10) as server:
        put(server, 100)
        server.stop()
        log = f"{server.dir}/store/jetstream/log/1.log"
        before = open(log, "rb").read()
        again(server, block("two", "one"))
        get(server, 100)
        server.stop()
        after = open(log, "rb").read()  # the start gives back what was not written of it
        assert after and before.startswith(after) and not before[len(after) :].strip(b"\0"), "the log was rewritten"
        again(server, block("two"))

        def reload(jetstream, line):
            count = server.log_text().count(line)
            with open(f"{server.dir}/server.conf", "r+") as file:
                text = file.read()
                start, end = text.index("checkpoint_bytes") - 1, text.index("}", text.index("jetstream {"))
                file.seek(0)
                file.truncate()
                file.write(text[:start] + jetstream + text[end:])
            server.signal(signal.SIGHUP)
            with Wire(server.port, timeout=60) as wire:
                for _ in range(2000):
                    wire.api("INFO", {})
                    if server.log_text().count(line) > count:
                        return
            raise AssertionError(server.log_text()[-1000:])

        reload(block("three", "wrong"), "config reload not supported for JetStreamKey: prev_key is not the key in use")
        reload(block(), "config reload not supported for JetStreamKey: a store keeps its key")
        reload(block("two", cipher="aes"), "config reload not supported for JetStreamCipher: old=ChaCha20-Poly1305, new=AES-GCM")
        reload(block("three", "two"), "Encryption key changed")
        put(server, 50, 100)
        server.kill()
        refused(server, block("two"), "it is encrypted, and not with the key that is given")
        again(server, block("three"))
        get(server, 150)


@test()
def tools_verify_without_the_key_and_look_into_records_with_it(context):
    def run(*words, key=None):
        env = {name: value for name, value in os.environ.items() if name != "HOLDWATER_KEY"}
        if key:
            env["HOLDWATER_KEY"] = key
        done = subprocess.run([context.binary, *words], capture_output=True, text=True, timeout=60, env=env)
        return done.returncode, done.stdout + done.stderr

    with Server(context.binary, jetstream=block("one")) as server:
        put(server, 700)
        with Wire(server.port) as wire:
            time = wire.api("STREAM.MSG.GET.KV_B", {"seq": 400})["message"]["time"]
        server.stop()
        store, target, copy, key_file = (f"{server.dir}/{name}" for name in ("store/jetstream", "backup", "copy", "key"))
        code, text = run("check-store", store)
        assert code == 0 and "could not be looked into" in text and text.endswith("whole\n"), text
        code, text = run("check-store", store, "--json")
        assert code == 0 and json.loads(text)["locked"] and json.loads(text)["records"] > 700, text
        code, text = run("check-store", store, key="one")
        assert code == 0 and "could not" not in text and text.endswith("whole\n"), text
        code, text = run("check-store", store, key="two")
        assert code == 2 and "the key is not the store's" in text, text
        code, text = run("backup", store, target)
        assert code == 0 and not has_marker(target), text
        code, text = run("restore", target, copy)
        assert code == 0 and content(copy + "/log"), text
        shutil.rmtree(copy)
        code, text = run("restore", target, copy, "--at", time)
        assert code == 2 and "--key-file" in text and "HOLDWATER_KEY" in text, text
        shutil.rmtree(copy, ignore_errors=True)
        with open(key_file, "w") as file:
            file.write("one\n")
        code, text = run("restore", target, copy, "--at", time, "--key-file", key_file)
        assert code == 0, text
        code, text = run("check-store", copy, "--key-file", key_file)
        assert code == 0 and text.endswith("whole\n"), text
        shutil.rmtree(store)
        shutil.move(copy, store)
        again(server, block("one"))
        get(server, 400)
        put(server, 10, 400)
        get(server, 410)


@test()
def what_is_no_cipher_and_no_key_is_refused(context):
    for line, error in (('cipher: "AES-GCM", key: a', 'Unknown cipher type: "AES-GCM"'), ("key: 5", "interface conversion: interface {} is int64, not string")):
        server = Server(context.binary, jetstream=f" {line}\n", wait=10)
        try:
            server.start()
            raise AssertionError("it started")
        except RuntimeError as why:
            assert error in str(why), why
        finally:
            server.close()
    with Server(context.binary, jetstream=' key: ""\n prev_key: old\n') as server:
        assert "Encryption" not in server.log_text()
