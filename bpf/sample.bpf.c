// SPDX-License-Identifier: GPL-2.0-only
/* Ingress of an uplink, in front of everything else, while somebody looks: which flows use
 * published ports? They are nowhere remembered, so they are seen only while they send. Every packet
 * passes. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/publish.h"
#include "bpf/verdict.h"

static __always_inline void sample(const struct xd_packet *packet, const struct xd_port *port)
{
	struct xd_sample_key key = {
		.client_address = packet->source,
		.address = packet->destination,
		.client_port = packet->source_port,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	struct xd_sample *row = bpf_map_lookup_elem(&xd_sample, &key);
	struct xd_sample fresh = {
		.packets = 1,
		.bytes = packet->length,
		.container_address = port->address,
		.container_port = port->port,
	};

	if (!row) {
		bpf_map_update_elem(&xd_sample, &key, &fresh, BPF_ANY);
		return;
	}
	__sync_fetch_and_add(&row->packets, 1);
	__sync_fetch_and_add(&row->bytes, packet->length);
}

SEC("tc")
int xd_sample_tc(struct __sk_buff *skb)
{
	struct xd_published published;
	struct xd_packet packet;

	if (skb->pkt_type == PACKET_HOST &&
	    xd_packet_parse_tc(skb, XD_PATH_DIRECT, &packet) >= XD_LAYER_FIRST &&
	    xd_publish_find(&packet, packet.ifindex, &published))
		sample(&packet, published.port);
	return TC_ACT_UNSPEC;
}
