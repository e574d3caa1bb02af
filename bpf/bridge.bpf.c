// SPDX-License-Identifier: GPL-2.0-only
/* Egress of the bridge device: what the host itself sends to containers.
 *
 * Containers' packets that are redirected teach the bridge nothing; here it does not have to know
 * where a container is, nor to hand the frame through br_netfilter. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/count.h"
#include "bpf/forward.h"
#include "bpf/verdict.h"

static __always_inline struct xd_verdict bridge(const struct xd_packet *packet,
						enum xd_layer layer)
{
	struct xd_address *address;

	if (layer == XD_LAYER_NONE || layer == XD_LAYER_HIDDEN)
		return xd_pass();
	address = xd_forward_find(packet, packet->ifindex);
	if (!address)
		return xd_pass();
	xd_count_packet(packet, address->counter, XD_COUNT_IN);
	/* Not to the peer itself: that way exists at ingress only. */
	return (struct xd_verdict){ .action = XD_TO_LINK, .ifindex = address->ifindex };
}

SEC("tc")
int xd_bridge_tc(struct __sk_buff *skb)
{
	struct xd_packet packet;
	enum xd_layer layer = xd_packet_parse_tc(skb, XD_PATH_DIRECT, &packet);

	return xd_verdict_tc(skb, bridge(&packet, layer));
}
