/* SPDX-License-Identifier: GPL-2.0-only */
/* Limits of published ports: who may use one, and how many packets a second. Asked before anything
 * is remembered of a packet, so that a flood costs as little as it can. */
#ifndef XD_BPF_LIMIT_H
#define XD_BPF_LIMIT_H

#include "bpf/maps.h"
#include "bpf/packet.h"

static __always_inline bool is_listed_out(__be32 source, __u32 counter, __u32 flags)
{
	struct xd_list_key key = {
		.prefix = 64,
		.counter = bpf_htonl(counter),
		.address = source,
	};
	struct xd_list *list = bpf_map_lookup_elem(&xd_list, &key);

	return list ? list->verdict == XD_LIST_DENY : flags & XD_LIMIT_ALLOWED;
}

/* Two CPUs may both take the last token: the rate is exceeded by one packet for each CPU at
 * most. */
static __always_inline bool is_over_rate(__be32 source, __u32 counter, const struct xd_limit *limit,
					 __u32 segments, bool is_spending)
{
	struct xd_bucket_key key = {
		.counter = counter,
		.source = limit->flags & XD_LIMIT_PER_SOURCE ? source : 0,
	};
	struct xd_bucket *bucket = bpf_map_lookup_elem(&xd_bucket, &key);
	__u64 now = bpf_ktime_get_ns();
	__u64 spent = limit->interval_ns * (segments ? segments : 1);
	struct xd_bucket fresh = { .due_ns = now + spent };
	__u64 due;

	if (!bucket) {
		if (is_spending)
			bpf_map_update_elem(&xd_bucket, &key, &fresh, BPF_NOEXIST);
		return false;
	}
	due = bucket->due_ns;
	if ((__s64)(due - now) > (__s64)limit->burst_ns)
		return true;
	if (is_spending)
		bucket->due_ns = ((__s64)(due - now) > 0 ? due : now) + spent;
	return false;
}

enum xd_limited {
	XD_ADMITTED,
	XD_LIMITED,
	XD_DENIED,
};

/* Of how many packets of the wire it was made; 0 if of itself. */
static __always_inline __u32 xd_limit_segments(const struct xd_packet *packet)
{
	return packet->hook == XD_HOOK_TC ? ((struct __sk_buff *)packet->ctx)->gso_segs : 0;
}

/* May a packet from outside go to a port that has XD_PORT_LIMITED? Spending it is only who delivers
 * it, and not who looks before. A function of its own, for the sake of the stack. */
static __noinline enum xd_limited xd_limit_ask(__be32 source, __u32 counter, __u32 segments,
					       bool is_spending)
{
	struct xd_limit *limit = bpf_map_lookup_elem(&xd_limit, &counter);

	if (!limit)
		return XD_ADMITTED;
	if (limit->flags & XD_LIMIT_LISTED && is_listed_out(source, counter, limit->flags))
		return XD_DENIED;
	if (limit->flags & XD_LIMIT_RATE && is_over_rate(source, counter, limit, segments, is_spending))
		return XD_LIMITED;
	return XD_ADMITTED;
}

#endif
