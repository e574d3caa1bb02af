// SPDX-License-Identifier: GPL-2.0-only
/* rtnetlink against the kernel; what it did is read with ip(8), bridge(8) and from sysfs. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/error.h"
#include "loader/link.h"

static const __u8 bridge_mac[6] = { 0x02, 0x42, 1, 2, 3, 4 };
static const __u8 peer_mac[6] = { 0x02, 0x42, 0xac, 0x11, 0, 2 };

static struct xd_rtnl *rtnl;
static int peer_fd; /* of the namespace "peer", of `ip netns` */

static int enter_private(void **state)
{
	(void)state;
	if (geteuid()) {
		print_message("skipped: links are made by root only\n");
		return 0;
	}
	return unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	       mount("", "/", "none", MS_REC | MS_PRIVATE, NULL);
}

/* Each test has a network namespace, its /sys and a /run of its own, and one for the peers. */
static int setup(void **state)
{
	(void)state;
	if (geteuid())
		return 0;
	xd_error_clear();
	if (unshare(CLONE_NEWNET) || mount("sys", "/sys", "sysfs", 0, NULL) ||
	    mount("run", "/run", "tmpfs", 0, NULL) || system("ip netns add peer"))
		return -1;
	peer_fd = open("/run/netns/peer", O_RDONLY | O_CLOEXEC);
	return peer_fd < 0 || xd_rtnl_open(-1, &rtnl);
}

static int teardown(void **state)
{
	(void)state;
	if (geteuid())
		return 0;
	xd_rtnl_close(rtnl);
	rtnl = NULL;
	close(peer_fd);
	return umount2("/run", MNT_DETACH) || umount2("/sys", MNT_DETACH);
}

static void require_root(void)
{
	if (geteuid())
		skip();
}

/* What a command prints; it has to succeed. The next call overwrites it. */
static const char *output(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *output(const char *format, ...)
{
	static char text[4096];
	char command[512];
	va_list arguments;
	size_t length;
	FILE *pipe;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	pipe = popen(command, "re");
	assert_non_null(pipe);
	length = fread(text, 1, sizeof(text) - 1, pipe);
	text[length] = 0;
	if (pclose(pipe))
		fail_msg("failed: %s", command);
	return text;
}

static void run(const char *command)
{
	assert_string_equal(output("%s", command), "");
}

static void assert_sysfs(const char *link, const char *file, const char *value)
{
	char line[64];

	snprintf(line, sizeof(line), "%s\n", value);
	assert_string_equal(output("cat /sys/class/net/%s/%s", link, file), line);
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("`%s` is not in: %s", part, text);
}

static bool is_there(const char *link)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s", link);
	return !access(path, F_OK);
}

static __u32 index_of(const char *name)
{
	__u32 ifindex = if_nametoindex(name);

	assert_int_not_equal(ifindex, 0);
	return ifindex;
}

static __be32 ip(const char *text)
{
	struct in_addr address;

	assert_int_equal(inet_pton(AF_INET, text, &address), 1);
	return address.s_addr;
}

static void assert_message(const char *message)
{
	assert_string_equal(xd_error_message(), message);
}

static __u32 add_bridge(const char *name, __u32 mtu)
{
	assert_int_equal(xd_link_add_bridge(rtnl, name, bridge_mac, mtu), 0);
	return index_of(name);
}

static __u32 add_veth(const char *name, __u32 bridge, __u32 mtu, const char *peer_name)
{
	assert_int_equal(xd_link_add_veth(rtnl, name, bridge, mtu, peer_fd, peer_name, peer_mac),
			 0);
	return index_of(name);
}

static void stays_in_its_namespace(void **state)
{
	struct stat before, after;
	struct xd_rtnl *there;
	struct xd_link link;

	(void)state;
	require_root();
	run("ip link add here type bridge");
	run("ip -n peer link add there type bridge");
	assert_int_equal(stat("/proc/thread-self/ns/net", &before), 0);
	assert_int_equal(xd_rtnl_open(peer_fd, &there), 0);
	assert_int_equal(stat("/proc/thread-self/ns/net", &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(xd_link_find(there, "there", &link), 0);
	assert_int_equal(xd_link_find(there, "here", &link), -ENODEV);
	assert_int_equal(xd_link_find(rtnl, "here", &link), 0);
	assert_int_equal(xd_link_find(rtnl, "there", &link), -ENODEV);
	xd_rtnl_close(there);
	xd_rtnl_close(NULL);
}

static void opens_nothing_in_what_is_no_namespace(void **state)
{
	struct xd_rtnl *there = NULL;
	int fd;

	(void)state;
	require_root();
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(xd_rtnl_open(fd, &there), -EINVAL);
	assert_null(there);
	assert_message("enter the network namespace: Invalid argument");
	close(fd);
}

static void closes_its_sockets_on_exec(void **state)
{
	int fd, sockets = 0;
	struct stat st;

	(void)state;
	require_root();
	for (fd = 3; fd < 64; fd++) {
		if (fstat(fd, &st) || !S_ISSOCK(st.st_mode))
			continue;
		sockets++;
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	assert_int_equal(sockets, 1);
}

static void reads_a_link(void **state)
{
	static const __u8 none[6];
	struct xd_link link, again;

	(void)state;
	require_root();
	run("ip link add br7 address 02:42:01:02:03:04 mtu 1400 type bridge");
	run("ip link add v7 master br7 mtu 1400 type veth peer name p7");
	run("ip link set v7 up");
	assert_int_equal(xd_link_find(rtnl, "br7", &link), 0);
	assert_int_equal(link.ifindex, index_of("br7"));
	assert_int_equal(link.master, 0);
	assert_int_equal(link.mtu, 1400);
	assert_int_equal(link.type, ARPHRD_ETHER);
	assert_false(link.is_up);
	assert_false(link.is_loopback);
	assert_memory_equal(link.mac, bridge_mac, 6);
	assert_string_equal(link.name, "br7");
	assert_string_equal(link.kind, "bridge");
	assert_int_equal(xd_link_get(rtnl, index_of("v7"), &link), 0);
	assert_int_equal(link.master, index_of("br7"));
	assert_true(link.is_up);
	assert_string_equal(link.name, "v7");
	assert_string_equal(link.kind, "veth");
	assert_int_equal(xd_link_find(rtnl, "v7", &again), 0);
	assert_memory_equal(&again, &link, sizeof(link));
	assert_int_equal(xd_link_find(rtnl, "lo", &link), 0);
	assert_int_equal(link.ifindex, 1);
	assert_int_equal(link.type, ARPHRD_LOOPBACK);
	assert_true(link.is_loopback);
	assert_memory_equal(link.mac, none, 6);
	assert_string_equal(link.kind, "");
}

static void says_which_link_is_missing(void **state)
{
	struct xd_link link = { .ifindex = 7 };

	(void)state;
	require_root();
	assert_int_equal(xd_link_find(rtnl, "nope", &link), -ENODEV);
	assert_int_equal(xd_error_kind(), XD_ERROR_MISSING);
	assert_message("interface nope: no such interface");
	assert_int_equal(xd_link_find(rtnl, "sixteen-letters-", &link), -ENODEV);
	assert_message("interface sixteen-letters-: no such interface");
	assert_int_equal(xd_link_find(rtnl, "", &link), -ENODEV);
	assert_int_equal(xd_error_kind(), XD_ERROR_MISSING);
	assert_int_equal(xd_link_get(rtnl, 999999, &link), -ENODEV);
	assert_int_equal(xd_error_kind(), XD_ERROR_MISSING);
	assert_message("interface #999999: no such interface");
	assert_int_equal(xd_link_get(rtnl, 0, &link), -ENODEV);
	assert_int_equal(link.ifindex, 7);
}

static void lists_thousands_of_links_by_ifindex(void **state)
{
	struct xd_link *links;
	size_t count, i;
	FILE *batch;

	(void)state;
	require_root();
	batch = popen("ip -batch -", "we");
	assert_non_null(batch);
	for (i = 0; i < 1500; i++)
		fprintf(batch, "link add v%zu type veth peer name p%zu\n", i, i);
	assert_int_equal(pclose(batch), 0);
	assert_int_equal(atoi(output("ls /sys/class/net | wc -l")), 3001);

	assert_int_equal(xd_link_list(rtnl, &links, &count), 0);
	assert_int_equal(count, 3001);
	for (i = 0; i < count; i++) {
		assert_int_equal(links[i].ifindex, if_nametoindex(links[i].name));
		assert_true(!i || links[i].ifindex > links[i - 1].ifindex);
		assert_string_equal(links[i].kind, i ? "veth" : "");
	}
	free(links);
}

static void lists_links_whole_while_others_change(void **state)
{
	size_t count, i, lasting;
	struct xd_link *links;
	int round, r = 0;
	FILE *batch;
	pid_t pid;

	(void)state;
	require_root();
	batch = popen("ip -batch -", "we");
	assert_non_null(batch);
	for (i = 0; i < 200; i++)
		fprintf(batch, "link add v%zu type veth peer name p%zu\n", i, i);
	assert_int_equal(pclose(batch), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct xd_rtnl *own;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (xd_rtnl_open(-1, &own))
			_exit(1);
		while (!xd_link_add_bridge(own, "changing", bridge_mac, 1500) &&
		       !xd_link_delete(own, if_nametoindex("changing")))
			;
		_exit(1);
	}
	for (round = 0; round < 200 && !r; round++) {
		r = xd_link_list(rtnl, &links, &count);
		for (i = lasting = 0; !r && i < count; i++)
			lasting += links[i].name[0] == 'v' || links[i].name[0] == 'p';
		if (!r)
			free(links);
		if (!r && lasting != 400)
			r = -EBADMSG;
	}
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (r)
		fail_msg("round %d: %s (%zu of 400)", round, xd_error_message(), lasting);
}

static void adds_a_bridge(void **state)
{
	(void)state;
	require_root();
	add_bridge("br7", 1400);
	assert_sysfs("br7", "address", "02:42:01:02:03:04");
	assert_sysfs("br7", "mtu", "1400");
	assert_sysfs("br7", "bridge/stp_state", "0");
	assert_sysfs("br7", "bridge/forward_delay", "1500");
	assert_sysfs("br7", "operstate", "down");
}

static void bridge_keeps_its_mtu_whatever_its_ports_do(void **state)
{
	__u32 bridge, port;

	(void)state;
	require_root();
	bridge = add_bridge("br7", 1400);
	port = add_veth("v7", bridge, 1300, "eth0");
	assert_sysfs("br7", "mtu", "1400");
	assert_int_equal(xd_link_delete(rtnl, port), 0);
	assert_sysfs("br7", "mtu", "1400");
	assert_sysfs("br7", "address", "02:42:01:02:03:04");
}

static void refuses_bridge_whose_name_is_taken(void **state)
{
	(void)state;
	require_root();
	run("ip link add br7 type veth peer name p7");
	assert_int_equal(xd_link_add_bridge(rtnl, "br7", bridge_mac, 1500), -EEXIST);
	assert_message("interface br7: exists already");
	assert_false(is_there("br7/bridge"));
}

static void refuses_impossible_bridge_and_leaves_nothing(void **state)
{
	(void)state;
	require_root();
	assert_int_equal(xd_link_add_bridge(rtnl, "br7", bridge_mac, 70000), -EINVAL);
	assert_message("interface br7: set the MTU to 70000: mtu greater than device maximum: "
		       "Invalid argument");
	assert_false(is_there("br7"));
	assert_int_equal(xd_link_add_bridge(rtnl, "sixteen-letters-", bridge_mac, 1500), -EINVAL);
	assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
	assert_message("interface sixteen-letters-: a name has 1 to 15 characters");
	assert_int_equal(xd_link_add_bridge(rtnl, "a/b", bridge_mac, 1500), -EINVAL);
	assert_int_equal(xd_error_kind(), XD_ERROR_SYSTEM);
	/* The socket is as good as before. */
	add_bridge("br7", 1500);
}

static void adds_a_veth_pair_across_namespaces(void **state)
{
	const char *text;
	__u32 bridge;

	(void)state;
	require_root();
	bridge = add_bridge("br7", 1400);
	add_veth("xd-web", bridge, 1400, "eth0");
	assert_sysfs("xd-web", "mtu", "1400");
	assert_true(is_there("br7/brif/xd-web"));
	assert_string_not_equal(output("cat /sys/class/net/xd-web/address"),
				"02:42:ac:11:00:02\n");
	assert_false(is_there("eth0"));
	text = output("ip -n peer -d link show eth0");
	assert_contains(text, " mtu 1400 ");
	assert_contains(text, " link/ether 02:42:ac:11:00:02 ");
	assert_contains(text, " veth ");
	assert_null(strstr(text, ",UP"));
	text = output("ip link show xd-web");
	assert_null(strstr(text, ",UP"));
	assert_contains(text, " link-netns peer");
	assert_int_equal(atoi(output("ip -n peer -o link | wc -l")), 2);
}

static void says_which_veth_name_is_taken(void **state)
{
	__u32 bridge;

	(void)state;
	require_root();
	bridge = add_bridge("br7", 1500);
	add_veth("xd-web", bridge, 1500, "eth0");
	assert_int_equal(
		xd_link_add_veth(rtnl, "xd-db", bridge, 1500, peer_fd, "eth0", peer_mac), -EEXIST);
	assert_message("interface eth0 exists in the container's namespace already");
	assert_false(is_there("xd-db"));
	assert_int_equal(
		xd_link_add_veth(rtnl, "xd-web", bridge, 1500, peer_fd, "eth1", peer_mac),
		-EEXIST);
	assert_message("interface xd-web: exists already");
	assert_int_equal(atoi(output("ip -n peer -o link | wc -l")), 2);
	assert_int_equal(xd_link_add_veth(rtnl, "sixteen-letters-", bridge, 1500, peer_fd, "eth1",
					  peer_mac),
			 -EINVAL);
	assert_int_equal(xd_link_add_veth(rtnl, "xd-db", bridge, 1500, peer_fd, "", peer_mac),
			 -EINVAL);
	assert_message("interface : a name has 1 to 15 characters");
}

static void says_that_a_bridge_is_full(void **state)
{
	__u32 bridge;
	FILE *batch;
	int i;

	(void)state;
	require_root();
	bridge = add_bridge("br7", 1500);
	batch = popen("ip -batch -", "we");
	assert_non_null(batch);
	for (i = 0; i < 1022; i++)
		fprintf(batch, "link add v%d master br7 type veth peer name p%d\n", i, i);
	assert_int_equal(pclose(batch), 0);
	add_veth("xd-web", bridge, 1500, "eth0");
	assert_int_equal(
		xd_link_add_veth(rtnl, "xd-db", bridge, 1500, peer_fd, "eth1", peer_mac), -EBUSY);
	assert_message("interface xd-db: its bridge has all the 1023 ports that Linux allows it");
	assert_false(is_there("xd-db"));
}

static void deletes_a_link_once_or_twice(void **state)
{
	__u32 ifindex;

	(void)state;
	require_root();
	ifindex = add_bridge("br7", 1500);
	assert_int_equal(xd_link_delete(rtnl, ifindex), 0);
	assert_false(is_there("br7"));
	assert_int_equal(xd_link_delete(rtnl, ifindex), 0);
	assert_int_equal(xd_link_delete(rtnl, 1), -EOPNOTSUPP);
	assert_message("interface lo: delete: Operation not supported");
}

static void sets_up_and_down_and_mtu(void **state)
{
	__u32 ifindex;

	(void)state;
	require_root();
	ifindex = add_bridge("br7", 1500);
	assert_int_equal(xd_link_set_up(rtnl, ifindex, true), 0);
	assert_contains(output("ip link show br7"), ",UP");
	assert_int_equal(xd_link_set_up(rtnl, ifindex, false), 0);
	assert_null(strstr(output("ip link show br7"), ",UP"));
	assert_int_equal(xd_link_set_mtu(rtnl, ifindex, 1280), 0);
	assert_sysfs("br7", "mtu", "1280");
	assert_int_equal(xd_link_set_mtu(rtnl, ifindex, 10), -EINVAL);
	assert_message("interface br7: set the MTU to 10: mtu less than device minimum: "
		       "Invalid argument");
	assert_int_equal(xd_link_set_up(rtnl, 999999, true), -ENODEV);
	assert_message("interface #999999: set up: No such device");
}

static void adds_an_address_once_or_twice(void **state)
{
	const char *text;
	__u32 ifindex;

	(void)state;
	require_root();
	ifindex = add_bridge("br7", 1500);
	assert_int_equal(xd_link_add_address(rtnl, ifindex, ip("172.17.0.1"), ip("255.255.0.0")),
			 0);
	assert_int_equal(xd_link_add_address(rtnl, ifindex, ip("172.17.0.1"), ip("255.255.0.0")),
			 0);
	assert_contains(output("ip -o -4 addr show br7"),
			" inet 172.17.0.1/16 brd 172.17.255.255 scope global br7");
	assert_int_equal(atoi(output("ip -o -4 addr show br7 | wc -l")), 1);
	assert_int_equal(
		xd_link_add_address(rtnl, ifindex, ip("10.0.0.1"), ip("255.255.255.255")), 0);
	text = output("ip -o -4 addr show br7 to 10.0.0.1");
	assert_contains(text, " inet 10.0.0.1/32 scope global br7");
	assert_int_equal(xd_link_add_address(rtnl, 999999, ip("10.0.0.1"), ip("255.0.0.0")),
			 -ENODEV);
}

static void lists_addresses(void **state)
{
	struct xd_link_address *addresses;
	size_t count;

	(void)state;
	require_root();
	run("ip link add br7 type bridge");
	run("ip address add 172.17.0.1/16 dev br7");
	run("ip address add 172.17.0.9/16 dev br7");
	run("ip address add 169.254.1.1/32 scope link dev br7");
	run("ip address add fd00::1/64 dev br7");
	assert_int_equal(xd_link_list_addresses(rtnl, &addresses, &count), 0);
	assert_int_equal(count, 3);
	/* In the kernel's order: primary before secondary. */
	assert_int_equal(addresses[0].address, ip("169.254.1.1"));
	assert_int_equal(addresses[0].mask, ip("255.255.255.255"));
	assert_int_equal(addresses[0].scope, 253);
	assert_int_equal(addresses[1].ifindex, index_of("br7"));
	assert_int_equal(addresses[1].address, ip("172.17.0.1"));
	assert_int_equal(addresses[1].mask, ip("255.255.0.0"));
	assert_int_equal(addresses[1].scope, 0);
	assert_false(addresses[1].is_secondary);
	assert_int_equal(addresses[2].address, ip("172.17.0.9"));
	assert_true(addresses[2].is_secondary);
	free(addresses);
}

static void adds_and_replaces_the_default_route(void **state)
{
	__u32 ifindex;

	(void)state;
	require_root();
	run("ip link add br7 up type bridge");
	run("ip address add 172.17.0.1/16 dev br7");
	ifindex = index_of("br7");
	assert_int_equal(xd_link_add_default_route(rtnl, ifindex, ip("172.17.0.254")), 0);
	assert_contains(output("ip -4 route show default"), "default via 172.17.0.254 dev br7 ");
	assert_int_equal(xd_link_add_default_route(rtnl, ifindex, ip("172.17.0.253")), 0);
	assert_contains(output("ip -4 route show default"), "default via 172.17.0.253 dev br7 ");
	assert_int_equal(atoi(output("ip -4 route show default | wc -l")), 1);
	assert_int_equal(xd_link_add_default_route(rtnl, ifindex, ip("10.0.0.1")), -ENETUNREACH);
	assert_message("interface br7: add the default route: Nexthop has invalid gateway: "
		       "Network is unreachable");
}

static void assert_default(const char *address, const char *link)
{
	__be32 got = 0;
	__u32 ifindex = 0;

	assert_int_equal(xd_link_default_address(rtnl, &got, &ifindex), 0);
	assert_int_equal(got, ip(address));
	assert_int_equal(ifindex, index_of(link));
}

static void finds_the_address_of_the_default_route(void **state)
{
	__be32 address = 7;
	__u32 ifindex = 7;

	(void)state;
	require_root();
	run("ip link set lo up");
	run("ip link add br1 up type bridge && ip link add br2 up type bridge");
	run("ip route add default dev br2 table 100");
	run("ip route add unreachable default metric 5");
	run("ip route add 10.0.0.0/8 dev br2");
	assert_int_equal(xd_link_default_address(rtnl, &address, &ifindex), -ENOENT);
	assert_int_equal(xd_error_kind(), XD_ERROR_MISSING);
	assert_message("no default route in the main table");
	run("ip route add default dev br1 metric 20");
	run("ip address add 169.254.1.1/32 scope link dev br1");
	assert_int_equal(xd_link_default_address(rtnl, &address, &ifindex), -ENOENT);
	assert_int_equal(xd_error_kind(), XD_ERROR_MISSING);
	assert_message("interface br1: has the default route, but no global IPv4 address");
	assert_int_equal(address, 7);
	assert_int_equal(ifindex, 7);

	run("ip address add 192.0.2.1/24 dev br1");
	run("ip address add 192.0.2.9/24 dev br1");
	run("ip address add 198.51.100.1/24 dev br1");
	run("ip address add 10.9.0.1/24 dev br2");
	run("ip address add 203.0.113.1/24 dev br2");
	assert_default("192.0.2.1", "br1");
	/* An address in the gateway's subnet goes first. */
	run("ip route add default via 198.51.100.254 metric 15");
	assert_default("198.51.100.1", "br1");
	run("ip route add default dev br1 src 192.0.2.9 metric 12");
	assert_default("192.0.2.9", "br1");
	run("ip route add default metric 10 nexthop via 203.0.113.254 nexthop via 192.0.2.254");
	assert_default("203.0.113.1", "br2");
	run("ip route add default dev br2 metric 8");
	assert_default("10.9.0.1", "br2");
}

static void chooses_the_address_that_the_kernel_chooses(void **state)
{
	static const char *const gateways[] = { "192.0.2.254", "198.51.100.254",
						"203.0.113.254" };
	char line[128];
	size_t i;

	(void)state;
	require_root();
	run("ip link add br1 up type bridge");
	run("ip address add 192.0.2.7/24 dev br1");
	run("ip address add 198.51.100.7/24 dev br1");
	run("ip address add 203.0.113.7/24 dev br1");
	for (i = 0; i < 3; i++) {
		__be32 got;
		__u32 ifindex;

		snprintf(line, sizeof(line), "ip route replace default via %s", gateways[i]);
		run(line);
		assert_int_equal(xd_link_default_address(rtnl, &got, &ifindex), 0);
		snprintf(line, sizeof(line), " src %s ",
			 inet_ntoa((struct in_addr){ .s_addr = got }));
		assert_contains(output("ip route get 8.8.8.8"), line);
	}
}

static void adds_static_forwarding_entry(void **state)
{
	/* Nobody sends from it: the bridge would learn the port. */
	static const __u8 mac[6] = { 0x02, 0x42, 0xac, 0x11, 0, 9 };
	__u32 bridge, first, second;
	const char *text;

	(void)state;
	require_root();
	bridge = add_bridge("br7", 1500);
	first = add_veth("v1", bridge, 1500, "eth1");
	second = add_veth("v2", bridge, 1500, "eth2");
	run("ip link set br7 up && ip link set v1 up && ip -n peer link set eth1 up");
	/* Forwarding, or the bridge takes no entry as if learned. */
	run("for i in $(seq 100); do"
	    "  if [ $(cat /sys/class/net/v1/brport/state) = 3 ]; then exit; fi; sleep 0.05;"
	    "done");
	run("bridge fdb add 02:42:ac:11:00:09 dev v1 master dynamic");
	/* From learned to static; again; to another port. */
	assert_int_equal(xd_link_add_fdb(rtnl, first, mac), 0);
	text = output("bridge fdb show br br7 | grep 02:42:ac:11:00:09");
	assert_contains(text, "02:42:ac:11:00:09 dev v1 ");
	assert_contains(text, " static");
	assert_int_equal(xd_link_add_fdb(rtnl, first, mac), 0);
	assert_int_equal(xd_link_add_fdb(rtnl, second, mac), 0);
	text = output("bridge fdb show br br7 | grep 02:42:ac:11:00:09");
	assert_contains(text, "02:42:ac:11:00:09 dev v2 ");
	assert_contains(text, " static");
	assert_null(strstr(text, "dev v1 "));
	assert_true(xd_link_add_fdb(rtnl, 1, mac) < 0);
	assert_contains(xd_error_message(), "interface lo: add to the forwarding database: ");
}

static void removes_clsact_that_nobody_uses(void **state)
{
	__u32 ifindex;

	(void)state;
	require_root();
	ifindex = add_bridge("br7", 1500);
	assert_false(xd_link_has_filters(rtnl, ifindex));
	assert_int_equal(xd_link_delete_clsact(rtnl, ifindex), 0);
	run("tc qdisc add dev br7 clsact");
	assert_false(xd_link_has_filters(rtnl, ifindex));
	run("tc filter add dev br7 ingress bpf da bytecode '1,6 0 0 0'");
	assert_true(xd_link_has_filters(rtnl, ifindex));
	run("tc filter del dev br7 ingress");
	assert_false(xd_link_has_filters(rtnl, ifindex));
	run("tc filter add dev br7 egress bpf da bytecode '1,6 0 0 0'");
	assert_true(xd_link_has_filters(rtnl, ifindex));
	assert_contains(output("tc qdisc show dev br7"), "qdisc clsact ");
	assert_int_equal(xd_link_delete_clsact(rtnl, ifindex), 0);
	assert_null(strstr(output("tc qdisc show dev br7"), "clsact"));
	assert_false(xd_link_has_filters(rtnl, ifindex));
	assert_int_equal(xd_link_delete_clsact(rtnl, ifindex), 0);
	assert_int_equal(xd_link_delete_clsact(rtnl, 999999), 0);
}

static void announces_an_address(void **state)
{
	static const __u8 expected[42] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x42, 0xac, 0x11, 0, 2, 0x08, 0x06,
		/* Ethernet, IPv4, lengths, request */
		0, 1, 0x08, 0, 6, 4, 0, 1,
		/* sender, target */
		0x02, 0x42, 0xac, 0x11, 0, 2, 172, 17, 0, 2,
		0, 0, 0, 0, 0, 0, 172, 17, 0, 2,
	};
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP) };
	struct timeval wait = { .tv_sec = 5 };
	__u8 frame[128];
	__u32 ifindex;
	int fd;

	(void)state;
	require_root();
	run("ip link add v7 type veth peer name p7");
	ifindex = index_of("v7");
	assert_int_equal(xd_link_announce(ifindex, peer_mac, ip("172.17.0.2")), -ENETDOWN);
	assert_contains(xd_error_message(), ": Network is down");
	run("ip link set v7 up && ip link set p7 up");
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ARP));
	assert_true(fd >= 0);
	at.sll_ifindex = index_of("p7");
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	assert_int_equal(xd_link_announce(ifindex, peer_mac, ip("172.17.0.2")), 0);
	assert_int_equal(recv(fd, frame, sizeof(frame), 0), sizeof(expected));
	assert_memory_equal(frame, expected, sizeof(expected));
	/* One, no more. */
	assert_int_equal(recv(fd, frame, sizeof(frame), MSG_DONTWAIT), -1);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stays_in_its_namespace),
		TEST(opens_nothing_in_what_is_no_namespace),
		TEST(closes_its_sockets_on_exec),
		TEST(reads_a_link),
		TEST(says_which_link_is_missing),
		TEST(lists_thousands_of_links_by_ifindex),
		TEST(lists_links_whole_while_others_change),
		TEST(adds_a_bridge),
		TEST(bridge_keeps_its_mtu_whatever_its_ports_do),
		TEST(refuses_bridge_whose_name_is_taken),
		TEST(refuses_impossible_bridge_and_leaves_nothing),
		TEST(adds_a_veth_pair_across_namespaces),
		TEST(says_which_veth_name_is_taken),
		TEST(says_that_a_bridge_is_full),
		TEST(deletes_a_link_once_or_twice),
		TEST(sets_up_and_down_and_mtu),
		TEST(adds_an_address_once_or_twice),
		TEST(lists_addresses),
		TEST(adds_and_replaces_the_default_route),
		TEST(finds_the_address_of_the_default_route),
		TEST(chooses_the_address_that_the_kernel_chooses),
		TEST(adds_static_forwarding_entry),
		TEST(removes_clsact_that_nobody_uses),
		TEST(announces_an_address),
	};

	return cmocka_run_group_tests(tests, enter_private, NULL);
}
