// SPDX-License-Identifier: GPL-2.0-only
/* What the flags of a network become by an `up`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/error.h"
#include "loader/network.h"

#define ICC_OFF XD_NETWORK_ICC_OFF
#define INTERNAL XD_NETWORK_INTERNAL
#define MASQUERADE XD_NETWORK_MASQUERADE
#define ROUTED XD_NETWORK_ROUTED
#define UNPROTECTED XD_NETWORK_UNPROTECTED
#define CHECK XD_NETWORK_SOURCE_CHECK
#define MODE XD_NETWORK_MODE
#define NEW -1

struct merge {
	int before; /* NEW: the network has no row */
	__u16 said;
	__u16 flags;
	int after; /* or -1 and: */
	const char *message;
};

static const struct merge merges[] = {
	{ NEW, 0, 0, MASQUERADE, NULL },
	{ NEW, ICC_OFF, ICC_OFF, MASQUERADE | ICC_OFF, NULL },
	{ NEW, MASQUERADE, 0, 0, NULL },
	{ NEW, CHECK, CHECK, MASQUERADE | CHECK, NULL },
	{ NEW, MODE, UNPROTECTED, MASQUERADE | UNPROTECTED, NULL },
	/* What is routed or internal is not masqueraded. */
	{ NEW, MODE, ROUTED, ROUTED, NULL },
	{ NEW, MODE | MASQUERADE, ROUTED, ROUTED, NULL },
	{ NEW, INTERNAL, INTERNAL, INTERNAL, NULL },
	{ NEW, INTERNAL | MODE, INTERNAL, INTERNAL, NULL },
	/* What is not said stays. */
	{ ICC_OFF | CHECK, 0, 0, ICC_OFF | CHECK, NULL },
	{ ICC_OFF | CHECK | MASQUERADE, ICC_OFF, 0, CHECK | MASQUERADE, NULL },
	{ INTERNAL | ICC_OFF, INTERNAL, INTERNAL, INTERNAL | ICC_OFF, NULL },
	{ INTERNAL, ICC_OFF, ICC_OFF, INTERNAL | ICC_OFF, NULL },
	{ UNPROTECTED | MASQUERADE, MODE, ROUTED, ROUTED, NULL },
	{ UNPROTECTED, MODE, 0, 0, NULL },
	/* What is routed no more is masqueraded again, unless it is said not to be. */
	{ ROUTED, MODE, 0, MASQUERADE, NULL },
	{ ROUTED, MODE | MASQUERADE, UNPROTECTED, UNPROTECTED, NULL },
	{ ROUTED, MODE | MASQUERADE, MASQUERADE, MASQUERADE, NULL },
	{ ROUTED, CHECK, CHECK, ROUTED | CHECK, NULL },
	/* Contradictions. */
	{ MASQUERADE, INTERNAL, INTERNAL, -1,
	  "--internal: network br is up and is not internal; `xdock down br` first" },
	{ INTERNAL, MASQUERADE, MASQUERADE, -1,
	  "--masquerade on: network br is internal, nothing leaves it" },
	{ NEW, INTERNAL | MODE, INTERNAL | ROUTED, -1,
	  "--gateway-mode routed: network br is internal, nobody enters it" },
	{ INTERNAL, MODE, UNPROTECTED, -1,
	  "--gateway-mode nat-unprotected: network br is internal, nobody enters it" },
	{ NEW, MODE | MASQUERADE, ROUTED | MASQUERADE, -1,
	  "--masquerade on: network br is routed, its containers keep their addresses" },
	{ ROUTED, MASQUERADE, MASQUERADE, -1,
	  "--masquerade on: network br is routed, its containers keep their addresses" },
};

static void merges_what_is_said_with_what_is_set(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(merges) / sizeof(merges[0]); i++) {
		const struct merge *merge = &merges[i];
		struct xd_network_options options = {
			.bridge = "br",
			.flags_said = merge->said,
			.flags = merge->flags,
		};
		struct xd_network existing = { .flags = merge->before };
		__u16 flags = 0xffff;
		int r;

		xd_error_clear();
		r = xd_network_merge(&options, merge->before == NEW ? NULL : &existing, &flags);
		if (merge->message) {
			assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
			assert_string_equal(xd_error_message(), merge->message);
			assert_int_equal(flags, 0xffff);
		} else if (r || flags != merge->after) {
			fail_msg("row %zu: %d, 0x%x", i, r, flags);
		}
	}
}

static void names_the_gateway_modes(void **state)
{
	static const char *const names[] = { "nat", "nat-unprotected", "routed" };
	__u16 flags;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(xd_network_parse_mode(names[i], &flags), 0);
		assert_string_equal(xd_network_mode(flags | ICC_OFF | MASQUERADE | CHECK),
				    names[i]);
	}
	for (const char *const *text = (const char *const[]){ "", "NAT", "nat ", "bridge", NULL };
	     *text; text++) {
		assert_int_not_equal(xd_network_parse_mode(*text, &flags), 0);
		assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
		assert_non_null(strstr(xd_error_message(), "nat, nat-unprotected, routed"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merges_what_is_said_with_what_is_set),
		cmocka_unit_test(names_the_gateway_modes),
	};

	return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
