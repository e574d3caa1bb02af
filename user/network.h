/* SPDX-License-Identifier: GPL-2.0-only */
/* Networks as output, for all commands that have them. */
#ifndef XD_USER_NETWORK_H
#define XD_USER_NETWORK_H

#include <json-c/json.h>
#include <linux/types.h>

/* What the flags of a network (XD_NETWORK_*) say, as members of its row. */
void network_add_flags(struct json_object *row, __u16 flags);

#endif
