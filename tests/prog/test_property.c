// SPDX-License-Identifier: GPL-2.0-only
/* Frames that nobody thought of, through every program that sees packets. Whatever they are:
 *
 * - a frame that passes or is dropped has not one byte changed;
 * - a frame that is redirected is the same but for what a translation changes (MAC addresses, TTL,
 *   addresses, ports or identifier, the same in what an ICMP error is about, checksums), and each
 *   of its sums is what it was: right if it was right, wrong by as much;
 * - a frame that is no whole header makes no row in any map;
 * - what a container sends and gets answered comes back as an answer to what it sent. */
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/prog/host.h"

#define SEED 8761
#define RANDOM_FRAMES 10000
#define MUTATED_FRAMES 30000
#define MALFORMED_FRAMES 10000
#define ANSWERED_FRAMES 10000

/* xorshift64*: the same numbers everywhere. */
static __u64 state_of_random = SEED;

static __u32 below(__u32 limit)
{
	state_of_random ^= state_of_random >> 12;
	state_of_random ^= state_of_random << 25;
	state_of_random ^= state_of_random >> 27;
	return (state_of_random * 0x2545f4914f6cdd1dULL >> 32) % limit;
}

/* How often each verdict came: a test in which all frames pass shows nothing. */
static __u32 verdicts[HOST_PROGRAM_MAX][HOST_REDIRECT + 1];

enum shape {
	WHOLE,
	FIRST, /* of two fragments */
	LATER, /* the other */
	ERROR, /* about what the other end would have sent */
};

/* Frames that the programs translate, forward or drop, to begin with. Port 0: any. */
static const struct base {
	const char *from;
	__u16 from_port_host;
	const char *to;
	__u16 to_port_host;
	__u8 protocol;
	__u8 tcp_flags;
	bool is_echo_reply;
	bool has_no_checksum;
	enum shape shape;
	const struct host_container *sender; /* NULL: the outside, or the host itself */
	const __u8 *mac_to; /* NULL: that of the uplink, or of the gateway */
} bases[] = {
	/* Published ports. */
	{ HOST_CLIENT, 0, HOST_DEFAULT, 8080, .protocol = IPPROTO_TCP },
	{ HOST_CLIENT, 0, HOST_SECOND, 5300, .protocol = IPPROTO_UDP },
	{ HOST_CLIENT, 0, HOST_DEFAULT, 8761, .protocol = IPPROTO_UDP, .has_no_checksum = true },
	{ HOST_CLIENT, 0, HOST_DEFAULT, 8081, .protocol = IPPROTO_TCP },
	{ HOST_CLIENT, 0, HOST_DEFAULT, 5300, .protocol = IPPROTO_UDP, .shape = FIRST },
	{ HOST_CLIENT, 0, HOST_DEFAULT, 5300, .protocol = IPPROTO_UDP, .shape = LATER },
	{ HOST_CLIENT, 0, HOST_DEFAULT, 8080, .protocol = IPPROTO_TCP, .shape = ERROR },
	{ HOST_CLIENT, 0, HOST_DEFAULT, 5300, .protocol = IPPROTO_UDP, .shape = ERROR },
	/* Their replies. */
	{ HOST_WEB, 80, HOST_CLIENT, 0, .protocol = IPPROTO_TCP, .sender = &host_web },
	{ HOST_WEB, 53, HOST_CLIENT, 0, .protocol = IPPROTO_UDP, .sender = &host_web },
	{ HOST_WEB, 53, HOST_CLIENT, 0, .protocol = IPPROTO_UDP, .shape = FIRST,
	  .sender = &host_web },
	{ HOST_WEB, 53, HOST_CLIENT, 0, .protocol = IPPROTO_UDP, .shape = LATER,
	  .sender = &host_web },
	{ HOST_WEB, 53, HOST_CLIENT, 0, .protocol = IPPROTO_UDP, .shape = ERROR,
	  .sender = &host_web },
	/* Flows of containers: any, and those that open_flows() opens. */
#define FIRST_OUTBOUND 13
	{ HOST_DB, 0, HOST_CLIENT, 0, .protocol = IPPROTO_TCP, .tcp_flags = FRAME_SYN,
	  .sender = &host_db },
	{ HOST_DB, 0, HOST_CLIENT, 0, .protocol = IPPROTO_UDP, .sender = &host_db },
	{ HOST_DB, 0, HOST_CLIENT, 0, .protocol = IPPROTO_ICMP, .sender = &host_db },
	{ HOST_DB, 20000, HOST_CLIENT, 443, .protocol = IPPROTO_TCP, .tcp_flags = FRAME_SYN,
	  .sender = &host_db },
	{ HOST_DB, 40001, HOST_CLIENT, 53, .protocol = IPPROTO_UDP, .sender = &host_db },
	{ HOST_DB, 40002, HOST_CLIENT, 0, .protocol = IPPROTO_ICMP, .sender = &host_db },
	{ HOST_DB, 20003, HOST_CLIENT, 3868, .protocol = IPPROTO_SCTP, .sender = &host_db },
#define LAST_OUTBOUND 19
	{ HOST_DB, 40001, HOST_CLIENT, 53, .protocol = IPPROTO_UDP, .shape = FIRST,
	  .sender = &host_db },
	{ HOST_DB, 40001, HOST_CLIENT, 53, .protocol = IPPROTO_UDP, .shape = LATER,
	  .sender = &host_db },
	{ HOST_DB, 40001, HOST_CLIENT, 53, .protocol = IPPROTO_UDP, .shape = ERROR,
	  .sender = &host_db },
	/* Replies of the latter, as far as their ports are not drawn. */
	{ HOST_CLIENT, 443, HOST_DEFAULT, 20000, .protocol = IPPROTO_TCP },
	{ HOST_CLIENT, 0, HOST_DEFAULT, 40002, .protocol = IPPROTO_ICMP, .is_echo_reply = true },
	{ HOST_CLIENT, 3868, HOST_DEFAULT, 20003, .protocol = IPPROTO_SCTP },
	{ HOST_CLIENT, 443, HOST_DEFAULT, 20000, .protocol = IPPROTO_TCP, .shape = ERROR },
	{ HOST_CLIENT, 0, HOST_DEFAULT, 40002, .protocol = IPPROTO_ICMP, .is_echo_reply = true,
	  .shape = ERROR },
	/* Containers at published ports of their own host, and what they are answered. */
	{ HOST_DB, 30001, HOST_DEFAULT, 8080, .protocol = IPPROTO_TCP, .tcp_flags = FRAME_SYN,
	  .sender = &host_db },
	{ HOST_WEB, 80, HOST_DB, 30001, .protocol = IPPROTO_TCP, .sender = &host_web,
	  .mac_to = host_mac_db },
	{ HOST_WEB, 80, HOST_DB, 30001, .protocol = IPPROTO_TCP, .shape = ERROR,
	  .sender = &host_web,
	  .mac_to = host_mac_db },
	{ HOST_APP, 30002, HOST_DEFAULT, 8761, .protocol = IPPROTO_UDP, .sender = &host_app },
	{ HOST_WEB, 8761, HOST_GATEWAY, 30002, .protocol = IPPROTO_UDP, .sender = &host_web },
	{ HOST_WEB, 8761, HOST_GATEWAY, 30002, .protocol = IPPROTO_UDP, .shape = ERROR,
	  .sender = &host_web },
	/* Siblings, another network, and the host itself. */
	{ HOST_WEB, 0, HOST_DB, 0, .protocol = IPPROTO_ICMP,
	  .sender = &host_web, .mac_to = host_mac_db },
	{ HOST_APP, 0, HOST_WEB, 80, .protocol = IPPROTO_TCP, .tcp_flags = FRAME_SYN,
	  .sender = &host_app },
	{ HOST_GATEWAY, 0, HOST_WEB, 80, .protocol = IPPROTO_TCP, .mac_to = host_mac_web },
};
#define BASE_COUNT (sizeof(bases) / sizeof(bases[0]))

static struct frame_spec spec_of(const struct base *base)
{
	struct frame_spec spec = {
		.mac_to = host_mac_uplink,
		.mac_from = host_mac_router,
		.from = { frame_address(base->from), base->from_port_host },
		.to = { frame_address(base->to), base->to_port_host },
		.protocol = base->protocol,
		.ttl = 60,
		.id = below(4),
		.payload = below(40),
		.tcp_options = below(2) ? 12 : 0,
		.tcp_flags = base->tcp_flags,
		.has_no_checksum = base->has_no_checksum,
		.is_echo_reply = base->is_echo_reply,
	};

	/* Without a chunk, SCTP says nothing. */
	if (base->protocol == IPPROTO_SCTP)
		spec.payload++;
	if (base->sender) {
		spec.mac_to = base->sender->gateway_mac;
		spec.mac_from = base->sender->mac;
	}
	if (base->mac_to)
		spec.mac_to = base->mac_to;
	if (!spec.from.port_host)
		spec.from.port_host = 1024 + below(60000);
	if (!spec.to.port_host)
		spec.to.port_host = 1024 + below(60000);
	return spec;
}

static void build_base(const struct base *base, struct frame *ret_frame)
{
	struct frame_spec spec = spec_of(base), about = spec;
	struct frame frame;

	switch (base->shape) {
	case WHOLE:
		frame_build(&spec, ret_frame);
		return;
	case FIRST:
	case LATER:
		spec.payload += 24;
		frame_build(&spec, &frame);
		if (base->shape == FIRST)
			frame_fragment(&frame, 0, 16, ret_frame);
		else
			frame_fragment(&frame, 16, spec.payload - 8, ret_frame);
		return;
	case ERROR:
		about.from = spec.to;
		about.to = spec.from;
		about.is_echo_reply = !spec.is_echo_reply;
		frame_build(&about, &frame);
		frame_build_error(&spec, below(2) ? 3 : 11, below(5), &frame,
				  28 + below(frame.length - FRAME_IP - 27), ret_frame);
		return;
	}
}

/* Rows that the bases speak of. */
static void open_flows(void)
{
	for (size_t i = 0; i < BASE_COUNT; i++) {
		struct host_context context = {};
		struct host_result result;
		struct frame frame;

		if (!bases[i].sender || bases[i].shape != WHOLE)
			continue;
		context.ifindex = bases[i].sender->ifindex;
		build_base(&bases[i], &frame);
		assert_int_equal(host_try(HOST_CONTAINER, &frame, &context, 0, &result), 0);
	}
}

static void fail_with(const struct frame *in, const struct frame *out, const char *what)
{
	frame_dump(in, NULL, "went in");
	frame_dump(out, in, "came out");
	fail_msg("%s", what);
}

static bool is_later(const struct frame *frame)
{
	return frame_get16(frame, FRAME_IP + 6) & 0x1fff;
}

static bool is_error(const struct frame *frame)
{
	__u8 type = frame->bytes[FRAME_TRANSPORT];

	return frame->bytes[FRAME_IP + 9] == IPPROTO_ICMP && !is_later(frame) &&
	       (type == 3 || type == 4 || type == 11 || type == 12);
}

static bool is_in(size_t offset, size_t from, size_t length)
{
	return offset >= from && offset < from + length;
}

/* Ports or identifier, and what sums them, of the packet at `at`. */
static bool is_of_ports(const struct frame *frame, size_t at, size_t offset)
{
	__u8 protocol = frame->bytes[at + 9];

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_ICMP)
		return false;
	return is_in(offset, at + 20 + (protocol == IPPROTO_ICMP ? 4 : 0),
		     protocol == IPPROTO_ICMP ? 2 : 4) ||
	       is_in(offset, frame_checksum_offset(frame, at), 2);
}

/* Only these may differ in a packet that was translated. */
static bool may_change(const struct frame *frame, size_t offset)
{
	if (offset < 2 * ETH_ALEN || offset == FRAME_IP + 8 || is_in(offset, FRAME_IP + 10, 10))
		return true;
	if (offset >= FRAME_IP + (size_t)frame_get16(frame, FRAME_IP + 2) || is_later(frame))
		return false;
	if (!is_error(frame))
		return is_of_ports(frame, FRAME_IP, offset);
	return is_in(offset, FRAME_TRANSPORT + 2, 2) || is_in(offset, FRAME_EMBEDDED + 10, 10) ||
	       is_of_ports(frame, FRAME_EMBEDDED, offset);
}

/* The checksum of the transport at `at`, if it is there. */
static void check_transport(const struct frame *in, const struct frame *out, size_t at)
{
	size_t field = frame_checksum_offset(in, at);

	if (!field || field + 2 > FRAME_IP + (size_t)frame_get16(in, FRAME_IP + 2))
		return;
	/* What an error is about may have any length, also one that ends before the checksum. */
	if (at + frame_get16(in, at + 2) < field + 2 ||
	    (in->bytes[at + 9] == IPPROTO_UDP && frame_get16(in, at + 24) < 8))
		return;
	if (in->bytes[at + 9] == IPPROTO_UDP && !frame_get16(in, field)) {
		if (frame_get16(out, field))
			fail_with(in, out, "a UDP checksum came from nowhere");
		return;
	}
	if (frame_transport_sum(in, at) != frame_transport_sum(out, at))
		fail_with(in, out, "a transport checksum is off");
	if (in->bytes[at + 9] == IPPROTO_UDP && !frame_get16(out, field))
		fail_with(in, out, "a UDP checksum vanished");
}

static void check_translation(enum host_program program, const struct frame *in,
			      const struct frame *out)
{
	if (in->length != out->length)
		fail_with(in, out, "the length changed");
	if (in->bytes[FRAME_IP] != 0x45)
		fail_with(in, out, "translated what has options");
	for (size_t i = 0; i < in->length; i++) {
		if (in->bytes[i] != out->bytes[i] && !may_change(in, i))
			fail_with(in, out, "a byte changed that must not");
	}
	if (!host_is_container(program) && memcmp(in->bytes + FRAME_IP + 12,
						out->bytes + FRAME_IP + 12, 4))
		fail_with(in, out, "the source of an inbound packet changed");
	if (out->bytes[FRAME_IP + 8] + 1 != in->bytes[FRAME_IP + 8])
		fail_with(in, out, "the TTL is not one less");
	if (frame_ip_sum(in, FRAME_IP) != frame_ip_sum(out, FRAME_IP))
		fail_with(in, out, "the header checksum is off");
	if (is_later(in))
		return;
	check_transport(in, out, FRAME_IP);
	if (!is_error(in))
		return;
	if (frame_ip_sum(in, FRAME_EMBEDDED) != frame_ip_sum(out, FRAME_EMBEDDED))
		fail_with(in, out, "the embedded header checksum is off");
	check_transport(in, out, FRAME_EMBEDDED);
}

/* Redirected as it is: by the bridge program, and from one container to another. */
static bool is_forwarded(enum host_program program, const struct frame *in)
{
	return program == HOST_BRIDGE ||
	       (host_is_container(program) && (!memcmp(in->bytes, host_mac_db, ETH_ALEN) ||
					      !memcmp(in->bytes, host_mac_web, ETH_ALEN)));
}

/* The kernel runs no program on what is no Ethernet frame, nor, at TC, on one with nothing behind
 * its header or (newer ones) with half a network header. */
static bool may_be_refused(enum host_program program, const struct frame *frame)
{
	size_t least = ETH_HLEN;

	if (frame->length < ETH_HLEN)
		return true;
	if (host_is_xdp(program))
		return false;
	if (frame_get16(frame, 12) == ETH_P_IP)
		least += 20;
	else if (frame_get16(frame, 12) == ETH_P_IPV6)
		least += 40;
	else
		least += 1;
	return frame->length < least;
}

static void check(enum host_program program, const struct frame *frame,
		  const struct host_container *sender)
{
	struct host_context context = {
		.ifindex = sender && host_is_container(program) ? sender->ifindex : 0,
	};
	struct host_result result;
	int r = host_try(program, frame, &context, 0, &result);

	if (r == -EINVAL && may_be_refused(program, frame))
		return;
	if (r)
		fail_msg("%s: %zu bytes: %s", host_program_name(program), frame->length,
			 strerror(-r));
	verdicts[program][result.verdict]++;
	if (result.verdict == HOST_REDIRECT &&
	    !(is_forwarded(program, frame) && frame_is_equal(frame, &result.frame)))
		check_translation(program, frame, &result.frame);
	else if (!frame_is_equal(frame, &result.frame))
		fail_with(frame, &result.frame, host_program_name(program));
	if (result.verdict == HOST_REDIRECT && !host_is_xdp(program) &&
	    host_keeps_complete(frame, &result.frame) &&
	    host_try(program, frame, &context, BPF_F_TEST_SKB_CHECKSUM_COMPLETE, &result))
		fail_with(frame, &result.frame, "skb->csum no longer fits");
}

static void check_all(const struct frame *frame, const struct host_container *sender)
{
	for (int program = 0; program < HOST_PROGRAM_MAX; program++)
		check(program, frame, sender);
}

static void leaves_random_bytes_alone(void **state)
{
	struct frame frame = {};

	(void)state;
	host_reset();
	for (int n = 0; n < RANDOM_FRAMES; n++) {
		frame.length = 1 + below(200);
		for (size_t i = 0; i < frame.length; i++)
			frame.bytes[i] = below(256);
		/* Half of them get as far as the IPv4 header. */
		if (n % 2 && frame.length > FRAME_TRANSPORT) {
			memcpy(frame.bytes, n % 4 == 1 ? host_mac_uplink : host_mac_bridge,
			       ETH_ALEN);
			frame_put16(&frame, 12, ETH_P_IP);
			frame.bytes[FRAME_IP] = 0x45;
			frame_put16(&frame, FRAME_IP + 2, below(frame.length));
		}
		check_all(&frame, NULL);
	}
}

static void leaves_truncated_frames_alone(void **state)
{
	struct frame frame, whole;
	struct host_result result;

	(void)state;
	host_reset();
	open_flows();
	for (size_t base = 0; base < BASE_COUNT; base++) {
		build_base(&bases[base], &whole);
		for (size_t length = 1; length <= whole.length; length++) {
			frame = whole;
			frame.length = length;
			check_all(&frame, bases[base].sender);
			/* The same with an IPv4 length that fits what is left. */
			if (length <= FRAME_TRANSPORT)
				continue;
			frame_put16(&frame, FRAME_IP + 2, length - FRAME_IP);
			frame_sum_ip(&frame);
			check_all(&frame, bases[base].sender);
		}
	}
	/* The kernel runs no program on what is shorter than an Ethernet header. */
	frame.length = ETH_HLEN - 1;
	for (int program = 0; program < HOST_PROGRAM_MAX; program++)
		assert_int_equal(host_try(program, &frame, NULL, 0, &result), -EINVAL);
}

/* One change to a frame, some of them likely to hurt. */
static void mutate(struct frame *frame)
{
	static const __u16 lengths[] = { 0, 1, 19, 20, 21, 27, 28, 39, 40, 41, 60, 1500, 0xffff };

	switch (below(14)) {
	case 0: /* version and header length */
		frame->bytes[FRAME_IP] = below(256);
		break;
	case 1:
		frame_put16(frame, FRAME_IP + 2, lengths[below(13)]);
		break;
	case 2: /* DF, MF, offset */
		frame_put16(frame, FRAME_IP + 6, below(2) ? below(0x10000) : 0x4000);
		break;
	case 3:
		frame->bytes[FRAME_IP + 8] = below(4);
		break;
	case 4:
		frame->bytes[FRAME_IP + 9] = below(2) ? below(256) : below(2) ? 6 : 17;
		break;
	case 5: /* TCP's header length, in UDP a byte of the payload */
		frame->bytes[FRAME_TRANSPORT + 12] = below(256);
		break;
	case 6: /* UDP's length, in TCP half of the sequence number */
		frame_put16(frame, FRAME_TRANSPORT + 4, lengths[below(13)]);
		break;
	case 7: /* an address */
		frame->bytes[FRAME_IP + 12 + below(8)] = below(256);
		break;
	case 8: /* a port */
		frame->bytes[FRAME_TRANSPORT + below(4)] = below(256);
		break;
	case 9: /* a tag, or another EtherType */
		if (below(2))
			frame_add_vlan(frame, below(4096));
		else
			frame_put16(frame, 12, below(0x10000));
		break;
	case 10: /* a checksum that is wrong, or says that there is none */
		frame_put16(frame, below(2) ? FRAME_IP + 10 : FRAME_TRANSPORT + 6,
			    below(2) ? 0 : below(0x10000));
		break;
	case 11: /* a byte of TCP's flags, or of what an ICMP error is about */
		frame->bytes[FRAME_TRANSPORT + 13] = below(256);
		break;
	case 12:
		frame->bytes[FRAME_EMBEDDED + below(36)] = below(256);
		break;
	default: /* one bit somewhere */
		frame->bytes[below(frame->length)] ^= 1 << below(8);
		break;
	}
}

/* A base with a few changes. */
static const struct host_container *build_mutant(struct frame *ret_frame)
{
	const struct base *base = &bases[below(BASE_COUNT)];
	struct frame *frame = ret_frame;

	build_base(base, frame);
	for (__u32 changes = below(4); changes; changes--)
		mutate(frame);
	if (below(8) == 0 && frame->length > FRAME_TRANSPORT)
		frame->length -= below(frame->length - FRAME_TRANSPORT);
	/* Something behind the packet, as on a wire. */
	if (below(8) == 0)
		frame->length += below(40);
	if (below(2))
		frame_sum_ip(frame);
	return base->sender;
}

static void translates_mutated_frames_wholly_or_not_at_all(void **state)
{
	struct frame frame;

	(void)state;
	host_reset();
	open_flows();
	for (int n = 0; n < MUTATED_FRAMES; n++) {
		const struct host_container *sender = build_mutant(&frame);

		check_all(&frame, sender);
	}
}

/* Whole headers, of what may open a flow: by the standards, and not by what the programs do. */
static bool is_wellformed(const struct frame *frame)
{
	const __u8 *transport = frame->bytes + FRAME_TRANSPORT;
	__u16 length = frame_get16(frame, FRAME_IP + 2), header;

	if (frame->length < FRAME_TRANSPORT || frame_get16(frame, 12) != ETH_P_IP ||
	    frame->bytes[FRAME_IP] != 0x45 || length < 20 || is_later(frame) ||
	    frame->length < FRAME_IP + (size_t)length)
		return false;
	length -= 20;
	switch (frame->bytes[FRAME_IP + 9]) {
	case IPPROTO_TCP:
		header = transport[12] / 16 * 4;
		return length >= 20 && header >= 20 && header <= length;
	case IPPROTO_UDP:
		header = frame_get16(frame, FRAME_TRANSPORT + 4);
		return length >= 8 && header >= 8 &&
		       (header <= length || frame_get16(frame, FRAME_IP + 6) & FRAME_MF);
	case IPPROTO_SCTP:
		return length >= 12;
	case IPPROTO_ICMP:
		return length >= 8 && (transport[0] == 0 || transport[0] == 8) && !transport[1];
	default:
		return false;
	}
}

static void makes_no_row_for_malformed_frames(void **state)
{
	struct frame frame;
	int count = 0;

	(void)state;
	host_reset();
	while (count < MALFORMED_FRAMES) {
		const struct host_container *sender = build_mutant(&frame);

		if (is_wellformed(&frame))
			continue;
		check_all(&frame, sender);
		count++;
	}
	assert_int_equal(host_count_rows(host.skeleton->maps.xd_snat), 0);
	assert_int_equal(host_count_rows(host.skeleton->maps.xd_snat_rev), 0);
	assert_int_equal(host_count_rows(host.skeleton->maps.xd_exception), 0);
	assert_int_equal(host_count_rows(host.skeleton->maps.xd_fragment), 0);
}

/* Out by the container program, answered, in by one of the uplink's. */
static void returns_every_answer_to_who_asked(void **state)
{
	struct host_result result;
	struct frame frame, want;

	(void)state;
	host_reset();
	for (int n = 0; n < ANSWERED_FRAMES; n++) {
		const struct base *base =
			&bases[FIRST_OUTBOUND + below(LAST_OUTBOUND - FIRST_OUTBOUND + 1)];
		struct host_context context = { .ifindex = base->sender->ifindex };

		build_base(base, &frame);
		want = frame;
		assert_int_equal(host_try(HOST_CONTAINER, &frame, &context, 0, &result), 0);
		assert_int_equal(result.verdict, HOST_REDIRECT);
		frame = result.frame;
		frame_answer(&frame);
		assert_int_equal(host_try(n % 2 || frame_is_unsummed(&frame) ? HOST_UPLINK_TC :
									       HOST_UPLINK_XDP,
					  &frame, NULL, 0, &result), 0);
		assert_int_equal(result.verdict, HOST_REDIRECT);
		/* As if the remote had answered the container itself, one hop away. */
		frame_answer(&want);
		want.bytes[FRAME_IP + 8]--;
		frame_sum_ip(&want);
		frame_assert_equal(&result.frame, &want, "the answer");
	}
}

/* Last: the numbers above mean something only if every verdict was seen often. */
static void has_seen_every_verdict(void **state)
{
	(void)state;
	host_reset();
	for (int program = 0; program < HOST_PROGRAM_MAX; program++) {
		print_message("%s: %u passed, %u dropped, %u redirected\n",
			      host_program_name(program), verdicts[program][HOST_PASS],
			      verdicts[program][HOST_DROP], verdicts[program][HOST_REDIRECT]);
		assert_true(verdicts[program][HOST_PASS] > 1000);
		if (program == HOST_SCREEN)
			assert_int_equal(verdicts[program][HOST_REDIRECT], 0);
		else
			assert_true(verdicts[program][HOST_REDIRECT] > 1000);
		if (program != HOST_BRIDGE)
			assert_true(verdicts[program][HOST_DROP] > 50);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_random_bytes_alone),
		cmocka_unit_test(leaves_truncated_frames_alone),
		cmocka_unit_test(translates_mutated_frames_wholly_or_not_at_all),
		cmocka_unit_test(makes_no_row_for_malformed_frames),
		cmocka_unit_test(returns_every_answer_to_who_asked),
		cmocka_unit_test(has_seen_every_verdict),
	};

	print_message("seed %d\n", SEED);
	return cmocka_run_group_tests_name("property", tests, host_setup, host_teardown);
}
