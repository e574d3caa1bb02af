/* SPDX-License-Identifier: GPL-2.0-only */
/* The BPF object: loaded into the kernel, its maps and programs pinned. */
#ifndef XD_OBJECT_H
#define XD_OBJECT_H

#include "loader/pin.h"

/* What `up` makes room for, each by an option of its own. */
enum xd_room {
	XD_ROOM_PORTS, /* --max-ports: xd_port, xd_port_rev */
	XD_ROOM_FLOWS, /* --max-flows: xd_snat, xd_snat_rev */
	XD_ROOM_EXCEPTIONS, /* --max-exceptions: xd_exception */
	XD_ROOM_FRAGMENTS, /* --max-fragments: xd_fragment */
	XD_ROOMS,
};

/* Load the programs and make them the instance's.
 *
 * On an instance that is not up, the maps are made and everything is pinned at once
 * (xd_pin_publish). On one that is up, the programs of this xdock are made for the same maps and
 * pinned in the place of those that run; xd_attach() of each hook then puts them to work.
 *
 * room: rows of the maps; 0: as it is, or the default of limits.h. Errors: -EINVAL (usage) when
 * the instance is up with another number; whatever the kernel refuses. The lock must be held. */
int xd_object_load(struct xd_instance *instance, const __u32 room[XD_ROOMS]);

/* Load the programs and let them go again: does this kernel take them? Needs no lock. */
int xd_object_try(void);

/* The pinned program NAME ("xd_uplink_tc"). */
int xd_object_program(const struct xd_instance *instance, const char *name, int *ret_fd);

#endif
