# SPDX-License-Identifier: GPL-2.0-only
"""Rows 48 and 49: SCTP, whose checksum covers the ports and not the addresses. Many a kernel has no
sockets for it, so its packets are made by hand, and only the test speaks."""

from scapy.layers.inet import ICMP, IP
from scapy.packet import Raw

from lab import CLIENT, GATEWAY, HOST, expect
from wire import (SCTP, drop_count, expect_sums, find_ip, from_client, from_container, mute,
                  sctp)

WEB, SIBLING = "172.17.0.2", "172.17.0.3"
DATA, INIT, INIT_ACK, SHUTDOWN = 0, 1, 2, 7
# Tag, window, numbers of streams, first transmission number: RFC 9260, 3.3.2.
INIT_VALUE = bytes.fromhex("01020304 00010000 000a 000a 00000001")
DATA_VALUE = bytes.fromhex("00000001 0000 0000 00000000") + b"five!"


def up(lab, *specs):
    lab.xdock("up")
    lab.xdock("container", "add", "web", *(word for spec in specs for word in ("-p", spec)))
    lab.xdock("container", "add", "sibling")
    # The answers of kernels that have no SCTP would be in the way.
    mute(lab, "web", "sibling", "client")


def passes(lab, sender, header, packet, tap, **expected):
    """Sends a packet; returns it as it comes to the tap, right in all that it consists of."""
    lab.send(sender, "eth0", header / packet)
    seen = find_ip(tap, proto=SCTP, **expected)
    assert seen, f"nothing with {expected} came of {packet.summary()}"
    expect_sums(seen)
    expect(bytes(seen.payload)[:len(packet.payload)] == bytes(packet.payload), True, "SCTP packet")
    return seen


def test_an_association_to_a_published_port_passes_both_ways(lab):
    up(lab, "5000:5000/sctp")
    inside, outside = lab.capture("web", "eth0"), lab.capture("client", "eth0")
    to_host, to_bridge = from_client(lab), from_container(lab, "web")
    for kind, value in (INIT, INIT_VALUE), (DATA, DATA_VALUE), (SHUTDOWN, bytes(4)):
        request = sctp(CLIENT, 7777, HOST, 5000, (kind, value))
        passes(lab, "client", to_host, request, inside, src=CLIENT, dst=WEB)
        reply = sctp(WEB, 5000, CLIENT, 7777, (INIT_ACK, value))
        passes(lab, "web", to_bridge, reply, outside, src=HOST, dst=CLIENT)


def test_an_association_of_a_container_leaves_with_its_port_and_is_answered(lab):
    up(lab)
    inside, outside = lab.capture("web", "eth0"), lab.capture("client", "eth0")
    to_host, to_bridge = from_client(lab), from_container(lab, "web")
    for kind, value in (INIT, INIT_VALUE), (DATA, DATA_VALUE):
        request = sctp(WEB, 40000, CLIENT, 7777, (kind, value))
        passes(lab, "web", to_bridge, request, outside, src=HOST, dst=CLIENT)
        reply = sctp(CLIENT, 7777, HOST, 40000, (INIT_ACK, value))
        passes(lab, "client", to_host, reply, inside, src=CLIENT, dst=WEB)
    (flow,) = lab.xdock("flow", "list", json=True)["flows"]
    expect((flow["protocol"], flow["port"], flow["host_port"]), ("sctp", 40000, 40000))


def test_the_second_container_with_one_port_to_one_remote_is_refused(lab):
    up(lab)
    outside = lab.capture("client", "eth0")
    first = sctp(WEB, 40000, CLIENT, 7777, (INIT, INIT_VALUE))
    second = sctp(SIBLING, 40000, CLIENT, 7777, (INIT, INIT_VALUE))
    passes(lab, "web", from_container(lab, "web"), first, outside, src=HOST, dst=CLIENT)
    frame = from_container(lab, "sibling") / second
    expect(drop_count(lab, "no-port", lambda: lab.send("sibling", "eth0", frame)), 1)
    expect(find_ip(outside, 0.2, proto=SCTP), None, "packet at the client")
    # To another remote, or from another port, it is served.
    other = sctp(SIBLING, 40001, CLIENT, 7777, (INIT, INIT_VALUE))
    passes(lab, "sibling", from_container(lab, "sibling"), other, outside, src=HOST, dst=CLIENT)
    passes(lab, "web", from_container(lab, "web"), first, outside, src=HOST, dst=CLIENT)


def test_containers_reach_a_published_port_of_their_host(lab):
    up(lab, "5000:5000/sctp")
    inside, there = lab.capture("web", "eth0"), lab.capture("sibling", "eth0")
    request = sctp(SIBLING, 40000, HOST, 5000, (INIT, INIT_VALUE))
    passes(lab, "sibling", from_container(lab, "sibling"), request, inside, src=SIBLING, dst=WEB)
    reply = sctp(WEB, 5000, SIBLING, 40000, (INIT_ACK, INIT_VALUE))
    header = from_container(lab, "web")
    header.dst = lab.link_info("sibling", "eth0")["address"]
    passes(lab, "web", header, reply, there, src=HOST, dst=SIBLING)
    request = sctp(WEB, 40000, HOST, 5000, (INIT, INIT_VALUE))
    passes(lab, "web", from_container(lab, "web"), request, inside, src=GATEWAY, dst=WEB)


def test_an_error_about_an_association_is_translated(lab):
    up(lab, "5000:5000/sctp")
    inside, outside = lab.capture("web", "eth0"), lab.capture("client", "eth0")
    request = sctp(CLIENT, 7777, HOST, 5000, (INIT, INIT_VALUE))
    seen = passes(lab, "client", from_client(lab), request, inside, src=CLIENT, dst=WEB)
    error = IP(src=WEB, dst=CLIENT) / ICMP(type=3, code=2) / Raw(bytes(seen.original))
    lab.send("web", "eth0", from_container(lab, "web") / error)
    got = find_ip(outside, src=HOST, dst=CLIENT, proto=1)
    expect_sums(got)
    embedded = IP(bytes(got[ICMP].payload))
    expect((embedded.src, embedded.dst, bytes(embedded.payload)),
           (CLIENT, HOST, bytes(IP(bytes(request)).payload)), "what is inside")


def test_one_port_number_of_three_protocols_leads_to_three_containers(lab):
    """Row 48."""
    lab.xdock("up")
    lab.xdock("container", "add", "three", "-p", "5000:5000/sctp")
    lab.add("one", "-p", "5000:80")
    lab.add("two", "-p", "5000:80/udp")
    expect(lab.tcp("client", HOST, 5000)[:2], ("one", CLIENT))
    expect(lab.udp("client", HOST, 5000)[:2], ("two", CLIENT))
    inside = lab.capture("three", "eth0")
    request = sctp(CLIENT, 7777, HOST, 5000, (INIT, INIT_VALUE))
    passes(lab, "client", from_client(lab), request, inside, src=CLIENT, dst=WEB)
