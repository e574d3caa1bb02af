# SPDX-License-Identifier: GPL-2.0-only
"""Between containers of one network: what the programs carry, and what they leave to the bridge."""

import socket

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR, fragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from lab import expect

A, B, C = "172.17.0.2", "172.17.0.3", "172.17.0.4"
MAC_A, MAC_B = "02:42:ac:11:00:02", "02:42:ac:11:00:03"
BROADCAST = "ff:ff:ff:ff:ff:ff"


def up(lab):
    lab.xdock("up")
    for name, address in (("a", A), ("b", B), ("c", C)):
        expect(lab.add(name), address, "address")


def arrives(lab, frame, *where):
    """Sends a frame from a; it has to arrive unchanged at all of these, and nowhere else."""
    taps = {name: lab.capture(name, "eth0") for name in ("b", "c")}
    frame = bytes(frame)
    lab.send("a", "eth0", frame)
    for name, tap in taps.items():
        found = tap.find(lambda seen: seen == frame, 10 if name in where else 0.1)
        expect(found, frame if name in where else None, f"frame at {name}")


def carried(lab, name):
    """Packets that left a container without the bridge."""
    return next(row["packets_out"] for row in lab.stats()["containers"] if row["container"] == name)


def test_siblings_see_each_others_address_by_tcp_and_udp(lab):
    up(lab)
    expect(lab.tcp("a", B, 80, source_port=5000), ("b", A, 5000))
    expect(lab.udp("a", B, 80, source_port=5000), ("b", A, 5000))
    expect(lab.tcp("b", A, 80, source_port=5000), ("a", B, 5000))
    expect(lab.udp("c", B, 80, source_port=5000, payload=b"x" * 1400), ("b", C, 5000))


def test_siblings_ping_each_other(lab):
    up(lab)
    lab.container("a", "ping", "-c1", "-W10", B)
    lab.container("b", "ping", "-c1", "-W10", "-s", "1472", C)
    lab.container("b", "ping", "-c1", "-W10", "-s", "4000", C)


def test_every_ipv4_packet_between_siblings_arrives_unchanged(lab):
    up(lab)
    to_b = Ether(src=MAC_A, dst=MAC_B)
    payloads = {
        "tcp": TCP(sport=1, dport=2, flags="S"),
        "udp": UDP(sport=1, dport=2) / Raw(b"udp"),
        "icmp": ICMP() / Raw(b"icmp"),
        "sctp": Raw(b"\x00\x01\x00\x02" + bytes(24)),
        "gre": Raw(b"\x00\x00\x08\x00" + bytes(24)),
        "experimental": Raw(b"hello"),
    }
    numbers = {"sctp": 132, "gre": 47, "experimental": 253}
    for name, payload in payloads.items():
        ip = IP(src=A, dst=B, ttl=64, **({"proto": numbers[name]} if name in numbers else {}))
        before = carried(lab, "a")
        arrives(lab, to_b / ip / payload, "b")
        # b may answer, a does not go on by itself except for what it is asked for.
        assert carried(lab, "a") > before, f"{name}: taken by the bridge"


def test_ttl_one_between_siblings_is_not_decremented(lab):
    up(lab)
    arrives(lab, Ether(src=MAC_A, dst=MAC_B) / IP(src=A, dst=B, ttl=1) / UDP(sport=1, dport=2), "b")


def test_fragments_and_ip_options_between_siblings_arrive_unchanged(lab):
    up(lab)
    to_b = Ether(src=MAC_A, dst=MAC_B)
    for part in fragment(IP(src=A, dst=B) / UDP(sport=1, dport=2) / Raw(bytes(3000)), 1000):
        arrives(lab, to_b / part, "b")
    options = [IPOption_RR(routers=["0.0.0.0"] * 3)]
    arrives(lab, to_b / IP(src=A, dst=B, options=options) / UDP(sport=1, dport=2), "b")


def test_arp_is_answered_by_the_sibling(lab):
    up(lab)
    tap = lab.capture("a", "eth0")
    request = Ether(src=MAC_A, dst=BROADCAST) / ARP(op=1, hwsrc=MAC_A, psrc=A, pdst=B)
    arrives(lab, request, "b", "c")
    answer = tap.find(lambda frame: frame[12:14] == b"\x08\x06" and Ether(frame)[ARP].op == 2)
    assert answer, "no answer"
    expect(Ether(answer)[ARP].hwsrc, MAC_B, "answer")


def test_broadcast_and_multicast_reach_every_sibling(lab):
    up(lab)
    for address in "255.255.255.255", "172.17.255.255":
        broadcast = Ether(src=MAC_A, dst=BROADCAST)
        arrives(lab, broadcast / IP(src=A, dst=address) / UDP(dport=9), "b", "c")
    multicast = Ether(src=MAC_A, dst="01:00:5e:00:00:fb")
    arrives(lab, multicast / IP(src=A, dst="224.0.0.251", ttl=1) / UDP(dport=5353), "b", "c")


def test_a_broadcast_datagram_is_received_by_the_siblings(lab):
    up(lab)
    receivers = [lab.bound(name, 4000, "udp") for name in ("b", "c")]
    sender = lab.open_socket("a", kind=socket.SOCK_DGRAM)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sender.sendto(b"all", ("172.17.255.255", 4000))
    for receiver in receivers:
        receiver.settimeout(10)
        data, peer = receiver.recvfrom(100)
        expect((data, peer[0]), (b"all", A))


def test_other_ethertypes_pass_unchanged(lab):
    up(lab)
    for kind in 0x88B5, 0x88CC, 0x0842:
        arrives(lab, Ether(src=MAC_A, dst=MAC_B, type=kind) / Raw(bytes(range(64))), "b")


def test_vlan_frames_between_containers_take_the_bridge_with_their_tag(lab):
    up(lab)
    before = carried(lab, "a")
    tagged = Ether(src=MAC_A, dst=MAC_B) / Dot1Q(vlan=7, prio=3)
    arrives(lab, tagged / IP(src=A, dst=B) / UDP(sport=1, dport=2) / Raw(b"tagged"), "b")
    arrives(lab, tagged / IP(src="10.7.0.1", dst="10.7.0.2") / UDP(sport=1, dport=2), "b")
    arrives(lab, Ether(src=MAC_A, dst=BROADCAST) / Dot1Q(vlan=7) / ARP(psrc=A, pdst=B), "b", "c")
    expect(carried(lab, "a"), before, "packets without the bridge")


def test_ipv6_between_containers_passes(lab):
    up(lab)
    for name, address in (("a", "fd00::1"), ("b", "fd00::2")):
        lab.write(name, "/proc/sys/net/ipv6/conf/eth0/disable_ipv6", 0)
        lab.container(name, "ip", "addr", "add", address + "/64", "dev", "eth0", "nodad")
    lab.container("a", "ping", "-6", "-c1", "-W10", "fd00::2")


def test_frames_for_another_mac_address_follow_the_bridge(lab):
    """c owns the MAC address, b the IP address: the bridge decides by the former."""
    up(lab)
    lab.tcp("c", A, 80)
    mac_c = "02:42:ac:11:00:04"
    arrives(lab, Ether(src=MAC_A, dst=mac_c) / IP(src=A, dst=B) / UDP(sport=1, dport=2), "c")


def test_containers_and_the_gateway_reach_each_other(lab):
    up(lab)
    lab.echo("host", 7000)
    lab.echo("host", 7000, "udp")
    for gateway in "172.17.0.1", "198.51.100.1":
        expect(lab.tcp("a", gateway, 7000)[:2], ("host", A))
        expect(lab.udp("a", gateway, 7000)[:2], ("host", A))


def test_the_host_reaches_every_port_of_a_container(lab):
    up(lab)
    lab.echo("a", 12345)
    lab.echo("a", 12345, "udp")
    expect(lab.tcp("host", A, 12345)[:2], ("a", "172.17.0.1"))
    expect(lab.udp("host", A, 12345)[:2], ("a", "172.17.0.1"))
    expect(lab.tcp("host", A, 12345, source="198.51.100.1")[:2], ("a", "198.51.100.1"))
    lab.host("ping", "-c1", "-W10", A)
    lab.host("ping", "-c1", "-W10", "-s", "4000", A)
