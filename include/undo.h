/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_undo: the journal of changes to the machine. A row is written before its change is made
 * and removed after the change was taken back, so that a kill between the two loses nothing. */
#ifndef XD_UNDO_H
#define XD_UNDO_H

#include "types.h"

/* "KIND NAME": "sysctl net.ipv4.ip_forward", "bridge docker0", "address docker0", "up docker0",
 * "clsact eth0", "offload web" */
struct xd_undo_key {
	char what[64];
};
XD_SIZE(struct xd_undo_key, 64);

/* sysctl: the value before. bridge: the MAC address that xdock gave it. address: what was added,
 * "172.17.0.1/16". offload: what the container's eth0 had, a bit for each feature. Otherwise
 * empty. */
struct xd_undo {
	char before[64];
};
XD_SIZE(struct xd_undo, 64);

#endif
