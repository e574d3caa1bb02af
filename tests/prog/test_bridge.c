// SPDX-License-Identifier: GPL-2.0-only
/* What the host sends to containers, at the egress of the bridge. */
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/prog/host.h"


static struct frame_spec from_host(__u8 protocol)
{
	return (struct frame_spec){
		.mac_to = host_mac_web,
		.mac_from = host_mac_bridge,
		.from = { frame_address(HOST_GATEWAY), 50000 },
		.to = { frame_address(HOST_WEB), 80 },
		.protocol = protocol,
		.ttl = 64,
		.payload = 20,
	};
}

static void expect_forwarded(const struct frame_spec *spec, __u32 counter)
{
	struct host_context context = { .mark = 0xcafe };
	struct frame frame;

	frame_build(spec, &frame);
	host_expect_redirect(HOST_BRIDGE, &frame, &context,
			     &(struct host_redirect){
				     .frame = &frame,
				     .counter = counter,
				     .direction = XD_COUNT_IN,
				     .mark = 0xcafe,
			     });
}

static void expect_pass(const struct frame_spec *spec)
{
	struct frame frame;

	frame_build(spec, &frame);
	host_expect_pass(HOST_BRIDGE, &frame, NULL);
}

static void forwards_to_containers_unchanged(void **state)
{
	static const __u8 protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP };
	struct frame_spec spec;

	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(protocols); i++) {
		spec = from_host(protocols[i]);
		expect_forwarded(&spec, HOST_COUNT_WEB);
	}
	spec = from_host(IPPROTO_UDP);
	spec.mac_to = host_mac_db;
	spec.to.address = frame_address(HOST_DB);
	expect_forwarded(&spec, HOST_COUNT_DB);
	spec.fragment = FRAME_MF | 100;
	spec.options = 8;
	spec.ttl = 1;
	expect_forwarded(&spec, HOST_COUNT_DB);
}

static void passes_what_the_bridge_has_to_find(void **state)
{
	struct frame_spec spec = from_host(IPPROTO_TCP);

	(void)state;
	host_reset();
	spec.mac_to = host_mac_stranger;
	expect_pass(&spec);
	spec.mac_to = host_mac_broadcast;
	expect_pass(&spec);
	spec = from_host(IPPROTO_TCP);
	spec.to.address = frame_address("172.17.0.4");
	expect_pass(&spec);
	spec = from_host(IPPROTO_TCP);
	host_forget_device(host_web.ifindex);
	expect_pass(&spec);
}

static void passes_on_another_bridge(void **state)
{
	struct frame_spec spec = from_host(IPPROTO_TCP);
	struct host_context context = { .ifindex = host.uplink };
	struct frame frame;

	(void)state;
	host_reset();
	frame_build(&spec, &frame);
	host_expect_pass(HOST_BRIDGE, &frame, &context);
}

static void passes_what_is_no_ipv4(void **state)
{
	struct frame_spec spec = from_host(IPPROTO_TCP);
	struct frame frame;

	(void)state;
	host_reset();
	frame_build_other(&spec, ETH_P_ARP, &frame);
	host_expect_pass(HOST_BRIDGE, &frame, NULL);
	frame_build_other(&spec, ETH_P_IPV6, &frame);
	host_expect_pass(HOST_BRIDGE, &frame, NULL);
	frame_build(&spec, &frame);
	frame_add_vlan(&frame, 7);
	host_expect_pass(HOST_BRIDGE, &frame, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forwards_to_containers_unchanged),
		cmocka_unit_test(passes_what_the_bridge_has_to_find),
		cmocka_unit_test(passes_on_another_bridge),
		cmocka_unit_test(passes_what_is_no_ipv4),
	};

	return cmocka_run_group_tests_name("bridge", tests, host_setup, host_teardown);
}
