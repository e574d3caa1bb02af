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

#include "bpf/exception.h"
#include "bpf/limit.h"
#include "bpf/local.h"
#include "bpf/maps.h"
#include "bpf/packet.h"
#include "bpf/route.h"
#include "bpf/translate.h"
#include "bpf/verdict.h"

/* What an inbound packet hit. */
struct xd_published {
	struct xd_port *port;
	bool is_canonical; /* replies find their way by xd_port_rev alone */
};

/* A port is published for all addresses or for some, never for both: the order of the two
 * lookups changes the cost alone. Clients use the default address of a wildcard as a rule.
 * local_by: the ifindex of xd_local_has(). */
static __always_inline bool xd_publish_find(const struct xd_packet *packet, __u32 local_by,
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
	if (port->flags & XD_PORT_ROUTED)
		return false;
	if (!key.address && !xd_local_has(packet, local_by, packet->destination))
		return false;
	published->port = port;
	published->is_canonical = port->flags & XD_PORT_CANONICAL && (key.address || is_default);
	return true;
}

/* Uplink to container. */
static __always_inline struct xd_verdict xd_publish_in(const struct xd_packet *packet,
						       const struct xd_published *published,
						       struct xd_translation *ret_translation)
{
	struct xd_port *port = published->port;

	/* The host would answer as the owner of the address, by a reset of the flow. */
	if (packet->ip->ttl <= 1)
		return xd_drop_for(XD_DROP_TTL);
	/* The container is gone and the mapping is not yet: as if it were not published. */
	if (!xd_verdict_is_possible(packet, &port->ifindex))
		return xd_pass();
	/* A veth refuses a redirected frame that is longer than its peer's MTU; the TC program
	 * behind this one delivers it. */
	if (packet->hook == XD_HOOK_XDP && packet->mtu_length > port->mtu)
		return xd_pass();

	if (port->flags & XD_PORT_LIMITED) {
		switch (xd_limit_ask(packet->source, port->counter,
				     xd_limit_segments(packet),
				     packet->path != XD_PATH_SCREEN)) {
		case XD_ADMITTED:
			break;
		case XD_LIMITED:
			return xd_drop_for(XD_DROP_LIMITED);
		case XD_DENIED:
			return xd_drop_for(XD_DROP_DENIED);
		}
	}
	if (packet->path == XD_PATH_SCREEN)
		return xd_pass();
	if (!published->is_canonical || port->flags & XD_PORT_EXCEPTION) {
		switch (xd_exception_note(packet, port,
					  published->is_canonical ? XD_BY_MAPPING : XD_BY_ROW)) {
		case XD_NOTED:
			break;
		case XD_NOTED_CONFLICT:
			return xd_drop_for(XD_DROP_PORT_CONFLICT);
		case XD_NOTED_NOT:
			return xd_drop_for(XD_DROP_EXCEPTION_FULL);
		}
	}
	*ret_translation = (struct xd_translation){
		.to = {
			.source = packet->source,
			.destination = port->address,
			.source_port = packet->source_port,
			.destination_port = port->port,
			.mac_destination = port->mac,
			.mac_source = port->gateway_mac,
		},
		.verdict = { .action = XD_TO_CONTAINER, .ifindex = port->ifindex },
		.counter = port->counter,
		.direction = XD_COUNT_IN,
	};
	return xd_translate();
}

/* The mapping that a packet of a container may be a reply of. */
static __always_inline struct xd_port_rev *xd_publish_rev(const struct xd_packet *packet)
{
	struct xd_port_rev_key key = {
		.address = packet->source,
		.port = packet->source_port,
		.protocol = packet->protocol,
	};

	return bpf_map_lookup_elem(&xd_port_rev, &key);
}

/* The host's side of a flow to a published port, as its client knows it. 0: none that is known. */
static __always_inline __be32 xd_publish_side(const struct xd_packet *packet,
					      const struct xd_port_rev *rev, __be16 *ret_port)
{
	if (rev->flags & XD_PORT_REV_EXCEPTION) {
		struct xd_exception *exception = xd_exception_find(packet);

		if (exception) {
			*ret_port = exception->port;
			return exception->address;
		}
	}
	*ret_port = rev->port;
	return rev->address ? rev->address : xd_host.address;
}

/* Container to outside: the source that the client knows, by a route that was found. */
static __always_inline struct xd_verdict xd_publish_out(const struct xd_packet *packet,
							const struct xd_port_rev *rev,
							struct xd_translation *translation)
{
	struct xd_rewrite *to = &translation->to;

	to->source = xd_publish_side(packet, rev, &to->source_port);
	/* Also a client that addresses the container itself, where that is allowed. */
	if (!to->source || to->source == packet->source)
		return xd_pass();
	translation->counter = rev->counter;
	return xd_translate();
}

#endif
