# SPDX-License-Identifier: GPL-2.0-only
"""Published ports: who reaches them, and with which source address (lab.tcp and lab.udp also
check that the peer and the source of the answer are the address that was dialled)."""

import json

from lab import CLIENT, GATEWAY, HOST, expect

WEB = "172.17.0.2"


def up(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")


def both_kinds_of_udp(lab, ns, address, expected, **options):
    for connected in False, True:
        expect(lab.udp(ns, address, 8080, connected=connected, **options), expected,
               f"UDP to {address}, connected: {connected}")


def test_a_remote_client_keeps_address_and_port(lab):
    up(lab)
    expect(lab.tcp("client", HOST, 8080, source_port=5555), ("web", CLIENT, 5555))
    both_kinds_of_udp(lab, "client", HOST, ("web", CLIENT, 5555), source_port=5555)


def test_a_remote_client_gets_big_answers_and_datagrams_of_full_size(lab):
    up(lab)
    for size in 1, 1400, 1472:
        expect(lab.udp("client", HOST, 8080, payload=b"x" * (size - 30))[:2], ("web", CLIENT))
    expect(lab.tcp("client", HOST, 8080, payload=b"y" * 3000000)[:2], ("web", CLIENT))


def test_the_host_by_127_0_0_1_is_the_gateway(lab):
    up(lab)
    expect(lab.tcp("host", "127.0.0.1", 8080, source_port=5555), ("web", GATEWAY, 5555))
    both_kinds_of_udp(lab, "host", "127.0.0.1", ("web", GATEWAY, 5555), source_port=5555)


def test_the_host_by_its_own_address_is_that_address(lab):
    up(lab)
    expect(lab.tcp("host", HOST, 8080)[:2], ("web", HOST))
    for connected in False, True:
        expect(lab.udp("host", HOST, 8080, connected=connected)[:2], ("web", HOST))


def test_the_host_by_the_address_of_the_bridge_is_that_address(lab):
    up(lab)
    expect(lab.tcp("host", GATEWAY, 8080)[:2], ("web", GATEWAY))
    for connected in False, True:
        expect(lab.udp("host", GATEWAY, 8080, connected=connected)[:2], ("web", GATEWAY))


def test_a_dual_stack_socket_of_the_host_is_translated_like_any_other(lab):
    up(lab)
    for address, source in (("127.0.0.1", GATEWAY), (HOST, HOST)):
        mapped = "::ffff:" + address
        expect(lab.tcp("host", mapped, 8080)[:2], ("web", source), mapped)
        for connected in False, True:
            expect(lab.udp("host", mapped, 8080, connected=connected)[:2], ("web", source), mapped)


def test_a_container_has_its_own_127_0_0_1(lab):
    up(lab)
    lab.add("other")
    lab.echo("other", 8080, name="own")
    expect(lab.tcp("other", "127.0.0.1", 8080)[:2], ("own", "127.0.0.1"))


def test_a_connection_to_another_port_or_another_machine_is_not_translated(lab):
    up(lab)
    lab.echo("host", 8081)
    lab.echo("client", 8080)
    expect(lab.tcp("host", "127.0.0.1", 8081)[:2], ("host", "127.0.0.1"))
    expect(lab.tcp("host", CLIENT, 8080)[:2], ("client", HOST))


def test_the_counters_of_a_port_and_a_container_count_what_is_carried(lab):
    up(lab)
    before = lab.stats()["ports"]
    expect([row["packets_in"] + row["packets_out"] for row in before], [0, 0], "before")
    lab.udp("client", HOST, 8080)
    lab.udp("client", HOST, 8080)
    udp, = (row for row in lab.stats()["ports"] if row["protocol"] == "udp")
    tcp, = (row for row in lab.stats()["ports"] if row["protocol"] == "tcp")
    expect((udp["packets_in"], udp["packets_out"]), (2, 2), "UDP packets")
    expect(udp["bytes_in"], 2 * (14 + 20 + 8 + len("hello")), "UDP bytes")
    expect((tcp["packets_in"], tcp["packets_out"]), (0, 0), "TCP packets")
    lab.tcp("client", HOST, 8080)
    tcp, = (row for row in lab.stats()["ports"] if row["protocol"] == "tcp")
    assert tcp["packets_in"] >= 4 and tcp["packets_out"] >= 3, tcp


def packets_of_eth0(lab):
    (link,) = json.loads(lab.container("web", "ip", "-j", "-s", "link", "show", "eth0").stdout)
    return {way: link["stats64"][way]["packets"] for way in ("rx", "tx")}


def test_the_counters_of_the_containers_interface_count_what_is_carried(lab):
    """Row 93: although no packet is received by the veth in the usual way."""
    up(lab)
    lab.add("sibling")
    for ns, address in ("client", HOST), ("host", "127.0.0.1"), ("sibling", HOST):
        before = packets_of_eth0(lab)
        for _ in range(20):
            lab.udp(ns, address, 8080)
        after = packets_of_eth0(lab)
        for way in "rx", "tx":
            assert after[way] >= before[way] + 20, f"{ns}, {way}: {before} before, {after} after"
