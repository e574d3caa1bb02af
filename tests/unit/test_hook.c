// SPDX-License-Identifier: GPL-2.0-only
/* Which hook an interface gets, from what was asked for and what is known of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/error.h"
#include "loader/hook.h"
#include "loader/offload.h"

/* A network card that has everything, and nothing on top of it. Behind it stands what is otherwise. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define CARD                                                                                       \
	.name = "eth0", .kind = "", .driver = "ice", .is_told = true, .has_native = true,          \
	.foreign_name = "", .offloads = XD_OFFLOAD_RX_SUM | XD_OFFLOAD_GRO

struct choice {
	__u32 want;
	struct xd_hook_facts facts;
	int hooked; /* or -1: refused */
	const char *text; /* of why, or of the error */
};

static const struct choice choices[] = {
	{ XD_WANT_AUTO, { CARD }, XD_HOOKED_SCREEN, "auto: XDP costs it nothing, so it drops early" },
	{ XD_WANT_AUTO, { CARD, .is_told = false, .has_native = false }, XD_HOOKED_SCREEN,
	  "auto: XDP costs it nothing, so it drops early" },
	{ XD_WANT_AUTO, { CARD, .has_native = false }, XD_HOOKED_TC, "auto: its driver has no XDP" },
	{ XD_WANT_AUTO, { CARD, .kind = "veth" }, XD_HOOKED_TC,
	  "auto: a veth: XDP would take segmentation offload from its peer" },
	{ XD_WANT_AUTO, { CARD, .kind = "bond" }, XD_HOOKED_TC,
	  "auto: part of a bond, a team or a bridge" },
	{ XD_WANT_AUTO, { CARD, .has_master = true }, XD_HOOKED_TC,
	  "auto: part of a bond, a team or a bridge" },
	{ XD_WANT_AUTO, { CARD, .has_vlan = true }, XD_HOOKED_TC,
	  "auto: a VLAN is on top of it, whose frames XDP cannot tell from its own" },
	{ XD_WANT_AUTO, { CARD, .driver = "virtio_net" }, XD_HOOKED_TC,
	  "auto: virtio_net: XDP would take receive offloads from it" },
	{ XD_WANT_AUTO, { CARD, .driver = "virtio_net", .offloads = XD_OFFLOAD_GRO },
	  XD_HOOKED_SCREEN, "auto: XDP costs it nothing, so it drops early" },
	{ XD_WANT_AUTO, { CARD, .offloads = XD_OFFLOAD_LRO }, XD_HOOKED_TC,
	  "auto: XDP would take large receive offload from it" },
	{ XD_WANT_AUTO, { CARD, .offloads = XD_OFFLOAD_GRO_HW }, XD_HOOKED_TC,
	  "auto: XDP would take large receive offload from it" },
	{ XD_WANT_AUTO, { CARD, .foreign_id = 7, .foreign_name = "xdp_dispatcher" }, XD_HOOKED_TC,
	  "auto: XDP program 7 (xdp_dispatcher) is there" },
	{ XD_WANT_AUTO, { CARD, .place = XD_HOOK_CONTAINER }, XD_HOOKED_TC,
	  "auto: XDP would take segmentation offload from the container" },
	{ XD_WANT_TC, { CARD }, XD_HOOKED_TC, "as asked for" },
	{ XD_WANT_TC, { CARD, .foreign_id = 7 }, XD_HOOKED_TC, "as asked for" },
	{ XD_WANT_XDP, { CARD }, XD_HOOKED_XDP, "as asked for" },
	/* What it costs was asked for, too. */
	{ XD_WANT_XDP, { CARD, .kind = "veth" }, XD_HOOKED_XDP, "as asked for" },
	{ XD_WANT_XDP, { CARD, .driver = "virtio_net" }, XD_HOOKED_XDP, "as asked for" },
	{ XD_WANT_XDP, { CARD, .place = XD_HOOK_CONTAINER }, XD_HOOKED_XDP, "as asked for" },
	{ XD_WANT_XDP, { CARD, .is_told = false, .has_native = false }, XD_HOOKED_XDP,
	  "as asked for" },
	{ XD_WANT_XDP, { CARD, .has_native = false }, -1,
	  "hook xdp of eth0: its driver has no XDP; xdp-generic does not need it" },
	{ XD_WANT_XDP, { CARD, .has_vlan = true }, -1,
	  "hook xdp of eth0: a VLAN is on top of it, whose frames XDP cannot tell from its own" },
	{ XD_WANT_XDP, { CARD, .foreign_id = 7, .foreign_name = "theirs" }, -1,
	  "hook xdp of eth0: XDP program 7 (theirs) is there, and stays" },
	{ XD_WANT_XDP_GENERIC, { CARD, .has_native = false }, XD_HOOKED_GENERIC, "as asked for" },
	{ XD_WANT_XDP_GENERIC, { CARD, .foreign_id = 7, .foreign_name = "theirs" }, -1,
	  "hook xdp-generic of eth0: XDP program 7 (theirs) is there, and stays" },
	{ XD_WANT_XDP_GENERIC, { CARD, .has_vlan = true }, -1,
	  "hook xdp-generic of eth0: a VLAN is on top of it, whose frames XDP cannot tell from its "
	  "own" },
	/* A bridge has TC, whatever the instance wants. */
	{ XD_WANT_AUTO, { CARD, .place = XD_HOOK_BRIDGE }, XD_HOOKED_TC,
	  "XDP on a bridge sees what is sent to the host and not what is sent to containers" },
	{ XD_WANT_XDP, { CARD, .place = XD_HOOK_BRIDGE, .name = "docker0" }, -1,
	  "hook xdp of docker0: XDP on a bridge sees what is sent to the host and not what is sent to "
	  "containers" },
	{ XD_WANT_XDP_GENERIC, { CARD, .place = XD_HOOK_BRIDGE, .name = "docker0" }, -1,
	  "hook xdp-generic of docker0: XDP on a bridge sees what is sent to the host and not what is "
	  "sent to containers" },
};

static void chooses_from_facts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		const struct choice *row = &choices[i];
		struct xd_hook_choice choice;
		int r;

		xd_error_clear();
		r = xd_hook_choose(row->want, &row->facts, &choice);
		if (row->hooked < 0) {
			assert_int_not_equal(r, 0);
			assert_string_equal(xd_error_message(), row->text);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(choice.why, row->text);
		assert_int_equal(choice.hooked, row->hooked);
	}
}

static void leaves_the_choice_alone_when_it_refuses(void **state)
{
	struct xd_hook_choice choice = { .hooked = XD_HOOKED_SCREEN, .why = "before" };
	struct xd_hook_facts facts = { CARD, .foreign_id = 7 };

	(void)state;
	assert_int_not_equal(xd_hook_choose(XD_WANT_XDP, &facts, &choice), 0);
	assert_int_equal(choice.hooked, XD_HOOKED_SCREEN);
	assert_string_equal(choice.why, "before");
}

static void reads_what_it_names(void **state)
{
	__u32 want = 77;

	(void)state;
	for (__u32 i = XD_WANT_AUTO; i < XD_WANT_MAX; i++) {
		assert_int_equal(xd_hook_parse(xd_hook_name(i), &want), 0);
		assert_int_equal(want, i);
	}
	want = 77;
	assert_int_not_equal(xd_hook_parse("XDP", &want), 0);
	assert_string_equal(xd_error_message(),
			    "hook XDP: none of auto, tc, xdp, xdp-generic");
	assert_int_not_equal(xd_hook_parse("", &want), 0);
	assert_int_equal(want, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chooses_from_facts),
		cmocka_unit_test(leaves_the_choice_alone_when_it_refuses),
		cmocka_unit_test(reads_what_it_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
