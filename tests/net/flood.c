// SPDX-License-Identifier: GPL-2.0-only
/* Forged packets as fast as one CPU sends them: SYNs to one port and datagrams to another, by
 * turns, each from an address and port of its own below 11/8, until stdin ends.
 *
 *     flood DEVICE MAC ADDRESS TCP_PORT UDP_PORT
 *
 * MAC is the next hop's. Prints how many packets the device took. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64 /* frames of one system call */
#define SOURCES 0x0b000000 /* 11.0.0.0/8 */

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	};
} __attribute__((packed));

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

static __u32 random_word(void)
{
	static __u32 word = 2463534242;

	/* xorshift32 */
	word ^= word << 13;
	word ^= word >> 17;
	word ^= word << 5;
	return word;
}

/* The rest of the frame is there. */
static void forge(struct frame *frame, bool is_syn, in_port_t port)
{
	size_t length = is_syn ? sizeof(frame->tcp) : sizeof(frame->udp);
	__u32 pseudo;

	frame->ip.saddr = htonl(SOURCES | random_word() >> 8);
	frame->ip.protocol = is_syn ? IPPROTO_TCP : IPPROTO_UDP;
	frame->ip.tot_len = htons(sizeof(frame->ip) + length);
	frame->ip.check = 0;
	frame->ip.check = ~add_words(0, &frame->ip, sizeof(frame->ip));
	memset(&frame->tcp, 0, sizeof(frame->tcp));
	pseudo = add_words(htons(length) + htons(frame->ip.protocol), &frame->ip.saddr, 8);
	if (is_syn) {
		frame->tcp.source = htons(1024 + random_word() % 60000);
		frame->tcp.dest = htons(port);
		frame->tcp.seq = random_word();
		frame->tcp.doff = sizeof(frame->tcp) / 4;
		frame->tcp.syn = 1;
		frame->tcp.window = htons(65535);
		frame->tcp.check = ~add_words(pseudo, &frame->tcp, length);
	} else {
		frame->udp.source = htons(1024 + random_word() % 60000);
		frame->udp.dest = htons(port);
		frame->udp.len = htons(length);
		frame->udp.check = ~add_words(pseudo, &frame->udp, length);
	}
}

static in_port_t port_number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || !value || value > 65535)
		errx(EXIT_FAILURE, "%s: no port", text);
	return value;
}

int main(int argc, char **argv)
{
	static struct frame frames[BATCH];
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	struct sockaddr_ll device = { .sll_family = AF_PACKET };
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH] = {};
	unsigned long long sent = 0;
	struct ether_addr *mac;
	in_port_t ports[2];
	struct in_addr address;
	int fd, yes = 1;

	if (argc != 6)
		errx(EXIT_FAILURE, "DEVICE MAC ADDRESS TCP_PORT UDP_PORT");
	device.sll_ifindex = if_nametoindex(argv[1]);
	mac = ether_aton(argv[2]);
	if (!device.sll_ifindex || !mac || !inet_aton(argv[3], &address))
		errx(EXIT_FAILURE, "no such device, or no address");
	ports[0] = port_number(argv[4]);
	ports[1] = port_number(argv[5]);

	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&device, sizeof(device)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes)))
		err(EXIT_FAILURE, "packet socket");
	for (unsigned int i = 0; i < BATCH; i++) {
		bool is_syn = i % 2 == 0;

		memcpy(frames[i].eth.h_dest, mac, ETH_ALEN);
		frames[i].eth.h_source[0] = 0x02;
		frames[i].eth.h_proto = htons(ETH_P_IP);
		frames[i].ip = (struct iphdr){
			.version = 4,
			.ihl = 5,
			.ttl = 64,
			.daddr = address.s_addr,
		};
		parts[i].iov_base = &frames[i];
		parts[i].iov_len = sizeof(struct ethhdr) + sizeof(struct iphdr) +
				   (is_syn ? sizeof(struct tcphdr) : sizeof(struct udphdr));
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (!poll(&input, 1, 0)) {
		int count;

		for (unsigned int i = 0; i < BATCH; i++)
			forge(&frames[i], i % 2 == 0, ports[i % 2]);
		count = sendmmsg(fd, messages, BATCH, 0);
		if (count < 0 && errno != ENOBUFS)
			err(EXIT_FAILURE, "sendmmsg");
		sent += count > 0 ? count : 0;
	}
	printf("%llu\n", sent);
	return 0;
}
