# SPDX-License-Identifier: GPL-2.0-only
"""Publishing: the forms of a port, conflicts, what is reserved, and what a failure leaves."""

import errno
import socket
import time

from lab import CLIENT, GATEWAY, HOST, expect, expect_raises


def ports(lab):
    """What is published: (host address, host port or range, protocol, container, port)."""
    return sorted((row["host"], row["host_port"], row["protocol"], row["container"], row["port"])
                  for row in lab.xdock("port", "list", json=True)["ports"])


def names(lab):
    return sorted(c["name"] for c in lab.xdock("container", "list", json=True)["containers"])


def refused(lab, *words, code=2):
    """What the command says that refuses."""
    done = lab.xdock(*words, check=False)
    expect(done.returncode, code, f"exit of {words}")
    expect(done.stdout, "", "output")
    return done.stderr


def up(lab, *specs):
    lab.xdock("up")
    lab.add("web", *(word for spec in specs for word in ("-p", spec)))


def test_one_port_number_of_tcp_and_udp_leads_to_two_containers(lab):
    lab.xdock("up")
    lab.add("a", "-p", "8080:80/tcp")
    lab.add("b", "-p", "8080:80/udp")
    for where, address, source in (("client", HOST, CLIENT), ("host", "127.0.0.1", GATEWAY)):
        expect(lab.tcp(where, address, 8080)[:2], ("a", source))
        expect(lab.udp(where, address, 8080)[:2], ("b", source))


def test_where_nobody_listens_the_client_is_refused_at_once(lab):
    up(lab, "8080:81", "8080:81/udp")
    for where, address in (("client", HOST), ("host", "127.0.0.1"), ("host", HOST)):
        start = time.monotonic()
        expect_raises(ConnectionRefusedError, lab.tcp, where, address, 8080)
        # A second attempt would come after a second.
        assert time.monotonic() - start < 0.9, "refused too late"
    expect_raises(ConnectionRefusedError, lab.udp, "host", "127.0.0.1", 8080, connected=True)


def test_each_form_of_a_port_carries_traffic(lab):
    up(lab)
    for spec, address, form in (
            ("80", "0.0.0.0", "chosen"),
            (f"{HOST}::80", HOST, "chosen"),
            ("8080:80", "0.0.0.0", 8080),
            (f"{HOST}:8081:80", HOST, 8081),
            ("8082-8084:80", "0.0.0.0", 8082),
            ("8082-8084:80/tcp", "0.0.0.0", 8082)):
        (row,) = lab.xdock("port", "add", "web", spec, json=True)["ports"]
        expect((row["host"], row["protocol"], row["port"]), (address, "tcp", 80), spec)
        if form != "chosen":
            expect(row["host_port"], form, spec)
        expect(lab.tcp("client", HOST, row["host_port"])[:2], ("web", CLIENT), spec)


def test_each_form_of_a_udp_port_carries_traffic(lab):
    up(lab)
    for form in "80", f"{HOST}::80", "8080:80", f"{HOST}:8081:80", "8082-8084:80":
        spec = form + "/udp"
        (row,) = lab.xdock("port", "add", "web", spec, json=True)["ports"]
        expect((row["protocol"], row["port"]), ("udp", 80), spec)
        expect(lab.udp("client", HOST, row["host_port"])[:2], ("web", CLIENT), spec)
        expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, row["host_port"])


def test_a_range_is_published_pairwise(lab):
    up(lab, "8000-8003:9000-9003")
    for i in range(4):
        lab.echo("web", 9000 + i, name=f"web-{i}")
    for i in range(4):
        expect(lab.tcp("client", HOST, 8000 + i)[:2], (f"web-{i}", CLIENT), f"port {8000 + i}")
    for port in 7999, 8004, 9000:
        expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, port)


def test_the_first_free_host_port_of_a_range_is_chosen(lab):
    lab.xdock("up")
    taken = lab.bound("host", 8001)
    taken.listen()
    for name, port in (("a", 8000), ("b", 8002), ("c", 8003)):
        lab.add(name, "-p", "8000-8003:80")
        expect(lab.tcp("client", HOST, port).server, name, f"port {port}")
    said = refused(lab, "container", "add", "d", "-p", "8000-8003:80")
    assert "all host ports of the range are in use" in said, said
    expect(names(lab), ["a", "b", "c"], "containers")
    taken.close()
    lab.add("d", "-p", "8000-8003:80")
    expect(lab.tcp("client", HOST, 8001).server, "d")


def test_a_chosen_host_port_is_a_free_one_of_the_range_of_the_host(lab):
    lab.xdock("up")
    lab.write("host", "/proc/sys/net/ipv4/ip_local_port_range", "40000 40003")
    lab.bound("host", 40001).listen()
    for name in "a", "b", "c":
        lab.add(name, "-p", "80")
    published = {row[1]: row[3] for row in ports(lab)}
    expect(sorted(published), [40000, 40002, 40003], "chosen ports")
    for port, name in published.items():
        expect(lab.tcp("client", HOST, port)[:2], (name, CLIENT), f"port {port}")
    refused(lab, "container", "add", "d", "-p", "80")
    expect(names(lab), ["a", "b", "c"], "containers")


def test_malformed_ports_are_refused_and_change_nothing(lab):
    up(lab, "8080:80")
    before = ports(lab)
    for spec in ("0:80", "80:0", "65536:80", "80:65536", "8000-8001:80-82", "8001-8000:80-79",
                 "8000:80-81", "a:80", "80:80:80", "1.2.3:80:80", ":80:80", "1.2.3.4:", "81:80/sctp",
                 "80/", "", "[::1]:80:80", "80:80/udp/tcp", "-1:80", " 80:80"):
        said = refused(lab, "port", "add", "web", "--", spec, code=1)
        assert "port spec" in said and spec in said and said.count("\n") == 1, said
    expect(ports(lab), before, "ports")


def test_a_port_of_another_container_is_refused_and_nothing_is_left(lab):
    up(lab, "8080:80")
    said = refused(lab, "container", "add", "other", "-p", "8080:81")
    assert "8080/tcp: already published by web" in said, said
    expect(names(lab), ["web"], "containers")
    expect(lab.link_info("host", "xd-other"), None, "interface")
    expect(lab.tcp("client", HOST, 8080)[:2], ("web", CLIENT))
    lab.add("other", "-p", "8081:80")
    expect(lab.tcp("client", HOST, 8081)[:2], ("other", CLIENT))


def test_a_port_of_a_process_is_refused_and_nothing_is_left(lab):
    lab.xdock("up")
    for address in "", "127.0.0.1", HOST:
        for protocol in "tcp", "udp":
            holder = lab.bound("host", 8080, protocol, address)
            if protocol == "tcp":
                holder.listen()
            said = refused(lab, "container", "add", "web", "-p", f"8080:80/{protocol}")
            assert f"8080/{protocol}" in said and "in use" in said, said
            expect(names(lab), [], "containers")
            expect(lab.read_sysctls(), lab.sysctls | {"ip_forward": "1"}, "sysctls")
            holder.close()
    lab.add("web", "-p", "8080:80")
    expect(lab.tcp("client", HOST, 8080)[:2], ("web", CLIENT))


def test_a_wildcard_and_an_address_conflict_in_either_order(lab):
    up(lab, "8080:80", f"{HOST}:8081:80")
    lab.add("other")
    for spec in f"{HOST}:8080:80", "127.0.0.1:8080:80", "8081:80":
        said = refused(lab, "port", "add", "other", spec)
        assert "already published by web" in said, said
    expect([row[3] for row in ports(lab)], ["web", "web"], "owners")
    lab.xdock("port", "add", "other", "127.0.0.1:8081:80")
    expect(lab.tcp("client", HOST, 8081).server, "web")
    expect(lab.tcp("host", "127.0.0.1", 8081).server, "other")


def test_the_host_cannot_bind_a_published_port_and_can_after_rm(lab):
    up(lab, "8080:80", "8080:80/udp")
    addresses = ("", "127.0.0.1", HOST, GATEWAY)
    for protocol in "tcp", "udp":
        for address in addresses:
            error = expect_raises(OSError, lab.bound, "host", 8080, protocol, address)
            expect(error.errno, errno.EADDRINUSE, f"bind {address} {protocol}")
        for address in "::", "::ffff:127.0.0.1":
            error = expect_raises(OSError, lab.bound, "host", 8080, protocol, address,
                                  socket.AF_INET6)
            expect(error.errno, errno.EADDRINUSE, f"bind {address} {protocol}")
        lab.bound("host", 8081, protocol).close()
        lab.bound("web", 8080, protocol).close()
        lab.bound("client", 8080, protocol).close()
    lab.xdock("port", "rm", "8080")
    lab.bound("host", 8080).close()
    expect_raises(OSError, lab.bound, "host", 8080, "udp")
    lab.xdock("container", "rm", "web")
    for protocol in "tcp", "udp":
        for address in addresses:
            lab.bound("host", 8080, protocol, address).close()
        lab.bound("host", 8080, protocol, "::", socket.AF_INET6).close()


def test_a_port_of_one_address_is_refused_to_the_host_there_and_as_wildcard(lab):
    up(lab, f"{HOST}:8080:80")
    for address in "", HOST:
        error = expect_raises(OSError, lab.bound, "host", 8080, "tcp", address)
        expect(error.errno, errno.EADDRINUSE, f"bind {address}")
    lab.bound("host", 8080, "tcp", "127.0.0.1").close()
    lab.xdock("port", "rm", f"{HOST}:8080:80")
    for address in "", HOST:
        lab.bound("host", 8080, "tcp", address).close()


def test_the_host_does_not_choose_a_published_port_for_itself(lab):
    lab.xdock("up")
    lab.write("host", "/proc/sys/net/ipv4/ip_local_port_range", "40000 40009")
    lab.add("web", "-p", "40000-40008:80-88")
    lab.echo("client", 7000)
    lab.echo("client", 7000, "udp")
    expect(lab.tcp("host", CLIENT, 7000), ("client", HOST, 40009))
    for _ in range(5):
        expect(lab.udp("host", CLIENT, 7000), ("client", HOST, 40009))


def test_reserved_ports_of_the_host_are_kept(lab):
    lab.write("host", "/proc/sys/net/ipv4/ip_local_reserved_ports", "8080,9000-9002")
    lab.sysctls = lab.read_sysctls()
    up(lab, "8080:80", "9001-9004:80-83")
    expect(lab.read_sysctls()["ip_local_reserved_ports"], "8080,9000-9004", "while published")
    lab.xdock("container", "rm", "web")
    expect(lab.read_sysctls()["ip_local_reserved_ports"], "8080,9000-9002", "after")


def test_withdrawing_one_of_two_host_ports_keeps_the_other(lab):
    up(lab, "8080:80", "8081:80")
    for port in 8080, 8081:
        expect(lab.tcp("client", HOST, port)[:2], ("web", CLIENT))
    lab.xdock("port", "rm", "8080")
    expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, 8080)
    expect(lab.tcp("client", HOST, 8081)[:2], ("web", CLIENT))


def test_a_failure_half_way_takes_back_the_container_and_all_its_ports(lab):
    up(lab, "8082:80")
    before, sysctls = ports(lab), lab.read_sysctls()
    refused(lab, "container", "add", "other", "-p", "8080:80", "-p", "8081:81", "-p", "8082:82")
    expect(names(lab), ["web"], "containers")
    expect(lab.link_info("host", "xd-other"), None, "interface")
    expect((ports(lab), lab.read_sysctls()), (before, sysctls), "ports and sysctls")
    for port in 8080, 8081:
        expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, port)
        lab.bound("host", port).close()


def test_a_failure_half_way_takes_back_all_ports_of_the_command_and_no_other(lab):
    up(lab, "8079:80")
    holder = lab.bound("host", 8085)
    holder.listen()
    before, sysctls = ports(lab), lab.read_sysctls()
    refused(lab, "port", "add", "web", "8080:80/udp", "8081-8090:81-90")
    expect((ports(lab), lab.read_sysctls()), (before, sysctls), "ports and sysctls")
    expect(lab.tcp("client", HOST, 8079)[:2], ("web", CLIENT))
    lab.bound("host", 8081).close()
