/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_snat and xd_snat_rev: flows of containers whose source is translated, one row each in both
 * directions.
 *
 * Three kinds, told by flags: a flow to the outside (masquerade), which leaves with an address of
 * the host; one that leaves with the container's own (XD_SNAT_PLAIN), kept so that its replies are
 * known as such; and one to a published port of this host (XD_SNAT_HAIRPIN), which reaches the
 * serving container from its gateway's address. */
#ifndef XD_SNAT_H
#define XD_SNAT_H

#include "types.h"

#define XD_SNAT_REPLIED 0x01 /* a packet came back */
#define XD_SNAT_FIN_OUT 0x02 /* TCP: the container closed its direction */
#define XD_SNAT_FIN_IN 0x04 /* TCP: the remote closed its own */
#define XD_SNAT_RST 0x08 /* TCP: reset, by whom ever */
#define XD_SNAT_PLAIN 0x10
#define XD_SNAT_HAIRPIN 0x20

/* Key of xd_snat: the flow as the container sends it. For ICMP echo the container's port is the
 * identifier and the remote's is 0. */
struct xd_snat_key {
	__be32 container_address;
	__be32 remote_address;
	__be16 container_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 pad[3];
};
XD_SIZE(struct xd_snat_key, 16);

struct xd_snat {
	__be32 address; /* the source that the remote sees */
	__be16 port;
	__u16 flags; /* XD_SNAT_* */
	__u64 seen_ns; /* CLOCK_MONOTONIC, of the last packet of this direction, to a second */
	__u32 ifindex; /* of the device that the flow left by; hairpin: of the serving veth */
	__u32 owner; /* ifindex of the container's veth host end */
};
XD_SIZE(struct xd_snat, 24);

/* Key of xd_snat_rev: the flow as the remote answers it. The remote of a hairpin flow is the
 * serving container. */
struct xd_snat_rev_key {
	__be32 remote_address;
	__be32 address; /* as in xd_snat */
	__be16 remote_port;
	__be16 port;
	__u8 protocol;
	__u8 pad[3];
};
XD_SIZE(struct xd_snat_rev_key, 16);

struct xd_snat_rev {
	/* Whose the row is: one word, which changes hands by compare-and-exchange. */
	__be32 container_address;
	__be16 container_port;
	__u16 owner; /* low half of the ifindex of the container's veth host end */
	__u64 seen_ns; /* as in xd_snat, of this direction */
	__u32 ifindex; /* of the container's veth host end */
	__u32 counter; /* of the container, in xd_count */
	__be32 dialled_address; /* the remote as the container knows it */
	__be16 dialled_port;
	__u16 flags; /* XD_SNAT_* */
	__u8 mac[6]; /* of the container's eth0 */
	__u8 gateway_mac[6]; /* of its bridge */
	__u32 mtu; /* of the container's eth0, bytes */
};
XD_SIZE(struct xd_snat_rev, 48);

/* How long a row is kept from others with no packet in either direction: what netfilter's timers
 * are by default (nf_conntrack_proto_tcp.c, _udp.c, _icmp.c), the longest of their kind. A closed
 * flow may still be answered in TIME_WAIT, and a reset may be forged: sequence numbers are not
 * looked at. */
#define XD_SNAT_SECOND_NS 1000000000ULL
#define XD_SNAT_TCP_NEW_NS (120 * XD_SNAT_SECOND_NS)
#define XD_SNAT_TCP_ESTABLISHED_NS (432000 * XD_SNAT_SECOND_NS)
#define XD_SNAT_TCP_CLOSED_NS (120 * XD_SNAT_SECOND_NS)
#define XD_SNAT_UDP_NEW_NS (30 * XD_SNAT_SECOND_NS)
#define XD_SNAT_UDP_REPLIED_NS (120 * XD_SNAT_SECOND_NS)
#define XD_SNAT_ICMP_NS (30 * XD_SNAT_SECOND_NS)
#define XD_SNAT_SCTP_NS (432000 * XD_SNAT_SECOND_NS)

/* The one rule of it, for the programs and for `flow list`. protocol is IPPROTO_*. */
static inline __u64 xd_snat_timeout_ns(__u8 protocol, __u16 flags)
{
	const __u16 closed = XD_SNAT_FIN_OUT | XD_SNAT_FIN_IN;

	switch (protocol) {
	case 6: /* IPPROTO_TCP */
		if (flags & XD_SNAT_RST || (flags & closed) == closed)
			return XD_SNAT_TCP_CLOSED_NS;
		return flags & XD_SNAT_REPLIED ? XD_SNAT_TCP_ESTABLISHED_NS : XD_SNAT_TCP_NEW_NS;
	case 17: /* IPPROTO_UDP */
		return flags & XD_SNAT_REPLIED ? XD_SNAT_UDP_REPLIED_NS : XD_SNAT_UDP_NEW_NS;
	case 132: /* IPPROTO_SCTP */
		return flags & XD_SNAT_REPLIED ? XD_SNAT_SCTP_NS : XD_SNAT_TCP_NEW_NS;
	default:
		return XD_SNAT_ICMP_NS;
	}
}

#endif
