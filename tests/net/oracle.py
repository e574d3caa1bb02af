# SPDX-License-Identifier: GPL-2.0-only
"""The differential harness: the same packets and connections through the kernel with the iptables
rules that Docker writes, and through xdock (world.py); what differs is compared with what may.

A case is a script of steps, run in both worlds. Each step sends packets, or moves a connection of
real sockets on, and takes what then arrives at the five ends. Nothing waits for what may not come:
all is done on one processor, whose queue is in order, so that a frame with which the harness
rings (World.settle) arrives after everything that was there before it moved on by one hop. So many
rings, and all that was to come has come.

What is compared of a step is its verdict (what arrived where), and of each packet that arrived
every byte: the fields with names one by one, the others as `rest`. Not compared, because chance
or a clock chooses it: the IP id of packets that the kernels made themselves; ports and echo ids
that were chosen for a translation (`chosen`; `own` is the case's); of what sockets send,
sequence numbers, options and sizes. Checksums are not compared but verified: `right` or `wrong`,
for those left to a device the sum of the pseudo header. Fragments of one datagram are one packet,
whatever their order.

    tests/net/run oracle           the tests; a failure shows what was seen in both worlds
    tests/net/observe [PATTERN]    shows all that is seen
"""

import errno
import fnmatch
import itertools
import os
import select
import socket
import struct
import time
from typing import NamedTuple

from lab import expect, receive_datagram
from world import PATIENCE, Docker, Network, Xdock, describe_port

PORTS = itertools.count(3000)  # of the cases, one each
SHOW_ALL = "XDOCK_ORACLE_SHOW_ALL"  # in the environment (observe): print what is right, too


class Step(NamedTuple):
    what: str
    verdict: str
    seen: list
    peer: str = ""  # the client, as accept() or recvmsg() names it

    def __str__(self):
        return "\n".join([f"  {self.what}: {self.verdict} {self.peer}",
                          *(f"      {one}" for one in self.seen)])


def make_step(what, seen):
    return Step(what, "; ".join(one.kind() for one in seen) or "nothing", seen)


class Over(Exception):
    """A case cannot go on, since what it waits for did not come."""


class Script:
    """A case while it runs in one world."""

    def __init__(self, world, port):
        """port: a source port (or echo id) of its own."""
        self.world, self.port = world, port
        self.steps = []

    # Packets

    def send(self, where, *packets, to_gateway=False):
        """Sends packets from an end; returns what arrived where. to_gateway: with its MAC."""
        gateway = self.world.gateway_macs[self.world.ends[where].gateway] if to_gateway else None
        for packet in packets:
            self.world.send(where, packet, gateway)
        step = make_step(f"{where} sends", self.world.arrived(self.port, is_exact=True))
        self.steps.append(step)
        return step.seen

    def one(self, seen, where):
        """The packet that arrived at an end, fragments as the whole. The case is over if that did
        not, or if it was refused."""
        packets = [one.packet for one in seen if one["at"] == where and not one.is_refusal()
                   and not one.packet.is_fragment()]
        if len(packets) != 1:
            raise Over
        return packets[0]

    # Connections

    def connect(self, where, address, port, protocol, is_bound=True):
        """A client at an end (or the host) asks address:port and is answered; by TCP with packets
        of many segments, where the devices take them. Adds one step, with all kinds of packets
        that arrived on the way. is_bound: its socket has the port of the case, not one that the
        kernel chooses."""
        is_tcp = protocol == "tcp"
        sock = self.world.lab.open_socket(self.world.namespace(where), socket.AF_INET,
                                          socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
        with sock:
            sock.setblocking(False)
            reset_on_close(sock)
            if is_bound:
                sock.bind(("", self.port))
            exchange = self.exchange_tcp if is_tcp else self.exchange_udp
            try:
                verdict, peer = exchange(sock, (address, port))
            except OSError as e:
                verdict, peer = errno.errorcode[e.errno], ""
        seen = self.world.arrived(self.port, is_exact=False)
        self.steps.append(Step(f"{protocol} to {address}:{port}", verdict, seen, peer))

    def exchange_tcp(self, sock, server):
        """(verdict, peer)"""
        payload = bytes(range(250)) * 400
        try:
            sock.connect(server)
        except BlockingIOError:
            self.world.settle()
        _, self.port = sock.getsockname()
        if failed := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return errno.errorcode[failed], ""
        for name, port, listener in self.world.listeners["tcp"]:
            try:
                connection, peer = listener.accept()
            except BlockingIOError:
                continue
            with connection:
                reset_on_close(connection)
                connection.setblocking(False)
                carry(sock, connection, payload)
                carry(connection, sock, payload)
            return f"{name}:{port} answers", self.describe_peer(peer)
        return "dropped", ""

    def exchange_udp(self, sock, server):
        """The same."""
        payload = bytes(range(250)) * 4
        sock.connect(server)
        _, self.port = sock.getsockname()
        sock.send(payload)
        self.world.settle()
        for name, port, listener in self.world.listeners["udp"]:
            try:
                data, ours, peer = receive_datagram(listener)
            except BlockingIOError:
                continue
            expect(data, payload, "datagram at the server")
            listener.sendmsg([data], ours, 0, peer)
            self.world.settle()
            expect(sock.recv(70000), payload, "datagram at the client")
            return f"{name}:{port} answers", self.describe_peer(peer)
        if failed := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return errno.errorcode[failed], ""
        return "dropped", ""

    def describe_peer(self, peer):
        return f"{peer[0]}:{describe_port(peer[1], self.port)}"


def reset_on_close(sock):
    """So that nothing of a connection is left."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def carry(sender, receiver, payload):
    """Through an established connection, in PATIENCE seconds at most."""
    sent, received = 0, b""
    end = time.monotonic() + PATIENCE
    while len(received) < len(payload):
        left = end - time.monotonic()
        if left < 0:
            raise AssertionError(f"{len(received)} of {len(payload)} bytes came")
        writers = [sender] if sent < len(payload) else []
        readable, writable, _ = select.select([receiver], writers, [], left)
        if writable:
            sent += sender.send(payload[sent:])
        if readable:
            part = receiver.recv(1 << 20)
            if not part:
                raise AssertionError(f"closed after {len(received)} bytes")
            received += part
    if received != payload:
        raise AssertionError("another payload came")


class Difference(NamedTuple):
    """Where xdock does on purpose otherwise than Docker."""

    row: int  # of the table of behaviours
    cases: str  # pattern of their names: each of these has to differ in all of that
    fields: tuple  # of (name, docker's, xdock's)
    words: str


def run_case(world, case, port):
    script = Script(world, port)
    try:
        case(script)
    except Over:
        pass
    return script.steps


def compare(docker, xdock):
    """{(field, docker's, xdock's)} of two lists of steps. From the first step on whose verdicts
    are not the same, nothing is comparable."""
    found = set()
    for ours, theirs in zip(xdock, docker):
        if ours.verdict != theirs.verdict:
            return found | {("verdict", theirs.verdict, ours.verdict)}
        if len(ours.seen) != len(theirs.seen):
            return found | {("kinds of packets", len(theirs.seen), len(ours.seen))}
        if ours.peer != theirs.peer:
            found.add(("peer", theirs.peer, ours.peer))
        for one, other in zip(ours.seen, theirs.seen):
            found |= {(name, other.get(name), one.get(name)) for name in {**one, **other}
                      if other.get(name) != one.get(name)}
    if len(docker) != len(xdock):
        found.add(("steps", len(docker), len(xdock)))
    return found


def make_worlds(lab, network=Network()):
    return Docker(lab, network), Xdock(lab, network)


def find_faults(worlds, cases, differences):
    """Runs cases ({name: function of a Script}) in both worlds. Returns what differs and is not in
    `differences`, and what is in them and does not differ."""
    os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    faults, used = [], set()
    for name, case in cases.items():
        port = next(PORTS)
        steps = {world.title: run_case(world, case, port) for world in worlds}
        rows = [row for row in differences if fnmatch.fnmatchcase(name, row.cases)]
        used.update(map(id, rows))
        expected = {field: row for row in rows for field in row.fields}
        found = compare(steps["docker"], steps["xdock"])
        wrong = {(title, field) for title, taken in steps.items() for step in taken
                 for one in step.seen for field, value in one.items() if value == "wrong"}
        if found != set(expected) or wrong or SHOW_ALL in os.environ:
            for title, taken in steps.items():
                print(f"{name} ({title})", *taken, sep="\n")
        faults += [f"{name}: {title}: {field} is wrong" for title, field in sorted(wrong)]
        faults += [f"{name}: {field}: docker {theirs}, xdock {ours}: not in the table"
                   for field, theirs, ours in sorted(found - set(expected), key=str)]
        faults += [f"{name}: {field[0]}: not {field[1]} and {field[2]} as row {row.row} has it: "
                   f"{row.words}" for field, row in expected.items() if field not in found]
    faults += [f"row {row.row}: there is no case like `{row.cases}`" for row in differences
               if id(row) not in used]
    return faults


def check(worlds, cases, differences):
    expect_none(find_faults(worlds, cases, differences))


def expect_none(faults):
    if faults:
        raise AssertionError("\n".join(["xdock and Docker differ:", *faults]))
