/* SPDX-License-Identifier: GPL-2.0-only */
/* Source ports that the host's own sockets chose by themselves: not one that a container's flow to
 * the same remote has, whose replies would then be two's. */
#ifndef XD_BPF_SOURCE_H
#define XD_BPF_SOURCE_H

#include "bpf/snat.h"
#include "bpf/sockaddr.h"
#include "bpf/subnet.h"

/* The source address that the socket has, or will have as a rule. */
static __always_inline __be32 source_of(const struct bpf_sock *socket, __be32 to)
{
	__be32 gateway;

	if (socket->src_ip4)
		return socket->src_ip4;
	gateway = xd_subnet_gateway(to);
	return gateway ? gateway : xd_host.address;
}

/* The kernel chooses from ip_local_port_range, where no flow of a container is; so only a socket
 * that was bound to a port of its own pays for the lookup. to: what it talks to, translated if it
 * is. */
static __always_inline bool xd_source_is_taken(struct bpf_sock_addr *ctx,
					       const struct xd_sockaddr *to)
{
	struct bpf_sock *socket = ctx->sk;
	struct xd_snat_rev_key key = {
		.remote_address = to->address,
		.remote_port = to->port,
		.protocol = ctx->protocol,
	};
	struct xd_snat_rev *row;
	__u32 port;

	if (!socket)
		return false;
	port = socket->src_port;
	if (!xd_snat_has_port(port))
		return false;
	key.port = bpf_htons(port);
	key.address = source_of(socket, to->address);
	row = bpf_map_lookup_elem(&xd_snat_rev, &key);
	return row && !snat_is_over(&key, row, bpf_ktime_get_coarse_ns(), 0);
}

#endif
