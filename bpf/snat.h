/* SPDX-License-Identifier: GPL-2.0-only */
/* Flows of containers whose source is translated: their rows, and the port that each owns.
 *
 *   xd_snat      {172.17.0.2:40000 -> 192.0.2.7:80}   -> 198.51.100.1:20000
 *   xd_snat_rev  {192.0.2.7:80 -> 198.51.100.1:20000} -> 172.17.0.2:40000
 *
 * The reverse row is the lock: whoever inserts it, by BPF_NOEXIST, owns the port for that remote.
 * Two CPUs with one flow meet there or at the forward row, and the second takes what the first has
 * found. A row that is over by both halves changes hands by a compare-and-exchange of the word that
 * says whose it is.
 *
 * Both maps are LRU, so either half may be evicted. Whoever still has the other one restores it,
 * at the first packet of a second: each half looks at the other when it renews its time. The port
 * that is tried first depends on the flow alone, so a flow that lost its first half finds the
 * second again. What is over is not deleted, but taken over or evicted.
 *
 * Times and flags are written without a lock: a lost update costs a second, and a state that was
 * missed is set again by the next packet of its kind. A reset only shortens the timeout, and the
 * next packet that is none restores it, since sequence numbers are not checked. */
#ifndef XD_BPF_SNAT_H
#define XD_BPF_SNAT_H

#include "bpf/maps.h"
#include "bpf/packet.h"
#include "bpf/reserved.h"

/* How many ports are tried for a flow, and how many of them the flow alone decides, the same each
 * time: there a flow that lost its first half finds the second. The others are drawn, so that a
 * retransmission looks elsewhere: runs of neighbours fill up long before the pool is full. */
#define XD_SNAT_TRIES 128
#define XD_SNAT_TRIES_OWN 4
#define XD_SNAT_PORT_MIN 1024

enum xd_snat_opened {
	XD_SNAT_OPENED,
	XD_SNAT_NO_PORT,
	XD_SNAT_UNKNOWN, /* in the middle of a flow that has no reverse row either */
	XD_SNAT_FULL,
};

/* The other side of a flow that gets rows, and its choices. */
struct xd_snat_side {
	__be32 address; /* the source that the remote is to see */
	__be16 port; /* tried first */
	__u16 flags; /* XD_SNAT_PLAIN or XD_SNAT_HAIRPIN, or 0 */
	__be32 remote_address; /* the remote as it answers */
	__be16 remote_port;
	bool is_kept; /* no other port than that */
	bool is_found; /* nothing but the reverse row that the flow has already */
	__u32 ifindex; /* as in xd_snat */
	__u32 owner;
};

/* A flow that is to get rows, from who decides that to who does it, in one run of a program. */
struct xd_opening {
	struct xd_snat_key flow;
	struct xd_snat_side side;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xd_opening);
} xd_opening SEC(".maps");

/* A flow while it looks for a port. */
struct search_port {
	void *ctx;
	struct xd_snat_rev_key key;
	struct xd_snat_rev row;
	__u32 start;
	__be16 preferred;
	bool is_found;
	enum xd_snat_opened result;
};

/* The word of a reverse row that says whose it is. */
union snat_owner {
	__u64 word;
	struct {
		__be32 container_address;
		__be16 container_port;
		__u16 owner;
	};
};

static __always_inline bool is_past(__u64 now, __u64 seen_ns, __u64 timeout_ns)
{
	/* Signed: another CPU may have seen a packet of the flow after `now`. */
	return (__s64)(now - seen_ns) >= (__s64)timeout_ns;
}

static __always_inline struct xd_snat_key forward_key(const struct xd_snat_rev_key *key,
						      const struct xd_snat_rev *row)
{
	return (struct xd_snat_key){
		.container_address = row->container_address,
		.remote_address = row->dialled_address,
		.container_port = row->container_port,
		.remote_port = row->dialled_port,
		.protocol = key->protocol,
	};
}

/* Nobody can use the flow of the reverse row any more, by either half. forgiven: flags that do not
 * count. */
static __always_inline bool snat_is_over(const struct xd_snat_rev_key *key,
					 const struct xd_snat_rev *row, __u64 now, __u16 forgiven)
{
	struct xd_snat_key other = forward_key(key, row);
	struct xd_snat *forward;
	__u32 ifindex = row->ifindex;

	if (!bpf_map_lookup_elem(&xd_device, &ifindex))
		return true;
	if (!is_past(now, row->seen_ns, xd_snat_timeout_ns(key->protocol, row->flags & ~forgiven)))
		return false;
	forward = bpf_map_lookup_elem(&xd_snat, &other);
	return !forward || forward->address != key->address || forward->port != key->port ||
	       is_past(now, forward->seen_ns, xd_snat_timeout_ns(key->protocol,
							   forward->flags & ~forgiven));
}

static __always_inline bool is_same_flow(const struct xd_snat_rev *row,
					 const struct xd_snat_rev *mine)
{
	return row->container_address == mine->container_address &&
	       row->container_port == mine->container_port && row->owner == mine->owner &&
	       row->dialled_address == mine->dialled_address &&
	       row->dialled_port == mine->dialled_port;
}

/* A socket of the host that has the port, or has this very flow. */
static __always_inline bool host_has_socket(const struct search_port *search)
{
	struct bpf_sock_tuple tuple = {
		.ipv4 = {
			.saddr = search->key.remote_address,
			.daddr = search->key.address,
			.sport = search->key.remote_port,
			.dport = search->key.port,
		},
	};
	struct bpf_sock *socket;

	if (search->key.protocol == IPPROTO_TCP)
		socket = bpf_skc_lookup_tcp(search->ctx, &tuple, sizeof(tuple.ipv4),
					    BPF_F_CURRENT_NETNS, 0);
	else
		socket = bpf_sk_lookup_udp(search->ctx, &tuple, sizeof(tuple.ipv4),
					   BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return false;
	bpf_sk_release(socket);
	return true;
}

/* Ports that the host neither hands out for its own connections nor needs root for. Where it hands
 * out all of them, flows share them with it, and its sockets are looked for in any case. */
static __always_inline bool xd_snat_has_port(__u32 port_host)
{
	bool is_shared = xd_host.port_low_host <= XD_SNAT_PORT_MIN &&
			 xd_host.port_high_host == 65535;

	return port_host >= XD_SNAT_PORT_MIN &&
	       (is_shared || port_host < xd_host.port_low_host ||
		port_host > xd_host.port_high_host);
}

/* The port to try; 0: none, go on. */
static __always_inline __be16 candidate(const struct search_port *search, __u32 i)
{
	__u32 low = xd_host.port_low_host;
	__u32 high = xd_host.port_high_host < XD_SNAT_PORT_MIN ? XD_SNAT_PORT_MIN - 1 :
								  xd_host.port_high_host;
	__u32 below = low > XD_SNAT_PORT_MIN ? low - XD_SNAT_PORT_MIN : 0;
	__u32 size = below + 65535 - high;
	__u32 at;

	if (!i)
		return xd_snat_has_port(bpf_ntohs(search->preferred)) ? search->preferred : 0;
	if (!size) {
		high = XD_SNAT_PORT_MIN - 1;
		size = 65535 - high;
	}
	at = (i < XD_SNAT_TRIES_OWN ? search->start + i : bpf_get_prandom_u32()) % size;
	return bpf_htons(at < below ? XD_SNAT_PORT_MIN + at : high + 1 + at - below);
}

/* One port for this flow: 1 ends the search. */
static long try_port(__u32 i, void *context)
{
	struct search_port *search = context;
	bool has_pool = !(search->row.flags & XD_SNAT_PLAIN);
	bool has_socket_check = has_pool && (search->key.protocol == IPPROTO_TCP ||
					     search->key.protocol == IPPROTO_UDP);
	union snat_owner mine, theirs;
	struct xd_snat_rev *row;
	int r;

	if (search->key.protocol == IPPROTO_ICMP && has_pool) {
		/* Identifiers belong to nobody; 0 is one of them. */
		search->key.port = !i ? search->preferred :
				   i < XD_SNAT_TRIES_OWN ? bpf_htons(search->start + i) :
							   bpf_htons(bpf_get_prandom_u32());
	} else if (search->key.protocol == IPPROTO_SCTP || !has_pool) {
		search->key.port = search->preferred;
		if (has_pool && xd_reserved_has(search->key.port, XD_RESERVED_EVERYTHING))
			return 0;
	} else {
		search->key.port = candidate(search, i);
		if (!search->key.port ||
		    xd_reserved_has(search->key.port, XD_RESERVED_EVERYTHING))
			return 0;
	}

	row = bpf_map_lookup_elem(&xd_snat_rev, &search->key);
	if (!row && search->is_found)
		return 0;
	if (!row) {
		if (has_socket_check && host_has_socket(search))
			return 0;
		r = bpf_map_update_elem(&xd_snat_rev, &search->key, &search->row, BPF_NOEXIST);
		if (!r) {
			search->result = XD_SNAT_OPENED;
			return 1;
		}
		if (r != -EEXIST) {
			search->result = XD_SNAT_FULL;
			return 1;
		}
		row = bpf_map_lookup_elem(&xd_snat_rev, &search->key);
		if (!row)
			return 0;
	}
	if (!is_same_flow(row, &search->row)) {
		if (search->is_found)
			return 0;
		/* Read first: who takes the row meanwhile changes the word. */
		theirs.word = *(volatile __u64 *)row;
		if (!snat_is_over(&search->key, row, search->row.seen_ns, 0) ||
		    (has_socket_check && host_has_socket(search)))
			return 0;
		mine.container_address = search->row.container_address;
		mine.container_port = search->row.container_port;
		mine.owner = search->row.owner;
		/* The same word, but another flow: two destinations of one socket. */
		if (theirs.word != mine.word &&
		    __sync_val_compare_and_swap((__u64 *)row, theirs.word, mine.word) !=
			    theirs.word)
			return 0;
	}
	row->ifindex = search->row.ifindex;
	row->counter = search->row.counter;
	row->dialled_address = search->row.dialled_address;
	row->dialled_port = search->row.dialled_port;
	row->flags = search->row.flags;
	__builtin_memcpy(row->mac, search->row.mac, sizeof(row->mac));
	__builtin_memcpy(row->gateway_mac, search->row.gateway_mac, sizeof(row->gateway_mac));
	row->mtu = search->row.mtu;
	/* Last: until then, the row is over to a late packet of the earlier flow. */
	*(volatile __u64 *)&row->seen_ns = search->row.seen_ns;
	search->result = XD_SNAT_OPENED;
	return 1;
}

/* Another CPU was first with the same flow and got it another port: that one stays. */
static __always_inline bool has_first(const struct xd_snat_key *flow,
				      const struct search_port *search, const struct xd_snat *mine)
{
	const struct xd_snat *first = bpf_map_lookup_elem(&xd_snat, flow);
	struct xd_snat_rev_key key = search->key;
	const struct xd_snat_rev *reverse;

	if (!first || first->port == mine->port || first->address != mine->address ||
	    first->ifindex != mine->ifindex || first->owner != mine->owner)
		return false;
	key.port = first->port;
	reverse = bpf_map_lookup_elem(&xd_snat_rev, &key);
	if (!reverse || !is_same_flow(reverse, &search->row))
		return false;
	bpf_map_delete_elem(&xd_snat_rev, &search->key);
	return true;
}

/* A new flow, or one that lost a half: find it a port and write both rows. */
__noinline int xd_snat_open(struct __sk_buff *ctx)
{
	__u64 now = bpf_ktime_get_coarse_ns(), mix;
	struct search_port search = { .ctx = ctx, .result = XD_SNAT_NO_PORT };
	struct xd_snat row = { .seen_ns = now };
	const struct xd_endpoint *endpoint;
	const struct xd_snat_side *side;
	struct xd_snat_key flow;
	struct xd_opening *opening;
	__u32 key = 0, owner;
	int r;

	opening = bpf_map_lookup_elem(&xd_opening, &key);
	if (!opening)
		return XD_SNAT_FULL;
	side = &opening->side;
	flow = opening->flow;
	owner = side->owner;
	endpoint = bpf_map_lookup_elem(&xd_endpoint, &owner);
	if (!endpoint)
		return XD_SNAT_NO_PORT;

	search.key.remote_address = side->remote_address;
	search.key.address = side->address;
	search.key.remote_port = side->remote_port;
	search.key.protocol = flow.protocol;
	search.row.container_address = flow.container_address;
	search.row.container_port = flow.container_port;
	search.row.owner = owner;
	search.row.seen_ns = now;
	search.row.ifindex = owner;
	search.row.counter = endpoint->counter;
	search.row.dialled_address = flow.remote_address;
	search.row.dialled_port = flow.remote_port;
	search.row.flags = side->flags;
	search.row.mtu = endpoint->mtu;
	__builtin_memcpy(search.row.mac, endpoint->mac, sizeof(search.row.mac));
	__builtin_memcpy(search.row.gateway_mac, endpoint->gateway_mac,
			 sizeof(search.row.gateway_mac));
	search.preferred = side->port;
	mix = ((__u64)flow.container_address << 32 | flow.remote_address) ^
	      ((__u64)flow.container_port << 16 | flow.remote_port);
	/* Fibonacci hashing: the high half depends on all bits. */
	search.start = (mix * 0x9e3779b97f4a7c15ULL) >> 32;
	search.is_found = side->is_found;
	if (side->is_found)
		search.result = XD_SNAT_UNKNOWN;
	bpf_loop(side->is_kept ? 1 : side->is_found ? XD_SNAT_TRIES_OWN : XD_SNAT_TRIES, try_port,
		 &search, 0);
	if (search.result != XD_SNAT_OPENED)
		return search.result;

	row.address = side->address;
	row.port = search.key.port;
	row.flags = side->flags;
	row.ifindex = side->ifindex;
	row.owner = owner;
	r = bpf_map_update_elem(&xd_snat, &flow, &row, BPF_NOEXIST);
	if (r == -EEXIST && has_first(&flow, &search, &row))
		return XD_SNAT_OPENED;
	if (r == -EEXIST)
		r = bpf_map_update_elem(&xd_snat, &flow, &row, BPF_ANY);
	/* Without it, the reverse row is over when its time is. */
	return r ? XD_SNAT_FULL : XD_SNAT_OPENED;
}

/* What a packet makes of a flow's flags. */
static __always_inline __u16 next_flags(__u16 flags, __u8 tcp_flags, __u16 fin, __u16 more)
{
	const __u16 closed = XD_SNAT_FIN_OUT | XD_SNAT_FIN_IN;

	if ((tcp_flags & (XD_TCP_SYN | XD_TCP_ACK)) == XD_TCP_SYN &&
	    (flags & XD_SNAT_RST || (flags & closed) == closed))
		flags &= ~(closed | XD_SNAT_RST | XD_SNAT_REPLIED);
	flags &= ~XD_SNAT_RST;
	if (tcp_flags & XD_TCP_RST)
		flags |= XD_SNAT_RST;
	if (tcp_flags & XD_TCP_FIN)
		flags |= fin;
	return flags | more;
}

/* Does the packet need more of a row than its address and port? */
static __always_inline bool is_due(__u64 now, __u64 seen_ns, __u16 flags, __u8 tcp_flags)
{
	return is_past(now, seen_ns, XD_SNAT_SECOND_NS) || flags & XD_SNAT_RST ||
	       tcp_flags & (XD_TCP_FIN | XD_TCP_SYN | XD_TCP_RST);
}

/* Renew a flow by a packet of the container. False: its reverse row is another's by now or gone;
 * xd_snat_open() restores it, if it can. Apart for the same reason as xd_snat_open(). */
__noinline int xd_snat_renew_out(struct xd_snat *row, const struct xd_snat_rev_key *key,
				 const struct xd_snat_key *forward, __u32 tcp_flags)
{
	struct xd_snat_rev *reverse;

	if (!row || !key || !forward)
		return false;
	reverse = bpf_map_lookup_elem(&xd_snat_rev, key);
	if (!reverse || reverse->container_address != forward->container_address ||
	    reverse->container_port != forward->container_port ||
	    reverse->dialled_address != forward->remote_address ||
	    reverse->dialled_port != forward->remote_port || reverse->ifindex != row->owner)
		return false;
	/* The reverse half may know more: a reply that came in since. */
	row->flags = next_flags(row->flags | (reverse->flags & XD_SNAT_REPLIED), tcp_flags,
				XD_SNAT_FIN_OUT, 0);
	reverse->flags = row->flags;
	row->seen_ns = bpf_ktime_get_coarse_ns();
	return true;
}

/* Renew a flow by a packet of the remote. False: it is over. */
__noinline int xd_snat_renew_in(struct xd_snat_rev *row, const struct xd_snat_rev_key *key,
				__u32 tcp_flags)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct xd_snat *forward;
	struct xd_snat_key other;

	if (!row || !key)
		return false;
	other = forward_key(key, row);
	/* A reset may be forged: it makes room for others, and cuts nobody off. */
	if (snat_is_over(key, row, now, XD_SNAT_RST))
		return false;
	row->flags = next_flags(row->flags, tcp_flags, XD_SNAT_FIN_IN, XD_SNAT_REPLIED);
	row->seen_ns = now;
	forward = bpf_map_lookup_elem(&xd_snat, &other);
	if (forward) {
		if (forward->address == key->address && forward->port == key->port)
			forward->flags = row->flags;
	} else {
		struct xd_snat fresh = {
			.address = key->address,
			.port = key->port,
			.flags = row->flags,
			.seen_ns = now,
			.owner = row->ifindex,
		};

		/* Without room, the next second's packet tries again. */
		bpf_map_update_elem(&xd_snat, &other, &fresh, BPF_NOEXIST);
	}
	return true;
}

/* As a packet of the remote has it. */
static __always_inline struct xd_snat_rev_key xd_snat_rev_key(const struct xd_packet *packet)
{
	return (struct xd_snat_rev_key){
		.remote_address = packet->source,
		.address = packet->destination,
		.remote_port = packet->source_port,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
}

/* As a packet of the container has it. */
static __always_inline struct xd_snat_key xd_snat_key(const struct xd_packet *packet)
{
	return (struct xd_snat_key){
		.container_address = packet->source,
		.remote_address = packet->destination,
		.container_port = packet->source_port,
		.remote_port = packet->destination_port,
		.protocol = packet->protocol,
	};
}

/* The flow that a packet from a remote answers, renewed; NULL: none. */
static __always_inline struct xd_snat_rev *xd_snat_find_rev(const struct xd_packet *packet)
{
	struct xd_snat_rev_key key = xd_snat_rev_key(packet);
	struct xd_snat_rev *row;

	/* Who asks for a connection answers none. */
	if ((packet->control & (XD_TCP_SYN | XD_TCP_ACK)) == XD_TCP_SYN)
		return NULL;
	row = bpf_map_lookup_elem(&xd_snat_rev, &key);
	if (!row)
		return NULL;
	if ((!(row->flags & XD_SNAT_REPLIED) ||
	     is_due(bpf_ktime_get_coarse_ns(), row->seen_ns, row->flags, packet->control)) &&
	    !xd_snat_renew_in(row, &key, packet->control))
		return NULL;
	return row;
}

#endif
