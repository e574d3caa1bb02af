/* SPDX-License-Identifier: GPL-2.0-only */
/* Limits that the BPF programs and the loader share. */
#ifndef XD_LIMITS_H
#define XD_LIMITS_H

/* Version of every key, value and map name below include/. It is pinned beside the maps (xd_abi);
 * a loader that finds another one there refuses to touch the instance. */
#define XD_ABI_VERSION 3

#define XD_NAME_LEN 32 /* a container's name, with its NUL */
#define XD_SUBNET_MAX 64 /* networks of one instance */
#define XD_UPLINK_MAX 64 /* uplinks of one instance */
#define XD_ENDPOINT_MAX 16384 /* containers of one instance */
#define XD_PORT_MAX 65536 /* published ports; `up --max-ports` */
#define XD_LOCAL_MAX 4096 /* addresses of the host */
/* Flows that use another address than the canonical one (LRU); `up --max-exceptions` */
#define XD_EXCEPTION_MAX 65536
#define XD_SNAT_MAX 131072 /* flows of containers to the outside (LRU); `up --max-flows` */
#define XD_FRAGMENT_MAX 8192 /* datagrams in fragments (LRU); `up --max-fragments` */
#define XD_LIMIT_MAX 4096 /* mappings with limits or lists */
#define XD_BUCKET_MAX 65536 /* clients that a rate is counted for (LRU) */
#define XD_LIST_MAX 65536 /* CIDRs of all lists */
#define XD_SAMPLE_MAX 8192 /* flows that `flow list --sample` shows at once (LRU) */
#define XD_PEER_MAX 65536 /* sockets of the host that were translated (LRU) */
#define XD_COUNTER_MAX 32768 /* counter ids: one for each mapping and each container */
#define XD_UNDO_MAX 32768 /* changes to the machine that `down` takes back */

#endif
