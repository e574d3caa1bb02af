/* SPDX-License-Identifier: GPL-2.0-only */
/* Networks: a bridge, its subnet, and the uplinks that all networks of an instance share. */
#ifndef XD_LOADER_NETWORK_H
#define XD_LOADER_NETWORK_H

#include <linux/types.h>
#include <stddef.h>

#include "include/network.h"
#include "include/uplink.h"
#include "loader/attach.h"
#include "loader/hook.h"
#include "loader/link.h"
#include "loader/object.h"
#include "loader/pin.h"
#include "loader/reconcile.h"

#define XD_NETWORK_DEFAULT "docker0"
#define XD_NETWORK_DEFAULT_SUBNET "172.17.0.0/16"

struct xd_network_options {
	const char *bridge;
	__be32 address; /* of the bridge; 0: what it has, or the first of the default subnet */
	__be32 mask;
	const char *const *uplinks; /* none: those it has; at first, every link that qualifies */
	size_t uplink_count;
	__u32 mtu; /* bytes; 0: the uplink's */
	__u16 flags_said; /* XD_NETWORK_* that are asked for; the rest stays, or is the default */
	__u16 flags; /* their values */
	struct xd_hook_options hook;
	__u32 room[XD_ROOMS]; /* rows; 0: what the maps have, or the default */
};

/* Make the network, or finish and refresh it: programs, bridge, address, attachments. Everything
 * that can be wrong with the request is found before anything is changed. An existing bridge
 * without an address, or with this one, is taken over and later left. The instance is locked.
 * Errors: a missing uplink, a bridge with another address, a subnet that is in use, those of
 * xd_network_merge(). */
int xd_network_up(struct xd_instance *instance, const struct xd_network_options *options);

/* What the flags of a network become by an `up`; existing: its row, NULL: it has none. Pure.
 * Errors: -EINVAL (usage) when it is said to become internal, or to masquerade and it is routed or
 * internal, or to be entered and it is internal. */
int xd_network_merge(const struct xd_network_options *options, const struct xd_network *existing,
		     __u16 *ret_flags);

/* "nat", "nat-unprotected", "routed": XD_NETWORK_ROUTED and XD_NETWORK_UNPROTECTED by name.
 * Errors: -EINVAL (usage). */
#define XD_NETWORK_MODE (XD_NETWORK_ROUTED | XD_NETWORK_UNPROTECTED)
int xd_network_parse_mode(const char *text, __u16 *ret_flags);
const char *xd_network_mode(__u16 flags);

/* Take the network away, its containers first, and with the last network the whole instance and
 * every change that xdock made to the machine. No error when there is none. The instance is
 * locked. Errors: missing when there are networks, but none with that name. */
int xd_network_down(struct xd_instance *instance, const char *bridge);

/* The same for containers that are added: which network? NULL: docker0, or the only one. */
int xd_network_find(const struct xd_instance *instance, const char *bridge, __u32 *ret_ifindex,
		    struct xd_network *ret_network);

/* All networks and uplinks. The caller frees the arrays. */
int xd_network_list(const struct xd_instance *instance, __u32 **ret_ifindexes,
		    struct xd_network **ret_networks, size_t *ret_count);
int xd_uplink_list(const struct xd_instance *instance, struct xd_uplink **ret_uplinks,
		   size_t *ret_count);

/* Tell the programs what is known of the host by now: its default address, its other addresses,
 * the ports of its own connections, the subnets; and the flags of networks in the rows of their
 * containers. Every command that writes does it, since no daemon watches. */
int xd_network_refresh(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		       const struct xd_state *state);

#endif
