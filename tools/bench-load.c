// SPDX-License-Identifier: GPL-2.0-only
/* The hands of tools/bench: namespaces, programs, traffic. Measures the programs of bpf/ alone,
 * with maps filled here, so that no other part of xdock has a share in the result.
 *
 * It makes three network namespaces and prints their paths; tools/bench links them and then asks
 * for runs, one a line: `HOOK PROGRAM FLOWS SECONDS`, as in `tc xdock 1024 1.0`. The answer is
 * `DELIVERED ELAPSED BUSY`, times in nanoseconds, or nothing and exit 1. BUSY leaves out what the
 * kernel waits before and after the frames of one system call, and what other processes took.
 *
 *     client            host                                    container
 *     bench_generate -> eth0: the program under test -> veth -> eth0: bench_sink
 *
 * All of it happens in the softirq that follows each batch of frames, on the CPU of this thread.
 * Namespaces, programs and attachments are held by file descriptors and end with the process. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "include/config.h"
#include "include/local.h"
#include "include/network.h"
#include "include/port.h"
#include "include/uplink.h"
#include "tools/bench.skel.h"
#include "xdock.skel.h"

/* From linux/bpf.h of Linux 6.6. */
#define TCX_INGRESS 46

#define FLOW_MAX (1 << 20)
#define WARM_UP (1 << 14) /* frames */
#define CHUNK (1 << 18) /* frames of one system call: 0.2 s */
#define PUBLISHED_PORT 9
#define MTU 1500

#define CLIENT_ADDRESS "192.0.2.0" /* of flow 0 */
#define CLIENT_PORT 32768
#define HOST_ADDRESS "198.51.100.1"
#define GATEWAY_ADDRESS "172.17.0.1"
#define GATEWAY_MASK "255.255.0.0"
#define CONTAINER_ADDRESS "172.17.0.2"

enum place {
	CLIENT,
	HOST,
	CONTAINER,
	PLACE_MAX,
};

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	__u8 payload[18];
} __attribute__((packed));

struct interface {
	__u32 ifindex;
	__u8 mac[ETH_ALEN];
};

static int namespaces[PLACE_MAX];
static struct interface client, uplink, bridge, veth, container;
static struct xdock_bpf *xdock;
static struct bench_bpf *bench;

static void make_namespaces(void)
{
	for (int i = 0; i < PLACE_MAX; i++) {
		if (unshare(CLONE_NEWNET))
			err(EXIT_FAILURE, "making a network namespace");
		namespaces[i] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		if (namespaces[i] < 0)
			err(EXIT_FAILURE, "/proc/self/ns/net");
		printf("/proc/%d/fd/%d%c", getpid(), namespaces[i], i + 1 < PLACE_MAX ? ' ' : '\n');
	}
}

static void enter(enum place place)
{
	if (setns(namespaces[place], CLONE_NEWNET))
		err(EXIT_FAILURE, "entering a network namespace");
}

static struct interface find_interface(enum place place, const char *name)
{
	struct interface interface = {};
	struct ifreq request = {};
	int fd;

	enter(place);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		err(EXIT_FAILURE, "interface %s", name);
	memcpy(interface.mac, request.ifr_hwaddr.sa_data, sizeof(interface.mac));
	if (ioctl(fd, SIOCGIFINDEX, &request))
		err(EXIT_FAILURE, "interface %s", name);
	interface.ifindex = request.ifr_ifindex;
	close(fd);
	return interface;
}

/* Adds up to a sum that is not complemented. */
static __u16 add_words(__u32 sum, const void *bytes, size_t length)
{
	const __u8 *byte = bytes;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += byte[i] | byte[i + 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void make_template(__u32 *words, size_t size)
{
	__be16 length = htons(sizeof(struct udphdr) + sizeof(((struct frame *)0)->payload));
	struct frame frame = {
		.eth.h_proto = htons(ETH_P_IP),
		.ip = {
			.version = 4,
			.ihl = 5,
			.tot_len = htons(sizeof(frame) - sizeof(frame.eth)),
			.ttl = 64,
			.protocol = IPPROTO_UDP,
			.saddr = inet_addr(CLIENT_ADDRESS),
			.daddr = inet_addr(HOST_ADDRESS),
		},
		.udp = {
			.source = htons(CLIENT_PORT),
			.dest = htons(PUBLISHED_PORT),
			.len = length,
		},
	};
	__u32 pseudo = length + htons(IPPROTO_UDP);

	memcpy(frame.eth.h_dest, uplink.mac, ETH_ALEN);
	memcpy(frame.eth.h_source, client.mac, ETH_ALEN);
	frame.ip.check = add_words(0, &frame.ip, sizeof(frame.ip));
	pseudo = add_words(pseudo, &frame.ip.saddr, 2 * sizeof(__be32));
	frame.udp.check = add_words(pseudo, &frame.udp, ntohs(length));
	if (size != sizeof(frame))
		errx(EXIT_FAILURE, "bench.bpf.c has another frame");
	memcpy(words, &frame, size);
}

static void put(const struct bpf_map *map, const void *key, size_t key_size, const void *value,
		size_t value_size)
{
	if (bpf_map__update_elem(map, key, key_size, value, value_size, BPF_ANY))
		err(EXIT_FAILURE, "map %s", bpf_map__name(map));
}
#define PUT(map, key, value) put(map, key, sizeof(*(key)), value, sizeof(*(value)))

/* What `xdock up` and `xdock container add web -p 9:9/udp` leave in the maps. */
static void load_xdock(void)
{
	struct xd_uplink uplink_row = { .ifindex = uplink.ifindex, .name = "eth0" };
	struct xd_port_key port_key = { .port = htons(PUBLISHED_PORT), .protocol = IPPROTO_UDP };
	struct xd_port_rev_key rev_key = {
		.address = inet_addr(CONTAINER_ADDRESS),
		.port = htons(PUBLISHED_PORT),
		.protocol = IPPROTO_UDP,
	};
	struct xd_port_rev rev = { .port = htons(PUBLISHED_PORT), .counter = 1 };
	struct xd_port port = {
		.address = rev_key.address,
		.mask = inet_addr(GATEWAY_MASK),
		.port = htons(PUBLISHED_PORT),
		.flags = XD_PORT_CANONICAL,
		.ifindex = veth.ifindex,
		.counter = 1,
		.mtu = MTU,
		.name = "web",
	};
	struct bpf_program *program;

	memcpy(uplink_row.mac, uplink.mac, ETH_ALEN);
	memcpy(port.mac, container.mac, ETH_ALEN);
	memcpy(port.gateway_mac, bridge.mac, ETH_ALEN);

	xdock = xdock_bpf__open();
	if (!xdock)
		err(EXIT_FAILURE, "the programs of xdock");
	bpf_object__for_each_program(program, xdock->obj)
		bpf_program__set_autoload(program, program == xdock->progs.xd_uplink_tc ||
							   program == xdock->progs.xd_uplink_xdp);
	if (xdock_bpf__load(xdock))
		err(EXIT_FAILURE, "the programs of xdock");

	xdock->data_xd_host->xd_host.address = inet_addr(HOST_ADDRESS);
	xdock->data_xd_subnet->xd_subnet[0].gateway = inet_addr(GATEWAY_ADDRESS);
	xdock->data_xd_subnet->xd_subnet[0].mask = inet_addr(GATEWAY_MASK);
	xdock->data_xd_uplink->xd_uplink[0] = uplink_row;
	PUT(xdock->maps.xd_device, &veth.ifindex, &veth.ifindex);
	PUT(xdock->maps.xd_port, &port_key, &port);
	PUT(xdock->maps.xd_port_rev, &rev_key, &rev);
}

static void load_bench(void)
{
	__u32 key = 0;

	bench = bench_bpf__open();
	if (!bench)
		err(EXIT_FAILURE, "the programs of the benchmark");
	bench->rodata->client_ifindex = client.ifindex;
	bench->rodata->container_ifindex = veth.ifindex;
	bench->rodata->container_address = inet_addr(CONTAINER_ADDRESS);
	bench->rodata->port = htons(PUBLISHED_PORT);
	if (bench_bpf__load(bench))
		err(EXIT_FAILURE, "the programs of the benchmark");
	make_template(bench->bss->frame_template, sizeof(bench->bss->frame_template));
	PUT(bench->maps.bench_device, &key, &veth.ifindex);
}

/* In the namespace of the calling thread. The caller closes what is returned. */
static int attach(const struct bpf_program *program, __u32 ifindex, bool is_xdp)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = is_xdp ? XDP_FLAGS_DRV_MODE : 0);
	int fd = bpf_link_create(bpf_program__fd(program), ifindex,
				 is_xdp ? BPF_XDP : (enum bpf_attach_type)TCX_INGRESS, &options);

	if (fd < 0)
		err(EXIT_FAILURE, "attaching %s", bpf_program__name(program));
	return fd;
}

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* Send that many frames; adds the time that it took, in nanoseconds. */
static void generate(__u32 frames, __u64 *elapsed_ns, __u64 *busy_ns)
{
	__u64 start_ns = now_ns();
	struct frame frame = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &frame, .data_size_in = sizeof(frame),
		    .repeat = frames, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	bench->bss->frames_left = frames;
	bench->bss->started_ns = 0;
	if (bpf_prog_test_run_opts(bpf_program__fd(bench->progs.bench_generate), &options))
		err(EXIT_FAILURE, "sending frames");
	*elapsed_ns += now_ns() - start_ns;
	*busy_ns += bench->bss->stopped_ns - bench->bss->started_ns;
}

static void measure(bool is_xdp, bool is_bare, __u32 flows, double seconds)
{
	const struct bpf_program *program =
		is_xdp ? is_bare ? bench->progs.bench_bare_xdp : xdock->progs.xd_uplink_xdp :
			 is_bare ? bench->progs.bench_bare_tc : xdock->progs.xd_uplink_tc;
	volatile __u64 *delivered = &bench->bss->delivered[!is_bare];
	__u64 before, elapsed_ns = 0, busy_ns = 0;
	int link;

	bench->bss->flow_mask = flows - 1;
	enter(HOST);
	link = attach(program, uplink.ifindex, is_xdp);
	enter(CLIENT);
	generate(WARM_UP, &elapsed_ns, &busy_ns);

	before = *delivered;
	elapsed_ns = busy_ns = 0;
	do
		generate(CHUNK, &elapsed_ns, &busy_ns);
	while (elapsed_ns < seconds * 1e9);
	printf("%llu %llu %llu\n", *delivered - before, elapsed_ns, busy_ns);
	close(link);
}

int main(void)
{
	char line[128], hook[8], name[8];
	__u32 flows;
	double seconds;
	int sink;

	setvbuf(stdout, NULL, _IOLBF, 0);
	make_namespaces();
	/* An empty line says that the interfaces are there. */
	if (!fgets(line, sizeof(line), stdin))
		return EXIT_FAILURE;
	client = find_interface(CLIENT, "eth0");
	uplink = find_interface(HOST, "eth0");
	bridge = find_interface(HOST, "docker0");
	veth = find_interface(HOST, "veth0");
	container = find_interface(CONTAINER, "eth0");
	enter(HOST);
	load_xdock();
	load_bench();
	enter(CONTAINER);
	sink = attach(bench->progs.bench_sink, container.ifindex, false);

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%7s %7s %u %lf", hook, name, &flows, &seconds) != 4 || !flows ||
		    flows > FLOW_MAX || flows & (flows - 1))
			errx(EXIT_FAILURE, "not understood: %s", line);
		measure(!strcmp(hook, "xdp"), !strcmp(name, "bare"), flows, seconds);
	}
	close(sink);
	bench_bpf__destroy(bench);
	xdock_bpf__destroy(xdock);
	return 0;
}
