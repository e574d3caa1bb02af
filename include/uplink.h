/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_uplink: the interfaces through which the outside comes. */
#ifndef XD_UPLINK_H
#define XD_UPLINK_H

#include "types.h"

/* XDP programs may redirect frames to it, and do. */
#define XD_UPLINK_XDP 0x1
/* `flow list --sample` looks at what arrives at TC: XDP leaves everything to it meanwhile. */
#define XD_UPLINK_SAMPLED 0x2
/* XD_WANT_* of hook.h, in these bits. */
#define XD_UPLINK_WANT 0xf0
#define XD_UPLINK_WANT_SHIFT 4

/* One row of xd_uplink, which is walked up to the first ifindex 0. Written by the loader. */
struct xd_uplink {
	__u32 ifindex;
	__u8 mac[6];
	__u16 flags; /* XD_UPLINK_* */
	char name[16]; /* with its NUL (IFNAMSIZ) */
};
XD_SIZE(struct xd_uplink, 28);

#endif
