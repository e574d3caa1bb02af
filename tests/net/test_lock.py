# SPDX-License-Identifier: GPL-2.0-only
"""The lock of the writers, which is the root of the pins: only root takes it."""

import os
import subprocess

from lab import HOST, CLIENT, XDOCK, expect
from state import instance, machine, same

ROOT = "/sys/fs/bpf/xdock"
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
REFUSAL = f"xdock: {ROOT}: others than root may write to it; remove it, it is not of xdock\n"


def test_who_is_not_root_cannot_hold_a_command_up(lab):
    lab.xdock("up")
    lab.add("web")
    # What it can lock, it does.
    holder = lab.background("host", *NOBODY, "flock", "/proc/self/ns/net", "sh", "-c",
                            "echo ready; exec sleep 60", stdout=subprocess.PIPE)
    expect(holder.stdout.readline(), b"ready\n", "holder")
    done = lab.host(*NOBODY, "flock", "--nonblock", ROOT, "true", check=False)
    expect("Permission denied" in done.stderr, True, done)
    command = lab.background("host", XDOCK, "port", "add", "web", "8080:80",
                             stdout=subprocess.DEVNULL)
    expect(command.wait(30), 0, "exit")
    expect(holder.poll(), None, "exit of the holder")
    expect(lab.tcp("client", HOST, 8080)[:2], ("web", CLIENT))


def expect_refusals(lab, *commands):
    for words in commands:
        done = lab.xdock(*words.split(), check=False)
        expect((done.returncode, done.stderr, done.stdout), (2, REFUSAL, ""), words)


def test_a_root_of_the_pins_that_another_user_made_is_refused_by_name(lab):
    before = machine(lab)
    for owner, mode in (65534, 0o700), (65534, 0o755), (0, 0o777), (0, 0o720):
        os.mkdir(ROOT)
        os.chmod(ROOT, mode)
        os.chown(ROOT, owner, owner)
        expect_refusals(lab, "up", "up br9 --subnet 10.9.0.0/16", "down", "container add web",
                        "container rm web", "port add web 80", "port rm 80", "run -- true")
        found = os.stat(ROOT)
        expect((found.st_uid, found.st_mode & 0o777), (owner, mode), "directory")
        os.rmdir(ROOT)
        same(machine(lab), before, "machine")


def test_a_link_in_place_of_the_root_of_the_pins_is_refused(lab):
    before = machine(lab)
    os.mkdir("/sys/fs/bpf/theirs")
    os.symlink("/sys/fs/bpf/theirs", ROOT)
    for words in "up", "down":
        done = lab.xdock(words, check=False)
        expect((done.returncode, done.stderr.count("\n"), ROOT in done.stderr), (2, 1, True), done)
    os.unlink(ROOT)
    expect(os.listdir("/sys/fs/bpf/theirs"), [], "in theirs")
    os.rmdir("/sys/fs/bpf/theirs")
    same(machine(lab), before, "machine")


def test_a_root_of_the_pins_that_was_given_away_is_refused_and_traffic_goes_on(lab):
    lab.xdock("up")
    lab.add("web", "-p", "8080:80")
    before = instance(lab)
    os.chown(ROOT, 65534, 65534)
    expect_refusals(lab, "up", "down", "container add new", "container rm web", "port add web 81",
                    "port rm 8080", "run -- true")
    expect(lab.tcp("client", HOST, 8080)[:2], ("web", CLIENT))
    os.chown(ROOT, 0, 0)
    same(instance(lab), before, "instance")
