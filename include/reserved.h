/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_reserved: published ports that the host must not choose for connections of its own. */
#ifndef XD_RESERVED_H
#define XD_RESERVED_H

#include "types.h"

/* A connection of the host from a published port would lose its replies to the container, so
 * published ports are added to net.ipv4.ip_local_reserved_ports. This is what xdock added there
 * and takes away again; a port that was reserved before is not in it. Written before the sysctl
 * is, so that a kill between the two loses nothing. */
struct xd_reserved {
	__u8 bits[8192]; /* port N: bit N % 8 of byte N / 8 */
};
XD_SIZE(struct xd_reserved, 8192);

#endif
