// SPDX-License-Identifier: GPL-2.0-only
/* What a container sends, at the ingress of its veth's host end. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/prog/host.h"


static const __u8 mac_unresolved[6] = {};

static void expect_redirect(const struct frame_spec *spec, const struct host_context *context,
			    const struct frame_spec *to, __u32 counter, __u32 mark)
{
	struct frame in, out;

	frame_build(spec, &in);
	frame_build(to, &out);
	host_expect_redirect(HOST_CONTAINER, &in, context,
			     &(struct host_redirect){
				     .frame = &out,
				     .counter = counter,
				     .direction = XD_COUNT_OUT,
				     .mark = mark,
			     });
}

static void expect_sent(const struct frame_spec *spec, const char *address, __u16 port_host,
			__u32 counter)
{
	struct frame_spec to = host_sent(spec, address, port_host);

	host_spec_becomes(HOST_CONTAINER, spec, &to, counter);
}

static void expect_pass_with(const struct frame_spec *spec, const struct host_context *context)
{
	struct frame frame;

	frame_build(spec, &frame);
	host_expect_pass(HOST_CONTAINER, &frame, context);
}

/* Makes the exception that a client of address:port would. */
static void let_in(const struct frame_spec *reply, const char *address, __u16 port_host)
{
	struct frame_spec spec = host_inbound(reply->protocol, address, port_host);
	struct host_result result;
	struct frame frame;

	spec.from = reply->to;
	frame_build(&spec, &frame);
	assert_int_equal(host_try(HOST_UPLINK_TC, &frame, NULL, 0, &result), 0);
	assert_int_equal(result.verdict, HOST_REDIRECT);
	assert_true(host_has_exception(&spec, reply->from.port_host));
}

static void sends_replies_from_the_canonical_side(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 8761);

	(void)state;
	host_reset();
	expect_sent(&spec, HOST_DEFAULT, 8761, HOST_COUNT_8761);
	/* Two host ports lead to 80, one of them is canonical. */
	spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	expect_sent(&spec, HOST_DEFAULT, 8080, HOST_COUNT_8080);
	spec = host_outbound(&host_web, IPPROTO_TCP, 9000);
	expect_sent(&spec, HOST_SECOND, 9000, HOST_COUNT_9000);
	spec = host_outbound(&host_web, IPPROTO_TCP, 7000);
	expect_sent(&spec, HOST_DEFAULT, 7000, HOST_COUNT_7000);
	spec = host_outbound(&host_web, IPPROTO_UDP, 8761);
	expect_sent(&spec, HOST_DEFAULT, 8761, HOST_COUNT_8761_UDP);
	spec = host_outbound(&host_web, IPPROTO_UDP, 53);
	expect_sent(&spec, HOST_DEFAULT, 5300, HOST_COUNT_5300);
}

static void follows_the_default_address(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	host.skeleton->data_xd_host->xd_host.address = frame_address("198.51.100.66");
	expect_sent(&spec, "198.51.100.66", 8080, HOST_COUNT_8080);
	/* Exact mappings do not. */
	spec = host_outbound(&host_web, IPPROTO_TCP, 9000);
	expect_sent(&spec, HOST_SECOND, 9000, HOST_COUNT_9000);
	/* A host without an address has nothing to send from. */
	host.skeleton->data_xd_host->xd_host.address = 0;
	spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	host_spec_passes(HOST_CONTAINER, &spec);
}

static void sends_replies_from_where_the_client_dialled(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	let_in(&spec, HOST_SECOND, 8080);
	expect_sent(&spec, HOST_SECOND, 8080, HOST_COUNT_8080);
	spec.to.port_host = 40001;
	let_in(&spec, HOST_DEFAULT, 8081);
	expect_sent(&spec, HOST_DEFAULT, 8081, HOST_COUNT_8080);
	/* Another client, and another port, are none of it. */
	spec.to.port_host = 40002;
	expect_sent(&spec, HOST_DEFAULT, 8080, HOST_COUNT_8080);
	spec.to = (struct frame_end){ frame_address("192.0.2.8"), 40001 };
	expect_sent(&spec, HOST_DEFAULT, 8080, HOST_COUNT_8080);
}

static void keeps_the_udp_zero_checksum(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_UDP, 53);

	(void)state;
	host_reset();
	spec.has_no_checksum = true;
	expect_sent(&spec, HOST_DEFAULT, 5300, HOST_COUNT_5300);
	spec = host_outbound(&host_web, IPPROTO_UDP, 8761);
	spec.has_no_checksum = true;
	expect_sent(&spec, HOST_DEFAULT, 8761, HOST_COUNT_8761_UDP);
}

static void mangles_a_udp_checksum_that_becomes_zero(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_UDP, 53);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 5300);
	struct frame frame;

	(void)state;
	host_reset();
	to.payload_word = 1;
	frame_build(&to, &frame);
	spec.payload_word = frame_get16(&frame, FRAME_TRANSPORT + 6) + 1;
	to.payload_word = spec.payload_word;
	frame_build(&to, &frame);
	assert_int_equal(frame_get16(&frame, FRAME_TRANSPORT + 6), 0xffff);
	expect_sent(&spec, HOST_DEFAULT, 5300, HOST_COUNT_5300);
}

static void leaves_the_addresses_of_an_unknown_neighbour_to_the_kernel(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80), to;

	(void)state;
	host_reset();
	spec.to.address = frame_address(HOST_NEIGHBOUR_UNKNOWN);
	to = host_sent(&spec, HOST_DEFAULT, 8080);
	to.mac_to = to.mac_from = mac_unresolved;
	expect_redirect(&spec, NULL, &to, HOST_COUNT_8080, 0);
	host_ip("neighbour add " HOST_NEIGHBOUR_UNKNOWN
		" lladdr 02:00:5e:00:00:99 dev uplink0 nud permanent");
	to.mac_to = host_mac_stranger;
	to.mac_from = host_mac_uplink;
	expect_redirect(&spec, NULL, &to, HOST_COUNT_8080, 0);
	host_ip("neighbour del " HOST_NEIGHBOUR_UNKNOWN " dev uplink0");
}

static void keeps_the_mark_of_what_is_sent_out(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 8080);
	struct host_context context = { .mark = 0xcafe };

	(void)state;
	host_reset();
	expect_redirect(&spec, &context, &to, HOST_COUNT_8080, 0xcafe);
}

/* What only looks like a reply of a published port is a flow of its own, and nobody knows it. */
static void takes_nothing_else_for_a_reply(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 40000);

	(void)state;
	host_reset();
	spec.to.port_host = 443;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	spec = host_outbound(&host_web, IPPROTO_TCP, 8080);
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	spec = host_outbound(&host_web, IPPROTO_TCP, ntohs(80));
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	spec = host_outbound(&host_web, IPPROTO_ICMP, 80);
	spec.is_echo_reply = true;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	/* By the other protocol it may be the first. */
	spec = host_outbound(&host_web, IPPROTO_UDP, 9001);
	host_publish("0.0.0.0", 9002, IPPROTO_TCP, 9001, XD_PORT_CANONICAL, HOST_COUNT_9000);
	expect_sent(&spec, HOST_DEFAULT, 9001, HOST_COUNT_WEB);
}

static void keeps_to_its_own_network(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	/* The gateway of another is an address of the host. */
	spec.to.address = frame_address(HOST_OTHER_GATEWAY);
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.to.address = frame_address(HOST_APP);
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
	spec.to.address = frame_address("172.18.0.7");
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
}

static void passes_what_is_for_the_host(void **state)
{
	static const char *const addresses[] = { HOST_DEFAULT, HOST_SECOND, HOST_GATEWAY };

	(void)state;
	host_reset();
	for (size_t i = 0; i < 3; i++) {
		struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

		spec.to.address = frame_address(addresses[i]);
		host_spec_passes(HOST_CONTAINER, &spec);
	}
}

/* What is published on 127.0.0.1 is for the host alone, whoever the frame is addressed to. */
static void drops_loopback_destinations(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 20000);

	(void)state;
	host_reset();
	host_publish("127.0.0.1", 9003, IPPROTO_TCP, 80, 0, HOST_COUNT_8080);
	spec.tcp_flags = FRAME_SYN;
	spec.to = (struct frame_end){ frame_address("127.0.0.1"), 9003 };
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_MARTIAN);
	spec.mac_to = host_mac_db;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_MARTIAN);
	spec = host_outbound(&host_web, IPPROTO_ICMP, 1);
	spec.to.address = frame_address("127.255.255.254");
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_MARTIAN);
}

/* The kernel forwards none of them, whatever routes say. */
static void passes_what_is_for_many(void **state)
{
	static const char *const addresses[] = { "224.0.0.251", "239.1.2.3", "255.255.255.255",
						 "0.0.0.0", "0.1.2.3" };

	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct frame_spec spec = host_outbound(&host_web, IPPROTO_UDP, 20000);

		spec.to.address = frame_address(addresses[i]);
		host_spec_passes(HOST_CONTAINER, &spec);
	}
	host_expect_flows(0, 0);
}

static void passes_what_has_no_route(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	spec.to.address = frame_address("203.0.113.200");
	host_spec_passes(HOST_CONTAINER, &spec);
	host_ip("route del default");
	spec.to.address = frame_address(HOST_CLIENT);
	host_spec_passes(HOST_CONTAINER, &spec);
	host_ip("route add default via " HOST_ROUTER);
	expect_sent(&spec, HOST_DEFAULT, 8080, HOST_COUNT_8080);
}

/* What the host has learned of a path, the kernel does not mind when it forwards either. */
static void minds_the_mtu_of_the_device_and_not_of_the_path(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	spec.to.address = frame_address(HOST_CLIENT_FAR);
	spec.payload = 1500 - 40;
	expect_sent(&spec, HOST_DEFAULT, 8080, HOST_COUNT_8080);
	spec.payload++;
	host_spec_passes(HOST_CONTAINER, &spec);
}

/* With FRAME_DF, the kernel tells the container; without, it would send fragments untranslated. */
static void leaves_what_exceeds_the_devices_mtu_to_the_kernel_or_drops_it(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	host_ip("link set uplink0 mtu 1000");
	spec.to.address = frame_address(HOST_CLIENT_FAR);
	spec.payload = 1000 - 40 + 1;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.fragment = 0;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRANSLATED);
	spec.payload = 1000 - 40;
	expect_sent(&spec, HOST_DEFAULT, 8080, HOST_COUNT_8080);
	spec.tcp_options = 12;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRANSLATED);
	spec.payload -= 12;
	expect_sent(&spec, HOST_DEFAULT, 8080, HOST_COUNT_8080);
	host_ip("link set uplink0 mtu 1500");
}

static void judges_gso_by_its_segments(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80), to;
	struct host_context context = { .gso_size = 1000 - 20 - 32 };

	(void)state;
	host_reset();
	host_ip("link set uplink0 mtu 1000");
	spec.to.address = frame_address(HOST_CLIENT_FAR);
	spec.tcp_options = 12;
	spec.payload = 3000;
	to = host_sent(&spec, HOST_DEFAULT, 8080);
	expect_redirect(&spec, &context, &to, HOST_COUNT_8080, 0);
	context.gso_size++;
	expect_pass_with(&spec, &context);

	spec = host_outbound(&host_web, IPPROTO_UDP, 53);
	spec.to.address = frame_address(HOST_CLIENT_FAR);
	spec.payload = 3000;
	to = host_sent(&spec, HOST_DEFAULT, 5300);
	context.gso_size = 1000 - 20 - 8;
	expect_redirect(&spec, &context, &to, HOST_COUNT_5300, 0);
	context.gso_size++;
	expect_pass_with(&spec, &context);
	host_ip("link set uplink0 mtu 1500");
}

static void passes_what_the_ttl_ends(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	spec.ttl = 1;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.ttl = 0;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.ttl = 2;
	expect_sent(&spec, HOST_DEFAULT, 8080, HOST_COUNT_8080);
}

static void drops_spoofed_sources(void **state)
{
	static const char *const sources[] = { HOST_GATEWAY, "127.0.0.1", "127.1.2.3" };

	(void)state;
	host_reset();
	for (size_t i = 0; i < 3; i++) {
		struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

		spec.from.address = frame_address(sources[i]);
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_SPOOFED);
		/* To a sibling as well, and without ports. */
		spec.mac_to = host_mac_db;
		spec.to.address = frame_address(HOST_DB);
		spec.protocol = IPPROTO_ICMP;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_SPOOFED);
		spec.options = 4;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_SPOOFED);
	}
}

static void passes_foreign_sources(void **state)
{
	static const char *const sources[] = { HOST_DB, "10.0.0.1", HOST_DEFAULT, "0.0.0.0" };
	struct frame_spec spec;
	struct frame frame;

	(void)state;
	host_reset();
	for (size_t i = 0; i < 4; i++) {
		spec = host_outbound(&host_web, IPPROTO_TCP, 80);
		spec.from.address = frame_address(sources[i]);
		frame_build(&spec, &frame);
		/* But not to the outside with the address of another container. */
		if (i)
			host_expect_pass(HOST_CONTAINER, &frame, NULL);
		else
			host_expect_drop(HOST_CONTAINER, &frame, NULL, XD_DROP_SPOOFED);
		spec.mac_to = host_mac_db;
		spec.to.address = frame_address(HOST_DB);
		host_spec_passes(HOST_CONTAINER, &spec);
	}
}

/* A container may be a router for others: the frame says who is meant. */
static void passes_what_is_not_for_the_gateways_mac(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	spec.mac_to = host_mac_db;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.mac_to = host_mac_stranger;
	host_spec_passes(HOST_CONTAINER, &spec);
}

static void passes_on_an_unknown_veth(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct host_context context = { .ifindex = host.bridge };

	(void)state;
	host_reset();
	expect_pass_with(&spec, &context);
}

static void lets_no_container_speak_for_another(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct host_context context = { .ifindex = host_db.ifindex };
	struct frame frame;

	(void)state;
	host_reset();
	frame_build(&spec, &frame);
	host_expect_drop(HOST_CONTAINER, &frame, &context, XD_DROP_SPOOFED);
}

static struct frame_spec to_db(__u8 protocol)
{
	struct frame_spec spec = host_outbound(&host_web, protocol, 80);

	spec.mac_to = host_mac_db;
	spec.to = (struct frame_end){ frame_address(HOST_DB), 5432 };
	return spec;
}

static void forwards_to_a_sibling_unchanged(void **state)
{
	static const __u8 protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP };
	struct host_context context = { .mark = 0xcafe };
	struct frame_spec spec;

	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(protocols); i++) {
		spec = to_db(protocols[i]);
		expect_redirect(&spec, NULL, &spec, HOST_COUNT_WEB, 0);
	}
	/* A bridge forwards these, too. */
	spec = to_db(IPPROTO_TCP);
	spec.ttl = 1;
	expect_redirect(&spec, NULL, &spec, HOST_COUNT_WEB, 0);
	spec.options = 12;
	expect_redirect(&spec, NULL, &spec, HOST_COUNT_WEB, 0);
	spec = to_db(IPPROTO_UDP);
	spec.fragment = FRAME_MF | 100;
	expect_redirect(&spec, NULL, &spec, HOST_COUNT_WEB, 0);
	/* What crosses into another namespace leaves its mark behind. */
	expect_redirect(&spec, &context, &spec, HOST_COUNT_WEB, 0);
}

static void passes_to_a_sibling_that_the_bridge_has_to_find(void **state)
{
	struct frame_spec spec = to_db(IPPROTO_TCP);

	(void)state;
	host_reset();
	spec.mac_to = host_mac_stranger;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.mac_to = host_mac_broadcast;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.to.address = frame_address("172.17.255.255");
	host_spec_passes(HOST_CONTAINER, &spec);
	spec = to_db(IPPROTO_TCP);
	spec.to.address = frame_address("172.17.0.4");
	host_spec_passes(HOST_CONTAINER, &spec);
	/* Itself */
	spec = to_db(IPPROTO_TCP);
	spec.mac_to = host_mac_web;
	spec.to.address = frame_address(HOST_WEB);
	host_spec_passes(HOST_CONTAINER, &spec);
	/* Gone */
	spec = to_db(IPPROTO_TCP);
	host_forget_device(host_db.ifindex);
	host_spec_passes(HOST_CONTAINER, &spec);
}

static void passes_what_has_options(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	spec.options = 4;
	host_spec_passes(HOST_CONTAINER, &spec);
}

static void passes_what_is_no_ipv4(void **state)
{
	struct frame_spec specs[] = { host_outbound(&host_web, IPPROTO_TCP, 80),
				      to_db(IPPROTO_TCP) };
	struct frame frame;

	(void)state;
	host_reset();
	for (size_t i = 0; i < 2; i++) {
		frame_build_other(&specs[i], ETH_P_ARP, &frame);
		host_expect_pass(HOST_CONTAINER, &frame, NULL);
		frame_build_other(&specs[i], ETH_P_IPV6, &frame);
		host_expect_pass(HOST_CONTAINER, &frame, NULL);
		frame_build(&specs[i], &frame);
		frame_add_vlan(&frame, 7);
		host_expect_pass(HOST_CONTAINER, &frame, NULL);
	}
}

/* Last: that XDP did the same as TC means something only if it did something. */
static void xdp_has_carried_packets(void **state)
{
	(void)state;
	print_message("%u packets\n", host_carried());
	assert_true(host_carried() > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_replies_from_the_canonical_side),
		cmocka_unit_test(follows_the_default_address),
		cmocka_unit_test(sends_replies_from_where_the_client_dialled),
		cmocka_unit_test(keeps_the_udp_zero_checksum),
		cmocka_unit_test(mangles_a_udp_checksum_that_becomes_zero),
		cmocka_unit_test(leaves_the_addresses_of_an_unknown_neighbour_to_the_kernel),
		cmocka_unit_test(keeps_the_mark_of_what_is_sent_out),
		cmocka_unit_test(takes_nothing_else_for_a_reply),
		cmocka_unit_test(keeps_to_its_own_network),
		cmocka_unit_test(passes_what_is_for_the_host),
		cmocka_unit_test(drops_loopback_destinations),
		cmocka_unit_test(passes_what_is_for_many),
		cmocka_unit_test(passes_what_has_no_route),
		cmocka_unit_test(minds_the_mtu_of_the_device_and_not_of_the_path),
		cmocka_unit_test(leaves_what_exceeds_the_devices_mtu_to_the_kernel_or_drops_it),
		cmocka_unit_test(judges_gso_by_its_segments),
		cmocka_unit_test(passes_what_the_ttl_ends),
		cmocka_unit_test(drops_spoofed_sources),
		cmocka_unit_test(passes_foreign_sources),
		cmocka_unit_test(passes_what_is_not_for_the_gateways_mac),
		cmocka_unit_test(passes_on_an_unknown_veth),
		cmocka_unit_test(lets_no_container_speak_for_another),
		cmocka_unit_test(forwards_to_a_sibling_unchanged),
		cmocka_unit_test(passes_to_a_sibling_that_the_bridge_has_to_find),
		cmocka_unit_test(passes_what_has_options),
		cmocka_unit_test(passes_what_is_no_ipv4),
		cmocka_unit_test(xdp_has_carried_packets),
	};

	return cmocka_run_group_tests_name("container", tests, host_setup, host_teardown);
}
