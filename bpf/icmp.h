/* SPDX-License-Identifier: GPL-2.0-only */
/* ICMP errors about translated flows (RFC 5508): the error carries the packet that it is about, and
 * both have to look as its receiver knows them.
 *
 *   router --> host      error about  198.51.100.1:20000 --> 192.0.2.7:80
 *          --> 172.17.0.2             172.17.0.2:40000   --> 192.0.2.7:80
 *
 * Mirrored, the embedded packet is what the other end would have sent instead of the error: a
 * packet of the same flow in the same direction as the error. So the rows that translate that one
 * translate the error as well. The error's own source is translated only if it is that end; a
 * router on the way keeps its address.
 *
 * Every changed word is covered by a checksum of the packet itself, so the sum of a whole skb
 * (CHECKSUM_COMPLETE) stays right. */
#ifndef XD_BPF_ICMP_H
#define XD_BPF_ICMP_H

#include "bpf/hairpin.h"

static __always_inline void *data_of(const struct xd_packet *packet, void **ret_end)
{
	if (packet->hook == XD_HOOK_TC) {
		struct __sk_buff *skb = packet->ctx;

		*ret_end = (void *)(long)skb->data_end;
		return (void *)(long)skb->data;
	} else {
		struct xdp_md *xdp = packet->ctx;

		*ret_end = (void *)(long)xdp->data_end;
		return (void *)(long)xdp->data;
	}
}

/* False: the error is about nothing that is ever translated. */
static __always_inline bool xd_icmp_mirror(const struct xd_packet *packet,
					   struct xd_packet *ret_mirrored)
{
	void *end, *data = data_of(packet, &end);
	struct iphdr *ip = data + XD_EMBEDDED_OFFSET;
	struct icmphdr *icmp = (void *)(ip + 1);
	struct udphdr *ports = (void *)(ip + 1);

	if ((void *)(ports + 1) > end || ip->version != 4 || ip->ihl != 5 ||
	    ip->frag_off & bpf_htons(IP_OFFSET))
		return false;
	*ret_mirrored = (struct xd_packet){
		.ctx = packet->ctx,
		.hook = packet->hook,
		.path = packet->path,
		.ifindex = packet->ifindex,
		.source = ip->daddr,
		.destination = ip->saddr,
		.protocol = ip->protocol,
	};
	switch (ip->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		ret_mirrored->source_port = ports->dest;
		ret_mirrored->destination_port = ports->source;
		return true;
	case IPPROTO_ICMP:
		if (icmp->type == ICMP_ECHO) {
			ret_mirrored->destination_port = icmp->un.echo.id;
			ret_mirrored->control = XD_ANSWER;
			return true;
		}
		if (icmp->type != ICMP_ECHOREPLY)
			return false;
		ret_mirrored->source_port = icmp->un.echo.id;
		return true;
	}
	return false;
}

/* The checksum of the embedded transport, if it is there. */
static __always_inline __u32 embedded_checksum_offset(__u8 protocol)
{
	__u32 ports = XD_EMBEDDED_OFFSET + sizeof(struct iphdr);

	switch (protocol) {
	case IPPROTO_TCP:
		return ports + __builtin_offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return ports + __builtin_offsetof(struct udphdr, check);
	default:
		return ports + __builtin_offsetof(struct icmphdr, checksum);
	}
}

/* to: what the mirrored packet becomes. */
static __always_inline enum xd_rewritten rewrite_error(const struct xd_packet *packet,
						       const struct xd_packet *mirrored,
						       const struct xd_rewrite *to)
{
	__be32 source = packet->source == mirrored->source ? to->source : packet->source;
	__u32 gain = xd_csum_gain4(mirrored->source, to->source) +
		     xd_csum_gain4(mirrored->destination, to->destination);
	__u32 port_gain = xd_csum_gain2(mirrored->source_port, to->source_port) +
			  xd_csum_gain2(mirrored->destination_port, to->destination_port);
	bool is_echo = mirrored->protocol == IPPROTO_ICMP;
	void *end, *data = data_of(packet, &end);
	__u32 offset = embedded_checksum_offset(mirrored->protocol);
	struct iphdr *ip = data + XD_IP_OFFSET, *embedded = data + XD_EMBEDDED_OFFSET;
	struct icmphdr *icmp = data + XD_TRANSPORT_OFFSET, *echo = (void *)(embedded + 1);
	struct udphdr *ports = (void *)(embedded + 1);
	struct ethhdr *eth = data;
	__u32 icmp_gain = port_gain;

	if ((void *)(ports + 1) > end)
		return XD_REWRITTEN_NOT;
	/* Addresses and the checksum of the embedded header cancel each other; ports and what
	 * covers them do only if that is there, and SCTP has nothing to change. */
	if (mirrored->protocol != IPPROTO_SCTP) {
		__sum16 *field = data + offset;

		/* Behind the IPv4 packet, a frame may have a trailer. */
		if (offset + sizeof(*field) <= XD_IP_OFFSET + packet->mtu_length &&
		    (void *)(field + 1) <= end) {
			__sum16 was = *field;

			*field = is_echo ? xd_csum_apply(was, port_gain) :
					   xd_csum_apply_transport(was, mirrored->protocol,
								   gain + port_gain);
			icmp_gain += xd_csum_gain2(was, *field);
		}
		if (is_echo) {
			echo->un.echo.id = mirrored->control ? to->destination_port :
								     to->source_port;
		} else {
			ports->source = to->destination_port;
			ports->dest = to->source_port;
		}
	}
	embedded->check = xd_csum_apply(embedded->check, gain);
	embedded->saddr = to->destination;
	embedded->daddr = to->source;
	icmp->checksum = xd_csum_apply(icmp->checksum, icmp_gain);

	xd_mac_copy(eth->h_dest, to->mac_destination);
	xd_mac_copy(eth->h_source, to->mac_source);
	ip->check = xd_csum_apply(ip->check,
				  xd_csum_gain4(packet->source, source) +
					  xd_csum_gain4(packet->destination, to->destination) +
					  xd_csum_gain2(bpf_htons(0x0100), 0));
	ip->saddr = source;
	ip->daddr = to->destination;
	ip->ttl -= 1;
	return XD_REWRITTEN;
}

/* translation: of the mirrored packet. */
static __always_inline struct xd_verdict xd_icmp_do(const struct xd_packet *packet,
						    const struct xd_packet *mirrored,
						    const struct xd_translation *translation)
{
	if (rewrite_error(packet, mirrored, &translation->to) != XD_REWRITTEN)
		return xd_pass();
	xd_count_packet(packet, translation->counter, translation->direction);
	return translation->verdict;
}

/* Uplink to container: about something that a container sent. */
static __always_inline struct xd_verdict xd_icmp_in(const struct xd_packet *packet,
						    const struct xd_packet *mirrored,
						    struct xd_translation *ret_translation)
{
	struct xd_published published = {};
	struct xd_rewrite to = {
		.source = mirrored->source,
		.source_port = mirrored->source_port,
	};
	struct xd_snat_rev *row = NULL;
	__u32 counter, ifindex, mtu;
	bool is_published;

	if (packet->destination != mirrored->destination)
		return xd_pass();
	/* The order of packets that are no errors, too. */
	is_published = xd_reserved_has(mirrored->destination_port, XD_RESERVED_PUBLISHED) &&
		       xd_publish_find(mirrored, packet->ifindex, &published);
	if (!is_published || published.port->flags & XD_PORT_MASQUERADED) {
		struct xd_snat_rev_key key = xd_snat_rev_key(mirrored);

		row = bpf_map_lookup_elem(&xd_snat_rev, &key);
	}
	if (row) {
		ifindex = row->ifindex;
		counter = row->counter;
		mtu = row->mtu;
		to.destination = row->container_address;
		to.destination_port = row->container_port;
		to.mac_destination = row->mac;
		to.mac_source = row->gateway_mac;
	} else if (is_published) {
		struct xd_port *port = published.port;

		ifindex = port->ifindex;
		counter = port->counter;
		mtu = port->mtu;
		to.destination = port->address;
		to.destination_port = port->port;
		to.mac_destination = port->mac;
		to.mac_source = port->gateway_mac;
	} else {
		return xd_pass();
	}
	/* As in xd_publish_in(). */
	if (packet->hook == XD_HOOK_XDP && packet->mtu_length > mtu)
		return xd_pass();
	if (packet->ip->ttl <= 1)
		return xd_drop_for(XD_DROP_TTL);
	if (!xd_verdict_is_possible(packet, &ifindex))
		return xd_pass();
	*ret_translation = (struct xd_translation){
		.to = to,
		.verdict = { .action = XD_TO_CONTAINER, .ifindex = ifindex },
		.counter = counter,
		.direction = XD_COUNT_IN,
	};
	return xd_translate();
}

/* Container to outside: about something that the container received. */
static __always_inline struct xd_verdict xd_icmp_out(const struct xd_packet *packet,
						     const struct xd_packet *mirrored,
						     const struct xd_endpoint *endpoint,
						     struct xd_translation *translation)
{
	struct xd_rewrite *to = &translation->to;
	struct xd_port_rev *rev;

	/* A container may be a router for others. */
	if (mirrored->source != packet->source || mirrored->destination != packet->destination)
		return xd_pass();
	to->source = 0;
	to->destination_port = mirrored->destination_port;
	rev = endpoint->flags & XD_NETWORK_ROUTED ? NULL : xd_publish_rev(mirrored);
	if (!rev && !(endpoint->flags & XD_NETWORK_MASQUERADE))
		return xd_pass();
	if (rev) {
		to->source = xd_publish_side(mirrored, rev, &to->source_port);
	} else {
		struct xd_snat_key key = xd_snat_key(mirrored);
		struct xd_snat *row = bpf_map_lookup_elem(&xd_snat, &key);

		if (row && row->owner == packet->ifindex) {
			to->source = row->address;
			to->source_port = row->port;
		}
	}
	if (!to->source) {
		if (endpoint->flags & XD_NETWORK_UNPROTECTED || xd_conntrack_has(mirrored))
			return xd_pass();
		return xd_drop_for(XD_DROP_UNTRACKED);
	}
	if (to->source == packet->source)
		return xd_pass();
	translation->counter = endpoint->counter;
	return xd_translate();
}

/* Server to its gateway: about a flow that came from there for another container. */
static __always_inline struct xd_verdict xd_icmp_gateway(const struct xd_packet *packet,
							 const struct xd_packet *mirrored,
							 const struct xd_endpoint *endpoint,
							 struct xd_translation *ret_translation)
{
	struct xd_snat_rev_key key = xd_snat_rev_key(mirrored);
	struct xd_snat_rev *row;

	if (mirrored->source != packet->source || mirrored->destination != packet->destination)
		return xd_pass();
	row = bpf_map_lookup_elem(&xd_snat_rev, &key);
	if (!row || !(row->flags & XD_SNAT_HAIRPIN))
		return xd_pass();
	if (packet->ip->ttl <= 1)
		return xd_drop_for(XD_DROP_TTL);
	return xd_hairpin_client(mirrored, endpoint, row, ret_translation);
}

/* Server to a sibling: about a flow of a sibling that dialled a published port. */
static __always_inline struct xd_verdict xd_icmp_sibling(const struct xd_packet *packet,
							 const struct xd_packet *mirrored,
							 const struct xd_endpoint *endpoint,
							 const struct xd_address *address,
							 struct xd_translation *ret_translation)
{
	if (mirrored->source != packet->source || mirrored->destination != packet->destination)
		return xd_pass();
	return xd_hairpin_sibling(mirrored, endpoint, address, ret_translation);
}

/* Client of a published port of this host to what it dialled: about the answer of a server. */
static __always_inline struct xd_verdict xd_icmp_server(const struct xd_packet *packet,
							const struct xd_packet *mirrored,
							const struct xd_endpoint *endpoint,
							struct xd_translation *ret_translation)
{
	struct xd_published published;
	struct xd_server server;

	if (mirrored->source != packet->source || mirrored->destination != packet->destination ||
	    !xd_reserved_has(mirrored->destination_port, XD_RESERVED_PUBLISHED) ||
	    !xd_hairpin_server(mirrored, endpoint, &published, &server))
		return xd_pass();
	if (packet->ip->ttl <= 1)
		return xd_drop_for(XD_DROP_TTL);
	xd_hairpin_aim(endpoint, &server, ret_translation);
	if (xd_hairpin_is_sibling(packet, endpoint, &server)) {
		ret_translation->to.source = mirrored->source;
		ret_translation->to.source_port = mirrored->source_port;
	} else {
		struct xd_snat_key key = xd_snat_key(mirrored);
		struct xd_snat *row = bpf_map_lookup_elem(&xd_snat, &key);

		if (!row || row->owner != packet->ifindex || !(row->flags & XD_SNAT_HAIRPIN))
			return xd_pass();
		ret_translation->to.source = row->address;
		ret_translation->to.source_port = row->port;
	}
	return xd_translate();
}

#endif
