/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_limit, xd_bucket and xd_list: who may use a published port, and how often. */
#ifndef XD_LIMIT_H
#define XD_LIMIT_H

#include "types.h"

#define XD_LIMIT_RATE 0x1 /* no more packets than the rate */
#define XD_LIMIT_PER_SOURCE 0x2 /* for each client address by itself */
#define XD_LIMIT_LISTED 0x4 /* xd_list has rows of this mapping */
#define XD_LIMIT_ALLOWED 0x8 /* some of them allow: who is on no list is refused */

/* Key: __u32 counter, which is one for each SPEC. Written by the loader. */
struct xd_limit {
	__u64 interval_ns; /* of two packets at the rate */
	__u64 burst_ns; /* how far a client may be ahead of the rate */
	__u32 flags; /* XD_LIMIT_* */
	__u32 rate; /* packets a second, as they were asked for */
};
XD_SIZE(struct xd_limit, 24);

struct xd_bucket_key {
	__u32 counter;
	__be32 source; /* 0: of all */
};
XD_SIZE(struct xd_bucket_key, 8);

/* The generic cell rate algorithm (ITU-T I.371, annex A), which needs one word. */
struct xd_bucket {
	__u64 due_ns; /* CLOCK_MONOTONIC; when the next packet is expected at the rate */
};
XD_SIZE(struct xd_bucket, 8);

/* A longest-prefix-match key: prefix counts the bits of the counter, too. */
struct xd_list_key {
	__u32 prefix; /* 32 and the length of the CIDR */
	__be32 counter;
	__be32 address;
};
XD_SIZE(struct xd_list_key, 12);

#define XD_LIST_ALLOW 1
#define XD_LIST_DENY 2

struct xd_list {
	__u32 verdict; /* XD_LIST_* */
};
XD_SIZE(struct xd_list, 4);

#endif
