/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_exception: inbound flows that did not use the canonical mapping of their container port. */
#ifndef XD_EXCEPTION_H
#define XD_EXCEPTION_H

#include "types.h"

struct xd_exception_key {
	__be32 container_address;
	__be32 client_address;
	__be16 container_port;
	__be16 client_port;
	__u8 protocol;
	__u8 pad[3];
};
XD_SIZE(struct xd_exception_key, 16);

/* A row that saw no inbound packet for this long may be taken over by another flow with the
 * same key; at once if its mapping is gone, or its container. The time is that after which
 * netfilter, too, forgets a flow that is closing (nf_conntrack_tcp_timeout_time_wait) or a UDP
 * stream. */
#define XD_EXCEPTION_IDLE_NS 120000000000ULL

struct xd_exception {
	__be32 address; /* that the client used */
	__be16 port; /* that the client used */
	__u16 owner; /* of the container's address: the low half of its ifindex */
	__u64 seen_ns; /* CLOCK_MONOTONIC, of the last inbound packet, to a second */
};
XD_SIZE(struct xd_exception, 16);

#endif
