/* SPDX-License-Identifier: GPL-2.0-only */
/* An instance: one network namespace, its pins, its lock.
 *
 * The pins are the truth: /sys/fs/bpf/xdock/net-COOKIE/ holds the maps under their own names,
 * prog/ the programs and link/ the attachments. They appear and vanish in one rename of the
 * directory, so an instance either is up or is not; what a killed command left beside it
 * (net-COOKIE-new, net-COOKIE-old; bpffs
 * takes no dots) is removed by the next one. There is no state file.
 *
 * The lock is flock() on /sys/fs/bpf/xdock, which root alone can open, and goes with its holder.
 * It is one for all instances of a bpffs. Writers take it; readers need none, since a map is
 * changed one row at a time. */
#ifndef XD_PIN_H
#define XD_PIN_H

#include <linux/types.h>
#include <stdbool.h>

struct xd_instance {
	__u64 cookie; /* SO_NETNS_COOKIE */
	char name[32]; /* "net-COOKIE" */
	char pins[80]; /* "/sys/fs/bpf/xdock/NAME" */
	char run[80]; /* "/run/xdock/NAME": the namespaces that xdock made */
	int netns_fd; /* the namespace to come back to */
	int lock_fd; /* -1: not locked */
	bool is_up; /* the pins are there */
};

/* Enter the namespace NETNS (name or path; NULL: stay) and look at its pins. Errors: no root, no
 * bpffs, a /sys that `ip netns exec` mounted, another ABI version pinned. */
int xd_instance_open(const char *netns, struct xd_instance *ret_instance);
void xd_instance_close(struct xd_instance *instance); /* unlocks it, too */

/* Wait for the lock; then remove what a killed command left, but not in a dry run, and look at the
 * pins again. */
int xd_instance_lock(struct xd_instance *instance);
void xd_instance_unlock(struct xd_instance *instance);

/* -ENOENT with "not up: ..." recorded unless the instance is up. */
int xd_instance_require_up(const struct xd_instance *instance);

/* Path below the pins, or below the new directory that is being filled. Returns buffer. */
#define XD_PIN_PATH_LEN 160
const char *xd_pin_path(const struct xd_instance *instance, const char *name,
			char buffer[XD_PIN_PATH_LEN]);

/* An empty net-COOKIE-new/ with its folders; xd_pin_publish() makes it the instance's pins. */
int xd_pin_prepare(const struct xd_instance *instance, char ret_directory[XD_PIN_PATH_LEN]);
int xd_pin_publish(struct xd_instance *instance);

/* Remove the pins of instances whose namespace is gone: nothing else can, and their programs at the
 * root of the cgroup tree would stay. Told by their links to devices, all of which died, and by
 * the cookies of the namespaces that are there. */
int xd_pin_sweep(const struct xd_instance *instance);

/* Take the pins away, all at once. Programs that only pins held are gone with them. */
int xd_pin_remove(struct xd_instance *instance);

#endif
