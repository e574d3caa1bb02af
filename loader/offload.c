// SPDX-License-Identifier: GPL-2.0-only
/* What a network device does for the stack, and what it can do for XDP. */
#include "loader/offload.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loader/error.h"
#include "loader/netns.h"

/* In the order of the bits. */
static const char *const names[] = {
	"rx-gro",
	"tx-checksum-ip-generic",
	"tx-checksum-sctp",
	"tx-vlan-hw-insert",
	"tx-vlan-stag-hw-insert",
	"rx-checksum",
	"rx-lro",
	"rx-gro-hw",
};

#define NAMES (sizeof(names) / sizeof(names[0]))
#define FEATURES_MAX 256 /* of Linux; 64 of them today */

/* netdev.h of Linux 6.3, which the headers of earlier ones do not have. */
#define NETDEV_FAMILY "netdev"
#define NETDEV_CMD_DEV_GET 1
#define NETDEV_A_DEV_IFINDEX 1
#define NETDEV_A_DEV_XDP_FEATURES 3

/* A socket belongs to the namespace that it was made in. */
static int open_in(int netns_fd, int *ret_fd)
{
	int fd, home = -1, r = 0;

	if (netns_fd >= 0) {
		r = xd_netns_open_self(&home);
		if (!r)
			r = xd_netns_enter(netns_fd);
		if (r) {
			if (home >= 0)
				close(home);
			return r;
		}
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : 0;
	if (netns_fd >= 0) {
		/* In a namespace that is not its own, all that the process does next would be
		 * wrong. */
		if (xd_netns_enter(home))
			abort();
		close(home);
	}
	if (r)
		return xd_error_system(r, "socket");
	*ret_fd = fd;
	return 0;
}

static int ask(int fd, const char *link, void *data)
{
	struct ifreq request = { .ifr_data = data };
	int r;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link);
	r = ioctl(fd, SIOCETHTOOL, &request);
	return r < 0 ? -errno : r;
}

/* Where the features of names[] are in this kernel's list; -1: it does not know one. */
static int find_features(int fd, const char *link, int ret_places[NAMES], __u32 *ret_count)
{
	struct {
		struct ethtool_sset_info info;
		__u32 count;
	} set = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES } };
	struct {
		struct ethtool_gstrings head;
		char names[FEATURES_MAX][ETH_GSTRING_LEN];
	} strings = { .head = { .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES } };
	int r;

	r = ask(fd, link, &set);
	if (r < 0)
		return r;
	if (!set.info.sset_mask || set.count > FEATURES_MAX)
		return -EOPNOTSUPP;
	strings.head.len = set.count;
	r = ask(fd, link, &strings);
	if (r < 0)
		return r;
	for (size_t i = 0; i < NAMES; i++) {
		ret_places[i] = -1;
		for (__u32 j = 0; j < strings.head.len; j++)
			if (!strncmp(strings.names[j], names[i], ETH_GSTRING_LEN))
				ret_places[i] = j;
	}
	*ret_count = set.count;
	return 0;
}

static int get(int fd, const char *link, const int places[NAMES], __u32 count, __u32 *ret_offloads)
{
	struct {
		struct ethtool_gfeatures head;
		struct ethtool_get_features_block blocks[FEATURES_MAX / 32];
	} features = { .head = { .cmd = ETHTOOL_GFEATURES, .size = (count + 31) / 32 } };
	__u32 offloads = 0;
	int r;

	r = ask(fd, link, &features);
	if (r < 0)
		return r;
	for (size_t i = 0; i < NAMES; i++)
		if (places[i] >= 0 && features.blocks[places[i] / 32].active & 1U << places[i] % 32)
			offloads |= 1U << i;
	*ret_offloads = offloads;
	return 0;
}

int xd_offload_get(int netns_fd, const char *link, __u32 *ret_offloads)
{
	int places[NAMES], fd, r;
	__u32 count;

	r = open_in(netns_fd, &fd);
	if (r)
		return r;
	r = find_features(fd, link, places, &count);
	if (!r)
		r = get(fd, link, places, count, ret_offloads);
	close(fd);
	return r ? xd_error_system(r, "interface %s: read its features", link) : 0;
}

int xd_offload_set(int netns_fd, const char *link, __u32 offloads, __u32 mask)
{
	struct {
		struct ethtool_sfeatures head;
		struct ethtool_set_features_block blocks[FEATURES_MAX / 32];
	} features = { .head = { .cmd = ETHTOOL_SFEATURES } };
	int places[NAMES], fd, r;
	__u32 count = 0, now = 0;

	r = open_in(netns_fd, &fd);
	if (r)
		return r;
	r = find_features(fd, link, places, &count);
	for (size_t i = 0; !r && i < NAMES; i++) {
		__u32 bit;

		if (!(mask & 1U << i) || places[i] < 0)
			continue;
		bit = 1U << places[i] % 32;
		features.blocks[places[i] / 32].valid |= bit;
		if (offloads & 1U << i)
			features.blocks[places[i] / 32].requested |= bit;
	}
	features.head.size = (count + 31) / 32;
	/* Above 0 it says that some are not as they were asked for. */
	if (!r)
		r = ask(fd, link, &features);
	if (r >= 0)
		r = get(fd, link, places, count, &now);
	close(fd);
	if (r)
		return xd_error_system(r, "interface %s: set its features", link);
	for (size_t i = 0; i < NAMES; i++)
		if ((now ^ offloads) & mask & 1U << i)
			return xd_error_system(-ENOTSUP, "interface %s: %s stays %s", link,
					       names[i], now & 1U << i ? "on" : "off");
	return 0;
}

void xd_offload_driver(const char *link, char ret_driver[32])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	int fd;

	*ret_driver = '\0';
	if (open_in(-1, &fd)) {
		xd_error_clear();
		return;
	}
	if (!ask(fd, link, &info))
		snprintf(ret_driver, 32, "%.31s", info.driver);
	close(fd);
}

/* A request of generic netlink with one attribute, and the answer of the kernel to it. */
struct request {
	struct nlmsghdr header;
	struct genlmsghdr generic;
	struct nlattr attribute;
	char value[16];
};

union answer {
	struct {
		struct nlmsghdr header;
		struct genlmsghdr generic;
		char attributes[];
	};
	char bytes[8192];
};

/* The attribute TYPE of the answer, as the SIZE bytes that it must have. */
static bool find_attribute(const union answer *answer, __u16 type, void *ret_value, size_t size)
{
	const char *at = answer->attributes, *end = answer->bytes + answer->header.nlmsg_len;

	while (at + NLA_HDRLEN <= end) {
		struct nlattr attribute;

		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < NLA_HDRLEN || at + attribute.nla_len > end)
			return false;
		if ((attribute.nla_type & NLA_TYPE_MASK) == type &&
		    attribute.nla_len == NLA_HDRLEN + size) {
			memcpy(ret_value, at + NLA_HDRLEN, size);
			return true;
		}
		at += NLA_ALIGN(attribute.nla_len);
	}
	return false;
}

static bool exchange(int fd, struct request *request, size_t size, union answer *answer)
{
	ssize_t length;

	request->header.nlmsg_len = NLA_ALIGN(sizeof(*request) - sizeof(request->value) + size);
	request->header.nlmsg_flags = NLM_F_REQUEST;
	request->generic.version = 1;
	request->attribute.nla_len = NLA_HDRLEN + size;
	if (sendto(fd, request, request->header.nlmsg_len, 0, NULL, 0) < 0)
		return false;
	length = recv(fd, answer->bytes, sizeof(answer->bytes), 0);
	return length >= (ssize_t)(NLMSG_HDRLEN + GENL_HDRLEN) &&
	       answer->header.nlmsg_len <= length && answer->header.nlmsg_type != NLMSG_ERROR;
}

bool xd_offload_xdp(__u32 ifindex, __u64 *ret_features)
{
	struct request family = {
		.header.nlmsg_type = GENL_ID_CTRL,
		.generic.cmd = CTRL_CMD_GETFAMILY,
		.attribute.nla_type = CTRL_ATTR_FAMILY_NAME,
		.value = NETDEV_FAMILY,
	};
	struct request device = {
		.generic.cmd = NETDEV_CMD_DEV_GET,
		.attribute.nla_type = NETDEV_A_DEV_IFINDEX,
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	union answer answer;
	bool is_found = false;
	__u16 id;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd < 0)
		return false;
	if (!connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) &&
	    exchange(fd, &family, sizeof(NETDEV_FAMILY), &answer) &&
	    find_attribute(&answer, CTRL_ATTR_FAMILY_ID, &id, sizeof(id))) {
		device.header.nlmsg_type = id;
		memcpy(device.value, &ifindex, sizeof(ifindex));
		is_found = exchange(fd, &device, sizeof(ifindex), &answer) &&
			   find_attribute(&answer, NETDEV_A_DEV_XDP_FEATURES, ret_features,
					  sizeof(*ret_features));
	}
	close(fd);
	return is_found;
}
