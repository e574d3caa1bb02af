/* SPDX-License-Identifier: GPL-2.0-only */
/* Limits of published ports: how many packets a second, from whom. One set for each SPEC, keyed by
 * its counter in xd_limit and xd_list; its rows of xd_port have XD_PORT_LIMITED. */
#ifndef XD_LOADER_LIMIT_H
#define XD_LOADER_LIMIT_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "include/limit.h"
#include "loader/pin.h"
#include "loader/reconcile.h"

#define XD_LIMIT_RATE_MAX 100000000 /* packets a second: 10 ns each */
#define XD_LIMIT_BURST_NS 100000000 /* of the rate may come at once: 100 ms */

struct xd_limit_rule {
	__be32 address; /* host bits are 0 */
	__u8 prefix; /* 0 to 32 */
	__u32 verdict; /* XD_LIST_* */
};

struct xd_limits {
	__u32 rate; /* packets a second; 0: any number */
	bool is_per_source;
	struct xd_limit_rule *rules;
	size_t rule_count;
};

/* "10kpps", "500pps/source", "2Mpps", or "none". Errors: -EINVAL (usage). */
int xd_limit_parse_rate(const char *text, __u32 *ret_rate, bool *ret_is_per_source);

/* "10.0.0.0/8", or an address alone. what: the option, for the message. Errors: -EINVAL (usage):
 * no address, bits behind the prefix. */
int xd_limit_parse_rule(const char *what, const char *text, __u32 verdict,
			struct xd_limit_rule *ret_rule);

/* Errors: -EINVAL (usage) when one network is both allowed and denied. */
int xd_limit_check(const struct xd_limits *limits);

/* As xd_limit_parse_rate() takes it; "" for none. Returns buffer. */
#define XD_LIMIT_TEXT_LEN 32
const char *xd_limit_format_rate(const struct xd_limits *limits, char buffer[XD_LIMIT_TEXT_LEN]);

bool xd_limit_is_none(const struct xd_limits *limits);

/* The rows of the counter become these. Errors: a full map. */
int xd_limit_put(const struct xd_instance *instance, __u32 counter, const struct xd_limits *limits);

/* What the counter has, by address and prefix; nothing is no error. The caller frees
 * ret_limits->rules. */
int xd_limit_get(const struct xd_instance *instance, __u32 counter, struct xd_limits *ret_limits);

/* Remove rows of counters that no port with XD_PORT_LIMITED has. */
int xd_limit_heal(const struct xd_instance *instance, const struct xd_state *state);

#endif
