"""While a large store is read at the start: /healthz says so, clients wait at the door and are let in, signals are heeded."""
import json, os, re, signal, socket, subprocess, threading, time, urllib.error, urllib.request

from run import test
from scrub_tests import until
from server import Server
from wire import Wire

MESSAGES = 500_000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fill(server):
    with Wire(server.port, timeout=60) as wire:
        wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
        wire.sub("_R")
        for i in range(0, MESSAGES, 1000):
            wire.send(b"".join(b"PUB s.%d 40\r\n%040d\r\n" % (k % 100, k) for k in range(i, i + 1000)))
            if i % 10_000 == 9000:
                wire.api("STREAM.INFO.S")
        until(lambda: wire.api("STREAM.INFO.S")["state"]["messages"] == MESSAGES, "the messages", 60)


def health(port, query=""):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz{query}", timeout=5) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except (OSError, ValueError):
        return 0, {}


def launch(context, server, port, monitor):
    conf = f"{server.dir}/again.conf"
    with open(conf, "w") as file:
        file.write('listen: "127.0.0.1:%d"\nhttp: "127.0.0.1:%d"\njetstream { store_dir: "%s/store", checkpoint_bytes: 4G }\n' % (port, monitor, server.dir))
    log = open(f"{server.dir}/again.log", "ab")
    process = subprocess.Popen([context.binary, "-c", conf], stdout=log, stderr=log)
    log.close()
    return process


@test(heavy=True)
def a_server_that_recovers_answers_healthz_and_lets_clients_wait(context):
    with Server(context.binary, jetstream=" checkpoint_bytes: 4G\n") as server:
        fill(server)
        server.kill()
        port, monitor = free_port(), free_port()
        process = launch(context, server, port, monitor)
        try:
            greeted = {}

            def connect():
                """In the first moment in which somebody listens."""
                while "at" not in greeted:
                    try:
                        with socket.create_connection(("127.0.0.1", port), 5) as client:
                            greeted["from"] = time.monotonic()
                            client.settimeout(30)
                            greeted["line"] = client.recv(4)
                            greeted["at"] = time.monotonic()
                    except ConnectionRefusedError:
                        time.sleep(0.001)

            def page(path):
                with urllib.request.urlopen(f"http://127.0.0.1:{monitor}{path}", timeout=60) as response:
                    return json.loads(response.read())
            client = threading.Thread(target=connect)
            client.start()
            until(lambda: health(monitor)[0], "the first answer")
            first = health(monitor)
            detailed = health(monitor, "?details=1&js-enabled-only=1")
            assert first[0] == 503 and first[1]["status"] == "unavailable" and first[1]["error"].startswith("JetStream is recovering: "), first
            assert detailed[0] == 503 and detailed[1]["errors"][0]["type"] == "JETSTREAM" and detailed[1]["status_code"] == 503, detailed
            until(lambda: "; 1 stream is not ready: '$G > S'" in health(monitor)[1].get("error", ""), "the name of the stream")
            of_stream, detailed = health(monitor, "?account=$G&stream=S"), health(monitor, "?details=1")
            assert of_stream[0] == 503 and of_stream[1]["error"].startswith('JetStream stream "S" on account "$G" is recovering: '), of_stream
            assert [e["type"] for e in detailed[1]["errors"]] == ["JETSTREAM", "STREAM"] and detailed[1]["errors"][1]["stream"] == "S", detailed
            assert page("/jsz")["hw_recovering"]["streams_not_ready"] == 1
            assert page("/varz")["connections"] == 0
            with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/metrics", timeout=60) as response:
                text = response.read().decode()
            assert re.search(r"^holdwater_streams_not_ready{.*} 1$", text, re.M) and re.search(r"^gnatsd_healthz_status{.*} 1$", text, re.M), text
            assert health(monitor)[0] == 503  # those were answered meanwhile
            until(lambda: health(monitor)[0] == 200, "the end of the recovery", 60)
            assert page("/jsz")["messages"] == MESSAGES
            assert health(monitor) == (200, {"status": "ok"})
            client.join(30)
            assert greeted["line"] == b"INFO" and greeted["at"] - greeted["from"] > 0.01, greeted
            with Wire(port) as wire:
                assert wire.api("STREAM.INFO.S")["state"]["messages"] == MESSAGES
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


@test(heavy=True)
def a_server_that_recovers_can_be_stopped_and_keeps_everything(context):
    with Server(context.binary, jetstream=" checkpoint_bytes: 4G\n") as server:
        fill(server)
        server.kill()
        port, monitor = free_port(), free_port()
        process = launch(context, server, port, monitor)
        try:
            until(lambda: health(monitor)[0] == 503, "the first answer")
            waiting = socket.create_connection(("127.0.0.1", port), 5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            waiting.close()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        server.start()
        with Wire(server.port) as wire:
            assert wire.api("STREAM.INFO.S")["state"]["messages"] == MESSAGES
