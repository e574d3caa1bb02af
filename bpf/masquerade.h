/* SPDX-License-Identifier: GPL-2.0-only */
/* Flows that containers open: which source their packets leave with.
 *
 *   172.17.0.2:40000 --> 192.0.2.7:80   leaves as  198.51.100.1:20000 --> 192.0.2.7:80
 *
 * The address is the one that the kernel would choose for the route, asked for every packet. A flow
 * keeps its address and port while the route leads to the same device and the address is still the
 * host's; a packet in the middle of a flow that has no rows goes to the kernel if its connection
 * tracking knows it, and nowhere if nobody does: it would leave with the container's address.
 * Without masquerading the source stays, and the rows tell replies from strangers. */
#ifndef XD_BPF_MASQUERADE_H
#define XD_BPF_MASQUERADE_H

#include "bpf/conntrack.h"
#include "bpf/exception.h"
#include "bpf/local.h"
#include "bpf/route.h"
#include "bpf/snat.h"
#include "bpf/translate.h"

/* Is the packet one that may open a flow? */
static __always_inline bool is_opening(const struct xd_packet *packet)
{
	if (xd_packet_is_later(packet))
		return false;
	if (packet->protocol == IPPROTO_TCP)
		return (packet->control &
			(XD_TCP_FIN | XD_TCP_SYN | XD_TCP_RST | XD_TCP_ACK)) == XD_TCP_SYN;
	return !packet->control;
}

/* The live row of the packet's flow; then side has its address and port. Otherwise NULL, and side
 * says with which port the flow may be opened, if *ret_can_open. side comes with everything
 * else. */
static __always_inline struct xd_snat *xd_masquerade_find(const struct xd_packet *packet,
							  const struct xd_endpoint *endpoint,
							  struct xd_snat_side *side,
							  bool *ret_can_open)
{
	struct xd_snat_key key = xd_snat_key(packet);
	struct xd_snat *row = bpf_map_lookup_elem(&xd_snat, &key);
	bool can_open = is_opening(packet);

	side->port = packet->source_port;
	side->is_kept = packet->protocol == IPPROTO_SCTP || side->flags & XD_SNAT_PLAIN;
	*ret_can_open = can_open;
	if (!row || row->owner != side->owner || (row->flags ^ side->flags) & XD_SNAT_HAIRPIN ||
	    (row->ifindex && row->ifindex != side->ifindex))
		return NULL;
	if (row->address != side->address && !(row->flags & XD_SNAT_PLAIN) &&
	    !xd_local_has(packet, endpoint->bridge, row->address))
		return NULL;
	if (is_due(bpf_ktime_get_coarse_ns(), row->seen_ns, row->flags, packet->control)) {
		struct xd_snat_rev_key rev_key = {
			.remote_address = side->remote_address,
			.address = row->address,
			.remote_port = side->remote_port,
			.port = row->port,
			.protocol = packet->protocol,
		};

		/* Its reverse half is lost: it gets the same port again or, in its middle, none. */
		if (!xd_snat_renew_out(row, &rev_key, &key, packet->control)) {
			side->address = row->address;
			side->port = row->port;
			side->flags = row->flags & (XD_SNAT_PLAIN | XD_SNAT_HAIRPIN);
			side->is_kept |= !can_open;
			*ret_can_open = true;
			return NULL;
		}
		row->ifindex = side->ifindex;
	}
	side->address = row->address;
	side->port = row->port;
	return row;
}

/* The flow of the packet is to get rows, with what side says. */
static __always_inline struct xd_verdict xd_masquerade_open(const struct xd_packet *packet,
							    const struct xd_snat_side *side)
{
	__u32 key = 0;
	struct xd_opening *opening = bpf_map_lookup_elem(&xd_opening, &key);

	if (!opening)
		return xd_pass();
	opening->flow = xd_snat_key(packet);
	opening->side = *side;
	return xd_open();
}

/* Container to outside: the source that the remote sees, by a route that was found with
 * XD_FIB_LOOKUP_SRC. */
static __always_inline struct xd_verdict xd_masquerade_out(const struct xd_packet *packet,
							   const struct xd_endpoint *endpoint,
							   const struct xd_route *route,
							   struct xd_translation *translation)
{
	bool is_plain = !(endpoint->flags & XD_NETWORK_MASQUERADE), can_open;
	struct xd_snat_side side = {
		.address = is_plain ? packet->source : route->fib.ipv4_src,
		.flags = is_plain ? XD_SNAT_PLAIN : 0,
		.remote_address = packet->destination,
		.remote_port = packet->destination_port,
		.ifindex = route->fib.ifindex,
		.owner = packet->ifindex,
	};

	if (!side.address)
		return xd_pass();
	if (!xd_masquerade_find(packet, endpoint, &side, &can_open)) {
		/* The TC program behind opens flows. */
		if (packet->hook == XD_HOOK_XDP)
			return xd_pass();
		/* Who addressed the container itself knows it by its own address. */
		if (endpoint->flags & XD_NETWORK_UNPROTECTED && xd_exception_find(packet))
			return xd_pass();
		if ((packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP) &&
		    xd_conntrack_has(packet)) {
			xd_fragment_note(packet);
			return xd_pass();
		}
		if (!can_open && is_plain)
			return xd_pass();
		side.is_found |= !can_open;
		return xd_masquerade_open(packet, &side);
	}
	translation->to.source = side.address;
	translation->to.source_port = side.port;
	translation->counter = endpoint->counter;
	return xd_translate();
}

/* Uplink to container: a reply of a flow that a container opened. */
static __always_inline struct xd_verdict xd_masquerade_in(const struct xd_packet *packet,
							  struct xd_translation *ret_translation)
{
	struct xd_snat_rev *row = xd_snat_find_rev(packet);
	__u32 ifindex;

	if (!row)
		return xd_pass();
	/* As in xd_publish_in(). */
	if (packet->ip->ttl <= 1)
		return xd_drop_for(XD_DROP_TTL);
	ifindex = row->ifindex;
	if (!xd_verdict_is_possible(packet, &ifindex))
		return xd_pass();
	if (packet->hook == XD_HOOK_XDP && packet->mtu_length > row->mtu)
		return xd_pass();
	*ret_translation = (struct xd_translation){
		.to = {
			.source = packet->source,
			.destination = row->container_address,
			.source_port = packet->source_port,
			.destination_port = row->container_port,
			.mac_destination = row->mac,
			.mac_source = row->gateway_mac,
		},
		.verdict = { .action = XD_TO_CONTAINER, .ifindex = ifindex },
		.counter = row->counter,
		.direction = XD_COUNT_IN,
	};
	return xd_translate();
}

#endif
