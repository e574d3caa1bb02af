/* SPDX-License-Identifier: GPL-2.0-only */
/* Is an address the host's own?
 *
 * A wildcard mapping counts for every local address, those that are added later included, and
 * stops counting for one that is removed. No daemon watches addresses, so a proof is remembered
 * for a second at most and then renewed by asking the FIB, which answers NOT_FWDED for a local
 * address.
 *
 * It says the same where there is no route at all. So an address that was never known as local
 * is learned only if a destination that is certainly not local does have a route (the default
 * route); without one, only the addresses that the loader found are known. And it says the same
 * for a subnet's broadcast address, which is told apart by the frame: broadcasts do not arrive
 * as PACKET_HOST. */
#ifndef XD_BPF_LOCAL_H
#define XD_BPF_LOCAL_H

#include "bpf/maps.h"
#include "bpf/packet.h"

/* Class E: nobody's address, so only a default route leads there. */
#define XD_ADDRESS_OF_NOBODY bpf_htonl(0xf0000001)

/* What the routes of the device say of a packet with these addresses. */
static __always_inline int fib_result(void *ctx, __u32 ifindex, __be32 source, __be32 destination)
{
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.ipv4_src = source,
		.ipv4_dst = destination,
		.ifindex = ifindex,
	};

	return bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
}

/* Apart, since it is rare and its stack would be in the way of all others; global, for the sake of
 * the verifier. */
__noinline int xd_local_fib_tc(struct __sk_buff *skb, __u32 ifindex, __be32 source,
			       __be32 destination)
{
	return fib_result(skb, ifindex, source, destination);
}

__noinline int xd_local_fib_xdp(struct xdp_md *xdp, __u32 ifindex, __be32 source,
				__be32 destination)
{
	return fib_result(xdp, ifindex, source, destination);
}

static __always_inline int fib_ask(const struct xd_packet *packet, __u32 ifindex,
				   __be32 destination)
{
	if (packet->hook == XD_HOOK_TC)
		return xd_local_fib_tc(packet->ctx, ifindex, packet->source, destination);
	return xd_local_fib_xdp(packet->ctx, ifindex, packet->source, destination);
}

static __always_inline bool fib_has_default_route(const struct xd_packet *packet, __u32 ifindex)
{
	int result = fib_ask(packet, ifindex, XD_ADDRESS_OF_NOBODY);

	return result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH ||
	       result == BPF_FIB_LKUP_RET_FRAG_NEEDED;
}

/* Proved once, by rtnetlink or by the FIB: rows without a proof are of addresses that ports are
 * published on, be they here or not. */
static __always_inline bool xd_local_is_known(__be32 address)
{
	struct xd_local *local;

	if (address == xd_host.address)
		return true;
	local = bpf_map_lookup_elem(&xd_local, &address);
	return local && local->proved;
}

/* True if the address is one of the host. ifindex: the device whose routes count, where the packet
 * arrived or the bridge of the container. */
static __always_inline bool xd_local_has(const struct xd_packet *packet, __u32 ifindex,
					 __be32 address)
{
	__u64 now = bpf_jiffies64();
	struct xd_local *local = NULL;
	__u64 *proved = NULL;

	if (address == xd_host.address) {
		proved = &xd_host.proved;
	} else {
		local = bpf_map_lookup_elem(&xd_local, &address);
		if (local)
			proved = &local->proved;
	}
	if (proved && now - *proved < XD_LOCAL_TTL)
		return true;

	if (fib_ask(packet, ifindex, address) != BPF_FIB_LKUP_RET_NOT_FWDED)
		return false;
	if (proved) {
		*proved = now;
		return true;
	}
	if (!fib_has_default_route(packet, ifindex))
		return false;
	bpf_map_update_elem(&xd_local, &address, &(struct xd_local){ .proved = now }, BPF_ANY);
	return true;
}

#endif
