"""WebSockets: the same protocol in frames, with and without compression, and who may come in."""
import base64, os, re, socket, subprocess, zlib
from run import test
from server import Server
from wire import Closed, Wire


class WebWire(Wire):
    """A Wire whose bytes travel in frames, as a browser sends them."""

    def __init__(self, port, connect={}, headers="", masks=True, deflates=False, step=1 << 16):
        self.masks, self.deflates, self.step = masks, deflates, step
        self.raw, self.plain, self.handshake, self.pongs, self.close_code = b"", b"", b"", [], None
        self.inflated = 0
        real = socket.create_connection(("127.0.0.1", port), 10)
        key = base64.b64encode(os.urandom(16)).decode()
        more = headers + ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if deflates else "") + ("" if masks else "Nats-No-Masking: true\r\n")
        real.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n".encode())
        while b"\r\n\r\n" not in self.raw:
            data = real.recv(1 << 16)
            if not data:
                break
            self.raw += data
        self.handshake, self.raw = self.raw.split(b"\r\n\r\n", 1)
        self.real = real
        if b" 101 " not in self.handshake:
            real.close()
            raise Closed(self.handshake.decode())
        create, socket.create_connection = socket.create_connection, lambda *_: self  # Wire talks to us as to its socket
        try:
            super().__init__(port, connect)
        finally:
            socket.create_connection = create

    def _fill(self, end):
        if data := self.payload():
            self.buffer += data
        else:
            super()._fill(end)

    # What Wire asks of a socket.
    def setsockopt(self, *_):
        pass

    def fileno(self):
        return self.real.fileno()

    def close(self):
        self.real.close()

    def frame(self, payload, opcode=2, final=True, rsv=0):
        head = bytes([final << 7 | rsv << 4 | opcode])
        bit = 128 if self.masks else 0
        n = len(payload)
        head += bytes([bit | n]) if n < 126 else bytes([bit | 126]) + n.to_bytes(2, "big") if n < 65536 else bytes([bit | 127]) + n.to_bytes(8, "big")
        if self.masks:
            mask = os.urandom(4)
            payload = (int.from_bytes(payload, "little") ^ int.from_bytes((mask * (n // 4 + 1))[:n], "little")).to_bytes(n, "little")
            head += mask
        self.real.sendall(head + payload)

    def sendall(self, data):
        if self.deflates:
            squeeze = zlib.compressobj(wbits=-15)
            small = squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH)
            self.frame(small[:-4], rsv=4)
            return
        for at in range(0, len(data), self.step):
            self.frame(data[at:at + self.step], opcode=0 if at else 2, final=at + self.step >= len(data))

    def take_frame(self):
        """(opcode, rsv, payload), or None when it is not all there."""
        if len(self.raw) < 2:
            return None
        assert self.raw[1] < 128 and self.raw[0] & 128, "a server neither masks nor fragments"
        n, at = self.raw[1], 2
        if n == 126:
            n, at = int.from_bytes(self.raw[2:4], "big"), 4
        elif n == 127:
            n, at = int.from_bytes(self.raw[2:10], "big"), 10
        if len(self.raw) < at + n:
            return None
        frame = self.raw[0] & 15, self.raw[0] >> 4 & 7, self.raw[at:at + n]
        self.raw = self.raw[at + n:]
        return frame

    def payload(self):
        """Of the next frame that carries any, as far as they have come."""
        while frame := self.take_frame():
            opcode, rsv, payload = frame
            if opcode == 10:
                self.pongs.append(payload)
            elif opcode == 8:
                self.close_code = int.from_bytes(payload[:2], "big")
            elif rsv == 4:
                self.inflated += 1
                return zlib.decompressobj(wbits=-15).decompress(payload + b"\0\0\xff\xff")
            else:
                return payload
        return b""

    def recv(self, _):
        while True:
            if data := self.payload():
                return data
            data = self.real.recv(1 << 18)
            if not data:
                return b""
            self.raw += data


def web_port(server):
    return int(server.ports["websocket"][0].rsplit(":", 1)[1])


CONF = 'websocket { listen: "127.0.0.1:-1", no_tls: true, compression: true, headers: {X-Extra: "yes"} }\n'


@test(workers=(1, 4))
def websockets_carry_the_protocol(context, conf):
    with Server(context.binary, conf=conf + CONF, monitor=True) as server:
        assert re.search(r"Listening for websocket clients on ws://127\.0\.0\.1:%d" % web_port(server), server.log_text())
        for how in ({}, {"masks": False}, {"deflates": True}, {"step": 3}):
            with WebWire(web_port(server), **how) as web, Wire(server.port) as plain:
                assert b"X-Extra: yes" in web.handshake
                assert web.info["port"] == web_port(server)
                sid = web.sub("a.*")
                web.flush()
                body = b"".join(b"%d " % i for i in range(40000 if how != {"step": 3} else 2000))
                plain.pub("a.x", body)
                assert web.take(lambda op: getattr(op, "sid", None) == sid).data == body
                plain.sub("b"), plain.flush()
                web.pub("b", body, headers={"H": "v"})
                assert plain.take(lambda op: getattr(op, "subject", "") == "b").data == body
                assert web.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s"]}).get("error") is None
                assert web.request("s", "x").data
                web.frame(b"hi", opcode=9)
                web.flush()
                assert web.pongs == [b"hi"] and bool(web.inflated) == bool(how.get("deflates")), (how, web.pongs, web.inflated)
                kinds = sorted(c["type"] for c in server.get("/connz")["connections"])
                assert kinds == ["nats", "websocket"], kinds
        assert server.get("/varz")["websocket"] == {"host": "127.0.0.1", "port": web_port(server), "no_tls": True, "compression": True}


@test()
def a_websocket_that_breaks_the_rules_is_told_and_closed(context):
    with Server(context.binary, conf=CONF) as server:
        for opcode, rsv, payload, code in ((3, 0, b"x", 1002), (2, 2, b"x", 1002), (0, 0, b"x", 1002), (8, 0, (1000).to_bytes(2, "big"), 1000), (2, 0, b"NONSENSE\r\n", 1000)):
            with WebWire(web_port(server)) as web:
                web.flush()
                web.frame(payload, opcode=opcode, rsv=rsv)
                try:
                    while web.next():
                        pass
                except Closed:
                    pass
                assert web.close_code == code, (opcode, web.close_code)
        with Wire(server.port) as wire:
            wire.flush()


@test()
def handshakes_are_checked(context):
    conf = 'websocket { listen: "127.0.0.1:-1", no_tls: true, allowed_origins: ["https://good.example"], handshake_timeout: "200ms" }\n'
    with Server(context.binary, conf=conf) as server:
        with WebWire(web_port(server), headers="Origin: https://good.example\r\n") as web:
            web.flush()
        with WebWire(web_port(server)) as web:
            web.flush()
        try:
            WebWire(web_port(server), headers="Origin: https://bad.example\r\n")
            raise AssertionError("let in")
        except Closed as why:
            assert " 403 " in str(why), why
        with socket.create_connection(("127.0.0.1", web_port(server)), 10) as idle:
            assert idle.recv(1) == b""  # it took too long
        with socket.create_connection(("127.0.0.1", web_port(server)), 10) as other:
            other.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 405 " in other.recv(4096)


@test()
def users_may_be_held_to_a_way_in(context):
    conf = CONF + """authorization { users: [
        {user: web, password: p, allowed_connection_types: ["WEBSOCKET"]}, {user: plain, password: p, allowed_connection_types: ["STANDARD"]}, {user: any, password: p} ] }\n"""
    with Server(context.binary, conf=conf) as server:
        for make, port, own in ((WebWire, web_port(server), "web"), (Wire, server.port, "plain")):
            for user in ("web", "plain", "any"):
                with make(port, {"user": user, "pass": "p"}) as wire:
                    try:
                        wire.flush()
                        let_in = True
                    except (Closed, AssertionError):
                        let_in = False
                    assert let_in == (user in (own, "any")), (make, user)


@test()
def without_tls_it_must_be_asked_for(context):
    for conf, text in (("websocket { port: 8080 }", "websocket requires TLS configuration"), ("websocket { port: 8080, tls { cert_file: a, key_file: b } }", '"tls"'), ("websocket: 3", "Expected websocket to be a map, got int64")):
        with open("/dev/null") as null, Server(context.binary) as running:
            path = f"{running.dir}/refused.conf"
            with open(path, "w") as file:
                file.write(conf + "\n")
            ran = subprocess.run([context.binary, "-c", path], stdin=null, capture_output=True, text=True, timeout=20)
            assert ran.returncode == 1 and text in ran.stderr, ran
