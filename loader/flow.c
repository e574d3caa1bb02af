// SPDX-License-Identifier: GPL-2.0-only
/* Flows: what the programs remember of them, listed and forgotten.
 *
 * A flow that a container opened has a row in each of xd_snat and xd_snat_rev, which are joined by
 * what both say of it; a half whose other half is gone, or has got another port since, is a flow of
 * its own, as it still has the port. Flows
 * of published ports are remembered nowhere, but for exceptions; xd_sample_tc shows them while
 * they send. */
#include "loader/flow.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "include/fragment.h"
#include "loader/attach.h"
#include "loader/endpoint.h"
#include "loader/error.h"
#include "loader/network.h"
#include "loader/object.h"
#include "loader/step.h"
#include "loader/table.h"

#define SAMPLE_PROGRAM "xd_sample_tc"

static __u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/* Members are compared as they are sent: in network byte order. */
static int compare_flows(const void *a, const void *b)
{
	const struct xd_flow *left = a, *right = b;
	int order = (int)left->kind - (int)right->kind;

#define THEN(member)                                                                               \
	if (!order)                                                                                \
	order = memcmp(&left->member, &right->member, sizeof(left->member))
	THEN(address);
	THEN(protocol);
	THEN(remote_address);
	THEN(remote_port);
	THEN(port);
	THEN(host_address);
	THEN(host_port);
#undef THEN
	return order;
}

static void set_times(struct xd_flow *half, __u64 seen_ns, __u64 timeout_ns, __u64 now_ns)
{
	/* Another CPU may have seen a packet since. */
	half->idle_ns = now_ns > seen_ns ? now_ns - seen_ns : 0;
	half->left_ns = timeout_ns > half->idle_ns ? timeout_ns - half->idle_ns : 0;
}

static enum xd_flow_kind kind_of(__u16 flags)
{
	return flags & XD_SNAT_HAIRPIN ? XD_FLOW_HAIRPIN
	       : flags & XD_SNAT_PLAIN ? XD_FLOW_PLAIN
				       : XD_FLOW_MASQUERADE;
}

static struct xd_flow snat_half(const struct xd_snat_key *key, const struct xd_snat *value,
				__u64 now_ns)
{
	struct xd_flow half = {
		.kind = kind_of(value->flags),
		.protocol = key->protocol,
		.flags = value->flags,
		.address = key->container_address,
		.remote_address = key->remote_address,
		.host_address = value->address,
		.port = key->container_port,
		.remote_port = key->remote_port,
		.host_port = value->port,
		.owner = value->owner,
	};

	set_times(&half, value->seen_ns, xd_snat_timeout_ns(key->protocol, value->flags), now_ns);
	return half;
}

static struct xd_flow rev_half(const struct xd_snat_rev_key *key, const struct xd_snat_rev *value,
			       __u64 now_ns)
{
	struct xd_flow half = {
		.kind = kind_of(value->flags),
		.protocol = key->protocol,
		.flags = value->flags,
		.address = value->container_address,
		.remote_address = value->dialled_address,
		.host_address = key->address,
		.port = value->container_port,
		.remote_port = value->dialled_port,
		.host_port = key->port,
		.owner = value->ifindex,
	};

	set_times(&half, value->seen_ns, xd_snat_timeout_ns(key->protocol, value->flags), now_ns);
	return half;
}

int xd_flow_join(const struct xd_flow_rows *rows, __u64 now_ns, struct xd_flow **ret_flows,
		 size_t *ret_count)
{
	size_t all = rows->count + rows->rev_count, count = 0;
	struct xd_flow *flows = calloc(all + 1, sizeof(*flows)), *last = NULL;

	if (!flows)
		return xd_error_system(-ENOMEM, "%zu flows", all);
	for (size_t i = 0; i < rows->count; i++)
		flows[i] = snat_half(&rows->keys[i], &rows->values[i], now_ns);
	for (size_t i = 0; i < rows->rev_count; i++)
		flows[rows->count + i] = rev_half(&rows->rev_keys[i], &rows->revs[i], now_ns);
	qsort(flows, all, sizeof(*flows), compare_flows);

	/* A flow is over when both of its halves are. */
	for (size_t i = 0; i < all; i++) {
		const struct xd_flow half = flows[i];

		if (!half.left_ns)
			continue;
		if (last && !compare_flows(last, &half)) {
			last->flags |= half.flags;
			if (half.idle_ns < last->idle_ns)
				last->idle_ns = half.idle_ns;
			if (half.left_ns > last->left_ns)
				last->left_ns = half.left_ns;
			continue;
		}
		last = &flows[count++];
		*last = half;
	}
	*ret_flows = flows;
	*ret_count = count;
	return 0;
}

static int read_joined(const struct xd_instance *instance, struct xd_flow **ret_flows,
		       size_t *ret_count)
{
	struct xd_flow_rows rows = {};
	void *keys = NULL, *values = NULL, *rev_keys = NULL, *revs = NULL;
	int r;

	r = xd_table_read(instance, XD_TABLE_SNAT, &keys, &values, &rows.count);
	if (!r)
		r = xd_table_read(instance, XD_TABLE_SNAT_REV, &rev_keys, &revs, &rows.rev_count);
	rows.keys = keys;
	rows.values = values;
	rows.rev_keys = rev_keys;
	rows.revs = revs;
	if (!r)
		r = xd_flow_join(&rows, now(), ret_flows, ret_count);
	free(keys);
	free(values);
	free(rev_keys);
	free(revs);
	return r;
}

static struct xd_flow exception_flow(const struct xd_exception_key *key,
				     const struct xd_exception *value, __u64 now_ns)
{
	struct xd_flow flow = {
		.kind = XD_FLOW_EXCEPTION,
		.protocol = key->protocol,
		.address = key->container_address,
		.port = key->container_port,
		.remote_address = key->client_address,
		.remote_port = key->client_port,
		.host_address = value->address,
		.host_port = value->port,
		.owner = value->owner,
		.idle_ns = now_ns > value->seen_ns ? now_ns - value->seen_ns : 0,
	};

	if (flow.idle_ns < XD_EXCEPTION_IDLE_NS)
		flow.left_ns = XD_EXCEPTION_IDLE_NS - flow.idle_ns;
	return flow;
}

static struct xd_flow sample_flow(const struct xd_sample_key *key, const struct xd_sample *value)
{
	return (struct xd_flow){
		.kind = XD_FLOW_SAMPLE,
		.protocol = key->protocol,
		.address = value->container_address,
		.port = value->container_port,
		.remote_address = key->client_address,
		.remote_port = key->client_port,
		.host_address = key->address,
		.host_port = key->port,
		.packets = value->packets,
		.bytes = value->bytes,
	};
}

/* More flows behind those that are there; rows of an exception or a sample. */
static int append(const struct xd_instance *instance, enum xd_table table, struct xd_flow **flows,
		  size_t *count)
{
	void *keys = NULL, *values = NULL;
	struct xd_flow *more;
	__u64 now_ns = now();
	size_t rows;
	int r;

	r = xd_table_read(instance, table, &keys, &values, &rows);
	if (r)
		return r;
	more = reallocarray(*flows, *count + rows + 1, sizeof(*more));
	if (!more)
		r = xd_error_system(-ENOMEM, "%zu flows", rows);
	else
		*flows = more;
	for (size_t i = 0; !r && i < rows; i++) {
		if (table == XD_TABLE_EXCEPTION)
			more[(*count)++] = exception_flow((const struct xd_exception_key *)keys + i,
							  (const struct xd_exception *)values + i,
							  now_ns);
		else
			more[(*count)++] = sample_flow((const struct xd_sample_key *)keys + i,
						       (const struct xd_sample *)values + i);
	}
	free(keys);
	free(values);
	return r;
}

static int compare_addresses(const void *a, const void *b)
{
	const struct xd_endpoint_row *left = a, *right = b;

	return memcmp(&left->value.address, &right->value.address, sizeof(left->value.address));
}

/* The container whose flow it is; NULL: a container that had its address before. */
static const struct xd_endpoint_row *find_owner(const struct xd_state *state,
						const struct xd_flow *flow)
{
	struct xd_endpoint_row wanted = { .value.address = flow->address };
	const struct xd_endpoint_row *endpoint;

	endpoint = bsearch(&wanted, state->endpoints, state->endpoint_count,
			   sizeof(*state->endpoints), compare_addresses);
	if (!endpoint || !endpoint->is_alive)
		return NULL;
	switch (flow->kind) {
	case XD_FLOW_SAMPLE:
		return endpoint;
	case XD_FLOW_EXCEPTION:
		/* Of who addressed the container itself, no row says whose it is. */
		return !flow->owner || flow->owner == (endpoint->ifindex & 0xffff) ? endpoint :
										     NULL;
	default:
		return flow->owner == endpoint->ifindex ? endpoint : NULL;
	}
}

int xd_flow_list(const struct xd_instance *instance, const char *name, bool with_samples,
		 struct xd_flow **ret_flows, size_t *ret_count)
{
	const struct xd_endpoint_row *endpoint;
	struct xd_flow *flows = NULL;
	size_t all = 0, count = 0;
	struct xd_state state;
	int r;

	r = xd_state_read(instance, &state);
	if (r)
		return r;
	if (name)
		r = xd_endpoint_find(&state, name, &endpoint);
	if (!r)
		r = read_joined(instance, &flows, &all);
	if (!r)
		r = append(instance, XD_TABLE_EXCEPTION, &flows, &all);
	if (!r && with_samples)
		r = append(instance, XD_TABLE_SAMPLE, &flows, &all);
	if (r)
		goto free;
	qsort(state.endpoints, state.endpoint_count, sizeof(*state.endpoints), compare_addresses);
	for (size_t i = 0; i < all; i++) {
		endpoint = find_owner(&state, &flows[i]);
		if (!endpoint || (name && strcmp(name, endpoint->value.name)))
			continue;
		flows[count] = flows[i];
		memcpy(flows[count].name, endpoint->value.name, sizeof(flows[count].name));
		count++;
	}
	qsort(flows, count, sizeof(*flows), compare_flows);
	*ret_flows = flows;
	*ret_count = count;
	flows = NULL;
free:
	free(flows);
	xd_state_free(&state);
	return r;
}

/* The directory of the programs is the lock of whoever samples, since xd_sample is one. */
static int lock_sample(const struct xd_instance *instance, int *ret_fd)
{
	char path[XD_PIN_PATH_LEN];
	int fd, r = 0;

	fd = open(xd_pin_path(instance, "prog", path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return xd_error_system(-errno, "%s", path);
	while (!r && flock(fd, LOCK_EX | LOCK_NB))
		r = errno == EINTR	   ? 0
		    : errno == EWOULDBLOCK ? xd_error_system(-EBUSY, "another `flow list --sample` "
								     "is at work; wait for it")
					   : xd_error_system(-errno, "%s: lock it", path);
	if (r)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

bool xd_flow_is_sampled(const struct xd_instance *instance)
{
	int fd;

	if (lock_sample(instance, &fd)) {
		xd_error_clear();
		return true;
	}
	close(fd);
	return false;
}

/* XDP would have the packets before they are seen. */
static int leave_to_tc(const struct xd_instance *instance, bool is_sampled)
{
	struct xd_uplink *rows;

	if (xd_step_is_dry_run())
		return 0;
	rows = xd_uplink_map(instance);
	if (!rows)
		return -EIO;
	for (size_t i = 0; i < XD_UPLINK_MAX && rows[i].ifindex; i++) {
		if (is_sampled)
			__atomic_fetch_or(&rows[i].flags, XD_UPLINK_SAMPLED, __ATOMIC_SEQ_CST);
		else
			__atomic_fetch_and(&rows[i].flags, ~XD_UPLINK_SAMPLED, __ATOMIC_SEQ_CST);
	}
	xd_data_unmap(rows);
	return 0;
}

static void wait_seconds(unsigned int seconds)
{
	struct timespec left = { .tv_sec = seconds };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

int xd_flow_sample(const struct xd_instance *instance, unsigned int seconds)
{
	int lock = -1, program = -1, links[XD_UPLINK_MAX], r;
	struct xd_uplink *uplinks = NULL;
	size_t count = 0, attached = 0;

	r = lock_sample(instance, &lock);
	if (!r)
		r = xd_uplink_list(instance, &uplinks, &count);
	if (!r)
		r = xd_object_program(instance, SAMPLE_PROGRAM, &program);
	if (!r && !xd_attach_has_tcx(program))
		r = xd_error_system(-ENOTSUP,
				    "this kernel lacks tcx, which --sample needs to go in "
				    "front of other programs; Linux 6.6 has it");
	if (!r)
		r = xd_table_prune(instance, XD_TABLE_SAMPLE, NULL, NULL, NULL);
	if (!r)
		r = leave_to_tc(instance, true);
	for (size_t i = 0; !r && i < count; i++) {
		if (!xd_step("attach " SAMPLE_PROGRAM " to %s for %u seconds", uplinks[i].name,
			     seconds))
			continue;
		r = xd_attach_first(program, uplinks[i].ifindex, uplinks[i].name, &links[attached]);
		attached += !r;
		/* Gone since the last `up`: nothing comes by it. */
		if (r == -ENODEV) {
			xd_error_clear();
			r = 0;
		}
	}
	if (!r && attached)
		wait_seconds(seconds);
	for (size_t i = 0; i < attached; i++) {
		bpf_link_detach(links[i]);
		close(links[i]);
	}
	if (lock >= 0 && leave_to_tc(instance, false) && !r)
		r = -EIO;
	free(uplinks);
	if (program >= 0)
		close(program);
	if (lock >= 0)
		close(lock);
	return r;
}

/* Addresses of containers, sorted. */
struct addresses {
	__be32 *sorted;
	size_t count;
};

static int compare_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(__be32));
}

static bool has(const struct addresses *addresses, __be32 address)
{
	return bsearch(&address, addresses->sorted, addresses->count, sizeof(address),
		       compare_address);
}

static bool is_snat_of(const void *key, const void *value, const void *addresses)
{
	const struct xd_snat_key *snat = key;

	(void)value;
	return has(addresses, snat->container_address);
}

/* The remote is a container where the flow is to a published port. */
static bool is_rev_of(const void *key, const void *value, const void *addresses)
{
	const struct xd_snat_rev_key *rev = key;
	const struct xd_snat_rev *row = value;

	return has(addresses, row->container_address) || has(addresses, rev->remote_address);
}

/* The client may be a sibling. */
static bool is_exception_of(const void *key, const void *value, const void *addresses)
{
	const struct xd_exception_key *exception = key;

	(void)value;
	return has(addresses, exception->container_address) ||
	       has(addresses, exception->client_address);
}

static bool is_fragment_of(const void *key, const void *value, const void *addresses)
{
	const struct xd_fragment_key *fragment = key;

	(void)value;
	return has(addresses, fragment->source) || has(addresses, fragment->destination);
}

int xd_flow_forget(const struct xd_instance *instance, const __be32 *addresses, size_t count,
		   struct xd_flow_count *ret_count)
{
	struct addresses wanted = { .count = count };
	struct xd_flow_count found = {};
	int r;

	wanted.sorted = calloc(count + 1, sizeof(*wanted.sorted));
	if (!wanted.sorted)
		return xd_error_system(-ENOMEM, "flows");
	if (count)
		memcpy(wanted.sorted, addresses, count * sizeof(*addresses));
	qsort(wanted.sorted, count, sizeof(*wanted.sorted), compare_address);

	r = xd_table_prune(instance, XD_TABLE_SNAT_REV, addresses ? is_rev_of : NULL, &wanted,
			   &found.snat_rev);
	if (!r)
		r = xd_table_prune(instance, XD_TABLE_SNAT, addresses ? is_snat_of : NULL, &wanted,
				   &found.snat);
	if (!r)
		r = xd_table_prune(instance, XD_TABLE_EXCEPTION, addresses ? is_exception_of : NULL,
				   &wanted, &found.exception);
	if (!r)
		r = xd_table_prune(instance, XD_TABLE_FRAGMENT, addresses ? is_fragment_of : NULL,
				   &wanted, &found.fragment);
	free(wanted.sorted);
	if (!r && ret_count)
		*ret_count = found;
	return r;
}
