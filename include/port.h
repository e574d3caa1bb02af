/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_port and xd_port_rev: the published ports, a bijection stored in both directions. */
#ifndef XD_PORT_H
#define XD_PORT_H

#include "limits.h"
#include "types.h"

struct xd_port_key {
	__be32 address; /* of the host; 0 is every local one */
	__be16 port; /* of the host */
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP */
	__u8 pad;
};
XD_SIZE(struct xd_port_key, 8);

/* Replies that carry no exception are translated to this mapping. */
#define XD_PORT_CANONICAL 0x1
/* XD_PORT_REV_EXCEPTION of its reverse row, repeated here to spare inbound packets the lookup. */
#define XD_PORT_EXCEPTION 0x2
/* A flow of a container had the host port when it was published: look into xd_snat_rev first. Set
 * by the loader, never cleared while the row lives. */
#define XD_PORT_MASQUERADED 0x4
/* Of a routed network: the container's port is open to others as it is, the host's is not. */
#define XD_PORT_ROUTED 0x8
/* xd_limit has a row of its counter. */
#define XD_PORT_LIMITED 0x10

struct xd_port {
	__be32 address; /* of the container */
	__be32 mask; /* of its subnet */
	__be16 port; /* of the container */
	__u16 flags; /* XD_PORT_* */
	__u32 ifindex; /* of the veth's host end */
	__u32 counter; /* its row in xd_count: one for each SPEC */
	__u32 mtu; /* of the container's eth0, bytes */
	__u8 mac[6]; /* of the container's eth0 */
	__u8 gateway_mac[6]; /* of the bridge: the source of routed frames */
	char name[XD_NAME_LEN]; /* of the container */
};
XD_SIZE(struct xd_port, 68);

/* Key of xd_port_rev: the container's side. */
struct xd_port_rev_key {
	__be32 address; /* of the container */
	__be16 port; /* of the container */
	__u8 protocol;
	__u8 pad;
};
XD_SIZE(struct xd_port_rev_key, 8);

/* At least one inbound flow used something else than the canonical mapping, or may do so since
 * another mapping leads here: look into xd_exception. Set by BPF and by the loader, never cleared
 * while the row lives. */
#define XD_PORT_REV_EXCEPTION 0x1

struct xd_port_rev {
	__be32 address; /* canonical host address; 0 is the host's default address */
	__be16 port; /* canonical host port */
	__u16 flags; /* XD_PORT_REV_* */
	__u32 counter; /* as in xd_port */
};
XD_SIZE(struct xd_port_rev, 12);

#endif
