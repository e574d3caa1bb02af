/* SPDX-License-Identifier: GPL-2.0-only */
/* Network namespaces: opened by name, path or pid; made, kept under /run/xdock, and removed.
 *
 * A namespace is entered with setns() alone. `ip netns exec` also mounts a new /sys, which hides
 * bpffs and cgroups; nothing here does that, except for the command of `xdock run`. */
#ifndef XD_NETNS_H
#define XD_NETNS_H

#include <linux/types.h>
#include <stdbool.h>
#include <sys/types.h>

/* WHAT is a name (of `ip netns`, below /run/netns), a path (it has a slash) or a pid (digits,
 * when no such name exists). Returns an O_CLOEXEC file descriptor.
 * Errors: -ENOENT (recorded as missing), -EINVAL when the file is no network namespace. */
int xd_netns_open(const char *what, int *ret_fd);

/* The namespace of the calling thread. */
int xd_netns_open_self(int *ret_fd);

/* The namespace of a process, checked to be a network namespace. */
int xd_netns_open_pid(pid_t pid, int *ret_fd);

/* Move the calling thread into the namespace. */
int xd_netns_enter(int fd);

/* SO_NETNS_COOKIE of the calling thread's namespace: unique until reboot, never used again.
 * Errors: -ENOPROTOOPT before Linux 5.14. */
int xd_netns_cookie(__u64 *ret_cookie);

/* Is it the cookie of a namespace that a process is in, or that has a name in /run/netns? */
bool xd_netns_exists(__u64 cookie);

/* Make a new namespace and keep it by a bind mount at PATH; missing folders are made, and their
 * first one below /run gets a mount of its own that is shared, so that the bind mount is seen in
 * other mount namespaces, too, as `ip netns` does. An existing namespace at PATH is kept as it
 * is (a killed command may have made it); a plain leftover file at PATH is made into one. The
 * calling thread's own namespace is unchanged. Returns an open file descriptor. */
int xd_netns_add(const char *path, int *ret_fd);

/* The folders of PATH, as xd_netns_add() makes them, and nothing at PATH. */
int xd_netns_prepare(const char *path);

/* Remove the folder RUN below /run/xdock if it is empty, and /run/xdock with its mount if that is
 * empty, too. No error when there is something, or nothing. */
int xd_netns_tidy(const char *run);

/* Undo xd_netns_add(): unmount and remove PATH. No error when it is not there. */
int xd_netns_remove(const char *path);

/* True if both are the same namespace. */
bool xd_netns_is_same(int a, int b);

#endif
