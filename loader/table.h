/* SPDX-License-Identifier: GPL-2.0-only */
/* The pinned maps, read and written by key and value.
 *
 * Keys and values are the structs of include/, each map's own; the sizes are the map's, so a
 * wrong struct is a bug that the asserts of table.c catch at the first use. */
#ifndef XD_TABLE_H
#define XD_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "include/count.h"
#include "include/config.h"
#include "include/drop.h"
#include "include/network.h"
#include "include/reserved.h"
#include "include/uplink.h"
#include "loader/pin.h"
#include "loader/reconcile.h"

/* What is pinned under the same name. */
enum xd_table {
	XD_TABLE_NETWORK, /* __u32 ifindex -> struct xd_network */
	XD_TABLE_ENDPOINT, /* __u32 ifindex -> struct xd_endpoint */
	XD_TABLE_ADDRESS, /* struct xd_address_key -> struct xd_address */
	XD_TABLE_DEVICE, /* __u32 ifindex -> __u32 ifindex */
	XD_TABLE_PORT, /* struct xd_port_key -> struct xd_port */
	XD_TABLE_PORT_REV, /* struct xd_port_rev_key -> struct xd_port_rev */
	XD_TABLE_LOCAL, /* __be32 address -> struct xd_local */
	XD_TABLE_SNAT, /* struct xd_snat_key -> struct xd_snat */
	XD_TABLE_SNAT_REV, /* struct xd_snat_rev_key -> struct xd_snat_rev */
	XD_TABLE_EXCEPTION, /* struct xd_exception_key -> struct xd_exception */
	XD_TABLE_FRAGMENT, /* struct xd_fragment_key -> struct xd_fragment */
	XD_TABLE_LIMIT, /* __u32 counter -> struct xd_limit */
	XD_TABLE_BUCKET, /* struct xd_bucket_key -> struct xd_bucket */
	XD_TABLE_LIST, /* struct xd_list_key -> struct xd_list */
	XD_TABLE_SAMPLE, /* struct xd_sample_key -> struct xd_sample */
	XD_TABLE_PEER, /* struct xd_peer_key -> struct xd_peer */
	XD_TABLE_UNDO, /* struct xd_undo_key -> struct xd_undo */
	XD_TABLE_MAX,
};

/* In a dry run nothing is written. Errors of all: the negative errno of bpf(2), recorded with the
 * map's name; a full map says which option of `up` enlarges it. -ENOENT is recorded for get only
 * by the caller. */
int xd_table_get(const struct xd_instance *instance, enum xd_table table, const void *key,
		 void *ret_value);
int xd_table_put(const struct xd_instance *instance, enum xd_table table, const void *key,
		 const void *value);
int xd_table_delete(const struct xd_instance *instance, enum xd_table table,
		    const void *key); /* no error when it is not there */

/* Many rows: keys and values are arrays. progress (or NULL) is told how many are done. */
int xd_table_put_many(const struct xd_instance *instance, enum xd_table table, const void *keys,
		      const void *values, size_t count, void (*progress)(size_t done, size_t all));
int xd_table_delete_many(const struct xd_instance *instance, enum xd_table table, const void *keys,
			 size_t count);

/* All rows, some of them at a time: visit returns 0, or a negative errno that ends the walk and is
 * returned. None when the instance is not up. Not for XD_TABLE_DEVICE. */
typedef int xd_table_visit(const void *keys, const void *values, size_t count, void *arg);
int xd_table_walk(const struct xd_instance *instance, enum xd_table table, xd_table_visit *visit,
		  void *arg);

/* The same, as two arrays that the caller frees. */
int xd_table_read(const struct xd_instance *instance, enum xd_table table, void **ret_keys,
		  void **ret_values, size_t *ret_count);

/* Delete the rows for which is_match(key, value, arg) is true; NULL: all. In a dry run they are
 * only counted. ret_count may be NULL. */
typedef bool xd_table_match(const void *key, const void *value, const void *arg);
int xd_table_prune(const struct xd_instance *instance, enum xd_table table,
		   xd_table_match *is_match, const void *arg, size_t *ret_count);

/* How many rows the map may have. */
int xd_table_room(const struct xd_instance *instance, enum xd_table table, size_t *ret_room);

/* How many of them are there? An LRU map evicts before it has its last row, so it is full
 * earlier. Not for XD_TABLE_DEVICE. */
struct xd_table_use {
	const char *map;
	size_t rows;
	size_t room;
	bool is_full;
	const char *option; /* of `up` that makes it larger; NULL: none */
};
int xd_table_use(const struct xd_instance *instance, enum xd_table table,
		 struct xd_table_use *ret_use);

int xd_table_full(enum xd_table table); /* records that the map is full; returns -EBUSY */

/* Rows of one counter summed over the CPUs; in[XD_COUNT_IN] and so on. */
int xd_count_read(const struct xd_instance *instance, __u32 counter,
		  struct xd_count ret_count[XD_COUNT_DIRECTIONS]);

/* The lowest counter above ABOVE (0: of all) that no row of state uses, set to zero. */
int xd_count_allocate(const struct xd_instance *instance, const struct xd_state *state,
		      __u32 above, __u32 *ret_counter);
int xd_drop_read(const struct xd_instance *instance, __u64 ret_drops[XD_DROP_MAX]);

/* The one row of xd_reserved. */
int xd_reserved_get(const struct xd_instance *instance, struct xd_reserved *ret_reserved);
int xd_reserved_put(const struct xd_instance *instance, const struct xd_reserved *reserved);

/* xd_host, xd_subnet and xd_uplink, mapped; NULL with an error recorded. Each goes back by
 * xd_data_unmap(). */
#define XD_DATA_SIZE 4096
struct xd_host *xd_host_map(const struct xd_instance *instance);
struct xd_subnet *xd_subnet_map(const struct xd_instance *instance); /* XD_SUBNET_MAX rows */
struct xd_uplink *xd_uplink_map(const struct xd_instance *instance); /* XD_UPLINK_MAX rows */
void xd_data_unmap(void *data); /* NULL is allowed */

/* The maps as reconcile.h wants them, and what it says about them done. The state's arrays are
 * freed by xd_state_free(). */
int xd_state_read(const struct xd_instance *instance, struct xd_state *ret_state);
void xd_state_free(struct xd_state *state);

/* Make the maps consistent: what a killed command or a deleted container left is removed, what is
 * missing is added. Leaves the state as it was read afterwards. With nothing to do it is a read. */
int xd_state_heal(const struct xd_instance *instance, struct xd_state *ret_state);

#endif
