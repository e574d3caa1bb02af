/* SPDX-License-Identifier: GPL-2.0-only */
/* Datagrams in fragments: only the first one has ports, and the others follow it.
 *
 *   first   [IPv4 id 7, MF][UDP 8761 ..] --> translated; {source, destination, 7, UDP} -> ports
 *   later   [IPv4 id 7, offset 1480]     --> the ports of the row: the same translation
 *
 * The transport checksum covers the whole datagram and stands in the first fragment, so the
 * incremental update there is right for all; of a later one, the IPv4 header alone is rewritten.
 * A row is written for what is translated and for nothing else. One that comes before its first
 * cannot be told from another's datagram: what the host might own goes to the kernel, all else is
 * dropped. Every first fragment ends the row of an earlier datagram, since identifiers come back
 * soon. */
#ifndef XD_BPF_FRAGMENT_H
#define XD_BPF_FRAGMENT_H

#include "bpf/maps.h"
#include "bpf/packet.h"

static __always_inline struct xd_fragment_key fragment_key(const struct xd_packet *packet)
{
	return (struct xd_fragment_key){
		.source = packet->source,
		.destination = packet->destination,
		.id = packet->ip->id,
		.protocol = packet->protocol,
	};
}

static __always_inline bool fragment_put(const struct xd_packet *packet)
{
	struct xd_fragment_key key = fragment_key(packet);
	struct xd_fragment row = {
		.seen_ns = bpf_ktime_get_coarse_ns(),
		.source_port = packet->source_port,
		.destination_port = packet->destination_port,
	};

	return !bpf_map_update_elem(&xd_fragment, &key, &row, BPF_ANY);
}

/* Before a packet is translated, or passed where its later fragments would not be. False: there is
 * no room, and they would be lost. */
static __always_inline bool xd_fragment_note(const struct xd_packet *packet)
{
	if (!xd_packet_is_fragment(packet) || xd_packet_is_later(packet))
		return true;
	return fragment_put(packet);
}

/* A first fragment: whatever a row says of its identifier is of an earlier datagram. */
static __always_inline void xd_fragment_forget(const struct xd_packet *packet)
{
	struct xd_fragment_key key = fragment_key(packet);

	bpf_map_delete_elem(&xd_fragment, &key);
}

/* The ports of a later fragment; false: nobody knows them. */
static __always_inline bool xd_fragment_find(struct xd_packet *packet)
{
	struct xd_fragment_key key = fragment_key(packet);
	struct xd_fragment *row = bpf_map_lookup_elem(&xd_fragment, &key);

	/* Signed: another CPU may have written after this one read the clock. */
	if (!row || (__s64)(bpf_ktime_get_coarse_ns() - row->seen_ns) >= (__s64)XD_FRAGMENT_NS)
		return false;
	packet->source_port = row->source_port;
	packet->destination_port = row->destination_port;
	if (packet->protocol == IPPROTO_ICMP && !row->source_port)
		packet->control = XD_ANSWER;
	return true;
}

#endif
