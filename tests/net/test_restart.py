# SPDX-License-Identifier: GPL-2.0-only
"""A container goes and another one comes in its place: what was on its way to the first, and who
gets it."""

import socket

from lab import CLIENT, GATEWAY, HOST, expect, expect_raises
from wire import dial, expect_talk, find_ip, listen

WEB, SIBLING = "172.17.0.2", "172.17.0.3"
PORTS = "-p", "8080:80", "-p", "8080:80/udp"


def up(lab):
    lab.xdock("up")
    lab.add("web", *PORTS)
    lab.add("sibling")


def restart(lab, *options, name="web"):
    lab.xdock("container", "rm", "web")
    return lab.add(name, *PORTS, *options)


def udp_socket(lab, ns, port, *peer):
    sock = lab.bound(ns, port, "udp")
    sock.settimeout(10)
    if peer:
        sock.connect(peer)
    return sock


def ask(sock):
    """Who answers, after what may be left of earlier errors and answers."""
    sock.settimeout(0)
    for _ in range(10):
        try:
            sock.recv(100)
        except BlockingIOError:
            break
        except ConnectionRefusedError:
            continue
    sock.settimeout(10)
    sock.send(b"x")
    return sock.recv(100).split()[0].decode()


def expect_no_answer(sock):
    """An error at most."""
    sock.settimeout(0.3)
    error = expect_raises(OSError, lambda: (sock.send(b"x"), sock.recv(100)))
    expect(isinstance(error, (TimeoutError, ConnectionRefusedError)), True, error)


def test_a_udp_client_reaches_the_next_container_with_its_next_datagram(lab):
    """Row 53: from outside, with one source port all the time."""
    up(lab)
    sock = udp_socket(lab, "client", 5000, HOST, 8080)
    expect(ask(sock), "web")
    for options, name in ((), "web"), (("--ip", "172.17.0.9"), "web"), ((), "next"):
        lab.xdock("container", "rm", "web")
        expect_no_answer(sock)
        lab.add(name, *PORTS, *options)
        expect(ask(sock), name, f"after {options}")


def test_containers_as_udp_clients_reach_the_next_one_with_their_next_datagram(lab):
    """Row 53: a sibling, and another network by way of the gateway."""
    up(lab)
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    lab.add("other", "--bridge", "br1")
    sockets = [udp_socket(lab, name, 5000, HOST, 8080) for name in ("sibling", "other")]
    for options, name in ((), "web"), (("--ip", "172.17.0.9"), "web"), ((), "next"):
        expect([ask(sock) for sock in sockets], ["web", "web"])
        lab.xdock("container", "rm", "web")
        for sock in sockets:
            expect_no_answer(sock)
        lab.add(name, "--bridge", "docker0", *PORTS, *options)
        expect([ask(sock) for sock in sockets], [name, name], f"after {options}")


def test_a_connection_to_a_removed_container_ends_and_the_next_one_never_hears_of_it(lab):
    """Row 54."""
    lab.xdock("up")
    ports = "-p", "8080:81"
    lab.xdock("container", "add", "web", *ports)
    near, _, _ = dial(lab, "client", listen(lab, "web", 81), HOST, 8080, source_port=5000)
    lab.xdock("container", "rm", "web")
    lab.xdock("container", "add", "web", *ports)
    server = listen(lab, "web", 81)
    near.sendall(b"stray")
    expect_raises(ConnectionResetError, near.recv, 100)
    server.settimeout(0.3)
    expect_raises(TimeoutError, server.accept)
    # One that is meant for it arrives, from the same source port.
    near, far, peer = dial(lab, "client", server, HOST, 8080, source_port=5000)
    expect(peer, (CLIENT, 5000))
    expect_talk(near, far)


def test_everybody_reaches_a_restarted_container_at_once(lab):
    """Rows 7 and 8: whatever they remember of the one before."""
    up(lab)
    clients = (("client", HOST, 8080), ("host", "127.0.0.1", 8080), ("host", WEB, 80),
               ("sibling", WEB, 80), ("sibling", HOST, 8080), ("web", HOST, 8080))
    before = lab.link_info("host", "xd-web")["ifindex"]
    for _ in range(2):
        for ns, address, port in clients:
            for protocol in "tcp", "udp":
                # Less than a stale neighbour would take.
                answer = lab.ask(ns, address, port, protocol, timeout=5)
                expect(answer.server, "web", f"{protocol} from {ns} to {address}")
        expect(restart(lab, "--ip", WEB), WEB)
        assert lab.link_info("host", "xd-web")["ifindex"] != before, "no new interface"


def test_answers_to_a_removed_container_do_not_reach_the_next_owner_of_its_address(lab):
    """Row 54, of flows that the container opened."""
    up(lab)
    server = udp_socket(lab, "client", 7001)
    old = udp_socket(lab, "web", 5000, CLIENT, 7001)
    old.send(b"x")
    peer = server.recvfrom(100)[1]
    expect(peer, (HOST, 5000))
    tcp_near, tcp_far, tcp_peer = dial(lab, "web", listen(lab, "client", 7002), CLIENT, 7002,
                                       source_port=5001)
    expect_talk(tcp_near, tcp_far)
    expect(tcp_peer, (HOST, 5001))
    lab.xdock("container", "rm", "web")
    expect(lab.add("new", "--ip", WEB), WEB)
    tap = lab.capture("new", "eth0")
    new = udp_socket(lab, "new", 5000)
    listen(lab, "new", 5001)
    server.sendto(b"late", peer)
    tcp_far.sendall(b"late")
    expect(find_ip(tap, 0.3, src=CLIENT), None, "packet at the new container")
    # And its own flow of the same ports is its own.
    new.sendto(b"y", (CLIENT, 7001))
    data, peer = server.recvfrom(100)
    expect((data, peer[0]), (b"y", HOST))
    server.sendto(b"answer", peer)
    expect(new.recv(100), b"answer")


def test_answers_to_a_container_whose_veth_is_gone_do_not_reach_another(lab):
    """Row 8: where no command has cleaned up."""
    up(lab)
    server = udp_socket(lab, "client", 7001)
    udp_socket(lab, "web", 5000, CLIENT, 7001).send(b"x")
    peer = server.recvfrom(100)[1]
    before = lab.link_info("host", "xd-web")["ifindex"]
    lab.ip("-n host link del xd-web", "netns add thief",
           f"-n host link add other index {before} type veth peer name eth0 "
           "address 02:42:ac:11:00:02 netns thief",
           "-n host link set other up", f"-n thief addr add {WEB}/16 dev eth0",
           "-n thief link set eth0 up")
    tap = lab.capture("thief", "eth0")
    server.sendto(b"late", peer)
    expect(find_ip(tap, 0.3, src=CLIENT), None, "packet at the later owner of the ifindex")


def test_a_port_is_published_again_while_old_connections_linger(lab):
    """Row 56: less than two maximum segment lifetimes after they were closed."""
    up(lab)
    for name in "web", "web", "next":
        for ns, address in (("client", HOST), ("host", "127.0.0.1"), ("host", HOST),
                            ("sibling", HOST)):
            expect(lab.tcp(ns, address, 8080).server, "web")
        restart(lab, name=name)
        expect(lab.tcp("client", HOST, 8080).server, name)


def test_a_port_is_published_before_the_command_of_a_container_runs(lab):
    """Row 55: the first thing that it does is to dial its own published port."""
    lab.xdock("up")
    script = ("import socket; server = socket.create_server(('', 80)); "
              f"client = socket.create_connection(('{GATEWAY}', 8080), 10); server.settimeout(10); "
              "print(server.accept()[1][0], client.getpeername()[1])")
    done = lab.xdock("run", "-p", "8080:80", "--", "python3", "-c", script)
    expect(done.stdout, f"{GATEWAY} 8080\n")


def test_two_mappings_of_one_container_port_live_and_end_apart(lab):
    """Row 50: one is removed under a flow of the other."""
    up(lab)
    lab.xdock("port", "add", "web", "9090:81", "9091:81")
    listener = listen(lab, "web", 81)
    near, far, _ = dial(lab, "client", listener, HOST, 9090)
    other, other_far, _ = dial(lab, "client", listener, HOST, 9091)
    lab.xdock("port", "rm", "9091")
    expect_talk(near, far)
    expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, 9091)
    expect_raises(ConnectionResetError, lambda: (other.sendall(b"x"), other.recv(100)))
    expect_talk(near, far)
