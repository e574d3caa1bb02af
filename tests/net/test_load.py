# SPDX-License-Identifier: GPL-2.0-only
"""Many flows of containers to the outside: a source port for each, none for two, none lost; and
what becomes of them when ports or rows run out, or the host is flooded.

The numbers that a test measures are left in build/tests/load/, in a file of its own."""

import os
import subprocess
import time
from typing import NamedTuple

from lab import CLIENT, HOST, XDOCK, eventually, expect, limit
from test_stream import serve, transfer

BUILD = os.path.join(os.path.dirname(XDOCK), "tests")
PORT = 7000  # the first of the server's
SETTLE = 20  # seconds for what is under way, on a busy machine
SIZE = 200000000  # bytes of a transfer, each way
RANGE = "/proc/sys/net/ipv4/ip_local_port_range"


class Report:
    """Prints what was measured, and keeps it in a file."""

    def __init__(self, name):
        os.makedirs(f"{BUILD}/load", exist_ok=True)
        self.file = open(f"{BUILD}/load/{name}", "w", buffering=1)

    def __call__(self, text):
        print(text)
        self.file.write(text + "\n")


class Program:
    """A program beside this file, which answers each line of its stdin with a line of numbers."""

    def __init__(self, lab, ns, *words):
        words = list(map(str, words))
        words[0] = f"{BUILD}/net/{words[0]}"
        self.process = subprocess.Popen(
            ["nsenter", "--net=" + lab.netns(ns), *words], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1)
        lab.processes.append(self.process)

    def say(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")

    def hear(self):
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} ended"
        return [int(word) for word in line.split()]


class Seen(NamedTuple):
    """What a server saw, as tests/net/serve.c counts it."""

    udp: int
    tcp: int
    shared: int
    foreign: int


class Server(Program):
    def __init__(self, lab, ports=1):
        super().__init__(lab, "client", "serve", PORT, ports)
        expect(self.seen(), Seen(0, 0, 0, 0), "seen")  # and it has its ports, then

    def seen(self):
        self.say("seen")
        return Seen(*self.hear())


class Opened(NamedTuple):
    """What became of requests, as tests/net/open.c counts it. seconds: of the last command."""

    sent: int
    answered: int
    extra: int
    wrong: int
    moved: int
    broken: int
    seconds: float


class Opener(Program):
    """Opens flows from a container to the server."""

    def __init__(self, lab, ns, tag, ports=1, first=1, other=()):
        super().__init__(lab, ns, "open", tag, CLIENT, PORT, ports, *map(lab.netns, other))
        self.total = Opened(0, 0, 0, 0, 0, 0, 0)
        # Alone: until the neighbours are known, few packets can wait.
        expect(self.open("udp", first).answered, 1, "answers to the first request")

    def start(self, protocol, first, step=1, sources=1, ports=1, wait=2000, tries=3):
        """A request in each flow from `sources` source ports to `ports` ports of the server."""
        self.say(protocol, first, step, sources, ports, wait, tries)

    def finish(self):
        *total, nanoseconds = self.hear()
        before, self.total = self.total, Opened(*total, 0)
        return Opened(*(now - then for now, then in zip(total, before)), nanoseconds / 1e9)

    def open(self, *args, **options):
        self.start(*args, **options)
        return self.finish()

    def settle(self):
        """Takes what came late."""
        self.say("settle", 0)
        self.finish()


class Rows(NamedTuple):
    """What the flow maps hold, as tests/net/rows.c counts it."""

    forward: int
    reverse: int
    exceptions: int
    shared: int
    half: int


def read_rows(lab):
    pins = lab.xdock("status", json=True)["instance"]["pins"]
    return Rows(*map(int, lab.host(f"{BUILD}/net/rows", pins).stdout.split()))


def up(lab, *options, containers=("a",)):
    lab.xdock("up", *options)
    for name in containers:
        lab.xdock("container", "add", name)


def machine_drops():
    """Packets that the kernel had no room for between two devices, on the whole machine."""
    with open("/proc/net/softnet_stat") as file:
        return sum(int(line.split()[1], 16) for line in file)


def open_together(openers, protocol, *args, **options):
    """The same command for all of them at once. Each flow has to be answered, and of the datagrams
    only those may be lost that the machine, not xdock, had no room for. Returns the seconds."""
    machine, before = machine_drops(), [opener.total for opener in openers]
    for opener in openers:
        opener.start(protocol, *args, **options)
    results = [opener.finish() for opener in openers]
    flows = options.get("sources", 1) * options.get("ports", 1) * (1 + (protocol == "pair"))
    for result in results:
        expect((result.answered, result.wrong, result.broken), (flows, 0, 0),
               f"(answered, wrong, broken) of {result}")

    def nothing_lost():
        lost = 0
        for opener, then in zip(openers, before):
            opener.settle()
            now = opener.total
            lost += now.sent - then.sent - (now.answered + now.extra - then.answered - then.extra)
        dropped = machine_drops() - machine
        assert lost <= dropped, f"{lost} datagrams lost, {dropped} of them by the machine"

    eventually(nothing_lost, SETTLE)
    expect([opener.total.moved for opener in openers], [then.moved for then in before],
           "flows that came by two source ports")
    return max(result.seconds for result in results)


def pool_size(lab):
    """Source ports that masquerade may use for one remote address, port and protocol."""
    low, high = map(int, lab.read("host", RANGE).split())
    return 65536 - 1024 - (high - low + 1)


def expect_drops(lab, before, **more):
    """These drops were counted since, and no other ones."""

    def differences():
        now = lab.drops()
        expect({name: now[name] - before[name] for name in now if now[name] != before[name]},
               {name.replace("_", "-"): count for name, count in more.items()}, "drops")

    eventually(differences, SETTLE)


@limit(100)
def test_200000_flows_of_four_containers_have_a_source_port_each_and_none_is_lost(lab):
    report = Report("flows")
    names = "a", "b", "c", "d"
    up(lab, "--max-flows", 524288, containers=names)
    server = Server(lab, ports=6)
    openers = [Opener(lab, name, tag, ports=6) for tag, name in enumerate(names)]
    before = lab.drops()
    # 8000 of the 65535 source ports, of which the pool has two thirds at the most, and all four
    # containers the same: most flows need another port than their own.
    udp = dict(step=7, sources=8000, ports=6)
    tcp = dict(step=7, sources=500, ports=4)
    seconds = open_together(openers, "udp", 1, **udp)
    report(f"192000 UDP flows: {192000 / seconds:.0f} flows/s; {32000} of the {pool_size(lab)} "
           "ports of the pool for each remote port")
    seconds = open_together(openers, "tcp", 1, **tcp)
    report(f"8000 TCP connections: {8000 / seconds:.0f} flows/s")
    expect(server.seen(), Seen(192000, 8000, 0, 0), "seen")
    seconds = open_together(openers, "udp", 1, **udp)
    report(f"192000 UDP flows once more: {192000 / seconds:.0f} requests/s")
    open_together(openers, "tcp", 1, **tcp)
    expect(server.seen(), Seen(192000, 8000, 0, 0), "seen after as many more requests")
    rows = read_rows(lab)
    expect(rows, Rows(200000, 200000, 0, 0, 0), "rows")
    expect_drops(lab, before)


def account(lab, before, *openers):
    """Each request was answered, or dropped and counted because there was no port. Returns how
    many were dropped."""

    def accounted():
        for opener in openers:
            opener.settle()
        dropped = lab.drops()["no-port"] - before["no-port"]
        expect(dropped, sum(o.total.sent - o.total.answered for o in openers), "no-port")
        return dropped

    return eventually(accounted, SETTLE)


@limit(60)
def test_a_full_pool_of_ports_refuses_new_flows_by_name_and_keeps_the_old_ones(lab):
    report = Report("pool")
    report(f"the pool has {pool_size(lab)} ports by default")
    # The host's own range leaves 1024 to 2999 and 65001 to 65535.
    lab.write("host", RANGE, "3000 65000")
    up(lab, containers=("a", "b"))
    size = pool_size(lab)
    server = Server(lab)
    before = lab.drops()
    own = Opener(lab, "b", 2, first=1024)
    # No source port of these flows is in the pool, so that another has to be found for each.
    chosen = Opener(lab, "a", 1, first=3000)
    source = 3001
    for percent in 50, 90, 99, 100:
        start, seconds = chosen.total, 0
        while ((left := size * percent // 100 - 1 - chosen.total.answered) > 0
               and chosen.total.sent - start.sent < size):
            # Not more than are missing, but for the last, which are hard to find.
            count = 64 if percent == 100 else min(left, 64)
            seconds += chosen.open("udp", source, sources=count, wait=200, tries=1).seconds
            account(lab, before, own, chosen)
            source += count
        tried, got = chosen.total.sent - start.sent, chosen.total.answered - start.answered
        report(f"to {percent} % of {size} ports: {got} of {tried} attempts got one, "
               f"{got / (seconds or 1):.0f} flows/s")
    if chosen.total.answered < size - 1:
        # What was not found yet is found by those whose own port it is.
        for first, last in (1025, 2999), (65001, 65535):
            own.open("udp", first, sources=last + 1 - first, wait=50, tries=1)
        account(lab, before, own, chosen)
    expect(server.seen(), Seen(size, 0, 0, 0), "seen")

    chosen.open("udp", source, sources=100, wait=200, tries=1)
    dropped = account(lab, before, own, chosen)
    expect(server.seen(), Seen(size, 0, 0, 0), "seen after 100 more flows")
    expect_drops(lab, before, no_port=dropped)
    report("to more than that: 0 of 100 attempts, no-port counted for each")
    for opener, port in (chosen, 3000), (own, 1024):
        open_together([opener], "udp", port)
    # The pool is one protocol's.
    open_together([chosen], "tcp", 3000)
    # And a port comes back with the row that it was in.
    lab.xdock("flow", "flush", "--container", "b")
    open_together([chosen], "udp", 1024)


def connect(lab, listener):
    """The two ends of a connection from a container."""
    near = lab.open_socket("a", timeout=SETTLE)
    near.connect((CLIENT, listener.getsockname()[1]))
    far, _ = listener.accept()
    far.settimeout(SETTLE)
    return near, far


def exchange(near, far):
    for source, destination in (near, far), (far, near):
        source.sendall(b"payload")
        expect(destination.recv(100), b"payload", "received")


@limit(60)
def test_a_flow_map_that_overflows_keeps_the_connection_that_is_used(lab):
    report = Report("eviction")
    up(lab, "--max-flows", 1024)
    Server(lab)
    listener = lab.bound("client", PORT + 1)
    listener.listen()
    active, idle = connect(lab, listener), connect(lab, listener)
    exchange(*idle)
    opener = Opener(lab, "a", 1)
    for first in range(1, 5001, 50):
        open_together([opener], "udp", first, sources=50)
        exchange(*active)
    rows = read_rows(lab)
    assert rows.forward <= 1024 and rows.reverse <= 1024, rows
    assert not rows.shared, rows
    (use,) = (row for row in lab.xdock("status", json=True)["maps"] if row["map"] == "xd_snat")
    expect((use["max"], use["full"], use["enlarged_by"]), (1024, True, "--max-flows"), "status")
    assert "--max-flows" in lab.xdock("status").stdout
    report(f"5000 flows with {rows.forward} rows: the connection that was used all the time lives")

    before = lab.drops()["untracked"]
    idle[0].sendall(b"payload")
    idle[1].settimeout(0.1)

    def what_became_of_it():
        if lab.drops()["untracked"] > before:
            return "was evicted: its packets are dropped as untracked"
        expect(idle[1].recv(100), b"payload", "received")
        return "lives"

    report("the connection that was idle meanwhile " + eventually(what_became_of_it, SETTLE))


@limit(60)
def test_flows_that_begin_on_two_processors_at_once_share_no_port(lab):
    """Each pair is from one source port of two containers to one port of the server."""
    report = Report("race")
    up(lab, containers=("a", "b"))
    server = Server(lab, ports=4)
    opener = Opener(lab, "a", 1, ports=4, first=31768, other=("b",))
    before = lab.drops()
    # Half of the source ports are in the pool: both flows of a pair want to keep it. For the
    # others two have to be found.
    seconds = open_together([opener], "pair", 31768, sources=2000, ports=4)
    report(f"8000 pairs: {16000 / seconds:.0f} flows/s")
    open_together([opener], "pair", 31768, sources=2000, ports=4)
    expect(server.seen(), Seen(16000, 0, 0, 0), "seen")
    expect(read_rows(lab), Rows(16000, 16000, 0, 0, 0), "rows")
    expect_drops(lab, before)


@limit(60)
def test_a_flow_that_begins_on_two_processors_at_once_has_one_port(lab):
    up(lab)
    server = Server(lab, ports=4)
    opener = Opener(lab, "a", 1, ports=4, first=29768)
    before = lab.drops()
    # The first 3000 source ports are in the pool and are kept. The rest often finds the first
    # ports that it tries among them.
    open_together([opener], "twin", 29768, sources=4000, ports=4)
    assert opener.total.extra, "no flow began with two datagrams"
    expect(server.seen(), Seen(16000, 0, 0, 0), "seen")
    expect(read_rows(lab), Rows(16000, 16000, 0, 0, 0), "rows")
    expect_drops(lab, before)


def in_parallel(lab, *jobs):
    """Runs each job in a process of its own. Returns the seconds that each took."""
    pipes = []

    def run(job, pipe):
        start = time.monotonic()
        job()
        os.write(pipe, f"{time.monotonic() - start}".encode())

    for job in jobs:
        near, far = os.pipe()
        lab.fork(run, job, far)
        os.close(far)
        pipes.append(near)
    # What ends without a word has failed, and has said why.
    return [float(os.read(pipe, 100) or "nan") for pipe in pipes]


def forged_packets(lab):
    """That came to the published UDP port, which nobody else uses."""
    return sum(row["packets_in"] for row in lab.stats()["ports"] if row["protocol"] == "udp")


def transfers(lab, *listeners):
    """To a published port and by masquerade at once, both ways each. Returns the MB/s of each."""
    for listener in listeners:
        lab.fork(serve, listener, SIZE)
    seconds = in_parallel(lab, lambda: transfer(lab, "client", HOST, 8080, SIZE),
                          lambda: transfer(lab, "a", CLIENT, PORT, SIZE))
    assert all(value > 0 for value in seconds), f"transfers took {seconds} seconds"
    return [2 * SIZE / 1e6 / value for value in seconds]


@limit(120)
def test_a_flood_of_forged_packets_breaks_no_transfer_and_makes_no_rows(lab):
    report = Report("flood")
    up(lab, containers=("a", "web"))
    lab.xdock("port", "add", "web", "8080:81", "9090:82/udp")
    lab.bound("web", 82, "udp")
    listeners = lab.bound("web", 81), lab.bound("client", PORT)
    for listener in listeners:
        listener.listen()
    quiet = transfers(lab, *listeners)
    expect(read_rows(lab), Rows(1, 1, 0, 0, 0), "rows")

    mac = lab.link_info("host", "wan")["address"]
    flood = Program(lab, "client", "flood", "eth0", mac, HOST, 8080, 9090)
    start = time.monotonic()
    eventually(lambda: expect(forged_packets(lab) > 1000, True, "the flood has begun"), SETTLE)
    flooded = transfers(lab, *listeners)
    flood.process.stdin.close()
    (sent,) = flood.hear()
    seconds = time.monotonic() - start
    # The second connection by masquerade is the only one that needs rows.
    expect(read_rows(lab), Rows(2, 2, 0, 0, 0), "rows after the flood")
    report(f"flood of {sent / seconds:.0f} packets/s, half SYN and half UDP, {sent} in all")
    for name, before, now in zip(("published", "masqueraded"), quiet, flooded):
        report(f"{name} transfer: {before:.0f} MB/s, with the flood {now:.0f} MB/s: "
               f"{now / before:.2f}")
