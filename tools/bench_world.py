# SPDX-License-Identifier: GPL-2.0-only
"""The worlds of tools/bench: each one a client, a host and what is behind it, in network namespaces
of its own, with the same addresses in every world.

    client                        host                            web  eth0 172.17.0.2
    eth0 198.51.100.2/24 ---- eth0 198.51.100.1/24   docker0 ---< db   eth0 172.17.0.3
                                                172.17.0.1/16

web publishes PORT (TCP and UDP) and FRAME_PORT (UDP), each as itself. All of it is made after
lab.isolate(), so that the kernel takes it away when this process ends, killed or not; only the
cgroups of a real dockerd are outside, and clean_cgroups() removes them.
"""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("O", "build"))
sys.path.insert(0, os.path.join(ROOT, "tests", "net"))
os.environ.setdefault("XDOCK", os.path.join(BUILD, "xdock"))

from lab import CLIENT, CLONE_NEWNET, GATEWAY, HOST, XDOCK, check, libc, run  # noqa: E402

LOAD = os.path.join(BUILD, "tools/bench-load")
SOCKET = os.path.join(BUILD, "tools/bench-socket")
DOCKER = os.path.join(BUILD, "bench/docker/usr")  # where tools/setup bench unpacks docker.io
CGROUP = "xdock-bench"  # the parent of dockerd's cgroups

WEB, DB = "172.17.0.2", "172.17.0.3"
PORT = 8000
FRAME_PORT = 9
MAPPED_PORT = 20000  # the first of many published ports
SERVICE = 7000  # of the client and of the host, not published
PATIENCE = 30  # seconds for something to come up
COMMAND_LIMIT = 240  # seconds for a client or a command

# The processors of clients and of servers; what the softirq does follows from that.
CPUS = sorted(os.sched_getaffinity(0))
CLIENT_CPU, SERVER_CPU = CPUS[-1], CPUS[-2] if len(CPUS) > 1 else CPUS[-1]


class LeftOut(Exception):
    """A rival cannot take part; the text says why."""


def inside(netns, *words):
    return ["nsenter", f"--net={netns}", *map(str, words)]


@contextlib.contextmanager
def entered(netns):
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    check(libc.setns(fd, CLONE_NEWNET), "setns")
    os.close(fd)
    try:
        yield
    finally:
        check(libc.setns(home, CLONE_NEWNET), "setns")
        os.close(home)


def wait_for(what, condition, limit=PATIENCE):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not in {limit} s")
        time.sleep(0.05)


class World:
    """A client and a host. Subclasses add the containers."""

    about = ""
    is_published = True  # what web offers has an address of the host
    has_conntrack = False

    def __init__(self, name=None):
        self.name = name or type(self).__name__.lower()
        self.processes = []
        self.servers = {}
        self.load = None
        self.mappings = 0
        self.gro = {}
        self.namespaces = {place: f"/run/netns/{self.name}-{place}" for place in ("client", "host")}
        for path in self.namespaces.values():
            name = os.path.basename(path)
            self.ip(f"netns add {name}", f"-n {name} link set lo up")
        queues = len(CPUS)
        client, host = f"{self.name}-client", f"{self.name}-host"
        # A queue for each CPU, as a network card has.
        self.ip(f"link add eth0 netns {host} numtxqueues {queues} numrxqueues {queues} type veth "
                f"peer name eth0 netns {client} numtxqueues {queues} numrxqueues {queues}",
                f"-n {host} address add {HOST}/24 dev eth0",
                f"-n {client} address add {CLIENT}/24 dev eth0",
                f"-n {host} link set eth0 up", f"-n {client} link set eth0 up",
                f"-n {host} route add default via {CLIENT}",
                f"-n {client} route add default via {HOST}")
        self.make()

    def make(self):
        """The containers, and what publishes."""

    def publish(self, ports):
        """TCP ports of web, as themselves; returns how many seconds it took."""
        raise LeftOut("it publishes nothing")

    def unpublish(self, ports):
        """The same ports."""

    def ip(self, *lines):
        for line in lines:
            run(["ip", *line.split()])

    def run(self, place, *words):
        return run(inside(self.namespaces[place], *words)).stdout

    def read(self, place, path):
        with entered(self.namespaces[place]), open(path) as file:
            return file.read().strip()

    def write(self, place, path, value):
        with entered(self.namespaces[place]), open(path, "w") as file:
            file.write(f"{value}\n")

    def sysctl(self, name, value):
        self.write("host", f"/proc/sys/net/{name}", value)

    def background(self, words, **options):
        process = subprocess.Popen(words, stdin=options.pop("stdin", subprocess.DEVNULL), **options)
        self.processes.append(process)
        return process

    # Traffic

    def serve(self, place, port=PORT, count=1):
        """A server of `count` ports, if it does not run already."""
        have = self.servers.get((place, port))
        if have and have[0] == count:
            return
        if have:
            have[1].kill()
            have[1].wait()
        words = inside(self.namespaces[place], "taskset", "-c", SERVER_CPU, SOCKET, "serve", port,
                       count)
        process = self.background(words, stdout=subprocess.PIPE, text=True)
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the server at {place} did not start")
        self.servers[place, port] = count, process

    def client(self, place, *words):
        """What a client of bench-socket measures."""
        words = inside(self.namespaces[place], "taskset", "-c", CLIENT_CPU, SOCKET, *words)
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=COMMAND_LIMIT)
        if done.returncode:
            raise RuntimeError(done.stderr.strip() or f"exit status {done.returncode}")
        return json.loads(done.stdout)

    def start_frames(self, program, flows, threads, seconds, rate=0):
        """The generator of small packets; end_frames() gives the answer."""
        if not self.load:
            paths = [self.namespaces[place] for place in ("client", "host", "web")]
            self.load = self.background([LOAD, *paths, self.veth("web")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        bufsize=1)
        self.ask_load(f"send {program} {flows} {threads} {seconds} {rate}")

    def ask_load(self, line):
        with contextlib.suppress(BrokenPipeError):  # there is no answer, then
            self.load.stdin.write(line + "\n")

    def end_frames(self):
        line = self.load.stdout.readline()
        if not line:
            text = self.load.stderr.read().strip()
            self.load = None
            raise RuntimeError(text or "bench-load ended")
        return json.loads(line)

    def frames(self, *arguments, **options):
        self.start_frames(*arguments, **options)
        return self.end_frames()

    def veth(self, place):
        """The host's end of a container's veth."""
        link = json.loads(self.run(place, "ip", "-j", "link", "show", "eth0"))[0]
        links = json.loads(self.run("host", "ip", "-j", "link"))
        return next(row["ifname"] for row in links if row["ifindex"] == link["link_index"])

    def want_gro(self, place, is_on):
        if self.gro.get(place, False) != is_on:
            self.run(place, "ethtool", "-K", "eth0", "gro", "on" if is_on else "off")
            self.gro[place] = is_on

    def set_mappings(self, count):
        """So many ports from MAPPED_PORT on are published."""
        if not self.is_published:
            return
        if count < self.mappings:
            self.unpublish(range(MAPPED_PORT, MAPPED_PORT + self.mappings))
            self.mappings = 0
        if count > self.mappings:
            self.publish(range(MAPPED_PORT + self.mappings, MAPPED_PORT + count))
            self.mappings = count

    def flush(self):
        """So that connections of a case before do not burden the next one."""
        if self.has_conntrack:
            run(inside(self.namespaces["host"], "conntrack", "-F"), check=False)

    def counters(self, places):
        """Retransmitted segments and segments that came out of order, of some namespaces."""
        found = {}
        for place in places:
            for path in ("snmp", "netstat"):
                lines = self.read(place, f"/proc/thread-self/net/{path}").splitlines()
                for names, values in zip(lines[::2], lines[1::2]):
                    for name, value in zip(names.split()[1:], values.split()[1:]):
                        found[name] = found.get(name, 0) + int(value)
        return found["RetransSegs"], found["TCPOFOQueue"]

    def settings(self):
        """What a reader has to know of this world."""
        def sysctl(name):
            try:
                return self.read("host", f"/proc/sys/net/{name}")
            except FileNotFoundError:
                return "none"

        features = self.run("host", "ethtool", "-k", "eth0").splitlines()
        shown = {"tcp-segmentation-offload": "tso", "generic-segmentation-offload": "gso",
                 "generic-receive-offload": "gro", "tx-checksumming": "tx", "rx-checksumming": "rx"}
        offloads = dict(line.split()[:2] for line in features if line.split()[0][:-1] in shown)
        return {
            "about": self.about,
            "bridge-nf-call-iptables": sysctl("bridge/bridge-nf-call-iptables"),
            "rp_filter": f"all {sysctl('ipv4/conf/all/rp_filter')}, "
                         f"eth0 {sysctl('ipv4/conf/eth0/rp_filter')}",
            "conntrack": "asked" if self.has_conntrack else "not asked",
            "offloads of eth0": " ".join(f"{shown[name[:-1]]} {value}"
                                         for name, value in offloads.items()),
        }

    def stop(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


class Veth(World):
    """Nothing but a veth pair: the host is the server."""

    about = "a veth pair between client and server, nothing else"
    is_published = False


class Bridge(World):
    """Containers on a plain bridge, which the host routes to."""

    about = "plain bridge and routing, no translation"
    is_published = False
    bridge_nf = 0

    def make(self):
        host = f"{self.name}-host"
        self.ip(f"-n {host} link add docker0 type bridge",
                f"-n {host} address add {GATEWAY}/16 dev docker0", f"-n {host} link set docker0 up")
        for place, address in (("web", WEB), ("db", DB)):
            name = f"{self.name}-{place}"
            self.namespaces[place] = f"/run/netns/{name}"
            self.ip(f"netns add {name}", f"-n {name} link set lo up",
                    f"link add v-{place} netns {host} type veth peer name eth0 netns {name}",
                    f"-n {host} link set v-{place} master docker0 up",
                    f"-n {name} link set eth0 up",
                    f"-n {name} address add {address}/16 dev eth0",
                    f"-n {name} route add default via {GATEWAY}")
        self.sysctl("ipv4/ip_forward", 1)
        with contextlib.suppress(FileNotFoundError):
            self.sysctl("bridge/bridge-nf-call-iptables", self.bridge_nf)
        self.set_up()

    def set_up(self):
        """What is not plain."""


class BridgeNf(Bridge):
    """The same, with frames between containers handed to netfilter."""

    about = "plain bridge, its frames cross netfilter and conntrack"
    bridge_nf = 1
    has_conntrack = True

    def set_up(self):
        if not os.path.exists("/proc/sys/net/bridge/bridge-nf-call-iptables"):
            raise LeftOut("no br_netfilter here")
        # Without a rule that wants it, conntrack does not run.
        restore(self, ["*filter", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                       "COMMIT"])


class Nft(Bridge):
    """nftables with one map, as its wiki recommends for many ports."""

    about = "nftables: one map of ports for dnat, masquerade"
    is_published = True
    has_conntrack = True

    def set_up(self):
        if not shutil.which("nft"):
            raise LeftOut("no nft here")
        self.sysctl("ipv4/conf/all/route_localnet", 1)
        self.nft(f"""table ip nat {{
            map ports {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                fib daddr type local dnat ip to meta l4proto . th dport map @ports
            }}
            chain output {{
                type nat hook output priority -100;
                fib daddr type local dnat ip to meta l4proto . th dport map @ports
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                oifname "docker0" fib saddr type local masquerade
                iifname "docker0" oifname "docker0" ct status dnat masquerade
                ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
            }}
        }}""")
        self.publish(range(PORT, PORT + 1))
        self.nft(f"add element ip nat ports {{ {self.element('udp', PORT)}, "
                 f"{self.element('udp', FRAME_PORT)} }}")

    def nft(self, text):
        return run_with_input(inside(self.namespaces["host"], "nft", "-f", "-"), text)

    @staticmethod
    def element(protocol, port):
        return f"{protocol} . {port} : {WEB} . {port}"

    def publish(self, ports):
        return self.nft("add element ip nat ports { " +
                        ", ".join(self.element("tcp", port) for port in ports) + " }")

    def unpublish(self, ports):
        self.nft("delete element ip nat ports { " +
                 ", ".join(f"tcp . {port}" for port in ports) + " }")


class Proxy(Bridge):
    """docker-proxy alone, a process for each port."""

    about = "docker-proxy of docker.io, a plain bridge behind it"
    is_published = True

    def set_up(self):
        self.proxies = {}
        if not os.access(f"{DOCKER}/sbin/docker-proxy", os.X_OK):
            raise LeftOut("no docker-proxy; `tools/setup bench` fetches it")
        self.publish([PORT])
        self.publish([PORT], "udp")

    def publish(self, ports, protocol="tcp"):
        if len(ports) > 1000:
            raise LeftOut("more than 1 000 processes of docker-proxy")
        for port in ports:
            # dockerd gives it a pipe as 3, on which it says that it is ready.
            self.proxies[port, protocol] = self.background(inside(
                self.namespaces["host"], "sh", "-c", 'exec "$0" "$@" 3>/dev/null',
                f"{DOCKER}/sbin/docker-proxy", "-proto", protocol, "-host-ip", "0.0.0.0",
                "-host-port", port, "-container-ip", WEB, "-container-port", port),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("docker-proxy", lambda: all(is_listening(self, port, protocol) for port in ports))

    def unpublish(self, ports):
        for port in ports:
            process = self.proxies.pop((port, "tcp"))
            process.kill()
            process.wait()
            self.processes.remove(process)


def is_listening(world, port, protocol):
    """A socket of the host that is bound to a port."""
    lines = world.read("host", f"/proc/thread-self/net/{protocol}").splitlines()[1:]
    lines += world.read("host", f"/proc/thread-self/net/{protocol}6").splitlines()[1:]
    return any(int(line.split()[1].split(":")[1], 16) == port for line in lines)


def run_with_input(words, text):
    """Returns how many seconds it took."""
    start = time.monotonic()
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=COMMAND_LIMIT)
    if done.returncode:
        raise RuntimeError(f"{words[2]}: {done.stderr.strip()[:300]}")
    return time.monotonic() - start


def restore(world, lines, is_flushed=False):
    words = inside(world.namespaces["host"], "iptables-restore")
    return run_with_input(words if is_flushed else [*words, "--noflush"], "\n".join([*lines, ""]))


def docker_rules(ports, protocol="tcp"):
    """As dockerd writes them for published ports of web. In the filter in front: newer ones have a
    drop at the end of that chain."""
    lines = ["*filter"]
    lines += [f"-I DOCKER -d {WEB}/32 ! -i docker0 -o docker0 -p {protocol} "
              f"-m {protocol} --dport {port} -j ACCEPT" for port in ports]
    lines += ["COMMIT", "*nat"]
    for port in ports:
        match = f"-p {protocol} -m {protocol} --dport {port}"
        lines += [f"-A POSTROUTING -s {WEB}/32 -d {WEB}/32 {match} -j MASQUERADE",
                  f"-A DOCKER ! -i docker0 {match} -j DNAT --to-destination {WEB}:{port}"]
    return [*lines, "COMMIT"]


class DockerRules:
    """Docker's way to publish more ports of web, without its daemon."""

    def publish(self, ports):
        if not self.mappings:
            self.saved = self.run("host", "iptables-save")
        return restore(self, docker_rules(ports))

    def unpublish(self, ports):
        """All of what was published so; one by one would take minutes."""
        restore(self, [self.saved], is_flushed=True)


class Iptables(DockerRules, Bridge):
    """The rules that Docker writes, without Docker."""

    about = "iptables: Docker's rules typed in, as one restore"
    is_published = True
    has_conntrack = True
    bridge_nf = 1

    def set_up(self):
        if not shutil.which("iptables-restore"):
            raise LeftOut("no iptables here")
        restore(self, [
            "*filter", ":FORWARD DROP", ":DOCKER -", ":DOCKER-USER -",
            ":DOCKER-ISOLATION-STAGE-1 -", ":DOCKER-ISOLATION-STAGE-2 -",
            "-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
            "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -o docker0 -j DOCKER", "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
            "-A FORWARD -i docker0 -o docker0 -j ACCEPT",
            "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
            "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP", "COMMIT",
            "*nat", ":DOCKER -", "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
            "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
            "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
            "-A DOCKER -i docker0 -j RETURN", "COMMIT"])
        self.publish([PORT])
        restore(self, docker_rules([PORT, FRAME_PORT], "udp"))


class Docker(DockerRules, World):
    """A real dockerd in the host's namespace, as it comes."""

    has_conntrack = True
    about = "dockerd"

    def make(self):
        if not os.access(f"{DOCKER}/sbin/dockerd", os.X_OK):
            raise LeftOut("no dockerd; `tools/setup bench` fetches it")
        self.containers = 0
        # What it writes there is not for the machine.
        for path in ("/etc", "/opt"):
            upper, work = f"/run/docker{path}/upper", f"/run/docker{path}/work"
            os.makedirs(upper)
            os.makedirs(work)
            layers = f"lowerdir={path},upperdir={upper},workdir={work}"
            if libc.mount(b"overlay", path.encode(), b"overlay", 0, layers.encode()):
                raise LeftOut(f"no overlay of {path}")
        self.environment = {**os.environ, "DOCKER_RAMDISK": "1",
                            "PATH": f"{DOCKER}/sbin:{DOCKER}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.log = open("/run/docker/log", "w+")
        self.background(inside(
            self.namespaces["host"], "dockerd", "--data-root", "/run/docker/data", "--exec-root",
            "/run/docker/exec", "-H", "unix:///run/docker/sock", "--pidfile", "/run/docker/pid",
            "--storage-driver", "vfs", "--bip", f"{GATEWAY}/16", "--cgroup-parent", f"/{CGROUP}"),
            env=self.environment, stdout=self.log, stderr=self.log)
        try:
            wait_for("dockerd", lambda: self.try_docker("version").returncode == 0)
            self.import_image()
            for place in ("web", "db"):
                ports = [f"{PORT}:{PORT}", f"{PORT}:{PORT}/udp", f"{FRAME_PORT}:{FRAME_PORT}/udp"]
                self.run_container(place, ports if place == "web" else [])
        except RuntimeError as e:
            with open("/run/docker/log") as file:
                last = file.read().strip().splitlines()[-1:]
            raise LeftOut(f"dockerd does not run here: {e}: {' '.join(last)[:200]}") from e
        version = self.docker("version", "--format", "{{.Server.Version}}").strip()
        self.about = f"dockerd {version}, {run(['iptables', '--version']).stdout.strip()}"

    def try_docker(self, *words):
        return subprocess.run([f"{DOCKER}/bin/docker", "-H", "unix:///run/docker/sock", *words],
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=COMMAND_LIMIT)

    def docker(self, *words):
        done = self.try_docker(*words)
        if done.returncode:
            raise RuntimeError(f"docker {words[0]}: {done.stderr.strip()[:300]}")
        return done.stdout

    def import_image(self):
        with tarfile.open("/run/docker/image.tar", "w") as image:
            image.add(SOCKET, "bench-socket")
        self.docker("import", "/run/docker/image.tar", "bench")

    def run_container(self, name, ports):
        words = [word for port in ports for word in ("-p", port)]
        self.docker("run", "-d", "--name", name, *words, "bench", "/bench-socket", "wait")
        pid = self.docker("inspect", "-f", "{{.State.Pid}}", name).strip()
        self.namespaces[name] = f"/proc/{pid}/ns/net"

    def publish_container(self, ports):
        """Docker publishes with a new container only."""
        start = time.monotonic()
        span = f"{ports[0]}-{ports[-1]}"
        self.docker("run", "-d", "--name", "more", "-p", f"{span}:{span}", "bench",
                    "/bench-socket", "wait")
        return time.monotonic() - start

    def unpublish_container(self):
        self.docker("rm", "-f", "more")

    def stop(self):
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired, AttributeError):
            self.docker("rm", "-f", "web", "db")
        super().stop()


class Xdock(World):
    """xdock, as `xdock up` attaches it."""

    about = "xdock up"
    options = ()

    def make(self):
        before = set(glob.glob("/run/xdock/*"))
        self.xdock("up", *self.options)
        self.xdock("container", "add", "web", "-p", f"{PORT}:{PORT}", "-p", f"{PORT}:{PORT}/udp",
                   "-p", f"{FRAME_PORT}:{FRAME_PORT}/udp")
        self.xdock("container", "add", "db")
        (directory,) = set(glob.glob("/run/xdock/*")) - before
        for place in ("web", "db"):
            self.namespaces[place] = f"{directory}/{place}"

    def xdock(self, *words):
        return run([XDOCK, "-N", f"{self.name}-host", *words]).stdout

    @staticmethod
    def spec(ports):
        first, last = ports[0], ports[-1]
        return f"{first}-{last}:{first}-{last}"

    def publish(self, ports):
        start = time.monotonic()
        self.xdock("port", "add", "web", self.spec(ports))
        return time.monotonic() - start

    def unpublish(self, ports):
        self.xdock("port", "rm", f"{ports[0]}-{ports[-1]}")


class XdockXdp(Xdock):
    """The same with the programs for XDP on the uplinks."""

    about = "xdock up --hook xdp"
    options = ("--hook", "xdp")

    def make(self):
        if "--hook" not in run([XDOCK, "help", "up"]).stdout:
            raise LeftOut("`xdock up` has no --hook")
        # Without one on its peer, a veth takes no frame that XDP redirects.
        self.want_gro("host", True)
        super().make()
        self.want_gro("web", True)


WORLDS = {kind.__name__.lower(): kind for kind in (Veth, Bridge, BridgeNf, Nft, Proxy, Iptables,
                                                   Docker, Xdock, XdockXdp)}


def find_cgroups():
    return glob.glob(f"/sys/fs/cgroup/{CGROUP}") + glob.glob(f"/sys/fs/cgroup/*/{CGROUP}")


def clean_cgroups():
    """What a dockerd that was killed has left. A cgroup with a process in it stays."""
    for top in find_cgroups():
        for path, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
