# SPDX-License-Identifier: GPL-2.0-only
"""From up to down: what goes on without xdock, what survives an upgrade, what waits for what, and
that down leaves the machine as it was."""

import glob
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from lab import ANY, CLIENT, GATEWAY, HOST, XDOCK, eventually, expect, expect_raises, run
from state import environment, instance, machine, pins, same, xdock

RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports"
HOST2 = "203.0.113.1"
SO_RCVBUFFORCE = 33  # of Linux; the module has no name for it


def start(*words, env=None):
    """xdock in the background."""
    return subprocess.Popen([XDOCK, "-N", "host", *map(str, words)], env=env, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ids():
    """Of the pinned programs and maps."""
    found = {"prog": set(), "map": set()}
    for path in glob.glob(f"{pins()}/**", recursive=True):
        if os.path.isfile(path) and "/link/" not in path:
            kind = "prog" if "/prog/" in path else "map"
            done = run(["bpftool", "-j", kind, "show", "pinned", path])
            found[kind].add(json.loads(done.stdout)["id"])
    return found


def exists(kind, number):
    return run(["bpftool", "-j", kind, "show", "id", str(number)], check=False).returncode == 0


class TcpStream:
    """Bytes from the client through a connection, as fast as they go."""

    def __init__(self, lab, name, port):
        self.server = lab.bound(name, 80)
        self.server.listen()
        self.client = lab.open_socket("client", timeout=20)
        self.client.connect((HOST, port))
        self.received = 0
        self.sent = 0
        self.is_over = False
        self.threads = [threading.Thread(target=self.receive), threading.Thread(target=self.send)]
        for thread in self.threads:
            thread.start()

    def receive(self):
        connection, _ = self.server.accept()
        with connection:
            while part := connection.recv(1 << 20):
                self.received += len(part)

    def send(self):
        data = bytes(65536)
        while not self.is_over:
            self.sent += self.client.send(data)
        self.client.shutdown(socket.SHUT_WR)

    def wait(self):
        """For data that were sent from now on."""
        mark = self.sent + (1 << 20)
        eventually(lambda: expect(self.received > mark, True, "TCP goes on"))

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()
        expect(self.received, self.sent, "bytes received")


class UdpStream:
    """Numbered datagrams from the client, some 10 000 in a second."""

    def __init__(self, lab, name, port):
        self.server = lab.bound(name, 80, "udp")
        self.server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.server.settimeout(10)
        self.client = lab.open_socket("client", kind=socket.SOCK_DGRAM)
        self.client.connect((HOST, port))
        self.sent = 0
        self.is_over = False
        self.thread = threading.Thread(target=self.send)
        self.thread.start()

    def send(self):
        while not self.is_over:
            for _ in range(20):
                self.client.send(struct.pack("!Q", self.sent))
                self.sent += 1
            time.sleep(0.002)

    def end(self):
        self.is_over = True
        self.thread.join()
        received = [struct.unpack("!Q", self.server.recv(64))[0] for _ in range(self.sent)]
        expect(sorted(received) == list(range(self.sent)), True, "each datagram came once")


# Without xdock


def test_forwards_while_no_xdock_runs(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    commands = [os.readlink(path) for path in glob.glob("/proc/[0-9]*/exe") if os.path.exists(path)]
    expect([path for path in commands if "xdock" in path], [])
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)


def test_up_again_replaces_the_programs_and_no_flow_notices(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80", "-p", "8080:80/udp")
    before = instance(lab, "web")
    tcp, udp = TcpStream(lab, "web", 8080), UdpStream(lab, "web", 8080)
    old = ids()
    for _ in range(3):
        tcp.wait()
        lab.xdock("up")
        new = ids()
        expect(new["prog"] & old["prog"], set(), "programs of before")
        expect(new["map"], old["map"], "maps")
        old = new
    tcp.wait()
    udp.end()
    tcp.end()
    same(instance(lab, "web"), before, "instance")
    expect(udp.sent > 1000, True)


def test_flows_do_not_notice_what_happens_to_others(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80", "-p", "8080:80/udp")
    tcp, udp = TcpStream(lab, "web", 8080), UdpStream(lab, "web", 8080)
    for words in ("port add web 8081:80 9000-9999:9000-9999", "container add sib -p 8082:80",
                  "port rm 8081", "container rm sib", "port rm 9000-9999", "up br9 --subnet 10.9.0.0/16",
                  "down br9"):
        tcp.wait()
        lab.xdock(*words.split())
    tcp.wait()
    udp.end()
    tcp.end()


def test_up_again_keeps_what_the_first_one_was_told(lab):
    lab.ip("-n host link add other type veth peer name other2", "-n host link set other up")
    lab.xdock("up", "--mtu", "1400", "--max-ports", "100", "--max-flows", "2000", "--uplink", "wan")
    lab.xdock("container", "add", "web")
    before = instance(lab, "web")
    lab.xdock("up")
    same(instance(lab, "web"), before, "instance")
    lab.xdock("container", "rm", "web")
    lab.xdock("up", "--mtu", "1300", "--uplink", "wan", "--uplink", "other")
    status = lab.xdock("status", json=True)
    expect([row["mtu"] for row in status["networks"]], [1300])
    expect([row["uplink"] for row in status["uplinks"]], ["wan", "other"])


# Down


def test_down_leaves_the_machine_as_it_was(lab):
    lab.write("host", RESERVED, "3000,20002-20003")
    before = machine(lab)
    lab.xdock("up")
    lab.add("web", "-p", "8080:80", "-p", "20000-20010:20000-20010")
    lab.add("sib", "-p", "53:80/udp")
    lab.xdock("up", "br9", "--subnet", "10.9.0.0/16")
    lab.xdock("container", "add", "other", "--bridge", "br9", "-p", "8081:80")
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)
    expect(lab.read("host", RESERVED), "53,3000,8080-8081,20000-20010")
    used = ids()
    lab.stop()
    lab.xdock("down")
    expect(lab.read("host", RESERVED), "3000,8081,20002-20003")
    lab.xdock("down", "br9")
    done = lab.xdock("status", check=False)
    expect((done.returncode, done.stdout.endswith("is not up, and nothing of it is left\n")), (3, True))
    same(machine(lab), before, "machine")
    expect(len(used["map"]) > 10 and len(used["prog"]) > 8, True, used)
    for kind, numbers in used.items():
        for number in numbers:
            eventually(lambda: expect(exists(kind, number), False, f"{kind} {number} is there"))
    lab.write("host", RESERVED, "")


def test_down_removes_what_lost_pins_leave_behind(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web")
    # What a bpffs that was unmounted and mounted anew looks like.
    shutil.rmtree(pins())
    done = lab.xdock("status", check=False)
    expect(done.returncode, 2)
    expect("xd-web" in done.stdout, True, done.stdout)
    lab.xdock("down")
    expect(lab.xdock("status", check=False).returncode, 3)
    expect([name for name in os.listdir("/run") if name == "xdock"], [])
    lab.host("ip", "link", "del", "docker0")
    lab.host("sysctl", "-qw", "net.ipv4.ip_forward=0")


def test_down_of_nothing_leaves_the_links_of_others(lab):
    lab.ip("-n host link add xd-mine type veth peer name other")
    lab.xdock("down")
    expect(lab.host("ip", "link", "show", "xd-mine", check=False).returncode, 0)
    lab.ip("-n host link del xd-mine")


def test_run_does_not_remove_the_container_that_has_its_name_by_now(lab):
    lab.xdock("up")
    running = lab.background("host", XDOCK, "-N", "host", "run", "--name", "web", "--", "sleep", "1")
    eventually(lambda: expect([row["name"] for row in lab.xdock("container", "list", json=True)["containers"]],
                              ["web"]))
    lab.xdock("container", "rm", "web")
    lab.xdock("container", "add", "web")
    expect(running.wait(30), 0)
    expect([row["alive"] for row in lab.xdock("container", "list", json=True)["containers"]], [True])


def test_down_puts_the_sysctls_back_that_ip_forward_changes(lab):
    lab.write("host", "/proc/sys/net/ipv4/conf/all/accept_redirects", 0)
    lab.write("host", "/proc/sys/net/ipv4/conf/wan/forwarding", 1)
    lab.write("host", "/proc/sys/net/ipv4/conf/default/forwarding", 1)
    before = machine(lab)
    lab.xdock("up")
    lab.ip("-n host link add passing type bridge", "-n host link del passing")
    lab.xdock("down")
    same(machine(lab), before, "machine")


def test_forwarding_that_was_on_stays_on(lab):
    lab.write("host", "/proc/sys/net/ipv4/ip_forward", 1)
    before = machine(lab)
    lab.xdock("up")
    lab.xdock("down")
    same(machine(lab), before, "machine")
    lab.write("host", "/proc/sys/net/ipv4/ip_forward", 0)


def take_over(lab, *lines):
    """A bridge that somebody else made, with a port in it; down leaves it as it was."""
    lab.ip("-n host link add docker0 type bridge", "-n host link set docker0 up",
           "-n host link add theirs type veth peer name their2", "-n host link set theirs master docker0",
           *lines)
    before = machine(lab)
    lab.xdock("up", "--mtu", "1400")
    lab.add("web", "-p", "8080:80")
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)
    expect(lab.link_info("host", "docker0")["mtu"], 1400)
    expect(lab.link_info("web", "eth0")["mtu"], 1400)
    lab.stop()
    lab.xdock("down")
    same(machine(lab), before, "machine")
    lab.ip("-n host link del docker0", "-n host link del theirs")


def test_a_bridge_with_the_address_is_used_and_left_as_it_was(lab):
    take_over(lab, "-n host addr add 172.17.0.1/16 dev docker0")


def test_a_bridge_without_an_address_is_used_and_left_as_it_was(lab):
    take_over(lab)


def test_a_bridge_that_was_down_is_used_and_left_as_it_was(lab):
    take_over(lab, "-n host link set docker0 down")


# clsact


def hooks(lab):
    status = lab.xdock("status", json=True)
    return {row["program"] for row in status["networks"] + status["uplinks"]}


def filters(lab, device, side="ingress"):
    return lab.host("tc", "filter", "show", "dev", device, side, check=False).stdout


def qdiscs(lab, device):
    return lab.host("tc", "qdisc", "show", "dev", device).stdout.count("clsact")


def clsact_up(lab):
    for words in ("up", "container add web -p 8080:80", "container add sib"):
        done = xdock(*words.split(), LACK="tcx")
        expect((done.returncode, done.stderr), (0, ""), words)
    lab.echo("web", 80)
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)
    expect(lab.tcp("sib", "172.17.0.2", 80), ("web", "172.17.0.3", ANY))
    expect(hooks(lab), {"clsact"})
    expect([path for path in os.listdir(f"{pins()}/link") if "-" in path], [], "tcx links")


def test_without_tcx_clsact_filters_do_the_same_and_down_removes_the_qdiscs(lab):
    before = machine(lab)
    clsact_up(lab)
    expect("xd_uplink_tc" in filters(lab, "wan"), True)
    old = ids()["prog"]
    expect(xdock("up", LACK="tcx").returncode, 0)
    expect(filters(lab, "wan").count(" handle "), 1)
    expect(ids()["prog"] & old, set(), "programs of before")
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)
    lab.stop()
    expect(xdock("down", LACK="tcx").returncode, 0)
    same(machine(lab), before, "machine")


def test_without_tcx_the_journal_does_not_grow_by_containers(lab):
    before = machine(lab)
    clsact_up(lab)
    noted = lab.xdock("status", json=True)["changes"]
    expect(sorted(row["changed"] for row in noted if "clsact" in row["changed"]),
           ["clsact docker0", "clsact wan"])
    for i in range(4):
        for words in f"container add c{i} -p 9000:80", f"container rm c{i}":
            expect(xdock(*words.split(), LACK="tcx").returncode, 0, words)
        expect(lab.xdock("status", json=True)["changes"], noted, "changes")
    lab.stop()
    expect(xdock("down", LACK="tcx").returncode, 0)
    same(machine(lab), before, "machine")


def test_a_clsact_qdisc_that_was_there_stays(lab):
    lab.host("tc", "qdisc", "add", "dev", "wan", "clsact")
    before = machine(lab)
    clsact_up(lab)
    lab.stop()
    lab.xdock("down")
    same(machine(lab), before, "machine")


def test_somebody_elses_filter_stays_and_so_does_its_qdisc(lab):
    clsact_up(lab)
    # Any program does; this one is at hand.
    lab.host("tc", "filter", "add", "dev", "wan", "egress", "bpf", "da", "object-pinned",
             f"{pins()}/prog/xd_bridge_tc")
    theirs = filters(lab, "wan", "egress")
    expect("xd_bridge_tc" in theirs, True, theirs)
    lab.stop()
    lab.xdock("down")
    expect((qdiscs(lab, "wan"), filters(lab, "wan", "egress"), filters(lab, "wan")), (1, theirs, ""))
    lab.host("tc", "qdisc", "del", "dev", "wan", "clsact")


# Ports of the host


def test_connections_of_the_host_never_choose_a_published_port(lab):
    lab.write("host", "/proc/sys/net/ipv4/ip_local_port_range", "20000 20009")
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "20000-20004:80-84", "-p", "20006:85")
    lab.echo("client", 7000)

    def connect():
        sock = lab.open_socket("host")
        sock.connect((CLIENT, 7000))
        return sock.getsockname()[1]

    chosen = sorted(connect() for _ in range(4))
    expect(chosen, [20005, 20007, 20008, 20009])
    expect_raises(OSError, connect)
    lab.xdock("port", "rm", "20000-20004", "20006")
    expect(connect() in (20000, 20001, 20002, 20003, 20004, 20006), True)


def test_a_port_that_was_reserved_before_stays_so(lab):
    lab.write("host", RESERVED, "8080,9000")
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080-8081:80-81")
    expect(lab.read("host", RESERVED), "8080-8081,9000")
    lab.write("host", RESERVED, "8080-8081,9000-9001")
    lab.xdock("port", "rm", "8080-8081")
    expect(lab.read("host", RESERVED), "8080,9000-9001")
    lab.write("host", RESERVED, "")


# Many at once, and many


def test_commands_at_once_wait_for_each_other(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web")
    commands = [("container", "add", f"c{i}", "-p", "80") for i in range(8)]
    commands += [("port", "add", "web", f"{9000 + i}:{80 + i}") for i in range(8)]
    for process in [start(*words) for words in commands]:
        _, stderr = process.communicate()
        expect((process.returncode, stderr), (0, ""), process.args)
    rows = lab.xdock("container", "list", json=True)["containers"]
    expect(sorted(row["address"] for row in rows), [f"172.17.0.{i}/16" for i in range(10, 11)] +
           [f"172.17.0.{i}/16" for i in range(2, 10)])
    expect([row["ports"] for row in rows if row["name"] == "web"], [8])
    expect(sum(row["ports"] for row in rows), 16)
    ports = lab.xdock("port", "list", json=True)["ports"]
    expect(len({row["host_port"] for row in ports}), len(ports), "host ports")
    for process in [start("container", "rm", f"c{i}") for i in range(8)]:
        expect((process.communicate()[1], process.returncode), ("", 0))
    expect(len(lab.xdock("container", "list", json=True)["containers"]), 1)


def test_ups_at_once_make_one_instance(lab):
    for process in [start("up") for _ in range(4)]:
        expect((process.communicate()[1], process.returncode), ("", 0))
    expect(len(glob.glob("/sys/fs/bpf/xdock/*")), 1)
    for process in [start("down") for _ in range(4)]:
        expect((process.communicate()[1], process.returncode), ("", 0))
    expect(lab.xdock("status", check=False).returncode, 3)


def test_a_command_waits_while_another_has_the_lock(lab):
    lab.xdock("up")
    first = start("container", "add", "first", env=environment(STOP=3))
    is_stopped = os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)
    expect(is_stopped.si_code, os.CLD_STOPPED)
    second = start("container", "add", "second")
    expect_raises(subprocess.TimeoutExpired, second.wait, 0.5)
    expect(lab.xdock("container", "list", json=True)["containers"], [], "who reads does not wait")
    first.send_signal(signal.SIGCONT)
    for process in (first, second):
        expect((process.communicate()[1], process.returncode), ("", 0))
    rows = lab.xdock("container", "list", json=True)["containers"]
    expect([(row["name"], row["address"]) for row in rows],
           [("first", "172.17.0.2/16"), ("second", "172.17.0.3/16")])


def test_two_instances_side_by_side_do_not_know_each_other(lab):
    lab.add_namespace("host2")
    lab.link("host2", "wan", HOST2 + "/24", "client", "eth1", "203.0.113.2/24")
    before = machine(lab)
    servers = {}
    for ns in ("host", "host2"):
        lab.xdock("up", ns=ns)
        rows = lab.xdock("container", "add", "web", "-p", "8080:80", ns=ns, json=True)["containers"]
        expect((rows[0]["name"], rows[0]["address"]), ("web", "172.17.0.2/16"))
        servers[ns] = rows[0]["netns"]
        lab.echo(servers[ns], 80, name=f"web-of-{ns}")
    for ns, address in (("host", HOST), ("host2", HOST2)):
        expect(lab.tcp("client", address, 8080).server, f"web-of-{ns}")
        expect(lab.tcp(ns, "127.0.0.1", 8080).server, f"web-of-{ns}")
    lab.xdock("down")
    expect(lab.xdock("status", check=False).returncode, 3)
    expect(lab.tcp("client", HOST2, 8080).server, "web-of-host2")
    expect(lab.tcp("host2", "127.0.0.1", 8080).server, "web-of-host2")
    lab.stop()
    lab.xdock("down", ns="host2")
    same(machine(lab), before, "machine")


def test_up_removes_the_pins_of_an_instance_whose_namespace_is_gone(lab):
    lab.add_namespace("other", "lost")
    lab.xdock("up", ns="lost")
    lab.xdock("container", "add", "web", ns="lost")
    gone, used = pins(), ids()["prog"]
    lab.xdock("up", ns="other")
    lab.ip("netns del lost")

    def expect_swept():
        lab.xdock("up")
        found = {f"/sys/fs/bpf/xdock/{name}" for name in os.listdir("/sys/fs/bpf/xdock")}
        live = {lab.xdock("status", json=True, ns=ns)["instance"]["pins"] for ns in ("host", "other")}
        # The kernel takes the namespace away in its own time; only the first `up` sweeps.
        if found != live:
            lab.xdock("down")
        expect(found, live, "pins")

    expect(os.path.isdir(gone), True)
    eventually(expect_swept)
    for number in used:
        eventually(lambda: expect(exists("prog", number), False, f"program {number} is there"))
    expect({row["program"] for row in lab.xdock("status", json=True, ns="other")["networks"]}, {"tcx"})
    lab.xdock("down", ns="other")


def test_ten_thousand_ports_are_one_batch_and_one_row(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web")
    # 10 batches each of xd_port and xd_port_rev, the reservation, and little else.
    done = xdock("port", "add", "web", "20000-29999:10000-19999", KILL=40)
    expect(done.returncode, 0, done.stderr)
    rows = lab.xdock("port", "list", json=True)["ports"]
    expect([(row["host_port"], row["port"]) for row in rows], [("20000-29999", "10000-19999")])
    expect(lab.read("host", RESERVED), "20000-29999")
    lab.echo("web", 19999)
    expect(lab.tcp("client", HOST, 29999).address, CLIENT)
    done = xdock("port", "rm", "20000-29999", KILL=40)
    expect(done.returncode, 0, done.stderr)
    expect(lab.xdock("port", "list", json=True)["ports"], [])


def test_a_full_map_names_the_option_and_nothing_changes(lab):
    lab.xdock("up", "--max-ports", "100")
    lab.xdock("container", "add", "web", "-p", "9000-9089:9000-9089")
    before = instance(lab)
    for words in ("port add web 9090-9100:9090-9100", "container add new -p 9090-9100:9090-9100"):
        done = lab.xdock(*words.split(), check=False)
        expect((done.returncode, done.stderr.count("\n"), "--max-ports" in done.stderr), (2, 1, True), done)
        same(instance(lab), before, words)
    lab.xdock("port", "add", "web", "9090-9099:9090-9099")
    expect(lab.xdock("status", json=True)["instance"]["ports"], "100 of 100")


def test_all_ports_of_the_host_can_be_published(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web")
    # Each port of one command is an open file of it, of which a user may have too few.
    for first in range(1, 65536, 16384):
        ports = f"{first}-{min(first + 16383, 65535)}"
        lab.xdock("port", "add", "web", f"{ports}:{ports}")
    lab.echo("web", 65535)
    expect(lab.tcp("client", HOST, 65535).address, CLIENT)
    lab.xdock("port", "add", "web", "1:1/udp")
    before = lab.xdock("port", "list").stdout, lab.read("host", RESERVED)
    done = lab.xdock("port", "add", "web", "2:2/udp", check=False)
    expect((done.returncode, "--max-ports" in done.stderr), (2, True), done.stderr)
    expect((lab.xdock("port", "list").stdout, lab.read("host", RESERVED)), before)
    expect(lab.xdock("status", json=True)["instance"]["ports"], "65536 of 65536")


# A new container among old ones


def test_siblings_hear_of_each_new_container_without_asking(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "sib")
    heard = lab.capture("sib", "eth0")
    # More than once: the first frames of a new port of a bridge are easily lost.
    for i in range(3, 11):
        lab.xdock("container", "add", f"c{i}")
        mac = bytes.fromhex(lab.link_info(f"c{i}", "eth0")["address"].replace(":", ""))
        address = socket.inet_aton(f"172.17.0.{i}")
        # Sender's and target's protocol address are the same.
        frame = heard.find(lambda found: found[12:14] == b"\x08\x06" and
                           found[28:32] == found[38:42] == address)
        expect(frame is not None, True, f"gratuitous ARP of 172.17.0.{i}")
        expect((frame[:6], frame[6:12], frame[22:28]), (b"\xff" * 6, mac, mac))


def test_who_knew_another_mac_for_an_address_reaches_its_new_container_at_once(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "sib")
    knowing = ("host", "docker0"), ("sib", "eth0")
    for ns, device in knowing:
        lab.run(ns, "ip", "neigh", "replace", "172.17.0.3", "lladdr", "02:42:ff:ff:ff:ff", "dev", device,
                "nud", "reachable")
    lab.add("web")

    def expect_known(ns, device):
        (row,) = json.loads(lab.run(ns, "ip", "-j", "neigh", "show", "172.17.0.3", "dev", device).stdout)
        expect(row["lladdr"], "02:42:ac:11:00:03", f"what {ns} knows")

    for ns, device in knowing:
        eventually(lambda: expect_known(ns, device), 20)
        expect(lab.tcp(ns, "172.17.0.3", 80).server, "web")


# run


def test_run_exits_as_its_command_does(lab):
    lab.xdock("up")
    for command, status in (("true", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137),
                            ("kill -TERM $$", 143)):
        expect(lab.xdock("run", "--", "sh", "-c", command, check=False).returncode, status, command)
    expect(lab.xdock("container", "list", json=True)["containers"], [])


def test_run_shows_its_own_interfaces_in_sys_and_proc(lab):
    lab.xdock("up")
    expect(sorted(lab.xdock("run", "--", "ls", "/sys/class/net").stdout.split()), ["eth0", "lo"])
    expect("172.17.0.2/16" in lab.xdock("run", "--", "ip", "-4", "addr").stdout, True)
    expect(f"default via {GATEWAY} dev eth0" in lab.xdock("run", "--", "ip", "route").stdout, True)
    lab.xdock("container", "add", "web")
    names = lab.xdock("container", "exec", "web", "--", "ls", "/sys/class/net").stdout
    expect(sorted(names.split()), ["eth0", "lo"])


def running(lab, *words):
    """`xdock run` whose command has begun to run, and said so."""
    process = start("run", *words)
    expect(process.stdout.readline(), "ready\n")
    return process


def test_a_broken_pipe_ends_a_command_as_anywhere(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web")
    for words in ("run", "container exec web"):
        done = lab.xdock(*words.split(), "--", "sh", "-c", "cat /proc/self/status")
        (ignored,) = (line.split()[1] for line in done.stdout.splitlines() if line.startswith("SigIgn"))
        expect(int(ignored, 16) & 1 << signal.SIGPIPE - 1, 0, f"SIGPIPE is ignored in {words}")


def test_run_forwards_signals_to_its_command(lab):
    lab.xdock("up")
    process = running(lab, "--", "sh", "-c", "echo ready; exec sleep 60")
    process.send_signal(signal.SIGTERM)
    expect(process.wait(30), 143)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1,
                   signal.SIGUSR2):
        script = f"trap 'exit 42' {number.value}; echo ready; while :; do sleep 0.05; done"
        process = running(lab, "--", "sh", "-c", script)
        process.send_signal(number)
        expect(process.wait(30), 42, number.name)
    expect(lab.xdock("container", "list", json=True)["containers"], [])


def alive(name):
    """Processes of the test with this name in their command line. Zombies have none."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path) as file:
                words = file.read().split("\0")
        except OSError:
            continue
        if words[0] == name:
            found.append(" ".join(words))
    return found


def test_run_leaves_no_child_behind(lab):
    lab.xdock("up")
    script = "sleep 61 & (setsid sleep 62 &) ; (sleep 63 & sleep 64 &) ; exit 3"
    expect(lab.xdock("run", "--", "sh", "-c", script, check=False).returncode, 3)
    expect(alive("sleep"), [], "left children")


def test_run_publishes_ports_for_as_long_as_it_runs(lab):
    before = machine(lab)
    lab.xdock("up")
    up = instance(lab)
    script = ("import socket; s = socket.create_server(('', 80)); print('ready', flush=True)\n"
              "while True: c = s.accept()[0]; c.sendall(b'web 0.0.0.0 0 ' + c.recv(99)); c.shutdown(1); "
              "c.recv(1)")
    process = running(lab, "--name", "web", "-p", "8080:80", "--ip", "172.17.0.77", "--",
                      "python3", "-c", script)
    expect(lab.tcp("client", HOST, 8080).server, "web")
    (row,) = lab.xdock("container", "list", json=True)["containers"]
    expect((row["name"], row["address"]), ("web", "172.17.0.77/16"))
    expect(lab.xdock("container", "exec", "web", "--", "hostname", "-I").stdout.split(), ["172.17.0.77"])
    process.terminate()
    expect(process.wait(30), 143)
    same(instance(lab), up, "instance")
    expect_raises(OSError, lab.tcp, "client", HOST, 8080)
    lab.xdock("down")
    same(machine(lab), before, "machine")


def test_a_killed_run_is_cleaned_up_by_the_next_command(lab):
    lab.xdock("up")
    before = instance(lab)
    for words in ("port rm 9999", "container rm nope", "up", "container add web"):
        process = running(lab, "--name", "one", "-p", "8080:80", "--", "sh", "-c",
                          "echo ready; exec sleep 65")
        process.kill()
        process.wait()
        eventually(lambda: expect(alive("sleep"), [], "the command"))
        # The kernel takes the veth pair away in its own time.
        eventually(lambda: expect(lab.link_info("host", "xd-one"), None, "the interface"))
        lab.xdock(*words.split())
        if words == "container add web":
            lab.xdock("container", "rm", "web")
        same(instance(lab), before, words)


def test_down_ends_while_a_command_runs_and_the_command_goes_on(lab):
    lab.xdock("up")
    process = running(lab, "--", "sh", "-c", "echo ready; read line; exit 5")
    lab.xdock("down")
    expect(lab.xdock("status", check=False).returncode, 3)
    process.terminate()
    process.communicate()
    expect(process.returncode in (5, 143), True, process.returncode)
    expect(lab.xdock("status", check=False).returncode, 3)


def test_a_command_that_outlives_its_instance_leaves_the_next_one_alone(lab):
    lab.xdock("up")
    process = running(lab, "--name", "old", "-p", "8080:80", "--", "sh", "-c",
                      "echo ready; exec sleep 60")
    lab.xdock("down")
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    before = instance(lab, "web")
    process.terminate()
    process.communicate()
    expect(process.returncode, 143)
    same(instance(lab, "web"), before, "instance")
    (row,) = lab.xdock("container", "list", json=True)["containers"]
    expect((row["name"], row["alive"]), ("web", True))
    expect(lab.xdock("container", "exec", "web", "--", "echo", "here").stdout, "here\n")
    expect(lab.tcp("client", HOST, 8080), ("web", CLIENT, ANY))
    expect(lab.tcp("host", "127.0.0.1", 8080), ("web", GATEWAY, ANY))
    lab.xdock("container", "rm", "web")
    expect(lab.xdock("container", "list", json=True)["containers"], [])
