// SPDX-License-Identifier: GPL-2.0-only
/* Sockets of the host: clients of published ports are translated before there is a packet, and
 * nobody binds a published port.
 *
 *   connect(198.51.100.1:8761) --[xd_port]--> 172.17.0.2:8761 from 198.51.100.1
 *   connect(127.0.0.1:8761)    --[xd_port]--> 172.17.0.2:8761 from the gateway, by the route
 *   getpeername(), recvmsg()   <-[xd_peer]--- the address that was dialled
 *   connect(192.0.2.7:80) from a bound port that a container's flow there has: EADDRNOTAVAIL
 *
 * Whose sockets: sockaddr.h. Whose addresses: claim.h. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/bind.h"
#include "bpf/peer.h"
#include "bpf/source.h"

/* From errno.h */
#define EADDRINUSE 98

/* What connect() says when the kernel itself finds a source port taken. */
static __always_inline int refuse_source(void)
{
	bpf_set_retval(-EADDRNOTAVAIL);
	return 0;
}

/* The four hooks that carry an address, in the two shapes that an IPv4 address has. */
static __always_inline int connect(struct bpf_sock_addr *ctx, bool is_ipv6)
{
	struct xd_sockaddr to = { .port = ctx->user_port }, container;
	bool is_translated;

	if (!xd_sockaddr_is_ours(ctx) || (is_ipv6 && !xd_sockaddr_is_mapped(ctx)))
		return 1;
	to.address = is_ipv6 ? ctx->user_ip6[3] : ctx->user_ip4;
	is_translated = xd_peer_translate(ctx, &to, &container, true);
	if (xd_source_is_taken(ctx, is_translated ? &container : &to))
		return refuse_source();
	if (!is_translated)
		return 1;
	if (is_ipv6)
		ctx->user_ip6[3] = container.address;
	else
		ctx->user_ip4 = container.address;
	ctx->user_port = container.port;
	return 1;
}

static __always_inline int tell_peer(struct bpf_sock_addr *ctx, bool is_ipv6)
{
	struct xd_sockaddr from = { .port = ctx->user_port }, dialled;

	if (!xd_sockaddr_is_ours(ctx) || (is_ipv6 && !xd_sockaddr_is_mapped(ctx)))
		return 1;
	from.address = is_ipv6 ? ctx->user_ip6[3] : ctx->user_ip4;
	if (!xd_peer_find(ctx, &from, &dialled))
		return 1;
	if (is_ipv6)
		ctx->user_ip6[3] = dialled.address;
	else
		ctx->user_ip4 = dialled.address;
	ctx->user_port = dialled.port;
	return 1;
}

static __always_inline int bind(struct bpf_sock_addr *ctx, __be32 address)
{
	if (!ctx->user_port || !xd_sockaddr_is_ours(ctx) || !xd_bind_is_published(ctx, address))
		return 1;
	bpf_set_retval(-EADDRINUSE);
	return 0;
}

SEC("cgroup/connect4")
int xd_connect4(struct bpf_sock_addr *ctx)
{
	return connect(ctx, false);
}

SEC("cgroup/connect6")
int xd_connect6(struct bpf_sock_addr *ctx)
{
	return connect(ctx, true);
}

/* Datagrams of a socket that is not connected, dual-stack ones included. */
SEC("cgroup/sendmsg4")
int xd_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct xd_sockaddr to = { .address = ctx->user_ip4, .port = ctx->user_port }, container;
	bool is_translated;

	if (!xd_sockaddr_is_ours(ctx))
		return 1;
	is_translated = xd_peer_translate(ctx, &to, &container, false);
	if (xd_source_is_taken(ctx, is_translated ? &container : &to))
		return refuse_source();
	if (!is_translated)
		return 1;
	if (!ctx->msg_src_ip4 && !xd_is_loopback(to.address))
		ctx->msg_src_ip4 = to.address;
	ctx->user_ip4 = container.address;
	ctx->user_port = container.port;
	return 1;
}

SEC("cgroup/recvmsg4")
int xd_recvmsg4(struct bpf_sock_addr *ctx)
{
	return tell_peer(ctx, false);
}

SEC("cgroup/recvmsg6")
int xd_recvmsg6(struct bpf_sock_addr *ctx)
{
	return tell_peer(ctx, true);
}

SEC("cgroup/getpeername4")
int xd_getpeername4(struct bpf_sock_addr *ctx)
{
	return tell_peer(ctx, false);
}

SEC("cgroup/getpeername6")
int xd_getpeername6(struct bpf_sock_addr *ctx)
{
	return tell_peer(ctx, true);
}

SEC("cgroup/bind4")
int xd_bind4(struct bpf_sock_addr *ctx)
{
	return bind(ctx, ctx->user_ip4);
}

/* A socket bound to :: takes IPv4 connections as well. */
SEC("cgroup/bind6")
int xd_bind6(struct bpf_sock_addr *ctx)
{
	bool is_any = !ctx->user_ip6[0] && !ctx->user_ip6[1] && !ctx->user_ip6[2] &&
		      !ctx->user_ip6[3];

	if (!is_any && !xd_sockaddr_is_mapped(ctx))
		return 1;
	return bind(ctx, is_any ? 0 : ctx->user_ip6[3]);
}
