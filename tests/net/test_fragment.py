# SPDX-License-Identifier: GPL-2.0-only
"""Row 31: datagrams in fragments, published and masqueraded, in whatever order they come."""

from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.packet import Raw

from lab import CLIENT, HOST, expect
from wire import drop_count, expect_sums, find_ip, from_client, from_container

WEB, SIBLING = "172.17.0.2", "172.17.0.3"
BIG = b"".join(b"%07d " % i for i in range(1000))


def up(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80/udp")
    lab.add("sibling")
    lab.echo("client", 7000, "udp")


def parts(datagram, size=1480):
    """Its fragments, as frames' payloads."""
    return [IP(bytes(part)) for part in fragment(datagram, size)]


def outbound(lab, payload, identifier, name="web", source=WEB, port=5000):
    """Fragments from a container to the client, and the function that sends one of them."""
    header = from_container(lab, name)
    ports = UDP(sport=port, dport=7001)
    datagram = IP(src=source, dst=CLIENT, id=identifier) / ports / Raw(payload)
    return parts(datagram), lambda part: lab.send(name, "eth0", header / part)


def inbound(lab, payload, identifier, port=5000):
    """The same from the client to the published port."""
    header = from_client(lab)
    datagram = IP(src=CLIENT, dst=HOST, id=identifier) / UDP(sport=port, dport=8080) / Raw(payload)
    return parts(datagram), lambda part: lab.send("client", "eth0", header / part)


def receiver(lab, ns, port):
    sock = lab.bound(ns, port, "udp")
    sock.settimeout(10)
    return sock


def test_datagrams_of_eight_kilobytes_go_both_ways(lab):
    up(lab)
    for _ in range(3):
        expect(lab.udp("client", HOST, 8080, payload=BIG, source_port=5000), ("web", CLIENT, 5000))
        expect(lab.udp("web", CLIENT, 7000, payload=BIG, source_port=5000), ("client", HOST, 5000))
        answer = lab.udp("sibling", CLIENT, 7000, payload=BIG, source_port=5000)
        expect(answer[:2], ("client", HOST))
    expect(lab.udp("sibling", HOST, 8080, payload=BIG, source_port=6000), ("web", SIBLING, 6000))
    expect(lab.udp("host", HOST, 8080, payload=BIG)[:2], ("web", HOST))


def test_pings_of_four_kilobytes_go_both_ways(lab):
    up(lab)
    lab.container("web", "ping", "-c2", "-i0.2", "-W10", "-s4000", CLIENT)
    lab.container("web", "ping", "-c1", "-W10", "-s4000", HOST)
    lab.container("web", "ping", "-c1", "-W10", "-s4000", SIBLING)
    lab.host("ping", "-c1", "-W10", "-s4000", WEB)


def test_fragments_in_any_order_after_the_first_make_the_datagram(lab):
    up(lab)
    for make, ns, port, peer in ((outbound, "client", 7001, (HOST, 5000)),
                                 (inbound, "web", 81, (CLIENT, 5000))):
        if make is inbound:
            lab.xdock("port", "rm", "8080/udp")
            lab.xdock("port", "add", "web", "8080:81/udp")
        server = receiver(lab, ns, port)
        first, *rest = range(6)
        for identifier, order in enumerate(([first, *reversed(rest)], [first, *rest],
                                            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5]), 70):
            fragments, send = make(lab, BIG + bytes([identifier]), identifier)
            expect(len(fragments), 6)
            for i in order:
                send(fragments[i])
            data, source = server.recvfrom(65536)
            expect((data == BIG + bytes([identifier]), source), (True, peer), f"{order}")


def test_two_datagrams_whose_fragments_are_mixed_both_arrive(lab):
    up(lab)
    server = receiver(lab, "client", 7001)
    one, send_one = outbound(lab, b"1" * 3000, 1)
    other, send_other = outbound(lab, b"2" * 3000, 2, port=5001)
    of_sibling, send_third = outbound(lab, b"3" * 3000, 3, "sibling", SIBLING)
    for fragments in zip(one, other, of_sibling):
        for part, send in zip(fragments, (send_one, send_other, send_third)):
            send(part)
    got = {}
    for _ in range(3):
        data, source = server.recvfrom(65536)
        expect(len(set(data)), 1, "datagrams in one")
        got[data[:1]] = len(data), source
    expect((got[b"1"], got[b"2"]), ((3000, (HOST, 5000)), (3000, (HOST, 5001))))
    expect((got[b"3"][0], got[b"3"][1][0]), (3000, HOST))
    assert got[b"3"][1][1] != 5000, "port of another container"


def to_two_containers(lab, *identifiers):
    """Fragments of a datagram to each of two containers, and the sockets that wait for them."""
    up(lab)
    servers = []
    for name, port in ("web", 8081), ("sibling", 8082):
        lab.xdock("port", "add", name, f"{port}:81/udp")
        servers.append(receiver(lab, name, 81))
    datagrams = [parts(IP(src=CLIENT, dst=HOST, id=identifier) / UDP(sport=5000, dport=port) /
                       Raw(bytes([port - 8080]) * 3000))
                 for identifier, port in zip(identifiers, (8081, 8082))]
    return servers, datagrams


def expect_each(servers):
    for number, server in enumerate(servers, 1):
        expect(server.recvfrom(65536), (bytes([number]) * 3000, (CLIENT, 5000)), "datagram")


def test_mixed_fragments_to_two_containers_reach_each_its_own(lab):
    servers, datagrams = to_two_containers(lab, 1, 2)
    for pair in zip(*datagrams):
        for part in pair:
            lab.send("client", "eth0", from_client(lab) / part)
    expect_each(servers)


def test_an_identifier_that_comes_back_belongs_to_the_datagram_that_has_it_now(lab):
    servers, datagrams = to_two_containers(lab, 80, 80)
    for datagram in datagrams:
        for part in datagram:
            lab.send("client", "eth0", from_client(lab) / part)
    expect_each(servers)


def test_headers_of_fragments_are_translated_and_their_payload_is_not(lab):
    up(lab)
    tap = lab.capture("client", "eth0")
    fragments, send = outbound(lab, BIG, 77)
    for part in fragments:
        send(part)
        seen = find_ip(tap, src=HOST, id=77, frag=part.frag)
        expect_sums(seen)
        expect((seen.ttl, seen.flags, seen.len), (part.ttl - 1, part.flags, part.len), "header")
        skip = 0 if part.frag else 8
        expect(bytes(seen.payload)[skip:] == bytes(part.payload)[skip:], True, "payload")


def test_a_datagram_for_the_host_does_not_follow_one_of_the_same_identifier(lab):
    up(lab)
    inside, outside = lab.capture("web", "eth0"), lab.capture("client", "eth0")
    ask = IP(src=WEB, dst=CLIENT) / ICMP(type="echo-request", id=9)
    lab.send("web", "eth0", from_container(lab, "web") / ask)
    assert find_ip(outside, src=HOST, type=8), "nothing was asked"

    def send(kind, identifier):
        for part in parts(IP(src=CLIENT, dst=HOST, id=80) / ICMP(type=kind, id=identifier) /
                          Raw(BIG[:4000])):
            lab.send("client", "eth0", from_client(lab) / part)

    send("echo-reply", 9)
    for frag in 0, 185, 370:
        assert find_ip(inside, src=CLIENT, id=80, frag=frag), f"no {frag} at the container"
    send("echo-request", 5)
    reply = find_ip(outside, src=HOST, type=0, frag=0)
    assert reply, "the host does not answer"
    expect(reply[ICMP].id, 5)
    expect(find_ip(inside, 0.2, src=CLIENT, id=80), None, "fragment at the container")


def test_a_later_fragment_alone_is_dropped_where_a_container_sends_it(lab):
    up(lab)
    tap = lab.capture("client", "eth0")
    (_, *later), send = outbound(lab, BIG, 78)
    for part in later:
        expect(drop_count(lab, "fragment", lambda: send(part)), 1)
    expect(find_ip(tap, 0.2, id=78), None, "fragment at the client")


def test_a_later_fragment_alone_reaches_no_container(lab):
    """Its first bytes are no ports, however much they look like some."""
    up(lab)
    tap = lab.capture("web", "eth0")
    lookalike = bytes(UDP(sport=5000, dport=8080, len=1480)) + bytes(1472)
    for frag in 185, 370:
        part = IP(src=CLIENT, dst=HOST, id=79, proto=17, frag=frag) / Raw(lookalike)
        lab.send("client", "eth0", from_client(lab) / part)
    expect(find_ip(tap, 0.3, src=CLIENT), None, "fragment at the container")
    # To the container's own address no more than anything else.
    part = IP(src=CLIENT, dst=WEB, id=79, proto=17, frag=185) / Raw(lookalike)
    frame = from_client(lab) / part
    expect(drop_count(lab, "fragment", lambda: lab.send("client", "eth0", frame)), 1)
    expect(find_ip(tap, 0.2, src=CLIENT), None, "fragment at the container")


def test_fragments_for_the_host_itself_are_put_together_by_the_host(lab):
    up(lab)
    lab.echo("host", 7002, "udp")
    expect(lab.udp("client", HOST, 7002, payload=BIG)[:2], ("host", CLIENT))
    expect(lab.udp("web", HOST, 7002, payload=BIG)[:2], ("host", WEB))
    lab.client("ping", "-c1", "-W10", "-s4000", HOST)
