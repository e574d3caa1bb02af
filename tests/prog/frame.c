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

static size_t header_length(const struct frame *frame, size_t at)
{
	return (frame->bytes[at] & 0xf) * 4;
}

void frame_sum_ip(struct frame *frame)
{
	size_t check = FRAME_IP + offsetof(struct iphdr, check);
	size_t length = header_length(frame, FRAME_IP);

	frame_put16(frame, check, 0);
	frame_put16(frame, check, ~fold(sum_bytes(frame->bytes + FRAME_IP, length)));
}

/* CRC32c, bit by bit, lowest first (RFC 9260, appendix A). */
static __u32 crc32c(const __u8 *bytes, size_t length)
{
	__u32 crc = ~0U;

	for (size_t i = 0; i < 8 * length; i++) {
		__u32 bit = (crc ^ bytes[i / 8] >> i % 8) & 1;

		crc = crc >> 1 ^ (bit ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static size_t transport_header(const struct frame_spec *spec)
{
	switch (spec->protocol) {
	case IPPROTO_TCP:
		return sizeof(struct tcphdr) + spec->tcp_options;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
		return 8;
	case IPPROTO_SCTP:
		return 12;
	default:
		return 0;
	}
}

size_t frame_checksum_offset(const struct frame *frame, size_t at)
{
	size_t transport = at + header_length(frame, at);

	switch (frame->bytes[at + offsetof(struct iphdr, protocol)]) {
	case IPPROTO_TCP:
		return transport + offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return transport + offsetof(struct udphdr, check);
	case IPPROTO_ICMP:
		return transport + 2;
	default:
		return 0;
	}
}

__u16 frame_ip_sum(const struct frame *frame, size_t at)
{
	return fold(sum_bytes(frame->bytes + at, sizeof(struct iphdr)));
}

__u16 frame_transport_sum(const struct frame *frame, size_t at)
{
	size_t length = frame_get16(frame, at + 2) - header_length(frame, at);
	__u8 protocol = frame->bytes[at + offsetof(struct iphdr, protocol)];
	__u32 pseudo = sum_bytes(frame->bytes + at + offsetof(struct iphdr, saddr), 8) + protocol;
	size_t room;

	at += header_length(frame, at);
	assert(frame->length >= at);
	if (protocol == IPPROTO_UDP)
		length = frame_get16(frame, at + offsetof(struct udphdr, len));
	room = frame->length - at < length ? frame->length - at : length;
	return fold(sum_bytes(frame->bytes + at, room) +
		    (protocol == IPPROTO_ICMP ? 0 : pseudo + length));
}

bool frame_is_unsummed(const struct frame *frame)
{
	size_t check = frame_checksum_offset(frame, FRAME_IP);
	__u32 length = frame_get16(frame, FRAME_IP + 2) - sizeof(struct iphdr);

	return check && fold(sum_bytes(frame->bytes + FRAME_IP + 12, 8) +
			     frame->bytes[FRAME_IP + 9] + length) == frame_get16(frame, check);
}

void frame_sum_transport(struct frame *frame)
{
	size_t check = frame_checksum_offset(frame, FRAME_IP);
	__u16 sum;

	if (!check)
		return;
	frame_put16(frame, check, 0);
	sum = ~frame_transport_sum(frame, FRAME_IP);
	/* In UDP, 0 says that there is none. */
	if (!sum && frame->bytes[FRAME_IP + 9] == IPPROTO_UDP)
		sum = 0xffff;
	frame_put16(frame, check, sum);
}

/* Header of what follows the IPv4 header, all but the checksum of TCP, UDP and ICMP; payload and
 * addresses are in place. */
static void build_transport(const struct frame_spec *spec, struct frame *frame, size_t at,
			    size_t length)
{
	__u8 *bytes = frame->bytes + at;
	__u32 crc;

	switch (spec->protocol) {
	case IPPROTO_ICMP:
		bytes[0] = spec->is_echo_reply ? 0 : 8;
		frame_put16(frame, at + 4,
			    spec->is_echo_reply ? spec->to.port_host : spec->from.port_host);
		return;
	case IPPROTO_TCP:
		frame_put16(frame, at + 4, 0x1234);
		frame_put16(frame, at + 6, 0x5678);
		frame_put16(frame, at + 8, 0x9abc);
		bytes[12] = (sizeof(struct tcphdr) + spec->tcp_options) / 4 << 4;
		bytes[13] = spec->tcp_flags ? spec->tcp_flags : 0x18;
		frame_put16(frame, at + 14, 0xfaf0);
		memset(bytes + sizeof(struct tcphdr), 1, spec->tcp_options); /* no-ops */
		break;
	case IPPROTO_UDP:
		frame_put16(frame, at + 4, length);
		break;
	case IPPROTO_SCTP:
		if (length > 12)
			bytes[12] = spec->is_sctp_data ? 0 : 1; /* DATA or INIT */
		break;
	default:
		return;
	}
	frame_put16(frame, at, spec->from.port_host);
	frame_put16(frame, at + 2, spec->to.port_host);
	if (spec->protocol != IPPROTO_SCTP)
		return;
	crc = crc32c(bytes, length);
	for (int i = 0; i < 4; i++)
		bytes[8 + i] = crc >> 8 * i;
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
	if (!spec->has_no_checksum)
		frame_sum_transport(frame);
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

void frame_fragment(const struct frame *whole, size_t at, size_t length, struct frame *ret_frame)
{
	size_t all = frame_get16(whole, FRAME_IP + 2) - sizeof(struct iphdr);
	struct frame *frame = ret_frame;

	assert(at % 8 == 0 && at + length <= all);
	memset(frame, 0, sizeof(*frame));
	frame->length = FRAME_TRANSPORT + length;
	memcpy(frame->bytes, whole->bytes, FRAME_TRANSPORT);
	memcpy(frame->bytes + FRAME_TRANSPORT, whole->bytes + FRAME_TRANSPORT + at, length);
	frame_put16(frame, FRAME_IP + 2, sizeof(struct iphdr) + length);
	frame_put16(frame, FRAME_IP + 6,
		    frame_get16(whole, FRAME_IP + 6) | (at + length < all ? FRAME_MF : 0) | at / 8);
	frame_sum_ip(frame);
}

void frame_build_error(const struct frame_spec *spec, __u8 type, __u8 code,
		       const struct frame *about, size_t kept, struct frame *ret_frame)
{
	struct frame_spec error = *spec;

	assert(FRAME_IP + kept <= about->length);
	error.protocol = IPPROTO_ICMP;
	error.payload = kept;
	error.payload_word = 0;
	frame_build(&error, ret_frame);
	ret_frame->bytes[FRAME_TRANSPORT] = type;
	ret_frame->bytes[FRAME_TRANSPORT + 1] = code;
	/* The MTU of the next hop. */
	frame_put16(ret_frame, FRAME_TRANSPORT + 4, 0);
	frame_put16(ret_frame, FRAME_TRANSPORT + 6, type == 3 && code == 4 ? 1400 : 0);
	memcpy(ret_frame->bytes + FRAME_EMBEDDED, about->bytes + FRAME_IP, kept);
	frame_sum_transport(ret_frame);
}

static void swap(__u8 *a, __u8 *b, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		__u8 byte = a[i];

		a[i] = b[i];
		b[i] = byte;
	}
}

/* A word of the transport changes and its checksum with it: what is right stays right, and what a
 * fragment lacks need not be known. */
static void put_summed(struct frame *frame, size_t offset, __u16 value_host)
{
	size_t check = frame_checksum_offset(frame, FRAME_IP);
	__u32 sum = (__u16)~frame_get16(frame, check);

	sum += (__u16)~frame_get16(frame, offset) + value_host;
	frame_put16(frame, offset, value_host);
	frame_put16(frame, check, ~fold(sum));
}

void frame_answer(struct frame *frame)
{
	__u8 *transport = frame->bytes + FRAME_TRANSPORT;
	__u8 protocol = frame->bytes[FRAME_IP + offsetof(struct iphdr, protocol)];
	__u16 word;

	swap(frame->bytes, frame->bytes + ETH_ALEN, ETH_ALEN);
	swap(frame->bytes + FRAME_IP + 12, frame->bytes + FRAME_IP + 16, 4);
	frame->bytes[FRAME_IP + 8] = 64;
	frame_sum_ip(frame);
	/* A later fragment has no ports. */
	if (frame_get16(frame, FRAME_IP + 6) & 0x1fff)
		return;
	if (protocol == IPPROTO_ICMP) {
		put_summed(frame, FRAME_TRANSPORT, frame_get16(frame, FRAME_TRANSPORT) ^ 8 << 8);
		return;
	}
	swap(transport, transport + 2, 2);
	word = frame_get16(frame, FRAME_TRANSPORT + 12);
	if (protocol == IPPROTO_TCP && word & FRAME_SYN)
		put_summed(frame, FRAME_TRANSPORT + 12, word ^ FRAME_ACK);
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
