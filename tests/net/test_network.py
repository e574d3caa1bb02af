# SPDX-License-Identifier: GPL-2.0-only
"""Networks: sysctls, several of them, what `down` takes and what it leaves."""

from lab import CLIENT, HOST, expect, expect_raises
from state import dump

RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports"
RANGE = "/proc/sys/net/ipv4/ip_local_port_range"


def test_ip_forward_is_set_and_put_back(lab):
    expect(lab.sysctls["ip_forward"], "0", "before")
    lab.xdock("up")
    expect(lab.read_sysctls()["ip_forward"], "1", "while up")
    lab.xdock("down")
    expect(lab.read_sysctls()["ip_forward"], "0", "after")


def test_ip_forward_that_was_on_stays_on(lab):
    lab.write("host", "/proc/sys/net/ipv4/ip_forward", 1)
    lab.sysctls = lab.read_sysctls()
    lab.xdock("up")
    lab.xdock("down")
    expect(lab.read_sysctls()["ip_forward"], "1", "after")


def test_two_networks_work_side_by_side(lab):
    lab.xdock("up")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    expect(lab.add("a", "--bridge", "docker0", "-p", "8080:80"), "172.17.0.2")
    expect(lab.add("b", "--bridge", "br1", "-p", "8081:80"), "10.9.0.2")
    expect(lab.add("c", "--bridge", "br1"), "10.9.0.3")
    expect(lab.link_info("host", "xd-b")["master"], "br1", "bridge of b")
    for port, server in ((8080, "a"), (8081, "b")):
        expect(lab.tcp("client", HOST, port)[:2], (server, CLIENT))
    expect(lab.tcp("host", "127.0.0.1", 8081)[:2], ("b", "10.9.0.1"))
    expect(lab.tcp("c", "10.9.0.2", 80)[:2], ("b", "10.9.0.3"))
    expect_raises(TimeoutError, lab.tcp, "client", "10.9.0.3", 80, timeout=0.3)


def test_down_of_one_network_leaves_the_other(lab):
    lab.xdock("up")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24")
    lab.add("a", "--bridge", "docker0", "-p", "8080:80")
    lab.add("b", "--bridge", "br1", "-p", "8081:80")
    lab.xdock("down", "br1")
    expect(lab.link_info("host", "br1"), None, "br1")
    expect(lab.link_info("host", "xd-b"), None, "veth")
    expect(lab.tcp("client", HOST, 8080)[:2], ("a", CLIENT))
    expect_raises(ConnectionRefusedError, lab.tcp, "client", HOST, 8081)
    expect(lab.read_sysctls(), {"ip_forward": "1", "ip_local_reserved_ports": "8080"}, "sysctls")


def test_the_same_subnet_twice_is_refused(lab):
    lab.xdock("up")
    done = lab.xdock("up", "br1", "--subnet", "172.17.128.0/24", check=False)
    expect(done.returncode, 2, "exit")
    assert "docker0" in done.stderr, done.stderr
    expect(lab.link_info("host", "br1"), None, "br1")


def test_an_existing_bridge_is_used_and_kept(lab):
    lab.ip("-n host link add br9 type bridge",
           "-n host addr add 172.20.0.1/16 dev br9", "-n host link set br9 up")
    before = lab.link_info("host", "br9")
    lab.xdock("up", "br9", "--subnet", "172.20.0.0/16")
    # Whose ports would give the bridge their MAC address.
    for i in range(4):
        expect(lab.add(f"c{i}", "-p", f"{8080 + i}:80"), f"172.20.0.{2 + i}")
    for i in range(4):
        expect(lab.tcp("client", HOST, 8080 + i)[:2], (f"c{i}", CLIENT))
    lab.xdock("down", "br9")
    after = lab.link_info("host", "br9")
    for key in "ifindex", "address", "mtu":
        expect(after[key], before[key], key)
    expect([a["local"] for a in after["addr_info"] if a["family"] == "inet"], ["172.20.0.1"])


def test_up_twice_changes_nothing_and_breaks_no_connection(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    sock = lab.open_socket("client")
    sock.connect((HOST, 8080))
    sock.sendall(b"before ")
    before = lab.xdock("status", json=True)
    lab.xdock("up")
    expect(lab.xdock("status", json=True), before, "status")
    sock.sendall(b"after")
    sock.shutdown(1)
    data = b"".join(iter(lambda: sock.recv(65536), b""))
    assert data.startswith(b"web ") and data.endswith(b"before after"), data


def reserved(which):
    """A set of xd_reserved, as port numbers."""
    octets = dump("reserved")[0]["value"][which]
    return [i * 8 + bit for i, octet in enumerate(octets) for bit in range(8) if octet & 1 << bit]


def port_range():
    host = dump("host")[0]["value"][".data.xd_host"][0]["xd_host"]
    return host["port_low_host"], host["port_high_host"]


def test_the_programs_know_the_ports_that_the_host_keeps_for_itself(lab):
    lab.write("host", RANGE, "20000 20099")
    lab.write("host", RESERVED, "80,9000-9001")
    lab.xdock("up")
    expect((reserved("excluded"), port_range()), ([80, 9000, 9001], (20000, 20099)), "at first")
    lab.xdock("container", "add", "web", "-p", "80-81:80-81")
    sets = reserved("published"), reserved("added"), reserved("excluded")
    expect(sets, ([80, 81], [81], [80, 9000, 9001]), "with ports published")
    lab.write("host", RANGE, "30000 30001")
    lab.write("host", RESERVED, "80-81,9001")
    expect(lab.xdock("-n", "container", "rm", "nope").stdout, "")
    expect((reserved("excluded"), port_range()), ([80, 9000, 9001], (20000, 20099)), "dry run")
    # Any command that may change something looks again.
    lab.xdock("container", "add", "sib")
    expect((reserved("excluded"), port_range()), ([80, 9001], (30000, 30001)), "later")
    lab.xdock("port", "rm", "80-81")
    sets = reserved("published"), reserved("added"), reserved("excluded")
    expect(sets, ([], [], [80, 9001]), "with none published")
    lab.write("host", RESERVED, "")
