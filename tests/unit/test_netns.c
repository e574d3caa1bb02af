// SPDX-License-Identifier: GPL-2.0-only
/* Network namespaces: opening, making, keeping and removing, also by commands that are killed. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/error.h"
#include "loader/netns.h"

#define WEB "/run/xdock/net-1/web"

/* The test's mounts and its /run are its own: nothing is left on the machine. */
static int enter_private(void **state)
{
	(void)state;
	if (geteuid()) {
		print_message("skipped: namespaces are made by root only\n");
		return 0;
	}
	return unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	       mount("", "/", "none", MS_REC | MS_PRIVATE, NULL);
}

static int make_run(void **state)
{
	(void)state;
	xd_error_clear();
	return geteuid() ? 0 : mount("run", "/run", "tmpfs", 0, "mode=755");
}

static int drop_run(void **state)
{
	(void)state;
	return geteuid() ? 0 : umount2("/run", MNT_DETACH);
}

static void require_root(void)
{
	if (geteuid())
		skip();
}

/* The number of a namespace as stat() has it, which all of these tests compare. */
static ino_t inode(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static ino_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static ino_t own(void)
{
	return inode("/proc/thread-self/ns/net");
}

/* Mounts on path; ret_is_shared of the last one. */
static int count_mounts(const char *path, bool *ret_is_shared)
{
	char line[1024], target[512];
	int count = 0;
	FILE *mounts;

	mounts = fopen("/proc/thread-self/mountinfo", "re");
	assert_non_null(mounts);
	while (fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*s %*s %*s %*s %511s", target) != 1 || strcmp(target, path))
			continue;
		count++;
		if (ret_is_shared)
			*ret_is_shared = strstr(line, " shared:");
	}
	fclose(mounts);
	return count;
}

/* A child that does not outlive a test that fails. */
static pid_t fork_child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* A child in a network namespace of its own, which waits for its end. */
static pid_t start_child(void)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork_child();
	if (!pid) {
		if (unshare(CLONE_NEWNET) || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void stop_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void assert_message(const char *message)
{
	assert_string_equal(xd_error_message(), message);
}

static void opens_name_path_and_pid(void **state)
{
	char path[64], pid[16];
	pid_t child;
	int fd;

	(void)state;
	require_root();
	assert_int_equal(system("ip netns add foo"), 0);
	assert_int_not_equal(inode("/run/netns/foo"), own());

	assert_int_equal(xd_netns_open("foo", &fd), 0);
	assert_int_equal(inode_of(fd), inode("/run/netns/foo"));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_int_equal(xd_netns_open("/run/netns/foo", &fd), 0);
	assert_int_equal(inode_of(fd), inode("/run/netns/foo"));
	close(fd);

	child = start_child();
	snprintf(pid, sizeof(pid), "%d", child);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", child);
	assert_int_equal(xd_netns_open(pid, &fd), 0);
	assert_int_equal(inode_of(fd), inode(path));
	assert_int_not_equal(inode_of(fd), own());
	close(fd);
	stop_child(child);
}

static void prefers_name_of_digits_to_pid(void **state)
{
	char command[64], pid[16], path[64];
	pid_t child;
	int fd;

	(void)state;
	require_root();
	child = start_child();
	snprintf(pid, sizeof(pid), "%d", child);
	snprintf(command, sizeof(command), "ip netns add %s", pid);
	snprintf(path, sizeof(path), "/run/netns/%s", pid);
	assert_int_equal(system(command), 0);
	assert_int_equal(xd_netns_open(pid, &fd), 0);
	assert_int_equal(inode_of(fd), inode(path));
	close(fd);
	stop_child(child);
}

static void says_which_namespace_is_missing(void **state)
{
	static const struct {
		const char *what;
		const char *message;
	} cases[] = {
		{ "foo", "namespace foo: no such name in /run/netns" },
		{ "/run/nope", "namespace /run/nope: no such file" },
		{ "/etc/passwd/x", "namespace /etc/passwd/x: no such file" },
		{ "2147483647", "namespace of process 2147483647: no such process" },
		{ "0", "namespace 0: no such name in /run/netns" },
		{ "4294967297", "namespace 4294967297: no such name in /run/netns" },
		{ "99999999999999999999",
		  "namespace 99999999999999999999: no such name in /run/netns" },
	};
	size_t i;
	int fd = -7;

	(void)state;
	require_root();
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		xd_error_clear();
		assert_int_equal(xd_netns_open(cases[i].what, &fd), -ENOENT);
		assert_int_equal(xd_error_kind(), XD_ERROR_MISSING);
		assert_message(cases[i].message);
		assert_int_equal(fd, -7);
	}
}

static void refuses_what_is_no_network_namespace(void **state)
{
	static const char *const paths[] = { "/etc/passwd", "/run/", "/dev/null",
					     "/proc/self/ns/mnt", "/run/fifo" };
	char message[128];
	size_t i;
	int fd = -7;

	(void)state;
	require_root();
	assert_int_equal(mkfifo("/run/fifo", 0600), 0);
	alarm(10); /* an open() of the FIFO that blocks ends the test */
	for (i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		assert_int_equal(xd_netns_open(paths[i], &fd), -EINVAL);
		snprintf(message, sizeof(message), "namespace %s: not a network namespace",
			 paths[i]);
		assert_message(message);
		assert_int_equal(fd, -7);
	}
	alarm(0);
}

static void enters_and_comes_back(void **state)
{
	ino_t home;
	int self, other;

	(void)state;
	require_root();
	home = own();
	assert_int_equal(xd_netns_open_self(&self), 0);
	assert_int_equal(inode_of(self), home);
	assert_int_equal(xd_netns_add("/run/other", &other), 0);
	assert_int_equal(xd_netns_enter(other), 0);
	assert_int_equal(own(), inode("/run/other"));
	assert_int_equal(xd_netns_enter(self), 0);
	assert_int_equal(own(), home);
	close(self);
	close(other);
}

static void enters_nothing_that_is_no_namespace(void **state)
{
	int fd;

	(void)state;
	require_root();
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(xd_netns_enter(fd), -EINVAL);
	assert_message("enter the network namespace: Invalid argument");
	close(fd);
}

static void has_one_cookie_for_each_namespace(void **state)
{
	__u64 home = 0, other = 0, again = 0;
	int self, fd;

	(void)state;
	require_root();
	assert_int_equal(xd_netns_open_self(&self), 0);
	assert_int_equal(xd_netns_add("/run/other", &fd), 0);
	assert_int_equal(xd_netns_cookie(&home), 0);
	assert_int_equal(xd_netns_enter(fd), 0);
	assert_int_equal(xd_netns_cookie(&other), 0);
	assert_int_equal(xd_netns_enter(self), 0);
	assert_int_equal(xd_netns_cookie(&again), 0);
	assert_int_not_equal(home, 0);
	assert_int_not_equal(other, 0);
	assert_int_not_equal(other, home);
	assert_int_equal(again, home);
	close(self);
	close(fd);
}

static void knows_the_same_namespace(void **state)
{
	int self, again, other;

	(void)state;
	require_root();
	assert_int_equal(xd_netns_open_self(&self), 0);
	assert_int_equal(xd_netns_open_pid(getpid(), &again), 0);
	assert_int_equal(xd_netns_add("/run/other", &other), 0);
	assert_true(xd_netns_is_same(self, again));
	assert_false(xd_netns_is_same(self, other));
	assert_false(xd_netns_is_same(self, -1));
	close(self);
	close(again);
	close(other);
}

static void adds_namespace_below_shared_folder(void **state)
{
	bool is_shared = false;
	struct stat st;
	ino_t home;
	int fd;

	(void)state;
	require_root();
	home = own();
	umask(022);
	assert_int_equal(xd_netns_add(WEB, &fd), 0);
	assert_int_equal(own(), home);
	assert_int_not_equal(inode(WEB), home);
	assert_int_equal(inode_of(fd), inode(WEB));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_int_equal(system("nsenter --net=" WEB " ip link show lo >/dev/null"), 0);
	assert_int_equal(count_mounts(WEB, NULL), 1);
	assert_int_equal(count_mounts("/run/xdock", &is_shared), 1);
	assert_true(is_shared);
	assert_int_equal(count_mounts("/run/xdock/net-1", NULL), 0);
	assert_int_equal(stat("/run/xdock", &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(stat("/run/xdock/net-1", &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
}

static void keeps_namespace_that_is_there(void **state)
{
	ino_t first;
	int fd;

	(void)state;
	require_root();
	assert_int_equal(xd_netns_add(WEB, &fd), 0);
	close(fd);
	first = inode(WEB);
	assert_int_equal(xd_netns_add(WEB, &fd), 0);
	assert_int_equal(inode_of(fd), first);
	close(fd);
	assert_int_equal(inode(WEB), first);
	assert_int_equal(count_mounts(WEB, NULL), 1);
	assert_int_equal(count_mounts("/run/xdock", NULL), 1);
}

static void finishes_what_killed_command_left(void **state)
{
	bool is_shared = false;
	int fd;

	(void)state;
	require_root();
	/* The folder is a mount, but not shared yet; the file is there, but empty. */
	assert_int_equal(mkdir("/run/xdock", 0755), 0);
	assert_int_equal(mount("/run/xdock", "/run/xdock", "none", MS_BIND, NULL), 0);
	assert_int_equal(mkdir("/run/xdock/net-1", 0755), 0);
	assert_int_equal(mknod(WEB, S_IFREG, 0), 0);
	assert_int_equal(xd_netns_add(WEB, &fd), 0);
	assert_int_equal(inode_of(fd), inode(WEB));
	assert_int_not_equal(inode_of(fd), own());
	close(fd);
	assert_int_equal(count_mounts(WEB, NULL), 1);
	assert_int_equal(count_mounts("/run/xdock", &is_shared), 1);
	assert_true(is_shared);
}

static void leaves_what_somebody_else_put_there(void **state)
{
	struct stat st;
	int fd = -7;

	(void)state;
	require_root();
	assert_int_equal(system("mkdir -p /run/xdock/net-1 && echo mine >" WEB), 0);
	assert_int_equal(xd_netns_add(WEB, &fd), -EEXIST);
	assert_message("namespace " WEB ": something else is there");
	assert_int_equal(stat(WEB, &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(xd_netns_add("/run/xdock/net-1", &fd), -EISDIR);
	assert_int_equal(symlink("/etc/passwd", "/run/xdock/link"), 0);
	assert_int_equal(xd_netns_add("/run/xdock/link", &fd), -ELOOP);
	assert_int_equal(xd_netns_add("web", &fd), -EINVAL);
	assert_int_equal(fd, -7);
}

static void is_seen_in_other_mount_namespaces(void **state)
{
	int fd, go[2], status;
	pid_t pid;
	char c;

	(void)state;
	require_root();
	assert_int_equal(xd_netns_add("/run/xdock/net-1/first", &fd), 0);
	close(fd);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	pid = fork_child();
	if (!pid) {
		close(go[1]);
		/* Twice: once the other one is told of, once it is gone. */
		if (unshare(CLONE_NEWNS) || kill(getpid(), SIGSTOP) || read(go[0], &c, 1) != 1)
			_exit(1);
		if (count_mounts(WEB, NULL) != 1 || xd_netns_open(WEB, &fd))
			_exit(2);
		close(fd);
		if (kill(getpid(), SIGSTOP) || read(go[0], &c, 1) != 1)
			_exit(3);
		_exit(count_mounts(WEB, NULL) ? 4 : 0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(xd_netns_add(WEB, &fd), 0);
	close(fd);
	assert_int_equal(write(go[1], "x", 1), 1);
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(xd_netns_remove(WEB), 0);
	assert_int_equal(write(go[1], "x", 1), 1);
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(go[0]);
	close(go[1]);
}

static void removes_namespace_and_its_file(void **state)
{
	int fd;

	(void)state;
	require_root();
	assert_int_equal(xd_netns_add(WEB, &fd), 0);
	/* In use: goes all the same. */
	assert_int_equal(xd_netns_remove(WEB), 0);
	close(fd);
	assert_int_equal(count_mounts(WEB, NULL), 0);
	assert_int_equal(access(WEB, F_OK), -1);
	assert_int_equal(xd_netns_remove(WEB), 0);
	assert_int_equal(xd_netns_remove("/run/nope/web"), 0);
	/* Stacked mounts, and a file that none is on. */
	assert_int_equal(xd_netns_add(WEB, &fd), 0);
	close(fd);
	assert_int_equal(mount("/proc/self/ns/net", WEB, "none", MS_BIND, NULL), 0);
	assert_int_equal(count_mounts(WEB, NULL), 2);
	assert_int_equal(xd_netns_remove(WEB), 0);
	assert_int_equal(count_mounts(WEB, NULL), 0);
	assert_int_equal(mknod(WEB, S_IFREG, 0), 0);
	assert_int_equal(xd_netns_remove(WEB), 0);
	assert_int_equal(access(WEB, F_OK), -1);
}

static void survives_kill_at_any_time(void **state)
{
	int fd, round;
	pid_t pid;

	(void)state;
	require_root();
	for (round = 0; round < 60; round++) {
		pid = fork_child();
		if (!pid) {
			for (;;) {
				if (xd_netns_add(WEB, &fd) || close(fd) || xd_netns_remove(WEB))
					_exit(1);
			}
		}
		usleep(round * 137);
		stop_child(pid);
		assert_int_equal(xd_netns_add(WEB, &fd), 0);
		assert_int_equal(inode_of(fd), inode(WEB));
		close(fd);
		assert_int_equal(count_mounts(WEB, NULL), 1);
		assert_int_equal(count_mounts("/run/xdock", NULL), 1);
		assert_int_equal(xd_netns_remove(WEB), 0);
		assert_int_equal(count_mounts(WEB, NULL), 0);
		assert_int_equal(access(WEB, F_OK), -1);
		/* Each round makes the shared folder anew. */
		assert_int_equal(umount2("/run/xdock", MNT_DETACH), 0);
		assert_int_equal(system("rm -r /run/xdock"), 0);
	}
}

static void shares_the_folder_once_for_many_at_a_time(void **state)
{
	char path[64];
	int fd, i, round, status, start[2];
	pid_t pids[8];

	(void)state;
	require_root();
	for (round = 0; round < 50; round++) {
		assert_int_equal(pipe2(start, O_CLOEXEC), 0);
		for (i = 0; i < 8; i++) {
			pids[i] = fork_child();
			if (pids[i])
				continue;
			/* All at once, when the writing end is closed. */
			close(start[1]);
			if (read(start[0], path, 1))
				_exit(2);
			snprintf(path, sizeof(path), "/run/xdock/net-%d/web", i);
			_exit(xd_netns_add(path, &fd) ? 1 : 0);
		}
		close(start[0]);
		close(start[1]);
		for (i = 0; i < 8; i++) {
			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			assert_int_equal(status, 0);
		}
		assert_int_equal(count_mounts("/run/xdock", NULL), 1);
		for (i = 0; i < 8; i++) {
			snprintf(path, sizeof(path), "/run/xdock/net-%d/web", i);
			assert_int_equal(count_mounts(path, NULL), 1);
			assert_int_equal(xd_netns_remove(path), 0);
		}
		assert_int_equal(umount2("/run/xdock", MNT_DETACH), 0);
		assert_int_equal(system("rm -r /run/xdock"), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_run, drop_run)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opens_name_path_and_pid),
		TEST(prefers_name_of_digits_to_pid),
		TEST(says_which_namespace_is_missing),
		TEST(refuses_what_is_no_network_namespace),
		TEST(enters_and_comes_back),
		TEST(enters_nothing_that_is_no_namespace),
		TEST(has_one_cookie_for_each_namespace),
		TEST(knows_the_same_namespace),
		TEST(adds_namespace_below_shared_folder),
		TEST(keeps_namespace_that_is_there),
		TEST(finishes_what_killed_command_left),
		TEST(leaves_what_somebody_else_put_there),
		TEST(is_seen_in_other_mount_namespaces),
		TEST(removes_namespace_and_its_file),
		TEST(survives_kill_at_any_time),
		TEST(shares_the_folder_once_for_many_at_a_time),
	};

	return cmocka_run_group_tests(tests, enter_private, NULL);
}
