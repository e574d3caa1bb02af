# SPDX-License-Identifier: GPL-2.0-only
"""Which destinations a published port answers on: wildcards, single addresses, loopback."""

import socket
import time

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from lab import CLIENT, GATEWAY, HOST, eventually, expect, expect_raises

LATER = "198.51.100.9"
CLIENT2 = "203.0.113.2"


def up(lab, *specs):
    lab.xdock("up")
    lab.add("web", *(word for spec in specs for word in ("-p", spec)))


def expect_nobody(lab, ns, address, port=8080):
    expect_raises(OSError, lab.tcp, ns, address, port, timeout=0.3)
    expect_raises(OSError, lab.udp, ns, address, port, timeout=0.3)


def packets_at(tap, seconds=0.3):
    """The first TCP or UDP packet that comes, in a VLAN or not."""
    def is_it(frame):
        if frame[12:14] == b"\x81\x00":
            frame = frame[4:]
        return frame[12:14] == b"\x08\x00" and frame[23] in (6, 17)

    return tap.find(is_it, seconds)


def frame_to_host(lab, layer):
    return Ether(src=lab.link_info("client", "eth0")["address"],
                 dst=lab.link_info("host", "wan")["address"]) / layer


def test_a_wildcard_answers_on_an_address_that_is_added_later(lab):
    up(lab, "8080:80", "8080:80/udp")
    expect_nobody(lab, "client", LATER)
    lab.ip(f"-n host addr add {LATER}/24 dev wan", "-n client neigh flush dev eth0")
    answer = eventually(lambda: lab.tcp("client", LATER, 8080, timeout=1))
    expect(answer[:2], ("web", CLIENT))
    expect(lab.udp("client", LATER, 8080)[:2], ("web", CLIENT))
    expect(lab.tcp("client", HOST, 8080)[:2], ("web", CLIENT))
    expect(lab.tcp("host", LATER, 8080)[:2], ("web", LATER))


def test_a_wildcard_stops_answering_on_an_address_that_is_removed(lab):
    lab.ip(f"-n host addr add {LATER}/24 dev wan")
    up(lab, "8080:80", "8080:80/udp")
    expect(lab.tcp("client", LATER, 8080)[:2], ("web", CLIENT))
    lab.ip(f"-n host addr del {LATER}/24 dev wan")
    eventually(lambda: expect_nobody(lab, "client", LATER))
    expect_nobody(lab, "client", LATER)
    expect(lab.tcp("client", HOST, 8080)[:2], ("web", CLIENT))


def test_a_wildcard_answers_on_every_address_of_the_host(lab):
    lab.second_client()
    lab.ip(f"-n host addr add {LATER}/24 dev wan", "-n host addr add 192.0.2.7/32 dev lo")
    lab.xdock("up")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    lab.add("web", "--bridge", "docker0", "-p", "8080:80", "-p", "8080:80/udp")
    for address in HOST, LATER, "192.0.2.7", "203.0.113.1", GATEWAY, "10.9.0.1":
        for protocol in "tcp", "udp":
            expect(lab.ask("client", address, 8080, protocol)[:2], ("web", CLIENT), address)
            expect(lab.ask("client2", address, 8080, protocol)[:2], ("web", CLIENT2), address)
            expect(lab.ask("host", address, 8080, protocol)[:2], ("web", address), address)
    for address in "127.0.0.1", "127.0.0.5", "127.200.0.1":
        for protocol in "tcp", "udp":
            expect(lab.ask("host", address, 8080, protocol)[:2], ("web", GATEWAY), address)


def test_traffic_that_is_routed_through_is_not_translated(lab):
    lab.second_client()
    up(lab, "8080:80", "8080:80/udp")
    for protocol in "tcp", "udp":
        lab.echo("client2", 8080, protocol)
    tap = lab.capture("web", "eth0")
    for protocol in "tcp", "udp":
        expect(lab.ask("client", CLIENT2, 8080, protocol)[:2], ("client2", CLIENT))
        expect(lab.ask("host", CLIENT2, 8080, protocol)[:2], ("client2", "203.0.113.1"))
    expect(packets_at(tap), None, "packet at the container")


def test_a_port_of_one_address_answers_there_alone(lab):
    lab.second_client()
    lab.ip(f"-n host addr add {LATER}/24 dev wan")
    up(lab, f"{HOST}:8080:80", f"{HOST}:8080:80/udp")
    for protocol in "tcp", "udp":
        expect(lab.ask("client", HOST, 8080, protocol)[:2], ("web", CLIENT))
        expect(lab.ask("client2", HOST, 8080, protocol)[:2], ("web", CLIENT2), "by the other NIC")
        expect(lab.ask("host", HOST, 8080, protocol)[:2], ("web", HOST))
    expect_nobody(lab, "client", LATER)
    expect_nobody(lab, "client2", "203.0.113.1")
    for address in "127.0.0.1", LATER, GATEWAY, "203.0.113.1":
        expect_nobody(lab, "host", address)


def test_one_port_of_two_addresses_leads_to_two_containers(lab):
    lab.ip(f"-n host addr add {LATER}/24 dev wan")
    lab.xdock("up")
    lab.add("a", "-p", f"{HOST}:8080:80", "-p", f"{HOST}:8080:80/udp")
    lab.add("b", "-p", f"{LATER}:8080:80", "-p", f"{LATER}:8080:80/udp")
    for protocol in "tcp", "udp":
        expect(lab.ask("client", HOST, 8080, protocol)[:2], ("a", CLIENT))
        expect(lab.ask("client", LATER, 8080, protocol)[:2], ("b", CLIENT))
        expect(lab.ask("host", LATER, 8080, protocol)[:2], ("b", LATER))


def test_a_loopback_port_is_for_the_host_alone(lab):
    up(lab, "127.0.0.1:8080:80", "127.0.0.1:8080:80/udp")
    for protocol in "tcp", "udp":
        expect(lab.ask("host", "127.0.0.1", 8080, protocol)[:2], ("web", GATEWAY))
    expect_nobody(lab, "client", HOST)
    expect_nobody(lab, "host", HOST)
    expect_nobody(lab, "host", "127.0.0.2")


def test_a_packet_to_127_0_0_1_from_the_wire_is_dropped_and_counted(lab):
    up(lab, "127.0.0.1:8080:80", "127.0.0.1:8080:80/udp")
    # Even where the kernel would take it.
    lab.write("host", "/proc/sys/net/ipv4/conf/wan/route_localnet", 1)
    tap = lab.capture("web", "eth0")
    answers = lab.capture("client", "eth0")
    for layer in TCP(sport=1000, dport=8080, flags="S"), UDP(sport=1000, dport=8080) / Raw(b"x"):
        lab.send("client", "eth0", frame_to_host(lab, IP(src=CLIENT, dst="127.0.0.1") / layer))
    expect(packets_at(tap), None, "packet at the container")
    expect(packets_at(answers, 0.1), None, "answer")
    expect(lab.drops()["martian"], 2, "martian")


def test_two_loopback_addresses_lead_to_two_containers(lab):
    lab.xdock("up")
    lab.add("two", "-p", "127.0.1.2:8080:80", "-p", "127.0.1.2:8080:80/udp")
    lab.add("three", "-p", "127.0.1.3:8080:80", "-p", "127.0.1.3:8080:80/udp")
    for protocol in "tcp", "udp":
        expect(lab.ask("host", "127.0.1.2", 8080, protocol)[:2], ("two", GATEWAY))
        expect(lab.ask("host", "127.0.1.3", 8080, protocol)[:2], ("three", GATEWAY))
    expect_nobody(lab, "host", "127.0.0.1")


def test_the_host_may_dial_multicast_and_broadcast_and_reaches_no_container(lab):
    up(lab, "8080:80", "8080:80/udp")
    tap = lab.capture("web", "eth0")
    for address in "224.0.0.251", "239.1.2.3", "255.255.255.255":
        expect_raises(OSError, lab.tcp, "host", address, 8080, timeout=0.3)
        sender = lab.open_socket("host", kind=socket.SOCK_DGRAM)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.connect((address, 8080))
        expect(sender.getpeername(), (address, 8080), "getpeername()")
        sender.send(b"to all")
        expect(packets_at(tap), None, f"packet to {address} at the container")
    expect(lab.udp("host", HOST, 8080)[:2], ("web", HOST))


def confined(lab, kind, device=None, source=None):
    """A socket of the host that cannot reach a container."""
    sock = lab.open_socket("host", kind=kind)
    if device:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
    if source:
        sock.bind((source, 0))
    return sock


def test_a_socket_that_is_bound_to_loopback_is_refused_at_once(lab):
    up(lab, "8080:80", "8080:80/udp")
    for how in {"source": "127.0.0.1"}, {"source": "127.0.0.5"}, {"device": b"lo"}:
        start = time.monotonic()
        tcp = confined(lab, socket.SOCK_STREAM, **how)
        expect_raises(ConnectionRefusedError, tcp.connect, ("127.0.0.1", 8080))
        udp = confined(lab, socket.SOCK_DGRAM, **how)
        udp.connect(("127.0.0.1", 8080))
        udp.send(b"x")
        expect_raises(ConnectionRefusedError, udp.recv, 100)
        unconnected = confined(lab, socket.SOCK_DGRAM, **how)
        expect(unconnected.sendto(b"x", ("127.0.0.1", 8080)), 1, "sendto()")
        took = time.monotonic() - start
        assert took < 5, f"{how}: {took} s"
    for protocol in "tcp", "udp":
        expect(lab.ask("host", "127.0.0.1", 8080, protocol)[:2], ("web", GATEWAY))


def test_a_vlan_frame_to_a_published_port_is_not_translated(lab):
    up(lab, "8080:80/udp")
    tap = lab.capture("web", "eth0")
    packet = IP(src=CLIENT, dst=HOST) / UDP(sport=1000, dport=8080) / Raw(b"tagged")
    lab.send("client", "eth0", frame_to_host(lab, Dot1Q(vlan=7) / packet))
    expect(packets_at(tap), None, "packet at the container")
    lab.send("client", "eth0", frame_to_host(lab, packet))
    assert packets_at(tap), "the untagged packet did not arrive"


def test_a_frame_with_a_priority_tag_to_a_published_port_is_delivered_without_it(lab):
    up(lab, "8080:80/udp")
    tap = lab.capture("web", "eth0")
    packet = IP(src=CLIENT, dst=HOST) / UDP(sport=1000, dport=8080) / Raw(b"tagged")
    for tag in Dot1Q(vlan=0, prio=5), Dot1AD(vlan=0):
        lab.send("client", "eth0", frame_to_host(lab, tag / packet))
        frame = packets_at(tap, 10)
        assert frame, f"nothing arrived of {tag.summary()}"
        expect(frame[12:14], b"\x08\x00", "type of the frame")
        expect((IP(frame[14:]).dst, IP(frame[14:])[UDP].dport), ("172.17.0.2", 80), "to")
    # A VLAN behind it is one.
    lab.send("client", "eth0", frame_to_host(lab, Dot1Q(vlan=0) / Dot1Q(vlan=7) / packet))
    expect(packets_at(tap), None, "packet of a VLAN")
