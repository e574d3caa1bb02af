// SPDX-License-Identifier: GPL-2.0-only
/* Rows of xd_snat and xd_snat_rev as flows. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/flow.h"

#define SECOND XD_SNAT_SECOND_NS
#define NOW (1000000 * SECOND)

/* A flow of 172.17.0.2:PORT to 192.0.2.1:443, which sees it from 198.51.100.1:PORT. */
static struct xd_snat_key key(__u16 port)
{
	return (struct xd_snat_key){
		.container_address = inet_addr("172.17.0.2"),
		.remote_address = inet_addr("192.0.2.1"),
		.container_port = htons(port),
		.remote_port = htons(443),
		.protocol = IPPROTO_TCP,
	};
}

static struct xd_snat value(__u16 port, __u16 flags, __u64 idle_s)
{
	return (struct xd_snat){
		.address = inet_addr("198.51.100.1"),
		.port = htons(port),
		.flags = flags,
		.seen_ns = NOW - idle_s * SECOND,
		.owner = 70007,
	};
}

static struct xd_snat_rev_key rev_key(__u16 port)
{
	return (struct xd_snat_rev_key){
		.remote_address = inet_addr("192.0.2.1"),
		.address = inet_addr("198.51.100.1"),
		.remote_port = htons(443),
		.port = htons(port),
		.protocol = IPPROTO_TCP,
	};
}

static struct xd_snat_rev rev(__u16 port, __u16 flags, __u64 idle_s)
{
	return (struct xd_snat_rev){
		.container_address = inet_addr("172.17.0.2"),
		.container_port = htons(port),
		.seen_ns = NOW - idle_s * SECOND,
		.ifindex = 70007,
		.dialled_address = inet_addr("192.0.2.1"),
		.dialled_port = htons(443),
		.flags = flags,
	};
}

static struct xd_flow *join(const struct xd_flow_rows *rows, size_t expected)
{
	struct xd_flow *flows;
	size_t count;

	assert_int_equal(xd_flow_join(rows, NOW, &flows, &count), 0);
	assert_int_equal(count, expected);
	return flows;
}

static void makes_one_flow_of_both_rows(void **state)
{
	struct xd_snat_key keys[] = { key(1), key(2) };
	struct xd_snat values[] = { value(11, 0, 50), value(12, XD_SNAT_FIN_OUT, 7) };
	struct xd_snat_rev_key rev_keys[] = { rev_key(12), rev_key(11) };
	struct xd_snat_rev revs[] = { rev(2, XD_SNAT_REPLIED, 9), rev(1, XD_SNAT_REPLIED, 3) };
	struct xd_flow_rows rows = { keys, values, 2, rev_keys, revs, 2 };
	struct xd_flow *flows = join(&rows, 2);

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(flows[i].kind, XD_FLOW_MASQUERADE);
		assert_int_equal(flows[i].address, inet_addr("172.17.0.2"));
		assert_int_equal(flows[i].port, htons(1 + i));
		assert_int_equal(flows[i].remote_address, inet_addr("192.0.2.1"));
		assert_int_equal(flows[i].remote_port, htons(443));
		assert_int_equal(flows[i].host_address, inet_addr("198.51.100.1"));
		assert_int_equal(flows[i].host_port, htons(11 + i));
		assert_int_equal(flows[i].owner, 70007);
	}
	/* The flags of both, and the later of their times. */
	assert_int_equal(flows[0].flags, XD_SNAT_REPLIED);
	assert_int_equal(flows[1].flags, XD_SNAT_REPLIED | XD_SNAT_FIN_OUT);
	assert_true(flows[0].idle_ns == 3 * SECOND && flows[1].idle_ns == 7 * SECOND);
	assert_true(flows[0].left_ns == (432000 - 3) * SECOND);
	free(flows);
}

static void shows_a_half_whose_other_half_is_gone(void **state)
{
	struct xd_snat_key keys[] = { key(1) };
	struct xd_snat values[] = { value(11, 0, 0) };
	struct xd_snat_rev_key rev_keys[] = { rev_key(12) };
	struct xd_snat_rev revs[] = { rev(2, 0, 1) };
	struct xd_flow_rows rows = { keys, values, 1, rev_keys, revs, 1 };
	struct xd_flow *flows = join(&rows, 2);

	(void)state;
	assert_int_equal(flows[0].port, htons(1));
	assert_int_equal(flows[0].host_port, htons(11));
	assert_int_equal(flows[1].port, htons(2));
	assert_int_equal(flows[1].host_port, htons(12));
	assert_int_equal(flows[1].host_address, inet_addr("198.51.100.1"));
	assert_int_equal(flows[1].owner, 70007);
	free(flows);
}

/* The flow went on from another port; the first one is not yet anybody's. */
static void shows_a_half_that_has_another_port_by_itself(void **state)
{
	struct xd_snat_key keys[] = { key(1) };
	struct xd_snat values[] = { value(12, 0, 0) };
	struct xd_snat_rev_key rev_keys[] = { rev_key(12), rev_key(11) };
	struct xd_snat_rev revs[] = { rev(1, XD_SNAT_REPLIED, 0), rev(1, 0, 20) };
	struct xd_flow_rows rows = { keys, values, 1, rev_keys, revs, 2 };
	struct xd_flow *flows = join(&rows, 2);

	(void)state;
	assert_int_equal(flows[0].host_port, htons(11));
	assert_true(flows[0].idle_ns == 20 * SECOND && !flows[0].flags);
	assert_int_equal(flows[1].host_port, htons(12));
	assert_int_equal(flows[1].flags, XD_SNAT_REPLIED);
	free(flows);
}

/* The remote of its reverse row is the container that serves it. */
static void joins_a_hairpin_flow_by_what_was_dialled(void **state)
{
	struct xd_snat_key keys[] = { key(1) };
	struct xd_snat values[] = { value(11, XD_SNAT_HAIRPIN, 0) };
	struct xd_snat_rev_key rev_keys[] = { rev_key(11) };
	struct xd_snat_rev revs[] = { rev(1, XD_SNAT_HAIRPIN, 0) };
	struct xd_flow_rows rows = { keys, values, 1, rev_keys, revs, 1 };
	struct xd_flow *flows;

	(void)state;
	rev_keys[0].remote_address = inet_addr("172.17.0.3");
	rev_keys[0].remote_port = htons(80);
	flows = join(&rows, 1);
	assert_int_equal(flows[0].kind, XD_FLOW_HAIRPIN);
	assert_int_equal(flows[0].remote_address, inet_addr("192.0.2.1"));
	assert_int_equal(flows[0].remote_port, htons(443));
	free(flows);
}

static void knows_plain_flows(void **state)
{
	struct xd_snat_key keys[] = { key(1) };
	struct xd_snat values[] = { value(1, XD_SNAT_PLAIN, 0) };
	struct xd_flow_rows rows = { keys, values, 1, NULL, NULL, 0 };
	struct xd_flow *flows = join(&rows, 1);

	(void)state;
	assert_int_equal(flows[0].kind, XD_FLOW_PLAIN);
	free(flows);
}

/* One that is over at this very moment is, too; a clock that is ahead is no flow's end. */
static void leaves_out_what_expired(void **state)
{
	struct xd_snat_key keys[] = { key(1), key(2), key(3) };
	struct xd_snat values[] = { value(1, 0, 119), value(2, 0, 120), value(3, 0, 0) };
	struct xd_flow_rows rows = { keys, values, 3, NULL, NULL, 0 };
	struct xd_flow *flows;

	(void)state;
	values[2].seen_ns = NOW + 5;
	flows = join(&rows, 2);
	assert_int_equal(flows[0].port, htons(1));
	assert_true(flows[0].left_ns == SECOND);
	assert_int_equal(flows[1].port, htons(3));
	assert_true(flows[1].idle_ns == 0);
	free(flows);
}

static void is_over_when_both_halves_are(void **state)
{
	struct xd_snat_key keys[] = { key(1), key(2) };
	struct xd_snat values[] = { value(1, XD_SNAT_RST, 121), value(2, XD_SNAT_RST, 121) };
	struct xd_snat_rev_key rev_keys[] = { rev_key(1), rev_key(2) };
	struct xd_snat_rev revs[] = { rev(1, 0, 60), rev(2, XD_SNAT_RST, 120) };
	struct xd_flow_rows rows = { keys, values, 2, rev_keys, revs, 2 };
	struct xd_flow *flows = join(&rows, 1);

	(void)state;
	assert_int_equal(flows[0].port, htons(1));
	assert_true(flows[0].left_ns == 60 * SECOND);
	free(flows);
}

static void joins_nothing(void **state)
{
	struct xd_flow_rows rows = {};

	(void)state;
	free(join(&rows, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_one_flow_of_both_rows),
		cmocka_unit_test(shows_a_half_whose_other_half_is_gone),
		cmocka_unit_test(shows_a_half_that_has_another_port_by_itself),
		cmocka_unit_test(is_over_when_both_halves_are),
		cmocka_unit_test(joins_a_hairpin_flow_by_what_was_dialled),
		cmocka_unit_test(knows_plain_flows),
		cmocka_unit_test(leaves_out_what_expired),
		cmocka_unit_test(joins_nothing),
	};

	return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
