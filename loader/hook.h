/* SPDX-License-Identifier: GPL-2.0-only */
/* XDP programs in front of the TC programs, where they are asked for or are worth it.
 *
 * The TC programs are always there and do all that has to be done. An XDP program in front of them
 * finishes what it can and passes the rest on, so attaching and detaching it changes the cost of a
 * packet and never what becomes of it. The link is pinned as link/xdp-POINT-IFINDEX.
 *
 * What was asked for is kept in xd_host (for the instance), xd_uplink and xd_endpoint (for one
 * interface). What XDP changes of a container's eth0 is in the journal, as "offload NAME". */
#ifndef XD_LOADER_HOOK_H
#define XD_LOADER_HOOK_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "include/hook.h"
#include "loader/link.h"
#include "loader/pin.h"
#include "loader/reconcile.h"

enum xd_hook_place {
	XD_HOOK_UPLINK,
	XD_HOOK_CONTAINER, /* a veth's host end */
	XD_HOOK_BRIDGE,
};

/* What is in front of the TC program. */
enum xd_hooked {
	XD_HOOKED_TC, /* nothing */
	XD_HOOKED_SCREEN, /* a program that drops and does nothing else */
	XD_HOOKED_XDP,
	XD_HOOKED_GENERIC,
};

#define XD_HOOK_WHY_LEN 160

/* What a choice is made from. */
struct xd_hook_facts {
	enum xd_hook_place place;
	const char *name; /* of the interface */
	const char *kind; /* as in struct xd_link */
	const char *driver; /* as ethtool names it; "": it does not say */
	bool has_master; /* it is a port of a bridge or bond */
	bool has_vlan; /* a VLAN device is on top of it */
	bool is_told; /* the kernel says whether its driver has XDP: */
	bool has_native;
	__u32 offloads; /* XD_OFFLOAD_* */
	__u32 foreign_id; /* an XDP program of somebody else; 0: none */
	const char *foreign_name;
};

struct xd_hook_choice {
	enum xd_hooked hooked;
	char why[XD_HOOK_WHY_LEN];
};

/* What to do where `want` (XD_WANT_*, not NOTHING) is asked for. Pure. auto never fails.
 * Errors: -ENOTSUP, -EBUSY, each naming the interface and the reason. */
int xd_hook_choose(__u32 want, const struct xd_hook_facts *facts,
		   struct xd_hook_choice *ret_choice);

/* "auto", "tc", "xdp", "xdp-generic". Errors: -EINVAL (usage). */
int xd_hook_parse(const char *text, __u32 *ret_want);
const char *xd_hook_name(__u32 want);

/* What `up --hook` was told: for the instance, and for interfaces by their name, or containers by
 * theirs. */
struct xd_hook_word {
	const char *name;
	__u32 want;
};

struct xd_hook_options {
	__u32 want; /* of the instance; XD_WANT_NOTHING: it was not said */
	const struct xd_hook_word *words;
	size_t count;
};

/* Before anything is changed: can all that is going to be asked for be had? Drivers are asked by
 * attaching a program that does nothing, for a moment. uplinks: as they are going to be. bridge:
 * the name of the network's, which may not be there yet. Errors: a name that is neither an uplink
 * nor a container, and those of xd_hook_choose(). */
int xd_hook_check(const struct xd_instance *instance, const struct xd_hook_options *options,
		  const struct xd_link *links, size_t link_count,
		  const struct xd_link *const *uplinks, size_t uplink_count, const char *bridge,
		  const struct xd_state *state);

/* Remember what was asked for, in state, too. The instance is up, uplinks and containers have their
 * rows. */
int xd_hook_remember(const struct xd_instance *instance, const struct xd_hook_options *options,
		     const struct xd_link *links, size_t link_count, struct xd_state *state);

/* Make every interface what it has to be: programs, and offloads of containers. Nothing to do is no
 * error; done again, it puts the pinned programs to work in the place of earlier ones. */
int xd_hook_apply(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		  const struct xd_state *state);

/* The same for one container that is being connected. netns_fd: its namespace. */
int xd_hook_connect(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		    const struct xd_state *state, const struct xd_endpoint_row *endpoint,
		    int netns_fd);

/* After containers have gone: what XDP wanted of those that stay, if no XDP is left. */
int xd_hook_relax(const struct xd_instance *instance, const struct xd_state *state);

/* XD_UPLINK_XDP and XD_UPLINK_SAMPLED of each uplink, as things are by now. */
int xd_hook_refresh(const struct xd_instance *instance, const struct xd_state *state);

/* Take the program away. No error when there is none, or the interface is gone. */
int xd_hook_detach(const struct xd_instance *instance, enum xd_hook_place place, __u32 ifindex,
		   const char *name);

/* Is a program of xdock there, whoever attached it? What `status` looks for once an instance is
 * down. */
bool xd_hook_is_left(__u32 ifindex, char ret_name[16]);

/* Journal rows of containers that are not there any more, whose eth0 went with them. */
int xd_hook_forget(const struct xd_instance *instance, const struct xd_state *state);

/* What `status` shows. The caller frees *ret_rows. */
struct xd_hook_row {
	char name[16]; /* of the interface */
	enum xd_hook_place place;
	__u32 want; /* XD_WANT_* that counts for it */
	enum xd_hooked hooked;
	char why[XD_HOOK_WHY_LEN];
};
int xd_hook_list(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		 const struct xd_state *state, struct xd_hook_row **ret_rows, size_t *ret_count);

#endif
