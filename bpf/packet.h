/* SPDX-License-Identifier: GPL-2.0-only */
/* A packet, parsed once into typed fields; the same for both hooks.
 *
 *        0        14                    34        38
 *        +--------+---------------------+----+----+------
 *        |Ethernet| IPv4 without options|from| to | TCP, UDP or SCTP
 *        +--------+---------------------+----+----+------
 *                                       |type, sum| id | ICMP echo
 *                                       +---------+----+-----------------
 *                                       |type, sum|    | IPv4, 8 bytes   ICMP error
 *                                       +---------+----+-----------------
 *
 * Only these shapes are ever rewritten, so that every offset is a constant. IPv4 options and other
 * protocols end at XD_LAYER_IPV4, everything else at XD_LAYER_NONE. The first fragment of a
 * datagram is parsed like a whole one; the others are the IPv4 header alone, and get their ports
 * from fragment.h. */
#ifndef XD_BPF_PACKET_H
#define XD_BPF_PACKET_H

#include "include/types.h"

/* BTF carries no macros; these are from if_ether.h, if_packet.h, if_vlan.h, ip.h and socket.h. */
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define VLAN_VID_MASK 0x0fff
#define PACKET_HOST 0
#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff
#define AF_INET 2
#define AF_INET6 10

#define XD_IP_OFFSET sizeof(struct ethhdr)
#define XD_TRANSPORT_OFFSET (XD_IP_OFFSET + sizeof(struct iphdr))
#define XD_HEADERS_LEN (XD_TRANSPORT_OFFSET + sizeof(struct tcphdr))
/* An ICMP error with what it is about: IPv4 without options and as much as a checksum needs. */
#define XD_EMBEDDED_OFFSET (XD_TRANSPORT_OFFSET + sizeof(struct icmphdr))
#define XD_ERROR_LEN (XD_EMBEDDED_OFFSET + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define XD_ERROR_MIN (XD_EMBEDDED_OFFSET + sizeof(struct iphdr) + 8)

/* From icmp.h and tcp.h; of the flags, FIN, SYN and RST are the low three bits. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define XD_TCP_FIN 0x01
#define XD_TCP_SYN 0x02
#define XD_TCP_RST 0x04
#define XD_TCP_ACK 0x10
#define XD_SCTP_INIT 1 /* type of a chunk, RFC 9260, 3.2 */
#define XD_ANSWER 0x10

/* No pointer into struct xd_packet is given to a helper: the compiler would have to assume that
 * the helper changed it, and the hook would no longer be a constant. */

/* Which program type the shared code is being compiled into; a constant after inlining. */
enum xd_hook {
	XD_HOOK_TC,
	XD_HOOK_XDP,
};

/* Which packets the shared code is being compiled for; a constant, too. The kernel gives a chain of
 * calls 512 bytes of stack, so the ways of a container's packets are functions of their own, and
 * the few packets that are none of the first parse anew in another. */
enum xd_path {
	XD_PATH_DIRECT, /* to siblings and to the outside; and all that uplinks and bridges see */
	XD_PATH_SCREEN, /* from the outside, to be dropped or left to the programs behind */
	XD_PATH_HAIRPIN, /* to published ports of this host, to other networks, and their replies */
	XD_PATH_ERROR, /* ICMP errors */
};

/* How far a packet is understood. */
enum xd_layer {
	XD_LAYER_NONE,
	XD_LAYER_IPV4, /* addresses are valid, ports are not */
	XD_LAYER_FRAGMENT, /* the same, but xd_fragment may know the ports */
	XD_LAYER_HIDDEN, /* behind tags of no VLAN, which the kernel takes off after all programs */
	XD_LAYER_ERROR, /* an ICMP error, with XD_ERROR_MIN bytes in reach */
	XD_LAYER_FIRST, /* the first fragment of what follows */
	XD_LAYER_TRANSPORT, /* TCP, UDP, SCTP or ICMP echo, no options: the ports are valid */
};

struct xd_packet {
	void *ctx; /* struct __sk_buff or struct xdp_md */
	struct ethhdr *eth; /* these two are valid until the packet is rewritten; NULL: no frame */
	struct iphdr *ip;
	enum xd_hook hook;
	enum xd_path path;
	__u32 ifindex; /* where it arrived, or leaves at egress */
	__u32 length; /* bytes, with the Ethernet header */
	__u32 gso_size; /* payload of one segment, bytes; 0 for a packet that is not GSO */
	__u32 mtu_length; /* bytes that have to fit an MTU: the IPv4 length, of a segment if GSO */
	__be32 source;
	__be32 destination;
	/* Of ICMP echo, the identifier is the port of who asked, and the other one is 0. */
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	/* TCP: XD_TCP_*; otherwise XD_ANSWER of what opens no flow: echo replies, SCTP without
	 * INIT. */
	__u8 control;
};

/* What few packets are asked for, or but once, is read where it stands: every member above is a
 * slot of the stack that is written and read again. Until the packet is rewritten. */
static __always_inline bool xd_packet_is_fragment(const struct xd_packet *packet)
{
	return packet->ip->frag_off & bpf_htons(IP_MF | IP_OFFSET);
}

/* Without the transport header. */
static __always_inline bool xd_packet_is_later(const struct xd_packet *packet)
{
	return packet->ip->frag_off & bpf_htons(IP_OFFSET);
}

static __always_inline bool xd_is_loopback(__be32 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

/* Nobody's own: 224/4, 255.255.255.255 and 0/8. The kernel neither forwards to them nor takes them
 * for a source (ip_route_input_rcu). */
static __always_inline bool xd_is_nobody(__be32 address)
{
	return (address & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) ||
	       address == bpf_htonl(0xffffffff) || !(address & bpf_htonl(0xff000000));
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

/* Behind an IPv4 header without options. ip_length is host order and checked. */
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
		packet->control = ((__u8 *)tcp)[13];
	} else if (packet->protocol == IPPROTO_UDP) {
		if ((void *)(udp + 1) > data_end)
			return XD_LAYER_IPV4;
		header = sizeof(*udp);
		/* The length of a GSO datagram may be that of a segment or of the whole. */
		if (header > room || bpf_ntohs(udp->len) < header ||
		    (bpf_ntohs(udp->len) > room && !xd_packet_is_fragment(packet)))
			return XD_LAYER_IPV4;
	} else if (packet->protocol == IPPROTO_SCTP) {
		/* Ports, verification tag and checksum: twelve bytes (RFC 9260, 3.1). */
		header = 12;
		if ((void *)udp + header > data_end || header > room)
			return XD_LAYER_IPV4;
		if ((void *)udp + header + 1 > data_end || ((__u8 *)udp)[header] != XD_SCTP_INIT)
			packet->control = XD_ANSWER;
	} else {
		return XD_LAYER_IPV4;
	}

	packet->source_port = udp->source;
	packet->destination_port = udp->dest;
	packet->protocol = *(volatile __u8 *)&packet->ip->protocol;
	packet->mtu_length = packet->gso_size ?
				     sizeof(struct iphdr) + header + packet->gso_size :
				     ip_length;
	return xd_packet_is_fragment(packet) ? XD_LAYER_FIRST : XD_LAYER_TRANSPORT;
}

/* ICMP behind an IPv4 header without options; what is neither echo nor error is the kernel's. */
static __always_inline enum xd_layer parse_icmp(struct xd_packet *packet, void *data,
						void *data_end)
{
	struct icmphdr *icmp = data + XD_TRANSPORT_OFFSET;
	__u32 ip_length;

	/* The bytes may have moved since parse(). */
	packet->eth = NULL;
	if (data + XD_TRANSPORT_OFFSET > data_end)
		return XD_LAYER_NONE;
	packet->eth = data;
	packet->ip = data + XD_IP_OFFSET;
	if ((void *)(icmp + 1) > data_end)
		return XD_LAYER_IPV4;
	ip_length = bpf_ntohs(packet->ip->tot_len);
	if (ip_length < sizeof(struct iphdr) + sizeof(*icmp))
		return XD_LAYER_IPV4;
	packet->mtu_length = ip_length;
	switch (icmp->type) {
	case ICMP_ECHO:
		packet->source_port = icmp->un.echo.id;
		packet->destination_port = 0;
		break;
	case ICMP_ECHOREPLY:
		packet->source_port = 0;
		packet->destination_port = icmp->un.echo.id;
		packet->control = XD_ANSWER;
		break;
	case ICMP_DEST_UNREACH:
	case ICMP_SOURCE_QUENCH:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		if (data + XD_ERROR_MIN > data_end || xd_packet_is_fragment(packet) ||
		    ip_length < XD_ERROR_MIN - XD_IP_OFFSET)
			return XD_LAYER_IPV4;
		return XD_LAYER_ERROR;
	default:
		return XD_LAYER_IPV4;
	}
	if (icmp->code)
		return XD_LAYER_IPV4;
	return xd_packet_is_fragment(packet) ? XD_LAYER_FIRST : XD_LAYER_TRANSPORT;
}

/* Whose later fragments xd_fragment may know. */
static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_ICMP;
}

/* All but ICMP, of which more bytes may have to be pulled first: that ends with is_icmp. */
static __always_inline enum xd_layer parse(struct xd_packet *packet, void *data, void *data_end,
					   bool *is_icmp)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + XD_IP_OFFSET;
	__u32 ip_length;

	if ((void *)(eth + 1) > data_end)
		return XD_LAYER_NONE;
	packet->eth = eth;
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

	packet->ip = ip;
	packet->source = ip->saddr;
	packet->destination = ip->daddr;
	packet->protocol = ip->protocol;
	if (ip->ihl != 5)
		return XD_LAYER_IPV4;
	if (ip->frag_off & bpf_htons(IP_OFFSET)) {
		packet->mtu_length = ip_length;
		return has_ports(packet->protocol) ? XD_LAYER_FRAGMENT : XD_LAYER_IPV4;
	}
	if (packet->protocol == IPPROTO_ICMP) {
		*is_icmp = true;
		return XD_LAYER_IPV4;
	}
	return parse_transport(packet, data_end, ip_length);
}

static __always_inline enum xd_layer xd_packet_parse_tc(struct __sk_buff *skb, enum xd_path path,
							struct xd_packet *packet)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	bool is_icmp = false;
	enum xd_layer layer;

	*packet = (struct xd_packet){
		.ctx = skb,
		.hook = XD_HOOK_TC,
		.path = path,
		.ifindex = skb->ifindex,
		.length = skb->len,
		.gso_size = skb->gso_size,
	};
	/* A tag that the device took off is not in the bytes. One of VLAN 0 carries a priority and
	 * no VLAN: it goes, as __netif_receive_skb_core() will have it, and what is behind it
	 * counts. */
	if (skb->vlan_present && !(skb->vlan_tci & VLAN_VID_MASK)) {
		packet->eth = NULL;
		if (bpf_skb_vlan_pop(skb) ||
		    (skb->vlan_present && !(skb->vlan_tci & VLAN_VID_MASK)))
			return XD_LAYER_HIDDEN;
		barrier_var(skb);
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
	}
	if (skb->vlan_present || skb->protocol != bpf_htons(ETH_P_IP)) {
		if (data + sizeof(struct ethhdr) <= data_end)
			packet->eth = data;
		return XD_LAYER_NONE;
	}

	/* Headers may be outside of the linear part; make them direct-accessible once. */
	if (data + XD_HEADERS_LEN > data_end && data_end - data < skb->len) {
		__u32 wanted = skb->len < XD_HEADERS_LEN ? skb->len : XD_HEADERS_LEN;

		if (bpf_skb_pull_data(skb, wanted))
			return XD_LAYER_NONE;
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
	}
	layer = parse(packet, data, data_end, &is_icmp);
	if (!is_icmp)
		return layer;
	if (data + XD_ERROR_LEN > data_end && data_end - data < skb->len) {
		__u32 wanted = skb->len < XD_ERROR_LEN ? skb->len : XD_ERROR_LEN;

		packet->eth = NULL;
		if (bpf_skb_pull_data(skb, wanted))
			return XD_LAYER_NONE;
		/* clang 14 would keep the addresses of the fields, and Linux refuses those. */
		barrier_var(skb);
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
	}
	return parse_icmp(packet, data, data_end);
}

static __always_inline enum xd_layer xd_packet_parse_xdp(struct xdp_md *xdp, enum xd_path path,
							 struct xd_packet *packet)
{
	void *data = (void *)(long)xdp->data;
	void *data_end = (void *)(long)xdp->data_end;
	bool is_icmp = false;
	enum xd_layer layer;

	*packet = (struct xd_packet){
		.ctx = xdp,
		.hook = XD_HOOK_XDP,
		.path = path,
		.ifindex = xdp->ingress_ifindex,
		.length = data_end - data,
	};
	layer = parse(packet, data, data_end, &is_icmp);
	return is_icmp ? parse_icmp(packet, data, data_end) : layer;
}

/* A veth hands over what its peer's stack left to the device to sum: the field holds the sum of the
 * pseudo header alone, SCTP's holds 0, and nothing else says so. One complete sum in 65536 looks
 * like it. Of XD_LAYER_TRANSPORT, at XDP. */
static __always_inline bool xd_packet_is_unsummed(struct xdp_md *xdp, const struct xd_packet *packet)
{
	void *data = (void *)(long)xdp->data + XD_TRANSPORT_OFFSET;
	void *data_end = (void *)(long)xdp->data_end;
	__u32 sum = (packet->source & 0xffff) + (packet->source >> 16) +
		    (packet->destination & 0xffff) + (packet->destination >> 16) +
		    bpf_htons(packet->protocol) +
		    bpf_htons(packet->mtu_length - sizeof(struct iphdr));

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	if (packet->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = data;

		return (void *)(tcp + 1) <= data_end && tcp->check == sum;
	}
	if (packet->protocol == IPPROTO_UDP) {
		struct udphdr *udp = data;

		return (void *)(udp + 1) <= data_end && udp->check == sum;
	}
	if (packet->protocol == IPPROTO_SCTP) {
		__u32 *check = data + 8;

		return (void *)(check + 1) <= data_end && !*check;
	}
	return false;
}

#endif
