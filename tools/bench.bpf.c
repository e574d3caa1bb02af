// SPDX-License-Identifier: GPL-2.0-only
/* The programs of tools/bench that are not its subject: the generator, the sinks, the bare
 * redirects, which do nothing that a published port needs and so are the ceiling of each hook, and
 * an empty program, which costs what it costs to run a program at all. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tools/bench.h"

#define TC_ACT_OK 0 /* from pkt_cls.h */
#define TC_ACT_SHOT 2
#define ETH_P_IP 0x0800

#define PORT_BITS 12 /* of a flow's number; the others count client addresses */
#define SCATTER 2654435761u /* odd, so that every flow has its turn, but not in order */

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 client_ifindex;
const volatile __u32 veth_ifindex; /* of the container's veth, on the host */
const volatile __be32 container_address;
const volatile __be16 port;

/* The frame of flow 0; its checksum fields hold the sums of all that is the same in every flow. */
__u32 frame_template[FRAME_WORDS];
__u32 flow_mask;

/* A CPU generates and receives in its own. */
struct bench_lane lanes[LANE_MAX];

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_device SEC(".maps");

/* What is read of the kernel's struct task_struct. */
struct sched_info___bench {
	unsigned long long run_delay; /* ns */
} __attribute__((preserve_access_index));

struct task_struct___bench {
	struct sched_info___bench sched_info;
} __attribute__((preserve_access_index));

/* Does not move while this thread is ready to run and another one has the CPU. */
static __always_inline __u64 clock_ns(void)
{
	struct task_struct___bench *task = (void *)bpf_get_current_task();

	return bpf_ktime_get_ns() - BPF_CORE_READ(task, sched_info.run_delay);
}

static __always_inline __sum16 checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* A page comes back with the last frame still in it, as the host changed it: all is written.
 * The payload begins with the frame's number and its complement, which add nothing to a sum. */
SEC("xdp")
int bench_generate(struct xdp_md *xdp)
{
	__u32 cpu = bpf_get_smp_processor_id() % LANE_MAX;
	void *data_end = (void *)(long)xdp->data_end;
	__u32 *words = (void *)(long)xdp->data;
	struct iphdr *ip = (void *)words + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);
	struct bench_mark *mark = (void *)(udp + 1);
	struct bench_lane *lane = &lanes[cpu];
	__be16 address_low, source;
	__u32 number, flow;

	if ((void *)(words + FRAME_WORDS) > data_end)
		return XDP_ABORTED;
	if (!lane->started_ns)
		lane->started_ns = clock_ns();
	if (!--lane->frames_left)
		lane->stopped_ns = clock_ns();
	for (int i = 0; i < FRAME_WORDS; i++)
		words[i] = frame_template[i];

	number = lane->number++;
	flow = (number + lane->first_flow) * SCATTER & flow_mask;
	mark->number = number;
	mark->complement = ~number;
	mark->lane = cpu;
	mark->lane_complement = ~cpu;

	/* Flow 0's address ends in a zero byte and its port in PORT_BITS zero bits. */
	address_low = bpf_htons(flow >> PORT_BITS);
	source = bpf_htons(flow & ((1 << PORT_BITS) - 1));
	ip->saddr |= (__u32)address_low << 16;
	udp->source |= source;
	ip->check = checksum(ip->check + address_low);
	udp->check = checksum(udp->check + address_low + source);
	if (!udp->check)
		udp->check = 0xffff;
	return bpf_redirect(client_ifindex, 0);
}

SEC("tc")
int bench_empty_tc(struct __sk_buff *skb __attribute__((unused)))
{
	return TC_ACT_OK;
}

SEC("xdp")
int bench_empty_xdp(struct xdp_md *xdp __attribute__((unused)))
{
	return XDP_PASS;
}

SEC("tc")
int bench_bare_tc(struct __sk_buff *skb __attribute__((unused)))
{
	return bpf_redirect_peer(veth_ifindex, 0);
}

SEC("xdp")
int bench_bare_xdp(struct xdp_md *xdp __attribute__((unused)))
{
	return bpf_redirect_map(&bench_device, 0, XDP_DROP);
}

/* Counts a frame of the generator; false: it is none. */
static __always_inline bool count(void *data, void *data_end)
{
	struct bench_lane *here = &lanes[bpf_get_smp_processor_id() % LANE_MAX];
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct bench_mark *mark = (void *)(udp + 1);
	struct bench_lane *lane;

	if ((void *)(mark + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_UDP || udp->dest != port)
		return false;
	lane = &lanes[mark->lane % LANE_MAX];
	if ((__s32)(mark->number - lane->last) < 0)
		here->reordered++;
	else
		lane->last = mark->number;
	here->delivered[ip->daddr == container_address]++;
	return true;
}

SEC("tc")
int bench_sink_tc(struct __sk_buff *skb)
{
	return count((void *)(long)skb->data, (void *)(long)skb->data_end) ? TC_ACT_SHOT
									   : TC_ACT_OK;
}

SEC("xdp")
int bench_sink_xdp(struct xdp_md *xdp)
{
	return count((void *)(long)xdp->data, (void *)(long)xdp->data_end) ? XDP_DROP : XDP_PASS;
}
