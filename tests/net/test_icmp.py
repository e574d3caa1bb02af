# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors: who hears of what became of a packet, and from whom, with the addresses and ports
that it knows. A kernel takes an error only if the packet that it carries is one of its own.

    web ---- host ---- client, which routes ---- far 192.0.2.9"""

import errno
import hashlib
import json
import os
import socket

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw

from lab import CLIENT, GATEWAY, HOST, expect, expect_raises
from wire import (IP_MTU_DISCOVER, IP_PMTUDISC_DO, Error, dial, drop_count, echo_reply,
                  echo_request, expect_sums, find_ip, from_client, from_container, hear_errors,
                  listen, mute, ping_socket)

WEB, FAR = "172.17.0.2", "192.0.2.9"
UNREACHABLE, EXCEEDED = 3, 11  # types
BY_PORT, TOO_BIG = 3, 4  # codes of UNREACHABLE
MEGABYTE = os.urandom(1 << 20)


def add_far(lab, mtu=1500):
    """Another machine behind the client, by a link with this MTU. It still offers to receive
    segments of 1460 bytes, so that only the router knows better."""
    lab.add_namespace("far")
    lab.link("client", "eth1", "192.0.2.1/24", "far", "eth0", FAR + "/24")
    lab.ip(f"-n client link set eth1 mtu {mtu}", f"-n far link set eth0 mtu {mtu}",
           "-n far route add default via 192.0.2.1 advmss 1460")
    lab.write("client", "/proc/sys/net/ipv4/ip_forward", 1)


def up(lab, *options):
    lab.xdock("up")
    lab.add("web", *options)


# How far it gets


def hop(lab, protocol, ttl):
    """Who says that a packet of web to port 7000 of far got as far as its TTL goes; None: it
    arrived and was answered."""
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    sock = (ping_socket(lab, "web") if protocol == "icmp" else
            lab.open_socket("web", kind=kind[protocol]))
    hear_errors(sock).setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    try:
        if protocol == "tcp":
            sock.connect((FAR, 7000))
            return None
        sock.sendto(echo_request() if protocol == "icmp" else b"x", (FAR, 7000))
        data = sock.recv(100)
        expect(data[:1] == b"\0" if protocol == "icmp" else data[:4] == b"far ", True, "answer")
        return None
    except OSError as e:
        expect(e.errno, errno.EHOSTUNREACH, f"{protocol}, TTL {ttl}")
    error = Error(sock)
    expect((error.kind, error.code), (EXCEEDED, 0), f"{protocol}, TTL {ttl}")
    return error.offender


def test_a_container_sees_every_hop_of_the_way_to_the_outside_and_its_end(lab):
    """Rows 29 and 32: what traceroute does, by all three protocols."""
    add_far(lab)
    up(lab)
    for protocol in "tcp", "udp":
        lab.echo("far", 7000, protocol)
    for protocol in "udp", "tcp", "icmp":
        expect([hop(lab, protocol, ttl) for ttl in (1, 2, 3, 64)],
               [GATEWAY, CLIENT, None, None], f"hops by {protocol}")


def test_the_ttl_of_what_is_routed_is_one_less_in_both_directions(lab):
    """Row 32."""
    up(lab, "-p", "8080:80/udp")
    lab.echo("client", 7000, "udp")
    outside, inside = lab.capture("client", "eth0"), lab.capture("web", "eth0")
    lab.udp("web", CLIENT, 7000)
    expect(find_ip(outside, dport=7000).ttl, 63, "masqueraded")
    expect(find_ip(inside, sport=7000).ttl, 63, "its reply")
    lab.udp("client", HOST, 8080)
    expect(find_ip(inside, dport=80).ttl, 63, "to a published port")
    expect(find_ip(outside, sport=8080).ttl, 63, "its reply")


def test_a_packet_whose_ttl_ends_here_reaches_no_published_port(lab):
    """Row 32: an answer of the host would be taken for one of the server."""
    up(lab, "-p", "8080:80", "-p", "8080:80/udp")
    tap, answers = lab.capture("web", "eth0"), lab.capture("client", "eth0")
    for layer in TCP(sport=1000, dport=8080, flags="S"), UDP(sport=1000, dport=8080) / Raw(b"x"):
        frame = from_client(lab) / IP(src=CLIENT, dst=HOST, ttl=1) / layer
        expect(drop_count(lab, "ttl", lambda: lab.send("client", "eth0", frame)), 1)
    expect(find_ip(tap, 0.2, src=CLIENT), None, "packet at the container")
    expect(find_ip(answers, 0.1, src=HOST, proto=(1, 6)), None, "answer")


# How big it may be


def receive_all(sock, total):
    data = b""
    while len(data) < total and (part := sock.recv(1 << 20)):
        data += part
    return hashlib.sha256(data).hexdigest()


def transfer(lab, sender, receiver):
    lab.fork(sender.sendall, MEGABYTE)
    expect(receive_all(receiver, len(MEGABYTE)), hashlib.sha256(MEGABYTE).hexdigest(), "SHA-256")


def path_mtu(lab, ns, address):
    """What a machine has learned of the way to an address."""
    (route,) = json.loads(lab.run(ns, "ip", "-j", "route", "get", address).stdout)
    return next((row["mtu"] for row in route.get("metrics", []) if "mtu" in row), None)


def test_an_upload_finds_a_narrow_link_behind_the_host(lab):
    """Row 29."""
    add_far(lab, mtu=1400)
    up(lab)
    near, far, peer = dial(lab, "web", listen(lab, "far", 7001), FAR, 7001)
    expect((peer[0], path_mtu(lab, "web", FAR)), (HOST, None))
    transfer(lab, near, far)
    expect(path_mtu(lab, "web", FAR), 1400, "learned by the container")
    transfer(lab, far, near)


def test_a_download_from_a_published_port_finds_a_narrow_link_behind_the_host(lab):
    """Row 29."""
    add_far(lab, mtu=1400)
    up(lab, "-p", "8080:81")
    far, near, peer = dial(lab, "far", listen(lab, "web", 81), HOST, 8080)
    expect((peer[0], path_mtu(lab, "web", FAR)), (FAR, None))
    transfer(lab, near, far)
    expect(path_mtu(lab, "web", FAR), 1400, "learned by the container")
    transfer(lab, far, near)


def test_an_upload_finds_a_narrow_uplink_of_the_host_itself(lab):
    """Row 33."""
    up(lab)
    lab.ip("-n host link set wan mtu 1400")
    near, far, _ = dial(lab, "web", listen(lab, "client", 7001), CLIENT, 7001)
    transfer(lab, near, far)
    expect(path_mtu(lab, "web", CLIENT), 1400, "learned by the container")
    transfer(lab, far, near)


def test_a_datagram_that_is_too_big_for_the_uplink_is_refused_by_the_gateway(lab):
    """Row 33."""
    up(lab)
    server = lab.bound("client", 7000, "udp")
    server.settimeout(10)
    lab.ip("-n host link set wan mtu 1400")
    sock = hear_errors(lab.open_socket("web", kind=socket.SOCK_DGRAM))
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    sock.connect((CLIENT, 7000))
    sock.send(bytes(1450))
    error = Error(sock)
    expect((error.offender, error.kind, error.code, error.info),
           (GATEWAY, UNREACHABLE, TOO_BIG, 1400))
    expect(expect_raises(OSError, sock.send, bytes(1450)).errno, errno.EMSGSIZE)
    sock.send(bytes(1372))
    expect(len(server.recv(2000)), 1372, "what fits")


# Where nobody listens


def test_a_client_hears_from_the_host_that_nobody_is_behind_a_published_port(lab):
    """Rows 30 and 51."""
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:81", "-p", "8080:81/udp")
    expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, 8080)
    for _ in range(2):
        sock = hear_errors(lab.open_socket("client", kind=socket.SOCK_DGRAM))
        sock.connect((HOST, 8080))
        sock.send(b"x")
        expect_raises(ConnectionRefusedError, sock.recv, 100)
        error = Error(sock)
        expect((error.offender, error.kind, error.code), (HOST, UNREACHABLE, BY_PORT))
        expect(error.destination, (HOST, 8080), "what the error is about")


def test_a_container_hears_that_nobody_listens_at_the_remote(lab):
    """Row 29."""
    up(lab)
    expect_raises(ConnectionRefusedError, lab.tcp, "web", CLIENT, 7999)
    sock = hear_errors(lab.bound("web", 40000, "udp"))
    sock.settimeout(10)
    sock.connect((CLIENT, 7999))
    sock.send(b"x")
    expect_raises(ConnectionRefusedError, sock.recv, 100)
    error = Error(sock)
    expect((error.offender, error.kind, error.code), (CLIENT, UNREACHABLE, BY_PORT))
    expect(error.destination, (CLIENT, 7999), "what the error is about")


def test_a_container_hears_from_a_router_that_there_is_no_way(lab):
    """Row 29."""
    up(lab)
    lab.write("client", "/proc/sys/net/ipv4/ip_forward", 1)
    lab.ip("-n client route add unreachable 192.0.2.0/24")
    for protocol, kind in ("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM):
        sock = hear_errors(lab.open_socket("web", kind=kind))
        error = expect_raises(OSError, lambda: (sock.connect((FAR, 7000)), sock.send(b"x"),
                                                sock.recv(100)))
        expect(error.errno, errno.EHOSTUNREACH, protocol)
        expect(Error(sock).offender, CLIENT, protocol)


# Byte by byte


def about(reply):
    """What an error carries, whose sums and that one's are right."""
    expect_sums(reply, "error")
    embedded = IP(bytes(reply[ICMP].payload))
    expect_sums(embedded, "packet inside the error")
    return embedded


ERRORS = [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (4, 0)]


def test_every_error_about_a_masqueraded_flow_is_translated_inside_and_outside(lab):
    """Row 29."""
    up(lab)
    mute(lab, "web", "client")
    tap, inside = lab.capture("client", "eth0"), lab.capture("web", "eth0")
    to_web = from_client(lab)
    for layer in (UDP(sport=40000, dport=7999) / Raw(b"datagram"),
                  ICMP(type=8, id=7) / Raw(b"echo"), TCP(sport=40000, dport=7999, flags="S")):
        original = IP(src=WEB, dst=CLIENT, id=99) / layer
        lab.send("web", "eth0", from_container(lab, "web") / original)
        seen = find_ip(tap, src=HOST, id=99)
        expect_sums(seen)
        for kind, code in ERRORS:
            for router in CLIENT, "192.0.2.77":
                error = ICMP(type=kind, code=code, nexthopmtu=1300) / Raw(bytes(seen.original))
                lab.send("client", "eth0", to_web / IP(src=router, dst=HOST, id=kind) / error)
                got = find_ip(inside, src=router, dst=WEB, proto=1)
                expect((got[ICMP].type, got[ICMP].code), (kind, code), "error")
                embedded = about(got)
                expect((embedded.src, embedded.dst, embedded.id), (WEB, CLIENT, 99))
                expect(bytes(embedded.payload), bytes(IP(bytes(original)).payload), "inside")


def test_every_error_about_a_reply_of_a_published_port_is_translated(lab):
    """Row 29."""
    up(lab, "-p", "8080:80", "-p", "8080:80/udp")
    mute(lab, "web")
    tap, inside = lab.capture("client", "eth0"), lab.capture("web", "eth0")
    for layer in (UDP(sport=80, dport=7999) / Raw(b"datagram"),
                  TCP(sport=80, dport=7999, flags="SA", seq=5, ack=6)):
        original = IP(src=WEB, dst=CLIENT, id=99) / layer
        lab.send("web", "eth0", from_container(lab, "web") / original)
        seen = find_ip(tap, src=HOST, id=99)
        expect((seen.sport, seen.dport), (8080, 7999))
        for kind, code in ERRORS:
            error = ICMP(type=kind, code=code, nexthopmtu=1300) / Raw(bytes(seen.original))
            lab.send("client", "eth0", from_client(lab) / IP(src="192.0.2.77", dst=HOST) / error)
            got = find_ip(inside, src="192.0.2.77", dst=WEB, proto=1)
            expect((got[ICMP].type, got[ICMP].code), (kind, code), "error")
            expect(bytes(about(got).payload), bytes(IP(bytes(original)).payload))


def test_every_error_of_a_container_about_what_it_received_is_translated(lab):
    """Row 30: of a published port, and of a reply that came too late."""
    up(lab, "-p", "8080:80", "-p", "8080:80/udp")
    mute(lab, "web")
    tap, inside = lab.capture("client", "eth0"), lab.capture("web", "eth0")
    # The flow that the last of them belongs to.
    lab.send("web", "eth0", from_container(lab, "web") / IP(src=WEB, dst=CLIENT) /
             UDP(sport=5000, dport=7999))
    for layer in (UDP(sport=7999, dport=8080) / Raw(b"datagram"),
                  TCP(sport=7999, dport=8080, flags="S"),
                  UDP(sport=7999, dport=5000) / Raw(b"late")):
        original = IP(src=CLIENT, dst=HOST, id=99) / layer
        lab.send("client", "eth0", from_client(lab) / original)
        seen = find_ip(inside, src=CLIENT, dst=WEB, id=99)
        expect_sums(seen)
        for kind, code in ERRORS:
            error = ICMP(type=kind, code=code, nexthopmtu=1300) / Raw(bytes(seen.original))
            lab.send("web", "eth0", from_container(lab, "web") / IP(src=WEB, dst=CLIENT) / error)
            got = find_ip(tap, src=HOST, dst=CLIENT, proto=1)
            expect((got[ICMP].type, got[ICMP].code), (kind, code), "error")
            embedded = about(got)
            expect((embedded.src, embedded.dst, embedded.id), (CLIENT, HOST, 99))
            expect(bytes(embedded.payload), bytes(IP(bytes(original)).payload), "what is inside")


def test_an_error_about_nobodys_flow_reaches_no_container(lab):
    """Row 29: of another protocol, of another address than the error is for, of no port."""
    lab.ip("-n host addr add 198.51.100.9/24 dev wan")
    up(lab, "-p", "8080:80/udp")
    inside = lab.capture("web", "eth0")
    for source, inner in ((HOST, UDP(sport=5000, dport=7999)), (HOST, TCP(sport=8080, dport=7999)),
                          (HOST, ICMP(type=8, id=7)), (WEB, UDP(sport=80, dport=7999)),
                          ("198.51.100.9", UDP(sport=8080, dport=7999))):
        error = ICMP(type=3, code=3) / IP(src=source, dst=CLIENT) / inner / Raw(b"12345678")
        lab.send("client", "eth0", from_client(lab) / IP(src=CLIENT, dst=HOST) / error)
    expect(find_ip(inside, 0.3, src=CLIENT), None, "packet at the container")
    # It is no stray that makes a flow.
    expect(lab.xdock("flow", "list", json=True)["flows"], [])
