# SPDX-License-Identifier: GPL-2.0-only
"""The two worlds that oracle.py compares, of the same shape:

    client  eth0 198.51.100.2 --- wan  198.51.100.1    docker0 172.17.0.1/16   web  172.17.0.2
            (default route)            198.51.100.9                            db   172.17.0.3
    client2 eth0 203.0.113.2  --- wan2 203.0.113.1     br1     172.18.0.1/16   far  172.18.0.2
            (a link of 1400 bytes)               host

web publishes, each for TCP and UDP, 8080 and 8083 of every address for its port 80, 8081 of
198.51.100.1 for 81, and 8082 of 127.0.0.1 for 82.

Docker's rules are those of its iptables backend with --userland-proxy=false, where no process of
the host has a part. They and the settings beside them (hairpin mode of the bridge's ports,
route_localnet, bridge-nf-call-iptables) were compared with what dockerd 28.5.2 writes for these
containers and for each kind of network, and are the same line by line but for one: 28 has two
chains DOCKER-ISOLATION-STAGE in place of DOCKER-INTERNAL, which drop what a container of another
network sends to a published port; from 29 on Docker lets that pass, as its proxy always did. No
test needs a dockerd.
"""

import ipaddress
import json
import select
import socket
import struct
import time
from typing import NamedTuple

import frame
from lab import CLIENT, GATEWAY, HOST, IP_PKTINFO, Capture, skip

SECOND = "198.51.100.9"  # another address of the host, at wan
CLIENT2, HOST2 = "203.0.113.2", "203.0.113.1"
WEB, DB, FAR, FAR_GATEWAY = "172.17.0.2", "172.17.0.3", "172.18.0.2", "172.18.0.1"
LOOPBACK = "127.0.0.1"
PUBLISHED = (("0.0.0.0", 8080, 80), (HOST, 8081, 81), (LOOPBACK, 8082, 82), ("0.0.0.0", 8083, 80))
# Ports of servers on the clients and on the host: not any that is chosen for a translation.
SERVICE, HOST_SERVICE = 700, 900
KNOWN_PORTS = {port for _, *ports in PUBLISHED for port in ports} | {SERVICE, HOST_SERVICE}
FLAVOURS = "iptables-nft", "iptables-legacy"

RING = 0x88B5  # EtherType for local experiments
RINGS = 32  # more than the hops and turns of anything here
PATIENCE = 20  # seconds for what has to come
TP_STATUS_CSUMNOTREADY = 0x8


class Tap(Capture):
    """IPv4 packets that arrive, with what AF_PACKET says of their checksums."""

    def __init__(self, sock, device):
        super().__init__(sock, device)
        sock.setblocking(False)

    def drain(self):
        """[(frame, is_partial)]"""
        found = []
        while True:
            try:
                data, control, _, _ = self.sock.recvmsg(70000, 64)
            except BlockingIOError:
                return found
            status = sum(struct.unpack("=I", auxdata[:4])[0] for _, _, auxdata in control)
            if data[12:14] == b"\x08\x00" and data[23] != socket.IPPROTO_IGMP:
                found.append((data, bool(status & TP_STATUS_CSUMNOTREADY)))


class Seen(dict):
    """A packet that arrived: what is compared of it, by name. `packet` is all of it."""

    def __init__(self, packet, fields):
        super().__init__(fields)
        self.packet = packet

    def is_refusal(self):
        return bool(self.packet.inner) or self.packet.flags in ("R", "RA")

    def kind(self):
        packet = self.packet
        if packet.is_fragment():
            return f"{self['at']} {self['protocol']} fragment"
        word = packet.flags or ("/".join(map(str, packet.kind)) if packet.kind else "")
        return f"{self['at']} {self['protocol']} {word}".strip()

    def __str__(self):
        return ", ".join(f"{name} {value}" for name, value in self.items()
                         if name != "rest" and value not in (None, False, "right"))


class End:
    """An interface from which and to which things are sent."""

    def __init__(self, lab, name, namespace, address, gateway):
        self.name, self.namespace, self.address, self.gateway = name, namespace, address, gateway
        info = lab.link_info(namespace, "eth0")
        self.mac = bytes.fromhex(info["address"].replace(":", ""))
        (self.broadcast,) = (str(ipaddress.ip_interface(f"{one['local']}/{one['prefixlen']}")
                                 .network.broadcast_address)
                             for one in info["addr_info"] if one["family"] == "inet")
        self.tap = Tap(lab.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW), "eth0")
        self.sock = lab.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW)
        self.sock.bind(("eth0", 0))


class World:
    """What both have."""

    def __init__(self, lab, title, host, clients, containers):
        """clients: two namespaces; containers: of web, db, far."""
        self.lab, self.title, self.host = lab, title, host
        names = dict(zip(("client", "client2", "web", "db", "far"), (*clients, *containers)))
        addresses = {"client": (CLIENT, "wan"), "client2": (CLIENT2, "wan2"),
                     "web": (WEB, "docker0"), "db": (DB, "docker0"), "far": (FAR, "br1")}
        self.ends = {name: End(lab, name, names[name], *addresses[name]) for name in names}
        links = json.loads(lab.run(host, "ip", "-j", "link").stdout)
        self.devices = [link["ifname"] for link in links if link["ifname"] != "lo"]
        self.macs = {bytes.fromhex(link["address"].replace(":", "")): link["ifname"]
                     for link in links if link["ifname"] in ("wan", "wan2", "docker0", "br1")}
        self.gateway_macs = {device: mac for mac, device in self.macs.items()}
        self.macs.update({end.mac: name for name, end in self.ends.items()})
        self.bell = lab.open_socket(host, socket.AF_PACKET, socket.SOCK_RAW)
        self.bell.bind(("wan", RING))
        self.rings = 0
        for namespace in (host, *names.values()):
            # No limit to the errors that a kernel sends.
            lab.write(namespace, "/proc/sys/net/ipv4/icmp_ratemask", 0)
        # The kernel may ask for a neighbour in the name of the packet's source, for which there
        # is no answer if that is 127.0.0.1, and not ask again for a second.
        for end in self.ends.values():
            lab.ip(f"-n {host} neigh replace {end.address} lladdr {end.mac.hex(':')} "
                   f"dev {end.gateway} nud permanent")
        self.listeners = {"tcp": [], "udp": []}
        for name, *ports in (("web", 80, 81, 82), ("client", SERVICE), ("client2", SERVICE),
                             ("host", HOST_SERVICE)):
            for port in ports:
                for protocol, listeners in self.listeners.items():
                    listeners.append((name, port, self.listen(name, port, protocol)))

    def namespace(self, name):
        return self.host if name == "host" else self.ends[name].namespace

    def listen(self, name, port, protocol):
        sock = self.lab.bound(self.namespace(name), port, protocol)
        sock.setblocking(False)
        if protocol == "tcp":
            sock.listen()
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        return sock

    def settle(self):
        """Until everything that was sent has arrived, or never will."""
        client = self.ends["client"]
        for _ in range(RINGS):
            self.rings += 1
            ring = struct.pack("!6s6sHI46x", self.gateway_macs["wan"], client.mac, RING, self.rings)
            client.sock.send(ring)
            end = time.monotonic() + PATIENCE
            while True:
                left = end - time.monotonic()
                if left < 0 or not select.select([self.bell], [], [], left)[0]:
                    raise AssertionError(f"{self.title}: the ring {self.rings} did not arrive")
                if struct.unpack("!I", self.bell.recv(64)[14:18]) == (self.rings,):
                    break

    def send(self, name, packet, to_mac=None):
        """As the end's kernel would send it: to the neighbour of its subnet, or to the gateway."""
        end = self.ends[name]
        destination = socket.inet_ntoa(packet[16:20])
        macs = {other.address: other.mac for other in self.ends.values()
                if other.gateway == end.gateway and other is not end}
        macs["255.255.255.255"] = macs[end.broadcast] = b"\xff" * 6
        if packet[16] >> 4 == 0xE:  # RFC 1112
            macs[destination] = b"\x01\x00\x5e" + bytes([packet[17] & 0x7F]) + packet[18:20]
        mac = to_mac or macs.get(destination, self.gateway_macs[end.gateway])
        end.sock.send(mac + end.mac + b"\x08\x00" + packet)

    def arrived(self, own_port, is_exact):
        """What arrived at all ends since the last time, as a list of Seen. Fragments are one, and
        their order and duplicates do not count, unless some are missing. is_exact: every packet
        with every byte; else each kind of packet once."""
        self.settle()
        found = []
        for end in self.ends.values():
            pieces = {}
            for data, is_partial in end.tap.drain():
                packet = frame.Packet(data[14:], is_partial)
                if packet.is_fragment():
                    key = (data[:14], packet.source, packet.destination, packet.ident,
                           packet.protocol)
                    pieces.setdefault(key, []).append(packet)
                else:
                    found.append(self.describe(end, data, packet, own_port, is_exact))
            for key, parts in pieces.items():
                whole = frame.reassemble(parts)
                for packet in [whole] if whole else parts:
                    found.append(self.describe(end, key[0], packet, own_port, is_exact))
                if whole:
                    found[-1].update(frame.describe_pieces(parts))
        if is_exact:
            return found
        return [one for i, one in enumerate(found) if one not in found[:i]]

    def describe(self, end, data, packet, own_port, is_exact):
        seen = Seen(packet, {"at": end.name, "to MAC": self.name_mac(data[:6]),
                             "from MAC": self.name_mac(data[6:12])})
        seen.update(describe_header(packet, own_port))
        if packet.inner:
            seen.update({f"inner {name}": value for name, value
                         in describe_header(packet.inner, own_port).items()})
        if is_exact:
            seen["flags"] = packet.flags or packet.kind
            seen["length"] = packet.total
            # A kernel's own may be any.
            if not seen.is_refusal() and packet.kind != (frame.ECHO_REPLY, 0):
                seen["id"] = "kept" if packet.ident in (frame.IDENT, own_port) else "new"
            seen["rest"] = packet.masked.hex()
        return seen

    def name_mac(self, mac):
        return self.macs.get(mac) or mac.hex(":")

    def mute(self):
        """From now on the kernels behind the ends do not take part."""
        for end in self.ends.values():
            run_iptables(self.lab, end.namespace,
                         "*raw\n-A PREROUTING -i eth0 -j DROP\nCOMMIT\n")

    def switch_offloads_off(self):
        off = "tx off sg off tso off gso off gro off".split()
        for end in self.ends.values():
            self.lab.run(end.namespace, "ethtool", "-K", "eth0", *off)
        for device in self.devices:
            self.lab.run(self.host, "ethtool", "-K", device, *off)


def describe_port(number, own):
    if number == own:
        return "own"
    return number if number in KNOWN_PORTS or number is None else "chosen"


def describe_header(packet, own_port):
    fields = {
        "protocol": frame.NAMES.get(packet.protocol, str(packet.protocol)),
        "source": packet.source, "sport": describe_port(packet.sport, own_port),
        "destination": packet.destination, "dport": describe_port(packet.dport, own_port),
        "TTL": packet.ttl, "TOS": packet.tos,
        "fragment": f"{packet.offset}{'+' if packet.is_more else ''}"
                    if packet.is_fragment() else None,
        "DF": bool(packet.is_dont),
        "header sum": "right" if packet.is_header_right else "wrong",
        "sum": {True: "right", False: "wrong", None: None}[packet.is_right]}
    return {name: value for name, value in fields.items() if value is not None}


def run_iptables(lab, namespace, rules):
    """Restores rules with the first flavour of iptables that works here."""
    path = "/run/rules"
    with open(path, "w") as file:
        file.write(rules)
    for flavour in FLAVOURS:
        done = lab.run(namespace, f"{flavour}-restore", "--noflush", path, check=False)
        if done.returncode == 0:
            return
    skip(f"iptables: {done.stderr.strip()}")


class Network(NamedTuple):
    """How docker0 is set up; br1 has the defaults."""

    icc: bool = True
    internal: bool = False
    masquerade: bool = True
    mode: str = "nat"

    def xdock_options(self):
        options = [("--icc", "off", not self.icc), ("--masquerade", "off", not self.masquerade),
                   ("--gateway-mode", self.mode, self.mode != "nat"), ("--internal", self.internal)]
        return [word for *words, is_set in options if is_set for word in words]


def docker_rules(network):
    """As dockerd writes them for this topology."""
    raw, forward, nat = [], [], []
    ports = [(protocol, address, port, to) for address, port, to in PUBLISHED
             for protocol in ("tcp", "udp")]

    def add_bridge(bridge, subnet, containers, ports, network):
        open_port = "-A DOCKER -d {} ! -i {} -o {} -p {} --dport {} -j ACCEPT"
        if network.internal:
            forward.extend([f"-A DOCKER-INTERNAL ! -s {subnet} -o {bridge} -j DROP",
                            f"-A DOCKER-INTERNAL ! -d {subnet} -i {bridge} -j DROP",
                            f"-A DOCKER-FORWARD -i {bridge} -o {bridge} -j "
                            + ("ACCEPT" if network.icc else "DROP")])
            return
        if network.mode == "nat":
            raw.extend(f"-A PREROUTING -d {address} ! -i {bridge} -j DROP"
                       for address in containers)
        if network.mode != "routed":
            raw.extend(f"-A PREROUTING -d {address} ! -i lo -p {protocol} --dport {port} -j DROP"
                       for protocol, address, port, _ in ports if address == LOOPBACK)
        if network.mode != "nat-unprotected":
            forward.extend(open_port.format(WEB, bridge, bridge, protocol, to)
                           for protocol, _, _, to in reversed(ports))
        if network.mode == "routed":
            forward.append(f"-A DOCKER -o {bridge} -p icmp -j ACCEPT")
        forward.extend([
            f"-A DOCKER ! -i {bridge} -o {bridge} -j "
            + ("ACCEPT" if network.mode == "nat-unprotected" else "DROP"),
            f"-A DOCKER-BRIDGE -o {bridge} -j DOCKER",
            f"-A DOCKER-CT -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"])
        if network.icc:
            forward.append(f"-A DOCKER-FORWARD -i {bridge} -j ACCEPT")
        else:
            forward.extend([f"-A DOCKER-FORWARD -i {bridge} -o {bridge} -j DROP",
                            f"-A DOCKER-FORWARD -i {bridge} ! -o {bridge} -j ACCEPT"])
        nat.append(f"-A POSTROUTING -o {bridge} -m addrtype --src-type LOCAL -j MASQUERADE")
        if network.masquerade and network.mode != "routed":
            nat.append(f"-A POSTROUTING -s {subnet} ! -o {bridge} -j MASQUERADE")
        if network.mode == "routed":
            return
        for protocol, address, port, to in ports:
            destination = "" if address == "0.0.0.0" else f"-d {address} "
            nat.extend([
                f"-A POSTROUTING -s {WEB} -d {WEB} -p {protocol} --dport {to} -j MASQUERADE",
                f"-A DOCKER {destination}-p {protocol} --dport {port} -j DNAT "
                f"--to-destination {WEB}:{to}"])

    add_bridge("br1", "172.18.0.0/16", [FAR], [], Network())
    add_bridge("docker0", "172.17.0.0/16", [WEB, DB], ports, network)
    return "\n".join([
        "*raw", *raw, "COMMIT", "*filter", ":FORWARD DROP", ":DOCKER -", ":DOCKER-BRIDGE -",
        ":DOCKER-CT -", ":DOCKER-FORWARD -", ":DOCKER-INTERNAL -", ":DOCKER-USER -",
        "-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-FORWARD",
        "-A DOCKER-FORWARD -j DOCKER-CT", "-A DOCKER-FORWARD -j DOCKER-INTERNAL",
        "-A DOCKER-FORWARD -j DOCKER-BRIDGE", *forward, "COMMIT",
        "*nat", ":DOCKER -", "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER", *nat, "COMMIT", ""])


class Docker(World):
    """The kernel, set up as Docker sets it up."""

    def __init__(self, lab, network):
        host, clients, containers = "d-host", ("d-client", "d-client2"), ("d-web", "d-db", "d-far")
        lab.add_namespace(host, *clients, *containers)
        for device, address, client, client_address in (
                ("wan", HOST, clients[0], CLIENT), ("wan2", HOST2, clients[1], CLIENT2)):
            lab.link(host, device, address + "/24", client, "eth0", client_address + "/24")
            lab.ip(f"-n {client} route add default via {address}")
        lab.ip(f"-n {host} route add default via {CLIENT}")
        set_up_host(lab, host, clients[1])
        for bridge, address, mac in (("docker0", GATEWAY, "02:42:00:00:00:01"),
                                     ("br1", FAR_GATEWAY, "02:42:00:00:00:02")):
            lab.ip(f"-n {host} link add {bridge} address {mac} type bridge",
                   f"-n {host} addr add {address}/16 dev {bridge}",
                   f"-n {host} link set {bridge} up")
        for name, address, bridge, gateway in (("web", WEB, "docker0", GATEWAY),
                                               ("db", DB, "docker0", GATEWAY),
                                               ("far", FAR, "br1", FAR_GATEWAY)):
            lab.ip(f"link add v-{name} netns {host} type veth peer name eth0 netns d-{name}",
                   f"-n {host} link set v-{name} master {bridge} up",
                   f"-n {host} link set v-{name} type bridge_slave hairpin on",
                   f"-n d-{name} addr add {address}/16 dev eth0",
                   f"-n d-{name} link set eth0 up")
            if bridge == "br1" or not network.internal:
                lab.ip(f"-n d-{name} route add default via {gateway}")
        for name, value in (("ip_forward", 1), ("conf/docker0/route_localnet", 1),
                            ("conf/br1/route_localnet", 1)):
            lab.write(host, f"/proc/sys/net/ipv4/{name}", value)
        need_br_netfilter(lab, host, 1)
        run_iptables(lab, host, docker_rules(network))
        super().__init__(lab, "docker", host, clients, containers)


class Xdock(World):
    """What the lab has already, and xdock in it."""

    def __init__(self, lab, network):
        lab.second_client()
        set_up_host(lab, "host", "client2")
        need_br_netfilter(lab, "host", 0)
        lab.xdock("up", *network.xdock_options())
        lab.xdock("up", "br1", "--subnet", "172.18.0.0/16")
        # On an internal network nothing is published; with Docker it has no effect.
        specs = [word for address, port, to in PUBLISHED for protocol in ("tcp", "udp")
                 for word in ("-p", f"{address}:{port}:{to}/{protocol}") if not network.internal]
        lab.xdock("container", "add", "web", "--bridge", "docker0", *specs)
        lab.xdock("container", "add", "db", "--bridge", "docker0")
        lab.xdock("container", "add", "far", "--bridge", "br1")
        super().__init__(lab, "xdock", "host", ("client", "client2"), ("web", "db", "far"))


def set_up_host(lab, host, client2):
    lab.ip(f"-n {host} addr add {SECOND}/24 dev wan",
           f"-n {host} link set wan2 mtu 1400", f"-n {client2} link set eth0 mtu 1400")
    for device in ("all", "default", "wan", "wan2"):
        lab.write(host, f"/proc/sys/net/ipv4/conf/{device}/rp_filter", 0)
        # They depend on the time since the last one.
        lab.write(host, f"/proc/sys/net/ipv4/conf/{device}/send_redirects", 0)


def need_br_netfilter(lab, host, value):
    """Docker's hairpin needs that frames of a bridge cross iptables; xdock has to do without."""
    path = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    try:
        lab.write(host, path, value)
    except FileNotFoundError:
        skip("br_netfilter is not here")
