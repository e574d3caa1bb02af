/* SPDX-License-Identifier: GPL-2.0-only */
/* Published ports: added, removed, listed. */
#ifndef XD_LOADER_PORT_H
#define XD_LOADER_PORT_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "loader/limit.h"
#include "loader/pin.h"
#include "loader/reconcile.h"
#include "loader/spec.h"

/* Publish all ports of all specs for the endpoint, or none. What is published already for the
 * same container port is left as it is. progress (or NULL) is told how many are done. The
 * instance is locked; state is healed. On success *ret_rows (freed by the caller; NULL: not
 * wanted) holds every port of the specs, in their order. limits: of each spec, in the place of
 * what it had; NULL: as it is, and none at first. Errors: a port in use by a container or by a
 * process of the host, an address that is not the host's, a full map; limits of a part of an
 * earlier spec. */
int xd_port_add(const struct xd_instance *instance, const struct xd_state *state,
		const struct xd_endpoint_row *endpoint, const struct xd_spec *specs,
		size_t spec_count, const struct xd_limits *limits, void (*progress)(size_t done, size_t all),
		struct xd_port_row **ret_rows, size_t *ret_count);

/* Withdraw the host ports of all specs: "8761" is host port 8761 of every address; with two sides
 * both have to match. No error for what is not published. The caller heals afterwards. */
int xd_port_remove(const struct xd_instance *instance, const struct xd_state *state,
		   const struct xd_spec *specs, size_t spec_count, size_t *ret_removed);

/* Ports that follow each other on both sides and share a counter: one line of `port list`. */
struct xd_port_range {
	__be32 address; /* of the host */
	__u16 host_port; /* host order, first */
	__u16 host_port_end; /* host order, last */
	__be32 container_address;
	__u16 port; /* host order, of the container, first */
	__u16 port_end;
	__u8 protocol;
	bool is_canonical;
	__u32 counter;
	__u32 ifindex; /* of the veth's host end */
	char name[XD_NAME_LEN];
};

/* Sorted by host address, protocol, host port. The caller frees *ret_ranges. Errors: -ENOMEM. */
int xd_port_ranges(const struct xd_port_row *rows, size_t count, struct xd_port_range **ret_ranges,
		   size_t *ret_count);

#endif
