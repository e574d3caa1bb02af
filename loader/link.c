// SPDX-License-Identifier: GPL-2.0-only
/* rtnetlink: links, addresses, routes, the bridge's forwarding database.
 *
 * Every request is one exchange: a message out; then objects in, up to the acknowledgement, the
 * error or the end of the dump that closes it. So nothing of one exchange is left in the socket
 * for the next. The kernel's own errno and its text are taken from the message by an error
 * callback, as libnl's codes fold several errno into one. A dump during which something changed
 * is read again from the start. */
#include "loader/link.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loader/error.h"
#include "loader/netns.h"

/* A dump of 5000 links takes some milliseconds, and is disturbed only by changes within them. */
#define DUMP_TRIES 64

/* The kernel fills up to 32 KiB of a dump into one answer; a longer one makes libnl grow it. */
#define RECEIVE_SIZE 65536

/* Called for each object of an answer. */
typedef int receive_t(struct nlmsghdr *header, void *arg);

struct xd_rtnl {
	struct nl_sock *socket;
	/* The exchange under way: */
	receive_t *receive;
	void *arg;
	bool is_done;
	int r; /* negative errno: of the kernel, or of receive */
	char text[128]; /* the kernel's own explanation, or "" */
};

/* What libnl itself may fail with: the kernel's errors do not come this way. */
static int to_errno(int code)
{
	switch (code) {
	case -NLE_NOMEM:
		return -ENOMEM;
	case -NLE_DUMP_INTR:
		return -EINTR;
	case -NLE_PERM:
	case -NLE_NOACCESS:
		return -EPERM;
	case -NLE_PROTO_MISMATCH:
	case -NLE_AF_NOSUPPORT:
		return -EAFNOSUPPORT;
	case -NLE_MSGSIZE:
	case -NLE_MSG_TRUNC:
	case -NLE_MSG_OVERFLOW:
		return -EMSGSIZE;
	default:
		return -EIO;
	}
}

static int on_object(struct nl_msg *msg, void *arg)
{
	struct xd_rtnl *rtnl = arg;
	int r;

	/* After a failure the rest is read and thrown away. */
	if (!rtnl->receive || rtnl->r)
		return NL_OK;
	r = rtnl->receive(nlmsg_hdr(msg), rtnl->arg);
	if (r)
		rtnl->r = r;
	return NL_OK;
}

/* Acknowledgement, or the end of a dump, which may carry an error, too. */
static int on_done(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct xd_rtnl *rtnl = arg;
	int r = 0;

	if (nlmsg_datalen(header) >= (int)sizeof(r))
		memcpy(&r, nlmsg_data(header), sizeof(r));
	if (r < 0)
		rtnl->r = r;
	rtnl->is_done = true;
	return NL_OK;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
	/* libnl passes the payload; the flags are in the header before it. */
	struct nlmsghdr *header = (struct nlmsghdr *)((char *)error - NLMSG_HDRLEN);
	struct xd_rtnl *rtnl = arg;
	struct nlattr *text = NULL;

	(void)from;
	if (header->nlmsg_flags & NLM_F_ACK_TLVS)
		text = nlmsg_find_attr(header, sizeof(*error), NLMSGERR_ATTR_MSG);
	if (text)
		nla_strlcpy(rtnl->text, text, sizeof(rtnl->text));
	rtnl->r = error->error;
	rtnl->is_done = true;
	return NL_STOP;
}

static int open_socket(struct nl_sock **ret_socket)
{
	struct nl_sock *nl;
	int one = 1, r;

	nl = nl_socket_alloc();
	if (!nl)
		return xd_error_system(-ENOMEM, "rtnetlink socket");
	r = nl_connect(nl, NETLINK_ROUTE); /* O_CLOEXEC */
	if (!r)
		r = nl_socket_set_msg_buf_size(nl, RECEIVE_SIZE);
	if (r) {
		nl_socket_free(nl);
		return xd_error_system(to_errno(r), "rtnetlink socket");
	}
	nl_socket_enable_msg_peek(nl);
	/* Texts with errors, and no copy of the request between the two. */
	setsockopt(nl_socket_get_fd(nl), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(nl_socket_get_fd(nl), SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	*ret_socket = nl;
	return 0;
}

static int open_socket_in(int netns_fd, struct nl_sock **ret_socket)
{
	int home, r;

	r = xd_netns_open_self(&home);
	if (r)
		return r;
	r = xd_netns_enter(netns_fd);
	if (!r) {
		r = open_socket(ret_socket);
		/* In a namespace that is not its own, all that the process does next would be
		 * wrong. */
		if (xd_netns_enter(home))
			abort();
	}
	close(home);
	return r;
}

int xd_rtnl_open(int netns_fd, struct xd_rtnl **ret_rtnl)
{
	struct xd_rtnl *rtnl;
	int r;

	rtnl = calloc(1, sizeof(*rtnl));
	if (!rtnl)
		return xd_error_system(-ENOMEM, "rtnetlink socket");
	r = netns_fd < 0 ? open_socket(&rtnl->socket) : open_socket_in(netns_fd, &rtnl->socket);
	if (r) {
		free(rtnl);
		return r;
	}
	nl_socket_modify_cb(rtnl->socket, NL_CB_VALID, NL_CB_CUSTOM, on_object, rtnl);
	nl_socket_modify_cb(rtnl->socket, NL_CB_ACK, NL_CB_CUSTOM, on_done, rtnl);
	nl_socket_modify_cb(rtnl->socket, NL_CB_FINISH, NL_CB_CUSTOM, on_done, rtnl);
	nl_socket_modify_err_cb(rtnl->socket, NL_CB_CUSTOM, on_error, rtnl);
	*ret_rtnl = rtnl;
	return 0;
}

void xd_rtnl_close(struct xd_rtnl *rtnl)
{
	if (!rtnl)
		return;
	nl_socket_free(rtnl->socket);
	free(rtnl);
}

/* A request is written without a look at the results: a message that could not be allocated is
 * NULL all the way to exchange(), and whatever is put into one here fits into its page. */
static struct nl_msg *request(int type, int flags, const void *head, size_t size)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	if (msg && nlmsg_append(msg, (void *)head, size, NLMSG_ALIGNTO))
		assert(!"a page holds the head of a message");
	return msg;
}

static void put(struct nl_msg *msg, int type, const void *data, size_t size)
{
	if (msg && nla_put(msg, type, size, data))
		assert(!"a page holds every request");
}

static void put_text(struct nl_msg *msg, int type, const char *text)
{
	put(msg, type, text, strlen(text) + 1);
}

static struct nlattr *open_nest(struct nl_msg *msg, int type)
{
	return msg ? nla_nest_start(msg, type) : NULL;
}

static void close_nest(struct nl_msg *msg, struct nlattr *nest)
{
	if (msg)
		nla_nest_end(msg, nest);
}

/* Send msg, which is freed, and read the answer. Records no error. */
static int exchange(struct xd_rtnl *rtnl, struct nl_msg *msg, receive_t *receive, void *arg)
{
	int code;

	if (!msg)
		return -ENOMEM;
	rtnl->receive = receive;
	rtnl->arg = arg;
	rtnl->is_done = false;
	rtnl->r = 0;
	rtnl->text[0] = 0;
	code = nl_send_auto(rtnl->socket, msg);
	nlmsg_free(msg);
	while (code >= 0 && !rtnl->is_done)
		code = nl_recvmsgs_default(rtnl->socket);
	if (rtnl->r)
		return rtnl->r;
	return code < 0 ? to_errno(code) : 0;
}

/* Objects of a dump that receive keeps. */
struct list {
	char *items;
	size_t count;
	size_t room;
};

static void *append(struct list *list, size_t size)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 16;
		char *items = realloc(list->items, room * size);

		if (!items)
			return NULL;
		list->items = items;
		list->room = room;
	}
	return memset(list->items + list->count++ * size, 0, size);
}

/* The caller frees list->items after success. */
static int dump(struct xd_rtnl *rtnl, int type, const void *head, size_t size, receive_t *receive,
		struct list *list, const char *what)
{
	int i, r = -EINTR;

	for (i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		list->count = 0;
		r = exchange(rtnl, request(type, NLM_F_DUMP, head, size), receive, list);
	}
	if (!r)
		return 0;
	free(list->items);
	if (r == -EINTR)
		return xd_error_system(-EBUSY, "%s: changed during each of %d readings", what,
				       DUMP_TRIES);
	return xd_error_system(r, "%s: read", what);
}

/* Record "WHAT: the kernel's text: errno". */
static int fail(struct xd_rtnl *rtnl, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int fail(struct xd_rtnl *rtnl, int r, const char *format, ...)
{
	const char *text = rtnl->text;
	char what[128];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	/* xd_error_system() leaves the meaning of these to the message. */
	if (!*text && (r == -EEXIST || r == -EBUSY || r == -ENOTSUP))
		text = strerror(-r);
	return xd_error_system(r, "%s%s%s", what, *text ? ": " : "", text);
}

static int receive_link(struct nlmsghdr *header, void *arg)
{
	struct ifinfomsg *head = nlmsg_data(header);
	struct nlattr *attrs[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	struct xd_link *link = arg;

	if (header->nlmsg_type != RTM_NEWLINK)
		return 0;
	if (nlmsg_parse(header, sizeof(*head), attrs, IFLA_MAX, NULL))
		return -EBADMSG;
	link->ifindex = head->ifi_index;
	link->type = head->ifi_type;
	link->is_up = head->ifi_flags & IFF_UP;
	link->is_running = head->ifi_flags & IFF_RUNNING;
	link->is_loopback = head->ifi_flags & IFF_LOOPBACK;
	if (attrs[IFLA_MASTER])
		link->master = nla_get_u32(attrs[IFLA_MASTER]);
	if (attrs[IFLA_LINK])
		link->lower = nla_get_u32(attrs[IFLA_LINK]);
	if (attrs[IFLA_MTU])
		link->mtu = nla_get_u32(attrs[IFLA_MTU]);
	if (attrs[IFLA_ADDRESS] && nla_len(attrs[IFLA_ADDRESS]) == sizeof(link->mac))
		memcpy(link->mac, nla_data(attrs[IFLA_ADDRESS]), sizeof(link->mac));
	if (attrs[IFLA_IFNAME])
		nla_strlcpy(link->name, attrs[IFLA_IFNAME], sizeof(link->name));
	if (attrs[IFLA_LINKINFO]) {
		if (nla_parse_nested(info, IFLA_INFO_MAX, attrs[IFLA_LINKINFO], NULL))
			return -EBADMSG;
		if (info[IFLA_INFO_KIND])
			nla_strlcpy(link->kind, info[IFLA_INFO_KIND], sizeof(link->kind));
	}
	return 0;
}

static int append_link(struct nlmsghdr *header, void *arg)
{
	struct xd_link *link = append(arg, sizeof(*link));

	return link ? receive_link(header, link) : -ENOMEM;
}

static bool is_name(const char *name)
{
	return *name && strlen(name) < IFNAMSIZ;
}

static int name_error(const char *name)
{
	return xd_error_usage("interface %s: a name has 1 to %d characters", name, IFNAMSIZ - 1);
}

int xd_link_find(struct xd_rtnl *rtnl, const char *name, struct xd_link *ret_link)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct xd_link link = {};
	struct nl_msg *msg;
	int r = -ENODEV;

	if (is_name(name)) {
		msg = request(RTM_GETLINK, 0, &head, sizeof(head));
		put_text(msg, IFLA_IFNAME, name);
		r = exchange(rtnl, msg, receive_link, &link);
	}
	if (r == -ENODEV) {
		xd_error_missing("interface %s: no such interface", name);
		return r;
	}
	if (r)
		return fail(rtnl, r, "interface %s: read", name);
	*ret_link = link;
	return 0;
}

int xd_link_get(struct xd_rtnl *rtnl, __u32 ifindex, struct xd_link *ret_link)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	struct xd_link link = {};
	/* Without an index and a name the kernel calls the request invalid. */
	int r = -ENODEV;

	if (ifindex)
		r = exchange(rtnl, request(RTM_GETLINK, 0, &head, sizeof(head)), receive_link,
			     &link);
	if (r == -ENODEV) {
		xd_error_missing("interface #%u: no such interface", ifindex);
		return r;
	}
	if (r)
		return fail(rtnl, r, "interface #%u: read", ifindex);
	*ret_link = link;
	return 0;
}

/* Record "interface NAME: WHAT: ...": who has only the ifindex still gets the name. */
static int fail_link(struct xd_rtnl *rtnl, int r, __u32 ifindex, const char *what)
{
	char name[IFNAMSIZ + 1];
	struct xd_link link;
	char text[sizeof(rtnl->text)];

	memcpy(text, rtnl->text, sizeof(text));
	if (xd_link_get(rtnl, ifindex, &link))
		snprintf(name, sizeof(name), "#%u", ifindex);
	else
		snprintf(name, sizeof(name), "%s", link.name);
	memcpy(rtnl->text, text, sizeof(text));
	return fail(rtnl, r, "interface %s: %s", name, what);
}

static int compare_links(const void *a, const void *b)
{
	const struct xd_link *left = a, *right = b;

	return (left->ifindex > right->ifindex) - (left->ifindex < right->ifindex);
}

int xd_link_list(struct xd_rtnl *rtnl, struct xd_link **ret_links, size_t *ret_count)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct list list = {};
	int r;

	r = dump(rtnl, RTM_GETLINK, &head, sizeof(head), append_link, &list, "interfaces");
	if (r)
		return r;
	/* Older kernels list them in the order of a hash table. */
	if (list.count)
		qsort(list.items, list.count, sizeof(struct xd_link), compare_links);
	*ret_links = (struct xd_link *)list.items;
	*ret_count = list.count;
	return 0;
}

int xd_link_add_bridge(struct xd_rtnl *rtnl, const char *name, const __u8 mac[6], __u32 mtu)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct xd_link link;
	struct nlattr *info;
	struct nl_msg *msg;
	int r;

	if (!is_name(name))
		return name_error(name);
	msg = request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
	put_text(msg, IFLA_IFNAME, name);
	put(msg, IFLA_ADDRESS, mac, ETH_ALEN);
	info = open_nest(msg, IFLA_LINKINFO);
	put_text(msg, IFLA_INFO_KIND, "bridge");
	close_nest(msg, info);
	r = exchange(rtnl, msg, NULL, NULL);
	if (r == -EEXIST)
		return xd_error_system(r, "interface %s: exists already", name);
	if (r)
		return fail(rtnl, r, "interface %s: make the bridge", name);

	/* A change, not part of the making: only by a change does the kernel take the MTU for ours
	 * and stop deriving it from the ports (1500 again when the last one leaves). */
	r = xd_link_find(rtnl, name, &link);
	if (r)
		return r;
	r = xd_link_set_mtu(rtnl, link.ifindex, mtu);
	if (r) {
		head.ifi_index = link.ifindex;
		exchange(rtnl, request(RTM_DELLINK, 0, &head, sizeof(head)), NULL, NULL);
	}
	return r;
}

int xd_link_add_veth(struct xd_rtnl *rtnl, const char *name, __u32 bridge, __u32 mtu,
		     int peer_netns_fd, const char *peer_name, const __u8 peer_mac[6])
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct nlattr *info, *data, *peer;
	struct xd_link link;
	struct nl_msg *msg;
	int r;

	if (!is_name(name))
		return name_error(name);
	if (!is_name(peer_name))
		return name_error(peer_name);
	msg = request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
	put_text(msg, IFLA_IFNAME, name);
	put(msg, IFLA_MTU, &mtu, sizeof(mtu));
	put(msg, IFLA_MASTER, &bridge, sizeof(bridge));
	info = open_nest(msg, IFLA_LINKINFO);
	put_text(msg, IFLA_INFO_KIND, "veth");
	data = open_nest(msg, IFLA_INFO_DATA);
	peer = open_nest(msg, VETH_INFO_PEER);
	if (msg)
		nlmsg_append(msg, &head, sizeof(head), NLMSG_ALIGNTO);
	put_text(msg, IFLA_IFNAME, peer_name);
	put(msg, IFLA_ADDRESS, peer_mac, ETH_ALEN);
	put(msg, IFLA_MTU, &mtu, sizeof(mtu));
	put(msg, IFLA_NET_NS_FD, &peer_netns_fd, sizeof(peer_netns_fd));
	close_nest(msg, peer);
	close_nest(msg, data);
	close_nest(msg, info);
	r = exchange(rtnl, msg, NULL, NULL);
	if (r == -EEXIST) {
		if (!xd_link_find(rtnl, name, &link))
			return xd_error_system(r, "interface %s: exists already", name);
		return xd_error_system(r,
				       "interface %s exists in the container's namespace already",
				       peer_name);
	}
	if (r == -EXFULL)
		return xd_error_system(-EBUSY,
				       "interface %s: its bridge has all the 1023 ports that Linux "
				       "allows it",
				       name);
	return r ? fail(rtnl, r, "interface %s: make the veth pair", name) : 0;
}

int xd_link_delete(struct xd_rtnl *rtnl, __u32 ifindex)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	int r;

	r = exchange(rtnl, request(RTM_DELLINK, 0, &head, sizeof(head)), NULL, NULL);
	if (r == -ENODEV)
		return 0;
	return r ? fail_link(rtnl, r, ifindex, "delete") : 0;
}

int xd_link_set_up(struct xd_rtnl *rtnl, __u32 ifindex, bool is_up)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC,
				  .ifi_index = ifindex,
				  .ifi_flags = is_up ? IFF_UP : 0,
				  .ifi_change = IFF_UP };
	int r;

	r = exchange(rtnl, request(RTM_NEWLINK, 0, &head, sizeof(head)), NULL, NULL);
	return r ? fail_link(rtnl, r, ifindex, is_up ? "set up" : "set down") : 0;
}

int xd_link_set_mtu(struct xd_rtnl *rtnl, __u32 ifindex, __u32 mtu)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	struct nl_msg *msg;
	char what[32];
	int r;

	msg = request(RTM_NEWLINK, 0, &head, sizeof(head));
	put(msg, IFLA_MTU, &mtu, sizeof(mtu));
	r = exchange(rtnl, msg, NULL, NULL);
	snprintf(what, sizeof(what), "set the MTU to %u", mtu);
	return r ? fail_link(rtnl, r, ifindex, what) : 0;
}

int xd_link_set_mac(struct xd_rtnl *rtnl, __u32 ifindex, const __u8 mac[6])
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	struct nl_msg *msg;
	int r;

	msg = request(RTM_NEWLINK, 0, &head, sizeof(head));
	put(msg, IFLA_ADDRESS, mac, 6);
	r = exchange(rtnl, msg, NULL, NULL);
	return r ? fail_link(rtnl, r, ifindex, "set the MAC address") : 0;
}

static __be32 mask_of(unsigned int length)
{
	return length ? htonl(~0u << (32 - length)) : 0;
}

static int append_address(struct nlmsghdr *header, void *arg)
{
	struct ifaddrmsg *head = nlmsg_data(header);
	struct nlattr *attrs[IFA_MAX + 1];
	struct xd_link_address *address;

	if (header->nlmsg_type != RTM_NEWADDR)
		return 0;
	if (nlmsg_parse(header, sizeof(*head), attrs, IFA_MAX, NULL))
		return -EBADMSG;
	if (head->ifa_family != AF_INET || !attrs[IFA_LOCAL])
		return 0;
	address = append(arg, sizeof(*address));
	if (!address)
		return -ENOMEM;
	address->ifindex = head->ifa_index;
	address->address = nla_get_u32(attrs[IFA_LOCAL]);
	address->mask = mask_of(head->ifa_prefixlen);
	address->is_secondary = head->ifa_flags & IFA_F_SECONDARY;
	address->scope = head->ifa_scope;
	return 0;
}

int xd_link_list_addresses(struct xd_rtnl *rtnl, struct xd_link_address **ret_addresses,
			   size_t *ret_count)
{
	struct ifaddrmsg head = { .ifa_family = AF_INET };
	struct list list = {};
	int r;

	r = dump(rtnl, RTM_GETADDR, &head, sizeof(head), append_address, &list, "addresses");
	if (r)
		return r;
	*ret_addresses = (struct xd_link_address *)list.items;
	*ret_count = list.count;
	return 0;
}

int xd_link_add_address(struct xd_rtnl *rtnl, __u32 ifindex, __be32 address, __be32 mask)
{
	struct ifaddrmsg head = { .ifa_family = AF_INET,
				  .ifa_prefixlen = __builtin_popcount(mask),
				  .ifa_scope = RT_SCOPE_UNIVERSE,
				  .ifa_index = ifindex };
	__be32 broadcast = address | ~mask;
	struct nl_msg *msg;
	int r;

	assert(mask == mask_of(head.ifa_prefixlen));
	msg = request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
	put(msg, IFA_LOCAL, &address, sizeof(address));
	put(msg, IFA_ADDRESS, &address, sizeof(address));
	/* RFC 3021: networks of two addresses, or one, have none. */
	if (head.ifa_prefixlen < 31)
		put(msg, IFA_BROADCAST, &broadcast, sizeof(broadcast));
	r = exchange(rtnl, msg, NULL, NULL);
	if (r == -EEXIST)
		return 0;
	return r ? fail_link(rtnl, r, ifindex, "add the address") : 0;
}

int xd_link_delete_address(struct xd_rtnl *rtnl, __u32 ifindex, __be32 address, __be32 mask)
{
	struct ifaddrmsg head = { .ifa_family = AF_INET,
				  .ifa_prefixlen = __builtin_popcount(mask),
				  .ifa_index = ifindex };
	struct nl_msg *msg = request(RTM_DELADDR, 0, &head, sizeof(head));
	int r;

	put(msg, IFA_LOCAL, &address, sizeof(address));
	r = exchange(rtnl, msg, NULL, NULL);
	if (r == -EADDRNOTAVAIL || r == -ENODEV)
		return 0;
	return r ? fail_link(rtnl, r, ifindex, "remove the address") : 0;
}

int xd_link_add_default_route(struct xd_rtnl *rtnl, __u32 ifindex, __be32 gateway)
{
	struct rtmsg head = { .rtm_family = AF_INET,
			      .rtm_table = RT_TABLE_MAIN,
			      .rtm_protocol = RTPROT_BOOT,
			      .rtm_scope = RT_SCOPE_UNIVERSE,
			      .rtm_type = RTN_UNICAST };
	struct nl_msg *msg;
	int r;

	msg = request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	put(msg, RTA_GATEWAY, &gateway, sizeof(gateway));
	put(msg, RTA_OIF, &ifindex, sizeof(ifindex));
	r = exchange(rtnl, msg, NULL, NULL);
	return r ? fail_link(rtnl, r, ifindex, "add the default route") : 0;
}

struct route {
	__u32 ifindex;
	__u32 metric;
	__be32 gateway; /* or 0 */
	__be32 source; /* the preferred one, or 0 */
};

/* Keeps the unicast default routes of the main table. */
static int append_default_route(struct nlmsghdr *header, void *arg)
{
	struct rtmsg *head = nlmsg_data(header);
	struct nlattr *attrs[RTA_MAX + 1], *hop[RTA_MAX + 1];
	struct route *route;

	if (header->nlmsg_type != RTM_NEWROUTE || head->rtm_dst_len || head->rtm_tos ||
	    head->rtm_table != RT_TABLE_MAIN || head->rtm_type != RTN_UNICAST)
		return 0;
	if (nlmsg_parse(header, sizeof(*head), attrs, RTA_MAX, NULL))
		return -EBADMSG;
	route = append(arg, sizeof(*route));
	if (!route)
		return -ENOMEM;
	if (attrs[RTA_PRIORITY])
		route->metric = nla_get_u32(attrs[RTA_PRIORITY]);
	if (attrs[RTA_PREFSRC])
		route->source = nla_get_u32(attrs[RTA_PREFSRC]);
	if (attrs[RTA_OIF])
		route->ifindex = nla_get_u32(attrs[RTA_OIF]);
	if (attrs[RTA_GATEWAY])
		route->gateway = nla_get_u32(attrs[RTA_GATEWAY]);
	/* Several next hops: the first is as good as any. */
	if (attrs[RTA_MULTIPATH]) {
		struct rtnexthop *next = nla_data(attrs[RTA_MULTIPATH]);

		route->ifindex = next->rtnh_ifindex;
		if (nla_parse(hop, RTA_MAX, (struct nlattr *)RTNH_DATA(next),
			      next->rtnh_len - sizeof(*next), NULL))
			return -EBADMSG;
		if (hop[RTA_GATEWAY])
			route->gateway = nla_get_u32(hop[RTA_GATEWAY]);
	}
	return 0;
}

static int read_default_route(struct xd_rtnl *rtnl, struct route *ret_route)
{
	struct rtmsg head = { .rtm_family = AF_INET };
	const struct route *routes, *best;
	struct list list = {};
	size_t i;
	int r;

	r = dump(rtnl, RTM_GETROUTE, &head, sizeof(head), append_default_route, &list, "routes");
	if (r)
		return r;
	routes = best = (const struct route *)list.items;
	for (i = 1; i < list.count; i++) {
		if (routes[i].metric < best->metric)
			best = &routes[i];
	}
	if (list.count)
		*ret_route = *best;
	else
		r = xd_error_missing("no default route in the main table");
	free(list.items);
	return r;
}

/* As the kernel chooses (inet_select_addr): an address in the gateway's subnet before others. */
static __be32 source_of(const struct route *route, const struct xd_link_address *addresses,
			size_t count)
{
	const struct xd_link_address *a;
	__be32 first = 0;

	for (a = addresses; a < addresses + count; a++) {
		if (a->ifindex != route->ifindex || a->is_secondary ||
		    a->scope != RT_SCOPE_UNIVERSE)
			continue;
		if (!((a->address ^ route->gateway) & a->mask))
			return a->address;
		if (!first)
			first = a->address;
	}
	return first;
}

int xd_link_default_address(struct xd_rtnl *rtnl, __be32 *ret_address, __u32 *ret_ifindex)
{
	struct xd_link_address *addresses;
	struct route route = {};
	__be32 source;
	size_t count;
	int r;

	r = read_default_route(rtnl, &route);
	if (r)
		return r;
	source = route.source;
	if (!source) {
		r = xd_link_list_addresses(rtnl, &addresses, &count);
		if (r)
			return r;
		source = source_of(&route, addresses, count);
		free(addresses);
	}
	if (!source) {
		struct xd_link link = {};

		xd_link_get(rtnl, route.ifindex, &link);
		return xd_error_missing("interface %s: has the default route, but no global IPv4 "
					"address",
					link.name);
	}
	*ret_address = source;
	*ret_ifindex = route.ifindex;
	return 0;
}

int xd_link_add_fdb(struct xd_rtnl *rtnl, __u32 ifindex, const __u8 mac[6])
{
	struct ndmsg head = { .ndm_family = PF_BRIDGE,
			      .ndm_ifindex = ifindex,
			      .ndm_state = NUD_NOARP,
			      .ndm_flags = NTF_MASTER };
	struct nl_msg *msg;
	int r;

	/* Replace: an entry that the bridge learned, perhaps on another port, becomes this one. */
	msg = request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	put(msg, NDA_LLADDR, mac, ETH_ALEN);
	r = exchange(rtnl, msg, NULL, NULL);
	return r ? fail_link(rtnl, r, ifindex, "add to the forwarding database") : 0;
}

static int count_filter(struct nlmsghdr *header, void *arg)
{
	*(bool *)arg |= header->nlmsg_type == RTM_NEWTFILTER;
	return 0;
}

bool xd_link_has_filters(struct xd_rtnl *rtnl, __u32 ifindex)
{
	static const __u32 directions[] = { TC_H_MIN_INGRESS, TC_H_MIN_EGRESS };
	bool is_found = false;

	for (size_t i = 0; i < sizeof(directions) / sizeof(directions[0]); i++) {
		struct tcmsg head = { .tcm_family = AF_UNSPEC,
				      .tcm_ifindex = ifindex,
				      .tcm_parent = TC_H_MAKE(TC_H_CLSACT, directions[i]) };

		if (exchange(rtnl, request(RTM_GETTFILTER, NLM_F_DUMP, &head, sizeof(head)),
			     count_filter, &is_found))
			return true;
	}
	return is_found;
}

int xd_link_delete_clsact(struct xd_rtnl *rtnl, __u32 ifindex)
{
	struct tcmsg head = { .tcm_family = AF_UNSPEC,
			      .tcm_ifindex = ifindex,
			      .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
			      .tcm_parent = TC_H_CLSACT };
	struct nl_msg *msg = request(RTM_DELQDISC, 0, &head, sizeof(head));
	int r;

	put_text(msg, TCA_KIND, "clsact");
	r = exchange(rtnl, msg, NULL, NULL);
	if (r == -ENOENT || r == -ENODEV || r == -EINVAL)
		return 0;
	return r ? fail_link(rtnl, r, ifindex, "remove the clsact qdisc") : 0;
}

int xd_link_announce(__u32 ifindex, const __u8 mac[6], __be32 address)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ARP),
				  .sll_ifindex = ifindex,
				  .sll_halen = ETH_ALEN };
	struct {
		struct ether_header ethernet;
		struct ether_arp arp;
	} __attribute__((packed)) frame = {
		.ethernet = { .ether_dhost = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
			      .ether_type = htons(ETH_P_ARP) },
		.arp = { .ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
				     .ar_pro = htons(ETH_P_IP),
				     .ar_hln = ETH_ALEN,
				     .ar_pln = sizeof(address),
				     .ar_op = htons(ARPOP_REQUEST) } },
	};
	int fd, r = 0;

	memcpy(frame.ethernet.ether_shost, mac, ETH_ALEN);
	memcpy(frame.arp.arp_sha, mac, ETH_ALEN);
	memcpy(frame.arp.arp_spa, &address, sizeof(address));
	memcpy(frame.arp.arp_tpa, &address, sizeof(address));
	memset(to.sll_addr, 0xff, ETH_ALEN);
	/* Protocol 0: this socket receives nothing. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return xd_error_system(-errno, "packet socket");
	if (sendto(fd, &frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		r = xd_error_system(-errno, "announce the address on interface #%u", ifindex);
	close(fd);
	return r;
}
