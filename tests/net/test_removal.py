# SPDX-License-Identifier: GPL-2.0-only
"""Containers whose interface or namespace went away without xdock."""

import json
import os

from lab import CLIENT, HOST, eventually, expect, expect_raises

TABLES = "xd_port", "xd_port_rev", "xd_endpoint", "xd_address", "xd_device"


def rows(lab):
    """The rows of each table in which containers and ports are."""
    pins = lab.xdock("status", json=True)["instance"]["pins"]
    return {name: json.loads(lab.host("bpftool", "-j", "map", "dump", "pinned",
                                      f"{pins}/{name}").stdout) for name in TABLES}


def expect_clean_after_a_command(lab):
    """Of the one container that there was, with the port 8080, nothing is left."""
    lab.xdock("port", "rm", "1")
    expect({name: len(found) for name, found in rows(lab).items()}, dict.fromkeys(TABLES, 0),
           "rows")
    expect(lab.xdock("container", "list", json=True)["containers"], [], "containers")
    expect(lab.xdock("port", "list", json=True)["ports"], [], "ports")
    expect(lab.read_sysctls()["ip_local_reserved_ports"], "", "reserved ports")
    expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, 8080)
    lab.bound("host", 8080)


def expect_gone(lab):
    expect(lab.link_info("host", "xd-web"), None, "interface")


def test_a_deleted_veth_is_cleaned_up_by_the_next_command(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    expect(lab.tcp("client", HOST, 8080).server, "web")
    lab.ip("-n host link del xd-web")
    expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, 8080)
    expect_clean_after_a_command(lab)


def test_a_deleted_namespace_is_cleaned_up_by_the_next_command(lab):
    lab.xdock("up")
    lab.ip("netns add box")
    lab.xdock("container", "add", "web", "--netns", "box", "-p", "8080:80")
    lab.host("ping", "-c1", "-W10", "172.17.0.2")
    lab.ip("netns del box")
    eventually(lambda: expect_gone(lab))
    expect_clean_after_a_command(lab)


def test_the_namespace_of_a_killed_process_is_cleaned_up_by_the_next_command(lab):
    lab.xdock("up")
    box = lab.background("host", "unshare", "--net", "sleep", "60")
    # Not before unshare has made the namespace.
    eventually(lambda: expect(open(f"/proc/{box.pid}/comm").read(), "sleep\n", "process"))
    assert not os.path.samefile(f"/proc/{box.pid}/ns/net", lab.netns("host"))
    lab.xdock("container", "add", "web", "--pid", box.pid, "-p", "8080:80")
    lab.host("ping", "-c1", "-W10", "172.17.0.2")
    box.kill()
    box.wait()
    eventually(lambda: expect_gone(lab))
    expect_clean_after_a_command(lab)


def test_a_later_owner_of_the_ifindex_gets_none_of_the_packets(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")
    lab.add("sibling")
    before = lab.link_info("host", "xd-web")["ifindex"]
    for ns in "host", "sibling":
        expect(lab.tcp(ns, "172.17.0.2", 80).server, "web")
    lab.ip("-n host link del xd-web", "netns add thief",
           f"-n host link add other index {before} type veth peer name eth0 "
           "address 02:42:ac:11:00:02 netns thief",
           "-n host link set other up", "-n thief link set lo up",
           "-n thief addr add 172.17.0.2/16 dev eth0", "-n thief link set eth0 up",
           "-n thief route add default via 172.17.0.1")
    expect(lab.link_info("host", "other")["ifindex"], before, "ifindex")
    lab.echo("thief", 80)
    lab.echo("thief", 80, "udp")
    seen = lab.capture("thief", "eth0")
    expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, 8080)
    expect_raises(OSError, lab.udp, "client", HOST, 8080, timeout=0.3)
    for ns in "host", "sibling":
        expect_raises(OSError, lab.tcp, ns, "172.17.0.2", 80, timeout=0.3)
        expect_raises(OSError, lab.udp, ns, "172.17.0.2", 80, timeout=0.3)
    expect_raises(OSError, lab.tcp, "host", "127.0.0.1", 8080, timeout=0.3)
    from_hosts = seen.find(lambda frame: frame[12:14] == b"\x08\x00" and frame[23] in (6, 17), 0.2)
    expect(from_hosts, None, "packet at the later owner")


def test_a_removed_container_leaves_its_port_to_the_next(lab):
    lab.xdock("up")
    lab.add("first", "-p", "8080:80")
    expect(lab.tcp("client", HOST, 8080)[:2], ("first", CLIENT))
    lab.xdock("container", "rm", "first")
    expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, 8080)
    lab.add("second", "-p", "8080:80")
    expect(lab.tcp("client", HOST, 8080)[:2], ("second", CLIENT))
