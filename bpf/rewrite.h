/* SPDX-License-Identifier: GPL-2.0-only */
/* Translating a packet: addresses, ports, both MAC addresses, TTL, checksums.
 *
 * At XDP the bytes are all there is. At TC, the transport checksum may be complete in the bytes,
 * be summed by the device later (CHECKSUM_PARTIAL), or be repeated in the skb (CHECKSUM_COMPLETE):
 * ip_summed tells, and for the last two the kernel's helper does it, before anything else. The
 * IPv4 header is written directly, which no ip_summed minds: its own checksum cancels every change
 * in it; so is ICMP, which has no pseudo header. SCTP has none either and a CRC32c, which nothing
 * here can update, so its ports never change (RFC 9260, appendix A). */
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

/* What a packet becomes. An end that stays is given as it is. */
struct xd_rewrite {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
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

/* What lies behind the IPv4 header, as far as a rewrite minds. */
enum xd_transport {
	XD_TRANSPORT_SUMMED, /* TCP, UDP: ports, and a checksum that covers the addresses */
	XD_TRANSPORT_ECHO, /* an identifier, and a checksum that does not */
	XD_TRANSPORT_FIXED, /* SCTP, and later fragments: nothing that may change */
};

static __always_inline enum xd_transport transport(const struct xd_packet *packet)
{
	if (xd_packet_is_later(packet) || packet->protocol == IPPROTO_SCTP)
		return XD_TRANSPORT_FIXED;
	return packet->protocol == IPPROTO_ICMP ? XD_TRANSPORT_ECHO : XD_TRANSPORT_SUMMED;
}

/* inet_proto_csum_replace4() and 2(): an address is part of the pseudo header, a port is not;
 * a UDP checksum of 0 stays, and one that becomes 0 is mangled. The first failure changes
 * nothing, a later one leaves half a translation. */
static __always_inline enum xd_rewritten checksum_tc(struct __sk_buff *skb,
						     const struct xd_packet *packet,
						     const struct xd_rewrite *to)
{
	__u64 flags = packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 offset = checksum_offset(packet);
	bool is_begun = false;

#define REPLACE(member, more)                                                                     \
	if (packet->member != to->member) {                                                       \
		if (bpf_l4_csum_replace(skb, offset, packet->member, to->member,                  \
					sizeof(to->member) | (more) | flags))                     \
			return is_begun ? XD_REWRITTEN_HALF : XD_REWRITTEN_NOT;                   \
		is_begun = true;                                                                  \
	}
	REPLACE(source, BPF_F_PSEUDO_HDR)
	REPLACE(destination, BPF_F_PSEUDO_HDR)
	REPLACE(source_port, 0)
	REPLACE(destination_port, 0)
#undef REPLACE
	return XD_REWRITTEN;
}

static __always_inline enum xd_rewritten xd_rewrite(const struct xd_packet *packet,
						    const struct xd_rewrite *to)
{
	enum xd_transport kind = transport(packet);
	__u32 gain = xd_csum_gain4(packet->source, to->source) +
		     xd_csum_gain4(packet->destination, to->destination);
	__u32 port_gain = xd_csum_gain2(packet->source_port, to->source_port) +
			  xd_csum_gain2(packet->destination_port, to->destination_port);
	bool plain = kind != XD_TRANSPORT_SUMMED || is_plain(packet);
	void *data, *data_end;
	struct icmphdr *icmp;
	struct ethhdr *eth;
	struct udphdr *ports;
	struct iphdr *ip;

	if (!plain) {
		enum xd_rewritten result = checksum_tc(packet->ctx, packet, to);

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
	icmp = data + XD_TRANSPORT_OFFSET;
	if ((void *)(ip + 1) > data_end)
		return plain ? XD_REWRITTEN_NOT : XD_REWRITTEN_HALF;
	if (kind != XD_TRANSPORT_FIXED && (void *)(ports + 1) > data_end)
		return plain ? XD_REWRITTEN_NOT : XD_REWRITTEN_HALF;

	if (kind == XD_TRANSPORT_SUMMED) {
		if (plain) {
			void *field = data + checksum_offset(packet);

			if (field + sizeof(__sum16) > data_end)
				return XD_REWRITTEN_NOT;
			*(__sum16 *)field = xd_csum_apply_transport(
				*(__sum16 *)field, packet->protocol, gain + port_gain);
		}
		ports->source = to->source_port;
		ports->dest = to->destination_port;
	} else if (kind == XD_TRANSPORT_ECHO) {
		icmp->checksum = xd_csum_apply(icmp->checksum, port_gain);
		icmp->un.echo.id = packet->control ? to->destination_port : to->source_port;
	}

	xd_mac_copy(eth->h_dest, to->mac_destination);
	xd_mac_copy(eth->h_source, to->mac_source);
	ip->saddr = to->source;
	ip->daddr = to->destination;
	/* TTL is the high byte of its 16-bit word. */
	ip->check = xd_csum_apply(ip->check, gain + xd_csum_gain2(bpf_htons(0x0100), 0));
	ip->ttl -= 1;
	return XD_REWRITTEN;
}

#endif
