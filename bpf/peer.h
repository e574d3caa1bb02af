/* SPDX-License-Identifier: GPL-2.0-only */
/* Sockets of the host that are sent to a container instead of what they dialled, and are told
 * that they talk to what they dialled. */
#ifndef XD_BPF_PEER_H
#define XD_BPF_PEER_H

#include "bpf/claim.h"
#include "bpf/sockaddr.h"

/* Where a client that dials `to` is sent, as the second value; false: nowhere else. */
static __always_inline bool xd_peer_translate(struct bpf_sock_addr *ctx,
					      const struct xd_sockaddr *to,
					      struct xd_sockaddr *ret_container, bool is_connect)
{
	struct xd_port *port = xd_sockaddr_port(ctx, to->address, to->port);
	struct xd_peer_key key = { .protocol = ctx->protocol };
	struct xd_peer dialled = { .address = to->address, .port = to->port };

	if (!port)
		port = xd_sockaddr_port(ctx, 0, to->port);
	if (!port || xd_sockaddr_is_confined(ctx))
		return false;
	if (!xd_is_loopback(to->address)) {
		if (is_connect ? !xd_claim_local(ctx, to->address)
			       : !xd_local_is_known(to->address))
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
static __always_inline bool xd_peer_find(struct bpf_sock_addr *ctx, const struct xd_sockaddr *from,
					 struct xd_sockaddr *ret_dialled)
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

#endif
