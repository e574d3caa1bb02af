/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_local: which addresses are the host's own. */
#ifndef XD_LOCAL_H
#define XD_LOCAL_H

#include "types.h"

/* A proof older than this is renewed by asking the FIB. Jiffies, which a program reads without a
 * call: a second where the kernel has 100 of them in one, and less elsewhere. */
#define XD_LOCAL_TTL 100
#define XD_LOCAL_FOUND 1

/* Key: __be32 address. Written by the loader (from rtnetlink) and by the uplink (from the FIB). */
struct xd_local {
	__u64 proved; /* jiffies; when the address was last known to be local; 0: never;
		       * XD_LOCAL_FOUND: by rtnetlink */
};
XD_SIZE(struct xd_local, 8);

#endif
