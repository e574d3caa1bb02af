# SPDX-License-Identifier: GPL-2.0-only
"""Real traffic between network namespaces: the harness.

Each test runs in a process of its own, in new mount, pid and network namespaces, with its own
bpffs at /sys/fs/bpf and its own tmpfs at /run. When the process ends, killed or not, the kernel
removes all of it, so that two runs can go at once and a killed one leaves nothing.

    client                               host
    eth0 198.51.100.2/24 ------- wan 198.51.100.1/24    docker0 and the containers, by xdock
    default via 198.51.100.1             default via 198.51.100.2

    def test_answers_from_the_published_address(lab):
        lab.xdock("up")
        lab.xdock("container", "add", "web", "-p", "8080:80")
        lab.echo("web", 80)
        expect(lab.tcp("client", HOST, 8080), ("web", CLIENT, ANY))

Suites of the datapath run once for each hook of HOOKS: what one hook alone does fails there.

A namespace is named "host", "client", or as the container in it. After each test everything is
taken down, and what then is left of xdock in the host namespace fails the test.
"""

import contextlib
import ctypes
import fnmatch
import glob
import importlib
import json as json_module
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
XDOCK = os.environ.get("XDOCK", os.path.join(HERE, "..", "..", "build", "xdock"))

HOST = "198.51.100.1"
CLIENT = "198.51.100.2"
GATEWAY = "172.17.0.1"

# Generous: they are there for what hangs, and a busy machine is slow.
LIMIT = 90  # seconds for a test
TEARDOWN_LIMIT = 60  # seconds for cleaning up behind it
STATUS_SKIP = 77

# The hooks that a suite runs with, beside "tc". What is not listed asks for hooks itself, or is about
# commands and not about packets.
HOOKS = {suite: ("xdp",) for suite in (
    "address", "exception", "fragment", "hairpin", "icmp", "limit", "masquerade", "publish", "source")}

# Tests of these suites that cannot be run with a hook, and why.
NOT_WITH = {
    "icmp.an_upload_finds_a_narrow_uplink_of_the_host_itself@xdp":
        "a veth takes frames that are longer than its own MTU only while they are not segmented, "
        "which XDP makes its peer do",
}

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
PR_SET_PDEATHSIG = 1
ETH_P_ALL = 3
IP_PKTINFO = 8
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
TP_STATUS_VLAN_VALID = 0x10

libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """The machine lacks what the test needs."""


class TimeLimit(Exception):
    pass


def skip(reason):
    """reason: what was probed and found missing."""
    raise Skip(reason)


def limit(seconds):
    """Decorator: the time limit of a test that needs more than LIMIT."""

    def mark(test):
        test.limit = seconds
        return test

    return mark


class _Any:
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __repr__(self):
        return "ANY"


ANY = _Any()


def expect(actual, expected, what="answer"):
    if not actual == expected:
        raise AssertionError(f"{what}: {actual!r}, expected {expected!r}")


def expect_raises(error, function, *args, **options):
    """Returns the error, or fails if function returned or raised another one."""
    try:
        result = function(*args, **options)
    except error as e:
        return e
    raise AssertionError(f"expected {error.__name__}, got {result!r}")


def eventually(function, seconds=20.0):
    """Calls function until it raises neither AssertionError nor OSError, or time is up."""
    end = time.monotonic() + seconds
    while True:
        try:
            return function()
        except (AssertionError, OSError):
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)


def check(result, call):
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{call}: {os.strerror(errno)}")


def mount(source, target, kind, flags=0):
    result = libc.mount(source.encode(), target.encode(), kind.encode(), flags, None)
    check(result, f"mount {target}")


class Answer(NamedTuple):
    """What an echo server says of a request."""

    server: str  # its name
    address: str  # of the client, as the server saw it
    port: int  # of the client, as the server saw it


def read_answer(data, payload):
    server, address, port, echo = data.decode().split(" ", 3)
    expect(echo, payload.decode(), "echoed payload")
    return Answer(server, address, int(port))


def make_answer(server, peer, payload):
    address = peer[0].removeprefix("::ffff:")
    return f"{server} {address} {peer[1]} ".encode() + payload


class Capture:
    """Frames that arrive at an interface, from now on."""

    def __init__(self, sock, device):
        self.sock = sock
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        sock.bind((device, ETH_P_ALL))

    def next(self, seconds):
        """The next frame, or None when nothing comes."""
        if not select.select([self.sock], [], [], max(seconds, 0))[0]:
            return None
        frame, control, _, _ = self.sock.recvmsg(262144, 64)
        for _, _, data in control:
            status, _, _, _, _, tci, protocol = struct.unpack("=IIIHHHH", data)
            # The kernel took the tag out of the frame.
            if status & TP_STATUS_VLAN_VALID:
                frame = frame[:12] + struct.pack("!HH", protocol, tci) + frame[12:]
        return frame

    def find(self, predicate, seconds=10.0):
        """The first frame for which predicate(frame) is true, or None."""
        end = time.monotonic() + seconds
        while (frame := self.next(end - time.monotonic())) is not None:
            if predicate(frame):
                return frame
        return None


class Lab:
    def __init__(self, hook="tc"):
        self.hook = hook
        self.processes = []
        self.forks = []
        self.sockets = []
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.add_namespace("host", "client")
        self.link("host", "wan", HOST + "/24", "client", "eth0", CLIENT + "/24")
        self.ip(f"-n host route add default via {CLIENT}",
                f"-n client route add default via {HOST}")
        self.sysctls = self.read_sysctls()
        # A veth hands XDP what its peer has not summed, which is then left to TC; and it takes
        # what XDP redirects if its peer has GRO.
        if hook != "tc":
            self.client("ethtool", "-K", "eth0", "tx", "off", "gro", "on")

    # Namespaces and links

    def ip(self, *lines):
        """Commands of ip(8), one a string."""
        for line in lines:
            run(["ip", *line.split()])

    def add_namespace(self, *names):
        for name in names:
            self.ip(f"netns add {name}", f"-n {name} link set lo up")

    def link(self, a, a_name, a_address, b, b_name, b_address):
        """A veth pair between two namespaces, up, with an address on each end."""
        self.ip(f"link add {a_name} netns {a} type veth peer name {b_name} netns {b}")
        for name, device, address in ((a, a_name, a_address), (b, b_name, b_address)):
            self.ip(f"-n {name} addr add {address} dev {device}",
                    f"-n {name} link set {device} up")

    def second_client(self):
        """Another machine at another uplink of the host: `wan2` 203.0.113.1/24, and in the
        namespace `client2` eth0 203.0.113.2/24 with a default route."""
        self.add_namespace("client2")
        self.link("host", "wan2", "203.0.113.1/24", "client2", "eth0", "203.0.113.2/24")
        self.ip("-n client2 route add default via 203.0.113.1")

    def netns(self, name):
        """The path of a namespace, which may be the name already."""
        if "/" in name:
            return name
        path = f"/run/netns/{name}"
        if os.path.exists(path):
            return path
        (path,) = glob.glob(f"/run/xdock/*/{name}")
        return path

    @contextlib.contextmanager
    def inside(self, name):
        """Run in a namespace; sockets that are made there stay in it. For the main thread."""
        fd = os.open(self.netns(name), os.O_RDONLY | os.O_CLOEXEC)
        check(libc.setns(fd, CLONE_NEWNET), "setns")
        os.close(fd)
        try:
            yield
        finally:
            check(libc.setns(self.home, CLONE_NEWNET), "setns")

    # Commands

    def xdock(self, *args, check=True, json=False, ns="host"):
        """Runs the command on the host; json: returns what it answers, parsed. Else the
        finished process, with returncode, stdout and stderr."""
        words = [XDOCK, *(["-N", ns] if ns else []), *(["-j"] if json else []), *map(str, args)]
        if self.hook != "tc" and args[0] == "up" and "--hook" not in args:
            words += ["--hook", self.hook]
        done = run(words, check=check)
        return json_module.loads(done.stdout) if json else done

    def run(self, ns, *command, check=True):
        return run(["nsenter", "--net=" + self.netns(ns), *map(str, command)], check=check)

    def host(self, *command, check=True):
        return self.run("host", *command, check=check)

    def client(self, *command, check=True):
        return self.run("client", *command, check=check)

    def container(self, name, *command, check=True):
        return self.run(name, *command, check=check)

    def background(self, ns, *command, **options):
        """A process that ends with the test."""
        words = ["nsenter", "--net=" + self.netns(ns), *map(str, command)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def fork(self, function, *args):
        """Runs function(*args) in a process of its own, which ends with the test."""
        pid = os.fork()
        if not pid:
            status = 1
            try:
                function(*args)
                status = 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        self.forks.append(pid)

    def add(self, name, *options):
        """A container with an echo server on TCP and UDP port 80. Returns its address."""
        answer = self.xdock("container", "add", name, *options, json=True)
        self.echo(name, 80)
        self.echo(name, 80, "udp")
        return answer["containers"][0]["address"].split("/")[0]

    def read(self, ns, path):
        with self.inside(ns), open(path) as file:
            return file.read().strip()

    def write(self, ns, path, text):
        with self.inside(ns), open(path, "w") as file:
            file.write(f"{text}\n")

    def link_info(self, ns, device):
        """What `ip -d link` knows of an interface, as a dict; None if it is not there."""
        done = self.run(ns, "ip", "-j", "-d", "addr", "show", "dev", device, check=False)
        rows = json_module.loads(done.stdout) if done.returncode == 0 else []
        # Of a link that goes away meanwhile, ip says nothing.
        return rows[0] if rows and rows[0] else None

    def stats(self):
        """{"ports": [...], "containers": [...]}, as `xdock -j stats` gives them."""
        return self.xdock("stats", json=True)

    def drops(self):
        """Packets by the name of the reason."""
        return {row["reason"]: row["packets"] for row in self.xdock("drops", json=True)["drops"]}

    # Traffic

    def open_socket(self, ns, family=socket.AF_INET, kind=socket.SOCK_STREAM, timeout=10.0):
        """A socket of a namespace, closed after the test."""
        with self.inside(ns):
            sock = socket.socket(family, kind)
        sock.settimeout(timeout)
        self.sockets.append(sock)
        return sock

    def bound(self, ns, port, protocol="tcp", address="", family=socket.AF_INET):
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        sock = self.open_socket(ns, family, kind, timeout=None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(protocol == "tcp"))
        sock.bind((address, port))
        return sock

    def echo(self, ns, port, protocol="tcp", address="", name=None):
        """A server that answers each request with an Answer, in a thread of this process."""
        sock = self.bound(ns, port, protocol, address)
        if protocol == "tcp":
            sock.listen(128)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        serve = serve_tcp if protocol == "tcp" else serve_udp
        threading.Thread(target=serve, args=(sock, name or ns), daemon=True).start()
        return sock

    def tcp(self, ns, address, port, source="", source_port=0, timeout=10.0, payload=b"hello"):
        """Asks an echo server. Fails if the connection's peer is not what was dialled."""
        sock = self.open_socket(ns, family_of(address), timeout=timeout)
        with sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if source or source_port:
                sock.bind((source, source_port))
            sock.connect((address, port))
            expect(sock.getpeername()[:2], (address, port), "getpeername()")
            sock.sendall(payload)
            sock.shutdown(socket.SHUT_WR)
            data = b""
            while part := sock.recv(65536):
                data += part
        return read_answer(data, payload)

    def udp(self, ns, address, port, source="", source_port=0, timeout=10.0, payload=b"hello",
            connected=False):
        """The same by UDP. Fails if the answer comes from another address than was asked."""
        sock = self.open_socket(ns, family_of(address), socket.SOCK_DGRAM, timeout=timeout)
        with sock:
            if source or source_port:
                sock.bind((source, source_port))
            if connected:
                sock.connect((address, port))
                expect(sock.getpeername()[:2], (address, port), "getpeername()")
                sock.send(payload)
            else:
                sock.sendto(payload, (address, port))
            data, peer = sock.recvfrom(65536)
        expect(peer[:2], (address, port), "source of the answer")
        return read_answer(data, payload)

    def ask(self, ns, address, port, protocol="tcp", **options):
        return (self.tcp if protocol == "tcp" else self.udp)(ns, address, port, **options)

    def capture(self, ns, device):
        # Not for any protocol before it is bound, or it would see all interfaces until then.
        return Capture(self.open_socket(ns, socket.AF_PACKET, socket.SOCK_RAW), device)

    def send(self, ns, device, frame):
        """A frame, as bytes or as scapy builds it, by an interface."""
        sock = self.open_socket(ns, socket.AF_PACKET, socket.SOCK_RAW)
        with sock:
            sock.bind((device, 0))
            sock.send(bytes(frame))

    # The end

    def read_sysctls(self):
        names = ("ip_forward", "ip_local_reserved_ports")
        return {name: self.read("host", f"/proc/sys/net/ipv4/{name}") for name in names}

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        for pid in self.forks:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for sock in self.sockets:
            sock.close()

    def down(self):
        """Takes all networks down; fails if something of them is left then."""
        if self.xdock("status", check=False).returncode != 3:
            networks = self.xdock("status", json=True).get("networks")
            for name in [row["bridge"] for row in networks or []] or ["docker0"]:
                self.xdock("down", name)
        status = self.xdock("status", check=False)
        expect(status.returncode, 3, f"exit of status after down ({status.stdout.strip()})")
        expect(self.read_sysctls(), self.sysctls, "sysctls after down")
        names = [link["ifname"] for link in json_module.loads(self.host("ip", "-j", "link").stdout)]
        left = [name for name in names if name == "docker0" or name.startswith("xd-")]
        left += glob.glob("/sys/fs/bpf/xdock/*/*") + glob.glob("/run/xdock/*")
        expect(left, [], "left after down")


def run(words, check=True):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode:
        raise AssertionError(f"`{' '.join(words)}` exited with {done.returncode}: "
                             f"{done.stdout.strip()} {done.stderr.strip()}")
    return done


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve_tcp(sock, name):
    with contextlib.suppress(OSError):
        while True:
            connection, peer = sock.accept()
            threading.Thread(target=serve_connection, args=(connection, peer, name),
                             daemon=True).start()


def serve_connection(connection, peer, name):
    with contextlib.suppress(OSError), connection:
        payload = b""
        while part := connection.recv(65536):
            payload += part
        connection.sendall(make_answer(name, peer, payload))


def receive_datagram(sock):
    """(payload, what to give sendmsg() with the answer, peer). The answer's source is then the
    request's destination, on a host of many addresses, too."""
    payload, control, _, peer = sock.recvmsg(65536, 64)
    ours = [(level, kind, struct.pack("=I4s4x", 0, data[4:8])) for level, kind, data in control]
    return payload, ours, peer


def serve_udp(sock, name):
    with contextlib.suppress(OSError):
        while True:
            payload, ours, peer = receive_datagram(sock)
            sock.sendmsg([make_answer(name, peer, payload)], ours, 0, peer)


# The runner


def isolate():
    """Into new mount, network and pid namespaces; returns in the first process of the latter,
    which dies with its parent, and all others with it."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID), "unshare")
    pid = os.fork()
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc")
    mount("bpf", "/sys/fs/bpf", "bpf")
    mount("tmpfs", "/run", "tmpfs")


def raise_time_limit(signum, frame):
    raise TimeLimit("the time limit is over")


def run_in_lab(test, hook, seconds):
    """Returns the exit status for the process of the test."""
    lab = None
    status = 0
    signal.signal(signal.SIGALRM, raise_time_limit)
    signal.alarm(seconds)
    try:
        lab = Lab(hook)
        test(lab)
    except Skip as e:
        print(e)
        status = STATUS_SKIP
    except BaseException:
        traceback.print_exc()
        status = 1
    if not lab:
        return status or 1
    signal.alarm(TEARDOWN_LIMIT)
    try:
        lab.stop()
        lab.down()
    except BaseException:
        traceback.print_exc()
        status = 1
    return status


def run_test(test, hook):
    """(exit status, what the test printed)."""
    seconds = max(getattr(test, "limit", LIMIT), LIMIT)
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                isolate()
                status = run_in_lab(test, hook, seconds)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        ended = os.pidfd_open(pid)
        try:
            is_hung = not select.select([ended], [], [], seconds + TEARDOWN_LIMIT + 5)[0]
        finally:
            # Also when the runner is interrupted.
            os.kill(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.close(ended)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return status, text + ("killed: it did not end\n" if is_hung else "")


def discover():
    """{name: (function, hook)}"""
    tests = {}
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        stem = os.path.basename(path)[:-3]
        module = importlib.import_module(stem)
        for name, value in vars(module).items():
            if name.startswith("test_") and callable(value):
                tests[f"{stem[5:]}.{name[5:]}"] = value, "tc"
                for hook in HOOKS.get(stem[5:], ()):
                    tests[f"{stem[5:]}.{name[5:]}@{hook}"] = value, hook
    for name in NOT_WITH:
        del tests[name]
    return tests


def matches(name, patterns):
    return not patterns or any(fnmatch.fnmatch(name, f"*{pattern}*") for pattern in patterns)


def main(arguments):
    tests = {n: t for n, t in discover().items()
             if matches(n, [a for a in arguments if a != "--list"])}
    if "--list" in arguments:
        print("\n".join(tests))
        return 0
    if os.geteuid():
        sys.exit("tests/net: network namespaces need root")
    passed = failed = skipped = 0
    for name, (test, hook) in tests.items():
        start = time.monotonic()
        status, text = run_test(test, hook)
        took = f"({time.monotonic() - start:.1f} s)"
        if status == 0:
            passed += 1
            # What a test has measured is its last line.
            said = f": {text.strip().splitlines()[-1]}" if text.strip() else ""
            print(f"ok   {name} {took}{said}", flush=True)
        elif status == STATUS_SKIP:
            skipped += 1
            print(f"skip {name}: {text.strip().splitlines()[-1]}", flush=True)
        else:
            failed += 1
            print(f"FAIL {name} {took}", flush=True)
            print("".join(f"     {line}\n" for line in text.splitlines()), end="", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not tests else 0
