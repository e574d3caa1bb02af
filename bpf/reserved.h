/* SPDX-License-Identifier: GPL-2.0-only */
/* Ports that are published, and therefore not to be bound by the host's own programs. */
#ifndef XD_BPF_RESERVED_H
#define XD_BPF_RESERVED_H

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

/* Is the port published for any address at all? Spares nearly every bind() the search. */
static __always_inline bool is_published_somewhere(__be16 port)
{
	__u32 key = 0, number = bpf_ntohs(port);
	struct xd_reserved *reserved = bpf_map_lookup_elem(&xd_reserved, &key);

	/* The verifier of Linux 6.1 and 6.12 forgets a number's bounds when its bytes change places,
	 * and clang 14 leaves out a bound that it knows to hold: hide what it knows. */
	barrier_var(number);
	number %= 8 * sizeof(reserved->published);
	return reserved && reserved->published[number / 8] & 1 << number % 8;
}

/* Is the port published for this address, or 0: for any? */
static __always_inline bool xd_reserved_has(struct bpf_sock_addr *ctx, __be32 address)
{
	struct search search = { .port = ctx->user_port, .protocol = ctx->protocol };

	if (!is_published_somewhere(search.port))
		return false;
	if (xd_sockaddr_port(ctx, 0, search.port))
		return true;
	if (address)
		return xd_sockaddr_port(ctx, address, search.port);
	bpf_for_each_map_elem(&xd_local, search_local, &search, 0);
	return search.is_found;
}

#endif
