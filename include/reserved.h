/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_reserved: published ports, which the host must not use for sockets of its own, and ports that
 * neither the host nor a container's flow may choose. */
#ifndef XD_RESERVED_H
#define XD_RESERVED_H

#include "types.h"

/* Port N is bit N % 8 of byte N / 8.
 *
 * A connection of the host from a published port would lose its replies to the container, so
 * published ports are added to net.ipv4.ip_local_reserved_ports. What was reserved before is not
 * in `added` and stays; it is in `excluded`. `published` and `added` are written before what they
 * announce is done, and cleared after it is undone, so that a kill in between loses nothing. */
struct xd_reserved {
	__u8 published[8192]; /* host ports of all rows of xd_port, of any address and protocol */
	__u8 added[8192]; /* what xdock added to the sysctl */
	__u8 excluded[8192]; /* what somebody else had put there when a command last looked */
};
XD_SIZE(struct xd_reserved, 24576);

#endif
