# SPDX-License-Identifier: GPL-2.0-only
"""Clients that use another host side of a container port than the canonical one, from one source
port for all: two flows of them would be one flow in the container."""

import socket

from lab import CLIENT, HOST, expect, expect_raises

WEB, SOURCE = "172.17.0.2", 5555
LATER = "198.51.100.9"


def up(lab):
    """Both host ports of one container port."""
    lab.xdock("up")
    expect(lab.add("web", "-p", "8080:80", "-p", "9090:80",
                   "-p", "8080:80/udp", "-p", "9090:80/udp"), WEB)


def replace(lab, *options):
    """Another container gets the address of web."""
    lab.xdock("container", "rm", "web")
    expect(lab.add("new", "--ip", WEB, *options), WEB)


def ask(lab, port, address=HOST):
    """Whose answer the client gets; it has to come from the address and port that it asked."""
    answer = lab.udp("client", address, port, source_port=SOURCE)
    expect(answer[1:], (CLIENT, SOURCE), "client")
    return answer.server


def expect_refused(lab, function, *args, **options):
    """It gets no answer, and is counted."""
    before = lab.drops()["port-conflict"]
    expect_raises(TimeoutError, function, *args, **options)
    assert lab.drops()["port-conflict"] > before, "not counted"


def test_a_second_flow_from_the_same_source_port_is_refused_and_the_first_goes_on(lab):
    up(lab)
    for first, second in (8080, 9090), (9090, 8080):
        # Each in a flow of its own: a row stays with the first.
        source = SOURCE + first
        expect(lab.udp("client", HOST, first, source_port=source), ("web", CLIENT, source))
        expect_refused(lab, lab.udp, "client", HOST, second, source_port=source, timeout=0.5)
        expect(lab.udp("client", HOST, first, source_port=source), ("web", CLIENT, source))


def test_a_second_connection_from_the_same_source_port_is_refused_and_the_first_goes_on(lab):
    up(lab)
    first = lab.open_socket("client")
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    first.bind(("", SOURCE))
    first.connect((HOST, 9090))
    first.sendall(b"before ")
    expect_refused(lab, lab.tcp, "client", HOST, 8080, source_port=SOURCE, timeout=0.5)
    first.sendall(b"after")
    first.shutdown(1)
    data = b"".join(iter(lambda: first.recv(65536), b""))
    expect(data, f"web {CLIENT} {SOURCE} before after".encode(), "first connection")


def test_a_client_may_change_to_the_other_port_when_its_own_is_withdrawn(lab):
    up(lab)
    expect(ask(lab, 8080), "web")
    expect_refused(lab, ask, lab, 9090)
    lab.xdock("port", "rm", "8080/udp")
    expect(ask(lab, 9090), "web")
    lab.xdock("port", "add", "web", "8080:80/udp")
    expect_refused(lab, ask, lab, 8080)
    lab.xdock("port", "rm", "9090/udp")
    expect(ask(lab, 8080), "web")


def test_a_client_of_a_removed_container_reaches_the_next_owner_of_its_address_at_once(lab):
    up(lab)
    expect(ask(lab, 9090), "web")
    replace(lab, "-p", "8080:80/udp", "-p", "9090:80/udp")
    expect(ask(lab, 8080), "new")


def test_a_flow_that_outlives_its_container_belongs_to_the_next_one(lab):
    up(lab)
    expect(ask(lab, 9090), "web")
    replace(lab, "-p", "8080:80/udp", "-p", "9090:80/udp")
    expect(ask(lab, 9090), "new")
    expect_refused(lab, ask, lab, 8080)
    expect(ask(lab, 9090), "new")


def test_a_client_of_another_address_gets_answers_from_it_when_its_port_is_published_again(lab):
    lab.ip(f"-n host addr add {LATER}/24 dev wan")
    lab.xdock("up")
    lab.add("web", "-p", "8080:80/udp")
    expect(ask(lab, 8080, LATER), "web")
    lab.xdock("port", "rm", "8080/udp")
    lab.xdock("port", "add", "web", "8080:80/udp")
    expect(ask(lab, 8080, LATER), "web")
    replace(lab, "-p", "8080:80/udp")
    expect(ask(lab, 8080, LATER), "new")
