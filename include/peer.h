/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_peer: sockets of the host whose destination was translated at connect() or sendmsg(). */
#ifndef XD_PEER_H
#define XD_PEER_H

#include "types.h"

struct xd_peer_key {
	__u64 cookie; /* of the socket, unique until reboot (bpf_get_socket_cookie) */
	__be32 address; /* of the container */
	__be16 port; /* of the container */
	__u8 protocol;
	__u8 pad;
};
XD_SIZE(struct xd_peer_key, 16);

/* What the program dialled, for getpeername() and recvmsg(). */
struct xd_peer {
	__be32 address;
	__be16 port;
	__u16 pad;
};
XD_SIZE(struct xd_peer, 8);

#endif
