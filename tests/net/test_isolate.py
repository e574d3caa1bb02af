# SPDX-License-Identifier: GPL-2.0-only
"""Who may address whom: siblings, networks of each kind, the outside, the host; and what a
container that lies about itself gains."""

import errno
import json
import socket

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from lab import CLIENT, GATEWAY, HOST, expect, expect_raises
from wire import (Error, dial, drop_count, echo_reply, echo_request, expect_talk,
                  find_container_source, find_ip, from_client, from_container, hear_errors, listen,
                  mac, ping_socket)

WEB, SIBLING = "172.17.0.2", "172.17.0.3"
B, B_GATEWAY = "10.9.0.2", "10.9.0.1"
BROADCAST = "ff:ff:ff:ff:ff:ff"
PUBLISHED, PRIVATE = ("80/tcp", "80/udp"), ("81/tcp", "81/udp")
# What is open to others than siblings and the host.
MODES = {"nat": (), "routed": ("ping", *PUBLISHED),
         "nat-unprotected": ("ping", *PUBLISHED, *PRIVATE)}
ALL = MODES["nat-unprotected"]
# Priorities and no VLAN: the kernel takes such tags off, and reads what is behind them.
PRIORITY_TAGS = Dot1Q(vlan=0, prio=5), Dot1AD(vlan=0)
TWO_TAGS = Dot1Q(vlan=0) / Dot1Q(vlan=0), Dot1AD(vlan=0) / Dot1Q(vlan=0)
SILENCE = errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH


def up(lab, *options):
    lab.xdock("up", *options)
    for name in "web", "sibling":
        lab.add(name)


def ping(lab, ns, address, is_expected=True):
    done = lab.run(ns, "ping", "-c1", "-W10" if is_expected else "-W0.3", address, check=False)
    expect(done.returncode == 0, is_expected, f"ping from {ns} to {address}")


def expect_open(lab, ns, address, of, what):
    """Of `of`, ping and ports as "80/tcp", what answers: that which is in `what`."""
    for name in of:
        is_expected = name in what
        if name == "ping":
            ping(lab, ns, address, is_expected)
            continue
        port, protocol = name.split("/")
        if is_expected:
            lab.ask(ns, address, int(port), protocol)
        else:
            error = expect_raises(OSError, lab.ask, ns, address, int(port), protocol, timeout=0.3)
            expect(isinstance(error, TimeoutError) or error.errno in SILENCE, True,
                   f"{name} of {address}: {error}")


# Siblings


def test_with_icc_off_siblings_do_not_reach_each_other_and_reach_all_else(lab):
    """Row 15."""
    up(lab, "--icc", "off")
    for protocol in "tcp", "udp":
        lab.echo("host", 7001, protocol)
        lab.echo("client", 7000, protocol)

    drop_count(lab, "icc", lambda: expect_open(lab, "web", SIBLING, ("ping", *PUBLISHED), ()),
               least=3)
    for protocol in "tcp", "udp":
        expect(lab.ask("web", GATEWAY, 7001, protocol)[:2], ("host", WEB), "the gateway")
        expect(lab.ask("web", HOST, 7001, protocol)[:2], ("host", WEB), "the host")
        expect(lab.ask("web", CLIENT, 7000, protocol)[:2], ("client", HOST), "the outside")
        expect(lab.ask("host", WEB, 80, protocol)[:2], ("web", GATEWAY), "from the host")
    ping(lab, "host", SIBLING)


def test_with_icc_off_no_frame_gets_to_a_sibling_but_arp(lab):
    """Row 15."""
    up(lab, "--icc", "off")
    tap = lab.capture("sibling", "eth0")
    web, sibling, bridge = mac(lab, "web"), mac(lab, "sibling"), mac(lab, "host", "docker0")
    to_sibling = Ether(src=web, dst=sibling)
    to_all, to_group = Ether(src=web, dst=BROADCAST), Ether(src=web, dst="01:00:5e:00:00:fb")
    marked = Raw(b"to be seen nowhere")
    for frame in (to_sibling / IP(src=WEB, dst=SIBLING) / UDP() / marked,
                  to_sibling / IP(src=WEB, dst=SIBLING, proto=253) / marked,
                  to_sibling / IP(src=WEB, dst=CLIENT) / UDP() / marked,
                  to_sibling / IP(src="172.17.0.99", dst=SIBLING) / UDP() / marked,
                  Ether(src=web, dst=bridge) / IP(src=WEB, dst=SIBLING) / UDP() / marked,
                  to_all / IP(src=WEB, dst="172.17.255.255") / UDP() / marked,
                  to_all / IP(src=WEB, dst=SIBLING) / UDP() / marked,
                  to_group / IP(src=WEB, dst="224.0.0.251") / UDP() / marked,
                  Ether(src=web, dst=sibling, type=0x88B5) / marked):
        drop_count(lab, "icc", lambda: lab.send("web", "eth0", frame))
    seen = tap.find(lambda frame: bytes(marked) in frame, 0.3)
    expect(seen, None, "frame at the sibling")
    lab.send("web", "eth0", to_all / ARP(psrc=WEB, pdst=SIBLING))
    assert tap.find(lambda frame: frame[12:14] == b"\x08\x06"), "no ARP at the sibling"


def test_icc_can_be_switched_off_and_on_under_a_flow(lab):
    """Row 15."""
    up(lab)
    near, far, _ = dial(lab, "web", listen(lab, "sibling", 81), SIBLING, 81)
    expect_talk(near, far)
    lab.xdock("up", "--icc", "off")
    drop_count(lab, "icc", lambda: near.sendall(b"later"))
    # As long as TCP waits before it tries again, which doubles each time.
    far.settimeout(60)
    lab.xdock("up", "--icc", "on")
    expect(far.recv(100), b"later")
    expect_talk(near, far)


# From outside


def test_the_outside_reaches_a_container_address_as_far_as_the_mode_allows(lab):
    """Row 67."""
    lab.xdock("up")
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")
    for protocol in "tcp", "udp":
        lab.echo("web", 81, protocol)
    lab.ip(f"-n client route add 172.17.0.0/16 via {HOST}")
    for mode, expected in MODES.items():
        lab.xdock("up", "--gateway-mode", mode)
        expect_open(lab, "client", WEB, ALL, expected)


def test_a_routed_container_and_the_outside_know_each_other_by_their_own_addresses(lab):
    """Rows 25 and 74."""
    lab.xdock("up", "--gateway-mode", "routed")
    lab.add("web", "-p", "80", "-p", "80/udp")
    lab.ip(f"-n client route add 172.17.0.0/16 via {HOST}")
    for protocol in "tcp", "udp":
        lab.echo("client", 7000, protocol)
        expect(lab.ask("client", WEB, 80, protocol, source_port=5000), ("web", CLIENT, 5000))
        expect(lab.ask("web", CLIENT, 7000, protocol, source_port=5000), ("client", WEB, 5000))
    # There is no port of the host.
    for row in lab.xdock("port", "list", json=True)["ports"]:
        expect_open(lab, "client", HOST, [f"{row['host_port']}/{row['protocol']}"], ())


def test_an_unprotected_container_answers_from_what_was_addressed(lab):
    """Row 67: by the published port, by its own address, and by both at once."""
    lab.xdock("up", "--gateway-mode", "nat-unprotected")
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")
    lab.ip(f"-n client route add 172.17.0.0/16 via {HOST}")
    for _ in range(2):
        for protocol in "tcp", "udp":
            expect(lab.ask("client", WEB, 80, protocol)[:2], ("web", CLIENT))
            expect(lab.ask("client", HOST, 8080, protocol)[:2], ("web", CLIENT))
    lab.echo("client", 7000)
    expect(lab.tcp("web", CLIENT, 7000)[:2], ("client", HOST), "what it opens itself")


def test_the_mode_that_is_set_last_counts_at_once(lab):
    """Row 67."""
    up(lab)
    lab.ip(f"-n client route add 172.17.0.0/16 via {HOST}")
    for mode, expected in (("nat-unprotected", PUBLISHED), ("nat", ())) * 2:
        lab.xdock("up", "--gateway-mode", mode)
        expect_open(lab, "client", WEB, PUBLISHED, expected)


def test_the_host_reaches_every_port_of_every_container_in_each_mode(lab):
    """Row 68."""
    up(lab)
    for mode in MODES:
        lab.xdock("up", "--gateway-mode", mode, "--icc", "off")
        for protocol in "tcp", "udp":
            expect(lab.ask("host", WEB, 80, protocol)[:2], ("web", GATEWAY), mode)
        ping(lab, "host", WEB)


# From another network


def test_another_network_reaches_a_container_address_as_far_as_its_mode_allows(lab):
    """Row 69, for clients of each kind of network."""
    lab.xdock("up")
    lab.add("a")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    lab.add("b", "--bridge", "br1", "-p", "8080:80", "-p", "8080:80/udp")
    for protocol in "tcp", "udp":
        lab.echo("b", 81, protocol)
    for mode, expected in MODES.items():
        lab.xdock("up", "br1", "--gateway-mode", mode)
        expect_open(lab, "a", B, ALL, expected)
    for mode in "routed", "nat-unprotected":
        lab.xdock("up", "--gateway-mode", mode)
        expect(lab.tcp("a", B, 81)[:2], ("b", B_GATEWAY), f"from a network that is {mode}")


def test_what_another_network_must_not_reach_is_dropped_and_counted(lab):
    """Row 69."""
    lab.xdock("up")
    lab.add("a")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    lab.add("b", "--bridge", "br1", "-p", "8080:80")
    tap = lab.capture("b", "eth0")
    drop_count(lab, "isolated", lambda: expect_open(lab, "a", B, ("ping", *PUBLISHED), ()), least=3)
    # Where nobody has the address, and where the packet is no packet of a flow.
    for destination in B, "10.9.0.77":
        for layer in (UDP(dport=80), TCP(dport=80, flags="A"), ICMP(type=0), Raw(b"protocol 253")):
            ip = IP(src=WEB, dst=destination, **({"proto": 253} if layer.name == "Raw" else {}))
            frame = from_container(lab, "a") / ip / layer
            drop_count(lab, "isolated", lambda: lab.send("a", "eth0", frame))
    expect(find_ip(tap, 0.2, src=(WEB, B_GATEWAY, GATEWAY), proto=(1, 6, 17, 253)), None,
           "packet at the other network")


def test_replies_of_a_flow_to_another_network_come_back_and_nothing_else_does(lab):
    """Row 69."""
    lab.xdock("up")
    lab.add("a")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24", "--gateway-mode", "nat-unprotected")
    lab.add("b", "--bridge", "br1")
    near, far, peer = dial(lab, "a", listen(lab, "b", 81), B, 81)
    expect(peer[0], B_GATEWAY)
    expect_talk(near, far)
    expect_raises(OSError, lab.tcp, "b", WEB, 80, timeout=0.3)
    sock = ping_socket(lab, "a", 9)
    sock.sendto(echo_request(), (B, 0))
    expect(echo_reply(sock), B, "source of the echo reply")
    # An error about it finds its way, too.
    sock = hear_errors(lab.open_socket("a", kind=socket.SOCK_DGRAM))
    sock.connect((B, 82))
    sock.send(b"x")
    expect_raises(ConnectionRefusedError, sock.recv, 100)
    expect(Error(sock).destination, (B, 82), "what the error is about")
    expect_talk(near, far)


# Internal networks


def test_an_internal_network_is_for_its_containers_and_the_host_alone(lab):
    """Row 72."""
    lab.xdock("up")
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24", "--internal")
    for name in "b", "c":
        lab.add(name, "--bridge", "br1")
    for protocol in "tcp", "udp":
        lab.echo("host", 7001, protocol)
        lab.echo("client", 7000, protocol)
        expect(lab.ask("b", "10.9.0.3", 80, protocol)[:2], ("c", B), "sibling")
        expect(lab.ask("b", B_GATEWAY, 7001, protocol)[:2], ("host", B), "bridge address")
        expect(lab.ask("host", B, 80, protocol)[:2], ("b", B_GATEWAY), "from the host")
        for address, port in (CLIENT, 7000), (HOST, 7001), (WEB, 80), (GATEWAY, 7001):
            error = expect_raises(OSError, lab.ask, "b", address, port, protocol)
            expect(error.errno, errno.ENETUNREACH, f"{protocol} to {address}")
    expect(json.loads(lab.container("b", "ip", "-j", "route", "show", "default").stdout), [])
    lab.ip(f"-n client route add 10.9.0.0/24 via {HOST}")
    for name in "client", "web":
        expect_open(lab, name, B, ("ping", *PUBLISHED), ())


def test_a_route_that_an_internal_container_makes_for_itself_leads_nowhere(lab):
    """Row 72."""
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24", "--internal")
    lab.add("b", "--bridge", "br1")
    lab.container("b", "ip", "route", "add", "default", "via", B_GATEWAY)
    for protocol in "tcp", "udp":
        lab.echo("host", 7001, protocol)
        lab.echo("client", 7000, protocol)

    def knock():
        for address, ports in ((CLIENT, ("7000/tcp", "7000/udp")), (HOST, ("7001/udp", "8080/tcp")),
                               (WEB, PUBLISHED), (GATEWAY, ("7001/udp", "8080/tcp"))):
            expect_open(lab, "b", address, ("ping", *ports), ())

    tap = lab.capture("client", "eth0")
    drop_count(lab, "isolated", knock, least=12)
    expect(find_ip(tap, 0.2, src=(B, HOST), proto=(1, 6, 17)), None, "packet at the client")


# Lies


def test_with_the_source_check_another_address_or_mac_is_dropped(lab):
    """Row 102."""
    up(lab, "--source-check", "on")
    lab.echo("client", 7000)
    bridge, sibling, outside = (lab.capture("host", "docker0"), lab.capture("sibling", "eth0"),
                                lab.capture("client", "eth0"))
    own, other = mac(lab, "web"), "02:00:00:00:00:99"
    for source, address, destination in ((other, WEB, SIBLING), (own, "172.17.0.99", SIBLING),
                                         (own, SIBLING, CLIENT), (own, "9.9.9.9", CLIENT),
                                         (other, WEB, CLIENT), (own, "9.9.9.9", GATEWAY)):
        to = mac(lab, "sibling") if destination == SIBLING else mac(lab, "host", "docker0")
        for layer in UDP(dport=9), TCP(dport=9, flags="S"), ICMP(type=8):
            frame = Ether(src=source, dst=to) / IP(src=address, dst=destination, id=99) / layer
            expect(drop_count(lab, "spoofed", lambda: lab.send("web", "eth0", frame)), 1,
                   f"of {source} {address} to {destination}")
    for tap in bridge, sibling, outside:
        expect(find_ip(tap, 0.1, id=99), None, "forged packet")
    expect(lab.tcp("web", SIBLING, 80)[:2], ("sibling", WEB))
    expect(lab.tcp("web", CLIENT, 7000)[:2], ("client", HOST))
    ping(lab, "web", GATEWAY)


def test_without_the_source_check_a_forged_source_gains_no_translation(lab):
    """Row 102: it takes the bridge, as it would without any program."""
    up(lab)
    lab.xdock("port", "add", "sibling", "8080:80/udp")
    outside = lab.capture("client", "eth0")
    for address in SIBLING, "172.17.0.99", "9.9.9.9":
        frame = from_container(lab, "web") / IP(src=address, dst=CLIENT, id=99)
        lab.send("web", "eth0", frame / UDP(sport=80, dport=9))
    expect(find_ip(outside, 0.3, src=HOST, id=99), None, "packet with the address of the host")
    expect(lab.xdock("flow", "list", json=True)["flows"], [])


def test_the_gateways_address_is_refused_to_containers_and_container_addresses_to_the_outside(lab):
    """Row 105."""
    up(lab)
    lab.echo("client", 7000, "udp")
    tap, inside = lab.capture("client", "eth0"), lab.capture("web", "eth0")
    for source in GATEWAY, "127.0.0.1":
        frame = from_container(lab, "web") / IP(src=source, dst=CLIENT, id=99) / UDP(dport=7000)
        expect(drop_count(lab, "spoofed", lambda: lab.send("web", "eth0", frame)), 1, source)
    for source in WEB, SIBLING, GATEWAY, "127.0.0.1":
        for destination in HOST, WEB:
            frame = from_client(lab) / IP(src=source, dst=destination, id=99) / UDP(dport=80)
            expect(drop_count(lab, "martian", lambda: lab.send("client", "eth0", frame)), 1, source)
    expect(find_ip(tap, 0.1, id=99), None, "packet at the client")
    expect(find_ip(inside, 0.1, id=99), None, "packet at the container")


def test_a_container_that_changes_its_mac_is_still_itself_where_that_is_not_checked(lab):
    """Row 102."""
    lab.xdock("up")
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")
    lab.add("sibling")
    for protocol in "tcp", "udp":
        lab.echo("client", 7000, protocol)
    lab.container("web", "ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
    for protocol in "tcp", "udp":
        expect(lab.ask("web", CLIENT, 7000, protocol)[:2], ("client", HOST), "to the outside")
        expect(lab.ask("client", HOST, 8080, protocol)[:2], ("web", CLIENT), "from the outside")
        expect(lab.ask("sibling", HOST, 8080, protocol)[:2], ("web", SIBLING), "from a sibling")
    lab.xdock("up", "--source-check", "on")
    frame = from_container(lab, "web") / IP(src=WEB, dst=CLIENT) / UDP(dport=7000)
    expect(drop_count(lab, "spoofed", lambda: lab.send("web", "eth0", frame)), 1)


def up_beside_an_internal_network(lab, *options):
    """web and sibling; b and c in an internal network. The kernel checks no sources, so that it
    hides nothing of what the programs let pass."""
    up(lab, *options)
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24", "--internal")
    for name in "b", "c":
        lab.add(name, "--bridge", "br1")
    for name in "all", "wan", "docker0", "br1":
        lab.write("host", f"/proc/sys/net/ipv4/conf/{name}/rp_filter", 0)


def test_the_address_of_another_container_does_not_leave_as_a_source(lab):
    """Rows 35 and 102."""
    up_beside_an_internal_network(lab)
    tap = lab.capture("client", "eth0")
    for source in SIBLING, "172.17.0.99", B, B_GATEWAY:
        for layer in UDP(dport=9), TCP(dport=9, flags="S"), ICMP(type=8):
            frame = from_container(lab, "web") / IP(src=source, dst=CLIENT, id=99) / layer
            expect(drop_count(lab, "spoofed", lambda: lab.send("web", "eth0", frame)), 1, source)
    expect(find_ip(tap, 0.2, id=99), None, "packet at the client")


def test_no_mac_address_of_the_host_leads_past_the_programs(lab):
    """Rows 35 and 72."""
    up_beside_an_internal_network(lab)
    for name, bridge in ("web", "docker0"), ("sibling", "docker0"), ("b", "br1"), ("c", "br1"):
        expect(mac(lab, "host", f"xd-{name}"), mac(lab, "host", bridge), f"host end of {name}")
    tap, inside = lab.capture("client", "eth0"), lab.capture("web", "eth0")
    macs = {link["address"] for link in json.loads(lab.host("ip", "-j", "link").stdout)}
    macs |= {mac(lab, name) for name in ("client", "web", "sibling", "b", "c")}
    for to in macs - {mac(lab, "b"), BROADCAST}:
        for source, destination in (B, CLIENT), (B, WEB), ("10.9.0.77", CLIENT), ("9.9.9.9", WEB):
            frame = Ether(src=mac(lab, "b"), dst=to) / IP(src=source, dst=destination, id=99)
            dropped = drop_count(lab, "isolated", lambda: lab.send("b", "eth0", frame / UDP()))
            expect(dropped, 1, f"{source} to {destination} by {to}")
    for to in macs - {mac(lab, "web"), BROADCAST}:
        frame = Ether(src=mac(lab, "web"), dst=to) / IP(src=WEB, dst=CLIENT, id=100)
        lab.send("web", "eth0", frame / UDP(sport=5000, dport=9))
    expect(find_ip(inside, 0.3, id=99), None, "packet at the container")
    # One came by the bridge's own.
    seen = [find_ip(tap, seconds, id=(99, 100)) for seconds in (10, 0.3)]
    expect([ip and (ip.src, ip.id) for ip in seen], [(HOST, 100), None], "packets at the client")


# Tags


def test_no_priority_tag_hides_a_packet_of_a_container(lab):
    """Rows 15, 35, 69 and 72."""
    up_beside_an_internal_network(lab, "--icc", "off")
    taps = [lab.capture(name, "eth0") for name in ("client", "sibling", "b")]
    web, b = from_container(lab, "web"), from_container(lab, "b", "br1")
    to_sibling = Ether(src=web.src, dst=mac(lab, "sibling"))
    cases = [("web", web, WEB, B, "isolated"), ("web", web, WEB, SIBLING, "icc"),
             ("web", to_sibling, WEB, SIBLING, "icc"), ("web", web, SIBLING, CLIENT, "spoofed"),
             ("web", web, GATEWAY, CLIENT, "spoofed"), ("b", b, B, CLIENT, "isolated"),
             ("b", b, B, WEB, "isolated"), ("b", b, "10.9.0.77", CLIENT, "isolated")]
    for tags in PRIORITY_TAGS + TWO_TAGS:
        for name, ether, source, destination, reason in cases:
            reason = reason if tags in PRIORITY_TAGS else "spoofed"
            frame = ether / tags / IP(src=source, dst=destination, id=99) / UDP()
            dropped = drop_count(lab, reason, lambda: lab.send(name, "eth0", frame))
            expect(dropped, 1, f"{source} to {destination} {tags.summary()}")
    for tap in taps:
        expect(find_ip(tap, 0.1, id=99), None, "packet")


def test_a_packet_with_a_priority_tag_is_masqueraded_like_any_other(lab):
    """Row 35."""
    up_beside_an_internal_network(lab)
    tap = lab.capture("client", "eth0")
    web = from_container(lab, "web")
    for number, tag in enumerate(PRIORITY_TAGS, 100):
        ip = IP(src=WEB, dst=CLIENT, id=number)
        lab.send("web", "eth0", web / tag / ip / UDP(sport=5000 + number, dport=9))
        assert find_ip(tap, src=HOST, id=number, sport=5000 + number), tag.summary()
    tap = lab.capture("client", "eth0")
    for tags in TWO_TAGS:
        frame = web / tags / IP(src=WEB, dst=CLIENT) / UDP(sport=5000, dport=9)
        expect(drop_count(lab, "spoofed", lambda: lab.send("web", "eth0", frame)), 1)
    expect(find_container_source(tap), None, "packet with the address of a container")


def test_no_priority_tag_hides_a_packet_from_outside(lab):
    """Rows 67, 72 and 105."""
    up_beside_an_internal_network(lab)
    taps = [lab.capture(name, "eth0") for name in ("web", "b")]
    ether = from_client(lab)
    cases = ((CLIENT, WEB, "direct-routed"), (CLIENT, B, "direct-routed"),
             (SIBLING, WEB, "martian"), (WEB, HOST, "martian"), (B, WEB, "martian"))
    for tags in PRIORITY_TAGS + TWO_TAGS:
        for source, destination, reason in cases:
            reason = reason if tags in PRIORITY_TAGS else "martian"
            for layer in UDP(dport=80), TCP(dport=80, flags="S"):
                frame = ether / tags / IP(src=source, dst=destination, id=99) / layer
                dropped = drop_count(lab, reason, lambda: lab.send("client", "eth0", frame))
                expect(dropped, 1, f"{source} to {destination} {tags.summary()}")
    for tap in taps:
        expect(find_ip(tap, 0.1, id=99), None, "packet")
