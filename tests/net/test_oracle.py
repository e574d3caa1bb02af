# SPDX-License-Identifier: GPL-2.0-only
"""xdock against the kernel with Docker's rules: the same in everything, but for what the tables
here say in words, row by row (oracle.py says how and what is compared).

The tables follow their cases. A Difference has the number of the behaviour, a pattern for names of
cases, what is seen with Docker and what with xdock, and why."""

from frame import (DONT, ECHO_REPLY, EXCEEDED, UNREACHABLE, echo, error, fragments, icmp, ip, sctp,
                   tcp, udp)
from lab import CLIENT, GATEWAY, HOST, limit
from oracle import Difference, check, expect_none, find_faults, make_worlds
from world import (CLIENT2, DB, FAR, FAR_GATEWAY, HOST2, HOST_SERVICE, LOOPBACK, SECOND, SERVICE,
                   WEB, Network)

ADDRESSES = {"client": CLIENT, "client2": CLIENT2, "web": WEB, "db": DB, "far": FAR}
BEYOND, ROUTER = "192.0.2.7", "192.0.2.1"  # behind the client
PROTOCOLS = "tcp", "udp"

# What the way of a sibling's packet to a published port, and of the answer, differs in, and of the
# server's own: there Docker has br_netfilter bridge the frame.
SIBLING = ("TTL", 64, 63), ("from MAC", "db", "docker0"), ("from MAC", "web", "docker0")
SELF = ("TTL", 64, 63), ("from MAC", "web", "docker0")


# Connections of real sockets


def connect(where, address, port, protocol, is_bound):
    return lambda script: script.connect(where, address, port, protocol, is_bound)


def connection_cases():
    """{name: case}: "tcp from db to 198.51.100.1:8080"."""
    cases = {}

    def add(where, address, *ports, words="", is_bound=True):
        for port in ports:
            for protocol in PROTOCOLS:
                name = f"{protocol} from {where} to {address}:{port}{words}"
                cases[name] = connect(where, address, port, protocol, is_bound)

    for where in "client", "client2", "host", "db", "far", "web":
        is_bound = where != "host"
        add(where, HOST, 8080, 8081, 8082, 8083, HOST_SERVICE, is_bound=is_bound)
        add(where, SECOND, 8080, 8081, is_bound=is_bound)
        add(where, HOST2, 8080, is_bound=is_bound)
        add(where, GATEWAY, 8080, HOST_SERVICE, is_bound=is_bound)
        add(where, FAR_GATEWAY, 8080, HOST_SERVICE, is_bound=is_bound)
        add(where, WEB, 80, is_bound=is_bound)
        add(where, FAR, 80, is_bound=is_bound)
    add("host", LOOPBACK, 8080, 8082, is_bound=False)
    for address in HOST, LOOPBACK:
        add("host", address, 8080, words=" by a bound socket")
    for where in "host", "web", "db", "far":
        add(where, CLIENT, SERVICE)
        add(where, CLIENT2, SERVICE)
    return cases


CONNECTIONS = (
    *(Difference(40, f"* from host to {address}:{port}",
                 (("peer", f"{GATEWAY}:own", f"{address}:own"), ("source", GATEWAY, address)),
                 "The host by an address of its own is that address, as with Docker's proxy. The "
                 "rules alone hide it behind the gateway's (moby#45629).")
      for address, port in ((HOST, 8080), (SECOND, 8080), (HOST2, 8080), (FAR_GATEWAY, 8080),
                            (HOST, 8081), (HOST, 8083))),
    *(Difference(21, f"* from host to {address}:{HOST_SERVICE}",
                 (("peer", f"{HOST}:own", f"{address}:own"),),
                 "The host asks a service of its own by a bridge's address. Docker's rule takes "
                 "that for a container's packet and masquerades it on lo.")
      for address in (GATEWAY, FAR_GATEWAY)),
    *(Difference(41, f"* from {where} to {address}", fields,
                 "A sibling of the server keeps its own address, the server itself is its gateway "
                 "(Docker's proxy shows the gateway for both). xdock does without br_netfilter, "
                 "and the gateway is a hop.")
      for where, fields in (("db", SIBLING), ("web", SELF))
      for address in ("*:8080", f"{HOST}:8081", f"{HOST}:8083")),
)


@limit(60)
def test_connections_are_the_same_with_offloads_on(lab):
    check(make_worlds(lab), connection_cases(), CONNECTIONS)


@limit(60)
def test_connections_are_the_same_with_offloads_off(lab):
    worlds = make_worlds(lab)
    for world in worlds:
        world.switch_offloads_off()
    check(worlds, connection_cases(), CONNECTIONS)


# Packets, one by one. Each function that is named for what it does returns a case.

OWN = object()  # the port of the case


def mute(worlds):
    for world in worlds:
        world.mute()
    return worlds


def answer(packet):
    """(source, sport, destination, dport) of the answer to a packet."""
    return packet.destination, packet.dport, packet.source, packet.sport


def send(where, make, *args, **more):
    """Sends make(*args, **more): a packet, or several."""
    def case(script):
        packets = make(*(script.port if arg is OWN else arg for arg in args), **more)
        script.send(where, *([packets] if isinstance(packets, bytes) else packets))

    return case


def open_tcp(script, where, address, port, server):
    """A connection's first three packets. Returns the first arguments of tcp() for both ends."""
    ours = ADDRESSES[where], script.port, address, port
    theirs = answer(script.one(script.send(where, tcp(*ours, "S", 1000)), server))
    script.one(script.send(server, tcp(*theirs, "SA", 5000, 1001)), where)
    script.one(script.send(where, tcp(*ours, "A", 1001, 5001)), server)
    return ours, theirs


def open_udp(script, where, address, port, server):
    """The same for udp()."""
    ours = ADDRESSES[where], script.port, address, port
    return ours, answer(script.one(script.send(where, udp(*ours)), server))


def exchange_tcp(where, address, port, server):
    def case(script):
        ours, theirs = open_tcp(script, where, address, port, server)
        script.send(where, tcp(*ours, "PA", 1001, 5001, b"odd"))
        script.send(server, tcp(*theirs, "PA", 5001, 1004, bytes(range(200))))
        script.send(where, tcp(*ours, "FA", 1004, 5201))
        script.send(server, tcp(*theirs, "FA", 5201, 1005))
        script.send(where, tcp(*ours, "A", 1005, 5202))

    return case


def exchange_udp(where, address, port, server):
    def case(script):
        ours, theirs = open_udp(script, where, address, port, server)
        script.send(server, udp(*theirs, b"answer"))
        script.send(where, udp(*ours, b"odd"))

    return case


def exchange_echo(where, address, server):
    def case(script):
        sent = script.send(where, echo(ADDRESSES[where], address, script.port))
        got = script.one(sent, server)
        script.send(server, echo(got.destination, got.source, got.sport, ECHO_REPLY))

    return case


def exchange(protocol, where, address, port, server):
    return (exchange_tcp if protocol == "tcp" else exchange_udp)(where, address, port, server)


def both(first, second):
    return lambda script: (first(script), second(script))


def add_exchanges(cases, where, address, port, server):
    for protocol in PROTOCOLS:
        cases[f"{protocol} from {where} to {address}:{port}"] = exchange(protocol, where, address,
                                                                         port, server)


def published_cases():
    cases = {}
    for where, address, *ports in (
            ("client", HOST, 8080, 8081, 8082, 8083), ("client", SECOND, 8080, 8081, 8083),
            ("client", GATEWAY, 8080), ("client", HOST2, 8080), ("client", LOOPBACK, 8080, 8082),
            ("client", BEYOND, 8080), ("client", "172.17.255.255", 8080),
            ("client2", HOST2, 8080), ("client2", HOST, 8080, 8081),
            ("db", HOST, 8080, 8081, 8082, 8083), ("db", SECOND, 8080), ("db", GATEWAY, 8080),
            ("db", LOOPBACK, 8080, 8082), ("far", LOOPBACK, 8080, 8082),
            ("web", LOOPBACK, 8080, 8082), ("far", HOST, 8080, 8082, 8083), ("far", GATEWAY, 8080),
            ("far", FAR_GATEWAY, 8080), ("web", GATEWAY, 8080),
            ("web", HOST, 8080, 8081, 8082, 8083)):
        for port in ports:
            add_exchanges(cases, where, address, port, "web")
    for where in "client", "db", "far":
        for protocol in PROTOCOLS:
            cases[f"{protocol} from {where} from one port to two"] = both(
                *(exchange(protocol, where, HOST, port, "web") for port in (8080, 8083)))
    return cases


PUBLISHED = (
    *(Difference(46, f"{protocol} from {where} to {LOOPBACK}:8080",
                 (("verdict", f"web {seen}", "nothing"),),
                 "Nobody but the host itself addresses its 127.0.0.1, whatever is published; "
                 "Docker's rule for every address takes it.")
      for where in ("client", "db", "far", "web")
      for protocol, seen in (("udp", "udp"), ("tcp", "tcp S"))),
    *(Difference(44, f"{protocol} from client to {BEYOND}:8080",
                 (("verdict", "nothing", f"client {seen}"),),
                 "What only passes through is never translated. dockerd also sets the host's "
                 "policy for forwarding to DROP; xdock leaves it alone.")
      for protocol, seen in (("udp", "udp"), ("tcp", "tcp S"))),
    *(Difference(41, f"* from {where} to {address}", fields,
                 "As in the table of connections: the gateway is a hop.")
      for where, fields in (("db", SIBLING), ("web", SELF))
      for address in (f"{HOST}:8080", f"{GATEWAY}:8080", f"{HOST}:8081", f"{HOST}:8083")),
    Difference(41, f"* from db to {SECOND}:8080", SIBLING, "So by another address."),
    *(Difference(50, f"{protocol} from {where} from one port to two",
                 (*fields, ("verdict", f"web {seen}", "nothing")),
                 "A client that uses one source port for two host ports of one container port is "
                 "refused the second (`port-conflict`). Docker gives it another source port.")
      for where, fields in (("client", ()), ("db", SIBLING))
      for protocol, seen in (("udp", "udp"), ("tcp", "tcp S"))),
)


@limit(60)
def test_packets_to_published_ports_are_the_same(lab):
    check(mute(make_worlds(lab)), published_cases(), PUBLISHED)


def masquerade_cases():
    def from_port(port, case):
        def from_that(script):
            script.port = port
            case(script)

        return from_that

    def reset(script):
        _, theirs = open_tcp(script, "web", CLIENT, SERVICE, "client")
        script.send("client", tcp(*theirs, "R", 5001))

    cases = {}
    for where in "web", "db", "far":
        for end, address in (("client", CLIENT), ("client2", CLIENT2), ("client", BEYOND)):
            add_exchanges(cases, where, address, SERVICE, end)
            cases[f"echo from {where} to {address}"] = exchange_echo(where, address, end)
    for port in 40000, 8080, 500, 1:
        for protocol in PROTOCOLS:
            cases[f"{protocol} from port {port}"] = from_port(
                port, exchange(protocol, "web", CLIENT, SERVICE, "client"))
        cases[f"echo with id {port}"] = from_port(port, exchange_echo("web", CLIENT, "client"))
    for protocol in PROTOCOLS:
        cases[f"{protocol} of two containers from one port"] = both(
            *(exchange(protocol, where, CLIENT, SERVICE, "client") for where in ("web", "db")))
    cases["echo of two containers with one id"] = both(
        *(exchange_echo(where, CLIENT, "client") for where in ("web", "db")))
    cases["tcp that the remote resets"] = reset
    return cases


MASQUERADE = (
    *(Difference(23, f"{protocol} from port {port}", (("sport", "own", "chosen"),),
                 "A source port that the host's own connections, published ports or services "
                 "below 1024 may need is changed, where Docker lets the two collide.")
      for port in (40000, 8080, 500, 1) for protocol in ("tcp", "udp")),
)


@limit(60)
def test_packets_to_the_outside_are_the_same(lab):
    check(mute(make_worlds(lab)), masquerade_cases(), MASQUERADE)


def direct_cases():
    cases = {}
    for where, address, server in (("client", WEB, "web"), ("client2", WEB, "web"),
                                   ("client", FAR, "far"), ("far", WEB, "web"), ("web", FAR, "far"),
                                   ("db", WEB, "web")):
        for port in 80, 1234:
            add_exchanges(cases, where, address, port, server)
        cases[f"echo from {where} to {address}"] = exchange_echo(where, address, server)
    for where, address in (("client", HOST), ("web", HOST), ("web", GATEWAY), ("web", FAR_GATEWAY),
                           ("client", GATEWAY)):
        ours = ADDRESSES[where], OWN, address, 1234
        cases[f"echo from {where} to {address}"] = send(where, echo, ADDRESSES[where], address, OWN)
        cases[f"tcp from {where} to {address}"] = send(where, tcp, *ours, "S", 1000)
        cases[f"udp from {where} to {address}"] = send(where, udp, *ours)
    return cases


@limit(60)
def test_packets_to_containers_and_to_the_host_itself_are_the_same(lab):
    check(mute(make_worlds(lab)), direct_cases(), ())


def forged_cases():
    cases = {}
    for source in WEB, "172.17.0.9", GATEWAY, LOOPBACK, HOST, "0.0.0.0", "224.0.0.1":
        cases[f"udp from client as {source}"] = send("client", udp, source, OWN, HOST, 8080)
        cases[f"tcp from client as {source}"] = send("client", tcp, source, OWN, HOST, 8080, "S",
                                                     1000)
    for source in GATEWAY, LOOPBACK, DB, FAR, "10.9.9.9", "0.0.0.0":
        for address in CLIENT, DB, HOST:
            cases[f"udp from web to {address} as {source}"] = send("web", udp, source, OWN, address,
                                                                   SERVICE)
    return cases


FORGED = (
    *(Difference(105, f"{protocol} from client as {source}",
                 (("verdict", f"web {seen}", "nothing"),),
                 "A packet from outside with a container's source is dropped; with Docker that "
                 "is the kernel's rp_filter, where it is on.")
      for protocol, seen in (("udp", "udp"), ("tcp", "tcp S")) for source in (WEB, "172.17.0.9")),
    *(Difference(105, f"udp from web to {DB} as {source}", (("verdict", "db udp", "nothing"),),
                 "A container cannot send as its gateway or from loopback, not to a sibling "
                 "either.")
      for source in (GATEWAY, LOOPBACK)),
    *(Difference(102, f"udp from web to {address} as {source}",
                 (("verdict", f"{seen} {kind}", "nothing"),),
                 "Another container's address is no source for what leaves the bridge.")
      for source, neighbour in ((DB, "db"), (FAR, "far"))
      for address, seen, kind in ((CLIENT, "client", "udp"), (HOST, neighbour, "icmp 3/3"))),
    Difference(102, f"udp from web to {DB} as {FAR}", (("source", GATEWAY, FAR),),
               "What the bridge carries stays as it was sent."),
)


@limit(60)
def test_forged_sources_get_as_far(lab):
    check(mute(make_worlds(lab)), forged_cases(), FORGED)


def ttl_cases():
    def send_answer(ttl, where, address, port, server):
        def case(script):
            _, theirs = open_udp(script, where, address, port, server)
            script.send(server, udp(*theirs, ttl=ttl))

        return case

    cases = {}
    for ttl in 1, 2, 255:
        for words, where, address, port in (
                ("to a published port", "client", HOST, 8080),
                ("to a published port by a sibling", "db", HOST, 8080),
                ("to a published port by another network", "far", HOST, 8080),
                ("to the outside", "web", CLIENT, SERVICE), ("to a sibling", "db", WEB, 80),
                ("to the gateway", "db", GATEWAY, 1234)):
            cases[f"TTL {ttl} {words}"] = send(where, udp, ADDRESSES[where], OWN, address, port,
                                               ttl=ttl)
        cases[f"TTL {ttl} from a published port"] = send_answer(ttl, "client", HOST, 8080, "web")
        cases[f"TTL {ttl} back from the outside"] = send_answer(ttl, "web", CLIENT, SERVICE,
                                                                "client")
    return cases


TTL = (
    *(Difference(32, f"TTL 1 {words}", (("verdict", "client icmp 11/0", "nothing"),),
                 "From outside a TTL that runs out here is dropped (`ttl`), where the kernel sends "
                 "time exceeded.")
      for words in ("to a published port", "back from the outside")),
    *(Difference(41, f"TTL {ttl} to a published port by a sibling",
                 (("TTL", ttl, ttl - 1), ("from MAC", "db", "docker0")),
                 "As in the table of connections: the gateway is a hop.")
      for ttl in (2, 255)),
    Difference(41, "TTL 1 to a published port by a sibling", (("verdict", "web udp", "nothing"),),
               "So it runs out here."),
    Difference(32, "TTL 1 to a published port by another network",
               (("verdict", "far icmp 11/0", "nothing"),), "And is dropped as well."),
)


@limit(60)
def test_a_ttl_runs_out_at_the_same_place(lab):
    check(mute(make_worlds(lab)), ttl_cases(), TTL)


def size_cases():
    """client2 is behind a link of 1400 bytes."""
    def published_udp(size, bits):
        def case(script):
            _, theirs = open_udp(script, "client2", HOST2, 8080, "web")
            script.send("web", udp(*theirs, bytes(size - 28), bits=bits))

        return case

    def published_tcp(size):
        def case(script):
            _, theirs = open_tcp(script, "client2", HOST2, 8080, "web")
            script.send("web", tcp(*theirs, "PA", 5001, 1001, bytes(size - 40), bits=DONT))

        return case

    def masqueraded_tcp(size):
        def case(script):
            ours, _ = open_tcp(script, "web", CLIENT2, SERVICE, "client2")
            script.send("web", tcp(*ours, "PA", 1001, 5001, bytes(size - 40), bits=DONT))

        return case

    cases = {}
    for size in 1400, 1401, 1500:
        payload = bytes(size - 28)
        for words, bits in ("udp with DF", DONT), ("udp", 0):
            cases[f"{size} bytes of {words} from a published port"] = published_udp(size, bits)
            cases[f"{size} bytes of {words} to the outside"] = send(
                "web", udp, WEB, OWN, CLIENT2, SERVICE, payload, bits=bits)
        for words, bits in ("echo with DF", DONT), ("echo", 0):
            cases[f"{size} bytes of {words} to the outside"] = send(
                "web", echo, WEB, CLIENT2, OWN, payload=payload, bits=bits)
        cases[f"{size} bytes of tcp from a published port"] = published_tcp(size)
        cases[f"{size} bytes of tcp to the outside"] = masqueraded_tcp(size)
    return cases


SIZE = (
    *(Difference(33, f"{size} bytes of {protocol} {words}",
                 (("verdict", f"client2 {seen}", "nothing"),),
                 "A datagram without DF that is too big for its uplink is dropped "
                 "(`untranslated`): the kernel would fragment it with the container's address.")
      for size in (1401, 1500) for protocol, seen, words in (
          ("udp", "udp", "from a published port"), ("udp", "udp", "to the outside"),
          ("echo", "icmp 8/0", "to the outside"))),
)


@limit(60)
def test_packets_too_big_for_the_link_are_refused_the_same_way(lab):
    check(mute(make_worlds(lab)), size_cases(), SIZE)


def error_cases():
    """Errors about packets that came through, from who got them and from a router beyond.
    report(data) makes the error about a packet."""
    def about_request(protocol, where, report):
        def case(script):
            ours = ADDRESSES[where], script.port, HOST, 8080
            sent = tcp(*ours, "S", 1000) if protocol == "tcp" else udp(*ours)
            script.send("web", report(script.one(script.send(where, sent), "web").data))

        return case

    def about_answer(protocol, where, report):
        def case(script):
            if protocol == "tcp":
                _, theirs = open_tcp(script, where, HOST, 8080, "web")
                sent = tcp(*theirs, "PA", 5001, 1001, b"data" * 20)
            else:
                _, theirs = open_udp(script, where, HOST, 8080, "web")
                sent = udp(*theirs)
            script.send(where, report(script.one(script.send("web", sent), where).data))

        return case

    def about_outbound(protocol, report):
        def case(script):
            if protocol == "tcp":
                ours, _ = open_tcp(script, "web", CLIENT, SERVICE, "client")
                sent = tcp(*ours, "PA", 1001, 5001, b"data" * 20)
            elif protocol == "udp":
                sent = udp(WEB, script.port, CLIENT, SERVICE)
            else:
                sent = echo(WEB, CLIENT, script.port)
            script.send("client", report(script.one(script.send("web", sent), "client").data))

        return case

    def about_inbound(report):
        def case(script):
            _, theirs = open_udp(script, "web", CLIENT, SERVICE, "client")
            script.send("web", report(script.one(script.send("client", udp(*theirs)), "web").data))

        return case

    def by(source, kind, quoted=8):
        return lambda about: error(source, about, *kind, quoted=quoted)

    cases = {}
    for name, kind in (("port unreachable", (UNREACHABLE, 3)),
                       ("host unreachable", (UNREACHABLE, 1)),
                       ("fragmentation needed", (UNREACHABLE, 4, 1300)),
                       ("time exceeded", (EXCEEDED, 0)), ("parameter problem", (12, 0)),
                       ("source quench", (4, 0))):
        for protocol in PROTOCOLS:
            published = f"published {protocol}"
            cases[f"{name} by web about {published}"] = about_request(protocol, "client",
                                                                      by(WEB, kind))
            cases[f"{name} by the client about an answer of {published}"] = about_answer(
                protocol, "client", by(CLIENT, kind))
            cases[f"{name} by a router about an answer of {published}"] = about_answer(
                protocol, "client", by(ROUTER, kind, 28))
        for protocol in *PROTOCOLS, "echo":
            outbound = f"{protocol} to the outside"
            cases[f"{name} by the remote about {outbound}"] = about_outbound(protocol,
                                                                             by(CLIENT, kind))
            cases[f"{name} by a router about {outbound}"] = about_outbound(protocol,
                                                                           by(ROUTER, kind, 28))
        cases[f"{name} by web about an answer from the outside"] = about_inbound(by(WEB, kind, 28))
    kind = UNREACHABLE, 3
    for where in "db", "far":
        for protocol in PROTOCOLS:
            cases[f"port unreachable by web about published {protocol} to {where}"] = about_request(
                protocol, where, by(WEB, kind, 28))
        cases[f"port unreachable by {where} about an answer of published udp"] = about_answer(
            "udp", where, by(ADDRESSES[where], kind, 28))
    cases["port unreachable about a flow that nobody knows"] = send(
        "client", error, ROUTER, udp(HOST, 6000, CLIENT, SERVICE), *kind)
    cases["port unreachable by web about a flow that nobody knows"] = send(
        "web", error, WEB, udp(CLIENT, 6000, WEB, 1234), *kind)
    return cases


ERRORS = (
    *(Difference(41, case, (*SIBLING, ("inner TTL", 64, 63)),
                 "As in the table of connections: the gateway is a hop.")
      for case in ("port unreachable by web about published * to db",
                   "port unreachable by db about an answer of published udp")),
    Difference(35, "port unreachable by web about a flow that nobody knows",
               (("verdict", "client icmp 3/3", "nothing"),),
               "An error about a flow that nobody knows is dropped (`untracked`). With Docker it "
               "leaves with the container's address."),
)


@limit(60)
def test_icmp_errors_are_the_same(lab):
    check(mute(make_worlds(lab)), error_cases(), ERRORS)


def fragment_cases():
    big = bytes(range(250)) * 16

    def in_order(packets, order):
        return {"in order": packets, "in reverse": packets[::-1],
                "twice": [packet for packet in packets for _ in range(2)]}[order]

    def pieces(make, *args, order="in order", **more):
        return in_order(fragments(make(*args, **more), 1500), order)

    def exchange_udp_pieces(where, address, port, server, order="in order"):
        def case(script):
            more = {"payload": big, "ident": script.port, "order": order}
            ours = ADDRESSES[where], script.port, address, port
            got = script.one(script.send(where, *pieces(udp, *ours, **more)), server)
            script.send(server, *pieces(udp, *answer(got), **more))

        return case

    def exchange_echo_pieces(order="in order"):
        def case(script):
            more = {"payload": big, "ident": script.port, "order": order}
            sent = script.send("web", *pieces(echo, WEB, CLIENT, script.port, **more))
            got = script.one(sent, "client")
            script.send("client", *pieces(echo, got.destination, got.source, got.sport, ECHO_REPLY,
                                          **more))

        return case

    def reuse_at_the_host(script):
        """The remote's next datagram with the same IP id is for the host itself."""
        exchange_echo_pieces()(script)
        script.send("client", *pieces(echo, CLIENT, HOST, 1, payload=big, ident=script.port))

    def reuse_at_a_sibling(script):
        exchange_udp_pieces("db", HOST, 8080, "web")(script)
        for where, ours, other in ("web", WEB, DB), ("db", DB, WEB):
            script.send(where, *pieces(udp, ours, SERVICE, other, SERVICE, big, ident=script.port))

    def second(*args, **more):
        return pieces(udp, *args, big, **more)[1]

    cases = {}
    for order in "in order", "in reverse", "twice":
        for where in "client", "db", "far":
            cases[f"udp from {where} to a published port {order}"] = exchange_udp_pieces(
                where, HOST, 8080, "web", order)
        cases[f"udp to the outside {order}"] = exchange_udp_pieces("web", CLIENT, SERVICE, "client",
                                                                   order)
        cases[f"udp to a sibling {order}"] = exchange_udp_pieces("web", DB, 80, "db", order)
        cases[f"echo to the outside {order}"] = exchange_echo_pieces(order)
        cases[f"echo to the host {order}"] = send("client", pieces, echo, CLIENT, HOST, OWN,
                                                  payload=big, ident=7, order=order)
    cases["fragments to the host with an id that a container's had"] = reuse_at_the_host
    cases["fragments to a sibling with an id that a published port's had"] = reuse_at_a_sibling
    cases["the second fragment alone to a published port"] = send("client", second, CLIENT, OWN,
                                                                  HOST, 8080, ident=8)
    cases["the second fragment alone to the outside"] = send("web", second, WEB, OWN, CLIENT,
                                                             SERVICE, ident=9)
    return cases


FRAGMENTS = (
    *(Difference(41, case, SIBLING, "As in the table of connections: the gateway is a hop.")
      for case in ("udp from db to a published port in order",
                   "udp from db to a published port twice",
                   "fragments to a sibling with an id that a published port's had")),
    *(Difference(31, f"{what} in reverse", (("verdict", seen, f"{lost} fragment"),),
                 "A later fragment that comes before the first is not translated, since only the "
                 "first has ports: the datagram is lost. The kernel assembles it.")
      for what, seen, lost in (
          *((f"udp from {where} to a published port", "web udp", "web udp")
            for where in ("client", "db", "far")),
          ("udp to the outside", "client udp", "client udp"),
          ("echo to the outside", "client icmp 8/0", "client icmp"))),
)


@limit(60)
def test_fragments_arrive_the_same(lab):
    check(mute(make_worlds(lab)), fragment_cases(), FRAGMENTS)


FLAGS = "A", "PA", "FA", "R", "RA", "SA", "FPU", ""
WITHOUT_PORTS = 4, 47, 50, 51, 103, 253  # protocols


def other_cases():
    """What no published port and no masquerade was made for."""
    def exchange_ip(number):
        def case(script):
            got = script.one(script.send("web", ip(WEB, CLIENT, number, bytes(48))), "client")
            script.send("client", ip(got.destination, got.source, number, got.payload))

        return case

    def exchange_sctp(script):
        ours = WEB, script.port, CLIENT, SERVICE
        theirs = answer(script.one(script.send("web", sctp(*ours, 1)), "client"))
        script.one(script.send("client", sctp(*theirs, 2, 1)), "web")
        script.send("web", sctp(*ours, 10, 1))

    def open_in_the_middle(flags):
        def case(script):
            sent = script.send("web", tcp(*outbound(script), flags, 1000, 2000, b"x"))
            theirs = answer(script.one(sent, "client"))
            script.send("client", tcp(*theirs, "A", 2000, 1001))

        return case

    def outbound(script):
        return WEB, script.port, CLIENT, SERVICE

    def send_to_gateway(address):
        return lambda script: script.send("web", udp(WEB, script.port, address, SERVICE),
                                          to_gateway=True)

    def without_sum(*args):
        packet = udp(*args)
        return packet[:26] + b"\0\0" + packet[28:]

    to_outside, to_port = (WEB, OWN, CLIENT, SERVICE), (CLIENT, OWN, HOST, 8080)
    cases = {}
    for flags in FLAGS:
        name = f"tcp [{flags}] of no flow"
        cases[f"{name} to the outside"] = open_in_the_middle(flags)
        cases[f"{name} to a published port"] = send("client", tcp, *to_port, flags, 1000, 2000)
        cases[f"{name} from a published port"] = send("web", tcp, WEB, 80, CLIENT, OWN, flags, 1000,
                                                      2000)
    for number in WITHOUT_PORTS:
        cases[f"protocol {number} to the host"] = send("client", ip, CLIENT, SECOND, number,
                                                       bytes(48))
        cases[f"protocol {number} to the outside"] = exchange_ip(number)
    cases["sctp to the outside"] = exchange_sctp
    for name, chunk in ("DATA", 0), ("INIT ACK", 2):
        cases[f"sctp {name} of no flow to the outside"] = send("web", sctp, *to_outside, chunk, 1)
    for kind in 13, 15, 17, 10:
        cases[f"icmp {kind} to the outside"] = send("web", icmp, WEB, CLIENT, kind, 0, 0x10001,
                                                    bytes(12))
    router_alert = b"\x94\x04\0\0"
    for words, where, addresses in (("to the outside", "web", to_outside),
                                    ("to a published port", "client", to_port)):
        cases[f"udp with options {words}"] = send(where, udp, *addresses, options=router_alert)
        cases[f"udp without a sum {words}"] = send(where, without_sum, *addresses)
    for address in "224.0.0.251", "255.255.255.255", "172.17.255.255", "198.51.100.255":
        cases[f"udp from web to {address}"] = send("web", udp, WEB, OWN, address, SERVICE)
        cases[f"udp from web to {address} with the gateway's MAC"] = send_to_gateway(address)
    return cases


OTHER = (
    *(Difference(35, f"tcp [[]{flags}[]] of no flow to the outside",
                 (("verdict", f"client tcp {flags}".strip(), "nothing"),),
                 "In the middle of a flow that nobody knows nothing leaves (`untracked`). With "
                 "Docker it opens a flow or leaves with the container's address.")
      for flags in FLAGS),
    *(Difference(35, f"tcp [[]{flags}[]] of no flow from a published port", (("sport", 80, 8080),),
                 "What a published port sends is translated in any state.")
      for flags in FLAGS),
    *(Difference(35, f"tcp [[]{flags}[]] of no flow from a published port",
                 (("source", WEB, HOST),),
                 "With Docker it leaves with the container's address.")
      for flags in FLAGS if flags not in ("A", "PA")),
    *(Difference(35, f"tcp [[]{flags}[]] of no flow to a published port",
                 (("verdict", seen, f"web tcp {flags}".strip()),),
                 "Nobody remembers flows of published ports: the server decides, not the host.")
      for flags, seen in (("FA", "client tcp R"), ("R", "nothing"), ("RA", "nothing"),
                          ("SA", "client tcp R"), ("FPU", "client tcp RA"),
                          ("", "client tcp RA"))),
    *(Difference(34, f"{what} to the outside", (("source", HOST, WEB),),
                 "What has no ports is the kernel's, without translation.")
      for what in (*(f"protocol {number}" for number in WITHOUT_PORTS), "icmp 13", "icmp 15",
                   "icmp 17", "udp with options")),
    *(Difference(34, f"protocol {number} to the outside",
                 (("verdict", f"web {number}", "nothing"),),
                 "So no answer reaches the container.")
      for number in WITHOUT_PORTS),
    Difference(34, "udp with options to a published port",
               (("verdict", "web udp", "client icmp 3/3"),),
               "A packet with IP options is the kernel's, and there is nobody behind the port."),
    *(Difference(49, f"sctp {name} of no flow to the outside",
                 (("verdict", f"client sctp {chunk}", "nothing"),),
                 "INIT alone opens a flow. With Docker the others leave with the container's "
                 "address.")
      for name, chunk in (("DATA", 0), ("INIT ACK", 2))),
    *(Difference(9, f"udp from web to {address}", (("verdict", "web udp; db udp", "db udp"),),
                 "Docker's hairpin mode of the bridge's ports hands its own broadcast back to the "
                 "sender.")
      for address in ("224.0.0.251", "255.255.255.255", "172.17.255.255")),
)


@limit(60)
def test_everything_else_is_the_same(lab):
    check(mute(make_worlds(lab)), other_cases(), OTHER)


# Networks that are not set up by default

HOST_BY_ADDRESS = [row for row in CONNECTIONS if row.cases == f"* from host to {HOST}:8080"]


def host_cases():
    return {f"{protocol} from host to {address}:{port}":
            connect("host", address, port, protocol, is_bound=False)
            for address, port in ((WEB, 80), (HOST, 8080), (LOOPBACK, 8080))
            for protocol in PROTOCOLS}


def network_cases():
    cases = {}
    for where, address, server in (("db", WEB, "web"), ("far", WEB, "web"), ("client", WEB, "web"),
                                   ("web", FAR, "far"), ("web", CLIENT, "client")):
        for port in 80, 1234:
            add_exchanges(cases, where, address, port, server)
        cases[f"echo from {where} to {address}"] = exchange_echo(where, address, server)
    for where, address in (("client", HOST), ("db", HOST), ("db", GATEWAY), ("far", HOST),
                           ("far", GATEWAY), ("web", HOST)):
        add_exchanges(cases, where, address, 8080, "web")
    for address in HOST, GATEWAY, FAR_GATEWAY:
        cases[f"echo from web to {address}"] = send("web", echo, WEB, address, OWN)
        cases[f"udp from web to {address}:1234"] = send("web", udp, WEB, OWN, address, 1234)
    return cases


def check_network(lab, network, differences):
    worlds = make_worlds(lab, network)
    is_published = not network.internal and network.mode != "routed"
    faults = find_faults(worlds, host_cases(), HOST_BY_ADDRESS if is_published else ())
    expect_none(faults + find_faults(mute(worlds), network_cases(), differences))


HAIRPIN = tuple(
    Difference(41, f"* from {where} to {address}:8080", fields,
               "As in the table of connections: the gateway is a hop.")
    for where, address, fields in (("db", HOST, SIBLING), ("db", GATEWAY, SIBLING),
                                   ("web", HOST, SELF)))

ICC_OFF = tuple(
    Difference(15, f"{protocol} from {where} to {address}:8080",
               (("verdict", "nothing", f"web {seen}"),),
               "A published port is for everybody, siblings too, as with Docker's proxy. Without "
               "the proxy Docker drops what comes back to the bridge.")
    for where, address in (("db", HOST), ("db", GATEWAY), ("web", HOST))
    for protocol, seen in (("udp", "udp"), ("tcp", "tcp S")))

PLAIN = HAIRPIN + tuple(
    Difference(25, f"{what} from web to {CLIENT}{port}", (("verdict", "nothing", f"web {seen}"),),
               "Answers reach a container that is not masqueraded. Docker, since 28, drops them "
               "with all else from outside to a container's address.")
    for what, port, seen in (("udp", ":*", "udp"), ("tcp", ":*", "tcp SA"),
                             ("echo", "", "icmp 0/0")))

INTERNAL = (
    *(Difference(72, f"{what} from web to {address}{port}",
                 (("verdict", f"web {seen}", "nothing"),),
                 "From an internal network the host is reached by the bridge's address alone. "
                 "Docker only leaves out the route to the others.")
      for address in (HOST, FAR_GATEWAY) for what, port, seen in (
          ("udp", ":1234", "icmp 3/3"), ("echo", "", "icmp 0/0"))),
    *(Difference(72, f"{protocol} from {where} to {HOST}:8080",
                 (("verdict", f"{where} {seen}", "nothing"),), "So for any port.")
      for where in ("db", "web") for protocol, seen in (("udp", "icmp 3/3"), ("tcp", "tcp RA"))),
)


@limit(60)
def test_a_network_with_icc_off_is_the_same(lab):
    check_network(lab, Network(icc=False), ICC_OFF)


@limit(60)
def test_a_network_without_masquerade_is_the_same(lab):
    check_network(lab, Network(masquerade=False), PLAIN)


@limit(60)
def test_a_routed_network_is_the_same(lab):
    check_network(lab, Network(mode="routed"), ())


@limit(60)
def test_an_unprotected_network_is_the_same(lab):
    check_network(lab, Network(mode="nat-unprotected"), HAIRPIN)


@limit(60)
def test_an_internal_network_is_the_same(lab):
    check_network(lab, Network(internal=True), INTERNAL)


@limit(60)
def test_an_internal_network_with_icc_off_is_the_same(lab):
    check_network(lab, Network(internal=True, icc=False), INTERNAL)
