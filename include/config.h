/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_config: what the programs know from load on, and xd_host: what may change below them. */
#ifndef XD_CONFIG_H
#define XD_CONFIG_H

#include "types.h"

/* In .rodata; set by the loader before load, so that the verifier folds it. */
struct xd_config {
	__u64 netns_cookie; /* SO_NETNS_COOKIE of the instance's network namespace */
};
XD_SIZE(struct xd_config, 8);

/* In .data, mapped by the loader. */
struct xd_host {
	__be32 address; /* default address: source of the default route, or of the first uplink */
	__u16 port_low_host; /* net.ipv4.ip_local_port_range, host order, both included: */
	__u16 port_high_host; /* not for flows of containers */
	__u64 proved; /* jiffies; when it was last known to be local. Written by BPF, too */
	__u64 sources; /* bit xd_host_bit(A) for each address A that nobody else may send from */
	__u32 want; /* XD_WANT_* of hook.h */
	__u32 pad;
};
XD_SIZE(struct xd_host, 32);

/* Spares nearly every packet the lookup of its source in xd_local. */
static inline __u64 xd_host_bit(__be32 address)
{
	return 1ULL << ((address * 0x9e3779b1U) >> 26);
}

#endif
