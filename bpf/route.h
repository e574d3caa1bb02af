/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the kernel's routing sends a packet of a container: asked for every packet, so that a
 * changed route, address or rule counts at once, and before a byte is changed. */
#ifndef XD_BPF_ROUTE_H
#define XD_BPF_ROUTE_H

#include "bpf/maps.h"
#include "bpf/packet.h"
#include "bpf/verdict.h"

/* From bpf.h of Linux 6.7 and 6.10; earlier kernels refuse them with -EINVAL. */
#define XD_FIB_LOOKUP_SRC (1U << 4)
#define XD_FIB_LOOKUP_MARK (1U << 5)

enum xd_routed {
	XD_ROUTED, /* the verdict says where to, fib.smac and fib.dmac with which addresses */
	XD_ROUTED_LOCAL, /* to the host itself, or nowhere: the helper does not tell them apart */
	XD_ROUTED_TOO_BIG, /* for the device that it would leave by */
	XD_ROUTED_ENCAPSULATED, /* by a route that only the kernel can take */
	XD_ROUTED_REFUSED, /* the kernel has to say why */
};

struct xd_route {
	struct bpf_fib_lookup fib; /* ipv4_src: with XD_FIB_LOOKUP_SRC the source address to use */
	struct xd_verdict verdict;
};

static __always_inline int ask(const struct xd_packet *packet, __u32 bridge, __u32 flags,
			       __u16 length, struct bpf_fib_lookup *fib)
{
	*fib = (struct bpf_fib_lookup){
		.family = AF_INET,
		.l4_protocol = packet->protocol,
		.sport = packet->source_port,
		.dport = packet->destination_port,
		.tot_len = length,
		.tos = packet->ip->tos,
		.ifindex = bridge,
		.ipv4_src = packet->source,
		.ipv4_dst = packet->destination,
	};
	if (packet->hook == XD_HOOK_TC) {
		struct __sk_buff *skb = packet->ctx;

		/* Set by a program in front of this one, for a rule. */
		if (skb->mark) {
			fib->mark = skb->mark;
			flags |= XD_FIB_LOOKUP_MARK;
		}
	}
	return bpf_fib_lookup(packet->ctx, fib, sizeof(*fib), flags);
}

/* The route of a packet that came from a container of the bridge, as the kernel would find it: with
 * the container's own address as the source. */
static __always_inline enum xd_routed xd_route_find(const struct xd_packet *packet, __u32 bridge,
						    __u32 flags, struct xd_route *ret_route)
{
	struct bpf_fib_lookup *fib = &ret_route->fib;
	int result = ask(packet, bridge, flags, packet->mtu_length, fib);

	if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		/* A path MTU that the host has learned counts here, but not where the kernel
		 * forwards (ip_forward_use_pmtu): ask again for the device's alone. */
		result = ask(packet, bridge, flags, 0, fib);
		/* Without a neighbour the helper does not say: too big, since the kernel tells the
		 * container of that, and finds the neighbour. */
		if (result == BPF_FIB_LKUP_RET_NO_NEIGH ||
		    (result == BPF_FIB_LKUP_RET_SUCCESS &&
		     packet->mtu_length > fib->mtu_result))
			result = BPF_FIB_LKUP_RET_FRAG_NEEDED;
	}
	ret_route->verdict = (struct xd_verdict){ .ifindex = fib->ifindex };
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		ret_route->verdict.action = XD_TO_LINK;
		return XD_ROUTED;
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		ret_route->verdict.action = XD_TO_NEIGHBOUR;
		ret_route->verdict.family = fib->family;
		__builtin_memcpy(&ret_route->verdict.next_hop, &fib->ipv6_dst[0], sizeof(__u64));
		__builtin_memcpy(&ret_route->verdict.next_hop_more, &fib->ipv6_dst[2],
				 sizeof(__u64));
		return XD_ROUTED;
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return XD_ROUTED_LOCAL;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return XD_ROUTED_TOO_BIG;
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
		return XD_ROUTED_ENCAPSULATED;
	default:
		return XD_ROUTED_REFUSED;
	}
}

#endif
