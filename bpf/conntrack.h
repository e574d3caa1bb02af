/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's connection tracking, asked before a flow is taken from it or called unknown: a flow
 * that began before the programs were there is the kernel's to its end. */
#ifndef XD_BPF_CONNTRACK_H
#define XD_BPF_CONNTRACK_H

#include "bpf/packet.h"

/* From nf_conntrack_bpf.c: 12 bytes is the size that all kernels take. */
struct bpf_ct_opts___xd {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

/* Handed back and never looked into; the name and a member are what the loader compares. */
struct nf_conn___xd {
	unsigned long status;
};

extern struct nf_conn___xd *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple,
					 __u32 tuple_size, struct bpf_ct_opts___xd *opts,
					 __u32 opts_size) __ksym __weak;
extern void bpf_ct_release(struct nf_conn___xd *connection) __ksym __weak;

/* At TC, of TCP and UDP. A kernel without connection tracking knows nothing. */
static __always_inline bool xd_conntrack_has(const struct xd_packet *packet)
{
	struct bpf_sock_tuple tuple = {
		.ipv4 = {
			.saddr = packet->source,
			.daddr = packet->destination,
			.sport = packet->source_port,
			.dport = packet->destination_port,
		},
	};
	struct bpf_ct_opts___xd opts = { .netns_id = -1, .l4proto = packet->protocol };
	struct nf_conn___xd *connection;

	if (!bpf_skb_ct_lookup || !bpf_ct_release)
		return false;
	connection = bpf_skb_ct_lookup(packet->ctx, &tuple, sizeof(tuple.ipv4), &opts,
				       sizeof(opts));
	if (!connection)
		return false;
	bpf_ct_release(connection);
	return true;
}

#endif
