"""HTTP monitoring: the fields that tools read."""
import json, re, socket, urllib.error, urllib.request
from run import test
from server import Server
from wire import Wire


@test(workers=(1, 4))
def pages(context, conf):
    with Server(context.binary, conf=conf, monitor=True) as server:
        with Wire(server.port) as wire, Wire(server.port) as second:
            wire.sub("a.b"), wire.sub("jobs", "q"), wire.flush(), second.flush()
            wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]}), wire.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C"}})
            wire.request("s.x", "hello")
            assert server.get("/healthz") == {"status": "ok"}
            varz = server.get("/varz")
            for key in ("server_id", "server_name", "version", "proto", "go", "host", "port", "max_connections", "ping_interval", "max_payload", "max_pending", "jetstream", "start", "now", "uptime", "mem", "cores", "cpu",
                        "connections", "total_connections", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "slow_consumers", "subscriptions", "http_req_stats", "config_load_time", "config_digest", "system_account", "slow_consumer_stats"):
                assert key in varz, key
            assert varz["version"] == "2.15.1" and varz["connections"] == 2 and varz["jetstream"]["stats"]["api"]["level"] == 5
            connz = server.get("/connz?subs=detail&sort=subs&auth=1")
            assert connz["num_connections"] == 2 and connz["connections"][0]["subscriptions"] == 3, connz
            assert {s["subject"] for s in connz["connections"][0]["subscriptions_list_detail"]} >= {"a.b", "jobs"}
            cid = connz["connections"][1]["cid"]
            assert server.get(f"/connz?cid={cid}")["num_connections"] == 1
            assert server.get("/connz?limit=1&offset=1")["num_connections"] == 1
            subsz = server.get("/subsz?subs=1&test=a.b")
            assert subsz["total"] == 1 and subsz["subscriptions_list"][0]["subject"] == "a.b", subsz
            jsz = server.get("/jsz?streams=1&consumers=1&config=1")
            assert jsz["streams"] == 1 and jsz["consumers"] == 1 and jsz["messages"] == 1
            stream = jsz["account_details"][0]["stream_detail"][0]
            assert stream["name"] == "S" and stream["state"]["messages"] == 1 and stream["consumer_detail"][0]["name"] == "C"
            assert server.get("/healthz?account=$G&stream=S&consumer=C") == {"status": "ok"}
            for path, code in (("/connz?limit=x", 400), ("/connz?sort=foo", 400), ("/nope", 404), ("/healthz?account=$G&stream=X", 404), ("/healthz?stream=X", 400)):
                try:
                    urllib.request.urlopen(server.monitor + path, timeout=10)
                    raise AssertionError(path)
                except urllib.error.HTTPError as error:
                    assert error.code == code, (path, error.code)
        end = 100
        while server.get("/connz?state=closed")["total"] < 2 and end:
            end -= 1
        closed = server.get("/connz?state=closed")
        assert {c["reason"] for c in closed["connections"]} == {"Client Closed"}


def metrics(server, query=""):
    """{(name, labels): value}; as strict as who reads it: each family once, its samples right behind it."""
    with urllib.request.urlopen(f"{server.monitor}/metrics{query}", timeout=10) as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", response.headers
        text = response.read().decode()
    assert text.endswith("\n") and "\n\n" not in text
    found, families, family = {}, set(), None
    for line in text.splitlines():
        if line.startswith("#"):
            word, name = line.split(" ")[1:3]
            assert word in ("HELP", "TYPE") and (name == family) == (word == "TYPE"), line
            if word == "HELP":
                assert name not in families, name
                families.add(name)
                family = name
            continue
        match = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? ([0-9.e+-]+|\+Inf)', line)
        assert match and match[1] in (family, family + "_bucket", family + "_sum", family + "_count"), (family, line)
        labels = tuple(sorted(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or "")))
        assert (match[1], labels) not in found, line
        found[match[1], labels] = float(match[3])
    return found


@test(workers=(1, 2))
def metrics_that_prometheus_reads(context, conf):
    with Server(context.binary, conf=conf, monitor=True) as server, Wire(server.port) as wire:
        for name in "ST":
            wire.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], "max_msgs": 100})
        wire.api("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit", "description": 'a "b" \\'}})
        for i in range(5):
            wire.request(f"S.{i}", "hello")
        wire.request("$JS.API.CONSUMER.MSG.NEXT.S.C", b"1")
        found = metrics(server, "?consumers=1")

        def of(name, **labels):
            values = [v for (n, have), v in found.items() if n == name and set(labels.items()) <= set(have)]
            assert len(values) == 1, (name, labels, values)
            return values[0]
        assert of("jetstream_stream_total_messages", stream_name="S", account="$G", is_stream_leader="true") == 5
        assert of("jetstream_stream_total_messages", stream_name="T") == 0 and of("jetstream_stream_limit_messages", stream_name="T") == 100
        assert of("jetstream_stream_subject_count", stream_name="S") == 5 and of("jetstream_stream_consumer_count", stream_name="S") == 1
        assert of("jetstream_consumer_num_pending", stream_name="S", consumer_name="C", consumer_desc='a \\"b\\" \\\\') == 4
        assert of("jetstream_consumer_num_ack_pending", consumer_name="C") == 1 and of("jetstream_consumer_delivered_stream_seq", consumer_name="C") == 1
        assert of("jetstream_server_total_streams") == 2 and of("jetstream_server_total_messages") == 5
        assert of("gnatsd_varz_connections") == 1 and of("gnatsd_varz_in_msgs") > 5 and of("gnatsd_healthz_status") == 0
        assert of("holdwater_log_commits_total") >= 5 and of("holdwater_log_segments") == 1 and of("holdwater_log_live_bytes") > 0
        assert of("holdwater_log_sync_seconds_count") == of("holdwater_log_sync_seconds_bucket", le="+Inf") >= 5
        assert of("holdwater_store_disk_bytes") > of("holdwater_log_bytes") > 0 and of("holdwater_log_failed") == 0
        names = {name for name, _ in metrics(server)}
        assert "jetstream_stream_last_seq" in names and "jetstream_consumer_num_pending" not in names
        assert "jetstream_stream_last_seq" not in {name for name, _ in metrics(server, "?streams=0")}
    with Server(context.binary, conf=conf, monitor=True, jetstream=False) as server:
        found = {name: value for (name, _), value in metrics(server).items()}
        assert found["jetstream_server_jetstream_disabled"] == 1 and not any(name.startswith("holdwater") for name in found)


@test()
def pipelined_and_malformed_http(context):
    with Server(context.binary, monitor=True, jetstream=False) as server:
        port = int(server.monitor.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            data = b""
            while chunk := s.recv(65536):
                data += chunk
        assert data.count(b'{"status":"ok"}') == 2, data
        for bad in (b"garbage\r\n\r\n", b"POST /varz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                s.sendall(bad)
                assert s.recv(65536).startswith(b"HTTP/1.1 4"), bad[:20]
        assert server.get("/healthz") == {"status": "ok"}


@test(workers=(1, 4))
def the_system_account_asks_services(context, conf):
    conf += "server_name: one\naccounts { SYS { users: [ { user: sys, password: pw } ] }, APP { jetstream: enabled, users: [ { user: app, password: pw } ] } }\nsystem_account: SYS\n"
    with Server(context.binary, conf=conf, monitor=True) as server:
        with Wire(server.port, {"user": "app", "pass": "pw"}) as app, Wire(server.port, {"user": "sys", "pass": "pw"}) as wire:
            app.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})

            def ask(subject, body=""):
                return json.loads(wire.request("$SYS.REQ." + subject, body).data)

            ping = ask("SERVER.PING")
            assert ping["server"]["name"] == "one" and ping["server"]["jetstream"] and ping["statsz"]["connections"] == 2, ping
            assert ping["statsz"]["active_accounts"] == 2
            name = ping["server"]["id"]
            assert ask("SERVER.PING.IDZ")["id"] == name
            assert ask(f"SERVER.{name}.VARZ")["data"]["server_id"] == name
            assert ask("SERVER.PING.HEALTHZ")["data"] == {"status": "ok", "status_code": 200}
            assert ask("SERVER.PING.HEALTHZ", '{"account":"APP","stream":"X"}')["data"]["status_code"] == 404
            assert [c["account"] for c in ask("SERVER.PING.CONNZ", '{"auth":true,"acc":"APP"}')["data"]["connections"]] == ["APP"]
            assert ask("SERVER.PING.SUBSZ", '{"subscriptions":true,"test":"$SYS.REQ.SERVER.PING"}')["data"]["total"] == 1
            assert ask("SERVER.PING.JSZ", '{"streams":true,"account":"APP"}')["data"]["account_details"][0]["stream_detail"][0]["name"] == "S"
            assert ask("ACCOUNT.APP.INFO")["data"]["jetstream_enabled"]
            assert ask("ACCOUNT.APP.STATZ")["data"]["account_statz"][0]["conns"] == 1
            for path, body in (("SERVER.PING.CONNZ", "{"), ("SERVER.PING.CONNZ", '{"limit":"x"}'), ("SERVER.PING.CONNZ", '{"sort":"x"}')):
                assert ask(path, body)["error"]["code"] == 400
            for key, path in (("num_routes", "/routez"), ("inbound_gateways", "/gatewayz"), ("leafs", "/leafz"), ("account_statz", "/accstatz?unused=1"), ("memstats", "/debug/vars")):
                assert key in server.get(path)
