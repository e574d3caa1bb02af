# SPDX-License-Identifier: GPL-2.0-only
"""Networks: sysctls, several of them, what `down` takes and what it leaves."""

from lab import ANY, CLIENT, HOST, expect, expect_raises
from state import dump, instance, put, raw, same

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
    before = instance(lab, "web")
    lab.xdock("up")
    same(instance(lab, "web"), before, "instance")
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


ICC_OFF, INTERNAL, MASQUERADE, ROUTED, UNPROTECTED, SOURCE_CHECK = (1 << i for i in range(6))


def flags():
    """Of each network, everywhere that they are: by its name, its subnet, its containers."""
    names = {row["key"]: row["value"]["name"] for row in dump("network")}
    subnets = dump("subnet")[0]["value"][".data.xd_subnet"][0]["xd_subnet"]
    return ({row["value"]["name"]: row["value"]["flags"] for row in dump("network")},
            {row["prefix"]: row["flags"] for row in subnets if row["prefix"]},
            {row["value"]["name"]: (names[row["value"]["bridge"]], row["value"]["flags"])
             for row in dump("endpoint")})


def said(lab, bridge):
    """What `up` says of a network; status has to say the same."""
    row = lab.xdock("up", bridge, json=True)["network"]
    (same_row,) = (other for other in lab.xdock("status", json=True)["networks"]
                   if other["bridge"] == bridge)
    names = "gateway_mode", "icc", "internal", "masquerade", "source_check"
    expect([same_row[name] for name in names], [row[name] for name in names], "status")
    return tuple(row[name] for name in names)


def test_options_of_a_network_are_set_and_changed_live_in_all_rows(lab):
    lab.xdock("up")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24", "--icc", "off", "--masquerade", "off",
              "--source-check", "on")
    for name, bridge in (("a", "docker0"), ("b", "br1"), ("c", "br1")):
        lab.xdock("container", "add", name, "--bridge", bridge)
    for words, value, row in (
            ("", ICC_OFF | SOURCE_CHECK, ("nat", False, False, False, True)),
            ("--icc on --gateway-mode nat-unprotected --masquerade on",
             MASQUERADE | UNPROTECTED | SOURCE_CHECK,
             ("nat-unprotected", True, False, True, True)),
            ("--gateway-mode routed --source-check off", ROUTED,
             ("routed", True, False, False, False)),
            ("--gateway-mode nat --icc on --icc off", MASQUERADE | ICC_OFF,
             ("nat", False, False, True, False))):
        # Without --subnet: what it has.
        lab.xdock("up", "br1", *words.split())
        expect(flags(), ({"docker0": MASQUERADE, "br1": value}, {16: MASQUERADE, 24: value},
                         {"a": ("docker0", MASQUERADE), "b": ("br1", value), "c": ("br1", value)}),
               words)
        expect(said(lab, "br1"), row, words)
    expect(said(lab, "docker0"), ("nat", True, False, True, False))


def test_a_changed_option_leaves_what_the_programs_noted_of_a_container(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web")
    ((key, value),) = raw("endpoint").items()
    expect(value[26:28], b"\0\0", "hairpin")
    put("endpoint", {key: value[:26] + b"\2\0" + value[28:]})
    lab.xdock("up", "--icc", "off")
    lab.xdock("container", "add", "web")
    row = dump("endpoint")[0]["value"]
    expect((row["hairpin"], row["flags"], row["mtu"]), (2, MASQUERADE | ICC_OFF, 1500))


def test_a_dry_run_says_what_would_be_set_and_sets_nothing(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web")
    before = instance(lab, "web")
    step = ("set docker0: gateway mode routed, icc off, internal off, masquerade off, "
            "source check on")
    words = "up --icc off --gateway-mode routed --source-check on".split()
    expect(step in lab.xdock("-n", *words).stdout.splitlines(), True, "step")
    same(instance(lab, "web"), before, "instance")
    lab.xdock(*words)
    expect("set docker0" in lab.xdock("-n", *words).stdout, False, "a step that changes nothing")


def test_an_internal_network_has_no_way_out_and_no_ports(lab):
    lab.xdock("up")
    lab.xdock("up", "br1", "--subnet", "10.9.0.0/24", "--internal")
    expect(said(lab, "br1"), ("nat", True, True, False, False))
    expect(lab.add("a", "--bridge", "br1"), "10.9.0.2")
    expect(lab.add("b", "--bridge", "br1"), "10.9.0.3")
    expect(lab.container("a", "ip", "route").stdout.split()[0], "10.9.0.0/24")
    expect("default" in lab.container("a", "ip", "route").stdout, False, "default route")
    expect(lab.tcp("a", "10.9.0.3", 80), ("b", "10.9.0.2", ANY))
    expect(lab.tcp("host", "10.9.0.3", 80), ("b", "10.9.0.1", ANY))
    before = instance(lab, "a")
    for words, name in (("port add a 8080:80", "8080/tcp"),
                        ("port add a 127.0.0.1:53:53/udp", "127.0.0.1:53/udp"),
                        ("port add a 80", "80/tcp"),
                        ("container add c --bridge br1 -p 8080:80", "8080/tcp"),
                        ("-n container add c --bridge br1 -p 8080:80", "8080/tcp"),
                        ("run --bridge br1 -p 8080:80 -- true", "8080/tcp"),
                        ("-n run --bridge br1 -p 8080:80 -- true", "8080/tcp")):
        done = lab.xdock(*words.split(), check=False)
        expect((done.returncode, done.stderr),
               (1, f"xdock: port {name}: network br1 is internal, nothing is published there\n"), words)
        same(instance(lab, "a"), before, words)
    lab.xdock("run", "--bridge", "br1", "--", "sh", "-c", "! ip route | grep default")


def test_networks_that_overlap_are_refused_and_others_are_not(lab):
    lab.xdock("up")
    lab.xdock("up", "br1", "--subnet", "172.30.0.0/16")
    for subnet, of in (("172.30.0.0/16", "br1"), ("172.30.255.0/24", "br1"), ("172.0.0.0/8", "docker0"),
                       ("172.17.0.128/25", "docker0")):
        done = lab.xdock("up", "br2", "--subnet", subnet, check=False)
        expect((done.returncode, done.stderr.endswith(f" of {of}\n")), (2, True), done.stderr)
    lab.xdock("up", "br2", "--subnet", "172.31.0.0/16")
    bridges = sorted(row["bridge"] for row in lab.xdock("status", json=True)["networks"])
    expect(bridges, ["br1", "br2", "docker0"])
