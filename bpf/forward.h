/* SPDX-License-Identifier: GPL-2.0-only */
/* Bridge forwarding: to a container of the same bridge, by its address, without the bridge.
 *
 * The frame is not changed, the TTL included; it is what the bridge would have forwarded. So every
 * IPv4 packet qualifies, fragments and unknown protocols as well, as long as its frame is
 * addressed to the container that owns the address. Otherwise (a container that routes for
 * others, a stale ARP entry) the bridge decides by MAC address. */
#ifndef XD_BPF_FORWARD_H
#define XD_BPF_FORWARD_H

#include "bpf/maps.h"
#include "bpf/packet.h"
#include "bpf/verdict.h"

/* Where to, or NULL if the bridge has to do it. */
static __always_inline struct xd_address *xd_forward_find(const struct xd_packet *packet,
							  __u32 bridge)
{
	struct xd_address_key key = { .bridge = bridge, .address = packet->destination };
	struct xd_address *address = bpf_map_lookup_elem(&xd_address, &key);

	if (!address || !xd_mac_is_equal(packet->eth->h_dest, address->mac))
		return NULL;
	if (!xd_verdict_is_possible(packet, &address->ifindex))
		return NULL;
	return address;
}

#endif
