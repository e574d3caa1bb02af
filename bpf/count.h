/* SPDX-License-Identifier: GPL-2.0-only */
/* Counting what is carried. */
#ifndef XD_BPF_COUNT_H
#define XD_BPF_COUNT_H

#include "bpf/maps.h"
#include "bpf/packet.h"

/* direction is XD_COUNT_IN or XD_COUNT_OUT. */
static __always_inline void xd_count_packet(const struct xd_packet *packet, __u32 counter,
					    __u32 direction)
{
	__u32 key = counter * XD_COUNT_DIRECTIONS + direction;
	struct xd_count *count = bpf_map_lookup_elem(&xd_count, &key);

	if (count) {
		count->packets += 1;
		count->bytes += packet->length;
	}
}

#endif
