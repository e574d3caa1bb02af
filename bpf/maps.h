/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps and the global data, in one place: what each holds, who writes, who reads.
 *
 * All of them live as long as their pins, from `up` to `down`. Memory is for the default sizes of
 * limits.h. */
#ifndef XD_BPF_MAPS_H
#define XD_BPF_MAPS_H

#include "include/config.h"
#include "include/count.h"
#include "include/drop.h"
#include "include/endpoint.h"
#include "include/exception.h"
#include "include/fragment.h"
#include "include/limit.h"
#include "include/limits.h"
#include "include/local.h"
#include "include/network.h"
#include "include/peer.h"
#include "include/port.h"
#include "include/reserved.h"
#include "include/sample.h"
#include "include/snat.h"
#include "include/undo.h"
#include "include/uplink.h"

/* From errno.h */
#define EEXIST 17

/* Bridges by ifindex. Written and read by the loader; its subnets are repeated in xd_subnet. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XD_SUBNET_MAX);
	__type(key, __u32);
	__type(value, struct xd_network);
} xd_network SEC(".maps");

/* Containers by the ifindex of their veth's host end. Written by the loader, read by container.
 * A row is 72 bytes and allocated when used. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XD_ENDPOINT_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct xd_endpoint);
} xd_endpoint SEC(".maps");

/* The forwarding table. Written by the loader, read by container and bridge. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XD_ENDPOINT_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct xd_address_key);
	__type(value, struct xd_address);
} xd_address SEC(".maps");

/* The veth host ends that still are the devices that the loader made: the kernel removes a row
 * when it unregisters the device, so an ifindex that is given out again is not found here. The
 * rows of all other maps may be stale; nothing is sent to an ifindex that has no row here.
 * Written by the loader, read by all; target of XDP redirects. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, XD_ENDPOINT_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xd_device SEC(".maps");

/* Published ports. Written by the loader (BPF sets XD_PORT_EXCEPTION), read by uplink and
 * socket. About 140 bytes for each port, allocated when used. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XD_PORT_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct xd_port_key);
	__type(value, struct xd_port);
} xd_port SEC(".maps");

/* The same bijection from the container's side. Written by the loader (BPF sets
 * XD_PORT_REV_EXCEPTION), read by container. About 90 bytes for each port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XD_PORT_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct xd_port_rev_key);
	__type(value, struct xd_port_rev);
} xd_port_rev SEC(".maps");

/* Addresses of the host other than the default one. Written by the loader and by uplink, read by
 * uplink and socket. LRU because packets make rows: 0.4 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XD_LOCAL_MAX);
	__type(key, __be32);
	__type(value, struct xd_local);
} xd_local SEC(".maps");

/* Flows off the canonical mapping. Written by uplink, read by uplink and container: 7 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XD_EXCEPTION_MAX);
	__type(key, struct xd_exception_key);
	__type(value, struct xd_exception);
} xd_exception SEC(".maps");

/* Flows of containers whose source is translated, as the container sends them. Written by container
 * (uplink marks a flow that was answered or closed), read by container: 13 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XD_SNAT_MAX);
	__type(key, struct xd_snat_key);
	__type(value, struct xd_snat);
} xd_snat SEC(".maps");

/* The same flows as they are answered; the row owns the source port. Written by container and
 * uplink, read by uplink, container and socket: 16 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XD_SNAT_MAX);
	__type(key, struct xd_snat_rev_key);
	__type(value, struct xd_snat_rev);
} xd_snat_rev SEC(".maps");

/* Ports of datagrams in fragments. Written and read by uplink and container: 0.7 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XD_FRAGMENT_MAX);
	__type(key, struct xd_fragment_key);
	__type(value, struct xd_fragment);
} xd_fragment SEC(".maps");

/* Mappings with a limit or lists. Written by the loader, read by uplink. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XD_LIMIT_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct xd_limit);
} xd_limit SEC(".maps");

/* What clients have used of a rate. Written by uplink: 5 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XD_BUCKET_MAX);
	__type(key, struct xd_bucket_key);
	__type(value, struct xd_bucket);
} xd_bucket SEC(".maps");

/* Who is allowed or denied, by longest prefix. Written by the loader, read by uplink. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, XD_LIST_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct xd_list_key);
	__type(value, struct xd_list);
} xd_list SEC(".maps");

/* Flows of published ports that xd_sample_tc sees while `flow list --sample` has it attached.
 * Written by sample, read and emptied by the loader: 0.8 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XD_SAMPLE_MAX);
	__type(key, struct xd_sample_key);
	__type(value, struct xd_sample);
} xd_sample SEC(".maps");

/* What sockets of the host dialled before they were translated. Written and read by socket; a
 * row that was evicted costs getpeername() the published address, nothing else: 6 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XD_PEER_MAX);
	__type(key, struct xd_peer_key);
	__type(value, struct xd_peer);
} xd_peer SEC(".maps");

/* Packets and bytes. Written by all, read and zeroed by the loader: 1 MB for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XD_COUNTER_MAX * XD_COUNT_DIRECTIONS);
	__type(key, __u32);
	__type(value, struct xd_count);
} xd_count SEC(".maps");

/* Dropped packets by reason (drop.h). Written by all, read by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XD_DROP_MAX);
	__type(key, __u32);
	__type(value, __u64);
} xd_drop SEC(".maps");

/* Changes to the machine that `down` takes back. The loader's own. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XD_UNDO_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct xd_undo_key);
	__type(value, struct xd_undo);
} xd_undo SEC(".maps");

/* Published ports, which the host's own sockets must not use. Written by the loader, read by
 * all: 24 KB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xd_reserved);
} xd_reserved SEC(".maps");

/* XD_ABI_VERSION, written by the loader that made the instance. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xd_abi SEC(".maps");

/* .rodata: set before load. */
const volatile struct xd_config xd_config;

/* .data: mapped into the loader, read by uplink and container without a lookup. There are few
 * networks and uplinks as a rule, so a walk is cheaper. */
struct xd_host xd_host SEC(".data.xd_host");
struct xd_subnet xd_subnet[XD_SUBNET_MAX] SEC(".data.xd_subnet");
struct xd_uplink xd_uplink[XD_UPLINK_MAX] SEC(".data.xd_uplink");

#endif
