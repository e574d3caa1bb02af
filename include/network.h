/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_network: the bridges of this instance. */
#ifndef XD_NETWORK_H
#define XD_NETWORK_H

#include "types.h"

/* Key: ifindex of the bridge. Written by the loader. */
struct xd_network {
	__be32 gateway; /* the bridge's own address */
	__be32 mask;
	__u32 mtu; /* bytes, without the Ethernet header */
	__u8 mac[6]; /* of the bridge */
	__u8 pad[2];
	char name[16]; /* of the bridge, with its NUL (IFNAMSIZ) */
};
XD_SIZE(struct xd_network, 36);

/* One row of xd_subnet: the subnets of all networks, walked where an address has to be
 * recognised as a container's without knowing its bridge. mask 0 ends the walk; a row is one
 * aligned 64-bit word, so that a reader sees it whole. */
struct xd_subnet {
	__be32 gateway;
	__be32 mask;
} __attribute__((aligned(8)));
XD_SIZE(struct xd_subnet, 8);

#endif
