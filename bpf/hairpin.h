/* SPDX-License-Identifier: GPL-2.0-only */
/* Containers that use a published port of their own host, and containers of other networks.
 *
 *   sibling --> 198.51.100.1:8761 --> web:8761      from the sibling's own address
 *   sibling <-- 198.51.100.1:8761 <-- web:8761      xd_exception, at the veth of web
 *
 *   other   --> 198.51.100.1:8761 --> web:8761      from 172.17.0.1:20000, the gateway of web
 *   other   <-- 198.51.100.1:8761 <-- web:8761      xd_snat_rev, at the veth of web
 *
 * A sibling and its server share a wire, so the server answers the sibling directly and its own
 * veth is where the reply is translated back. A container that uses its own port, and one of
 * another network, which the server has no business to address, come from the gateway instead, with
 * a port that nobody of the host has. Only endpoints that were reached so pay for looking: their
 * XD_HAIRPIN_* bits are set before the packet goes in. */
#ifndef XD_BPF_HAIRPIN_H
#define XD_BPF_HAIRPIN_H

#include "bpf/masquerade.h"
#include "bpf/publish.h"
#include "bpf/reserved.h"

/* Where a flow to another container goes. */
struct xd_server {
	__be32 address;
	__be16 port;
	__u32 ifindex; /* of the veth's host end */
	struct xd_endpoint *endpoint;
};

/* The reply of a server to its gateway, back to the container that dialled. packet is that reply,
 * or the mirror of an error. */
static __always_inline struct xd_verdict xd_hairpin_client(const struct xd_packet *packet,
							   const struct xd_endpoint *endpoint,
							   const struct xd_snat_rev *row,
							   struct xd_translation *ret_translation)
{
	__u32 ifindex = row->ifindex;

	if (!xd_verdict_is_possible(packet, &ifindex))
		return xd_pass();
	*ret_translation = (struct xd_translation){
		.to = {
			.source = row->dialled_address,
			.destination = row->container_address,
			.source_port = row->dialled_port,
			.destination_port = row->container_port,
			.mac_destination = row->mac,
			.mac_source = row->gateway_mac,
		},
		.verdict = { .action = XD_TO_CONTAINER, .ifindex = ifindex },
		.counter = endpoint->counter,
		.direction = XD_COUNT_OUT,
	};
	return xd_translate();
}

/* A sibling opens a connection to the server itself, from a port that it dialled a published one
 * from before: in the server, both would be one flow, so the second has to wait until the first is
 * over. */
static __always_inline bool xd_hairpin_has(const struct xd_packet *packet)
{
	struct xd_exception_key key = {
		.container_address = packet->destination,
		.client_address = packet->source,
		.container_port = packet->destination_port,
		.client_port = packet->source_port,
		.protocol = packet->protocol,
	};
	struct xd_exception *row = bpf_map_lookup_elem(&xd_exception, &key);

	if (!row)
		return false;
	if ((__s64)(bpf_ktime_get_coarse_ns() - row->seen_ns) < (__s64)XD_EXCEPTION_IDLE_NS)
		return true;
	bpf_map_delete_elem(&xd_exception, &key);
	return false;
}

/* The reply of a server to a sibling that dialled a published port; XD_PASS if it did not. packet
 * is that reply, or the mirror of an error; address: where the sibling is. */
static __always_inline struct xd_verdict xd_hairpin_sibling(const struct xd_packet *packet,
							    const struct xd_endpoint *endpoint,
							    const struct xd_address *address,
							    struct xd_translation *ret_translation)
{
	struct xd_exception *exception = xd_exception_find(packet);

	if (!exception)
		return xd_pass();
	*ret_translation = (struct xd_translation){
		.to = {
			.source = exception->address,
			.destination = packet->destination,
			.source_port = exception->port,
			.destination_port = packet->destination_port,
			.mac_destination = address->mac,
			.mac_source = endpoint->gateway_mac,
		},
		.verdict = { .action = XD_TO_CONTAINER, .ifindex = address->ifindex },
		.counter = endpoint->counter,
		.direction = XD_COUNT_OUT,
	};
	return xd_translate();
}

/* The packet is to reach the server; source and source_port come from the caller. */
static __always_inline void xd_hairpin_aim(const struct xd_endpoint *endpoint,
					   const struct xd_server *server,
					   struct xd_translation *ret_translation)
{
	*ret_translation = (struct xd_translation){
		.to = {
			.destination = server->address,
			.destination_port = server->port,
			.mac_destination = server->endpoint->mac,
			.mac_source = server->endpoint->gateway_mac,
		},
		.verdict = { .action = XD_TO_CONTAINER, .ifindex = server->ifindex },
		.counter = endpoint->counter,
		.direction = XD_COUNT_OUT,
	};
}

/* From the gateway of the server. */
static __always_inline struct xd_verdict to_server(const struct xd_packet *packet,
						   const struct xd_endpoint *endpoint,
						   const struct xd_server *server,
						   struct xd_translation *ret_translation)
{
	struct xd_snat_side side = {
		.address = server->endpoint->gateway,
		.flags = XD_SNAT_HAIRPIN,
		.remote_address = server->address,
		.remote_port = server->port,
		.ifindex = server->ifindex,
		.owner = packet->ifindex,
	};
	bool can_open;

	if (!xd_masquerade_find(packet, endpoint, &side, &can_open)) {
		/* Opened through docker-proxy or iptables before the programs were there. */
		if (!can_open && xd_conntrack_has(packet))
			return xd_pass();
		side.is_found |= !can_open;
		return xd_masquerade_open(packet, &side);
	}
	if (!(server->endpoint->hairpin & XD_HAIRPIN_GATEWAY))
		server->endpoint->hairpin |= XD_HAIRPIN_GATEWAY;
	xd_hairpin_aim(endpoint, server, ret_translation);
	ret_translation->to.source = side.address;
	ret_translation->to.source_port = side.port;
	return xd_translate();
}

/* From the sibling itself. */
static __always_inline struct xd_verdict to_sibling_server(const struct xd_packet *packet,
							   const struct xd_endpoint *endpoint,
							   const struct xd_server *server,
							   const struct xd_port *port,
							   struct xd_translation *ret_translation)
{
	switch (xd_exception_note(packet, port, XD_BY_SIBLING)) {
	case XD_NOTED:
		break;
	case XD_NOTED_CONFLICT:
		return xd_drop_for(XD_DROP_PORT_CONFLICT);
	case XD_NOTED_NOT:
		return xd_drop_for(XD_DROP_EXCEPTION_FULL);
	}
	if (!(server->endpoint->hairpin & XD_HAIRPIN_SIBLING))
		server->endpoint->hairpin |= XD_HAIRPIN_SIBLING;
	xd_hairpin_aim(endpoint, server, ret_translation);
	ret_translation->to.source = packet->source;
	ret_translation->to.source_port = packet->source_port;
	return xd_translate();
}

/* Whom a packet to an address of the host is for, if its port is published. packet: that, or the
 * mirror of an error. */
static __always_inline bool xd_hairpin_server(const struct xd_packet *packet,
					      const struct xd_endpoint *endpoint,
					      struct xd_published *ret_published,
					      struct xd_server *ret_server)
{
	if (!xd_publish_find(packet, endpoint->bridge, ret_published))
		return false;
	ret_server->address = ret_published->port->address;
	ret_server->port = ret_published->port->port;
	ret_server->ifindex = ret_published->port->ifindex;
	ret_server->endpoint = bpf_map_lookup_elem(&xd_endpoint, &ret_server->ifindex);
	return ret_server->endpoint && xd_verdict_is_possible(packet, &ret_server->ifindex);
}

static __always_inline bool xd_hairpin_is_sibling(const struct xd_packet *packet,
						  const struct xd_endpoint *endpoint,
						  const struct xd_server *server)
{
	return server->endpoint->bridge == endpoint->bridge && server->ifindex != packet->ifindex;
}

/* A packet to an address of the host: published, or the reply of a flow that came from there, or
 * the kernel's. */
static __always_inline struct xd_verdict xd_hairpin_out(const struct xd_packet *packet,
							const struct xd_endpoint *endpoint,
							struct xd_translation *ret_translation)
{
	bool is_reply = packet->destination == endpoint->gateway &&
			endpoint->hairpin & XD_HAIRPIN_GATEWAY;
	bool is_request = !(endpoint->flags & XD_NETWORK_INTERNAL) &&
			  xd_reserved_has(packet->destination_port, XD_RESERVED_PUBLISHED);
	struct xd_published published;
	struct xd_server server;

	if (!is_reply && !is_request)
		return xd_pass();
	if (packet->path == XD_PATH_DIRECT)
		return xd_detour();
	if (is_reply) {
		struct xd_snat_rev *row = xd_snat_find_rev(packet);

		if (row && row->flags & XD_SNAT_HAIRPIN && packet->ip->ttl <= 1)
			return xd_drop_for(XD_DROP_TTL);
		if (row && row->flags & XD_SNAT_HAIRPIN)
			return xd_hairpin_client(packet, endpoint, row, ret_translation);
	}
	if (!is_request || !xd_hairpin_server(packet, endpoint, &published, &server))
		return xd_pass();
	if (packet->ip->ttl <= 1)
		return xd_drop_for(XD_DROP_TTL);
	if (xd_hairpin_is_sibling(packet, endpoint, &server))
		return to_sibling_server(packet, endpoint, &server, published.port,
					 ret_translation);
	return to_server(packet, endpoint, &server, ret_translation);
}

#endif
