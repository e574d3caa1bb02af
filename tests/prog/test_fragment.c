// SPDX-License-Identifier: GPL-2.0-only
/* Datagrams in fragments: only the first one says whose they are. What is expected of each is cut
 * out of the whole datagram as it has to come out, so its checksum is a full sum. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/prog/host.h"

/* Three of them, of a transport of 128 bytes. */
static const struct {
	size_t at;
	size_t length;
} parts[] = { { 0, 48 }, { 48, 48 }, { 96, 32 } };
#define PART_COUNT (sizeof(parts) / sizeof(parts[0]))
#define ALL 128

static void build(const struct frame_spec *spec, size_t part, struct frame *ret_frame)
{
	static const size_t headers[] = { [IPPROTO_TCP] = 20, [IPPROTO_UDP] = 8,
					  [IPPROTO_ICMP] = 8, [IPPROTO_SCTP] = 12 };
	struct frame_spec datagram = *spec;
	struct frame whole;

	datagram.payload = ALL - headers[spec->protocol];
	frame_build(&datagram, &whole);
	frame_fragment(&whole, parts[part].at, parts[part].length, ret_frame);
}

static void expect_becomes(enum host_program program, const struct frame_spec *spec,
			   const struct frame_spec *to, size_t part, __u32 counter)
{
	struct frame in, out;

	build(spec, part, &in);
	build(to, part, &out);
	host_frame_becomes(program, &in, &out, counter);
}

static void expect_all_become(enum host_program program, const struct frame_spec *spec,
			      const struct frame_spec *to, __u32 counter)
{
	for (size_t part = 0; part < PART_COUNT; part++)
		expect_becomes(program, spec, to, part, counter);
}

static void expect_pass(enum host_program program, const struct frame_spec *spec, size_t part)
{
	struct frame frame;

	build(spec, part, &frame);
	host_frame_passes(program, &frame);
}

static void expect_all_pass(enum host_program program, const struct frame_spec *spec)
{
	for (size_t part = 0; part < PART_COUNT; part++)
		expect_pass(program, spec, part);
}

static void expect_drop(enum host_program program, const struct frame_spec *spec, size_t part,
			enum xd_drop_reason reason)
{
	struct frame frame;

	build(spec, part, &frame);
	host_frame_drops(program, &frame, reason);
}

static void expect_rows(size_t count)
{
	assert_int_equal(host_count_rows(host.skeleton->maps.xd_fragment), count);
}

/* The row that the first fragment of spec leaves. */
static struct xd_fragment_key key_of(const struct frame_spec *spec)
{
	return (struct xd_fragment_key){
		.source = spec->from.address,
		.destination = spec->to.address,
		.id = htons(spec->id),
		.protocol = spec->protocol,
	};
}

static void expect_row(const struct frame_spec *spec, __u16 from_port_host, __u16 to_port_host)
{
	struct xd_fragment_key key = key_of(spec);
	struct xd_fragment row, want = {
		.source_port = htons(from_port_host),
		.destination_port = htons(to_port_host),
	};

	assert_true(host_get(host.skeleton->maps.xd_fragment, &key, &row));
	assert_true(row.seen_ns <= host_now_ns());
	assert_true(host_now_ns() - row.seen_ns < XD_FRAGMENT_NS);
	want.seen_ns = row.seen_ns;
	assert_memory_equal(&row, &want, sizeof(row));
}

static void age_row(const struct frame_spec *spec, __u64 age_ns)
{
	struct xd_fragment_key key = key_of(spec);
	struct xd_fragment row;

	assert_true(host_get(host.skeleton->maps.xd_fragment, &key, &row));
	row.seen_ns = host_now_ns() - age_ns;
	host_put(host.skeleton->maps.xd_fragment, &key, &row);
}

/* What the client sends in fragments, which is not to be without DF as a rule. */
static struct frame_spec inbound(__u8 protocol, const char *address, __u16 port_host)
{
	struct frame_spec spec = host_inbound(protocol, address, port_host);

	spec.fragment = 0;
	return spec;
}

static struct frame_spec opening(const struct host_container *container, __u8 protocol,
				 __u16 port_host)
{
	struct frame_spec spec = host_opening(container, protocol, port_host);

	spec.fragment = 0;
	return spec;
}

static void delivers_all_fragments_to_a_published_port(void **state)
{
	static const struct {
		__u8 protocol;
		const char *address;
		__u16 port_host;
		__u16 container_port_host;
		__u32 counter;
	} ports[] = {
		{ IPPROTO_UDP, HOST_DEFAULT, 5300, 53, HOST_COUNT_5300 },
		{ IPPROTO_UDP, HOST_SECOND, 8761, 8761, HOST_COUNT_8761_UDP },
		{ IPPROTO_TCP, HOST_DEFAULT, 8080, 80, HOST_COUNT_8080 },
	};

	host_reset();
	for (size_t i = 0; i < 3; i++) {
		struct frame_spec spec =
			inbound(ports[i].protocol, ports[i].address, ports[i].port_host);
		struct frame_spec to =
			host_delivered(&spec, &host_web, ports[i].container_port_host);

		expect_all_become(host_hook(state), &spec, &to, ports[i].counter);
		expect_rows(i + 1);
		expect_row(&spec, 40000, ports[i].port_host);
	}
}

static void keeps_the_udp_zero_checksum(void **state)
{
	struct frame_spec spec = inbound(IPPROTO_UDP, HOST_DEFAULT, 5300), to;

	host_reset();
	spec.has_no_checksum = true;
	to = host_delivered(&spec, &host_web, 53);
	expect_all_become(host_hook(state), &spec, &to, HOST_COUNT_5300);
}

/* Some stacks set it on all of them. */
static void delivers_fragments_with_df(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame_spec to = host_delivered(&spec, &host_web, 53);

	host_reset();
	expect_all_become(host_hook(state), &spec, &to, HOST_COUNT_5300);
}

static void delivers_the_last_before_the_middle_and_each_twice(void **state)
{
	struct frame_spec spec = inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame_spec to = host_delivered(&spec, &host_web, 53);
	static const size_t order[] = { 0, 2, 1, 0, 0, 1, 2, 2 };

	host_reset();
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		expect_becomes(host_hook(state), &spec, &to, order[i], HOST_COUNT_5300);
	expect_rows(1);
}

static void tells_datagrams_apart(void **state)
{
	struct frame_spec specs[] = {
		inbound(IPPROTO_UDP, HOST_DEFAULT, 5300),
		inbound(IPPROTO_UDP, HOST_DEFAULT, 8761),
		inbound(IPPROTO_TCP, HOST_DEFAULT, 8080),
		inbound(IPPROTO_UDP, HOST_SECOND, 8761),
		inbound(IPPROTO_UDP, HOST_DEFAULT, 8761),
	};
	static const __u16 container_ports[] = { 53, 8761, 80, 8761, 8761 };
	static const __u32 counters[] = { HOST_COUNT_5300, HOST_COUNT_8761_UDP, HOST_COUNT_8080,
					  HOST_COUNT_8761_UDP, HOST_COUNT_8761_UDP };

	host_reset();
	/* By the identifier, the protocol, the destination and the source. */
	specs[1].id++;
	specs[3].from.port_host++;
	specs[4].from.address = frame_address("192.0.2.8");
	for (size_t part = 0; part < PART_COUNT; part++) {
		for (size_t i = 0; i < 5; i++) {
			struct frame_spec to =
				host_delivered(&specs[i], &host_web, container_ports[i]);

			expect_becomes(host_hook(state), &specs[i], &to, part, counters[i]);
		}
	}
	expect_rows(5);
}

/* They may be of the host's own datagrams. */
static void passes_later_fragments_without_a_first(void **state)
{
	struct frame_spec spec = inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame_spec to = host_delivered(&spec, &host_web, 53);

	host_reset();
	expect_pass(host_hook(state), &spec, 1);
	expect_pass(host_hook(state), &spec, 2);
	expect_rows(0);
	expect_becomes(host_hook(state), &spec, &to, 0, HOST_COUNT_5300);
	expect_becomes(host_hook(state), &spec, &to, 1, HOST_COUNT_5300);
	age_row(&spec, XD_FRAGMENT_NS);
	expect_pass(host_hook(state), &spec, 2);
	/* Half of its time is enough for all that are on their way. */
	age_row(&spec, XD_FRAGMENT_NS / 2);
	expect_becomes(host_hook(state), &spec, &to, 2, HOST_COUNT_5300);
}

static void passes_fragments_for_the_host_itself(void **state)
{
	struct frame_spec spec = inbound(IPPROTO_UDP, HOST_DEFAULT, 22);

	host_reset();
	expect_all_pass(host_hook(state), &spec);
	spec = inbound(IPPROTO_ICMP, HOST_DEFAULT, 22);
	spec.is_echo_reply = false;
	expect_all_pass(host_hook(state), &spec);
	spec = inbound(IPPROTO_ICMP, HOST_DEFAULT, 22);
	expect_all_pass(host_hook(state), &spec);
	expect_rows(0);
}

/* The identifier comes back: the row is the last datagram's. */
static void forgets_the_datagram_before(void **state)
{
	struct frame_spec first = inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame_spec second = inbound(IPPROTO_UDP, HOST_DEFAULT, 8761), to;

	host_reset();
	to = host_delivered(&first, &host_web, 53);
	expect_becomes(host_hook(state), &first, &to, 0, HOST_COUNT_5300);
	to = host_delivered(&second, &host_web, 8761);
	expect_all_become(host_hook(state), &second, &to, HOST_COUNT_8761_UDP);
	expect_rows(1);
	expect_row(&second, 40000, 8761);
}

/* Also where the last one is none of these programs' business. */
static void forgets_the_datagram_before_one_for_the_host(void **state)
{
	struct frame_spec first = inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame_spec second = inbound(IPPROTO_UDP, HOST_DEFAULT, 22);
	struct frame_spec to = host_delivered(&first, &host_web, 53);

	host_reset();
	expect_becomes(host_hook(state), &first, &to, 0, HOST_COUNT_5300);
	expect_all_pass(host_hook(state), &second);
	expect_rows(0);
}

static void forgets_the_datagram_before_one_to_a_sibling(void **state)
{
	struct frame_spec spec = opening(&host_db, IPPROTO_UDP, 30000), reply, to;

	(void)state;
	host_reset();
	spec.to = (struct frame_end){ frame_address(HOST_DEFAULT), 5300 };
	to = host_delivered(&spec, &host_web, 53);
	expect_becomes(HOST_CONTAINER, &spec, &to, 0, HOST_COUNT_DB);
	reply = opening(&host_web, IPPROTO_UDP, 53);
	reply.mac_to = host_mac_db;
	reply.to = spec.from;
	to = host_delivered(&reply, &host_db, 30000);
	to.from = spec.to;
	expect_becomes(HOST_CONTAINER, &reply, &to, 0, HOST_COUNT_WEB);
	expect_rows(2);
	reply.from.port_host++;
	expect_all_become(HOST_CONTAINER, &reply, &reply, HOST_COUNT_WEB);
	expect_rows(1);
}

/* A first fragment that ends within the header says nothing. */
static void passes_a_first_fragment_without_its_header(void **state)
{
	struct frame_spec spec = inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);
	struct frame whole, frame, to;

	host_reset();
	frame_build(&spec, &whole);
	frame_fragment(&whole, 0, 16, &frame);
	host_frame_passes(host_hook(state), &frame);
	expect_rows(0);
	/* UDP's needs no more than the least. */
	spec = inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	frame_build(&spec, &whole);
	frame_fragment(&whole, 0, 8, &frame);
	spec = host_delivered(&spec, &host_web, 53);
	frame_build(&spec, &whole);
	frame_fragment(&whole, 0, 8, &to);
	host_frame_becomes(host_hook(state), &frame, &to, HOST_COUNT_5300);
	expect_rows(1);
	/* What follows the packet in its frame is none of it. */
	frame_put16(&frame, FRAME_IP + 2, 20 + 7);
	frame_put16(&frame, FRAME_IP + 4, 1);
	frame_sum_ip(&frame);
	host_frame_passes(host_hook(state), &frame);
	expect_rows(1);
}

static void minds_the_ttl_of_each_fragment(void **state)
{
	struct frame_spec spec = inbound(IPPROTO_UDP, HOST_DEFAULT, 5300);
	struct frame_spec to = host_delivered(&spec, &host_web, 53);

	host_reset();
	expect_becomes(host_hook(state), &spec, &to, 0, HOST_COUNT_5300);
	spec.ttl = 1;
	expect_drop(host_hook(state), &spec, 1, XD_DROP_TTL);
}

static void sends_all_fragments_of_a_reply(void **state)
{
	struct frame_spec spec = opening(&host_web, IPPROTO_UDP, 53);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 5300);

	(void)state;
	host_reset();
	expect_all_become(HOST_CONTAINER, &spec, &to, HOST_COUNT_5300);
	expect_rows(1);
	expect_row(&spec, 53, 40000);
}

static const __u8 protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP };

static void sends_all_fragments_of_a_flow(void **state)
{
	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame_spec spec = opening(&host_db, protocols[i], 20000);
		struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 20000);

		expect_all_become(HOST_CONTAINER, &spec, &to, HOST_COUNT_DB);
		host_expect_flows(i + 1, i + 1);
		expect_rows(i + 1);
		expect_row(&spec, 20000, protocols[i] == IPPROTO_ICMP ? 0 : 40000);
	}
}

static void sends_all_fragments_from_a_port_that_was_chosen(void **state)
{
	static const __u8 with_ports[] = { IPPROTO_TCP, IPPROTO_UDP };

	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(with_ports); i++) {
		struct frame_spec spec = opening(&host_db, with_ports[i], 40000);
		struct frame_spec to = host_sent(&spec, HOST_DEFAULT, host_open_flow(&spec));

		expect_all_become(HOST_CONTAINER, &spec, &to, HOST_COUNT_DB);
	}
}

static void drops_a_containers_later_fragments_without_a_first(void **state)
{
	struct frame_spec spec = opening(&host_db, IPPROTO_UDP, 20000);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 20000);

	(void)state;
	host_reset();
	expect_drop(HOST_CONTAINER, &spec, 1, XD_DROP_FRAGMENT);
	expect_drop(HOST_CONTAINER, &spec, 2, XD_DROP_FRAGMENT);
	host_expect_flows(0, 0);
	expect_rows(0);
	expect_becomes(HOST_CONTAINER, &spec, &to, 0, HOST_COUNT_DB);
	expect_becomes(HOST_CONTAINER, &spec, &to, 2, HOST_COUNT_DB);
	age_row(&spec, XD_FRAGMENT_NS);
	expect_drop(HOST_CONTAINER, &spec, 1, XD_DROP_FRAGMENT);
}

/* Which has its row no more: a later fragment opens none. */
static void drops_later_fragments_of_a_flow_that_is_gone(void **state)
{
	struct frame_spec spec = opening(&host_db, IPPROTO_UDP, 20000);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 20000);

	(void)state;
	host_reset();
	expect_becomes(HOST_CONTAINER, &spec, &to, 0, HOST_COUNT_DB);
	host_delete_flow(&spec, HOST_BOTH);
	expect_drop(HOST_CONTAINER, &spec, 1, XD_DROP_UNTRACKED);
	host_expect_flows(0, 0);
}

static void delivers_all_fragments_of_an_answer(void **state)
{
	host_reset();
	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame_spec spec = opening(&host_db, protocols[i], 20000);
		struct frame_spec reply = inbound(protocols[i], HOST_DEFAULT,
						  host_open_flow(&spec));
		struct frame_spec to = host_delivered(&reply, &host_db, 20000);

		expect_pass(host_hook(state), &reply, 1);
		expect_all_become(host_hook(state), &reply, &to, HOST_COUNT_DB);
		expect_rows(i + 1);
		expect_row(&reply, protocols[i] == IPPROTO_ICMP ? 0 : 40000, 20000);
	}
}

/* Identifier 0 is one of them, and both ports are 0 then. */
static void sends_and_delivers_fragments_of_an_echo_with_identifier_0(void **state)
{
	struct frame_spec spec = opening(&host_db, IPPROTO_ICMP, 0);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 0);
	struct frame_spec reply = inbound(IPPROTO_ICMP, HOST_DEFAULT, 0);

	host_reset();
	expect_all_become(HOST_CONTAINER, &spec, &to, HOST_COUNT_DB);
	to = host_delivered(&reply, &host_db, 0);
	expect_all_become(host_hook(state), &reply, &to, HOST_COUNT_DB);
}

static void forwards_fragments_to_a_sibling_unchanged(void **state)
{
	struct frame_spec spec = opening(&host_web, IPPROTO_UDP, 53);

	(void)state;
	host_reset();
	spec.mac_to = host_mac_db;
	spec.to.address = frame_address(HOST_DB);
	expect_becomes(HOST_CONTAINER, &spec, &spec, 2, HOST_COUNT_WEB);
	expect_all_become(HOST_CONTAINER, &spec, &spec, HOST_COUNT_WEB);
	expect_rows(0);
}

static void translates_all_fragments_between_siblings(void **state)
{
	struct frame_spec spec = opening(&host_db, IPPROTO_UDP, 30000), reply, to;

	(void)state;
	host_reset();
	spec.to = (struct frame_end){ frame_address(HOST_DEFAULT), 5300 };
	expect_pass(HOST_CONTAINER, &spec, 1);
	to = host_delivered(&spec, &host_web, 53);
	expect_all_become(HOST_CONTAINER, &spec, &to, HOST_COUNT_DB);
	reply = opening(&host_web, IPPROTO_UDP, 53);
	reply.mac_to = host_mac_db;
	reply.to = spec.from;
	to = host_delivered(&reply, &host_db, 30000);
	to.from = spec.to;
	expect_all_become(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
	expect_rows(2);
}

static void translates_all_fragments_between_networks(void **state)
{
	struct frame_spec spec = opening(&host_app, IPPROTO_UDP, 20000), reply, to;

	(void)state;
	host_reset();
	spec.to = (struct frame_end){ frame_address(HOST_DEFAULT), 5300 };
	to = host_delivered(&spec, &host_web, 53);
	to.from.address = frame_address(HOST_GATEWAY);
	expect_all_become(HOST_CONTAINER, &spec, &to, HOST_COUNT_APP);
	reply = opening(&host_web, IPPROTO_UDP, 53);
	reply.to = to.from;
	to = host_delivered(&reply, &host_app, 20000);
	to.from = spec.to;
	expect_all_become(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
	expect_rows(2);
	host_expect_flows(1, 1);
}

static void drops_later_fragments_to_a_containers_address(void **state)
{
	struct frame_spec spec = inbound(IPPROTO_UDP, HOST_WEB, 53);

	host_reset();
	expect_drop(host_hook(state), &spec, 0, XD_DROP_DIRECT_ROUTED);
	expect_drop(host_hook(state), &spec, 1, XD_DROP_FRAGMENT);
	expect_drop(host_hook(state), &spec, 2, XD_DROP_FRAGMENT);
	expect_rows(0);
}

/* The kernel forwards them as they are: all of them, or the datagram is lost. */
static void passes_all_fragments_of_an_answer_where_masquerading_is_off(void **state)
{
	struct frame_spec spec = opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec to = host_sent(&spec, HOST_WEB, 20000);
	struct frame_spec reply = inbound(IPPROTO_UDP, HOST_WEB, 20000);

	host_reset();
	host_set_network(host.bridge, 0);
	expect_all_become(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
	expect_all_pass(host_hook(state), &reply);
	/* Without a first one, they are of no use to anybody. */
	reply.from.port_host++;
	reply.id++;
	expect_drop(host_hook(state), &reply, 0, XD_DROP_DIRECT_ROUTED);
	expect_pass(host_hook(state), &reply, 1);
}

static void passes_all_fragments_to_a_routed_network(void **state)
{
	struct frame_spec spec = inbound(IPPROTO_UDP, HOST_WEB, 53);

	host_reset();
	host_set_network(host.bridge, XD_NETWORK_ROUTED);
	expect_all_pass(host_hook(state), &spec);
	spec = inbound(IPPROTO_ICMP, HOST_WEB, 1);
	spec.is_echo_reply = false;
	expect_all_pass(host_hook(state), &spec);
}

/* There, a client may address the container itself, and is answered by it. */
static void passes_all_fragments_of_a_direct_flow(void **state)
{
	struct frame_spec spec = inbound(IPPROTO_UDP, HOST_WEB, 54);
	struct frame_spec reply = opening(&host_web, IPPROTO_UDP, 54);

	host_reset();
	host_set_network(host.bridge, XD_NETWORK_MASQUERADE | XD_NETWORK_UNPROTECTED);
	expect_all_pass(host_hook(state), &spec);
	expect_all_pass(HOST_CONTAINER, &reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_BOTH_HOOKS(delivers_all_fragments_to_a_published_port),
		HOST_BOTH_HOOKS(keeps_the_udp_zero_checksum),
		HOST_BOTH_HOOKS(delivers_fragments_with_df),
		HOST_BOTH_HOOKS(delivers_the_last_before_the_middle_and_each_twice),
		HOST_BOTH_HOOKS(tells_datagrams_apart),
		HOST_BOTH_HOOKS(passes_later_fragments_without_a_first),
		HOST_BOTH_HOOKS(passes_fragments_for_the_host_itself),
		HOST_BOTH_HOOKS(forgets_the_datagram_before),
		HOST_BOTH_HOOKS(forgets_the_datagram_before_one_for_the_host),
		cmocka_unit_test(forgets_the_datagram_before_one_to_a_sibling),
		HOST_BOTH_HOOKS(passes_a_first_fragment_without_its_header),
		HOST_BOTH_HOOKS(minds_the_ttl_of_each_fragment),
		cmocka_unit_test(sends_all_fragments_of_a_reply),
		cmocka_unit_test(sends_all_fragments_of_a_flow),
		cmocka_unit_test(sends_all_fragments_from_a_port_that_was_chosen),
		cmocka_unit_test(drops_a_containers_later_fragments_without_a_first),
		cmocka_unit_test(drops_later_fragments_of_a_flow_that_is_gone),
		HOST_BOTH_HOOKS(delivers_all_fragments_of_an_answer),
		HOST_BOTH_HOOKS(sends_and_delivers_fragments_of_an_echo_with_identifier_0),
		cmocka_unit_test(forwards_fragments_to_a_sibling_unchanged),
		cmocka_unit_test(translates_all_fragments_between_siblings),
		cmocka_unit_test(translates_all_fragments_between_networks),
		HOST_BOTH_HOOKS(drops_later_fragments_to_a_containers_address),
		HOST_BOTH_HOOKS(passes_all_fragments_of_an_answer_where_masquerading_is_off),
		HOST_BOTH_HOOKS(passes_all_fragments_to_a_routed_network),
		HOST_BOTH_HOOKS(passes_all_fragments_of_a_direct_flow),
	};

	return cmocka_run_group_tests_name("fragment", tests, host_setup, host_teardown);
}
