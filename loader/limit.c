// SPDX-License-Identifier: GPL-2.0-only
/* Limits of published ports. Rows of xd_list and xd_limit come before the ports that ask for them,
 * and go after them. */
#include "loader/limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/limits.h"
#include "include/port.h"
#include "loader/error.h"
#include "loader/spec.h"
#include "loader/table.h"

#define SECOND_NS 1000000000ULL

static const struct {
	const char *text;
	__u32 factor;
} units[] = { { "Mpps", 1000000 }, { "kpps", 1000 }, { "pps", 1 } };

#define UNITS (sizeof(units) / sizeof(units[0]))

int xd_limit_parse_rate(const char *text, __u32 *ret_rate, bool *ret_is_per_source)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long long number;

	if (!strcmp(text, "none")) {
		*ret_rate = 0;
		*ret_is_per_source = false;
		return 0;
	}
	for (size_t i = 0; digits && digits < 10 && i < UNITS; i++) {
		size_t length = strlen(units[i].text);
		const char *rest = text + digits + length;

		if (strncmp(text + digits, units[i].text, length) ||
		    (*rest && strcmp(rest, "/source")))
			continue;
		number = strtoull(text, NULL, 10) * units[i].factor;
		if (!number || number > XD_LIMIT_RATE_MAX)
			break;
		*ret_rate = number;
		*ret_is_per_source = *rest;
		return 0;
	}
	return xd_error_usage("limit %.64s: not a rate from 1pps to 100Mpps, as in 10kpps or "
			      "500pps/source, and not none",
			      text);
}

int xd_limit_parse_rule(const char *what, const char *text, __u32 verdict,
			struct xd_limit_rule *ret_rule)
{
	const char *slash = strchr(text, '/');
	char address[INET_ADDRSTRLEN] = "";
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	struct xd_limit_rule rule = { .prefix = 32, .verdict = verdict };
	unsigned long prefix = 32;
	int r;

	if (length < sizeof(address))
		memcpy(address, text, length);
	if (inet_pton(AF_INET, address, &rule.address) != 1)
		return xd_error_usage("%s %.64s: not an IPv4 network such as 10.0.0.0/8", what,
				      text);
	r = slash ? xd_spec_parse_number(what, slash + 1, 0, 32, &prefix) : 0;
	if (r)
		return r;
	rule.prefix = prefix;
	if (prefix < 32 && ntohl(rule.address) << prefix)
		return xd_error_usage("%s %.64s: has bits behind its prefix", what, text);
	*ret_rule = rule;
	return 0;
}

int xd_limit_check(const struct xd_limits *limits)
{
	for (size_t i = 0; i < limits->rule_count; i++) {
		const struct xd_limit_rule *a = &limits->rules[i];

		for (size_t j = 0; j < i; j++) {
			const struct xd_limit_rule *b = &limits->rules[j];
			char text[INET_ADDRSTRLEN];

			if (a->address != b->address || a->prefix != b->prefix ||
			    a->verdict == b->verdict)
				continue;
			inet_ntop(AF_INET, &a->address, text, sizeof(text));
			return xd_error_usage("%s/%u: is both allowed and denied", text, a->prefix);
		}
	}
	return 0;
}

const char *xd_limit_format_rate(const struct xd_limits *limits, char buffer[XD_LIMIT_TEXT_LEN])
{
	size_t i = 0;

	*buffer = '\0';
	if (!limits->rate)
		return buffer;
	while (limits->rate % units[i].factor)
		i++;
	snprintf(buffer, XD_LIMIT_TEXT_LEN, "%u%s%s", limits->rate / units[i].factor, units[i].text,
		 limits->is_per_source ? "/source" : "");
	return buffer;
}

bool xd_limit_is_none(const struct xd_limits *limits)
{
	return !limits->rate && !limits->rule_count;
}

static struct xd_list_key make_key(__u32 counter, const struct xd_limit_rule *rule)
{
	return (struct xd_list_key){
		.prefix = 32 + rule->prefix,
		.counter = htonl(counter),
		.address = rule->address,
	};
}

struct stale {
	__u32 counter;
	const struct xd_limits *limits;
};

/* A row of the counter that the new rules do not have. */
static bool is_stale(const void *key, const void *value, const void *arg)
{
	const struct stale *stale = arg;

	(void)value;
	if (((const struct xd_list_key *)key)->counter != htonl(stale->counter))
		return false;
	for (size_t i = 0; i < stale->limits->rule_count; i++) {
		struct xd_list_key kept = make_key(stale->counter, &stale->limits->rules[i]);

		if (!memcmp(key, &kept, sizeof(kept)))
			return false;
	}
	return true;
}

int xd_limit_put(const struct xd_instance *instance, __u32 counter, const struct xd_limits *limits)
{
	struct stale stale = { .counter = counter, .limits = limits };
	struct xd_limit row = { .rate = limits->rate };
	int r = 0;

	if (limits->rate) {
		row.flags = XD_LIMIT_RATE | (limits->is_per_source ? XD_LIMIT_PER_SOURCE : 0);
		row.interval_ns = SECOND_NS / limits->rate;
		row.burst_ns = XD_LIMIT_BURST_NS;
	}
	for (size_t i = 0; !r && i < limits->rule_count; i++) {
		const struct xd_limit_rule *rule = &limits->rules[i];
		struct xd_list_key key = make_key(counter, rule);
		struct xd_list list = { .verdict = rule->verdict };

		row.flags |= XD_LIMIT_LISTED;
		if (rule->verdict == XD_LIST_ALLOW)
			row.flags |= XD_LIMIT_ALLOWED;
		r = xd_table_put(instance, XD_TABLE_LIST, &key, &list);
	}
	if (!r)
		r = xd_limit_is_none(limits)
			    ? xd_table_delete(instance, XD_TABLE_LIMIT, &counter)
			    : xd_table_put(instance, XD_TABLE_LIMIT, &counter, &row);
	return r ? r : xd_table_prune(instance, XD_TABLE_LIST, is_stale, &stale, NULL);
}

static int compare_rules(const void *a, const void *b)
{
	const struct xd_limit_rule *x = a, *y = b;
	__u32 x_address = ntohl(x->address), y_address = ntohl(y->address);

	if (x_address != y_address)
		return x_address < y_address ? -1 : 1;
	return x->prefix - y->prefix;
}

int xd_limit_get(const struct xd_instance *instance, __u32 counter, struct xd_limits *ret_limits)
{
	struct xd_limits limits = {};
	struct xd_list_key *keys = NULL;
	struct xd_list *values = NULL;
	struct xd_limit row;
	size_t count = 0;
	int r;

	r = xd_table_get(instance, XD_TABLE_LIMIT, &counter, &row);
	if (r == -ENOENT) {
		*ret_limits = limits;
		return 0;
	}
	if (!r)
		r = xd_table_read(instance, XD_TABLE_LIST, (void **)&keys, (void **)&values,
				  &count);
	if (r)
		return r;
	limits.rate = row.rate;
	limits.is_per_source = row.flags & XD_LIMIT_PER_SOURCE;
	limits.rules = calloc(count + 1, sizeof(*limits.rules));
	for (size_t i = 0; limits.rules && i < count; i++)
		if (keys[i].counter == htonl(counter))
			limits.rules[limits.rule_count++] = (struct xd_limit_rule){
				.address = keys[i].address,
				.prefix = keys[i].prefix - 32,
				.verdict = values[i].verdict,
			};
	free(keys);
	free(values);
	if (!limits.rules)
		return xd_error_system(-ENOMEM, "limits");
	qsort(limits.rules, limits.rule_count, sizeof(*limits.rules), compare_rules);
	*ret_limits = limits;
	return 0;
}

static bool is_counted(const bool *is_used, __u32 counter)
{
	return counter < XD_COUNTER_MAX && is_used[counter];
}

static bool is_lone_limit(const void *key, const void *value, const void *arg)
{
	(void)value;
	return !is_counted(arg, *(const __u32 *)key);
}

static bool is_lone_list(const void *key, const void *value, const void *arg)
{
	(void)value;
	return !is_counted(arg, ntohl(((const struct xd_list_key *)key)->counter));
}

int xd_limit_heal(const struct xd_instance *instance, const struct xd_state *state)
{
	bool *is_used = calloc(XD_COUNTER_MAX, sizeof(*is_used));
	int r;

	if (!is_used)
		return xd_error_system(-ENOMEM, "limits");
	for (size_t i = 0; i < state->port_count; i++)
		if (state->ports[i].value.flags & XD_PORT_LIMITED)
			is_used[state->ports[i].value.counter % XD_COUNTER_MAX] = true;
	r = xd_table_prune(instance, XD_TABLE_LIMIT, is_lone_limit, is_used, NULL);
	if (!r)
		r = xd_table_prune(instance, XD_TABLE_LIST, is_lone_list, is_used, NULL);
	free(is_used);
	return r;
}
