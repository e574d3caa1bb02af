// SPDX-License-Identifier: GPL-2.0-only
/* xdock port add, rm, list */
#include "loader/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/endpoint.h"
#include "loader/error.h"
#include "loader/limit.h"
#include "loader/network.h"
#include "loader/step.h"
#include "loader/table.h"
#include "user/command.h"
#include "user/output.h"
#include "user/port.h"

enum {
	OPTION_LIMIT = 256,
	OPTION_ALLOW,
	OPTION_DENY,
};

static const struct option no_options[] = { {} };

static const struct option add_options[] = {
	{ "limit", required_argument, NULL, OPTION_LIMIT },
	{ "allow", required_argument, NULL, OPTION_ALLOW },
	{ "deny", required_argument, NULL, OPTION_DENY },
	{},
};

int port_parse(char **words, size_t count, struct xd_spec *ret_specs)
{
	for (size_t i = 0; i < count; i++) {
		int r = xd_spec_parse(words[i], &ret_specs[i]);

		if (r)
			return r;
	}
	return 0;
}

static void add_range(struct json_object *row, const char *key, __u16 first, __u16 last)
{
	char text[16];

	if (first == last) {
		output_add_number(row, key, first);
		return;
	}
	snprintf(text, sizeof(text), "%u-%u", first, last);
	output_add_text(row, key, text);
}

struct json_object *port_row(const struct xd_port_range *range)
{
	struct json_object *row = json_object_new_object();

	output_add_address(row, "host", range->address);
	add_range(row, "host_port", range->host_port, range->host_port_end);
	output_add_text(row, "protocol", xd_spec_protocol(range->protocol));
	output_add_text(row, "container", range->name);
	output_add_address(row, "address", range->container_address);
	add_range(row, "port", range->port, range->port_end);
	output_add_bool(row, "canonical", range->is_canonical);
	return row;
}

/* Networks of a list, with spaces between them. */
static void add_rules(struct json_object *row, const char *key, const struct xd_limits *limits,
		      __u32 verdict)
{
	char *text = NULL, address[INET_ADDRSTRLEN];
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return;
	for (size_t i = 0; i < limits->rule_count; i++) {
		const struct xd_limit_rule *rule = &limits->rules[i];

		if (rule->verdict != verdict)
			continue;
		inet_ntop(AF_INET, &rule->address, address, sizeof(address));
		fprintf(file, "%s%s/%u", ftell(file) ? " " : "", address, rule->prefix);
	}
	fclose(file);
	if (*text)
		output_add_text(row, key, text);
	free(text);
}

static int add_limits(const struct xd_instance *instance, struct json_object *row, __u32 counter)
{
	char text[XD_LIMIT_TEXT_LEN];
	struct xd_limits limits;
	int r = xd_limit_get(instance, counter, &limits);

	if (r)
		return r;
	if (*xd_limit_format_rate(&limits, text))
		output_add_text(row, "limit", text);
	add_rules(row, "allow", &limits, XD_LIST_ALLOW);
	add_rules(row, "deny", &limits, XD_LIST_DENY);
	free(limits.rules);
	return 0;
}

int port_table(const struct xd_instance *instance, const struct xd_port_row *rows, size_t count)
{
	static const char *const columns[] = { "host",	    "host_port", "protocol", "container",
					       "address",   "port",	 "canonical", "limit",
					       "allow",	    "deny",	 NULL };
	struct json_object *array;
	struct xd_port_range *ranges;
	size_t n;
	int r;

	r = xd_port_ranges(rows, count, &ranges, &n);
	if (r)
		return r;
	array = json_object_new_array();
	for (size_t i = 0; !r && i < n; i++) {
		struct json_object *row = port_row(&ranges[i]);

		r = add_limits(instance, row, ranges[i].counter);
		json_object_array_add(array, row);
	}
	free(ranges);
	if (r) {
		json_object_put(array);
		return r;
	}
	output_table("ports", array, columns);
	return 0;
}

static int add_to(struct xd_instance *instance, const char *name, const struct xd_spec *specs,
		  size_t count, const struct xd_limits *limits)
{
	const struct xd_endpoint_row *endpoint;
	struct xd_port_row *rows = NULL;
	struct xd_rtnl *rtnl = NULL;
	struct xd_state state = {};
	size_t row_count;
	int r;

	r = xd_rtnl_open(-1, &rtnl);
	if (!r)
		r = xd_endpoint_heal(instance, rtnl, &state);
	if (!r)
		r = xd_network_refresh(instance, rtnl, &state);
	if (!r)
		r = xd_endpoint_find(&state, name, &endpoint);
	if (!r)
		r = xd_port_add(instance, &state, endpoint, specs, count, limits,
				output_progress, &rows, &row_count);
	if (!r && !xd_step_is_dry_run())
		r = port_table(instance, rows, row_count);
	free(rows);
	xd_state_free(&state);
	xd_rtnl_close(rtnl);
	return r;
}

/* The SPECs behind the options and so many NAMEs. The caller frees *ret_specs, after failure, too. */
static int take_specs(int argc, char **argv, int names, struct xd_spec **ret_specs,
		      size_t *ret_count)
{
	int r;

	r = command_words(argc, argv, names + 1, argc);
	if (r)
		return r;
	*ret_count = argc - optind - names;
	*ret_specs = calloc(*ret_count, sizeof(**ret_specs));
	if (!*ret_specs)
		return xd_error_system(-ENOMEM, "%s", argv[0]);
	return port_parse(argv + optind + names, *ret_count, *ret_specs);
}

/* rules: room for argc. *ret_is_given: there is at least one. */
static int parse_limits(int argc, char **argv, struct xd_limits *limits, bool *ret_is_given)
{
	bool is_none = false;
	int option, r = 0;

	while (!r && (option = command_option(argc, argv, ":", add_options)) != -1) {
		struct xd_limit_rule *rule = &limits->rules[limits->rule_count];

		*ret_is_given = true;
		switch (option) {
		case OPTION_LIMIT:
			r = xd_limit_parse_rate(optarg, &limits->rate, &limits->is_per_source);
			is_none = !limits->rate;
			break;
		case OPTION_ALLOW:
			r = xd_limit_parse_rule("allow", optarg, XD_LIST_ALLOW, rule);
			limits->rule_count++;
			break;
		case OPTION_DENY:
			r = xd_limit_parse_rule("deny", optarg, XD_LIST_DENY, rule);
			limits->rule_count++;
			break;
		default:
			r = -EINVAL;
		}
	}
	if (!r && is_none && limits->rule_count)
		r = xd_error_usage("port add: --limit none takes all limits away, --allow and --deny "
				   "set some");
	return r ? r : xd_limit_check(limits);
}

static int add(struct xd_instance *instance, int argc, char **argv, int *status)
{
	struct xd_limits limits = { .rules = calloc(argc, sizeof(*limits.rules)) };
	struct xd_spec *specs = NULL;
	bool is_limited = false;
	size_t count;
	int r;

	(void)status;
	if (!limits.rules)
		return xd_error_system(-ENOMEM, "port add");
	r = parse_limits(argc, argv, &limits, &is_limited);
	if (!r)
		r = take_specs(argc, argv, 1, &specs, &count);
	if (r && specs && strchr(argv[optind], ':'))
		r = xd_error_usage("port add: %s is no container; its name comes first, as in "
				   "`xdock port add NAME %s`",
				   argv[optind], argv[optind]);
	if (!r)
		r = add_to(instance, argv[optind], specs, count, is_limited ? &limits : NULL);
	free(specs);
	free(limits.rules);
	return r;
}

static int remove_specs(struct xd_instance *instance, const struct xd_spec *specs, size_t count)
{
	struct xd_rtnl *rtnl = NULL;
	struct xd_state state = {};
	size_t removed = 0;
	int r;

	r = xd_rtnl_open(-1, &rtnl);
	if (!r)
		r = xd_endpoint_heal(instance, rtnl, &state);
	if (!r)
		r = xd_port_remove(instance, &state, specs, count, &removed);
	xd_state_free(&state);
	if (!r)
		r = xd_endpoint_heal(instance, rtnl, &state);
	if (!r)
		r = xd_network_refresh(instance, rtnl, &state);
	xd_state_free(&state);
	xd_rtnl_close(rtnl);
	return r;
}

static int rm(struct xd_instance *instance, int argc, char **argv, int *status)
{
	struct xd_spec *specs = NULL;
	size_t count;
	int r;

	(void)status;
	if (command_option(argc, argv, ":", no_options) != -1)
		return -EINVAL;
	r = take_specs(argc, argv, 0, &specs, &count);
	if (!r)
		r = remove_specs(instance, specs, count);
	free(specs);
	return r;
}

static int list(struct xd_instance *instance, int argc, char **argv, int *status)
{
	struct xd_state state;
	int r;

	(void)status;
	if (command_option(argc, argv, ":", no_options) != -1)
		return -EINVAL;
	r = command_words(argc, argv, 0, 0);
	if (!r)
		r = xd_state_read(instance, &state);
	if (r)
		return r;
	r = port_table(instance, state.ports, state.port_count);
	xd_state_free(&state);
	return r;
}

const struct command port_commands[] = {
	{ "add", "NAME SPEC... [--limit RATE[/source]] [--allow CIDR]... [--deny CIDR]...",
	  "publish ports of a container",
	  "SPEC  8080:80            port 8080 of every address of the host is port 80 of NAME\n"
	  "      127.0.0.1:8080:80  of this address alone\n"
	  "      80                 of a host port that is chosen\n"
	  "      8000-8009:80-89    one for one\n"
	  "      8000-8009:80       the first host port of these that is free\n"
	  "      53:53/udp          UDP instead of TCP\n"
	  "      36412/sctp         SCTP; both sides have the same port\n"
	  "--limit RATE  packets a second that get in, as 500pps, 10kpps or 2Mpps; with /source\n"
	  "              from each client address; none: no limits any more\n"
	  "--allow CIDR  clients that get in; all others do not\n"
	  "--deny CIDR   clients that do not; the longest prefix decides\n",
	  COMMAND_LOCK_UP, add },
	{ "rm", "SPEC...", "withdraw published ports; 8080 is host port 8080", NULL,
	  COMMAND_LOCK_UP, rm },
	{ "list", "", "published ports", NULL, COMMAND_UP, list },
	{},
};
