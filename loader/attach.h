/* SPDX-License-Identifier: GPL-2.0-only */
/* The pinned programs on their hooks: links of TC (tcx) and of the cgroup tree.
 *
 * A tcx link is pinned as link/POINT-IFINDEX. It dies with its device and then says so, hence a
 * pin never stands for a later owner of that ifindex. Kernels before 6.6 have no tcx; there the
 * program becomes a clsact filter with a priority and a handle of its own, and the qdisc, if
 * xdock made it, is in the journal.
 *
 * Whatever else is attached there stays, and goes first. */
#ifndef XD_ATTACH_H
#define XD_ATTACH_H

#include <linux/types.h>
#include <stdbool.h>

#include "loader/link.h"
#include "loader/pin.h"

enum xd_attach_point {
	XD_ATTACH_UPLINK, /* ingress of an uplink */
	XD_ATTACH_CONTAINER, /* ingress of a veth's host end */
	XD_ATTACH_BRIDGE, /* egress of the bridge device */
	XD_ATTACH_POINTS,
};

enum xd_attached {
	XD_ATTACHED_NOT,
	XD_ATTACHED_TCX,
	XD_ATTACHED_CLSACT,
};

/* Put the pinned program of POINT to work on the interface; one that is attached already is
 * replaced by it, in one atomic step. The lock must be held. Errors: -EBUSY when somebody else
 * holds the priority and handle of the clsact filter. */
int xd_attach(const struct xd_instance *instance, enum xd_attach_point point, __u32 ifindex,
	      const char *name);

/* A program in front of all others at the ingress of an interface, for as long as *ret_link_fd is
 * open. Needs tcx. */
int xd_attach_first(int program_fd, __u32 ifindex, const char *name, int *ret_link_fd);

/* No error when it is not attached, or the interface is gone. */
int xd_detach(const struct xd_instance *instance, enum xd_attach_point point, __u32 ifindex,
	      const char *name);

/* How it is attached now: for the pin, asked of the kernel. */
enum xd_attached xd_attach_state(const struct xd_instance *instance, enum xd_attach_point point,
				 __u32 ifindex);

/* All programs for sockets of the host, at the root of the cgroup2 tree, which does not have to
 * be mounted. */
int xd_attach_sockets(const struct xd_instance *instance);
int xd_detach_sockets(const struct xd_instance *instance);

/* Number of socket programs that are attached, of how many. */
unsigned int xd_attach_count_sockets(const struct xd_instance *instance, unsigned int *ret_all);

/* Does this kernel have tcx? Tried on an interface that does not exist. */
bool xd_attach_has_tcx(int program_fd);

/* Is a program of this name on that hook, whoever attached it? What `status` looks for once an
 * instance is down. */
bool xd_attach_is_left(enum xd_attach_point point, __u32 ifindex);
const char *xd_attach_program(enum xd_attach_point point);

/* Root of the cgroup2 tree as a directory. Errors: what fsopen(2) says. */
int xd_attach_open_cgroup(int *ret_fd);

#endif
