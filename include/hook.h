/* SPDX-License-Identifier: GPL-2.0-only */
/* Which hook was asked for, by `up --hook`: kept in xd_host for the instance, and in xd_uplink and
 * xd_endpoint for one interface. Written and read by the loader. */
#ifndef XD_HOOK_H
#define XD_HOOK_H

#define XD_WANT_NOTHING 0 /* of one interface: what the instance wants; of the instance: auto */
#define XD_WANT_AUTO 1
#define XD_WANT_TC 2
#define XD_WANT_XDP 3 /* by the driver itself */
#define XD_WANT_XDP_GENERIC 4 /* in front of the stack, for a driver that has none */
#define XD_WANT_MAX 5

#endif
