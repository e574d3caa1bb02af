// SPDX-License-Identifier: GPL-2.0-only
/* Commands in the namespaces of containers. */
#include "loader/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/error.h"
#include "loader/netns.h"

/* Rounds of killing what a command left: each one reaches the children of the last. */
#define KILL_ROUNDS 64

static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH };

static void make_mask(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(set, forwarded[i]);
}

/* A sysfs shows the network namespace of the one who mounts it. */
static int mount_sys(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		return -errno;
	umount2("/sys", MNT_DETACH);
	return mount("xdock", "/sys", "sysfs", 0, NULL) ? -errno : 0;
}

/* The child's life: until execvp() it tells its failures as a number. */
static void child(char *const argv[], pid_t parent, int ready, int go, int failure)
{
	sigset_t none;
	char byte = 0;
	int r = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || unshare(CLONE_NEWNET))
		r = -errno;
	if (!r)
		r = mount_sys();
	signal(SIGPIPE, SIG_DFL);
	if (!r && write(ready, &byte, 1) == 1 && read(go, &byte, 1) == 1) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execvp(argv[0], argv);
		r = -errno;
	}
	if (write(failure, &r, sizeof(r)) != sizeof(r))
		_exit(1);
	_exit(127);
}

int xd_process_start(char *const argv[], struct xd_process *ret_process)
{
	int ready[2] = { -1, -1 }, go[2] = { -1, -1 }, failure[2] = { -1, -1 };
	struct xd_process process = { .netns_fd = -1 };
	pid_t parent = getpid();
	sigset_t mask;
	char byte;
	int r = 0;

	if (pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC) || pipe2(failure, O_CLOEXEC)) {
		r = xd_error_system(-errno, "command %s", argv[0]);
		goto close;
	}
	make_mask(&mask);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	process.pid = fork();
	if (process.pid < 0) {
		r = xd_error_system(-errno, "command %s", argv[0]);
		goto close;
	}
	if (!process.pid) {
		close(ready[0]);
		close(go[1]);
		close(failure[0]);
		child(argv, parent, ready[1], go[0], failure[1]);
	}
	close(ready[1]);
	ready[1] = -1;
	close(failure[1]);
	failure[1] = -1;
	if (read(ready[0], &byte, 1) != 1) {
		if (read(failure[0], &r, sizeof(r)) != sizeof(r) || !r)
			r = -ECHILD;
		r = xd_error_system(r, "command %s: make its namespaces", argv[0]);
	}
	if (!r)
		r = xd_netns_open_pid(process.pid, &process.netns_fd);
	process.name = argv[0];
	process.go_fd = go[1];
	process.failure_fd = failure[0];
	go[1] = failure[0] = -1;
	if (r)
		xd_process_kill(&process);
	else
		*ret_process = process;
close:
	for (int i = 0; i < 2; i++) {
		if (ready[i] >= 0)
			close(ready[i]);
		if (go[i] >= 0)
			close(go[i]);
		if (failure[i] >= 0)
			close(failure[i]);
	}
	return r;
}

static void close_all(struct xd_process *process)
{
	if (process->netns_fd >= 0)
		close(process->netns_fd);
	if (process->go_fd >= 0)
		close(process->go_fd);
	if (process->failure_fd >= 0)
		close(process->failure_fd);
	process->netns_fd = process->go_fd = process->failure_fd = -1;
}

int xd_process_go(struct xd_process *process)
{
	char byte = 0;
	int r = 0;

	if (write(process->go_fd, &byte, 1) != 1)
		return xd_error_system(-errno, "command");
	/* A successful exec() closes the pipe. */
	if (read(process->failure_fd, &r, sizeof(r)) != sizeof(r))
		r = 0;
	close_all(process);
	return r ? xd_error_system(r, "command %s", process->name) : 0;
}

/* Orphans became our children, since we are their subreaper. */
static void kill_rest(void)
{
	char path[64], line[4096];

	snprintf(path, sizeof(path), "/proc/self/task/%ld/children", syscall(SYS_gettid));
	for (int i = 0; i < KILL_ROUNDS; i++) {
		FILE *children = fopen(path, "re");
		char *next = line;

		if (!children)
			return;
		if (!fgets(line, sizeof(line), children))
			line[0] = '\0';
		fclose(children);
		if (!line[0])
			return;
		for (long pid = strtol(next, &next, 10); pid > 0; pid = strtol(next, &next, 10))
			kill(pid, SIGKILL);
		waitpid(-1, NULL, 0);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

int xd_process_wait(struct xd_process *process, int *ret_status)
{
	bool is_over = false;
	sigset_t mask;

	make_mask(&mask);
	while (!is_over) {
		siginfo_t info;
		int status;
		pid_t pid;

		if (sigwaitinfo(&mask, &info) < 0 && errno != EINTR)
			return xd_error_system(-errno, "wait for the command");
		/* What a terminal sends, it sends to the command as well. */
		if (info.si_signo != SIGCHLD && info.si_code != SI_KERNEL)
			kill(process->pid, info.si_signo);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
			if (pid != process->pid)
				continue;
			is_over = true;
			*ret_status = WIFEXITED(status) ? WEXITSTATUS(status)
							: 128 + WTERMSIG(status);
		}
	}
	kill_rest();
	return 0;
}

void xd_process_kill(struct xd_process *process)
{
	close_all(process);
	kill(process->pid, SIGKILL);
	waitpid(process->pid, NULL, 0);
}

int xd_process_exec(int netns_fd, char *const argv[])
{
	int r = xd_netns_enter(netns_fd);

	if (r)
		return r;
	r = mount_sys();
	if (r)
		return xd_error_system(r, "command %s: mount /sys", argv[0]);
	/* What is ignored stays so behind exec(). */
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	return xd_error_system(-errno, "command %s", argv[0]);
}
