/* SPDX-License-Identifier: GPL-2.0-only */
/* Who may address a container itself, instead of a published port of the host.
 *
 *   nat          nobody but its siblings and the host
 *   routed       all: ping and published ports, which are the container's own there
 *   unprotected  all
 *
 * and, whatever the mode, whoever answers a flow that the container opened. From outside, such
 * packets are the kernel's to forward, untranslated. From another network of this host they come
 * from the gateway, as in hairpin.h. An internal network is for its containers and the host
 * alone. */
#ifndef XD_BPF_ISOLATE_H
#define XD_BPF_ISOLATE_H

#include "bpf/hairpin.h"
#include "bpf/subnet.h"

/* May a packet open a flow to the container address that it carries? flags: of its network. */
static __always_inline bool is_admitted(const struct xd_packet *packet, enum xd_layer layer,
					__u16 flags)
{
	struct xd_port_rev_key key = {
		.address = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};

	if (flags & XD_NETWORK_INTERNAL)
		return false;
	if (flags & XD_NETWORK_UNPROTECTED)
		return true;
	if (!(flags & XD_NETWORK_ROUTED) || layer != XD_LAYER_TRANSPORT)
		return false;
	if (packet->protocol == IPPROTO_ICMP)
		return !packet->control;
	return bpf_map_lookup_elem(&xd_port_rev, &key);
}

/* Uplink: a packet to a container's own address. flags: of its network. */
static __always_inline struct xd_verdict xd_isolate_in(const struct xd_packet *packet,
						       enum xd_layer layer, __u16 flags)
{
	bool is_plain = !(flags & XD_NETWORK_MASQUERADE);

	/* Errors about a flow that is not translated need no translation. */
	if (layer == XD_LAYER_ERROR && is_plain && !(flags & XD_NETWORK_INTERNAL))
		return xd_pass();
	/* Without the first one, they are of no use to anybody. */
	if (layer == XD_LAYER_FRAGMENT && !(flags & XD_NETWORK_INTERNAL) &&
	    (is_plain || flags & XD_NETWORK_UNPROTECTED))
		return xd_pass();
	/* Whatever may be somebody's is for the program behind. */
	if (packet->path == XD_PATH_SCREEN) {
		struct xd_snat_rev_key key = xd_snat_rev_key(packet);

		return is_plain || flags & (XD_NETWORK_ROUTED | XD_NETWORK_UNPROTECTED) ||
				       bpf_map_lookup_elem(&xd_snat_rev, &key) ?
			       xd_pass() :
			       xd_drop_for(XD_DROP_DIRECT_ROUTED);
	}
	/* The rows of untranslated flows, which outlive a change of the mode. */
	if (layer == XD_LAYER_TRANSPORT && xd_snat_find_rev(packet))
		return xd_pass();
	if (!is_admitted(packet, layer, flags))
		return xd_drop_for(layer == XD_LAYER_FRAGMENT ? XD_DROP_FRAGMENT :
								XD_DROP_DIRECT_ROUTED);
	/* Its replies would be translated otherwise. */
	if (layer == XD_LAYER_TRANSPORT && !(flags & XD_NETWORK_ROUTED) &&
	    !xd_exception_note_direct(packet))
		return xd_drop_for(XD_DROP_EXCEPTION_FULL);
	return xd_pass();
}

/* Container to a container of another network. flags: of that network. */
static __always_inline struct xd_verdict xd_isolate_out(const struct xd_packet *packet,
							enum xd_layer layer,
							const struct xd_endpoint *endpoint,
							__u16 flags,
							struct xd_translation *ret_translation)
{
	struct xd_address_key key = { .address = packet->destination };
	struct xd_address *address;
	struct xd_server server = {
		.address = packet->destination,
		.port = packet->destination_port,
	};
	struct xd_route route;

	if (packet->path == XD_PATH_DIRECT)
		return xd_detour();
	if (!is_admitted(packet, layer, flags))
		return xd_drop_for(XD_DROP_ISOLATED);
	if (layer != XD_LAYER_TRANSPORT || packet->ip->ttl <= 1 ||
	    xd_route_find(packet, endpoint->bridge, 0, &route) != XD_ROUTED)
		return xd_pass();
	key.bridge = route.verdict.ifindex;
	address = bpf_map_lookup_elem(&xd_address, &key);
	if (!address)
		return xd_pass();
	server.ifindex = address->ifindex;
	server.endpoint = bpf_map_lookup_elem(&xd_endpoint, &server.ifindex);
	if (!server.endpoint || !xd_verdict_is_possible(packet, &server.ifindex))
		return xd_pass();
	return to_server(packet, endpoint, &server, ret_translation);
}

/* Must the frame not get to other containers of the bridge? is_sibling: it is for one of them, by
 * its address; otherwise the MAC address tells. */
static __always_inline bool xd_isolate_siblings(const struct xd_packet *packet,
						const struct xd_endpoint *endpoint, bool is_sibling)
{
	return endpoint->flags & XD_NETWORK_ICC_OFF &&
	       (is_sibling || !xd_mac_is_equal(packet->eth->h_dest, endpoint->gateway_mac));
}

#endif
