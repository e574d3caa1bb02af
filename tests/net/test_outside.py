# SPDX-License-Identifier: GPL-2.0-only
"""What must not get through: direct routes to containers, forged addresses, containers that try
to take the programs away."""

import os
import shutil

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from lab import CLIENT, GATEWAY, HOST, XDOCK, eventually, expect, expect_raises

WEB, SIBLING = "172.17.0.2", "172.17.0.3"
UNTRUSTED = "setpriv --bounding-set -all,+net_admin,+net_raw --inh-caps -all,+net_admin,+net_raw"


def up(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")
    lab.add("sibling")


def packet_at(tap, source, seconds=0.2):
    """A packet from this address. Not IGMP, by which the bridge itself speaks at times."""
    def is_it(frame):
        return (frame[12:14] == b"\x08\x00" and IP(frame[14:]).src == source
                and IP(frame[14:]).proto != 2)

    return tap.find(is_it, seconds)


def drop_count(lab, reason, function, least=1):
    """How many packets function() made xdock drop for this reason; for others none."""
    before = lab.drops()

    def difference():
        after = lab.drops()
        dropped = {name: after[name] - before[name] for name in after}
        assert dropped[reason] >= least, f"{dropped}, expected {least} {reason} at least"
        return dropped

    function()
    dropped = eventually(difference)
    expect({**dropped, reason: 0}, dict.fromkeys(dropped, 0), "other drops")
    return dropped[reason]


def test_a_route_to_the_containers_does_not_help_a_remote_machine(lab):
    up(lab)
    lab.ip(f"-n client route add 172.17.0.0/16 via {HOST}")
    lab.echo("web", 81)
    lab.echo("web", 81, "udp")
    tap = lab.capture("web", "eth0")

    def knock():
        expect(lab.client("ping", "-c1", "-W1", WEB, check=False).returncode, 1, "ping")
        for port in 80, 81, 8080:
            expect_raises(TimeoutError, lab.tcp, "client", WEB, port, timeout=0.3)
            expect_raises(TimeoutError, lab.udp, "client", WEB, port, timeout=0.3)

    drop_count(lab, "direct-routed", knock, least=7)
    expect(packet_at(tap, CLIENT), None, "packet at the container")
    expect(lab.tcp("client", HOST, 8080)[:2], ("web", CLIENT))


def test_a_route_to_the_containers_does_not_help_by_another_uplink(lab):
    lab.second_client()
    up(lab)
    tap = lab.capture("web", "eth0")
    dropped = drop_count(lab, "direct-routed", lambda: expect_raises(
        TimeoutError, lab.udp, "client2", WEB, 80, timeout=0.3))
    expect(dropped, 1, "counted")
    expect(packet_at(tap, "203.0.113.2"), None, "packet at the container")


def test_forged_sources_from_outside_are_dropped_and_counted(lab):
    up(lab)
    tap = lab.capture("web", "eth0")
    to_host = Ether(src=lab.link_info("client", "eth0")["address"],
                    dst=lab.link_info("host", "wan")["address"])
    # Or the kernel's own check would hide that there is no other.
    for name in "all", "wan":
        lab.write("host", f"/proc/sys/net/ipv4/conf/{name}/rp_filter", 0)
    lab.write("host", "/proc/sys/net/ipv4/conf/wan/accept_local", 1)
    lab.write("host", "/proc/sys/net/ipv4/conf/wan/route_localnet", 1)
    for source in WEB, SIBLING, "172.17.99.99", GATEWAY, "127.0.0.1", "127.9.9.9":
        for layer in (TCP(sport=1, dport=8080, flags="S"), UDP(sport=1, dport=8080) / Raw(b"x"),
                      ICMP()):
            frame = to_host / IP(src=source, dst=HOST) / layer
            dropped = drop_count(lab, "martian", lambda: lab.send("client", "eth0", frame))
            expect(dropped, 1, f"counted of {source} {layer.name}")
            expect(packet_at(tap, source, 0), None, f"packet of {source} at the container")
    lab.send("client", "eth0", to_host / IP(src="9.9.9.9", dst=HOST) / UDP(sport=1, dport=8080))
    assert packet_at(tap, "9.9.9.9", 10), "an honest packet did not arrive"


def test_a_packet_from_outside_with_its_destination_as_source_is_dropped_and_counted(lab):
    lab.ip("-n host addr add 198.51.100.9/24 dev wan")
    up(lab)
    tap = lab.capture("web", "eth0")
    to_host = Ether(src=lab.link_info("client", "eth0")["address"],
                    dst=lab.link_info("host", "wan")["address"])
    for source, destination in (HOST, HOST), ("198.51.100.9", "198.51.100.9"):
        for layer in TCP(sport=1, dport=8080, flags="S"), UDP(sport=1, dport=8080) / Raw(b"x"):
            frame = to_host / IP(src=source, dst=destination) / layer
            dropped = drop_count(lab, "martian", lambda: lab.send("client", "eth0", frame))
            expect(dropped, 1, f"counted of {source} to {destination} {layer.name}")
            expect(packet_at(tap, source), None, f"packet of {source} at the container")
    for destination in HOST, "198.51.100.9":
        expect(lab.udp("client", destination, 8080)[:2], ("web", CLIENT))


def test_a_container_cannot_send_as_its_gateway_or_from_loopback(lab):
    up(lab)
    host, sibling = lab.capture("host", "docker0"), lab.capture("sibling", "eth0")
    web_mac = lab.link_info("web", "eth0")["address"]
    bridge_mac = lab.link_info("host", "docker0")["address"]
    sibling_mac = lab.link_info("sibling", "eth0")["address"]
    for source in GATEWAY, "127.0.0.1", "127.1.2.3":
        for mac, destination in ((sibling_mac, SIBLING), (bridge_mac, GATEWAY),
                                 (bridge_mac, CLIENT)):
            for layer in (TCP(sport=80, dport=2, flags="S"), UDP(sport=80, dport=2) / Raw(b"x"),
                          ICMP(), Raw(b"protocol 253")):
                ip = IP(src=source, dst=destination)
                if layer.name == "Raw":
                    ip.proto = 253
                frame = Ether(src=web_mac, dst=mac) / ip / layer
                dropped = drop_count(lab, "spoofed", lambda: lab.send("web", "eth0", frame))
                expect(dropped, 1, f"counted of {source} to {destination}")
        expect(packet_at(sibling, source, 0.1), None, f"packet of {source} at the sibling")
        expect(packet_at(host, source, 0.1), None, f"packet of {source} at the bridge")


def test_a_container_with_net_admin_cannot_take_the_programs_away(lab):
    up(lab)
    tap = lab.capture("sibling", "eth0")
    attempts = (
        "tc qdisc del dev eth0 clsact", "tc qdisc del dev eth0 ingress",
        "tc qdisc del dev eth0 root", "tc filter del dev eth0 ingress",
        "tc filter del dev eth0 egress",
        "ip link set eth0 xdp off", "ip link set eth0 xdpgeneric off", "ip link set eth0 nomaster",
        "ip link set eth0 address 02:00:00:00:00:01", "ip link set eth0 address 02:42:ac:11:00:02",
        "ip link set eth0 down", "ip link set eth0 up", "ip route add default via 172.17.0.1",
        "bpftool net detach tcx_ingress dev eth0", "bpftool net detach tcx_egress dev eth0")
    before = lab.xdock("status", json=True)
    for attempt in attempts:
        lab.container("web", *UNTRUSTED.split(), *attempt.split(), check=False)
    expect(lab.xdock("status", json=True), before, "status")
    expect(lab.container("web", *UNTRUSTED.split(), "bpftool", "map", "list", check=False).stdout,
           "", "maps that the container sees")
    frame = Ether(src="02:42:ac:11:00:02", dst="02:42:ac:11:00:03") / IP(src=GATEWAY, dst=SIBLING)
    dropped = drop_count(lab, "spoofed", lambda: lab.send("web", "eth0", frame / UDP()))
    expect(dropped, 1, "counted")
    expect(packet_at(tap, GATEWAY), None, "packet at the sibling")
    expect(lab.tcp("client", HOST, 8080)[:2], ("web", CLIENT))


def test_a_container_may_delete_its_own_interface_and_harms_nobody_else(lab):
    up(lab)
    lab.xdock("port", "add", "sibling", "8081:80")
    lab.container("web", *UNTRUSTED.split(), "ip", "link", "del", "eth0")
    expect(lab.link_info("host", "xd-web"), None, "host end")
    expect(lab.tcp("client", HOST, 8081)[:2], ("sibling", CLIENT))
    expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, 8080)
    expect(lab.add("next", "-p", "8080:80"), WEB)
    expect(lab.tcp("client", HOST, 8080)[:2], ("next", CLIENT))


def test_the_pins_are_for_root_alone(lab):
    up(lab)
    pins = lab.xdock("status", json=True)["instance"]["pins"]
    nobody = "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"
    seen = [pins]
    for folder, folders, files in os.walk(pins):
        seen += [os.path.join(folder, name) for name in folders + files]
    assert len(seen) > 10, seen
    for path in seen:
        found = os.stat(path)
        expect((found.st_uid, found.st_mode & 0o077), (0, 0), f"owner and mode of {path}")
    expect(lab.host(*nobody, "ls", pins, check=False).returncode, 2, "ls by nobody")
    done = lab.host(*nobody, "bpftool", "map", "dump", "pinned", f"{pins}/xd_port", check=False)
    assert done.returncode, "read by nobody"
    # Where nobody may reach it.
    command = shutil.copy(XDOCK, "/run/command")
    expect(lab.host(*nobody, command, "status", check=False).returncode, 2, "status by nobody")
