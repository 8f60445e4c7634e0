"""HTTP monitoring: the fields that tools read."""
import json, socket, urllib.error, urllib.request
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
