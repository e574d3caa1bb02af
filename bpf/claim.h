/* SPDX-License-Identifier: GPL-2.0-only */
/* Claiming an address: is it the host's, and may this socket be bound to it? */
#ifndef XD_BPF_CLAIM_H
#define XD_BPF_CLAIM_H

#include "bpf/local.h"
#include "bpf/sockaddr.h"

/* From errno.h */
#define EADDRNOTAVAIL 99

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
static __always_inline bool xd_claim_local(struct bpf_sock_addr *ctx, __be32 address)
{
	bool is_known = xd_local_is_known(address);
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

#endif
