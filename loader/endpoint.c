// SPDX-License-Identifier: GPL-2.0-only
/* Endpoints: containers, each with a namespace, a veth pair, an address and published ports.
 *
 * add: namespace -> veth pair -> xd_device, xd_endpoint, xd_address -> program -> addresses, up
 *      -> neighbours -> ports
 * rm:  ports -> xd_address -> program -> veth pair (xd_device goes with it) -> flows
 *      -> xd_endpoint -> namespace
 *
 * A killed `add` is finished by the same command: the row of xd_endpoint says what was decided,
 * and every step behind it can be done again. Before that row there are a namespace and a veth
 * pair without a row, which xd_endpoint_heal() removes. */
#include "loader/endpoint.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/limits.h"
#include "loader/attach.h"
#include "loader/error.h"
#include "loader/flow.h"
#include "loader/hook.h"
#include "loader/limit.h"
#include "loader/netns.h"
#include "loader/network.h"
#include "loader/port.h"
#include "loader/reserve.h"
#include "loader/step.h"
#include "loader/table.h"
#include "loader/undo.h"

#define HOST_PREFIX "xd-"

#define RUNNING_TRIES 1000 /* a millisecond each */

/* Name of the veth's host end: xd-NAME, or for a name that is too long a piece of it and an
 * FNV-1a hash of all. */
static void host_name(const char *name, char ret_name[16])
{
	__u32 hash = 2166136261U;

	if (strlen(name) <= 12) {
		snprintf(ret_name, 16, HOST_PREFIX "%s", name);
		return;
	}
	for (const char *c = name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619U;
	snprintf(ret_name, 16, HOST_PREFIX "%.3s-%08x", name, hash);
}

/* As Docker derives it: 02:42 and the address. */
static void make_mac(__be32 address, __u8 mac[6])
{
	mac[0] = 0x02;
	mac[1] = 0x42;
	memcpy(mac + 2, &address, sizeof(address));
}

const char *xd_endpoint_netns_path(const struct xd_instance *instance, const char *name,
				   char path[160])
{
	snprintf(path, 160, "%s/%s", instance->run, name);
	return path;
}

int xd_endpoint_find(const struct xd_state *state, const char *name,
		     const struct xd_endpoint_row **ret_endpoint)
{
	for (size_t i = 0; i < state->endpoint_count; i++) {
		if (state->endpoints[i].is_alive && !strcmp(state->endpoints[i].value.name, name)) {
			*ret_endpoint = &state->endpoints[i];
			return 0;
		}
	}
	return xd_error_missing("container %s: no such container", name);
}

/* The container's own end in a namespace; false also if it is somebody else's eth0. */
static bool has_container_link(int netns_fd, const struct xd_endpoint *endpoint,
			       struct xd_rtnl **ret_rtnl, struct xd_link *ret_link)
{
	struct xd_rtnl *rtnl;

	if (xd_rtnl_open(netns_fd, &rtnl))
		return false;
	if (xd_link_find(rtnl, XD_ENDPOINT_LINK, ret_link) ||
	    memcmp(ret_link->mac, endpoint->mac, sizeof(endpoint->mac))) {
		xd_rtnl_close(rtnl);
		return false;
	}
	*ret_rtnl = rtnl;
	return true;
}

int xd_endpoint_open_netns(const struct xd_instance *instance,
			   const struct xd_endpoint_row *endpoint, int *ret_fd)
{
	struct xd_rtnl *rtnl;
	struct xd_link link;
	char path[160];
	int fd, r;

	xd_endpoint_netns_path(instance, endpoint->value.name, path);
	r = xd_netns_open(path, &fd);
	if (r)
		return xd_error_in(r, "container %s", endpoint->value.name);
	/* A path to a process may be another process' by now. */
	if (!has_container_link(fd, &endpoint->value, &rtnl, &link)) {
		close(fd);
		return xd_error_missing("container %s: %s is not its namespace",
					endpoint->value.name, path);
	}
	xd_rtnl_close(rtnl);
	*ret_fd = fd;
	return 0;
}

/* Away from everything that sends it packets. */
static int disconnect(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		      const struct xd_state *state, const struct xd_endpoint_row *endpoint)
{
	const struct xd_endpoint *value = &endpoint->value;
	struct xd_address_key address = { .bridge = value->bridge, .address = value->address };
	struct xd_port_rev_key *revs = calloc(state->port_count + 1, sizeof(*revs));
	struct xd_port_key *ports = calloc(state->port_count + 1, sizeof(*ports));
	struct xd_link link;
	size_t count = 0;
	int r = 0;

	if (!ports || !revs) {
		r = xd_error_system(-ENOMEM, "container %s", value->name);
		goto free;
	}
	for (size_t i = 0; i < state->port_count; i++) {
		if (state->ports[i].value.ifindex != endpoint->ifindex)
			continue;
		ports[count] = state->ports[i].key;
		revs[count++] = (struct xd_port_rev_key){
			.address = state->ports[i].value.address,
			.port = state->ports[i].value.port,
			.protocol = state->ports[i].key.protocol,
		};
	}
	r = xd_table_delete_many(instance, XD_TABLE_PORT, ports, count);
	if (!r)
		r = xd_table_delete_many(instance, XD_TABLE_PORT_REV, revs, count);
	if (!r)
		r = xd_table_delete(instance, XD_TABLE_ADDRESS, &address);
	if (!r)
		r = xd_hook_detach(instance, XD_HOOK_CONTAINER, endpoint->ifindex, value->name);
	if (!r)
		r = xd_detach(instance, XD_ATTACH_CONTAINER, endpoint->ifindex, value->name);
	/* Without its row the device is not the one that the row was made for. */
	if (!r && endpoint->is_alive)
		r = xd_link_delete(rtnl, endpoint->ifindex);
	if (!r && endpoint->is_alive && !xd_link_get(rtnl, endpoint->ifindex, &link))
		r = xd_error_system(-EBUSY, "container %s: %s is still there", value->name,
				    link.name);
	if (!r)
		r = xd_undo_forget(instance, "offload", value->name);
free:
	free(ports);
	free(revs);
	return r;
}

int xd_endpoint_delete(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		       const struct xd_state *state, const struct xd_endpoint_row *endpoints,
		       size_t count)
{
	__be32 *addresses = calloc(count + 1, sizeof(*addresses));
	char path[160];
	size_t i;
	int r = 0;

	if (!addresses)
		return xd_error_system(-ENOMEM, "containers");
	for (i = 0; !r && i < count; i++) {
		addresses[i] = endpoints[i].value.address;
		if (xd_step("remove container %s", endpoints[i].value.name))
			r = disconnect(instance, rtnl, state, &endpoints[i]);
	}
	/* The row keeps the address from others until nothing is left of its flows. */
	if (!r && count)
		r = xd_flow_forget(instance, addresses, count, NULL);
	for (i = 0; !r && i < count && !xd_step_is_dry_run(); i++) {
		r = xd_table_delete(instance, XD_TABLE_ENDPOINT, &endpoints[i].ifindex);
		if (!r)
			r = xd_netns_remove(
				xd_endpoint_netns_path(instance, endpoints[i].value.name, path));
	}
	if (!r)
		xd_error_clear();
	free(addresses);
	return r;
}

/* Veth pairs that a killed `add` made and no row knows. Ours are told by their name and by the
 * bridge that they are in. */
static int remove_orphans(const struct xd_instance *instance, struct xd_rtnl *rtnl,
			  const struct xd_state *state)
{
	struct xd_network network;
	struct xd_link *links;
	size_t count;
	int r;

	r = xd_link_list(rtnl, &links, &count);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++) {
		bool is_known = false;

		if (strncmp(links[i].name, HOST_PREFIX, strlen(HOST_PREFIX)) ||
		    strcmp(links[i].kind, "veth") ||
		    xd_table_get(instance, XD_TABLE_NETWORK, &links[i].master, &network))
			continue;
		for (size_t j = 0; j < state->endpoint_count; j++)
			is_known |= state->endpoints[j].ifindex == links[i].ifindex;
		if (!is_known && xd_step("delete interface %s, which no container has",
					 links[i].name))
			r = xd_link_delete(rtnl, links[i].ifindex);
	}
	free(links);
	return r;
}

/* Namespaces of containers that are gone. */
static int remove_namespaces(const struct xd_instance *instance, const struct xd_state *state)
{
	const struct xd_endpoint_row *endpoint;
	struct dirent *entry;
	DIR *directory;
	char path[160];
	int r = 0;

	directory = opendir(instance->run);
	if (!directory)
		return errno == ENOENT ? 0 : xd_error_system(-errno, "%s", instance->run);
	while (!r && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= XD_NAME_LEN)
			continue;
		if (!xd_endpoint_find(state, entry->d_name, &endpoint))
			continue;
		xd_error_clear();
		if (xd_step("remove the namespace of %s, which is gone", entry->d_name))
			r = xd_netns_remove(
				xd_endpoint_netns_path(instance, entry->d_name, path));
	}
	closedir(directory);
	return r;
}

/* The veth of a container that nothing but its namespace below /run tells of. */
static int sweep_link(struct xd_rtnl *rtnl, const char *container)
{
	struct xd_link link = {};
	char name[16];

	host_name(container, name);
	if (xd_link_find(rtnl, name, &link) || strcmp(link.kind, "veth")) {
		xd_error_clear();
		return 0;
	}
	if (xd_attach_is_left(XD_ATTACH_CONTAINER, link.ifindex))
		return xd_error_system(-EBUSY,
				       "interface %s: has a program of xdock, whose pins are in "
				       "another bpffs; take it down from there",
				       name);
	return xd_step("delete interface %s, which was left behind", name) ?
		       xd_link_delete(rtnl, link.ifindex) :
		       0;
}

int xd_endpoint_sweep(const struct xd_instance *instance)
{
	struct xd_state none = {};
	struct xd_rtnl *rtnl;
	struct dirent *entry;
	DIR *directory;
	int r;

	r = xd_rtnl_open(-1, &rtnl);
	if (r)
		return r;
	directory = opendir(instance->run);
	while (!r && directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			r = sweep_link(rtnl, entry->d_name);
	if (directory)
		closedir(directory);
	xd_rtnl_close(rtnl);
	return r ? r : remove_namespaces(instance, &none);
}

/* Pins of programs whose device is gone. */
static int remove_links(const struct xd_instance *instance, const struct xd_state *state)
{
	static const char prefix[] = "container-", xdp_prefix[] = "xdp-container-";
	char path[XD_PIN_PATH_LEN];
	struct dirent *entry;
	DIR *directory;
	int r = 0;

	directory = opendir(xd_pin_path(instance, "link", path));
	if (!directory)
		return xd_error_system(-errno, "%s", path);
	while (!r && (entry = readdir(directory))) {
		bool is_xdp = !strncmp(entry->d_name, xdp_prefix, sizeof(xdp_prefix) - 1);
		unsigned long ifindex;
		bool is_known = false;

		if (!is_xdp && strncmp(entry->d_name, prefix, sizeof(prefix) - 1))
			continue;
		ifindex = strtoul(strrchr(entry->d_name, '-') + 1, NULL, 10);
		for (size_t i = 0; i < state->endpoint_count; i++)
			is_known |= state->endpoints[i].ifindex == ifindex;
		if (!is_known)
			r = is_xdp ? xd_hook_detach(instance, XD_HOOK_CONTAINER, ifindex,
						    entry->d_name) :
				     xd_detach(instance, XD_ATTACH_CONTAINER, ifindex,
					       entry->d_name);
	}
	closedir(directory);
	return r;
}

int xd_endpoint_heal(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		     struct xd_state *ret_state)
{
	struct xd_state state = {};
	int r;

	r = xd_state_heal(instance, &state);
	if (!r)
		r = remove_orphans(instance, rtnl, &state);
	if (!r)
		r = remove_namespaces(instance, &state);
	if (!r)
		r = remove_links(instance, &state);
	if (!r)
		r = xd_hook_forget(instance, &state);
	if (!r)
		r = xd_limit_heal(instance, &state);
	if (!r)
		r = xd_reserve_update(instance, &state, NULL, 0);
	if (r)
		xd_state_free(&state);
	else
		*ret_state = state;
	return r;
}

/* What is to become of the request: the row as it will be, and whether it is there already. */
struct plan {
	const struct xd_endpoint_options *options;
	struct xd_network network;
	struct xd_endpoint_row row;
	bool is_new;
	bool has_link; /* this command made the veth pair */
	int netns_fd;
};

static int check_address(const struct plan *plan, const struct xd_state *state, __u32 bridge,
			 __be32 address)
{
	const struct xd_network *network = &plan->network;
	__be32 host = address & ~network->mask;
	char text[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];
	const char *name = plan->options->name;

	inet_ntop(AF_INET, &address, text, sizeof(text));
	inet_ntop(AF_INET, &network->gateway, gateway, sizeof(gateway));
	if ((address ^ network->gateway) & network->mask)
		return xd_error_usage("container %s: address %s is outside of %s/%d, the subnet "
				      "of %s",
				      name, text, gateway, __builtin_popcount(network->mask),
				      network->name);
	if (address == network->gateway)
		return xd_error_usage("container %s: address %s is the gateway of %s", name, text,
				      network->name);
	if (!host || host == ~network->mask)
		return xd_error_usage("container %s: address %s is the %s address of the subnet",
				      name, text, host ? "broadcast" : "network");
	for (size_t i = 0; i < state->endpoint_count; i++)
		if (state->endpoints[i].value.bridge == bridge &&
		    state->endpoints[i].value.address == address)
			return xd_error_system(-EBUSY,
					       "container %s: address %s: in use by container %s",
					       name, text, state->endpoints[i].value.name);
	return 0;
}

/* The container is there: is it the one that is asked for? */
static int check_existing(const struct xd_instance *instance, struct plan *plan,
			  const struct xd_endpoint_row *existing)
{
	const struct xd_endpoint_options *options = plan->options;
	char text[INET_ADDRSTRLEN];
	int fd, r;

	inet_ntop(AF_INET, &existing->value.address, text, sizeof(text));
	if (options->address && options->address != existing->value.address)
		return xd_error_system(-EEXIST, "container %s: exists already, with address %s",
				       options->name, text);
	if (options->bridge && strcmp(options->bridge, plan->network.name))
		return xd_error_system(-EEXIST, "container %s: exists already, on %s",
				       options->name, plan->network.name);
	r = xd_endpoint_open_netns(instance, existing, &fd);
	if (r)
		return r;
	if (options->netns_fd >= 0 && !xd_netns_is_same(fd, options->netns_fd)) {
		close(fd);
		return xd_error_system(-EEXIST,
				       "container %s: exists already, in another namespace",
				       options->name);
	}
	plan->netns_fd = fd;
	plan->row = *existing;
	plan->row.value.flags = plan->network.flags;
	plan->row.value.mtu = plan->network.mtu;
	return 0;
}

static int make_plan(const struct xd_instance *instance, const struct xd_state *state,
		     struct plan *plan)
{
	const struct xd_endpoint_options *options = plan->options;
	const struct xd_endpoint_row *existing;
	struct xd_endpoint *value = &plan->row.value;
	__u32 bridge;
	int r;

	r = xd_spec_parse_name(options->name);
	if (r)
		return r;
	if (options->netns_fd >= 0 && xd_netns_is_same(options->netns_fd, instance->netns_fd))
		return xd_error_usage("container %s: namespace %s is the host's own", options->name,
				      options->netns);
	if (!xd_endpoint_find(state, options->name, &existing)) {
		r = xd_table_get(instance, XD_TABLE_NETWORK, &existing->value.bridge,
				 &plan->network);
		return r ? r : check_existing(instance, plan, existing);
	}
	xd_error_clear();

	plan->is_new = true;
	r = xd_network_find(instance, options->bridge, &bridge, &plan->network);
	if (r)
		return r;
	value->address = options->address;
	r = value->address ? check_address(plan, state, bridge, value->address)
			   : xd_reconcile_free_address(state, bridge, plan->network.gateway,
						       plan->network.mask, &value->address);
	if (r)
		return r;
	if (state->endpoint_count >= XD_ENDPOINT_MAX)
		return xd_table_full(XD_TABLE_ENDPOINT);
	value->mask = plan->network.mask;
	value->gateway = plan->network.gateway;
	value->bridge = bridge;
	value->mtu = plan->network.mtu;
	value->flags = plan->network.flags;
	make_mac(value->address, value->mac);
	memcpy(value->gateway_mac, plan->network.mac, sizeof(value->gateway_mac));
	snprintf(value->name, sizeof(value->name), "%s", options->name);
	return xd_count_allocate(instance, state, 0, &value->counter);
}

/* The namespace where the container can be found afterwards: made there, or linked to. */
static int set_netns(const struct xd_instance *instance, struct plan *plan)
{
	const struct xd_endpoint_options *options = plan->options;
	char path[160];
	int r;

	xd_endpoint_netns_path(instance, options->name, path);
	if (options->netns_fd < 0)
		return xd_netns_add(path, &plan->netns_fd);
	plan->netns_fd = dup(options->netns_fd);
	if (plan->netns_fd < 0)
		return xd_error_system(-errno, "container %s", options->name);
	r = xd_netns_prepare(path);
	if (!r && symlink(options->netns, path))
		r = xd_error_system(-errno, "%s: link to the namespace", path);
	return r;
}

static int make_link(struct xd_rtnl *rtnl, struct plan *plan)
{
	struct xd_endpoint *value = &plan->row.value;
	struct xd_link link = {};
	char name[16];
	int r;

	host_name(value->name, name);
	r = xd_link_add_veth(rtnl, name, value->bridge, plan->network.mtu, plan->netns_fd,
			     XD_ENDPOINT_LINK, value->mac);
	plan->has_link = !r;
	if (!r)
		r = xd_link_find(rtnl, name, &link);
	/* A frame to the MAC of a port is the host's like one to the bridge's own. With one MAC for
	 * both there is but one that a container can reach the router by, which the programs
	 * know. */
	if (!r)
		r = xd_link_set_mac(rtnl, link.ifindex, plan->network.mac);
	if (r)
		return xd_error_in(r, "container %s", value->name);
	plan->row.ifindex = link.ifindex;
	return 0;
}

int xd_endpoint_put(const struct xd_instance *instance, const struct xd_endpoint_row *endpoint)
{
	struct xd_endpoint value = endpoint->value, now;
	int r;

	r = xd_table_get(instance, XD_TABLE_ENDPOINT, &endpoint->ifindex, &now);
	if (r && r != -ENOENT)
		return r;
	if (!r)
		value.hairpin = now.hairpin;
	return xd_table_put(instance, XD_TABLE_ENDPOINT, &endpoint->ifindex, &value);
}

static int set_rows(const struct xd_instance *instance, const struct xd_endpoint_row *row)
{
	struct xd_address_key key = { .bridge = row->value.bridge, .address = row->value.address };
	struct xd_address address = { .ifindex = row->ifindex, .counter = row->value.counter };
	int r;

	memcpy(address.mac, row->value.mac, sizeof(address.mac));
	r = xd_table_put(instance, XD_TABLE_DEVICE, &row->ifindex, &row->ifindex);
	if (!r)
		r = xd_endpoint_put(instance, row);
	return r ? r : xd_table_put(instance, XD_TABLE_ADDRESS, &key, &address);
}

/* Everything inside of the namespace. */
static int set_container(const struct plan *plan)
{
	const struct xd_endpoint *value = &plan->row.value;
	struct xd_link eth = {}, loopback = {};
	struct xd_rtnl *rtnl;
	int r;

	r = xd_rtnl_open(plan->netns_fd, &rtnl);
	if (r)
		return r;
	r = xd_link_find(rtnl, "lo", &loopback);
	if (!r)
		r = xd_link_set_up(rtnl, loopback.ifindex, true);
	if (!r)
		r = xd_link_find(rtnl, XD_ENDPOINT_LINK, &eth);
	if (!r)
		r = xd_link_add_address(rtnl, eth.ifindex, value->address, value->mask);
	if (!r)
		r = xd_link_set_up(rtnl, eth.ifindex, true);
	/* From an internal network nothing is to be reached by a route. */
	if (!r && !(value->flags & XD_NETWORK_INTERNAL))
		r = xd_link_add_default_route(rtnl, eth.ifindex, value->gateway);
	xd_rtnl_close(rtnl);
	return r;
}

/* Tell siblings who knew another MAC address for this one. */
static int announce(const struct xd_instance *instance, const struct plan *plan)
{
	const struct xd_endpoint *value = &plan->row.value;
	struct xd_rtnl *rtnl;
	struct xd_link eth = {};
	int r;

	r = xd_rtnl_open(plan->netns_fd, &rtnl);
	if (r)
		return r;
	r = xd_link_find(rtnl, XD_ENDPOINT_LINK, &eth);
	xd_rtnl_close(rtnl);
	if (!r)
		r = xd_netns_enter(plan->netns_fd);
	if (r)
		return r;
	r = xd_link_announce(eth.ifindex, value->mac, value->address);
	/* In a namespace that is not its own, all that the process does next would be wrong. */
	if (xd_netns_enter(instance->netns_fd))
		abort();
	return r;
}

/* The bridge forwards a port's frames only when its carrier was noticed, soon after it is up.
 * What is sent before that is lost. */
static int wait_running(struct xd_rtnl *rtnl, __u32 ifindex)
{
	struct xd_link link = {};
	int r = 0;

	for (int i = 0; !r && !link.is_running && i < RUNNING_TRIES; i++) {
		r = xd_link_get(rtnl, ifindex, &link);
		if (!r && !link.is_running)
			usleep(1000);
	}
	return r;
}

static int connect_container(const struct xd_instance *instance, struct xd_rtnl *rtnl,
			     const struct xd_state *state, struct plan *plan)
{
	const struct xd_endpoint *value = &plan->row.value;
	int r;

	r = set_rows(instance, &plan->row);
	if (!r)
		r = xd_attach(instance, XD_ATTACH_CONTAINER, plan->row.ifindex, value->name);
	if (!r)
		r = xd_hook_connect(instance, rtnl, state, &plan->row, plan->netns_fd);
	if (!r)
		r = set_container(plan);
	if (!r)
		r = xd_link_add_fdb(rtnl, plan->row.ifindex, value->mac);
	if (!r)
		r = xd_link_set_up(rtnl, plan->row.ifindex, true);
	if (!r)
		r = wait_running(rtnl, plan->row.ifindex);
	return r ? r : announce(instance, plan);
}

/* After a failure: nothing that this command made stays. The message is of the failure. */
static void roll_back(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		      const struct xd_state *state, struct plan *plan)
{
	struct xd_error_saved saved;
	char path[160], name[16];
	struct xd_link link;

	xd_error_save(&saved);
	plan->row.is_alive = true;
	if (plan->row.ifindex) {
		xd_endpoint_delete(instance, rtnl, state, &plan->row, 1);
	} else {
		host_name(plan->options->name, name);
		if (plan->has_link && !xd_link_find(rtnl, name, &link))
			xd_link_delete(rtnl, link.ifindex);
		xd_netns_remove(xd_endpoint_netns_path(instance, plan->options->name, path));
	}
	xd_error_restore(&saved);
}

int xd_endpoint_add(const struct xd_instance *instance, const struct xd_endpoint_options *options,
		    struct xd_endpoint_row *ret_endpoint)
{
	struct plan plan = { .options = options, .netns_fd = -1 };
	char text[INET_ADDRSTRLEN];
	struct xd_rtnl *rtnl = NULL;
	struct xd_state state = {};
	int r;

	r = xd_rtnl_open(-1, &rtnl);
	if (!r)
		r = xd_endpoint_heal(instance, rtnl, &state);
	if (!r)
		r = xd_network_refresh(instance, rtnl, &state);
	if (!r)
		r = make_plan(instance, &state, &plan);
	if (r)
		goto free;

	inet_ntop(AF_INET, &plan.row.value.address, text, sizeof(text));
	if (xd_step("connect container %s to %s as %s", options->name, plan.network.name, text)) {
		if (plan.is_new) {
			r = set_netns(instance, &plan);
			if (!r)
				r = make_link(rtnl, &plan);
		}
		if (!r)
			r = connect_container(instance, rtnl, &state, &plan);
	}
	if (!r && options->spec_count)
		r = xd_port_add(instance, &state, &plan.row, options->specs, options->spec_count,
				NULL, NULL, NULL, NULL);
	plan.row.is_alive = true;
	if (!r)
		*ret_endpoint = plan.row;
	else if (plan.is_new && !xd_step_is_dry_run())
		roll_back(instance, rtnl, &state, &plan);
free:
	if (plan.netns_fd >= 0)
		close(plan.netns_fd);
	xd_state_free(&state);
	xd_rtnl_close(rtnl);
	return r;
}

int xd_endpoint_remove(const struct xd_instance *instance, const char *name)
{
	const struct xd_endpoint_row *endpoint;
	struct xd_rtnl *rtnl = NULL;
	struct xd_state state = {};
	int r;

	r = xd_spec_parse_name(name);
	if (!r)
		r = xd_rtnl_open(-1, &rtnl);
	if (r)
		return r;
	r = xd_endpoint_heal(instance, rtnl, &state);
	if (!r && xd_endpoint_find(&state, name, &endpoint)) {
		xd_error_clear();
	} else if (!r) {
		r = xd_endpoint_delete(instance, rtnl, &state, endpoint, 1);
		xd_state_free(&state);
		if (!r)
			r = xd_endpoint_heal(instance, rtnl, &state);
		if (!r)
			r = xd_hook_relax(instance, &state);
		if (!r)
			r = xd_network_refresh(instance, rtnl, &state);
	}
	xd_state_free(&state);
	xd_rtnl_close(rtnl);
	return r;
}
