# SPDX-License-Identifier: GPL-2.0-only
"""Published ports, dialled by containers of the same host: who reaches them, and as whom. lab.tcp
and lab.udp also check that the answer comes from what was dialled."""

import errno
import hashlib
import os
import socket

from scapy.layers.inet import IP, TCP

from lab import CLIENT, GATEWAY, HOST, expect, expect_raises, skip
from wire import (Error, dial, drop_count, expect_talk, find_ip, from_container, hear_errors,
                  listen)

WEB, SIBLING = "172.17.0.2", "172.17.0.3"
OTHER, OTHER_GATEWAY = "10.9.0.2", "10.9.0.1"
MEGABYTE = os.urandom(1 << 20)


def up(lab, *options, other=()):
    """web with published ports and its sibling; other in a network of its own."""
    lab.xdock("up", *options)
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")
    lab.add("sibling")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24", *other)
    lab.add("other", "--bridge", "br1")


def ask(lab, ns, address, port=8080, **options):
    """The client as web saw it, by TCP, UDP and connected UDP: the same in all."""
    answers = [lab.tcp(ns, address, port, **options)]
    answers += [lab.udp(ns, address, port, connected=connected, **options)
                for connected in (False, True)]
    expect({answer.server for answer in answers}, {"web"}, f"server of {ns} at {address}")
    (source,) = {answer.address for answer in answers}
    return source


def test_each_client_of_a_published_port_comes_from_the_address_of_the_matrix(lab):
    """Row 40."""
    up(lab)
    expect(ask(lab, "client", HOST), CLIENT, "remote")
    expect(ask(lab, "host", "127.0.0.1"), GATEWAY, "host by 127.0.0.1")
    expect(ask(lab, "host", HOST), HOST, "host by its own address")
    expect(ask(lab, "sibling", HOST), SIBLING, "sibling")
    expect(ask(lab, "other", HOST), GATEWAY, "other network")
    expect(ask(lab, "web", HOST), GATEWAY, "the server itself")


def test_a_published_port_answers_containers_on_every_address_of_the_host(lab):
    """Rows 41 and 42."""
    lab.second_client()
    up(lab)
    for address in HOST, "203.0.113.1", GATEWAY, OTHER_GATEWAY:
        expect(ask(lab, "sibling", address), SIBLING, f"sibling to {address}")
        expect(ask(lab, "other", address), GATEWAY, f"other network to {address}")
        expect(ask(lab, "web", address), GATEWAY, f"the server itself to {address}")


def test_a_port_of_one_address_answers_containers_there_alone(lab):
    """Row 45."""
    lab.second_client()
    lab.xdock("up")
    lab.add("web", "-p", f"{HOST}:8080:80", "-p", f"{HOST}:8080:80/udp")
    lab.add("sibling")
    expect(ask(lab, "sibling", HOST), SIBLING)
    expect(ask(lab, "web", HOST), GATEWAY)
    for name in "sibling", "web":
        for address in "203.0.113.1", GATEWAY:
            expect_raises(ConnectionRefusedError, lab.tcp, name, address, 8080)
            expect_raises(ConnectionRefusedError, lab.udp, name, address, 8080, connected=True)


def test_a_loopback_port_of_the_host_is_not_for_containers(lab):
    """Row 46."""
    lab.xdock("up")
    lab.add("web", "-p", "127.0.0.1:8080:80")
    lab.add("sibling")
    for address in HOST, GATEWAY:
        expect_raises(ConnectionRefusedError, lab.tcp, "sibling", address, 8080)
    tap = lab.capture("web", "eth0")
    frame = (from_container(lab, "sibling") / IP(src=SIBLING, dst="127.0.0.1", id=99) /
             TCP(sport=5000, dport=8080, flags="S"))
    expect(drop_count(lab, "martian", lambda: lab.send("sibling", "eth0", frame)), 1)
    expect(find_ip(tap, 0.2, id=99), None, "packet at the server")


def test_hairpin_keeps_the_source_port_of_a_sibling(lab):
    """Row 41."""
    up(lab)
    for port in 5000, 40000, 1023:
        expect(lab.tcp("sibling", HOST, 8080, source_port=port), ("web", SIBLING, port))
        expect(lab.udp("sibling", HOST, 8080, source_port=port), ("web", SIBLING, port))


def test_two_siblings_with_one_source_port_are_served_at_once(lab):
    """Row 41."""
    up(lab)
    lab.add("second")
    lab.xdock("port", "add", "web", "8081:81")
    listener = listen(lab, "web", 81)
    ends, peers = {}, {}
    for name in "sibling", "second":
        *ends[name], peers[name] = dial(lab, name, listener, HOST, 8081, source_port=5000)
    expect(peers, {"sibling": (SIBLING, 5000), "second": ("172.17.0.4", 5000)})
    for name in "second", "sibling", "second":
        expect_talk(*ends[name])


def test_two_containers_of_another_network_with_one_source_port_are_served_at_once(lab):
    """Row 42."""
    up(lab)
    lab.add("second", "--bridge", "br1")
    lab.xdock("port", "add", "web", "8081:81")
    listener = listen(lab, "web", 81)
    ends, peers = {}, {}
    # The third is the server itself, which comes from the gateway as well.
    for name in "other", "second", "web":
        *ends[name], peers[name] = dial(lab, name, listener, HOST, 8081, source_port=5000)
    expect({peer[0] for peer in peers.values()}, {GATEWAY})
    expect(len(set(peers.values())), 3, f"different ports of {peers}")
    for name in "second", "web", "other", "second":
        expect_talk(*ends[name])


def test_a_sibling_may_dial_the_port_and_the_container_from_one_source_port(lab):
    """Row 41: to the container itself it is another flow, or the first one is not harmed."""
    up(lab)
    lab.xdock("port", "add", "web", "8081:81")
    listener = listen(lab, "web", 81)
    near, far, peer = dial(lab, "sibling", listener, HOST, 8081, source_port=5000)
    expect(peer, (SIBLING, 5000))
    expect(lab.tcp("sibling", WEB, 80, source_port=5001), ("web", SIBLING, 5001))
    expect_raises(OSError, lab.tcp, "sibling", WEB, 81, source_port=5000, timeout=0.5)
    expect_talk(near, far)


def test_the_bridge_netfilter_makes_no_difference(lab):
    """Rows 17 and 41."""
    path = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    with lab.inside("host"):
        if not os.path.exists(path):
            skip("no /proc/sys/net/bridge: br_netfilter is not in this kernel")
    up(lab)
    lab.host("iptables", "-P", "FORWARD", "DROP")
    for value in 0, 1:
        lab.write("host", path, value)
        expect(ask(lab, "sibling", HOST), SIBLING, f"sibling, {value}")
        expect(ask(lab, "web", HOST), GATEWAY, f"the server itself, {value}")
        expect(ask(lab, "other", HOST), GATEWAY, f"other network, {value}")
        expect(lab.tcp("sibling", WEB, 80)[:2], ("web", SIBLING))


def test_hairpin_works_with_icc_off_and_from_any_kind_of_network(lab):
    """Rows 15 and 42."""
    up(lab, "--icc", "off", other=("--gateway-mode", "routed"))
    expect(ask(lab, "sibling", HOST), SIBLING, "sibling")
    expect(ask(lab, "other", HOST), GATEWAY, "from a routed network")
    expect(ask(lab, "web", HOST), GATEWAY, "the server itself")
    for options in ("--gateway-mode", "nat-unprotected"), ("--gateway-mode", "nat",
                                                           "--masquerade", "off"):
        lab.xdock("up", "br1", *options)
        expect(ask(lab, "other", HOST), GATEWAY, f"from a network with {options}")


def test_nobody_uses_a_published_port_from_an_internal_network(lab):
    """Row 72."""
    up(lab, other=("--internal",))
    for address in HOST, GATEWAY:
        expect_raises(OSError, lab.tcp, "other", address, 8080, timeout=0.3)
        expect_raises(OSError, lab.udp, "other", address, 8080, timeout=0.3)
    # Nor by the one address of the host that it reaches.
    expect_raises(ConnectionRefusedError, lab.tcp, "other", OTHER_GATEWAY, 8080)


def receive_all(sock, total):
    data = b""
    while len(data) < total and (part := sock.recv(1 << 20)):
        data += part
    return hashlib.sha256(data).hexdigest()


def test_a_megabyte_goes_both_ways_through_each_hairpin(lab):
    """Rows 41 and 42."""
    up(lab)
    lab.xdock("port", "add", "web", "8081:81")
    listener = listen(lab, "web", 81)
    expected = hashlib.sha256(MEGABYTE).hexdigest()
    for name in "sibling", "other", "web":
        near, far, _ = dial(lab, name, listener, HOST, 8081)
        for sender, receiver in (near, far), (far, near):
            lab.fork(sender.sendall, MEGABYTE)
            expect(receive_all(receiver, len(MEGABYTE)), expected, f"SHA-256, {name}")


def test_whoever_is_not_served_hears_so_from_what_was_dialled(lab):
    """Rows 30 and 51."""
    up(lab)
    lab.xdock("port", "add", "web", "8081:81", "8081:81/udp")
    for name in "sibling", "other", "web":
        expect_raises(ConnectionRefusedError, lab.tcp, name, HOST, 8081)
        expect_raises(ConnectionRefusedError, lab.udp, name, HOST, 8081, connected=True)


def test_the_server_hears_that_nobody_waits_for_its_answer(lab):
    """Row 30."""
    up(lab)
    lab.xdock("port", "add", "web", "8081:81/udp")
    for name, offender in ("sibling", SIBLING), ("other", GATEWAY), ("web", GATEWAY):
        server = hear_errors(lab.bound("web", 81, "udp"))
        server.settimeout(10)
        with lab.open_socket(name, kind=socket.SOCK_DGRAM) as client:
            client.sendto(b"word", (HOST, 8081))
            peer = server.recvfrom(100)[1]
        server.sendto(b"answer", peer)
        error = Error(server)
        expect((error.destination, error.offender), (peer, offender), f"of {name}")
        server.close()


def test_hairpin_does_not_leave_the_host(lab):
    """Row 41."""
    up(lab)
    tap = lab.capture("client", "eth0")
    for name in "sibling", "other", "web":
        ask(lab, name, HOST)
    expect(find_ip(tap, 0.2, proto=(1, 6, 17)), None, "packet at the client")


def test_one_source_port_for_two_host_ports_of_one_container_port_is_refused(lab):
    """Row 50: the second flow; the first is not harmed."""
    up(lab)
    lab.xdock("port", "add", "web", "8081:81/udp", "9091:81/udp")
    lab.echo("web", 81, "udp")
    expect(lab.udp("sibling", HOST, 8081, source_port=5000), ("web", SIBLING, 5000))
    drop_count(lab, "port-conflict", lambda: expect_raises(
        TimeoutError, lab.udp, "sibling", HOST, 9091, source_port=5000, timeout=0.3))
    expect(lab.udp("sibling", HOST, 8081, source_port=5000), ("web", SIBLING, 5000))
    # From the gateway, both have ports of their own.
    for port in 8081, 9091:
        expect(lab.udp("other", HOST, port, source_port=5000)[:2], ("web", GATEWAY))


def test_a_host_port_leads_containers_to_another_container(lab):
    """Row 41."""
    up(lab)
    lab.xdock("port", "add", "sibling", "8082:80", "8082:80/udp")
    for protocol in "tcp", "udp":
        expect(lab.ask("web", HOST, 8082, protocol)[:2], ("sibling", WEB))
        expect(lab.ask("sibling", HOST, 8080, protocol)[:2], ("web", SIBLING))
        expect(lab.ask("sibling", HOST, 8082, protocol)[:2], ("sibling", GATEWAY))


def test_the_reply_does_not_depend_on_who_was_served_before(lab):
    """Row 41: a sibling that dialled the port may dial the container itself later, and the other
    way round; and the outside is answered as before."""
    up(lab)
    for _ in range(2):
        expect(lab.udp("sibling", WEB, 80, source_port=5001), ("web", SIBLING, 5001))
        expect(lab.udp("sibling", HOST, 8080, source_port=5000), ("web", SIBLING, 5000))
        expect(lab.udp("client", HOST, 8080, source_port=5000), ("web", CLIENT, 5000))
        expect(lab.udp("web", HOST, 8080, source_port=5000)[:2], ("web", GATEWAY))
        expect(lab.udp("host", WEB, 80, source_port=5002), ("web", GATEWAY, 5002))


def test_the_host_does_not_take_the_port_of_a_flow_that_comes_from_the_gateway(lab):
    """Row 23."""
    up(lab)
    for name in "web", "other":
        for protocol, address in ("udp", ""), ("udp", GATEWAY), ("tcp", ""), ("tcp", GATEWAY):
            answer = lab.ask(name, HOST, 8080, protocol)
            expect(answer[:2], ("web", GATEWAY))
            error = expect_raises(OSError, lab.ask, "host", WEB, 80, protocol, source=address,
                                  source_port=answer.port)
            expect(error.errno, errno.EADDRNOTAVAIL, f"{protocol} from {address!r}")


def test_a_flow_from_the_gateway_does_not_take_the_port_of_a_socket_of_the_host(lab):
    """Row 23."""
    up(lab)
    lab.xdock("port", "add", "web", "8081:81")
    listener = listen(lab, "web", 81)
    *of_host, peer = dial(lab, "host", listener, WEB, 81, source_port=5000)
    expect(peer, (GATEWAY, 5000))
    for name in "web", "other":
        *ends, peer = dial(lab, name, listener, HOST, 8081, source_port=5000)
        assert peer[0] == GATEWAY and peer[1] != 5000, peer
        expect_talk(*ends)
        expect_talk(*of_host)
