/* SPDX-License-Identifier: GPL-2.0-only */
/* Commands: one table is dispatch, help and order. */
#ifndef XD_COMMAND_H
#define XD_COMMAND_H

#include "loader/pin.h"

/* What main() does before a command runs. */
enum command_needs {
	COMMAND_NOTHING,
	COMMAND_INSTANCE, /* the namespace entered, its pins looked at */
	COMMAND_UP, /* and up */
	COMMAND_LOCK, /* the lock taken, up or not */
	COMMAND_LOCK_UP, /* the lock taken, and up */
};

/* argv[0] is the command's own name. Returns 0 or a negative errno with an error recorded;
 * *status is 0 and may be set to another exit status. */
typedef int command_t(struct xd_instance *instance, int argc, char **argv, int *status);

struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	const char *options; /* a line each; NULL: none */
	enum command_needs needs;
	command_t *run;
};

/* In the order of help; NULL name at the end. */
extern const struct command commands[];

/* Command words with verbs of their own: "container add". */
extern const struct command container_commands[];
extern const struct command port_commands[];
extern const struct command flow_commands[];

const struct command *command_find(const struct command *table, const char *name);

/* Enter what the command needs, run it. netns: as of -N. */
int command_run(const struct command *command, const char *netns, int argc, char **argv,
		int *status);

command_t up, down, run, status_show, check, stats, drops;

/* One option of a command. getopt_long() works on argv; an unknown option or a missing value is
 * recorded as an error. Returns as getopt_long(). */
struct option;
int command_option(int argc, char **argv, const char *letters, const struct option *options);
#define COMMAND_OPTION_ERROR '?'

/* No words are left behind the options, or `at most` so many. Records an error. */
int command_words(int argc, char **argv, int minimum, int maximum);

#endif
