/* SPDX-License-Identifier: GPL-2.0-only */
/* Host ports that have an owner: published, or reserved by the machine's owner. */
#ifndef XD_BPF_RESERVED_H
#define XD_BPF_RESERVED_H

#include "bpf/maps.h"

enum xd_reserved_for {
	XD_RESERVED_PUBLISHED, /* for any address and protocol */
	XD_RESERVED_EVERYTHING, /* that, or excluded in ip_local_reserved_ports */
};

static __always_inline bool xd_reserved_has(__be16 port, enum xd_reserved_for what)
{
	__u32 key = 0, number = bpf_ntohs(port);
	struct xd_reserved *reserved = bpf_map_lookup_elem(&xd_reserved, &key);
	__u8 bits;

	/* The verifier of Linux 6.1 and 6.12 forgets a number's bounds when its bytes change
	 * places, and clang 14 leaves out a bound that it knows to hold: hide what it knows. */
	barrier_var(number);
	number %= 8 * sizeof(reserved->published);
	if (!reserved)
		return false;
	bits = reserved->published[number / 8];
	if (what == XD_RESERVED_EVERYTHING)
		bits |= reserved->excluded[number / 8];
	return bits & 1 << number % 8;
}

#endif
