"""Snapshots and restores over the wire, as a client makes them; and archives of version 1, as older servers wrote them."""
import hashlib, io, json, struct, tarfile


def snapshot(wire, stream, **request):
    """(response, archive, whole status line of the end)"""
    wire.snapshots = getattr(wire, "snapshots", 0) + 1
    request.setdefault("deliver_subject", f"snapshot.{id(wire)}.{wire.snapshots}")
    sid = wire.sub(request["deliver_subject"])
    response = wire.api(f"STREAM.SNAPSHOT.{stream}", request)
    archive = b""
    while True:
        msg = wire.take(lambda op: getattr(op, "subject", None) == request["deliver_subject"])
        if not msg.data:
            wire.send(f"UNSUB {sid}\r\n")
            return response, archive, msg.headers
        archive += msg.data
        if msg.reply:
            wire.pub(msg.reply)


def restore(wire, stream, archive, config, state=None, piece=100_000):
    """What the end was answered with."""
    response = wire.api(f"STREAM.RESTORE.{stream}", {"config": config, "state": state or {}})
    if "error" in response:
        return response
    for at in range(0, len(archive), piece):
        answer = wire.request(response["deliver_subject"], archive[at:at + piece])
        if answer.data:
            return json.loads(answer.data)
    return json.loads(wire.request(response["deliver_subject"]).data)


# --- version 1 ---

def crc32c(data, table=[]):
    if not table:
        for i in range(256):
            for _ in range(8):
                i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
            table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def s2_plain(data):
    """An S2 stream of uncompressed chunks."""
    out = b"\xff\x06\x00\x00S2sTwO"
    for at in range(0, len(data), 60000):
        block = data[at:at + 60000]
        crc = crc32c(block)
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        out += b"\x01" + struct.pack("<I", len(block) + 4)[:3] + struct.pack("<I", masked) + block
    return out


M64 = (1 << 64) - 1


def highway(key, data):
    """HighwayHash-64."""
    swap = lambda v: (v >> 32 | v << 32) & M64
    k = struct.unpack("<4Q", key)
    mul0 = [0xdbe6d5d5fe4cce2f, 0xa4093822299f31d0, 0x13198a2e03707344, 0x243f6a8885a308d3]
    mul1 = [0x3bd39e10cb0ef593, 0xc0acf169b5f18a8c, 0xbe5466cf34e90c6c, 0x452821e638d01377]
    v0, v1 = [m ^ x for m, x in zip(mul0, k)], [m ^ swap(x) for m, x in zip(mul1, k)]

    def zipper(b, a):
        a_bytes, b_bytes = struct.pack("<Q", a), struct.pack("<Q", b)
        both = a_bytes + b_bytes
        pick = lambda order: struct.unpack("<Q", bytes(both[i] for i in order))[0]
        return pick((3, 12, 2, 5, 14, 1, 15, 0)), pick((11, 4, 10, 13, 9, 6, 8, 7))

    def mix(lanes):
        for i in range(4):
            v1[i] = (v1[i] + mul0[i] + lanes[i]) & M64
            mul0[i] ^= (v1[i] & 0xFFFFFFFF) * (v0[i] >> 32)
            v0[i] = (v0[i] + mul1[i]) & M64
            mul1[i] ^= (v0[i] & 0xFFFFFFFF) * (v1[i] >> 32)
        for to, of in ((v0, v1), (v1, v0)):
            for i in (0, 2):
                low, high = zipper(of[i + 1], of[i])
                to[i], to[i + 1] = (to[i] + low) & M64, (to[i + 1] + high) & M64
    whole = len(data) // 32 * 32
    for at in range(0, whole, 32):
        mix(struct.unpack("<4Q", data[at:at + 32]))
    rest = data[whole:]
    if rest:
        n, packet = len(rest), bytearray(32)
        rotate = lambda v: (v << n | v >> (32 - n)) & 0xFFFFFFFF
        for i in range(4):
            v0[i] = (v0[i] + (n << 32) + n) & M64
            v1[i] = rotate(v1[i] >> 32) << 32 | rotate(v1[i] & 0xFFFFFFFF)
        packet[:n & ~3] = rest[:n & ~3]
        tail = rest[n & ~3:]
        if n & 16:
            packet[28:] = rest[-4:]
        elif tail:
            packet[16:19] = bytes((tail[0], tail[len(tail) >> 1], tail[-1]))
        mix(struct.unpack("<4Q", bytes(packet)))
    for _ in range(4):
        mix([swap(v0[2]), swap(v0[3]), swap(v0[0]), swap(v0[1])])
    return (v0[0] + v1[0] + mul0[0] + mul1[0]) & M64


def keyed(key, data):
    return struct.pack("<Q", highway(hashlib.sha256(key.encode()).digest(), data))


def uvarint(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def varint(value):
    return uvarint(value << 1 if value >= 0 else (-value << 1) - 1)


def v1_record(stream, block, seq, time_ns, subject, headers, payload):
    ids = struct.pack("<Qq", seq, time_ns)
    length = 22 + len(subject) + len(payload) + 8 + (4 + len(headers) if headers else 0)
    head = struct.pack("<I", length | (1 << 31 if headers else 0)) + ids + struct.pack("<H", len(subject)) + subject.encode()
    return head + (struct.pack("<I", len(headers)) if headers else b"") + headers + payload + keyed(f"{stream}-{block}", ids + subject.encode() + headers + payload)


def v1_consumer_state(floor, delivered, pending={}, redelivered={}):
    """floor, delivered: (consumer, stream); pending: {stream: (consumer, seconds)}; redelivered: {stream: count}"""
    out = b"\x16\x02" + b"".join(map(uvarint, (*floor, *delivered, len(pending))))
    if pending:
        latest = max(t for _, t in pending.values())
        out += varint(latest)
        for sseq, (dseq, t) in pending.items():
            out += uvarint(sseq - floor[1]) + uvarint(dseq - floor[0]) + varint(latest - t)
    return out + uvarint(len(redelivered)) + b"".join(uvarint(sseq - floor[1]) + uvarint(n) for sseq, n in redelivered.items())


def v1(stream, config, blocks, consumers={}):
    """blocks: lists of (seq, time_ns, subject, headers, payload); consumers: {name: (config, state bytes)}"""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        def add(name, data):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uname, info.gname = len(data), 0o600, "nats", "nats"
            tar.addfile(info, io.BytesIO(data))

        meta = json.dumps(config).encode()
        add("meta.inf", meta), add("meta.sum", keyed(stream, meta).hex().encode())
        for n, records in enumerate(blocks, 1):
            add(f"msgs/{n}.blk", b"".join(v1_record(stream, n, *record) for record in records))
        for name, (consumer, state) in consumers.items():
            meta = json.dumps(consumer).encode()
            add(f"obs/{name}/meta.inf", meta), add(f"obs/{name}/meta.sum", keyed(f"{stream}/{name}", meta).hex().encode()), add(f"obs/{name}/o.dat", state)
    return s2_plain(file.getvalue())
