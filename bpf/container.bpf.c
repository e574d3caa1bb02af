// SPDX-License-Identifier: GPL-2.0-only
/* Ingress of a veth's host end: what a container sends. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/forward.h"
#include "bpf/hairpin.h"
#include "bpf/icmp.h"
#include "bpf/isolate.h"
#include "bpf/masquerade.h"
#include "bpf/publish.h"
#include "bpf/subnet.h"
#include "bpf/uplink.h"

/* Does what was decided. Where to_outside() does it, nothing is left for its callers. */
static __always_inline struct xd_verdict finish(const struct xd_packet *packet,
						const struct xd_packet *mirrored,
						struct xd_verdict verdict,
						const struct xd_translation *translation)
{
	if (verdict.action != XD_TRANSLATE)
		return verdict;
	return packet->path == XD_PATH_ERROR ? xd_icmp_do(packet, mirrored, translation) :
					       xd_translate_do(packet, translation);
}

static __always_inline struct xd_verdict to_sibling(struct xd_packet *packet, enum xd_layer layer,
						    const struct xd_endpoint *endpoint,
						    const struct xd_packet *mirrored,
						    struct xd_translation *ret_translation)
{
	struct xd_address *address = xd_forward_find(packet, endpoint->bridge);

	if (address && endpoint->hairpin & XD_HAIRPIN_SIBLING) {
		struct xd_verdict verdict = xd_pass();

		if (packet->path == XD_PATH_DIRECT)
			return xd_detour();
		if (layer == XD_LAYER_ERROR)
			verdict = xd_icmp_sibling(packet, mirrored, endpoint, address,
						  ret_translation);
		else if (layer == XD_LAYER_TRANSPORT)
			verdict = xd_hairpin_sibling(packet, endpoint, address, ret_translation);
		if (verdict.action == XD_TRANSLATE && packet->ip->ttl <= 1)
			return xd_drop_for(XD_DROP_TTL);
		if (verdict.action != XD_PASS)
			return verdict;
	}
	if (xd_isolate_siblings(packet, endpoint, true))
		return xd_drop_for(XD_DROP_ICC);
	/* A bridge does not send a frame back to where it came from. */
	if (!address || address->ifindex == packet->ifindex)
		return xd_pass();
	if (layer == XD_LAYER_TRANSPORT && packet->protocol == IPPROTO_TCP && is_opening(packet) &&
	    xd_hairpin_has(packet))
		return xd_drop_for(XD_DROP_PORT_CONFLICT);
	xd_count_packet(packet, endpoint->counter, XD_COUNT_OUT);
	return (struct xd_verdict){ .action = XD_TO_CONTAINER, .ifindex = address->ifindex };
}

/* To an address of the host, as far as the packet is understood. */
static __always_inline struct xd_verdict to_host(const struct xd_packet *packet,
						 enum xd_layer layer,
						 const struct xd_endpoint *endpoint,
						 const struct xd_packet *mirrored,
						 struct xd_translation *ret_translation)
{
	if (packet->path != XD_PATH_ERROR)
		return layer == XD_LAYER_TRANSPORT ?
			       xd_hairpin_out(packet, endpoint, ret_translation) :
			       xd_pass();
	if (layer != XD_LAYER_ERROR)
		return xd_pass();
	if (packet->destination == endpoint->gateway && endpoint->hairpin & XD_HAIRPIN_GATEWAY) {
		struct xd_verdict verdict =
			xd_icmp_gateway(packet, mirrored, endpoint, ret_translation);

		if (verdict.action != XD_PASS)
			return verdict;
	}
	return xd_icmp_server(packet, mirrored, endpoint, ret_translation);
}

/* To where only a route leads. */
static __always_inline struct xd_verdict to_outside(const struct xd_packet *packet,
						    enum xd_layer layer,
						    const struct xd_endpoint *endpoint,
						    const struct xd_packet *mirrored)
{
	bool is_plain = !(endpoint->flags & XD_NETWORK_MASQUERADE);
	struct xd_translation translation = {};
	struct xd_port_rev *rev = NULL;
	struct xd_verdict verdict;
	enum xd_routed routed;
	struct xd_route route;

	/* The kernel says what became of it, or knows a protocol that nothing here does. Routes
	 * lead to groups, too, but it does not forward by them (ip_mkroute_input). */
	if (layer == XD_LAYER_IPV4 || xd_is_nobody(packet->destination))
		return xd_pass();
	if (layer == XD_LAYER_TRANSPORT && !(endpoint->flags & XD_NETWORK_ROUTED))
		rev = xd_publish_rev(packet);
	routed = xd_route_find(packet, endpoint->bridge, rev ? 0 : XD_FIB_LOOKUP_SRC, &route);
	if (routed == XD_ROUTED_LOCAL) {
		verdict = to_host(packet, layer, endpoint, mirrored, &translation);
		return finish(packet, mirrored, verdict, &translation);
	}
	if (packet->ip->ttl <= 1)
		return xd_pass();
	switch (routed) {
	case XD_ROUTED:
		break;
	case XD_ROUTED_TOO_BIG:
		/* With DF, the kernel tells the container. */
		if (packet->ip->frag_off & bpf_htons(IP_DF) || (is_plain && !rev))
			return xd_pass();
		return xd_drop_for(XD_DROP_UNTRANSLATED);
	case XD_ROUTED_ENCAPSULATED:
		if (is_plain && !rev)
			return xd_pass();
		return xd_drop_for(XD_DROP_UNTRANSLATED);
	default:
		return xd_pass();
	}
	/* Not every driver sends frames that XDP redirects, and none asks for a neighbour. */
	if (packet->hook == XD_HOOK_XDP) {
		struct xd_uplink *uplink = xd_uplink_find(route.fib.ifindex);

		if (route.verdict.action != XD_TO_LINK || !uplink ||
		    !(uplink->flags & XD_UPLINK_XDP))
			return xd_pass();
	}
	/* Back by the bridge: a container routes there. */
	if (route.fib.ifindex == endpoint->bridge)
		return xd_pass();
	if (layer == XD_LAYER_FRAGMENT)
		return is_plain || endpoint->flags & XD_NETWORK_UNPROTECTED ?
			       xd_pass() :
			       xd_drop_for(XD_DROP_FRAGMENT);
	translation = (struct xd_translation){
		.to = {
			.destination = packet->destination,
			.destination_port = packet->destination_port,
			.mac_destination = route.fib.dmac,
			.mac_source = route.fib.smac,
		},
		.verdict = route.verdict,
		.direction = XD_COUNT_OUT,
	};
	if (layer == XD_LAYER_ERROR)
		verdict = xd_icmp_out(packet, mirrored, endpoint, &translation);
	else if (rev)
		verdict = xd_publish_out(packet, rev, &translation);
	else
		verdict = xd_masquerade_out(packet, endpoint, &route, &translation);
	return finish(packet, mirrored, verdict, &translation);
}

/* Routed is only what is addressed to the router: a container may be one for others. */
static __always_inline struct xd_verdict leave(const struct xd_packet *packet,
					       enum xd_layer layer,
					       const struct xd_endpoint *endpoint,
					       const struct xd_packet *mirrored,
					       struct xd_translation *ret_translation)
{
	__u16 flags;

	if (xd_isolate_siblings(packet, endpoint, false))
		return xd_drop_for(XD_DROP_ICC);
	if (endpoint->flags & XD_NETWORK_INTERNAL && !(packet->eth->h_dest[0] & 1))
		return xd_drop_for(XD_DROP_ISOLATED);
	if (!xd_mac_is_equal(packet->eth->h_dest, endpoint->gateway_mac))
		return xd_pass();
	switch (xd_subnet_find(packet->destination, &flags)) {
	case XD_SUBNET_CONTAINER:
		return xd_isolate_out(packet, layer, endpoint, flags, ret_translation);
	case XD_SUBNET_GATEWAY:
		break;
	case XD_SUBNET_NONE:
		/* The direct path comes first and has asked the routes. */
		if (packet->path != XD_PATH_HAIRPIN)
			return to_outside(packet, layer, endpoint, mirrored);
	}
	return to_host(packet, layer, endpoint, mirrored, ret_translation);
}

/* What is not from the container's own address, or no IPv4 that is understood: the bridge's, as far
 * as the network allows. Somebody else's address gains nothing that the bridge would not give
 * it. */
static __always_inline struct xd_verdict to_bridge(const struct xd_packet *packet,
						   enum xd_layer layer,
						   const struct xd_endpoint *endpoint)
{
	bool is_ip = layer != XD_LAYER_NONE;

	if (!packet->eth || packet->eth->h_proto == bpf_htons(ETH_P_ARP))
		return xd_pass();
	if (is_ip && endpoint->flags & XD_NETWORK_SOURCE_CHECK)
		return xd_drop_for(XD_DROP_SPOOFED);
	if (is_ip && !((packet->destination ^ endpoint->address) & endpoint->mask))
		return xd_isolate_siblings(packet, endpoint,
					   packet->destination != endpoint->gateway) ?
			       xd_drop_for(XD_DROP_ICC) :
			       xd_pass();
	/* Neighbour discovery is for groups and has to reach the bridge. */
	if (xd_isolate_siblings(packet, endpoint, false) &&
	    (is_ip || !(packet->eth->h_dest[0] & 1)))
		return xd_drop_for(XD_DROP_ICC);
	if (!is_ip || packet->eth->h_dest[0] & 1)
		return xd_pass();
	if (endpoint->flags & XD_NETWORK_INTERNAL)
		return xd_drop_for(XD_DROP_ISOLATED);
	if (!xd_mac_is_equal(packet->eth->h_dest, endpoint->gateway_mac))
		return xd_pass();
	if (xd_subnet_role(packet->destination) == XD_SUBNET_CONTAINER)
		return xd_drop_for(XD_DROP_ISOLATED);
	/* It would leave as it is, and the answer be another's. */
	return xd_subnet_role(packet->source) == XD_SUBNET_NONE ? xd_pass() :
								  xd_drop_for(XD_DROP_SPOOFED);
}

static __always_inline struct xd_verdict decide_leaving(struct xd_packet *packet,
							enum xd_layer layer,
							struct xd_packet *mirrored,
							struct xd_translation *ret_translation)
{
	__u32 ifindex = packet->ifindex;
	struct xd_endpoint *endpoint = bpf_map_lookup_elem(&xd_endpoint, &ifindex);

	if (!endpoint)
		return xd_pass();
	if (layer == XD_LAYER_HIDDEN)
		return xd_drop_for(XD_DROP_SPOOFED);
	if (layer == XD_LAYER_NONE)
		return to_bridge(packet, layer, endpoint);
	if (packet->source == endpoint->gateway || xd_is_loopback(packet->source))
		return xd_drop_for(XD_DROP_SPOOFED);
	/* What is published on 127.0.0.1 is for the host alone. */
	if (xd_is_loopback(packet->destination))
		return xd_drop_for(XD_DROP_MARTIAN);
	if (packet->source != endpoint->address ||
	    (endpoint->flags & XD_NETWORK_SOURCE_CHECK &&
	     !xd_mac_is_equal(packet->eth->h_source, endpoint->mac)))
		return to_bridge(packet, layer, endpoint);
	if (layer == XD_LAYER_FIRST) {
		xd_fragment_forget(packet);
		layer = XD_LAYER_TRANSPORT;
	} else if (layer == XD_LAYER_FRAGMENT && xd_fragment_find(packet)) {
		layer = XD_LAYER_TRANSPORT;
	}
	if (packet->path == XD_PATH_ERROR && !xd_icmp_mirror(packet, mirrored))
		layer = XD_LAYER_IPV4;
	if ((packet->destination ^ endpoint->address) & endpoint->mask)
		return leave(packet, layer, endpoint, mirrored, ret_translation);
	if (packet->destination == endpoint->gateway)
		return to_host(packet, layer, endpoint, mirrored, ret_translation);
	return to_sibling(packet, layer, endpoint, mirrored, ret_translation);
}

static __always_inline struct xd_verdict container(struct xd_packet *packet, enum xd_layer layer)
{
	struct xd_translation translation = {};
	struct xd_packet mirrored = {};
	struct xd_verdict verdict;

	if ((packet->path == XD_PATH_ERROR) != (layer == XD_LAYER_ERROR))
		return xd_detour();
	verdict = decide_leaving(packet, layer, &mirrored, &translation);
	return finish(packet, &mirrored, verdict, &translation);
}

static __always_inline int container_tc(struct __sk_buff *skb, enum xd_path path)
{
	struct xd_packet packet;
	enum xd_layer layer = xd_packet_parse_tc(skb, path, &packet);

	return xd_verdict_tc(skb, container(&packet, layer));
}

/* Global functions, each walked by the verifier once and not for each way to a call. */
__noinline int xd_direct_tc(struct __sk_buff *skb)
{
	return container_tc(skb, XD_PATH_DIRECT);
}

__noinline int xd_hairpin_tc(struct __sk_buff *skb)
{
	return container_tc(skb, XD_PATH_HAIRPIN);
}

__noinline int xd_error_tc(struct __sk_buff *skb)
{
	return container_tc(skb, XD_PATH_ERROR);
}

SEC("tc")
int xd_container_tc(struct __sk_buff *skb)
{
	int verdict = xd_direct_tc(skb);
	bool is_direct = verdict != XD_ACT_DETOUR;

	if (!is_direct)
		verdict = xd_hairpin_tc(skb);
	if (verdict == XD_ACT_DETOUR)
		return xd_error_tc(skb);
	if (verdict != XD_ACT_OPEN)
		return verdict;
	switch (xd_snat_open(skb)) {
	case XD_SNAT_OPENED:
		verdict = is_direct ? xd_direct_tc(skb) : xd_hairpin_tc(skb);
		if (verdict < XD_ACT_DETOUR)
			return verdict;
		break;
	case XD_SNAT_NO_PORT:
		return xd_verdict_tc(skb, xd_drop_for(XD_DROP_NO_PORT));
	case XD_SNAT_UNKNOWN:
		return xd_verdict_tc(skb, xd_drop_for(XD_DROP_UNTRACKED));
	case XD_SNAT_FULL:
		break;
	}
	/* Or evicted before it was used. */
	return xd_verdict_tc(skb, xd_drop_for(XD_DROP_FLOW_FULL));
}

/* In front of the TC program, which gets whatever needs more than lookups. */
SEC("xdp")
int xd_endpoint_xdp(struct xdp_md *xdp)
{
	struct xd_packet packet;
	enum xd_layer layer = xd_packet_parse_xdp(xdp, XD_PATH_DIRECT, &packet);
	int verdict;

	/* A redirect would lose that the checksum has still to be filled in. */
	if (layer == XD_LAYER_NONE || layer == XD_LAYER_IPV4 ||
	    (layer == XD_LAYER_TRANSPORT && xd_packet_is_unsummed(xdp, &packet)))
		return XDP_PASS;
	verdict = xd_verdict_xdp(container(&packet, layer));
	return verdict == XD_ACT_DETOUR ? XDP_PASS : verdict;
}
