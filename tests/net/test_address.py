# SPDX-License-Identifier: GPL-2.0-only
"""Addresses and routes of containers."""

import json

from lab import CLIENT, GATEWAY, HOST, expect


def refused(lab, *words, code):
    """What the command says that refuses."""
    done = lab.xdock(*words, check=False)
    expect(done.returncode, code, f"exit of {words}")
    return done.stderr


def names(lab):
    return sorted(c["name"] for c in lab.xdock("container", "list", json=True)["containers"])


def test_containers_get_the_lowest_free_address(lab):
    lab.xdock("up")
    expect(lab.add("a"), "172.17.0.2", "first")
    expect(lab.add("b"), "172.17.0.3", "second")
    expect(lab.add("c"), "172.17.0.4", "third")
    lab.xdock("container", "rm", "b")
    expect(lab.add("d"), "172.17.0.3", "the one that became free")
    expect(lab.tcp("host", "172.17.0.3", 80).server, "d", "server")
    expect(lab.udp("a", "172.17.0.3", 80).server, "d", "server")


def test_the_address_that_was_asked_for_is_honoured(lab):
    lab.xdock("up")
    expect(lab.add("far", "--ip", "172.17.200.7"), "172.17.200.7")
    expect(lab.add("next", "--ip", "172.17.0.2"), "172.17.0.2")
    expect(lab.add("free"), "172.17.0.3", "the lowest that is left")
    expect(lab.tcp("next", "172.17.200.7", 80)[:2], ("far", "172.17.0.2"))


def test_unusable_addresses_are_refused_by_name(lab):
    lab.xdock("up")
    lab.add("web")
    for address, code, cause in (("172.17.0.1", 1, "is the gateway of docker0"),
                                 ("172.17.0.0", 1, "is the network address"),
                                 ("172.17.255.255", 1, "is the broadcast address"),
                                 ("10.0.0.5", 1, "is outside of 172.17.0.1/16"),
                                 ("172.17.0.2", 2, "in use by container web")):
        said = refused(lab, "container", "add", "other", "--ip", address, code=code)
        assert f"container other: address {address}" in said and cause in said, said
        expect(names(lab), ["web"], "containers")
        expect(lab.link_info("host", "xd-other"), None, "interface")


def test_a_full_subnet_says_so_and_fills_up_again_after_rm(lab):
    lab.xdock("up", "--subnet", "172.18.0.0/29")
    given = [lab.add(f"c{i}") for i in range(5)]
    expect(given, [f"172.18.0.{i}" for i in range(2, 7)], "addresses")
    said = refused(lab, "container", "add", "more", code=2)
    assert "every address of the subnet is taken" in said, said
    expect(names(lab), [f"c{i}" for i in range(5)], "containers")
    lab.xdock("container", "rm", "c2")
    expect(lab.add("more"), "172.18.0.4")


def test_the_gateway_is_not_given_out_when_it_is_not_the_first_address(lab):
    lab.xdock("up", "--subnet", "172.18.0.3/29")
    expect([lab.add(f"c{i}") for i in range(5)],
           ["172.18.0.1", "172.18.0.2", "172.18.0.4", "172.18.0.5", "172.18.0.6"], "addresses")
    expect(lab.tcp("c0", "172.18.0.6", 80)[:2], ("c4", "172.18.0.1"))


def test_the_default_route_of_a_container_is_the_bridge(lab):
    lab.xdock("up")
    lab.add("web")
    (route,) = json.loads(lab.container("web", "ip", "-j", "route", "show", "default").stdout)
    expect((route["gateway"], route["dev"]), (GATEWAY, "eth0"), "route")
    lab.container("web", "ping", "-c1", "-W10", GATEWAY)
    lab.echo("host", 7000)
    expect(lab.tcp("web", HOST, 7000)[:2], ("host", "172.17.0.2"))


def test_a_reused_address_reaches_the_new_container_at_once(lab):
    lab.xdock("up")
    lab.add("old", "--ip", "172.17.0.9", "-p", "8080:80")
    lab.add("sibling")
    for where in "sibling", "host":
        expect(lab.tcp(where, "172.17.0.9", 80).server, "old", "before")
    expect(lab.tcp("client", HOST, 8080)[:2], ("old", CLIENT), "before")
    lab.xdock("container", "rm", "old")
    lab.add("new", "--ip", "172.17.0.9", "-p", "8080:80")
    for where in "sibling", "host":
        expect(lab.tcp(where, "172.17.0.9", 80, timeout=5).server, "new", "after")
    expect(lab.tcp("client", HOST, 8080, timeout=5)[:2], ("new", CLIENT), "after")
