// SPDX-License-Identifier: GPL-2.0-only
/* The programs of tools/bench that are not its subject: the generator, the sink, and the bare
 * redirects, which do nothing that a published port needs and so are the ceiling of each hook. */
#include "vmlinux/vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TC_ACT_SHOT 2 /* from pkt_cls.h */

#define FRAME_WORDS 15 /* 60 bytes, and 4 of check sequence that a veth does not carry */
#define PORT_BITS 12 /* of a flow's number; the others count client addresses */
#define SCATTER 2654435761u /* odd, so that every flow has its turn, but not in order */

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 client_ifindex;
const volatile __u32 container_ifindex; /* of the veth's host end */
const volatile __be32 container_address;
const volatile __be16 port;

/* The frame of flow 0; its checksum fields hold the sums of all that is the same in every flow. */
__u32 frame_template[FRAME_WORDS];
__u32 flow_mask;
__u32 sequence;

/* The frames of one system call, and what the clock said at the first and the last of them: the
 * call itself also waits for grace periods of RCU. */
__u32 frames_left;
__u64 started_ns;
__u64 stopped_ns;

/* What arrived: [0] as it was sent, [1] translated to the container's address. One CPU carries
 * all of it. */
__u64 delivered[2];

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

/* A page comes back with the last frame still in it, as the host changed it: all is written. */
SEC("xdp")
int bench_generate(struct xdp_md *xdp)
{
	__u32 flow = sequence++ * SCATTER & flow_mask;
	void *data_end = (void *)(long)xdp->data_end;
	__u32 *words = (void *)(long)xdp->data;
	struct iphdr *ip = (void *)words + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);
	__be16 address_low, source;

	if ((void *)(words + FRAME_WORDS) > data_end)
		return XDP_ABORTED;
	if (!started_ns)
		started_ns = clock_ns();
	if (!--frames_left)
		stopped_ns = clock_ns();
	for (int i = 0; i < FRAME_WORDS; i++)
		words[i] = frame_template[i];

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
int bench_bare_tc(struct __sk_buff *skb __attribute__((unused)))
{
	return bpf_redirect_peer(container_ifindex, 0);
}

SEC("xdp")
int bench_bare_xdp(struct xdp_md *xdp __attribute__((unused)))
{
	return bpf_redirect_map(&bench_device, 0, XDP_DROP);
}

SEC("tc")
int bench_sink(struct __sk_buff *skb)
{
	void *data_end = (void *)(long)skb->data_end;
	struct iphdr *ip = (void *)(long)skb->data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) <= data_end && skb->protocol == bpf_htons(0x0800) &&
	    ip->protocol == IPPROTO_UDP && udp->dest == port)
		delivered[ip->daddr == container_address] += 1;
	return TC_ACT_SHOT;
}
