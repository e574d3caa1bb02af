// SPDX-License-Identifier: GPL-2.0-only
/* xdock container add, rm, list, exec; xdock run */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/endpoint.h"
#include "loader/error.h"
#include "loader/netns.h"
#include "loader/network.h"
#include "loader/process.h"
#include "loader/spec.h"
#include "loader/step.h"
#include "loader/table.h"
#include "user/command.h"
#include "user/output.h"
#include "user/port.h"

enum {
	OPTION_NAME = 256,
	OPTION_BRIDGE,
	OPTION_IP,
	OPTION_NETNS,
	OPTION_PID,
};

static const struct option add_options[] = {
	{ "netns", required_argument, NULL, OPTION_NETNS },
	{ "pid", required_argument, NULL, OPTION_PID },
	{ "bridge", required_argument, NULL, OPTION_BRIDGE },
	{ "ip", required_argument, NULL, OPTION_IP },
	{ "publish", required_argument, NULL, 'p' },
	{},
};

static const struct option run_options[] = {
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "bridge", required_argument, NULL, OPTION_BRIDGE },
	{ "ip", required_argument, NULL, OPTION_IP },
	{ "publish", required_argument, NULL, 'p' },
	{},
};

static const struct option no_options[] = { {} };

/* What `container add` and `run` were asked for. */
struct request {
	struct xd_endpoint_options options;
	struct xd_spec *specs;
	char netns[PATH_MAX]; /* where the namespace is found */
};

static int open_netns(struct request *request, const char *what)
{
	int r;

	if (request->options.netns_fd >= 0)
		return xd_error_usage("container add: one of --netns and --pid is enough");
	r = xd_netns_open(what, &request->options.netns_fd);
	if (r)
		return r;
	snprintf(request->netns, sizeof(request->netns), "/run/netns/%s", what);
	/* Names go before pids, as in xd_netns_open(); below /proc a path is no path to resolve. */
	if (strchr(what, '/') && !realpath(what, request->netns))
		snprintf(request->netns, sizeof(request->netns), "%s", what);
	else if (!strchr(what, '/') && access(request->netns, F_OK))
		snprintf(request->netns, sizeof(request->netns), "/proc/%s/ns/net", what);
	request->options.netns = request->netns;
	return 0;
}

static int open_pid(struct request *request, const char *text)
{
	unsigned long pid;
	int r;

	if (request->options.netns_fd >= 0)
		return xd_error_usage("container add: one of --netns and --pid is enough");
	r = xd_spec_parse_number("pid", text, 1, INT_MAX, &pid);
	if (!r)
		r = xd_netns_open_pid(pid, &request->options.netns_fd);
	if (r)
		return r;
	snprintf(request->netns, sizeof(request->netns), "/proc/%lu/ns/net", pid);
	request->options.netns = request->netns;
	return 0;
}

static int parse_request(int argc, char **argv, const char *letters, const struct option *options,
			 struct request *request)
{
	int option, r = 0;

	request->specs = calloc(argc, sizeof(*request->specs));
	if (!request->specs)
		return xd_error_system(-ENOMEM, "%s", argv[0]);
	request->options.specs = request->specs;
	request->options.netns_fd = -1;
	while (!r && (option = command_option(argc, argv, letters, options)) != -1) {
		switch (option) {
		case OPTION_NAME:
			request->options.name = optarg;
			break;
		case OPTION_BRIDGE:
			request->options.bridge = optarg;
			break;
		case OPTION_IP:
			r = xd_spec_parse_address(optarg, &request->options.address);
			if (!r && !request->options.address)
				r = xd_error_usage("address %s: is no container's; leave --ip out "
						   "to have one chosen", optarg);
			break;
		case OPTION_NETNS:
			r = open_netns(request, optarg);
			break;
		case OPTION_PID:
			r = open_pid(request, optarg);
			break;
		case 'p':
			r = port_parse(&optarg, 1, &request->specs[request->options.spec_count]);
			request->options.spec_count++;
			break;
		default:
			r = -EINVAL;
		}
	}
	return r;
}

static void free_request(struct request *request)
{
	if (request->options.netns_fd >= 0)
		close(request->options.netns_fd);
	free(request->specs);
}

static struct json_object *endpoint_row(const struct xd_instance *instance,
					const struct xd_state *state,
					const struct xd_endpoint_row *endpoint)
{
	struct json_object *row = json_object_new_object();
	char path[160], netns[PATH_MAX];
	struct xd_network network;
	size_t ports = 0;
	ssize_t length;

	for (size_t i = 0; i < state->port_count; i++)
		ports += state->ports[i].value.ifindex == endpoint->ifindex;
	xd_endpoint_netns_path(instance, endpoint->value.name, path);
	length = readlink(path, netns, sizeof(netns) - 1);
	netns[length > 0 ? length : 0] = '\0';
	output_add_text(row, "name", endpoint->value.name);
	output_add_cidr(row, "address", endpoint->value.address, endpoint->value.mask);
	output_add_mac(row, "mac", endpoint->value.mac);
	if (!xd_table_get(instance, XD_TABLE_NETWORK, &endpoint->value.bridge, &network))
		output_add_text(row, "bridge", network.name);
	output_add_number(row, "ifindex", endpoint->ifindex);
	output_add_number(row, "ports", ports);
	output_add_bool(row, "alive", endpoint->is_alive);
	output_add_text(row, "netns", length > 0 ? netns : path);
	return row;
}

static int endpoint_table(const struct xd_instance *instance, const char *name)
{
	static const char *const columns[] = { "name",	"address", "mac",   "bridge", "ifindex",
					       "ports", "alive",   "netns", NULL };
	struct json_object *array = json_object_new_array();
	struct xd_state state;
	int r;

	r = xd_state_read(instance, &state);
	if (r)
		return r;
	for (size_t i = 0; i < state.endpoint_count; i++)
		if (!name || !strcmp(name, state.endpoints[i].value.name))
			json_object_array_add(array,
					      endpoint_row(instance, &state, &state.endpoints[i]));
	output_table("containers", array, columns);
	xd_state_free(&state);
	return 0;
}

static int add(struct xd_instance *instance, int argc, char **argv, int *status)
{
	struct request request = {};
	struct xd_endpoint_row endpoint;
	int r;

	(void)status;
	r = parse_request(argc, argv, ":p:", add_options, &request);
	if (!r)
		r = command_words(argc, argv, 1, 1);
	if (!r) {
		request.options.name = argv[optind];
		r = xd_endpoint_add(instance, &request.options, &endpoint);
	}
	if (!r && !xd_step_is_dry_run())
		r = endpoint_table(instance, request.options.name);
	free_request(&request);
	return r;
}

static int rm(struct xd_instance *instance, int argc, char **argv, int *status)
{
	int r;

	(void)status;
	if (command_option(argc, argv, ":", no_options) != -1)
		return -EINVAL;
	r = command_words(argc, argv, 1, argc);
	for (int i = optind; !r && i < argc; i++)
		r = xd_endpoint_remove(instance, argv[i]);
	return r;
}

static int list(struct xd_instance *instance, int argc, char **argv, int *status)
{
	int r;

	(void)status;
	if (command_option(argc, argv, ":", no_options) != -1)
		return -EINVAL;
	r = command_words(argc, argv, 0, 0);
	return r ? r : endpoint_table(instance, NULL);
}

static int exec(struct xd_instance *instance, int argc, char **argv, int *status)
{
	const struct xd_endpoint_row *endpoint;
	struct xd_state state = {};
	const char *name;
	int fd = -1, r;

	(void)status;
	if (command_option(argc, argv, "+:", no_options) != -1)
		return -EINVAL;
	r = command_words(argc, argv, 2, argc);
	if (r)
		return r;
	name = argv[optind];
	argv += optind + 1;
	if (!strcmp(argv[0], "--"))
		argv++;
	if (!argv[0])
		return xd_error_usage("container exec: a command is missing behind --");
	r = xd_state_read(instance, &state);
	if (!r)
		r = xd_endpoint_find(&state, name, &endpoint);
	if (!r)
		r = xd_endpoint_open_netns(instance, endpoint, &fd);
	xd_state_free(&state);
	if (!r && xd_step("run %s in the namespace of container %s", argv[0], name)) {
		output_give_away();
		r = xd_process_exec(fd, argv);
	}
	if (fd >= 0)
		close(fd);
	return r;
}

const struct command container_commands[] = {
	{ "add", "NAME [--netns NETNS | --pid PID] [--bridge BRIDGE] [--ip ADDRESS] [-p SPEC]...",
	  "connect a network namespace",
	  "NAME             letters, digits, - . _\n"
	  "--netns NETNS    a name below /run/netns, a path or a pid; a new one is made\n"
	  "--pid PID        the namespace of this process\n"
	  "--bridge BRIDGE  docker0, or the only one\n"
	  "--ip ADDRESS     the lowest free one of the subnet\n"
	  "-p SPEC          publish a port, as `xdock help port` says\n",
	  COMMAND_LOCK_UP, add },
	{ "rm", "NAME...", "disconnect containers; namespaces that xdock made go with them", NULL,
	  COMMAND_LOCK_UP, rm },
	{ "list", "", "containers", NULL, COMMAND_UP, list },
	{ "exec", "NAME -- COMMAND [ARGUMENT]...", "run a command in a container's namespace",
	  NULL, COMMAND_UP, exec },
	{},
};

/* The command has stdout; what was not asked for by number is said on stderr. */
static void say_chosen_ports(const struct xd_instance *instance, const struct request *request,
			     const struct xd_endpoint_row *endpoint)
{
	struct xd_port_range *ranges = NULL;
	struct xd_state state = {};
	bool is_any = false;
	size_t count = 0;

	for (size_t i = 0; i < request->options.spec_count; i++)
		is_any |= xd_spec_is_dynamic(&request->specs[i]);
	if (!is_any || xd_state_read(instance, &state))
		return;
	if (!xd_port_ranges(state.ports, state.port_count, &ranges, &count))
		for (size_t i = 0; i < count; i++)
			if (ranges[i].ifindex == endpoint->ifindex)
				fprintf(stderr, "xdock: host port %u/%s is port %u of %s\n",
					ranges[i].host_port, xd_spec_protocol(ranges[i].protocol),
					ranges[i].port, endpoint->value.name);
	free(ranges);
	xd_state_free(&state);
}

static bool is_same(const struct xd_instance *instance, const struct xd_endpoint_row *endpoint)
{
	const struct xd_endpoint_row *found;
	struct xd_state state;
	bool is_found;

	if (xd_state_read(instance, &state))
		return false;
	is_found = !xd_endpoint_find(&state, endpoint->value.name, &found) &&
		   found->ifindex == endpoint->ifindex;
	xd_state_free(&state);
	xd_error_clear();
	return is_found;
}

/* The container exists while the command waits to begin, and until it has ended. */
static int run_connected(struct xd_instance *instance, struct request *request,
			 struct xd_process *process, int *status)
{
	struct xd_error_saved saved;
	struct xd_endpoint_row endpoint;
	int r, removed;

	r = xd_endpoint_add(instance, &request->options, &endpoint);
	if (r || xd_step_is_dry_run()) {
		xd_process_kill(process);
		return r;
	}
	say_chosen_ports(instance, request, &endpoint);
	xd_instance_unlock(instance);
	output_give_away();
	r = xd_process_go(process);
	if (!r)
		r = xd_process_wait(process, status);
	else
		xd_process_kill(process);

	xd_error_save(&saved);
	removed = xd_instance_lock(instance);
	/* Somebody may have given the name to another container meanwhile. */
	if (!removed && instance->is_up && is_same(instance, &endpoint))
		removed = xd_endpoint_remove(instance, request->options.name);
	if (r)
		xd_error_restore(&saved);
	return r ? r : removed;
}

int run(struct xd_instance *instance, int argc, char **argv, int *status)
{
	struct xd_process process;
	struct request request = {};
	char name[32];
	int r;

	snprintf(name, sizeof(name), "run-%d", getpid());
	r = parse_request(argc, argv, "+:p:", run_options, &request);
	if (!r && optind == argc)
		r = xd_error_usage("run: a command is missing behind --");
	if (!request.options.name)
		request.options.name = name;
	if (!r) {
		/* In a dry run, too: it waits to begin, and never does. */
		xd_step("run %s in a new network namespace", argv[optind]);
		r = xd_process_start(argv + optind, &process);
		if (!r) {
			request.options.netns_fd = process.netns_fd;
			snprintf(request.netns, sizeof(request.netns), "/proc/%d/ns/net",
				 process.pid);
			request.options.netns = request.netns;
			r = run_connected(instance, &request, &process, status);
			request.options.netns_fd = -1;
		}
	}
	free_request(&request);
	return r;
}
