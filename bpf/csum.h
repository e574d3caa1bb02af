/* SPDX-License-Identifier: GPL-2.0-only */
/* Internet checksums, updated incrementally (RFC 1624, equation 3). */
#ifndef XD_BPF_CSUM_H
#define XD_BPF_CSUM_H

#include "include/types.h"

/* What a sum gains when a word that it covers changes. Gains add up, and are folded once. */
static __always_inline __u32 xd_csum_gain2(__be16 from, __be16 to)
{
	return (__u16)~from + to;
}

static __always_inline __u32 xd_csum_gain4(__be32 from, __be32 to)
{
	return (~from & 0xffff) + (~from >> 16) + (to & 0xffff) + (to >> 16);
}

/* The checksum field after the gain. */
static __always_inline __sum16 xd_csum_apply(__sum16 field, __u32 gain)
{
	__u32 sum = (__u16)~field + gain; /* of at most 20 words: two folds are enough */

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The same for a field of TCP or UDP in bytes that carry a full checksum. In UDP, 0 says that
 * there is no checksum and stays; a checksum that comes out as 0 is sent as 0xffff (RFC 768). */
static __always_inline __sum16 xd_csum_apply_transport(__sum16 field, __u8 protocol, __u32 gain)
{
	if (protocol == IPPROTO_UDP && !field)
		return 0;
	field = xd_csum_apply(field, gain);
	if (protocol == IPPROTO_UDP && !field)
		return 0xffff;
	return field;
}

#endif
