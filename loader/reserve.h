/* SPDX-License-Identifier: GPL-2.0-only */
/* Host ports: taken from the host's own processes before they are published.
 *
 * Three things keep a published port out of their hands: while it is being published, a socket
 * is bound to it, so that one that a process uses is refused; afterwards xd_bind4 and xd_bind6
 * refuse bind(), and net.ipv4.ip_local_reserved_ports keeps the kernel from choosing it for an
 * outgoing connection, whose replies the container would get. */
#ifndef XD_RESERVE_H
#define XD_RESERVE_H

#include <linux/types.h>
#include <stddef.h>

#include "loader/pin.h"
#include "loader/reconcile.h"

struct xd_hold {
	int *fds;
	size_t count;
	size_t room;
};

/* Bind a socket to address:port (port in host order; 0: the kernel chooses, *ret_port says what)
 * and hold it until xd_hold_release(). Where the kernel lacks the protocol (SCTP), nothing is held.
 * Errors: -EADDRINUSE, -EADDRNOTAVAIL and others of bind(2), not recorded. */
int xd_hold_port(struct xd_hold *hold, __be32 address, __u8 protocol, __u16 port,
		 __u16 *ret_port);
void xd_hold_release(struct xd_hold *hold);

/* Let the process open as many sockets as it needs. */
void xd_hold_expect(size_t count);

/* Make ip_local_reserved_ports contain the ports of all rows of state and of the keys that are
 * about to be published, and none that xdock added for others; and tell the programs which ports
 * somebody else has put there. */
int xd_reserve_update(const struct xd_instance *instance, const struct xd_state *state,
		      const struct xd_port_key *more, size_t more_count);

#endif
