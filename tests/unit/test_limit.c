// SPDX-License-Identifier: GPL-2.0-only
/* Rates and networks as `port add` takes them, and as `port list` shows them. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "loader/error.h"
#include "loader/limit.h"

static const struct {
	const char *text;
	__u32 rate;
	bool is_per_source;
	const char *shown; /* NULL: as it was written */
} rates[] = {
	{ "1pps", 1, false, NULL },
	{ "500pps", 500, false, NULL },
	{ "500pps/source", 500, true, NULL },
	{ "1500pps", 1500, false, NULL },
	{ "10kpps", 10000, false, NULL },
	{ "10kpps/source", 10000, true, NULL },
	{ "10000pps", 10000, false, "10kpps" },
	{ "2Mpps", 2000000, false, NULL },
	{ "2000kpps", 2000000, false, "2Mpps" },
	{ "100Mpps", 100000000, false, NULL },
	{ "007pps", 7, false, "7pps" },
	{ "none", 0, false, "" },
};

static void reads_rates_and_shows_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		char text[XD_LIMIT_TEXT_LEN];
		struct xd_limits limits = { .rate = 77, .is_per_source = true };

		assert_int_equal(xd_limit_parse_rate(rates[i].text, &limits.rate,
						     &limits.is_per_source), 0);
		assert_int_equal(limits.rate, rates[i].rate);
		assert_int_equal(limits.is_per_source, rates[i].is_per_source);
		assert_string_equal(xd_limit_format_rate(&limits, text),
				    rates[i].shown ? rates[i].shown : rates[i].text);
		assert_int_equal(xd_limit_is_none(&limits), !rates[i].rate);
	}
}

static void refuses_what_is_no_rate(void **state)
{
	static const char *const texts[] = {
		"",	 "10",	     "pps",	  "0pps",      "-1pps",	       "10 kpps",
		"10Kpps", "1.5kpps", "101Mpps",	  "100000001pps", "99999999999pps", "10kpps/",
		"10kpps/sources",    "10kpps/24", "10kppsx",   "None",	       "18446744073709551617pps",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		bool is_per_source = true;
		__u32 rate = 77;
		char message[128];

		assert_int_not_equal(xd_limit_parse_rate(texts[i], &rate, &is_per_source), 0);
		assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
		snprintf(message, sizeof(message),
			 "limit %s: not a rate from 1pps to 100Mpps, as in 10kpps or 500pps/source, "
			 "and not none",
			 texts[i]);
		assert_string_equal(xd_error_message(), message);
		assert_int_equal(rate, 77);
	}
}

static void reads_networks(void **state)
{
	static const struct {
		const char *text, *address;
		__u8 prefix;
	} rows[] = {
		{ "10.0.0.0/8", "10.0.0.0", 8 },     { "192.0.2.7", "192.0.2.7", 32 },
		{ "192.0.2.7/32", "192.0.2.7", 32 }, { "0.0.0.0/0", "0.0.0.0", 0 },
		{ "128.0.0.0/1", "128.0.0.0", 1 },   { "192.0.2.6/31", "192.0.2.6", 31 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xd_limit_rule rule = {};

		assert_int_equal(xd_limit_parse_rule("deny", rows[i].text, XD_LIST_DENY, &rule), 0);
		assert_int_equal(rule.address, inet_addr(rows[i].address));
		assert_int_equal(rule.prefix, rows[i].prefix);
		assert_int_equal(rule.verdict, XD_LIST_DENY);
	}
}

static void refuses_what_is_no_network(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{ "", "allow : not an IPv4 network such as 10.0.0.0/8" },
		{ "/8", "allow /8: not an IPv4 network such as 10.0.0.0/8" },
		{ "10/8", "allow 10/8: not an IPv4 network such as 10.0.0.0/8" },
		{ "::1/128", "allow ::1/128: not an IPv4 network such as 10.0.0.0/8" },
		{ "10.0.0.1/8", "allow 10.0.0.1/8: has bits behind its prefix" },
		{ "1.2.3.4/0", "allow 1.2.3.4/0: has bits behind its prefix" },
		{ "10.0.0.0/33", NULL },
		{ "10.0.0.0/", NULL },
		{ "10.0.0.0/8/8", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xd_limit_rule rule = { .prefix = 77 };

		assert_int_not_equal(xd_limit_parse_rule("allow", rows[i].text, XD_LIST_ALLOW, &rule),
				     0);
		assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
		if (rows[i].message)
			assert_string_equal(xd_error_message(), rows[i].message);
		assert_int_equal(rule.prefix, 77);
	}
}

static void refuses_one_network_on_both_lists(void **state)
{
	struct xd_limit_rule rules[] = {
		{ .address = htonl(0x0a000000), .prefix = 8, .verdict = XD_LIST_ALLOW },
		{ .address = htonl(0x0a000000), .prefix = 16, .verdict = XD_LIST_DENY },
		{ .address = htonl(0x0a000000), .prefix = 8, .verdict = XD_LIST_ALLOW },
	};
	struct xd_limits limits = { .rules = rules, .rule_count = 3 };

	(void)state;
	assert_int_equal(xd_limit_check(&limits), 0);
	assert_false(xd_limit_is_none(&limits));
	rules[2].verdict = XD_LIST_DENY;
	assert_int_not_equal(xd_limit_check(&limits), 0);
	assert_string_equal(xd_error_message(), "10.0.0.0/8: is both allowed and denied");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_rates_and_shows_them),
		cmocka_unit_test(refuses_what_is_no_rate),
		cmocka_unit_test(reads_networks),
		cmocka_unit_test(refuses_what_is_no_network),
		cmocka_unit_test(refuses_one_network_on_both_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
