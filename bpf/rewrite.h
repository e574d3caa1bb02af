/* SPDX-License-Identifier: GPL-2.0-only */
/* Translating one end of a packet: address, port, both MAC addresses, TTL, checksums.
 *
 * At XDP the bytes are all there is. At TC, the transport checksum may be complete in the bytes,
 * be summed by the device later (CHECKSUM_PARTIAL), or be repeated in the skb (CHECKSUM_COMPLETE):
 * ip_summed tells, and for the last two the kernel's helper does it, before anything else. The
 * IPv4 header is written directly, which no ip_summed minds: its own checksum cancels every change
 * in it. */
#ifndef XD_BPF_REWRITE_H
#define XD_BPF_REWRITE_H

#include <bpf/bpf_core_read.h>

#include "bpf/csum.h"
#include "bpf/packet.h"

/* From skbuff.h. What is below has its checksum in the bytes, and nowhere else. */
#define CHECKSUM_COMPLETE 2

/* The one member of the kernel's struct sk_buff that is read, wherever it is there. */
struct sk_buff___xd {
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

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

/* Kernels before 6.2 do not tell. There the helper is asked, which is right for all kinds. */
static __always_inline bool is_plain(const struct xd_packet *packet)
{
	struct sk_buff___xd *skb;

	if (packet->hook == XD_HOOK_XDP)
		return true;
	if (!bpf_cast_to_kern_ctx)
		return false;
	skb = bpf_cast_to_kern_ctx(packet->ctx);
	return BPF_CORE_READ_BITFIELD(skb, ip_summed) < CHECKSUM_COMPLETE;
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
	bool plain = is_plain(packet);

	if (!plain) {
		enum xd_rewritten result = checksum_tc(packet->ctx, packet, address, to->address,
						       port, to->port);

		if (result != XD_REWRITTEN)
			return result;
	}
	if (packet->hook == XD_HOOK_TC) {
		struct __sk_buff *skb = packet->ctx;

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
		return plain ? XD_REWRITTEN_NOT : XD_REWRITTEN_HALF;

	if (plain) {
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
