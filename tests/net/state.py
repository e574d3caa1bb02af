# SPDX-License-Identifier: GPL-2.0-only
"""What a machine and an instance look like, to be compared; xdock with tests/net/shim.c preloaded.

machine() is everything that `down` has to leave as it was. instance() is what `up` and the rest
made, without what may differ from one time to the next: interface numbers, the bridge's random
MAC address, times, counts, rows that packets make."""

import glob
import json
import os
import re
import subprocess
import tempfile

from lab import HERE, XDOCK, expect, run

SHIM = "/run/shim.so"  # /run is the test's own

# Written by the loader alone; a row is the same whenever the same was asked for.
MAPS = ("network", "uplink", "endpoint", "address", "port", "port_rev", "limit", "list")

# These change by themselves.
RESTLESS = ("operstate", "carrier", "carrier_changes", "NO-CARRIER", "LOWER_UP", "cache", "expires",
            "preferred_life_time", "valid_life_time", "hello_timer", "tcn_timer",
            "topology_change_timer", "gc_timer")
# What another veth pair, bridge or program of the same name has otherwise.
PERSONAL = (*RESTLESS, "ifindex", "link_index", "link_netnsid", "address", "id")


def ip(lab, ns, *words):
    return json.loads(lab.run(ns, "ip", "-j", *words).stdout or "[]")


def strip(value, names):
    """Without the members of these names, at any depth."""
    if isinstance(value, list):
        return [strip(item, names) for item in value if item and item not in names]
    if isinstance(value, dict):
        return {k: strip(v, names) for k, v in value.items() if k not in names}
    return value


def tree(top):
    return sorted(glob.glob(f"{top}/**", recursive=True))


def sysctls(lab):
    values = {}
    with lab.inside("host"):
        for path in tree("/proc/sys/net"):
            if os.path.isfile(path) and os.access(path, os.R_OK) and "conntrack_count" not in path:
                try:
                    with open(path) as file:
                        values[path] = file.read()
                except OSError:
                    values[path] = None
    return values


def machine(lab):
    links = strip(ip(lab, "host", "-d", "link"), RESTLESS)
    filters = {}
    for link in links:
        for side in ("ingress", "egress"):
            words = ("tc", "-j", "filter", "show", "dev", link["ifname"], side)
            filters[link["ifname"], side] = lab.host(*words, check=False).stdout.strip()
    return {
        "links": links,
        "addresses": strip(ip(lab, "host", "-4", "addr"), RESTLESS),
        "routes": strip(ip(lab, "host", "-4", "route", "show", "table", "all"), RESTLESS),
        "rules": ip(lab, "host", "rule"),
        "qdiscs": lab.host("tc", "-j", "qdisc").stdout,
        "filters": filters,
        "sysctls": sysctls(lab),
        "nft": lab.host("nft", "list", "ruleset", check=False).stdout,
        "pins": tree("/sys/fs/bpf"),
        "run": tree("/run/xdock"),
    }


def pins():
    return next(iter(glob.glob("/sys/fs/bpf/xdock/net-*")), None)


def dump(name):
    """Rows of a pinned map, as its BTF prints them."""
    done = run(["bpftool", "-j", "map", "dump", "pinned", f"{pins()}/xd_{name}"])
    return [row["formatted"] for row in json.loads(done.stdout)]


def raw(name):
    """Rows of a pinned map as {key: value}, bytes both."""
    done = run(["bpftool", "-j", "map", "dump", "pinned", f"{pins()}/xd_{name}"])
    rows = json.loads(done.stdout)
    return {octets(row["key"]): octets(row["value"]) for row in rows}


def octets(words):
    return bytes(int(word, 16) for word in words)


def put(name, rows):
    """Writes rows of a pinned map, {key: value} as bytes."""
    lines = [f"map update pinned {pins()}/xd_{name} key hex {key.hex(' ')} value hex {value.hex(' ')}\n"
             for key, value in rows.items()]
    with tempfile.NamedTemporaryFile("w", dir="/run") as file:
        file.writelines(lines)
        file.flush()
        run(["bpftool", "batch", "file", file.name])


def rename(value, names, field=""):
    """Interface numbers become names, MAC addresses of the bridge a word."""
    if isinstance(value, dict):
        return {k: rename(v, names, k) for k, v in value.items()}
    if field in ("mac", "gateway_mac"):
        return names.get(str(value), value)
    if isinstance(value, list):
        return [rename(item, names, field) for item in value]
    if isinstance(value, int) and field in ("ifindex", "bridge", "key"):
        return names.get(value, value)
    return value


def instance(lab, *containers):
    links = ip(lab, "host", "link")
    names = {link["ifindex"]: link["ifname"] for link in links}
    for link in links:
        if link["ifname"] == "docker0":
            names[link["address"]] = "of the bridge"
            names[str([int(byte, 16) for byte in link["address"].split(":")])] = "of the bridge"
    state = {
        "status": strip(lab.xdock("status", json=True), ("maps",)),
        "ports": lab.xdock("port", "list", json=True),
        "containers": lab.xdock("container", "list", json=True),
        **{name: dump(name) for name in MAPS},
        "reserved": lab.read("host", "/proc/sys/net/ipv4/ip_local_reserved_ports"),
        "journal": [row["key"] for row in dump("undo")],
        "links": strip(links, PERSONAL),
        "addresses": strip(ip(lab, "host", "-4", "addr"), PERSONAL),
        "programs": sorted(os.listdir(f"{pins()}/prog")),
        "hooks": sorted(re.sub(r"(?<=-)\d+$", lambda number: names[int(number[0])], name)
                        for name in os.listdir(f"{pins()}/link")),
        "namespaces": glob.glob("/run/xdock/*/*"),
    }
    state = rename(state, names)
    for name in containers:
        state[f"in {name}"] = [strip(ip(lab, name, *words), (*RESTLESS, "ifindex", "link_index"))
                               for words in (("link",), ("-4", "addr"), ("-4", "route"))]
    return {name: ordered(part) for name, part in state.items()}


def ordered(value):
    """Rows of a hash have no order."""
    if isinstance(value, dict):
        return {name: ordered(part) for name, part in value.items()}
    if isinstance(value, list):
        return sorted(map(ordered, value), key=lambda row: json.dumps(row, sort_keys=True))
    return value


def same(actual, expected, what):
    """Says only what differs."""
    for part in expected:
        if actual.get(part) != expected[part]:
            a, b = actual.get(part), expected[part]
            if isinstance(b, dict):
                keys = [key for key in {**a, **b} if a.get(key) != b.get(key)]
                a, b = {key: a.get(key) for key in keys}, {key: b.get(key) for key in keys}
            elif isinstance(b, list):
                a, b = [row for row in a if row not in b], [row for row in b if row not in a]
            expect(a, b, f"{what}: {part}")


def environment(**shim):
    """In which xdock is run with the shim: KILL=3, STOP=3, LACK="tcx"."""
    if not os.path.exists(SHIM):
        run(["cc", "-O2", "-shared", "-fPIC", "-o", SHIM, f"{HERE}/shim.c", "-ldl"])
    # A sanitizer wants to be first, but does not have to.
    return {**os.environ, "LD_PRELOAD": SHIM, "ASAN_OPTIONS": "verify_asan_link_order=0",
            **{f"XD_SHIM_{name}": str(value) for name, value in shim.items()}}


def xdock(*words, **shim):
    """xdock on the host with the shim. Returns the finished process."""
    return subprocess.run([XDOCK, "-N", "host", *map(str, words)], env=environment(**shim),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
