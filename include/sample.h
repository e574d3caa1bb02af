/* SPDX-License-Identifier: GPL-2.0-only */
/* xd_sample: flows of published ports, which no other map knows, seen while somebody looks. */
#ifndef XD_SAMPLE_H
#define XD_SAMPLE_H

#include "types.h"

/* As the client sends it. */
struct xd_sample_key {
	__be32 client_address;
	__be32 address; /* of the host */
	__be16 client_port;
	__be16 port;
	__u8 protocol;
	__u8 pad[3];
};
XD_SIZE(struct xd_sample_key, 16);

struct xd_sample {
	__u64 packets;
	__u64 bytes; /* with the Ethernet header */
	__be32 container_address;
	__be16 container_port;
	__u16 pad;
};
XD_SIZE(struct xd_sample, 24);

#endif
