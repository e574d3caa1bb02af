# SPDX-License-Identifier: GPL-2.0-only
"""The cases of tools/bench: what is measured, by whom, and what xdock is expected to reach.

Rivals take turns: each round of a case measures all of them once, and every second round does it
backwards, so that what else the machine does hits all alike. A sample is a dict: `value` in the
unit of the case, `lost`, `reordered`, `cpu_ns` (softirq and system time of all CPUs for one packet,
byte or transaction), and `more`, other figures by name."""

import contextlib
import glob
import json
import os
import shutil
import socket
import struct
import tempfile
import time
from typing import Callable, NamedTuple

from bench_world import (CLIENT, CPUS, DB, FRAME_PORT, GATEWAY, HOST, MAPPED_PORT, PORT, SERVICE,
                         WEB, WORLDS, Docker, Iptables, LeftOut, World, run)

NATIVE_PORT = 10000  # the same for the host's own, where Docker's rules do not get at them
FLOWS_MAX = 1 << 20
SLOW = 20  # seconds: what takes longer is done once, and not with more
FAILURES = 2  # of a rival in a case; then it has no more turns

# Which world a rival is measured in, if it is not the one of its name.
WORLD_OF = {"host": "docker", "bare-tc": "bridge", "bare-xdp": "bridge",
            "generator-tc": "bridge", "generator-xdp": "bridge"}

TITLES = {
    "xdock": "xdock at TC", "xdockxdp": "xdock at XDP", "docker": "Docker", "nft": "nftables map",
    "proxy": "docker-proxy", "host": "host networking", "bridge": "plain bridge",
    "bridgenf": "bridge, br_netfilter", "veth": "bare veth pair", "iptables": "iptables restore",
    "bare-tc": "bare redirect at TC", "bare-xdp": "bare redirect at XDP",
    "generator-tc": "generator into TC", "generator-xdp": "generator into XDP"}

PROGRAMS = {"bare-tc": "bare-tc", "bare-xdp": "bare-xdp", "generator-tc": "sink-tc",
            "generator-xdp": "sink-xdp"}


class Case(NamedTuple):
    name: str
    number: int  # the part of the report
    title: str
    unit: str
    is_more: bool  # more is better
    rivals: tuple  # the first one is what the others are compared with
    measure: Callable  # (world, rival, seconds) -> sample
    mappings: int = 0  # ports that are published beside
    is_frames: bool = False
    fill: float = 0  # seconds of frames before, until tables of flows are as full as they get
    seconds: float = 0.4


def cpu_ticks():
    """Of all CPUs: system, interrupts, softirq."""
    with open("/proc/stat") as file:
        words = file.readline().split()
    return int(words[3]) + int(words[6]) + int(words[7])


class Cpu:
    """What the kernel works, as nanoseconds in a second."""

    def __enter__(self):
        self.ticks, self.start = cpu_ticks(), time.monotonic()
        return self

    def __exit__(self, *_):
        took = time.monotonic() - self.start
        self.ns_per_second = (cpu_ticks() - self.ticks) / os.sysconf("SC_CLK_TCK") * 1e9 / took


def route(world, rival, path):
    """(where the client is, where the server is, address, port)"""
    if path == "local":
        return ("host", "host", "127.0.0.1", SERVICE) if rival == "host" else (
            "host", "web", "127.0.0.1", PORT)
    if rival in ("veth", "host"):
        return "client", "host", HOST, SERVICE
    if path == "masquerade":
        return "web", "client", CLIENT, SERVICE
    if path == "sibling":
        # Another port than that of `hairpin`, which shows the server the same two addresses: it
        # remembers closed connections, and these two ways have clocks of their own (RFC 7323, 5).
        return "db", "web", WEB, SERVICE
    if path == "hairpin":
        return "db", "web", HOST, PORT
    return "client", "web", HOST if world.is_published else WEB, PORT


# Each of these makes the function that measures.


def frames(flows, threads=1):
    def measure(world, rival, seconds):
        with Cpu() as cpu:
            answer = world.frames(PROGRAMS.get(rival, "none"), flows, threads, seconds)
        is_bare = rival in PROGRAMS
        delivered = answer["untranslated" if is_bare else "translated"]
        if not delivered:
            raise RuntimeError("nothing was delivered")
        rate = delivered / answer["elapsed_ns"] * 1e9
        return {"value": rate / 1e6, "cpu_ns": cpu.ns_per_second / rate,
                "lost": (answer["sent"] - delivered) / answer["sent"],
                "reordered": answer["reordered"] / delivered,
                "more": {"work alone, Mpps": delivered / answer["busy_ns"] * threads * 1e3}}
    return measure


def bulk(path, direction, streams):
    def measure(world, rival, seconds):
        place, server, address, port = route(world, rival, path)
        world.serve(server, port)
        retransmitted, out_of_order = world.counters((place, server))
        with Cpu() as cpu:
            answer = world.client(place, direction, address, port, streams, seconds)
        if answer["failed"]:
            raise RuntimeError(f"{answer['failed']} of {streams} streams failed")
        if not answer["bits_per_second"]:
            raise RuntimeError("nothing came in time")
        lost, reordered = world.counters((place, server))
        rate = answer["bits_per_second"]
        return {"value": rate / 1e9, "cpu_ns": cpu.ns_per_second / rate * 8,
                "lost": lost - retransmitted, "reordered": reordered - out_of_order, "more": {}}
    return measure


def transactions(answer, cpu):
    """A sample without its value."""
    if not answer["count"]:
        raise RuntimeError("no answer came")
    return {"cpu_ns": cpu.ns_per_second / (answer["count"] / answer["elapsed_ns"] * 1e9),
            "lost": answer["lost"], "reordered": answer["reordered"],
            "more": {f"{name}, us": answer[key] / 1e3 for name, key in
                     (("p50", "p50_ns"), ("p99", "p99_ns"), ("p99.9", "p999_ns"))}}


def round_trip(path, protocol):
    def measure(world, rival, seconds):
        place, server, address, port = route(world, rival, path)
        world.serve(server, port)
        with Cpu() as cpu:
            answer = world.client(place, protocol, address, port, seconds)
        sample = transactions(answer, cpu)
        return {**sample, "value": sample["more"].pop("p50, us")}
    return measure


def connections(path, mappings=0):
    def measure(world, rival, seconds):
        place, server, address, port = route(world, rival, path)
        if mappings:
            port = NATIVE_PORT if server == "host" else MAPPED_PORT
        world.serve(server, port, mappings or 1)
        with Cpu() as cpu:
            answer = world.client(place, "connect", address, port, mappings or 1, seconds)
        return {**transactions(answer, cpu), "value": answer["count"] / answer["elapsed_ns"] * 1e9}
    return measure


def flood(frames_per_second):
    """Connections beside frames of ever new flows to another published port, from another CPU."""
    def measure(world, rival, seconds):
        place, server, address, port = route(world, rival, "outside")
        world.serve(server, port)
        program, flows = PROGRAMS.get(rival, "none"), FLOWS_MAX
        # At first as many as can be sent, for a table that fills up to be full.
        world.frames(program, flows, 1, seconds)
        world.start_frames(program, flows, 1, seconds + 0.5, frames_per_second)
        time.sleep(0.2)
        with Cpu() as cpu:
            answer = world.client(place, "connect", address, port, 1, seconds)
        sent = world.end_frames()
        rate = answer["count"] / answer["elapsed_ns"] * 1e9
        sample = {**transactions(answer, cpu), "value": rate}
        sample["more"]["flood delivered"] = sent["translated"] / sent["sent"]
        world.flush()
        return sample
    return measure


def kernel_kb():
    with open("/proc/meminfo") as file:
        values = dict(line.split()[:2] for line in file)
    return sum(int(values[name]) for name in ("Slab:", "VmallocUsed:", "Percpu:"))


def processes():
    return {int(os.path.basename(path)) for path in glob.glob("/proc/[0-9]*")}


def resident_kb(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return 0


def publish(count):
    """Ports of a container that is there, at once; Docker publishes only with a new one."""
    def measure(world, rival, seconds):
        ports = range(MAPPED_PORT, MAPPED_PORT + count)
        memory, before = kernel_kb(), processes()
        if isinstance(world, Docker):
            took = world.publish_container(ports)
        else:
            took = world.publish(ports)
        new = processes() - before
        more = {"processes": len(new), "their memory, MB": sum(map(resident_kb, new)) / 1024,
                "kernel memory, MB": (kernel_kb() - memory) / 1024}
        if isinstance(world, Docker):
            world.unpublish_container()
        else:
            world.unpublish(ports)
        return {"value": took, "cpu_ns": None, "lost": None, "reordered": None, "more": more}
    return measure


# What xdock shall reach: ratios to rivals by case. Times and latencies from below.
TARGETS = {
    "udp-1k": {"bare-tc": 0.95, "docker": 2.5},
    "udp-1m": {"bare-tc": 0.9, "docker": 15},
    "xdp-1k": {"bare-xdp": 0.95},
    "xdp-1m": {"bare-xdp": 0.9},
    **{f"bulk-{direction}-{streams}": {"veth": 0.97, "host": 1}
       for direction in ("out", "in") for streams in (1, 8)},
    "round-tcp": {"veth": 1.05, "host": 1},
    "round-udp": {"veth": 1.05, "host": 1},
    **{f"connect-{count}": {"veth": 0.95, "host": 1} for count in (1, 100, 1000, 10000)},
    "local-connect": {"docker": 2.3},
}
PUBLISH_LIMIT = 0.2  # seconds for 10 000 ports

QUICK = {"udp-1k", "udp-1m", "xdp-1k", "bulk-out-1", "bulk-in-1", "round-tcp", "connect-1",
         "connect-1000", "masquerade-connect", "local-connect", "publish-100"}


def plural(count, noun):
    return f"{count} {noun}{'s' * (count != 1)}"


def make_cases():
    pps = ("xdock", "bare-tc", "docker", "nft", "generator-tc")
    xdp = ("xdockxdp", "bare-xdp", "docker", "generator-xdp")
    for name, flows in (("1", 1), ("1k", 1 << 10), ("64k", 1 << 16), ("1m", FLOWS_MAX)):
        words = f"small UDP to a published port, {name.upper()} flow{'s' * (flows > 1)}"
        fill = 3 if flows == FLOWS_MAX else 0
        yield Case(f"udp-{name}", 1, words, "Mpps", True, pps, frames(flows), is_frames=True,
                   fill=fill)
        yield Case(f"xdp-{name}", 1, f"{words}, XDP", "Mpps", True, xdp, frames(flows),
                   is_frames=True, fill=fill)
    for threads in range(2, min(len(CPUS), 4) + 1):
        yield Case(f"udp-threads-{threads}", 1, f"small UDP, 64K flows, {threads} generators",
                   "Mpps", True, pps, frames(1 << 16, threads), is_frames=True)

    sockets = ("xdock", "veth", "docker", "nft", "proxy", "host")
    more_sockets = (*sockets, "bridge", "xdockxdp")
    for direction, words in (("out", "to"), ("in", "from")):
        for streams, rivals in ((1, more_sockets), (8, sockets)):
            yield Case(f"bulk-{direction}-{streams}", 2,
                       f"bulk TCP {words} a container, {plural(streams, 'stream')}", "Gbit/s", True,
                       rivals, bulk("outside", direction, streams))
    for protocol in ("tcp", "udp"):
        yield Case(f"round-{protocol}", 3, f"round trip, {protocol.upper()}", "us p50", False,
                   more_sockets, round_trip("outside", protocol))
    for count in (1, 100, 1000, 10000):
        rivals = ("xdock", "veth", "docker", "nft", "host")
        yield Case(f"connect-{count}", 4,
                   f"connect, request, close; {plural(count, 'mapping')}", "1/s", True,
                   (*rivals, "proxy", "xdockxdp") if count == 1 else rivals,
                   connections("outside", count), mappings=count)

    for path, words, rivals in (
            ("masquerade", "container to outside", ("xdock", "veth", "docker", "nft", "bridge")),
            ("sibling", "container to container",
             ("xdock", "docker", "bridge", "bridgenf", "veth")),
            ("hairpin", "container to its host's published port",
             ("xdock", "docker", "nft", "veth")),
            ("local", "host to 127.0.0.1", ("xdock", "docker", "nft", "host"))):
        yield Case(f"{path}-bulk", 5, f"{words}: bulk TCP", "Gbit/s", True, rivals,
                   bulk(path, "out", 1))
        yield Case(f"{path}-round", 5, f"{words}: round trip, TCP", "us p50", False, rivals,
                   round_trip(path, "tcp"))
        yield Case(f"{path}-connect", 5, f"{words}: connect, request, close", "1/s", True, rivals,
                   connections(path))
    for count in (1, 100, 1000, 10000):
        yield Case(f"publish-{count}", 6, f"publish {plural(count, 'port')}", "s", False,
                   ("xdock", "iptables", "nft", "docker"), publish(count))
    yield Case("flood", 8, "connect, request, close; 200 000 frames/s of 1M flows beside", "1/s",
               True, ("xdock", "docker", "nft"), flood(200000), is_frames=True, seconds=1)


CASES = {case.name: case for case in make_cases()}
# In this order the ones with many mappings come last.
ORDER = {1: 0, 2: 1, 3: 2, 5: 3, 8: 4, 4: 5, 6: 6}


class Bench:
    """The worlds, made when first wanted, and what was measured in them."""

    def __init__(self, say):
        self.worlds = {}
        self.slow = {}
        self.say = say

    def world(self, rival):
        """The world of a rival, or the exception that tells why there is none."""
        name = WORLD_OF.get(rival, rival)
        if name not in self.worlds:
            self.say(f"making the world of {name}")
            self.worlds[name] = self.make_world(name)
        found = self.worlds[name]
        if isinstance(found, Exception):
            raise found
        return found

    def make_world(self, name):
        try:
            return WORLDS[name]()
        except LeftOut as e:
            if name != "docker":
                return e
            # Its rules typed in are the next best.
            try:
                world = Iptables("dockerrules")
                world.about += f" ({e})"
                return world
            except Exception as f:
                return f
        except Exception as e:
            return e

    def prepare(self, case, rival):
        world = self.world(rival)
        world.set_mappings(case.mappings)
        is_xdp = rival == "xdockxdp"
        world.want_gro("host", case.is_frames or is_xdp)
        if "web" in world.namespaces:
            # A veth takes frames that XDP redirects only with GRO on the other end.
            world.want_gro("web", is_xdp or (case.is_frames and "xdp" in rival))
        world.flush()
        if case.fill and world.has_conntrack:
            world.frames("none", FLOWS_MAX, 1, case.fill)

    def measure(self, case, rivals, rounds, seconds):
        """{rival: {"samples": [...]} or {"failed": why} or {"left out": why}}; a sample is None
        for a round that failed."""
        found = {rival: self.enter(case, rival) for rival in rivals}
        for number in range(rounds):
            self.say(f"{case.name}: round {number + 1} of {rounds}")
            for rival in rivals if number % 2 == 0 else reversed(rivals):
                row = found[rival]
                if "samples" in row and not row.get("is_over"):
                    self.measure_once(case, rival, row, seconds)
        return {rival: row if any(row.get("samples", [1])) else {"failed": row["why"]}
                for rival, row in found.items()}

    def enter(self, case, rival):
        try:
            if case.number == 6 and rival in self.slow:
                raise LeftOut(self.slow[rival])
            self.prepare(case, rival)
            return {"samples": []}
        except LeftOut as e:
            return {"left out": str(e)}
        except Exception as e:
            return {"failed": describe(e)}

    def measure_once(self, case, rival, row, seconds):
        start = time.monotonic()
        try:
            row["samples"].append(case.measure(self.world(rival), rival, seconds))
        except Exception as e:
            row["samples"].append(None)
            row["why"] = describe(e)
            row["is_over"] = row["samples"].count(None) >= FAILURES
        took = time.monotonic() - start
        if case.number == 6 and took > SLOW:
            row["is_over"] = True
            self.slow[rival] = f"{case.title} took {took:.0f} s with its end"

    def settings(self):
        return {name: world.settings() for name, world in self.worlds.items()
                if isinstance(world, World)}

    def stop(self):
        for world in self.worlds.values():
            if isinstance(world, World):
                world.stop()


def describe(error):
    return " ".join(str(error).split())[:300] or type(error).__name__


# Case 9: what one packet costs a program.


def make_frame(source_mac, destination_mac, source, destination, sport, dport):
    """A UDP frame of 60 bytes, as hexadecimal."""
    payload = bytes(18)
    udp = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    total = checksum(addresses + struct.pack("!HH", socket.IPPROTO_UDP, len(udp)) + udp)
    udp = udp[:6] + struct.pack("!H", total or 0xFFFF) + udp[8:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0)
    ip = ip[:10] + struct.pack("!H", checksum(ip + addresses)) + addresses
    macs = bytes.fromhex(destination_mac.replace(":", "") + source_mac.replace(":", ""))
    return (macs + b"\x08\x00" + ip + udp).hex()


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def count_instructions(world, program):
    """(of the machine after JIT, bytes); None where nothing here reads them."""
    with tempfile.NamedTemporaryFile() as file:
        world.ask_load(f"image {program} {file.name}")
        size = world.end_frames()["bytes"]
        machine = {"x86_64": "i386:x86-64", "aarch64": "aarch64"}.get(os.uname().machine)
        if not size or not machine or not shutil.which("objdump"):
            return None, size
        # A line is an address, the bytes, and the instruction, if it does not belong to the last.
        text = run(["objdump", "-D", "-b", "binary", "-m", machine, file.name]).stdout
        return sum(line.count("\t") == 2 for line in text.splitlines()), size


def measure_programs(bench, rounds):
    """[{"program", "packet", "ns": [...], "instructions", "jited", "bytes"}]"""
    world = bench.world("xdock")
    bench.prepare(CASES["udp-1k"], "xdock")
    world.frames("none", 1, 1, 0.1)  # neighbours are known afterwards, and bench-load runs
    world.serve("web")
    world.client("client", "udp", HOST, PORT, 0.1)
    world.client("host", "udp", WEB, PORT, 0.1)

    def link(place, device):
        return json.loads(world.run(place, "ip", "-j", "link", "show", device))[0]

    uplink, bridge, client = link("host", "eth0"), link("host", "docker0"), link("client", "eth0")
    web, db = link("web", "eth0"), link("db", "eth0")
    veth = link("host", world.veth("web"))["ifindex"]
    mac = {name: row["address"] for name, row in
           (("uplink", uplink), ("bridge", bridge), ("client", client), ("web", web), ("db", db))}
    inbound = make_frame(mac["client"], mac["uplink"], CLIENT, HOST, 40000, FRAME_PORT)
    packets = [
        ("xd_uplink_tc", "to a published port", "tc", uplink["ifindex"], inbound),
        ("xd_uplink_xdp", "to a published port", "xdp", uplink["ifindex"], inbound),
        ("xd_container_tc", "reply of a published port", "tc", veth,
         make_frame(mac["web"], mac["bridge"], WEB, CLIENT, FRAME_PORT, 40000)),
        ("xd_container_tc", "masqueraded flow", "tc", veth,
         make_frame(mac["web"], mac["bridge"], WEB, CLIENT, 40001, SERVICE)),
        ("xd_container_tc", "to a sibling", "tc", veth,
         make_frame(mac["web"], mac["db"], WEB, DB, 40000, PORT)),
        ("xd_bridge_tc", "host to a container", "tc", bridge["ifindex"],
         make_frame(mac["bridge"], mac["web"], GATEWAY, WEB, 40000, PORT)),
    ]
    instance = os.path.basename(os.path.dirname(world.namespaces["web"]))
    rows = []
    for name, packet, kind, ifindex, frame in packets:
        try:
            info = json.loads(run(["bpftool", "-j", "prog", "show", "pinned",
                                   f"/sys/fs/bpf/xdock/{instance}/prog/{name}"]).stdout)
            jited, size = count_instructions(world, info["id"])
            row = {"program": name, "packet": packet, "ns": [], "jited": jited, "bytes": size,
                   "instructions": info["bytes_xlated"] // 8}
            for _ in range(rounds):
                world.ask_load(f"run {info['id']} {kind} {ifindex} {frame}")
                answer = world.end_frames()
                row["ns"].append(answer["ns"] - answer["empty_ns"])
                row["verdict"] = answer["verdict"]
        except Exception as e:
            row = {"program": name, "packet": packet, "failed": describe(e)}
        rows.append(row)
    return rows
