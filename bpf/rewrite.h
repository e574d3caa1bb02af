/* SPDX-License-Identifier: GPL-2.0-only */
/* Translating one end of a packet: address, port, both MAC addresses, TTL, checksums.
 *
 * At TC, the transport checksum may be complete in the bytes, be summed by the device later
 * (CHECKSUM_PARTIAL), or be repeated in the skb (CHECKSUM_COMPLETE); only the kernel's helper
 * knows, so it is asked first. The IPv4 header is written directly, which no ip_summed minds: its
 * own checksum cancels every change in it. At XDP the bytes are all there is. */
#ifndef XD_BPF_REWRITE_H
#define XD_BPF_REWRITE_H

#include "bpf/csum.h"
#include "bpf/packet.h"

enum xd_end {
	XD_END_SOURCE,
	XD_END_DESTINATION,
};

struct xd_rewrite {
	enum xd_end end; /* which end becomes address:port */
	__be16 port;
	__be32 address;
	const __u8 *mac_destination;
	const __u8 *mac_source;
};

enum xd_rewritten {
	XD_REWRITTEN,
	XD_REWRITTEN_NOT, /* nothing was changed */
	XD_REWRITTEN_HALF, /* must not go anywhere */
};

static __always_inline __u32 checksum_offset(const struct xd_packet *packet)
{
	return XD_TRANSPORT_OFFSET + (packet->protocol == IPPROTO_TCP ?
					      __builtin_offsetof(struct tcphdr, check) :
					      __builtin_offsetof(struct udphdr, check));
}

/* inet_proto_csum_replace4() and 2(): an address is part of the pseudo header, a port is not;
 * a UDP checksum of 0 stays, and one that becomes 0 is mangled. */
static __always_inline enum xd_rewritten checksum_tc(struct __sk_buff *skb,
						     const struct xd_packet *packet,
						     __be32 address_from, __be32 address_to,
						     __be16 port_from, __be16 port_to)
{
	__u64 flags = packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 offset = checksum_offset(packet);

	if (bpf_l4_csum_replace(skb, offset, address_from, address_to,
				sizeof(__be32) | BPF_F_PSEUDO_HDR | flags))
		return XD_REWRITTEN_NOT;
	if (port_from != port_to && bpf_l4_csum_replace(skb, offset, port_from, port_to,
							sizeof(__be16) | flags))
		return XD_REWRITTEN_HALF;
	return XD_REWRITTEN;
}

static __always_inline enum xd_rewritten xd_rewrite(const struct xd_packet *packet,
						    const struct xd_rewrite *to)
{
	bool is_source = to->end == XD_END_SOURCE;
	__be32 address = is_source ? packet->source : packet->destination;
	__be16 port = is_source ? packet->source_port : packet->destination_port;
	void *data, *data_end;
	struct ethhdr *eth;
	struct udphdr *ports;
	struct iphdr *ip;
	__u32 gain = xd_csum_gain4(address, to->address);

	if (packet->hook == XD_HOOK_TC) {
		struct __sk_buff *skb = packet->ctx;
		enum xd_rewritten result =
			checksum_tc(skb, packet, address, to->address, port, to->port);

		if (result != XD_REWRITTEN)
			return result;
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
	} else {
		struct xdp_md *xdp = packet->ctx;

		data = (void *)(long)xdp->data;
		data_end = (void *)(long)xdp->data_end;
	}
	eth = data;
	ip = data + XD_IP_OFFSET;
	ports = data + XD_TRANSPORT_OFFSET;
	if ((void *)(ports + 1) > data_end)
		return XD_REWRITTEN_HALF;

	if (packet->hook == XD_HOOK_XDP) {
		void *field = data + checksum_offset(packet);

		if (field + sizeof(__sum16) > data_end)
			return XD_REWRITTEN_NOT;
		*(__sum16 *)field = xd_csum_apply_transport(*(__sum16 *)field, packet->protocol,
							    gain + xd_csum_gain2(port, to->port));
	}

	xd_mac_copy(eth->h_dest, to->mac_destination);
	xd_mac_copy(eth->h_source, to->mac_source);
	if (is_source) {
		ip->saddr = to->address;
		ports->source = to->port;
	} else {
		ip->daddr = to->address;
		ports->dest = to->port;
	}
	/* TTL is the high byte of its 16-bit word. */
	ip->check = xd_csum_apply(ip->check, gain + xd_csum_gain2(bpf_htons(0x0100), 0));
	ip->ttl = packet->ttl - 1;
	return XD_REWRITTEN;
}

#endif
