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
#define FRAME_EMBEDDED 42 /* in an ICMP error, the packet that it is about */

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
	/* IPPROTO_TCP, UDP, SCTP, ICMP; others carry bare payload. ICMP is echo, its identifier the
	 * port of who asked. */
	__u8 protocol;
	__u8 ttl; /* as it is: 0 is 0 */
	__u8 tos;
	__u16 id;
	__u16 fragment; /* DF, MF and offset */
	size_t options; /* bytes of IPv4 options, a multiple of 4 */
	size_t tcp_options; /* likewise */
	__u8 tcp_flags; /* 0: PSH and ACK */
	size_t payload; /* bytes */
	__u16 payload_word; /* first two bytes of the payload, if not 0 */
	bool has_no_checksum; /* of UDP */
	bool is_sctp_data; /* its first chunk: DATA instead of INIT */
	bool is_echo_reply;
};

#define FRAME_DF 0x4000
#define FRAME_MF 0x2000
#define FRAME_FIN 0x01
#define FRAME_SYN 0x02
#define FRAME_RST 0x04
#define FRAME_ACK 0x10

__be32 frame_address(const char *text);

void frame_build(const struct frame_spec *spec, struct frame *ret_frame);
/* Frames that are no IPv4: bytes that look like it, under another EtherType (host order). */
void frame_build_other(const struct frame_spec *spec, __u16 ethertype, struct frame *ret_frame);
void frame_add_vlan(struct frame *frame, __u16 id);
/* The part of an IPv4 packet that begins at a multiple of 8 bytes behind its header. */
void frame_fragment(const struct frame *whole, size_t at, size_t length, struct frame *ret_frame);
/* An ICMP error from and to the ends of spec about the packet of a frame, of which it carries kept
 * bytes from its IPv4 header on. */
void frame_build_error(const struct frame_spec *spec, __u8 type, __u8 code,
		       const struct frame *about, size_t kept, struct frame *ret_frame);

/* For fields that are changed afterwards. */
void frame_put16(struct frame *frame, size_t offset, __u16 value_host);
__u16 frame_get16(const struct frame *frame, size_t offset);
/* Sums the IPv4 header anew; the transport checksum stays as it is. */
void frame_sum_ip(struct frame *frame);
/* Sums the transport of a whole packet anew, where it has a checksum. */
void frame_sum_transport(struct frame *frame);
/* Both ends change places, on every layer, and a request becomes its reply: TCP's SYN a SYN with
 * ACK, an echo request the reply. A fresh TTL of 64. */
void frame_answer(struct frame *frame);

/* Folded sums over everything that a checksum covers, itself included, of a packet without options
 * at FRAME_IP or FRAME_EMBEDDED: 0xffff says that it is right, and a translation must keep whatever
 * it was. What is cut off counts as 0: in and out of a translation lack the same. */
__u16 frame_ip_sum(const struct frame *frame, size_t at);
/* Does TCP's or UDP's checksum look like that of a frame whose device is to sum it? Then XDP leaves it
 * to TC: one of 65536 complete ones does, too. */
bool frame_is_unsummed(const struct frame *frame);

__u16 frame_transport_sum(const struct frame *frame, size_t at);
/* Where the checksum of the transport is, of the packet at `at`. 0: it has none. */
size_t frame_checksum_offset(const struct frame *frame, size_t at);

/* Fails the test with a dump of both unless they are equal. */
void frame_assert_equal(const struct frame *is, const struct frame *want, const char *what);
bool frame_is_equal(const struct frame *a, const struct frame *b);
void frame_dump(const struct frame *frame, const struct frame *other, const char *name);

#endif
