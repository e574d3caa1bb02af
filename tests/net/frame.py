# SPDX-License-Identifier: GPL-2.0-only
"""IPv4 packets, built and read byte by byte: those that no socket makes, and all that a socket
does not show. A packet is bytes from its IP header on."""

import socket
import struct

ICMP, TCP, UDP, SCTP = (socket.IPPROTO_ICMP, socket.IPPROTO_TCP, socket.IPPROTO_UDP,
                        socket.IPPROTO_SCTP)
NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp", SCTP: "sctp"}
ECHO_REPLY, UNREACHABLE, REDIRECT, ECHO, EXCEEDED = 0, 3, 5, 8, 11
ERRORS = (UNREACHABLE, 4, REDIRECT, EXCEEDED, 12)
FLAGS = "FSRPAUEC"
MORE, DONT = 0x2000, 0x4000
IDENT = 0x4242  # of the packets that are built here


def fold(data):
    """The sum of 16-bit words in ones' complement (RFC 1071), not inverted."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(source, destination, protocol, length):
    return (socket.inet_aton(source) + socket.inet_aton(destination)
            + struct.pack("!HH", protocol, length))


def ip(source, destination, protocol, payload, ttl=64, ident=IDENT, bits=0, options=b""):
    length = 20 + len(options)

    def header(check):
        return struct.pack("!BBHHHBBH", 0x40 | length // 4, 0, length + len(payload), ident, bits,
                           ttl, protocol, check) + pseudo(source, destination, 0, 0)[:8] + options

    return header(~fold(header(0)) & 0xFFFF) + payload


def tcp(source, sport, destination, dport, flags, seq=0, ack=0, payload=b"", **more):
    bits = sum(1 << FLAGS.index(flag) for flag in flags)

    def segment(check):
        return struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, bits, 64000, check,
                           0) + payload

    check = fold(pseudo(source, destination, TCP, 20 + len(payload)) + segment(0))
    return ip(source, destination, TCP, segment(~check & 0xFFFF), **more)


def udp(source, sport, destination, dport, payload=b"datagram", **more):
    def datagram(check):
        return struct.pack("!HHHH", sport, dport, 8 + len(payload), check) + payload

    check = fold(pseudo(source, destination, UDP, 8 + len(payload)) + datagram(0))
    return ip(source, destination, UDP, datagram(~check & 0xFFFF or 0xFFFF), **more)


def icmp(source, destination, kind, code, word, payload, **more):
    """word: the four bytes behind the checksum."""
    def message(check):
        return struct.pack("!BBHI", kind, code, check, word) + payload

    return ip(source, destination, ICMP, message(~fold(message(0)) & 0xFFFF), **more)


def echo(source, destination, number, kind=ECHO, payload=b"echo" * 14, **more):
    return icmp(source, destination, kind, 0, number << 16 | 1, payload, **more)


def error(source, about, kind, code, word=0, quoted=8, **more):
    """The error that `source` sends about a packet, to the one that sent it; quoted: so many bytes
    of it behind its IP header."""
    length = (about[0] & 15) * 4 + quoted
    return icmp(source, socket.inet_ntoa(about[12:16]), kind, code, word, about[:length], **more)


def fragments(packet, mtu):
    """In order. Of packets without options."""
    step = (mtu - 20) & ~7
    payload = packet[20:]
    source, destination = (socket.inet_ntoa(packet[i:i + 4]) for i in (12, 16))
    (ident,) = struct.unpack("!H", packet[4:6])
    return [ip(source, destination, packet[9], payload[i:i + step], ttl=packet[8], ident=ident,
               bits=i // 8 | (MORE if i + step < len(payload) else 0))
            for i in range(0, len(payload), step)]


class Packet:
    """What a packet says. `masked` is the packet with all of that zeroed: what is not named."""

    def __init__(self, data, is_partial=False, is_quoted=False):
        """is_partial: the sum of the whole is left to a device; the field holds the pseudo
        header's. is_quoted: the packet may end early."""
        length = (data[0] & 15) * 4
        self.total, self.ident, flags, self.ttl, self.protocol, _ = struct.unpack("!HHHBBH",
                                                                                 data[2:12])
        self.data = data = data[:self.total]
        self.tos = data[1]
        self.source, self.destination = (socket.inet_ntoa(data[i:i + 4]) for i in (12, 16))
        self.is_dont, self.is_more, self.offset = flags & DONT, flags & MORE, (flags & 0x1FFF) * 8
        self.is_header_right = fold(data[:length]) == 0xFFFF
        self.payload = data[length:]
        self.sport = self.dport = self.flags = self.kind = self.inner = self.is_right = None
        self.seq = self.ack = 0
        masked = bytearray(data)
        masked[1:2], masked[4:6], masked[8:9], masked[10:20] = b"\0", b"\0\0", b"\0", bytes(10)
        if not self.offset:
            self.read_transport(masked, length, is_partial, is_quoted)
        self.masked = bytes(masked)

    def is_fragment(self):
        return bool(self.offset or self.is_more)

    def read_transport(self, masked, length, is_partial, is_quoted):
        is_whole = len(self.data) == self.total and not self.is_more
        if self.protocol in (TCP, UDP):
            at, size = {TCP: (16, 20), UDP: (6, 8)}[self.protocol]
            self.sport, self.dport = struct.unpack("!HH", self.payload[:4])
            masked[length:length + 4] = bytes(4)
            if is_whole and len(self.payload) >= size:
                self.is_right = self.check(at, is_partial)
            if len(self.payload) >= size:
                masked[length + at:length + at + 2] = b"\0\0"
            if self.protocol == TCP and len(self.payload) >= size:
                self.seq, self.ack, start, bits = struct.unpack("!IIBB", self.payload[4:14])
                self.flags = "".join(f for i, f in enumerate(FLAGS) if bits >> i & 1)
                self.content = self.payload[(start >> 4) * 4:]
            else:
                self.content = self.payload[8:]
        elif self.protocol == SCTP and len(self.payload) >= 12:
            self.sport, self.dport = struct.unpack("!HH", self.payload[:4])
            masked[length:length + 4] = bytes(4)
            masked[length + 8:length + 12] = bytes(4)
            self.kind = (self.payload[12],)
            (field,) = struct.unpack("<I", self.payload[8:12])
            self.is_right = field == crc32c(self.payload[:8] + bytes(4) + self.payload[12:])
        elif self.protocol == ICMP:
            self.kind = self.payload[0], self.payload[1]
            self.content = self.payload[8:]
            if self.kind[0] in (ECHO, ECHO_REPLY):
                (self.sport,) = struct.unpack("!H", self.payload[4:6])
                masked[length + 4:length + 6] = b"\0\0"
            elif self.kind[0] in ERRORS and not is_quoted:
                self.inner = Packet(self.payload[8:], is_quoted=True)
                masked[length + 8:] = self.inner.masked
            masked[length + 2:length + 4] = b"\0\0"
            if is_whole:
                self.is_right = fold(self.payload) == 0xFFFF

    def check(self, at, is_partial):
        header = pseudo(self.source, self.destination, self.protocol, len(self.payload))
        (field,) = struct.unpack("!H", self.payload[at:at + 2])
        if is_partial:
            return field == fold(header)
        return fold(header + self.payload) == 0xFFFF or (self.protocol == UDP and not field)


def reassemble(packets):
    """The whole packet of fragments, or None if some are missing."""
    parts = {packet.offset: packet for packet in packets}
    payload, packet = b"", None
    while not packet or packet.is_more:
        packet = parts.get(len(payload))
        if not packet:
            return None
        payload += packet.payload
    first = parts[0]
    return Packet(ip(first.source, first.destination, first.protocol, payload, ttl=first.ttl,
                     ident=first.ident))


def describe_pieces(packets):
    """What fragments of one packet say of themselves, by name."""
    ttls = sorted({packet.ttl for packet in packets})
    return {"pieces": "+".join(str(length) for _, length in sorted({(packet.offset, packet.total)
                                                                    for packet in packets})),
            "TTL": ttls[0] if len(ttls) == 1 else str(ttls),
            "header sum": "right" if all(packet.is_header_right for packet in packets) else "wrong"}


def sctp(source, sport, destination, dport, chunk, tag=0, **more):
    """One chunk: 1 INIT, 2 INIT ACK, 0 DATA; with its CRC32c (RFC 4960, appendix B)."""
    def packet(crc):
        return struct.pack("!HHI", sport, dport, tag) + struct.pack("<I", crc) + struct.pack(
            "!BBHIIHHI", chunk, 3 if chunk == 0 else 0, 20, 1, 65536, 1, 1, 1)

    return ip(source, destination, SCTP, packet(crc32c(packet(0))), **more)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
