/* SPDX-License-Identifier: GPL-2.0-only */
/* The BPF object: loaded into the kernel, its maps and programs pinned. */
#ifndef XD_OBJECT_H
#define XD_OBJECT_H

#include "loader/pin.h"

/* Load the programs and make them the instance's.
 *
 * On an instance that is not up, the maps are made and everything is pinned at once
 * (xd_pin_publish). On one that is up, the programs of this xdock are made for the same maps and
 * pinned in the place of those that run; xd_attach() of each hook then puts them to work.
 *
 * max_ports: rows of xd_port; 0: as it is, or XD_PORT_MAX. Errors: -EINVAL (usage) when the
 * instance is up with another number; whatever the kernel refuses. The lock must be held. */
int xd_object_load(struct xd_instance *instance, __u32 max_ports);

/* Load the programs and let them go again: does this kernel take them? Needs no lock. */
int xd_object_try(void);

/* The pinned program NAME ("xd_uplink_tc"). */
int xd_object_program(const struct xd_instance *instance, const char *name, int *ret_fd);

#endif
