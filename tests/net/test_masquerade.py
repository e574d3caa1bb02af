# SPDX-License-Identifier: GPL-2.0-only
"""Flows that containers open to the outside: which source they leave with, who else may have it,
and for how long."""

import ctypes
import errno
import os
import socket
import struct

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.l2 import GRE
from scapy.packet import Raw

from lab import CLIENT, GATEWAY, HOST, check, eventually, expect, expect_raises, libc
from state import pins, put, raw
from test_flow import attached, program
from wire import (dial, drop_count, echo_reply, echo_request, expect_sums, expect_talk,
                  find_container_source, find_ip, from_client, from_container, listen, mute,
                  ping_socket)

A, B = "172.17.0.2", "172.17.0.3"
FAR = "192.0.2.9"  # an address that two clients have
SOMEBODY = "198.51.100.77"  # an address that is on the wire of the client and nobody's
RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports"
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
POOL = [*range(1024, 32768), *range(61000, 65536)]


def up(lab, *options):
    lab.write("host", RANGE, "32768 60999")
    lab.xdock("up", *options)
    for name in "a", "b":
        lab.add(name)
    for protocol in "tcp", "udp":
        lab.echo("client", 7000, protocol)


# Which address and port


def test_a_flow_leaves_with_the_address_of_the_uplink_and_its_own_port(lab):
    """Row 20."""
    up(lab)
    tap = lab.capture("client", "eth0")
    for protocol in "tcp", "udp":
        expect(lab.ask("a", CLIENT, 7000, protocol, source_port=5000), ("client", HOST, 5000))
    expect(lab.tcp("a", CLIENT, 7000, payload=b"x" * 3000000)[:2], ("client", HOST))
    ping = ping_socket(lab, "a")
    ping.sendto(echo_request(), (CLIENT, 0))
    expect(echo_reply(ping), CLIENT, "source of the echo reply")
    expect(find_container_source(tap), None, "packet with the address of a container")


def test_a_port_that_the_host_gives_to_its_own_sockets_is_replaced(lab):
    """Rows 20 and 23."""
    up(lab)
    for protocol in "tcp", "udp":
        for port in 32768, 40000, 60999, 1000:
            answer = lab.ask("a", CLIENT, 7000, protocol, source_port=port)
            expect(answer.address, HOST)
            assert answer.port in POOL, answer
        expect(lab.ask("a", CLIENT, 7000, protocol, source_port=32767).port, 32767)
        expect(lab.ask("a", CLIENT, 7000, protocol, source_port=61000).port, 61000)


def test_an_address_of_the_host_sees_the_container_itself(lab):
    """Row 21."""
    lab.second_client()
    up(lab)
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    for protocol in "tcp", "udp":
        lab.echo("host", 7001, protocol)
        for address in GATEWAY, HOST, "203.0.113.1", "10.9.0.1":
            expect(lab.ask("a", address, 7001, protocol, source_port=5000), ("host", A, 5000),
                   f"{protocol} to {address}")


def test_two_containers_with_one_source_port_talk_to_one_remote_at_once(lab):
    """Row 22."""
    up(lab)
    listener, peers, ends = listen(lab, "client", 7001), {}, {}
    for name in "a", "b":
        *ends[name], peers[name] = dial(lab, name, listener, CLIENT, 7001, source_port=5000)
    expect((peers["a"], peers["b"][0]), ((HOST, 5000), HOST), "peers")
    assert peers["b"][1] != 5000 and peers["b"][1] in POOL, peers
    for name in "b", "a", "b":
        expect_talk(*ends[name])


def test_two_containers_with_one_source_port_get_each_its_own_datagrams(lab):
    """Row 22."""
    up(lab)
    server = lab.bound("client", 7001, "udp")
    server.settimeout(10)
    sockets, peers = {}, {}
    for name in "a", "b":
        sockets[name] = lab.bound(name, 5000, "udp")
        sockets[name].settimeout(10)
        sockets[name].sendto(name.encode(), (CLIENT, 7001))
        data, peers[name] = server.recvfrom(100)
        expect(data, name.encode())
    assert peers["a"] == (HOST, 5000) and peers["b"][0] == HOST and peers["b"][1] != 5000, peers
    for name in "b", "a":
        server.sendto(b"for " + name.encode(), peers[name])
    for name in "a", "b":
        expect(sockets[name].recvfrom(100), (b"for " + name.encode(), (CLIENT, 7001)))


def test_two_containers_with_one_identifier_ping_one_host_at_once(lab):
    """Row 28."""
    up(lab)
    tap = lab.capture("client", "eth0")
    sockets = {name: ping_socket(lab, name, 77) for name in ("a", "b")}
    for name, sock in sockets.items():
        sock.sendto(echo_request(b"of " + name.encode()), (CLIENT, 0))
    for name, sock in sockets.items():
        expect(echo_reply(sock, b"of " + name.encode()), CLIENT, "source of the echo reply")
    seen = [find_ip(tap, src=HOST, type=8) for _ in sockets]
    for ip in seen:
        expect_sums(ip)
    expect(seen[0][ICMP].id, 77, "identifier of the first")
    assert seen[1][ICMP].id != 77, "one identifier for two"


# Ports that are somebody's


def test_a_port_that_a_socket_of_the_host_listens_on_is_not_taken(lab):
    """Row 23."""
    up(lab)
    for address, port in ("", 5000), (HOST, 5001):
        for protocol in "tcp", "udp":
            lab.echo("host", port, protocol, address)
            answer = lab.ask("a", CLIENT, 7000, protocol, source_port=port)
            expect(answer[:2], ("client", HOST))
            assert answer.port != port and answer.port in POOL, answer
            expect(lab.ask("client", HOST, port, protocol)[:2], ("host", CLIENT))


def test_a_published_or_reserved_port_is_not_taken(lab):
    """Row 23."""
    lab.write("host", RESERVED, "9000-9100")
    lab.sysctls = lab.read_sysctls()
    up(lab)
    lab.xdock("port", "add", "b", "8080:80", "8080:80/udp")
    for protocol in "tcp", "udp":
        for port in 8080, 9000, 9100:
            answer = lab.ask("a", CLIENT, 7000, protocol, source_port=port)
            expect(answer[:2], ("client", HOST))
            assert answer.port in POOL and answer.port not in (8080, *range(9000, 9101)), answer
        expect(lab.ask("client", HOST, 8080, protocol)[:2], ("b", CLIENT))


def test_a_port_that_is_published_later_keeps_the_flow_that_has_it(lab):
    """Row 23."""
    up(lab)
    listener = listen(lab, "client", 7001)
    *ends, peer = dial(lab, "a", listener, CLIENT, 7001, source_port=8080)
    expect(peer, (HOST, 8080))
    lab.xdock("port", "add", "b", "8080:80")
    expect_talk(*ends)
    expect(lab.tcp("client", HOST, 8080)[:2], ("b", CLIENT))
    expect_talk(*ends)


def test_a_connection_of_the_host_keeps_its_port_and_its_packets(lab):
    """Row 23."""
    up(lab)
    listener = listen(lab, "client", 7001)
    for address, port in ("", 5000), (HOST, 5001):
        *of_host, peer = dial(lab, "host", listener, CLIENT, 7001, address, port)
        expect(peer, (HOST, port))
        *of_container, peer = dial(lab, "a", listener, CLIENT, 7001, source_port=port)
        expect(peer[0], HOST)
        assert peer[1] != port and peer[1] in POOL, peer
        for ends in of_host, of_container, of_host:
            expect_talk(*ends)


def test_the_host_cannot_connect_from_the_port_of_a_flow_to_the_same_remote(lab):
    """Row 23."""
    up(lab)
    listener = listen(lab, "client", 7001)
    *ends, peer = dial(lab, "a", listener, CLIENT, 7001, source_port=5000)
    expect(peer, (HOST, 5000))
    for address in "", HOST:
        sock = lab.open_socket("host")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, 5000))
        error = expect_raises(OSError, sock.connect, (CLIENT, 7001))
        expect(error.errno, errno.EADDRNOTAVAIL, "connect()")
        sock.close()
    # To another remote the port is free.
    expect(lab.tcp("host", CLIENT, 7000, source_port=5000), ("client", HOST, 5000))
    expect_talk(*ends)


def test_the_host_cannot_send_from_the_port_of_a_flow_to_the_same_remote(lab):
    """Row 23."""
    up(lab)
    expect(lab.udp("a", CLIENT, 7000, source_port=5000), ("client", HOST, 5000))
    for address in "", HOST:
        for connected in False, True:
            error = expect_raises(OSError, lab.udp, "host", CLIENT, 7000, address, 5000,
                                  connected=connected)
            expect(error.errno, errno.EADDRNOTAVAIL, f"from {address!r}, connected: {connected}")
    expect(lab.udp("a", CLIENT, 7000, source_port=5000), ("client", HOST, 5000))
    lab.xdock("flow", "flush")
    expect(lab.udp("host", CLIENT, 7000, source_port=5000), ("client", HOST, 5000))


# By which route


def add_far(lab):
    """Two machines have one address, each behind another uplink."""
    lab.second_client()
    for name in "client", "client2":
        lab.ip(f"-n {name} addr add {FAR}/32 dev lo")
    for protocol in "tcp", "udp":
        lab.echo("client2", 7000, protocol)
    up(lab)


def test_new_flows_follow_a_changed_route_with_the_address_of_its_uplink(lab):
    """Row 24."""
    add_far(lab)
    taps = lab.capture("client", "eth0"), lab.capture("client2", "eth0")
    udp = lab.bound("a", 5000, "udp")
    udp.settimeout(10)

    def ask_udp():
        udp.sendto(b"x", (FAR, 7000))
        return udp.recv(100).split()[:3]

    expect(lab.tcp("a", FAR, 7000, source_port=5000), ("client", HOST, 5000))
    expect(ask_udp(), [b"client", HOST.encode(), b"5000"], "by UDP")
    lab.ip(f"-n host route add {FAR}/32 via 203.0.113.2 dev wan2")
    expect(lab.tcp("a", FAR, 7000, source_port=5001), ("client2", "203.0.113.1", 5001))
    expect(ask_udp(), [b"client2", b"203.0.113.1", b"5000"], "by UDP, one flow of the container")
    lab.ip(f"-n host route del {FAR}/32")
    expect(lab.tcp("a", FAR, 7000, source_port=5002), ("client", HOST, 5002))
    expect(ask_udp(), [b"client", HOST.encode(), b"5000"], "by UDP, as before")
    for tap in taps:
        expect(find_container_source(tap, 0.1), None, "packet with the address of a container")


def test_a_connection_whose_route_changed_leaks_no_packet_by_the_other_uplink(lab):
    """Row 24."""
    add_far(lab)
    listener = listen(lab, "client", 7001, FAR)
    near, _, _ = dial(lab, "a", listener, FAR, 7001)
    lab.ip(f"-n host route add {FAR}/32 via 203.0.113.2 dev wan2")
    tap = lab.capture("client2", "eth0")
    drop_count(lab, "untracked", lambda: near.sendall(b"too late"))
    expect(find_ip(tap, 0.2, dst=FAR, proto=6), None, "packet of the connection")


def test_an_address_that_is_replaced_takes_new_flows_and_ends_old_ones(lab):
    """Row 24."""
    up(lab)
    listener = listen(lab, "client", 7001)
    near, _, peer = dial(lab, "a", listener, CLIENT, 7001, source_port=5000)
    expect(peer, (HOST, 5000))
    # Of another mask, so that the other's removal does not take it along.
    lab.ip("-n host addr add 198.51.100.7/25 dev wan", f"-n host addr del {HOST}/24 dev wan")
    tap = lab.capture("client", "eth0")

    def expect_new():
        expect(lab.udp("a", CLIENT, 7000, source_port=5000, timeout=2),
               ("client", "198.51.100.7", 5000))

    # An address is known as the host's for a second.
    eventually(expect_new)
    expect(lab.tcp("a", CLIENT, 7000, source_port=5001), ("client", "198.51.100.7", 5001))
    near.sendall(b"too late")
    eventually(lambda: expect(lab.drops()["untracked"] > 0, True, "dropped as untracked"))
    expect(find_ip(tap, 0.2, sport=5000, dport=7001), None, "packet of the old flow")
    expect(find_container_source(tap, 0.1), None, "packet with the address of a container")
    lab.ip(f"-n host addr add {HOST}/24 dev wan")


def test_rules_by_source_and_by_bridge_choose_the_uplink(lab):
    """Row 24."""
    add_far(lab)
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    lab.add("c", "--bridge", "br1")
    lab.ip("-n host route add default via 203.0.113.2 dev wan2 table 7",
           f"-n host rule add from {B} table 7", "-n host rule add iif br1 table 7")
    for protocol in "tcp", "udp":
        expect(lab.ask("a", FAR, 7000, protocol)[:2], ("client", HOST))
        expect(lab.ask("b", FAR, 7000, protocol)[:2], ("client2", "203.0.113.1"))
        expect(lab.ask("c", FAR, 7000, protocol)[:2], ("client2", "203.0.113.1"))


def mark_packets(lab, device, mark):
    """A program in front of all others at the ingress of a device of the host, that marks each
    packet. Nobody has to take it away: it goes with the device."""
    insns = struct.pack("=BBhi", 0x62, 0x01, 8, mark)  # *(u32 *)(r1 + 8) = mark: __sk_buff.mark
    insns += struct.pack("=BBhi", 0xb7, 0x00, 0, -1)  # r0 = -1: TC_ACT_UNSPEC
    insns += struct.pack("=BBhi", 0x95, 0x00, 0, 0)
    code, licence = ctypes.create_string_buffer(insns), ctypes.create_string_buffer(b"GPL")
    load = struct.pack("=IIQQIIQII", 3, len(insns) // 8, ctypes.addressof(code),
                       ctypes.addressof(licence), 0, 0, 0, 0, 0)
    program = libc.syscall(SYS_BPF, 5, load, len(load))  # BPF_PROG_LOAD
    check(program, "bpf(BPF_PROG_LOAD)")
    with lab.inside("host"):
        # tcx ingress is 46, BPF_F_BEFORE is 8.
        attach = struct.pack("=IIIIIIQ", socket.if_nametoindex(device), program, 46, 8, 0, 0, 0)
        check(libc.syscall(SYS_BPF, 8, attach, len(attach)), "bpf(BPF_PROG_ATTACH)")
    os.close(program)


def test_a_rule_by_a_mark_that_another_program_sets_chooses_the_uplink(lab):
    """Row 24."""
    add_far(lab)
    lab.ip("-n host route add default via 203.0.113.2 dev wan2 table 7",
           "-n host rule add fwmark 7 table 7")
    mark_packets(lab, "xd-b", 7)
    for protocol in "tcp", "udp":
        expect(lab.ask("a", FAR, 7000, protocol)[:2], ("client", HOST))
        expect(lab.ask("b", FAR, 7000, protocol)[:2], ("client2", "203.0.113.1"))


def test_a_route_with_a_source_of_its_own_is_honoured(lab):
    """Row 20."""
    lab.ip("-n host addr add 198.51.100.9/24 dev wan")
    up(lab)
    expect(lab.tcp("a", CLIENT, 7000)[:2], ("client", HOST))
    lab.ip(f"-n host route add {CLIENT}/32 dev wan src 198.51.100.9")
    for protocol in "tcp", "udp":
        expect(lab.ask("a", CLIENT, 7000, protocol)[:2], ("client", "198.51.100.9"))


# What is not masqueraded


def test_without_masquerade_the_outside_sees_the_container_and_answers_it(lab):
    """Row 25."""
    up(lab, "--masquerade", "off")
    lab.ip(f"-n client route add 172.17.0.0/16 via {HOST}")
    for protocol in "tcp", "udp":
        expect(lab.ask("a", CLIENT, 7000, protocol, source_port=40000), ("client", A, 40000))
        expect(lab.ask("b", CLIENT, 7000, protocol, source_port=40000), ("client", B, 40000))
    ping = ping_socket(lab, "a", 5)
    ping.sendto(echo_request(), (CLIENT, 0))
    expect(echo_reply(ping), CLIENT, "source of the echo reply")
    # Whoever was not asked is still outside.
    drop_count(lab, "direct-routed", lambda: expect_raises(
        TimeoutError, lab.udp, "client", A, 80, timeout=0.3))


def test_protocols_without_ports_and_ip_options_go_to_the_kernel_unchanged(lab):
    """Row 34."""
    up(lab)
    to_host = from_container(lab, "a")
    tap = lab.capture("client", "eth0")
    ip = {"src": A, "dst": CLIENT, "ttl": 64, "id": 9}
    for packet in (IP(**ip) / GRE() / Raw(b"tunnelled"),
                   IP(**ip, proto=50) / Raw(b"encrypted payload"),
                   IP(**ip, proto=253) / Raw(b"unheard of"),
                   IP(**ip, options=[IPOption_RR(routers=["0.0.0.0"] * 3)]) /
                   UDP(sport=5000, dport=7000) / Raw(b"routed")):
        sent = IP(bytes(packet))
        lab.send("a", "eth0", to_host / packet)
        seen = find_ip(tap, src=A, dst=CLIENT)
        expect((seen.proto, seen.ttl, bytes(seen.payload)), (sent.proto, 63, bytes(sent.payload)),
               "packet at the client")
        expect_sums(seen)


def test_multicast_and_broadcast_stay_on_their_network(lab):
    """Row 37."""
    up(lab)
    # Even where the host has a route for them.
    lab.ip("-n host route add 224.0.0.0/4 dev wan")
    bridge, wan = lab.capture("host", "docker0"), lab.capture("client", "eth0")
    to_host = from_container(lab, "a")
    for address, group in (("224.0.0.251", "01:00:5e:00:00:fb"), ("239.1.2.3", "01:00:5e:01:02:03"),
                           ("255.255.255.255", "ff:ff:ff:ff:ff:ff")):
        packet = IP(src=A, dst=address) / UDP(sport=5000, dport=7000) / Raw(b"all")
        to_group = to_host.copy()
        to_group.dst = group
        lab.send("a", "eth0", to_group / packet)
        assert find_ip(bridge, src=A, dst=address), f"nothing for {address} at the bridge"
        # Addressed to the router by mistake.
        lab.send("a", "eth0", to_host / packet)
        expect(find_ip(wan, 0.2, dst=address, dport=7000), None, f"packet for {address} outside")


def test_what_belongs_to_no_flow_is_dropped_and_never_leaves_as_the_container(lab):
    """Row 35."""
    up(lab)
    to_host = from_container(lab, "a") / IP(src=A, dst=CLIENT)
    tap = lab.capture("client", "eth0")
    for flags in "A", "PA", "FA", "R", "RA", "SA", "F", "":
        frame = to_host / TCP(sport=5000, dport=7000, flags=flags, seq=1, ack=1)
        expect(drop_count(lab, "untracked", lambda: lab.send("a", "eth0", frame)), 1, flags)
    frame = to_host / ICMP(type=0, id=1) / Raw(b"an answer that nobody asked for")
    expect(drop_count(lab, "untracked", lambda: lab.send("a", "eth0", frame)), 1, "echo reply")
    embedded = IP(src=CLIENT, dst=A) / UDP(sport=7000, dport=5000) / Raw(b"8 bytes.")
    frame = to_host / ICMP(type=3, code=3) / embedded
    expect(drop_count(lab, "untracked", lambda: lab.send("a", "eth0", frame)), 1, "ICMP error")
    expect(find_ip(tap, 0.2, dst=CLIENT, proto=(1, 6)), None, "packet at the client")


def test_a_connection_whose_rows_are_lost_is_not_continued_under_another_name(lab):
    """Row 35."""
    up(lab)
    listener = listen(lab, "client", 7001)
    near, _, _ = dial(lab, "a", listener, CLIENT, 7001, source_port=5000)
    lab.xdock("flow", "flush")
    tap = lab.capture("client", "eth0")
    drop_count(lab, "untracked", lambda: near.sendall(b"from nowhere"))
    expect(find_ip(tap, 0.2, dst=CLIENT, dport=7001), None, "packet at the client")


# For how long


def age(seconds):
    """As if all flows had been idle for so much longer."""
    for name in "snat", "snat_rev":
        rows = {}
        for key, value in raw(name).items():
            (seen_ns,) = struct.unpack_from("=Q", value, 8)
            seen_ns = (seen_ns - seconds * 10**9) % 2**64
            rows[key] = value[:8] + struct.pack("=Q", seen_ns) + value[16:]
        put(name, rows)


# Protocol, what has passed of a flow and by whom, for how long the flow then keeps its port while
# nothing passes, and an age below that, which leaves a slow test some time. netfilter's timers are
# the same, but for that of a reset, which is shorter.
LIVES = {
    "UDP that nobody answered": (17, ["out"], 30, 10),
    "UDP that was answered": (17, ["out", "in"], 120, 100),
    "an echo request": (1, ["out", "in"], 30, 10),
    "a SYN that nobody answered": (6, ["out S"], 120, 100),
    "a connection": (6, ["out S", "in SA", "out A"], 432000, 431900),
    "a connection that the container closed": (
        6, ["out S", "in SA", "out A", "out FA", "in A"], 432000, 431900),
    "a connection that the remote closed": (
        6, ["out S", "in SA", "out A", "in FA", "out A"], 432000, 431900),
    "a connection that both closed": (
        6, ["out S", "in SA", "out A", "out FA", "in FA", "out A"], 120, 100),
    "a connection that was reset": (6, ["out S", "in SA", "out A", "in RA"], 120, 100),
    "a connection that a reset did not end": (
        6, ["out S", "in SA", "out A", "in RA", "in A", "out A"], 432000, 431900),
}


def test_an_idle_flow_keeps_its_port_as_long_as_in_netfilter_and_no_longer(lab):
    """Row 36."""
    lab.xdock("up")
    lab.ip(f"-n host neigh add {SOMEBODY} lladdr {lab.link_info('client', 'eth0')['address']} "
           "dev wan")
    names = "a", "b", "c"
    headers = {}
    for name in names:
        lab.xdock("container", "add", name)
        address = lab.link_info(name, "eth0")["addr_info"][0]["local"]
        headers[name] = from_container(lab, name) / IP(src=address, dst=SOMEBODY)
    to_host = from_client(lab) / IP(src=SOMEBODY, dst=HOST)
    mute(lab, *names)
    tap = lab.capture("client", "eth0")

    def layer(protocol, port, flags, is_reply):
        if protocol == 1:
            return ICMP(type=0 if is_reply else 8, id=port)
        ports = {"sport": 7000, "dport": port} if is_reply else {"sport": port, "dport": 7000}
        return TCP(**ports, flags=flags, seq=1) if protocol == 6 else UDP(**ports) / Raw(b"x")

    def pass_one(name, protocol, port, step):
        """Returns the packet that the remote sees, if it is from a container."""
        way, _, flags = step.partition(" ")
        if way == "in":
            lab.send("client", "eth0", to_host / layer(protocol, port, flags, True))
            return None
        lab.send(name, "eth0", headers[name] / layer(protocol, port, flags, False))
        return find_ip(tap, src=HOST, dst=SOMEBODY, proto=protocol)

    def port_of(name, protocol, port, step):
        seen = pass_one(name, protocol, port, step).payload
        return seen.id if protocol == 1 else seen.sport

    for port, (what, (protocol, steps, timeout, below)) in enumerate(LIVES.items(), 5000):
        for step in steps:
            pass_one("a", protocol, port, step)
        age(below)
        assert port_of("b", protocol, port, steps[0]) != port, f"{what}: lost after {below} s"
        age(timeout - below)
        expect(port_of("c", protocol, port, steps[0]), port, f"{what}, {timeout} s later: port")


def test_a_long_download_goes_on_when_the_container_has_closed_its_side(lab):
    """Row 36."""
    up(lab)
    listener = listen(lab, "client", 7001)
    near, far, _ = dial(lab, "a", listener, CLIENT, 7001, source_port=5000)
    near.shutdown(socket.SHUT_WR)
    expect(far.recv(1), b"", "end of the request")
    # Longer than any timeout of a flow that is over.
    age(3600)
    *_, peer = dial(lab, "b", listener, CLIENT, 7001, source_port=5000)
    assert peer[1] != 5000, "the port went to another flow"
    data = os.urandom(1000000)
    lab.fork(far.sendall, data)
    received = b""
    while len(received) < len(data) and (part := near.recv(65536)):
        received += part
    expect(received == data, True, "what was downloaded")


# Beside the kernel's own


def test_a_drop_in_forward_does_not_stop_containers(lab):
    """Row 39."""
    up(lab)
    lab.xdock("port", "add", "b", "8080:80", "8080:80/udp")
    lab.host("iptables", "-P", "FORWARD", "DROP")
    lab.host("iptables", "-A", "FORWARD", "-j", "DROP")
    for protocol in "tcp", "udp":
        expect(lab.ask("a", CLIENT, 7000, protocol)[:2], ("client", HOST))
        expect(lab.ask("client", HOST, 8080, protocol)[:2], ("b", CLIENT))
        expect(lab.ask("a", HOST, 8080, protocol)[:2], ("b", A))
    lab.container("a", "ping", "-c1", "-W10", CLIENT)


def test_a_flow_that_iptables_masquerades_already_goes_on(lab):
    """Row 85: the programs come later than the flow, and leave it to who knows it."""
    up(lab)
    lab.host("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "172.17.0.0/16", "!", "-o",
             "docker0", "-j", "MASQUERADE")
    listener = listen(lab, "client", 7001)
    server = lab.bound("client", 7002, "udp")
    server.settimeout(10)
    ifindex = lab.link_info("host", "xd-a")["ifindex"]
    # Without the program of its veth, the container is the kernel's.
    os.unlink(f"{pins()}/link/container-{ifindex}")
    eventually(lambda: expect(attached(lab, "xd-a"), [], "programs at the veth"))
    near, far, peer = dial(lab, "a", listener, CLIENT, 7001)
    expect(peer[0], HOST)
    datagrams = lab.open_socket("a", kind=socket.SOCK_DGRAM)
    datagrams.connect((CLIENT, 7002))
    datagrams.send(b"before")
    data, source = server.recvfrom(100)
    expect((data, source[0]), (b"before", HOST))
    lab.xdock("up")
    expect(attached(lab, "xd-a"), [program("xd_container_tc")], "programs at the veth")
    expect_talk(near, far)
    datagrams.send(b"after")
    expect(server.recvfrom(100), (b"after", source), "a datagram of the flow")
    server.sendto(b"answer", source)
    expect(datagrams.recv(100), b"answer")
    flows = {(row["protocol"], row["remote_port"])
             for row in lab.xdock("flow", "list", json=True)["flows"]}
    expect(flows, set(), "flows of xdock")
    expect(lab.tcp("a", CLIENT, 7000, source_port=5000), ("client", HOST, 5000), "a new flow")
    expect_talk(near, far)
    expect(lab.drops()["untracked"], 0, "untracked")
