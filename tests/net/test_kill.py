# SPDX-License-Identifier: GPL-2.0-only
"""SIGKILL between any two changes that a command makes (tests/net/shim.c).

After a kill the same command is given again, and all must be as if it had been given once; or
another command, mostly `down`, which must leave nothing. The tests go through all changes of
their command, one after the other. Those of `up` and `down`, of which there are many, share them:
odd ones in the one test, even ones in the other."""

import itertools
import signal

from lab import CLIENT, HOST, expect, limit
from state import instance, machine, put, raw, same, xdock
from test_flow import FLOW_MAPS, WEB, counts, fill, ifindex, put_exception, put_flow

RANGE = "20000-20199:20000-20199"


ALL = (1, 1)
ODD = (1, 2)
EVEN = (2, 2)


def give(*commands):
    """Each has to get through."""
    for words in commands:
        done = xdock(*words, STUB=1)
        expect((done.returncode, done.stderr), (0, ""), words)


def kills(*command, least, which=ALL):
    """Kill the command before one change after the other, until it gets through. Yields after
    each kill; the caller makes the same beginning again."""
    for n in itertools.count(*which):
        done = xdock(*command, KILL=n, STUB=1)
        if done.returncode == 0:
            break
        expect(done.returncode, -signal.SIGKILL, f"exit of {command} to be killed at {n}")
        yield n
    expect(n > least, True, f"{n} changes are more than {least}")


def again(lab, *command, least, which=ALL, prepare=(), restore=(), containers=()):
    """prepare: commands before each try, restore: those that undo prepare and command."""
    give(*prepare, command)
    expected = instance(lab, *containers)
    give(*restore, *prepare)
    for n in kills(*command, least=least, which=which):
        give(command)
        same(instance(lab, *containers), expected, f"after a kill at {n}")
        give(*restore, *prepare)
    same(instance(lab, *containers), expected, "after no kill")


def then_down(lab, *command, least, which=ALL, prepare=()):
    before = machine(lab)
    give(*prepare)
    for n in kills(*command, least=least, which=which):
        give(("down",))
        expect(lab.xdock("status", check=False).returncode, 3, f"exit of status, killed at {n}")
        same(machine(lab), before, f"after a kill at {n}")
        give(*prepare)


ADD = ("container", "add", "web", "-p", "8080:80", "-p", "53:53/udp")
RM = ("container", "rm", "web")
PORT_ADD = ("port", "add", "web", RANGE)
PORT_RM = ("port", "rm", "20000-20099", "8080")


@limit(300)
def test_up_killed_anywhere_is_finished_by_up(lab):
    again(lab, "up", least=50, which=ODD, restore=[("down",)])
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)


@limit(300)
def test_up_killed_anywhere_is_undone_by_down(lab):
    then_down(lab, "up", least=50, which=EVEN)


@limit(300)
def test_up_of_a_running_instance_killed_anywhere_is_finished_by_up(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    again(lab, "up", "--icc", "off", least=20, restore=[("up", "--icc", "on")], containers=["web"])
    lab.xdock("up")
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)


@limit(300)
def test_up_of_a_second_network_killed_anywhere_is_undone_by_its_down(lab):
    """Also where it has a bridge and no row yet."""
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    before = instance(lab, "web")
    # A killed up may leave the pin of a program, which the next one replaces.
    del before["programs"]
    without_row = 0
    for n in kills("up", "br2", "--subnet", "10.2.0.0/24", least=20):
        rows = [row["bridge"] for row in lab.xdock("status", json=True)["networks"]]
        has_link = lab.link_info("host", "br2") is not None
        without_row += has_link and "br2" not in rows
        done = lab.xdock("down", "br2", check=False)
        # Before anything is made there is nothing to take down.
        expect(done.returncode in ((0,) if has_link else (0, 3)), True, f"killed at {n}: {done}")
        expect(lab.link_info("host", "br2"), None, f"br2, killed at {n}")
        same(instance(lab, "web"), before, f"after a kill at {n}")
    expect(without_row > 0, True, "a bridge without a row was seen")
    lab.xdock("up")
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)
    lab.xdock("down", "br2")
    same(instance(lab, "web"), before, "after no kill")


def test_container_add_killed_anywhere_is_finished_by_container_add(lab):
    lab.xdock("up")
    again(lab, *ADD, least=15, restore=[RM], containers=["web"])
    lab.echo("web", 80)
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)


def test_container_add_killed_anywhere_is_undone_by_down(lab):
    then_down(lab, *ADD, least=15, prepare=[("up",)])


def test_container_add_killed_anywhere_is_undone_by_container_rm(lab):
    lab.xdock("up")
    before = instance(lab)
    for n in kills(*ADD, least=15):
        lab.xdock(*RM)
        same(instance(lab), before, f"after a kill at {n}")


def test_container_rm_killed_anywhere_is_finished_by_container_rm(lab):
    lab.xdock("up")
    again(lab, *RM, least=8, prepare=[ADD])


def test_container_rm_killed_anywhere_is_undone_by_down(lab):
    then_down(lab, *RM, least=8, prepare=[("up",), ADD])


def test_port_add_killed_anywhere_is_finished_by_port_add(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    again(lab, *PORT_ADD, least=3, restore=[("port", "rm", "20000-20199")])
    lab.echo("web", 20199)
    expect(lab.tcp("client", HOST, 20199).address, CLIENT)


def test_port_add_killed_anywhere_is_undone_by_down(lab):
    then_down(lab, *PORT_ADD, least=3, prepare=[("up",), ADD])


def test_port_rm_killed_anywhere_is_finished_by_port_rm(lab):
    lab.xdock("up")
    lab.add("web")
    add = ("port", "add", "web", RANGE, "8080:80")
    again(lab, *PORT_RM, least=3, prepare=[add])
    lab.echo("web", 20199)
    expect(lab.tcp("client", HOST, 20199).address, CLIENT)


def test_port_rm_killed_anywhere_is_undone_by_down(lab):
    then_down(lab, *PORT_RM, least=3, prepare=[("up",), ADD, PORT_ADD])


def test_down_killed_anywhere_is_finished_by_down(lab):
    then_down(lab, "down", least=20, which=ODD, prepare=[("up",), ADD])


def test_down_killed_anywhere_can_be_followed_by_up(lab):
    lab.xdock("up")
    expected = instance(lab)
    lab.xdock(*ADD)
    for n in kills("down", least=20, which=EVEN):
        give(("up",), RM)
        same(instance(lab), expected, f"after a kill at {n}")
        give(ADD)


def test_flow_flush_killed_anywhere_is_finished_by_flow_flush(lab):
    fill(lab)
    rows = {name: raw(name) for name in FLOW_MAPS}
    halves = 0
    for n in kills("flow", "flush", least=3):
        halves += counts() not in ((8, 8, 3, 2), (0, 0, 0, 0))
        lab.xdock("flow", "flush")
        expect(counts(), (0, 0, 0, 0), f"rows, killed at {n}")
        for name in FLOW_MAPS:
            put(name, rows[name])
    expect(counts(), (0, 0, 0, 0), "rows")
    expect(halves > 0, True, "a kill between two maps was seen")


def test_container_rm_killed_anywhere_leaves_no_flow_to_the_next_owner_of_the_address(lab):
    fill(lab)
    lab.xdock("container", "rm", "sib")
    lab.xdock("flow", "flush")

    def begin():
        put_flow(ifindex(lab, "web"), (WEB, 40000), (CLIENT, 443), (HOST, 40000))
        put_exception(ifindex(lab, "web"), (WEB, 80), (CLIENT, 5000), (HOST, 8081))

    begin()
    for n in kills(*RM, least=8):
        # Whoever comes next, and removes what is left of it, gets its address.
        lab.host("ip", "link", "del", "xd-web", check=False)
        row, = lab.xdock("container", "add", "new", json=True)["containers"]
        expect((row["address"], counts()), (WEB + "/16", (0, 0, 0, 0)), f"killed at {n}")
        lab.xdock("container", "rm", "new")
        lab.xdock(*ADD)
        begin()
    expect(counts(), (0, 0, 0, 0), "rows")


def changes(*command):
    """How many changes the command makes, which is done."""
    done = xdock(*command, COUNT="/run/changes")
    expect(done.returncode, 0, f"exit of {command}: {done.stderr}")
    with open("/run/changes") as file:
        return int(file.read())


def in_container(lab, name):
    """What XDP changes of its eth0."""
    features = lab.run(name, "ethtool", "-k", "eth0").stdout.splitlines()
    return [line for line in features if line.startswith(("generic-receive", "tx-"))]


def switch(lab, to, back):
    """Killed at each of its changes that are not those of every `up`, a switch of the hook is finished
    by the same command."""
    lab.client("ethtool", "-K", "eth0", "tx", "off", "gro", "on")
    lab.xdock("up", "--hook", back)
    lab.add("web", "-p", "8080:80")
    start = in_container(lab, "web")
    common = changes("up")
    all_of_them = changes("up", "--hook", to)
    expected = instance(lab, "web"), in_container(lab, "web")
    seen = 0
    for n in range(common - 12, all_of_them + 1):
        lab.xdock("up", "--hook", back)
        expect(in_container(lab, "web"), start, f"eth0 put back, before a kill at {n}")
        done = xdock("up", "--hook", to, KILL=n)
        seen += done.returncode == -signal.SIGKILL
        expect(lab.tcp("client", HOST, 8080).address, CLIENT)
        lab.xdock("up", "--hook", to)
        same(instance(lab, "web"), expected[0], f"after a kill at {n}")
        expect(in_container(lab, "web"), expected[1], f"eth0, killed at {n}")
    expect(seen > 3, True, f"{seen} kills")


@limit(420)
def test_a_switch_to_xdp_killed_anywhere_is_finished_by_the_same(lab):
    switch(lab, "xdp", "tc")


@limit(420)
def test_a_switch_to_tc_killed_anywhere_is_finished_by_the_same(lab):
    switch(lab, "tc", "xdp")


@limit(240)
def test_container_add_with_xdp_killed_anywhere_is_undone_by_container_rm(lab):
    lab.xdock("up", "--hook", "xdp")
    before = instance(lab)
    for n in kills(*ADD, least=15):
        lab.xdock(*RM)
        same(instance(lab), before, f"after a kill at {n}")


@limit(240)
def test_down_with_xdp_killed_anywhere_is_finished_by_down(lab):
    then_down(lab, "down", least=20, which=(1, 5), prepare=[("up", "--hook", "xdp"), ADD])


@limit(240)
def test_port_add_with_limits_killed_anywhere_is_finished_by_port_add(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    again(lab, "port", "add", "web", "8080:80", "9090:90", "--limit", "9kpps", "--deny", "192.0.2.0/24",
          "--allow", "0.0.0.0/0", least=8,
          restore=[("port", "add", "web", "8080:80", "--limit", "none"), ("port", "rm", "9090")])


@limit(240)
def test_port_rm_with_limits_killed_anywhere_is_finished_by_port_rm(lab):
    lab.xdock("up")
    lab.add("web")
    again(lab, "port", "rm", "8080", "9090", least=5,
          prepare=[("port", "add", "web", "8080:80", "9090:90", "--limit", "9kpps", "--deny",
                    "192.0.2.0/24")])
    expect((len(raw("limit")), len(raw("list"))), (0, 0), "rows of limits")
