// SPDX-License-Identifier: GPL-2.0-only
/* Who may use a published port, and how often; and what is dropped early. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "include/limit.h"
#include "tests/prog/host.h"

#define SECOND_NS 1000000000LL

/* Far from any time that a test run takes. */
#define INTERVAL_NS (100 * SECOND_NS)
#define BURST_NS (1000 * SECOND_NS)

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* The port tcp/8080 of host_reset() with a limit. */
static void limit(__u32 flags)
{
	struct xd_limit row = {
		.interval_ns = INTERVAL_NS,
		.burst_ns = BURST_NS,
		.flags = flags,
	};
	__u32 counter = HOST_COUNT_8080;

	host_reset();
	host_publish("0.0.0.0", 8080, IPPROTO_TCP, 80, XD_PORT_CANONICAL | XD_PORT_LIMITED,
		     HOST_COUNT_8080);
	host_clear(host.skeleton->maps.xd_limit);
	host_clear(host.skeleton->maps.xd_list);
	host_clear(host.skeleton->maps.xd_bucket);
	host_put(host.skeleton->maps.xd_limit, &counter, &row);
}

static void list(__u32 counter, const char *address, __u32 prefix, __u32 verdict)
{
	struct xd_list_key key = {
		.prefix = 32 + prefix,
		.counter = htonl(counter),
		.address = frame_address(address),
	};

	host_put(host.skeleton->maps.xd_list, &key, &(struct xd_list){ .verdict = verdict });
}

static struct frame_spec from(const char *address)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

	spec.from.address = frame_address(address);
	return spec;
}

static void delivers(void **state, const char *address)
{
	struct frame_spec spec = from(address), to = host_delivered(&spec, &host_web, 80);

	host_spec_becomes(host_hook(state), &spec, &to, HOST_COUNT_8080);
}

static void refuses(void **state, const char *address, enum xd_drop_reason reason)
{
	struct frame_spec spec = from(address);

	host_spec_drops(host_hook(state), &spec, reason);
}

/* The client's next packet is due so long from now; 0: nothing is known of it. */
static void set_due(const char *address, __s64 due_ns)
{
	struct xd_bucket_key key = {
		.counter = HOST_COUNT_8080,
		.source = address ? frame_address(address) : 0,
	};

	host_put(host.skeleton->maps.xd_bucket, &key,
		 &(struct xd_bucket){ .due_ns = now_ns() + due_ns });
}

/* In seconds from now, and up to one before. */
static __s64 due_of(const char *address)
{
	struct xd_bucket_key key = {
		.counter = HOST_COUNT_8080,
		.source = address ? frame_address(address) : 0,
	};
	struct xd_bucket bucket;

	assert_true(host_get(host.skeleton->maps.xd_bucket, &key, &bucket));
	return ((__s64)(bucket.due_ns - now_ns()) + SECOND_NS - 1) / SECOND_NS;
}

static void lets_in_who_is_not_denied(void **state)
{
	limit(XD_LIMIT_LISTED);
	list(HOST_COUNT_8080, "192.0.2.0", 24, XD_LIST_DENY);
	refuses(state, "192.0.2.0", XD_DROP_DENIED);
	refuses(state, "192.0.2.255", XD_DROP_DENIED);
	delivers(state, "192.0.1.255");
	delivers(state, "192.0.3.0");
}

static void lets_in_nobody_but_the_allowed(void **state)
{
	limit(XD_LIMIT_LISTED | XD_LIMIT_ALLOWED);
	list(HOST_COUNT_8080, "192.0.2.0", 24, XD_LIST_ALLOW);
	delivers(state, "192.0.2.7");
	refuses(state, "192.0.3.7", XD_DROP_DENIED);
}

static void goes_by_the_longest_prefix(void **state)
{
	limit(XD_LIMIT_LISTED | XD_LIMIT_ALLOWED);
	list(HOST_COUNT_8080, "0.0.0.0", 0, XD_LIST_DENY);
	list(HOST_COUNT_8080, "192.0.0.0", 8, XD_LIST_ALLOW);
	list(HOST_COUNT_8080, "192.0.2.0", 24, XD_LIST_DENY);
	list(HOST_COUNT_8080, "192.0.2.7", 32, XD_LIST_ALLOW);
	refuses(state, "193.0.2.7", XD_DROP_DENIED);
	delivers(state, "192.0.3.7");
	refuses(state, "192.0.2.8", XD_DROP_DENIED);
	delivers(state, "192.0.2.7");
}

static void asks_the_list_of_the_port_alone(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8761), to;

	limit(XD_LIMIT_LISTED);
	list(HOST_COUNT_8761, "0.0.0.0", 0, XD_LIST_DENY);
	delivers(state, HOST_CLIENT);
	/* Nor that of one without the flag. */
	to = host_delivered(&spec, &host_web, 8761);
	host_spec_becomes(host_hook(state), &spec, &to, HOST_COUNT_8761);
}

/* One packet of a client. */
static bool gets_in(void **state, const char *address)
{
	struct frame_spec spec = from(address);
	struct host_result result;
	struct frame frame;

	frame_build(&spec, &frame);
	assert_int_equal(host_try(host_hook(state), &frame, NULL, 0, &result), 0);
	return result.verdict == HOST_REDIRECT;
}

static void admits_no_more_than_the_burst(void **state)
{
	limit(XD_LIMIT_RATE);
	delivers(state, HOST_CLIENT);
	/* All clients together. */
	set_due(NULL, BURST_NS - SECOND_NS);
	assert_true(gets_in(state, "192.0.2.9"));
	assert_false(gets_in(state, HOST_CLIENT));
	set_due(NULL, BURST_NS + SECOND_NS);
	refuses(state, HOST_CLIENT, XD_DROP_LIMITED);
	/* Time has gone by. */
	set_due(NULL, BURST_NS - SECOND_NS);
	assert_true(gets_in(state, HOST_CLIENT));
	/* A client that was idle has not saved up more than the burst. */
	set_due(NULL, -3600 * SECOND_NS);
	delivers(state, HOST_CLIENT);
	assert_in_range(due_of(NULL), 1, INTERVAL_NS / SECOND_NS * 2);
}

static void counts_each_source_by_itself(void **state)
{
	limit(XD_LIMIT_RATE | XD_LIMIT_PER_SOURCE);
	set_due(HOST_CLIENT, BURST_NS + SECOND_NS);
	refuses(state, HOST_CLIENT, XD_DROP_LIMITED);
	delivers(state, "192.0.2.9");
	set_due("192.0.2.9", BURST_NS + SECOND_NS);
	refuses(state, "192.0.2.9", XD_DROP_LIMITED);
}

static void spends_nothing_on_what_it_refuses(void **state)
{
	limit(XD_LIMIT_RATE | XD_LIMIT_LISTED);
	list(HOST_COUNT_8080, "192.0.2.9", 32, XD_LIST_DENY);
	set_due(NULL, BURST_NS / 2);
	refuses(state, "192.0.2.9", XD_DROP_DENIED);
	assert_int_equal(due_of(NULL), BURST_NS / 2 / SECOND_NS);
	set_due(NULL, 2 * BURST_NS);
	refuses(state, HOST_CLIENT, XD_DROP_LIMITED);
	assert_int_equal(due_of(NULL), 2 * BURST_NS / SECOND_NS);
}

static __s64 spent_on(enum host_program program, __u32 gso_size)
{
	struct host_context context = { .gso_size = gso_size };
	struct frame_spec spec = from(HOST_CLIENT);
	struct host_result result;
	struct frame frame;

	spec.payload = 1000;
	frame_build(&spec, &frame);
	set_due(NULL, INTERVAL_NS);
	assert_int_equal(host_try(program, &frame, &context, 0, &result), 0);
	return due_of(NULL) - INTERVAL_NS / SECOND_NS;
}

static void spends_one_on_a_packet(void **state)
{
	limit(XD_LIMIT_RATE);
	assert_int_equal(spent_on(host_hook(state), 0), INTERVAL_NS / SECOND_NS);
}

static void spends_one_on_each_segment(void **state)
{
	(void)state;
	limit(XD_LIMIT_RATE);
	assert_int_equal(spent_on(HOST_UPLINK_TC, 500), 2 * INTERVAL_NS / SECOND_NS);
}

static void has_no_limit_without_a_row(void **state)
{
	limit(XD_LIMIT_RATE);
	host_clear(host.skeleton->maps.xd_limit);
	delivers(state, HOST_CLIENT);
}

/* The program in front of TC. */

static void screens(const struct frame_spec *spec, int reason)
{
	if (reason < 0)
		host_spec_passes(HOST_SCREEN, spec);
	else
		host_spec_drops(HOST_SCREEN, spec, reason);
}

static void screens_limits_and_spends_nothing(void **state)
{
	struct frame_spec spec = from(HOST_CLIENT);

	(void)state;
	limit(XD_LIMIT_RATE | XD_LIMIT_LISTED);
	screens(&spec, -1);
	assert_int_equal(host_count_rows(host.skeleton->maps.xd_bucket), 0);
	set_due(NULL, BURST_NS / 2);
	screens(&spec, -1);
	assert_int_equal(due_of(NULL), BURST_NS / 2 / SECOND_NS);
	set_due(NULL, 2 * BURST_NS);
	screens(&spec, XD_DROP_LIMITED);
	list(HOST_COUNT_8080, HOST_CLIENT, 32, XD_LIST_DENY);
	screens(&spec, XD_DROP_DENIED);
	/* Exceptions are noted by who delivers. */
	spec = host_inbound(IPPROTO_TCP, HOST_SECOND, 8761);
	screens(&spec, -1);
	assert_int_equal(host_count_rows(host.skeleton->maps.xd_exception), 0);
}

static void screens_what_comes_from_nowhere_or_goes_too_far(void **state)
{
	static const struct {
		const char *from, *to;
		int reason;
	} rows[] = {
		{ HOST_CLIENT, HOST_DEFAULT, -1 },
		{ "127.0.0.1", HOST_DEFAULT, XD_DROP_MARTIAN },
		{ HOST_CLIENT, "127.0.0.1", XD_DROP_MARTIAN },
		{ HOST_WEB, HOST_DEFAULT, XD_DROP_MARTIAN },
		{ HOST_DEFAULT, HOST_DEFAULT, XD_DROP_MARTIAN },
		{ HOST_CLIENT, HOST_WEB, XD_DROP_DIRECT_ROUTED },
		{ HOST_CLIENT, "192.0.2.9", -1 },
	};
	static const __u8 protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP };

	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t j = 0; j < sizeof(protocols); j++) {
			struct frame_spec spec = host_inbound(protocols[j], rows[i].to, 9);

			spec.from.address = frame_address(rows[i].from);
			screens(&spec, rows[i].reason);
			/* Whoever it is for, not this host. */
			spec.mac_to = host_mac_stranger;
			screens(&spec, -1);
		}
	}
}

static void drops_the_hosts_own_addresses_as_sources(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_UDP, HOST_SECOND, 9);
	struct xd_host *row = &host.skeleton->data_xd_host->xd_host;

	host_reset();
	spec.from.address = frame_address(HOST_DEFAULT);
	/* Where an uplink accepts them. */
	host_spec_passes(host_hook(state), &spec);
	row->sources = xd_host_bit(frame_address(HOST_DEFAULT));
	host_spec_drops(host_hook(state), &spec, XD_DROP_MARTIAN);
	screens(&spec, XD_DROP_MARTIAN);
	/* The bit may be another address' as well. */
	row->sources = ~0ULL;
	spec.from.address = frame_address(HOST_CLIENT);
	host_spec_passes(host_hook(state), &spec);
	screens(&spec, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_BOTH_HOOKS(lets_in_who_is_not_denied),
		HOST_BOTH_HOOKS(lets_in_nobody_but_the_allowed),
		HOST_BOTH_HOOKS(goes_by_the_longest_prefix),
		HOST_BOTH_HOOKS(asks_the_list_of_the_port_alone),
		HOST_BOTH_HOOKS(admits_no_more_than_the_burst),
		HOST_BOTH_HOOKS(counts_each_source_by_itself),
		HOST_BOTH_HOOKS(spends_nothing_on_what_it_refuses),
		HOST_BOTH_HOOKS(spends_one_on_a_packet),
		HOST_TC(spends_one_on_each_segment),
		HOST_BOTH_HOOKS(has_no_limit_without_a_row),
		HOST_BOTH_HOOKS(drops_the_hosts_own_addresses_as_sources),
		cmocka_unit_test(screens_limits_and_spends_nothing),
		cmocka_unit_test(screens_what_comes_from_nowhere_or_goes_too_far),
	};

	return cmocka_run_group_tests_name("limit", tests, host_setup, host_teardown);
}
