// SPDX-License-Identifier: GPL-2.0-only
/* The rules that make the maps of a killed command, or of a container that is gone, consistent.
 *
 * What is wanted is derived from the rows that may stay, sorted by key, and merged with what is
 * there, sorted by the same key: what is missing or different is put, what is not wanted is
 * deleted. No key is in both lists. */
#include "loader/reconcile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "loader/error.h"

/* A port row that stays. */
struct mapping {
	struct xd_port_rev_key container;
	const struct xd_port_row *row;
};

struct work {
	struct xd_endpoint_row *endpoints; /* by ifindex */
	struct xd_address_row *addresses; /* by key */
	struct xd_port_rev_row *revs; /* by key */
	struct xd_address_row *wanted; /* of the live endpoints, by key and ifindex */
	size_t wanted_count;
	struct mapping *mappings; /* by container and host key */
	size_t mapping_count;
};

/* Rows begin with their key. The order of bytes is that of network byte order. */
static int compare_key(const void *a, const void *b)
{
	_Static_assert(sizeof(struct xd_address_key) == 8, "compared as 8 bytes");
	_Static_assert(sizeof(struct xd_port_key) == 8, "compared as 8 bytes");
	_Static_assert(sizeof(struct xd_port_rev_key) == 8, "compared as 8 bytes");
	return memcmp(a, b, 8);
}

static int compare_ifindex(const void *a, const void *b)
{
	__u32 left = *(const __u32 *)a, right = *(const __u32 *)b;

	return (left > right) - (left < right);
}

static int compare_wanted(const void *a, const void *b)
{
	const struct xd_address_row *left = a, *right = b;
	int order = compare_key(a, b);

	return order ? order : compare_ifindex(&left->value.ifindex, &right->value.ifindex);
}

static int compare_mapping(const void *a, const void *b)
{
	const struct mapping *left = a, *right = b;
	int order = compare_key(a, b);

	return order ? order : compare_key(&left->row->key, &right->row->key);
}

/* count may be 0, which is no error. */
static void *new_array(size_t count, size_t size)
{
	return calloc(count ? count : 1, size);
}

static void *sorted_copy(const void *rows, size_t count, size_t size,
			 int (*compare)(const void *, const void *))
{
	void *copy = new_array(count, size);

	if (!copy || !count)
		return copy;
	memcpy(copy, rows, count * size);
	qsort(copy, count, size, compare);
	return copy;
}

static void work_free(struct work *work)
{
	free(work->endpoints);
	free(work->addresses);
	free(work->revs);
	free(work->wanted);
	free(work->mappings);
}

/* Each list has room for the longest that it can be. Pages that stay empty are never touched. */
static bool make_room(const struct xd_state *state, struct work *work,
		      struct xd_operations *operations)
{
	size_t endpoints = state->endpoint_count, addresses = state->address_count;
	size_t ports = state->port_count, revs = state->rev_count;

	work->endpoints = sorted_copy(state->endpoints, endpoints, sizeof(*work->endpoints),
				      compare_ifindex);
	work->addresses = sorted_copy(state->addresses, addresses, sizeof(*work->addresses),
				      compare_key);
	work->revs = sorted_copy(state->revs, revs, sizeof(*work->revs), compare_key);
	work->wanted = new_array(endpoints, sizeof(*work->wanted));
	work->mappings = new_array(ports, sizeof(*work->mappings));
	operations->port_delete = new_array(ports, sizeof(*operations->port_delete));
	operations->rev_delete = new_array(revs, sizeof(*operations->rev_delete));
	operations->address_delete = new_array(addresses, sizeof(*operations->address_delete));
	operations->endpoint_delete = new_array(endpoints, sizeof(*operations->endpoint_delete));
	operations->address_put = new_array(endpoints, sizeof(*operations->address_put));
	operations->rev_put = new_array(ports, sizeof(*operations->rev_put));
	operations->port_put = new_array(ports, sizeof(*operations->port_put));
	return work->endpoints && work->addresses && work->revs && work->wanted &&
	       work->mappings && operations->port_delete && operations->rev_delete &&
	       operations->address_delete && operations->endpoint_delete &&
	       operations->address_put && operations->rev_put && operations->port_put;
}

static void reconcile_endpoints(const struct xd_state *state, struct work *work,
				struct xd_operations *operations)
{
	size_t i;

	for (i = 0; i < state->endpoint_count; i++) {
		const struct xd_endpoint_row *row = &work->endpoints[i];
		struct xd_address_row wanted = {
			.key = { .bridge = row->value.bridge, .address = row->value.address },
			.value = { .ifindex = row->ifindex, .counter = row->value.counter },
		};

		if (!row->is_alive) {
			operations->endpoint_delete[operations->endpoint_delete_count++] =
				row->ifindex;
			continue;
		}
		memcpy(wanted.value.mac, row->value.mac, sizeof(wanted.value.mac));
		work->wanted[work->wanted_count++] = wanted;
	}
	qsort(work->wanted, work->wanted_count, sizeof(*work->wanted), compare_wanted);
}

static void reconcile_addresses(const struct xd_state *state, const struct work *work,
				struct xd_operations *operations)
{
	const struct xd_address_row *row = work->addresses;
	const struct xd_address_row *end = row + state->address_count;
	size_t i;

	for (i = 0; i < work->wanted_count; i++) {
		const struct xd_address_row *wanted = &work->wanted[i];
		const struct xd_address_row *found = NULL;

		if (i && !compare_key(wanted, wanted - 1))
			continue;
		while (row < end && compare_key(row, wanted) < 0)
			operations->address_delete[operations->address_delete_count++] =
				(row++)->key;
		if (row < end && !compare_key(row, wanted))
			found = row++;
		if (!found || memcmp(&found->value, &wanted->value, sizeof(wanted->value)))
			operations->address_put[operations->address_put_count++] = *wanted;
	}
	while (row < end)
		operations->address_delete[operations->address_delete_count++] = (row++)->key;
}

/* The endpoint that a port row leads to is alive and has the address that packets are sent to. */
static bool leads_somewhere(const struct xd_state *state, const struct work *work,
			    const struct xd_port *port)
{
	const struct xd_endpoint_row *endpoint;

	endpoint = bsearch(&port->ifindex, work->endpoints, state->endpoint_count,
			   sizeof(*work->endpoints), compare_ifindex);
	return endpoint && endpoint->is_alive && endpoint->value.address == port->address;
}

static void find_mappings(const struct xd_state *state, struct work *work,
			  struct xd_operations *operations)
{
	size_t i;

	for (i = 0; i < state->port_count; i++) {
		const struct xd_port_row *row = &state->ports[i];

		if (!leads_somewhere(state, work, &row->value)) {
			operations->port_delete[operations->port_delete_count++] = row->key;
			continue;
		}
		work->mappings[work->mapping_count++] = (struct mapping){
			.container = {
				.address = row->value.address,
				.port = row->value.port,
				.protocol = row->key.protocol,
			},
			.row = row,
		};
	}
	qsort(work->mappings, work->mapping_count, sizeof(*work->mappings), compare_mapping);
}

/* The mappings of one container port, against its reverse row or NULL. */
static void reconcile_mappings(const struct mapping *mappings, size_t count,
			       const struct xd_port_rev_row *rev,
			       struct xd_operations *operations)
{
	const struct xd_port_row *canonical = mappings[0].row;
	struct xd_port_rev_row wanted = { .key = mappings[0].container };
	bool has_exception;
	size_t i;

	for (i = 0; i < count; i++) {
		if (mappings[i].row->value.flags & XD_PORT_CANONICAL) {
			canonical = mappings[i].row;
			break;
		}
	}
	has_exception = count > 1 || canonical->value.flags & XD_PORT_EXCEPTION ||
			(rev && rev->value.flags & XD_PORT_REV_EXCEPTION);
	wanted.value = (struct xd_port_rev){
		.address = canonical->key.address,
		.port = canonical->key.port,
		.flags = has_exception ? XD_PORT_REV_EXCEPTION : 0,
		.counter = canonical->value.counter,
	};
	if (!rev || memcmp(&rev->value, &wanted.value, sizeof(wanted.value)))
		operations->rev_put[operations->rev_put_count++] = wanted;

	for (i = 0; i < count; i++) {
		struct xd_port_row row = *mappings[i].row;

		row.value.flags &= ~XD_PORT_CANONICAL;
		if (mappings[i].row == canonical)
			row.value.flags |= XD_PORT_CANONICAL |
					   (has_exception ? XD_PORT_EXCEPTION : 0);
		if (row.value.flags != mappings[i].row->value.flags)
			operations->port_put[operations->port_put_count++] = row;
	}
}

static void reconcile_revs(const struct xd_state *state, const struct work *work,
			   struct xd_operations *operations)
{
	const struct xd_port_rev_row *row = work->revs, *end = row + state->rev_count;
	size_t first, next;

	for (first = 0; first < work->mapping_count; first = next) {
		const struct mapping *mapping = &work->mappings[first];
		const struct xd_port_rev_row *rev = NULL;

		for (next = first + 1; next < work->mapping_count; next++) {
			if (compare_key(mapping, &work->mappings[next]))
				break;
		}
		while (row < end && compare_key(row, mapping) < 0)
			operations->rev_delete[operations->rev_delete_count++] = (row++)->key;
		if (row < end && !compare_key(row, mapping))
			rev = row++;
		reconcile_mappings(mapping, next - first, rev, operations);
	}
	while (row < end)
		operations->rev_delete[operations->rev_delete_count++] = (row++)->key;
}

int xd_reconcile(const struct xd_state *state, struct xd_operations *ret_operations)
{
	struct xd_operations operations = {};
	struct work work = {};

	if (!make_room(state, &work, &operations)) {
		work_free(&work);
		xd_operations_free(&operations);
		return xd_error_system(-ENOMEM, "reconcile");
	}
	reconcile_endpoints(state, &work, &operations);
	reconcile_addresses(state, &work, &operations);
	find_mappings(state, &work, &operations);
	reconcile_revs(state, &work, &operations);
	work_free(&work);
	*ret_operations = operations;
	return 0;
}

void xd_operations_free(struct xd_operations *operations)
{
	free(operations->port_delete);
	free(operations->rev_delete);
	free(operations->address_delete);
	free(operations->endpoint_delete);
	free(operations->address_put);
	free(operations->rev_put);
	free(operations->port_put);
	*operations = (struct xd_operations){};
}

bool xd_operations_is_empty(const struct xd_operations *operations)
{
	return !operations->port_delete_count && !operations->rev_delete_count &&
	       !operations->address_delete_count && !operations->endpoint_delete_count &&
	       !operations->address_put_count && !operations->rev_put_count &&
	       !operations->port_put_count;
}

/* A tree of search.h, whose keys are rows of its own. */
struct xd_port_index {
	void *root;
};

/* By port and protocol, which makes neighbours of all rows that a wildcard conflicts with. */
static int compare_number(const void *a, const void *b)
{
	const struct xd_port_key *left = a, *right = b;

	if (left->port != right->port)
		return left->port < right->port ? -1 : 1;
	return left->protocol - right->protocol;
}

static int compare_published(const void *a, const void *b)
{
	const struct xd_port_key *left = a, *right = b;
	int order = compare_number(a, b);

	if (order || left->address == right->address)
		return order;
	return left->address < right->address ? -1 : 1;
}

int xd_port_index_add(struct xd_port_index *index, const struct xd_port_row *row)
{
	struct xd_port_row *copy = malloc(sizeof(*copy));
	struct xd_port_row **node = NULL;

	if (copy) {
		*copy = *row;
		node = tsearch(copy, &index->root, compare_published);
	}
	if (!node || *node != copy)
		free(copy);
	return node ? 0 : xd_error_system(-ENOMEM, "index of ports");
}

int xd_port_index_new(const struct xd_state *state, struct xd_port_index **ret_index)
{
	struct xd_port_index *index = calloc(1, sizeof(*index));
	size_t i;
	int r;

	if (!index)
		return xd_error_system(-ENOMEM, "index of ports");
	for (i = 0; i < state->port_count; i++) {
		r = xd_port_index_add(index, &state->ports[i]);
		if (r) {
			xd_port_index_free(index);
			return r;
		}
	}
	*ret_index = index;
	return 0;
}

void xd_port_index_free(struct xd_port_index *index)
{
	if (!index)
		return;
	tdestroy(index->root, free);
	free(index);
}

const struct xd_port_row *xd_port_index_conflict(const struct xd_port_index *index,
						 const struct xd_port_key *key)
{
	struct xd_port_key wildcard = { .port = key->port, .protocol = key->protocol };
	struct xd_port_row **node;

	if (!key->address) {
		node = tfind(key, &index->root, compare_number);
		return node ? *node : NULL;
	}
	node = tfind(key, &index->root, compare_published);
	if (!node)
		node = tfind(&wildcard, &index->root, compare_published);
	return node ? *node : NULL;
}

int xd_reconcile_free_address(const struct xd_state *state, __u32 bridge, __be32 gateway,
			      __be32 mask, __be32 *ret_address)
{
	/* Of n + 1 places one is free when n are taken, so those further up need not be looked
	 * at: the network, the gateway and all endpoints leave one free here. */
	__u64 taken[XD_ENDPOINT_MAX / 64 + 1] = {};
	__u32 network = ntohl(gateway & mask);
	__u32 last = ~ntohl(mask); /* the broadcast address */
	__u32 place;
	size_t i;

	place = ntohl(gateway) - network;
	if (place < sizeof(taken) * 8)
		taken[place / 64] |= 1ULL << place % 64;
	for (i = 0; i < state->endpoint_count; i++) {
		const struct xd_endpoint *endpoint = &state->endpoints[i].value;

		if (endpoint->bridge != bridge)
			continue;
		place = ntohl(endpoint->address) - network;
		if (place < sizeof(taken) * 8)
			taken[place / 64] |= 1ULL << place % 64;
	}
	for (place = 1; place < last && place < sizeof(taken) * 8; place++) {
		if (!(taken[place / 64] & 1ULL << place % 64)) {
			*ret_address = htonl(network + place);
			return 0;
		}
	}
	/* The text of ENOSPC speaks of a device. */
	xd_error_system(-EBUSY, "every address of the subnet is taken");
	return -ENOSPC;
}
