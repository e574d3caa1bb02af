# SPDX-License-Identifier: GPL-2.0-only
"""Which hook has the packets: XDP in front of TC, chosen, changed and refused."""

import contextlib
import ctypes
import fcntl
import os
import socket
import stat
import struct
import threading
import time

from lab import CLIENT, HOST, XDOCK, eventually, expect, libc, limit
from state import instance, raw, same
from test_stream import expect_no_checksum_errors, serve, transfer

WEB, DB = "172.17.0.2", "172.17.0.3"
BRIDGE_WHY = "XDP on a bridge sees what is sent to the host and not what is sent to containers"
VETH_WHY = "auto: a veth: XDP would take segmentation offload from its peer"
OFFLOADS = ("rx-gro", "tx-checksum-ip-generic", "tx-checksum-sctp", "tx-vlan-hw-insert",
            "tx-vlan-stag-hw-insert")

SYS_BPF = 321  # x86-64
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000


def hooks(lab):
    """{interface: (hook, early_drop, why)}"""
    rows = lab.xdock("status", json=True)["hooks"]
    return {row["interface"]: (row["hook"], row["early_drop"], row["why"]) for row in rows}


def hook_of(lab, name):
    return hooks(lab)[name][0]


def offloads(lab, ns):
    """Those of its eth0 that XDP minds, as ethtool shows them."""
    features = {}
    for line in lab.run(ns, "ethtool", "-k", "eth0").stdout.splitlines():
        name, _, value = line.strip().partition(": ")
        features[{"generic-receive-offload": "rx-gro", "tx-vlan-offload": "tx-vlan-hw-insert"}
                 .get(name, name)] = value.split(" ")[0]
    return {name: features[name] for name in OFFLOADS}


def xdp_ids(lab, device):
    """Ids of the XDP programs on an interface of the host."""
    info = lab.link_info("host", device)
    return [row["prog"]["id"] for row in [info.get("xdp")] if row and "prog" in row]


def is_tcp(port):
    """A frame of TCP with this port at either end."""
    ports = struct.pack("!H", port)
    return lambda f: f[12:14] == b"\x08\x00" and f[23] == socket.IPPROTO_TCP and ports in (
        f[34:36], f[36:38])


@contextlib.contextmanager
def tap(lab, name, address):
    """A tap device of the host, whose driver has XDP. Yields the file that its frames come from."""
    os.mknod("/run/tun", stat.S_IFCHR | 0o600, os.makedev(10, 200))
    with lab.inside("host"):
        file = os.open("/run/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    lab.ip(f"-n host addr add {address} dev {name}", f"-n host link set {name} up")
    try:
        yield file
    finally:
        os.close(file)


def load_pass():
    """Pins an XDP program that passes everything, and is not xdock's."""
    code = struct.pack("<BBhi", 0xB7, 0, 0, 2) + struct.pack("<BBhi", 0x95, 0, 0, 0)
    code, name = ctypes.create_string_buffer(code), b"theirs"
    licence, path = ctypes.create_string_buffer(b"GPL"), b"/sys/fs/bpf/theirs"
    path = ctypes.create_string_buffer(path)
    attributes = struct.pack("<IIQQIIQII16s", 6, 2, ctypes.addressof(code),
                             ctypes.addressof(licence), 0, 0, 0, 0, 0, name)
    fd = libc.syscall(SYS_BPF, 5, attributes, len(attributes))
    expect(fd >= 0, True, "BPF_PROG_LOAD")
    attributes = struct.pack("<QII", ctypes.addressof(path), fd, 0)
    expect(libc.syscall(SYS_BPF, 6, attributes, len(attributes)), 0, "BPF_OBJ_PIN")
    os.close(fd)
    return path.value.decode()


def test_auto_is_tc_where_xdp_costs_something(lab):
    lab.xdock("up")
    lab.add("web")
    expect(hooks(lab), {
        "wan": ("tc", False, VETH_WHY),
        "docker0": ("tc", False, BRIDGE_WHY),
        "xd-web": ("tc", False, "auto: XDP would take segmentation offload from the container"),
    })
    expect((xdp_ids(lab, "wan"), xdp_ids(lab, "xd-web")), ([], []), "XDP programs")


def frame(lab, source, destination, device):
    """An empty UDP datagram to port 9, to the device's own MAC address."""
    mac = bytes.fromhex(lab.link_info("host", device)["address"].replace(":", ""))
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, 64, socket.IPPROTO_UDP, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + header[12:]
    return mac + b"\x02\0\0\0\0\x01\x08\x00" + header + struct.pack("!HHHH", 7, 9, 8, 0)


def test_auto_drops_early_where_xdp_costs_nothing(lab):
    with tap(lab, "tap0", "203.0.113.1/24") as file:
        lab.xdock("up")
        lab.add("web")
        expect(hooks(lab)["tap0"], ("tc", True, "auto: XDP costs it nothing, so it drops early"))
        # What XDP has dropped is seen by nobody behind it.
        capture = lab.capture("host", "tap0")
        drops = lab.drops()
        for source, destination in (("127.0.0.1", "203.0.113.1"), (WEB, "203.0.113.1"),
                                    ("203.0.113.1", "203.0.113.1"), (HOST, "203.0.113.1"),
                                    ("203.0.113.7", "127.0.0.1"), ("203.0.113.7", WEB)):
            os.write(file, frame(lab, source, destination, "tap0"))
        os.write(file, frame(lab, "203.0.113.7", "203.0.113.1", "tap0"))
        seen = capture.find(lambda f: f[12:14] == b"\x08\x00", 20)
        expect(seen and seen[26:34], socket.inet_aton("203.0.113.7") +
               socket.inet_aton("203.0.113.1"), "the one that is let through")
        now = lab.drops()
        expect({name: now[name] - drops[name] for name in ("martian", "direct-routed")},
               {"martian": 5, "direct-routed": 1})
        lab.xdock("up", "--hook", "tap0=tc")
        expect(hooks(lab)["tap0"], ("tc", False, "as asked for"))
        os.write(file, frame(lab, "127.0.0.1", "203.0.113.1", "tap0"))
        expect(bool(capture.find(lambda f: f[26:30] == b"\x7f\0\0\x01", 20)), True, "seen in front of TC")
        eventually(lambda: expect(lab.drops()["martian"], now["martian"] + 1, "dropped by TC"), 20)
        lab.xdock("up", "--hook", "tap0=auto")
        expect(hooks(lab)["tap0"][1], True, "early_drop")


def test_the_hosts_own_address_is_no_martian_where_it_is_accepted(lab):
    with tap(lab, "tap0", "203.0.113.1/24") as file:
        lab.write("host", "/proc/sys/net/ipv4/conf/tap0/accept_local", 1)
        for hook in ("tc", "auto"):
            lab.xdock("up", "--hook", hook)
            before = lab.drops()["martian"]
            os.write(file, frame(lab, HOST, "203.0.113.1", "tap0"))
            os.write(file, frame(lab, "127.0.0.1", "203.0.113.1", "tap0"))
            eventually(lambda: expect(lab.drops()["martian"], before + 1, "127.0.0.1 alone"), 20)


def test_xdp_finishes_what_it_can_in_front_of_the_stack(lab):
    lab.client("ethtool", "-K", "eth0", "tx", "off", "gro", "on")
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    lab.add("db")
    lab.echo("client", 99)
    for hook in ("tc", "xdp"):
        lab.xdock("up", "--hook", hook)
        expect([hook_of(lab, name) for name in ("wan", "xd-web", "xd-db")], [hook] * 3)
        wan, web = lab.capture("host", "wan"), lab.capture("host", "xd-web")
        for _ in range(5):
            expect(lab.tcp("client", HOST, 8080).address, CLIENT)
            expect(lab.tcp("web", DB, 80).address, WEB)
            expect(lab.tcp("web", CLIENT, 99).address, HOST)
        at_wan, at_web = list(iter(lambda: wan.next(0), None)), list(iter(lambda: web.next(0), None))
        seen = [len(list(filter(is_tcp(port), frames)))
                for frames, port in ((at_wan, 8080), (at_web, 80), (at_web, 99))]
        if hook == "tc":
            expect(min(seen) > 15, True, f"{seen} frames in front of TC")
        else:
            # Of the web's own flow to the outside, its first packet is TC's; so is one checksum
            # in 65536.
            expect(max(seen) < 15, True, f"{seen} frames behind XDP")
        wan.sock.close()
        web.sock.close()


def test_a_frame_without_its_checksum_is_left_to_tc(lab):
    """The client's veth leaves checksums to the uplink, which cannot tell XDP."""
    lab.xdock("up", "--hook", "xdp")
    lab.add("web", "-p", "8080:80", "-p", "8080:80/udp")
    for _ in range(3):
        expect(lab.tcp("client", HOST, 8080).address, CLIENT)
        expect(lab.udp("client", HOST, 8080).address, CLIENT)
    expect_no_checksum_errors(lab)


def test_a_container_whose_offloads_come_back_is_left_to_tc(lab):
    lab.xdock("up", "--hook", "xdp")
    lab.add("web", "-p", "8080:80")
    lab.add("db")
    lab.container("web", "ethtool", "-K", "eth0", "tx", "on")
    for _ in range(3):
        expect(lab.tcp("client", HOST, 8080).address, CLIENT)
        expect(lab.tcp("db", WEB, 80).address, DB)
    expect_no_checksum_errors(lab, "db")


def test_offloads_of_containers_are_put_back(lab):
    lab.xdock("up")
    lab.add("web")
    lab.add("db")
    lab.container("db", "ethtool", "-K", "eth0", "gro", "on")
    before = {name: offloads(lab, name) for name in ("web", "db")}
    expect((before["web"]["rx-gro"], before["web"]["tx-checksum-ip-generic"]), ("off", "on"))
    safe = {name: "on" if name == "rx-gro" else "off" for name in OFFLOADS}

    # One container: the other one may be redirected to.
    lab.xdock("up", "--hook", "web=xdp")
    expect(offloads(lab, "web"), safe)
    expect(offloads(lab, "db"), before["db"])
    expect(lab.tcp("web", DB, 80).address, WEB)
    lab.xdock("up", "--hook", "xd-web=tc", "--hook", "db=xdp")
    expect(offloads(lab, "web"), {**before["web"], "rx-gro": "on"})
    expect(offloads(lab, "db"), safe)
    lab.xdock("up", "--hook", "db=auto")
    expect({name: offloads(lab, name) for name in ("web", "db")}, before)

    # The uplink alone, and a container that comes later.
    lab.xdock("up", "--hook", "wan=xdp")
    lab.add("late")
    for name in ("web", "db", "late"):
        expect(offloads(lab, name), {**before["web"], "rx-gro": "on"})
    lab.xdock("up", "--hook", "wan=tc")
    expect({name: offloads(lab, name) for name in ("web", "db")}, before)
    expect(offloads(lab, "late"), before["web"])

    # Its last user goes.
    lab.xdock("up", "--hook", "late=xdp")
    expect(offloads(lab, "web")["rx-gro"], "on")
    lab.xdock("container", "rm", "late")
    expect({name: offloads(lab, name) for name in ("web", "db")}, before)
    rows = [row["changed"] for row in lab.xdock("status", json=True)["changes"]]
    expect([row for row in rows if row.startswith("offload")], [])


def test_what_an_interface_was_given_stays_until_it_is_changed(lab):
    lab.xdock("up", "--hook", "xdp", "--hook", "wan=tc")
    lab.add("web")
    expect((hook_of(lab, "wan"), hook_of(lab, "xd-web")), ("tc", "xdp"))
    lab.xdock("up")
    lab.xdock("up", "br2", "--subnet", "10.2.0.0/24")
    expect((hook_of(lab, "wan"), hook_of(lab, "xd-web")), ("tc", "xdp"))
    lab.xdock("up", "--hook", "wan=xdp-generic")
    expect((hook_of(lab, "wan"), hook_of(lab, "xd-web")), ("xdp-generic", "xdp"))
    # It follows the instance again once it is given the same.
    lab.xdock("up", "--hook", "wan=xdp")
    lab.xdock("up", "--hook", "auto")
    expect((hook_of(lab, "wan"), hook_of(lab, "xd-web")), ("tc", "tc"))


def test_generic_xdp_does_the_same(lab):
    lab.xdock("up", "--hook", "xdp-generic")
    lab.add("web", "-p", "8080:80")
    lab.add("db")
    expect([hook_of(lab, name) for name in ("wan", "xd-web")], ["xdp-generic"] * 2)
    for off in (False, True):
        if off:
            lab.client("ethtool", "-K", "eth0", "tx", "off")
        expect(lab.tcp("client", HOST, 8080).address, CLIENT)
        expect(lab.tcp("web", DB, 80).address, WEB)
    expect_no_checksum_errors(lab, "db")


def test_flows_are_sampled_in_front_of_xdp_as_well(lab):
    lab.client("ethtool", "-K", "eth0", "tx", "off", "gro", "on")
    lab.xdock("up", "--hook", "xdp")
    lab.xdock("container", "add", "web", "-p", "8080:80/udp")
    sock = lab.open_socket("client", kind=socket.SOCK_DGRAM)
    sock.connect((HOST, 8080))
    is_over = threading.Event()

    def send():
        while not is_over.wait(0.02):
            with contextlib.suppress(OSError):
                sock.send(b"x")

    thread = threading.Thread(target=send)
    thread.start()
    flows = lab.xdock("flow", "list", "--sample", 2, json=True)["flows"]
    expect([row["container"] for row in flows if row["kind"] == "sample"], ["web"])
    # A killed one is made good by the next command that writes.
    for signal in ("TERM", "KILL"):
        lab.host("timeout", "-s", signal, "1", XDOCK, "flow", "list", "--sample", "60", check=False)
        lab.xdock("port", "add", "web", "9090:90")
        expect([row["flags"] & 2 for row in raw_uplinks() if row["ifindex"]], [0])
    wan = lab.capture("host", "wan")
    expect(wan.find(lambda f: f[12:14] == b"\x08\x00" and f[23] == socket.IPPROTO_UDP, 0.5), None,
           "a datagram behind XDP")
    is_over.set()
    thread.join()


def raw_uplinks():
    """The rows of xd_uplink."""
    (array,) = raw("uplink").values()
    return [{"ifindex": ifindex, "flags": flags}
            for ifindex, _, flags, _ in struct.iter_unpack("<I6sH16s", array)]


def refuses(lab, *words, status=2):
    """Nothing is changed, and the message is returned."""
    before = instance(lab)
    done = lab.xdock("up", *words, check=False)
    expect((done.returncode, done.stdout), (status, ""), f"up {words}: {done.stderr}")
    same(instance(lab), before, f"after up {words}")
    return done.stderr.strip().removeprefix("xdock: ")


def test_refuses_what_cannot_be_and_changes_nothing(lab):
    lab.xdock("up")
    lab.add("web")
    for hook in ("xdp", "xdp-generic"):
        expect(refuses(lab, "--hook", f"docker0={hook}"), f"hook {hook} of docker0: {BRIDGE_WHY}")
    expect(refuses(lab, "--hook", "eth7=xdp", status=1),
           "hook eth7: neither an uplink nor a container")
    expect(refuses(lab, "--hook", "xdb", status=1), "hook xdb: none of auto, tc, xdp, xdp-generic")
    expect(refuses(lab, "--hook", "wan=", status=1), "hook : none of auto, tc, xdp, xdp-generic")
    # The driver's own reason.
    lab.client("ip", "link", "set", "eth0", "mtu", "9000")
    why = "its driver refuses: veth: Peer MTU is too large to set XDP"
    expect(refuses(lab, "--hook", "wan=xdp"), f"hook xdp of wan: {why}")
    expect(refuses(lab, "--hook", "xdp"), f"hook xdp of wan: {why}")
    expect(refuses(lab, "--hook", "web=xdp", "--hook", "wan=xdp"), f"hook xdp of wan: {why}")


def test_the_first_up_refuses_what_cannot_be_and_leaves_nothing(lab):
    lab.client("ip", "link", "set", "eth0", "mtu", "9000")
    done = lab.xdock("up", "--hook", "xdp", check=False)
    expect((done.returncode, done.stderr),
           (2, "xdock: hook xdp of wan: its driver refuses: veth: Peer MTU is too large to set XDP\n"))
    expect(lab.xdock("status", check=False).returncode, 3, "exit of status")


def test_the_program_of_somebody_else_stays(lab):
    path = load_pass()
    lab.host("ip", "link", "set", "dev", "wan", "xdpdrv", "pinned", path)
    (theirs,) = xdp_ids(lab, "wan")
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    expect(hooks(lab)["wan"], ("tc", False, f"auto: XDP program {theirs} (theirs) is there"))
    for words in (("--hook", "xdp"), ("--hook", "wan=xdp"), ("--hook", "wan=xdp-generic")):
        hook = words[1].removeprefix("wan=")
        expect(refuses(lab, *words),
               f"hook {hook} of wan: XDP program {theirs} (theirs) is there, and stays")
    expect(xdp_ids(lab, "wan"), [theirs])
    # Containers are not concerned.
    lab.xdock("up", "--hook", "web=xdp")
    expect((hook_of(lab, "xd-web"), xdp_ids(lab, "wan")), ("xdp", [theirs]))
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)
    lab.xdock("down")
    expect(xdp_ids(lab, "wan"), [theirs])
    lab.host("ip", "link", "set", "dev", "wan", "xdp", "off")


class Load:
    """A connection that is never idle and numbered datagrams, until stop()."""

    def __init__(self, lab):
        self.is_over = threading.Event()
        self.error = None
        self.rounds = self.sent = 0
        self.answered = set()
        listener = lab.bound("web", 81)
        listener.listen()
        self.udp = lab.open_socket("client", kind=socket.SOCK_DGRAM, timeout=0.5)
        self.udp.connect((HOST, 8080))
        self.tcp = lab.open_socket("client", timeout=60)
        threading.Thread(target=self.reflect, args=(listener,), daemon=True).start()
        self.tcp.connect((HOST, 8081))
        self.threads = [threading.Thread(target=function, daemon=True)
                        for function in (self.talk, self.count, self.collect)]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def reflect(listener):
        connection, _ = listener.accept()
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def talk(self):
        block = os.urandom(20000)
        try:
            while not self.is_over.is_set():
                self.tcp.sendall(block)
                left = block
                while left:
                    part = self.tcp.recv(len(left))
                    expect(bool(part) and left.startswith(part), True, "what came back is what was sent")
                    left = left[len(part):]
                self.rounds += 1
        except (AssertionError, OSError) as error:
            self.error = error

    def count(self):
        while not self.is_over.is_set():
            with contextlib.suppress(OSError):
                self.udp.send(b"%d" % self.sent)
            self.sent += 1
            time.sleep(0.002)

    def collect(self):
        idle = 0
        while idle < 4:
            try:
                self.answered.add(self.udp.recv(100).split()[-1])
                idle = 0
            except OSError:
                idle += self.is_over.is_set()

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(60)
        expect(self.error, None, "error of the connection")


@limit(420)
def test_a_live_instance_changes_its_hook_fifty_times(lab):
    lab.client("ethtool", "-K", "eth0", "tx", "off", "gro", "on")
    lab.xdock("up", "--hook", "tc")
    lab.add("web", "-p", "8080:80/udp", "-p", "8081:81")
    load = Load(lab)
    for hook in ("xdp", "tc") * 25:
        rounds = load.rounds
        lab.xdock("up", "--hook", hook)
        expect((hook_of(lab, "wan"), hook_of(lab, "xd-web")), (hook, hook))

        def expect_more():
            expect(load.error, None, "error of the connection")
            expect(load.rounds > rounds + 1, True, "the connection goes on")

        eventually(expect_more, 60)
    load.stop()
    lost = load.sent - len(load.answered)
    expect(lost < load.sent / 2, True, f"{lost} of {load.sent} datagrams were lost")
    expect_no_checksum_errors(lab)
    print(f"{lost} of {load.sent} datagrams were lost, {load.rounds} rounds of TCP")


@limit(420)
def test_a_gigabyte_arrives_at_each_hook_with_offloads_and_without(lab):
    total = (1 << 30) // 16  # each way, eight times
    lab.xdock("up")
    lab.add("web", "-p", "8080:81")
    listener = lab.bound("web", 81)
    listener.listen()
    for offload in ("on", "off"):
        lab.client("ethtool", "-K", "eth0", "tx", offload, "gso", offload)
        lab.client("ethtool", "-K", "eth0", "gro", "on")
        for uplink in ("tc", "xdp"):
            for veth in ("tc", "xdp"):
                lab.xdock("up", "--hook", f"wan={uplink}", "--hook", f"web={veth}")
                expect((hook_of(lab, "wan"), hook_of(lab, "xd-web")), (uplink, veth))
                lab.fork(serve, listener, total)
                transfer(lab, "client", HOST, 8080, total)
                expect_no_checksum_errors(lab)
