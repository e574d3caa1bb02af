// SPDX-License-Identifier: GPL-2.0-only
/* Small packets for tools/bench: a generator in one network namespace and a sink in another, and
 * what single packets cost a program.
 *
 *     client            host                                    container
 *     bench_generate -> eth0: what is measured -> VETH -> eth0: bench_sink_tc
 *
 * usage: bench-load CLIENT HOST CONTAINER VETH    paths of namespaces, a name of an interface
 *
 * Each line of the standard input is a command, each answer a line of JSON:
 *
 *     send PROGRAM FLOWS THREADS SECONDS RATE
 *         Frames to the published port, from FLOWS sources (a power of two), RATE a second (0: all
 *         that can be sent). PROGRAM is attached to the host's eth0 meanwhile: none, bare-tc or
 *         bare-xdp (redirects to the container), sink-tc or sink-xdp (nothing comes further).
 *     run ID tc|xdp IFINDEX FRAME
 *         Runs the program of that id REPEAT times, each time with a fresh frame (in hexadecimal),
 *         and an empty program in turn with it. One frame a time, because a program that translates
 *         a packet would not know it when it comes again.
 *     image ID PATH
 *         Writes the machine code of a program into a file.
 *
 * A frame's way is done in the softirq that follows each batch of frames, on the CPU of the thread
 * that sends. Programs and attachments are held by file descriptors and end with the process. */
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
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench.h"
#include "tools/bench.skel.h"

/* From linux/bpf.h of Linux 6.6. */
#define TCX_INGRESS 46

#define FLOW_MAX (1 << 20)
#define THREAD_MAX 4
#define WARM_UP_NS 200000000ULL
#define CALL_NS 100000000ULL /* how long one system call shall send */
#define CALL_FRAMES (1 << 12) /* of the first one, whose speed is not known yet */
#define PACE_NS 10000000ULL /* between two calls when there is a rate to hold */
#define DRAIN_US 20000
#define REPEAT 4000
#define PUBLISHED_PORT 9

#define CLIENT_ADDRESS "192.0.2.0" /* of flow 0 */
#define CLIENT_PORT 32768
#define HOST_ADDRESS "198.51.100.1"
#define CONTAINER_ADDRESS "172.17.0.2"

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

/* One thread, on a CPU of its own. */
struct sender {
	pthread_t thread;
	int cpu;
	double seconds;
	double rate; /* frames a second, 0: no limit */
	__u64 sent, elapsed_ns, busy_ns;
};

static int client_netns, host_netns, container_netns;
static struct interface client, uplink, veth, container;
static struct bench_bpf *bench;
static pthread_barrier_t barrier;

static int open_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(EXIT_FAILURE, "%s", path);
	return fd;
}

static void enter(int netns)
{
	if (setns(netns, CLONE_NEWNET))
		err(EXIT_FAILURE, "entering a network namespace");
}

static struct interface find_interface(int netns, const char *name)
{
	struct interface interface = {};
	struct ifreq request = {};
	int fd;

	enter(netns);
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

static void load(void)
{
	__u32 key = 0;

	bench = bench_bpf__open();
	if (!bench)
		err(EXIT_FAILURE, "the programs of the benchmark");
	bench->rodata->client_ifindex = client.ifindex;
	bench->rodata->veth_ifindex = veth.ifindex;
	bench->rodata->container_address = inet_addr(CONTAINER_ADDRESS);
	bench->rodata->port = htons(PUBLISHED_PORT);
	if (bench_bpf__load(bench))
		err(EXIT_FAILURE, "the programs of the benchmark");
	make_template(bench->bss->frame_template, sizeof(bench->bss->frame_template));
	enter(host_netns);
	if (bpf_map__update_elem(bench->maps.bench_device, &key, sizeof(key), &veth.ifindex,
				 sizeof(veth.ifindex), BPF_ANY))
		err(EXIT_FAILURE, "map bench_device");
}

/* The caller closes what is returned. */
static int attach(int netns, const struct bpf_program *program, __u32 ifindex, bool is_xdp)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = is_xdp ? XDP_FLAGS_DRV_MODE : 0);
	int fd;

	enter(netns);
	fd = bpf_link_create(bpf_program__fd(program), ifindex,
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

/* Sends that many frames; returns the time that it took. */
static __u64 generate(struct sender *sender, __u32 frames)
{
	struct bench_lane *lane = &bench->bss->lanes[sender->cpu % LANE_MAX];
	__u64 start_ns = now_ns();
	struct frame frame = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &frame, .data_size_in = sizeof(frame),
		    .repeat = frames, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	lane->frames_left = frames;
	lane->started_ns = 0;
	if (bpf_prog_test_run_opts(bpf_program__fd(bench->progs.bench_generate), &options))
		err(EXIT_FAILURE, "sending frames");
	sender->sent += frames;
	sender->busy_ns += lane->stopped_ns - lane->started_ns;
	return now_ns() - start_ns;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(EXIT_FAILURE, "CPU %d", cpu);
}

/* Calls last the same for fast and for slow ways, as each also waits. */
static __u32 scale(__u32 frames, __u64 took_ns)
{
	double next = (double)frames * CALL_NS / (took_ns ?: 1);

	return next < CALL_FRAMES / 8 ? CALL_FRAMES / 8 : next > FLOW_MAX ? FLOW_MAX : next;
}

/* Frames on the clock's beat: what is late is sent at once. */
static void send_paced(struct sender *sender, __u64 start_ns)
{
	for (__u64 due_ns = start_ns; due_ns < start_ns + sender->seconds * 1e9;
	     due_ns += PACE_NS) {
		__u64 time_ns = now_ns();

		if (time_ns < due_ns)
			usleep((due_ns - time_ns) / 1000);
		generate(sender, sender->rate * PACE_NS / 1e9);
	}
}

static void *send_frames(void *argument)
{
	struct sender *sender = argument;
	__u32 frames = CALL_FRAMES;
	__u64 start_ns = now_ns();

	pin(sender->cpu);
	enter(client_netns);
	if (!sender->rate) {
		do
			frames = scale(frames, generate(sender, frames));
		while (now_ns() - start_ns < WARM_UP_NS);
	}
	/* The main thread reads the counters between these two. */
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	sender->sent = sender->busy_ns = 0;
	start_ns = now_ns();
	if (sender->rate) {
		send_paced(sender, start_ns);
	} else {
		do
			generate(sender, frames);
		while (now_ns() - start_ns < sender->seconds * 1e9);
	}
	sender->elapsed_ns = now_ns() - start_ns;
	return NULL;
}

/* What was received, on all CPUs. */
static struct bench_lane received(void)
{
	struct bench_lane sum = {};

	usleep(DRAIN_US);
	for (int i = 0; i < LANE_MAX; i++) {
		volatile struct bench_lane *lane = &bench->bss->lanes[i];

		sum.delivered[0] += lane->delivered[0];
		sum.delivered[1] += lane->delivered[1];
		sum.reordered += lane->reordered;
	}
	return sum;
}

/* The CPUs that this process may use, last ones first: the first one has most interrupts. */
static int find_cpus(int ret_cpus[THREAD_MAX])
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof(set), &set))
		err(EXIT_FAILURE, "sched_getaffinity");
	for (int cpu = LANE_MAX - 1; cpu >= 0 && n < THREAD_MAX; cpu--) {
		if (CPU_ISSET(cpu, &set))
			ret_cpus[n++] = cpu;
	}
	return n;
}

static void measure(int threads, double seconds, double rate)
{
	struct sender senders[THREAD_MAX] = {};
	struct bench_lane before, after;
	__u64 sent = 0, elapsed_ns = 0, busy_ns = 0;
	int cpus[THREAD_MAX];

	if (threads < 1 || threads > find_cpus(cpus))
		errx(EXIT_FAILURE, "%d threads: more than CPUs", threads);
	pthread_barrier_init(&barrier, NULL, threads + 1);
	for (int i = 0; i < threads; i++) {
		senders[i] = (struct sender){ .cpu = cpus[i],
					      .seconds = seconds,
					      .rate = rate / threads };
		bench->bss->lanes[cpus[i]].first_flow = i * (FLOW_MAX / THREAD_MAX);
		if (pthread_create(&senders[i].thread, NULL, send_frames, &senders[i]))
			errx(EXIT_FAILURE, "making a thread");
	}
	pthread_barrier_wait(&barrier);
	before = received();
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < threads; i++) {
		pthread_join(senders[i].thread, NULL);
		sent += senders[i].sent;
		busy_ns += senders[i].busy_ns;
		if (senders[i].elapsed_ns > elapsed_ns)
			elapsed_ns = senders[i].elapsed_ns;
	}
	pthread_barrier_destroy(&barrier);
	after = received();
	printf("{\"sent\": %llu, \"untranslated\": %llu, \"translated\": %llu, "
	       "\"reordered\": %llu, \"elapsed_ns\": %llu, \"busy_ns\": %llu}\n",
	       sent, after.delivered[0] - before.delivered[0],
	       after.delivered[1] - before.delivered[1], after.reordered - before.reordered,
	       elapsed_ns, busy_ns);
}

static void send_command(const char *name, __u32 flows, int threads, double seconds, double rate)
{
	bool is_xdp = strstr(name, "xdp"), is_sink = !strncmp(name, "sink", 4);
	const struct bpf_program *program = is_sink  ? is_xdp ? bench->progs.bench_sink_xdp
							      : bench->progs.bench_sink_tc
					    : is_xdp ? bench->progs.bench_bare_xdp
						     : bench->progs.bench_bare_tc;
	int link = -1, sink;

	if (!flows || flows > FLOW_MAX || flows & (flows - 1))
		errx(EXIT_FAILURE, "%u flows", flows);
	bench->bss->flow_mask = flows - 1;
	if (strcmp(name, "none"))
		link = attach(host_netns, program, uplink.ifindex, is_xdp);
	sink = attach(container_netns, bench->progs.bench_sink_tc, container.ifindex, false);
	measure(threads, seconds, rate);
	close(sink);
	if (link >= 0)
		close(link);
}

/* One run, in nanoseconds. */
static __u32 run_once(int fd, bool is_xdp, __u32 ifindex, const __u8 *frame, __u32 length,
		      __u32 *ret_verdict)
{
	struct __sk_buff skb = { .ifindex = ifindex, .ingress_ifindex = ifindex };
	struct xdp_md xdp = { .data_end = length, .ingress_ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length,
		    .ctx_in = is_xdp ? (void *)&xdp : (void *)&skb,
		    .ctx_size_in = is_xdp ? sizeof(xdp) : sizeof(skb), .repeat = 1);

	if (bpf_prog_test_run_opts(fd, &options))
		err(EXIT_FAILURE, "running a program");
	*ret_verdict = options.retval;
	return options.duration;
}

static int compare(const void *a, const void *b)
{
	return *(const __u32 *)a < *(const __u32 *)b ? -1 : 1;
}

static __u32 median(__u32 *values, int n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

static void run_command(__u32 id, bool is_xdp, __u32 ifindex, const char *hex)
{
	const struct bpf_program *empty = is_xdp ? bench->progs.bench_empty_xdp
						 : bench->progs.bench_empty_tc;
	static __u32 took[REPEAT], nothing[REPEAT];
	__u32 verdict, ignored, length = 0;
	int fd = bpf_prog_get_fd_by_id(id);
	__u8 frame[256];
	unsigned int byte;

	if (fd < 0)
		err(EXIT_FAILURE, "program %u", id);
	while (length < sizeof(frame) && sscanf(hex + 2 * length, "%2x", &byte) == 1)
		frame[length++] = byte;
	enter(host_netns);
	for (int i = 0; i < REPEAT; i++) {
		took[i] = run_once(fd, is_xdp, ifindex, frame, length, &verdict);
		nothing[i] =
			run_once(bpf_program__fd(empty), is_xdp, ifindex, frame, length, &ignored);
	}
	printf("{\"ns\": %u, \"empty_ns\": %u, \"verdict\": %d}\n", median(took, REPEAT),
	       median(nothing, REPEAT), (int)verdict);
	close(fd);
}

static void image_command(__u32 id, const char *path)
{
	static __u8 code[1 << 20];
	struct bpf_prog_info info = { .jited_prog_insns = (uintptr_t)code,
				      .jited_prog_len = sizeof(code) };
	__u32 length = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);
	FILE *file = fopen(path, "w");

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length))
		err(EXIT_FAILURE, "program %u", id);
	if (!file || fwrite(code, 1, info.jited_prog_len, file) != info.jited_prog_len ||
	    fclose(file))
		err(EXIT_FAILURE, "%s", path);
	printf("{\"bytes\": %u}\n", info.jited_prog_len);
	close(fd);
}

int main(int argc, char **argv)
{
	char line[1024], word[16], frame[768];
	double seconds, rate;
	__u32 number, ifindex;
	int threads;

	if (argc != 5)
		errx(EXIT_FAILURE, "usage: bench-load CLIENT HOST CONTAINER VETH");
	setvbuf(stdout, NULL, _IOLBF, 0);
	client_netns = open_netns(argv[1]);
	host_netns = open_netns(argv[2]);
	container_netns = open_netns(argv[3]);
	client = find_interface(client_netns, "eth0");
	uplink = find_interface(host_netns, "eth0");
	veth = find_interface(host_netns, argv[4]);
	container = find_interface(container_netns, "eth0");
	load();

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "send %15s %u %d %lf %lf", word, &number, &threads, &seconds,
			   &rate) == 5)
			send_command(word, number, threads, seconds, rate);
		else if (sscanf(line, "run %u %15s %u %767s", &number, word, &ifindex, frame) == 4)
			run_command(number, !strcmp(word, "xdp"), ifindex, frame);
		else if (sscanf(line, "image %u %767s", &number, frame) == 2)
			image_command(number, frame);
		else
			errx(EXIT_FAILURE, "not understood: %s", line);
	}
	bench_bpf__destroy(bench);
	return 0;
}
