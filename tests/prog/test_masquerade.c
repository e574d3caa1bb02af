// SPDX-License-Identifier: GPL-2.0-only
/* Flows that containers open to the outside: their rows, their ports, and the way back. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "include/reserved.h"
#include "tests/prog/host.h"

#define SECOND_NS XD_SNAT_SECOND_NS
#define HOST_ALSO "203.0.113.77" /* an address that comes and goes */
#define CLOSED (XD_SNAT_FIN_OUT | XD_SNAT_FIN_IN)

/* What the client answers, where it knows the container as address:port. */
static struct frame_spec answering(const struct frame_spec *spec, const char *address,
				   __u16 port_host)
{
	struct frame_spec reply = host_inbound(spec->protocol, address, port_host);

	reply.from = spec->to;
	reply.tcp_flags = FRAME_ACK;
	return reply;
}

/* Out of the host's default address, from this port. */
static void expect_sent(const struct frame_spec *spec, __u16 port_host)
{
	struct frame_spec to = host_sent(spec, HOST_DEFAULT, port_host);
	bool is_web = spec->from.address == frame_address(HOST_WEB);

	host_spec_becomes(HOST_CONTAINER, spec, &to, is_web ? HOST_COUNT_WEB : HOST_COUNT_DB);
}

/* The same, from a port that the program chooses: returned. */
static __u16 expect_sent_anyhow(const struct frame_spec *spec)
{
	__u16 port_host = host_open_flow(spec);

	expect_sent(spec, port_host);
	return port_host;
}

static void expect_delivered(void **state, const struct frame_spec *reply,
			     const struct host_container *container, __u16 port_host)
{
	struct frame_spec to = host_delivered(reply, container, port_host);

	host_spec_becomes(host_hook(state), reply, &to, container->counter);
}

static void expect_flow(const struct frame_spec *spec, __u16 port_host, __u16 flags)
{
	bool is_web = spec->from.address == frame_address(HOST_WEB);

	host_expect_flow(spec, &(struct host_flow_want){
				       .container = is_web ? &host_web : &host_db,
				       .address = HOST_DEFAULT,
				       .port_host = port_host,
				       .flags = flags,
				       .ifindex = host.uplink,
			       });
}

static const __u8 protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP };

static void opens_a_flow_by_two_rows(void **state)
{
	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame_spec spec = host_opening(&host_web, protocols[i], 20000);

		expect_sent(&spec, 20000);
		expect_flow(&spec, 20000, 0);
		host_expect_flows(i + 1, i + 1);
	}
}

static void uses_the_same_rows_for_the_whole_flow(void **state)
{
	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame_spec spec = host_opening(&host_web, protocols[i], 20000);

		expect_sent(&spec, 20000);
		spec.tcp_flags = FRAME_ACK;
		spec.is_sctp_data = true;
		spec.payload = 1400;
		expect_sent(&spec, 20000);
		spec.payload = 0;
		spec.ttl = 2;
		expect_sent(&spec, 20000);
		expect_flow(&spec, 20000, 0);
		host_expect_flows(i + 1, i + 1);
	}
}

static void keeps_a_udp_packet_without_checksum_so(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);

	(void)state;
	host_reset();
	spec.has_no_checksum = true;
	expect_sent(&spec, 20000);
	spec.from.port_host = 40000;
	expect_sent_anyhow(&spec);
}

static bool is_in_pool(__u16 port_host)
{
	return port_host >= 1024 && (port_host < HOST_PORT_LOW || port_host > HOST_PORT_HIGH);
}

static void leaves_the_hosts_own_ports_to_the_host(void **state)
{
	static const __u16 kept[] = { 1024, 20000, HOST_PORT_LOW - 1, HOST_PORT_HIGH + 1, 65535 };
	static const __u16 others[] = { 1, 80, 1023, HOST_PORT_LOW, 40000, HOST_PORT_HIGH };
	static const __u8 with_ports[] = { IPPROTO_TCP, IPPROTO_UDP };

	(void)state;
	host_reset();
	for (size_t i = 0; i < 2; i++) {
		for (size_t n = 0; n < sizeof(kept) / sizeof(kept[0]); n++) {
			struct frame_spec spec = host_opening(&host_web, with_ports[i], kept[n]);

			expect_sent(&spec, kept[n]);
		}
		for (size_t n = 0; n < sizeof(others) / sizeof(others[0]); n++) {
			struct frame_spec spec = host_opening(&host_db, with_ports[i], others[n]);
			__u16 port_host = expect_sent_anyhow(&spec);

			assert_true(is_in_pool(port_host));
			expect_flow(&spec, port_host, 0);
		}
	}
}

/* Identifiers are not ports, and SCTP's checksum is nobody's to update. */
static void keeps_every_identifier_and_sctp_port(void **state)
{
	static const __u16 numbers[] = { 0, 1, 80, 8080, 40000, 65535 };

	(void)state;
	host_reset();
	for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
		struct frame_spec spec = host_opening(&host_web, IPPROTO_ICMP, numbers[n]);

		expect_sent(&spec, numbers[n]);
		expect_flow(&spec, numbers[n], 0);
		spec = host_opening(&host_web, IPPROTO_SCTP, numbers[n]);
		if (numbers[n] != 8080)
			expect_sent(&spec, numbers[n]);
		else
			host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_NO_PORT);
	}
}

static void avoids_ports_that_are_published_or_excluded(void **state)
{
	const struct bpf_map *map = host.skeleton ? host.skeleton->maps.xd_reserved : NULL;
	struct frame_spec spec = host_opening(&host_db, IPPROTO_TCP, 8761);
	struct xd_reserved reserved;
	__u32 key = 0;

	(void)state;
	host_reset();
	assert_int_not_equal(expect_sent_anyhow(&spec), 8761);
	/* Of whichever protocol and address. */
	spec = host_opening(&host_web, IPPROTO_UDP, 9000);
	assert_int_not_equal(expect_sent_anyhow(&spec), 9000);
	assert_true(host_get(map, &key, &reserved));
	reserved.excluded[21000 / 8] |= 1 << 21000 % 8;
	host_put(map, &key, &reserved);
	spec = host_opening(&host_web, IPPROTO_TCP, 21000);
	assert_int_not_equal(expect_sent_anyhow(&spec), 21000);
	/* What xdock itself added to the sysctl says nothing of its own. */
	reserved.added[21001 / 8] |= 1 << 21001 % 8;
	host_put(map, &key, &reserved);
	spec = host_opening(&host_web, IPPROTO_TCP, 21001);
	expect_sent(&spec, 21001);
}

static void gives_two_containers_with_one_port_two(void **state)
{
	host_reset();
	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame_spec first = host_opening(&host_web, protocols[i], 20000);
		struct frame_spec second = host_opening(&host_db, protocols[i], 20000), reply;
		__u16 port_host;

		expect_sent(&first, 20000);
		if (protocols[i] == IPPROTO_SCTP) {
			host_spec_drops(HOST_CONTAINER, &second, XD_DROP_NO_PORT);
			continue;
		}
		port_host = expect_sent_anyhow(&second);
		assert_int_not_equal(port_host, 20000);
		expect_flow(&first, 20000, 0);
		expect_flow(&second, port_host, 0);
		reply = answering(&first, HOST_DEFAULT, 20000);
		expect_delivered(state, &reply, &host_web, 20000);
		reply = answering(&second, HOST_DEFAULT, port_host);
		expect_delivered(state, &reply, &host_db, 20000);
		/* Another remote is another matter. */
		second.to.address = frame_address("192.0.2.8");
		expect_sent(&second, 20000);
	}
}

static void gives_one_socket_the_same_port_for_all_remotes(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);

	(void)state;
	host_reset();
	for (int n = 0; n < 20; n++) {
		spec.to.port_host = 1000 + n;
		expect_sent(&spec, 20000);
		host_expect_flows(n + 1, n + 1);
	}
}

/* A socket of the host; type may be with SOCK_NONBLOCK. remote NULL: not connected. */
static int open_socket(int type, const char *address, __u16 port_host, const char *remote)
{
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_port = htons(port_host),
		.sin_addr.s_addr = frame_address(address),
	};
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(40000) };
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	if (remote) {
		to.sin_addr.s_addr = frame_address(remote);
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
			assert_int_equal(errno, EINPROGRESS);
	} else if (type == SOCK_STREAM) {
		assert_int_equal(listen(fd, 1), 0);
	}
	return fd;
}

static void avoids_ports_that_a_socket_of_the_host_has(void **state)
{
	static const struct {
		__u8 protocol;
		const char *address;
		const char *remote;
	} sockets[] = {
		{ IPPROTO_TCP, "0.0.0.0", NULL },
		{ IPPROTO_TCP, HOST_DEFAULT, NULL },
		{ IPPROTO_TCP, HOST_DEFAULT, HOST_CLIENT },
		{ IPPROTO_UDP, "0.0.0.0", NULL },
		{ IPPROTO_UDP, HOST_DEFAULT, NULL },
		{ IPPROTO_UDP, HOST_DEFAULT, HOST_CLIENT },
	};

	(void)state;
	host_reset();
	for (__u16 i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		__u8 protocol = sockets[i].protocol;
		struct frame_spec spec = host_opening(&host_web, protocol, 20000 + i);
		int fd = open_socket(protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM,
				     sockets[i].address, 20000 + i, sockets[i].remote);

		assert_int_not_equal(expect_sent_anyhow(&spec), 20000 + i);
		close(fd);
		spec.from.address = frame_address(HOST_DB);
		spec.mac_from = host_mac_db;
		expect_sent(&spec, 20000 + i);
	}
}

static void minds_no_socket_that_gets_no_such_packet(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	int fds[3];

	(void)state;
	host_reset();
	/* Another address, another remote, another protocol. */
	fds[0] = open_socket(SOCK_DGRAM, HOST_SECOND, 20000, NULL);
	fds[1] = open_socket(SOCK_DGRAM, HOST_DEFAULT, 20001, "192.0.2.8");
	fds[2] = open_socket(SOCK_STREAM, HOST_DEFAULT, 20002, NULL);
	for (__u16 i = 0; i < 3; i++) {
		spec.from.port_host = 20000 + i;
		expect_sent(&spec, 20000 + i);
		close(fds[i]);
	}
}

static void drops_the_middle_of_a_flow_that_nobody_knows(void **state)
{
	static const __u8 flags[] = { FRAME_ACK, FRAME_ACK | FRAME_FIN, FRAME_RST,
				      FRAME_SYN | FRAME_ACK, FRAME_SYN | FRAME_FIN,
				      FRAME_SYN | FRAME_RST };
	struct frame_spec spec;

	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(flags); i++) {
		spec = host_opening(&host_web, IPPROTO_TCP, 20000);
		spec.tcp_flags = flags[i];
		host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	}
	spec = host_opening(&host_web, IPPROTO_ICMP, 20000);
	spec.is_echo_reply = true;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	spec = host_opening(&host_web, IPPROTO_SCTP, 20000);
	spec.is_sctp_data = true;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	/* No chunk at all. */
	spec.payload = 0;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	host_expect_flows(0, 0);
	/* ECN and other bits do not make a SYN something else. */
	spec = host_opening(&host_web, IPPROTO_TCP, 20000);
	spec.tcp_flags = FRAME_SYN | 0xc0;
	expect_sent(&spec, 20000);
}

/* INIT alone opens one. */
static void knows_an_sctp_flow_by_either_half(void **state)
{
	struct frame_spec init = host_opening(&host_web, IPPROTO_SCTP, 20000), data = init;

	(void)state;
	host_reset();
	data.is_sctp_data = true;
	expect_sent(&init, 20000);
	host_delete_flow(&init, HOST_OUT);
	expect_sent(&data, 20000);
	expect_flow(&init, 20000, 0);
	host_age_flow(&init, HOST_BOTH, 2 * SECOND_NS);
	host_delete_flow(&init, HOST_IN);
	expect_sent(&data, 20000);
	expect_flow(&init, 20000, 0);
	host_expect_flows(1, 1);
	host_delete_flow(&init, HOST_BOTH);
	host_spec_drops(HOST_CONTAINER, &data, XD_DROP_UNTRACKED);
}

/* 240/4 is reserved, but forwarded like the rest. */
static void sends_to_reserved_addresses_like_to_any(void **state)
{
	static const char *const addresses[] = { "240.0.0.1", "255.255.255.254" };

	(void)state;
	host_reset();
	for (size_t i = 0; i < 2; i++) {
		struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);

		spec.to.address = frame_address(addresses[i]);
		expect_sent(&spec, 20000);
	}
}

static void delivers_answers(void **state)
{
	host_reset();
	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame_spec spec = host_opening(&host_db, protocols[i], 20000);
		struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000);

		expect_sent(&spec, 20000);
		reply.tcp_flags = FRAME_SYN | FRAME_ACK;
		expect_delivered(state, &reply, &host_db, 20000);
		expect_flow(&spec, 20000, XD_SNAT_REPLIED);
		host_expect_flows(i + 1, i + 1);
		/* Through a port that was chosen. */
		if (protocols[i] == IPPROTO_SCTP)
			continue;
		spec.from.port_host = 40000;
		spec.to.address = frame_address("192.0.2.8");
		reply = answering(&spec, HOST_DEFAULT, expect_sent_anyhow(&spec));
		expect_delivered(state, &reply, &host_db, 40000);
		host_delete_flow(&spec, HOST_BOTH);
	}
}

static void passes_what_answers_no_flow(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000), reply;

	host_reset();
	expect_sent(&spec, 20000);
	reply = answering(&spec, HOST_DEFAULT, 20001);
	host_spec_passes(host_hook(state), &reply);
	reply = answering(&spec, HOST_SECOND, 20000);
	host_spec_passes(host_hook(state), &reply);
	reply = answering(&spec, HOST_DEFAULT, 20000);
	reply.from.port_host++;
	host_spec_passes(host_hook(state), &reply);
	reply = answering(&spec, HOST_DEFAULT, 20000);
	reply.from.address = frame_address("192.0.2.8");
	host_spec_passes(host_hook(state), &reply);
	reply = answering(&spec, HOST_DEFAULT, 20000);
	reply.protocol = IPPROTO_TCP;
	host_spec_passes(host_hook(state), &reply);
	/* An echo request is no reply, whatever its identifier. */
	spec = host_opening(&host_web, IPPROTO_ICMP, 20000);
	expect_sent(&spec, 20000);
	reply = answering(&spec, HOST_DEFAULT, 20000);
	reply.is_echo_reply = false;
	reply.from.port_host = 20000;
	host_spec_passes(host_hook(state), &reply);
}

static void takes_no_connection_from_outside_for_an_answer(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 20000);
	struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000);

	host_reset();
	expect_sent(&spec, 20000);
	reply.tcp_flags = FRAME_SYN;
	host_spec_passes(host_hook(state), &reply);
	expect_flow(&spec, 20000, 0);
	/* Both may open at once, though (RFC 9293, 3.5): the SYN with ACK is an answer. */
	reply.tcp_flags = FRAME_SYN | FRAME_ACK;
	expect_delivered(state, &reply, &host_web, 20000);
}

static void drops_an_answer_whose_ttl_ends(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000);

	host_reset();
	expect_sent(&spec, 20000);
	reply.ttl = 1;
	host_spec_drops(host_hook(state), &reply, XD_DROP_TTL);
	reply.ttl = 2;
	expect_delivered(state, &reply, &host_web, 20000);
}

static void passes_an_answer_to_a_container_that_is_gone(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000);

	host_reset();
	expect_sent(&spec, 20000);
	expect_delivered(state, &reply, &host_web, 20000);
	host_forget_device(host_web.ifindex);
	host_spec_passes(host_hook(state), &reply);
}

/* A veth refuses longer frames from XDP, the TC program behind delivers them. */
static void leaves_answers_that_exceed_the_containers_mtu_to_tc(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000);

	host_reset();
	expect_sent(&spec, 20000);
	reply.payload = HOST_CONTAINER_MTU - 28 + 1;
	if (host_hook(state) == HOST_UPLINK_XDP)
		host_spec_passes(host_hook(state), &reply);
	else
		expect_delivered(state, &reply, &host_web, 20000);
	reply.payload--;
	expect_delivered(state, &reply, &host_web, 20000);
}

static void renews_the_time_of_each_direction_once_a_second(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000);
	struct host_flow before, after;

	host_reset();
	expect_sent(&spec, 20000);
	expect_delivered(state, &reply, &host_web, 20000);
	/* A time to come is less than a second ago, however slow this test is. */
	host_age_flow(&spec, HOST_BOTH, -600 * SECOND_NS);
	assert_true(host_get_flow(&spec, &before));
	expect_sent(&spec, 20000);
	expect_delivered(state, &reply, &host_web, 20000);
	assert_true(host_get_flow(&spec, &after));
	assert_memory_equal(&after, &before, sizeof(after));

	host_age_flow(&spec, HOST_BOTH, 25 * SECOND_NS);
	assert_true(host_get_flow(&spec, &before));
	expect_sent(&spec, 20000);
	assert_true(host_get_flow(&spec, &after));
	assert_true(after.row.seen_ns >= before.row.seen_ns + 25 * SECOND_NS);
	assert_int_equal(after.rev.seen_ns, before.rev.seen_ns);
	expect_delivered(state, &reply, &host_web, 20000);
	expect_flow(&spec, 20000, XD_SNAT_REPLIED);
}

static void notes_who_closes_a_connection(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 20000);
	struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000);

	host_reset();
	expect_sent(&spec, 20000);
	spec.tcp_flags = FRAME_FIN | FRAME_ACK;
	expect_sent(&spec, 20000);
	expect_flow(&spec, 20000, XD_SNAT_FIN_OUT);
	expect_delivered(state, &reply, &host_web, 20000);
	expect_flow(&spec, 20000, XD_SNAT_FIN_OUT | XD_SNAT_REPLIED);
	reply.tcp_flags = FRAME_FIN | FRAME_ACK;
	expect_delivered(state, &reply, &host_web, 20000);
	expect_flow(&spec, 20000, CLOSED | XD_SNAT_REPLIED);
	/* The last acknowledgement, and a late one. */
	spec.tcp_flags = FRAME_ACK;
	expect_sent(&spec, 20000);
	expect_flow(&spec, 20000, CLOSED | XD_SNAT_REPLIED);
}

static void notes_that_the_remote_closes_first(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 20000);
	struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000);

	host_reset();
	expect_sent(&spec, 20000);
	reply.tcp_flags = FRAME_FIN | FRAME_ACK;
	expect_delivered(state, &reply, &host_web, 20000);
	expect_flow(&spec, 20000, XD_SNAT_FIN_IN | XD_SNAT_REPLIED);
	/* Half of it goes on. */
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	spec.tcp_flags = FRAME_ACK;
	expect_sent(&spec, 20000);
	expect_flow(&spec, 20000, XD_SNAT_FIN_IN | XD_SNAT_REPLIED);
	spec.tcp_flags = FRAME_FIN | FRAME_ACK;
	expect_sent(&spec, 20000);
	expect_flow(&spec, 20000, CLOSED | XD_SNAT_REPLIED);
}

static void forgives_a_reset_that_ended_nothing(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 20000);
	struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000);

	host_reset();
	expect_sent(&spec, 20000);
	reply.tcp_flags = FRAME_RST;
	expect_delivered(state, &reply, &host_web, 20000);
	expect_flow(&spec, 20000, XD_SNAT_RST | XD_SNAT_REPLIED);
	spec.tcp_flags = FRAME_ACK;
	expect_sent(&spec, 20000);
	expect_flow(&spec, 20000, XD_SNAT_REPLIED);
	spec.tcp_flags = FRAME_RST | FRAME_ACK;
	expect_sent(&spec, 20000);
	expect_flow(&spec, 20000, XD_SNAT_RST | XD_SNAT_REPLIED);
	reply.tcp_flags = FRAME_ACK;
	expect_delivered(state, &reply, &host_web, 20000);
	expect_flow(&spec, 20000, XD_SNAT_REPLIED);
}

static void opens_a_closed_flow_again_by_a_syn(void **state)
{
	static const __u16 ends[] = { XD_SNAT_RST, CLOSED };
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 20000);
	struct host_flow flow;

	(void)state;
	host_reset();
	for (size_t i = 0; i < 2; i++) {
		expect_sent(&spec, 20000);
		assert_true(host_get_flow(&spec, &flow));
		flow.row.flags = flow.rev.flags = ends[i] | XD_SNAT_REPLIED;
		host_put_flow(&flow);
		expect_sent(&spec, 20000);
		expect_flow(&spec, 20000, 0);
		host_expect_flows(1, 1);
	}
	/* One that is half closed is not over, and a repeated SYN is no second opening. */
	assert_true(host_get_flow(&spec, &flow));
	flow.row.flags = flow.rev.flags = XD_SNAT_FIN_OUT | XD_SNAT_REPLIED;
	host_put_flow(&flow);
	expect_sent(&spec, 20000);
	expect_flow(&spec, 20000, XD_SNAT_FIN_OUT | XD_SNAT_REPLIED);
}

/* A row of web's from 20000, by both halves idle for so long, and db that wants its port. */
static void expect_port_kept(__u8 protocol, __u16 flags, enum host_half idle, __u64 idle_ns,
			     bool is_kept)
{
	struct frame_spec first = host_opening(&host_web, protocol, 20000);
	struct frame_spec second = host_opening(&host_db, protocol, 20000);
	struct host_flow flow;

	host_reset();
	expect_sent(&first, 20000);
	assert_true(host_get_flow(&first, &flow));
	flow.row.flags = flow.rev.flags = flags;
	host_put_flow(&flow);
	host_age_flow(&first, idle, idle_ns);
	if (!is_kept) {
		expect_sent(&second, 20000);
		expect_flow(&second, 20000, 0);
		host_expect_flows(2, 1);
	} else if (protocol == IPPROTO_SCTP) {
		host_spec_drops(HOST_CONTAINER, &second, XD_DROP_NO_PORT);
	} else {
		assert_int_not_equal(expect_sent_anyhow(&second), 20000);
		host_expect_flows(2, 2);
	}
}

static void keeps_a_port_as_long_as_its_flow_may_live(void **state)
{
	static const struct {
		__u8 protocol;
		__u16 flags;
		__u64 seconds;
	} rows[] = {
		{ IPPROTO_TCP, 0, 120 },
		{ IPPROTO_TCP, XD_SNAT_FIN_OUT, 120 },
		{ IPPROTO_TCP, XD_SNAT_REPLIED, 432000 },
		{ IPPROTO_TCP, XD_SNAT_REPLIED | XD_SNAT_FIN_OUT, 432000 },
		{ IPPROTO_TCP, XD_SNAT_REPLIED | XD_SNAT_FIN_IN, 432000 },
		{ IPPROTO_TCP, XD_SNAT_REPLIED | CLOSED, 120 },
		{ IPPROTO_TCP, XD_SNAT_REPLIED | XD_SNAT_RST, 120 },
		{ IPPROTO_TCP, XD_SNAT_RST, 120 },
		{ IPPROTO_UDP, 0, 30 },
		{ IPPROTO_UDP, XD_SNAT_REPLIED, 120 },
		{ IPPROTO_ICMP, 0, 30 },
		{ IPPROTO_ICMP, XD_SNAT_REPLIED, 30 },
		{ IPPROTO_SCTP, 0, 120 },
		{ IPPROTO_SCTP, XD_SNAT_REPLIED, 432000 },
	};

	(void)state;
	host_reset();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		__u64 timeout_ns = rows[i].seconds * SECOND_NS;

		assert_int_equal(xd_snat_timeout_ns(rows[i].protocol, rows[i].flags), timeout_ns);
		/* However slow this test is, a tenth of the time is not all of it. */
		expect_port_kept(rows[i].protocol, rows[i].flags, HOST_BOTH, timeout_ns / 10, true);
		expect_port_kept(rows[i].protocol, rows[i].flags, HOST_BOTH, timeout_ns, false);
		/* One direction is enough to live. */
		expect_port_kept(rows[i].protocol, rows[i].flags, HOST_OUT, timeout_ns, true);
		expect_port_kept(rows[i].protocol, rows[i].flags, HOST_IN, timeout_ns, true);
	}
}

static void delivers_to_the_new_owner_of_a_port(void **state)
{
	struct frame_spec first = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec second = host_opening(&host_db, IPPROTO_UDP, 20000);
	struct frame_spec reply = answering(&second, HOST_DEFAULT, 20000);

	host_reset();
	expect_sent(&first, 20000);
	host_age_flow(&first, HOST_BOTH, 120 * SECOND_NS);
	expect_sent(&second, 20000);
	expect_delivered(state, &reply, &host_db, 20000);
	/* Who lost it gets another, and the new owner keeps it. */
	assert_int_not_equal(expect_sent_anyhow(&first), 20000);
	expect_flow(&second, 20000, XD_SNAT_REPLIED);
	expect_delivered(state, &reply, &host_db, 20000);
}

static void takes_the_port_of_a_container_that_is_gone(void **state)
{
	struct frame_spec first = host_opening(&host_web, IPPROTO_TCP, 20000);
	struct frame_spec second = host_opening(&host_db, IPPROTO_TCP, 20000);
	struct frame_spec reply = answering(&second, HOST_DEFAULT, 20000);

	host_reset();
	expect_sent(&first, 20000);
	host_forget_device(host_web.ifindex);
	expect_sent(&second, 20000);
	expect_flow(&second, 20000, 0);
	expect_delivered(state, &reply, &host_db, 20000);
}

/* A row that is over says nothing of what the host did since. */
static void leaves_a_port_that_a_socket_took_since_to_the_host(void **state)
{
	static const __u8 with_ports[] = { IPPROTO_TCP, IPPROTO_UDP };

	(void)state;
	host_reset();
	for (size_t i = 0; i < 2; i++) {
		struct frame_spec first = host_opening(&host_web, with_ports[i], 20000);
		struct frame_spec second = host_opening(&host_db, with_ports[i], 20000);
		int fd;

		expect_sent(&first, 20000);
		host_age_flow(&first, HOST_BOTH, 120 * SECOND_NS);
		fd = open_socket(with_ports[i] == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM,
				 HOST_DEFAULT, 20000, NULL);
		assert_int_not_equal(expect_sent_anyhow(&second), 20000);
		close(fd);
		second.from.port_host++;
		expect_sent(&second, 20001);
	}
}

/* Each half is deleted, as an LRU map may do it. The other one is enough to know the mapping. */
static void restores_a_lost_half_by_a_packet_of_the_container(void **state)
{
	static const __u16 ports[] = { 20000, 40000 };

	(void)state;
	host_reset();
	for (size_t i = 0; i < 2; i++) {
		struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, ports[i]);
		__u16 port_host = expect_sent_anyhow(&spec);

		host_delete_flow(&spec, HOST_OUT);
		expect_sent(&spec, port_host);
		expect_flow(&spec, port_host, 0);
		host_expect_flows(i + 1, 1);
		host_delete_flow(&spec, HOST_IN);
		expect_sent(&spec, port_host);
		host_expect_flows(i + 1, 0);
	}
	/* The reverse half is missed when it is due to be looked at. */
	for (size_t i = 0; i < 2; i++) {
		struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, ports[i]);
		struct host_flow flow;
		__u16 port_host;

		assert_false(host_get_flow(&spec, &flow));
		port_host = ntohs(flow.row.port);
		flow.row.seen_ns -= 25 * SECOND_NS;
		host_put(host.skeleton->maps.xd_snat, &flow.key, &flow.row);
		expect_sent(&spec, port_host);
		expect_flow(&spec, port_host, 0);
		host_expect_flows(2, i + 1);
	}
}

static void restores_the_reverse_half_in_the_middle_of_a_connection(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 40000), reply;
	struct host_flow flow;
	__u16 port_host;

	host_reset();
	port_host = expect_sent_anyhow(&spec);
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	host_delete_flow(&spec, HOST_IN);
	spec.tcp_flags = FRAME_ACK;
	expect_sent(&spec, port_host);
	expect_flow(&spec, port_host, 0);
	reply = answering(&spec, HOST_DEFAULT, port_host);
	expect_delivered(state, &reply, &host_web, 40000);

	/* Its port is another's by now: nobody can answer it, so it is not sent. */
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	assert_true(host_get_flow(&spec, &flow));
	flow.rev.container_address = frame_address(HOST_DB);
	flow.rev.owner = flow.rev.ifindex = host_db.ifindex;
	host_put(host.skeleton->maps.xd_snat_rev, &flow.rev_key, &flow.rev);
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_NO_PORT);
}

static void restores_the_first_half_in_the_middle_of_a_connection(void **state)
{
	static const __u16 ports[] = { 20000, 40000 };

	(void)state;
	host_reset();
	for (size_t i = 0; i < 2; i++) {
		struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, ports[i]);
		__u16 port_host = expect_sent_anyhow(&spec);

		host_delete_flow(&spec, HOST_OUT);
		spec.tcp_flags = FRAME_ACK;
		expect_sent(&spec, port_host);
		expect_flow(&spec, port_host, 0);
		host_expect_flows(i + 1, i + 1);
	}
}

static void restores_the_first_half_by_an_answer(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 40000), reply;
	__u16 port_host;

	host_reset();
	port_host = expect_sent_anyhow(&spec);
	reply = answering(&spec, HOST_DEFAULT, port_host);
	expect_delivered(state, &reply, &host_web, 40000);
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	host_delete_flow(&spec, HOST_OUT);
	expect_delivered(state, &reply, &host_web, 40000);
	spec.tcp_flags = FRAME_ACK;
	expect_sent(&spec, port_host);
	host_expect_flows(1, 1);
	/* The device is what the next packet finds: that is enough to know it is the same. */
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	expect_sent(&spec, port_host);
	expect_flow(&spec, port_host, XD_SNAT_REPLIED);
}

static void drops_a_flow_for_which_no_port_is_left(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 40000);

	(void)state;
	host_reset();
	/* 1024 and 1025 */
	host.skeleton->data_xd_host->xd_host.port_low_host = 1026;
	host.skeleton->data_xd_host->xd_host.port_high_host = 65535;
	for (__u16 i = 0; i < 2; i++) {
		spec.from.port_host = 40000 + i;
		assert_in_range(expect_sent_anyhow(&spec), 1024, 1025);
	}
	spec.from.port_host = 40002;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_NO_PORT);
	host_expect_flows(2, 2);
	spec.to.port_host++;
	assert_in_range(expect_sent_anyhow(&spec), 1024, 1025);
	/* Another protocol has ports of its own, and a row that is over is as good as none. */
	spec.protocol = IPPROTO_UDP;
	assert_in_range(expect_sent_anyhow(&spec), 1024, 1025);
	spec = host_opening(&host_web, IPPROTO_TCP, 40000);
	host_age_flow(&spec, HOST_BOTH, 120 * SECOND_NS);
	spec.from.port_host = 40002;
	assert_in_range(expect_sent_anyhow(&spec), 1024, 1025);
}

/* Where the host hands out all ports, there is no other choice. */
static void shares_the_ports_of_a_host_that_hands_out_all(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 50000);

	(void)state;
	host_reset();
	host.skeleton->data_xd_host->xd_host.port_low_host = 1024;
	host.skeleton->data_xd_host->xd_host.port_high_host = 65535;
	expect_sent(&spec, 50000);
}

/* A range of the host's that ends below 1024 leaves all the others, and no privileged port. */
static void never_chooses_a_privileged_port(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 80);
	struct xd_reserved reserved;
	__u32 key = 0;

	(void)state;
	host_reset();
	host.skeleton->data_xd_host->xd_host.port_low_host = 100;
	host.skeleton->data_xd_host->xd_host.port_high_host = 200;
	/* But for 1024 and a few below, so that a wrong one is found soon. */
	memset(&reserved, 0xff, sizeof(reserved));
	memset(reserved.published + 512 / 8, 0, (1032 - 512) / 8);
	memset(reserved.excluded, 0, sizeof(reserved.excluded));
	host_put(host.skeleton->maps.xd_reserved, &key, &reserved);
	for (__u16 i = 0; i < 20; i++) {
		struct host_context context = {};
		struct host_result result;
		struct host_flow flow;
		struct frame frame;

		spec.from.port_host = 300 + i;
		frame_build(&spec, &frame);
		assert_int_equal(host_try(HOST_CONTAINER, &frame, &context, 0, &result), 0);
		if (host_get_flow(&spec, &flow))
			assert_in_range(ntohs(flow.row.port), 1024, 1031);
	}
}

/* The route's device is what a flow is bound to. */
static void starts_anew_where_the_route_leads_elsewhere(void **state)
{
	struct frame_spec tcp = host_opening(&host_web, IPPROTO_TCP, 20000);
	struct frame_spec udp = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec to = host_sent(&udp, HOST_OTHER_UPLINK, 20000);

	(void)state;
	host_reset();
	to.mac_to = host_mac_other_router;
	to.mac_from = host_mac_other_uplink;
	expect_sent(&tcp, 20000);
	expect_sent(&udp, 20000);
	host_ip("route add " HOST_CLIENT " via " HOST_OTHER_ROUTER);
	host_spec_becomes(HOST_CONTAINER, &udp, &to, HOST_COUNT_WEB);
	host_expect_flow(&udp, &(struct host_flow_want){
				       .container = &host_web,
				       .address = HOST_OTHER_UPLINK,
				       .port_host = 20000,
				       .ifindex = host.other_uplink,
			       });
	tcp.tcp_flags = FRAME_ACK;
	host_spec_drops(HOST_CONTAINER, &tcp, XD_DROP_UNTRACKED);
	host_ip("route del " HOST_CLIENT);
	expect_sent(&tcp, 20000);
}

static void keeps_its_address_as_long_as_the_host_has_it(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec to = host_sent(&spec, HOST_ALSO, 20000);

	(void)state;
	host_reset();
	host_ip("address add " HOST_ALSO "/32 dev uplink0");
	host_ip("route add " HOST_CLIENT " via " HOST_ROUTER " src " HOST_ALSO);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
	/* New flows get another address, this one does not. */
	host_ip("route del " HOST_CLIENT);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
	spec.from.port_host++;
	expect_sent(&spec, 20001);
	spec.from.port_host--;
	host_ip("address del " HOST_ALSO "/32 dev uplink0");
	host_age_local(HOST_ALSO, 1000000);
	expect_sent(&spec, 20000);
	expect_flow(&spec, 20000, 0);
}

static void follows_a_rule_for_the_mark(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec to = host_sent(&spec, HOST_OTHER_UPLINK, 20000);
	struct host_context context = { .mark = 7 };
	struct frame in, out;

	(void)state;
	host_reset();
	to.mac_to = host_mac_other_router;
	to.mac_from = host_mac_other_uplink;
	frame_build(&spec, &in);
	frame_build(&to, &out);
	host_ip("rule add fwmark 7 lookup 100");
	host_ip("route add default via " HOST_OTHER_ROUTER " table 100");
	host_expect_redirect(HOST_CONTAINER, &in, &context,
			     &(struct host_redirect){
				     .frame = &out,
				     .counter = HOST_COUNT_WEB,
				     .direction = XD_COUNT_OUT,
				     .mark = 7,
			     });
	spec.from.port_host++;
	expect_sent(&spec, 20001);
	host_ip("route del default table 100");
	host_ip("rule del fwmark 7 lookup 100");
}

static void leaves_the_addresses_of_an_unknown_neighbour_to_the_kernel(void **state)
{
	static const __u8 mac_unresolved[6] = {};
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 20000), to;

	(void)state;
	host_reset();
	spec.to.address = frame_address(HOST_NEIGHBOUR_UNKNOWN);
	to = host_sent(&spec, HOST_DEFAULT, 20000);
	to.mac_to = to.mac_from = mac_unresolved;
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
	expect_flow(&spec, 20000, 0);
}

static void opens_no_flow_for_what_the_kernel_has_to_answer(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);

	(void)state;
	host_reset();
	spec.ttl = 1;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	spec.to.address = frame_address("203.0.113.200"); /* unreachable */
	host_spec_passes(HOST_CONTAINER, &spec);
	spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	spec.payload = 1500 - 28 + 1;
	host_spec_passes(HOST_CONTAINER, &spec);
	/* It would fragment it untranslated. */
	spec.fragment = 0;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRANSLATED);
	host_expect_flows(0, 0);
	spec.payload--;
	expect_sent(&spec, 20000);
}

static void sends_flows_as_they_are_where_masquerading_is_off(void **state)
{
	(void)state;
	host_reset();
	host_set_network(host.bridge, 0);
	for (size_t i = 0; i < sizeof(protocols); i++) {
		/* Not even ports of the host's own are another's here. */
		struct frame_spec spec = host_opening(&host_web, protocols[i], 40000);
		struct frame_spec to = host_sent(&spec, HOST_WEB, 40000);

		host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
		host_expect_flow(&spec, &(struct host_flow_want){
					       .container = &host_web,
					       .address = HOST_WEB,
					       .port_host = 40000,
					       .flags = XD_SNAT_PLAIN,
					       .ifindex = host.uplink,
				       });
		host_expect_flows(i + 1, i + 1);
	}
}

static void passes_the_middle_of_a_flow_where_masquerading_is_off(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 20000);

	(void)state;
	host_reset();
	host_set_network(host.bridge, 0);
	host_spec_passes(HOST_CONTAINER, &spec);
	host_expect_flows(0, 0);
}

static void passes_answers_of_untranslated_flows_alone(void **state)
{
	host_reset();
	host_set_network(host.bridge, 0);
	for (size_t i = 0; i < sizeof(protocols); i++) {
		struct frame_spec spec = host_opening(&host_web, protocols[i], 20000);
		struct frame_spec to = host_sent(&spec, HOST_WEB, 20000);
		struct frame_spec reply = answering(&spec, HOST_WEB, 20000);

		host_spec_drops(host_hook(state), &reply, XD_DROP_DIRECT_ROUTED);
		host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_WEB);
		host_spec_passes(host_hook(state), &reply);
		host_expect_flow(&spec, &(struct host_flow_want){
					       .container = &host_web,
					       .address = HOST_WEB,
					       .port_host = 20000,
					       .flags = XD_SNAT_PLAIN | XD_SNAT_REPLIED,
					       .ifindex = host.uplink,
				       });
		reply.from.address = frame_address("192.0.2.8");
		host_spec_drops(host_hook(state), &reply, XD_DROP_DIRECT_ROUTED);
		reply = answering(&spec, HOST_WEB, 20000);
		reply.tcp_flags = FRAME_SYN;
		if (protocols[i] == IPPROTO_TCP)
			host_spec_drops(host_hook(state), &reply, XD_DROP_DIRECT_ROUTED);
	}
}

static void keeps_flows_as_they_are_when_masquerading_is_switched(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec plain = host_sent(&spec, HOST_WEB, 20000);
	struct host_flow_want want = {
		.container = &host_web,
		.address = HOST_WEB,
		.port_host = 20000,
		.flags = XD_SNAT_PLAIN,
		.ifindex = host.uplink,
	};

	(void)state;
	host_reset();
	host_set_network(host.bridge, 0);
	host_spec_becomes(HOST_CONTAINER, &spec, &plain, HOST_COUNT_WEB);
	host_set_network(host.bridge, XD_NETWORK_MASQUERADE);
	host_spec_becomes(HOST_CONTAINER, &spec, &plain, HOST_COUNT_WEB);
	/* Also when it has to be restored. */
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	host_delete_flow(&spec, HOST_IN);
	host_spec_becomes(HOST_CONTAINER, &spec, &plain, HOST_COUNT_WEB);
	host_expect_flow(&spec, &want);

	spec.from.port_host = 20001;
	expect_sent(&spec, 20001);
	host_set_network(host.bridge, 0);
	expect_sent(&spec, 20001);
	host_age_flow(&spec, HOST_BOTH, 2 * SECOND_NS);
	host_delete_flow(&spec, HOST_IN);
	expect_sent(&spec, 20001);
	expect_flow(&spec, 20001, 0);
}

static void leaves_replies_of_published_ports_to_their_mapping(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_TCP, 80);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 8080);

	(void)state;
	host_reset();
	spec.tcp_flags = to.tcp_flags = FRAME_SYN | FRAME_ACK;
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_8080);
	host_set_network(host.bridge, 0);
	host_spec_becomes(HOST_CONTAINER, &spec, &to, HOST_COUNT_8080);
	host_expect_flows(0, 0);
}

/* `port add` of a host port that a flow already has. */
static void lets_a_flow_keep_a_port_that_is_published_later(void **state)
{
	struct frame_spec spec = host_opening(&host_db, IPPROTO_TCP, 20000);
	struct frame_spec reply = answering(&spec, HOST_DEFAULT, 20000), other = reply;
	struct frame_spec to = host_delivered(&reply, &host_web, 9001);

	host_reset();
	expect_sent(&spec, 20000);
	host_publish("0.0.0.0", 20000, IPPROTO_TCP, 9001, XD_PORT_CANONICAL, HOST_COUNT_9000);
	host_spec_becomes(host_hook(state), &reply, &to, HOST_COUNT_9000);
	host_publish("0.0.0.0", 20000, IPPROTO_TCP, 9001,
		     XD_PORT_CANONICAL | XD_PORT_MASQUERADED, HOST_COUNT_9000);
	expect_delivered(state, &reply, &host_db, 20000);
	spec.tcp_flags = FRAME_ACK;
	expect_sent(&spec, 20000);
	/* All others reach the published port. */
	other.from.port_host++;
	to = host_delivered(&other, &host_web, 9001);
	host_spec_becomes(host_hook(state), &other, &to, HOST_COUNT_9000);
	reply.tcp_flags = FRAME_SYN;
	to = host_delivered(&reply, &host_web, 9001);
	host_spec_becomes(host_hook(state), &reply, &to, HOST_COUNT_9000);
}

/* The same address on another veth: what the one before left is not its own. */
static void does_not_inherit_the_flows_of_an_address(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec tcp = host_opening(&host_web, IPPROTO_TCP, 20000);
	struct host_flow flow;

	(void)state;
	host_reset();
	expect_sent(&spec, 20000);
	assert_true(host_get_flow(&spec, &flow));
	/* That one is there no more. */
	flow.row.owner = flow.rev.ifindex = 60001;
	flow.rev.owner = 60001;
	flow.row.flags = flow.rev.flags = XD_SNAT_REPLIED;
	host_put_flow(&flow);
	expect_sent(&spec, 20000);
	expect_flow(&spec, 20000, 0);
	host_expect_flows(1, 1);
	/* That one has another address now. */
	assert_true(host_get_flow(&spec, &flow));
	flow.row.owner = flow.rev.ifindex = flow.rev.owner = host_db.ifindex;
	host_put_flow(&flow);
	assert_int_not_equal(expect_sent_anyhow(&spec), 20000);

	expect_sent(&tcp, 20000);
	assert_true(host_get_flow(&tcp, &flow));
	flow.row.owner = flow.rev.ifindex = flow.rev.owner = 60001;
	host_put_flow(&flow);
	tcp.tcp_flags = FRAME_ACK;
	host_spec_drops(HOST_CONTAINER, &tcp, XD_DROP_UNTRACKED);
}

/* One that began before the programs were there. */
static void leaves_a_flow_to_the_kernel_that_its_connection_tracking_knows(void **state)
{
	struct frame_spec spec = host_outbound(&host_web, IPPROTO_TCP, 20000);

	(void)state;
	host_reset();
	host_command("conntrack -I -p tcp -s " HOST_WEB " -d " HOST_CLIENT
		     " --sport 20000 --dport 40000 --state ESTABLISHED -t 600 >/dev/null 2>&1");
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.tcp_flags = FRAME_SYN;
	host_spec_passes(HOST_CONTAINER, &spec);
	spec.tcp_flags = FRAME_ACK;
	spec.from.port_host++;
	host_spec_drops(HOST_CONTAINER, &spec, XD_DROP_UNTRACKED);
	/* As the kernel translated the other end, it knows it by its replies. */
	host_command("conntrack -I -p udp -s " HOST_CLIENT " -d " HOST_DEFAULT
		     " --sport 40000 --dport 53 -r " HOST_WEB " -q " HOST_CLIENT
		     " --reply-port-src 20000 --reply-port-dst 40000 -t 600 >/dev/null 2>&1");
	spec = host_outbound(&host_web, IPPROTO_UDP, 20000);
	host_spec_passes(HOST_CONTAINER, &spec);
	host_expect_flows(0, 0);
	host_command("conntrack -F >/dev/null 2>&1");
}

static void judges_gso_by_its_segments(void **state)
{
	struct frame_spec spec = host_opening(&host_web, IPPROTO_UDP, 20000);
	struct frame_spec to = host_sent(&spec, HOST_DEFAULT, 20000);
	struct host_context context = { .gso_size = 1500 - 28 };
	struct frame in, out;

	(void)state;
	host_reset();
	spec.payload = to.payload = 2900;
	frame_build(&spec, &in);
	frame_build(&to, &out);
	host_expect_redirect(HOST_CONTAINER, &in, &context,
			     &(struct host_redirect){
				     .frame = &out,
				     .counter = HOST_COUNT_WEB,
				     .direction = XD_COUNT_OUT,
			     });
	context.gso_size++;
	host_expect_pass(HOST_CONTAINER, &in, &context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_a_flow_by_two_rows),
		cmocka_unit_test(uses_the_same_rows_for_the_whole_flow),
		cmocka_unit_test(keeps_a_udp_packet_without_checksum_so),
		cmocka_unit_test(leaves_the_hosts_own_ports_to_the_host),
		cmocka_unit_test(keeps_every_identifier_and_sctp_port),
		cmocka_unit_test(avoids_ports_that_are_published_or_excluded),
		HOST_BOTH_HOOKS(gives_two_containers_with_one_port_two),
		cmocka_unit_test(gives_one_socket_the_same_port_for_all_remotes),
		cmocka_unit_test(avoids_ports_that_a_socket_of_the_host_has),
		cmocka_unit_test(minds_no_socket_that_gets_no_such_packet),
		cmocka_unit_test(drops_the_middle_of_a_flow_that_nobody_knows),
		cmocka_unit_test(knows_an_sctp_flow_by_either_half),
		cmocka_unit_test(sends_to_reserved_addresses_like_to_any),
		HOST_BOTH_HOOKS(delivers_answers),
		HOST_BOTH_HOOKS(passes_what_answers_no_flow),
		HOST_BOTH_HOOKS(takes_no_connection_from_outside_for_an_answer),
		HOST_BOTH_HOOKS(drops_an_answer_whose_ttl_ends),
		HOST_BOTH_HOOKS(passes_an_answer_to_a_container_that_is_gone),
		HOST_BOTH_HOOKS(leaves_answers_that_exceed_the_containers_mtu_to_tc),
		HOST_BOTH_HOOKS(renews_the_time_of_each_direction_once_a_second),
		HOST_BOTH_HOOKS(notes_who_closes_a_connection),
		HOST_BOTH_HOOKS(notes_that_the_remote_closes_first),
		HOST_BOTH_HOOKS(forgives_a_reset_that_ended_nothing),
		cmocka_unit_test(opens_a_closed_flow_again_by_a_syn),
		cmocka_unit_test(keeps_a_port_as_long_as_its_flow_may_live),
		HOST_BOTH_HOOKS(delivers_to_the_new_owner_of_a_port),
		HOST_BOTH_HOOKS(takes_the_port_of_a_container_that_is_gone),
		cmocka_unit_test(leaves_a_port_that_a_socket_took_since_to_the_host),
		cmocka_unit_test(restores_a_lost_half_by_a_packet_of_the_container),
		HOST_BOTH_HOOKS(restores_the_reverse_half_in_the_middle_of_a_connection),
		cmocka_unit_test(restores_the_first_half_in_the_middle_of_a_connection),
		HOST_BOTH_HOOKS(restores_the_first_half_by_an_answer),
		cmocka_unit_test(drops_a_flow_for_which_no_port_is_left),
		cmocka_unit_test(shares_the_ports_of_a_host_that_hands_out_all),
		cmocka_unit_test(never_chooses_a_privileged_port),
		cmocka_unit_test(starts_anew_where_the_route_leads_elsewhere),
		cmocka_unit_test(keeps_its_address_as_long_as_the_host_has_it),
		cmocka_unit_test(follows_a_rule_for_the_mark),
		cmocka_unit_test(leaves_the_addresses_of_an_unknown_neighbour_to_the_kernel),
		cmocka_unit_test(opens_no_flow_for_what_the_kernel_has_to_answer),
		cmocka_unit_test(sends_flows_as_they_are_where_masquerading_is_off),
		cmocka_unit_test(passes_the_middle_of_a_flow_where_masquerading_is_off),
		HOST_BOTH_HOOKS(passes_answers_of_untranslated_flows_alone),
		cmocka_unit_test(keeps_flows_as_they_are_when_masquerading_is_switched),
		cmocka_unit_test(leaves_replies_of_published_ports_to_their_mapping),
		HOST_BOTH_HOOKS(lets_a_flow_keep_a_port_that_is_published_later),
		cmocka_unit_test(does_not_inherit_the_flows_of_an_address),
		cmocka_unit_test(leaves_a_flow_to_the_kernel_that_its_connection_tracking_knows),
		cmocka_unit_test(judges_gso_by_its_segments),
	};

	return cmocka_run_group_tests_name("masquerade", tests, host_setup, host_teardown);
}
