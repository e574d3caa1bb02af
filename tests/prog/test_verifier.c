// SPDX-License-Identifier: GPL-2.0-only
/* Every program loads, and the work that the verifier has with it does not grow unseen. */
#include <bpf/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/prog/host.h"

/* Instructions that the verifier looked at (clang 14, kernel 6.18), and a fifth more. Who makes a
 * program larger for a reason measures anew and says so in the commit. */
static const struct {
	const char *program;
	__u32 limit;
} limits[] = {
	{ "xd_uplink_tc", 62900 },
	{ "xd_uplink_xdp", 123500 },
	{ "xd_screen_xdp", 61000 },
	{ "xd_container_tc", 189300 },
	{ "xd_endpoint_xdp", 54000 },
	{ "xd_bridge_tc", 510 },
	{ "xd_sample_tc", 770 },
	{ "xd_connect4", 3050 },
	{ "xd_connect6", 3230 },
	{ "xd_sendmsg4", 2510 },
	{ "xd_recvmsg4", 46 },
	{ "xd_recvmsg6", 57 },
	{ "xd_getpeername4", 46 },
	{ "xd_getpeername6", 57 },
	{ "xd_bind4", 222 },
	{ "xd_bind6", 243 },
};
#define LIMIT_COUNT (sizeof(limits) / sizeof(limits[0]))

static void verifies_within_the_limits(void **state)
{
	size_t over = 0;

	(void)state;
	host_reset();
	for (size_t i = 0; i < LIMIT_COUNT; i++) {
		struct bpf_program *program =
			bpf_object__find_program_by_name(host.skeleton->obj, limits[i].program);
		struct bpf_prog_info info = {};
		__u32 length = sizeof(info);

		assert_non_null(program);
		assert_int_equal(
			bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &length), 0);
		print_message("%-16s %6u of %6u\n", limits[i].program, info.verified_insns,
			      limits[i].limit);
		/* 0 where the kernel does not say (before 5.16). */
		over += info.verified_insns > limits[i].limit;
	}
	assert_int_equal(over, 0);
}

static void knows_every_program(void **state)
{
	struct bpf_program *program;
	size_t count = 0;

	(void)state;
	host_reset();
	bpf_object__for_each_program(program, host.skeleton->obj)
		count++;
	assert_int_equal(count, LIMIT_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifies_within_the_limits),
		cmocka_unit_test(knows_every_program),
	};

	return cmocka_run_group_tests_name("verifier", tests, host_setup, host_teardown);
}
