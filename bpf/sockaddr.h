/* SPDX-License-Identifier: GPL-2.0-only */
/* What a socket program is asked about: a socket of this instance's host and one end of it.
 *
 * The programs sit at the root of the cgroup tree and see every socket of the machine; only those
 * of this instance's namespace are looked at, so 127.0.0.1 inside of a container stays its own.
 * A dual-stack socket with an IPv4-mapped address (what a JVM makes of 127.0.0.1) is an IPv4
 * client like any other; all other IPv6 passes. */
#ifndef XD_BPF_SOCKADDR_H
#define XD_BPF_SOCKADDR_H

#include "bpf/maps.h"
#include "bpf/packet.h"

/* One end of a socket. */
struct xd_sockaddr {
	__be32 address;
	__be16 port;
};

static __always_inline bool xd_sockaddr_is_ours(struct bpf_sock_addr *ctx)
{
	return (ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_UDP) &&
	       bpf_get_netns_cookie(ctx) == xd_config.netns_cookie;
}

static __always_inline bool xd_sockaddr_is_mapped(struct bpf_sock_addr *ctx)
{
	return !ctx->user_ip6[0] && !ctx->user_ip6[1] && ctx->user_ip6[2] == bpf_htonl(0xffff);
}

/* A socket that is bound to 127/8 or to a device could not reach a container, nor its packets come
 * back: the program gets an honest answer by being left alone. */
static __always_inline bool xd_sockaddr_is_confined(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *socket = ctx->sk;

	return !socket || socket->bound_dev_if || xd_is_loopback(socket->src_ip4);
}

/* The live mapping of exactly this address (0: the wildcard's) and port. */
static __always_inline struct xd_port *xd_sockaddr_port(struct bpf_sock_addr *ctx, __be32 address,
							__be16 port)
{
	struct xd_port_key key = { .address = address, .port = port, .protocol = ctx->protocol };
	struct xd_port *row = bpf_map_lookup_elem(&xd_port, &key);

	if (row && (row->flags & XD_PORT_ROUTED ||
		    !bpf_map_lookup_elem(&xd_device, &row->ifindex)))
		return NULL;
	return row;
}

#endif
