/* SPDX-License-Identifier: GPL-2.0-only */
/* Flows that did not use the canonical mapping of their container port.
 *
 * A reply is translated by xd_port_rev alone, which knows one host side for each container port.
 * A client that used another (a second address of the host, a second host port) leaves a row
 * here, on every inbound packet if it is missing. An evicted row costs what the container says
 * until the client's next packet: it leaves as if the client had used the canonical mapping. Only
 * ports with such clients look here: flags in their xd_port and xd_port_rev rows say so.
 *
 * Two flows can meet in one row: a client that uses one source port for two host sides of the
 * same container port. In the container they would be one flow, so the second is refused. For
 * that, flows of such ports leave a row even if they use the canonical mapping. The loader raises
 * the flags where two mappings share a container port; with one mapping and several addresses of
 * the host the first exception does, and canonical flows leave their rows from then on. */
#ifndef XD_BPF_EXCEPTION_H
#define XD_BPF_EXCEPTION_H

#include "bpf/maps.h"
#include "bpf/packet.h"

/* Each row is refreshed once in this time. */
#define XD_EXCEPTION_REFRESH_NS 1000000000LL

enum xd_noted {
	XD_NOTED,
	XD_NOTED_CONFLICT, /* another flow has the row */
	XD_NOTED_NOT, /* there is no room, or the mapping is being removed */
};

/* The side that the client of an inbound packet dialled. */
struct xd_dialled {
	__be32 address;
	__be16 port;
	__u16 way; /* enum xd_exception_way */
};

/* The row changes hands in one store, so that a reply sees one owner or the other. */
static __always_inline void take_over(struct xd_exception *row, const struct xd_dialled *dialled,
				      const struct xd_port *port)
{
	union {
		__u64 word;
		struct {
			__be32 address;
			__be16 port;
			__u16 owner;
		};
	} owner = {
		.address = dialled->address,
		.port = dialled->port,
		.owner = port->ifindex,
	};

	*(volatile __u64 *)row = owner.word;
}

/* Can nobody use the row's flow any more? Asked if another flow wants the row. */
static __always_inline bool is_over(const struct xd_exception *row, __u8 protocol,
				    const struct xd_port *port, __u64 now)
{
	struct xd_port_key key = { .address = row->address, .port = row->port,
				   .protocol = protocol };
	struct xd_port *mapping;

	/* Signed: another CPU may have seen a packet of the flow after `now`. */
	if ((__s64)(now - row->seen_ns) >= (__s64)XD_EXCEPTION_IDLE_NS ||
	    (row->owner && row->owner != (__u16)port->ifindex))
		return true;
	/* A flow to the container's own address has no mapping to lose. */
	if (row->address == port->address)
		return false;
	mapping = bpf_map_lookup_elem(&xd_port, &key);
	if (!mapping) {
		key.address = 0;
		mapping = bpf_map_lookup_elem(&xd_port, &key);
	}
	return !mapping || mapping->address != port->address || mapping->port != port->port;
}

/* From now on, look into xd_exception for both directions of this container port. */
static __always_inline bool raise_flags(__u8 protocol, const struct xd_port *port)
{
	struct xd_port_rev_key rev_key = {
		.address = port->address,
		.port = port->port,
		.protocol = protocol,
	};
	struct xd_port_rev *rev = bpf_map_lookup_elem(&xd_port_rev, &rev_key);
	struct xd_port_key key = { .protocol = protocol };
	struct xd_port *canonical;

	if (!rev)
		return false;
	rev->flags |= XD_PORT_REV_EXCEPTION;
	key.address = rev->address;
	key.port = rev->port;
	canonical = bpf_map_lookup_elem(&xd_port, &key);
	if (canonical)
		canonical->flags |= XD_PORT_EXCEPTION;
	return true;
}

/* How replies of a flow find their way. */
enum xd_exception_way {
	XD_BY_MAPPING, /* it uses the canonical mapping: without the row */
	XD_BY_ROW, /* by the row, which flags of the mapping's rows tell to look for */
	XD_BY_SIBLING, /* by the row, which the endpoint's XD_HAIRPIN_SIBLING tells to look for */
};

/* The part of xd_exception_note() behind its key; a global function for the verifier's sake. */
__noinline int xd_exception_put(const struct xd_exception_key *key, const struct xd_port *port,
				const struct xd_dialled *dialled)
{
	struct xd_exception *row;
	struct xd_exception fresh = {};
	bool has_flags;
	__u64 now;
	int r;

	if (!key || !port || !dialled)
		return XD_NOTED_NOT;
	/* A wildcard mapping that was removed and made anew lost them, its flows go on. */
	has_flags = dialled->way != XD_BY_ROW || port->flags & XD_PORT_EXCEPTION ||
		    !(port->flags & XD_PORT_CANONICAL);
	row = bpf_map_lookup_elem(&xd_exception, key);
	now = bpf_ktime_get_coarse_ns();
	if (row) {
		if (row->address != dialled->address || row->port != dialled->port ||
		    row->owner != (__u16)port->ifindex) {
			if (!is_over(row, key->protocol, port, now))
				return XD_NOTED_CONFLICT;
			take_over(row, dialled, port);
		}
		if (has_flags && (__s64)(now - row->seen_ns) < (__s64)XD_EXCEPTION_REFRESH_NS)
			return XD_NOTED;
		row->seen_ns = now;
		return dialled->way != XD_BY_ROW || raise_flags(key->protocol, port) ?
			       XD_NOTED :
			       XD_NOTED_NOT;
	}
	fresh.address = dialled->address;
	fresh.port = dialled->port;
	fresh.owner = port->ifindex;
	fresh.seen_ns = now;
	r = bpf_map_update_elem(&xd_exception, key, &fresh, BPF_NOEXIST);
	/* Replies find their way without the row. */
	if (dialled->way == XD_BY_MAPPING)
		return XD_NOTED;
	/* -EEXIST: the same flow on another CPU, or a second one, which the next packet settles. */
	if (r && r != -EEXIST)
		return XD_NOTED_NOT;
	return dialled->way == XD_BY_SIBLING || raise_flags(key->protocol, port) ? XD_NOTED :
										   XD_NOTED_NOT;
}

/* Before an inbound packet is translated to port. */
static __always_inline enum xd_noted xd_exception_note(const struct xd_packet *packet,
						       const struct xd_port *port,
						       enum xd_exception_way way)
{
	struct xd_exception_key key = {
		.container_address = port->address,
		.client_address = packet->source,
		.container_port = port->port,
		.client_port = packet->source_port,
		.protocol = packet->protocol,
	};
	struct xd_dialled dialled = {
		.address = packet->destination,
		.port = packet->destination_port,
		.way = way,
	};

	return xd_exception_put(&key, port, &dialled);
}

/* Before a packet from outside goes to a container's own address as it is, where a network allows
 * that: its replies must not be translated. Whose the address is, no row here says: owner 0.
 * False: another flow has the row, or there is no room. */
static __always_inline bool xd_exception_note_direct(const struct xd_packet *packet)
{
	struct xd_exception_key key = {
		.container_address = packet->destination,
		.client_address = packet->source,
		.container_port = packet->destination_port,
		.client_port = packet->source_port,
		.protocol = packet->protocol,
	};
	struct xd_port_rev_key rev_key = {
		.address = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	struct xd_exception *row = bpf_map_lookup_elem(&xd_exception, &key);
	struct xd_exception fresh = {
		.address = packet->destination,
		.port = packet->destination_port,
		.seen_ns = bpf_ktime_get_coarse_ns(),
	};
	struct xd_port_rev *rev;

	if (row) {
		__s64 idle_ns = fresh.seen_ns - row->seen_ns;

		if (row->address != fresh.address || row->port != fresh.port) {
			if (idle_ns < (__s64)XD_EXCEPTION_IDLE_NS)
				return false;
		} else if (idle_ns < XD_EXCEPTION_REFRESH_NS) {
			return true;
		}
	}
	rev = bpf_map_lookup_elem(&xd_port_rev, &rev_key);
	if (rev)
		rev->flags |= XD_PORT_REV_EXCEPTION;
	return !bpf_map_update_elem(&xd_exception, &key, &fresh, BPF_ANY);
}

/* The address:port that the client of this reply used, or NULL for the canonical one. */
static __always_inline struct xd_exception *xd_exception_find(const struct xd_packet *packet)
{
	struct xd_exception_key key = {
		.container_address = packet->source,
		.client_address = packet->destination,
		.container_port = packet->source_port,
		.client_port = packet->destination_port,
		.protocol = packet->protocol,
	};

	return bpf_map_lookup_elem(&xd_exception, &key);
}

#endif
