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
 * program addresses directly. The loader keeps the used rows in front. Returns the role and, above
 * its 8 bits, XD_NETWORK_* of the network. A global function, so that the verifier walks it once
 * and not for each way to a call (a fifth of the instructions that it looks at, Linux 6.18). */
__noinline __u32 xd_subnet_walk(__be32 address)
{
	for (int i = 0; i < XD_SUBNET_MAX; i++) {
		union {
			__u64 word;
			struct xd_subnet subnet;
		} row = { .word = *(volatile __u64 *)&xd_subnet[i] };

		if (!row.subnet.prefix)
			break;
		if (bpf_ntohl(address ^ row.subnet.gateway) >> (32 - row.subnet.prefix))
			continue;
		return row.subnet.flags << 8 |
		       (address == row.subnet.gateway ? XD_SUBNET_GATEWAY : XD_SUBNET_CONTAINER);
	}
	return XD_SUBNET_NONE;
}

/* *ret_flags: XD_NETWORK_* of the network, if there is one. */
static __always_inline enum xd_subnet_role xd_subnet_find(__be32 address, __u16 *ret_flags)
{
	__u32 found = xd_subnet_walk(address);

	*ret_flags = found >> 8;
	return found & 0xff;
}

/* The gateway of the network that the address is in; 0: in none. */
__noinline __u32 xd_subnet_gateway(__be32 address)
{
	for (int i = 0; i < XD_SUBNET_MAX; i++) {
		union {
			__u64 word;
			struct xd_subnet subnet;
		} row = { .word = *(volatile __u64 *)&xd_subnet[i] };

		if (!row.subnet.prefix)
			break;
		if (!(bpf_ntohl(address ^ row.subnet.gateway) >> (32 - row.subnet.prefix)))
			return row.subnet.gateway;
	}
	return 0;
}

static __always_inline enum xd_subnet_role xd_subnet_role(__be32 address)
{
	return xd_subnet_walk(address) & 0xff;
}

#endif
