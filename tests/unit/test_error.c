// SPDX-License-Identifier: GPL-2.0-only
/* The error chain: codes, kinds and messages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/error.h"

static int clear(void **state)
{
	(void)state;
	xd_error_clear();
	return 0;
}

static void assert_error(enum xd_error_kind kind, const char *message)
{
	assert_string_equal(xd_error_message(), message);
	assert_int_equal(xd_error_kind(), kind);
}

static void has_no_message_at_first(void **state)
{
	(void)state;
	assert_error(XD_ERROR_NONE, "");
}

static void records_usage_as_einval(void **state)
{
	(void)state;
	assert_int_equal(xd_error_usage("port spec %s: empty", "x"), -EINVAL);
	assert_error(XD_ERROR_USAGE, "port spec x: empty");
}

static void records_missing_as_enoent(void **state)
{
	(void)state;
	assert_int_equal(xd_error_missing("container %s: not found", "web"), -ENOENT);
	assert_error(XD_ERROR_MISSING, "container web: not found");
}

static void appends_the_text_of_the_errno(void **state)
{
	(void)state;
	assert_int_equal(xd_error_system(-EPERM, "interface %s", "eth0"), -EPERM);
	assert_error(XD_ERROR_SYSTEM, "interface eth0: Operation not permitted");
}

static void leaves_out_the_errno_where_the_message_says_it(void **state)
{
	static const int codes[] = { -EEXIST, -EBUSY, -ENOTSUP };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		xd_error_clear();
		assert_int_equal(xd_error_system(codes[i], "port 80/tcp: published by web"),
				 codes[i]);
		assert_error(XD_ERROR_SYSTEM, "port 80/tcp: published by web");
	}
}

static void puts_each_context_before_the_message(void **state)
{
	(void)state;
	xd_error_system(-ENOMEM, "xd_port");
	assert_int_equal(xd_error_in(-ENOMEM, "port %d/tcp", 80), -ENOMEM);
	assert_int_equal(xd_error_in(-ENOMEM, "container web"), -ENOMEM);
	assert_error(XD_ERROR_SYSTEM,
		     "container web: port 80/tcp: xd_port: Cannot allocate memory");
}

static void keeps_the_kind_when_context_is_added(void **state)
{
	(void)state;
	xd_error_in(xd_error_usage("mtu x: not a number"), "up");
	assert_error(XD_ERROR_USAGE, "up: mtu x: not a number");
	xd_error_in(xd_error_missing("not up"), "port list");
	assert_error(XD_ERROR_MISSING, "port list: not up");
}

static void makes_context_the_message_where_none_was_recorded(void **state)
{
	(void)state;
	assert_int_equal(xd_error_in(-ENOENT, "xd_port"), -ENOENT);
	assert_error(XD_ERROR_SYSTEM, "xd_port: No such file or directory");
}

static void forgets_the_message_when_cleared(void **state)
{
	(void)state;
	xd_error_usage("a message");
	xd_error_clear();
	assert_error(XD_ERROR_NONE, "");
}

static void replaces_the_message_by_the_next(void **state)
{
	(void)state;
	xd_error_usage("a rather long message");
	xd_error_missing("another");
	assert_error(XD_ERROR_MISSING, "another");
}

static void may_quote_the_message_before(void **state)
{
	(void)state;
	xd_error_usage("cause");
	xd_error_system(-EBUSY, "effect of %s", xd_error_message());
	assert_error(XD_ERROR_SYSTEM, "effect of cause");
	xd_error_in(-EBUSY, "(%s)", xd_error_message());
	assert_error(XD_ERROR_SYSTEM, "(effect of cause): effect of cause");
}

static void turns_control_characters_into_question_marks(void **state)
{
	(void)state;
	xd_error_usage("name \033[31m\n\t\177: é");
	assert_error(XD_ERROR_USAGE, "name ?[31m???: é");
}

static void cuts_off_what_is_too_long(void **state)
{
	char text[5000];
	int i;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	xd_error_usage("%s", text);
	assert_int_equal(strlen(xd_error_message()), 1023);
	xd_error_system(-ENOENT, "%s", text);
	assert_int_equal(strlen(xd_error_message()), 1023);
	xd_error_missing("%s", text);
	assert_int_equal(strlen(xd_error_message()), 1023);
	for (i = 0; i < 10; i++)
		xd_error_in(-ENOENT, "context %d", i);
	assert_int_equal(strlen(xd_error_message()), 1023);
	assert_memory_equal(xd_error_message(), "context 9: context 8: ", 22);
	xd_error_in(-ENOENT, "%s", text);
	assert_int_equal(strlen(xd_error_message()), 1023);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(has_no_message_at_first, clear),
		cmocka_unit_test_setup(records_usage_as_einval, clear),
		cmocka_unit_test_setup(records_missing_as_enoent, clear),
		cmocka_unit_test_setup(appends_the_text_of_the_errno, clear),
		cmocka_unit_test_setup(leaves_out_the_errno_where_the_message_says_it, clear),
		cmocka_unit_test_setup(puts_each_context_before_the_message, clear),
		cmocka_unit_test_setup(keeps_the_kind_when_context_is_added, clear),
		cmocka_unit_test_setup(makes_context_the_message_where_none_was_recorded, clear),
		cmocka_unit_test_setup(forgets_the_message_when_cleared, clear),
		cmocka_unit_test_setup(replaces_the_message_by_the_next, clear),
		cmocka_unit_test_setup(may_quote_the_message_before, clear),
		cmocka_unit_test_setup(turns_control_characters_into_question_marks, clear),
		cmocka_unit_test_setup(cuts_off_what_is_too_long, clear),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
