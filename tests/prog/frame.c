// SPDX-License-Identifier: GPL-2.0-only
/* Frames for tests. */
#include "tests/prog/frame.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

__be32 frame_address(const char *text)
{
	struct in_addr address;

	assert(inet_pton(AF_INET, text, &address) == 1);
	return address.s_addr;
}

/* RFC 1071, byte by byte: 16-bit words in network byte order, an odd byte is a high one. */
static __u32 sum_bytes(const __u8 *bytes, size_t length)
{
	__u32 sum = 0;

	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? bytes[i] : bytes[i] << 8;
	return sum;
}

static __u16 fold(__u32 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __u32 sum_pseudo(const struct frame *frame, __u8 protocol, size_t length)
{
	return sum_bytes(frame->bytes + FRAME_IP + offsetof(struct iphdr, saddr), 8) + protocol +
	       length;
}

void frame_put16(struct frame *frame, size_t offset, __u16 value_host)
{
	assert(offset + 2 <= FRAME_MAX);
	frame->bytes[offset] = value_host >> 8;
	frame->bytes[offset + 1] = value_host & 0xff;
}

__u16 frame_get16(const struct frame *frame, size_t offset)
{
	return frame->bytes[offset] << 8 | frame->bytes[offset + 1];
}

static void put_address(struct frame *frame, size_t offset, __be32 address)
{
	memcpy(frame->bytes + offset, &address, sizeof(address));
}

void frame_sum_ip(struct frame *frame)
{
	size_t check = FRAME_IP + offsetof(struct iphdr, check);
	size_t length = (frame->bytes[FRAME_IP] & 0xf) * 4;

	frame_put16(frame, check, 0);
	frame_put16(frame, check, ~fold(sum_bytes(frame->bytes + FRAME_IP, length)));
}

static size_t transport_header(const struct frame_spec *spec)
{
	switch (spec->protocol) {
	case IPPROTO_TCP:
		return sizeof(struct tcphdr) + spec->tcp_options;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
		return 8;
	default:
		return 0;
	}
}

/* Header and checksum of what follows the IPv4 header; payload and addresses are in place. */
static void build_transport(const struct frame_spec *spec, struct frame *frame, size_t at,
			    size_t length)
{
	__u8 *bytes = frame->bytes + at;
	size_t check;
	__u16 sum;

	if (spec->protocol == IPPROTO_ICMP) {
		bytes[0] = 8;
		frame_put16(frame, at + 4, spec->from.port_host);
		frame_put16(frame, at + 2, ~fold(sum_bytes(bytes, length)));
		return;
	}
	if (spec->protocol != IPPROTO_TCP && spec->protocol != IPPROTO_UDP)
		return;

	frame_put16(frame, at, spec->from.port_host);
	frame_put16(frame, at + 2, spec->to.port_host);
	if (spec->protocol == IPPROTO_TCP) {
		check = at + offsetof(struct tcphdr, check);
		frame_put16(frame, at + 4, 0x1234);
		frame_put16(frame, at + 6, 0x5678);
		frame_put16(frame, at + 8, 0x9abc);
		bytes[12] = (sizeof(struct tcphdr) + spec->tcp_options) / 4 << 4;
		bytes[13] = 0x18; /* PSH, ACK */
		frame_put16(frame, at + 14, 0xfaf0);
		memset(bytes + sizeof(struct tcphdr), 1, spec->tcp_options); /* no-ops */
	} else {
		check = at + offsetof(struct udphdr, check);
		frame_put16(frame, at + 4, length);
	}
	sum = ~fold(sum_pseudo(frame, spec->protocol, length) + sum_bytes(bytes, length));
	if (spec->protocol == IPPROTO_UDP)
		sum = spec->has_no_checksum ? 0 : sum ? sum : 0xffff;
	frame_put16(frame, check, sum);
}

void frame_build(const struct frame_spec *spec, struct frame *ret_frame)
{
	size_t header = sizeof(struct iphdr) + spec->options;
	size_t at = FRAME_IP + header;
	size_t length = transport_header(spec) + spec->payload;
	size_t payload = at + transport_header(spec);
	struct frame *frame = ret_frame;

	assert(at + length <= FRAME_MAX);
	memset(frame, 0, sizeof(*frame));
	frame->length = at + length;
	memcpy(frame->bytes, spec->mac_to, ETH_ALEN);
	memcpy(frame->bytes + ETH_ALEN, spec->mac_from, ETH_ALEN);
	frame_put16(frame, 12, ETH_P_IP);

	frame->bytes[FRAME_IP] = 0x40 | header / 4;
	frame->bytes[FRAME_IP + 1] = spec->tos;
	frame_put16(frame, FRAME_IP + 2, header + length);
	frame_put16(frame, FRAME_IP + 4, spec->id);
	frame_put16(frame, FRAME_IP + 6, spec->fragment);
	frame->bytes[FRAME_IP + 8] = spec->ttl;
	frame->bytes[FRAME_IP + 9] = spec->protocol;
	put_address(frame, FRAME_IP + 12, spec->from.address);
	put_address(frame, FRAME_IP + 16, spec->to.address);
	memset(frame->bytes + FRAME_TRANSPORT, 1, spec->options); /* no-ops */
	frame_sum_ip(frame);

	for (size_t i = 0; i < spec->payload; i++)
		frame->bytes[payload + i] = i * 7 + 3;
	if (spec->payload_word)
		frame_put16(frame, payload, spec->payload_word);
	build_transport(spec, frame, at, length);
}

void frame_build_other(const struct frame_spec *spec, __u16 ethertype, struct frame *ret_frame)
{
	frame_build(spec, ret_frame);
	frame_put16(ret_frame, 12, ethertype);
}

void frame_add_vlan(struct frame *frame, __u16 id)
{
	assert(frame->length + 4 <= FRAME_MAX);
	memmove(frame->bytes + 16, frame->bytes + 12, frame->length - 12);
	frame->length += 4;
	frame_put16(frame, 12, ETH_P_8021Q);
	frame_put16(frame, 14, id);
}

__u16 frame_ip_sum(const struct frame *frame)
{
	return fold(sum_bytes(frame->bytes + FRAME_IP, sizeof(struct iphdr)));
}

__u16 frame_transport_sum(const struct frame *frame)
{
	size_t length = frame_get16(frame, FRAME_IP + 2) - sizeof(struct iphdr);
	__u8 protocol = frame->bytes[FRAME_IP + 9];

	if (protocol == IPPROTO_UDP)
		length = frame_get16(frame, FRAME_TRANSPORT + 4);
	assert(FRAME_TRANSPORT + length <= frame->length);
	return fold(sum_pseudo(frame, protocol, length) +
		    sum_bytes(frame->bytes + FRAME_TRANSPORT, length));
}

bool frame_is_equal(const struct frame *a, const struct frame *b)
{
	return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

void frame_dump(const struct frame *frame, const struct frame *other, const char *name)
{
	size_t shown = frame->length < 128 ? frame->length : 128;

	fprintf(stderr, "%s, %zu bytes%s:\n", name, frame->length, other ? " (* differs)" : "");
	for (size_t i = 0; i < shown; i++) {
		bool is_other = other && (i >= other->length || other->bytes[i] != frame->bytes[i]);

		if (i % 16 == 0)
			fprintf(stderr, "  %04zx ", i);
		fprintf(stderr, " %02x%c", frame->bytes[i], is_other ? '*' : ' ');
		if (i % 16 == 15 || i + 1 == shown)
			fputc('\n', stderr);
	}
}

void frame_assert_equal(const struct frame *is, const struct frame *want, const char *what)
{
	if (frame_is_equal(is, want))
		return;
	frame_dump(want, NULL, "expected");
	frame_dump(is, want, "came out");
	fail_msg("%s: the frame is another", what);
}
