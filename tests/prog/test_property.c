// SPDX-License-Identifier: GPL-2.0-only
/* Frames that nobody thought of, through every program that sees packets. Whatever they are:
 *
 * - a frame that passes or is dropped has not one byte changed;
 * - a frame that is redirected is the same but for the two MAC addresses, the TTL, one end and the
 *   checksums, and each of its sums is what it was: right if it was right, wrong by as much. */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/tcp.h>
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
#define MUTATED_FRAMES 50000

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

/* Frames that the programs translate, forward or drop, to begin with. */
static const struct frame_spec bases[] = {
	{ .mac_to = host_mac_uplink, .mac_from = host_mac_router, .protocol = IPPROTO_TCP,
	  .to = { 0, 8080 }, .ttl = 60, .payload = 30 },
	{ .mac_to = host_mac_uplink, .mac_from = host_mac_router, .protocol = IPPROTO_UDP,
	  .to = { 0, 5300 }, .ttl = 60, .payload = 30 },
	{ .mac_to = host_mac_uplink, .mac_from = host_mac_router, .protocol = IPPROTO_UDP,
	  .to = { 0, 8761 }, .ttl = 3, .payload = 5, .has_no_checksum = true },
	{ .mac_to = host_mac_uplink, .mac_from = host_mac_router, .protocol = IPPROTO_TCP,
	  .to = { 0, 8081 }, .ttl = 60, .tcp_options = 12 },
	{ .mac_to = host_mac_bridge, .mac_from = host_mac_web, .protocol = IPPROTO_TCP,
	  .from = { 0, 80 }, .to = { 0, 40000 }, .ttl = 64, .payload = 30 },
	{ .mac_to = host_mac_bridge, .mac_from = host_mac_web, .protocol = IPPROTO_UDP,
	  .from = { 0, 53 }, .to = { 0, 40000 }, .ttl = 64, .payload = 31 },
	{ .mac_to = host_mac_db, .mac_from = host_mac_web, .protocol = IPPROTO_ICMP, .ttl = 64,
	  .payload = 40 },
	{ .mac_to = host_mac_web, .mac_from = host_mac_bridge, .protocol = IPPROTO_TCP,
	  .to = { 0, 80 }, .ttl = 64, .payload = 9 },
};
#define BASE_COUNT (sizeof(bases) / sizeof(bases[0]))

static void build_base(size_t base, struct frame *ret_frame)
{
	static const struct {
		const char *from;
		const char *to;
	} ends[BASE_COUNT] = {
		{ HOST_CLIENT, HOST_DEFAULT }, { HOST_CLIENT, HOST_SECOND },
		{ HOST_CLIENT, HOST_DEFAULT }, { HOST_CLIENT, HOST_DEFAULT },
		{ HOST_WEB, HOST_CLIENT },     { HOST_WEB, HOST_CLIENT },
		{ HOST_WEB, HOST_DB },	       { HOST_GATEWAY, HOST_WEB },
	};
	struct frame_spec spec = bases[base];

	spec.from.address = frame_address(ends[base].from);
	spec.to.address = frame_address(ends[base].to);
	if (!spec.from.port_host)
		spec.from.port_host = 1024 + below(60000);
	frame_build(&spec, ret_frame);
}

static void fail_with(const struct frame *in, const struct frame *out, const char *what)
{
	frame_dump(in, NULL, "went in");
	frame_dump(out, in, "came out");
	fail_msg("%s", what);
}

/* Only these may differ in a packet that was translated at one end. */
static bool may_change(size_t offset, __u8 protocol, bool is_source)
{
	size_t check = FRAME_TRANSPORT + (protocol == IPPROTO_TCP ?
						  offsetof(struct tcphdr, check) : 6);
	size_t address = FRAME_IP + (is_source ? 12 : 16);
	size_t port = FRAME_TRANSPORT + (is_source ? 0 : 2);

	return offset < 2 * ETH_ALEN || offset == FRAME_IP + 8 || offset == FRAME_IP + 10 ||
	       offset == FRAME_IP + 11 || (offset >= address && offset < address + 4) ||
	       offset == port || offset == port + 1 || offset == check || offset == check + 1;
}

static void check_translation(enum host_program program, const struct frame *in,
			      const struct frame *out)
{
	__u8 protocol = in->bytes[FRAME_IP + 9];

	if (in->length != out->length)
		fail_with(in, out, "the length changed");
	if (in->bytes[FRAME_IP] != 0x45 || frame_get16(in, FRAME_IP + 6) & 0x3fff ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		fail_with(in, out, "translated what has no ports behind a plain header");
	for (size_t i = 0; i < in->length; i++) {
		if (in->bytes[i] != out->bytes[i] &&
		    !may_change(i, protocol, program == HOST_CONTAINER))
			fail_with(in, out, "a byte changed that must not");
	}
	if (out->bytes[FRAME_IP + 8] + 1 != in->bytes[FRAME_IP + 8])
		fail_with(in, out, "the TTL is not one less");
	if (frame_ip_sum(in) != frame_ip_sum(out))
		fail_with(in, out, "the header checksum is off");
	if (protocol == IPPROTO_UDP && !frame_get16(in, FRAME_TRANSPORT + 6)) {
		if (frame_get16(out, FRAME_TRANSPORT + 6))
			fail_with(in, out, "a UDP checksum came from nowhere");
	} else if (frame_transport_sum(in) != frame_transport_sum(out)) {
		fail_with(in, out, "the transport checksum is off");
	}
	if (protocol == IPPROTO_UDP && frame_get16(in, FRAME_TRANSPORT + 6) &&
	    !frame_get16(out, FRAME_TRANSPORT + 6))
		fail_with(in, out, "a UDP checksum vanished");
}

/* Redirected as it is: by the bridge program, and from one container to another. */
static bool is_forwarded(enum host_program program, const struct frame *in)
{
	return program == HOST_BRIDGE ||
	       (program == HOST_CONTAINER && !memcmp(in->bytes, host_mac_db, ETH_ALEN));
}

/* The kernel runs no program on what is no Ethernet frame, nor, at TC, on one with nothing behind
 * its header or (newer ones) with half a network header. */
static bool may_be_refused(enum host_program program, const struct frame *frame)
{
	size_t least = ETH_HLEN;

	if (frame->length < ETH_HLEN)
		return true;
	if (program == HOST_UPLINK_XDP)
		return false;
	if (frame_get16(frame, 12) == ETH_P_IP)
		least += 20;
	else if (frame_get16(frame, 12) == ETH_P_IPV6)
		least += 40;
	else
		least += 1;
	return frame->length < least;
}

static void check(enum host_program program, const struct frame *frame)
{
	struct host_result result;
	int r = host_try(program, frame, NULL, 0, &result);

	if (r == -EINVAL && may_be_refused(program, frame))
		return;
	if (r)
		fail_msg("%s: %zu bytes: %s", host_program_name(program), frame->length,
			 strerror(-r));
	verdicts[program][result.verdict]++;
	if (result.verdict == HOST_REDIRECT && !is_forwarded(program, frame))
		check_translation(program, frame, &result.frame);
	else if (!frame_is_equal(frame, &result.frame))
		fail_with(frame, &result.frame, host_program_name(program));
	if (result.verdict == HOST_REDIRECT && program != HOST_UPLINK_XDP &&
	    host_keeps_complete(frame, &result.frame) &&
	    host_try(program, frame, NULL, BPF_F_TEST_SKB_CHECKSUM_COMPLETE, &result))
		fail_with(frame, &result.frame, "skb->csum no longer fits");
}

static void check_all(const struct frame *frame)
{
	for (int program = 0; program < HOST_PROGRAM_MAX; program++)
		check(program, frame);
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
		check_all(&frame);
	}
}

static void leaves_truncated_frames_alone(void **state)
{
	struct frame frame, whole;
	struct host_result result;

	(void)state;
	host_reset();
	for (size_t base = 0; base < BASE_COUNT; base++) {
		build_base(base, &whole);
		for (size_t length = 1; length <= whole.length; length++) {
			frame = whole;
			frame.length = length;
			check_all(&frame);
			/* The same with an IPv4 length that fits what is left. */
			if (length <= FRAME_TRANSPORT)
				continue;
			frame_put16(&frame, FRAME_IP + 2, length - FRAME_IP);
			frame_sum_ip(&frame);
			check_all(&frame);
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

	switch (below(12)) {
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
	default: /* one bit somewhere */
		frame->bytes[below(frame->length)] ^= 1 << below(8);
		break;
	}
}

static void translates_mutated_frames_wholly_or_not_at_all(void **state)
{
	struct frame frame;

	(void)state;
	host_reset();
	for (int n = 0; n < MUTATED_FRAMES; n++) {
		build_base(below(BASE_COUNT), &frame);
		for (__u32 changes = below(4); changes; changes--)
			mutate(&frame);
		if (below(8) == 0 && frame.length > FRAME_TRANSPORT)
			frame.length -= below(frame.length - FRAME_TRANSPORT);
		if (below(2))
			frame_sum_ip(&frame);
		check_all(&frame);
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
		assert_true(verdicts[program][HOST_REDIRECT] > 1000);
		if (program != HOST_BRIDGE)
			assert_true(verdicts[program][HOST_DROP] > 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_random_bytes_alone),
		cmocka_unit_test(leaves_truncated_frames_alone),
		cmocka_unit_test(translates_mutated_frames_wholly_or_not_at_all),
		cmocka_unit_test(has_seen_every_verdict),
	};

	print_message("seed %d\n", SEED);
	return cmocka_run_group_tests_name("property", tests, host_setup, host_teardown);
}
