# SPDX-License-Identifier: GPL-2.0-only
"""The bridge and the veth pairs: names, MAC addresses, MTU."""

from lab import eventually, expect


def is_local_unicast(mac):
    return int(mac[:2], 16) & 3 == 2


def addresses(info):
    return [f"{a['local']}/{a['prefixlen']}" for a in info["addr_info"] if a["family"] == "inet"]


def check_mtu(lab, mtu):
    expect(lab.link_info("host", "docker0")["mtu"], mtu, "mtu of docker0")
    expect(lab.link_info("host", "xd-web")["mtu"], mtu, "mtu of the host end")
    expect(lab.link_info("web", "eth0")["mtu"], mtu, "mtu of the container end")


def test_up_makes_docker0_with_address_and_local_mac(lab):
    lab.xdock("up")
    info = lab.link_info("host", "docker0")
    expect(info["linkinfo"]["info_kind"], "bridge", "kind")
    expect(addresses(info), ["172.17.0.1/16"], "addresses")
    assert is_local_unicast(info["address"]), info["address"]
    assert "UP" in info["flags"], info["flags"]


def expect_no_carrier(lab):
    expect("NO-CARRIER" in lab.link_info("host", "docker0")["flags"], True, "NO-CARRIER")


def test_docker0_survives_without_containers(lab):
    lab.xdock("up")
    before = lab.link_info("host", "docker0")
    lab.add("web")
    lab.xdock("container", "rm", "web")
    after = lab.link_info("host", "docker0")
    for key in "ifindex", "address", "mtu":
        expect(after[key], before[key], key)
    expect(addresses(after), ["172.17.0.1/16"], "addresses")
    eventually(lambda: expect_no_carrier(lab))


def test_a_veth_connects_eth0_of_the_container_to_the_bridge(lab):
    lab.xdock("up")
    lab.add("web")
    host, container = lab.link_info("host", "xd-web"), lab.link_info("web", "eth0")
    expect(host["linkinfo"]["info_kind"], "veth", "kind of the host end")
    expect(container["linkinfo"]["info_kind"], "veth", "kind of the container end")
    expect(host["master"], "docker0", "master of the host end")
    expect((host["link_index"], container["link_index"]),
           (container["ifindex"], host["ifindex"]), "peers")
    expect(container["address"], "02:42:ac:11:00:02", "MAC address of eth0")
    assert "UP" in host["flags"] and "UP" in container["flags"]
    assert "UP" in lab.link_info("web", "lo")["flags"]
    expect(lab.link_info("host", "eth0"), None, "eth0 in the host")


def test_the_mtu_of_the_uplink_goes_to_the_bridge_and_both_veth_ends(lab):
    lab.ip("-n host link set wan mtu 1400", "-n client link set eth0 mtu 1400")
    lab.xdock("up")
    lab.add("web")
    check_mtu(lab, 1400)


def test_the_mtu_option_goes_to_the_bridge_and_both_veth_ends(lab):
    lab.xdock("up", "--mtu", 1300)
    lab.add("web")
    check_mtu(lab, 1300)
