/* SPDX-License-Identifier: GPL-2.0-only */
/* What serve.c and open.c, the two ends of many flows, have in common.
 *
 * A request names its flow: who asks, from which source port, to which port. The answer repeats it
 * and adds the source port that the server saw. So the server knows when two flows come as one, and
 * who asked knows when an answer is not its own, or when a flow came to the server by another
 * source port than before. */
#ifndef XD_TESTS_NET_LOAD_H
#define XD_TESTS_NET_LOAD_H

#include <arpa/inet.h>
#include <err.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define PORTS 65536
#define EVENTS 64 /* taken by one system call */

struct request {
	__u32 tag; /* who asks */
	__be16 source;
	__be16 destination;
};

struct answer {
	struct request request;
	__be16 source_seen;
	__u16 pad;
};

static int epoll;

/* As many files as one may have, and lines that are read at once. */
static inline void prepare(void)
{
	struct rlimit files;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (getrlimit(RLIMIT_NOFILE, &files))
		err(EXIT_FAILURE, "getrlimit");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files))
		err(EXIT_FAILURE, "setrlimit");
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		err(EXIT_FAILURE, "epoll_create1");
}

static inline void watch(int fd, __u32 events, __u64 data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		err(EXIT_FAILURE, "epoll_ctl");
}

/* A socket of the network namespace that this thread is in. */
static inline int bound(int type, in_port_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int yes = 1;

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	/* Connections from one port to several. Not for UDP, where it would let two be one. */
	if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)))
		err(EXIT_FAILURE, "SO_REUSEADDR");
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		err(EXIT_FAILURE, "port %u", port);
	return fd;
}

static inline unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end)
		errx(EXIT_FAILURE, "%s: not a number", text);
	return value;
}

#endif
