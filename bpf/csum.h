/* SPDX-License-Identifier: GPL-2.0-only */
/* Internet checksums, updated incrementally (RFC 1624, equation 3). */
#ifndef XD_BPF_CSUM_H
#define XD_BPF_CSUM_H

#include "include/types.h"

/* Checksum field after the 16-bit word `from` of what it covers became `to`. */
static __always_inline __sum16 xd_csum_replace2(__sum16 field, __be16 from, __be16 to)
{
	__u32 sum = (__u16)~field + (__u16)~from + to;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __sum16 xd_csum_replace4(__sum16 field, __be32 from, __be32 to)
{
	field = xd_csum_replace2(field, from & 0xffff, to & 0xffff);
	return xd_csum_replace2(field, from >> 16, to >> 16);
}

/* The same for a field of TCP or UDP in bytes that carry a full checksum. In UDP, 0 says that
 * there is no checksum and stays; a checksum that comes out as 0 is sent as 0xffff (RFC 768). */
static __always_inline __sum16 xd_csum_transport(__sum16 field, __u8 protocol, __be32 address_from,
						 __be32 address_to, __be16 port_from,
						 __be16 port_to)
{
	if (protocol == IPPROTO_UDP && !field)
		return 0;
	field = xd_csum_replace4(field, address_from, address_to);
	field = xd_csum_replace2(field, port_from, port_to);
	if (protocol == IPPROTO_UDP && !field)
		return 0xffff;
	return field;
}

#endif
