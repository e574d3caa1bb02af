// SPDX-License-Identifier: GPL-2.0-only
/* XDP programs in front of the TC programs.
 *
 * to XDP:  journal -> offloads of containers -> program
 * to TC:   program -> offloads of containers -> journal
 *
 * A frame that XDP redirects to a veth is taken by its peer only if that has NAPI, which GRO
 * switches on: so where any XDP program may redirect, every container has GRO. A frame that a
 * container sends must be complete in its bytes: so where its host end has XDP, its eth0 leaves no
 * checksum and no VLAN tag to the device. */
#include "loader/hook.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/network.h"
#include "include/uplink.h"
#include "loader/endpoint.h"
#include "loader/error.h"
#include "loader/flow.h"
#include "loader/log.h"
#include "loader/network.h"
#include "loader/object.h"
#include "loader/offload.h"
#include "loader/step.h"
#include "loader/table.h"
#include "loader/undo.h"

/* What XDP may change of a container's eth0. */
#define OFFLOADS                                                                                   \
	(XD_OFFLOAD_GRO | XD_OFFLOAD_SUM | XD_OFFLOAD_SUM_SCTP | XD_OFFLOAD_VLAN |                 \
	 XD_OFFLOAD_VLAN_STAG)

static const char *const wants[XD_WANT_MAX] = {
	[XD_WANT_NOTHING] = "auto",
	[XD_WANT_AUTO] = "auto",
	[XD_WANT_TC] = "tc",
	[XD_WANT_XDP] = "xdp",
	[XD_WANT_XDP_GENERIC] = "xdp-generic",
};

static const char *const places[] = {
	[XD_HOOK_UPLINK] = "uplink",
	[XD_HOOK_CONTAINER] = "container",
	[XD_HOOK_BRIDGE] = "bridge",
};

int xd_hook_parse(const char *text, __u32 *ret_want)
{
	for (__u32 want = XD_WANT_AUTO; want < XD_WANT_MAX; want++) {
		if (!strcmp(text, wants[want])) {
			*ret_want = want;
			return 0;
		}
	}
	return xd_error_usage("hook %.64s: none of auto, tc, xdp, xdp-generic", text);
}

const char *xd_hook_name(__u32 want)
{
	return want < XD_WANT_MAX ? wants[want] : "unknown";
}

static bool is_xdp(__u32 want)
{
	return want == XD_WANT_XDP || want == XD_WANT_XDP_GENERIC;
}

/* Why XDP costs the interface something, or cannot be; NULL: it is free. */
static const char *cost(const struct xd_hook_facts *facts)
{
	if (facts->place == XD_HOOK_CONTAINER)
		return "XDP would take segmentation offload from the container";
	if (!strcmp(facts->kind, "veth"))
		return "a veth: XDP would take segmentation offload from its peer";
	if (!strcmp(facts->kind, "bond") || !strcmp(facts->kind, "team") || facts->has_master)
		return "part of a bond, a team or a bridge";
	if (facts->has_vlan)
		return "a VLAN is on top of it, whose frames XDP cannot tell from its own";
	if (facts->is_told && !facts->has_native)
		return "its driver has no XDP";
	/* virtio_net gives up what its host does for it. */
	if (!strcmp(facts->driver, "virtio_net") &&
	    facts->offloads & (XD_OFFLOAD_RX_SUM | XD_OFFLOAD_GRO_HW))
		return "virtio_net: XDP would take receive offloads from it";
	if (facts->offloads & (XD_OFFLOAD_LRO | XD_OFFLOAD_GRO_HW))
		return "XDP would take large receive offload from it";
	return NULL;
}

static int choose_auto(const struct xd_hook_facts *facts, struct xd_hook_choice *choice)
{
	const char *why;

	choice->hooked = XD_HOOKED_TC;
	if (facts->foreign_id) {
		snprintf(choice->why, sizeof(choice->why), "auto: XDP program %u (%s) is there",
			 facts->foreign_id, facts->foreign_name);
		return 0;
	}
	why = cost(facts);
	if (!why) {
		choice->hooked = XD_HOOKED_SCREEN;
		why = "XDP costs it nothing, so it drops early";
	}
	snprintf(choice->why, sizeof(choice->why), "auto: %s", why);
	return 0;
}

int xd_hook_choose(__u32 want, const struct xd_hook_facts *facts, struct xd_hook_choice *ret_choice)
{
	static const char bridge[] =
		"XDP on a bridge sees what is sent to the host and not what is sent to containers";
	struct xd_hook_choice choice = {};
	int r = 0;

	if (facts->place == XD_HOOK_BRIDGE) {
		if (is_xdp(want))
			return xd_error_system(-ENOTSUP, "hook %s of %s: %s", wants[want],
					       facts->name, bridge);
		snprintf(choice.why, sizeof(choice.why), "%s", bridge);
	} else if (want == XD_WANT_TC) {
		snprintf(choice.why, sizeof(choice.why), "as asked for");
	} else if (!is_xdp(want)) {
		r = choose_auto(facts, &choice);
	} else {
		if (facts->foreign_id)
			return xd_error_system(-EBUSY,
					       "hook %s of %s: XDP program %u (%s) is there, and "
					       "stays",
					       wants[want], facts->name, facts->foreign_id,
					       facts->foreign_name);
		if (facts->has_vlan)
			return xd_error_system(-ENOTSUP,
					       "hook %s of %s: a VLAN is on top of it, whose "
					       "frames XDP cannot tell from its own",
					       wants[want], facts->name);
		if (want == XD_WANT_XDP && facts->is_told && !facts->has_native)
			return xd_error_system(-ENOTSUP,
					       "hook xdp of %s: its driver has no XDP; "
					       "xdp-generic does not need it",
					       facts->name);
		choice.hooked = want == XD_WANT_XDP ? XD_HOOKED_XDP : XD_HOOKED_GENERIC;
		snprintf(choice.why, sizeof(choice.why), "as asked for");
	}
	*ret_choice = choice;
	return r;
}

/* One interface, and what is known of it. */
struct interface {
	enum xd_hook_place place;
	__u32 ifindex;
	char name[16];
	__u32 own; /* XD_WANT_* that it was given; NOTHING: none */
	__u32 want; /* what counts */
	const struct xd_endpoint_row *endpoint; /* of a container */
};

static const char *link_path(const struct xd_instance *instance, enum xd_hook_place place,
			     __u32 ifindex, char path[XD_PIN_PATH_LEN])
{
	char name[64];

	snprintf(name, sizeof(name), "link/xdp-%s-%u", places[place], ifindex);
	return xd_pin_path(instance, name, path);
}

/* The program of our link; 0: there is none, or it died with its device. */
static __u32 own_program(const struct xd_instance *instance, enum xd_hook_place place,
			 __u32 ifindex, int *ret_fd)
{
	struct bpf_link_info info = {};
	__u32 length = sizeof(info);
	char path[XD_PIN_PATH_LEN];
	int fd;

	if (!instance->is_up)
		return 0;
	fd = bpf_obj_get(link_path(instance, place, ifindex, path));
	if (fd < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &length) || info.xdp.ifindex != ifindex) {
		close(fd);
		return 0;
	}
	if (ret_fd)
		*ret_fd = fd;
	else
		close(fd);
	return info.prog_id;
}

static void program_name(__u32 id, char ret_name[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	snprintf(ret_name, BPF_OBJ_NAME_LEN, "?");
	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &length) && *info.name)
		snprintf(ret_name, BPF_OBJ_NAME_LEN, "%s", info.name);
	close(fd);
}

/* Facts that point into themselves. */
struct known {
	struct xd_hook_facts facts;
	enum xd_hooked now; /* of ours */
	char kind[16];
	char driver[32];
	char foreign[BPF_OBJ_NAME_LEN];
};

static void look(const struct xd_instance *instance, const struct interface *interface,
		 const struct xd_link *links, size_t link_count, struct known *known)
{
	struct xd_hook_facts *facts = &known->facts;
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };
	char name[BPF_OBJ_NAME_LEN];
	__u64 features = 0;
	__u32 own, id = 0;

	*known = (struct known){ .facts.place = interface->place };
	for (size_t i = 0; i < link_count; i++) {
		if (links[i].ifindex == interface->ifindex) {
			snprintf(known->kind, sizeof(known->kind), "%s", links[i].kind);
			facts->has_master = links[i].master;
		}
		facts->has_vlan |= interface->ifindex && links[i].lower == interface->ifindex &&
				   !strcmp(links[i].kind, "vlan");
	}
	facts->name = interface->name;
	facts->kind = known->kind;
	facts->driver = known->driver;
	facts->foreign_name = known->foreign;
	if (interface->place == XD_HOOK_BRIDGE || !interface->ifindex)
		return;
	facts->is_told = xd_offload_xdp(interface->ifindex, &features);
	facts->has_native = features & XD_FEATURE_BASIC;
	if (interface->place == XD_HOOK_UPLINK) {
		xd_offload_driver(interface->name, known->driver);
		if (xd_offload_get(-1, interface->name, &facts->offloads))
			xd_error_clear();
	}
	if (!bpf_xdp_query(interface->ifindex, 0, &query))
		id = query.drv_prog_id	 ? query.drv_prog_id
		     : query.skb_prog_id ? query.skb_prog_id
		     : query.hw_prog_id	 ? query.hw_prog_id
					 : query.prog_id;
	own = own_program(instance, interface->place, interface->ifindex, NULL);
	if (!id)
		return;
	program_name(id, name);
	if (own != id) {
		facts->foreign_id = id;
		memcpy(known->foreign, name, sizeof(name));
	} else {
		known->now = query.skb_prog_id		      ? XD_HOOKED_GENERIC
			     : !strcmp(name, "xd_screen_xdp") ? XD_HOOKED_SCREEN
							      : XD_HOOKED_XDP;
	}
}

static __u32 flags_of(enum xd_hooked hooked)
{
	return hooked == XD_HOOKED_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
}

static int load_nothing(void)
{
	static const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "xd_probe", "GPL", pass, 2, NULL);
}

/* The driver's own words come by netlink alone. r: what the link was refused with. */
static int driver_error(int r, const struct interface *interface, int program, __u32 flags)
{
	static const char before[] = "Kernel error message: ";
	char words[96] = "";
	const char *found;

	xd_log_begin();
	if (!bpf_xdp_attach(interface->ifindex, program, flags | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL))
		bpf_xdp_detach(interface->ifindex, flags, NULL);
	found = strstr(xd_log(), before);
	if (found)
		snprintf(words, sizeof(words), "%.*s", (int)strcspn(found + strlen(before), "\n"),
			 found + strlen(before));
	xd_log_begin();
	if (*words)
		return xd_error_system(-ENOTSUP, "hook %s of %s: its driver refuses: %s",
				       flags == XDP_FLAGS_DRV_MODE ? "xdp" : "xdp-generic",
				       interface->name, words);
	return xd_error_system(r, "hook %s of %s: its driver refuses",
			       flags == XDP_FLAGS_DRV_MODE ? "xdp" : "xdp-generic",
			       interface->name);
}

/* Does the driver take a program? It is gone again when this returns, killed or not. */
static int try(const struct interface *interface, enum xd_hooked hooked)
{
	struct bpf_link_create_opts options = {
		.sz = sizeof(options),
		.flags = flags_of(hooked),
	};
	int program, link, r = 0;

	program = load_nothing();
	if (program < 0)
		return xd_error_system(-errno, "load an XDP program");
	link = bpf_link_create(program, interface->ifindex, BPF_XDP, &options);
	if (link < 0) {
		r = driver_error(-errno, interface, program, options.flags);
	} else {
		bpf_link_detach(link);
		close(link);
	}
	close(program);
	return r;
}

static const char *program_of(enum xd_hook_place place, enum xd_hooked hooked)
{
	if (place == XD_HOOK_CONTAINER)
		return "xd_endpoint_xdp";
	return hooked == XD_HOOKED_SCREEN ? "xd_screen_xdp" : "xd_uplink_xdp";
}

int xd_hook_detach(const struct xd_instance *instance, enum xd_hook_place place, __u32 ifindex,
		   const char *name)
{
	char path[XD_PIN_PATH_LEN];
	int fd = bpf_obj_get(link_path(instance, place, ifindex, path));

	if (fd < 0 && access(path, F_OK))
		return 0;
	if (!xd_step("detach the XDP program from %s", name)) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	/* The pin is the last reference, but a link that loses it is detached some time later. */
	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	if (unlink(path) && errno != ENOENT)
		return xd_error_system(-errno, "%s: remove the pin", path);
	return 0;
}

/* Errors: what the driver says, not recorded; others recorded. */
static int attach(const struct xd_instance *instance, const struct interface *interface,
		  enum xd_hooked now, enum xd_hooked hooked)
{
	const char *name = program_of(interface->place, hooked);
	struct bpf_link_create_opts options = {
		.sz = sizeof(options),
		.flags = flags_of(hooked),
	};
	char path[XD_PIN_PATH_LEN];
	int program, fd = -1, r;

	if (!xd_step("attach %s to %s%s", name, interface->name,
		     hooked == XD_HOOKED_GENERIC ? ", in generic mode" : ""))
		return 0;
	if (now != XD_HOOKED_TC && flags_of(now) != flags_of(hooked))
		now = XD_HOOKED_TC;
	if (now == XD_HOOKED_TC) {
		r = xd_hook_detach(instance, interface->place, interface->ifindex, interface->name);
		if (r)
			return r;
	}
	r = xd_object_program(instance, name, &program);
	if (r)
		return r;
	if (now != XD_HOOKED_TC &&
	    own_program(instance, interface->place, interface->ifindex, &fd)) {
		r = bpf_link_update(fd, program, NULL) ? -errno : 0;
	} else {
		fd = bpf_link_create(program, interface->ifindex, BPF_XDP, &options);
		r = fd < 0 ? -errno : 0;
		if (!r && bpf_obj_pin(fd, link_path(instance, interface->place, interface->ifindex,
						    path)))
			r = -errno;
	}
	if (r)
		r = driver_error(r, interface, program, options.flags);
	if (fd >= 0)
		close(fd);
	close(program);
	return r;
}

bool xd_hook_is_left(__u32 ifindex, char ret_name[16])
{
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };
	char name[BPF_OBJ_NAME_LEN];

	if (bpf_xdp_query(ifindex, 0, &query) || !query.prog_id)
		return false;
	program_name(query.prog_id, name);
	if (strcmp(name, "xd_uplink_xdp") && strcmp(name, "xd_screen_xdp") &&
	    strcmp(name, "xd_endpoint_xdp"))
		return false;
	memcpy(ret_name, name, sizeof(name));
	return true;
}

/* Offloads of a container's eth0. */

/* How eth0 has to be, with what it had before XDP came. has_napi: something redirects to it. */
static __u32 wanted_offloads(__u32 before, bool has_napi, bool is_summed)
{
	if (has_napi)
		before |= XD_OFFLOAD_GRO;
	if (is_summed)
		before &= XD_OFFLOAD_GRO;
	return before;
}

static int set_offloads(const struct xd_instance *instance, const struct xd_endpoint_row *endpoint,
			int netns_fd, bool has_napi, bool is_summed)
{
	const char *name = endpoint->value.name;
	struct xd_undo row;
	__u32 now, before = 0, offloads;
	char text[16];
	bool is_noted;
	int r;

	r = xd_undo_get(instance, "offload", name, &row);
	if (r && r != -ENOENT)
		return r;
	if (r && !has_napi && !is_summed)
		return 0;
	is_noted = !r;
	if (is_noted)
		before = strtoul(row.before, NULL, 16);
	r = xd_offload_get(netns_fd, XD_ENDPOINT_LINK, &now);
	if (r)
		return xd_error_in(r, "container %s", name);
	if (!is_noted) {
		before = now & OFFLOADS;
		snprintf(text, sizeof(text), "%02x", before);
		r = xd_undo_note(instance, "offload", name, text);
		if (r)
			return r;
	}
	offloads = wanted_offloads(before, has_napi, is_summed);
	if ((now & OFFLOADS) != offloads &&
	    xd_step("set offloads of container %s: gro %s, tx checksum %s, tx vlan %s", name,
		    offloads & XD_OFFLOAD_GRO ? "on" : "off",
		    offloads & XD_OFFLOAD_SUM ? "on" : "off",
		    offloads & XD_OFFLOAD_VLAN ? "on" : "off"))
		r = xd_offload_set(netns_fd, XD_ENDPOINT_LINK, offloads, OFFLOADS);
	if (r)
		return xd_error_in(r, "container %s", name);
	return has_napi || is_summed ? 0 : xd_undo_forget(instance, "offload", name);
}

/* A namespace that cannot be found any more is no hindrance to what is taken back. */
static int set_offloads_of(const struct xd_instance *instance,
			   const struct xd_endpoint_row *endpoint, bool has_napi, bool is_summed)
{
	int fd, r;

	if (!has_napi && !is_summed && !xd_undo_has(instance, "offload", endpoint->value.name))
		return 0;
	r = xd_endpoint_open_netns(instance, endpoint, &fd);
	if (r == -ENOENT && !has_napi && !is_summed) {
		xd_error_clear();
		return xd_undo_forget(instance, "offload", endpoint->value.name);
	}
	if (r)
		return r;
	r = set_offloads(instance, endpoint, fd, has_napi, is_summed);
	close(fd);
	return r;
}

/* All interfaces. */

static int instance_want(const struct xd_instance *instance, __u32 *ret_want)
{
	struct xd_host *host;

	*ret_want = XD_WANT_AUTO;
	if (!instance->is_up)
		return 0;
	host = xd_host_map(instance);
	if (!host)
		return -EIO;
	if (host->want)
		*ret_want = host->want;
	xd_data_unmap(host);
	return 0;
}

static __u32 uplink_want(const struct xd_uplink *uplink)
{
	return (uplink->flags & XD_UPLINK_WANT) >> XD_UPLINK_WANT_SHIFT;
}

static void set_uplink_want(struct xd_uplink *uplink, __u32 want)
{
	uplink->flags = (uplink->flags & ~XD_UPLINK_WANT) | want << XD_UPLINK_WANT_SHIFT;
}

static void add_container(const struct xd_endpoint_row *endpoint, const struct xd_link *links,
			  size_t link_count, __u32 want, struct interface *ret_interface)
{
	*ret_interface = (struct interface){
		.place = XD_HOOK_CONTAINER,
		.ifindex = endpoint->ifindex,
		.own = endpoint->value.want,
		.want = endpoint->value.want ? endpoint->value.want : want,
		.endpoint = endpoint,
	};
	for (size_t i = 0; i < link_count; i++)
		if (links[i].ifindex == endpoint->ifindex)
			memcpy(ret_interface->name, links[i].name, sizeof(ret_interface->name));
}

/* What the instance has by now, with what counts for each. The caller frees *ret_interfaces. */
static int list_interfaces(const struct xd_instance *instance, const struct xd_state *state,
			   const struct xd_link *links, size_t link_count,
			   struct interface **ret_interfaces, size_t *ret_count)
{
	struct interface *interfaces = NULL;
	struct xd_uplink *uplinks = NULL;
	struct xd_network *networks = NULL;
	__u32 *bridges = NULL, want;
	size_t uplink_count = 0, bridge_count = 0, count = 0;
	int r;

	r = instance_want(instance, &want);
	if (!r)
		r = xd_uplink_list(instance, &uplinks, &uplink_count);
	if (!r)
		r = xd_network_list(instance, &bridges, &networks, &bridge_count);
	if (r)
		goto free;
	interfaces = calloc(uplink_count + bridge_count + state->endpoint_count + 1,
			    sizeof(*interfaces));
	if (!interfaces) {
		r = xd_error_system(-ENOMEM, "interfaces");
		goto free;
	}
	for (size_t i = 0; i < uplink_count; i++) {
		struct interface *interface = &interfaces[count++];

		interface->place = XD_HOOK_UPLINK;
		interface->ifindex = uplinks[i].ifindex;
		interface->own = uplink_want(&uplinks[i]);
		interface->want = interface->own ? interface->own : want;
		memcpy(interface->name, uplinks[i].name, sizeof(interface->name));
	}
	for (size_t i = 0; i < bridge_count; i++) {
		struct interface *interface = &interfaces[count++];

		/* Whatever the instance wants, a bridge has TC. */
		interface->place = XD_HOOK_BRIDGE;
		interface->ifindex = bridges[i];
		interface->want = XD_WANT_TC;
		memcpy(interface->name, networks[i].name, sizeof(interface->name));
	}
	for (size_t i = 0; i < state->endpoint_count; i++)
		if (state->endpoints[i].is_alive)
			add_container(&state->endpoints[i], links, link_count, want,
				      &interfaces[count++]);
	*ret_interfaces = interfaces;
	*ret_count = count;
free:
	free(uplinks);
	free(bridges);
	free(networks);
	return r;
}

static bool uses_xdp(const struct interface *interfaces, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_xdp(interfaces[i].want))
			return true;
	return false;
}

static int apply_one(const struct xd_instance *instance, const struct interface *interface,
		     const struct xd_link *links, size_t link_count)
{
	struct xd_hook_choice choice;
	struct known known;
	int r;

	/* Of which there are many, and the answer is known. */
	if (interface->place != XD_HOOK_UPLINK && !is_xdp(interface->want))
		return xd_hook_detach(instance, interface->place, interface->ifindex,
				      interface->name);
	look(instance, interface, links, link_count, &known);
	r = xd_hook_choose(interface->want, &known.facts, &choice);
	if (r)
		return r;
	if (choice.hooked == XD_HOOKED_TC)
		return xd_hook_detach(instance, interface->place, interface->ifindex,
				      interface->name);
	r = attach(instance, interface, known.now, choice.hooked);
	/* auto is content with TC. */
	if (r && !is_xdp(interface->want)) {
		xd_error_clear();
		r = 0;
	}
	return r;
}

int xd_hook_apply(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		  const struct xd_state *state)
{
	struct interface *interfaces = NULL;
	struct xd_link *links = NULL;
	size_t count = 0, link_count = 0;
	bool has_napi;
	int r;

	r = xd_link_list(rtnl, &links, &link_count);
	if (!r)
		r = list_interfaces(instance, state, links, link_count, &interfaces, &count);
	has_napi = uses_xdp(interfaces, count);
	for (size_t i = 0; !r && i < count; i++)
		if (interfaces[i].endpoint && has_napi)
			r = set_offloads_of(instance, interfaces[i].endpoint, true,
					    is_xdp(interfaces[i].want));
	for (size_t i = 0; !r && i < count; i++)
		r = apply_one(instance, &interfaces[i], links, link_count);
	for (size_t i = 0; !r && i < count; i++)
		if (interfaces[i].endpoint && !has_napi)
			r = set_offloads_of(instance, interfaces[i].endpoint, false, false);
	free(interfaces);
	free(links);
	return r;
}

int xd_hook_connect(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		    const struct xd_state *state, const struct xd_endpoint_row *endpoint,
		    int netns_fd)
{
	struct interface *interfaces = NULL, interface;
	struct xd_link link;
	__u32 want = XD_WANT_AUTO;
	size_t count = 0;
	bool has_napi;
	int r;

	r = instance_want(instance, &want);
	if (!r)
		r = list_interfaces(instance, state, NULL, 0, &interfaces, &count);
	if (!r)
		r = xd_link_get(rtnl, endpoint->ifindex, &link);
	if (r) {
		free(interfaces);
		return r;
	}
	add_container(endpoint, &link, 1, want, &interface);
	has_napi = uses_xdp(interfaces, count) || is_xdp(interface.want);
	free(interfaces);
	r = set_offloads(instance, endpoint, netns_fd, has_napi, is_xdp(interface.want));
	return r ? r : apply_one(instance, &interface, &link, 1);
}

int xd_hook_relax(const struct xd_instance *instance, const struct xd_state *state)
{
	struct interface *interfaces = NULL;
	size_t count = 0;
	int r;

	r = list_interfaces(instance, state, NULL, 0, &interfaces, &count);
	if (!r && !uses_xdp(interfaces, count))
		for (size_t i = 0; !r && i < count; i++)
			if (interfaces[i].endpoint)
				r = set_offloads_of(instance, interfaces[i].endpoint, false, false);
	free(interfaces);
	return r;
}

int xd_hook_refresh(const struct xd_instance *instance, const struct xd_state *state)
{
	bool is_sending = false;
	struct xd_uplink *rows;
	__u32 want;
	int r;

	r = instance_want(instance, &want);
	if (r)
		return r;
	for (size_t i = 0; i < state->endpoint_count; i++) {
		__u32 own = state->endpoints[i].value.want;

		is_sending |= state->endpoints[i].is_alive && is_xdp(own ? own : want);
	}
	rows = xd_uplink_map(instance);
	if (!rows)
		return -EIO;
	for (size_t i = 0; i < XD_UPLINK_MAX && rows[i].ifindex; i++) {
		__u16 flags = rows[i].flags & ~XD_UPLINK_XDP;
		__u64 features;

		/* Of a sample that was killed. */
		if (flags & XD_UPLINK_SAMPLED && !xd_flow_is_sampled(instance))
			flags &= ~XD_UPLINK_SAMPLED;

		if (is_sending && xd_offload_xdp(rows[i].ifindex, &features) &&
		    features & XD_FEATURE_XMIT)
			flags |= XD_UPLINK_XDP;
		*(volatile __u16 *)&rows[i].flags = flags;
	}
	xd_data_unmap(rows);
	return 0;
}

int xd_hook_forget(const struct xd_instance *instance, const struct xd_state *state)
{
	const struct xd_endpoint_row *endpoint;
	struct xd_undo_key *keys;
	struct xd_undo *before;
	size_t count;
	int r;

	r = xd_undo_list(instance, &keys, &before, &count);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++) {
		const char *name = strchr(keys[i].what, ' ') + 1;

		if (strncmp(keys[i].what, "offload ", 8) ||
		    !xd_endpoint_find(state, name, &endpoint))
			continue;
		xd_error_clear();
		r = xd_undo_forget(instance, "offload", name);
	}
	free(keys);
	free(before);
	return r;
}

int xd_hook_list(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		 const struct xd_state *state, struct xd_hook_row **ret_rows, size_t *ret_count)
{
	struct interface *interfaces = NULL;
	struct xd_hook_row *rows = NULL;
	struct xd_link *links = NULL;
	size_t count = 0, link_count = 0;
	int r;

	r = xd_link_list(rtnl, &links, &link_count);
	if (!r)
		r = list_interfaces(instance, state, links, link_count, &interfaces, &count);
	if (!r) {
		rows = calloc(count + 1, sizeof(*rows));
		if (!rows)
			r = xd_error_system(-ENOMEM, "interfaces");
	}
	for (size_t i = 0; !r && i < count; i++) {
		struct xd_hook_choice choice;
		struct known known;

		look(instance, &interfaces[i], links, link_count, &known);
		memcpy(rows[i].name, interfaces[i].name, sizeof(rows[i].name));
		rows[i].place = interfaces[i].place;
		rows[i].want = interfaces[i].want;
		rows[i].hooked = known.now;
		if (xd_hook_choose(interfaces[i].want, &known.facts, &choice)) {
			snprintf(rows[i].why, sizeof(rows[i].why), "%.*s", XD_HOOK_WHY_LEN - 1,
				 xd_error_message());
			xd_error_clear();
		} else if (choice.hooked != known.now) {
			snprintf(rows[i].why, sizeof(rows[i].why), "%s",
				 is_xdp(interfaces[i].want) ? "not attached; `xdock up` attaches it"
				 : choice.hooked == XD_HOOKED_SCREEN
					 ? "auto: its driver refuses XDP"
					 : "`xdock up` detaches the program");
		} else {
			memcpy(rows[i].why, choice.why, sizeof(rows[i].why));
		}
	}
	free(interfaces);
	free(links);
	if (r)
		return r;
	*ret_rows = rows;
	*ret_count = count;
	return 0;
}

/* What was asked for by name. The last word counts. */
static __u32 find_word(const struct xd_hook_options *options, const char *link,
		       const char *container)
{
	__u32 want = XD_WANT_NOTHING;

	for (size_t i = 0; i < options->count; i++)
		if (!strcmp(options->words[i].name, link) ||
		    (container && !strcmp(options->words[i].name, container)))
			want = options->words[i].want;
	return want;
}

static const char *link_name(const struct xd_link *links, size_t count, __u32 ifindex)
{
	for (size_t i = 0; i < count; i++)
		if (links[i].ifindex == ifindex)
			return links[i].name;
	return "";
}

static int check_words(const struct xd_instance *instance, const struct xd_hook_options *options,
		       const struct xd_link *links, size_t link_count,
		       const struct xd_link *const *uplinks, size_t uplink_count,
		       const char *bridge, const struct xd_state *state)
{
	struct xd_network *networks;
	__u32 *bridges;
	size_t count;
	int r;

	r = xd_network_list(instance, &bridges, &networks, &count);
	for (size_t i = 0; !r && i < options->count; i++) {
		const struct xd_hook_word *word = &options->words[i];
		struct xd_hook_facts facts = { .place = XD_HOOK_BRIDGE, .name = word->name };
		struct xd_hook_choice choice;
		bool is_bridge = !strcmp(word->name, bridge), is_found = is_bridge;

		for (size_t j = 0; j < count; j++)
			is_bridge |= !strcmp(word->name, networks[j].name);
		is_found |= is_bridge;
		for (size_t j = 0; j < uplink_count; j++)
			is_found |= !strcmp(word->name, uplinks[j]->name);
		for (size_t j = 0; j < state->endpoint_count; j++)
			is_found |= !strcmp(word->name, state->endpoints[j].value.name) ||
				    !strcmp(word->name, link_name(links, link_count,
								  state->endpoints[j].ifindex));
		if (!is_found)
			r = xd_error_usage("hook %s: neither an uplink nor a container",
					   word->name);
		else if (is_bridge)
			r = xd_hook_choose(word->want, &facts, &choice);
	}
	free(bridges);
	free(networks);
	return r;
}

static int check_one(const struct xd_instance *instance, const struct interface *interface,
		     const struct xd_link *links, size_t link_count)
{
	struct xd_hook_choice choice;
	struct known known;
	int r;

	look(instance, interface, links, link_count, &known);
	r = xd_hook_choose(interface->want, &known.facts, &choice);
	if (r || !is_xdp(interface->want) || xd_step_is_dry_run())
		return r;
	/* The driver has said that it takes programs, and has one of ours in the other mode. */
	if (known.now != XD_HOOKED_TC)
		return 0;
	return try(interface, choice.hooked);
}

int xd_hook_check(const struct xd_instance *instance, const struct xd_hook_options *options,
		  const struct xd_link *links, size_t link_count,
		  const struct xd_link *const *uplinks, size_t uplink_count, const char *bridge,
		  const struct xd_state *state)
{
	struct xd_uplink *rows = NULL;
	bool has_napi = false;
	size_t row_count = 0;
	__u32 want;
	int r;

	r = instance_want(instance, &want);
	if (!r)
		r = xd_uplink_list(instance, &rows, &row_count);
	if (!r)
		r = check_words(instance, options, links, link_count, uplinks, uplink_count, bridge,
				state);
	if (options->want)
		want = options->want;
	for (size_t i = 0; !r && i < uplink_count; i++) {
		struct interface interface = {
			.place = XD_HOOK_UPLINK,
			.ifindex = uplinks[i]->ifindex,
			.own = find_word(options, uplinks[i]->name, NULL),
		};

		memcpy(interface.name, uplinks[i]->name, sizeof(interface.name));
		for (size_t j = 0; !interface.own && j < row_count; j++)
			if (!strcmp(rows[j].name, interface.name))
				interface.own = uplink_want(&rows[j]);
		interface.want = interface.own ? interface.own : want;
		has_napi |= is_xdp(interface.want);
		r = check_one(instance, &interface, links, link_count);
	}
	for (size_t i = 0; !r && i < state->endpoint_count; i++) {
		const struct xd_endpoint_row *endpoint = &state->endpoints[i];
		struct interface interface;
		__u32 own;

		if (!endpoint->is_alive)
			continue;
		add_container(endpoint, links, link_count, want, &interface);
		own = find_word(options, interface.name, endpoint->value.name);
		interface.want = own ? own : interface.want;
		has_napi |= is_xdp(interface.want);
		if (is_xdp(interface.want))
			r = check_one(instance, &interface, links, link_count);
	}
	for (size_t i = 0; !r && has_napi && i < state->endpoint_count; i++) {
		int fd;

		if (!state->endpoints[i].is_alive)
			continue;
		r = xd_endpoint_open_netns(instance, &state->endpoints[i], &fd);
		if (!r)
			close(fd);
	}
	free(rows);
	return r;
}

int xd_hook_remember(const struct xd_instance *instance, const struct xd_hook_options *options,
		     const struct xd_link *links, size_t link_count, struct xd_state *state)
{
	struct xd_uplink *uplinks;
	struct xd_host *host;
	__u32 want;
	int r = 0;

	if (options->want)
		xd_step("set the hook of the instance: %s", wants[options->want]);
	for (size_t i = 0; i < options->count; i++)
		xd_step("set the hook of %s: %s", options->words[i].name,
			wants[options->words[i].want]);
	if (xd_step_is_dry_run() || (!options->want && !options->count))
		return 0;
	host = xd_host_map(instance);
	if (!host)
		return -EIO;
	if (options->want)
		host->want = options->want;
	want = host->want ? host->want : XD_WANT_AUTO;
	xd_data_unmap(host);
	uplinks = xd_uplink_map(instance);
	if (!uplinks)
		return -EIO;
	/* What is given what the instance wants follows it. */
	for (size_t i = 0; i < XD_UPLINK_MAX && uplinks[i].ifindex; i++) {
		__u32 own = find_word(options, uplinks[i].name, NULL);

		if (own)
			set_uplink_want(&uplinks[i], own == want ? XD_WANT_NOTHING : own);
	}
	xd_data_unmap(uplinks);
	for (size_t i = 0; !r && i < state->endpoint_count; i++) {
		struct xd_endpoint_row *endpoint = &state->endpoints[i];
		__u32 own = find_word(options, link_name(links, link_count, endpoint->ifindex),
				      endpoint->value.name);

		if (!own || !endpoint->is_alive)
			continue;
		endpoint->value.want = own == want ? XD_WANT_NOTHING : own;
		r = xd_endpoint_put(instance, endpoint);
	}
	return r;
}
