// SPDX-License-Identifier: GPL-2.0-only
/* xdock: arguments to libxdock, its answers to text or JSON. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/error.h"
#include "loader/step.h"
#include "user/command.h"
#include "user/output.h"

static const char *netns; /* of -N */
static bool is_dry_run;

static int help(struct xd_instance *instance, int argc, char **argv, int *status);

static int version(struct xd_instance *instance, int argc, char **argv, int *status)
{
	struct json_object *object = json_object_new_object();

	(void)instance, (void)status;
	if (argc > 1) {
		json_object_put(object);
		return xd_error_usage("version: argument \"%s\" is one too many", argv[1]);
	}
	output_add_text(object, "xdock", XD_VERSION);
	output_object("version", object);
	return 0;
}

/* `container`, `port` and `flow`: the verb says what is needed. */
static int run_verb(const struct command *verbs, int argc, char **argv, int *status)
{
	static char name[64]; /* as errors say it */
	const struct command *verb;

	if (argc < 2)
		return xd_error_usage("%s: what? `xdock help %s` lists its verbs", argv[0],
				      argv[0]);
	verb = command_find(verbs, argv[1]);
	if (!verb)
		return xd_error_usage("%s %s: no such command; `xdock help %s` lists its verbs",
				      argv[0], argv[1], argv[0]);
	snprintf(name, sizeof(name), "%s %s", argv[0], verb->name);
	argv[1] = name;
	return command_run(verb, netns, argc - 1, argv + 1, status);
}

static int container(struct xd_instance *instance, int argc, char **argv, int *status)
{
	(void)instance;
	return run_verb(container_commands, argc, argv, status);
}

static int port(struct xd_instance *instance, int argc, char **argv, int *status)
{
	(void)instance;
	return run_verb(port_commands, argc, argv, status);
}

static int flow(struct xd_instance *instance, int argc, char **argv, int *status)
{
	(void)instance;
	return run_verb(flow_commands, argc, argv, status);
}

const struct command commands[] = {
	{ "up",
	  "[BRIDGE] [--subnet CIDR] [--uplink IF]... [--mtu N] [--hook [IF=]HOOK]...\n"
	  "         [--icc on|off] [--internal] [--masquerade on|off]\n"
	  "         [--gateway-mode nat|nat-unprotected|routed] [--source-check on|off]\n"
	  "         [--max-ports N] [--max-flows N] [--max-exceptions N] [--max-fragments N]",
	  "make the bridge, load and attach the programs, or change what is up",
	  "BRIDGE                docker0\n"
	  "--subnet CIDR         172.17.0.0/16; the bridge is its first address, or the one "
	  "written\n"
	  "--uplink IF           where the outside comes from; each Ethernet interface that is up\n"
	  "--mtu N               of the bridge and the containers; that of the default route\n"
	  "--hook [IF=]HOOK      of the instance, or of one interface or container:\n"
	  "                        auto         what costs nothing; the default\n"
	  "                        tc           TC alone\n"
	  "                        xdp          XDP of the driver in front of TC\n"
	  "                        xdp-generic  XDP where the driver has none\n"
	  "--icc on|off          do containers of this bridge reach each other; on\n"
	  "--internal            they reach nothing else, and nothing is published there\n"
	  "--masquerade on|off   do flows to the outside get an address of the host; on\n"
	  "--gateway-mode MODE   who may address containers from outside of the subnet:\n"
	  "                        nat              nobody; the default\n"
	  "                        nat-unprotected  all, every port\n"
	  "                        routed           all, ping and published ports; no masquerade\n"
	  "--source-check on|off drop what is not from a container's own address and MAC; off\n"
	  "--max-ports N         room for published ports; 65536\n"
	  "--max-flows N         for flows that containers opened; 131072 of 232 bytes\n"
	  "--max-exceptions N    for flows off the canonical mapping; 65536 of 96 bytes\n"
	  "--max-fragments N     for datagrams in fragments; 8192 of 96 bytes\n",
	  COMMAND_LOCK, up },
	{ "down", "[BRIDGE]", "take it away again, and every change to this machine",
	  "BRIDGE           docker0\n", COMMAND_LOCK, down },
	{ "run",
	  "[--name NAME] [--bridge BRIDGE] [--ip ADDRESS] [-p SPEC]... -- COMMAND [ARGUMENT]...",
	  "run a command in a container of its own",
	  "--name NAME      run-PID\n"
	  "--bridge BRIDGE  docker0, or the only one\n"
	  "--ip ADDRESS     the lowest free one of the subnet\n"
	  "-p SPEC          publish a port, as `xdock help port` says\n",
	  COMMAND_LOCK_UP, run },
	{ "container", "add|rm|list|exec", "containers of existing or new network namespaces", NULL,
	  COMMAND_NOTHING, container },
	{ "port", "add|rm|list",
	  "published ports; SPEC is [[ADDRESS:][HOST_PORT[-END]]:]PORT[-END][/tcp|/udp|/sctp]", NULL,
	  COMMAND_NOTHING, port },
	{ "flow", "list|flush", "flows that the programs remember", NULL, COMMAND_NOTHING, flow },
	{ "status", "", "what is up, attached and changed, or left behind", NULL, COMMAND_INSTANCE,
	  status_show },
	{ "check", "", "can this machine run xdock?", NULL, COMMAND_NOTHING, check },
	{ "stats", "", "packets and bytes of every published port and container", NULL, COMMAND_UP,
	  stats },
	{ "drops", "", "dropped packets by reason", NULL, COMMAND_UP, drops },
	{ "help", "[COMMAND [VERB]]", "this list, or what a command takes", NULL, COMMAND_NOTHING,
	  help },
	{ "version", "", "the version", NULL, COMMAND_NOTHING, version },
	{},
};

const struct command *command_find(const struct command *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}

int command_run(const struct command *command, const char *in_netns, int argc, char **argv,
		int *status)
{
	struct xd_instance instance;
	int r;

	if (command->needs == COMMAND_NOTHING)
		return command->run(NULL, argc, argv, status);
	r = xd_instance_open(in_netns, &instance);
	if (r)
		return r;
	if (command->needs == COMMAND_LOCK || command->needs == COMMAND_LOCK_UP)
		r = xd_instance_lock(&instance);
	if (!r && (command->needs == COMMAND_UP || command->needs == COMMAND_LOCK_UP))
		r = xd_instance_require_up(&instance);
	if (!r)
		r = command->run(&instance, argc, argv, status);
	xd_instance_close(&instance);
	return r;
}

int command_option(int argc, char **argv, const char *letters, const struct option *options)
{
	int option;

	opterr = 0;
	option = getopt_long(argc, argv, letters, options, NULL);
	if (option == ':')
		xd_error_usage("%s: option %s: a value is missing", argv[0], argv[optind - 1]);
	else if (option == '?' && optopt && strchr("Njnv", optopt))
		xd_error_usage("%s: option -%c: goes in front of the command, as in `xdock -%c %s`",
			       argv[0], optopt, optopt, argv[0]);
	else if (option == '?' && optopt && optopt < 256)
		xd_error_usage("%s: option -%c: not known", argv[0], optopt);
	else if (option == '?')
		xd_error_usage("%s: option %s: not known", argv[0], argv[optind - 1]);
	return option == ':' ? COMMAND_OPTION_ERROR : option;
}

int command_words(int argc, char **argv, int minimum, int maximum)
{
	int words = argc - optind;

	if (words < minimum)
		return xd_error_usage("%s: an argument is missing; see `xdock help %s`", argv[0],
				      argv[0]);
	if (words > maximum)
		return xd_error_usage("%s: argument \"%s\" is one too many", argv[0],
				      argv[optind + maximum]);
	return 0;
}

/* NULL: it has none. */
static const struct command *find_verbs(const struct command *command)
{
	return command->run == container ? container_commands
	       : command->run == port	 ? port_commands
	       : command->run == flow	 ? flow_commands
					 : NULL;
}

static void help_command(const char *word, const struct command *command)
{
	output_line("xdock %s%s%s%s%s", word ? word : "", word ? " " : "", command->name,
		    *command->arguments ? " " : "", command->arguments);
	output_line("    %s", command->summary);
	for (const char *line = command->options; line && *line; line = strchr(line, '\n') + 1)
		output_line("      %.*s", (int)strcspn(line, "\n"), line);
}

static int help(struct xd_instance *instance, int argc, char **argv, int *status)
{
	const struct command *command, *verbs;

	(void)instance, (void)status;
	if (argc > 1) {
		command = command_find(commands, argv[1]);
		if (!command)
			return xd_error_usage("help: %s: no such command", argv[1]);
		verbs = find_verbs(command);
		if (argc > 3 || (argc > 2 && (!verbs || !command_find(verbs, argv[2]))))
			return xd_error_usage("help: argument \"%s\" is one too many",
					      argv[argc > 3 ? 3 : 2]);
		if (!verbs)
			help_command(NULL, command);
		else if (argc == 2)
			output_line("xdock %s: %s", command->name, command->summary);
		for (; verbs && verbs->name; verbs++)
			if (argc == 2 || !strcmp(verbs->name, argv[2]))
				help_command(command->name, verbs);
		return 0;
	}
	output_line("xdock [-N NETNS] [-j] [-n] [-v] COMMAND\n");
	for (command = commands; command->name; command++)
		output_line("  %-10s %s", command->name, command->summary);
	output_line("\n  -N, --netns NETNS   work in this network namespace: a name, a path or a pid\n"
		    "  -j, --json          answer with one JSON document\n"
		    "  -n, --dry-run       print each step that would change something, do none\n"
		    "  -v, --verbose       print each step that changes something\n"
		    "\nWithout a command: status. `xdock help COMMAND` says more; so does xdock(8).\n"
		    "Exit status: 0 done, 1 wrong usage, 2 the system refused, 3 not up or not found.");
	return 0;
}

static void print_step(const char *text)
{
	if (is_dry_run)
		output_step(text);
	else
		fprintf(stderr, "+ %s\n", text);
}

static const struct option options[] = {
	{ "netns", required_argument, NULL, 'N' }, { "json", no_argument, NULL, 'j' },
	{ "dry-run", no_argument, NULL, 'n' },	   { "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },	   { "version", no_argument, NULL, 'V' },
	{},
};

/* COMMAND [VERB] --help is help COMMAND [VERB]. */
static void ask_for_help(int argc, char **argv)
{
	int at = optind + 1;

	if (at < argc && argv[at][0] != '-')
		at++;
	if (at >= argc || (strcmp(argv[at], "--help") && strcmp(argv[at], "-h")))
		return;
	if (at == optind + 2 && (!command_find(commands, argv[optind]) ||
				 !find_verbs(command_find(commands, argv[optind]))))
		return;
	/* What is behind it is of no interest any more. */
	argv[at + 1] = NULL;
	for (; at > optind; at--)
		argv[at] = argv[at - 1];
	argv[optind] = (char *)"help";
}

/* The command's name, after the options of all. */
static int parse(int argc, char **argv, const char **ret_name)
{
	bool is_verbose = false, is_json = false;
	const char *name = NULL;
	int option;

	while ((option = command_option(argc, argv, "+:N:jnvhV", options)) != -1) {
		switch (option) {
		case 'N':
			netns = optarg;
			break;
		case 'j':
			is_json = true;
			break;
		case 'n':
			is_dry_run = true;
			break;
		case 'v':
			is_verbose = true;
			break;
		case 'h':
			name = "help";
			break;
		case 'V':
			name = "version";
			break;
		default:
			output_begin(is_json);
			return -EINVAL;
		}
	}
	output_begin(is_json);
	xd_step_configure(is_verbose || is_dry_run ? print_step : NULL, is_dry_run);
	ask_for_help(argc, argv);
	if (!name && optind < argc)
		name = argv[optind];
	*ret_name = name ? name : "status";
	return 0;
}

int main(int argc, char **argv)
{
	static char *bare[] = { "status", NULL };
	const struct command *command;
	int r, status = 0;
	const char *name;

	signal(SIGPIPE, SIG_IGN);
	argv[0] = "command line"; /* as errors say it */
	r = parse(argc, argv, &name);
	if (!r) {
		char **word = argv + optind;
		int words = 0;

		while (word[words])
			words++;
		if (!words)
			word = bare;
		command = command_find(commands, name);
		/* The command scans its own words. */
		optind = 0;
		if (!command)
			r = xd_error_usage("%s: no such command; `xdock help` lists them", name);
		else if (!words || strcmp(word[0], name))
			r = command_run(command, netns, 1, (char *[]){ (char *)name, NULL },
					&status);
		else
			r = command_run(command, netns, words, word, &status);
	}
	if (r)
		status = output_error();
	output_end();
	return status;
}
