/* SPDX-License-Identifier: GPL-2.0-only */
/* Flows: what the programs remember of them, listed and forgotten. */
#ifndef XD_FLOW_H
#define XD_FLOW_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "include/exception.h"
#include "include/limits.h"
#include "include/sample.h"
#include "include/snat.h"
#include "loader/pin.h"
#include "loader/reconcile.h"

enum xd_flow_kind {
	XD_FLOW_MASQUERADE, /* of a container, to the outside, with an address of the host */
	XD_FLOW_PLAIN, /* the same with the container's own address */
	XD_FLOW_HAIRPIN, /* of a container, to a published port of its own host */
	XD_FLOW_EXCEPTION, /* to a published port, off its canonical mapping */
	XD_FLOW_SAMPLE, /* to a published port, seen by xd_flow_sample() */
	XD_FLOW_KINDS,
};

struct xd_flow {
	enum xd_flow_kind kind;
	__u8 protocol;
	__u16 flags; /* XD_SNAT_REPLIED, _FIN_*, _RST; none of exceptions and samples */
	__be32 address; /* of the container */
	__be32 remote_address; /* as the container knows it */
	__be32 host_address; /* of the container, as the remote knows it */
	__be16 port; /* ICMP echo: the identifier, here and in host_port */
	__be16 remote_port;
	__be16 host_port;
	__u32 owner; /* ifindex of the container's veth host end; the low half of an exception's */
	__u64 idle_ns; /* since its last packet, to a second; not of samples */
	__u64 left_ns; /* as long as it is kept from others; 0: an exception that is not */
	__u64 packets; /* of samples */
	__u64 bytes; /* of samples, with the Ethernet header */
	char name[XD_NAME_LEN]; /* of the container */
};

/* The rows of xd_snat and xd_snat_rev as flows, without names: two rows, or one whose other half
 * is gone. What expired by now_ns (CLOCK_MONOTONIC) is none. Pure. The caller frees *ret_flows.
 * Errors: -ENOMEM. */
struct xd_flow_rows {
	const struct xd_snat_key *keys;
	const struct xd_snat *values;
	size_t count;
	const struct xd_snat_rev_key *rev_keys;
	const struct xd_snat_rev *revs;
	size_t rev_count;
};
int xd_flow_join(const struct xd_flow_rows *rows, __u64 now_ns, struct xd_flow **ret_flows,
		 size_t *ret_count);

/* All flows of containers that are there, by kind, container and ports; samples if they are
 * wanted. name: of one container, NULL: of all. The caller frees *ret_flows. Errors: missing when
 * there is no such container. Needs no lock. */
int xd_flow_list(const struct xd_instance *instance, const char *name, bool with_samples,
		 struct xd_flow **ret_flows, size_t *ret_count);

/* Watch the uplinks for so many seconds: xd_sample then has the flows of published ports that sent
 * meanwhile. Needs no lock of the instance, and has one of its own. Errors: -EBUSY when another
 * command is at it, -ENOTSUP without tcx. */
int xd_flow_sample(const struct xd_instance *instance, unsigned int seconds);

/* Is a command at that now? */
bool xd_flow_is_sampled(const struct xd_instance *instance);

/* Rows of the maps that xd_flow_forget() deletes from. */
struct xd_flow_count {
	size_t snat;
	size_t snat_rev;
	size_t exception;
	size_t fragment;
};

/* Forget the flows of these addresses of containers; addresses NULL: of all. In a dry run they are
 * counted. The instance is locked. ret_count may be NULL. */
int xd_flow_forget(const struct xd_instance *instance, const __be32 *addresses, size_t count,
		   struct xd_flow_count *ret_count);

#endif
