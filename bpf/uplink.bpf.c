// SPDX-License-Identifier: GPL-2.0-only
/* Ingress of an uplink: what the outside sends to published ports and answers to containers, and
 * what it must not send. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/icmp.h"
#include "bpf/isolate.h"
#include "bpf/masquerade.h"
#include "bpf/publish.h"
#include "bpf/subnet.h"
#include "bpf/uplink.h"

/* A port is published or a flow's, seldom both: published first, since it costs a bit to know. */
static __always_inline struct xd_verdict to_port(const struct xd_packet *packet)
{
	struct xd_translation translation;
	struct xd_published published;
	struct xd_verdict verdict;
	bool is_published = xd_reserved_has(packet->destination_port, XD_RESERVED_PUBLISHED) &&
			    xd_publish_find(packet, packet->ifindex, &published);

	if (packet->path == XD_PATH_SCREEN && !is_published)
		return xd_pass();
	/* A flow that had the port before it was published keeps it. */
	if (!is_published || published.port->flags & XD_PORT_MASQUERADED) {
		verdict = xd_masquerade_in(packet, &translation);
		if (verdict.action == XD_TRANSLATE)
			return xd_translate_do(packet, &translation);
		if (!is_published || verdict.action != XD_PASS)
			return verdict;
	}
	verdict = xd_publish_in(packet, &published, &translation);
	return verdict.action == XD_TRANSLATE ? xd_translate_do(packet, &translation) : verdict;
}

/* Does the packet claim to be from the host itself? */
static __always_inline bool is_own(const struct xd_packet *packet)
{
	return xd_host.sources & xd_host_bit(packet->source) &&
	       xd_local_is_known(packet->source) &&
	       xd_local_has(packet, packet->ifindex, packet->source);
}

/* An ICMP error: about a packet of which flow? */
static __always_inline struct xd_verdict about(const struct xd_packet *packet)
{
	struct xd_translation translation;
	struct xd_packet mirrored;
	struct xd_verdict verdict;

	if (!xd_icmp_mirror(packet, &mirrored))
		return xd_pass();
	verdict = xd_icmp_in(packet, &mirrored, &translation);
	return verdict.action == XD_TRANSLATE ? xd_icmp_do(packet, &mirrored, &translation) :
						verdict;
}

static __always_inline struct xd_verdict uplink(struct xd_packet *packet, enum xd_layer layer)
{
	enum xd_subnet_role role;
	__u16 flags;

	/* ICMP errors are another function's, which says no more than that to all others. */
	if ((packet->path == XD_PATH_ERROR) != (layer == XD_LAYER_ERROR))
		return xd_detour();
	if (layer == XD_LAYER_NONE)
		return xd_pass();
	if (layer == XD_LAYER_HIDDEN)
		return xd_drop_for(XD_DROP_MARTIAN);
	if (xd_is_loopback(packet->source) || xd_is_loopback(packet->destination) ||
	    packet->source == packet->destination || xd_is_nobody(packet->source) ||
	    xd_subnet_role(packet->source) != XD_SUBNET_NONE || is_own(packet))
		return xd_drop_for(XD_DROP_MARTIAN);
	if (packet->path == XD_PATH_SCREEN && layer == XD_LAYER_FRAGMENT)
		return xd_pass();
	if (layer == XD_LAYER_FIRST) {
		if (packet->path != XD_PATH_SCREEN)
			xd_fragment_forget(packet);
		layer = XD_LAYER_TRANSPORT;
	} else if (layer == XD_LAYER_FRAGMENT && xd_fragment_find(packet)) {
		layer = XD_LAYER_TRANSPORT;
	}
	role = xd_subnet_find(packet->destination, &flags);
	if (role == XD_SUBNET_CONTAINER)
		return xd_isolate_in(packet, layer, flags);
	if (packet->path == XD_PATH_ERROR)
		return about(packet);
	return layer == XD_LAYER_TRANSPORT ? to_port(packet) : xd_pass();
}

static __always_inline int uplink_tc(struct __sk_buff *skb, enum xd_path path)
{
	enum xd_layer layer = XD_LAYER_NONE;
	struct xd_packet packet;

	/* Broadcasts, and other hosts' frames that a promiscuous interface sees, are not ours. */
	if (skb->pkt_type != PACKET_HOST)
		return TC_ACT_UNSPEC;
	layer = xd_packet_parse_tc(skb, path, &packet);
	return xd_verdict_tc(skb, uplink(&packet, layer));
}

__noinline int xd_uplink_error_tc(struct __sk_buff *skb)
{
	return uplink_tc(skb, XD_PATH_ERROR);
}

SEC("tc")
int xd_uplink_tc(struct __sk_buff *skb)
{
	int verdict = uplink_tc(skb, XD_PATH_DIRECT);

	return verdict == XD_ACT_DETOUR ? xd_uplink_error_tc(skb) : verdict;
}

/* The same test for XDP, where nobody has compared the address with the interface's before. While
 * somebody samples, what would be carried is for TC to see. */
static __always_inline bool is_for_xdp(const struct xd_packet *packet)
{
	struct xd_uplink *uplink = xd_uplink_find(packet->ifindex);

	return uplink && xd_mac_is_equal(packet->eth->h_dest, uplink->mac) &&
	       (packet->path == XD_PATH_SCREEN || !(uplink->flags & XD_UPLINK_SAMPLED));
}

static __always_inline int uplink_xdp(struct xdp_md *xdp, enum xd_path path)
{
	struct xd_packet packet;
	enum xd_layer layer = xd_packet_parse_xdp(xdp, path, &packet);

	if (layer == XD_LAYER_NONE || !is_for_xdp(&packet))
		return XDP_PASS;
	if (path == XD_PATH_DIRECT && layer == XD_LAYER_TRANSPORT &&
	    xd_packet_is_unsummed(xdp, &packet))
		return XDP_PASS;
	return xd_verdict_xdp(uplink(&packet, layer));
}

__noinline int xd_uplink_error_xdp(struct xdp_md *xdp)
{
	return uplink_xdp(xdp, XD_PATH_ERROR);
}

SEC("xdp")
int xd_uplink_xdp(struct xdp_md *xdp)
{
	int verdict = uplink_xdp(xdp, XD_PATH_DIRECT);

	return verdict == XD_ACT_DETOUR ? xd_uplink_error_xdp(xdp) : verdict;
}

/* In front of the TC program where XDP is not asked for: drops early, and leaves the rest alone. */
SEC("xdp")
int xd_screen_xdp(struct xdp_md *xdp)
{
	int verdict = uplink_xdp(xdp, XD_PATH_SCREEN);

	return verdict == XD_ACT_DETOUR ? XDP_PASS : verdict;
}
