# SPDX-License-Identifier: GPL-2.0-only
"""flow list, flow flush, and that nothing of a container's flows outlives it. Where no packet says
it better, the rows are the test's own."""

import ctypes
import json
import os
import socket
import struct
import subprocess
import time

from lab import CLIENT, GATEWAY, HOST, XDOCK, check, eventually, expect, libc, limit, run
from state import dump, pins, put, raw, xdock

TCP, UDP, ICMP = 6, 17, 1
REPLIED, FIN_OUT, FIN_IN, RST, PLAIN, HAIRPIN = (1 << i for i in range(6))
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
BPF_PROG_QUERY = 16
TCX_INGRESS = 46
MASQUERADED = 4  # XD_PORT_MASQUERADED
FLOW_MAPS = "snat", "snat_rev", "exception", "fragment"
SECOND = 10**9
WEB, SIB, REMOTE = "172.17.0.2", "172.17.0.3", "192.0.2.1"


def seen(idle):
    return struct.pack("=Q", time.monotonic_ns() - idle * SECOND)


def ifindex(lab, name):
    return lab.link_info("host", f"xd-{name}")["ifindex"]


def put_flow(owner, container, remote, host, protocol=TCP, flags=0, idle=0, server=None):
    """The two rows of a flow; container, remote, host and server are (address, port)."""

    def side(pair):
        return socket.inet_aton(pair[0]), struct.pack("!H", pair[1])

    (container, port), (remote, remote_port), (host, host_port) = map(side, (container, remote, host))
    server, server_port = side(server) if server else (remote, remote_port)
    tail = bytes([protocol, 0, 0, 0])
    flags = struct.pack("=H", flags)
    put("snat", {container + remote + port + remote_port + tail:
                 host + host_port + flags + seen(idle) + struct.pack("=II", 0, owner)})
    put("snat_rev", {server + host + server_port + host_port + tail:
                     container + port + struct.pack("=H", owner & 0xffff) + seen(idle) +
                     struct.pack("=II", owner, 0) + remote + remote_port + flags + bytes(16)})


def put_exception(owner, container, client, used, protocol=TCP, idle=0):
    (container, port), (client, client_port), (used, used_port) = (
        (socket.inet_aton(address), struct.pack("!H", number))
        for address, number in (container, client, used))
    put("exception", {container + client + port + client_port + bytes([protocol, 0, 0, 0]):
                      used + used_port + struct.pack("=H", owner & 0xffff) + seen(idle)})


def put_fragment(source, destination, number):
    put("fragment", {socket.inet_aton(source) + socket.inet_aton(destination) +
                     struct.pack("!HBx", number, UDP): seen(0) + bytes(8)})


def counts():
    return tuple(len(raw(name)) for name in FLOW_MAPS)


def flows(lab, *words):
    return lab.xdock("flow", "list", *words, json=True)["flows"]


def short(rows):
    """(kind, container, protocol, address, remote, host, state) of each."""
    return [(row["kind"], row["container"], row["protocol"], f"{row['address']}:{row['port']}",
             f"{row['remote']}:{row['remote_port']}", f"{row['host']}:{row['host_port']}",
             row.get("state")) for row in rows]


def fill(lab):
    """Flows of web and sib, and of a container that had web's address before."""
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80")
    lab.xdock("container", "add", "sib")
    web, sib = ifindex(lab, "web"), ifindex(lab, "sib")
    put_flow(web, (WEB, 40000), (REMOTE, 443), (HOST, 1024), flags=REPLIED, idle=7)
    put_flow(web, (WEB, 40001), (REMOTE, 443), (HOST, 40001), flags=REPLIED | FIN_IN)
    put_flow(web, (WEB, 40002), (REMOTE, 443), (HOST, 40002), flags=RST)
    put_flow(web, (WEB, 53), (REMOTE, 53), (WEB, 53), UDP, PLAIN)
    put_flow(sib, (SIB, 77), (REMOTE, 0), (HOST, 77), ICMP, REPLIED)
    put_flow(sib, (SIB, 40000), (HOST, 8080), (GATEWAY, 2000), flags=HAIRPIN, server=(WEB, 80))
    put_flow(sib, (SIB, 41000), (REMOTE, 443), (HOST, 41000), idle=121)
    put_flow(web + 5000, (WEB, 45000), (REMOTE, 443), (HOST, 45000))
    put_exception(web, (WEB, 80), (CLIENT, 5000), ("203.0.113.1", 8080), idle=30)
    put_exception(web, (WEB, 80), (CLIENT, 5001), ("203.0.113.1", 8080), idle=1000)
    put_exception(web, (WEB, 80), (SIB, 5001), (HOST, 8080))
    put_fragment(WEB, REMOTE, 1)
    put_fragment(CLIENT, HOST, 2)


BY_HOST = [
    ("masquerade", "web", "tcp", f"{WEB}:40000", f"{REMOTE}:443", f"{HOST}:1024", "replied"),
    ("masquerade", "web", "tcp", f"{WEB}:40001", f"{REMOTE}:443", f"{HOST}:40001", "closing"),
    ("masquerade", "web", "tcp", f"{WEB}:40002", f"{REMOTE}:443", f"{HOST}:40002", "reset"),
]
PING = ("masquerade", "sib", "icmp", f"{SIB}:77", f"{REMOTE}:0", f"{HOST}:77", "replied")
PLAIN_UDP = ("plain", "web", "udp", f"{WEB}:53", f"{REMOTE}:53", f"{WEB}:53", "new")
HAIRPINNED = ("hairpin", "sib", "tcp", f"{SIB}:40000", f"{HOST}:8080", f"{GATEWAY}:2000", "new")
EXCEPTIONS = [
    ("exception", "web", "tcp", f"{WEB}:80", f"{SIB}:5001", f"{HOST}:8080", None),
    ("exception", "web", "tcp", f"{WEB}:80", f"{CLIENT}:5000", "203.0.113.1:8080", None),
    ("exception", "web", "tcp", f"{WEB}:80", f"{CLIENT}:5001", "203.0.113.1:8080", None),
]


def test_lists_the_flows_of_containers_that_are_there_and_none_that_expired(lab):
    fill(lab)
    expect(short(flows(lab)), [*BY_HOST, PING, PLAIN_UDP, HAIRPINNED, *EXCEPTIONS])
    expect(short(flows(lab, "--container", "web")), [*BY_HOST, PLAIN_UDP, *EXCEPTIONS])
    expect(short(flows(lab, "--container", "sib")), [PING, HAIRPINNED])
    rows = flows(lab)
    # The rest of five days, of two minutes; of an exception, until others may have it.
    expect(rows[0]["idle"] >= 7 and 431000 < rows[0]["expires"] <= 431993, True, rows[0])
    expect(60 < rows[2]["expires"] <= 120, True, rows[2])
    expect(rows[-2]["idle"] >= 30 and rows[-2]["expires"] <= 90, True, rows[-2])
    expect(rows[-1]["expires"], 0, rows[-1])
    lines = lab.xdock("flow", "list").stdout.splitlines()
    expect(lines[0].split(), "KIND CONTAINER PROTOCOL ADDRESS PORT REMOTE REMOTE_PORT HOST HOST_PORT "
           "STATE IDLE EXPIRES".split())
    expect(lines[-1].split()[:10],
           ["exception", "web", "tcp", WEB, "80", CLIENT, "5001", "203.0.113.1", "8080", "-"])


def test_lists_nothing_where_there_is_nothing(lab):
    lab.xdock("up")
    expect((lab.xdock("flow", "list").stdout, flows(lab)), ("", []))
    lab.xdock("container", "add", "web")
    expect(flows(lab, "--container", "web"), [])


def test_flushes_all_flows_or_those_of_one_container(lab):
    fill(lab)
    before = counts()
    expect(before, (8, 8, 3, 2), "rows")
    planned = lab.xdock("-n", "flow", "flush", "--container", "sib")
    # The exception is of sib as a client.
    expect(planned.stdout.splitlines(), ["delete 3 rows of xd_snat_rev", "delete 3 rows of xd_snat",
                                         "delete 1 rows of xd_exception"])
    expect(lab.xdock("-n", "flow", "flush", json=True),
           {"steps": ["delete 8 rows of xd_snat_rev", "delete 8 rows of xd_snat",
                      "delete 3 rows of xd_exception", "delete 2 rows of xd_fragment"]})
    expect(counts(), before, "rows after a dry run")
    expect(lab.xdock("flow", "flush", "--container", "sib", json=True),
           {"flushed": {"xd_snat": 3, "xd_snat_rev": 3, "xd_exception": 1, "xd_fragment": 0}})
    expect(short(flows(lab)), [*BY_HOST, PLAIN_UDP, *EXCEPTIONS[1:]])
    expect(lab.xdock("flow", "flush").stdout,
           "xd_snat: 5\nxd_snat_rev: 5\nxd_exception: 2\nxd_fragment: 2\n")
    expect(counts(), (0, 0, 0, 0), "rows")
    expect(lab.xdock("flow", "flush").stdout,
           "xd_snat: 0\nxd_snat_rev: 0\nxd_exception: 0\nxd_fragment: 0\n")


def test_nothing_is_left_of_the_flows_of_a_container_that_is_removed(lab):
    fill(lab)
    lab.xdock("container", "rm", "web")
    # Those of sib to others; the fragments of others.
    expect(counts(), (3, 2, 0, 1), "after rm")
    lab.xdock("container", "add", "web")
    expect(lab.link_info("web", "eth0")["addr_info"][0]["local"], WEB, "the address again")
    put_flow(ifindex(lab, "web"), (WEB, 40000), (REMOTE, 443), (HOST, 1024))
    # Its namespace takes the veth pair along; the next command heals.
    lab.host("ip", "link", "del", "xd-web")
    expect(counts()[0], 4)
    lab.xdock("container", "add", "new")
    expect(counts(), (3, 2, 0, 1), "after the veth pair was deleted")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    lab.xdock("down", "docker0")
    expect(counts()[:3], (0, 0, 0), "after the network went")


def attached(lab, device):
    """Numbers of the programs at the ingress of a device, in their order."""
    numbers = (ctypes.c_uint32 * 64)()
    number = lab.link_info("host", device)["ifindex"]
    query = ctypes.create_string_buffer(
        struct.pack("=IIIIQIxxxx", number, TCX_INGRESS, 0, 0, ctypes.addressof(numbers), 64), 64)
    with lab.inside("host"):
        check(libc.syscall(SYS_BPF, BPF_PROG_QUERY, query, 64), "bpf")
    return list(numbers)[:struct.unpack_from("=I", query, 24)[0]]


def program(name):
    return json.loads(run(["bpftool", "-j", "prog", "show", "pinned", f"{pins()}/prog/{name}"]).stdout)["id"]


def sampling(lab, seconds, *devices):
    """`flow list --sample` that has begun; None if it was over before that was seen."""
    process = subprocess.Popen([XDOCK, "-N", "host", "-j", "flow", "list", "--sample", str(seconds)],
                               text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    wanted = [program("xd_sample_tc"), program("xd_uplink_tc")]
    while process.poll() is None:
        if all(attached(lab, device) == wanted for device in devices):
            return process
        time.sleep(0.01)
    expect((process.returncode, process.communicate()[1]), (0, ""))
    return None


@limit(60)
def test_samples_flows_of_published_ports_in_front_of_all_programs(lab):
    lab.second_client()
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "5300:53/udp")
    sock = lab.open_socket("client2", kind=socket.SOCK_DGRAM)
    sock.bind(("", 5555))
    # As often as the machine is too slow for it to be seen at work.
    for seconds in (1, 3, 6, 9):
        process = sampling(lab, seconds, "wan", "wan2")
        for _ in range(3):
            sock.sendto(b"12345", ("203.0.113.1", 5300))
        if process and process.poll() is None:
            break
    expect(process is not None, True, "seen at work")
    stdout, stderr = process.communicate()
    expect((process.returncode, stderr), (0, ""))
    # There is the exception of it as well.
    rows = [row for row in json.loads(stdout)["flows"] if row["kind"] == "sample"]
    expect(short(rows), [("sample", "web", "udp", f"{WEB}:53", "203.0.113.2:5555", "203.0.113.1:5300", None)])
    expect((rows[0]["packets"], rows[0]["bytes"]), (3, 3 * (14 + 20 + 8 + 5)))
    for device in ("wan", "wan2"):
        expect(attached(lab, device), [program("xd_uplink_tc")], f"programs at {device} afterwards")
    # Each time anew.
    expect([row for row in flows(lab, "--sample", "1") if row["kind"] == "sample"], [])


def test_a_killed_sampling_leaves_nothing_and_a_second_one_is_refused(lab):
    lab.xdock("up")
    process = sampling(lab, 60, "wan")
    done = lab.xdock("flow", "list", "--sample", "1", check=False)
    expect((done.returncode, done.stderr),
           (2, "xdock: another `flow list --sample` is at work; wait for it\n"))
    expect(lab.xdock("flow", "list").returncode, 0, "without --sample")
    # Others do not wait for it either.
    lab.xdock("container", "add", "web")
    process.kill()
    process.communicate()
    eventually(lambda: expect(attached(lab, "wan"), [program("xd_uplink_tc")], "programs"), 20)
    lab.xdock("flow", "list", "--sample", "1")


def test_a_dry_run_of_sampling_says_where_it_would_look(lab):
    lab.xdock("up")
    expect(lab.xdock("-n", "flow", "list", "--sample", "60").stdout,
           "attach xd_sample_tc to wan for 60 seconds\n")


def test_sampling_is_refused_where_the_kernel_lacks_tcx(lab):
    lab.xdock("up")
    done = xdock("flow", "list", "--sample", "1", LACK="tcx")
    expect((done.returncode, done.stderr),
           (2, "xdock: this kernel lacks tcx, which --sample needs to go in front of other programs; "
            "Linux 6.6 has it\n"))


def test_a_port_that_a_flow_has_is_published_with_a_flag_that_says_so(lab):
    fill(lab)

    def masqueraded():
        return sorted((socket.ntohs(row["key"]["port"]), row["key"]["protocol"]) for row in dump("port")
                      if row["value"]["flags"] & MASQUERADED)

    expect(masqueraded(), [])
    # Flows have 1024, 40001, 40002 by TCP, and 77 as an identifier of ICMP.
    lab.xdock("port", "add", "web", "1024:1024/udp", "1024:1024", "40000-40001:40000-40001", "77:77/sctp")
    expect(masqueraded(), [(1024, TCP), (40001, TCP)])
    # Who mends the maps keeps it.
    lab.xdock("port", "add", "web", "9000:1024")
    lab.xdock("port", "rm", "1024")
    lab.xdock("flow", "flush")
    lab.xdock("port", "add", "web", "40002:40002")
    expect(masqueraded(), [(40001, TCP)])


def test_lists_what_containers_really_open_and_forgets_it(lab):
    lab.xdock("up")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    lab.add("web", "-p", "8080:80")
    lab.xdock("container", "add", "other", "--bridge", "br1")
    lab.echo("client", 7000)
    socks = [lab.open_socket(name, timeout=20) for name in ("web", "other")]
    socks[0].connect((CLIENT, 7000))
    socks[1].connect((HOST, 8080))
    ports = [sock.getsockname()[1] for sock in socks]

    def expect_listed():
        rows = flows(lab)
        expect([(row["kind"], row["container"], row["address"], row["port"], row["remote"],
                 row["remote_port"], row["host"], row["state"]) for row in rows],
               [("masquerade", "web", WEB, ports[0], CLIENT, 7000, HOST, "replied"),
                ("hairpin", "other", "10.9.0.2", ports[1], HOST, 8080, GATEWAY, "replied")])
        expect([row["expires"] > 400000 and row["idle"] < 100 for row in rows], [True, True], rows)

    eventually(expect_listed, 20)
    expect(lab.xdock("flow", "flush", json=True)["flushed"],
           {"xd_snat": 2, "xd_snat_rev": 2, "xd_exception": 0, "xd_fragment": 0})
    expect(flows(lab), [])
