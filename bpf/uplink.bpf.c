// SPDX-License-Identifier: GPL-2.0-only
/* Ingress of an uplink: what the outside sends to published ports, and what it must not send. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/publish.h"
#include "bpf/subnet.h"

static __always_inline struct xd_verdict uplink(const struct xd_packet *packet,
						enum xd_layer layer)
{
	struct xd_published published;

	if (layer == XD_LAYER_NONE)
		return xd_pass();
	if (xd_is_loopback(packet->source) || xd_is_loopback(packet->destination) ||
	    packet->source == packet->destination ||
	    xd_subnet_role(packet->source) != XD_SUBNET_NONE)
		return xd_drop_for(XD_DROP_MARTIAN);
	if (xd_subnet_role(packet->destination) == XD_SUBNET_CONTAINER)
		return xd_drop_for(XD_DROP_DIRECT_ROUTED);
	if (layer == XD_LAYER_TRANSPORT && xd_publish_find(packet, &published))
		return xd_publish_in(packet, &published);
	return xd_pass();
}

SEC("tc")
int xd_uplink_tc(struct __sk_buff *skb)
{
	enum xd_layer layer = XD_LAYER_NONE;
	struct xd_packet packet;

	/* Broadcasts, and other hosts' frames that a promiscuous interface sees, are not ours. */
	if (skb->pkt_type == PACKET_HOST)
		layer = xd_packet_parse_tc(skb, &packet);
	return xd_verdict_tc(skb, uplink(&packet, layer));
}

/* The same test for XDP, where nobody has compared the address with the interface's before. */
static __always_inline bool is_for_host(const struct xd_packet *packet)
{
	for (int i = 0; i < XD_UPLINK_MAX; i++) {
		__u32 ifindex = *(volatile __u32 *)&xd_uplink[i].ifindex;

		if (ifindex == packet->ifindex)
			return xd_mac_is_equal(packet->eth->h_dest, xd_uplink[i].mac);
		if (!ifindex)
			break;
	}
	return false;
}

SEC("xdp")
int xd_uplink_xdp(struct xdp_md *xdp)
{
	struct xd_packet packet;
	enum xd_layer layer = xd_packet_parse_xdp(xdp, &packet);

	if (layer != XD_LAYER_NONE && !is_for_host(&packet))
		layer = XD_LAYER_NONE;
	return xd_verdict_xdp(uplink(&packet, layer));
}
