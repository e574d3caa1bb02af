/* SPDX-License-Identifier: GPL-2.0-only */
/* What a network device does for the stack, and what it can do for XDP: ethtool's features by name
 * (`ethtool -k`), its driver, and the kernel's own list of XDP features. */
#ifndef XD_OFFLOAD_H
#define XD_OFFLOAD_H

#include <linux/types.h>
#include <stdbool.h>

#define XD_OFFLOAD_GRO 0x01 /* rx-gro; of a veth: what XDP redirects to its peer arrives */
#define XD_OFFLOAD_SUM 0x02 /* tx-checksum-ip-generic: TCP and UDP checksums are left to it */
#define XD_OFFLOAD_SUM_SCTP 0x04 /* tx-checksum-sctp */
#define XD_OFFLOAD_VLAN 0x08 /* tx-vlan-hw-insert: the tag is not in the bytes */
#define XD_OFFLOAD_VLAN_STAG 0x10 /* tx-vlan-stag-hw-insert */
#define XD_OFFLOAD_RX_SUM 0x20 /* rx-checksum */
#define XD_OFFLOAD_LRO 0x40 /* rx-lro */
#define XD_OFFLOAD_GRO_HW 0x80 /* rx-gro-hw */

/* Which of XD_OFFLOAD_* are on. A feature that the device does not have is off.
 * netns_fd: where the device is; -1: in the namespace of the calling thread. */
int xd_offload_get(int netns_fd, const char *link, __u32 *ret_offloads);

/* Those of which are in mask are set as offloads says. Errors: -ENOTSUP when the device keeps
 * one as it was. */
int xd_offload_set(int netns_fd, const char *link, __u32 offloads, __u32 mask);

/* Name of the driver, "" if it does not say. In the namespace of the calling thread. */
void xd_offload_driver(const char *link, char ret_driver[32]);

/* enum netdev_xdp_act of Linux 6.3. */
#define XD_FEATURE_BASIC 0x1 /* programs on the device itself */
#define XD_FEATURE_XMIT 0x4 /* it sends what programs on others redirect to it */

/* False when the kernel cannot tell (before Linux 6.3). In the namespace of the calling thread. */
bool xd_offload_xdp(__u32 ifindex, __u64 *ret_features);

#endif
