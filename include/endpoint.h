/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_endpoint and xd_address: the containers, by where their packets come from and go to. */
#ifndef XD_ENDPOINT_H
#define XD_ENDPOINT_H

#include "limits.h"
#include "types.h"

/* Key: ifindex of the veth's host end. Written by the loader. */
struct xd_endpoint {
	__be32 address;
	__be32 mask; /* of its subnet */
	__be32 gateway;
	__u32 bridge; /* ifindex */
	__u32 counter; /* its row in xd_count */
	__u32 mtu; /* of the container's eth0, bytes */
	__u16 flags; /* XD_NETWORK_* of its network */
	__u16 hairpin; /* XD_HAIRPIN_* */
	__u32 want; /* XD_WANT_* of hook.h */
	__u8 mac[6]; /* of the container's eth0 */
	__u8 gateway_mac[6]; /* of the bridge */
	char name[XD_NAME_LEN];
};
XD_SIZE(struct xd_endpoint, 76);

/* What containers did through published ports of this endpoint, so that only its replies pay for
 * a look: set by BPF, never cleared while the row lives; a loader that writes the row keeps it. */
#define XD_HAIRPIN_SIBLING 0x1 /* replies to its own subnet may have a row in xd_exception */
#define XD_HAIRPIN_GATEWAY 0x2 /* replies to its gateway may have a row in xd_snat_rev */

/* The forwarding table: {bridge, container address} -> where the container is. */
struct xd_address_key {
	__u32 bridge; /* ifindex */
	__be32 address;
};
XD_SIZE(struct xd_address_key, 8);

struct xd_address {
	__u32 ifindex; /* of the veth's host end */
	__u32 counter; /* as in xd_endpoint */
	__u8 mac[6]; /* of the container's eth0 */
	__u8 pad[2];
};
XD_SIZE(struct xd_address, 16);

#endif
