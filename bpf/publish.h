/* SPDX-License-Identifier: GPL-2.0-only */
/* Published ports: a bijection between host address:port and container address:port.
 *
 *   client --> 198.51.100.1:8761 --[xd_port]-----> 172.17.0.2:8761 --> container
 *   client <-- 198.51.100.1:8761 <-[xd_port_rev]-- 172.17.0.2:8761 <-- container
 *
 * Both directions are computed from the mapping; no flow is remembered, so nothing can fill up,
 * expire or be flooded. What a mapping cannot say is in exception.h. */
#ifndef XD_BPF_PUBLISH_H
#define XD_BPF_PUBLISH_H

#include "bpf/count.h"
#include "bpf/exception.h"
#include "bpf/local.h"
#include "bpf/maps.h"
#include "bpf/packet.h"
#include "bpf/rewrite.h"
#include "bpf/subnet.h"
#include "bpf/verdict.h"

/* What an inbound packet hit. */
struct xd_published {
	struct xd_port *port;
	bool is_canonical; /* replies find their way by xd_port_rev alone */
};

/* A port is published for all addresses or for some, never for both: the order of the two
 * lookups changes the cost alone. Clients use the default address of a wildcard as a rule. */
static __always_inline bool xd_publish_find(const struct xd_packet *packet,
					    struct xd_published *published)
{
	bool is_default = packet->destination == xd_host.address;
	struct xd_port_key key = {
		.address = is_default ? 0 : packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	struct xd_port *port = bpf_map_lookup_elem(&xd_port, &key);

	if (!port) {
		key.address = is_default ? packet->destination : 0;
		port = bpf_map_lookup_elem(&xd_port, &key);
		if (!port)
			return false;
	}
	if (!key.address && !xd_local_has(packet))
		return false;
	published->port = port;
	published->is_canonical = port->flags & XD_PORT_CANONICAL && (key.address || is_default);
	return true;
}

/* Uplink to container. */
static __always_inline struct xd_verdict xd_publish_in(const struct xd_packet *packet,
						       const struct xd_published *published)
{
	struct xd_port *port = published->port;
	struct xd_rewrite to = {
		.end = XD_END_DESTINATION,
		.address = port->address,
		.port = port->port,
		.mac_destination = port->mac,
		.mac_source = port->gateway_mac,
	};

	/* The host would answer as the owner of the address, by a reset of the flow. */
	if (packet->ttl <= 1)
		return xd_drop_for(XD_DROP_TTL);
	/* The container is gone and the mapping is not yet: as if it were not published. */
	if (!xd_verdict_is_possible(packet, &port->ifindex))
		return xd_pass();
	/* A veth refuses a redirected frame that is longer than its peer's MTU; the TC program
	 * behind this one delivers it. */
	if (packet->hook == XD_HOOK_XDP && packet->mtu_length > port->mtu)
		return xd_pass();

	if (!published->is_canonical || port->flags & XD_PORT_EXCEPTION) {
		switch (xd_exception_note(packet, port, published->is_canonical)) {
		case XD_NOTED:
			break;
		case XD_NOTED_CONFLICT:
			return xd_drop_for(XD_DROP_PORT_CONFLICT);
		case XD_NOTED_NOT:
			return xd_drop_for(XD_DROP_EXCEPTION_FULL);
		}
	}

	switch (xd_rewrite(packet, &to)) {
	case XD_REWRITTEN:
		break;
	case XD_REWRITTEN_NOT:
		return xd_pass();
	case XD_REWRITTEN_HALF:
		return xd_drop_for(XD_DROP_REWRITE);
	}
	xd_count_packet(packet, port->counter, XD_COUNT_IN);
	return (struct xd_verdict){ .action = XD_TO_CONTAINER, .ifindex = port->ifindex };
}

/* Container to outside. The route is asked before a byte is changed, and with the container's
 * own address as the source, as the kernel does for the reply of a DNATed flow. */
static __always_inline struct xd_verdict xd_publish_out(const struct xd_packet *packet,
							const struct xd_endpoint *endpoint)
{
	struct xd_port_rev_key key = {
		.address = packet->source,
		.port = packet->source_port,
		.protocol = packet->protocol,
	};
	struct xd_port_rev *rev = bpf_map_lookup_elem(&xd_port_rev, &key);
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = packet->protocol,
		.sport = packet->source_port,
		.dport = packet->destination_port,
		.tot_len = packet->mtu_length,
		.tos = packet->ip->tos,
		.ifindex = endpoint->bridge,
		.ipv4_src = packet->source,
		.ipv4_dst = packet->destination,
	};
	struct xd_rewrite to = {
		.end = XD_END_SOURCE,
		.mac_destination = fib.dmac,
		.mac_source = fib.smac,
	};
	struct xd_verdict verdict = {};
	int result;

	/* Bridges do not reach each other by this way, and the kernel tells of a TTL. */
	if (!rev || packet->ttl <= 1 || xd_subnet_role(packet->destination) != XD_SUBNET_NONE)
		return xd_pass();

	to.address = rev->address ? rev->address : xd_host.address;
	to.port = rev->port;
	if (rev->flags & XD_PORT_REV_EXCEPTION) {
		struct xd_exception *exception = xd_exception_find(packet);

		if (exception) {
			to.address = exception->address;
			to.port = exception->port;
		}
	}
	if (!to.address)
		return xd_pass();

	result = bpf_fib_lookup(packet->ctx, &fib, sizeof(fib), 0);
	if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		/* A path MTU that the host has learned counts here, but not where the kernel
		 * forwards (ip_forward_use_pmtu): ask again for the device's alone. */
		fib.tot_len = 0;
		fib.tos = packet->ip->tos;
		fib.ifindex = endpoint->bridge;
		result = bpf_fib_lookup(packet->ctx, &fib, sizeof(fib), 0);
		if ((result == BPF_FIB_LKUP_RET_SUCCESS ||
		     result == BPF_FIB_LKUP_RET_NO_NEIGH) &&
		    packet->mtu_length > fib.mtu_result)
			result = BPF_FIB_LKUP_RET_FRAG_NEEDED;
	}
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		verdict.action = XD_TO_LINK;
		break;
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		verdict.action = XD_TO_NEIGHBOUR;
		verdict.family = fib.family;
		__builtin_memcpy(verdict.next_hop, fib.ipv6_dst, sizeof(verdict.next_hop));
		break;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		/* With DF, the kernel tells the container. */
		if (packet->is_df)
			return xd_pass();
		return xd_drop_for(XD_DROP_UNTRANSLATED);
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
		return xd_drop_for(XD_DROP_UNTRANSLATED);
	default:
		/* To the host itself, or nowhere: the kernel delivers or says so, and the
		 * container's own address is right for either. */
		return xd_pass();
	}
	verdict.ifindex = fib.ifindex;

	switch (xd_rewrite(packet, &to)) {
	case XD_REWRITTEN:
		break;
	case XD_REWRITTEN_NOT:
		return xd_pass();
	case XD_REWRITTEN_HALF:
		return xd_drop_for(XD_DROP_REWRITE);
	}
	xd_count_packet(packet, rev->counter, XD_COUNT_OUT);
	return verdict;
}

#endif
