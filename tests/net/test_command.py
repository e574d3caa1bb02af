# SPDX-License-Identifier: GPL-2.0-only
"""The command line: JSON, dry run, verbose, help, what the commands print and how they end."""

import json
import os
import re
import socket

from lab import ANY, CLIENT, HERE, HOST, XDOCK, eventually, expect, run
from state import dump, instance, machine, put, same, xdock

COMMANDS = ("up", "down", "run", "container", "port", "flow", "status", "check", "stats", "drops",
            "help", "version")
LONGEST = "a234567890123456789012345678901"
# The interface of a long name is called by a hash of it.
SHORT, LONG = "pro-998d2d84", "project-web-frontend"


def read_help():
    return run([XDOCK, "help"]).stdout


def steps(done):
    """What -v says on stderr."""
    expect([line for line in done.stderr.splitlines() if not line.startswith("+ ")], [])
    return [line[2:] for line in done.stderr.splitlines()]


def test_json_is_one_document_for_every_command(lab):
    commands = ("-n up", "-n down", "up", "up", "container add web -p 8080:80", "container add web",
                "container add sib -p 81", "port add web 90:90 91-92:91-92 80/udp", "port add web 90:90",
                "container list", "port list", "flow list", "flow list --container web",
                "-n flow list --sample 1", "-n flow flush", "flow flush", "status", "", "check", "stats", "drops", "version", "help",
                "help up", "help container", "help port", "-n port rm 90", "-v port rm 90", "port rm 90",
                "port rm 90", "-n container rm sib", "container rm sib", "container rm sib", "-n down")
    for words in commands:
        done = lab.xdock("-j", *words.split())
        expect(type(json.loads(done.stdout)), dict, words)
        expect(done.stdout.startswith("{\n") and done.stdout.endswith("}\n"), True, words)
    expect(json.loads(lab.xdock("-j", "down").stdout), {})
    done = lab.xdock("-j", "status", check=False)
    expect((done.returncode, list(json.loads(done.stdout))), (3, ["messages", "left"]))


def test_json_and_text_say_the_same(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80", "-p", "20000-20009:90-99/udp")
    for command in ("container list", "port list", "status", "drops"):
        text = lab.xdock(*command.split()).stdout
        for part in lab.xdock(*command.split(), json=True).values():
            for row in part if isinstance(part, list) else [part]:
                for value in row.values():
                    shown = {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else value
                    expect(str(shown) in text, True, f"{command}: {value} in the text")


def test_tables_have_headings_and_aligned_columns(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80")
    lab.xdock("container", "add", LONGEST)
    for command, heading in (
            ("container list", "NAME ADDRESS MAC BRIDGE IFINDEX PORTS ALIVE NETNS"),
            ("port list", "HOST HOST_PORT PROTOCOL CONTAINER ADDRESS PORT CANONICAL LIMIT ALLOW DENY"),
            ("drops", "REASON PACKETS BECAUSE"),
            ("check", "FEATURE STATE IN FOR")):
        lines = lab.xdock(*command.split()).stdout.splitlines()
        expect(lines[0].split(), heading.split(), command)
        for column in re.finditer(r"\S+", lines[0]):
            for line in lines[1:]:
                expect(line[column.start()] != " ", True, f"{command}: {line} at {column[0]}")
                expect(line[max(column.start() - 2, 0):column.start()].strip(), "", f"{command}: {line}")
    expect(lab.xdock("container", "list").stdout.splitlines()[1].split()[0], "web")


def test_dry_run_of_up_and_down_prints_steps_and_changes_nothing(lab):
    before = machine(lab)
    planned = lab.xdock("-n", "up").stdout.splitlines()
    expect("make bridge docker0, mtu 1500" in planned, True, planned)
    expect("set sysctl net.ipv4.ip_forward = 1 (was 0)" in planned, True, planned)
    expect("attach xd_uplink_tc to wan" in planned, True, planned)
    expect(lab.xdock("-n", "down").stdout, "")
    same(machine(lab), before, "machine")
    done = steps(lab.xdock("-v", "up"))
    expect([step for step in planned if step not in done], [], "planned and not done")

    lab.xdock("container", "add", "web", "-p", "8080:80")
    up = instance(lab, "web")
    planned = lab.xdock("-n", "down").stdout.splitlines()
    expect("delete bridge docker0" in planned, True, planned)
    expect("put sysctl net.ipv4.ip_forward = 0 back" in planned, True, planned)
    expect("remove container web" in planned, True, planned)
    again = lab.xdock("-n", "up").stdout.splitlines()
    expect("attach xd_container_tc to web" in again, True, again)
    same(instance(lab, "web"), up, "instance")
    done = steps(lab.xdock("-v", "down"))
    expect([step for step in planned if step not in done], [], "planned and not done")
    same(machine(lab), before, "machine after down")


def test_dry_run_of_a_killed_up_changes_nothing(lab):
    before = machine(lab)
    expect(xdock("up", KILL=20).returncode, -9)
    killed = machine(lab)
    for command in ("up", "down"):
        lab.xdock("-n", command)
        same(machine(lab), killed, f"machine after -n {command}")
    lab.xdock("down")
    same(machine(lab), before, "machine after down")


def test_dry_run_of_containers_and_ports_changes_nothing(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80")
    before = instance(lab, "web")
    for words, step in (
            ("container add new -p 90:90", "connect container new to docker0 as 172.17.0.3"),
            ("container add new -p 90:90", "publish port 90/tcp of container new"),
            ("container add web", "connect container web to docker0 as 172.17.0.2"),
            ("container rm web", "remove container web"),
            ("container exec web -- touch /run/touched", "run touch in the namespace of container web"),
            ("port add web 90-92:90-92", "publish 3 ports (90/tcp and more) of container web"),
            ("port rm 8080", "withdraw port 8080/tcp"),
            ("run -p 90:90 -- touch /run/touched", "run touch in a new network namespace")):
        printed = lab.xdock("-n", *words.split()).stdout.splitlines()
        expect(step in printed, True, f"{words}: {printed}")
        expect(step in lab.xdock("-n", *words.split(), json=True)["steps"], True, words)
        same(instance(lab, "web"), before, words)
    expect(lab.host("ls", "/run/touched", check=False).returncode, 2)
    expect(lab.xdock("-n", "port", "rm", "9999").stdout, "")


def test_dry_run_refuses_what_the_command_would_refuse(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80")
    lab.bound("host", 9000).listen()
    before = instance(lab)
    for words in ("container add new --ip 172.17.0.2", "container add new -p 8080:80",
                  "port add web 9000:80", "port add web 203.0.113.1:80:80", "up --subnet 10.0.0.0/8",
                  "run -p 8080:80 -- true", "run --name web -- true", "run --name new --ip 172.17.0.2 -- true"):
        real = lab.xdock(*words.split(), check=False)
        dry = lab.xdock("-n", *words.split(), check=False)
        expect((dry.returncode, dry.stderr), (2, real.stderr), words)
    same(instance(lab), before, "instance")


def test_verbose_prints_every_step_to_stderr(lab):
    done = lab.xdock("-v", "up")
    expect(len(steps(done)) > 5, True, done.stderr)
    expect(done.stdout.splitlines()[0], "bridge: docker0")
    expect(steps(lab.xdock("-v", "container", "add", "web", "-p", "8080:80")),
           ["connect container web to docker0 as 172.17.0.2", "attach xd_container_tc to web",
            "publish port 8080/tcp of container web",
            "sysctl net.ipv4.ip_local_reserved_ports: 1 ports more, 0 ports less"])
    expect(steps(lab.xdock("-v", "port", "rm", "8080")),
           ["withdraw port 8080/tcp", "mend the maps: 0 ports, 0 containers, 1 rows that belong to others",
            "sysctl net.ipv4.ip_local_reserved_ports: 0 ports more, 1 ports less"])
    expect(steps(lab.xdock("-v", "container", "rm", "web"))[0], "remove container web")
    expect(steps(lab.xdock("-v", "container", "list")), [])
    expect("delete bridge docker0" in steps(lab.xdock("-v", "down")), True)


def test_help_lists_every_command_and_each_has_its_own(lab):
    text = read_help()
    expect(tuple(re.findall(r"^  ([a-z]+) ", text, re.M)), COMMANDS)
    for option in ("--netns", "--json", "--dry-run", "--verbose"):
        expect(option in text, True, option)
    expect(run([XDOCK, "-h"]).stdout, text)
    expect(run([XDOCK, "--help"]).stdout, text)
    for command in COMMANDS:
        first = run([XDOCK, "help", command]).stdout.splitlines()[0]
        expect(first.startswith(f"xdock {command}"), True, first)
    for verb in ("add", "rm", "list", "exec"):
        expect(f"\nxdock container {verb}" in run([XDOCK, "help", "container"]).stdout, True, verb)
    for option in ("--subnet", "--uplink", "--mtu", "--max-ports"):
        expect(option in run([XDOCK, "help", "up"]).stdout, True, option)
    for words in ("up", "run", "container", "container add", "port rm"):
        expect(run([XDOCK, *words.split(), "--help"]).stdout,
               run([XDOCK, "help", *words.split()]).stdout, words)
    expect(run([XDOCK, "help", "port", "rm"]).stdout.count("xdock port"), 1)


def test_dry_run_names_every_step_once(lab):
    up = lab.xdock("-n", "up").stdout.splitlines()
    expect(up, sorted(set(up), key=up.index), "steps")
    expect("attach xd_bridge_tc to docker0" in up, True, up)
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80")
    down = lab.xdock("-n", "down").stdout.splitlines()
    expect(down, sorted(set(down), key=down.index), "steps")


def test_up_names_its_uplinks_and_says_when_there_is_none(lab):
    done = lab.xdock("up")
    expect((done.stdout.splitlines()[-1], done.stderr), ("uplinks: wan", ""))
    lab.host("ip", "link", "set", "wan", "down")
    lab.xdock("down")
    done = lab.xdock("up")
    expect(done.stdout.splitlines()[-1], "uplinks: none")
    expect("--uplink" in done.stderr, True, done.stderr)


def test_run_says_which_host_port_was_chosen(lab):
    lab.xdock("up")
    done = lab.xdock("run", "--name", "web", "-p", "80", "--", "true")
    expect(bool(re.fullmatch(r"xdock: host port \d+/tcp is port 80 of web\n", done.stderr)), True, done.stderr)
    expect(lab.xdock("run", "-p", "8080:80", "--", "true").stderr, "")


def test_another_mtu_is_refused_while_containers_have_the_old_one(lab):
    lab.xdock("up", "--mtu", "1400")
    lab.xdock("container", "add", "web")
    before = instance(lab, "web")
    done = lab.xdock("up", "--mtu", "1300", check=False)
    expect((done.returncode, done.stderr),
           (1, "xdock: --mtu 1300: container web has 1400, as docker0 had; remove the containers first\n"))
    same(instance(lab, "web"), before, "instance")
    lab.xdock("up", "--mtu", "1400")
    lab.xdock("container", "rm", "web")
    lab.xdock("up", "--mtu", "1300")


def test_version_is_one_line_without_root_or_instance(lab):
    text = run([XDOCK, "version"]).stdout
    expect(bool(re.fullmatch(r"xdock: \S+\n", text)), True, text)
    expect(run([XDOCK, "--version"]).stdout, text)
    expect(json.loads(run([XDOCK, "-j", "version"]).stdout)["version"]["xdock"], text.split()[1])


def test_without_a_command_it_is_status(lab):
    for _ in range(2):
        bare, status = lab.xdock(check=False), lab.xdock("status", check=False)
        expect((bare.returncode, bare.stdout, bare.stderr),
               (status.returncode, status.stdout, status.stderr))
        lab.xdock("up")
    expect(lab.xdock().stdout.startswith("instance: net-"), True)


def test_stats_count_each_packet_once_in_each_direction(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80", "-p", "5353:80/udp")
    for _ in range(7):
        lab.udp("client", HOST, 5353, payload=b"x" * 100)
    for row in lab.stats()["ports"]:
        expected = (7, 7) if row["host_port"] == 5353 else (0, 0)
        expect((row["packets_in"], row["packets_out"]), expected, row["host_port"])
        # Bytes of frames or of packets: at least the payload and its headers.
        expect(row["bytes_in"] >= 7 * (100 + 28) if row["packets_in"] else row["bytes_in"] == 0, True, row)
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)
    counts = {row["host_port"]: row for row in lab.stats()["ports"]}
    expect(counts[8080]["packets_in"] >= 4, True, counts)
    expect(counts[5353]["packets_in"], 7)
    (web,) = lab.stats()["containers"]
    expect(web["container"], "web")


def test_stats_of_a_port_begin_at_zero_when_it_is_published_again(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    expect(lab.tcp("client", HOST, 8080).address, CLIENT)
    expect(lab.stats()["ports"][0]["packets_in"] > 0, True)
    lab.xdock("port", "rm", "8080")
    lab.xdock("port", "add", "web", "8080:80")
    expect(lab.stats()["ports"][0]["packets_in"], 0)


def test_drops_lists_every_reason_of_the_header(lab):
    lab.xdock("up")
    with open(f"{HERE}/../../include/drop.h") as header:
        names = re.findall(r'X\(\d+, [A-Z_]+, "([a-z-]+)"', header.read())
    rows = lab.xdock("drops", json=True)["drops"]
    expect([row["reason"] for row in rows], names)
    expect([row["packets"] for row in rows], [0] * len(names))
    expect(len({row["because"] for row in rows}), len(names))


def test_bpftool_shows_names_and_the_wire_order_of_ports(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "127.0.0.1:8080:80/udp")
    (row,) = dump("port")
    expect((row["key"]["port"], row["key"]["protocol"]), (socket.htons(8080), 17))
    expect(row["key"]["address"], socket.htonl(0x7f000001))
    expect((row["value"]["name"], row["value"]["port"]), ("web", socket.htons(80)))
    expect(dump("endpoint")[0]["value"]["name"], "web")
    expect(dump("network")[0]["value"]["name"], "docker0")


def test_options_may_come_after_words(lab):
    lab.xdock("up", "docker0", "--mtu", "1400", "--subnet", "10.1.0.0/16")
    expect(lab.link_info("host", "docker0")["mtu"], 1400)
    rows = lab.xdock("container", "add", "web", "--ip", "10.1.0.9", "-p", "8080:80", json=True)
    expect(rows["containers"][0]["address"], "10.1.0.9/16")
    rows = lab.xdock("container", "add", "-p8081:80", "--ip=10.1.0.8", "sib", json=True)
    expect((rows["containers"][0]["address"], rows["containers"][0]["ports"]), ("10.1.0.8/16", 1))


def test_what_follows_the_dashes_belongs_to_the_command(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web")
    for words in (("container", "exec", "web", "--"), ("container", "exec", "web"), ("run", "--"), ("run",)):
        done = lab.xdock(*words, "sh", "-c", 'printf "%s " "$@"; exit 7', "-", "-n", "--json", "--", "-x",
                         check=False)
        expect((done.returncode, done.stdout, done.stderr), (7, "-n --json -- -x ", ""), words)
    expect(lab.xdock("run", "--name", "new", "--", "--", check=False).returncode, 2)


def test_names_of_31_characters_get_interfaces_of_their_own(lab):
    lab.xdock("up")
    other = LONGEST[:-1] + "2"
    for name, port in ((LONGEST, 8080), (other, 8081)):
        lab.add(name, "-p", f"{port}:80")
        expect(lab.tcp("client", HOST, port).server, name)
    names = {link["ifname"] for link in json.loads(lab.host("ip", "-j", "link").stdout)}
    expect(len([name for name in names if name.startswith("xd-a23-")]), 2, names)
    lab.xdock("container", "rm", LONGEST)
    expect(lab.tcp("client", HOST, 8081).server, other)


def test_names_with_the_same_beginning_and_length_12_and_13_differ(lab):
    lab.xdock("up")
    for name in ("abcdefghijkl", "abcdefghijklm", "abcdefghijkln"):
        lab.xdock("container", "add", name)
    links = [link["ifname"] for link in json.loads(lab.host("ip", "-j", "link").stdout)]
    expect("xd-abcdefghijkl" in links, True, links)
    expect(len([name for name in links if name.startswith("xd-abc-")]), 2, links)


def test_of_two_names_whose_interfaces_would_have_one_name_the_first_is_unharmed(lab):
    lab.xdock("up")
    for first, second in ((SHORT, LONG), (LONG, SHORT)):
        lab.add(first, "-p", "8080:80")
        before = instance(lab, first)
        for words in (("container", "add", second), ("container", "add", second, "-p", "8081:80"),
                      ("run", "--name", second, "--", "true")):
            done = lab.xdock(*words, check=False)
            expect((done.returncode, done.stderr.count("\n"), second in done.stderr), (2, 1, True), done)
            same(instance(lab, first), before, words)
        expect(lab.tcp("client", HOST, 8080), (first, CLIENT, ANY))
        lab.xdock("container", "rm", second)
        expect(lab.tcp("client", HOST, 8080), (first, CLIENT, ANY))
        lab.xdock("container", "rm", first)


def test_a_namespace_can_be_given_by_name_path_and_pid(lab):
    lab.xdock("up")
    lab.ip("netns add box")
    pid = lab.background("box", "sleep", "60").pid
    # Not before nsenter is in the namespace.
    eventually(lambda: expect(os.path.samefile(f"/proc/{pid}/ns/net", "/run/netns/box"), True))
    lab.echo("box", 80)
    for words in (("--netns", pid), ("--netns", f"/proc/{pid}/ns/net"), ("--pid", pid),
                  ("--netns", "box"), ("--netns", "/run/netns/box")):
        row, = lab.xdock("container", "add", "web", *words, "-p", "8080:80", json=True)["containers"]
        assert os.path.samefile(row["netns"], "/run/netns/box"), row
        before = instance(lab, "box")
        expect("172.17.0.2/16" in lab.xdock("container", "exec", "web", "--", "ip", "addr").stdout, True)
        lab.xdock("container", "add", "web", *words, "-p", "8080:80")
        same(instance(lab, "box"), before, words)
        expect(lab.tcp("client", HOST, 8080), ("box", CLIENT, ANY), words)
        lab.xdock("container", "rm", "web")


def test_a_namespace_that_is_named_like_a_pid_is_the_one_of_that_name(lab):
    lab.xdock("up")
    pid = lab.background("client", "sleep", "60").pid
    lab.ip(f"netns add {pid}")
    row, = lab.xdock("container", "add", "web", "--netns", pid, json=True)["containers"]
    expect(row["netns"], f"/run/netns/{pid}", "namespace")
    expect("172.17.0.2/16" in lab.xdock("container", "exec", "web", "--", "ip", "addr").stdout, True)


def test_status_names_interfaces_without_a_program(lab):
    lab.ip("-n host link add idle type veth peer name idle2")
    lab.xdock("up")
    lab.xdock("container", "add", "web")

    def uplinks():
        return [(row["uplink"], row["program"]) for row in lab.xdock("status", json=True)["uplinks"]]

    expect(uplinks(), [("wan", "tcx")])
    lab.ip("-n host link add late type veth peer name late2", "-n host link set late up")
    expect(uplinks(), [("wan", "tcx"), ("late", "none")])
    lab.xdock("up", "--uplink", "wan", "--uplink", "late")
    expect(uplinks(), [("wan", "tcx"), ("late", "tcx")])


def test_removing_what_is_not_there_and_adding_what_is_are_no_errors(lab):
    expect(lab.xdock("down").stdout, "")
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80")
    before = instance(lab, "web")
    for words in ("up", "container add web", "container add web -p 8080:80",
                  "container add web --ip 172.17.0.2", "port add web 8080:80", "container rm nope",
                  "port rm 9999", "port rm 8080/udp"):
        lab.xdock(*words.split())
        same(instance(lab, "web"), before, words)


def test_status_says_of_each_map_how_full_it_is_and_what_enlarges_it(lab):
    lab.xdock("up", "--max-ports", "100", "--max-flows", "2048", "--max-exceptions", "1024",
              "--max-fragments", "4096")
    lab.xdock("container", "add", "web", "-p", "9000-9009:9000-9009")
    put("fragment", {i.to_bytes(12, "little"): bytes(16) for i in range(10)})
    # More than it may have: which of them are evicted, and when, is the kernel's business.
    put("exception", {i.to_bytes(16, "little"): bytes(16) for i in range(2000)})

    def maps():
        rows = lab.xdock("status", json=True)["maps"]
        return {row["map"]: (row["rows"], row["max"], row["full"], row.get("enlarged_by")) for row in rows}

    found = maps()
    expect(found["xd_network"], (1, 64, False, None))
    for name, row in (("port", (10, 100, False, "--max-ports")), ("port_rev", (10, 100, False, "--max-ports")),
                      ("snat", (0, 2048, False, "--max-flows")), ("snat_rev", (0, 2048, False, "--max-flows")),
                      ("fragment", (10, 4096, False, "--max-fragments")),
                      ("exception", (ANY, 1024, True, "--max-exceptions"))):
        expect(found[f"xd_{name}"], row, name)
    lab.xdock("port", "add", "web", "9010-9099:9010-9099")
    expect(maps()["xd_port"], (100, 100, True, "--max-ports"))
    line = re.search("xd_exception .*", lab.xdock("status").stdout)[0].split()
    expect((line[2], line[3:]), ("1024", ["yes", "--max-exceptions"]))


def test_sctp_is_published_port_by_port(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "36412:36412/sctp", "-p", "36412:80")
    lab.xdock("container", "add", "sib", "-p", "127.0.0.1::2905/sctp", "-p", "3000-3009/sctp")
    rows = lab.xdock("port", "list", json=True)["ports"]
    expect(sorted((row["container"], row["host"], row["host_port"], row["port"]) for row in rows
                  if row["protocol"] == "sctp"),
           [("sib", "0.0.0.0", "3000-3009", "3000-3009"), ("sib", "127.0.0.1", 2905, 2905),
            ("web", "0.0.0.0", 36412, 36412)])
    expect(lab.read("host", "/proc/sys/net/ipv4/ip_local_reserved_ports"), "2905,3000-3009,36412")
    done = lab.xdock("port", "add", "sib", "36412/sctp", check=False)
    expect((done.returncode, done.stderr), (2, "xdock: port 36412/sctp: already published by web\n"))
    lab.xdock("port", "rm", "36412/sctp", "3000-3009/sctp")
    rows = lab.xdock("port", "list", json=True)["ports"]
    expect(sorted((row["host_port"], row["protocol"]) for row in rows), [(2905, "sctp"), (36412, "tcp")])
