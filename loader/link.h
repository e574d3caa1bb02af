/* SPDX-License-Identifier: GPL-2.0-only */
/* rtnetlink: links, addresses, routes, the bridge's forwarding database. The only user of libnl.
 *
 * libnl's own codes are not errno (NLE_EXIST is 6): they are translated here and nowhere else.
 * A struct xd_rtnl is a socket in one network namespace; it stays in that namespace whatever the
 * thread does later. */
#ifndef XD_LINK_H
#define XD_LINK_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

struct xd_rtnl;

/* netns_fd -1: the namespace of the calling thread. The thread's own namespace is unchanged. */
int xd_rtnl_open(int netns_fd, struct xd_rtnl **ret_rtnl);
void xd_rtnl_close(struct xd_rtnl *rtnl); /* NULL is allowed */

struct xd_link {
	__u32 ifindex;
	__u32 master; /* ifindex of its bridge or bond, or 0 */
	__u32 lower; /* ifindex of the device below a VLAN, or of a veth's peer; or 0 */
	__u32 mtu; /* bytes */
	__u16 type; /* ARPHRD_* */
	bool is_up; /* IFF_UP */
	bool is_running; /* and with a carrier: a bridge forwards from this port on */
	bool is_loopback;
	__u8 mac[6]; /* zero where the link has no 6-byte address */
	char name[16];
	char kind[16]; /* "bridge", "veth", ... or "" for hardware */
};

/* Errors: -ENODEV, recorded as missing: "interface NAME: no such interface". */
int xd_link_find(struct xd_rtnl *rtnl, const char *name, struct xd_link *ret_link);
int xd_link_get(struct xd_rtnl *rtnl, __u32 ifindex, struct xd_link *ret_link);

/* All links of the namespace, by ifindex. The caller frees *ret_links. */
int xd_link_list(struct xd_rtnl *rtnl, struct xd_link **ret_links, size_t *ret_count);

/* Errors: -EEXIST when the name is taken. STP off; forward delay as the kernel has it. */
int xd_link_add_bridge(struct xd_rtnl *rtnl, const char *name, const __u8 mac[6], __u32 mtu);

/* One veth pair in one request: the host end NAME with master BRIDGE (ifindex), and its peer
 * made directly in the namespace peer_netns_fd as peer_name, with that MAC address. Both ends
 * get MTU and stay down. Errors: -EEXIST when one of the names is taken: the message says which. */
int xd_link_add_veth(struct xd_rtnl *rtnl, const char *name, __u32 bridge, __u32 mtu,
		     int peer_netns_fd, const char *peer_name, const __u8 peer_mac[6]);

/* No error when the link is not there. */
int xd_link_delete(struct xd_rtnl *rtnl, __u32 ifindex);
int xd_link_set_up(struct xd_rtnl *rtnl, __u32 ifindex, bool is_up);
int xd_link_set_mtu(struct xd_rtnl *rtnl, __u32 ifindex, __u32 mtu);

/* A bridge that was given its own MAC address in this way does not take that of a port. */
int xd_link_set_mac(struct xd_rtnl *rtnl, __u32 ifindex, const __u8 mac[6]);

struct xd_link_address {
	__u32 ifindex;
	__be32 address; /* IFA_LOCAL */
	__be32 mask;
	bool is_secondary;
	__u8 scope; /* RT_SCOPE_* */
};

/* All IPv4 addresses of the namespace. The caller frees *ret_addresses. */
int xd_link_list_addresses(struct xd_rtnl *rtnl, struct xd_link_address **ret_addresses,
			   size_t *ret_count);

/* With the broadcast address that belongs to the mask. No error when it is there already. */
int xd_link_add_address(struct xd_rtnl *rtnl, __u32 ifindex, __be32 address, __be32 mask);

/* No error when it is not there. */
int xd_link_delete_address(struct xd_rtnl *rtnl, __u32 ifindex, __be32 address, __be32 mask);

/* Default route via gateway on ifindex; replaces one that is there. */
int xd_link_add_default_route(struct xd_rtnl *rtnl, __u32 ifindex, __be32 gateway);

/* The address that the namespace uses as its source towards the outside, read from the main
 * table's default route of the lowest metric: its preferred source, else as the kernel chooses
 * among the non-secondary global addresses of its interface: the first one in the gateway's
 * subnet, else the first. Errors: -ENOENT when there is no such route or no such address
 * (recorded as missing). */
int xd_link_default_address(struct xd_rtnl *rtnl, __be32 *ret_address, __u32 *ret_ifindex);

/* Static entry in the forwarding database of the bridge whose port is ifindex: mac is behind it.
 * Why: packets that the fast path carries teach the bridge nothing, and a bridge floods what it
 * has forgotten. No error when it is there already. */
int xd_link_add_fdb(struct xd_rtnl *rtnl, __u32 ifindex, const __u8 mac[6]);

/* Has the interface's clsact qdisc a filter, in either direction? True also if it cannot be
 * told. */
bool xd_link_has_filters(struct xd_rtnl *rtnl, __u32 ifindex);

/* Remove the clsact qdisc and its filters. No error when it is not there. */
int xd_link_delete_clsact(struct xd_rtnl *rtnl, __u32 ifindex);

/* One gratuitous ARP request (RFC 5227 announcement) for address from mac on ifindex, sent in
 * the namespace of the calling thread. */
int xd_link_announce(__u32 ifindex, const __u8 mac[6], __be32 address);

#endif
