/* SPDX-License-Identifier: GPL-2.0-only */
/* The rows of xd_uplink, which are few: a walk is cheaper than a lookup. */
#ifndef XD_BPF_UPLINK_H
#define XD_BPF_UPLINK_H

#include "bpf/maps.h"

/* The row of the interface, or NULL. */
static __always_inline struct xd_uplink *xd_uplink_find(__u32 ifindex)
{
	for (int i = 0; i < XD_UPLINK_MAX; i++) {
		__u32 row = *(volatile __u32 *)&xd_uplink[i].ifindex;

		if (!row)
			break;
		if (row == ifindex)
			return &xd_uplink[i];
	}
	return NULL;
}

#endif
