// SPDX-License-Identifier: GPL-2.0-only
/* Typed access to the pinned maps. */
#include "loader/table.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/exception.h"
#include "include/fragment.h"
#include "include/limit.h"
#include "include/limits.h"
#include "include/local.h"
#include "include/peer.h"
#include "include/sample.h"
#include "include/snat.h"
#include "include/undo.h"
#include "loader/error.h"
#include "loader/flow.h"
#include "loader/step.h"

/* Rows of one bpf(2) batch: long enough to cost nothing, short enough to show progress. */
#define BATCH 1024

/* Rows of one batch that is read. */
#define WALK 8192

/* LOCAL_FREE_TARGET of the kernel's LRU: rows that a CPU takes for itself at once. */
#define LRU_BATCH 128

struct table {
	const char *name;
	size_t key_size;
	size_t value_size;
	const char *option; /* of `up` that makes it larger; NULL: none */
	bool is_lru;
	bool is_trie; /* longest prefix match: Linux before 5.14 has no batches of it */
};

static const struct table tables[XD_TABLE_MAX] = {
	[XD_TABLE_NETWORK] = { "xd_network", sizeof(__u32), sizeof(struct xd_network), NULL,
			       false },
	[XD_TABLE_ENDPOINT] = { "xd_endpoint", sizeof(__u32), sizeof(struct xd_endpoint), NULL,
				false },
	[XD_TABLE_ADDRESS] = { "xd_address", sizeof(struct xd_address_key),
			       sizeof(struct xd_address), NULL, false },
	[XD_TABLE_DEVICE] = { "xd_device", sizeof(__u32), sizeof(__u32), NULL, false },
	[XD_TABLE_PORT] = { "xd_port", sizeof(struct xd_port_key), sizeof(struct xd_port),
			    "--max-ports", false },
	[XD_TABLE_PORT_REV] = { "xd_port_rev", sizeof(struct xd_port_rev_key),
				sizeof(struct xd_port_rev), "--max-ports", false },
	[XD_TABLE_LOCAL] = { "xd_local", sizeof(__be32), sizeof(struct xd_local), NULL, true },
	[XD_TABLE_SNAT] = { "xd_snat", sizeof(struct xd_snat_key), sizeof(struct xd_snat),
			    "--max-flows", true },
	[XD_TABLE_SNAT_REV] = { "xd_snat_rev", sizeof(struct xd_snat_rev_key),
				sizeof(struct xd_snat_rev), "--max-flows", true },
	[XD_TABLE_EXCEPTION] = { "xd_exception", sizeof(struct xd_exception_key),
				 sizeof(struct xd_exception), "--max-exceptions", true },
	[XD_TABLE_FRAGMENT] = { "xd_fragment", sizeof(struct xd_fragment_key),
				sizeof(struct xd_fragment), "--max-fragments", true },
	[XD_TABLE_LIMIT] = { "xd_limit", sizeof(__u32), sizeof(struct xd_limit), NULL, false },
	[XD_TABLE_BUCKET] = { "xd_bucket", sizeof(struct xd_bucket_key), sizeof(struct xd_bucket),
			      NULL, true },
	[XD_TABLE_LIST] = { "xd_list", sizeof(struct xd_list_key), sizeof(struct xd_list), NULL,
			    false, .is_trie = true },
	[XD_TABLE_SAMPLE] = { "xd_sample", sizeof(struct xd_sample_key), sizeof(struct xd_sample),
			      NULL, true },
	[XD_TABLE_PEER] = { "xd_peer", sizeof(struct xd_peer_key), sizeof(struct xd_peer), NULL,
			    true },
	[XD_TABLE_UNDO] = { "xd_undo", sizeof(struct xd_undo_key), sizeof(struct xd_undo), NULL,
			    false },
};

/* Opened for each call: a command that waits for the lock meanwhile (`run`) may find another
 * instance's life behind the same path. The caller closes. */
static int open_map(const struct xd_instance *instance, const char *name, int *ret_fd)
{
	char path[XD_PIN_PATH_LEN];
	int fd;

	fd = bpf_obj_get(xd_pin_path(instance, name, path));
	if (fd < 0)
		return xd_error_system(-errno, "%s", path);
	*ret_fd = fd;
	return 0;
}

static int open_table(const struct xd_instance *instance, enum xd_table table, int *ret_fd)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);
	int r;

	r = open_map(instance, tables[table].name, ret_fd);
	if (!r && !bpf_obj_get_info_by_fd(*ret_fd, &info, &length)) {
		assert(info.key_size == tables[table].key_size);
		assert(info.value_size == tables[table].value_size);
	}
	return r;
}

static int table_error(int r, enum xd_table table)
{
	if (r == -E2BIG || r == -ENOSPC)
		return tables[table].option
			       ? xd_error_system(
					 -EBUSY,
					 "%s: the map is full; `xdock up %s N` makes it larger",
					 tables[table].name, tables[table].option)
			       : xd_error_system(-EBUSY, "%s: the map is full", tables[table].name);
	return xd_error_system(r, "%s", tables[table].name);
}

int xd_table_get(const struct xd_instance *instance, enum xd_table table, const void *key,
		 void *ret_value)
{
	int fd, r;

	if (!instance->is_up)
		return -ENOENT;
	r = open_table(instance, table, &fd);
	if (r)
		return r;
	r = bpf_map_lookup_elem(fd, key, ret_value) ? -errno : 0;
	close(fd);
	return !r || r == -ENOENT ? r : table_error(r, table);
}

int xd_table_put(const struct xd_instance *instance, enum xd_table table, const void *key,
		 const void *value)
{
	int fd, r;

	if (xd_step_is_dry_run())
		return 0;
	r = open_table(instance, table, &fd);
	if (r)
		return r;
	r = bpf_map_update_elem(fd, key, value, BPF_ANY) ? -errno : 0;
	close(fd);
	return r ? table_error(r, table) : 0;
}

int xd_table_delete(const struct xd_instance *instance, enum xd_table table, const void *key)
{
	int fd, r;

	if (xd_step_is_dry_run())
		return 0;
	r = open_table(instance, table, &fd);
	if (r)
		return r;
	r = bpf_map_delete_elem(fd, key) ? -errno : 0;
	close(fd);
	return r && r != -ENOENT ? table_error(r, table) : 0;
}

int xd_table_put_many(const struct xd_instance *instance, enum xd_table table, const void *keys,
		      const void *values, size_t count, void (*progress)(size_t done, size_t all))
{
	const struct table *t = &tables[table];
	size_t done = 0;
	int fd, r;

	if (xd_step_is_dry_run())
		return 0;
	r = open_table(instance, table, &fd);
	if (r)
		return r;
	while (!r && done < count) {
		__u32 n = count - done < BATCH ? count - done : BATCH;

		if (bpf_map_update_batch(fd, (const char *)keys + done * t->key_size,
					 (const char *)values + done * t->value_size, &n, NULL))
			r = table_error(-errno, table);
		done += n;
		if (!r && progress)
			progress(done, count);
	}
	close(fd);
	return r;
}

int xd_table_delete_many(const struct xd_instance *instance, enum xd_table table, const void *keys,
			 size_t count)
{
	const struct table *t = &tables[table];
	size_t done = 0;
	int fd, r;

	if (xd_step_is_dry_run())
		return 0;
	r = open_table(instance, table, &fd);
	if (r)
		return r;
	for (; t->is_trie && !r && done < count; done++)
		if (bpf_map_delete_elem(fd, (const char *)keys + done * t->key_size) &&
		    errno != ENOENT)
			r = table_error(-errno, table);
	while (!r && done < count) {
		__u32 n = count - done < BATCH ? count - done : BATCH;

		/* A key that is gone already ends the batch there; it is passed over. */
		if (bpf_map_delete_batch(fd, (const char *)keys + done * t->key_size, &n, NULL)) {
			if (errno != ENOENT)
				r = table_error(-errno, table);
			n++;
		}
		done += n;
	}
	close(fd);
	return r;
}

/* Nobody but the loader changes one, under its lock. */
static int walk_trie(int fd, enum xd_table table, xd_table_visit *visit, void *arg)
{
	char key[64], value[64];
	bool is_first = true;
	int r = 0;

	assert(tables[table].key_size <= sizeof(key) && tables[table].value_size <= sizeof(value));
	while (!r) {
		if (bpf_map_get_next_key(fd, is_first ? NULL : key, key))
			return errno == ENOENT ? 0 : table_error(-errno, table);
		is_first = false;
		r = bpf_map_lookup_elem(fd, key, value) ? table_error(-errno, table) :
							  visit(key, value, 1, arg);
	}
	return r;
}

/* Whole buckets at a time, so that rows that come and go meanwhile neither repeat the others nor
 * hide them. */
int xd_table_walk(const struct xd_instance *instance, enum xd_table table, xd_table_visit *visit,
		  void *arg)
{
	const struct table *t = &tables[table];
	void *keys = NULL, *values = NULL;
	__u32 cursor, chunk = WALK;
	bool is_first = true, is_last = false;
	int fd = -1, r;

	if (!instance->is_up)
		return 0;
	r = open_table(instance, table, &fd);
	if (!r && t->is_trie) {
		r = walk_trie(fd, table, visit, arg);
		is_last = true;
	}
	while (!r && !is_last) {
		__u32 n = chunk;

		if (!keys) {
			keys = malloc(chunk * t->key_size);
			values = malloc(chunk * t->value_size);
		}
		if (!keys || !values) {
			r = xd_error_system(-ENOMEM, "%s", t->name);
			break;
		}
		if (bpf_map_lookup_batch(fd, is_first ? NULL : &cursor, &cursor, keys, values, &n,
					 NULL)) {
			if (errno == ENOSPC) {
				/* One bucket alone has more rows. */
				chunk *= 2;
				free(keys);
				free(values);
				keys = values = NULL;
				continue;
			}
			is_last = errno == ENOENT;
			if (!is_last)
				r = table_error(-errno, table);
		}
		is_first = false;
		if (!r && n)
			r = visit(keys, values, n, arg);
	}
	if (fd >= 0)
		close(fd);
	free(keys);
	free(values);
	return r;
}

/* What xd_table_read() has so far. */
struct rows {
	const struct table *table;
	char *keys;
	char *values;
	size_t count;
	size_t room;
};

static int append(const void *keys, const void *values, size_t count, void *arg)
{
	struct rows *rows = arg;
	const struct table *t = rows->table;

	if (rows->count + count > rows->room) {
		size_t room = (rows->count + count) * 2;
		char *more;

		more = realloc(rows->keys, room * t->key_size);
		if (more)
			rows->keys = more;
		else
			return xd_error_system(-ENOMEM, "%s", t->name);
		more = realloc(rows->values, room * t->value_size);
		if (more)
			rows->values = more;
		else
			return xd_error_system(-ENOMEM, "%s", t->name);
		rows->room = room;
	}
	memcpy(rows->keys + rows->count * t->key_size, keys, count * t->key_size);
	memcpy(rows->values + rows->count * t->value_size, values, count * t->value_size);
	rows->count += count;
	return 0;
}

int xd_table_read(const struct xd_instance *instance, enum xd_table table, void **ret_keys,
		  void **ret_values, size_t *ret_count)
{
	struct rows rows = { .table = &tables[table] };
	int r = xd_table_walk(instance, table, append, &rows);

	if (r) {
		free(rows.keys);
		free(rows.values);
		return r;
	}
	*ret_keys = rows.keys;
	*ret_values = rows.values;
	*ret_count = rows.count;
	return 0;
}

/* What xd_table_prune() looks for, and has found. */
struct prune {
	xd_table_match *is_match;
	const void *arg;
	struct rows rows; /* keys alone */
};

static int collect(const void *keys, const void *values, size_t count, void *arg)
{
	struct prune *prune = arg;
	const struct table *t = prune->rows.table;
	struct rows *rows = &prune->rows;

	if (rows->count + count > rows->room) {
		size_t room = (rows->count + count) * 2;
		char *more = realloc(rows->keys, room * t->key_size);

		if (!more)
			return xd_error_system(-ENOMEM, "%s", t->name);
		rows->keys = more;
		rows->room = room;
	}
	for (size_t i = 0; i < count; i++) {
		const char *key = (const char *)keys + i * t->key_size;
		const char *value = (const char *)values + i * t->value_size;

		if (!prune->is_match || prune->is_match(key, value, prune->arg))
			memcpy(rows->keys + rows->count++ * t->key_size, key, t->key_size);
	}
	return 0;
}

int xd_table_prune(const struct xd_instance *instance, enum xd_table table,
		   xd_table_match *is_match, const void *arg, size_t *ret_count)
{
	struct prune prune = { .is_match = is_match, .arg = arg, .rows.table = &tables[table] };
	size_t *count = &prune.rows.count;
	int r;

	r = xd_table_walk(instance, table, collect, &prune);
	if (!r && *count && xd_step("delete %zu rows of %s", *count, tables[table].name))
		r = xd_table_delete_many(instance, table, prune.rows.keys, *count);
	free(prune.rows.keys);
	if (!r && ret_count)
		*ret_count = *count;
	return r;
}

int xd_table_room(const struct xd_instance *instance, enum xd_table table, size_t *ret_room)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);
	int fd, r;

	r = open_table(instance, table, &fd);
	if (r)
		return r;
	r = bpf_obj_get_info_by_fd(fd, &info, &length) ? table_error(-errno, table) : 0;
	close(fd);
	if (!r)
		*ret_room = info.max_entries;
	return r;
}

static int add_count(const void *keys, const void *values, size_t count, void *arg)
{
	(void)keys, (void)values;
	*(size_t *)arg += count;
	return 0;
}

int xd_table_use(const struct xd_instance *instance, enum xd_table table,
		 struct xd_table_use *ret_use)
{
	const struct table *t = &tables[table];
	struct xd_table_use use = { .map = t->name, .option = t->option };
	int cpus = libbpf_num_possible_cpus(), r;
	size_t spare = 0;

	if (cpus < 0)
		return xd_error_system(cpus, "count the CPUs");
	r = xd_table_room(instance, table, &use.room);
	if (!r)
		r = xd_table_walk(instance, table, add_count, &use.rows);
	if (r)
		return r;
	/* Each CPU takes free rows by the batch, and rows are evicted as soon as the last batch is
	 * taken (bpf_lru_list.c). */
	if (t->is_lru) {
		spare = LRU_BATCH * (size_t)cpus;
		if (spare > use.room / 2)
			spare = use.room / 2;
	}
	use.is_full = use.rows >= use.room - spare;
	*ret_use = use;
	return 0;
}

int xd_table_full(enum xd_table table)
{
	return table_error(-E2BIG, table);
}

/* One row of a per-CPU array, summed. Its values are padded to 8 bytes, which all of ours are. */
static int sum_row(int fd, const char *name, __u32 key, __u64 *ret_sums, size_t words)
{
	int cpus = libbpf_num_possible_cpus();
	__u64 *values;

	if (cpus < 0)
		return xd_error_system(cpus, "count the CPUs");
	values = calloc(cpus, words * sizeof(*values));
	if (!values)
		return xd_error_system(-ENOMEM, "%s", name);
	if (bpf_map_lookup_elem(fd, &key, values)) {
		free(values);
		return xd_error_system(-errno, "%s", name);
	}
	for (size_t word = 0; word < words; word++) {
		ret_sums[word] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			ret_sums[word] += values[cpu * words + word];
	}
	free(values);
	return 0;
}

int xd_count_read(const struct xd_instance *instance, __u32 counter,
		  struct xd_count ret_count[XD_COUNT_DIRECTIONS])
{
	int fd, r;

	r = open_map(instance, "xd_count", &fd);
	if (r)
		return r;
	for (__u32 direction = 0; !r && direction < XD_COUNT_DIRECTIONS; direction++) {
		__u64 sums[2];

		r = sum_row(fd, "xd_count", counter * XD_COUNT_DIRECTIONS + direction, sums, 2);
		if (!r)
			ret_count[direction] =
				(struct xd_count){ .packets = sums[0], .bytes = sums[1] };
	}
	close(fd);
	return r;
}

static int reset_counter(const struct xd_instance *instance, __u32 counter)
{
	int cpus = libbpf_num_possible_cpus();
	struct xd_count *zero;
	int fd, r;

	if (cpus < 0)
		return xd_error_system(cpus, "count the CPUs");
	zero = calloc(cpus, sizeof(*zero));
	if (!zero)
		return xd_error_system(-ENOMEM, "xd_count");
	r = open_map(instance, "xd_count", &fd);
	if (r)
		goto free;
	for (__u32 direction = 0; !r && direction < XD_COUNT_DIRECTIONS; direction++) {
		__u32 key = counter * XD_COUNT_DIRECTIONS + direction;

		if (bpf_map_update_elem(fd, &key, zero, BPF_ANY))
			r = xd_error_system(-errno, "xd_count");
	}
	close(fd);
free:
	free(zero);
	return r;
}

int xd_drop_read(const struct xd_instance *instance, __u64 ret_drops[XD_DROP_MAX])
{
	int fd, r;

	r = open_map(instance, "xd_drop", &fd);
	if (r)
		return r;
	for (__u32 reason = 0; !r && reason < XD_DROP_MAX; reason++)
		r = sum_row(fd, "xd_drop", reason, &ret_drops[reason], 1);
	close(fd);
	return r;
}

int xd_reserved_get(const struct xd_instance *instance, struct xd_reserved *ret_reserved)
{
	__u32 key = 0;
	int fd, r;

	r = open_map(instance, "xd_reserved", &fd);
	if (r)
		return r;
	if (bpf_map_lookup_elem(fd, &key, ret_reserved))
		r = xd_error_system(-errno, "xd_reserved");
	close(fd);
	return r;
}

int xd_reserved_put(const struct xd_instance *instance, const struct xd_reserved *reserved)
{
	__u32 key = 0;
	int fd, r;

	r = open_map(instance, "xd_reserved", &fd);
	if (r)
		return r;
	if (bpf_map_update_elem(fd, &key, reserved, BPF_ANY))
		r = xd_error_system(-errno, "xd_reserved");
	close(fd);
	return r;
}

int xd_count_allocate(const struct xd_instance *instance, const struct xd_state *state,
		      __u32 above, __u32 *ret_counter)
{
	bool *is_used = calloc(XD_COUNTER_MAX, sizeof(*is_used));
	__u32 counter;
	int r = 0;

	if (!is_used)
		return xd_error_system(-ENOMEM, "xd_count");
	for (size_t i = 0; i < state->endpoint_count; i++)
		is_used[state->endpoints[i].value.counter % XD_COUNTER_MAX] = true;
	for (size_t i = 0; i < state->port_count; i++)
		is_used[state->ports[i].value.counter % XD_COUNTER_MAX] = true;
	for (counter = above + 1; counter < XD_COUNTER_MAX && is_used[counter]; counter++)
		;
	free(is_used);
	if (counter >= XD_COUNTER_MAX)
		return xd_error_system(-EBUSY, "xd_count: all %u counters are in use",
				       XD_COUNTER_MAX - 1);
	if (instance->is_up && !xd_step_is_dry_run())
		r = reset_counter(instance, counter);
	if (!r)
		*ret_counter = counter;
	return r;
}

/* The global data of the programs, mapped. Each fits the smallest page. */
_Static_assert(sizeof(struct xd_host) <= XD_DATA_SIZE, "one page");
_Static_assert(sizeof(struct xd_subnet) * XD_SUBNET_MAX <= XD_DATA_SIZE, "one page");
_Static_assert(sizeof(struct xd_uplink) * XD_UPLINK_MAX <= XD_DATA_SIZE, "one page");

static void *map_data(const struct xd_instance *instance, const char *name)
{
	void *data;
	int fd;

	if (open_map(instance, name, &fd))
		return NULL;
	data = mmap(NULL, XD_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED) {
		xd_error_system(-errno, "%s: map it", name);
		data = NULL;
	}
	close(fd);
	return data;
}

struct xd_host *xd_host_map(const struct xd_instance *instance)
{
	return map_data(instance, "xd_host");
}

struct xd_subnet *xd_subnet_map(const struct xd_instance *instance)
{
	return map_data(instance, "xd_subnet");
}

struct xd_uplink *xd_uplink_map(const struct xd_instance *instance)
{
	return map_data(instance, "xd_uplink");
}

void xd_data_unmap(void *data)
{
	if (data)
		munmap(data, XD_DATA_SIZE);
}

/* Keys and values of one table, joined into an array of ROW structs. */
#define READ_ROWS(instance, table, rows, count, key_type, value_type, key_field)                   \
	({                                                                                         \
		key_type *keys_ = NULL;                                                            \
		value_type *values_ = NULL;                                                        \
		size_t count_ = 0;                                                                 \
		int r_ = xd_table_read(instance, table, (void **)&keys_, (void **)&values_,        \
				       &count_);                                                   \
                                                                                                   \
		(rows) = r_ ? NULL : calloc(count_ ? count_ : 1, sizeof(*(rows)));                 \
		if (!r_ && !(rows))                                                                \
			r_ = xd_error_system(-ENOMEM, "%s", tables[table].name);                   \
		for (size_t i_ = 0; !r_ && i_ < count_; i_++) {                                    \
			(rows)[i_].key_field = keys_[i_];                                          \
			(rows)[i_].value = values_[i_];                                            \
		}                                                                                  \
		(count) = r_ ? 0 : count_;                                                         \
		free(keys_);                                                                       \
		free(values_);                                                                     \
		r_;                                                                                \
	})

static int compare_ifindex(const void *a, const void *b)
{
	__u32 left = ((const struct xd_endpoint_row *)a)->ifindex;
	__u32 right = ((const struct xd_endpoint_row *)b)->ifindex;

	return (left > right) - (left < right);
}

int xd_state_read(const struct xd_instance *instance, struct xd_state *ret_state)
{
	struct xd_state state = {};
	int r;

	r = READ_ROWS(instance, XD_TABLE_ENDPOINT, state.endpoints, state.endpoint_count, __u32,
		      struct xd_endpoint, ifindex);
	if (!r)
		r = READ_ROWS(instance, XD_TABLE_ADDRESS, state.addresses, state.address_count,
			      struct xd_address_key, struct xd_address, key);
	if (!r)
		r = READ_ROWS(instance, XD_TABLE_PORT, state.ports, state.port_count,
			      struct xd_port_key, struct xd_port, key);
	if (!r)
		r = READ_ROWS(instance, XD_TABLE_PORT_REV, state.revs, state.rev_count,
			      struct xd_port_rev_key, struct xd_port_rev, key);
	for (size_t i = 0; !r && i < state.endpoint_count; i++) {
		__u32 device;

		r = xd_table_get(instance, XD_TABLE_DEVICE, &state.endpoints[i].ifindex, &device);
		state.endpoints[i].is_alive = !r;
		if (r == -ENOENT)
			r = 0;
	}
	if (r) {
		xd_state_free(&state);
		return r;
	}
	/* In the order of their making, for those who read lists of them. */
	qsort(state.endpoints, state.endpoint_count, sizeof(*state.endpoints), compare_ifindex);
	*ret_state = state;
	return 0;
}

void xd_state_free(struct xd_state *state)
{
	free(state->endpoints);
	free(state->addresses);
	free(state->ports);
	free(state->revs);
	*state = (struct xd_state){};
}

/* Split rows into the arrays that the batch operations want. */
#define PUT_ROWS(instance, table, rows, count)                                                     \
	({                                                                                         \
		typeof((rows)->key) *keys_ = calloc((count) + 1, sizeof(*keys_));                  \
		typeof((rows)->value) *values_ = calloc((count) + 1, sizeof(*values_));            \
		int r_ = keys_ && values_ ? 0                                                      \
					  : xd_error_system(-ENOMEM, "%s", tables[table].name);    \
                                                                                                   \
		for (size_t i_ = 0; !r_ && i_ < (count); i_++) {                                   \
			keys_[i_] = (rows)[i_].key;                                                \
			values_[i_] = (rows)[i_].value;                                            \
		}                                                                                  \
		if (!r_)                                                                           \
			r_ = xd_table_put_many(instance, table, keys_, values_, count, NULL);      \
		free(keys_);                                                                       \
		free(values_);                                                                     \
		r_;                                                                                \
	})

/* Before their addresses can be given again. */
static int forget_flows(const struct xd_instance *instance, const struct xd_state *state)
{
	__be32 *addresses = calloc(state->endpoint_count + 1, sizeof(*addresses));
	size_t count = 0;
	int r = 0;

	if (!addresses)
		return xd_error_system(-ENOMEM, "flows");
	for (size_t i = 0; i < state->endpoint_count; i++)
		if (!state->endpoints[i].is_alive)
			addresses[count++] = state->endpoints[i].value.address;
	if (count)
		r = xd_flow_forget(instance, addresses, count, NULL);
	free(addresses);
	return r;
}

static int apply(const struct xd_instance *instance, const struct xd_state *state,
		 const struct xd_operations *operations)
{
	const struct xd_operations *o = operations;
	int r;

	r = xd_table_delete_many(instance, XD_TABLE_PORT, o->port_delete, o->port_delete_count);
	if (!r)
		r = xd_table_delete_many(instance, XD_TABLE_PORT_REV, o->rev_delete,
					 o->rev_delete_count);
	if (!r)
		r = xd_table_delete_many(instance, XD_TABLE_ADDRESS, o->address_delete,
					 o->address_delete_count);
	if (!r)
		r = forget_flows(instance, state);
	if (!r)
		r = xd_table_delete_many(instance, XD_TABLE_ENDPOINT, o->endpoint_delete,
					 o->endpoint_delete_count);
	if (!r)
		r = PUT_ROWS(instance, XD_TABLE_ADDRESS, o->address_put, o->address_put_count);
	if (!r)
		r = PUT_ROWS(instance, XD_TABLE_PORT_REV, o->rev_put, o->rev_put_count);
	if (!r)
		r = PUT_ROWS(instance, XD_TABLE_PORT, o->port_put, o->port_put_count);
	return r;
}

int xd_state_heal(const struct xd_instance *instance, struct xd_state *ret_state)
{
	struct xd_operations operations = {};
	struct xd_state state = {};
	int r;

	r = xd_state_read(instance, &state);
	if (r)
		return r;
	r = xd_reconcile(&state, &operations);
	if (r)
		goto free;
	if (!xd_operations_is_empty(&operations) &&
	    xd_step("mend the maps: %zu ports, %zu containers, %zu rows that belong to others",
		    operations.port_delete_count, operations.endpoint_delete_count,
		    operations.rev_delete_count + operations.address_delete_count +
			    operations.address_put_count + operations.rev_put_count +
			    operations.port_put_count)) {
		r = apply(instance, &state, &operations);
		xd_state_free(&state);
		if (!r)
			r = xd_state_read(instance, &state);
	}
free:
	xd_operations_free(&operations);
	if (r)
		xd_state_free(&state);
	else
		*ret_state = state;
	return r;
}
