// SPDX-License-Identifier: GPL-2.0-only
/* Containers that dial a published port of their own host: a sibling of the server keeps its
 * address, the server itself and containers of other networks come from the server's gateway. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/prog/host.h"

#define SECOND_NS XD_SNAT_SECOND_NS

/* What is dialled: by whichever address of the host, a published port of web leads to the same. */
static const struct side {
	__u8 protocol;
	const char *address;
	__u16 port_host;
	__u16 container_port_host;
} sides[] = {
	{ IPPROTO_TCP, HOST_DEFAULT, 8080, 80 },
	{ IPPROTO_TCP, HOST_DEFAULT, 8081, 80 },
	{ IPPROTO_TCP, HOST_SECOND, 8080, 80 },
	{ IPPROTO_TCP, HOST_GATEWAY, 8080, 80 },
	{ IPPROTO_TCP, HOST_OTHER_GATEWAY, 8080, 80 },
	{ IPPROTO_TCP, HOST_OTHER_UPLINK, 8761, 8761 },
	{ IPPROTO_TCP, HOST_SECOND, 9000, 9000 },
	{ IPPROTO_TCP, HOST_DEFAULT, 7000, 7000 },
	{ IPPROTO_UDP, HOST_DEFAULT, 5300, 53 },
	{ IPPROTO_UDP, HOST_SECOND, 8761, 8761 },
	{ IPPROTO_UDP, HOST_GATEWAY, 5300, 53 },
	{ IPPROTO_UDP, HOST_OTHER_GATEWAY, 5300, 53 },
};
#define SIDE_COUNT (sizeof(sides) / sizeof(sides[0]))

static struct frame_spec dialling(const struct host_container *client, __u16 port_host,
				  const struct side *side)
{
	struct frame_spec spec = host_opening(client, side->protocol, port_host);

	spec.to = (struct frame_end){ frame_address(side->address), side->port_host };
	return spec;
}

/* The packet as web gets it: from address:port. */
static struct frame_spec served(const struct frame_spec *spec, const struct side *side,
				const char *address, __u16 port_host)
{
	struct frame_spec to = host_delivered(spec, &host_web, side->container_port_host);

	to.from = (struct frame_end){ frame_address(address), port_host };
	return to;
}

/* What web answers to that. */
static struct frame_spec answering(const struct frame_spec *request, const __u8 *mac_to)
{
	struct frame_spec reply = host_outbound(&host_web, request->protocol,
						request->to.port_host);

	reply.mac_to = mac_to;
	reply.to = request->from;
	reply.tcp_flags = FRAME_SYN | FRAME_ACK;
	return reply;
}

/* The answer as the client gets it: from the side that it dialled. */
static struct frame_spec answered(const struct frame_spec *reply, const struct frame_spec *spec,
				  const struct host_container *client)
{
	struct frame_spec to = host_delivered(reply, client, spec->from.port_host);

	to.from = spec->to;
	return to;
}

static void serves_a_sibling_by_its_own_address(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIDE_COUNT; i++) {
		struct frame_spec spec = dialling(&host_db, 40000, &sides[i]);
		struct frame_spec request = served(&spec, &sides[i], HOST_DB, 40000);
		struct frame_spec reply = answering(&request, host_mac_db);
		struct frame_spec to = answered(&reply, &spec, &host_db);

		host_reset();
		assert_int_equal(host_get_hairpin(&host_web), 0);
		/* Not yet an answer to anything that was translated. */
		host_spec_becomes(HOST_CONTAINER, &reply, &reply, HOST_COUNT_WEB);
		host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_DB);
		assert_true(host_has_exception(&spec, sides[i].container_port_host));
		assert_int_equal(host_get_hairpin(&host_web), XD_HAIRPIN_SIBLING);
		assert_int_equal(host_get_hairpin(&host_db), 0);
		host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
		/* And so on, without a row of a flow. */
		spec.tcp_flags = request.tcp_flags = FRAME_ACK;
		host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_DB);
		host_expect_flows(0, 0);
		assert_int_equal(host_count_rows(host.skeleton->maps.xd_exception), 1);
	}
}

static void serves_another_network_from_the_gateway(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIDE_COUNT; i++) {
		struct frame_spec spec = dialling(&host_app, 20000, &sides[i]);
		struct frame_spec request = served(&spec, &sides[i], HOST_GATEWAY, 20000);
		struct frame_spec reply = answering(&request, host_mac_bridge);
		struct frame_spec to = answered(&reply, &spec, &host_app);
		struct host_flow_want want = {
			.container = &host_app,
			.address = HOST_GATEWAY,
			.port_host = 20000,
			.flags = XD_SNAT_HAIRPIN,
			.ifindex = host_web.ifindex,
			.remote = HOST_WEB,
			.remote_port_host = sides[i].container_port_host,
		};

		host_reset();
		host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
		host_expect_flow(&spec, &want);
		assert_int_equal(host_get_hairpin(&host_web), XD_HAIRPIN_GATEWAY);
		assert_int_equal(host_get_hairpin(&host_app), 0);
		host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
		want.flags |= XD_SNAT_REPLIED;
		host_expect_flow(&spec, &want);
		spec.tcp_flags = request.tcp_flags = FRAME_ACK;
		host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
		host_expect_flows(1, 1);
		assert_int_equal(host_count_rows(host.skeleton->maps.xd_exception), 0);
	}
}

static void serves_a_container_that_dials_itself_from_the_gateway(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIDE_COUNT; i++) {
		struct frame_spec spec = dialling(&host_web, 20000, &sides[i]);
		struct frame_spec request = served(&spec, &sides[i], HOST_GATEWAY, 20000);
		struct frame_spec reply = answering(&request, host_mac_bridge);
		struct frame_spec to = answered(&reply, &spec, &host_web);

		host_reset();
		host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_WEB);
		host_expect_flow(&spec, &(struct host_flow_want){
					       .container = &host_web,
					       .address = HOST_GATEWAY,
					       .port_host = 20000,
					       .flags = XD_SNAT_HAIRPIN,
					       .ifindex = host_web.ifindex,
					       .remote = HOST_WEB,
					       .remote_port_host = sides[i].container_port_host,
				       });
		host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
		host_expect_flows(1, 1);
	}
}

/* The server is then the client of its own port, too: neither harms the other. */
static void serves_all_of_them_at_once(void **state)
{
	struct frame_spec specs[] = {
		dialling(&host_db, 20000, &sides[0]),
		dialling(&host_app, 20000, &sides[0]),
		dialling(&host_web, 20001, &sides[0]),
	};
	struct frame_spec requests[] = {
		served(&specs[0], &sides[0], HOST_DB, 20000),
		served(&specs[1], &sides[0], HOST_GATEWAY, 20000),
		served(&specs[2], &sides[0], HOST_GATEWAY, 20001),
	};
	const struct host_container *const clients[] = { &host_db, &host_app, &host_web };
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 20000), to;

	(void)state;
	host_reset();
	for (size_t i = 0; i < 3; i++)
		host_spec_becomes(HOST_CONTAINER, &specs[i], &requests[i], clients[i]->counter);
	for (size_t i = 0; i < 3; i++) {
		struct frame_spec reply =
			answering(&requests[i], i ? host_mac_bridge : host_mac_db);

		to = answered(&reply, &specs[i], clients[i]);
		host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
	}
	/* Also a flow to the outside, and a reply to it. */
	to = host_sent(&spec, HOST_DEFAULT, 20000);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
	spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	to = host_sent(&spec, HOST_DEFAULT, 8080);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_8080);
}

static void gives_clients_at_the_gateway_a_port_of_the_pool(void **state)
{
	struct frame_spec first = dialling(&host_app, 20000, &sides[0]);
	struct frame_spec second = dialling(&host_web, 20000, &sides[0]);
	struct frame_spec third = dialling(&host_app, 40000, &sides[8]);
	struct frame_spec fourth = dialling(&host_app, 8080, &sides[0]);
	__u16 ports[4];

	(void)state;
	host_reset();
	ports[0] = host_open_flow(&first);
	ports[1] = host_open_flow(&second);
	ports[2] = host_open_flow(&third);
	ports[3] = host_open_flow(&fourth);
	assert_int_equal(ports[0], 20000);
	assert_int_not_equal(ports[1], 20000);
	assert_false(ports[2] >= HOST_PORT_LOW && ports[2] <= HOST_PORT_HIGH);
	assert_int_not_equal(ports[3], 8080);
	for (size_t i = 0; i < 4; i++) {
		struct frame_spec *spec = i == 0 ? &first : i == 1 ? &second :
					  i == 2 ? &third : &fourth;
		const struct side *side = i == 2 ? &sides[8] : &sides[0];
		const struct host_container *client = i == 1 ? &host_web : &host_app;
		struct frame_spec request = served(spec, side, HOST_GATEWAY, ports[i]);
		struct frame_spec reply = answering(&request, host_mac_bridge);
		struct frame_spec to = answered(&reply, spec, client);

		host_spec_becomes(HOST_CONTAINER, spec, &request, client->counter);
		host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
	}
}

/* One source port for two sides of one container port: to the server it would be one flow. */
static void refuses_a_sibling_that_dials_two_sides_from_one_port(void **state)
{
	struct frame_spec first = dialling(&host_db, 40000, &sides[0]);
	struct frame_spec second = dialling(&host_db, 40000, &sides[2]);
	struct frame_spec request = served(&first, &sides[0], HOST_DB, 40000);

	(void)state;
	host_reset();
	host_spec_becomes(HOST_CONTAINER, &first, &request, HOST_COUNT_DB);
	host_spec_drops(HOST_CONTAINER, &second, XD_DROP_PORT_CONFLICT);
	host_spec_becomes(HOST_CONTAINER, &first, &request, HOST_COUNT_DB);
	/* Until the first is over. */
	host_age_exception(&first, 80, XD_EXCEPTION_IDLE_NS);
	host_spec_becomes(HOST_CONTAINER, &second, &request, HOST_COUNT_DB);
	host_spec_drops(HOST_CONTAINER, &first, XD_DROP_PORT_CONFLICT);
}

/* From the gateway there are ports enough. */
static void serves_another_network_that_dials_two_sides_from_one_port(void **state)
{
	struct frame_spec first = dialling(&host_app, 20000, &sides[0]);
	struct frame_spec second = dialling(&host_app, 20000, &sides[2]);
	struct frame_spec request = served(&second, &sides[2], HOST_GATEWAY, 0);
	struct frame_spec reply, to;

	(void)state;
	host_reset();
	assert_int_equal(host_open_flow(&first), 20000);
	request.from.port_host = host_open_flow(&second);
	assert_int_not_equal(request.from.port_host, 20000);
	host_spec_becomes(HOST_CONTAINER, &second, &request, HOST_COUNT_APP);
	reply = answering(&request, host_mac_bridge);
	to = answered(&reply, &second, &host_app);
	host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
}

static void passes_what_is_not_published(void **state)
{
	static const struct side others[] = {
		{ IPPROTO_TCP, HOST_DEFAULT, 22, 0 },
		{ IPPROTO_TCP, HOST_GATEWAY, 22, 0 },
		{ IPPROTO_TCP, HOST_OTHER_GATEWAY, 22, 0 },
		{ IPPROTO_UDP, HOST_DEFAULT, 8080, 0 }, /* of the other protocol */
		{ IPPROTO_TCP, HOST_DEFAULT, 9000, 0 }, /* at another address alone */
		{ IPPROTO_TCP, HOST_SECOND, 7000, 0 },
		{ IPPROTO_SCTP, HOST_DEFAULT, 8080, 0 },
		{ IPPROTO_ICMP, HOST_DEFAULT, 8080, 0 },
		{ IPPROTO_ICMP, HOST_GATEWAY, 8080, 0 },
	};
	const struct host_container *const clients[] = { &host_web, &host_db, &host_app };

	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		for (size_t n = 0; n < 3; n++) {
			struct frame_spec spec = dialling(clients[n], 20000, &others[i]);

			host_spec_passes(HOST_CONTAINER, &spec);
			/* An identifier looks like a port in the reply. */
			spec.is_echo_reply = spec.protocol == IPPROTO_ICMP;
			host_spec_passes(HOST_CONTAINER, &spec);
		}
	}
	host_expect_flows(0, 0);
}

static void passes_what_the_server_says_to_the_host(void **state)
{
	struct frame_spec spec = dialling(&host_app, 20000, &sides[0]);
	struct frame_spec request = served(&spec, &sides[0], HOST_GATEWAY, 20000);
	struct frame_spec reply = answering(&request, host_mac_bridge);

	(void)state;
	host_reset();
	host_spec_passes(HOST_CONTAINER, &reply);
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
	/* From another port, to another port, of another protocol. */
	reply.from.port_host++;
	host_spec_passes(HOST_CONTAINER, &reply);
	reply = answering(&request, host_mac_bridge);
	reply.to.port_host++;
	host_spec_passes(HOST_CONTAINER, &reply);
	reply = answering(&request, host_mac_bridge);
	reply.protocol = IPPROTO_UDP;
	host_spec_passes(HOST_CONTAINER, &reply);
	/* The host connects from a port of its own. */
	reply = answering(&request, host_mac_bridge);
	reply.to.port_host = 40000;
	host_spec_passes(HOST_CONTAINER, &reply);
}

static void forwards_what_the_server_says_to_a_sibling_that_dialled_it(void **state)
{
	struct frame_spec spec = dialling(&host_db, 20000, &sides[0]);
	struct frame_spec request = served(&spec, &sides[0], HOST_DB, 20000);
	struct frame_spec reply = answering(&request, host_mac_db);

	(void)state;
	host_reset();
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_DB);
	reply.to.port_host++;
	host_spec_becomes(HOST_CONTAINER, &reply, &reply, HOST_COUNT_WEB);
	reply.to.port_host--;
	reply.from.port_host++;
	host_spec_becomes(HOST_CONTAINER, &reply, &reply, HOST_COUNT_WEB);
	reply.from.port_host--;
	reply.protocol = IPPROTO_UDP;
	host_spec_becomes(HOST_CONTAINER, &reply, &reply, HOST_COUNT_WEB);
}

static void minds_the_ttl_in_both_directions(void **state)
{
	struct frame_spec spec = dialling(&host_db, 20000, &sides[0]);
	struct frame_spec other = dialling(&host_app, 20000, &sides[0]);
	struct frame_spec request = served(&spec, &sides[0], HOST_DB, 20000), reply, to;

	(void)state;
	host_reset();
	spec.ttl = other.ttl = 1;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_TTL);
	host_spec_drops(HOST_CONTAINER, &other, XD_DROP_TTL);
	host_expect_flows(0, 0);
	spec.ttl = other.ttl = 2;
	request.ttl = 1;
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_DB);
	reply = answering(&request, host_mac_db);
	for (reply.ttl = 0; reply.ttl < 2; reply.ttl++)
		host_spec_drops(HOST_CONTAINER, &reply, XD_DROP_TTL);
	to = answered(&reply, &spec, &host_db);
	host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);

	request.from = (struct frame_end){ frame_address(HOST_GATEWAY), 20000 };
	host_spec_becomes(HOST_CONTAINER, &other, &request, HOST_COUNT_APP);
	reply = answering(&request, host_mac_bridge);
	for (reply.ttl = 0; reply.ttl < 2; reply.ttl++)
		host_spec_drops(HOST_CONTAINER, &reply, XD_DROP_TTL);
	to = answered(&reply, &other, &host_app);
	host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
}

static void passes_when_the_server_or_the_client_is_gone(void **state)
{
	struct frame_spec spec = dialling(&host_app, 20000, &sides[0]);
	struct frame_spec sibling = dialling(&host_db, 20000, &sides[0]);
	struct frame_spec request = served(&spec, &sides[0], HOST_GATEWAY, 20000);
	struct frame_spec reply = answering(&request, host_mac_bridge);

	(void)state;
	host_reset();
	host_forget_device(host_web.ifindex);
	host_spec_passes(HOST_CONTAINER, &spec);
	host_spec_passes(HOST_CONTAINER, &sibling);
	host_expect_flows(0, 0);
	assert_false(host_has_exception(&sibling, 80));
	host_reset();
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
	host_forget_device(host_app.ifindex);
	host_spec_passes(HOST_CONTAINER, &reply);
}

static void drops_the_middle_of_a_flow_that_nobody_knows(void **state)
{
	struct frame_spec spec = dialling(&host_app, 20000, &sides[0]);

	(void)state;
	host_reset();
	spec.tcp_flags = FRAME_ACK;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	host_expect_flows(0, 0);
	/* The kernel, or a proxy, carries it since before the programs were there. */
	host_command("conntrack -I -p tcp -s " HOST_APP " -d " HOST_DEFAULT
		     " --sport 20000 --dport 8080 --state ESTABLISHED -t 600 >/dev/null 2>&1");
	host_spec_passes(HOST_CONTAINER, &spec);
	host_command("conntrack -F >/dev/null 2>&1");
}

static void restores_either_half(void **state)
{
	struct frame_spec spec = dialling(&host_app, 20000, &sides[0]);
	struct frame_spec request = served(&spec, &sides[0], HOST_GATEWAY, 20000);
	struct frame_spec reply = answering(&request, host_mac_bridge);
	struct frame_spec to = answered(&reply, &spec, &host_app);

	(void)state;
	host_reset();
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
	spec.tcp_flags = request.tcp_flags = FRAME_ACK;
	host_delete_flow(&spec, HOST_OUT);
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
	host_expect_flows(1, 1);
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	host_delete_flow(&spec, HOST_IN);
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
	host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
	host_expect_flows(1, 1);
	/* By the answer it is the same kind of row. */
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	host_delete_flow(&spec, HOST_OUT);
	host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
	host_expect_flow(&spec, &(struct host_flow_want){
				       .container = &host_app,
				       .address = HOST_GATEWAY,
				       .port_host = 20000,
				       .flags = XD_SNAT_HAIRPIN | XD_SNAT_REPLIED,
				       .ifindex = host_web.ifindex,
				       .remote = HOST_WEB,
				       .remote_port_host = 80,
			       });
	host_expect_flows(1, 1);
}

/* The kernel says why not: an internal network's containers reach its gateway and no port of it. */
static void gives_an_internal_network_none(void **state)
{
	struct frame_spec spec = dialling(&host_app, 20000, &sides[4]);

	(void)state;
	host_reset();
	host_set_network(host.other_bridge, XD_NETWORK_INTERNAL);
	host_spec_passes(HOST_CONTAINER, &spec);
	spec = dialling(&host_app, 20000, &sides[0]);
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
	host_expect_flows(0, 0);
}

static void passes_a_port_of_a_routed_network(void **state)
{
	struct frame_spec spec = dialling(&host_db, 20000, &sides[0]);

	(void)state;
	host_reset();
	host_publish("0.0.0.0", 8080, IPPROTO_TCP, 80, XD_PORT_CANONICAL | XD_PORT_ROUTED,
		     HOST_COUNT_8080);
	host_spec_passes(HOST_CONTAINER, &spec);
	spec = dialling(&host_app, 20000, &sides[0]);
	host_spec_passes(HOST_CONTAINER, &spec);
}

static void translates_without_masquerade_all_the_same(void **state)
{
	struct frame_spec spec = dialling(&host_app, 20000, &sides[0]);
	struct frame_spec request = served(&spec, &sides[0], HOST_GATEWAY, 20000);
	struct frame_spec reply = answering(&request, host_mac_bridge);
	struct frame_spec to = answered(&reply, &spec, &host_app);

	(void)state;
	host_reset();
	host_set_network(host.bridge, 0);
	host_set_network(host.other_bridge, 0);
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
	host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
}

/* Ports of which the checksum cannot be updated stay what they are, published or not. */
static void keeps_sctp_ports(void **state)
{
	static const struct side side = { IPPROTO_SCTP, HOST_DEFAULT, 3868, 3868 };
	struct frame_spec spec = dialling(&host_app, 40000, &side);
	struct frame_spec request = served(&spec, &side, HOST_GATEWAY, 40000);
	struct frame_spec reply = answering(&request, host_mac_bridge);
	struct frame_spec to = answered(&reply, &spec, &host_app);

	(void)state;
	host_reset();
	host_publish("0.0.0.0", 3868, IPPROTO_SCTP, 3868, XD_PORT_CANONICAL, HOST_COUNT_7000);
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_APP);
	host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
	spec = dialling(&host_db, 40000, &side);
	request = served(&spec, &side, HOST_DB, 40000);
	reply = answering(&request, host_mac_db);
	to = answered(&reply, &spec, &host_db);
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_DB);
	host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
}

/* To the router's MAC address alone: a frame for somebody else is the bridge's. */
static void passes_what_is_not_for_the_gateways_mac(void **state)
{
	struct frame_spec spec = dialling(&host_db, 20000, &sides[0]);

	(void)state;
	host_reset();
	spec.mac_to = host_mac_web;
	host_spec_passes(HOST_CONTAINER, &spec);
	host_expect_flows(0, 0);
	assert_false(host_has_exception(&spec, 80));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_a_sibling_by_its_own_address),
		cmocka_unit_test(serves_another_network_from_the_gateway),
		cmocka_unit_test(serves_a_container_that_dials_itself_from_the_gateway),
		cmocka_unit_test(serves_all_of_them_at_once),
		cmocka_unit_test(gives_clients_at_the_gateway_a_port_of_the_pool),
		cmocka_unit_test(refuses_a_sibling_that_dials_two_sides_from_one_port),
		cmocka_unit_test(serves_another_network_that_dials_two_sides_from_one_port),
		cmocka_unit_test(passes_what_is_not_published),
		cmocka_unit_test(passes_what_the_server_says_to_the_host),
		cmocka_unit_test(forwards_what_the_server_says_to_a_sibling_that_dialled_it),
		cmocka_unit_test(minds_the_ttl_in_both_directions),
		cmocka_unit_test(passes_when_the_server_or_the_client_is_gone),
		cmocka_unit_test(drops_the_middle_of_a_flow_that_nobody_knows),
		cmocka_unit_test(restores_either_half),
		cmocka_unit_test(gives_an_internal_network_none),
		cmocka_unit_test(passes_a_port_of_a_routed_network),
		cmocka_unit_test(translates_without_masquerade_all_the_same),
		cmocka_unit_test(keeps_sctp_ports),
		cmocka_unit_test(passes_what_is_not_for_the_gateways_mac),
	};

	return cmocka_run_group_tests_name("hairpin", tests, host_setup, host_teardown);
}
