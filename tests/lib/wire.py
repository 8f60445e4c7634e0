"""A small blocking client that shows the wire as it is: every operation the server sends, in order."""
import collections, json, select, socket, time

Msg = collections.namedtuple("Msg", "subject sid reply headers data")


class Closed(Exception):
    pass


class Wire:
    """CONNECTs unless connect is None. Operations are kept in self.seen as text lines or Msg."""

    def __init__(self, port, connect={}, host="127.0.0.1", timeout=10):
        self.timeout, self.buffer, self.sids = timeout, b"", 0
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.info = json.loads(self.line()[5:])
        self.inbox, self.inbox_sid, self.replies = None, None, 0
        self.pending = collections.deque()
        if connect is not None:
            options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "protocol": 1,
                       "lang": "test", "version": "1", "name": "test"}
            options.update(connect)
            self.options = options
            self.send(f"CONNECT {json.dumps(options)}\r\n")

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def _fill(self, end):
        left = end - time.monotonic()
        if left <= 0 or not select.select([self.socket], [], [], left)[0]:
            raise TimeoutError("nothing came")
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        if not data:
            raise Closed()
        self.buffer += data

    def line(self, timeout=None):
        end = time.monotonic() + (timeout or self.timeout)
        while b"\r\n" not in self.buffer:
            self._fill(end)
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "replace")

    def _bytes(self, n, end):
        while len(self.buffer) < n + 2:
            self._fill(end)
        data, self.buffer = self.buffer[:n], self.buffer[n + 2:]
        return data

    def next(self, timeout=None):
        """The next operation: Msg, or a line. Server PINGs are answered and skipped."""
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            line = self.line(max(0.001, end - time.monotonic()))
            word = line.split(" ", 1)[0]
            if word == "PING":
                self.send("PONG\r\n")
            elif word in ("MSG", "HMSG"):
                part = line.split()
                lengths = [int(part.pop())]
                if word == "HMSG":
                    lengths.insert(0, int(part.pop()))
                data = self._bytes(lengths[-1], end)
                headers = data[:lengths[0]].decode("utf-8", "replace") if word == "HMSG" else None
                if word == "HMSG":
                    data = data[lengths[0]:]
                return Msg(part[1], part[2], part[3] if len(part) > 3 else None, headers, data)
            else:
                return line

    def flush(self, timeout=None):
        """PING, then everything that came before its PONG."""
        self.send("PING\r\n")
        seen = []
        while True:
            op = self.next(timeout)
            if op == "PONG":
                return seen
            seen.append(op)

    def until_closed(self, timeout=None):
        """Everything until the server closes the connection."""
        seen = []
        try:
            while True:
                seen.append(self.next(timeout))
        except Closed:
            return seen

    def sub(self, subject, queue=None):
        self.sids += 1
        self.send(f"SUB {subject} {queue + ' ' if queue else ''}{self.sids}\r\n")
        return str(self.sids)

    def pub(self, subject, data=b"", reply=None, headers=None):
        data = data.encode() if isinstance(data, str) else data
        to = f"{subject} {reply} " if reply else f"{subject} "
        if headers is None:
            self.send(f"PUB {to}{len(data)}\r\n".encode() + data + b"\r\n")
        else:
            block = headers.encode() if isinstance(headers, str) else \
                b"NATS/1.0\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items()) + b"\r\n"
            self.send(f"HPUB {to}{len(block)} {len(block) + len(data)}\r\n".encode() + block + data + b"\r\n")

    def new_inbox(self):
        if self.inbox is None:
            self.inbox = f"_INBOX.T{id(self):x}"
            self.inbox_sid = self.sub(self.inbox + ".*")
        self.replies += 1
        return f"{self.inbox}.{self.replies}"

    def request(self, subject, data=b"", headers=None, timeout=None):
        """One reply (Msg), or None after timeout. Other messages that come meanwhile are kept for take()."""
        reply = self.new_inbox()
        self.pub(subject, data, reply, headers)
        return self.take(lambda op: isinstance(op, Msg) and op.subject == reply, timeout)

    def take(self, wanted=lambda op: True, timeout=None):
        for i, op in enumerate(self.pending):
            if wanted(op):
                del self.pending[i]
                return op
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            try:
                op = self.next(max(0.001, end - time.monotonic()))
            except TimeoutError:
                return None
            if wanted(op):
                return op
            self.pending.append(op)

    def api(self, subject, body=None, timeout=None):
        """JetStream API call: the reply's JSON, or None."""
        data = "" if body is None else body if isinstance(body, (str, bytes)) else json.dumps(body)
        msg = self.request("$JS.API." + subject, data, timeout=timeout)
        return json.loads(msg.data) if msg and msg.data else msg

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
