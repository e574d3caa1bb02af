/* SPDX-License-Identifier: GPL-2.0-only */
/* Commands in the namespaces of containers.
 *
 * A command sees a /sys of its network namespace, mounted in a mount namespace of its own. */
#ifndef XD_PROCESS_H
#define XD_PROCESS_H

#include <sys/types.h>

struct xd_process {
	pid_t pid;
	const char *name; /* argv[0] */
	int netns_fd; /* the namespace that it has for itself */
	int go_fd; /* it waits for the end of this pipe, */
	int failure_fd; /* and says here why exec() failed */
};

/* A child in a network namespace of its own, waiting to become argv. It dies with the calling
 * process, and the namespace dies with it. */
int xd_process_start(char *const argv[], struct xd_process *ret_process);

/* Let it run. Errors: of execvp(3). */
int xd_process_go(struct xd_process *process);

/* Forward signals to the command and reap everything, until the command ends; whatever it left
 * running is killed. *ret_status: its exit status, or 128 + the number of the signal. */
int xd_process_wait(struct xd_process *process, int *ret_status);

/* Kill the one that was started; for the time before xd_process_wait(). */
void xd_process_kill(struct xd_process *process);

/* Become argv in the network namespace. Returns on failure only. */
int xd_process_exec(int netns_fd, char *const argv[]);

#endif
