// SPDX-License-Identifier: GPL-2.0-only
/* What the outside sends: each test runs at both hooks of the uplink. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "include/exception.h"
#include "include/local.h"
#include "tests/prog/host.h"


static void expect_delivered_with(void **state, const struct frame_spec *spec,
				  const struct host_context *context, __u16 container_port_host,
				  __u32 counter)
{
	struct frame_spec to = host_delivered(spec, &host_web, container_port_host);
	struct frame in, out;

	frame_build(spec, &in);
	frame_build(&to, &out);
	host_expect_redirect(host_hook(state), &in, context,
			     &(struct host_redirect){
				     .frame = &out,
				     .counter = counter,
				     .direction = XD_COUNT_IN,
			     });
}

static void expect_delivered(void **state, const struct frame_spec *spec,
			     __u16 container_port_host, __u32 counter)
{
	struct frame_spec to = host_delivered(spec, &host_web, container_port_host);

	host_spec_becomes(host_hook(state), spec, &to, counter);
}

static bool is_raised(const char *address, __u16 port_host, __u16 container_port_host)
{
	struct xd_port_rev rev;
	struct xd_port port;

	assert_true(host_get_port(address, port_host, IPPROTO_TCP, &port));
	assert_true(host_get_rev(container_port_host, IPPROTO_TCP, &rev));
	assert_int_equal(!!(port.flags & XD_PORT_EXCEPTION),
			 !!(rev.flags & XD_PORT_REV_EXCEPTION));
	return port.flags & XD_PORT_EXCEPTION;
}

static void delivers_tcp_to_the_default_address(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8761);

	host_reset();
	expect_delivered(state, &spec, 8761, HOST_COUNT_8761);
	assert_false(is_raised("0.0.0.0", 8761, 8761));
	assert_false(host_has_exception(&spec, 8761));
}

static void delivers_tcp_to_another_container_port(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

	host_reset();
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	assert_false(host_has_exception(&spec, 80));
}

static void delivers_tcp_options_and_no_payload(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

	host_reset();
	spec.tcp_options = 40;
	spec.payload = 0;
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	spec.tcp_options = 0;
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
}

static void delivers_udp(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 8761);

	host_reset();
	expect_delivered(state, &spec, 8761, HOST_COUNT_8761_UDP);
	spec = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	expect_delivered(state, &spec, 53, HOST_COUNT_5300);
	spec.payload = 0;
	expect_delivered(state, &spec, 53, HOST_COUNT_5300);
}

static void keeps_the_udp_zero_checksum(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);

	host_reset();
	spec.has_no_checksum = true;
	expect_delivered(state, &spec, 53, HOST_COUNT_5300);
	spec.to.port_host = 8761;
	expect_delivered(state, &spec, 8761, HOST_COUNT_8761_UDP);
}

/* A payload word that makes the checksum of what is delivered come out as 0. */
static void mangles_a_udp_checksum_that_becomes_zero(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame_spec to = host_delivered(&spec, &host_web, 53);
	struct frame frame;

	host_reset();
	to.payload_word = 1;
	frame_build(&to, &frame);
	spec.payload_word = frame_get16(&frame, FRAME_TRANSPORT + 6) + 1;
	to.payload_word = spec.payload_word;
	frame_build(&to, &frame);
	assert_int_equal(frame_get16(&frame, FRAME_TRANSPORT + 6), 0xffff);
	expect_delivered(state, &spec, 53, HOST_COUNT_5300);
}

/* The incoming one is 0xffff: a computed zero, and not the same as no checksum. */
static void reads_a_mangled_udp_checksum(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame frame;

	host_reset();
	spec.payload_word = 1;
	frame_build(&spec, &frame);
	spec.payload_word = frame_get16(&frame, FRAME_TRANSPORT + 6) + 1;
	frame_build(&spec, &frame);
	assert_int_equal(frame_get16(&frame, FRAME_TRANSPORT + 6), 0xffff);
	expect_delivered(state, &spec, 53, HOST_COUNT_5300);
}

/* Every value of the field, so that every carry is taken at some time. */
static void sums_right_for_every_client_port(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	struct host_result result;
	struct frame in, out;

	host_reset();
	for (__u32 port_host = 1; port_host <= 0xffff; port_host++) {
		struct frame_spec to;

		spec.from.port_host = port_host;
		spec.id = port_host * 7;
		spec.ttl = 2 + port_host % 254;
		to = host_delivered(&spec, &host_web, 80);
		frame_build(&spec, &in);
		frame_build(&to, &out);
		assert_int_equal(host_try(host_hook(state), &in, NULL, 0, &result), 0);
		if (host_hook(state) == HOST_UPLINK_XDP && frame_is_unsummed(&in)) {
			assert_int_equal(result.verdict, HOST_PASS);
			continue;
		}
		assert_int_equal(result.verdict, HOST_REDIRECT);
		frame_assert_equal(&result.frame, &out, "client port");
	}
}

static void delivers_to_an_exact_address(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_SECOND, 9000);

	host_reset();
	expect_delivered(state, &spec, 9000, HOST_COUNT_9000);
	assert_false(is_raised(HOST_SECOND, 9000, 9000));
	spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 7000);
	expect_delivered(state, &spec, 7000, HOST_COUNT_7000);
	assert_false(is_raised(HOST_DEFAULT, 7000, 7000));
	assert_false(host_has_exception(&spec, 7000));
}

static void passes_an_exact_port_of_another_address(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 9000);

	host_reset();
	host_spec_passes(host_hook(state), &spec);
	spec = host_inbound(IPPROTO_TCP, HOST_SECOND, 7000);
	host_spec_passes(host_hook(state), &spec);
}

static void records_a_flow_to_a_second_address(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_SECOND, 8080);

	host_reset();
	assert_false(is_raised("0.0.0.0", 8080, 80));
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	assert_true(host_has_exception(&spec, 80));
	assert_true(is_raised("0.0.0.0", 8080, 80));
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);

	/* From now on, canonical flows hold their rows as well. */
	spec.to.address = frame_address(HOST_DEFAULT);
	spec.from.port_host = 40001;
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	assert_true(host_has_exception(&spec, 80));
	spec.to.address = frame_address(HOST_SECOND);
	host_spec_drops(host_hook(state), &spec, XD_DROP_PORT_CONFLICT);
}

static void records_no_flow_of_a_port_without_exceptions(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

	host_reset();
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	assert_false(host_has_exception(&spec, 80));
}

static void records_a_flow_to_a_second_host_port(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8081);

	host_reset();
	expect_delivered(state, &spec, 80, HOST_COUNT_8081);
	assert_true(host_has_exception(&spec, 80));
	assert_true(is_raised("0.0.0.0", 8080, 80));
}

/* `port rm`, `port add` or a restart of the container: the flow's row outlives the flags. */
static void raises_the_flags_again_after_a_republish(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_SECOND, 8080);

	host_reset();
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	host_unpublish("0.0.0.0", 8080, IPPROTO_TCP);
	host_spec_passes(host_hook(state), &spec);
	host_publish("0.0.0.0", 8080, IPPROTO_TCP, 80, XD_PORT_CANONICAL, HOST_COUNT_8080);
	assert_false(is_raised("0.0.0.0", 8080, 80));
	host_age_exception(&spec, 80, 2000000000ULL);
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	assert_true(is_raised("0.0.0.0", 8080, 80));
}

static void refuses_a_second_flow_in_the_row_of_another(void **state)
{
	struct frame_spec first = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8081);
	struct frame_spec second = host_inbound(IPPROTO_TCP, HOST_SECOND, 8081);
	struct frame_spec canonical = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

	host_reset();
	expect_delivered(state, &first, 80, HOST_COUNT_8081);
	host_spec_drops(host_hook(state), &second, XD_DROP_PORT_CONFLICT);
	host_spec_drops(host_hook(state), &canonical, XD_DROP_PORT_CONFLICT);
	expect_delivered(state, &first, 80, HOST_COUNT_8081);
	assert_true(host_has_exception(&first, 80));

	second.from.port_host = 40001;
	expect_delivered(state, &second, 80, HOST_COUNT_8081);
}

static void does_not_harm_a_canonical_flow_by_a_second(void **state)
{
	struct frame_spec first = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	struct frame_spec second = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8081);

	host_reset();
	/* As the loader writes it where two mappings share a container port. */
	host_publish("0.0.0.0", 8080, IPPROTO_TCP, 80, XD_PORT_CANONICAL | XD_PORT_EXCEPTION,
		     HOST_COUNT_8080);
	expect_delivered(state, &first, 80, HOST_COUNT_8080);
	host_spec_drops(host_hook(state), &second, XD_DROP_PORT_CONFLICT);
	expect_delivered(state, &first, 80, HOST_COUNT_8080);
}

static void hands_an_idle_row_to_the_next_flow(void **state)
{
	struct frame_spec first = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8081);
	struct frame_spec second = host_inbound(IPPROTO_TCP, HOST_SECOND, 8081);

	host_reset();
	expect_delivered(state, &first, 80, HOST_COUNT_8081);
	host_age_exception(&first, 80, XD_EXCEPTION_IDLE_NS - 5000000000ULL);
	host_spec_drops(host_hook(state), &second, XD_DROP_PORT_CONFLICT);
	host_age_exception(&first, 80, XD_EXCEPTION_IDLE_NS + 1000000000ULL);
	expect_delivered(state, &second, 80, HOST_COUNT_8081);
	assert_true(host_has_exception(&second, 80));
	/* The row was refreshed in passing: it is the second's for the full time. */
	host_spec_drops(host_hook(state), &first, XD_DROP_PORT_CONFLICT);
}

static void hands_the_row_of_a_withdrawn_mapping_to_the_next_flow(void **state)
{
	struct frame_spec first = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8081);
	struct frame_spec second = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8082);

	host_reset();
	host_publish("0.0.0.0", 8082, IPPROTO_TCP, 80, 0, HOST_COUNT_8081);
	expect_delivered(state, &first, 80, HOST_COUNT_8081);
	host_spec_drops(host_hook(state), &second, XD_DROP_PORT_CONFLICT);
	host_unpublish("0.0.0.0", 8081, IPPROTO_TCP);
	expect_delivered(state, &second, 80, HOST_COUNT_8081);
	assert_true(host_has_exception(&second, 80));
	host_unpublish("0.0.0.0", 8082, IPPROTO_TCP);
}

/* The address is another container's by now. */
static void hands_the_row_of_a_container_that_is_gone_to_the_next_flow(void **state)
{
	struct frame_spec first = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8081);
	struct frame_spec second = host_inbound(IPPROTO_TCP, HOST_SECOND, 8081);

	host_reset();
	expect_delivered(state, &first, 80, HOST_COUNT_8081);
	host_spec_drops(host_hook(state), &second, XD_DROP_PORT_CONFLICT);
	host_disown_exception(&first, 80);
	expect_delivered(state, &second, 80, HOST_COUNT_8081);
	host_spec_drops(host_hook(state), &first, XD_DROP_PORT_CONFLICT);
}

static void drops_an_exception_without_a_reverse_row(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8081);

	host_reset();
	host_unpublish("0.0.0.0", 8080, IPPROTO_TCP);
	host_spec_drops(host_hook(state), &spec, XD_DROP_EXCEPTION_FULL);
}

static void learns_a_local_address(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, "203.0.113.10", 8080);

	host_reset();
	host_spec_passes(host_hook(state), &spec);
	assert_false(host_has_local("203.0.113.10"));
	host_ip("address add 203.0.113.10/32 dev uplink0");
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	assert_true(host_has_local("203.0.113.10"));
	host_ip("address del 203.0.113.10/32 dev uplink0");
	/* For a while the proof counts, then it is renewed or not. */
	host_age_local("203.0.113.10", HOST_FRESH);
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	host_age_local("203.0.113.10", 2 * XD_LOCAL_TTL);
	host_spec_passes(host_hook(state), &spec);
}

static void renews_the_proof_of_a_local_address(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	volatile __u64 *proved;
	__u64 before;

	host_reset();
	proved = &host.skeleton->data_xd_host->xd_host.proved;
	host_age_local(HOST_DEFAULT, 2 * XD_LOCAL_TTL);
	before = *proved;
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	assert_true(*proved > before + XD_LOCAL_TTL);
}

static void passes_a_default_address_that_is_gone(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, "198.51.100.66", 8080);

	host_reset();
	host.skeleton->data_xd_host->xd_host.address = spec.to.address;
	host_age_local("198.51.100.66", HOST_FRESH);
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	host_age_local("198.51.100.66", 2 * XD_LOCAL_TTL);
	host_spec_passes(host_hook(state), &spec);
}

/* The FIB answers the same for a local address and for no route. */
static void learns_nothing_without_a_default_route(void **state)
{
	struct frame_spec known = host_inbound(IPPROTO_TCP, HOST_SECOND, 8080);
	struct frame_spec nowhere = host_inbound(IPPROTO_TCP, "203.0.113.20", 8080);

	host_reset();
	host_ip("route del default");
	host_age_local(HOST_SECOND, 2 * XD_LOCAL_TTL);
	host_spec_passes(host_hook(state), &nowhere);
	assert_false(host_has_local("203.0.113.20"));
	expect_delivered(state, &known, 80, HOST_COUNT_8080);
	host_ip("route add default via " HOST_ROUTER);
}

static void passes_what_is_routed_through(void **state)
{
	static const char *const elsewhere[] = { "192.0.2.200", "198.51.100.20", "203.0.113.200",
						 "198.51.100.255" };

	host_reset();
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		struct frame_spec spec = host_inbound(IPPROTO_TCP, elsewhere[i], 8080);

		/* The last is a broadcast, which arrives as one. */
		if (i == 3)
			spec.mac_to = host_mac_broadcast;
		host_spec_passes(host_hook(state), &spec);
		assert_false(host_has_local(elsewhere[i]));
	}
}

static void passes_a_port_that_is_not_published(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 22);

	host_reset();
	host_spec_passes(host_hook(state), &spec);
	/* Nor by the other protocol, nor with the bytes swapped. */
	spec = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 8080);
	host_spec_passes(host_hook(state), &spec);
	spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, ntohs(8080));
	host_spec_passes(host_hook(state), &spec);
	spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 80);
	host_spec_passes(host_hook(state), &spec);
}

static void drops_what_the_ttl_ends(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

	host_reset();
	spec.ttl = 1;
	host_spec_drops(host_hook(state), &spec, XD_DROP_TTL);
	spec.ttl = 0;
	host_spec_drops(host_hook(state), &spec, XD_DROP_TTL);
	spec.ttl = 2;
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	spec.ttl = 255;
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	/* For the host itself, it is nobody's business here. */
	spec.ttl = 1;
	spec.to.port_host = 22;
	host_spec_passes(host_hook(state), &spec);
}

static void drops_martian_sources(void **state)
{
	static const char *const sources[] = { "127.0.0.1", "127.255.255.254", HOST_WEB,
					       HOST_GATEWAY, "172.17.255.254", "172.18.0.7",
					       HOST_SECOND, "0.0.0.0", "0.1.2.3", "224.0.0.1",
					       "239.255.255.255", "255.255.255.255" };

	host_reset();
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_SECOND, 8080);

		spec.from.address = frame_address(sources[i]);
		host_spec_drops(host_hook(state), &spec, XD_DROP_MARTIAN);
		spec.to.port_host = 22;
		host_spec_drops(host_hook(state), &spec, XD_DROP_MARTIAN);
		spec.protocol = IPPROTO_ICMP;
		host_spec_drops(host_hook(state), &spec, XD_DROP_MARTIAN);
	}
}

static void delivers_from_beside_the_martian_ranges(void **state)
{
	static const char *const sources[] = { "126.255.255.255", "128.0.0.1", "172.16.255.255",
					       "172.19.0.1", "1.0.0.0", "223.255.255.254",
					       "240.0.0.1" };

	host_reset();
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

		spec.from.address = frame_address(sources[i]);
		expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	}
}

static void drops_loopback_destinations(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, "127.0.0.1", 8080);

	host_reset();
	host_spec_drops(host_hook(state), &spec, XD_DROP_MARTIAN);
	spec.options = 8;
	host_spec_drops(host_hook(state), &spec, XD_DROP_MARTIAN);
}

static void drops_what_is_routed_to_a_container(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_WEB, 80);

	host_reset();
	host_spec_drops(host_hook(state), &spec, XD_DROP_DIRECT_ROUTED);
	spec.to.address = frame_address("172.18.3.4");
	host_spec_drops(host_hook(state), &spec, XD_DROP_DIRECT_ROUTED);
	/* Whatever is in it, and however little of it is there. */
	spec.protocol = IPPROTO_ICMP;
	host_spec_drops(host_hook(state), &spec, XD_DROP_DIRECT_ROUTED);
	spec.protocol = IPPROTO_UDP;
	spec.options = 12;
	host_spec_drops(host_hook(state), &spec, XD_DROP_DIRECT_ROUTED);
	spec.options = 0;
	spec.fragment = FRAME_MF | 100;
	host_spec_drops(host_hook(state), &spec, XD_DROP_FRAGMENT);
}

/* The gateway is the host: another of its addresses. */
static void delivers_to_the_gateways_address(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_GATEWAY, 8080);

	host_reset();
	expect_delivered(state, &spec, 80, HOST_COUNT_8080);
	assert_true(host_has_exception(&spec, 80));
	spec.to.port_host = 22;
	host_spec_passes(host_hook(state), &spec);
}

static void passes_when_the_device_is_gone(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

	host_reset();
	host_forget_device(host_web.ifindex);
	host_spec_passes(host_hook(state), &spec);
	/* And leaves no row for a flow that went nowhere. */
	spec.to.port_host = 8081;
	host_spec_passes(host_hook(state), &spec);
	assert_false(host_has_exception(&spec, 80));
}

/* A promiscuous interface sees them. Not even what is a martian is dropped: it was never ours. */
static void passes_other_hosts_frames(void **state)
{
	static const __u8 multicast[6] = { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x01 };
	static const __u8 last_byte[6] = { 0x02, 0x00, 0x5e, 0x00, 0x00, 0x02 };
	const __u8 *const macs[] = { host_mac_stranger, host_mac_web, multicast, last_byte };

	host_reset();
	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

		spec.mac_to = macs[i];
		host_spec_passes(host_hook(state), &spec);
		spec.to.address = frame_address(HOST_WEB);
		host_spec_passes(host_hook(state), &spec);
		spec.from.address = frame_address("127.0.0.1");
		host_spec_passes(host_hook(state), &spec);
	}
}

static void passes_what_is_no_whole_tcp_or_udp(void **state)
{
	struct frame_spec plain = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080), spec;
	struct frame frame;

	host_reset();
	for (size_t options = 4; options <= 40; options += 4) {
		spec = plain;
		spec.options = options;
		host_spec_passes(host_hook(state), &spec);
	}
	/* Options that look like the transport header that is expected there. */
	frame_build(&plain, &frame);
	memmove(frame.bytes + FRAME_TRANSPORT + 20, frame.bytes + FRAME_TRANSPORT, 57);
	frame.length += 20;
	frame.bytes[FRAME_IP] = 0x4a;
	frame_put16(&frame, FRAME_IP + 2, frame.length - FRAME_IP);
	frame_sum_ip(&frame);
	host_expect_pass(host_hook(state), &frame, NULL);
	spec = plain;
	spec.protocol = IPPROTO_ICMP;
	host_spec_passes(host_hook(state), &spec);
	spec.protocol = IPPROTO_SCTP;
	host_spec_passes(host_hook(state), &spec);
}

static void passes_what_is_no_ipv4(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	struct frame frame;

	host_reset();
	frame_build_other(&spec, ETH_P_IPV6, &frame);
	host_expect_pass(host_hook(state), &frame, NULL);
	frame_build_other(&spec, ETH_P_ARP, &frame);
	host_expect_pass(host_hook(state), &frame, NULL);
	frame_build_other(&spec, 0x88cc, &frame);
	host_expect_pass(host_hook(state), &frame, NULL);
	frame_build(&spec, &frame);
	frame_add_vlan(&frame, 7);
	host_expect_pass(host_hook(state), &frame, NULL);
}

/* Each field has one value that is right; its header checksum is made right for the wrong one. */
static void passes_lengths_that_do_not_fit(void **state)
{
	struct frame_spec tcp = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	struct frame_spec udp = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame frame;
	__u16 length;

	host_reset();
	frame_build(&tcp, &frame);
	length = frame_get16(&frame, FRAME_IP + 2);
	frame_put16(&frame, FRAME_IP + 2, length + 1);
	frame_sum_ip(&frame);
	host_expect_pass(host_hook(state), &frame, NULL);
	frame_put16(&frame, FRAME_IP + 2, 0);
	frame_sum_ip(&frame);
	host_expect_pass(host_hook(state), &frame, NULL);
	/* The TCP header would end behind the packet. */
	frame_put16(&frame, FRAME_IP + 2, 39);
	frame_sum_ip(&frame);
	host_expect_pass(host_hook(state), &frame, NULL);
	frame_put16(&frame, FRAME_IP + 2, length);
	frame_sum_ip(&frame);
	frame.bytes[FRAME_TRANSPORT + 12] = 0x40;
	host_expect_pass(host_hook(state), &frame, NULL);
	frame.bytes[FRAME_TRANSPORT + 12] = 0xf0; /* 60 bytes of 57 */
	host_expect_pass(host_hook(state), &frame, NULL);

	frame_build(&udp, &frame);
	frame_put16(&frame, FRAME_TRANSPORT + 4, 7);
	host_expect_pass(host_hook(state), &frame, NULL);
	frame_put16(&frame, FRAME_TRANSPORT + 4, 8 + 37 + 1);
	host_expect_pass(host_hook(state), &frame, NULL);
	frame_build(&udp, &frame);
	frame.bytes[FRAME_IP] = 0x55;
	host_expect_pass(host_hook(state), &frame, NULL);
	frame.bytes[FRAME_IP] = 0x44;
	host_expect_pass(host_hook(state), &frame, NULL);
}

/* Short frames are padded to 60 bytes on a wire. */
static void delivers_ethernet_padding_unchanged(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame_spec to;
	struct frame in, out;

	host_reset();
	spec.payload = 1;
	to = host_delivered(&spec, &host_web, 53);
	frame_build(&spec, &in);
	frame_build(&to, &out);
	in.length = out.length = 60;
	host_expect_redirect(host_hook(state), &in, NULL,
			     &(struct host_redirect){
				     .frame = &out,
				     .counter = HOST_COUNT_5300,
				     .direction = XD_COUNT_IN,
			     });
}

/* A veth refuses longer frames from XDP, the TC program behind delivers them. */
static void leaves_what_exceeds_the_containers_mtu_to_tc(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8081);

	host_reset();
	spec.payload = HOST_CONTAINER_MTU - 40 + 1;
	if (host_hook(state) == HOST_UPLINK_XDP) {
		host_spec_passes(host_hook(state), &spec);
		assert_false(host_has_exception(&spec, 80));
	} else {
		expect_delivered(state, &spec, 80, HOST_COUNT_8081);
	}
	spec.payload = HOST_CONTAINER_MTU - 40;
	expect_delivered(state, &spec, 80, HOST_COUNT_8081);
}

/* TC alone from here on. */

static void delivers_gso(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	struct host_context context = { .gso_size = 1448 };

	host_reset();
	spec.payload = 2900;
	expect_delivered_with(state, &spec, &context, 80, HOST_COUNT_8080);
	spec = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	spec.payload = 2900;
	expect_delivered_with(state, &spec, &context, 53, HOST_COUNT_5300);
}

/* BIG TCP: a length that the field cannot say is 0 in it. */
static void delivers_gso_without_a_length(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	struct host_context context = { .gso_size = 1448 };
	struct frame_spec to = host_delivered(&spec, &host_web, 80);
	struct frame in, out;

	host_reset();
	frame_build(&spec, &in);
	frame_put16(&in, FRAME_IP + 2, 0);
	frame_sum_ip(&in);
	frame_build(&to, &out);
	frame_put16(&out, FRAME_IP + 2, 0);
	frame_sum_ip(&out);
	host_expect_redirect(host_hook(state), &in, &context,
			     &(struct host_redirect){
				     .frame = &out,
				     .counter = HOST_COUNT_8080,
				     .direction = XD_COUNT_IN,
			     });
}

static void leaves_the_mark_behind(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	struct host_context context = { .mark = 0xcafe };
	struct frame frame;

	host_reset();
	expect_delivered_with(state, &spec, &context, 80, HOST_COUNT_8080);
	/* What passes keeps it. */
	spec.to.port_host = 22;
	frame_build(&spec, &frame);
	host_expect_pass(host_hook(state), &frame, &context);
}

/* XDP alone: a program on an interface that is no uplink. */
static void passes_on_an_unknown_interface(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	struct host_context context = { .ifindex = host.bridge };
	struct frame frame;

	host_reset();
	spec.mac_to = host_mac_bridge;
	frame_build(&spec, &frame);
	host_expect_pass(host_hook(state), &frame, &context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_BOTH_HOOKS(delivers_tcp_to_the_default_address),
		HOST_BOTH_HOOKS(delivers_tcp_to_another_container_port),
		HOST_BOTH_HOOKS(delivers_tcp_options_and_no_payload),
		HOST_BOTH_HOOKS(delivers_udp),
		HOST_BOTH_HOOKS(keeps_the_udp_zero_checksum),
		HOST_BOTH_HOOKS(mangles_a_udp_checksum_that_becomes_zero),
		HOST_BOTH_HOOKS(reads_a_mangled_udp_checksum),
		HOST_BOTH_HOOKS(sums_right_for_every_client_port),
		HOST_BOTH_HOOKS(delivers_to_an_exact_address),
		HOST_BOTH_HOOKS(passes_an_exact_port_of_another_address),
		HOST_BOTH_HOOKS(records_a_flow_to_a_second_address),
		HOST_BOTH_HOOKS(records_no_flow_of_a_port_without_exceptions),
		HOST_BOTH_HOOKS(records_a_flow_to_a_second_host_port),
		HOST_BOTH_HOOKS(raises_the_flags_again_after_a_republish),
		HOST_BOTH_HOOKS(refuses_a_second_flow_in_the_row_of_another),
		HOST_BOTH_HOOKS(does_not_harm_a_canonical_flow_by_a_second),
		HOST_BOTH_HOOKS(hands_an_idle_row_to_the_next_flow),
		HOST_BOTH_HOOKS(hands_the_row_of_a_withdrawn_mapping_to_the_next_flow),
		HOST_BOTH_HOOKS(hands_the_row_of_a_container_that_is_gone_to_the_next_flow),
		HOST_BOTH_HOOKS(drops_an_exception_without_a_reverse_row),
		HOST_BOTH_HOOKS(learns_a_local_address),
		HOST_BOTH_HOOKS(renews_the_proof_of_a_local_address),
		HOST_BOTH_HOOKS(passes_a_default_address_that_is_gone),
		HOST_BOTH_HOOKS(learns_nothing_without_a_default_route),
		HOST_BOTH_HOOKS(passes_what_is_routed_through),
		HOST_BOTH_HOOKS(passes_a_port_that_is_not_published),
		HOST_BOTH_HOOKS(drops_what_the_ttl_ends),
		HOST_BOTH_HOOKS(drops_martian_sources),
		HOST_BOTH_HOOKS(delivers_from_beside_the_martian_ranges),
		HOST_BOTH_HOOKS(drops_loopback_destinations),
		HOST_BOTH_HOOKS(drops_what_is_routed_to_a_container),
		HOST_BOTH_HOOKS(delivers_to_the_gateways_address),
		HOST_BOTH_HOOKS(passes_when_the_device_is_gone),
		HOST_BOTH_HOOKS(passes_other_hosts_frames),
		HOST_BOTH_HOOKS(passes_what_is_no_whole_tcp_or_udp),
		HOST_BOTH_HOOKS(passes_what_is_no_ipv4),
		HOST_BOTH_HOOKS(passes_lengths_that_do_not_fit),
		HOST_BOTH_HOOKS(delivers_ethernet_padding_unchanged),
		HOST_BOTH_HOOKS(leaves_what_exceeds_the_containers_mtu_to_tc),
		HOST_TC(delivers_gso),
		HOST_TC(delivers_gso_without_a_length),
		HOST_TC(leaves_the_mark_behind),
		HOST_XDP(passes_on_an_unknown_interface),
	};

	return cmocka_run_group_tests_name("publish", tests, host_setup, host_teardown);
}
