/* SPDX-License-Identifier: GPL-2.0-only */
/* What the maps hold against what they ought to hold, as a list of operations. Pure.
 *
 * xd_port and xd_port_rev are one bijection stored twice, and a killed command may have written
 * one half. The rule that heals every such state: xd_port is the truth, a row of it whose
 * container is gone is deleted, and xd_port_rev is derived from what remains. */
#ifndef XD_RECONCILE_H
#define XD_RECONCILE_H

#include <stdbool.h>
#include <stddef.h>

#include "include/endpoint.h"
#include "include/port.h"

struct xd_port_row {
	struct xd_port_key key;
	struct xd_port value;
};

struct xd_port_rev_row {
	struct xd_port_rev_key key;
	struct xd_port_rev value;
};

struct xd_endpoint_row {
	__u32 ifindex; /* of the veth's host end */
	bool is_alive; /* the kernel still has the device that the row was made for */
	struct xd_endpoint value;
};

struct xd_address_row {
	struct xd_address_key key;
	struct xd_address value;
};

/* All rows of the maps; arrays are owned by the caller. */
struct xd_state {
	struct xd_endpoint_row *endpoints;
	size_t endpoint_count;
	struct xd_address_row *addresses;
	size_t address_count;
	struct xd_port_row *ports;
	size_t port_count;
	struct xd_port_rev_row *revs;
	size_t rev_count;
};

/* Operations, in the order of execution: first what takes packets away from a container that is
 * gone (ports, then their reverses, then addresses, then endpoints), then what is missing
 * (addresses, reverses, then ports, so that no packet goes in that could not come out). */
struct xd_operations {
	struct xd_port_key *port_delete;
	size_t port_delete_count;
	struct xd_port_rev_key *rev_delete;
	size_t rev_delete_count;
	struct xd_address_key *address_delete;
	size_t address_delete_count;
	__u32 *endpoint_delete; /* ifindex */
	size_t endpoint_delete_count;
	struct xd_address_row *address_put;
	size_t address_put_count;
	struct xd_port_rev_row *rev_put;
	size_t rev_put_count;
	struct xd_port_row *port_put; /* rows whose flags have to change */
	size_t port_put_count;
};

/* Rules:
 * - an endpoint that is not alive is deleted, with its address row and all port rows that carry
 *   its ifindex; rows that carry an ifindex that no endpoint has go, too, as do port rows whose
 *   container address is not the one of the endpoint with that ifindex;
 * - every live endpoint has its xd_address row {bridge, address} -> {ifindex, counter, mac};
 * - among the port rows of one {container address, port, protocol} one is canonical: the one that
 *   carries the flag (the lowest key {address, port} in network byte order if several do or none
 *   does); its reverse row is {key.address, key.port, counter};
 * - XD_PORT_REV_EXCEPTION of the reverse row and XD_PORT_EXCEPTION of the canonical row are the
 *   same: set if one of them is, or if there are several mappings; and kept when another row
 *   becomes the canonical one, for rows of xd_exception outlive that and nothing sets the flags
 *   for them again;
 * - a reverse row without a port row goes;
 * - should two live endpoints have one address of one bridge, the lower ifindex has the row.
 * A healthy state gives no operations at all. Errors: -ENOMEM. */
int xd_reconcile(const struct xd_state *state, struct xd_operations *ret_operations);
void xd_operations_free(struct xd_operations *operations);

/* True when nothing has to be done. */
bool xd_operations_is_empty(const struct xd_operations *operations);

/* The published ports in order, to be asked before one more is published. It copies what it is
 * given: state and rows may go. */
struct xd_port_index;

/* Errors: -ENOMEM. */
int xd_port_index_new(const struct xd_state *state, struct xd_port_index **ret_index);
void xd_port_index_free(struct xd_port_index *index); /* NULL is allowed */

/* A row that this command is going to write. A row with the same key stays as it is.
 * Errors: -ENOMEM. */
int xd_port_index_add(struct xd_port_index *index, const struct xd_port_row *row);

/* 0.0.0.0:P conflicts with any A:P of the same protocol and vice versa. Returns a row that hinders
 * key from being published, valid as long as the index, or NULL. A row with an equal key counts as
 * well. */
const struct xd_port_row *xd_port_index_conflict(const struct xd_port_index *index,
						 const struct xd_port_key *key);

/* Lowest address of the subnet that is neither its first nor its last address, nor gateway, nor
 * an endpoint's on that bridge. One pass over the endpoints. Errors: -ENOSPC. */
int xd_reconcile_free_address(const struct xd_state *state, __u32 bridge, __be32 gateway,
			      __be32 mask, __be32 *ret_address);

#endif
