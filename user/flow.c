// SPDX-License-Identifier: GPL-2.0-only
/* xdock flow list, flush */
#include "loader/flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "loader/endpoint.h"
#include "loader/error.h"
#include "loader/network.h"
#include "loader/spec.h"
#include "loader/step.h"
#include "loader/table.h"
#include "user/command.h"
#include "user/output.h"

#define SAMPLE_MIN 1
#define SAMPLE_MAX 60

enum {
	OPTION_CONTAINER = 256,
	OPTION_SAMPLE,
};

static const struct option list_options[] = {
	{ "container", required_argument, NULL, OPTION_CONTAINER },
	{ "sample", required_argument, NULL, OPTION_SAMPLE },
	{},
};

static const struct option flush_options[] = {
	{ "container", required_argument, NULL, OPTION_CONTAINER },
	{},
};

/* ret_seconds stays 0 without --sample. */
static int parse(int argc, char **argv, const struct option *options, const char **ret_name,
		 unsigned long *ret_seconds)
{
	int option, r = 0;

	while (!r && (option = command_option(argc, argv, ":", options)) != -1) {
		switch (option) {
		case OPTION_CONTAINER:
			*ret_name = optarg;
			break;
		case OPTION_SAMPLE:
			r = xd_spec_parse_number("sample", optarg, SAMPLE_MIN, SAMPLE_MAX,
						 ret_seconds);
			break;
		default:
			r = -EINVAL;
		}
	}
	if (!r)
		r = command_words(argc, argv, 0, 0);
	return !r && *ret_name ? xd_spec_parse_name(*ret_name) : r;
}

static const char *state_name(__u16 flags)
{
	if (flags & XD_SNAT_RST)
		return "reset";
	if (flags & (XD_SNAT_FIN_OUT | XD_SNAT_FIN_IN))
		return "closing";
	return flags & XD_SNAT_REPLIED ? "replied" : "new";
}

static struct json_object *flow_row(const struct xd_flow *flow)
{
	static const char *const kinds[XD_FLOW_KINDS] = {
		[XD_FLOW_MASQUERADE] = "masquerade", [XD_FLOW_PLAIN] = "plain",
		[XD_FLOW_HAIRPIN] = "hairpin",	     [XD_FLOW_EXCEPTION] = "exception",
		[XD_FLOW_SAMPLE] = "sample",
	};
	struct json_object *row = json_object_new_object();

	output_add_text(row, "kind", kinds[flow->kind]);
	output_add_text(row, "container", flow->name);
	output_add_text(row, "protocol", xd_spec_protocol(flow->protocol));
	output_add_address(row, "address", flow->address);
	output_add_number(row, "port", ntohs(flow->port));
	output_add_address(row, "remote", flow->remote_address);
	output_add_number(row, "remote_port", ntohs(flow->remote_port));
	output_add_address(row, "host", flow->host_address);
	output_add_number(row, "host_port", ntohs(flow->host_port));
	if (flow->kind != XD_FLOW_SAMPLE && flow->kind != XD_FLOW_EXCEPTION)
		output_add_text(row, "state", state_name(flow->flags));
	if (flow->kind != XD_FLOW_SAMPLE) {
		output_add_number(row, "idle", flow->idle_ns / XD_SNAT_SECOND_NS);
		output_add_number(row, "expires", flow->left_ns / XD_SNAT_SECOND_NS);
	} else {
		output_add_number(row, "packets", flow->packets);
		output_add_number(row, "bytes", flow->bytes);
	}
	return row;
}

static int check_container(const struct xd_instance *instance, const char *name)
{
	const struct xd_endpoint_row *endpoint;
	struct xd_state state;
	int r;

	r = xd_state_read(instance, &state);
	if (r)
		return r;
	r = xd_endpoint_find(&state, name, &endpoint);
	xd_state_free(&state);
	return r;
}

static int list(struct xd_instance *instance, int argc, char **argv, int *status)
{
	static const char *const columns[] = {
		"kind", "container", "protocol", "address", "port",    "remote", "remote_port",
		"host", "host_port", "state",	 "idle",    "expires", NULL,
	};
	static const char *const sample_columns[] = {
		"kind",	  "container",	 "protocol", "address",	  "port",
		"remote", "remote_port", "host",     "host_port", "state",
		"idle",	  "expires",	 "packets",  "bytes",	  NULL,
	};
	unsigned long seconds = 0;
	struct json_object *array;
	const char *name = NULL;
	struct xd_flow *flows;
	size_t count;
	int r;

	(void)status;
	r = parse(argc, argv, list_options, &name, &seconds);
	/* Nobody waits for what is not there. */
	if (!r && name)
		r = check_container(instance, name);
	if (!r && seconds)
		r = xd_flow_sample(instance, seconds);
	if (!r)
		r = xd_flow_list(instance, name, seconds, &flows, &count);
	if (r)
		return r;
	array = json_object_new_array();
	for (size_t i = 0; i < count; i++)
		json_object_array_add(array, flow_row(&flows[i]));
	output_table("flows", array, seconds ? sample_columns : columns);
	free(flows);
	return 0;
}

/* One container's address, or NULL for all. */
static int flush_all(struct xd_instance *instance, const char *name,
		     struct xd_flow_count *ret_count)
{
	const struct xd_endpoint_row *endpoint;
	struct xd_rtnl *rtnl = NULL;
	struct xd_state state = {};
	int r;

	r = xd_rtnl_open(-1, &rtnl);
	if (!r)
		r = xd_endpoint_heal(instance, rtnl, &state);
	if (!r)
		r = xd_network_refresh(instance, rtnl, &state);
	if (!r && name)
		r = xd_endpoint_find(&state, name, &endpoint);
	if (!r)
		r = xd_flow_forget(instance, name ? &endpoint->value.address : NULL, name ? 1 : 0,
				   ret_count);
	xd_state_free(&state);
	xd_rtnl_close(rtnl);
	return r;
}

static int flush(struct xd_instance *instance, int argc, char **argv, int *status)
{
	struct json_object *object;
	struct xd_flow_count count;
	const char *name = NULL;
	int r;

	(void)status;
	r = parse(argc, argv, flush_options, &name, NULL);
	if (!r)
		r = flush_all(instance, name, &count);
	if (r || xd_step_is_dry_run())
		return r;
	object = json_object_new_object();
	output_add_number(object, "xd_snat", count.snat);
	output_add_number(object, "xd_snat_rev", count.snat_rev);
	output_add_number(object, "xd_exception", count.exception);
	output_add_number(object, "xd_fragment", count.fragment);
	output_object("flushed", object);
	return 0;
}

const struct command flow_commands[] = {
	{ "list", "[--container NAME] [--sample SECONDS]",
	  "flows that containers opened, and those to published ports that are remembered",
	  "--container NAME  of this one alone\n"
	  "--sample SECONDS  and all to published ports that send within 1 to 60 seconds from "
	  "now\n",
	  COMMAND_UP, list },
	{ "flush", "[--container NAME]", "forget them; connections over them break",
	  "--container NAME  of this one alone\n", COMMAND_LOCK_UP, flush },
	{},
};
