/* SPDX-License-Identifier: GPL-2.0-only */
/* Ethernet frames for tests: built field by field, checksums always summed over all bytes, so that
 * nothing here shares an error with the incremental updates of the programs. */
#ifndef TESTS_FRAME_H
#define TESTS_FRAME_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/* BPF_PROG_TEST_RUN takes an skb of less than a page. */
#define FRAME_MAX 3400

/* Offsets in a frame without VLAN tag and IP options. */
#define FRAME_IP 14
#define FRAME_TRANSPORT 34

struct frame {
	size_t length;
	__u8 bytes[FRAME_MAX];
};

struct frame_end {
	__be32 address;
	__u16 port_host;
};

/* Numbers are in host order but for addresses. What is 0 is left as a plain sender would. */
struct frame_spec {
	const __u8 *mac_to;
	const __u8 *mac_from;
	struct frame_end from;
	struct frame_end to;
	__u8 protocol; /* IPPROTO_TCP, UDP, ICMP (an echo request); others carry bare payload */
	__u8 ttl; /* as it is: 0 is 0 */
	__u8 tos;
	__u16 id;
	__u16 fragment; /* DF, MF and offset */
	size_t options; /* bytes of IPv4 options, a multiple of 4 */
	size_t tcp_options; /* likewise */
	size_t payload; /* bytes */
	__u16 payload_word; /* first two bytes of the payload, if not 0 */
	bool has_no_checksum; /* of UDP */
};

__be32 frame_address(const char *text);

void frame_build(const struct frame_spec *spec, struct frame *ret_frame);
/* Frames that are no IPv4: bytes that look like it, under another EtherType (host order). */
void frame_build_other(const struct frame_spec *spec, __u16 ethertype, struct frame *ret_frame);
void frame_add_vlan(struct frame *frame, __u16 id);

/* For fields that are changed afterwards. */
void frame_put16(struct frame *frame, size_t offset, __u16 value_host);
__u16 frame_get16(const struct frame *frame, size_t offset);
/* Sums the IPv4 header anew; the transport checksum stays as it is. */
void frame_sum_ip(struct frame *frame);

/* Folded sums over everything that a checksum covers, itself included: 0xffff says that it is
 * right, and a translation must keep whatever it was. The frame is an unfragmented TCP or UDP
 * packet without options whose lengths fit. */
__u16 frame_ip_sum(const struct frame *frame);
__u16 frame_transport_sum(const struct frame *frame);

/* Fails the test with a dump of both unless they are equal. */
void frame_assert_equal(const struct frame *is, const struct frame *want, const char *what);
bool frame_is_equal(const struct frame *a, const struct frame *b);
void frame_dump(const struct frame *frame, const struct frame *other, const char *name);

#endif
