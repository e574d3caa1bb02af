// SPDX-License-Identifier: GPL-2.0-only
/* Answers what open.c asks, and keeps count of who came by which tuple.
 *
 *     serve PORT COUNT
 *
 * answers UDP and TCP on COUNT ports from PORT on, until stdin ends. Each line of stdin is
 * answered with `UDP TCP SHARED FOREIGN`: tuples {source port, destination port} seen so far by
 * protocol; requests of a flow in the tuple of another one; requests from another address than the
 * first one's. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "tests/net/load.h"

#define STDIN (~0ULL) /* as the data of an event */

static in_port_t first_port;
static unsigned int port_count;

static struct {
	__be32 address; /* of the first request */
	unsigned int tuples[2]; /* by is_tcp */
	unsigned int shared, foreign;
	/* By is_tcp, port of the server and source port: the flow that came so. */
	struct request *flows;
} seen;

static void note(bool is_tcp, const struct sockaddr_in *peer, const struct request *request)
{
	size_t row = is_tcp * port_count + ntohs(request->destination) - first_port;
	struct request *flow = &seen.flows[row * PORTS + ntohs(peer->sin_port)];

	if (!seen.address)
		seen.address = peer->sin_addr.s_addr;
	seen.foreign += peer->sin_addr.s_addr != seen.address;
	if (!flow->source) {
		*flow = *request;
		seen.tuples[is_tcp]++;
	}
	seen.shared += memcmp(flow, request, sizeof(*flow)) != 0;
}

/* Answers one request that came by fd to `port`. Returns false if there is none. */
static bool answer_one(int fd, bool is_tcp, in_port_t port)
{
	struct answer answer = {};
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	ssize_t got = recvfrom(fd, &answer.request, sizeof(answer.request), MSG_DONTWAIT,
			       (struct sockaddr *)&peer, &length);

	if (got < 0 && errno == EAGAIN)
		return false;
	/* A connection that ended, or what is no request. */
	if (got != sizeof(answer.request) || answer.request.destination != htons(port)) {
		if (is_tcp)
			close(fd);
		return !is_tcp;
	}
	length = sizeof(peer);
	if (is_tcp && getpeername(fd, (struct sockaddr *)&peer, &length))
		return false;
	note(is_tcp, &peer, &answer.request);
	answer.source_seen = peer.sin_port;
	/* An answer that cannot be sent is missed by who asked. */
	if (is_tcp)
		send(fd, &answer, sizeof(answer), MSG_NOSIGNAL);
	else
		sendto(fd, &answer, sizeof(answer), 0, (struct sockaddr *)&peer, sizeof(peer));
	return true;
}

enum kind { DATAGRAMS, LISTENER, CONNECTION };

static __u64 event_data(enum kind kind, in_port_t port, int fd)
{
	return (__u64)kind << 48 | (__u64)port << 32 | (__u32)fd;
}

static void take_event(__u64 data)
{
	enum kind kind = data >> 48;
	in_port_t port = data >> 32;
	int fd = (__u32)data, accepted;

	if (kind == LISTENER) {
		while ((accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
			watch(accepted, EPOLLIN, event_data(CONNECTION, port, accepted));
		if (errno != EAGAIN && errno != ECONNABORTED)
			err(EXIT_FAILURE, "accept4");
		return;
	}
	while (answer_one(fd, kind == CONNECTION, port) && kind == DATAGRAMS)
		;
}

static void listen_to(in_port_t port)
{
	int datagrams = bound(SOCK_DGRAM, port), listener = bound(SOCK_STREAM, port);
	int room = 16 << 20;

	/* All that can be under way, even if this process has to wait for its CPU. */
	if (setsockopt(datagrams, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		err(EXIT_FAILURE, "SO_RCVBUFFORCE");
	if (listen(listener, 4096))
		err(EXIT_FAILURE, "listen");
	watch(datagrams, EPOLLIN, event_data(DATAGRAMS, port, datagrams));
	watch(listener, EPOLLIN, event_data(LISTENER, port, listener));
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	char line[256];

	if (argc != 3)
		errx(EXIT_FAILURE, "PORT COUNT");
	first_port = number(argv[1]);
	port_count = number(argv[2]);
	seen.flows = calloc(2 * port_count * (size_t)PORTS, sizeof(*seen.flows));
	if (!seen.flows)
		err(EXIT_FAILURE, "memory");
	prepare();
	for (unsigned int i = 0; i < port_count; i++)
		listen_to(first_port + i);
	watch(STDIN_FILENO, EPOLLIN, STDIN);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.u64 != STDIN)
				take_event(events[i].data.u64);
			else if (fgets(line, sizeof(line), stdin))
				printf("%u %u %u %u\n", seen.tuples[false], seen.tuples[true],
				       seen.shared, seen.foreign);
			else
				return 0;
		}
	}
}
