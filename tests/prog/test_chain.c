// SPDX-License-Identifier: GPL-2.0-only
/* There and back: what one program gives out is answered by the container and given to the next.
 *
 *   client --> uplink (TC or XDP) --> container swaps the ends --> container program --> client */
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/prog/host.h"

struct target {
	__u8 protocol;
	const char *address;
	__u16 port_host;
};

static const struct target canonical[] = {
	{ IPPROTO_TCP, HOST_DEFAULT, 8761 }, { IPPROTO_UDP, HOST_DEFAULT, 8761 },
	{ IPPROTO_TCP, HOST_DEFAULT, 8080 }, { IPPROTO_UDP, HOST_DEFAULT, 5300 },
};
static const struct target exact[] = {
	{ IPPROTO_TCP, HOST_SECOND, 9000 },
	{ IPPROTO_TCP, HOST_DEFAULT, 7000 },
};
static const struct target exceptions[] = {
	{ IPPROTO_TCP, HOST_SECOND, 8761 },  { IPPROTO_UDP, HOST_SECOND, 8761 },
	{ IPPROTO_TCP, HOST_SECOND, 8080 },  { IPPROTO_UDP, HOST_SECOND, 5300 },
	{ IPPROTO_TCP, HOST_DEFAULT, 8081 }, { IPPROTO_TCP, HOST_SECOND, 8081 },
	{ IPPROTO_TCP, HOST_GATEWAY, 8080 },
};

static void assert_sums(const struct frame *frame, bool has_no_checksum)
{
	assert_int_equal(frame_ip_sum(frame, FRAME_IP), 0xffff);
	if (has_no_checksum)
		assert_int_equal(frame_get16(frame, FRAME_TRANSPORT + 6), 0);
	else
		assert_int_equal(frame_transport_sum(frame, FRAME_IP), 0xffff);
}

static void go_and_return(enum host_program uplink, const struct target *target,
			  __u16 client_port_host, bool has_no_checksum)
{
	struct frame_spec request = {
		.mac_to = host_mac_uplink,
		.mac_from = host_mac_router,
		.from = { frame_address(HOST_CLIENT), client_port_host },
		.to = { frame_address(target->address), target->port_host },
		.protocol = target->protocol,
		.ttl = 57,
		.id = client_port_host,
		.payload = 1 + client_port_host % 100,
		.has_no_checksum = has_no_checksum,
	};
	struct frame_spec reply = request;
	struct host_result result;
	struct frame frame;

	frame_build(&request, &frame);
	assert_int_equal(host_try(uplink, &frame, NULL, 0, &result), 0);
	assert_int_equal(result.verdict, HOST_REDIRECT);
	assert_int_equal(result.frame.bytes[FRAME_IP + 8], 56);
	assert_memory_equal(result.frame.bytes, host_mac_web, ETH_ALEN);
	assert_memory_equal(result.frame.bytes + ETH_ALEN, host_mac_bridge, ETH_ALEN);
	assert_sums(&result.frame, has_no_checksum);

	frame = result.frame;
	frame_answer(&frame);
	assert_int_equal(host_try(HOST_CONTAINER, &frame, NULL, 0, &result), 0);
	assert_int_equal(result.verdict, HOST_REDIRECT);
	assert_sums(&result.frame, has_no_checksum);

	/* As if the host had answered itself, one hop further. */
	reply.mac_to = host_mac_router;
	reply.mac_from = host_mac_uplink;
	reply.from = request.to;
	reply.to = request.from;
	reply.ttl = 63;
	frame_build(&reply, &frame);
	frame_assert_equal(&result.frame, &frame, target->address);
}

static void all_ways(const struct target *targets, size_t count)
{
	__u16 client_port_host = 20000;

	for (enum host_program uplink = HOST_UPLINK_TC; uplink <= HOST_UPLINK_XDP; uplink++) {
		for (size_t i = 0; i < count; i++) {
			host_reset();
			for (int n = 0; n < 300; n++)
				go_and_return(uplink, &targets[i], client_port_host += 17, false);
			if (targets[i].protocol == IPPROTO_UDP)
				go_and_return(uplink, &targets[i], client_port_host += 17, true);
		}
	}
}

static void restores_what_the_client_dialled(void **state)
{
	(void)state;
	all_ways(canonical, sizeof(canonical) / sizeof(canonical[0]));
}

static void restores_an_exact_address(void **state)
{
	(void)state;
	all_ways(exact, sizeof(exact) / sizeof(exact[0]));
}

static void restores_what_is_not_canonical(void **state)
{
	(void)state;
	all_ways(exceptions, sizeof(exceptions) / sizeof(exceptions[0]));
}

/* Flows of one client through all mappings at the same time do not get mixed up. */
static void keeps_flows_apart(void **state)
{
	(void)state;
	host_reset();
	for (int n = 0; n < 200; n++) {
		for (size_t i = 0; i < 7; i++) {
			go_and_return(n % 2 ? HOST_UPLINK_TC : HOST_UPLINK_XDP, &exceptions[i],
				      30000 + 10 * (n % 50) + i, false);
			go_and_return(n % 2 ? HOST_UPLINK_XDP : HOST_UPLINK_TC,
				      &canonical[i % 4], 40000 + 10 * (n % 50) + i, false);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(restores_what_the_client_dialled),
		cmocka_unit_test(restores_an_exact_address),
		cmocka_unit_test(restores_what_is_not_canonical),
		cmocka_unit_test(keeps_flows_apart),
	};

	return cmocka_run_group_tests_name("chain", tests, host_setup, host_teardown);
}
