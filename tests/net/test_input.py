# SPDX-License-Identifier: GPL-2.0-only
"""Wrong input and unfit machines: one sentence that names the object, the exit status of the
contract (1 wrong usage, 2 refused by the system, 3 not up or not found), and nothing changed."""

import json
import os

from lab import HOST, XDOCK, expect, run
from state import instance, machine, same, xdock

DOWN = [
    (1, "-x", "command line: option -x: not known"),
    (1, "--foo", "command line: option --foo: not known"),
    (1, "-N", "command line: option -N: a value is missing"),
    (1, "bogus", "bogus: no such command; `xdock help` lists them"),
    (1, "up --bogus", "up: option --bogus: not known"),
    (1, "up -m", "up: option -m: not known"),
    (1, "up --mtu", "up: option --mtu: a value is missing"),
    (1, "up --mtu=", "mtu : not a number"),
    (1, "up a b", 'up: argument "b" is one too many'),
    (1, "down a b", 'down: argument "b" is one too many'),
    (1, "down -f", "down: option -f: not known"),
    (1, "status x", 'status: argument "x" is one too many'),
    (1, "status -x", "status: option -x: not known"),
    (1, "status -N x", "status: option -N: goes in front of the command, as in `xdock -N status`"),
    (1, "help port add x", 'help: argument "x" is one too many'),
    (1, "check x", 'check: argument "x" is one too many'),
    (1, "version x", 'version: argument "x" is one too many'),
    (1, "help nope", "help: nope: no such command"),
    (1, "help up x", 'help: argument "x" is one too many'),
    (1, "up br/9", 'bridge "br/9": not a name for an interface'),
    (1, "up sixteen-letters-", 'bridge "sixteen-letters-": not a name for an interface'),
    (1, ["up", ""], 'bridge "": not a name for an interface'),
    (1, ["up", "a b"], 'bridge "a b": not a name for an interface'),
    (1, "up ..", 'bridge "..": not a name for an interface'),
    (1, "up br%d", 'bridge "br%d": not a name for an interface'),
    (1, "up --mtu 67", "mtu 67: below 68"),
    (1, "up --mtu 65536", "mtu 65536: above 65535"),
    (1, "up --mtu -5", "mtu -5: not a number"),
    (1, "up --mtu 1e3", "mtu 1e3: not a number"),
    (1, "up --max-ports 0", "max-ports 0: below 1"),
    (1, "up --max-ports 1048577", "max-ports 1048577: above 1048576"),
    (1, "up --max-ports x", "max-ports x: not a number"),
    (1, "up --max-flows 1023", "max-flows 1023: below 1024"),
    (1, "up --max-flows 4194305", "max-flows 4194305: above 4194304"),
    (1, "up --max-exceptions 1023", "max-exceptions 1023: below 1024"),
    (1, "up --max-exceptions 4194305", "max-exceptions 4194305: above 4194304"),
    (1, "up --max-fragments 1023", "max-fragments 1023: below 1024"),
    (1, "up --max-fragments 4194305", "max-fragments 4194305: above 4194304"),
    (1, "up --max-fragments many", "max-fragments many: not a number"),
    (1, "up --icc yes", "icc yes: neither on nor off"),
    (1, "up --icc", "up: option --icc: a value is missing"),
    (1, "up --masquerade ON", "masquerade ON: neither on nor off"),
    (1, ["up", "--source-check", ""], "source-check : neither on nor off"),
    (1, "up --internal=off", "up: option --internal=off: not known"),
    (1, "up --gateway-mode bridge", "gateway-mode bridge: none of nat, nat-unprotected, routed"),
    (1, "up --gateway-mode routed --masquerade on",
     "--masquerade on: network docker0 is routed, its containers keep their addresses"),
    (1, "up br9 --internal --masquerade on",
     "--masquerade on: network br9 is internal, nothing leaves it"),
    (1, "up br9 --internal --gateway-mode nat-unprotected",
     "--gateway-mode nat-unprotected: network br9 is internal, nobody enters it"),
    (1, "up --subnet 172.17.0.0",
     "subnet 172.17.0.0: a prefix length is missing, as in 172.17.0.0/16"),
    (1, "up --subnet 172.17.0.0/",
     "subnet 172.17.0.0/: the prefix length is not a number from 8 to 30"),
    (1, "up --subnet 172.17.0.0/31",
     "subnet 172.17.0.0/31: the prefix length is not a number from 8 to 30"),
    (1, "up --subnet 172.17.0.0/7",
     "subnet 172.17.0.0/7: the prefix length is not a number from 8 to 30"),
    (1, "up --subnet 172.17.0/16",
     "subnet 172.17.0/16: what is before the slash is not an IPv4 address"),
    (1, "up --subnet fd00::/64",
     "subnet fd00::/64: what is before the slash is not an IPv4 address"),
    (1, "up --subnet 172.17.255.255/16",
     "subnet 172.17.255.255/16: is the broadcast address of its subnet"),
    (1, "up --subnet 224.0.0.0/8", "subnet 224.0.0.0/8: its addresses cannot be those of hosts"),
    (1, "up --subnet 0.0.0.0/8", "subnet 0.0.0.0/8: its addresses cannot be those of hosts"),
    (1, "up --subnet 127.1.0.0/16", "subnet 127.1.0.0/16: its addresses cannot be those of hosts"),
    (2, "up --subnet 198.51.100.0/24",
     "subnet 198.51.100.1/24: overlaps with 198.51.100.1/24 of wan"),
    (2, "up --subnet 198.51.0.0/16", "subnet 198.51.0.1/16: overlaps with 198.51.100.1/24 of wan"),
    (2, "up --subnet 198.51.100.128/30",
     "subnet 198.51.100.129/30: overlaps with 198.51.100.1/24 of wan"),
    (2, "up --uplink nope", "uplink nope: no such interface"),
    (2, "up --uplink lo", "uplink lo: not an Ethernet interface"),
    (2, "up --uplink wan --uplink nope", "uplink nope: no such interface"),
    (2, "up wan", "wan: exists and is no bridge"),
    (2, "up lo", "lo: exists and is no bridge"),
    (1, "container", "container: what? `xdock help container` lists its verbs"),
    (1, "container bogus",
     "container bogus: no such command; `xdock help container` lists its verbs"),
    (1, "port", "port: what? `xdock help port` lists its verbs"),
    (1, "flow", "flow: what? `xdock help flow` lists its verbs"),
    (1, "flow bogus", "flow bogus: no such command; `xdock help flow` lists its verbs"),
    (1, "port bogus", "port bogus: no such command; `xdock help port` lists its verbs"),
]

UP = [
    (1, "up --max-ports 100", "--max-ports 100: the instance is up with 65536; `xdock down` first"),
    (1, "up --max-flows 1024", "--max-flows 1024: the instance is up with 131072; `xdock down` first"),
    (1, "up --max-exceptions 1024",
     "--max-exceptions 1024: the instance is up with 65536; `xdock down` first"),
    (1, "up --max-fragments 1024",
     "--max-fragments 1024: the instance is up with 8192; `xdock down` first"),
    (2, "up --subnet 10.0.0.0/16",
     "docker0: exists with address 172.17.0.1/16, not 10.0.0.1/16; --subnet 172.17.0.1/16 "
     "uses it as it is"),
    (2, "up br9", "subnet 172.17.0.1/16: overlaps with 172.17.0.1/16 of docker0"),
    (2, "up br9 --subnet 172.17.128.0/24",
     "subnet 172.17.128.1/24: overlaps with 172.17.0.1/16 of docker0"),
    (1, "up --uplink docker0", "uplink docker0: is the bridge itself"),
    (1, "up --internal",
     "--internal: network docker0 is up and is not internal; `xdock down docker0` first"),
    (3, "down br9", "network br9: not up; `xdock status` shows what is"),
    (1, "container add", "container add: an argument is missing; see `xdock help container add`"),
    (1, "container add a b", 'container add: argument "b" is one too many'),
    (1, "container add a --foo", "container add: option --foo: not known"),
    (1, "container add a --ip", "container add: option --ip: a value is missing"),
    (1, "container rm", "container rm: an argument is missing; see `xdock help container rm`"),
    (1, "container list x", 'container list: argument "x" is one too many'),
    (1, "container list -x", "container list: option -x: not known"),
    (1, "container exec", "container exec: an argument is missing; see `xdock help container exec`"),
    (1, "container exec web", "container exec: an argument is missing; see `xdock help container exec`"),
    (1, "container exec web --", "container exec: a command is missing behind --"),
    (3, "container exec nope -- true", "container nope: no such container"),
    (2, "container exec web -- /nope", "command /nope: No such file or directory"),
    (1, ["container", "add", ""], "container name: empty"),
    (1, "container add a/b", "container name a/b: only letters, digits and _ . - are allowed"),
    (1, ["container", "add", "a b"],
     "container name a b: only letters, digits and _ . - are allowed"),
    (1, "container add -- -a", "container name -a: it has to begin with a letter or a digit"),
    (1, "container add .a", "container name .a: it has to begin with a letter or a digit"),
    (1, "container add ..", "container name ..: it has to begin with a letter or a digit"),
    (1, "container add 12345678901234567890123456789012",
     "container name 12345678901234567890123456789012: longer than 31 characters"),
    (1, "container rm a/b", "container name a/b: only letters, digits and _ . - are allowed"),
    (1, "container add a --ip 172.18.0.2",
     "container a: address 172.18.0.2 is outside of 172.17.0.1/16, the subnet of docker0"),
    (1, "container add a --ip 172.17.0.0",
     "container a: address 172.17.0.0 is the network address of the subnet"),
    (1, "container add a --ip 172.17.0.1",
     "container a: address 172.17.0.1 is the gateway of docker0"),
    (1, "container add a --ip 172.17.255.255",
     "container a: address 172.17.255.255 is the broadcast address of the subnet"),
    (2, "container add a --ip 172.17.0.2",
     "container a: address 172.17.0.2: in use by container web"),
    (1, "container add a --ip 0.0.0.0",
     "address 0.0.0.0: is no container's; leave --ip out to have one chosen"),
    (1, "container add a --ip 172.17.0",
     "address 172.17.0: not an IPv4 address such as 172.17.0.2"),
    (1, "container add a --ip fd00::2", "address fd00::2: IPv6 addresses are not supported"),
    (1, "container add a --ip 172.17.0.300",
     "address 172.17.0.300: not an IPv4 address such as 172.17.0.2"),
    (1, ["container", "add", "a", "--ip", ""], "address : not an IPv4 address such as 172.17.0.2"),
    (2, "container add web --ip 172.17.0.9",
     "container web: exists already, with address 172.17.0.2"),
    (3, "container add a --bridge nope", "network nope: not up; `xdock status` shows what is"),
    (3, "container add a --netns nope", "namespace nope: no such name in /run/netns"),
    (3, "container add a --netns /run/nope", "namespace /run/nope: no such file"),
    (1, "container add a --netns /etc/passwd", "namespace /etc/passwd: not a network namespace"),
    (1, "container add a --netns host", "container a: namespace /run/netns/host is the host's own"),
    (2, "container add a --netns client",
     "container a: interface eth0 exists in the container's namespace already"),
    (2, "container add web --netns client", "container web: exists already, in another namespace"),
    (1, "container add a --pid 0", "pid 0: below 1"),
    (1, "container add a --pid x", "pid x: not a number"),
    (3, "container add a --pid 999999999", "namespace of process 999999999: no such process"),
    (1, "container add a --pid 9999999999", "pid 9999999999: above 2147483647"),
    (1, "container add a --netns client --netns host",
     "container add: one of --netns and --pid is enough"),
    (2, "container add a -p 8080:80", "port 8080/tcp: already published by web"),
    (1, "container add a -p nope", 'port spec nope: container port "nope" is not a number'),
    (1, "run", "run: a command is missing behind --"),
    (1, "run --", "run: a command is missing behind --"),
    (1, "run --name", "run: option --name: a value is missing"),
    (1, "run --name a/b -- true", "container name a/b: only letters, digits and _ . - are allowed"),
    (2, "run --name web -- true", "container web: exists already, in another namespace"),
    (2, "run -p 8080:80 -- true", "port 8080/tcp: already published by web"),
    (2, "run -- /nope", "command /nope: No such file or directory"),
    (1, "run -x -- true", "run: option -x: not known"),
    (1, "port add", "port add: an argument is missing; see `xdock help port add`"),
    (1, "port add web", "port add: an argument is missing; see `xdock help port add`"),
    (3, "port add nope 80", "container nope: no such container"),
    (1, "port add web 80 -x", "port add: option -x: not known"),
    (1, "port add 90:80 web", "port add: 90:80 is no container; its name comes first, as in `xdock port add NAME 90:80`"),
    (1, "port rm", "port rm: an argument is missing; see `xdock help port rm`"),
    (1, "port list x", 'port list: argument "x" is one too many'),
    (1, "port rm x", 'port spec x: container port "x" is not a number'),
    (1, "port rm 0", "port spec 0: ports begin at 1; without a host port one is chosen"),
    (2, "port add sib 8080:80", "port 8080/tcp: already published by web"),
    (2, "port add sib 127.0.0.1:8080:80",
     "port 127.0.0.1:8080/tcp: 8080/tcp is already published by web"),
    (2, "port add sib 81:81 8080:80", "port 8080/tcp: already published by web"),
    (2, "port add sib 8079-8081:79-81", "port 8080/tcp: already published by web"),
    (2, "port add web 8080:81", "port 8080/tcp: already published by web"),
    (2, "port add sib 203.0.113.9:80:80",
     "port 203.0.113.9:80/tcp: 203.0.113.9 is no address of this host"),
    (2, "port add sib 203.0.113.9:80:80/sctp",
     "port 203.0.113.9:80/sctp: 203.0.113.9 is no address of this host"),
    (2, "port add sib 198.51.100.255:80:80",
     "port 198.51.100.255:80/tcp: 198.51.100.255 is no address of this host"),
    (2, "port add sib 81:81 81:82", "port 81/tcp: already published by sib"),
    (1, "flow list x", 'flow list: argument "x" is one too many'),
    (1, "flow list --sample", "flow list: option --sample: a value is missing"),
    (1, "flow list --sample 0", "sample 0: below 1"),
    (1, "flow list --sample 61", "sample 61: above 60"),
    (1, "flow list --sample 1.5", "sample 1.5: not a number"),
    (3, "flow list --container nope", "container nope: no such container"),
    (3, "flow list --container nope --sample 60", "container nope: no such container"),
    (1, "flow list --container a/b",
     "container name a/b: only letters, digits and _ . - are allowed"),
    (1, "flow flush --sample 1", "flow flush: option --sample: not known"),
    (1, "flow flush web", 'flow flush: argument "web" is one too many'),
    (3, "flow flush --container nope", "container nope: no such container"),
]

SPECS = [
    (1, "", "port spec: empty; such as 8080:80, 127.0.0.1:8080:80/udp"),
    (1, "0", "port spec 0: ports begin at 1; without a host port one is chosen"),
    (1, "65536", "port spec 65536: port 65536 is above 65535"),
    (1, "99999999999999999999",
     "port spec 99999999999999999999: port 99999999999999999999 is above 65535"),
    (1, "80:0", "port spec 80:0: ports begin at 1; without a host port one is chosen"),
    (1, "0:80", "port spec 0:80: ports begin at 1; without a host port one is chosen"),
    (1, "80:65536", "port spec 80:65536: port 65536 is above 65535"),
    (1, "65536:80", "port spec 65536:80: port 65536 is above 65535"),
    (1, "a", 'port spec a: container port "a" is not a number'),
    (1, "80:a", 'port spec 80:a: container port "a" is not a number'),
    (1, "a:80", 'port spec a:80: host port "a" is not a number'),
    (1, "80/", "port spec 80/: a protocol is missing behind the slash: tcp, udp or sctp"),
    (1, "81:80/sctp", "port spec 81:80/sctp: sctp ports cannot be changed (no kernel recomputes "
     "CRC32c for it): publish N:N"),
    (1, "81-89:80/sctp", "port spec 81-89:80/sctp: sctp ports cannot be changed (no kernel "
     "recomputes CRC32c for it): publish N:N"),
    (1, "80/icmp", "port spec 80/icmp: protocol icmp is unknown, only tcp, udp and sctp are published"),
    (1, "80/tcp/udp",
     "port spec 80/tcp/udp: protocol tcp/udp is unknown, only tcp, udp and sctp are published"),
    (1, "8000-8002:80-81",
     "port spec 8000-8002:80-81: the host range has 3 ports, the container range has 2"),
    (1, "8000:80-81",
     "port spec 8000:80-81: the host range has 1 ports, the container range has 2"),
    (1, "82-80:82-80", "port spec 82-80:82-80: range 82-80 runs backwards"),
    (1, "80-", "port spec 80-: a container port is missing"),
    (1, "-80:", "port spec -80:: a container port is missing"),
    (1, "1:2:3:4",
     "port spec 1:2:3:4: too many colons; HOST_ADDRESS:HOST_PORT:PORT is all, and IPv6 "
     "addresses are not supported"),
    (1, "::80",
     "port spec ::80: the host address is empty; leave out its colon, too, to publish on "
     "every address"),
    (1, "1.2.3:80:80", "port spec 1.2.3:80:80: 1.2.3 is not an IPv4 address such as 127.0.0.1"),
    (1, "300.0.0.1:80:80",
     "port spec 300.0.0.1:80:80: 300.0.0.1 is not an IPv4 address such as 127.0.0.1"),
    (1, "[::1]:80:80", "port spec [::1]:80:80: IPv6 host addresses are not supported"),
    (1, "::1:80:80",
     "port spec ::1:80:80: too many colons; HOST_ADDRESS:HOST_PORT:PORT is all, and IPv6 "
     "addresses are not supported"),
    (1, "127.0.0.1:80",
     "port spec 127.0.0.1:80: 127.0.0.1 is an address, not a port; `127.0.0.1::PORT` lets "
     "the host port be chosen"),
    (1, "224.0.0.1:80:80",
     "port spec 224.0.0.1:80:80: 224.0.0.1 is a multicast address, which no host has as its own"),
    (1, "255.255.255.255:80:80",
     "port spec 255.255.255.255:80:80: 255.255.255.255 is the broadcast address, which no "
     "host has as its own"),
    (1, " 80", 'port spec  80: container port " 80" is not a number'),
    (1, "80 ", 'port spec 80 : container port "80 " is not a number'),
    (1, "+80", 'port spec +80: container port "+80" is not a number'),
    (1, "0x50", 'port spec 0x50: container port "0x50" is not a number'),
    (1, "80:80:80", "port spec 80:80:80: 80 is not an IPv4 address such as 127.0.0.1"),
    (1, "80,81", 'port spec 80,81: container port "80,81" is not a number'),
    (1, "web:80:80", "port spec web:80:80: web is not an IPv4 address such as 127.0.0.1"),
]

NAMESPACES = [
    (3, "-N nope status", "namespace nope: no such name in /run/netns"),
    (1, "-N /etc/passwd status", "namespace /etc/passwd: not a network namespace"),
    (3, "-N /run/nope status", "namespace /run/nope: no such file"),
    (3, "-N 999999999 status", "namespace of process 999999999: no such process"),
    (1, ["-N", "", "status"], "namespace /run/netns/: not a network namespace"),
]


def refuses(lab, status, sentence, *words, ns="host"):
    done = lab.xdock(*words, check=False, ns=ns)
    expect((done.returncode, done.stderr, done.stdout), (status, f"xdock: {sentence}\n", ""), words)
    done = lab.xdock("-j", *words, check=False, ns=ns)
    kind = {1: "usage", 2: "system", 3: "missing"}[status]
    expect((done.returncode, done.stderr, json.loads(done.stdout)),
           (status, "", {"error": {"kind": kind, "message": sentence}}), ("-j", *words))


def go_through(lab, table, ns="host"):
    for status, words, sentence in table:
        refuses(lab, status, sentence, *(words.split() if isinstance(words, str) else words), ns=ns)


def test_refuses_wrong_words_and_changes_nothing_where_nothing_is_up(lab):
    before = machine(lab)
    go_through(lab, DOWN)
    go_through(lab, NAMESPACES, ns=None)
    same(machine(lab), before, "machine")


def test_refuses_wrong_words_and_changes_nothing_where_it_is_up(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80")
    lab.xdock("container", "add", "sib")
    before = instance(lab, "web", "sib")
    go_through(lab, UP)
    same(instance(lab, "web", "sib"), before, "instance")


def test_refuses_every_malformed_port_spec(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web", "-p", "8080:80")
    before = instance(lab)
    for status, spec, sentence in SPECS:
        refuses(lab, status, sentence, "port", "add", "web", "--", spec)
        refuses(lab, status, sentence, "port", "rm", "--", spec)
        refuses(lab, status, sentence, "container", "add", "new", "-p", spec)
        refuses(lab, status, sentence, "run", "-p", spec, "--", "true")
    same(instance(lab), before, "instance")


def test_says_that_it_is_not_up(lab):
    before = machine(lab)
    cookie = lab.xdock("status", check=False).stdout.split()[0]
    sentence = f"not up: no pins in /sys/fs/bpf/xdock/{cookie}; `xdock up` makes them"
    for words in ("container add web", "container rm web", "container list", "port list",
                  "container exec web -- true", "port add web 80", "port rm 80", "stats", "drops",
                  "flow list", "flow list --sample 60", "flow flush",
                  "run -- true"):
        refuses(lab, 3, sentence, *words.split())
    same(machine(lab), before, "machine")


def test_a_port_that_a_process_holds_is_refused_until_it_is_let_go(lab):
    lab.xdock("up")
    lab.xdock("container", "add", "web")
    before = instance(lab)
    for protocol in ("tcp", "udp"):
        for held, wanted in (("", ""), ("127.0.0.1", ""), (HOST, ""), ("", HOST), (HOST, HOST)):
            spec = f"{wanted}:9000:80" if wanted else "9000:80"
            name = f"{wanted}:9000" if wanted else "9000"
            sock = lab.bound("host", 9000, protocol, held)
            if protocol == "tcp":
                sock.listen()
            refuses(lab, 2, f"port {name}/{protocol}: in use by a process of this host",
                    "port", "add", "web", f"{spec}/{protocol}")
            same(instance(lab), before, "instance")
            sock.close()
            lab.xdock("port", "add", "web", f"{spec}/{protocol}")
            lab.xdock("port", "rm", f"9000/{protocol}")
    lab.bound("host", 9050, "tcp", "127.0.0.1").listen()
    refuses(lab, 2, "port 9050/tcp: in use by a process of this host", "container", "add", "new",
            "-p", "9000-9099:9000-9099")
    same(instance(lab), before, "instance")


def test_a_bridge_with_another_address_is_refused(lab):
    lab.ip("-n host link add docker0 type bridge", "-n host addr add 10.9.8.1/24 dev docker0",
           "-n host link set docker0 up", "-n host link set docker0 down")
    before = machine(lab)
    refuses(lab, 2, "docker0: exists with address 10.9.8.1/24, not 172.17.0.1/16; "
            "--subnet 10.9.8.1/24 uses it as it is", "up")
    same(machine(lab), before, "machine")
    lab.xdock("up", "--subnet", "10.9.8.1/24")
    lab.xdock("down")
    same(machine(lab), before, "machine after down")
    lab.ip("-n host link del docker0")


def test_a_docker0_that_is_no_bridge_is_refused(lab):
    lab.ip("-n host link add docker0 type veth peer name other")
    before = machine(lab)
    refuses(lab, 2, "docker0: exists and is no bridge", "up")
    same(machine(lab), before, "machine")
    lab.ip("-n host link del docker0")


def test_says_that_it_needs_root(lab):
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", XDOCK]
    for words in (["status"], ["up"], ["check"], ["container", "list"]):
        done = run(nobody + words, check=False)
        expect((done.returncode, done.stderr, done.stdout),
               (2, "xdock: xdock has to be run by root\n", ""), words)
    for words in (["version"], ["help"]):
        expect(run(nobody + words).stderr, "", words)


def test_says_that_bpffs_is_missing(lab):
    before = machine(lab)
    for words in ("up", "down", "status", "check", "container list"):
        script = f"mount -t tmpfs tmpfs /sys/fs/bpf && exec {XDOCK} -N host {words}"
        done = run(["unshare", "-m", "sh", "-c", script], check=False)
        expect((done.returncode, done.stderr, done.stdout),
               (2, "xdock: /sys/fs/bpf: no bpffs is mounted here; do `mount -t bpf bpf /sys/fs/bpf`\n",
                ""), words)
    same(machine(lab), before, "machine")


def test_says_what_to_use_instead_of_ip_netns_exec(lab):
    lab.xdock("up")
    for words in (["status"], ["up"], ["container", "list"]):
        done = run(["ip", "netns", "exec", "host", XDOCK, *words], check=False)
        expect((done.returncode, done.stderr, done.stdout),
               (2, "xdock: /sys/fs/bpf: `ip netns exec host` has mounted another /sys here; use "
                "`xdock -N host` or `nsenter --net=/run/netns/host`\n", ""), words)
    expect(lab.host(XDOCK, "status").stdout, lab.xdock("status").stdout)


def test_names_the_feature_that_the_kernel_lacks(lab):
    before = machine(lab)
    for lack, feature, sentence in (
            ("redirect_peer", "bpf_redirect_peer()", "this kernel lacks bpf_redirect_peer(), needed "
             "for packets into containers; Linux 5.10 has it"),
            ("cookie", "SO_NETNS_COOKIE", "network namespaces have no cookie on this kernel; "
             "Linux 5.14 and later have")):
        done = xdock("up", LACK=lack)
        expect((done.returncode, done.stderr.splitlines()[-1], done.stdout),
               (2, f"xdock: {sentence}", ""), lack)
        done = xdock("-j", "check", LACK=lack)
        states = {row["feature"]: row["state"] for row in json.loads(done.stdout)["features"]}
        expect((done.returncode, states.pop(feature)), (2, "MISSING"), feature)
        missing = [name for name, state in states.items() if state == "MISSING"]
        expect(missing, ["xdock's programs"] if lack == "redirect_peer" else [], lack)
    same(machine(lab), before, "machine")


def test_check_finds_nothing_missing_on_this_kernel(lab):
    features = lab.xdock("check", json=True)["features"]
    expect([row for row in features if row["state"] == "MISSING"], [])
    expect(len(features) > 10, True)


def test_lacking_tcx_is_absent_and_no_error(lab):
    done = xdock("-j", "check", LACK="tcx")
    states = {row["feature"]: row["state"] for row in json.loads(done.stdout)["features"]}
    expect((done.returncode, states["tcx"]), (0, "absent"))
    expect(os.path.exists("/sys/fs/bpf/xdock"), False)
