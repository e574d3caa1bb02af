// SPDX-License-Identifier: GPL-2.0-only
/* Commands killed between any two writes, and what reconcile makes of the maps they leave.
 *
 * A world is the four maps in memory. What heals it is checked against the rules of reconcile.h,
 * each written down here a second time, as plainly as it can be. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "include/limits.h"
#include "loader/error.h"
#include "loader/reconcile.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROOM 32
#define BRIDGE 5

struct world {
	struct xd_endpoint_row endpoints[ROOM];
	struct xd_address_row addresses[ROOM];
	struct xd_port_row ports[ROOM];
	struct xd_port_rev_row revs[ROOM];
	size_t endpoint_count, address_count, port_count, rev_count;
};

static struct xd_state state_of(struct world *world)
{
	return (struct xd_state){
		.endpoints = world->endpoints,
		.endpoint_count = world->endpoint_count,
		.addresses = world->addresses,
		.address_count = world->address_count,
		.ports = world->ports,
		.port_count = world->port_count,
		.revs = world->revs,
		.rev_count = world->rev_count,
	};
}

/* Maps: rows of one size that begin with their key. */

static void *map_find(void *rows, size_t count, size_t size, const void *key, size_t key_size)
{
	char *row = rows;
	size_t i;

	for (i = 0; i < count; i++) {
		if (!memcmp(row + i * size, key, key_size))
			return row + i * size;
	}
	return NULL;
}

static void map_put(void *rows, size_t *count, size_t size, const void *row, size_t key_size)
{
	void *old = map_find(rows, *count, size, row, key_size);

	if (!old) {
		assert_true(*count < ROOM);
		old = (char *)rows + (*count)++ * size;
	}
	memcpy(old, row, size);
}

static void map_delete(void *rows, size_t *count, size_t size, const void *key, size_t key_size)
{
	void *old = map_find(rows, *count, size, key, key_size);

	if (old)
		memmove(old, (char *)rows + --(*count) * size, size);
}

static struct xd_endpoint_row *find_endpoint(struct world *world, __u32 ifindex)
{
	return map_find(world->endpoints, world->endpoint_count, sizeof(world->endpoints[0]),
			&ifindex, 4);
}

static struct xd_address_row *find_address(struct world *world, const struct xd_address_key *key)
{
	return map_find(world->addresses, world->address_count, sizeof(world->addresses[0]), key,
			8);
}

static struct xd_port_row *find_port(struct world *world, const struct xd_port_key *key)
{
	return map_find(world->ports, world->port_count, sizeof(world->ports[0]), key, 8);
}

static struct xd_port_rev_row *find_rev(struct world *world, const struct xd_port_rev_key *key)
{
	return map_find(world->revs, world->rev_count, sizeof(world->revs[0]), key, 8);
}

static void put_endpoint(struct world *world, const struct xd_endpoint_row *row)
{
	map_put(world->endpoints, &world->endpoint_count, sizeof(*row), row, 4);
}

static void put_address(struct world *world, const struct xd_address_row *row)
{
	map_put(world->addresses, &world->address_count, sizeof(*row), row, 8);
}

static void put_port(struct world *world, const struct xd_port_row *row)
{
	map_put(world->ports, &world->port_count, sizeof(*row), row, 8);
}

static void put_rev(struct world *world, const struct xd_port_rev_row *row)
{
	map_put(world->revs, &world->rev_count, sizeof(*row), row, 8);
}

static void delete_endpoint(struct world *world, __u32 ifindex)
{
	map_delete(world->endpoints, &world->endpoint_count, sizeof(world->endpoints[0]), &ifindex,
		   4);
}

static void delete_address(struct world *world, const struct xd_address_key *key)
{
	map_delete(world->addresses, &world->address_count, sizeof(world->addresses[0]), key, 8);
}

static void delete_port(struct world *world, const struct xd_port_key *key)
{
	map_delete(world->ports, &world->port_count, sizeof(world->ports[0]), key, 8);
}

static void delete_rev(struct world *world, const struct xd_port_rev_key *key)
{
	map_delete(world->revs, &world->rev_count, sizeof(world->revs[0]), key, 8);
}

/* The first steps of the operations, in the order that reconcile.h states. Returns how many there
 * are in all. */
static size_t apply(struct world *world, const struct xd_operations *operations, size_t steps)
{
	size_t step = 0, i;

	for (i = 0; i < operations->port_delete_count; i++) {
		if (step++ < steps)
			delete_port(world, &operations->port_delete[i]);
	}
	for (i = 0; i < operations->rev_delete_count; i++) {
		if (step++ < steps)
			delete_rev(world, &operations->rev_delete[i]);
	}
	for (i = 0; i < operations->address_delete_count; i++) {
		if (step++ < steps)
			delete_address(world, &operations->address_delete[i]);
	}
	for (i = 0; i < operations->endpoint_delete_count; i++) {
		if (step++ < steps)
			delete_endpoint(world, operations->endpoint_delete[i]);
	}
	for (i = 0; i < operations->address_put_count; i++) {
		if (step++ < steps)
			put_address(world, &operations->address_put[i]);
	}
	for (i = 0; i < operations->rev_put_count; i++) {
		if (step++ < steps)
			put_rev(world, &operations->rev_put[i]);
	}
	for (i = 0; i < operations->port_put_count; i++) {
		if (step++ < steps)
			put_port(world, &operations->port_put[i]);
	}
	return step;
}

static struct xd_operations reconcile(struct world *world)
{
	struct xd_state state = state_of(world);
	struct xd_operations operations;

	assert_int_equal(xd_reconcile(&state, &operations), 0);
	return operations;
}

static void assert_nothing_to_do(struct world *world)
{
	struct xd_operations operations = reconcile(world);

	assert_true(xd_operations_is_empty(&operations));
	xd_operations_free(&operations);
}

static size_t heal_steps(struct world *world, size_t steps)
{
	struct xd_operations operations = reconcile(world);
	size_t all = apply(world, &operations, steps);

	assert_int_equal(xd_operations_is_empty(&operations), all == 0);
	xd_operations_free(&operations);
	return all;
}

static bool may_stay(struct world *world, const struct xd_port_row *row)
{
	const struct xd_endpoint_row *endpoint = find_endpoint(world, row->value.ifindex);

	return endpoint && endpoint->is_alive && endpoint->value.address == row->value.address;
}

static struct xd_port_rev_key container_of_port(const struct xd_port_row *row)
{
	return (struct xd_port_rev_key){
		.address = row->value.address,
		.port = row->value.port,
		.protocol = row->key.protocol,
	};
}

static size_t count_mappings(struct world *world, const struct xd_port_rev_key *container)
{
	size_t count = 0, i;

	for (i = 0; i < world->port_count; i++) {
		struct xd_port_rev_key key = container_of_port(&world->ports[i]);

		count += may_stay(world, &world->ports[i]) && !memcmp(&key, container, sizeof(key));
	}
	return count;
}

/* Among all rows of the container port that may stay: the flagged before others, then the lower. */
static const struct xd_port_row *find_canonical(struct world *world,
						const struct xd_port_rev_key *container)
{
	const struct xd_port_row *best = NULL;
	size_t i;

	for (i = 0; i < world->port_count; i++) {
		const struct xd_port_row *row = &world->ports[i];
		struct xd_port_rev_key key = container_of_port(row);
		int flagged = row->value.flags & XD_PORT_CANONICAL;

		if (!may_stay(world, row) || memcmp(&key, container, sizeof(key)))
			continue;
		if (!best || flagged > (best->value.flags & XD_PORT_CANONICAL) ||
		    (flagged == (best->value.flags & XD_PORT_CANONICAL) &&
		     (ntohl(row->key.address) < ntohl(best->key.address) ||
		      (row->key.address == best->key.address &&
		       ntohs(row->key.port) < ntohs(best->key.port)))))
			best = row;
	}
	return best;
}

static void assert_endpoints_healed(struct world *before, struct world *after)
{
	size_t alive = 0, rows = 0, i, j;

	for (i = 0; i < before->endpoint_count; i++) {
		const struct xd_endpoint_row *row = &before->endpoints[i];
		const struct xd_endpoint_row *kept = find_endpoint(after, row->ifindex);
		struct xd_address_key key = {
			.bridge = row->value.bridge,
			.address = row->value.address,
		};
		const struct xd_address_row *address = find_address(after, &key);
		bool is_first = true;

		if (!row->is_alive) {
			assert_null(kept);
			continue;
		}
		alive++;
		assert_non_null(kept);
		assert_memory_equal(&kept->value, &row->value, sizeof(row->value));
		for (j = 0; j < before->endpoint_count; j++) {
			const struct xd_endpoint_row *other = &before->endpoints[j];

			if (other->is_alive && other->ifindex < row->ifindex &&
			    other->value.bridge == key.bridge &&
			    other->value.address == key.address)
				is_first = false;
		}
		assert_non_null(address);
		if (!is_first)
			continue;
		rows++;
		assert_int_equal(address->value.ifindex, row->ifindex);
		assert_int_equal(address->value.counter, row->value.counter);
		assert_memory_equal(address->value.mac, row->value.mac, 6);
	}
	assert_int_equal(after->endpoint_count, alive);
	assert_int_equal(after->address_count, rows);
}

static void assert_ports_healed(struct world *before, struct world *after)
{
	size_t staying = 0, canonical_count = 0, i;

	for (i = 0; i < before->port_count; i++) {
		const struct xd_port_row *row = &before->ports[i];
		const struct xd_port_row *kept = find_port(after, &row->key);
		struct xd_port_rev_key key = container_of_port(row);
		const struct xd_port_row *canonical = find_canonical(before, &key);
		const struct xd_port_rev_row *old = find_rev(before, &key);
		const struct xd_port_rev_row *rev = find_rev(after, &key);
		struct xd_port expected = row->value;
		bool has_exception;

		if (!may_stay(before, row)) {
			assert_null(kept);
			continue;
		}
		staying++;
		has_exception = count_mappings(before, &key) > 1 ||
				canonical->value.flags & XD_PORT_EXCEPTION ||
				(old && old->value.flags & XD_PORT_REV_EXCEPTION);
		if (row != canonical) {
			expected.flags &= ~XD_PORT_CANONICAL;
		} else {
			canonical_count++;
			expected.flags |= XD_PORT_CANONICAL;
			expected.flags |= has_exception ? XD_PORT_EXCEPTION : 0;
		}
		assert_non_null(kept);
		assert_memory_equal(&kept->value, &expected, sizeof(expected));
		assert_non_null(rev);
		assert_int_equal(rev->value.address, canonical->key.address);
		assert_int_equal(rev->value.port, canonical->key.port);
		assert_int_equal(rev->value.counter, canonical->value.counter);
		assert_int_equal(rev->value.flags, has_exception ? XD_PORT_REV_EXCEPTION : 0);
	}
	assert_int_equal(after->port_count, staying);
	assert_int_equal(after->rev_count, canonical_count);
}

/* Heals, also when the healing itself is killed after any of its steps. */
static void assert_heals(struct world *world)
{
	struct world before = *world;
	size_t all = heal_steps(world, SIZE_MAX), steps;

	assert_endpoints_healed(&before, world);
	assert_ports_healed(&before, world);
	assert_nothing_to_do(world);
	for (steps = 0; steps < all; steps++) {
		struct world killed = before;

		heal_steps(&killed, steps);
		heal_steps(&killed, SIZE_MAX);
		assert_endpoints_healed(&before, &killed);
		assert_ports_healed(&before, &killed);
		assert_nothing_to_do(&killed);
	}
}

/* Containers are numbers: 1 is 172.17.0.2 behind ifindex 11. */

static __be32 address_of(unsigned int container)
{
	return htonl(0xac110001 + container);
}

static struct xd_endpoint_row endpoint_of(unsigned int container)
{
	struct xd_endpoint_row row = {
		.ifindex = 10 + container,
		.is_alive = true,
		.value = {
			.address = address_of(container),
			.mask = htonl(0xffff0000),
			.gateway = htonl(0xac110001),
			.bridge = BRIDGE,
			.counter = 100 + container,
			.mac = { 2, 0, 0, 0, 0, container },
		},
	};

	snprintf(row.value.name, sizeof(row.value.name), "c%u", container);
	return row;
}

static struct xd_address_row address_row_of(unsigned int container)
{
	return (struct xd_address_row){
		.key = { .bridge = BRIDGE, .address = address_of(container) },
		.value = {
			.ifindex = 10 + container,
			.counter = 100 + container,
			.mac = { 2, 0, 0, 0, 0, container },
		},
	};
}

static struct xd_port_row port_of(unsigned int container, __u32 host, __u16 host_port, __u16 port,
				  __u16 flags)
{
	struct xd_port_row row = {
		.key = {
			.address = htonl(host),
			.port = htons(host_port),
			.protocol = IPPROTO_TCP,
		},
		.value = {
			.address = address_of(container),
			.mask = htonl(0xffff0000),
			.port = htons(port),
			.flags = flags,
			.ifindex = 10 + container,
			.counter = host_port,
			.mtu = 1500,
			.mac = { 2, 0, 0, 0, 0, container },
		},
	};

	snprintf(row.value.name, sizeof(row.value.name), "c%u", container);
	return row;
}

/* As it is for a canonical row. */
static struct xd_port_rev_row rev_of(const struct xd_port_row *port)
{
	return (struct xd_port_rev_row){
		.key = container_of_port(port),
		.value = {
			.address = port->key.address,
			.port = port->key.port,
			.counter = port->value.counter,
			.flags = port->value.flags & XD_PORT_EXCEPTION ? XD_PORT_REV_EXCEPTION : 0,
		},
	};
}

static void add_container(struct world *world, unsigned int container)
{
	struct xd_endpoint_row endpoint = endpoint_of(container);
	struct xd_address_row address = address_row_of(container);

	put_endpoint(world, &endpoint);
	put_address(world, &address);
}

/* With its reverse row, if it is the canonical one. */
static void add_port(struct world *world, const struct xd_port_row *port)
{
	struct xd_port_rev_row rev = rev_of(port);

	put_port(world, port);
	if (port->value.flags & XD_PORT_CANONICAL)
		put_rev(world, &rev);
}

/* Two containers, one port of the first and two of the second, which share a container port. */
static struct world busy_world(void)
{
	const struct xd_port_row ports[] = {
		port_of(1, 0, 8001, 80, XD_PORT_CANONICAL),
		port_of(2, 0x0a000001, 8002, 80, XD_PORT_CANONICAL | XD_PORT_EXCEPTION),
		port_of(2, 0x0a000002, 8002, 80, 0),
	};
	struct world world = {};
	size_t i;

	add_container(&world, 1);
	add_container(&world, 2);
	for (i = 0; i < COUNT(ports); i++)
		add_port(&world, &ports[i]);
	return world;
}

/* One write of a command. */
struct write {
	enum {
		PUT_ENDPOINT,
		PUT_ADDRESS,
		PUT_PORT,
		PUT_REV,
		DELETE_ENDPOINT,
		DELETE_ADDRESS,
		DELETE_PORT,
		DELETE_REV,
		DELETE_DEVICE, /* of the container; the row stays */
	} what;
	struct xd_endpoint_row endpoint;
	struct xd_address_row address;
	struct xd_port_row port;
	struct xd_port_rev_row rev;
};

static void do_write(struct world *world, const struct write *write)
{
	struct xd_endpoint_row *endpoint;

	switch (write->what) {
	case PUT_ENDPOINT:
		put_endpoint(world, &write->endpoint);
		break;
	case PUT_ADDRESS:
		put_address(world, &write->address);
		break;
	case PUT_PORT:
		put_port(world, &write->port);
		break;
	case PUT_REV:
		put_rev(world, &write->rev);
		break;
	case DELETE_ENDPOINT:
		delete_endpoint(world, write->endpoint.ifindex);
		break;
	case DELETE_ADDRESS:
		delete_address(world, &write->address.key);
		break;
	case DELETE_PORT:
		delete_port(world, &write->port.key);
		break;
	case DELETE_REV:
		delete_rev(world, &write->rev.key);
		break;
	case DELETE_DEVICE:
		endpoint = find_endpoint(world, write->endpoint.ifindex);
		if (endpoint)
			endpoint->is_alive = false;
		break;
	}
}

/* Killed after each of the writes; and, since it must not matter, with any of them missing. Run to
 * its end, the command has left nothing to heal. */
static void assert_command_can_be_killed(const struct world *before, const struct write *writes,
					 size_t count)
{
	struct world world;
	size_t i, done;
	unsigned int set;

	for (done = 0; done <= count; done++) {
		world = *before;
		for (i = 0; i < done; i++)
			do_write(&world, &writes[i]);
		if (done == 0 || done == count)
			assert_nothing_to_do(&world);
		assert_heals(&world);
	}
	for (set = 0; set < 1U << count; set++) {
		world = *before;
		for (i = 0; i < count; i++) {
			if (set & 1U << i)
				do_write(&world, &writes[i]);
		}
		assert_heals(&world);
	}
}

static void leaves_healthy_maps_alone(void **state)
{
	struct world world = busy_world();

	(void)state;
	assert_nothing_to_do(&world);
}

static void leaves_empty_maps_alone(void **state)
{
	const struct xd_state empty = {};
	struct xd_operations operations;

	(void)state;
	assert_int_equal(xd_reconcile(&empty, &operations), 0);
	assert_true(xd_operations_is_empty(&operations));
	xd_operations_free(&operations);
}

static void heals_a_killed_port_add(void **state)
{
	const struct xd_port_row ports[] = {
		port_of(1, 0, 9000, 9000, XD_PORT_CANONICAL),
		port_of(1, 0, 9001, 9001, XD_PORT_CANONICAL),
		port_of(1, 0, 9002, 9002, XD_PORT_CANONICAL),
		/* A second mapping of a port that has a canonical one, and what that becomes. */
		port_of(1, 0, 7000, 80, 0),
		port_of(1, 0, 8001, 80, XD_PORT_CANONICAL | XD_PORT_EXCEPTION),
	};
	const struct write writes[] = {
		{ .what = PUT_REV, .rev = rev_of(&ports[0]) },
		{ .what = PUT_REV, .rev = rev_of(&ports[1]) },
		{ .what = PUT_REV, .rev = rev_of(&ports[2]) },
		{ .what = PUT_PORT, .port = ports[0] },
		{ .what = PUT_PORT, .port = ports[1] },
		{ .what = PUT_PORT, .port = ports[2] },
		{ .what = PUT_PORT, .port = ports[3] },
		{ .what = PUT_REV, .rev = rev_of(&ports[4]) },
		{ .what = PUT_PORT, .port = ports[4] },
	};
	struct world world = busy_world();

	(void)state;
	assert_command_can_be_killed(&world, writes, COUNT(writes));
}

/* The canonical mapping goes and another one takes its place. */
static void heals_a_killed_port_rm(void **state)
{
	const struct xd_port_row gone[] = {
		port_of(1, 0, 8001, 80, XD_PORT_CANONICAL),
		port_of(2, 0x0a000001, 8002, 80, XD_PORT_CANONICAL | XD_PORT_EXCEPTION),
	};
	const struct xd_port_row heir =
		port_of(2, 0x0a000002, 8002, 80, XD_PORT_CANONICAL | XD_PORT_EXCEPTION);
	const struct write writes[] = {
		{ .what = DELETE_PORT, .port = gone[0] },
		{ .what = DELETE_PORT, .port = gone[1] },
		{ .what = DELETE_REV, .rev = rev_of(&gone[0]) },
		{ .what = PUT_REV, .rev = rev_of(&heir) },
		{ .what = PUT_PORT, .port = heir },
	};
	struct world world = busy_world();

	(void)state;
	assert_command_can_be_killed(&world, writes, COUNT(writes));
}

static void heals_a_killed_container_add(void **state)
{
	const struct xd_port_row ports[] = {
		port_of(3, 0, 8003, 80, XD_PORT_CANONICAL),
		port_of(3, 0, 8004, 81, XD_PORT_CANONICAL),
	};
	const struct write writes[] = {
		{ .what = PUT_ENDPOINT, .endpoint = endpoint_of(3) },
		{ .what = PUT_ADDRESS, .address = address_row_of(3) },
		{ .what = PUT_REV, .rev = rev_of(&ports[0]) },
		{ .what = PUT_REV, .rev = rev_of(&ports[1]) },
		{ .what = PUT_PORT, .port = ports[0] },
		{ .what = PUT_PORT, .port = ports[1] },
	};
	struct world world = busy_world();

	(void)state;
	assert_command_can_be_killed(&world, writes, COUNT(writes));
}

/* The device may go at any moment: first, last, or between any two writes. */
static void heals_a_killed_container_rm(void **state)
{
	const struct xd_port_row ports[] = {
		port_of(2, 0x0a000001, 8002, 80, XD_PORT_CANONICAL | XD_PORT_EXCEPTION),
		port_of(2, 0x0a000002, 8002, 80, 0),
	};
	const struct write writes[] = {
		{ .what = DELETE_PORT, .port = ports[0] },
		{ .what = DELETE_PORT, .port = ports[1] },
		{ .what = DELETE_REV, .rev = rev_of(&ports[0]) },
		{ .what = DELETE_ADDRESS, .address = address_row_of(2) },
		{ .what = DELETE_ENDPOINT, .endpoint = endpoint_of(2) },
	};
	const struct write gone = { .what = DELETE_DEVICE, .endpoint = endpoint_of(2) };
	struct world world = busy_world();
	size_t at;

	(void)state;
	assert_command_can_be_killed(&world, writes, COUNT(writes));
	for (at = 0; at <= COUNT(writes); at++) {
		struct write with_device[COUNT(writes) + 1];

		memcpy(with_device, writes, at * sizeof(writes[0]));
		with_device[at] = gone;
		memcpy(with_device + at + 1, writes + at, (COUNT(writes) - at) * sizeof(writes[0]));
		assert_command_can_be_killed(&world, with_device, COUNT(with_device));
	}
}

/* The container that has the address now keeps its rows; the one that had it loses its own. */
static void gives_a_reused_address_to_the_living(void **state)
{
	struct world world = busy_world();
	struct xd_endpoint_row heir = endpoint_of(1);
	struct xd_address_key key = { .bridge = BRIDGE, .address = address_of(1) };
	const struct xd_port_row port = port_of(1, 0, 8001, 80, XD_PORT_CANONICAL);

	(void)state;
	find_endpoint(&world, 11)->is_alive = false;
	heir.ifindex = 21;
	put_endpoint(&world, &heir);
	assert_heals(&world);
	assert_int_equal(find_address(&world, &key)->value.ifindex, 21);
	assert_null(find_port(&world, &port.key));
	assert_null(find_endpoint(&world, 11));
}

/* An ifindex that was given away again must not deliver to the wrong container. */
static void deletes_ports_of_a_reused_ifindex(void **state)
{
	struct world world = busy_world();
	struct xd_endpoint_row heir = endpoint_of(7);
	const struct xd_port_row port = port_of(1, 0, 8001, 80, XD_PORT_CANONICAL);

	(void)state;
	heir.ifindex = 11;
	put_endpoint(&world, &heir);
	assert_heals(&world);
	assert_null(find_port(&world, &port.key));
	assert_int_equal(world.port_count, 2);
	assert_int_equal(world.rev_count, 1);
}

static void deletes_rows_of_an_ifindex_without_endpoint(void **state)
{
	struct world world = busy_world();

	(void)state;
	delete_endpoint(&world, 12);
	assert_heals(&world);
	assert_int_equal(world.port_count, 1);
	assert_int_equal(world.rev_count, 1);
	assert_int_equal(world.address_count, 1);
}

static void corrects_an_address_row_that_differs(void **state)
{
	struct world world = busy_world();
	struct xd_address_key key = { .bridge = BRIDGE, .address = address_of(1) };

	(void)state;
	find_address(&world, &key)->value.mac[5] = 0x77;
	assert_int_equal(heal_steps(&world, SIZE_MAX), 1);
	assert_int_equal(find_address(&world, &key)->value.mac[5], 1);
	find_address(&world, &key)->value.ifindex = 12;
	assert_int_equal(heal_steps(&world, SIZE_MAX), 1);
	assert_int_equal(find_address(&world, &key)->value.ifindex, 11);
	find_address(&world, &key)->value.counter = 1;
	assert_int_equal(heal_steps(&world, SIZE_MAX), 1);
	assert_int_equal(find_address(&world, &key)->value.counter, 101);
}

/* A stale forwarding row with an ifindex that is alive, but somebody else's. */
static void deletes_an_address_row_that_nobody_has(void **state)
{
	struct world world = busy_world();
	struct xd_address_row stale = address_row_of(1);

	(void)state;
	stale.key.bridge = BRIDGE + 1;
	put_address(&world, &stale);
	assert_int_equal(heal_steps(&world, SIZE_MAX), 1);
	assert_null(find_address(&world, &stale.key));
	assert_int_equal(world.address_count, 2);
}

static void gives_a_disputed_address_to_the_lower_ifindex(void **state)
{
	struct world world = busy_world();
	struct xd_endpoint_row rival = endpoint_of(1);
	struct xd_address_key key = { .bridge = BRIDGE, .address = address_of(1) };

	(void)state;
	rival.ifindex = 99;
	put_endpoint(&world, &rival);
	assert_nothing_to_do(&world);
	rival.ifindex = 3;
	put_endpoint(&world, &rival);
	assert_heals(&world);
	assert_int_equal(find_address(&world, &key)->value.ifindex, 3);
}

static void chooses_the_lowest_key_where_none_is_canonical(void **state)
{
	/* Numbers whose order is another one when their bytes are swapped. */
	const struct xd_port_row ports[] = {
		port_of(1, 0x0a000002, 0x0102, 80, 0),
		port_of(1, 0x0100000b, 0x0301, 80, 0),
		port_of(1, 0x0100000b, 0x0201, 80, 0),
		port_of(1, 0x0100000b, 0x0103, 80, 0),
	};
	struct world world = {};
	size_t i;

	(void)state;
	add_container(&world, 1);
	for (i = 0; i < COUNT(ports); i++)
		add_port(&world, &ports[i]);
	assert_heals(&world);
	for (i = 0; i < COUNT(ports); i++)
		assert_int_equal(find_port(&world, &ports[i].key)->value.flags,
				 i == 3 ? XD_PORT_CANONICAL | XD_PORT_EXCEPTION : 0);
	assert_int_equal(world.revs[0].value.port, htons(0x0103));
}

static void keeps_the_canonical_mapping_when_a_lower_one_comes(void **state)
{
	struct world world = busy_world();
	const struct xd_port_row lower = port_of(1, 0, 1, 80, 0);
	struct xd_port_rev_key key = container_of_port(&lower);

	(void)state;
	add_port(&world, &lower);
	assert_heals(&world);
	assert_int_equal(find_rev(&world, &key)->value.port, htons(8001));
	assert_int_equal(find_port(&world, &lower.key)->value.flags, 0);
}

static void leaves_one_of_two_canonical_mappings(void **state)
{
	struct world world = busy_world();
	const struct xd_port_row second = port_of(1, 0, 9001, 80, XD_PORT_CANONICAL);
	struct xd_port_rev_key key = container_of_port(&second);

	(void)state;
	put_port(&world, &second);
	assert_heals(&world);
	assert_int_equal(find_port(&world, &second.key)->value.flags, 0);
	assert_int_equal(find_rev(&world, &key)->value.port, htons(8001));
}

/* TCP and UDP of one number have nothing to do with each other. */
static void keeps_protocols_apart(void **state)
{
	struct world world = busy_world();
	struct xd_port_row udp = port_of(1, 0, 8001, 80, XD_PORT_CANONICAL);

	(void)state;
	udp.key.protocol = IPPROTO_UDP;
	add_port(&world, &udp);
	assert_nothing_to_do(&world);
	assert_int_equal(world.rev_count, 3);
}

/* Flows in xd_exception live on when the canonical mapping changes, and only the flags make
 * programs look there. */
static void keeps_the_exception_flags_when_the_canonical_mapping_changes(void **state)
{
	struct world world = busy_world();
	const struct xd_port_row gone = port_of(2, 0x0a000001, 8002, 80, 0);
	const struct xd_port_row heir = port_of(2, 0x0a000002, 8002, 80, 0);
	struct xd_port_rev_key key = container_of_port(&heir);

	(void)state;
	delete_port(&world, &gone.key);
	assert_heals(&world);
	assert_int_equal(find_port(&world, &heir.key)->value.flags,
			 XD_PORT_CANONICAL | XD_PORT_EXCEPTION);
	assert_int_equal(find_rev(&world, &key)->value.flags, XD_PORT_REV_EXCEPTION);
	assert_int_equal(find_rev(&world, &key)->value.address, htonl(0x0a000002));
}

/* So that the flow of one mapping cannot take the place of the other's. */
static void sets_the_exception_flags_where_two_mappings_share_a_container_port(void **state)
{
	struct world world = busy_world();
	const struct xd_port_row port = port_of(1, 0, 8001, 80, 0);
	const struct xd_port_row second = port_of(1, 0, 8009, 80, 0);
	struct xd_port_rev_key key = container_of_port(&port);

	(void)state;
	assert_int_equal(find_rev(&world, &key)->value.flags, 0);
	put_port(&world, &second);
	assert_heals(&world);
	assert_int_equal(find_port(&world, &port.key)->value.flags,
			 XD_PORT_CANONICAL | XD_PORT_EXCEPTION);
	assert_int_equal(find_port(&world, &second.key)->value.flags, 0);
	assert_int_equal(find_rev(&world, &key)->value.flags, XD_PORT_REV_EXCEPTION);
}

/* A program may set them between our read and our write, which then takes one back. */
static void sets_both_exception_flags_where_one_is_set(void **state)
{
	struct world world = busy_world();
	const struct xd_port_row port = port_of(1, 0, 8001, 80, 0);
	struct xd_port_rev_key key = container_of_port(&port);

	(void)state;
	find_rev(&world, &key)->value.flags = XD_PORT_REV_EXCEPTION;
	assert_int_equal(heal_steps(&world, SIZE_MAX), 1);
	assert_int_equal(find_port(&world, &port.key)->value.flags,
			 XD_PORT_CANONICAL | XD_PORT_EXCEPTION);
	find_rev(&world, &key)->value.flags = 0;
	assert_int_equal(heal_steps(&world, SIZE_MAX), 1);
	assert_int_equal(find_rev(&world, &key)->value.flags, XD_PORT_REV_EXCEPTION);
	delete_rev(&world, &key);
	assert_int_equal(heal_steps(&world, SIZE_MAX), 1);
	assert_int_equal(find_rev(&world, &key)->value.flags, XD_PORT_REV_EXCEPTION);
}

static __u32 next_random(__u64 *random)
{
	*random = *random * 6364136223846793005ULL + 1442695040888963407ULL;
	return *random >> 33;
}

/* Few different keys, so that rows meet. */
static void randomise(struct world *world, __u64 *random)
{
	size_t i, rows;

	rows = next_random(random) % 6;
	for (i = 0; i < rows; i++) {
		struct xd_endpoint_row row = endpoint_of(1 + next_random(random) % 5);

		row.ifindex = 11 + next_random(random) % 5;
		row.is_alive = next_random(random) % 4;
		row.value.bridge = BRIDGE + !(next_random(random) % 4);
		put_endpoint(world, &row);
	}
	rows = next_random(random) % 6;
	for (i = 0; i < rows; i++) {
		struct xd_address_row row = address_row_of(1 + next_random(random) % 5);

		row.value.ifindex = 11 + next_random(random) % 6;
		put_address(world, &row);
	}
	rows = next_random(random) % 10;
	for (i = 0; i < rows; i++) {
		struct xd_port_row row =
			port_of(1 + next_random(random) % 5, next_random(random) % 2 * 0x0a000001,
				1 + next_random(random) % 4 * 0xff, 80 + next_random(random) % 2,
				next_random(random) % 4);

		row.key.protocol = next_random(random) % 2 ? IPPROTO_TCP : IPPROTO_UDP;
		if (!(next_random(random) % 4))
			row.value.ifindex = 11 + next_random(random) % 6;
		put_port(world, &row);
	}
	rows = next_random(random) % 8;
	for (i = 0; i < rows; i++) {
		struct xd_port_row port =
			port_of(1 + next_random(random) % 5, next_random(random) % 2 * 0x0a000001,
				1 + next_random(random) % 4 * 0xff, 80 + next_random(random) % 2,
				next_random(random) % 4);
		struct xd_port_rev_row row = rev_of(&port);

		row.key.protocol = next_random(random) % 2 ? IPPROTO_TCP : IPPROTO_UDP;
		put_rev(world, &row);
	}
}

static void heals_any_state(void **state)
{
	__u64 random = 42;
	unsigned int i;

	(void)state;
	for (i = 0; i < 20000; i++) {
		struct world world = {};

		randomise(&world, &random);
		assert_heals(&world);
	}
}

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void shuffle(void *rows, size_t count, size_t size)
{
	__u64 random = 7;
	char row[128];
	size_t i;

	for (i = count - 1; i; i--) {
		char *a = (char *)rows + i * size;
		char *b = (char *)rows + next_random(&random) % (i + 1) * size;

		memcpy(row, a, size);
		memmove(a, b, size);
		memcpy(b, row, size);
	}
}

/* All maps full, four ports for each container, in no order. */
static struct xd_state full_state(void)
{
	struct xd_state full = {
		.endpoints = calloc(XD_ENDPOINT_MAX, sizeof(*full.endpoints)),
		.addresses = calloc(XD_ENDPOINT_MAX, sizeof(*full.addresses)),
		.ports = calloc(XD_PORT_MAX, sizeof(*full.ports)),
		.revs = calloc(XD_PORT_MAX, sizeof(*full.revs)),
	};
	unsigned int i;

	for (i = 0; i < XD_ENDPOINT_MAX; i++) {
		full.endpoints[full.endpoint_count++] = endpoint_of(1 + i);
		full.addresses[full.address_count++] = address_row_of(1 + i);
	}
	for (i = 0; i < XD_PORT_MAX; i++) {
		full.ports[i] = port_of(1 + i / 4, 0x0a000001 + (i == 0), i ? i : 1, i,
					XD_PORT_CANONICAL);
		full.revs[i] = rev_of(&full.ports[i]);
	}
	full.port_count = full.rev_count = XD_PORT_MAX;
	shuffle(full.endpoints, full.endpoint_count, sizeof(*full.endpoints));
	shuffle(full.addresses, full.address_count, sizeof(*full.addresses));
	shuffle(full.ports, full.port_count, sizeof(*full.ports));
	shuffle(full.revs, full.rev_count, sizeof(*full.revs));
	return full;
}

static void free_state(struct xd_state *full)
{
	free(full->endpoints);
	free(full->addresses);
	free(full->ports);
	free(full->revs);
}

/* The limit is for a slow machine and sanitizers; whatever is quadratic takes far longer. */
static void reconciles_full_maps_at_once(void **state)
{
	struct xd_state full = full_state();
	struct xd_operations operations;
	double begin = cpu_seconds(), seconds;
	size_t i;

	(void)state;
	assert_int_equal(xd_reconcile(&full, &operations), 0);
	seconds = cpu_seconds() - begin;
	print_message("    healthy: %.0f ms\n", seconds * 1e3);
	assert_true(seconds < 1);
	assert_true(xd_operations_is_empty(&operations));
	xd_operations_free(&operations);

	for (i = 0; i < XD_ENDPOINT_MAX; i++)
		full.endpoints[i].is_alive = false;
	begin = cpu_seconds();
	assert_int_equal(xd_reconcile(&full, &operations), 0);
	seconds = cpu_seconds() - begin;
	print_message("    all gone: %.0f ms\n", seconds * 1e3);
	assert_true(seconds < 1);
	assert_int_equal(operations.port_delete_count, XD_PORT_MAX);
	assert_int_equal(operations.rev_delete_count, XD_PORT_MAX);
	assert_int_equal(operations.address_delete_count, XD_ENDPOINT_MAX);
	assert_int_equal(operations.endpoint_delete_count, XD_ENDPOINT_MAX);
	assert_int_equal(operations.address_put_count + operations.rev_put_count +
				 operations.port_put_count,
			 0);
	xd_operations_free(&operations);
	free_state(&full);
}

static const struct xd_port_row *conflict(struct xd_port_index *index, __u32 host, __u16 host_port,
					  __u8 protocol)
{
	const struct xd_port_key key = {
		.address = htonl(host),
		.port = htons(host_port),
		.protocol = protocol,
	};

	return xd_port_index_conflict(index, &key);
}

static void refuses_a_wildcard_beside_an_address_and_the_reverse(void **state)
{
	struct world world = busy_world();
	struct xd_state maps = state_of(&world);
	struct xd_port_index *index;

	(void)state;
	assert_int_equal(xd_port_index_new(&maps, &index), 0);
	memset(&world, 0, sizeof(world)); /* the index has copies */
	/* busy_world: 0.0.0.0:8001, 10.0.0.1:8002, 10.0.0.2:8002 */
	assert_string_equal(conflict(index, 0, 8001, IPPROTO_TCP)->value.name, "c1");
	assert_string_equal(conflict(index, 0x0a000001, 8001, IPPROTO_TCP)->value.name, "c1");
	assert_string_equal(conflict(index, 0x7f000001, 8001, IPPROTO_TCP)->value.name, "c1");
	assert_string_equal(conflict(index, 0, 8002, IPPROTO_TCP)->value.name, "c2");
	assert_int_equal(conflict(index, 0x0a000001, 8002, IPPROTO_TCP)->key.address,
			 htonl(0x0a000001));
	assert_int_equal(conflict(index, 0x0a000002, 8002, IPPROTO_TCP)->key.address,
			 htonl(0x0a000002));
	assert_null(conflict(index, 0x0a000003, 8002, IPPROTO_TCP));
	assert_null(conflict(index, 0, 8003, IPPROTO_TCP));
	assert_null(conflict(index, 0, 8001, IPPROTO_UDP));
	assert_null(conflict(index, 0, 8002, IPPROTO_UDP));
	xd_port_index_free(index);
}

static void finds_conflicts_within_one_command(void **state)
{
	const struct xd_state empty = {};
	struct xd_port_row row = port_of(1, 0x0a000001, 80, 80, 0);
	struct xd_port_index *index;

	(void)state;
	assert_int_equal(xd_port_index_new(&empty, &index), 0);
	assert_null(conflict(index, 0, 80, IPPROTO_TCP));
	assert_int_equal(xd_port_index_add(index, &row), 0);
	assert_string_equal(conflict(index, 0, 80, IPPROTO_TCP)->value.name, "c1");
	assert_string_equal(conflict(index, 0x0a000001, 80, IPPROTO_TCP)->value.name, "c1");
	strcpy(row.value.name, "other");
	assert_int_equal(xd_port_index_add(index, &row), 0);
	assert_string_equal(conflict(index, 0x0a000001, 80, IPPROTO_TCP)->value.name, "c1");
	xd_port_index_free(index);
	xd_port_index_free(NULL);
}

/* Also for states that a wildcard shares with addresses, which no command makes. */
static void finds_the_conflicts_that_a_scan_finds(void **state)
{
	__u64 random = 1;
	unsigned int round, i, found = 0;

	(void)state;
	for (round = 0; round < 2000; round++) {
		struct world world = {};
		struct xd_state maps;
		struct xd_port_index *index;

		for (i = 0; i < round % ROOM; i++) {
			struct xd_port_row row = port_of(1, next_random(&random) % 4 << 24,
							 1 + next_random(&random) % 5, 80, 0);

			row.key.protocol = next_random(&random) % 2 ? IPPROTO_TCP : IPPROTO_UDP;
			put_port(&world, &row);
		}
		maps = state_of(&world);
		assert_int_equal(xd_port_index_new(&maps, &index), 0);
		for (i = 0; i < 20; i++) {
			struct xd_port_key key = {
				.address = htonl(next_random(&random) % 4 << 24),
				.port = htons(1 + next_random(&random) % 5),
				.protocol = next_random(&random) % 2 ? IPPROTO_TCP : IPPROTO_UDP,
			};
			const struct xd_port_row *row = xd_port_index_conflict(index, &key);
			bool is_expected = false;
			size_t at;

			for (at = 0; at < world.port_count; at++) {
				const struct xd_port_key *other = &world.ports[at].key;

				is_expected |= other->port == key.port &&
					       other->protocol == key.protocol &&
					       (!key.address || !other->address ||
						key.address == other->address);
			}
			assert_int_equal(row != NULL, is_expected);
			if (!row)
				continue;
			found++;
			assert_int_equal(row->key.port, key.port);
			assert_int_equal(row->key.protocol, key.protocol);
			assert_true(!key.address || !row->key.address ||
				    key.address == row->key.address);
		}
		xd_port_index_free(index);
	}
	assert_in_range(found, 1000, 39000);
}

static void answers_for_ten_thousand_ports_at_once(void **state)
{
	struct xd_state full = full_state();
	double begin = cpu_seconds(), seconds;
	struct xd_port_index *index;
	unsigned int port;

	(void)state;
	assert_int_equal(xd_port_index_new(&full, &index), 0);
	for (port = 10000; port < 20000; port++) {
		assert_non_null(conflict(index, 0, port, IPPROTO_TCP));
		assert_null(conflict(index, 0x0a0000ff, port, IPPROTO_TCP));
		assert_null(conflict(index, 0, port, IPPROTO_UDP));
	}
	xd_port_index_free(index);
	seconds = cpu_seconds() - begin;
	print_message("    index, 30000 questions: %.0f ms\n", seconds * 1e3);
	assert_true(seconds < 1);
	free_state(&full);
}

static __be32 free_address(struct world *world, const char *gateway, unsigned int prefix)
{
	struct xd_state maps = state_of(world);
	__be32 address = 0;

	assert_int_equal(xd_reconcile_free_address(&maps, BRIDGE, inet_addr(gateway),
						   htonl(~0U << (32 - prefix)), &address),
			 0);
	return address;
}

static void gives_the_lowest_free_address(void **state)
{
	struct world world = {};

	(void)state;
	assert_int_equal(free_address(&world, "172.17.0.1", 16), inet_addr("172.17.0.2"));
	assert_int_equal(free_address(&world, "172.17.0.2", 16), inet_addr("172.17.0.1"));
	assert_int_equal(free_address(&world, "172.17.255.254", 16), inet_addr("172.17.0.1"));
	assert_int_equal(free_address(&world, "10.9.8.7", 8), inet_addr("10.0.0.1"));
	assert_int_equal(free_address(&world, "192.168.1.5", 30), inet_addr("192.168.1.6"));
	assert_int_equal(free_address(&world, "192.168.1.6", 30), inet_addr("192.168.1.5"));
	add_container(&world, 1);
	add_container(&world, 3);
	assert_int_equal(free_address(&world, "172.17.0.1", 16), inet_addr("172.17.0.3"));
	add_container(&world, 2);
	assert_int_equal(free_address(&world, "172.17.0.1", 16), inet_addr("172.17.0.5"));
	delete_endpoint(&world, 11);
	assert_int_equal(free_address(&world, "172.17.0.1", 16), inet_addr("172.17.0.2"));
}

static void looks_at_endpoints_of_the_same_bridge_and_subnet_only(void **state)
{
	struct world world = {};
	struct xd_endpoint_row other = endpoint_of(1);

	(void)state;
	other.value.bridge = BRIDGE + 1;
	put_endpoint(&world, &other);
	assert_int_equal(free_address(&world, "172.17.0.1", 16), inet_addr("172.17.0.2"));
	other.value.bridge = BRIDGE;
	other.value.address = inet_addr("172.18.0.2");
	put_endpoint(&world, &other);
	assert_int_equal(free_address(&world, "172.17.0.1", 16), inet_addr("172.17.0.2"));
	assert_int_equal(free_address(&world, "172.18.0.1", 16), inet_addr("172.18.0.3"));
}

static void says_when_every_address_is_taken(void **state)
{
	struct world world = {};
	__be32 gateway = htonl(0xac110001), mask = htonl(0xfffffff0), address;
	struct xd_state maps;
	unsigned int i;

	(void)state;
	/* 172.17.0.2 to 172.17.0.14 */
	for (i = 1; i <= 13; i++) {
		assert_int_equal(free_address(&world, "172.17.0.1", 28), address_of(i));
		add_container(&world, i);
	}
	maps = state_of(&world);
	address = 7;
	xd_error_clear();
	assert_int_equal(xd_reconcile_free_address(&maps, BRIDGE, gateway, mask, &address),
			 -ENOSPC);
	assert_string_equal(xd_error_message(), "every address of the subnet is taken");
	assert_int_equal(xd_error_kind(), XD_ERROR_SYSTEM);
	assert_int_equal(address, 7);
}

static void gives_addresses_up_to_the_last_endpoint(void **state)
{
	struct xd_state full = full_state();
	__be32 gateway = htonl(0xac110001), mask = htonl(0xffff0000), address = 0;
	double begin = cpu_seconds(), seconds;
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		assert_int_equal(
			xd_reconcile_free_address(&full, BRIDGE, gateway, mask, &address), 0);
	seconds = cpu_seconds() - begin;
	print_message("    1000 addresses: %.0f ms\n", seconds * 1e3);
	assert_int_equal(address, address_of(XD_ENDPOINT_MAX + 1));
	assert_true(seconds < 1);
	free_state(&full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_healthy_maps_alone),
		cmocka_unit_test(leaves_empty_maps_alone),
		cmocka_unit_test(heals_a_killed_port_add),
		cmocka_unit_test(heals_a_killed_port_rm),
		cmocka_unit_test(heals_a_killed_container_add),
		cmocka_unit_test(heals_a_killed_container_rm),
		cmocka_unit_test(gives_a_reused_address_to_the_living),
		cmocka_unit_test(deletes_ports_of_a_reused_ifindex),
		cmocka_unit_test(deletes_rows_of_an_ifindex_without_endpoint),
		cmocka_unit_test(corrects_an_address_row_that_differs),
		cmocka_unit_test(deletes_an_address_row_that_nobody_has),
		cmocka_unit_test(gives_a_disputed_address_to_the_lower_ifindex),
		cmocka_unit_test(chooses_the_lowest_key_where_none_is_canonical),
		cmocka_unit_test(keeps_the_canonical_mapping_when_a_lower_one_comes),
		cmocka_unit_test(leaves_one_of_two_canonical_mappings),
		cmocka_unit_test(keeps_protocols_apart),
		cmocka_unit_test(keeps_the_exception_flags_when_the_canonical_mapping_changes),
		cmocka_unit_test(
			sets_the_exception_flags_where_two_mappings_share_a_container_port),
		cmocka_unit_test(sets_both_exception_flags_where_one_is_set),
		cmocka_unit_test(heals_any_state),
		cmocka_unit_test(reconciles_full_maps_at_once),
		cmocka_unit_test(refuses_a_wildcard_beside_an_address_and_the_reverse),
		cmocka_unit_test(finds_conflicts_within_one_command),
		cmocka_unit_test(finds_the_conflicts_that_a_scan_finds),
		cmocka_unit_test(answers_for_ten_thousand_ports_at_once),
		cmocka_unit_test(gives_the_lowest_free_address),
		cmocka_unit_test(looks_at_endpoints_of_the_same_bridge_and_subnet_only),
		cmocka_unit_test(says_when_every_address_is_taken),
		cmocka_unit_test(gives_addresses_up_to_the_last_endpoint),
	};

	return cmocka_run_group_tests_name("reconcile", tests, NULL, NULL);
}
