// SPDX-License-Identifier: GPL-2.0-only
/* Sockets of the host: clients of published ports are translated before there is a packet, and
 * nobody binds a published port.
 *
 *   connect(198.51.100.1:8761) --[xd_port]--> 172.17.0.2:8761 from 198.51.100.1
 *   connect(127.0.0.1:8761)    --[xd_port]--> 172.17.0.2:8761 from the gateway, by the route
 *   getpeername(), recvmsg()   <-[xd_peer]--- the address that was dialled
 *
 * The programs sit at the root of the cgroup tree and see every socket of the machine; only those
 * of this instance's namespace are looked at, so 127.0.0.1 inside of a container stays its own.
 * A dual-stack socket with an IPv4-mapped address (what a JVM makes of 127.0.0.1) is an IPv4
 * client like any other; all other IPv6 passes. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/local.h"
#include "bpf/maps.h"
#include "bpf/packet.h"

/* From errno.h */
#define EADDRINUSE 98
#define EADDRNOTAVAIL 99

/* One end of a socket. */
struct end {
	__be32 address;
	__be16 port;
};

static __always_inline bool is_ours(struct bpf_sock_addr *ctx)
{
	return (ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_UDP) &&
	       bpf_get_netns_cookie(ctx) == xd_config.netns_cookie;
}

static __always_inline bool is_mapped(struct bpf_sock_addr *ctx)
{
	return !ctx->user_ip6[0] && !ctx->user_ip6[1] && ctx->user_ip6[2] == bpf_htonl(0xffff);
}

/* The live mapping of exactly this address (0: the wildcard's) and port. */
static __always_inline struct xd_port *port_find(struct bpf_sock_addr *ctx, __be32 address,
						 __be16 port)
{
	struct xd_port_key key = { .address = address, .port = port, .protocol = ctx->protocol };
	struct xd_port *row = bpf_map_lookup_elem(&xd_port, &key);

	if (row && !bpf_map_lookup_elem(&xd_device, &row->ifindex))
		return NULL;
	return row;
}

/* Proved once, by rtnetlink or by the FIB: rows without a proof are of addresses that ports are
 * published on, be they here or not. */
static __always_inline bool is_known_local(__be32 address)
{
	struct xd_local *local;

	if (address == xd_host.address)
		return true;
	local = bpf_map_lookup_elem(&xd_local, &address);
	return local && local->proved;
}

/* A socket that is bound to 127/8 or to a device could not reach a container, nor its packets come
 * back: the program gets an honest answer by being left alone. */
static __always_inline bool is_confined(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *socket = ctx->sk;

	return !socket || socket->bound_dev_if || xd_is_loopback(socket->src_ip4);
}

/* Bind to address with the port left open; 0 is any. */
static __always_inline int bind_source(struct bpf_sock_addr *ctx, __be32 address)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (ctx->family == AF_INET6) {
		if (address) {
			in6.sin6_addr.in6_u.u6_addr32[2] = bpf_htonl(0xffff);
			in6.sin6_addr.in6_u.u6_addr32[3] = address;
		}
		return bpf_bind(ctx, (struct sockaddr *)&in6, sizeof(in6));
	}
	in.sin_addr.s_addr = address;
	return bpf_bind(ctx, (struct sockaddr *)&in, sizeof(in));
}

/* A client of the host's own address:P keeps that address as its source, which also proves that
 * the address is local: bind() fails for others. With ip_nonlocal_bind it never fails; then a
 * bind to nobody's address succeeds, too, is taken back, and only known addresses count.
 * A socket that its program has bound (-EINVAL) stays as it is. */
static __always_inline bool claim_local(struct bpf_sock_addr *ctx, __be32 address)
{
	bool is_known = is_known_local(address);
	int r;

	/* These can be bound to, too, but belong to nobody: multicast and broadcast. */
	if ((address & bpf_htonl(0xe0000000)) == bpf_htonl(0xe0000000))
		return false;
	if (!is_known && !bind_source(ctx, XD_ADDRESS_OF_NOBODY)) {
		bind_source(ctx, 0);
		return false;
	}
	r = bind_source(ctx, address);
	return !r || (is_known && r != -EADDRNOTAVAIL);
}

/* Where a client that dials `to` is sent, as the second value; false: nowhere else. */
static __always_inline bool translate(struct bpf_sock_addr *ctx, const struct end *to,
				      struct end *ret_container, bool is_connect)
{
	struct xd_port *port = port_find(ctx, to->address, to->port);
	struct xd_peer_key key = { .protocol = ctx->protocol };
	struct xd_peer dialled = { .address = to->address, .port = to->port };

	if (!port)
		port = port_find(ctx, 0, to->port);
	if (!port || is_confined(ctx))
		return false;
	if (!xd_is_loopback(to->address)) {
		if (is_connect ? !claim_local(ctx, to->address) : !is_known_local(to->address))
			return false;
	}

	key.cookie = bpf_get_socket_cookie(ctx);
	key.address = port->address;
	key.port = port->port;
	bpf_map_update_elem(&xd_peer, &key, &dialled, BPF_ANY);
	ret_container->address = port->address;
	ret_container->port = port->port;
	return true;
}

/* What was dialled to get to the container at `from`; false: itself. */
static __always_inline bool translate_back(struct bpf_sock_addr *ctx, const struct end *from,
					   struct end *ret_dialled)
{
	struct xd_peer_key key = {
		.cookie = bpf_get_socket_cookie(ctx),
		.address = from->address,
		.port = from->port,
		.protocol = ctx->protocol,
	};
	struct xd_peer *dialled = bpf_map_lookup_elem(&xd_peer, &key);

	if (!dialled)
		return false;
	ret_dialled->address = dialled->address;
	ret_dialled->port = dialled->port;
	return true;
}

/* The four hooks that carry an address, in the two shapes that an IPv4 address has. */
static __always_inline int connect(struct bpf_sock_addr *ctx, bool is_ipv6)
{
	struct end to = { .port = ctx->user_port }, container;

	if (!is_ours(ctx) || (is_ipv6 && !is_mapped(ctx)))
		return 1;
	to.address = is_ipv6 ? ctx->user_ip6[3] : ctx->user_ip4;
	if (!translate(ctx, &to, &container, true))
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
	struct end from = { .port = ctx->user_port }, dialled;

	if (!is_ours(ctx) || (is_ipv6 && !is_mapped(ctx)))
		return 1;
	from.address = is_ipv6 ? ctx->user_ip6[3] : ctx->user_ip4;
	if (!translate_back(ctx, &from, &dialled))
		return 1;
	if (is_ipv6)
		ctx->user_ip6[3] = dialled.address;
	else
		ctx->user_ip4 = dialled.address;
	ctx->user_port = dialled.port;
	return 1;
}

/* For bind() to any address: is the port published for this one? */
struct search {
	__be16 port;
	__u8 protocol;
	bool is_found;
};

static long search_local(__attribute__((unused)) struct bpf_map *map, const void *address,
			 __attribute__((unused)) void *value, void *context)
{
	struct search *search = context;
	struct xd_port_key key = { .port = search->port, .protocol = search->protocol };

	key.address = *(__be32 *)address;
	search->is_found = bpf_map_lookup_elem(&xd_port, &key) != NULL;
	return search->is_found;
}

/* Is the port published for any address at all? Spares nearly every bind() the search. */
static __always_inline bool is_candidate(__be16 port)
{
	__u32 key = 0, number = bpf_ntohs(port);
	struct xd_reserved *reserved = bpf_map_lookup_elem(&xd_reserved, &key);

	return reserved && reserved->published[number / 8] & 1 << number % 8;
}

static __always_inline int bind(struct bpf_sock_addr *ctx, __be32 address)
{
	__be16 port = ctx->user_port;
	bool is_published;

	if (!port || !is_ours(ctx) || !is_candidate(port))
		return 1;
	is_published = port_find(ctx, 0, port);
	if (!is_published && address) {
		is_published = port_find(ctx, address, port);
	} else if (!is_published) {
		struct search search = { .port = port, .protocol = ctx->protocol };

		bpf_for_each_map_elem(&xd_local, search_local, &search, 0);
		is_published = search.is_found;
	}
	if (!is_published)
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
	struct end to = { .address = ctx->user_ip4, .port = ctx->user_port }, container;

	if (!is_ours(ctx) || !translate(ctx, &to, &container, false))
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

	if (!is_any && !is_mapped(ctx))
		return 1;
	return bind(ctx, is_any ? 0 : ctx->user_ip6[3]);
}
