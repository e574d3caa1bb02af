// SPDX-License-Identifier: GPL-2.0-only
/* A host for tests of the programs. */
#include "tests/prog/host.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "include/local.h"
#include "include/reserved.h"

/* From linux/pkt_cls.h and linux/bpf.h */
#define TC_UNSPEC 0xffffffffU
#define TC_SHOT 2
#define TC_REDIRECT 7

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define CPU_MAX 1024

struct host host;

const __u8 host_mac_router[6] = { 0x02, 0x00, 0x5e, 0x00, 0x00, 0xfe };
const __u8 host_mac_uplink[6] = { 0x02, 0x00, 0x5e, 0x00, 0x00, 0x01 };
const __u8 host_mac_bridge[6] = { 0x02, 0x42, 0xac, 0x11, 0x00, 0x01 };
const __u8 host_mac_web[6] = { 0x02, 0x42, 0xac, 0x11, 0x00, 0x02 };
const __u8 host_mac_db[6] = { 0x02, 0x42, 0xac, 0x11, 0x00, 0x03 };
const __u8 host_mac_stranger[6] = { 0x02, 0x00, 0x5e, 0x00, 0x00, 0x99 };
const __u8 host_mac_broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
const __u8 host_mac_other_router[6] = { 0x02, 0x00, 0x5e, 0x00, 0x01, 0xfe };
const __u8 host_mac_other_uplink[6] = { 0x02, 0x00, 0x5e, 0x00, 0x01, 0x01 };
const __u8 host_mac_other_bridge[6] = { 0x02, 0x42, 0xac, 0x12, 0x00, 0x01 };
const __u8 host_mac_app[6] = { 0x02, 0x42, 0xac, 0x12, 0x00, 0x02 };

struct host_container host_web = {
	.name = "web",
	.address = HOST_WEB,
	.gateway = HOST_GATEWAY,
	.mac = host_mac_web,
	.gateway_mac = host_mac_bridge,
	.counter = HOST_COUNT_WEB,
};
struct host_container host_db = {
	.name = "db",
	.address = HOST_DB,
	.gateway = HOST_GATEWAY,
	.mac = host_mac_db,
	.gateway_mac = host_mac_bridge,
	.counter = HOST_COUNT_DB,
};
struct host_container host_app = {
	.name = "app",
	.address = HOST_APP,
	.gateway = HOST_OTHER_GATEWAY,
	.mac = host_mac_app,
	.gateway_mac = host_mac_other_bridge,
	.counter = HOST_COUNT_APP,
};

static struct host_container *const containers[] = { &host_web, &host_db, &host_app };
#define CONTAINER_COUNT (sizeof(containers) / sizeof(containers[0]))

static const char *const links[] = {
	"link set lo up",
	"link add uplink0 address 02:00:5e:00:00:01 type veth peer name outside0",
	"link set uplink0 up",
	"link set outside0 up",
	"address add 198.51.100.1/24 dev uplink0",
	"address add 203.0.113.9/32 dev uplink0",
	"neighbour add 198.51.100.254 lladdr 02:00:5e:00:00:fe dev uplink0 nud permanent",
	"route add default via 198.51.100.254",
	"route add 192.0.2.128/25 via 198.51.100.254 mtu lock 1000",
	"route add unreachable 203.0.113.128/25",
	"link add uplink1 address 02:00:5e:00:01:01 type veth peer name outside1",
	"link set uplink1 up",
	"link set outside1 up",
	"address add 198.18.0.1/24 dev uplink1",
	"neighbour add 198.18.0.254 lladdr 02:00:5e:00:01:fe dev uplink1 nud permanent",
	"link add docker0 address 02:42:ac:11:00:01 type bridge",
	"link set docker0 up",
	"address add 172.17.0.1/16 dev docker0",
	"link add web0 type veth peer name webpeer0",
	"link set web0 master docker0 up",
	"link set webpeer0 up",
	"link add db0 type veth peer name dbpeer0",
	"link set db0 master docker0 up",
	"link set dbpeer0 up",
	"link add docker1 address 02:42:ac:12:00:01 type bridge",
	"link set docker1 up",
	"address add 172.18.0.1/16 dev docker1",
	"link add app0 type veth peer name apppeer0",
	"link set app0 master docker1 up",
	"link set apppeer0 up",
};

static int run_ip(const char *arguments)
{
	char command[256];

	snprintf(command, sizeof(command), "ip %s", arguments);
	return system(command);
}

void host_command(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

void host_ip(const char *arguments)
{
	if (run_ip(arguments))
		fail_msg("ip %s", arguments);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool is_written;

	if (fd < 0)
		return -errno;
	is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return is_written ? 0 : -EIO;
}

static __u64 netns_cookie(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	__u64 cookie = 0;
	socklen_t length = sizeof(cookie);

	if (fd >= 0) {
		getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length);
		close(fd);
	}
	return cookie;
}

static struct bpf_program *program_of(enum host_program program)
{
	switch (program) {
	case HOST_UPLINK_TC:
		return host.skeleton->progs.xd_uplink_tc;
	case HOST_UPLINK_XDP:
		return host.skeleton->progs.xd_uplink_xdp;
	case HOST_CONTAINER:
		return host.skeleton->progs.xd_container_tc;
	case HOST_CONTAINER_XDP:
		return host.skeleton->progs.xd_endpoint_xdp;
	case HOST_SCREEN:
		return host.skeleton->progs.xd_screen_xdp;
	default:
		return host.skeleton->progs.xd_bridge_tc;
	}
}

const char *host_program_name(enum host_program program)
{
	return bpf_program__name(program_of(program));
}

static int make_links(void)
{
	if (unshare(CLONE_NEWNET)) {
		perror("unshare");
		return -1;
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (run_ip(links[i])) {
			fprintf(stderr, "ip %s failed\n", links[i]);
			return -1;
		}
	}
	/* The files below /proc/sys/net are those of the namespace of who opens them. */
	if (write_file("/proc/sys/net/ipv4/ip_forward", "1")) {
		fprintf(stderr, "cannot enable forwarding\n");
		return -1;
	}
	host.uplink = if_nametoindex("uplink0");
	host.other_uplink = if_nametoindex("uplink1");
	host.bridge = if_nametoindex("docker0");
	host.other_bridge = if_nametoindex("docker1");
	host_web.ifindex = if_nametoindex("web0");
	host_db.ifindex = if_nametoindex("db0");
	host_app.ifindex = if_nametoindex("app0");
	host_web.bridge = host_db.bridge = host.bridge;
	host_app.bridge = host.other_bridge;
	return 0;
}

static int load(void)
{
	host.skeleton = xdock_bpf__open();
	if (!host.skeleton)
		return -1;
	*(struct xd_config *)&host.skeleton->rodata->xd_config =
		(struct xd_config){ .netns_cookie = netns_cookie() };
	if (xdock_bpf__load(host.skeleton)) {
		fprintf(stderr, "the programs do not load\n");
		return -1;
	}
	return 0;
}

int host_setup(__attribute__((unused)) void **state)
{
	/* Each test then skips itself: a group cannot. */
	if (geteuid())
		return 0;
	return make_links() || load() ? -1 : 0;
}

int host_teardown(__attribute__((unused)) void **state)
{
	xdock_bpf__destroy(host.skeleton);
	return 0;
}

void host_put(const struct bpf_map *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY))
		fail_msg("%s: %s", bpf_map__name(map), strerror(errno));
}

bool host_get(const struct bpf_map *map, const void *key, void *ret_value)
{
	return !bpf_map_lookup_elem(bpf_map__fd(map), key, ret_value);
}

void host_delete(const struct bpf_map *map, const void *key)
{
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(map), key), 0);
}

size_t host_count_rows(const struct bpf_map *map)
{
	__u8 keys[2][64];
	size_t count = 0;

	while (!bpf_map_get_next_key(bpf_map__fd(map), count ? keys[count % 2] : NULL,
				     keys[(count + 1) % 2]))
		count++;
	return count;
}

void host_clear(const struct bpf_map *map)
{
	__u8 key[64];

	while (!bpf_map_get_next_key(bpf_map__fd(map), NULL, key))
		host_delete(map, key);
}

__u64 host_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static struct xd_port_key port_key(const char *address, __u16 port_host, __u8 protocol)
{
	return (struct xd_port_key){
		.address = frame_address(address),
		.port = htons(port_host),
		.protocol = protocol,
	};
}

/* As the loader keeps them: bits of all published ports. */
static void reserve(__u16 port_host, bool is_kept)
{
	const struct bpf_map *map = host.skeleton->maps.xd_reserved;
	struct xd_reserved reserved;
	__u32 key = 0;
	__u8 bit = 1 << port_host % 8;

	assert_true(host_get(map, &key, &reserved));
	reserved.published[port_host / 8] &= ~bit;
	reserved.published[port_host / 8] |= is_kept ? bit : 0;
	host_put(map, &key, &reserved);
}

void host_publish(const char *address, __u16 port_host, __u8 protocol, __u16 container_port_host,
		  __u16 flags, __u32 counter)
{
	struct xd_port_key key = port_key(address, port_host, protocol);
	struct xd_port port = {
		.address = frame_address(HOST_WEB),
		.mask = frame_address("255.255.0.0"),
		.port = htons(container_port_host),
		.flags = flags,
		.ifindex = host_web.ifindex,
		.counter = counter,
		.mtu = HOST_CONTAINER_MTU,
		.name = "web",
	};
	struct xd_port_rev_key rev_key = {
		.address = port.address,
		.port = port.port,
		.protocol = protocol,
	};
	struct xd_port_rev rev = { .address = key.address, .port = key.port, .counter = counter };

	memcpy(port.mac, host_mac_web, sizeof(port.mac));
	memcpy(port.gateway_mac, host_mac_bridge, sizeof(port.gateway_mac));
	if (flags & XD_PORT_CANONICAL)
		host_put(host.skeleton->maps.xd_port_rev, &rev_key, &rev);
	host_put(host.skeleton->maps.xd_port, &key, &port);
	reserve(port_host, true);
}

bool host_get_port(const char *address, __u16 port_host, __u8 protocol, struct xd_port *ret_port)
{
	struct xd_port_key key = port_key(address, port_host, protocol);

	return host_get(host.skeleton->maps.xd_port, &key, ret_port);
}

static struct xd_port_rev_key rev_key_of(__u16 container_port_host, __u8 protocol)
{
	return (struct xd_port_rev_key){
		.address = frame_address(HOST_WEB),
		.port = htons(container_port_host),
		.protocol = protocol,
	};
}

bool host_get_rev(__u16 container_port_host, __u8 protocol, struct xd_port_rev *ret_rev)
{
	struct xd_port_rev_key key = rev_key_of(container_port_host, protocol);

	return host_get(host.skeleton->maps.xd_port_rev, &key, ret_rev);
}

static bool is_published(__u16 port_host)
{
	struct xd_port_key key, next;
	const struct xd_port_key *last = NULL;

	while (!bpf_map_get_next_key(bpf_map__fd(host.skeleton->maps.xd_port), last, &next)) {
		if (next.port == htons(port_host))
			return true;
		key = next;
		last = &key;
	}
	return false;
}

void host_unpublish(const char *address, __u16 port_host, __u8 protocol)
{
	struct xd_port_key key = port_key(address, port_host, protocol);
	struct xd_port_rev_key rev_key;
	struct xd_port port;

	assert_true(host_get(host.skeleton->maps.xd_port, &key, &port));
	host_delete(host.skeleton->maps.xd_port, &key);
	rev_key = rev_key_of(ntohs(port.port), protocol);
	if (port.flags & XD_PORT_CANONICAL)
		host_delete(host.skeleton->maps.xd_port_rev, &rev_key);
	reserve(port_host, is_published(port_host));
}

void host_forget_device(__u32 ifindex)
{
	host_delete(host.skeleton->maps.xd_device, &ifindex);
}

/* As bpf_jiffies64() reads it. */
static __u64 now_jiffies(void)
{
	unsigned long long jiffies = 0;
	char line[256];
	FILE *list = fopen("/proc/timer_list", "re");

	assert_non_null(list);
	while (!jiffies && fgets(line, sizeof(line), list))
		sscanf(line, "jiffies: %llu", &jiffies);
	fclose(list);
	assert_int_not_equal(jiffies, 0);
	return jiffies;
}

void host_age_local(const char *address, __u64 age)
{
	__be32 key = frame_address(address);
	struct xd_local local = { .proved = now_jiffies() - age };

	if (key == host.skeleton->data_xd_host->xd_host.address)
		host.skeleton->data_xd_host->xd_host.proved = local.proved;
	else
		host_put(host.skeleton->maps.xd_local, &key, &local);
}

bool host_has_local(const char *address)
{
	__be32 key = frame_address(address);
	struct xd_local local;

	return host_get(host.skeleton->maps.xd_local, &key, &local);
}

static struct xd_exception_key exception_key(const struct frame_spec *inbound,
					     __u16 container_port_host)
{
	return (struct xd_exception_key){
		.container_address = frame_address(HOST_WEB),
		.client_address = inbound->from.address,
		.container_port = htons(container_port_host),
		.client_port = htons(inbound->from.port_host),
		.protocol = inbound->protocol,
	};
}

bool host_has_exception(const struct frame_spec *inbound, __u16 container_port_host)
{
	struct xd_exception_key key = exception_key(inbound, container_port_host);
	struct xd_exception row;

	return host_get(host.skeleton->maps.xd_exception, &key, &row) &&
	       row.address == inbound->to.address && row.port == htons(inbound->to.port_host);
}

void host_age_exception(const struct frame_spec *inbound, __u16 container_port_host, __u64 age_ns)
{
	struct xd_exception_key key = exception_key(inbound, container_port_host);
	struct xd_exception row;

	assert_true(host_get(host.skeleton->maps.xd_exception, &key, &row));
	row.seen_ns = host_now_ns() - age_ns;
	host_put(host.skeleton->maps.xd_exception, &key, &row);
}

void host_disown_exception(const struct frame_spec *inbound, __u16 container_port_host)
{
	struct xd_exception_key key = exception_key(inbound, container_port_host);
	struct xd_exception row;

	assert_true(host_get(host.skeleton->maps.xd_exception, &key, &row));
	assert_int_equal(row.owner, (__u16)host_web.ifindex);
	row.owner++;
	host_put(host.skeleton->maps.xd_exception, &key, &row);
}

void host_put_container(const struct host_container *container, __u16 flags)
{
	__u32 ifindex = container->ifindex;
	struct xd_endpoint endpoint = {
		.address = frame_address(container->address),
		.mask = frame_address("255.255.0.0"),
		.gateway = frame_address(container->gateway),
		.bridge = container->bridge,
		.counter = container->counter,
		.mtu = HOST_CONTAINER_MTU,
		.flags = flags,
	};
	struct xd_address_key key = { .bridge = endpoint.bridge, .address = endpoint.address };
	struct xd_address row = { .ifindex = ifindex, .counter = endpoint.counter };

	memcpy(endpoint.mac, container->mac, sizeof(endpoint.mac));
	memcpy(endpoint.gateway_mac, container->gateway_mac, sizeof(endpoint.gateway_mac));
	snprintf(endpoint.name, sizeof(endpoint.name), "%s", container->name);
	memcpy(row.mac, container->mac, sizeof(row.mac));
	host_put(host.skeleton->maps.xd_endpoint, &ifindex, &endpoint);
	host_put(host.skeleton->maps.xd_address, &key, &row);
	host_put(host.skeleton->maps.xd_device, &ifindex, &ifindex);
}

__u16 host_get_hairpin(const struct host_container *container)
{
	struct xd_endpoint endpoint;

	assert_true(host_get(host.skeleton->maps.xd_endpoint, &container->ifindex, &endpoint));
	return endpoint.hairpin;
}

void host_set_network(__u32 bridge, __u16 flags)
{
	struct xd_network network;

	assert_true(host_get(host.skeleton->maps.xd_network, &bridge, &network));
	network.flags = flags;
	host_put(host.skeleton->maps.xd_network, &bridge, &network);
	host.skeleton->data_xd_subnet->xd_subnet[bridge == host.other_bridge].flags = flags;
	for (size_t i = 0; i < CONTAINER_COUNT; i++) {
		struct xd_endpoint endpoint;

		if (containers[i]->bridge != bridge)
			continue;
		assert_true(host_get(host.skeleton->maps.xd_endpoint, &containers[i]->ifindex,
				     &endpoint));
		endpoint.flags = flags;
		host_put(host.skeleton->maps.xd_endpoint, &containers[i]->ifindex, &endpoint);
	}
}

static void put_network(__u32 bridge, const char *name, const char *gateway, const __u8 *mac)
{
	struct xd_network network = {
		.gateway = frame_address(gateway),
		.mask = frame_address("255.255.0.0"),
		.mtu = HOST_CONTAINER_MTU,
	};

	memcpy(network.mac, mac, sizeof(network.mac));
	snprintf(network.name, sizeof(network.name), "%s", name);
	host_put(host.skeleton->maps.xd_network, &bridge, &network);
	host.skeleton->data_xd_subnet->xd_subnet[bridge == host.other_bridge] =
		(struct xd_subnet){ .gateway = network.gateway, .prefix = 16 };
}

static void put_uplink(size_t row, __u32 ifindex, const char *name, const __u8 *mac)
{
	struct xd_uplink uplink = { .ifindex = ifindex, .flags = XD_UPLINK_XDP };

	memcpy(uplink.mac, mac, sizeof(uplink.mac));
	snprintf(uplink.name, sizeof(uplink.name), "%s", name);
	host.skeleton->data_xd_uplink->xd_uplink[row] = uplink;
}

void host_reset(void)
{
	struct xd_reserved reserved = {};
	__u32 key = 0;

	if (geteuid()) {
		print_message("not root\n");
		skip();
	}
	host_clear(host.skeleton->maps.xd_port);
	host_clear(host.skeleton->maps.xd_port_rev);
	host_clear(host.skeleton->maps.xd_local);
	host_clear(host.skeleton->maps.xd_exception);
	host_clear(host.skeleton->maps.xd_snat);
	host_clear(host.skeleton->maps.xd_snat_rev);
	host_clear(host.skeleton->maps.xd_fragment);
	host_put(host.skeleton->maps.xd_reserved, &key, &reserved);

	put_uplink(0, host.uplink, "uplink0", host_mac_uplink);
	put_uplink(1, host.other_uplink, "uplink1", host_mac_other_uplink);
	host.skeleton->data_xd_host->xd_host = (struct xd_host){
		.address = frame_address(HOST_DEFAULT),
		.port_low_host = HOST_PORT_LOW,
		.port_high_host = HOST_PORT_HIGH,
	};
	host_age_local(HOST_DEFAULT, HOST_FRESH);
	host_age_local(HOST_SECOND, HOST_FRESH);

	put_network(host.bridge, "docker0", HOST_GATEWAY, host_mac_bridge);
	put_network(host.other_bridge, "docker1", HOST_OTHER_GATEWAY, host_mac_other_bridge);
	for (size_t i = 0; i < CONTAINER_COUNT; i++)
		host_put_container(containers[i], 0);
	host_set_network(host.bridge, XD_NETWORK_MASQUERADE);
	host_set_network(host.other_bridge, XD_NETWORK_MASQUERADE);

	host_publish("0.0.0.0", 8761, IPPROTO_TCP, 8761, XD_PORT_CANONICAL, HOST_COUNT_8761);
	host_publish("0.0.0.0", 8761, IPPROTO_UDP, 8761, XD_PORT_CANONICAL, HOST_COUNT_8761_UDP);
	host_publish("0.0.0.0", 5300, IPPROTO_UDP, 53, XD_PORT_CANONICAL, HOST_COUNT_5300);
	host_publish("0.0.0.0", 8080, IPPROTO_TCP, 80, XD_PORT_CANONICAL, HOST_COUNT_8080);
	host_publish("0.0.0.0", 8081, IPPROTO_TCP, 80, 0, HOST_COUNT_8081);
	host_publish(HOST_SECOND, 9000, IPPROTO_TCP, 9000, XD_PORT_CANONICAL, HOST_COUNT_9000);
	host_publish(HOST_DEFAULT, 7000, IPPROTO_TCP, 7000, XD_PORT_CANONICAL, HOST_COUNT_7000);
}

/* All counters at one moment. */
struct tally {
	struct xd_count count[HOST_COUNT_MAX][XD_COUNT_DIRECTIONS];
	__u64 drops[XD_DROP_MAX];
};

static void tally_read(struct tally *ret_tally)
{
	static __u64 drops[CPU_MAX];
	static struct xd_count counts[CPU_MAX];
	int cpus = libbpf_num_possible_cpus();

	memset(ret_tally, 0, sizeof(*ret_tally));
	assert_in_range(cpus, 1, CPU_MAX);
	for (__u32 reason = 0; reason < XD_DROP_MAX; reason++) {
		assert_true(host_get(host.skeleton->maps.xd_drop, &reason, drops));
		for (int cpu = 0; cpu < cpus; cpu++)
			ret_tally->drops[reason] += drops[cpu];
	}
	for (__u32 row = 0; row < HOST_COUNT_MAX * XD_COUNT_DIRECTIONS; row++) {
		struct xd_count *sum = &ret_tally->count[row / XD_COUNT_DIRECTIONS]
							[row % XD_COUNT_DIRECTIONS];

		assert_true(host_get(host.skeleton->maps.xd_count, &row, counts));
		for (int cpu = 0; cpu < cpus; cpu++) {
			sum->packets += counts[cpu].packets;
			sum->bytes += counts[cpu].bytes;
		}
	}
}

static void tally_assert(const struct tally *is, const struct tally *want, const char *what)
{
	for (int reason = 0; reason < XD_DROP_MAX; reason++) {
		if (is->drops[reason] != want->drops[reason])
			fail_msg("%s: xd_drop[%d] is %llu instead of %llu", what, reason,
				 is->drops[reason], want->drops[reason]);
	}
	for (int row = 0; row < HOST_COUNT_MAX * XD_COUNT_DIRECTIONS; row++) {
		const struct xd_count *a = &is->count[0][0] + row, *b = &want->count[0][0] + row;

		if (a->packets != b->packets || a->bytes != b->bytes)
			fail_msg("%s: xd_count[%d] is %llu packets, %llu bytes instead of %llu, "
				 "%llu", what, row, a->packets, a->bytes, b->packets, b->bytes);
	}
}

static __u32 ifindex_of(enum host_program program, const struct host_context *context)
{
	if (context && context->ifindex)
		return context->ifindex;
	switch (program) {
	case HOST_CONTAINER:
	case HOST_CONTAINER_XDP:
		return host_web.ifindex;
	case HOST_BRIDGE:
		return host.bridge;
	default:
		return host.uplink;
	}
}

static enum host_verdict verdict_of(enum host_program program, __u32 value)
{
	if (host_is_xdp(program)) {
		switch (value) {
		case XDP_PASS:
			return HOST_PASS;
		case XDP_DROP:
			return HOST_DROP;
		case XDP_REDIRECT:
			return HOST_REDIRECT;
		}
	} else {
		switch (value) {
		case TC_UNSPEC:
			return HOST_PASS;
		case TC_SHOT:
			return HOST_DROP;
		case TC_REDIRECT:
			return HOST_REDIRECT;
		}
	}
	fail_msg("%s returned %d", host_program_name(program), (int)value);
	return HOST_PASS;
}

int host_try(enum host_program program, const struct frame *frame,
	     const struct host_context *context, __u32 test_flags, struct host_result *ret_result)
{
	struct __sk_buff skb = { .ifindex = ifindex_of(program, context) };
	struct xdp_md xdp = {
		.data_end = frame->length,
		.ingress_ifindex = ifindex_of(program, context),
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->bytes,
		    .data_size_in = frame->length, .data_out = ret_result->frame.bytes,
		    .data_size_out = FRAME_MAX, .repeat = 1, .flags = test_flags);
	int r;

	if (context) {
		skb.mark = context->mark;
		skb.gso_size = context->gso_size;
		skb.gso_segs = context->gso_size ? 2 : 0;
	}
	if (host_is_xdp(program)) {
		opts.ctx_in = &xdp;
		opts.ctx_size_in = sizeof(xdp);
	} else {
		opts.ctx_in = opts.ctx_out = &skb;
		opts.ctx_size_in = opts.ctx_size_out = sizeof(skb);
	}
	r = bpf_prog_test_run_opts(bpf_program__fd(program_of(program)), &opts);
	if (r)
		return -errno;
	ret_result->verdict = verdict_of(program, opts.retval);
	ret_result->frame.length = opts.data_size_out;
	ret_result->mark = skb.mark;
	return 0;
}

static void run(enum host_program program, const struct frame *frame,
		const struct host_context *context, __u32 test_flags,
		struct host_result *ret_result)
{
	int r = host_try(program, frame, context, test_flags, ret_result);

	if (r)
		fail_msg("%s: test run%s: %s", host_program_name(program),
			 test_flags ? " with CHECKSUM_COMPLETE" : "", strerror(-r));
}

static void assert_verdict(enum host_program program, const struct host_result *result,
			   enum host_verdict want)
{
	static const char *const names[] = { "pass", "drop", "redirect" };

	if (result->verdict != want)
		fail_msg("%s: verdict %s instead of %s", host_program_name(program),
			 names[result->verdict], names[want]);
}

static unsigned int carried;

unsigned int host_carried(void)
{
	return carried;
}

/* In front of HOST_CONTAINER. frame, want: as they go in and have to come out. */
static void expect_twin(const struct frame *frame, const struct host_context *context,
			enum host_verdict verdict, const struct frame *want,
			const struct tally *expected)
{
	const char *name = host_program_name(HOST_CONTAINER_XDP);
	struct tally before, after;
	struct host_result result;

	/* What XDP never sees, or a test run of it refuses. */
	if ((context && (context->gso_size || context->mark)) || frame->length < ETH_HLEN)
		return;
	tally_read(&before);
	run(HOST_CONTAINER_XDP, frame, context, 0, &result);
	tally_read(&after);
	if (result.verdict == HOST_PASS) {
		frame_assert_equal(&result.frame, frame, name);
		tally_assert(&after, &before, name);
		return;
	}
	assert_verdict(HOST_CONTAINER_XDP, &result, verdict);
	frame_assert_equal(&result.frame, want, name);
	for (int i = 0; i < XD_DROP_MAX; i++)
		before.drops[i] += expected->drops[i];
	for (int i = 0; i < HOST_COUNT_MAX * XD_COUNT_DIRECTIONS; i++) {
		(&before.count[0][0] + i)->packets += (&expected->count[0][0] + i)->packets;
		(&before.count[0][0] + i)->bytes += (&expected->count[0][0] + i)->bytes;
	}
	tally_assert(&after, &before, name);
	carried++;
}

static void expect_unchanged(enum host_program program, const struct frame *frame,
			     const struct host_context *context, enum host_verdict verdict,
			     int reason)
{
	struct tally before, after, expected = {};
	struct host_result result;

	if (reason >= 0)
		expected.drops[reason] = 1;
	if (program == HOST_CONTAINER)
		expect_twin(frame, context, verdict, frame, &expected);
	tally_read(&before);
	run(program, frame, context, 0, &result);
	tally_read(&after);
	assert_verdict(program, &result, verdict);
	frame_assert_equal(&result.frame, frame, host_program_name(program));
	if (reason >= 0)
		before.drops[reason] += 1;
	tally_assert(&after, &before, host_program_name(program));
	assert_int_equal(result.mark, context ? context->mark : 0);
}

void host_expect_pass(enum host_program program, const struct frame *frame,
		      const struct host_context *context)
{
	expect_unchanged(program, frame, context, HOST_PASS, -1);
}

void host_expect_drop(enum host_program program, const struct frame *frame,
		      const struct host_context *context, enum xd_drop_reason reason)
{
	expect_unchanged(program, frame, context, HOST_DROP, reason);
}

bool host_keeps_complete(const struct frame *in, const struct frame *out)
{
	return in->bytes[FRAME_IP + 9] != IPPROTO_UDP || frame_get16(in, FRAME_TRANSPORT + 6) ||
	       !memcmp(in->bytes + FRAME_TRANSPORT, out->bytes + FRAME_TRANSPORT, 4);
}

void host_expect_redirect(enum host_program program, const struct frame *frame,
			  const struct host_context *context, const struct host_redirect *want)
{
	const char *name = host_program_name(program);
	struct tally before, after, expected = {};
	struct host_result result;

	expected.count[want->counter][want->direction] =
		(struct xd_count){ .packets = 1, .bytes = frame->length };
	if (program == HOST_CONTAINER)
		expect_twin(frame, context, HOST_REDIRECT, want->frame, &expected);
	tally_read(&before);
	run(program, frame, context, 0, &result);
	tally_read(&after);
	assert_verdict(program, &result, HOST_REDIRECT);
	frame_assert_equal(&result.frame, want->frame, name);
	if (!host_is_xdp(program))
		assert_int_equal(result.mark, want->mark);
	before.count[want->counter][want->direction].packets += 1;
	before.count[want->counter][want->direction].bytes += frame->length;
	tally_assert(&after, &before, name);

	if (!host_is_xdp(program) && host_keeps_complete(frame, want->frame)) {
		run(program, frame, context, BPF_F_TEST_SKB_CHECKSUM_COMPLETE, &result);
		frame_assert_equal(&result.frame, want->frame, "with CHECKSUM_COMPLETE");
	}
}

struct frame_spec host_inbound(__u8 protocol, const char *address, __u16 port_host)
{
	return (struct frame_spec){
		.mac_to = host_mac_uplink,
		.mac_from = host_mac_router,
		.from = { frame_address(HOST_CLIENT), 40000 },
		.to = { frame_address(address), port_host },
		.protocol = protocol,
		.ttl = 61,
		.tos = 0x28,
		.id = 0xbeef,
		.fragment = FRAME_DF,
		.payload = 37,
		.is_echo_reply = protocol == IPPROTO_ICMP,
	};
}

struct frame_spec host_delivered(const struct frame_spec *spec,
				 const struct host_container *container, __u16 port_host)
{
	struct frame_spec to = *spec;

	to.mac_to = container->mac;
	to.mac_from = container->gateway_mac;
	to.to = (struct frame_end){ frame_address(container->address), port_host };
	to.ttl--;
	return to;
}

struct frame_spec host_outbound(const struct host_container *container, __u8 protocol,
				__u16 port_host)
{
	return (struct frame_spec){
		.mac_to = container->gateway_mac,
		.mac_from = container->mac,
		.from = { frame_address(container->address), port_host },
		.to = { frame_address(HOST_CLIENT), 40000 },
		.protocol = protocol,
		.ttl = 64,
		.id = 0x0815,
		.fragment = FRAME_DF,
		.payload = 51,
	};
}

struct frame_spec host_opening(const struct host_container *container, __u8 protocol,
			       __u16 port_host)
{
	struct frame_spec spec = host_outbound(container, protocol, port_host);

	spec.tcp_flags = FRAME_SYN;
	return spec;
}

struct frame_spec host_sent(const struct frame_spec *spec, const char *address, __u16 port_host)
{
	struct frame_spec to = *spec;

	to.mac_to = host_mac_router;
	to.mac_from = host_mac_uplink;
	to.from = (struct frame_end){ frame_address(address), port_host };
	to.ttl--;
	return to;
}

/* The veth of the container that sends the frame. */
static struct host_context context_of(enum host_program program, const struct frame *frame)
{
	struct host_context context = {};

	for (size_t i = 0; host_is_container(program) && i < CONTAINER_COUNT; i++) {
		if (!memcmp(frame->bytes + ETH_ALEN, containers[i]->mac, ETH_ALEN))
			context.ifindex = containers[i]->ifindex;
	}
	return context;
}

void host_frame_passes(enum host_program program, const struct frame *frame)
{
	struct host_context context = context_of(program, frame);

	host_expect_pass(program, frame, &context);
}

void host_frame_drops(enum host_program program, const struct frame *frame,
		      enum xd_drop_reason reason)
{
	struct host_context context = context_of(program, frame);

	host_expect_drop(program, frame, &context, reason);
}

void host_frame_becomes(enum host_program program, const struct frame *frame,
			const struct frame *to, __u32 counter)
{
	struct host_context context = context_of(program, frame);

	host_expect_redirect(program, frame, &context,
			     &(struct host_redirect){
				     .frame = to,
				     .counter = counter,
				     .direction = host_is_container(program) ? XD_COUNT_OUT :
									      XD_COUNT_IN,
			     });
}

void host_spec_passes(enum host_program program, const struct frame_spec *spec)
{
	struct frame frame;

	frame_build(spec, &frame);
	host_frame_passes(program, &frame);
}

void host_spec_drops(enum host_program program, const struct frame_spec *spec,
		     enum xd_drop_reason reason)
{
	struct frame frame;

	frame_build(spec, &frame);
	host_frame_drops(program, &frame, reason);
}

void host_spec_becomes(enum host_program program, const struct frame_spec *spec,
		       const struct frame_spec *to, __u32 counter)
{
	struct frame in, out;

	frame_build(spec, &in);
	frame_build(to, &out);
	host_frame_becomes(program, &in, &out, counter);
}

/* ICMP echo has one number: a request's, its sender's. */
static __be16 remote_port_of(const struct frame_spec *spec)
{
	return spec->protocol == IPPROTO_ICMP ? 0 : htons(spec->to.port_host);
}

bool host_get_flow(const struct frame_spec *spec, struct host_flow *ret_flow)
{
	struct xd_snat_rev_key key;

	*ret_flow = (struct host_flow){
		.key = {
			.container_address = spec->from.address,
			.remote_address = spec->to.address,
			.container_port = htons(spec->from.port_host),
			.remote_port = remote_port_of(spec),
			.protocol = spec->protocol,
		},
	};
	if (!host_get(host.skeleton->maps.xd_snat, &ret_flow->key, &ret_flow->row))
		return false;
	/* The remote may be another as it answers, so the row is known by what is in it. */
	for (const struct xd_snat_rev_key *last = NULL;; last = &key) {
		struct xd_snat_rev_key next;
		struct xd_snat_rev *rev = &ret_flow->rev;

		if (bpf_map_get_next_key(bpf_map__fd(host.skeleton->maps.xd_snat_rev), last, &next))
			return false;
		key = next;
		if (key.address == ret_flow->row.address && key.port == ret_flow->row.port &&
		    key.protocol == spec->protocol &&
		    host_get(host.skeleton->maps.xd_snat_rev, &key, rev) &&
		    rev->container_address == ret_flow->key.container_address &&
		    rev->container_port == ret_flow->key.container_port &&
		    rev->dialled_address == ret_flow->key.remote_address &&
		    rev->dialled_port == ret_flow->key.remote_port)
			break;
	}
	ret_flow->rev_key = key;
	return true;
}

__u16 host_open_flow(const struct frame_spec *spec)
{
	struct host_context context;
	struct host_result result;
	struct host_flow flow;
	struct frame frame;

	frame_build(spec, &frame);
	context = context_of(HOST_CONTAINER, &frame);
	run(HOST_CONTAINER, &frame, &context, 0, &result);
	assert_verdict(HOST_CONTAINER, &result, HOST_REDIRECT);
	assert_true(host_get_flow(spec, &flow));
	return ntohs(flow.row.port);
}

/* Times are not what somebody expects, but have to be of now. */
static void assert_fresh(__u64 seen_ns)
{
	assert_true(seen_ns <= host_now_ns());
	assert_true(host_now_ns() - seen_ns < 20 * XD_SNAT_SECOND_NS);
}

void host_expect_flow(const struct frame_spec *spec, const struct host_flow_want *want)
{
	const struct host_container *container = want->container;
	__be32 remote = want->remote ? frame_address(want->remote) : spec->to.address;
	__be16 remote_port = want->remote ? htons(want->remote_port_host) : remote_port_of(spec);
	struct host_flow flow, expected = {
		.rev_key = {
			.remote_address = remote,
			.address = frame_address(want->address),
			.remote_port = remote_port,
			.port = htons(want->port_host),
			.protocol = spec->protocol,
		},
		.row = {
			.address = frame_address(want->address),
			.port = htons(want->port_host),
			.flags = want->flags,
			.ifindex = want->ifindex,
			.owner = container->ifindex,
		},
		.rev = {
			.container_address = spec->from.address,
			.container_port = htons(spec->from.port_host),
			.owner = container->ifindex,
			.ifindex = container->ifindex,
			.counter = container->counter,
			.dialled_address = spec->to.address,
			.dialled_port = remote_port_of(spec),
			.flags = want->flags,
			.mtu = HOST_CONTAINER_MTU,
		},
	};

	assert_true(host_get_flow(spec, &flow));
	memcpy(expected.rev.mac, container->mac, sizeof(expected.rev.mac));
	memcpy(expected.rev.gateway_mac, container->gateway_mac, sizeof(expected.rev.gateway_mac));
	expected.key = flow.key;
	assert_fresh(flow.row.seen_ns);
	assert_fresh(flow.rev.seen_ns);
	expected.row.seen_ns = flow.row.seen_ns;
	expected.rev.seen_ns = flow.rev.seen_ns;
	assert_int_equal(ntohs(flow.row.port), want->port_host);
	assert_memory_equal(&flow.rev_key, &expected.rev_key, sizeof(flow.rev_key));
	assert_memory_equal(&flow.row, &expected.row, sizeof(flow.row));
	assert_memory_equal(&flow.rev, &expected.rev, sizeof(flow.rev));
}

void host_put_flow(const struct host_flow *flow)
{
	host_put(host.skeleton->maps.xd_snat, &flow->key, &flow->row);
	host_put(host.skeleton->maps.xd_snat_rev, &flow->rev_key, &flow->rev);
}

void host_age_flow(const struct frame_spec *spec, enum host_half half, __u64 age_ns)
{
	struct host_flow flow;

	assert_true(host_get_flow(spec, &flow));
	if (half & HOST_OUT)
		flow.row.seen_ns = host_now_ns() - age_ns;
	if (half & HOST_IN)
		flow.rev.seen_ns = host_now_ns() - age_ns;
	host_put_flow(&flow);
}

void host_delete_flow(const struct frame_spec *spec, enum host_half half)
{
	struct host_flow flow;

	assert_true(host_get_flow(spec, &flow));
	if (half & HOST_OUT)
		host_delete(host.skeleton->maps.xd_snat, &flow.key);
	if (half & HOST_IN)
		host_delete(host.skeleton->maps.xd_snat_rev, &flow.rev_key);
}

void host_expect_flows(size_t out, size_t in)
{
	assert_int_equal(host_count_rows(host.skeleton->maps.xd_snat), out);
	assert_int_equal(host_count_rows(host.skeleton->maps.xd_snat_rev), in);
}

enum host_program host_tc = HOST_UPLINK_TC, host_xdp = HOST_UPLINK_XDP;

enum host_program host_hook(void **state)
{
	return *(enum host_program *)*state;
}
