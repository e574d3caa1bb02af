/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_network: the bridges of this instance. */
#ifndef XD_NETWORK_H
#define XD_NETWORK_H

#include "types.h"

/* What a network is, in xd_network, xd_endpoint and xd_subnet. */
#define XD_NETWORK_ICC_OFF 0x01 /* its containers do not reach each other */
#define XD_NETWORK_INTERNAL 0x02 /* nor anything but the bridge's own address */
#define XD_NETWORK_MASQUERADE 0x04 /* flows to the outside get an address of the host */
/* Who may address its containers from outside the subnet. Neither bit: nobody ("nat"). */
#define XD_NETWORK_ROUTED 0x08 /* all: ping and published ports, untranslated */
#define XD_NETWORK_UNPROTECTED 0x10 /* all: every port; published ones are translated as well */
#define XD_NETWORK_SOURCE_CHECK 0x20 /* drop what is not from a container's own address and MAC */

/* Key: ifindex of the bridge. Written by the loader. */
struct xd_network {
	__be32 gateway; /* the bridge's own address */
	__be32 mask;
	__u32 mtu; /* bytes, without the Ethernet header */
	__u8 mac[6]; /* of the bridge */
	__u16 flags; /* XD_NETWORK_* */
	char name[16]; /* of the bridge, with its NUL (IFNAMSIZ) */
};
XD_SIZE(struct xd_network, 36);

/* One row of xd_subnet: the subnets of all networks, walked where an address has to be
 * recognised as a container's without knowing its bridge. Prefix 0 ends the walk; a row is one
 * aligned 64-bit word, so that a reader sees it whole. */
struct xd_subnet {
	__be32 gateway;
	__u8 prefix; /* length, bits */
	__u8 pad;
	__u16 flags; /* XD_NETWORK_* */
} __attribute__((aligned(8)));
XD_SIZE(struct xd_subnet, 8);

#endif
