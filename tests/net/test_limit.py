# SPDX-License-Identifier: GPL-2.0-only
"""Limits of published ports: rates, who is allowed, who is denied."""

import os
import socket
import time

from lab import CLIENT, HOST, eventually, expect, expect_raises
from state import dump

WEB = "172.17.0.2"
OTHERS = ("198.51.100.66", "198.51.100.67")
PACKETS = 200


def start(lab, *options):
    lab.xdock("up")
    lab.add("web")
    lab.xdock("port", "add", "web", "8080:80", "8080:80/udp", *options)
    for address in OTHERS:
        lab.ip(f"-n client addr add {address}/24 dev eth0")


def limits(lab):
    """(limit, allow, deny) by host port and protocol."""
    rows = lab.xdock("port", "list", json=True)["ports"]
    return {f"{row['host_port']}/{row['protocol']}":
            tuple(row.get(name) for name in ("limit", "allow", "deny")) for row in rows}


def packets_in(lab):
    """That the programs have delivered to 8080/udp."""
    (row,) = (row for row in lab.stats()["ports"]
              if (row["host_port"], row["protocol"]) == (8080, "udp"))
    return row["packets_in"]


def expect_limited(lab, rate):
    """PACKETS datagrams of one client: no more get in than the rate allows, the others are counted.
    How many come back is the echo server's business."""
    sock = lab.open_socket("client", kind=socket.SOCK_DGRAM)
    sock.connect((HOST, 8080))
    delivered, limited = packets_in(lab), lab.drops()["limited"]
    begin = time.monotonic()
    for n in range(PACKETS):
        sock.send(b"%d" % n)
    seconds = time.monotonic() - begin

    def expect_counted():
        counted = packets_in(lab) - delivered, lab.drops()["limited"] - limited
        expect(sum(counted), PACKETS, f"{counted}: delivered and limited")
        return counted[0]

    count = eventually(expect_counted, 20)
    # 100 milliseconds of the rate at once, and then what the time allows; each CPU one more.
    allowed = 1 + rate // 10 + int(seconds * rate) + 1 + os.cpu_count()
    expect(1 <= count <= allowed, True, f"{count} packets in {seconds:.3f} s")


def test_no_more_packets_than_the_rate_get_in(lab):
    start(lab, "--limit", "50pps")
    expect(limits(lab), {"8080/tcp": ("50pps", None, None), "8080/udp": ("50pps", None, None)})
    expect_limited(lab, 50)
    # It is left alone for as long as it needs.
    eventually(lambda: expect(lab.udp("client", HOST, 8080, timeout=1).address, CLIENT), 30)


def test_a_rate_of_each_source_is_its_own(lab):
    start(lab, "--limit", "1pps/source")
    expect_limited(lab, 1)
    for source in OTHERS:
        expect(lab.udp("client", HOST, 8080, source=source).address, source)


def test_a_rate_that_is_not_reached_costs_nothing(lab):
    start(lab, "--limit", "1Mpps")
    for _ in range(PACKETS // 4):
        expect(lab.udp("client", HOST, 8080).address, CLIENT)
    expect(lab.drops()["limited"], 0, "limited")


def test_the_rate_of_one_port_is_not_that_of_another(lab):
    start(lab, "--limit", "50pps")
    lab.xdock("port", "add", "web", "9090:80/udp")
    expect_limited(lab, 50)
    for _ in range(20):
        expect(lab.udp("client", HOST, 9090).address, CLIENT)


def expect_let_in(lab, *expected):
    """Which of CLIENT and OTHERS get an answer, by both protocols."""
    for source, is_let_in in zip((CLIENT, *OTHERS), expected):
        for protocol in "udp", "tcp":
            if is_let_in:
                expect(lab.ask("client", HOST, 8080, protocol, source=source).address, source)
            else:
                expect_raises(TimeoutError, lab.ask, "client", HOST, 8080, protocol, source=source,
                              timeout=0.5)


def test_the_longest_prefix_decides(lab):
    start(lab, "--deny", "198.51.100.64/30", "--allow", OTHERS[0])
    # Nobody but the allowed gets in.
    expect_let_in(lab, False, True, False)
    for options, let_in in (
            (("--deny", "198.51.100.64/30"), [True, False, False]),
            (("--deny", "198.51.100.0/24", "--deny", OTHERS[0], "--allow", "198.51.100.66/31"),
             [False, False, True]),
            (("--allow", "0.0.0.0/0", "--deny", OTHERS[1]), [True, True, False]),
            (("--limit", "none"), [True, True, True])):
        lab.xdock("port", "add", "web", "8080:80", "8080:80/udp", *options)
        expect_let_in(lab, *let_in)
    expect(lab.drops()["denied"] > 0, True, "counted")


def test_limits_given_again_replace_what_was(lab):
    start(lab, "--limit", "50pps", "--deny", "192.0.2.0/24")
    expect(limits(lab)["8080/tcp"], ("50pps", None, "192.0.2.0/24"))
    lab.xdock("port", "add", "web", "8080:80", "--allow", "10.0.0.0/8", "--allow", "10.1.2.3")
    expect(limits(lab), {"8080/tcp": (None, "10.0.0.0/8 10.1.2.3/32", None),
                         "8080/udp": ("50pps", None, "192.0.2.0/24")})
    # Without a word of limits they stay.
    lab.xdock("port", "add", "web", "8080:80", "8080:80/udp")
    expect(limits(lab)["8080/tcp"], (None, "10.0.0.0/8 10.1.2.3/32", None))
    lab.xdock("port", "add", "web", "8080:80", "8080:80/udp", "--limit", "none")
    expect(limits(lab), {"8080/tcp": (None,) * 3, "8080/udp": (None,) * 3})
    expect((dump("limit"), dump("list")), ([], []))
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)


def test_limits_go_with_the_port(lab):
    start(lab, "--limit", "1pps", "--deny", "192.0.2.0/24")
    lab.xdock("port", "rm", "8080")
    expect((len(dump("limit")), len(dump("list"))), (1, 1))
    lab.xdock("port", "rm", "8080/udp")
    expect((dump("limit"), dump("list")), ([], []))
    # The next port has none.
    lab.xdock("port", "add", "web", "8080:80")
    for _ in range(3):
        expect(lab.tcp("client", HOST, 8080).address, CLIENT)
    lab.xdock("port", "add", "web", "8080:80", "--deny", CLIENT)
    lab.xdock("container", "rm", "web")
    expect((dump("limit"), dump("list")), ([], []))


def test_limits_are_those_of_a_whole_spec(lab):
    start(lab)
    lab.xdock("port", "add", "web", "9000-9003:90-93", "--limit", "50pps")
    done = lab.xdock("port", "add", "web", "9001:91", "--deny", CLIENT, check=False)
    expect((done.returncode, done.stderr), (1, "xdock: port 9001/tcp: was published together with "
                                               "others, and they have their limits together\n"))
    done = lab.xdock("port", "add", "web", "9001:91", "7000:70", "--deny", CLIENT, check=False)
    expect(done.returncode, 1, "exit with a port that is new")
    expect(limits(lab), {"8080/tcp": (None,) * 3, "8080/udp": (None,) * 3,
                         "9000-9003/tcp": ("50pps", None, None)})
    expect(len(dump("limit")), 1, "rows of xd_limit")


def test_refuses_limits_that_contradict_each_other(lab):
    start(lab)
    for options, message in (
            (("--allow", CLIENT, "--deny", CLIENT + "/32"), f"{CLIENT}/32: is both allowed and denied"),
            (("--limit", "none", "--deny", CLIENT),
             "port add: --limit none takes all limits away, --allow and --deny set some"),
            (("--limit", "many"), "limit many: not a rate from 1pps to 100Mpps, as in 10kpps or "
                                  "500pps/source, and not none"),
            (("--allow", "10.0.0.1/8"), "allow 10.0.0.1/8: has bits behind its prefix")):
        done = lab.xdock("port", "add", "web", "7000:70", *options, check=False)
        expect((done.returncode, done.stderr), (1, f"xdock: {message}\n"))
    expect(list(limits(lab)), ["8080/tcp", "8080/udp"])


def test_a_limit_does_not_hold_for_containers_and_the_host(lab):
    start(lab, "--deny", "0.0.0.0/0")
    lab.add("db")
    expect(lab.tcp("host", "127.0.0.1", 8080).server, "web")
    expect(lab.tcp("db", HOST, 8080).server, "web")
    expect_raises(TimeoutError, lab.tcp, "client", HOST, 8080, timeout=1)
