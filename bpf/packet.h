/* SPDX-License-Identifier: GPL-2.0-only */
/* A packet, parsed once into typed fields; the same for both hooks.
 *
 *        0        14                    34        38
 *        +--------+---------------------+----+----+------
 *        |Ethernet| IPv4 without options|from| to | TCP or UDP
 *        +--------+---------------------+----+----+------
 *
 * Only this shape is ever rewritten, so that every offset is a constant. IPv4 options, fragments
 * and other protocols end at XD_LAYER_IPV4, everything else at XD_LAYER_NONE. */
#ifndef XD_BPF_PACKET_H
#define XD_BPF_PACKET_H

#include "include/types.h"

/* BTF carries no macros; these are from if_ether.h, if_packet.h, ip.h and socket.h. */
#define ETH_P_IP 0x0800
#define PACKET_HOST 0
#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff
#define AF_INET 2
#define AF_INET6 10

#define XD_IP_OFFSET sizeof(struct ethhdr)
#define XD_TRANSPORT_OFFSET (XD_IP_OFFSET + sizeof(struct iphdr))
#define XD_HEADERS_LEN (XD_TRANSPORT_OFFSET + sizeof(struct tcphdr))

/* No pointer into struct xd_packet is given to a helper: the compiler would have to assume that
 * the helper changed it, and the hook would no longer be a constant. */

/* Which program type the shared code is being compiled into; a constant after inlining. */
enum xd_hook {
	XD_HOOK_TC,
	XD_HOOK_XDP,
};

/* How far a packet is understood. */
enum xd_layer {
	XD_LAYER_NONE,
	XD_LAYER_IPV4, /* addresses are valid, ports are not */
	XD_LAYER_TRANSPORT, /* TCP or UDP, whole, no options, no fragment */
};

struct xd_packet {
	void *ctx; /* struct __sk_buff or struct xdp_md */
	struct ethhdr *eth; /* these two are valid until the packet is rewritten */
	struct iphdr *ip;
	enum xd_hook hook;
	__u32 ifindex; /* where it arrived, or leaves at egress */
	__u32 length; /* bytes, with the Ethernet header */
	__u32 gso_size; /* payload of one segment, bytes; 0 for a packet that is not GSO */
	__u32 mtu_length; /* bytes that have to fit an MTU: the IPv4 length, of a segment if GSO */
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 ttl;
	bool is_df; /* not to be fragmented */
};

static __always_inline bool xd_is_loopback(__be32 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline bool xd_mac_is_equal(const __u8 *a, const __u8 *b)
{
	return *(__u16 *)a == *(__u16 *)b && *(__u16 *)(a + 2) == *(__u16 *)(b + 2) &&
	       *(__u16 *)(a + 4) == *(__u16 *)(b + 4);
}

/* In words: a memcpy() of what may be at an odd address goes byte by byte. */
static __always_inline void xd_mac_copy(__u8 *to, const __u8 *from)
{
	*(__u16 *)to = *(__u16 *)from;
	*(__u16 *)(to + 2) = *(__u16 *)(from + 2);
	*(__u16 *)(to + 4) = *(__u16 *)(from + 4);
}

/* TCP and UDP behind an IPv4 header without options. ip_length is host order and checked. */
static __always_inline enum xd_layer parse_transport(struct xd_packet *packet, void *data_end,
						     __u32 ip_length)
{
	__u32 room = ip_length - sizeof(struct iphdr);
	struct udphdr *udp = (void *)(packet->ip + 1);
	struct tcphdr *tcp = (void *)udp;
	__u32 header;

	if (packet->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > data_end)
			return XD_LAYER_IPV4;
		header = tcp->doff * 4;
		if (header < sizeof(*tcp) || header > room)
			return XD_LAYER_IPV4;
	} else if (packet->protocol == IPPROTO_UDP) {
		if ((void *)(udp + 1) > data_end)
			return XD_LAYER_IPV4;
		header = sizeof(*udp);
		/* The length of a GSO datagram may be that of a segment or of the whole. */
		if (bpf_ntohs(udp->len) < header || bpf_ntohs(udp->len) > room)
			return XD_LAYER_IPV4;
	} else {
		return XD_LAYER_IPV4;
	}

	packet->source_port = udp->source;
	packet->destination_port = udp->dest;
	packet->mtu_length = packet->gso_size ?
				     sizeof(struct iphdr) + header + packet->gso_size :
				     ip_length;
	return XD_LAYER_TRANSPORT;
}

static __always_inline enum xd_layer parse(struct xd_packet *packet, void *data, void *data_end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + XD_IP_OFFSET;
	__u32 ip_length;

	if ((void *)(ip + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XD_LAYER_NONE;
	if (ip->version != 4 || ip->ihl < 5)
		return XD_LAYER_NONE;

	/* A BIG TCP packet, longer than the field can say, carries 0. */
	ip_length = bpf_ntohs(ip->tot_len);
	if (!ip_length && packet->gso_size)
		ip_length = packet->length - XD_IP_OFFSET;
	if (ip_length < ip->ihl * 4 || ip_length > packet->length - XD_IP_OFFSET)
		return XD_LAYER_NONE;

	packet->eth = eth;
	packet->ip = ip;
	packet->source = ip->saddr;
	packet->destination = ip->daddr;
	packet->protocol = ip->protocol;
	packet->ttl = ip->ttl;
	packet->is_df = ip->frag_off & bpf_htons(IP_DF);
	if (ip->ihl != 5 || ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
		return XD_LAYER_IPV4;
	return parse_transport(packet, data_end, ip_length);
}

static __always_inline enum xd_layer xd_packet_parse_tc(struct __sk_buff *skb,
							struct xd_packet *packet)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;

	*packet = (struct xd_packet){
		.ctx = skb,
		.hook = XD_HOOK_TC,
		.ifindex = skb->ifindex,
		.length = skb->len,
		.gso_size = skb->gso_size,
	};
	/* A tag that the device took off is not in the bytes. */
	if (skb->vlan_present || skb->protocol != bpf_htons(ETH_P_IP))
		return XD_LAYER_NONE;

	/* Headers may be outside of the linear part; make them direct-accessible once. */
	if (data + XD_HEADERS_LEN > data_end && data_end - data < skb->len) {
		__u32 wanted = skb->len < XD_HEADERS_LEN ? skb->len : XD_HEADERS_LEN;

		if (bpf_skb_pull_data(skb, wanted))
			return XD_LAYER_NONE;
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
	}
	return parse(packet, data, data_end);
}

static __always_inline enum xd_layer xd_packet_parse_xdp(struct xdp_md *xdp,
							 struct xd_packet *packet)
{
	void *data = (void *)(long)xdp->data;
	void *data_end = (void *)(long)xdp->data_end;

	*packet = (struct xd_packet){
		.ctx = xdp,
		.hook = XD_HOOK_XDP,
		.ifindex = xdp->ingress_ifindex,
		.length = data_end - data,
	};
	return parse(packet, data, data_end);
}

#endif
