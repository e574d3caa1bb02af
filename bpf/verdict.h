/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of a packet, and how each hook says it. */
#ifndef XD_BPF_VERDICT_H
#define XD_BPF_VERDICT_H

#include "bpf/maps.h"
#include "bpf/packet.h"

/* From pkt_cls.h. UNSPEC and TCX_NEXT are the same number: the next program, then the stack. */
#define TC_ACT_UNSPEC (-1)
#define TC_ACT_SHOT 2

/* From one function of a program to another; no hook ever sees them. */
#define XD_ACT_DETOUR 1000
#define XD_ACT_OPEN 1001

enum xd_action {
	XD_PASS, /* not ours, or not to be finished here: not one byte was changed */
	XD_DROP,
	XD_TO_CONTAINER, /* straight to the peer of the veth host end `ifindex` */
	XD_TO_LINK, /* out of `ifindex`, with the MAC addresses that the frame has */
	XD_TO_NEIGHBOUR, /* out of `ifindex` to the next hop, whose MAC the kernel asks for */
	XD_TRANSLATE, /* as struct xd_translation says */
	XD_DETOUR, /* another path decides */
	XD_OPEN, /* after the flow of xd_opening has got its rows, the same path decides again */
};

struct xd_verdict {
	enum xd_action action;
	__u32 ifindex;
	__u32 family; /* of the next hop: AF_INET, or AF_INET6 behind an IPv4 route (RFC 5549) */
	/* Its address, in network byte order from the low end; not an array, which would be kept on
	 * the stack once for each function that returns a verdict (clang 14). */
	__u64 next_hop;
	__u64 next_hop_more; /* of IPv6 */
};

static __always_inline struct xd_verdict xd_pass(void)
{
	return (struct xd_verdict){ .action = XD_PASS };
}

static __always_inline struct xd_verdict xd_translate(void)
{
	return (struct xd_verdict){ .action = XD_TRANSLATE };
}

static __always_inline struct xd_verdict xd_detour(void)
{
	return (struct xd_verdict){ .action = XD_DETOUR };
}

static __always_inline struct xd_verdict xd_open(void)
{
	return (struct xd_verdict){ .action = XD_OPEN };
}

static __always_inline struct xd_verdict xd_drop_for(enum xd_drop_reason reason)
{
	__u32 key = reason;
	__u64 *count = bpf_map_lookup_elem(&xd_drop, &key);

	if (count)
		*count += 1;
	return (struct xd_verdict){ .action = XD_DROP };
}

/* Before a packet is changed: can it be delivered to the veth host end? Not if the device that the
 * row was made for is gone. At XDP the lookup is the redirect's own, which a verdict of
 * XD_TO_CONTAINER then takes. */
static __always_inline bool xd_verdict_is_possible(const struct xd_packet *packet, __u32 *ifindex)
{
	if (packet->hook == XD_HOOK_XDP)
		return bpf_redirect_map(&xd_device, *ifindex, XDP_PASS) == XDP_REDIRECT;
	return bpf_map_lookup_elem(&xd_device, ifindex);
}

static __always_inline int xd_verdict_tc(struct __sk_buff *skb, struct xd_verdict verdict)
{
	struct bpf_redir_neigh neighbour = {};

	switch (verdict.action) {
	case XD_TO_CONTAINER:
		/* What crosses into another namespace leaves its mark behind, as on a veth. */
		skb->mark = 0;
		/* A frame between containers is for another host in the eyes of the veth that it
		 * came in by; kernels before 6.15 keep that and the container would drop it. */
		if (skb->pkt_type != PACKET_HOST)
			bpf_skb_change_type(skb, PACKET_HOST);
		return bpf_redirect_peer(verdict.ifindex, 0);
	case XD_TO_LINK:
		return bpf_redirect(verdict.ifindex, 0);
	case XD_TO_NEIGHBOUR:
		neighbour.nh_family = verdict.family;
		__builtin_memcpy(&neighbour.ipv6_nh[0], &verdict.next_hop, sizeof(__u64));
		__builtin_memcpy(&neighbour.ipv6_nh[2], &verdict.next_hop_more, sizeof(__u64));
		return bpf_redirect_neigh(verdict.ifindex, &neighbour, sizeof(neighbour), 0);
	case XD_DROP:
		return TC_ACT_SHOT;
	case XD_DETOUR:
		return XD_ACT_DETOUR;
	case XD_OPEN:
		return XD_ACT_OPEN;
	case XD_TRANSLATE: /* was done */
	case XD_PASS:
		break;
	}
	return TC_ACT_UNSPEC;
}

static __always_inline int xd_verdict_xdp(struct xd_verdict verdict)
{
	switch (verdict.action) {
	case XD_TO_LINK:
		return bpf_redirect(verdict.ifindex, 0);
	case XD_TO_CONTAINER:
		/* Where to was said by xd_verdict_is_possible(). */
		return XDP_REDIRECT;
	case XD_DROP:
		return XDP_DROP;
	case XD_DETOUR:
		return XD_ACT_DETOUR;
	case XD_OPEN:
		return XD_ACT_OPEN;
	default: /* inbound packets know no other verdict */
		return XDP_PASS;
	}
}

#endif
