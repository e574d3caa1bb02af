/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_fragment: the ports of a datagram in fragments, which only the first one carries. */
#ifndef XD_FRAGMENT_H
#define XD_FRAGMENT_H

#include "types.h"

struct xd_fragment_key {
	__be32 source;
	__be32 destination;
	__be16 id;
	__u8 protocol;
	__u8 pad;
};
XD_SIZE(struct xd_fragment_key, 12);

/* The identifier comes back after 65536 datagrams; netfilter, too, keeps fragments so long
 * (IP_FRAG_TIME). */
#define XD_FRAGMENT_NS 30000000000ULL

struct xd_fragment {
	__u64 seen_ns; /* CLOCK_MONOTONIC, of the first fragment */
	__be16 source_port;
	__be16 destination_port; /* ICMP echo: the identifier in source_port for a request, here for
				  * a reply, and 0 in the other */
	__u32 pad;
};
XD_SIZE(struct xd_fragment, 16);

#endif
