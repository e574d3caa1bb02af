/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_count: packets and bytes, for each mapping and each container, in each direction. */
#ifndef XD_COUNT_H
#define XD_COUNT_H

#include "types.h"

/* Rows of counter id N: N * XD_COUNT_DIRECTIONS + direction. Row 0 is nobody's. */
#define XD_COUNT_IN 0 /* to the container */
#define XD_COUNT_OUT 1 /* from the container */
#define XD_COUNT_DIRECTIONS 2

struct xd_count {
	__u64 packets; /* a GSO packet is one */
	__u64 bytes; /* with the Ethernet header */
};
XD_SIZE(struct xd_count, 16);

#endif
