// SPDX-License-Identifier: GPL-2.0-only
/* A host for tests of the programs. */
#include "tests/prog/host.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
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

#include "include/endpoint.h"
#include "include/exception.h"
#include "include/local.h"
#include "include/uplink.h"

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
	"link add docker0 address 02:42:ac:11:00:01 type bridge",
	"link set docker0 up",
	"address add 172.17.0.1/16 dev docker0",
	"link add web0 type veth peer name webpeer0",
	"link set web0 master docker0 up",
	"link set webpeer0 up",
	"link add db0 type veth peer name dbpeer0",
	"link set db0 master docker0 up",
	"link set dbpeer0 up",
};

static int run_ip(const char *arguments)
{
	char command[256];

	snprintf(command, sizeof(command), "ip %s", arguments);
	return system(command);
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
	host.bridge = if_nametoindex("docker0");
	host.web = if_nametoindex("web0");
	host.db = if_nametoindex("db0");
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

static void put(const struct bpf_map *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY))
		fail_msg("%s: %s", bpf_map__name(map), strerror(errno));
}

static bool get(const struct bpf_map *map, const void *key, void *ret_value)
{
	return !bpf_map_lookup_elem(bpf_map__fd(map), key, ret_value);
}

static void clear(const struct bpf_map *map)
{
	__u8 key[64];

	while (!bpf_map_get_next_key(bpf_map__fd(map), NULL, key))
		bpf_map_delete_elem(bpf_map__fd(map), key);
}

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
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

void host_publish(const char *address, __u16 port_host, __u8 protocol, __u16 container_port_host,
		  __u16 flags, __u32 counter)
{
	struct xd_port_key key = port_key(address, port_host, protocol);
	struct xd_port port = {
		.address = frame_address(HOST_WEB),
		.mask = frame_address("255.255.0.0"),
		.port = htons(container_port_host),
		.flags = flags,
		.ifindex = host.web,
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
		put(host.skeleton->maps.xd_port_rev, &rev_key, &rev);
	put(host.skeleton->maps.xd_port, &key, &port);
}

bool host_get_port(const char *address, __u16 port_host, __u8 protocol, struct xd_port *ret_port)
{
	struct xd_port_key key = port_key(address, port_host, protocol);

	return get(host.skeleton->maps.xd_port, &key, ret_port);
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

	return get(host.skeleton->maps.xd_port_rev, &key, ret_rev);
}

void host_unpublish(const char *address, __u16 port_host, __u8 protocol)
{
	struct xd_port_key key = port_key(address, port_host, protocol);
	struct xd_port_rev_key rev_key;
	struct xd_port port;

	assert_true(get(host.skeleton->maps.xd_port, &key, &port));
	bpf_map_delete_elem(bpf_map__fd(host.skeleton->maps.xd_port), &key);
	rev_key = rev_key_of(ntohs(port.port), protocol);
	if (port.flags & XD_PORT_CANONICAL)
		bpf_map_delete_elem(bpf_map__fd(host.skeleton->maps.xd_port_rev), &rev_key);
}

void host_forget_device(__u32 ifindex)
{
	assert_int_equal(
		bpf_map_delete_elem(bpf_map__fd(host.skeleton->maps.xd_device), &ifindex), 0);
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
		put(host.skeleton->maps.xd_local, &key, &local);
}

bool host_has_local(const char *address)
{
	__be32 key = frame_address(address);
	struct xd_local local;

	return get(host.skeleton->maps.xd_local, &key, &local);
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

	return get(host.skeleton->maps.xd_exception, &key, &row) &&
	       row.address == inbound->to.address && row.port == htons(inbound->to.port_host);
}

void host_age_exception(const struct frame_spec *inbound, __u16 container_port_host, __u64 age_ns)
{
	struct xd_exception_key key = exception_key(inbound, container_port_host);
	struct xd_exception row;

	assert_true(get(host.skeleton->maps.xd_exception, &key, &row));
	row.seen_ns = now_ns() - age_ns;
	put(host.skeleton->maps.xd_exception, &key, &row);
}

void host_disown_exception(const struct frame_spec *inbound, __u16 container_port_host)
{
	struct xd_exception_key key = exception_key(inbound, container_port_host);
	struct xd_exception row;

	assert_true(get(host.skeleton->maps.xd_exception, &key, &row));
	assert_int_equal(row.owner, (__u16)host.web);
	row.owner++;
	put(host.skeleton->maps.xd_exception, &key, &row);
}

static void put_container(__u32 ifindex, const char *address, const __u8 *mac, __u32 counter,
			  const char *name)
{
	struct xd_endpoint endpoint = {
		.address = frame_address(address),
		.mask = frame_address("255.255.0.0"),
		.gateway = frame_address(HOST_GATEWAY),
		.bridge = host.bridge,
		.counter = counter,
	};
	struct xd_address_key key = { .bridge = host.bridge, .address = endpoint.address };
	struct xd_address row = { .ifindex = ifindex, .counter = counter };

	memcpy(endpoint.mac, mac, sizeof(endpoint.mac));
	memcpy(endpoint.gateway_mac, host_mac_bridge, sizeof(endpoint.gateway_mac));
	snprintf(endpoint.name, sizeof(endpoint.name), "%s", name);
	memcpy(row.mac, mac, sizeof(row.mac));
	put(host.skeleton->maps.xd_endpoint, &ifindex, &endpoint);
	put(host.skeleton->maps.xd_address, &key, &row);
	put(host.skeleton->maps.xd_device, &ifindex, &ifindex);
}

void host_reset(void)
{
	struct xd_network network = {
		.gateway = frame_address(HOST_GATEWAY),
		.mask = frame_address("255.255.0.0"),
		.mtu = HOST_CONTAINER_MTU,
		.name = "docker0",
	};
	struct xd_uplink uplink = { .ifindex = host.uplink, .name = "uplink0" };
	struct xd_subnet *subnet;

	if (geteuid()) {
		print_message("not root\n");
		skip();
	}
	clear(host.skeleton->maps.xd_port);
	clear(host.skeleton->maps.xd_port_rev);
	clear(host.skeleton->maps.xd_local);
	clear(host.skeleton->maps.xd_exception);

	memcpy(network.mac, host_mac_bridge, sizeof(network.mac));
	memcpy(uplink.mac, host_mac_uplink, sizeof(uplink.mac));
	put(host.skeleton->maps.xd_network, &host.bridge, &network);
	host.skeleton->data_xd_uplink->xd_uplink[0] = uplink;
	host.skeleton->data_xd_host->xd_host.address = frame_address(HOST_DEFAULT);
	host_age_local(HOST_DEFAULT, HOST_FRESH);
	host_age_local(HOST_SECOND, HOST_FRESH);
	subnet = host.skeleton->data_xd_subnet->xd_subnet;
	subnet[0] = (struct xd_subnet){ .gateway = network.gateway, .prefix = 16 };
	subnet[1] = (struct xd_subnet){ .gateway = frame_address("172.18.0.1"),
					.prefix = 16 };

	put_container(host.web, HOST_WEB, host_mac_web, HOST_COUNT_WEB, "web");
	put_container(host.db, HOST_DB, host_mac_db, HOST_COUNT_DB, "db");

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
		assert_true(get(host.skeleton->maps.xd_drop, &reason, drops));
		for (int cpu = 0; cpu < cpus; cpu++)
			ret_tally->drops[reason] += drops[cpu];
	}
	for (__u32 row = 0; row < HOST_COUNT_MAX * XD_COUNT_DIRECTIONS; row++) {
		struct xd_count *sum = &ret_tally->count[row / XD_COUNT_DIRECTIONS]
							[row % XD_COUNT_DIRECTIONS];

		assert_true(get(host.skeleton->maps.xd_count, &row, counts));
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
		return host.web;
	case HOST_BRIDGE:
		return host.bridge;
	default:
		return host.uplink;
	}
}

static enum host_verdict verdict_of(enum host_program program, __u32 value)
{
	if (program == HOST_UPLINK_XDP) {
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
	if (program == HOST_UPLINK_XDP) {
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

static void expect_unchanged(enum host_program program, const struct frame *frame,
			     const struct host_context *context, enum host_verdict verdict,
			     int reason)
{
	struct host_result result;
	struct tally before, after;

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
	struct host_result result;
	struct tally before, after;

	tally_read(&before);
	run(program, frame, context, 0, &result);
	tally_read(&after);
	assert_verdict(program, &result, HOST_REDIRECT);
	frame_assert_equal(&result.frame, want->frame, name);
	if (program != HOST_UPLINK_XDP)
		assert_int_equal(result.mark, want->mark);
	before.count[want->counter][want->direction].packets += 1;
	before.count[want->counter][want->direction].bytes += frame->length;
	tally_assert(&after, &before, name);

	if (program != HOST_UPLINK_XDP && host_keeps_complete(frame, want->frame)) {
		run(program, frame, context, BPF_F_TEST_SKB_CHECKSUM_COMPLETE, &result);
		frame_assert_equal(&result.frame, want->frame, "with CHECKSUM_COMPLETE");
	}
}
