/* SPDX-License-Identifier: GPL-2.0-only */
/* Is an address a container's, on whichever bridge? */
#ifndef XD_BPF_SUBNET_H
#define XD_BPF_SUBNET_H

#include "bpf/maps.h"

enum xd_subnet_role {
	XD_SUBNET_NONE,
	XD_SUBNET_GATEWAY, /* the bridge's own address, which is the host's */
	XD_SUBNET_CONTAINER,
};

/* A walk instead of a lookup: there is one network as a rule, and its row is in memory that the
 * program addresses directly. The loader keeps the used rows in front. */
static __always_inline enum xd_subnet_role xd_subnet_role(__be32 address)
{
	for (int i = 0; i < XD_SUBNET_MAX; i++) {
		union {
			__u64 word;
			struct xd_subnet subnet;
		} row = { .word = *(volatile __u64 *)&xd_subnet[i] };

		if (!row.subnet.prefix)
			break;
		if (address == row.subnet.gateway)
			return XD_SUBNET_GATEWAY;
		if (!(bpf_ntohl(address ^ row.subnet.gateway) >> (32 - row.subnet.prefix)))
			return XD_SUBNET_CONTAINER;
	}
	return XD_SUBNET_NONE;
}

#endif
