# SPDX-License-Identifier: GPL-2.0-only
"""Large transfers: whole packets stay whole, and every byte arrives."""

import hashlib
import os
import socket
import struct

from lab import CLIENT, HOST, expect, limit

WEB, SIBLING = "172.17.0.2", "172.17.0.3"
BLOCK = os.urandom(1000003)
GIGABYTE = 1 << 30
ENDS = (("client", "eth0"), ("host", "wan"), ("web", "eth0"))


def send_all(sock, total):
    """Sends `total` bytes; returns their SHA-256."""
    digest = hashlib.sha256()
    for start in range(0, total, len(BLOCK)):
        part = BLOCK[:min(len(BLOCK), total - start)]
        sock.sendall(part)
        digest.update(part)
    return digest.digest()


def receive_all(sock, total):
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(1 << 20))
    while total:
        length = sock.recv_into(buffer[:min(len(buffer), total)])
        if not length:
            raise AssertionError(f"the connection ended {total} bytes too early")
        digest.update(buffer[:length])
        total -= length
    return digest.digest()


def receive_digest(sock):
    data = b""
    while len(data) < 32 and (part := sock.recv(32 - len(data))):
        data += part
    return data


def serve(listener, total):
    """Takes `total` bytes and answers with their digest; then the other way."""
    connection, _ = listener.accept()
    with connection:
        connection.sendall(receive_all(connection, total))
        connection.sendall(send_all(connection, total))
        connection.recv(1)


def transfer(lab, where, address, port, total):
    """`total` bytes to the server of `web` and as many back."""
    sock = lab.open_socket(where, timeout=200)
    sock.connect((address, port))
    sent = send_all(sock, total)
    expect(receive_digest(sock), sent, "digest of what was sent")
    received = receive_all(sock, total)
    expect(received, receive_digest(sock), "digest of what was received")
    sock.close()


def start(lab, total):
    lab.xdock("up")
    lab.add("web", "-p", "8080:81", "-p", "8080:80/udp")
    listener = lab.bound("web", 81)
    listener.listen()
    lab.fork(serve, listener, total)


def counter(lab, ns, group, name):
    """A counter of /proc/net/snmp."""
    lines = [line.split() for line in lab.read(ns, "/proc/net/snmp").splitlines()]
    names, values = (line for line in lines if line[0] == group + ":")
    return int(values[names.index(name)])


def expect_no_checksum_errors(lab, *more):
    for ns in ("client", "host", "web", *more):
        for group in "Tcp", "Udp", "Icmp":
            expect(counter(lab, ns, group, "InCsumErrors"), 0, f"{group}InCsumErrors of {ns}")
        expect(counter(lab, ns, "Ip", "InHdrErrors"), 0, f"IpInHdrErrors of {ns}")


def switch_off(lab, *ends):
    for ns, device in ends:
        lab.run(ns, "ethtool", "-K", device, *"tx off sg off tso off gso off gro off".split())
        now = lab.run(ns, "ethtool", "-k", device).stdout
        for feature in ("tx-checksumming", "tcp-segmentation-offload",
                        "generic-segmentation-offload", "generic-receive-offload"):
            assert f"{feature}: off" in now, now


def longest(tap):
    """The longest frame that arrived."""
    best = 0
    while frame := tap.next(0):
        best = max(best, len(frame))
    return best


def expect_carried(lab, total):
    """The programs translated that much in either direction."""
    (row,) = (row for row in lab.stats()["ports"] if row["protocol"] == "tcp")
    assert min(row["bytes_in"], row["bytes_out"]) > total, row


def test_a_transfer_through_a_published_port_keeps_packets_of_many_segments(lab):
    start(lab, 50000000)
    container, client = lab.capture("web", "eth0"), lab.capture("client", "eth0")
    transfer(lab, "client", HOST, 8080, 50000000)
    for name, tap in (("container", container), ("client", client)):
        length = longest(tap)
        assert length > 30000, f"longest frame at the {name}: {length} bytes"
    expect_carried(lab, 50000000)
    expect_no_checksum_errors(lab)


def test_a_transfer_between_siblings_keeps_packets_of_many_segments(lab):
    start(lab, 50000000)
    lab.add("sibling")
    web, sibling = lab.capture("web", "eth0"), lab.capture("sibling", "eth0")
    transfer(lab, "sibling", WEB, 81, 50000000)
    for name, tap in (("web", web), ("sibling", sibling)):
        length = longest(tap)
        assert length > 30000, f"longest frame at {name}: {length} bytes"
    expect_no_checksum_errors(lab, "sibling")


def test_a_transfer_from_the_host_keeps_packets_of_many_segments(lab):
    start(lab, 50000000)
    web = lab.capture("web", "eth0")
    transfer(lab, "host", "127.0.0.1", 8080, 50000000)
    length = longest(web)
    assert length > 30000, f"longest frame: {length} bytes"
    expect_no_checksum_errors(lab)


@limit(300)
def test_a_gigabyte_through_a_published_port_arrives_with_offloads_on(lab):
    start(lab, GIGABYTE)
    transfer(lab, "client", HOST, 8080, GIGABYTE)
    expect_no_checksum_errors(lab)
    expect_carried(lab, GIGABYTE)


@limit(300)
def test_a_gigabyte_through_a_published_port_arrives_with_offloads_off(lab):
    start(lab, GIGABYTE)
    switch_off(lab, *ENDS, ("host", "xd-web"))
    transfer(lab, "client", HOST, 8080, GIGABYTE)
    expect_no_checksum_errors(lab)
    expect_carried(lab, GIGABYTE)


def test_a_checksum_that_the_container_left_to_the_device_is_right_on_the_wire(lab):
    """The uplink sums what eth0 of the container did not, after the translation."""
    start(lab, 20000000)
    switch_off(lab, ("host", "wan"), ("client", "eth0"))
    transfer(lab, "client", HOST, 8080, 20000000)
    for size in 1, 2, 3, 1000, 1001:
        expect(lab.udp("client", HOST, 8080, payload=b"x" * size)[:2], ("web", CLIENT))
    expect_no_checksum_errors(lab)


def test_a_checksum_that_the_client_sent_whole_is_right_in_the_container(lab):
    start(lab, 20000000)
    switch_off(lab, ("client", "eth0"))
    # The receiver of a veth pair believes its sender; nobody does behind a socket of its own.
    tap = lab.capture("web", "eth0")
    for size in 1, 2, 3, 1000, 1001:
        expect(lab.udp("client", HOST, 8080, payload=b"x" * size)[:2], ("web", CLIENT))
        frame = tap.find(lambda f: f[12:14] == b"\x08\x00" and f[23] == socket.IPPROTO_UDP)
        expect(udp_sum(frame), 0xFFFF, "sum over the datagram and its pseudo header")
    transfer(lab, "client", HOST, 8080, 20000000)
    expect_no_checksum_errors(lab)


def udp_sum(frame):
    """RFC 768; 0xffff when the checksum is right."""
    datagram = frame[34:14 + struct.unpack("!H", frame[16:18])[0]]
    data = frame[26:34] + struct.pack("!HH", socket.IPPROTO_UDP, len(datagram)) + datagram
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
