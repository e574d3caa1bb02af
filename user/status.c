// SPDX-License-Identifier: GPL-2.0-only
/* xdock status, check, stats, drops */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/drop.h"
#include "loader/attach.h"
#include "loader/error.h"
#include "loader/hook.h"
#include "loader/link.h"
#include "loader/log.h"
#include "loader/network.h"
#include "loader/object.h"
#include "loader/port.h"
#include "loader/probe.h"
#include "loader/table.h"
#include "loader/undo.h"
#include "user/command.h"
#include "user/network.h"
#include "user/output.h"
#include "user/port.h"

static const struct option no_options[] = { {} };

static int take_no_words(int argc, char **argv)
{
	if (command_option(argc, argv, ":", no_options) != -1)
		return -EINVAL;
	return command_words(argc, argv, 0, 0);
}

static const char *attached_name(enum xd_attached attached)
{
	static const char *const names[] = {
		[XD_ATTACHED_NOT] = "none",
		[XD_ATTACHED_TCX] = "tcx",
		[XD_ATTACHED_CLSACT] = "clsact",
	};

	return names[attached];
}

static void add_left(struct json_object *left, const char *what, const char *name)
{
	struct json_object *row = json_object_new_object();

	output_add_text(row, "left", what);
	output_add_text(row, "name", name);
	json_object_array_add(left, row);
}

/* An instance that is not up must have left nothing: looked for, not remembered. */
static int show_left(const struct xd_instance *instance, int *status)
{
	static const char *const columns[] = { "left", "name", NULL };
	struct json_object *left = json_object_new_array();
	struct xd_link *links = NULL;
	struct xd_rtnl *rtnl = NULL;
	char path[XD_PIN_PATH_LEN], name[16];
	size_t count = 0;
	struct stat st;
	bool has_run;
	int r;

	snprintf(path, sizeof(path), "%s-new", instance->pins);
	if (!stat(path, &st))
		add_left(left, "pins", path);
	snprintf(path, sizeof(path), "%s-old", instance->pins);
	if (!stat(path, &st))
		add_left(left, "pins", path);
	has_run = !stat(instance->run, &st);
	if (has_run)
		add_left(left, "namespaces", instance->run);
	r = xd_rtnl_open(-1, &rtnl);
	if (!r)
		r = xd_link_list(rtnl, &links, &count);
	for (size_t i = 0; !r && i < count; i++) {
		if (has_run && !strncmp(links[i].name, "xd-", 3) && !strcmp(links[i].kind, "veth"))
			add_left(left, "interface", links[i].name);
		for (int point = 0; point < XD_ATTACH_POINTS; point++) {
			char text[64];

			if (!xd_attach_is_left(point, links[i].ifindex))
				continue;
			snprintf(text, sizeof(text), "%s on %s", xd_attach_program(point),
				 links[i].name);
			add_left(left, "program", text);
		}
		if (xd_hook_is_left(links[i].ifindex, name)) {
			char text[64];

			snprintf(text, sizeof(text), "%s on %s", name, links[i].name);
			add_left(left, "program", text);
		}
	}
	free(links);
	xd_rtnl_close(rtnl);
	if (r) {
		json_object_put(left);
		return r;
	}
	*status = json_object_array_length(left) ? 2 : 3;
	output_line("%s is not up, %s", instance->name,
		    *status == 2 ? "but left behind; `xdock down` removes it" :
				   "and nothing of it is left");
	output_table("left", left, columns);
	return 0;
}

static int show_networks(const struct xd_instance *instance, const struct xd_state *state)
{
	static const char *const columns[] = { "bridge",   "address",	 "mac",		 "mtu",
					       "program",  "containers", "gateway_mode", "icc",
					       "internal", "masquerade", "source_check", NULL };
	struct json_object *array;
	struct xd_network *networks;
	__u32 *ifindexes;
	size_t count;
	int r;

	r = xd_network_list(instance, &ifindexes, &networks, &count);
	if (r)
		return r;
	array = json_object_new_array();
	for (size_t i = 0; i < count; i++) {
		struct json_object *row = json_object_new_object();
		size_t containers = 0;

		for (size_t j = 0; j < state->endpoint_count; j++)
			containers += state->endpoints[j].is_alive &&
				      state->endpoints[j].value.bridge == ifindexes[i];
		output_add_text(row, "bridge", networks[i].name);
		output_add_cidr(row, "address", networks[i].gateway, networks[i].mask);
		output_add_mac(row, "mac", networks[i].mac);
		output_add_number(row, "mtu", networks[i].mtu);
		output_add_text(row, "program",
				attached_name(xd_attach_state(instance, XD_ATTACH_BRIDGE,
							      ifindexes[i])));
		output_add_number(row, "containers", containers);
		network_add_flags(row, networks[i].flags);
		json_object_array_add(array, row);
	}
	output_table("networks", array, columns);
	free(ifindexes);
	free(networks);
	return 0;
}

static void add_uplink(const struct xd_instance *instance, struct json_object *array,
		       const char *name, __u32 ifindex)
{
	struct json_object *row = json_object_new_object();

	output_add_text(row, "uplink", name);
	output_add_number(row, "ifindex", ifindex);
	output_add_text(row, "program",
			attached_name(xd_attach_state(instance, XD_ATTACH_UPLINK, ifindex)));
	json_object_array_add(array, row);
}

/* Those that it has, then interfaces that are up without a program: their packets do not find
 * published ports, and do reach containers. */
static int show_uplinks(const struct xd_instance *instance)
{
	static const char *const columns[] = { "uplink", "ifindex", "program", NULL };
	struct json_object *array;
	struct xd_uplink *uplinks;
	struct xd_network network;
	struct xd_link *links;
	struct xd_rtnl *rtnl;
	size_t count, link_count;
	int r;

	r = xd_rtnl_open(-1, &rtnl);
	if (r)
		return r;
	r = xd_link_list(rtnl, &links, &link_count);
	xd_rtnl_close(rtnl);
	if (r)
		return r;
	r = xd_uplink_list(instance, &uplinks, &count);
	if (r) {
		free(links);
		return r;
	}
	array = json_object_new_array();
	for (size_t i = 0; i < count; i++)
		add_uplink(instance, array, uplinks[i].name, uplinks[i].ifindex);
	for (size_t i = 0; i < link_count; i++) {
		bool is_known = !links[i].is_up || links[i].is_loopback || links[i].master;

		for (size_t j = 0; j < count; j++)
			is_known |= uplinks[j].ifindex == links[i].ifindex;
		if (!is_known && xd_table_get(instance, XD_TABLE_NETWORK, &links[i].ifindex,
					      &network) == -ENOENT)
			add_uplink(instance, array, links[i].name, links[i].ifindex);
	}
	output_table("uplinks", array, columns);
	free(uplinks);
	free(links);
	return 0;
}

/* What is in front of the TC program of each interface, and why. */
static int show_hooks(const struct xd_instance *instance, const struct xd_state *state)
{
	static const char *const columns[] = { "interface", "is",	 "asked", "hook",
					       "early_drop", "why", NULL };
	static const char *const places[] = {
		[XD_HOOK_UPLINK] = "uplink",
		[XD_HOOK_CONTAINER] = "container",
		[XD_HOOK_BRIDGE] = "bridge",
	};
	static const char *const hooks[] = {
		[XD_HOOKED_TC] = "tc",
		[XD_HOOKED_SCREEN] = "tc",
		[XD_HOOKED_XDP] = "xdp",
		[XD_HOOKED_GENERIC] = "xdp-generic",
	};
	struct json_object *array;
	struct xd_hook_row *rows;
	struct xd_rtnl *rtnl;
	size_t count;
	int r;

	r = xd_rtnl_open(-1, &rtnl);
	if (r)
		return r;
	r = xd_hook_list(instance, rtnl, state, &rows, &count);
	xd_rtnl_close(rtnl);
	if (r)
		return r;
	array = json_object_new_array();
	for (size_t i = 0; i < count; i++) {
		struct json_object *row = json_object_new_object();

		output_add_text(row, "interface", rows[i].name);
		output_add_text(row, "is", places[rows[i].place]);
		output_add_text(row, "asked", xd_hook_name(rows[i].want));
		output_add_text(row, "hook", hooks[rows[i].hooked]);
		output_add_bool(row, "early_drop", rows[i].hooked != XD_HOOKED_TC);
		output_add_text(row, "why", rows[i].why);
		json_object_array_add(array, row);
	}
	output_table("hooks", array, columns);
	free(rows);
	return 0;
}

static int show_changes(const struct xd_instance *instance)
{
	static const char *const columns[] = { "changed", "before", NULL };
	struct json_object *array;
	struct xd_undo_key *keys;
	struct xd_undo *before;
	size_t count;
	int r;

	r = xd_undo_list(instance, &keys, &before, &count);
	if (r)
		return r;
	array = json_object_new_array();
	for (size_t i = 0; i < count; i++) {
		struct json_object *row = json_object_new_object();

		output_add_text(row, "changed", keys[i].what);
		/* Only these had a value before that says something; the rest was not there. */
		if (!strncmp(keys[i].what, "sysctl ", 7) || !strncmp(keys[i].what, "mtu ", 4))
			output_add_text(row, "before", before[i].before);
		json_object_array_add(array, row);
	}
	output_table("changes", array, columns);
	free(keys);
	free(before);
	return 0;
}

/* Every map that can be full. xd_device has a row where xd_endpoint has one. */
static int show_maps(const struct xd_instance *instance)
{
	static const char *const columns[] = { "map", "rows", "max", "full", "enlarged_by", NULL };
	struct json_object *array = json_object_new_array();

	for (int table = 0; table < XD_TABLE_MAX; table++) {
		struct json_object *row;
		struct xd_table_use use;
		int r;

		if (table == XD_TABLE_DEVICE)
			continue;
		r = xd_table_use(instance, table, &use);
		if (r) {
			json_object_put(array);
			return r;
		}
		row = json_object_new_object();
		output_add_text(row, "map", use.map);
		output_add_number(row, "rows", use.rows);
		output_add_number(row, "max", use.room);
		output_add_bool(row, "full", use.is_full);
		if (use.option)
			output_add_text(row, "enlarged_by", use.option);
		json_object_array_add(array, row);
	}
	output_table("maps", array, columns);
	return 0;
}

static int show_instance(const struct xd_instance *instance, const struct xd_state *state)
{
	struct json_object *object = json_object_new_object();
	unsigned int sockets, all;
	size_t alive = 0, room;
	struct xd_host *host;
	char text[64];
	int r;

	host = xd_host_map(instance);
	r = host ? xd_table_room(instance, XD_TABLE_PORT, &room) : -EIO;
	if (r) {
		xd_data_unmap(host);
		json_object_put(object);
		return r;
	}
	for (size_t i = 0; i < state->endpoint_count; i++)
		alive += state->endpoints[i].is_alive;
	sockets = xd_attach_count_sockets(instance, &all);
	output_add_text(object, "instance", instance->name);
	output_add_text(object, "pins", instance->pins);
	output_add_address(object, "default_address", host->address);
	xd_data_unmap(host);
	snprintf(text, sizeof(text), "%u of %u", sockets, all);
	output_add_text(object, "socket_programs", text);
	output_add_number(object, "containers", alive);
	snprintf(text, sizeof(text), "%zu of %zu", state->port_count, room);
	output_add_text(object, "ports", text);
	output_object("instance", object);
	return 0;
}

int status_show(struct xd_instance *instance, int argc, char **argv, int *status)
{
	struct xd_state state;
	int r;

	r = take_no_words(argc, argv);
	if (r)
		return r;
	if (!instance->is_up)
		return show_left(instance, status);
	r = xd_state_read(instance, &state);
	if (r)
		return r;
	r = show_instance(instance, &state);
	if (!r)
		r = show_networks(instance, &state);
	if (!r)
		r = show_uplinks(instance);
	if (!r)
		r = show_hooks(instance, &state);
	if (!r)
		r = show_maps(instance);
	if (!r)
		r = show_changes(instance);
	xd_state_free(&state);
	return r;
}

static void add_feature(struct json_object *array, const struct xd_feature *feature)
{
	struct json_object *row = json_object_new_object();

	output_add_text(row, "feature", feature->name);
	output_add_text(row, "state",
			feature->is_found    ? "ok" :
			feature->is_required ? "MISSING" :
					       "absent");
	output_add_text(row, "in", feature->since);
	output_add_text(row, "for", feature->purpose);
	json_object_array_add(array, row);
}

int check(struct xd_instance *instance, int argc, char **argv, int *status)
{
	static const char *const columns[] = { "feature", "state", "in", "for", NULL };
	struct json_object *array;
	struct xd_instance here;
	struct xd_feature *features, programs = {
		.name = "xdock's programs",
		.purpose = "the datapath, as the verifier sees it",
		.since = "-",
		.is_required = true,
	};
	size_t count;
	int r;

	(void)instance;
	r = take_no_words(argc, argv);
	if (r)
		return r;
	/* No root, no bpffs, another /sys: the reasons that no probe can give. */
	r = xd_instance_open(NULL, &here);
	if (!r)
		xd_instance_close(&here);
	else if (r != -ENOPROTOOPT)
		return r;
	r = xd_probe(&features, &count);
	if (r)
		return r;
	array = json_object_new_array();
	for (size_t i = 0; i < count; i++) {
		add_feature(array, &features[i]);
		if (features[i].is_required && !features[i].is_found)
			*status = 2;
	}
	free(features);
	programs.is_found = !xd_object_try();
	if (!programs.is_found) {
		/* What the verifier says is of use only if nothing is known to be missing. */
		if (!*status)
			fputs(xd_log(), stderr);
		*status = 2;
	}
	add_feature(array, &programs);
	output_table("features", array, columns);
	return 0;
}

static int add_counts(const struct xd_instance *instance, struct json_object *row, __u32 counter)
{
	struct xd_count counts[XD_COUNT_DIRECTIONS];
	int r = xd_count_read(instance, counter, counts);

	if (r)
		return r;
	output_add_number(row, "packets_in", counts[XD_COUNT_IN].packets);
	output_add_number(row, "bytes_in", counts[XD_COUNT_IN].bytes);
	output_add_number(row, "packets_out", counts[XD_COUNT_OUT].packets);
	output_add_number(row, "bytes_out", counts[XD_COUNT_OUT].bytes);
	return 0;
}

static int port_stats(const struct xd_instance *instance, const struct xd_state *state,
		      struct json_object *array)
{
	struct xd_port_range *ranges;
	size_t count;
	int r;

	r = xd_port_ranges(state->ports, state->port_count, &ranges, &count);
	for (size_t i = 0; !r && i < count; i++) {
		struct json_object *row = port_row(&ranges[i]);

		r = add_counts(instance, row, ranges[i].counter);
		json_object_array_add(array, row);
	}
	free(ranges);
	return r;
}

static int container_stats(const struct xd_instance *instance, const struct xd_state *state,
			   struct json_object *array)
{
	int r = 0;

	for (size_t i = 0; !r && i < state->endpoint_count; i++) {
		struct json_object *row = json_object_new_object();

		output_add_text(row, "container", state->endpoints[i].value.name);
		r = add_counts(instance, row, state->endpoints[i].value.counter);
		json_object_array_add(array, row);
	}
	return r;
}

int stats(struct xd_instance *instance, int argc, char **argv, int *status)
{
	static const char *const port_columns[] = {
		"host",	      "host_port", "protocol",	  "container", "port",
		"packets_in", "bytes_in",  "packets_out", "bytes_out", NULL
	};
	static const char *const container_columns[] = { "container",	"packets_in",  "bytes_in",
							 "packets_out", "bytes_out",   NULL };
	struct json_object *ports = json_object_new_array();
	struct json_object *containers = json_object_new_array();
	struct xd_state state = {};
	int r;

	(void)status;
	r = take_no_words(argc, argv);
	if (!r)
		r = xd_state_read(instance, &state);
	if (!r)
		r = port_stats(instance, &state, ports);
	if (!r)
		r = container_stats(instance, &state, containers);
	xd_state_free(&state);
	if (r) {
		json_object_put(ports);
		json_object_put(containers);
		return r;
	}
	output_table("ports", ports, port_columns);
	output_table("containers", containers, container_columns);
	return 0;
}

int drops(struct xd_instance *instance, int argc, char **argv, int *status)
{
	static const struct {
		const char *name;
		const char *sentence;
	} reasons[XD_DROP_MAX] = {
#define X(number, symbol, name, sentence) { name, sentence },
		XD_DROP_REASONS(X)
#undef X
	};
	static const char *const columns[] = { "reason", "packets", "because", NULL };
	struct json_object *array;
	__u64 counts[XD_DROP_MAX];
	int r;

	(void)status;
	r = take_no_words(argc, argv);
	if (!r)
		r = xd_drop_read(instance, counts);
	if (r)
		return r;
	array = json_object_new_array();
	for (int i = 0; i < XD_DROP_MAX; i++) {
		struct json_object *row = json_object_new_object();

		output_add_text(row, "reason", reasons[i].name);
		output_add_number(row, "packets", counts[i]);
		output_add_text(row, "because", reasons[i].sentence);
		json_object_array_add(array, row);
	}
	output_table("drops", array, columns);
	return 0;
}
