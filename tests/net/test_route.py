# SPDX-License-Identifier: GPL-2.0-only
"""By which route replies leave, and with which addresses."""

import socket

from scapy.layers.inet import IP

from lab import CLIENT, HOST, expect, expect_raises

FAR = "192.0.2.9"
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 0, 2


def neighbours(lab):
    return lab.host("ip", "-6", "neigh", "show", "dev", "wan").stdout


def test_replies_follow_an_ipv4_route_with_an_ipv6_next_hop(lab):
    lab.ip("-n client addr add fe80::2/64 dev eth0 nodad", "-n host addr add fe80::1/64 dev wan nodad",
           f"-n client addr add {FAR}/32 dev lo",
           "-4 -n host route replace default via inet6 fe80::2 dev wan")
    lab.xdock("up")
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")
    for protocol in "tcp", "udp":
        lab.ip("-n host -6 neigh flush dev wan")
        expect("fe80::2 " in neighbours(lab), False, "neighbour before")
        for state in "unknown", "known":
            answer = lab.ask("client", HOST, 8080, protocol, source=FAR)
            expect(answer[:2], ("web", FAR), f"{protocol}, neighbour {state}")
        expect("fe80::2 " in neighbours(lab), True, "neighbour after")


def serve_big(sock):
    while True:
        _, peer = sock.recvfrom(100)
        sock.sendto(bytes(1400), peer)


def test_a_reply_too_big_for_the_uplink_never_leaves_with_the_address_of_the_container(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:81/udp")
    server = lab.bound("web", 81, "udp")
    server.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    lab.fork(serve_big, server)
    client = lab.open_socket("client", kind=socket.SOCK_DGRAM)
    client.connect((HOST, 8080))
    client.send(b"x")
    expect(len(client.recv(3000)), 1400, "where the uplink is wide enough")
    lab.ip("-n host link set wan mtu 1300")
    tap = lab.capture("client", "eth0")
    client.send(b"x")
    client.settimeout(0.5)
    expect_raises(TimeoutError, client.recv, 3000)
    seen = tap.find(lambda frame: frame[12:14] == b"\x08\x00" and
                    IP(frame[14:]).src.startswith("172.17."), 0.2)
    expect(seen, None, "packet with the address of the container")
    expect(lab.drops()["untranslated"], 1, "untranslated")


def test_a_container_hears_of_an_uplink_that_is_too_narrow_for_what_may_not_be_fragmented(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:81/udp")
    server = lab.bound("web", 81, "udp")
    server.settimeout(10)
    server.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    lab.ip("-n host link set wan mtu 1300")
    client = lab.open_socket("client", kind=socket.SOCK_DGRAM)
    client.connect((HOST, 8080))
    client.send(b"x")
    _, peer = server.recvfrom(100)
    server.sendto(bytes(1400), peer)
    # The kernel's ICMP message comes first as an error of the socket.
    expect_raises(OSError, server.recvfrom, 100)
    error = expect_raises(OSError, server.sendto, bytes(1400), peer)
    expect(error.errno, 90, "EMSGSIZE")
    server.sendto(bytes(1272), peer)
    expect(len(client.recv(3000)), 1272, "what fits")
    expect(lab.drops()["untranslated"], 0, "untranslated")


def test_a_path_mtu_that_the_host_has_learned_does_not_stop_translation(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:81/udp")
    server = lab.bound("web", 81, "udp")
    server.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    lab.fork(serve_big, server)
    # What the FIB answers then is the same for a route's MTU.
    lab.ip(f"-n host route add {CLIENT}/32 dev wan mtu lock 1300")
    client = lab.open_socket("client", kind=socket.SOCK_DGRAM)
    client.connect((HOST, 8080))
    client.send(b"x")
    expect(len(client.recv(3000)), 1400, "answer")
    expect(lab.drops()["untranslated"], 0, "untranslated")
