// SPDX-License-Identifier: GPL-2.0-only
/* ICMP errors: they and the packet that they are about are translated as their flow is, in all four
 * directions. What is expected is built anew, so each checksum is a full sum. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/prog/host.h"

#define ON_THE_WAY "192.0.2.254" /* a router between the client and this host */
#define LEAST 28 /* bytes of what an error is about: its header and 8 */
#define UNREACHABLE 3
#define TIME_EXCEEDED 11

/* An error: its own ends (ports do not matter), and the packet that it is about. */
struct error {
	struct frame_spec outer;
	struct frame_spec about;
	size_t kept;
	__u8 type;
	__u8 code;
};

static void build(const struct error *error, struct frame *ret_frame)
{
	struct frame about;

	frame_build(&error->about, &about);
	frame_build_error(&error->outer, error->type, error->code, &about,
			  error->kept ? error->kept : about.length - FRAME_IP, ret_frame);
}

static void expect_becomes(enum host_program program, const struct error *error,
			   const struct error *to, __u32 counter)
{
	struct frame in, out;

	build(error, &in);
	build(to, &out);
	host_frame_becomes(program, &in, &out, counter);
}

static void expect_pass(enum host_program program, const struct error *error)
{
	struct frame frame;

	build(error, &frame);
	host_frame_passes(program, &frame);
}

static void expect_drop(enum host_program program, const struct error *error,
			enum xd_drop_reason reason)
{
	struct frame frame;

	build(error, &frame);
	host_frame_drops(program, &frame, reason);
}

/* As many kinds as there are: each is tried with every one of these. */
static const struct {
	__u8 type;
	__u8 code;
} kinds[] = { { 3, 0 }, { 3, 1 }, { 3, 3 }, { 3, 4 }, { 4, 0 }, { 11, 0 }, { 11, 1 }, { 12, 0 } };
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))
static const size_t lengths[] = { LEAST, 40, 0 };
#define LENGTH_COUNT (sizeof(lengths) / sizeof(lengths[0]))

static void expect_every_kind(enum host_program program, struct error error, struct error to,
			      __u32 counter)
{
	for (size_t kind = 0; kind < KIND_COUNT; kind++) {
		for (size_t i = 0; i < LENGTH_COUNT; i++) {
			error.type = to.type = kinds[kind].type;
			error.code = to.code = kinds[kind].code;
			error.kept = to.kept = lengths[i];
			expect_becomes(program, &error, &to, counter);
		}
	}
}

/* From the outside, by `from`, about what the container at its port sent to the client and the
 * outside saw as address:port. Of UDP as well without a checksum. */
static void expect_in(enum host_program uplink, const char *from, const char *address,
		      __u16 port_host, const struct host_container *container,
		      const struct frame_spec *sent, __u32 counter)
{
	struct error error = {
		.outer = host_inbound(IPPROTO_ICMP, address, 0),
		.about = host_sent(sent, address, port_host),
	};
	struct error to;

	error.outer.from.address = frame_address(from);
	error.about.ttl = 3;
	to = error;
	to.outer = host_delivered(&error.outer, container, 0);
	to.about.from = sent->from;
	expect_every_kind(uplink, error, to, counter);
	error.about.has_no_checksum = to.about.has_no_checksum = sent->protocol == IPPROTO_UDP;
	expect_every_kind(uplink, error, to, counter);
}

/* From the container, about what the client sent to it, to the client by way of the router. */
static void expect_out(const char *address, __u16 port_host, const struct frame_spec *received,
		       const struct host_container *container, __u32 counter)
{
	struct error error = {
		.outer = host_outbound(container, IPPROTO_ICMP, 0),
		.about = *received,
	};
	struct error to = error;

	to.outer = host_sent(&error.outer, address, 0);
	to.about.to = (struct frame_end){ frame_address(address), port_host };
	expect_every_kind(HOST_CONTAINER, error, to, counter);
	error.about.has_no_checksum = to.about.has_no_checksum =
		received->protocol == IPPROTO_UDP;
	expect_every_kind(HOST_CONTAINER, error, to, counter);
}

/* The packet that the client sends to the container, as that gets it. */
static struct frame_spec received_by(const struct host_container *container, __u8 protocol,
				     __u16 port_host)
{
	struct frame_spec spec = host_inbound(protocol, HOST_DEFAULT, port_host);

	return host_delivered(&spec, container, port_host);
}

/* Flows of db's: such as keep their port, and such as do not. */
static const struct {
	__u8 protocol;
	__u16 port_host;
} flows[] = {
	{ IPPROTO_TCP, 20000 }, { IPPROTO_TCP, 40000 },	 { IPPROTO_UDP, 20000 },
	{ IPPROTO_UDP, 40000 }, { IPPROTO_ICMP, 40000 }, { IPPROTO_SCTP, 20000 },
};
#define FLOW_COUNT (sizeof(flows) / sizeof(flows[0]))

/* Web has the identifier that db wants. */
static void take_the_identifier(void)
{
	struct frame_spec echo = host_opening(&host_web, IPPROTO_ICMP, 40000);

	assert_int_equal(host_open_flow(&echo), 40000);
}

static void translates_errors_about_replies_of_published_ports(void **state)
{
	struct frame_spec tcp = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct frame_spec udp = host_outbound(&host_web, IPPROTO_UDP, 53);
	enum host_program hook = host_hook(state);

	host_reset();
	expect_in(hook, ON_THE_WAY, HOST_DEFAULT, 8080, &host_web, &tcp, HOST_COUNT_8080);
	expect_in(hook, HOST_CLIENT, HOST_DEFAULT, 8080, &host_web, &tcp, HOST_COUNT_8080);
	expect_in(hook, ON_THE_WAY, HOST_DEFAULT, 5300, &host_web, &udp, HOST_COUNT_5300);
	expect_in(hook, HOST_CLIENT, HOST_DEFAULT, 5300, &host_web, &udp, HOST_COUNT_5300);
	/* By another side than the canonical one. */
	expect_in(hook, ON_THE_WAY, HOST_SECOND, 8081, &host_web, &tcp, HOST_COUNT_8081);
}

static void translates_errors_about_flows_of_containers(void **state)
{
	enum host_program hook = host_hook(state);

	host_reset();
	take_the_identifier();
	for (size_t i = 0; i < FLOW_COUNT; i++) {
		struct frame_spec spec =
			host_opening(&host_db, flows[i].protocol, flows[i].port_host);
		__u16 port_host = host_open_flow(&spec);
		struct host_flow before, after;

		assert_true(host_get_flow(&spec, &before));
		expect_in(hook, ON_THE_WAY, HOST_DEFAULT, port_host, &host_db, &spec,
			  HOST_COUNT_DB);
		expect_in(hook, HOST_CLIENT, HOST_DEFAULT, port_host, &host_db, &spec,
			  HOST_COUNT_DB);
		/* An error is no answer: it keeps nothing alive. */
		assert_true(host_get_flow(&spec, &after));
		assert_memory_equal(&after, &before, sizeof(after));
	}
}

static void translates_a_containers_errors_about_published_ports(void **state)
{
	struct frame_spec tcp = received_by(&host_web, IPPROTO_TCP, 80);
	struct frame_spec udp = received_by(&host_web, IPPROTO_UDP, 53), in;
	struct host_result result;
	struct frame frame;

	(void)state;
	host_reset();
	expect_out(HOST_DEFAULT, 8080, &tcp, &host_web, HOST_COUNT_WEB);
	expect_out(HOST_DEFAULT, 5300, &udp, &host_web, HOST_COUNT_WEB);
	/* By the side that the client dialled. */
	in = host_inbound(IPPROTO_TCP, HOST_SECOND, 8081);
	frame_build(&in, &frame);
	assert_int_equal(host_try(HOST_UPLINK_TC, &frame, NULL, 0, &result), 0);
	assert_int_equal(result.verdict, HOST_REDIRECT);
	expect_out(HOST_SECOND, 8081, &tcp, &host_web, HOST_COUNT_WEB);
}

static void translates_a_containers_errors_about_published_ports_without_masquerade(void **state)
{
	struct frame_spec udp = received_by(&host_web, IPPROTO_UDP, 53);

	(void)state;
	host_reset();
	host_set_network(host.bridge, 0);
	expect_out(HOST_DEFAULT, 5300, &udp, &host_web, HOST_COUNT_WEB);
}

static void translates_a_containers_errors_about_answers(void **state)
{
	(void)state;
	host_reset();
	take_the_identifier();
	for (size_t i = 0; i < FLOW_COUNT; i++) {
		struct frame_spec spec =
			host_opening(&host_db, flows[i].protocol, flows[i].port_host);
		struct frame_spec answer =
			received_by(&host_db, flows[i].protocol, flows[i].port_host);
		__u16 port_host = host_open_flow(&spec);

		expect_out(HOST_DEFAULT, port_host, &answer, &host_db, HOST_COUNT_DB);
	}
}

static struct error unreachable_in(const struct frame_spec *sent, const char *address,
				   __u16 port_host)
{
	return (struct error){
		.outer = host_inbound(IPPROTO_ICMP, address, 0),
		.about = host_sent(sent, address, port_host),
		.kept = LEAST,
		.type = UNREACHABLE,
		.code = 1,
	};
}

static struct error unreachable_out(const struct frame_spec *received,
				    const struct host_container *container)
{
	return (struct error){
		.outer = host_outbound(container, IPPROTO_ICMP, 0),
		.about = *received,
		.kept = LEAST,
		.type = UNREACHABLE,
		.code = 3,
	};
}

static void passes_errors_about_the_hosts_own_flows(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_UDP, 20000);
	struct error error = unreachable_in(&spec, HOST_DEFAULT, 20000);
	enum host_program hook = host_hook(state);

	host_reset();
	expect_pass(hook, &error);
	/* To the host, but about something that another sent. */
	host_open_flow(&spec);
	error.about.from.address = frame_address(HOST_SECOND);
	expect_pass(hook, &error);
	error.outer.to.address = frame_address(HOST_SECOND);
	expect_pass(hook, &error);
	/* A flow to another remote. */
	error = unreachable_in(&spec, HOST_DEFAULT, 20000);
	error.about.to.port_host++;
	expect_pass(hook, &error);
}

static void drops_a_containers_errors_about_flows_that_nobody_knows(void **state)
{
	struct frame_spec answer = received_by(&host_web, IPPROTO_UDP, 20000);
	struct error error = unreachable_out(&answer, &host_web);

	(void)state;
	host_reset();
	expect_drop(HOST_CONTAINER, &error, XD_DROP_UNTRACKED);
	/* It says so of another's packet: a container may be a router, which the kernel knows. */
	error.about.to.address = frame_address("10.0.0.1");
	expect_pass(HOST_CONTAINER, &error);
	error = unreachable_out(&answer, &host_web);
	error.about.from.address = frame_address("192.0.2.8");
	expect_pass(HOST_CONTAINER, &error);
	/* Untranslated flows have untranslated errors. */
	host_set_network(host.bridge, 0);
	error = unreachable_out(&answer, &host_web);
	expect_pass(HOST_CONTAINER, &error);
}

/* The rows of the address's last container are not this one's. */
static void drops_a_containers_errors_about_flows_of_another(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec answer = received_by(&host_web, IPPROTO_UDP, 20000);
	struct error error = unreachable_out(&answer, &host_web);
	struct host_flow flow;

	(void)state;
	host_reset();
	host_open_flow(&spec);
	assert_true(host_get_flow(&spec, &flow));
	flow.row.owner = 60001;
	host_put_flow(&flow);
	expect_drop(HOST_CONTAINER, &error, XD_DROP_UNTRACKED);
}

/* Each of these is about a flow that is known, but nothing here reads it. */
static void expect_passed_as_they_are(enum host_program program, const struct error *error)
{
	struct frame frame;

	/* Cut off within the eight bytes. */
	for (size_t kept = 1; kept < LEAST; kept++) {
		struct error cut = *error;

		cut.kept = kept;
		expect_pass(program, &cut);
	}
	build(error, &frame);
	frame.bytes[FRAME_EMBEDDED] = 0x46; /* options */
	frame_sum_transport(&frame);
	host_frame_passes(program, &frame);
	build(error, &frame);
	frame.bytes[FRAME_EMBEDDED] = 0x65; /* IPv6 */
	frame_sum_transport(&frame);
	host_frame_passes(program, &frame);
	build(error, &frame);
	frame_put16(&frame, FRAME_EMBEDDED + 6, 185); /* a later fragment */
	frame_sum_transport(&frame);
	host_frame_passes(program, &frame);
	build(error, &frame);
	frame.bytes[FRAME_EMBEDDED + 9] = 47; /* GRE */
	frame_sum_transport(&frame);
	host_frame_passes(program, &frame);
	build(error, &frame);
	frame.bytes[FRAME_EMBEDDED + 9] = IPPROTO_ICMP;
	frame.bytes[FRAME_EMBEDDED + 20] = 13; /* a timestamp request */
	frame_sum_transport(&frame);
	host_frame_passes(program, &frame);
	build(error, &frame);
	frame.bytes[FRAME_TRANSPORT] = 5; /* a redirect, which is for the host */
	frame_sum_transport(&frame);
	host_frame_passes(program, &frame);
	/* The error in fragments, of which this is the first. */
	build(error, &frame);
	frame_put16(&frame, FRAME_IP + 6, FRAME_MF);
	frame_sum_ip(&frame);
	host_frame_passes(program, &frame);
}

static void passes_errors_that_are_not_understood(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct error error = unreachable_in(&spec, HOST_DEFAULT, 8080);

	host_reset();
	expect_passed_as_they_are(host_hook(state), &error);
}

static void passes_a_containers_errors_that_are_not_understood(void **state)
{
	struct frame_spec spec = received_by(&host_web, IPPROTO_TCP, 80);
	struct error error = unreachable_out(&spec, &host_web);

	(void)state;
	host_reset();
	expect_passed_as_they_are(HOST_CONTAINER, &error);
	/* They come from the container all the same. */
	host_set_network(host.bridge, XD_NETWORK_MASQUERADE | XD_NETWORK_SOURCE_CHECK);
	expect_passed_as_they_are(HOST_CONTAINER, &error);
}

/* A wire may append bytes to a frame. They are not the packet's, whatever could be there. */
static void leaves_what_follows_an_error_alone(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct error error = unreachable_in(&spec, HOST_DEFAULT, 8080), to = error;
	struct frame in, out;

	host_reset();
	to.outer = host_delivered(&error.outer, &host_web, 0);
	to.about.from = spec.from;
	for (size_t kept = LEAST; kept < 40; kept++) {
		/* Half a checksum is good for nothing. */
		if (kept == LEAST + 9)
			continue;
		error.kept = to.kept = kept;
		build(&error, &in);
		build(&to, &out);
		in.length += 16;
		out.length += 16;
		host_frame_becomes(host_hook(state), &in, &out, HOST_COUNT_8080);
	}
}

static void minds_the_ttl_of_an_error(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct frame_spec received = received_by(&host_web, IPPROTO_TCP, 80);
	struct error error = unreachable_in(&spec, HOST_DEFAULT, 8080);

	host_reset();
	error.outer.ttl = 1;
	expect_drop(host_hook(state), &error, XD_DROP_TTL);
	error = unreachable_out(&received, &host_web);
	error.outer.ttl = 1;
	expect_pass(HOST_CONTAINER, &error);
}

static void passes_errors_to_a_container_that_is_gone(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct error error = unreachable_in(&spec, HOST_DEFAULT, 8080);

	host_reset();
	host_forget_device(host_web.ifindex);
	expect_pass(host_hook(state), &error);
}

/* An error may be as long as the packet that it is about. */
static void leaves_errors_that_exceed_the_containers_mtu_to_tc(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct error error = unreachable_in(&spec, HOST_DEFAULT, 8080), to = error;

	host_reset();
	to.outer = host_delivered(&error.outer, &host_web, 0);
	to.about.from = spec.from;
	error.about.payload = to.about.payload = HOST_CONTAINER_MTU;
	error.kept = to.kept = HOST_CONTAINER_MTU - 28;
	expect_becomes(host_hook(state), &error, &to, HOST_COUNT_8080);
	error.kept = ++to.kept;
	if (host_hook(state) == HOST_UPLINK_XDP)
		expect_pass(host_hook(state), &error);
	else
		expect_becomes(host_hook(state), &error, &to, HOST_COUNT_8080);
}

/* As packets of the flow itself. */
static void translates_errors_of_a_flow_whose_port_is_published_later(void **state)
{
	struct frame_spec spec = host_opening(&host_db, IPPROTO_TCP, 20000);

	host_reset();
	host_open_flow(&spec);
	host_publish("0.0.0.0", 20000, IPPROTO_TCP, 9001,
		     XD_PORT_CANONICAL | XD_PORT_MASQUERADED, HOST_COUNT_9000);
	expect_in(host_hook(state), ON_THE_WAY, HOST_DEFAULT, 20000, &host_db, &spec,
		  HOST_COUNT_DB);
}

static void passes_errors_about_untranslated_flows(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct error error = unreachable_in(&spec, HOST_WEB, 20000);

	host_reset();
	expect_drop(host_hook(state), &error, XD_DROP_DIRECT_ROUTED);
	host_set_network(host.bridge, 0);
	host_open_flow(&spec);
	expect_pass(host_hook(state), &error);
	/* An internal network has none. */
	host_set_network(host.bridge, XD_NETWORK_INTERNAL);
	expect_drop(host_hook(state), &error, XD_DROP_DIRECT_ROUTED);
}

/* A sibling knows the server by the address that it dialled. */
static void translates_errors_to_a_sibling_that_dialled_a_published_port(void **state)
{
	static const char *const dialled[] = { HOST_DEFAULT, HOST_SECOND, HOST_GATEWAY,
					       HOST_OTHER_GATEWAY };

	(void)state;
	host_reset();
	for (__u16 i = 0; i < 4; i++) {
		struct frame_spec spec = host_opening(&host_db, IPPROTO_TCP, 30000 + i);
		struct frame_spec received = spec;
		struct error error, to;

		spec.to = (struct frame_end){ frame_address(dialled[i]), 8080 };
		received.to = (struct frame_end){ frame_address(HOST_WEB), 80 };
		error = unreachable_out(&received, &host_web);
		error.outer.mac_to = host_mac_db;
		error.outer.to = received.from;
		/* Not yet about anything that was translated. */
		expect_becomes(HOST_CONTAINER, &error, &error, HOST_COUNT_WEB);
		received.mac_to = host_mac_web;
		received.mac_from = host_mac_bridge;
		received.ttl--;
		host_spec_becomes(HOST_CONTAINER, &spec, &received, HOST_COUNT_DB);
		to = error;
		to.outer.mac_from = host_mac_bridge;
		to.outer.from = to.about.to = spec.to;
		to.outer.ttl--;
		expect_every_kind(HOST_CONTAINER, error, to, HOST_COUNT_WEB);
		/* Only about that flow, and to who is in it. */
		error.about.from.port_host += 100;
		expect_becomes(HOST_CONTAINER, &error, &error, HOST_COUNT_WEB);
	}
}

static void translates_errors_to_another_network(void **state)
{
	static const char *const dialled[] = { HOST_DEFAULT, HOST_SECOND, HOST_GATEWAY,
					       HOST_OTHER_GATEWAY };

	(void)state;
	host_reset();
	for (__u16 i = 0; i < 4; i++) {
		struct frame_spec spec = host_opening(&host_app, IPPROTO_UDP, 40000 + i);
		struct frame_spec received;
		struct error error, to;

		spec.to = (struct frame_end){ frame_address(dialled[i]), 8761 };
		received = host_delivered(&spec, &host_web, 8761);
		received.from = (struct frame_end){ frame_address(HOST_GATEWAY),
						    host_open_flow(&spec) };
		error = unreachable_out(&received, &host_web);
		error.outer.to = received.from;
		to = error;
		to.outer.mac_to = host_mac_app;
		to.outer.mac_from = host_mac_other_bridge;
		to.outer.ttl--;
		to.outer.from = to.about.to = spec.to;
		to.outer.to = to.about.from = spec.from;
		expect_every_kind(HOST_CONTAINER, error, to, HOST_COUNT_WEB);
		/* The host itself is nobody's client here. */
		error.about.from.port_host = 40000;
		expect_pass(HOST_CONTAINER, &error);
	}
}

/* What the client says of an answer, to whom it believes that it came from. */
static struct error unreachable_by(const struct host_container *client,
				   const struct frame_spec *dialled)
{
	struct frame_spec answer = host_inbound(dialled->protocol, HOST_DEFAULT, 0);
	struct error error;

	answer = host_delivered(&answer, client, dialled->from.port_host);
	answer.from = dialled->to;
	error = unreachable_out(&answer, client);
	error.outer.to = dialled->to;
	return error;
}

static void translates_errors_of_a_sibling_that_dialled_a_published_port(void **state)
{
	static const char *const dialled[] = { HOST_DEFAULT, HOST_SECOND, HOST_GATEWAY,
					       HOST_OTHER_GATEWAY };

	(void)state;
	host_reset();
	for (__u16 i = 0; i < 4; i++) {
		struct frame_spec spec = host_opening(&host_db, IPPROTO_UDP, 40000 + i);
		struct error error, to;

		spec.to = (struct frame_end){ frame_address(dialled[i]), 5300 };
		error = unreachable_by(&host_db, &spec);
		to = error;
		to.outer = host_delivered(&error.outer, &host_web, 0);
		to.about.from = (struct frame_end){ frame_address(HOST_WEB), 53 };
		expect_every_kind(HOST_CONTAINER, error, to, HOST_COUNT_DB);
		error.outer.ttl = 1;
		expect_drop(HOST_CONTAINER, &error, XD_DROP_TTL);
		/* About what another got, or from a port that is not published. */
		error.outer.ttl = 64;
		error.about.to.address = frame_address(HOST_APP);
		expect_pass(HOST_CONTAINER, &error);
		error = unreachable_by(&host_db, &spec);
		error.about.from.port_host = 22;
		expect_pass(HOST_CONTAINER, &error);
	}
}

static void translates_errors_of_another_network_and_of_the_server_itself(void **state)
{
	static const char *const dialled[] = { HOST_DEFAULT, HOST_SECOND, HOST_GATEWAY,
					       HOST_OTHER_GATEWAY };
	const struct host_container *const clients[] = { &host_app, &host_web };

	(void)state;
	host_reset();
	for (__u16 i = 0; i < 8; i++) {
		const struct host_container *client = clients[i / 4];
		struct frame_spec spec = host_opening(client, IPPROTO_UDP, 40000 + i);
		struct error error, to;

		spec.to = (struct frame_end){ frame_address(dialled[i % 4]), 8761 };
		error = unreachable_by(client, &spec);
		/* Nothing was said to it yet. */
		expect_pass(HOST_CONTAINER, &error);
		to = error;
		to.outer = host_delivered(&error.outer, &host_web, 0);
		to.outer.from.address = frame_address(HOST_GATEWAY);
		to.about.from = (struct frame_end){ frame_address(HOST_WEB), 8761 };
		to.about.to = (struct frame_end){ frame_address(HOST_GATEWAY),
						  host_open_flow(&spec) };
		expect_every_kind(HOST_CONTAINER, error, to, client->counter);
		error.outer.ttl = 1;
		expect_drop(HOST_CONTAINER, &error, XD_DROP_TTL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_BOTH_HOOKS(translates_errors_about_replies_of_published_ports),
		HOST_BOTH_HOOKS(translates_errors_about_flows_of_containers),
		cmocka_unit_test(translates_a_containers_errors_about_published_ports),
		cmocka_unit_test(
			translates_a_containers_errors_about_published_ports_without_masquerade),
		cmocka_unit_test(translates_a_containers_errors_about_answers),
		HOST_BOTH_HOOKS(passes_errors_about_the_hosts_own_flows),
		cmocka_unit_test(drops_a_containers_errors_about_flows_that_nobody_knows),
		cmocka_unit_test(drops_a_containers_errors_about_flows_of_another),
		HOST_BOTH_HOOKS(passes_errors_that_are_not_understood),
		cmocka_unit_test(passes_a_containers_errors_that_are_not_understood),
		HOST_BOTH_HOOKS(leaves_what_follows_an_error_alone),
		HOST_BOTH_HOOKS(minds_the_ttl_of_an_error),
		HOST_BOTH_HOOKS(passes_errors_to_a_container_that_is_gone),
		HOST_BOTH_HOOKS(leaves_errors_that_exceed_the_containers_mtu_to_tc),
		HOST_BOTH_HOOKS(translates_errors_of_a_flow_whose_port_is_published_later),
		HOST_BOTH_HOOKS(passes_errors_about_untranslated_flows),
		cmocka_unit_test(translates_errors_to_a_sibling_that_dialled_a_published_port),
		cmocka_unit_test(translates_errors_to_another_network),
		cmocka_unit_test(translates_errors_of_a_sibling_that_dialled_a_published_port),
		cmocka_unit_test(translates_errors_of_another_network_and_of_the_server_itself),
	};

	return cmocka_run_group_tests_name("icmp", tests, host_setup, host_teardown);
}
