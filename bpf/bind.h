/* SPDX-License-Identifier: GPL-2.0-only */
/* Ports that are published, and therefore not to be bound by the host's own programs. */
#ifndef XD_BPF_BIND_H
#define XD_BPF_BIND_H

#include "bpf/reserved.h"
#include "bpf/sockaddr.h"

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

/* Is the port published for this address, or 0: for any? */
static __always_inline bool xd_bind_is_published(struct bpf_sock_addr *ctx, __be32 address)
{
	struct search search = { .port = ctx->user_port, .protocol = ctx->protocol };

	/* Spares nearly every bind() the search. */
	if (!xd_reserved_has(search.port, XD_RESERVED_PUBLISHED))
		return false;
	if (xd_sockaddr_port(ctx, 0, search.port))
		return true;
	if (address)
		return xd_sockaddr_port(ctx, address, search.port);
	bpf_for_each_map_elem(&xd_local, search_local, &search, 0);
	return search.is_found;
}

#endif
