// SPDX-License-Identifier: GPL-2.0-only
/* Ingress of a veth's host end: what a container sends. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/forward.h"
#include "bpf/publish.h"

static __always_inline struct xd_verdict to_sibling(const struct xd_packet *packet,
						    const struct xd_endpoint *endpoint)
{
	struct xd_address *address = xd_forward_find(packet, endpoint->bridge);

	/* A bridge does not send a frame back to where it came from. */
	if (!address || address->ifindex == packet->ifindex)
		return xd_pass();
	xd_count_packet(packet, endpoint->counter, XD_COUNT_OUT);
	return (struct xd_verdict){ .action = XD_TO_CONTAINER, .ifindex = address->ifindex };
}

static __always_inline struct xd_verdict container(const struct xd_packet *packet,
						   enum xd_layer layer)
{
	__u32 ifindex = packet->ifindex;
	struct xd_endpoint *endpoint;

	if (layer == XD_LAYER_NONE)
		return xd_pass();
	endpoint = bpf_map_lookup_elem(&xd_endpoint, &ifindex);
	if (!endpoint)
		return xd_pass();

	if (packet->source == endpoint->gateway || xd_is_loopback(packet->source))
		return xd_drop_for(XD_DROP_SPOOFED);
	/* Somebody else's address gains nothing here that the bridge would not give it. */
	if (packet->source != endpoint->address ||
	    !xd_mac_is_equal(packet->eth->h_source, endpoint->mac))
		return xd_pass();

	if (!((packet->destination ^ endpoint->address) & endpoint->mask))
		return to_sibling(packet, endpoint);
	/* Routed is only what is addressed to the router: a container may be one for others. */
	if (layer == XD_LAYER_TRANSPORT &&
	    xd_mac_is_equal(packet->eth->h_dest, endpoint->gateway_mac))
		return xd_publish_out(packet, endpoint);
	return xd_pass();
}

SEC("tc")
int xd_container_tc(struct __sk_buff *skb)
{
	struct xd_packet packet;
	enum xd_layer layer = xd_packet_parse_tc(skb, &packet);

	return xd_verdict_tc(skb, container(&packet, layer));
}
