// SPDX-License-Identifier: GPL-2.0-only
/* Published ports: added, removed, listed.
 *
 * add: find every host port free and hold it -> reserve -> look for flows that have it
 *      -> xd_port_rev -> xd_port -> let go
 *
 * The reverse rows come first, so that no packet goes in that could not come out. A kill leaves
 * reverse rows without a port, which the next command removes, or some of the ports, which the
 * same command completes. */
#include "loader/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/limits.h"
#include "include/local.h"
#include "include/snat.h"
#include "loader/error.h"
#include "loader/network.h"
#include "loader/reserve.h"
#include "loader/step.h"
#include "loader/table.h"

/* A port that the kernel chose is refused by the index only if it was published since. */
#define CHOICES 10

#define PORT_TEXT_LEN 40

static const char *format_key(const struct xd_port_key *key, char text[PORT_TEXT_LEN])
{
	char address[INET_ADDRSTRLEN];

	if (!key->address) {
		snprintf(text, PORT_TEXT_LEN, "%u/%s", ntohs(key->port),
			 xd_spec_protocol(key->protocol));
		return text;
	}
	inet_ntop(AF_INET, &key->address, address, sizeof(address));
	snprintf(text, PORT_TEXT_LEN, "%s:%u/%s", address, ntohs(key->port),
		 xd_spec_protocol(key->protocol));
	return text;
}

/* As a step names them. */
static const char *format_keys(const struct xd_port_key *keys, size_t count,
			       char text[PORT_TEXT_LEN * 2])
{
	char first[PORT_TEXT_LEN];

	format_key(&keys[0], first);
	if (count == 1)
		snprintf(text, PORT_TEXT_LEN * 2, "port %s", first);
	else
		snprintf(text, PORT_TEXT_LEN * 2, "%zu ports (%s and more)", count, first);
	return text;
}

/* An index for each protocol that is published. */
enum protocol {
	TCP,
	UDP,
	SCTP,
	PROTOCOLS,
};

static enum protocol protocol_index(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? TCP : protocol == IPPROTO_UDP ? UDP : SCTP;
}

/* Everything that one command publishes. */
struct batch {
	const struct xd_instance *instance;
	const struct xd_state *state;
	const struct xd_endpoint_row *endpoint;
	const struct xd_limits *limits; /* NULL: as they are */
	struct xd_port_index *index;
	struct xd_hold hold;
	__u32 mtu;
	__u32 counter; /* of the spec at hand; 0: none yet */
	__u32 last_counter; /* that this command took */
	struct xd_port_row *rows; /* all of the specs, in their order */
	size_t count;
	struct xd_port_key *keys; /* those that are new */
	struct xd_port *values;
	size_t new_count;
	struct xd_port_rev_key *rev_keys; /* those that are canonical */
	struct xd_port_rev *revs;
	size_t rev_count;
	bool has_rev[PROTOCOLS][65536]; /* container ports with a canonical mapping */
	bool is_flow[PROTOCOLS][65536]; /* host ports that a flow of a container has */
};

static int hold_error(int r, const struct xd_port_key *key)
{
	char text[PORT_TEXT_LEN], address[INET_ADDRSTRLEN];

	format_key(key, text);
	if (r == -EADDRINUSE)
		return xd_error_system(-EBUSY, "port %s: in use by a process of this host", text);
	if (r == -EMFILE)
		return xd_error_system(-EBUSY, "port %s: so many at once need more open files than "
					       "`ulimit -Hn` allows", text);
	if (r == -EADDRNOTAVAIL) {
		inet_ntop(AF_INET, &key->address, address, sizeof(address));
		return xd_error_system(-ENOTSUP, "port %s: %s is no address of this host", text,
				       address);
	}
	return xd_error_system(r, "port %s", text);
}

static bool is_same(const struct batch *batch, const struct xd_port_row *row, __be16 port)
{
	return row->value.ifindex == batch->endpoint->ifindex && row->value.port == port;
}

static bool *has_rev(struct batch *batch, __u8 protocol, __be16 port)
{
	return &batch->has_rev[protocol_index(protocol)][ntohs(port)];
}

static void note_revs(struct batch *batch)
{
	for (size_t i = 0; i < batch->state->rev_count; i++) {
		const struct xd_port_rev_key *key = &batch->state->revs[i].key;

		if (key->address == batch->endpoint->value.address)
			*has_rev(batch, key->protocol, key->port) = true;
	}
}

/* One for each spec. An endpoint that is new has no row in state, but it has a counter. */
static int take_counter(struct batch *batch)
{
	int r;

	do {
		r = xd_count_allocate(batch->instance, batch->state, batch->last_counter,
				      &batch->counter);
		batch->last_counter = batch->counter;
	} while (!r && batch->counter == batch->endpoint->value.counter);
	return r;
}

static bool has_limits(const struct batch *batch)
{
	return batch->limits && !xd_limit_is_none(batch->limits);
}

/* One more row of the batch. The first mapping of a container port is its canonical one. */
static int take(struct batch *batch, const struct xd_port_key *key, __be16 port)
{
	const struct xd_endpoint *endpoint = &batch->endpoint->value;
	bool is_canonical = !*has_rev(batch, key->protocol, port);
	struct xd_port_row row = { .key = *key };
	int r;

	if (!batch->counter) {
		r = take_counter(batch);
		if (r)
			return r;
	}
	row.value = (struct xd_port){
		.address = endpoint->address,
		.mask = endpoint->mask,
		.port = port,
		.flags = (is_canonical ? XD_PORT_CANONICAL : 0) |
			 (has_limits(batch) ? XD_PORT_LIMITED : 0) |
			 (endpoint->flags & XD_NETWORK_ROUTED ? XD_PORT_ROUTED : 0),
		.ifindex = batch->endpoint->ifindex,
		.counter = batch->counter,
		.mtu = batch->mtu,
	};
	memcpy(row.value.mac, endpoint->mac, sizeof(row.value.mac));
	memcpy(row.value.gateway_mac, endpoint->gateway_mac, sizeof(row.value.gateway_mac));
	memcpy(row.value.name, endpoint->name, sizeof(row.value.name));
	r = xd_port_index_add(batch->index, &row);
	if (r)
		return xd_error_system(r, "port");
	batch->keys[batch->new_count] = row.key;
	batch->values[batch->new_count++] = row.value;
	batch->rows[batch->count++] = row;
	if (is_canonical) {
		*has_rev(batch, key->protocol, port) = true;
		batch->rev_keys[batch->rev_count] = (struct xd_port_rev_key){
			.address = endpoint->address,
			.port = port,
			.protocol = key->protocol,
		};
		batch->revs[batch->rev_count++] = (struct xd_port_rev){
			.address = key->address,
			.port = key->port,
			.counter = batch->counter,
		};
	}
	return 0;
}

static int conflict_error(const struct xd_port_key *key, const struct xd_port_row *other)
{
	char text[PORT_TEXT_LEN], other_text[PORT_TEXT_LEN];

	format_key(key, text);
	if (!memcmp(key, &other->key, sizeof(*key)))
		return xd_error_system(-EBUSY, "port %s: already published by %s", text,
				       other->value.name);
	format_key(&other->key, other_text);
	return xd_error_system(-EBUSY, "port %s: %s is already published by %s", text, other_text,
			       other->value.name);
}

/* Publish key, which is free or already what is wanted. Errors: -EBUSY, when is_try not
 * recorded. */
static int publish(struct batch *batch, const struct xd_port_key *key, __be16 port, bool is_try)
{
	const struct xd_port_row *other = xd_port_index_conflict(batch->index, key);
	__u16 held;
	int r;

	if (other && !memcmp(&other->key, key, sizeof(*key)) && is_same(batch, other, port)) {
		batch->rows[batch->count++] = *other;
		return 0;
	}
	if (other)
		return is_try ? -EBUSY : conflict_error(key, other);
	r = xd_hold_port(&batch->hold, key->address, key->protocol, ntohs(key->port), &held);
	if (r)
		return is_try && r == -EADDRINUSE ? -EBUSY : hold_error(r, key);
	return take(batch, key, port);
}

/* A mapping of this container port that a dynamic spec may mean, from an earlier command. */
static const struct xd_port_row *find_dynamic(const struct batch *batch,
					      const struct xd_spec *spec, __be16 port)
{
	for (size_t i = 0; i < batch->state->port_count; i++) {
		const struct xd_port_row *row = &batch->state->ports[i];
		__u16 host_port = ntohs(row->key.port);

		if (!is_same(batch, row, port) || row->key.protocol != spec->protocol ||
		    row->key.address != spec->address)
			continue;
		if (!spec->host_port ||
		    (host_port >= spec->host_port && host_port <= spec->host_port_end))
			return row;
	}
	return NULL;
}

/* Any host port that is free. */
static int choose(struct batch *batch, const struct xd_spec *spec, __be16 port)
{
	struct xd_port_key key = { .address = spec->address, .protocol = spec->protocol };
	__u16 chosen;
	int r;

	for (int i = 0; i < CHOICES; i++) {
		r = xd_hold_port(&batch->hold, spec->address, spec->protocol, 0, &chosen);
		if (r)
			return hold_error(r, &key);
		key.port = htons(chosen);
		if (!xd_port_index_conflict(batch->index, &key))
			return take(batch, &key, port);
	}
	return xd_error_system(-EBUSY, "port %u/%s: no host port is free", ntohs(port),
			       xd_spec_protocol(spec->protocol));
}

/* The first host port of the range that is free. */
static int choose_in_range(struct batch *batch, const struct xd_spec *spec, __be16 port)
{
	struct xd_port_key key = { .address = spec->address, .protocol = spec->protocol };
	char text[XD_SPEC_TEXT_LEN];

	for (unsigned int host = spec->host_port; host <= spec->host_port_end; host++) {
		int r;

		key.port = htons(host);
		r = publish(batch, &key, port, true);
		if (r != -EBUSY)
			return r;
	}
	return xd_error_system(-EBUSY, "port spec %s: all host ports of the range are in use",
			       xd_spec_format(spec, text));
}

static int add_spec(struct batch *batch, const struct xd_spec *spec)
{
	unsigned int count = xd_spec_count(spec);
	int r = 0;

	batch->counter = 0;
	for (unsigned int i = 0; !r && i < count; i++) {
		struct xd_port_key key = {
			.address = spec->address,
			.port = htons(spec->host_port + i),
			.protocol = spec->protocol,
		};
		__be16 port = htons(spec->port + i);

		if (xd_spec_is_dynamic(spec)) {
			const struct xd_port_row *row = find_dynamic(batch, spec, port);

			if (row)
				batch->rows[batch->count++] = *row;
			else
				r = spec->host_port ? choose_in_range(batch, spec, port)
						    : choose(batch, spec, port);
		} else {
			r = publish(batch, &key, port, false);
		}
	}
	return r;
}

static int allocate(struct batch *batch, size_t count)
{
	batch->rows = calloc(count, sizeof(*batch->rows));
	batch->keys = calloc(count, sizeof(*batch->keys));
	batch->values = calloc(count, sizeof(*batch->values));
	batch->rev_keys = calloc(count, sizeof(*batch->rev_keys));
	batch->revs = calloc(count, sizeof(*batch->revs));
	if (!batch->rows || !batch->keys || !batch->values || !batch->rev_keys || !batch->revs)
		return xd_error_system(-ENOMEM, "%zu ports", count);
	return 0;
}

static int note_flow(const void *keys, const void *values, size_t count, void *arg)
{
	const struct xd_snat_rev_key *key = keys;
	struct batch *batch = arg;

	(void)values;
	for (size_t i = 0; i < count; i++)
		if (key[i].protocol != IPPROTO_ICMP)
			batch->is_flow[protocol_index(key[i].protocol)][ntohs(key[i].port)] = true;
	return 0;
}

/* A flow that had the host port before it was reserved keeps it. */
static int mark_flows(struct batch *batch)
{
	int r;

	r = xd_table_walk(batch->instance, XD_TABLE_SNAT_REV, note_flow, batch);
	for (size_t i = 0; !r && i < batch->new_count; i++) {
		const struct xd_port_key *key = &batch->keys[i];

		if (batch->is_flow[protocol_index(key->protocol)][ntohs(key->port)])
			batch->values[i].flags |= XD_PORT_MASQUERADED;
	}
	return r;
}

static int write_rows(struct batch *batch, void (*progress)(size_t done, size_t all))
{
	struct xd_error_saved saved;
	int r;

	r = xd_reserve_update(batch->instance, batch->state, batch->keys, batch->new_count);
	if (!r)
		r = mark_flows(batch);
	if (!r)
		r = xd_table_put_many(batch->instance, XD_TABLE_PORT_REV, batch->rev_keys,
				      batch->revs, batch->rev_count, NULL);
	if (!r)
		r = xd_table_put_many(batch->instance, XD_TABLE_PORT, batch->keys, batch->values,
				      batch->new_count, progress);
	if (!r)
		return 0;
	xd_error_save(&saved);
	xd_table_delete_many(batch->instance, XD_TABLE_PORT, batch->keys, batch->new_count);
	xd_table_delete_many(batch->instance, XD_TABLE_PORT_REV, batch->rev_keys,
			     batch->rev_count);
	xd_reserve_update(batch->instance, batch->state, NULL, 0);
	xd_error_restore(&saved);
	return r;
}

static int mend_flags(const struct xd_instance *instance)
{
	struct xd_state state = {};
	int r = xd_state_heal(instance, &state);

	xd_state_free(&state);
	return r;
}

static int check_network(const struct xd_network *network, const struct xd_spec *specs,
			 size_t spec_count)
{
	struct xd_port_key key = {};
	char text[PORT_TEXT_LEN];

	if (!spec_count || !(network->flags & XD_NETWORK_INTERNAL))
		return 0;
	key.address = specs->address;
	key.port = htons(specs->host_port ? specs->host_port : specs->port);
	key.protocol = specs->protocol;
	format_key(&key, text);
	return xd_error_usage("port %s: network %s is internal, nothing is published there", text,
			      network->name);
}

/* The bind() of a wildcard asks for every address that ports are published on. */
static int add_locals(const struct batch *batch)
{
	static const struct xd_local unproved;
	struct xd_local found;
	int r = 0;

	for (size_t i = 0; !r && i < batch->new_count; i++) {
		__be32 address = batch->keys[i].address;

		if (!address || (i && address == batch->keys[i - 1].address))
			continue;
		r = xd_table_get(batch->instance, XD_TABLE_LOCAL, &address, &found);
		if (r == -ENOENT)
			r = xd_table_put(batch->instance, XD_TABLE_LOCAL, &address, &unproved);
	}
	return r;
}

/* Limits are those of a whole spec: all ports that share a counter with one of the batch are in
 * it. */
static int check_limits(const struct batch *batch)
{
	struct {
		__u32 here, all;
	} *counts = calloc(XD_COUNTER_MAX, sizeof(*counts));
	const struct xd_state *state = batch->state;
	char text[PORT_TEXT_LEN];
	int r = 0;

	if (!counts)
		return xd_error_system(-ENOMEM, "limits");
	for (size_t i = 0; i < state->port_count; i++)
		counts[state->ports[i].value.counter % XD_COUNTER_MAX].all++;
	for (size_t i = 0; i < batch->count; i++)
		counts[batch->rows[i].value.counter % XD_COUNTER_MAX].here++;
	for (size_t i = 0; !r && i < batch->count; i++) {
		__u32 counter = batch->rows[i].value.counter % XD_COUNTER_MAX;

		if (counts[counter].here < counts[counter].all)
			r = xd_error_usage("port %s: was published together with others, and they "
					   "have their limits together",
					   format_key(&batch->rows[i].key, text));
	}
	free(counts);
	return r;
}

static int put_limits(const struct batch *batch)
{
	__u32 last = 0;
	int r = 0;

	for (size_t i = 0; !r && i < batch->count; i++) {
		__u32 counter = batch->rows[i].value.counter;

		if (counter != last)
			r = xd_limit_put(batch->instance, counter, batch->limits);
		last = counter;
	}
	return r;
}

/* The rows that were there before, as they are by now. */
static int set_limited(const struct batch *batch)
{
	int r = 0;

	for (size_t i = 0; !r && i < batch->count; i++) {
		struct xd_port value;

		r = xd_table_get(batch->instance, XD_TABLE_PORT, &batch->rows[i].key, &value);
		if (r == -ENOENT) {
			r = 0;
			continue;
		}
		if (r || !(value.flags & XD_PORT_LIMITED) == !has_limits(batch))
			continue;
		value.flags ^= XD_PORT_LIMITED;
		r = xd_table_put(batch->instance, XD_TABLE_PORT, &batch->rows[i].key, &value);
	}
	return r;
}

/* Rows of limits are there as long as a port may ask for them. */
static int apply_limits(const struct batch *batch)
{
	int r = 0;

	if (!batch->limits ||
	    !xd_step("limit ports of container %s", batch->endpoint->value.name))
		return 0;
	if (has_limits(batch))
		r = put_limits(batch);
	if (!r)
		r = set_limited(batch);
	if (!r && !has_limits(batch))
		r = put_limits(batch);
	/* A flag that the programs have set meanwhile is in the reverse row, too. */
	return r ? r : mend_flags(batch->instance);
}

int xd_port_add(const struct xd_instance *instance, const struct xd_state *state,
		const struct xd_endpoint_row *endpoint, const struct xd_spec *specs,
		size_t spec_count, const struct xd_limits *limits, void (*progress)(size_t done, size_t all),
		struct xd_port_row **ret_rows, size_t *ret_count)
{
	struct batch *batch;
	struct xd_network network = {};
	size_t count = 0, room = XD_PORT_MAX;
	char text[PORT_TEXT_LEN * 2];
	int r;

	for (size_t i = 0; i < spec_count; i++)
		count += xd_spec_count(&specs[i]);
	r = xd_table_get(instance, XD_TABLE_NETWORK, &endpoint->value.bridge, &network);
	if (r && r != -ENOENT)
		return r;
	r = check_network(&network, specs, spec_count);
	if (r)
		return r;
	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return xd_error_system(-ENOMEM, "%zu ports", count);
	batch->instance = instance;
	batch->state = state;
	batch->endpoint = endpoint;
	batch->limits = limits;
	batch->mtu = network.mtu;
	note_revs(batch);
	xd_hold_expect(count);
	r = xd_port_index_new(state, &batch->index);
	if (r)
		r = xd_error_system(r, "port");
	if (!r)
		r = allocate(batch, count);
	for (size_t i = 0; !r && i < spec_count; i++)
		r = add_spec(batch, &specs[i]);
	if (!r && instance->is_up)
		r = xd_table_room(instance, XD_TABLE_PORT, &room);
	if (!r && state->port_count + batch->new_count > room)
		r = xd_table_full(XD_TABLE_PORT);
	if (!r && limits)
		r = check_limits(batch);
	if (!r)
		r = apply_limits(batch);
	if (!r && batch->new_count &&
	    xd_step("publish %s of container %s", format_keys(batch->keys, batch->new_count, text),
		    endpoint->value.name)) {
		r = add_locals(batch);
		if (!r)
			r = write_rows(batch, progress);
		/* The flags of container ports that have several mappings now. */
		if (!r && batch->rev_count < batch->new_count)
			r = mend_flags(instance);
	}
	/* The rows of ports that did not come. */
	if (r && limits) {
		struct xd_error_saved saved;

		xd_error_save(&saved);
		xd_limit_heal(instance, state);
		xd_error_restore(&saved);
	}
	if (!r && ret_rows) {
		*ret_rows = batch->rows;
		*ret_count = batch->count;
		batch->rows = NULL;
	}
	xd_hold_release(&batch->hold);
	xd_port_index_free(batch->index);
	free(batch->rows);
	free(batch->keys);
	free(batch->values);
	free(batch->rev_keys);
	free(batch->revs);
	free(batch);
	return r;
}

/* "8761" alone names a host port here: a withdrawn port is known by the host's side. */
static bool is_meant(const struct xd_spec *spec, const struct xd_port_row *row)
{
	__u16 host_port = ntohs(row->key.port), port = ntohs(row->value.port);
	__u16 first = spec->host_port ? spec->host_port : spec->port;
	__u16 last = spec->host_port ? spec->host_port_end : spec->port_end;

	if (row->key.protocol != spec->protocol || host_port < first || host_port > last)
		return false;
	if (spec->address && row->key.address != spec->address)
		return false;
	if (!spec->host_port)
		return true;
	if (xd_spec_is_dynamic(spec))
		return port == spec->port;
	return port - spec->port == host_port - spec->host_port;
}

int xd_port_remove(const struct xd_instance *instance, const struct xd_state *state,
		   const struct xd_spec *specs, size_t spec_count, size_t *ret_removed)
{
	struct xd_port_key *keys = calloc(state->port_count + 1, sizeof(*keys));
	char text[PORT_TEXT_LEN * 2];
	size_t count = 0;
	int r = 0;

	if (!keys)
		return xd_error_system(-ENOMEM, "ports");
	for (size_t i = 0; i < state->port_count; i++) {
		bool is_found = false;

		for (size_t j = 0; !is_found && j < spec_count; j++)
			is_found = is_meant(&specs[j], &state->ports[i]);
		if (is_found)
			keys[count++] = state->ports[i].key;
	}
	if (count && xd_step("withdraw %s", format_keys(keys, count, text)))
		r = xd_table_delete_many(instance, XD_TABLE_PORT, keys, count);
	free(keys);
	if (!r)
		*ret_removed = count;
	return r;
}

static int compare_rows(const void *a, const void *b)
{
	const struct xd_port_key *x = &((const struct xd_port_row *)a)->key;
	const struct xd_port_key *y = &((const struct xd_port_row *)b)->key;
	__u32 x_address = ntohl(x->address), y_address = ntohl(y->address);

	if (x_address != y_address)
		return x_address < y_address ? -1 : 1;
	if (x->protocol != y->protocol)
		return x->protocol - y->protocol;
	return ntohs(x->port) - ntohs(y->port);
}

static bool is_next(const struct xd_port_range *range, const struct xd_port_row *row)
{
	return row->key.address == range->address && row->key.protocol == range->protocol &&
	       row->value.ifindex == range->ifindex && row->value.counter == range->counter &&
	       ntohs(row->key.port) == range->host_port_end + 1 &&
	       ntohs(row->value.port) == range->port_end + 1 &&
	       !(row->value.flags & XD_PORT_CANONICAL) == !range->is_canonical;
}

int xd_port_ranges(const struct xd_port_row *rows, size_t count, struct xd_port_range **ret_ranges,
		   size_t *ret_count)
{
	struct xd_port_row *sorted = calloc(count + 1, sizeof(*sorted));
	struct xd_port_range *ranges = calloc(count + 1, sizeof(*ranges));
	size_t n = 0;

	if (!sorted || !ranges) {
		free(sorted);
		free(ranges);
		return xd_error_system(-ENOMEM, "%zu ports", count);
	}
	memcpy(sorted, rows, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_rows);
	for (size_t i = 0; i < count; i++) {
		const struct xd_port_row *row = &sorted[i];

		if (n && is_next(&ranges[n - 1], row)) {
			ranges[n - 1].host_port_end++;
			ranges[n - 1].port_end++;
			continue;
		}
		ranges[n] = (struct xd_port_range){
			.address = row->key.address,
			.host_port = ntohs(row->key.port),
			.host_port_end = ntohs(row->key.port),
			.container_address = row->value.address,
			.port = ntohs(row->value.port),
			.port_end = ntohs(row->value.port),
			.protocol = row->key.protocol,
			.is_canonical = row->value.flags & XD_PORT_CANONICAL,
			.counter = row->value.counter,
			.ifindex = row->value.ifindex,
		};
		memcpy(ranges[n].name, row->value.name, sizeof(ranges[n].name));
		n++;
	}
	free(sorted);
	*ret_ranges = ranges;
	*ret_count = n;
	return 0;
}
