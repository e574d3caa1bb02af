// SPDX-License-Identifier: GPL-2.0-only
/* Who may talk to whom: siblings, other networks, the outside, by what their networks are. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/prog/host.h"

#define NAT XD_NETWORK_MASQUERADE
#define ROUTED XD_NETWORK_ROUTED
#define UNPROTECTED (XD_NETWORK_UNPROTECTED | XD_NETWORK_MASQUERADE)
#define ICC_OFF (XD_NETWORK_ICC_OFF | XD_NETWORK_MASQUERADE)
#define SOURCE_CHECK (XD_NETWORK_SOURCE_CHECK | XD_NETWORK_MASQUERADE)

/* From web to db, by db's own MAC address. */
static struct frame_spec to_db(__u8 protocol)
{
	struct frame_spec spec = host_opening(&host_web, protocol, 20000);

	spec.mac_to = host_mac_db;
	spec.to.address = frame_address(HOST_DB);
	return spec;
}

/* From app to web, by its gateway. */
static struct frame_spec to_web(__u8 protocol, __u16 port_host)
{
	struct frame_spec spec = host_opening(&host_app, protocol, 20000);

	spec.to = (struct frame_end){ frame_address(HOST_WEB), port_host };
	return spec;
}

static const __u8 protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP,
				  IPPROTO_GRE };

static void keeps_siblings_apart_where_icc_is_off(void **state)
{
	(void)state;
	host_reset();
	host_set_network(host.bridge, ICC_OFF);
	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame_spec spec = to_db(protocols[i]);

		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
		spec.tcp_flags = FRAME_SYN | FRAME_ACK;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
		spec.options = 8;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
		spec.options = 0;
		spec.fragment = FRAME_MF | 100;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
	}
}

/* Neither by the gateway, nor by a MAC address that is not the sibling's, nor by everybody's. */
static void keeps_siblings_apart_by_whichever_mac(void **state)
{
	static const __u8 group[6] = { 0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb };
	const __u8 *const macs[] = { host_mac_bridge, host_mac_stranger, host_mac_broadcast,
				     group };
	static const char *const groups[] = { "224.0.0.251", "255.255.255.255" };

	(void)state;
	host_reset();
	host_set_network(host.bridge, ICC_OFF);
	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		struct frame_spec spec = to_db(IPPROTO_UDP);

		spec.mac_to = macs[i];
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
		/* One that is not there, and all of them. */
		spec.to.address = frame_address("172.17.0.99");
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
		spec.to.address = frame_address("172.17.255.255");
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
	}
	for (size_t i = 0; i < 2; i++) {
		struct frame_spec spec = to_db(IPPROTO_UDP);

		spec.to.address = frame_address(groups[i]);
		spec.mac_to = i ? host_mac_broadcast : group;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
	}
	/* A sibling is no router for the others. */
	for (size_t i = 0; i < 2; i++) {
		struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 20000);

		spec.mac_to = i ? host_mac_db : host_mac_stranger;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
	}
}

static void keeps_siblings_apart_by_whichever_source(void **state)
{
	static const char *const sources[] = { HOST_DB, "10.0.0.1", "0.0.0.0" };

	(void)state;
	host_reset();
	host_set_network(host.bridge, ICC_OFF);
	for (size_t i = 0; i < 3; i++) {
		struct frame_spec spec = to_db(IPPROTO_UDP);

		spec.from.address = frame_address(sources[i]);
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
		spec.to.address = frame_address("255.255.255.255");
		spec.mac_to = host_mac_broadcast;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
	}
}

/* What is no IPv4, for the sibling alone; groups are needed to find the gateway. */
static void keeps_siblings_apart_in_other_protocols(void **state)
{
	static const __u8 group[6] = { 0x33, 0x33, 0x00, 0x00, 0x00, 0x01 };
	struct frame_spec spec = to_db(IPPROTO_UDP);
	struct frame frame;

	(void)state;
	host_reset();
	host_set_network(host.bridge, ICC_OFF);
	frame_build_other(&spec, ETH_P_IPV6, &frame);
	host_frame_drops(HOST_CONTAINER, &frame, XD_DROP_ICC);
	frame_build_other(&spec, 0x88b5, &frame);
	host_frame_drops(HOST_CONTAINER, &frame, XD_DROP_ICC);
	frame_build(&spec, &frame);
	frame_add_vlan(&frame, 7);
	host_frame_drops(HOST_CONTAINER, &frame, XD_DROP_ICC);
	/* Half an IPv4 header is none. */
	frame_build(&spec, &frame);
	frame.bytes[FRAME_IP] = 0x44;
	host_frame_drops(HOST_CONTAINER, &frame, XD_DROP_ICC);
	frame_build_other(&spec, ETH_P_ARP, &frame);
	host_frame_passes(HOST_CONTAINER, &frame);
	spec.mac_to = group;
	frame_build_other(&spec, ETH_P_IPV6, &frame);
	host_frame_passes(HOST_CONTAINER, &frame);
	spec.mac_to = host_mac_bridge;
	frame_build_other(&spec, ETH_P_IPV6, &frame);
	host_frame_passes(HOST_CONTAINER, &frame);
}

static void lets_all_else_through_where_icc_is_off(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 8080);

	(void)state;
	host_reset();
	host_set_network(host.bridge, ICC_OFF);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_8080);
	spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	to = host_sent(&spec, HOST_DEFAULT, 20000);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
	spec.to.address = frame_address(HOST_GATEWAY);
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.to.address = frame_address(HOST_DEFAULT);
	host_spec_passes(HOST_CONTAINER, &spec);
	/* With options, they are the kernel's, but no sibling's. */
	spec.options = 4;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.to.address = frame_address(HOST_GATEWAY);
	host_spec_passes(HOST_CONTAINER, &spec);
}

static void lets_siblings_meet_by_a_published_port_where_icc_is_off(void **state)
{
	struct frame_spec spec = host_opening(&host_db, IPPROTO_TCP, 20000);
	struct frame_spec request, reply, to;

	(void)state;
	host_reset();
	host_set_network(host.bridge, ICC_OFF);
	spec.to = (struct frame_end){ frame_address(HOST_DEFAULT), 8080 };
	request = host_delivered(&spec, &host_web, 80);
	reply = host_outbound(&host_web, IPPROTO_TCP, 80);
	reply.mac_to = host_mac_db;
	reply.to = spec.from;
	host_spec_drops(HOST_CONTAINER, &reply, XD_DROP_ICC);
	host_spec_becomes(HOST_CONTAINER, &spec, &request, HOST_COUNT_DB);
	to = host_delivered(&reply, &host_db, 20000);
	to.from = spec.to;
	host_spec_becomes(HOST_CONTAINER, &reply, &to, HOST_COUNT_WEB);
	/* That flow alone. */
	reply.to.port_host++;
	host_spec_drops(HOST_CONTAINER, &reply, XD_DROP_ICC);
	spec.mac_to = host_mac_web;
	spec.to = (struct frame_end){ frame_address(HOST_WEB), 80 };
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ICC);
}

static void lets_internal_containers_reach_siblings_and_the_gateway_alone(void **state)
{
	static const char *const others[] = { HOST_CLIENT, HOST_DEFAULT, HOST_SECOND,
					      HOST_OTHER_GATEWAY, HOST_APP, "172.18.0.99" };
	struct frame_spec spec;

	(void)state;
	host_reset();
	host_set_network(host.bridge, XD_NETWORK_INTERNAL);
	for (size_t i = 0; i < sizeof(protocols); i++) {
		spec = to_db(protocols[i]);
		host_spec_becomes(HOST_CONTAINER, &spec, &spec, HOST_COUNT_WEB);
		spec = host_opening(&host_web, protocols[i], 20000);
		spec.to.address = frame_address(HOST_GATEWAY);
		host_spec_passes(HOST_CONTAINER, &spec);
		for (size_t n = 0; n < sizeof(others) / sizeof(others[0]); n++) {
			spec = host_opening(&host_web, protocols[i], 80);
			spec.to.address = frame_address(others[n]);
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
			spec.tcp_flags = FRAME_ACK;
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
			spec.options = 4;
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
			spec.options = 0;
			spec.fragment = FRAME_MF | 100;
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
			/* Whoever it says it is. */
			spec.fragment = 0;
			spec.from.address = frame_address("10.0.0.1");
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
		}
	}
	host_expect_flows(0, 0);
}

/* Whoever the frame is for: a sibling may be a router. */
static void lets_internal_containers_out_by_no_mac(void **state)
{
	const __u8 *const macs[] = { host_mac_bridge, host_mac_db, host_mac_stranger };
	static const char *const sources[] = { HOST_WEB, "10.0.0.1" };
	static const __u8 group[6] = { 0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb };
	struct frame_spec spec;

	(void)state;
	host_reset();
	host_set_network(host.bridge, XD_NETWORK_INTERNAL);
	for (size_t n = 0; n < 2; n++) {
		for (size_t i = 0; i < 3; i++) {
			spec = host_opening(&host_web, IPPROTO_UDP, 20000);
			spec.mac_to = macs[i];
			spec.from.address = frame_address(sources[n]);
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
		}
		/* Groups are the bridge's own. */
		spec.mac_to = group;
		spec.to.address = frame_address("224.0.0.251");
		host_spec_passes(HOST_CONTAINER, &spec);
	}
}

static void lets_nobody_into_an_internal_network(void **state)
{
	host_reset();
	host_set_network(host.bridge, XD_NETWORK_INTERNAL);
	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame_spec spec = host_inbound(protocols[i], HOST_WEB, 80);

		host_spec_drops(host_hook(state), &spec, XD_DROP_DIRECT_ROUTED);
		spec = to_web(protocols[i], 80);
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
	}
	host_expect_flows(0, 0);
}

/* From an uplink: the kernel forwards what is let in. */
static void lets_the_outside_in_as_the_gateway_mode_says(void **state)
{
	static const struct {
		__u8 protocol;
		__u16 port_host;
		bool is_published; /* or a ping */
	} targets[] = {
		{ IPPROTO_TCP, 80, true },
		{ IPPROTO_TCP, 81, false },
		{ IPPROTO_UDP, 53, true },
		{ IPPROTO_UDP, 80, false },
		{ IPPROTO_ICMP, 0, true },
		{ IPPROTO_SCTP, 80, false },
		{ IPPROTO_GRE, 0, false },
	};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		struct frame_spec spec =
			host_inbound(targets[i].protocol, HOST_WEB, targets[i].port_host);

		spec.is_echo_reply = false;
		host_reset();
		host_set_network(host.bridge, NAT);
		host_spec_drops(host_hook(state), &spec, XD_DROP_DIRECT_ROUTED);
		host_set_network(host.bridge, ROUTED);
		if (targets[i].is_published)
			host_spec_passes(host_hook(state), &spec);
		else
			host_spec_drops(host_hook(state), &spec, XD_DROP_DIRECT_ROUTED);
		assert_int_equal(host_count_rows(host.skeleton->maps.xd_exception), 0);
		host_set_network(host.bridge, UNPROTECTED);
		host_spec_passes(host_hook(state), &spec);
		host_expect_flows(0, 0);
	}
}

static void lets_no_echo_reply_in_that_nobody_asked_for(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_ICMP, HOST_WEB, 7);

	host_reset();
	host_set_network(host.bridge, ROUTED);
	host_spec_drops(host_hook(state), &spec, XD_DROP_DIRECT_ROUTED);
}

/* As where nothing is published: its ports are open as they are. */
static void leaves_replies_of_a_routed_network_alone(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80), to;

	(void)state;
	host_reset();
	host_set_network(host.bridge, ROUTED);
	host_spec_passes(HOST_CONTAINER, &spec);
	spec = host_outbound(&host_web, IPPROTO_UDP, 53);
	to = host_sent(&spec, HOST_WEB, 53);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
}

/* The host's side of a port of a routed network is closed. */
static void passes_a_published_port_of_a_routed_network(void **state)
{
	struct frame_spec spec = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8080);

	host_reset();
	host_publish("0.0.0.0", 8080, IPPROTO_TCP, 80, XD_PORT_CANONICAL | XD_PORT_ROUTED,
		     HOST_COUNT_8080);
	host_set_network(host.bridge, ROUTED);
	host_spec_passes(host_hook(state), &spec);
}

/* The client of an unprotected container's own address is answered by that, published or not, and
 * whether or not flows of the container are masqueraded. */
static void leaves_replies_of_direct_flows_alone(void **state)
{
	static const struct {
		__u8 protocol;
		__u16 port_host;
		__u16 published_port_host;
	} targets[] = {
		{ IPPROTO_TCP, 80, 8080 },
		{ IPPROTO_UDP, 53, 5300 },
		{ IPPROTO_TCP, 81, 0 },
		{ IPPROTO_UDP, 54, 0 },
		{ IPPROTO_ICMP, 0, 0 },
		{ IPPROTO_SCTP, 80, 0 },
	};
	static const __u16 flags[] = { UNPROTECTED, XD_NETWORK_UNPROTECTED };

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		for (size_t n = 0; n < 2; n++) {
			struct frame_spec spec = host_inbound(targets[i].protocol, HOST_WEB,
							      targets[i].port_host);
			struct frame_spec reply = host_outbound(&host_web, targets[i].protocol,
								targets[i].port_host), to;

			host_reset();
			host_set_network(host.bridge, flags[n]);
			spec.is_echo_reply = false;
			reply.is_echo_reply = targets[i].protocol == IPPROTO_ICMP;
			host_spec_passes(host_hook(state), &spec);
			host_spec_passes(HOST_CONTAINER, &reply);
			host_expect_flows(0, 0);
			/* Others come by the host's address, as ever. */
			if (!targets[i].published_port_host)
				continue;
			spec = host_inbound(targets[i].protocol, HOST_DEFAULT,
					    targets[i].published_port_host);
			spec.from.port_host = reply.to.port_host = 40001;
			to = host_delivered(&spec, &host_web, targets[i].port_host);
			host_spec_becomes(host_hook(state), &spec, &to,
					  targets[i].protocol == IPPROTO_TCP ? HOST_COUNT_8080 :
									       HOST_COUNT_5300);
			to = host_sent(&reply, HOST_DEFAULT, targets[i].published_port_host);
			host_spec_becomes(HOST_CONTAINER, &reply, &to,
					  targets[i].protocol == IPPROTO_TCP ? HOST_COUNT_8080 :
									       HOST_COUNT_5300);
		}
	}
}

/* One client's source port for the container itself and for a published port of it. */
static void refuses_a_direct_flow_in_the_row_of_another(void **state)
{
	struct frame_spec published = host_inbound(IPPROTO_TCP, HOST_DEFAULT, 8081);
	struct frame_spec direct = host_inbound(IPPROTO_TCP, HOST_WEB, 80);
	struct frame_spec to = host_delivered(&published, &host_web, 80);

	host_reset();
	host_set_network(host.bridge, UNPROTECTED);
	host_spec_becomes(host_hook(state), &published, &to, HOST_COUNT_8081);
	host_spec_drops(host_hook(state), &direct, XD_DROP_EXCEPTION_FULL);
	host_age_exception(&published, 80, XD_EXCEPTION_IDLE_NS);
	host_spec_passes(host_hook(state), &direct);
	host_spec_drops(host_hook(state), &published, XD_DROP_PORT_CONFLICT);
}

/* A flow that the container opened has its rows, whoever comes to it by its address. */
static void keeps_flows_of_unprotected_containers(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 20000);
	struct frame_spec reply = host_inbound(IPPROTO_UDP, HOST_DEFAULT, 20000);

	host_reset();
	host_set_network(host.bridge, UNPROTECTED);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
	to = host_delivered(&reply, &host_web, 20000);
	host_spec_becomes(host_hook(state), &reply, &to, HOST_COUNT_WEB);
}

/* From another network of this host: by the gateway, as by a published port. */
static void lets_another_network_in_as_the_gateway_mode_says(void **state)
{
	static const struct {
		__u8 protocol;
		__u16 port_host;
		bool is_published; /* or a ping */
	} targets[] = {
		{ IPPROTO_TCP, 80, true },  { IPPROTO_TCP, 81, false },
		{ IPPROTO_UDP, 53, true },  { IPPROTO_UDP, 80, false },
		{ IPPROTO_ICMP, 0, true },  { IPPROTO_SCTP, 80, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		__u8 protocol = targets[i].protocol;
		struct frame_spec spec = to_web(protocol, targets[i].port_host);
		struct frame_spec to = host_delivered(&spec, &host_web, targets[i].port_host);
		struct frame_spec reply =
			host_outbound(&host_web, protocol, targets[i].port_host);
		static const __u16 modes[] = { ROUTED, UNPROTECTED };

		to.from.address = frame_address(HOST_GATEWAY);
		reply.to = to.from;
		reply.is_echo_reply = protocol == IPPROTO_ICMP;
		host_reset();
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
		for (size_t n = 0; n < 2; n++) {
			struct frame_spec back = host_delivered(&reply, &host_app, 20000);

			host_reset();
			host_set_network(host.bridge, modes[n]);
			if (modes[n] == ROUTED && !targets[i].is_published) {
				host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
				host_expect_flows(0, 0);
				continue;
			}
			host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_APP);
			host_expect_flow(&spec, &(struct host_flow_want){
						       .container = &host_app,
						       .address = HOST_GATEWAY,
						       .port_host = 20000,
						       .flags = XD_SNAT_HAIRPIN,
						       .ifindex = host_web.ifindex,
					       });
			back.from = spec.to;
			host_spec_becomes(HOST_CONTAINER, &reply, &back, HOST_COUNT_WEB);
			/* Not the other way round. */
			spec = host_opening(&host_web, protocol, 20000);
			spec.to.address = frame_address(HOST_APP);
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
			spec = to_web(protocol, targets[i].port_host);
		}
	}
}

static void lets_the_kernel_refuse_a_container_that_is_not_there(void **state)
{
	struct frame_spec spec = to_web(IPPROTO_TCP, 80);

	(void)state;
	host_reset();
	host_set_network(host.bridge, UNPROTECTED);
	spec.to.address = frame_address("172.17.0.99");
	host_spec_passes(HOST_CONTAINER, &spec);
	spec = to_web(IPPROTO_TCP, 80);
	spec.ttl = 1;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.ttl = 2;
	host_forget_device(host_web.ifindex);
	host_spec_passes(HOST_CONTAINER, &spec);
	host_expect_flows(0, 0);
}

static void isolates_what_has_no_ports(void **state)
{
	static const __u16 modes[] = { NAT, ROUTED };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct frame_spec spec = to_web(IPPROTO_GRE, 0);

		host_reset();
		host_set_network(host.bridge, modes[i]);
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
		spec = to_web(IPPROTO_TCP, 80);
		spec.options = 4;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
		spec = to_web(IPPROTO_UDP, 53);
		spec.fragment = FRAME_MF | 100;
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
		/* Of whom the container only says that it is. */
		spec = to_web(IPPROTO_TCP, 80);
		spec.from.address = frame_address("10.0.0.1");
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_ISOLATED);
	}
}

static void drops_foreign_sources_where_they_are_checked(void **state)
{
	static const char *const sources[] = { HOST_DB, "10.0.0.1", HOST_DEFAULT, "0.0.0.0" };

	(void)state;
	host_reset();
	host_set_network(host.bridge, SOURCE_CHECK);
	for (size_t i = 0; i < 4; i++) {
		for (size_t n = 0; n < sizeof(protocols); n++) {
			struct frame_spec spec = host_opening(&host_web, protocols[n], 20000);

			spec.from.address = frame_address(sources[i]);
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_SPOOFED);
			spec = to_db(protocols[n]);
			spec.from.address = frame_address(sources[i]);
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_SPOOFED);
		}
	}
	host_expect_flows(0, 0);
}

/* The answer would be another's. */
static void lets_nobody_out_by_the_address_of_another_container(void **state)
{
	static const char *const sources[] = { HOST_DB, "172.17.0.99", HOST_APP,
					       HOST_OTHER_GATEWAY };
	static const char *const destinations[] = { HOST_CLIENT, HOST_DEFAULT,
						    HOST_OTHER_GATEWAY };

	(void)state;
	host_reset();
	for (size_t i = 0; i < 4; i++) {
		for (size_t n = 0; n < 3; n++) {
			struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);

			spec.from.address = frame_address(sources[i]);
			spec.to.address = frame_address(destinations[n]);
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_SPOOFED);
			spec.options = 4;
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_SPOOFED);
		}
	}
	host_expect_flows(0, 0);
}

/* The MAC address alone is wrong. */
static void drops_foreign_macs_where_they_are_checked(void **state)
{
	struct host_context context = { .ifindex = host_web.ifindex };
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000), to;
	struct frame frame, out;

	(void)state;
	host_reset();
	/* Elsewhere, who changed it is still the same. */
	spec.mac_from = host_mac_stranger;
	to = host_sent(&spec, HOST_DEFAULT, 20000);
	frame_build(&spec, &frame);
	frame_build(&to, &out);
	host_expect_redirect(HOST_CONTAINER, &frame, &context,
			     &(struct host_redirect){
				     .frame = &out,
				     .counter = HOST_COUNT_WEB,
				     .direction = XD_COUNT_OUT,
			     });
	host_set_network(host.bridge, SOURCE_CHECK);
	host_expect_drop(HOST_CONTAINER, &frame, &context, XD_DROP_SPOOFED);
	spec.mac_from = host_mac_db;
	frame_build(&spec, &frame);
	host_expect_drop(HOST_CONTAINER, &frame, &context, XD_DROP_SPOOFED);
}

static void changes_nothing_for_honest_sources_by_checking_them(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 80);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 8080);
	struct frame frame;

	(void)state;
	host_reset();
	host_set_network(host.bridge, SOURCE_CHECK);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_8080);
	spec = to_db(IPPROTO_TCP);
	host_spec_becomes(HOST_CONTAINER, &spec, &spec, HOST_COUNT_WEB);
	spec.options = 4;
	host_spec_becomes(HOST_CONTAINER, &spec, &spec, HOST_COUNT_WEB);
	spec = host_opening(&host_web, IPPROTO_GRE, 0);
	host_spec_passes(HOST_CONTAINER, &spec);
	/* Addresses of other protocols are not known. */
	frame_build_other(&spec, ETH_P_ARP, &frame);
	host_frame_passes(HOST_CONTAINER, &frame);
	frame_build_other(&spec, ETH_P_IPV6, &frame);
	host_frame_passes(HOST_CONTAINER, &frame);
}

/* Whether they are checked or not: nobody but the host has these. */
static void drops_the_gateways_and_loopback_sources_always(void **state)
{
	static const char *const sources[] = { HOST_GATEWAY, "127.0.0.1", "127.255.255.254" };
	static const __u16 networks[] = { NAT, SOURCE_CHECK, ICC_OFF, XD_NETWORK_INTERNAL, ROUTED,
					  UNPROTECTED };

	(void)state;
	host_reset();
	for (size_t i = 0; i < 3; i++) {
		for (size_t n = 0; n < sizeof(networks) / sizeof(networks[0]); n++) {
			struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);

			host_set_network(host.bridge, networks[n]);
			spec.from.address = frame_address(sources[i]);
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_SPOOFED);
			spec.options = 4;
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_SPOOFED);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_siblings_apart_where_icc_is_off),
		cmocka_unit_test(keeps_siblings_apart_by_whichever_mac),
		cmocka_unit_test(keeps_siblings_apart_by_whichever_source),
		cmocka_unit_test(keeps_siblings_apart_in_other_protocols),
		cmocka_unit_test(lets_all_else_through_where_icc_is_off),
		cmocka_unit_test(lets_siblings_meet_by_a_published_port_where_icc_is_off),
		cmocka_unit_test(lets_internal_containers_reach_siblings_and_the_gateway_alone),
		cmocka_unit_test(lets_internal_containers_out_by_no_mac),
		HOST_BOTH_HOOKS(lets_nobody_into_an_internal_network),
		HOST_BOTH_HOOKS(lets_the_outside_in_as_the_gateway_mode_says),
		HOST_BOTH_HOOKS(lets_no_echo_reply_in_that_nobody_asked_for),
		cmocka_unit_test(leaves_replies_of_a_routed_network_alone),
		HOST_BOTH_HOOKS(passes_a_published_port_of_a_routed_network),
		HOST_BOTH_HOOKS(leaves_replies_of_direct_flows_alone),
		HOST_BOTH_HOOKS(refuses_a_direct_flow_in_the_row_of_another),
		HOST_BOTH_HOOKS(keeps_flows_of_unprotected_containers),
		cmocka_unit_test(lets_another_network_in_as_the_gateway_mode_says),
		cmocka_unit_test(lets_the_kernel_refuse_a_container_that_is_not_there),
		cmocka_unit_test(isolates_what_has_no_ports),
		cmocka_unit_test(drops_foreign_sources_where_they_are_checked),
		cmocka_unit_test(lets_nobody_out_by_the_address_of_another_container),
		cmocka_unit_test(drops_foreign_macs_where_they_are_checked),
		cmocka_unit_test(changes_nothing_for_honest_sources_by_checking_them),
		cmocka_unit_test(drops_the_gateways_and_loopback_sources_always),
	};

	return cmocka_run_group_tests_name("isolate", tests, host_setup, host_teardown);
}
