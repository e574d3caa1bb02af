// SPDX-License-Identifier: GPL-2.0-only
/* Networks: a bridge, its subnet, and the uplinks that all networks of an instance share.
 *
 * up:   check -> programs and pins -> sysctl -> bridge -> row -> attach bridge, sockets, uplinks
 * down: containers -> detach bridge -> bridge -> row -> (last one:) uplinks, sockets, sysctls, pins
 *
 * Each step is written into the journal before it is done and finds itself done when it is done
 * again, so a command that was killed anywhere is finished by the same command or by `down`. */
#include "loader/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "include/limits.h"
#include "include/local.h"
#include "loader/endpoint.h"
#include "loader/error.h"
#include "loader/hook.h"
#include "loader/netns.h"
#include "loader/reserve.h"
#include "loader/spec.h"
#include "loader/step.h"
#include "loader/table.h"
#include "loader/undo.h"

#define PORT_RANGE "net.ipv4.ip_local_port_range"

/* What `up` was asked for and what it found, before anything is changed. */
struct plan {
	const struct xd_network_options *options;
	struct xd_network row; /* that the network has */
	__u32 row_ifindex; /* its key; 0: there is none */
	size_t row_count; /* of all networks */
	__be32 address; /* of the bridge */
	__be32 mask;
	__u16 flags; /* XD_NETWORK_* */
	struct xd_rtnl *rtnl;
	struct xd_link *links; /* all of the namespace */
	size_t link_count;
	struct xd_link_address *addresses; /* all of the namespace */
	size_t address_count;
	const struct xd_link **uplinks; /* into links */
	size_t uplink_count;
	const struct xd_link *bridge; /* into links; NULL: it has to be made */
	bool has_address; /* the bridge has it already */
	__u32 mtu;
};

static bool is_overlap(__be32 a, __be32 a_mask, __be32 b, __be32 b_mask)
{
	return !((a ^ b) & a_mask & b_mask);
}

static const char *format_cidr(__be32 address, __be32 mask, char text[32])
{
	char dotted[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &address, dotted, sizeof(dotted));
	snprintf(text, 32, "%s/%d", dotted, __builtin_popcount(mask));
	return text;
}

static const struct xd_link *find_link(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->link_count; i++)
		if (!strcmp(plan->links[i].name, name))
			return &plan->links[i];
	return NULL;
}

static const struct xd_link *find_ifindex(const struct plan *plan, __u32 ifindex)
{
	for (size_t i = 0; i < plan->link_count; i++)
		if (plan->links[i].ifindex == ifindex)
			return &plan->links[i];
	return NULL;
}

static int check_name(const char *name)
{
	if (!*name || strlen(name) > 15 || !strcmp(name, ".") || !strcmp(name, "..") ||
	    strpbrk(name, "/: \t\n%"))
		return xd_error_usage("bridge \"%s\": not a name for an interface", name);
	return 0;
}

static int check_bridge(struct plan *plan)
{
	const struct xd_network_options *options = plan->options;
	char wanted[32], found[32];

	format_cidr(plan->address, plan->mask, wanted);
	plan->bridge = find_link(plan, options->bridge);
	if (plan->bridge && strcmp(plan->bridge->kind, "bridge"))
		return xd_error_system(-EEXIST, "%s: exists and is no bridge", options->bridge);

	for (size_t i = 0; i < plan->address_count; i++) {
		const struct xd_link_address *a = &plan->addresses[i];
		const struct xd_link *link = find_ifindex(plan, a->ifindex);

		format_cidr(a->address, a->mask, found);
		if (plan->bridge && a->ifindex == plan->bridge->ifindex) {
			if (a->address == plan->address && a->mask == plan->mask)
				plan->has_address = true;
			else if (!plan->has_address)
				return xd_error_system(-EEXIST,
						       "%s: exists with address %s, not %s; "
						       "--subnet %s uses it as it is",
						       options->bridge, found, wanted, found);
		} else if (is_overlap(a->address, a->mask, plan->address, plan->mask)) {
			return xd_error_system(-EBUSY, "subnet %s: overlaps with %s of %s", wanted,
					       found, link ? link->name : "an interface");
		}
	}
	return 0;
}

/* A link through which the outside may come, if the user did not say which. */
static bool is_default_uplink(const struct plan *plan, const struct xd_link *link)
{
	return link->is_up && !link->is_loopback && !link->master && link->type == ARPHRD_ETHER &&
	       strcmp(link->kind, "bridge") && link != plan->bridge;
}

static int check_uplinks(const struct xd_instance *instance, struct plan *plan)
{
	const struct xd_network_options *options = plan->options;
	struct xd_uplink *rows = NULL;
	size_t count = 0;
	int r;

	plan->uplinks = calloc(plan->link_count + 1, sizeof(*plan->uplinks));
	if (!plan->uplinks)
		return xd_error_system(-ENOMEM, "uplinks");
	for (size_t i = 0; i < options->uplink_count; i++) {
		const struct xd_link *link = find_link(plan, options->uplinks[i]);

		if (!link)
			return xd_error_system(-ENOTSUP, "uplink %s: no such interface",
					       options->uplinks[i]);
		if (!strcmp(link->kind, "bridge") && !strcmp(link->name, options->bridge))
			return xd_error_usage("uplink %s: is the bridge itself", link->name);
		if (link->is_loopback || link->type != ARPHRD_ETHER)
			return xd_error_system(-ENOTSUP, "uplink %s: not an Ethernet interface",
					       link->name);
		for (size_t j = 0; j < plan->uplink_count; j++)
			if (plan->uplinks[j] == link)
				link = NULL;
		if (link)
			plan->uplinks[plan->uplink_count++] = link;
	}
	if (plan->uplink_count)
		return 0;

	/* Those it has, by name: an interface that went and came back has another ifindex. */
	r = xd_uplink_list(instance, &rows, &count);
	for (size_t i = 0; !r && i < count; i++) {
		const struct xd_link *link = find_link(plan, rows[i].name);

		if (link)
			plan->uplinks[plan->uplink_count++] = link;
	}
	free(rows);
	for (size_t i = 0; !r && !count && i < plan->link_count; i++)
		if (is_default_uplink(plan, &plan->links[i]))
			plan->uplinks[plan->uplink_count++] = &plan->links[i];
	if (!r && plan->uplink_count > XD_UPLINK_MAX)
		return xd_error_system(-EBUSY, "%zu uplinks are more than %d", plan->uplink_count,
				       XD_UPLINK_MAX);
	return r;
}

/* The uplink that the default route takes, else the first, else Ethernet's. */
static void choose_mtu(struct plan *plan)
{
	const struct xd_link *link = NULL;
	__be32 address;
	__u32 ifindex;

	if (!xd_link_default_address(plan->rtnl, &address, &ifindex))
		link = find_ifindex(plan, ifindex);
	if (!link && plan->uplink_count)
		link = plan->uplinks[0];
	plan->mtu = plan->options->mtu ? plan->options->mtu : link ? link->mtu : 1500;
	xd_error_clear();
}

/* The row of the network NAME, if it has one. */
static int find_row(const struct xd_instance *instance, const char *name, __u32 *ret_ifindex,
		    struct xd_network *ret_network, size_t *ret_count)
{
	__u32 *ifindexes;
	struct xd_network *networks;
	int r;

	r = xd_network_list(instance, &ifindexes, &networks, ret_count);
	if (r)
		return r;
	*ret_ifindex = 0;
	for (size_t i = 0; i < *ret_count; i++) {
		if (!strcmp(networks[i].name, name)) {
			*ret_ifindex = ifindexes[i];
			*ret_network = networks[i];
		}
	}
	free(ifindexes);
	free(networks);
	return 0;
}

/* A network more needs a row; another MTU would not be that of the containers that are there. */
static int check_network(const struct xd_instance *instance, const struct plan *plan)
{
	const struct xd_network_options *options = plan->options;
	struct xd_state state;
	int r;

	if (!plan->row_ifindex)
		return plan->row_count < XD_SUBNET_MAX ? 0 : xd_table_full(XD_TABLE_NETWORK);
	if (!options->mtu || options->mtu == plan->row.mtu)
		return 0;
	r = xd_state_read(instance, &state);
	if (r)
		return r;
	for (size_t i = 0; !r && i < state.endpoint_count; i++)
		if (state.endpoints[i].is_alive &&
		    state.endpoints[i].value.bridge == plan->row_ifindex)
			r = xd_error_usage("--mtu %u: container %s has %u, as %s had; remove the "
					   "containers first",
					   options->mtu, state.endpoints[i].value.name,
					   plan->row.mtu, options->bridge);
	xd_state_free(&state);
	return r;
}

static const struct {
	const char *name;
	__u16 flags;
} modes[] = {
	{ "nat", 0 },
	{ "nat-unprotected", XD_NETWORK_UNPROTECTED },
	{ "routed", XD_NETWORK_ROUTED },
};

#define MODES (sizeof(modes) / sizeof(modes[0]))

int xd_network_parse_mode(const char *text, __u16 *ret_flags)
{
	for (size_t i = 0; i < MODES; i++) {
		if (!strcmp(text, modes[i].name)) {
			*ret_flags = modes[i].flags;
			return 0;
		}
	}
	return xd_error_usage("gateway-mode %.64s: none of nat, nat-unprotected, routed", text);
}

const char *xd_network_mode(__u16 flags)
{
	for (size_t i = 0; i < MODES; i++)
		if ((flags & XD_NETWORK_MODE) == modes[i].flags)
			return modes[i].name;
	return "unknown";
}

int xd_network_merge(const struct xd_network_options *options, const struct xd_network *existing,
		     __u16 *ret_flags)
{
	const __u16 said = options->flags_said;
	__u16 before = existing ? existing->flags : XD_NETWORK_MASQUERADE;
	__u16 flags = (before & ~said) | (options->flags & said);
	bool is_masquerade_said = said & options->flags & XD_NETWORK_MASQUERADE;

	if (existing && (flags ^ before) & XD_NETWORK_INTERNAL)
		return xd_error_usage("--internal: network %s is up and is not internal; "
				      "`xdock down %s` first",
				      options->bridge, options->bridge);
	if (flags & XD_NETWORK_INTERNAL && is_masquerade_said)
		return xd_error_usage("--masquerade on: network %s is internal, nothing leaves it",
				      options->bridge);
	if (flags & XD_NETWORK_INTERNAL && flags & XD_NETWORK_MODE)
		return xd_error_usage("--gateway-mode %s: network %s is internal, nobody enters it",
				      xd_network_mode(flags), options->bridge);
	if (flags & XD_NETWORK_ROUTED && is_masquerade_said)
		return xd_error_usage("--masquerade on: network %s is routed, its containers keep "
				      "their addresses",
				      options->bridge);
	if (flags & (XD_NETWORK_ROUTED | XD_NETWORK_INTERNAL))
		flags &= ~XD_NETWORK_MASQUERADE;
	else if (before & XD_NETWORK_ROUTED && !(said & XD_NETWORK_MASQUERADE))
		flags |= XD_NETWORK_MASQUERADE;
	*ret_flags = flags;
	return 0;
}

/* What the network has and is not told otherwise, it keeps. */
static int choose_options(const struct xd_instance *instance, struct plan *plan)
{
	const struct xd_network_options *options = plan->options;
	int r;

	r = check_name(options->bridge);
	if (!r)
		r = find_row(instance, options->bridge, &plan->row_ifindex, &plan->row,
			     &plan->row_count);
	if (!r)
		r = xd_network_merge(options, plan->row_ifindex ? &plan->row : NULL, &plan->flags);
	if (r)
		return r;
	plan->address = options->address;
	plan->mask = options->mask;
	if (!plan->address && plan->row_ifindex) {
		plan->address = plan->row.gateway;
		plan->mask = plan->row.mask;
	} else if (!plan->address) {
		r = xd_spec_parse_cidr(XD_NETWORK_DEFAULT_SUBNET, &plan->address, &plan->mask);
		plan->address |= htonl(1);
	}
	return r;
}

static int make_plan(const struct xd_instance *instance, struct plan *plan)
{
	int r;

	r = choose_options(instance, plan);
	if (!r)
		r = xd_rtnl_open(-1, &plan->rtnl);
	if (!r)
		r = xd_link_list(plan->rtnl, &plan->links, &plan->link_count);
	if (!r)
		r = xd_link_list_addresses(plan->rtnl, &plan->addresses, &plan->address_count);
	if (!r)
		r = check_bridge(plan);
	if (!r)
		r = check_uplinks(instance, plan);
	if (!r)
		r = check_network(instance, plan);
	if (!r)
		choose_mtu(plan);
	return r;
}

static void free_plan(struct plan *plan)
{
	free(plan->uplinks);
	free(plan->addresses);
	free(plan->links);
	xd_rtnl_close(plan->rtnl);
}

static int make_bridge(const struct xd_instance *instance, const struct plan *plan)
{
	const char *name = plan->options->bridge;
	struct xd_undo row;
	__u8 mac[6];
	char text[32];
	int r;

	/* A killed `up` may have noted the address and not yet used it. */
	if (!xd_undo_get(instance, "bridge", name, &row) &&
	    sscanf(row.before, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) == 6) {
		r = 0;
	} else {
		if (getrandom(mac, sizeof(mac), 0) != sizeof(mac))
			return xd_error_system(-errno, "getrandom");
		mac[0] = (mac[0] & ~0x01) | 0x02; /* locally administered, not a group */
		snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
			 mac[2], mac[3], mac[4], mac[5]);
		r = xd_undo_note(instance, "bridge", name, text);
	}
	return r ? r : xd_link_add_bridge(plan->rtnl, name, mac, plan->mtu);
}

/* The bridge as it has to be; what is not ours and has to change is noted. */
static int set_bridge(const struct xd_instance *instance, const struct plan *plan,
		      struct xd_link *ret_bridge)
{
	const struct xd_network_options *options = plan->options;
	const char *name = options->bridge;
	char cidr[32], number[16];
	struct xd_link bridge = {};
	bool is_ours;
	int r = 0;

	format_cidr(plan->address, plan->mask, cidr);
	if (!plan->bridge) {
		if (xd_step("make bridge %s, mtu %u", name, plan->mtu))
			r = make_bridge(instance, plan);
	}
	if (!r && (plan->bridge || !xd_step_is_dry_run()))
		r = xd_link_find(plan->rtnl, name, &bridge);
	if (r)
		return r;
	is_ours = xd_undo_has(instance, "bridge", name);

	/* The containers know the bridge by its MAC address, which would become another one with
	 * its ports. Nothing takes this back: an address cannot be made one that changes. */
	if (plan->bridge && !is_ours && xd_step("fix the MAC address of %s", name))
		r = xd_link_set_mac(plan->rtnl, bridge.ifindex, bridge.mac);
	if (r)
		return r;
	if (plan->bridge && options->mtu && bridge.mtu != options->mtu &&
	    xd_step("set mtu of %s to %u (was %u)", name, plan->mtu, bridge.mtu)) {
		snprintf(number, sizeof(number), "%u", bridge.mtu);
		if (!is_ours)
			r = xd_undo_note(instance, "mtu", name, number);
		if (!r)
			r = xd_link_set_mtu(plan->rtnl, bridge.ifindex, plan->mtu);
	}
	if (!r && !plan->has_address && xd_step("add address %s to %s", cidr, name)) {
		if (!is_ours)
			r = xd_undo_note(instance, "address", name, cidr);
		if (!r)
			r = xd_link_add_address(plan->rtnl, bridge.ifindex, plan->address,
						plan->mask);
	}
	if (!r && !bridge.is_up && xd_step("set %s up", name)) {
		if (!is_ours)
			r = xd_undo_note(instance, "up", name, "");
		if (!r)
			r = xd_link_set_up(plan->rtnl, bridge.ifindex, true);
	}
	if (!r && !xd_step_is_dry_run())
		r = xd_link_find(plan->rtnl, name, &bridge);
	if (!r)
		*ret_bridge = bridge;
	return r;
}

static int set_network(const struct xd_instance *instance, const struct plan *plan,
		       const struct xd_link *bridge)
{
	struct xd_network network = {
		.gateway = plan->address,
		.mask = plan->mask,
		.mtu = bridge->mtu,
		.flags = plan->flags,
	};
	__u16 before = plan->row_ifindex ? plan->row.flags : XD_NETWORK_MASQUERADE;

	if (plan->flags != before &&
	    !xd_step("set %s: gateway mode %s, icc %s, internal %s, masquerade %s, source check %s",
		     plan->options->bridge, xd_network_mode(plan->flags),
		     plan->flags & XD_NETWORK_ICC_OFF ? "off" : "on",
		     plan->flags & XD_NETWORK_INTERNAL ? "on" : "off",
		     plan->flags & XD_NETWORK_MASQUERADE ? "on" : "off",
		     plan->flags & XD_NETWORK_SOURCE_CHECK ? "on" : "off"))
		return 0;
	memcpy(network.mac, bridge->mac, sizeof(network.mac));
	snprintf(network.name, sizeof(network.name), "%s", plan->options->bridge);
	return xd_table_put(instance, XD_TABLE_NETWORK, &bridge->ifindex, &network);
}

/* What is kept of an uplink, which may have gone and come back with another ifindex. */
static __u16 kept_flags(const struct xd_link *link, const struct xd_uplink *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(rows[i].name, link->name))
			return rows[i].ifindex == link->ifindex ? rows[i].flags :
								  rows[i].flags & XD_UPLINK_WANT;
	return 0;
}

/* The rows of the plan's uplinks, then those of others that are still attached. */
static int write_uplinks(const struct xd_instance *instance, const struct plan *plan,
			 const struct xd_uplink *others, size_t other_count)
{
	struct xd_uplink *rows, *before;
	size_t count = 0, before_count;
	int r;

	if (xd_step_is_dry_run())
		return 0;
	r = xd_uplink_list(instance, &before, &before_count);
	if (r)
		return r;
	rows = xd_uplink_map(instance);
	if (!rows) {
		free(before);
		return -EIO;
	}
	for (size_t i = 0; i < plan->uplink_count; i++) {
		const struct xd_link *link = plan->uplinks[i];
		struct xd_uplink row = {
			.ifindex = link->ifindex,
			.flags = kept_flags(link, before, before_count),
		};

		memcpy(row.mac, link->mac, sizeof(row.mac));
		snprintf(row.name, sizeof(row.name), "%s", link->name);
		rows[count++] = row;
	}
	for (size_t i = 0; i < other_count && count < XD_UPLINK_MAX; i++)
		rows[count++] = others[i];
	memset(&rows[count], 0, (XD_UPLINK_MAX - count) * sizeof(*rows));
	xd_data_unmap(rows);
	free(before);
	return 0;
}

static bool is_planned(const struct plan *plan, __u32 ifindex)
{
	for (size_t i = 0; i < plan->uplink_count; i++)
		if (plan->uplinks[i]->ifindex == ifindex)
			return true;
	return false;
}

/* Rows before programs at attaching and after them at detaching: a row without a program is
 * found again, a program without a row would not be. */
static int set_uplinks(const struct xd_instance *instance, const struct plan *plan)
{
	struct xd_uplink *rows;
	size_t count, others = 0;
	int r;

	r = xd_uplink_list(instance, &rows, &count);
	if (r)
		return r;
	for (size_t i = 0; i < count; i++)
		if (!is_planned(plan, rows[i].ifindex))
			rows[others++] = rows[i];
	r = write_uplinks(instance, plan, rows, others);
	for (size_t i = 0; !r && i < plan->uplink_count; i++)
		r = xd_attach(instance, XD_ATTACH_UPLINK, plan->uplinks[i]->ifindex,
			      plan->uplinks[i]->name);
	for (size_t i = 0; !r && i < others; i++) {
		r = xd_hook_detach(instance, XD_HOOK_UPLINK, rows[i].ifindex, rows[i].name);
		if (!r)
			r = xd_detach(instance, XD_ATTACH_UPLINK, rows[i].ifindex, rows[i].name);
	}
	free(rows);
	return r ? r : write_uplinks(instance, plan, NULL, 0);
}

/* The programs of this xdock on every bridge and container, new or attached by an earlier one. */
static int attach_all(const struct xd_instance *instance, const struct xd_state *state)
{
	__u32 *ifindexes;
	struct xd_network *networks;
	size_t count;
	int r;

	r = xd_network_list(instance, &ifindexes, &networks, &count);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++)
		r = xd_attach(instance, XD_ATTACH_BRIDGE, ifindexes[i], networks[i].name);
	for (size_t i = 0; !r && i < state->endpoint_count; i++)
		r = xd_attach(instance, XD_ATTACH_CONTAINER, state->endpoints[i].ifindex,
			      state->endpoints[i].value.name);
	free(ifindexes);
	free(networks);
	return r;
}

static int remove_network(const struct xd_instance *instance, struct xd_rtnl *rtnl,
			  const struct xd_state *state, __u32 ifindex,
			  const struct xd_network *network);

/* Rows of bridges that are gone; their containers lost their network with them. */
static int remove_vanished(const struct xd_instance *instance, const struct plan *plan,
			   const struct xd_state *state)
{
	__u32 *ifindexes;
	struct xd_network *networks;
	size_t count;
	int r;

	r = xd_network_list(instance, &ifindexes, &networks, &count);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++) {
		const struct xd_link *link = find_ifindex(plan, ifindexes[i]);

		if (!link || strcmp(link->name, networks[i].name))
			r = remove_network(instance, plan->rtnl, state, ifindexes[i],
					   &networks[i]);
	}
	free(ifindexes);
	free(networks);
	return r;
}

int xd_network_up(struct xd_instance *instance, const struct xd_network_options *options)
{
	struct plan plan = { .options = options };
	struct xd_state state = {};
	struct xd_link bridge;
	bool was_up = instance->is_up;
	int r;

	r = make_plan(instance, &plan);
	if (!r && !was_up)
		r = xd_pin_sweep(instance);
	if (!r && was_up)
		r = xd_endpoint_heal(instance, plan.rtnl, &state);
	if (!r)
		r = xd_hook_check(instance, &options->hook, plan.links, plan.link_count,
				  plan.uplinks, plan.uplink_count, options->bridge, &state);
	if (!r && was_up)
		r = remove_vanished(instance, &plan, &state);
	if (!r)
		r = xd_object_load(instance, options->room);
	if (!r)
		r = xd_undo_set_forwarding(instance);
	if (!r)
		r = set_bridge(instance, &plan, &bridge);
	if (!r)
		r = set_network(instance, &plan, &bridge);
	/* Without a row, attach_all() does not see it in a dry run. */
	if (!r && !plan.bridge && xd_step_is_dry_run())
		r = xd_attach(instance, XD_ATTACH_BRIDGE, 0, options->bridge);
	if (!r && was_up) {
		xd_state_free(&state);
		r = xd_endpoint_heal(instance, plan.rtnl, &state);
	} else if (!r) {
		r = xd_reserve_update(instance, &state, NULL, 0);
	}
	if (!r)
		r = attach_all(instance, &state);
	if (!r)
		r = xd_attach_sockets(instance);
	if (!r)
		r = set_uplinks(instance, &plan);
	if (!r)
		r = xd_hook_remember(instance, &options->hook, plan.links, plan.link_count,
				     &state);
	if (!r)
		r = xd_hook_apply(instance, plan.rtnl, &state);
	if (!r)
		r = xd_network_refresh(instance, plan.rtnl, &state);
	xd_state_free(&state);
	free_plan(&plan);
	return r;
}

/* Take back what the journal says of the bridge NAME. */
static int undo_bridge(const struct xd_instance *instance, struct xd_rtnl *rtnl, const char *name)
{
	struct xd_undo row;
	struct xd_link link;
	char mac[32];
	int r;

	r = xd_link_find(rtnl, name, &link);
	if (r && r != -ENODEV)
		return r;
	if (!r) {
		__be32 address, mask;

		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", link.mac[0],
			 link.mac[1], link.mac[2], link.mac[3], link.mac[4], link.mac[5]);
		/* Somebody else's bridge may have the name by now. */
		if (!xd_undo_get(instance, "bridge", name, &row) && !strcmp(row.before, mac)) {
			if (!xd_step("delete bridge %s", name))
				return 0;
			r = xd_link_delete(rtnl, link.ifindex);
		} else {
			if (!xd_undo_get(instance, "address", name, &row) &&
			    !xd_spec_parse_cidr(row.before, &address, &mask) &&
			    xd_step("remove address %s from %s", row.before, name))
				r = xd_link_delete_address(rtnl, link.ifindex, address, mask);
			if (!r && !xd_undo_get(instance, "mtu", name, &row) &&
			    xd_step("set mtu of %s back to %s", name, row.before))
				r = xd_link_set_mtu(rtnl, link.ifindex,
						    strtoul(row.before, NULL, 10));
			if (!r && xd_undo_has(instance, "up", name) && xd_step("set %s down", name))
				r = xd_link_set_up(rtnl, link.ifindex, false);
		}
		if (r)
			return r;
	}
	xd_error_clear();
	r = xd_undo_forget(instance, "bridge", name);
	if (!r)
		r = xd_undo_forget(instance, "address", name);
	if (!r)
		r = xd_undo_forget(instance, "mtu", name);
	return r ? r : xd_undo_forget(instance, "up", name);
}

static int remove_network(const struct xd_instance *instance, struct xd_rtnl *rtnl,
			  const struct xd_state *state, __u32 ifindex,
			  const struct xd_network *network)
{
	struct xd_endpoint_row *endpoints = calloc(state->endpoint_count + 1, sizeof(*endpoints));
	size_t count = 0;
	int r;

	if (!endpoints)
		return xd_error_system(-ENOMEM, "network %s", network->name);
	for (size_t i = 0; i < state->endpoint_count; i++)
		if (state->endpoints[i].value.bridge == ifindex)
			endpoints[count++] = state->endpoints[i];
	r = xd_endpoint_delete(instance, rtnl, state, endpoints, count);
	free(endpoints);
	if (!r)
		r = xd_detach(instance, XD_ATTACH_BRIDGE, ifindex, network->name);
	if (!r)
		r = undo_bridge(instance, rtnl, network->name);
	return r ? r : xd_table_delete(instance, XD_TABLE_NETWORK, &ifindex);
}

/* Bridges of a killed `up` that did not get as far as a row. */
static int undo_bridges(const struct xd_instance *instance, struct xd_rtnl *rtnl)
{
	struct xd_network network;
	struct xd_undo_key *keys;
	struct xd_undo *before;
	__u32 ifindex = 0;
	size_t count, networks;
	int r;

	r = xd_undo_list(instance, &keys, &before, &count);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++) {
		const char *name = strchr(keys[i].what, ' ') + 1;

		if (strncmp(keys[i].what, "bridge ", 7) &&
		    strncmp(keys[i].what, "address ", 8) && strncmp(keys[i].what, "mtu ", 4) &&
		    strncmp(keys[i].what, "up ", 3))
			continue;
		/* In a dry run, the one that was shown already. */
		r = find_row(instance, name, &ifindex, &network, &networks);
		if (!r && !ifindex)
			r = undo_bridge(instance, rtnl, name);
	}
	free(keys);
	free(before);
	return r;
}

/* The last network is gone: the rest of the instance. The pins go last, since they hold the
 * journal. */
static int remove_instance(struct xd_instance *instance, struct xd_rtnl *rtnl)
{
	struct plan no_uplinks = {};
	struct xd_state none = {};
	int r;

	r = set_uplinks(instance, &no_uplinks);
	if (!r)
		r = xd_detach_sockets(instance);
	if (!r)
		r = undo_bridges(instance, rtnl);
	if (!r)
		r = xd_reserve_update(instance, &none, NULL, 0);
	if (!r)
		r = xd_undo_all(instance);
	if (!r && xd_step("remove the pins in %s", instance->pins))
		r = xd_pin_remove(instance);
	return r;
}

static int find_network(const char *bridge, const struct xd_network *networks, size_t count,
			size_t *ret_i)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(networks[i].name, bridge)) {
			*ret_i = i;
			return 0;
		}
	}
	return xd_error_missing("network %s: not up; `xdock status` shows what is", bridge);
}

/* Does the journal know the name? An `up` that failed has no row. */
static bool is_begun(const struct xd_instance *instance, const char *bridge)
{
	return xd_undo_has(instance, "bridge", bridge) ||
	       xd_undo_has(instance, "address", bridge) || xd_undo_has(instance, "mtu", bridge) ||
	       xd_undo_has(instance, "up", bridge);
}

int xd_network_down(struct xd_instance *instance, const char *bridge)
{
	struct xd_state state = {};
	struct xd_rtnl *rtnl = NULL;
	__u32 *ifindexes = NULL;
	struct xd_network *networks = NULL;
	size_t count = 0, i = 0;
	bool has_row;
	int r;

	if (!instance->is_up) {
		r = xd_endpoint_sweep(instance);
		if (r || xd_step_is_dry_run())
			return r;
		r = xd_pin_remove(instance);
		return r ? r : xd_netns_tidy(instance->run);
	}
	r = xd_rtnl_open(-1, &rtnl);
	if (!r)
		r = xd_network_list(instance, &ifindexes, &networks, &count);
	if (!r && count)
		r = find_network(bridge, networks, count, &i);
	has_row = !r && count;
	if (r == -ENOENT && is_begun(instance, bridge))
		r = undo_bridge(instance, rtnl, bridge);
	if (!r)
		r = xd_endpoint_heal(instance, rtnl, &state);
	if (!r && has_row)
		r = remove_network(instance, rtnl, &state, ifindexes[i], &networks[i]);
	if (!r && count <= has_row) {
		r = remove_instance(instance, rtnl);
	} else if (!r) {
		xd_state_free(&state);
		r = xd_endpoint_heal(instance, rtnl, &state);
		if (!r)
			r = xd_hook_relax(instance, &state);
		if (!r)
			r = xd_network_refresh(instance, rtnl, &state);
	}
	if (!r && !xd_step_is_dry_run())
		r = xd_netns_tidy(instance->run);
	xd_state_free(&state);
	free(ifindexes);
	free(networks);
	xd_rtnl_close(rtnl);
	return r;
}

int xd_network_find(const struct xd_instance *instance, const char *bridge, __u32 *ret_ifindex,
		    struct xd_network *ret_network)
{
	__u32 *ifindexes;
	struct xd_network *networks;
	size_t count, i = 0;
	int r;

	r = xd_network_list(instance, &ifindexes, &networks, &count);
	if (r)
		return r;
	if (!count)
		r = xd_error_missing("no network is up; `xdock up` finishes what was begun");
	else if (bridge || count > 1)
		r = find_network(bridge ? bridge : XD_NETWORK_DEFAULT, networks, count, &i);
	if (!r) {
		*ret_ifindex = ifindexes[i];
		*ret_network = networks[i];
	}
	free(ifindexes);
	free(networks);
	return r;
}

int xd_network_list(const struct xd_instance *instance, __u32 **ret_ifindexes,
		    struct xd_network **ret_networks, size_t *ret_count)
{
	return xd_table_read(instance, XD_TABLE_NETWORK, (void **)ret_ifindexes,
			     (void **)ret_networks, ret_count);
}

int xd_uplink_list(const struct xd_instance *instance, struct xd_uplink **ret_uplinks,
		   size_t *ret_count)
{
	struct xd_uplink *uplinks = calloc(XD_UPLINK_MAX, sizeof(*uplinks)), *rows;
	size_t count = 0;

	if (!uplinks)
		return xd_error_system(-ENOMEM, "xd_uplink");
	if (instance->is_up) {
		rows = xd_uplink_map(instance);
		if (!rows) {
			free(uplinks);
			return -EIO;
		}
		memcpy(uplinks, rows, XD_UPLINK_MAX * sizeof(*uplinks));
		xd_data_unmap(rows);
	}
	while (count < XD_UPLINK_MAX && uplinks[count].ifindex)
		count++;
	*ret_uplinks = uplinks;
	*ret_count = count;
	return 0;
}

/* Used rows in front, each stored whole, as the programs read them. */
static int refresh_subnets(const struct xd_instance *instance)
{
	volatile __u64 *rows;
	struct xd_network *networks;
	__u32 *ifindexes;
	size_t count;
	int r;

	r = xd_network_list(instance, &ifindexes, &networks, &count);
	if (r)
		return r;
	rows = (volatile __u64 *)xd_subnet_map(instance);
	for (size_t i = 0; rows && i < XD_SUBNET_MAX; i++) {
		union {
			struct xd_subnet subnet;
			__u64 word;
		} row = {};

		if (i < count) {
			row.subnet.gateway = networks[i].gateway;
			row.subnet.prefix = __builtin_popcount(networks[i].mask);
			row.subnet.flags = networks[i].flags;
		}
		rows[i] = row.word;
	}
	r = rows ? 0 : -EIO;
	xd_data_unmap((void *)rows);
	free(ifindexes);
	free(networks);
	return r;
}

/* Ports of a routed network are not translated. They come before the row of their container, which
 * tells a command after this one whether they were done. */
static int refresh_ports(const struct xd_instance *instance, const struct xd_state *state,
			 __u32 ifindex, __u16 network_flags)
{
	int r = 0;

	for (size_t i = 0; !r && i < state->port_count; i++) {
		struct xd_port_row row = state->ports[i];

		if (row.value.ifindex != ifindex)
			continue;
		row.value.flags &= ~XD_PORT_ROUTED;
		if (network_flags & XD_NETWORK_ROUTED)
			row.value.flags |= XD_PORT_ROUTED;
		r = xd_table_put(instance, XD_TABLE_PORT, &row.key, &row.value);
	}
	return r;
}

/* What its network is, each container's row repeats for the programs. */
static int refresh_endpoints(const struct xd_instance *instance, const struct xd_state *state)
{
	struct xd_network *networks;
	__u32 *ifindexes;
	size_t count;
	int r;

	r = xd_network_list(instance, &ifindexes, &networks, &count);
	for (size_t i = 0; !r && i < state->endpoint_count; i++) {
		struct xd_endpoint_row row = state->endpoints[i];

		for (size_t j = 0; !r && j < count; j++) {
			if (ifindexes[j] != row.value.bridge ||
			    (networks[j].flags == row.value.flags &&
			     networks[j].mtu == row.value.mtu))
				continue;
			if ((row.value.flags ^ networks[j].flags) & XD_NETWORK_ROUTED)
				r = refresh_ports(instance, state, row.ifindex,
						  networks[j].flags);
			if (r)
				break;
			row.value.flags = networks[j].flags;
			row.value.mtu = networks[j].mtu;
			r = xd_endpoint_put(instance, &row);
		}
	}
	free(ifindexes);
	free(networks);
	return r;
}

/* What xd_local has to hold: the host's addresses, found now, and those that ports are published
 * on, be they the host's or not. */
static size_t collect_locals(const struct xd_link_address *addresses, size_t address_count,
			     const struct xd_state *state, __be32 *keys, struct xd_local *values)
{
	size_t count = 0;

	for (size_t i = 0; i < address_count && count < XD_LOCAL_MAX; i++) {
		keys[count] = addresses[i].address;
		values[count++].proved = XD_LOCAL_FOUND;
	}
	for (size_t i = 0; i < state->port_count && count < XD_LOCAL_MAX; i++) {
		__be32 address = state->ports[i].key.address;
		bool is_known = !address;

		for (size_t j = 0; !is_known && j < count; j++)
			is_known = keys[j] == address;
		if (!is_known)
			keys[count++] = address;
	}
	return count;
}

static int refresh_locals(const struct xd_instance *instance,
			  const struct xd_link_address *addresses, size_t address_count,
			  const struct xd_state *state)
{
	__be32 *wanted = calloc(XD_LOCAL_MAX, sizeof(*wanted)), *keys = NULL;
	struct xd_local *rows = calloc(XD_LOCAL_MAX, sizeof(*rows)), *values = NULL;
	size_t wanted_count, count = 0;
	int r;

	if (!wanted || !rows) {
		r = xd_error_system(-ENOMEM, "xd_local");
		goto free;
	}
	wanted_count = collect_locals(addresses, address_count, state, wanted, rows);
	r = xd_table_read(instance, XD_TABLE_LOCAL, (void **)&keys, (void **)&values, &count);
	for (size_t i = 0; !r && i < count; i++) {
		bool is_wanted = false;

		for (size_t j = 0; !is_wanted && j < wanted_count; j++)
			is_wanted = wanted[j] == keys[i];
		if (!is_wanted)
			r = xd_table_delete(instance, XD_TABLE_LOCAL, &keys[i]);
	}
	if (!r)
		r = xd_table_put_many(instance, XD_TABLE_LOCAL, wanted, rows, wanted_count, NULL);
free:
	free(wanted);
	free(rows);
	free(keys);
	free(values);
	return r;
}

/* Source of the default route; without one, the first address of the first uplink that has one. */
static __be32 default_address(const struct xd_instance *instance, struct xd_rtnl *rtnl,
			      const struct xd_link_address *addresses, size_t address_count)
{
	__be32 address = 0;
	__u32 ifindex;
	struct xd_uplink *uplinks;
	size_t count;

	if (!xd_link_default_address(rtnl, &address, &ifindex))
		return address;
	if (xd_uplink_list(instance, &uplinks, &count))
		return 0;
	for (size_t i = 0; !address && i < address_count; i++)
		for (size_t j = 0; j < count; j++)
			if (addresses[i].ifindex == uplinks[j].ifindex && !addresses[i].is_secondary)
				address = addresses[i].address;
	free(uplinks);
	xd_error_clear();
	return address;
}

/* The ports that the kernel chooses from, for connections of the host's own. */
static int read_port_range(__u16 *ret_low_host, __u16 *ret_high_host)
{
	char text[32];
	__u16 low, high;
	int r;

	r = xd_sysctl_read(PORT_RANGE, text, sizeof(text));
	if (r)
		return r;
	if (sscanf(text, "%hu %hu", &low, &high) != 2)
		return xd_error_system(-EPROTO, "sysctl " PORT_RANGE ": cannot read `%s`", text);
	*ret_low_host = low;
	*ret_high_host = high;
	return 0;
}

/* Where an uplink may bring packets from the host's own addresses, as the kernel sees it. */
static bool accepts_local(const struct xd_instance *instance)
{
	struct xd_uplink *uplinks;
	char name[80], value[16];
	bool is_accepted;
	size_t count;

	is_accepted = !xd_sysctl_read("net.ipv4.conf.all.accept_local", value, sizeof(value)) &&
		      strcmp(value, "0");
	if (!xd_uplink_list(instance, &uplinks, &count)) {
		for (size_t i = 0; i < count; i++) {
			snprintf(name, sizeof(name), "net.ipv4.conf.%s.accept_local",
				 uplinks[i].name);
			/* In a sysctl's name a dot of an interface is a slash. */
			for (char *c = name + strlen("net.ipv4.conf."); c < name + strlen(name) -
			     strlen(".accept_local"); c++)
				if (*c == '.')
					*c = '/';
			is_accepted |= !xd_sysctl_read(name, value, sizeof(value)) &&
				       strcmp(value, "0");
		}
		free(uplinks);
	}
	xd_error_clear();
	return is_accepted;
}

static int refresh_host(const struct xd_instance *instance, struct xd_rtnl *rtnl,
			const struct xd_link_address *addresses, size_t address_count)
{
	__be32 address = default_address(instance, rtnl, addresses, address_count);
	struct xd_host *host;
	__u16 low = 0, high = 0;
	__u64 sources = 0;
	int r;

	if (!accepts_local(instance))
		for (size_t i = 0; i < address_count; i++)
			sources |= xd_host_bit(addresses[i].address);
	r = read_port_range(&low, &high);
	if (r)
		return r;
	host = xd_host_map(instance);
	if (!host)
		return -EIO;
	host->port_low_host = low;
	host->port_high_host = high;
	*(volatile __u64 *)&host->sources = sources;
	if (host->address != address) {
		host->proved = 0;
		*(volatile __be32 *)&host->address = address;
	}
	xd_data_unmap(host);
	return 0;
}

int xd_network_refresh(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		       const struct xd_state *state)
{
	struct xd_link_address *addresses;
	size_t count;
	int r;

	if (xd_step_is_dry_run())
		return 0;
	r = xd_link_list_addresses(rtnl, &addresses, &count);
	if (r)
		return r;
	r = refresh_host(instance, rtnl, addresses, count);
	if (!r)
		r = refresh_subnets(instance);
	if (!r)
		r = refresh_endpoints(instance, state);
	if (!r)
		r = refresh_locals(instance, addresses, count, state);
	if (!r)
		r = xd_hook_refresh(instance, state);
	free(addresses);
	return r;
}
