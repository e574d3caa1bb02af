# SPDX-License-Identifier: GPL-2.0-only
"""What no socket sends or tells: frames by hand, frames on a wire, errors about what was sent."""

import socket
import struct

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from lab import CLIENT, eventually, expect

IP_RECVERR = 11  # of Linux, as all of these; the module has no names for them
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 0, 2
MSG_ERRQUEUE = 0x2000
PING = socket.SOCK_DGRAM, socket.IPPROTO_ICMP
SCTP = 132


# Frames


def mac(lab, ns, device="eth0"):
    return lab.link_info(ns, device)["address"]


def from_container(lab, name, bridge="docker0"):
    """The Ethernet header of what a container sends to the outside."""
    return Ether(src=mac(lab, name), dst=mac(lab, "host", bridge))


def from_client(lab, client="client", uplink="wan"):
    """The Ethernet header of what a client sends to the host."""
    return Ether(src=mac(lab, client), dst=mac(lab, "host", uplink))


def mute(lab, *names):
    """From now on only the test speaks for these: their kernels answer nothing. What knows a
    container's MAC address asks for none; the host is told that of the client."""
    for name in names:
        if name == "client":
            lab.ip(f"-n host neigh replace {CLIENT} lladdr {mac(lab, name)} dev wan")
        lab.run(name, "ip", "addr", "flush", "dev", "eth0")


def packet(frame):
    """The IPv4 packet of a frame, or None."""
    return IP(frame[14:]) if frame and frame[12:14] == b"\x08\x00" else None


def find_ip(tap, seconds=10.0, **fields):
    """The first IPv4 packet with these fields of its header, and `sport`, `dport` and `type` of
    what is in it, that comes at the tap. None: there is none. A name of several values: any."""

    def has(ip, name, value):
        layer = ip if name in ("src", "dst", "proto", "ttl", "id", "frag") else ip.payload
        found = getattr(layer, name, None)
        return found in value if isinstance(value, tuple) else found == value

    def is_it(frame):
        ip = packet(frame)
        return ip is not None and all(has(ip, name, value) for name, value in fields.items())

    return packet(tap.find(is_it, seconds))


def find_container_source(tap, seconds=0.3):
    """A packet with a container's address as its source. Not IGMP, by which kernels speak of
    themselves."""
    return packet(tap.find(lambda frame: frame[12:14] == b"\x08\x00" and frame[23] != 2 and
                           frame[26:28] == b"\xac\x11", seconds))


def sum_of(data):
    """RFC 1071; 0xffff when the checksum is in it and right."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def expect_sums(ip, what="packet"):
    """Both checksums of an IPv4 packet as it came are right. For what came whole: what a socket
    sends, the kernel may have left to a device."""
    data = bytes(ip.original)
    length = ip.ihl * 4
    expect(sum_of(data[:length]), 0xFFFF, f"sum of the header of the {what}")
    payload = data[length:ip.len]
    if ip.frag or ip.flags.MF:
        return
    if ip.proto in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        payload = data[12:20] + struct.pack("!HH", ip.proto, len(payload)) + payload
        expect(sum_of(payload), 0xFFFF, f"sum of the {what}")
    elif ip.proto == socket.IPPROTO_ICMP:
        expect(sum_of(payload), 0xFFFF, f"sum of the {what}")
    elif ip.proto == SCTP:
        expect(sctp_sum(payload), payload[8:12], f"CRC32c of the {what}")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp_sum(data):
    """Of a packet (RFC 9260, appendix A), as it stands there."""
    return struct.pack("<I", crc32c(data[:8] + bytes(4) + data[12:]))


def sctp(source, source_port, destination, destination_port, *chunks):
    """A packet of SCTP with a right checksum; chunks: (type, value) each."""
    tag = 9
    data = struct.pack("!HHI4x", source_port, destination_port, tag)
    for kind, value in chunks:
        data += struct.pack("!BBH", kind, 0, 4 + len(value)) + value + bytes(-len(value) % 4)
    return IP(src=source, dst=destination, proto=SCTP) / Raw(data[:8] + sctp_sum(data) + data[12:])


# Counters


def drop_count(lab, reason, function, least=1):
    """How many packets function() made xdock drop for this reason; for others none."""
    before = lab.drops()

    def difference():
        after = lab.drops()
        dropped = {name: after[name] - before[name] for name in after}
        assert dropped[reason] >= least, f"{dropped}, expected {least} {reason} at least"
        return dropped

    function()
    dropped = eventually(difference)
    expect({**dropped, reason: 0}, dict.fromkeys(dropped, 0), "other drops")
    return dropped[reason]


# Sockets


def dial(lab, ns, listener, address, port, source="", source_port=0):
    """A TCP connection to a listener of the test: (socket, accepted socket, its peer)."""
    sock = lab.open_socket(ns)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if source or source_port:
        sock.bind((source, source_port))
    sock.connect((address, port))
    listener.settimeout(10)
    accepted, peer = listener.accept()
    accepted.settimeout(10)
    lab.sockets.append(accepted)
    return sock, accepted, peer


def listen(lab, ns, port, address=""):
    sock = lab.bound(ns, port, "tcp", address)
    sock.listen(16)
    return sock


def expect_talk(one, other):
    """Bytes go both ways between the two ends of a connection."""
    for sender, receiver in (one, other), (other, one):
        sender.sendall(b"a word")
        expect(receiver.recv(100), b"a word", "what was said")


def ping_socket(lab, ns, identifier=0):
    """A socket for echo requests with this identifier."""
    lab.write(ns, "/proc/sys/net/ipv4/ping_group_range", "0 0")
    with lab.inside(ns):
        sock = socket.socket(socket.AF_INET, *PING)
    sock.settimeout(10)
    sock.bind(("", identifier))
    lab.sockets.append(sock)
    return sock


def echo_request(payload=b"ping", sequence=1):
    """For a ping socket, which puts the identifier and the checksum in."""
    return struct.pack("!BBHHH", 8, 0, 0, 0, sequence) + payload


def echo_reply(sock, payload=b"ping"):
    """Waits for the answer to a request; returns whose it is."""
    data, peer = sock.recvfrom(65536)
    expect((data[0], data[8:]), (0, payload), "echo reply")
    return peer[0]


class Error:
    """An ICMP error, as the socket hears of it that it is about."""

    def __init__(self, sock):
        """The next one of the socket, which asked for them."""

        def receive():
            return sock.recvmsg(2048, 512, MSG_ERRQUEUE)

        _, control, _, self.destination = eventually(receive)
        (data,) = (data for level, kind, data in control
                   if (level, kind) == (socket.IPPROTO_IP, IP_RECVERR))
        _, _, self.kind, self.code, self.info, _ = struct.unpack_from("=IBBBxII", data)
        self.offender = socket.inet_ntoa(data[20:24])


def hear_errors(sock):
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    return sock
