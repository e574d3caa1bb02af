/* SPDX-License-Identifier: GPL-2.0-only */
/* Ports as arguments and as output, for all commands that have them. */
#ifndef XD_USER_PORT_H
#define XD_USER_PORT_H

#include <json-c/json.h>
#include <stddef.h>

#include "loader/port.h"

/* Each word is one SPEC. Errors: of xd_spec_parse(). */
int port_parse(char **words, size_t count, struct xd_spec *ret_specs);

/* One line of a table of ports. */
struct json_object *port_row(const struct xd_port_range *range);
int port_table(const struct xd_instance *instance, const struct xd_port_row *rows, size_t count);

#endif
