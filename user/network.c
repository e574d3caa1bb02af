// SPDX-License-Identifier: GPL-2.0-only
/* xdock up, xdock down */
#include "loader/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/limits.h"
#include "loader/error.h"
#include "loader/log.h"
#include "loader/spec.h"
#include "loader/step.h"
#include "user/command.h"
#include "user/network.h"
#include "user/output.h"

/* 68: RFC 791; room for a port must be there, and the kernel keeps maps below this. */
#define MTU_MIN 68
#define MTU_MAX 65535
#define MAX_PORTS_MAX 1048576

/* Of the LRU maps: fewer rows than this could not hold what one burst makes. */
#define MAX_FLOWS_MIN 1024
#define MAX_FLOWS_MAX 4194304

enum {
	OPTION_SUBNET = 256,
	OPTION_UPLINK,
	OPTION_MTU,
	OPTION_HOOK,
	OPTION_ICC,
	OPTION_INTERNAL,
	OPTION_MASQUERADE,
	OPTION_GATEWAY_MODE,
	OPTION_SOURCE_CHECK,
	OPTION_MAX_PORTS,
	OPTION_MAX_FLOWS,
	OPTION_MAX_EXCEPTIONS,
	OPTION_MAX_FRAGMENTS,
};

static const struct option up_options[] = {
	{ "subnet", required_argument, NULL, OPTION_SUBNET },
	{ "uplink", required_argument, NULL, OPTION_UPLINK },
	{ "mtu", required_argument, NULL, OPTION_MTU },
	{ "hook", required_argument, NULL, OPTION_HOOK },
	{ "icc", required_argument, NULL, OPTION_ICC },
	{ "internal", no_argument, NULL, OPTION_INTERNAL },
	{ "masquerade", required_argument, NULL, OPTION_MASQUERADE },
	{ "gateway-mode", required_argument, NULL, OPTION_GATEWAY_MODE },
	{ "source-check", required_argument, NULL, OPTION_SOURCE_CHECK },
	{ "max-ports", required_argument, NULL, OPTION_MAX_PORTS },
	{ "max-flows", required_argument, NULL, OPTION_MAX_FLOWS },
	{ "max-exceptions", required_argument, NULL, OPTION_MAX_EXCEPTIONS },
	{ "max-fragments", required_argument, NULL, OPTION_MAX_FRAGMENTS },
	{},
};

void network_add_flags(struct json_object *row, __u16 flags)
{
	output_add_text(row, "gateway_mode", xd_network_mode(flags));
	output_add_bool(row, "icc", !(flags & XD_NETWORK_ICC_OFF));
	output_add_bool(row, "internal", flags & XD_NETWORK_INTERNAL);
	output_add_bool(row, "masquerade", flags & XD_NETWORK_MASQUERADE);
	output_add_bool(row, "source_check", flags & XD_NETWORK_SOURCE_CHECK);
}

/* "172.17.0.0/16": the bridge is its first address; one with host bits is the bridge's own. */
static int parse_subnet(const char *text, struct xd_network_options *options)
{
	__be32 address, mask;
	int r;

	r = xd_spec_parse_cidr(text, &address, &mask);
	if (r)
		return r;
	/* 0/8, 127/8 and 224/3 are no addresses of hosts; the kernel routes none of them. */
	if (!(ntohl(address) >> 24) || ntohl(address) >> 24 == 127 || ntohl(address) >> 29 == 7)
		return xd_error_usage("subnet %s: its addresses cannot be those of hosts", text);
	if (!(address & ~mask))
		address = htonl(ntohl(address) + 1);
	if ((address | mask) == 0xffffffff)
		return xd_error_usage("subnet %s: is the broadcast address of its subnet", text);
	options->address = address;
	options->mask = mask;
	return 0;
}

static int parse_room(const char *what, unsigned long minimum, unsigned long maximum,
		      __u32 *ret_room)
{
	unsigned long number;
	int r;

	r = xd_spec_parse_number(what, optarg, minimum, maximum, &number);
	if (!r)
		*ret_room = number;
	return r;
}

/* The last word on a flag counts. */
static void say(struct xd_network_options *options, __u16 which, __u16 flags)
{
	options->flags_said |= which;
	options->flags = (options->flags & ~which) | flags;
}

static int parse_flag(int option, const char *text, struct xd_network_options *options)
{
	__u16 flags = 0;
	bool is_on = false;
	int r = 0;

	switch (option) {
	case OPTION_ICC:
		r = xd_spec_parse_switch("icc", text, &is_on);
		say(options, XD_NETWORK_ICC_OFF, is_on ? 0 : XD_NETWORK_ICC_OFF);
		break;
	case OPTION_INTERNAL:
		say(options, XD_NETWORK_INTERNAL, XD_NETWORK_INTERNAL);
		break;
	case OPTION_MASQUERADE:
		r = xd_spec_parse_switch("masquerade", text, &is_on);
		say(options, XD_NETWORK_MASQUERADE, is_on ? XD_NETWORK_MASQUERADE : 0);
		break;
	case OPTION_GATEWAY_MODE:
		r = xd_network_parse_mode(text, &flags);
		say(options, XD_NETWORK_MODE, flags);
		break;
	case OPTION_SOURCE_CHECK:
		r = xd_spec_parse_switch("source-check", text, &is_on);
		say(options, XD_NETWORK_SOURCE_CHECK, is_on ? XD_NETWORK_SOURCE_CHECK : 0);
		break;
	default:
		r = -EINVAL;
	}
	return r;
}

/* "xdp", or "IF=xdp". The words are those of argv. */
static int parse_hook(char *text, struct xd_hook_options *hook, struct xd_hook_word *words)
{
	char *equals = strchr(text, '=');
	__u32 want = XD_WANT_NOTHING;
	int r;

	r = xd_hook_parse(equals ? equals + 1 : text, &want);
	if (r)
		return r;
	if (!equals) {
		hook->want = want;
		return 0;
	}
	*equals = '\0';
	words[hook->count++] = (struct xd_hook_word){ .name = text, .want = want };
	return 0;
}

static int parse_up(int argc, char **argv, struct xd_network_options *options,
		    const char **uplinks, struct xd_hook_word *words)
{
	unsigned long number;
	int option, r = 0;

	while (!r && (option = command_option(argc, argv, ":", up_options)) != -1) {
		switch (option) {
		case OPTION_SUBNET:
			r = parse_subnet(optarg, options);
			break;
		case OPTION_UPLINK:
			uplinks[options->uplink_count++] = optarg;
			break;
		case OPTION_HOOK:
			r = parse_hook(optarg, &options->hook, words);
			break;
		case OPTION_MTU:
			r = xd_spec_parse_number("mtu", optarg, MTU_MIN, MTU_MAX, &number);
			if (!r)
				options->mtu = number;
			break;
		case OPTION_MAX_PORTS:
			r = parse_room("max-ports", 1, MAX_PORTS_MAX,
				       &options->room[XD_ROOM_PORTS]);
			break;
		case OPTION_MAX_FLOWS:
			r = parse_room("max-flows", MAX_FLOWS_MIN, MAX_FLOWS_MAX,
				       &options->room[XD_ROOM_FLOWS]);
			break;
		case OPTION_MAX_EXCEPTIONS:
			r = parse_room("max-exceptions", MAX_FLOWS_MIN, MAX_FLOWS_MAX,
				       &options->room[XD_ROOM_EXCEPTIONS]);
			break;
		case OPTION_MAX_FRAGMENTS:
			r = parse_room("max-fragments", MAX_FLOWS_MIN, MAX_FLOWS_MAX,
				       &options->room[XD_ROOM_FRAGMENTS]);
			break;
		default:
			r = parse_flag(option, optarg, options);
		}
	}
	if (!r)
		r = command_words(argc, argv, 0, 1);
	if (!r && optind < argc)
		options->bridge = argv[optind];
	return r;
}

/* Their names; none is worth a word, since nothing from outside arrives then. */
static int add_uplinks(const struct xd_instance *instance, struct json_object *object)
{
	struct xd_uplink *uplinks;
	char names[256] = "";
	size_t count;
	int r;

	r = xd_uplink_list(instance, &uplinks, &count);
	if (r)
		return r;
	for (size_t i = 0; i < count; i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s",
			 i ? " " : "", uplinks[i].name);
	free(uplinks);
	output_add_text(object, "uplinks", count ? names : "none");
	if (!count)
		fputs("xdock: no uplink was found, so published ports cannot be reached from "
		      "outside; `xdock up --uplink IF` names one\n",
		      stderr);
	return 0;
}

int up(struct xd_instance *instance, int argc, char **argv, int *status)
{
	const char **uplinks = calloc(argc, sizeof(*uplinks));
	struct xd_hook_word *words = calloc(argc, sizeof(*words));
	struct xd_network_options options = {
		.bridge = XD_NETWORK_DEFAULT,
		.uplinks = uplinks,
		.hook.words = words,
	};
	struct xd_network network;
	__u32 ifindex;
	int r;

	(void)status;
	r = uplinks && words ? 0 : xd_error_system(-ENOMEM, "up");
	if (!r)
		r = parse_up(argc, argv, &options, uplinks, words);
	if (!r)
		r = xd_network_up(instance, &options);
	free(uplinks);
	free(words);
	if (r)
		fputs(xd_log(), stderr);
	if (r || xd_step_is_dry_run())
		return r;

	r = xd_network_find(instance, options.bridge, &ifindex, &network);
	if (!r) {
		struct json_object *object = json_object_new_object();

		output_add_text(object, "bridge", network.name);
		output_add_cidr(object, "address", network.gateway, network.mask);
		output_add_number(object, "mtu", network.mtu);
		network_add_flags(object, network.flags);
		r = add_uplinks(instance, object);
		output_object("network", object);
	}
	return r;
}

int down(struct xd_instance *instance, int argc, char **argv, int *status)
{
	int r;

	(void)status;
	if (command_option(argc, argv, ":", (struct option[]){ {} }) != -1)
		return -EINVAL;
	r = command_words(argc, argv, 0, 1);
	return r ? r : xd_network_down(instance, optind < argc ? argv[optind] : XD_NETWORK_DEFAULT);
}
