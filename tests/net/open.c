// SPDX-License-Identifier: GPL-2.0-only
/* Opens many flows to serve.c, and says what became of their requests.
 *
 *     open TAG ADDRESS PORT COUNT [NETNS]
 *
 * The server is at ADDRESS, on COUNT ports from PORT on. Each line of stdin,
 *
 *     PROTOCOL FIRST STEP SOURCES PORTS WAIT TRIES
 *
 * is one request in each flow from SOURCES source ports (FIRST, FIRST + STEP ...) to the first
 * PORTS ports of the server. A flow that is there already is used again; all stay open. When
 * nothing is answered for WAIT milliseconds, the datagrams that miss an answer are sent again,
 * TRIES times in all, and then left behind; if there was more than one try, so is all the rest, and
 * after a wrong answer as well. PROTOCOL is one of
 *
 *     udp, tcp
 *     twin    UDP; two threads send the first datagram of a flow at the same moment
 *     pair    UDP; so do two flows, from the same port, here and in the namespace NETNS (TAG + 1)
 *
 * and the answer `SENT ANSWERED EXTRA WRONG MOVED BROKEN NANOSECONDS`: requests sent, requests
 * answered, answers that nobody waited for, answers to another flow or from another address, flows
 * that the server saw under another source port than before, broken connections, all since the
 * start; and the time from the line to the last answer. The line `settle WAIT` only takes answers
 * until there are none for so long. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/net/load.h"

#define WINDOW 64 /* requests under way: the shortest queue between two ends holds 1000 packets */

/* A flow's identifier is made of these; the source port is the last one. */
enum side { HERE, THERE, SIDES };

struct flow {
	int fd; /* of a connection, or 0 */
	__be16 source_seen;
	__u8 tries; /* of the request that was sent last */
	bool is_connecting, is_pending;
};

static __u32 tag;
static struct sockaddr_in server; /* with its first port */
static unsigned int port_count;
static int namespaces[SIDES] = { -1, -1 };

static int sockets[SIDES][PORTS]; /* for UDP, by source port; 0 is none */
static struct flow *flows; /* by identifier */
static __u32 waiting[WINDOW]; /* flows whose answer is waited for */
static unsigned int waiting_count;

static unsigned long sent, answered, extra, wrong, moved, broken;
static __u64 answered_ns; /* when the last answer came */

/* Of the flow from `source` to the server's port number `index`. */
static __u32 flow_id(enum side side, bool is_tcp, unsigned int index, in_port_t source)
{
	return ((side * 2 + is_tcp) * port_count + index) * PORTS + source;
}

static enum side side_of(__u32 id)
{
	return id / PORTS / port_count / 2;
}

static bool is_tcp(__u32 id)
{
	return id / PORTS / port_count % 2;
}

static in_port_t source_of(__u32 id)
{
	return id % PORTS;
}

static struct sockaddr_in server_of(__u32 id)
{
	struct sockaddr_in address = server;

	address.sin_port = htons(ntohs(server.sin_port) + id / PORTS % port_count);
	return address;
}

static struct request request_of(__u32 id)
{
	return (struct request){
		.tag = tag + side_of(id),
		.source = htons(source_of(id)),
		.destination = server_of(id).sin_port,
	};
}

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void start_waiting(__u32 id)
{
	flows[id].is_pending = true;
	flows[id].tries = 1;
	waiting[waiting_count++] = id;
}

static void stop_waiting(__u32 id)
{
	for (unsigned int i = 0; i < waiting_count; i++) {
		if (waiting[i] == id) {
			waiting[i] = waiting[--waiting_count];
			return;
		}
	}
}

static void fail(__u32 id)
{
	broken++;
	close(flows[id].fd);
	flows[id].fd = 0;
	flows[id].is_pending = false;
	stop_waiting(id);
}

static void enter(enum side side)
{
	if (namespaces[THERE] >= 0 && setns(namespaces[side], CLONE_NEWNET))
		err(EXIT_FAILURE, "setns");
}

/* The socket of a datagram's flow. */
static int find_socket(__u32 id)
{
	int *fd = &sockets[side_of(id)][source_of(id)];

	if (!*fd) {
		enter(side_of(id));
		*fd = bound(SOCK_DGRAM, source_of(id));
		enter(HERE);
		watch(*fd, EPOLLIN, flow_id(side_of(id), false, 0, source_of(id)));
	}
	return *fd;
}

static void send_datagram(__u32 id)
{
	struct request request = request_of(id);
	struct sockaddr_in address = server_of(id);

	if (sendto(find_socket(id), &request, sizeof(request), 0, (struct sockaddr *)&address,
		   sizeof(address)) != sizeof(request))
		err(EXIT_FAILURE, "sendto");
}

static void send_request(__u32 id)
{
	struct request request = request_of(id);

	sent++;
	if (!is_tcp(id))
		send_datagram(id);
	else if (send(flows[id].fd, &request, sizeof(request), MSG_NOSIGNAL) < 0)
		fail(id);
}

/* Opens the flow if there is none yet, and sends a request as soon as it can. */
static void ask(__u32 id)
{
	struct sockaddr_in address = server_of(id);
	struct flow *flow = &flows[id];

	start_waiting(id);
	if (!is_tcp(id) || flow->fd) {
		send_request(id);
		return;
	}
	flow->fd = bound(SOCK_STREAM, source_of(id));
	flow->is_connecting = true;
	if (connect(flow->fd, (struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS)
		err(EXIT_FAILURE, "connect");
	watch(flow->fd, EPOLLIN | EPOLLOUT | EPOLLET, id);
}

/* Nothing came: once more. Returns false if a flow has used up its tries. */
static bool ask_again(unsigned int tries)
{
	unsigned int before = waiting_count;

	for (unsigned int i = waiting_count; i-- > 0;) {
		__u32 id = waiting[i];

		if (flows[id].tries++ >= tries)
			stop_waiting(id);
		/* TCP does it by itself. */
		else if (!is_tcp(id))
			send_request(id);
	}
	return waiting_count == before;
}

/* Takes an answer that came by the socket of this flow, for UDP: of this source port. */
static void take_answer(__u32 id, const struct answer *answer, const struct sockaddr_in *peer)
{
	unsigned int index = ntohs(peer->sin_port) - ntohs(server.sin_port);
	struct request request;
	struct flow *flow;

	id = flow_id(side_of(id), is_tcp(id), index % port_count, source_of(id));
	flow = &flows[id];
	request = request_of(id);
	if (peer->sin_addr.s_addr != server.sin_addr.s_addr || index >= port_count ||
	    memcmp(&answer->request, &request, sizeof(request))) {
		wrong++;
		return;
	}
	moved += flow->source_seen && flow->source_seen != answer->source_seen;
	flow->source_seen = answer->source_seen;
	if (!flow->is_pending) {
		extra++;
		return;
	}
	flow->is_pending = false;
	answered++;
	answered_ns = now_ns();
	stop_waiting(id);
}

static void take_event(__u32 id, __u32 events)
{
	struct sockaddr_in peer = server_of(id);
	struct flow *flow = &flows[id];
	int fd = is_tcp(id) ? flow->fd : find_socket(id);
	socklen_t length = sizeof(peer);
	struct answer answer;
	ssize_t got;

	if (is_tcp(id) && flow->is_connecting && !(events & (EPOLLERR | EPOLLHUP))) {
		flow->is_connecting = false;
		send_request(id);
		return;
	}
	/* The peer of a connection is not told again. */
	while ((got = recvfrom(fd, &answer, sizeof(answer), MSG_DONTWAIT,
			       is_tcp(id) ? NULL : (struct sockaddr *)&peer, &length)) >= 0) {
		if (got == sizeof(answer)) {
			take_answer(id, &answer, &peer);
		} else if (is_tcp(id)) {
			fail(id);
			return;
		} else {
			wrong++;
		}
		length = sizeof(peer);
	}
	if (errno != EAGAIN && is_tcp(id))
		fail(id);
	else if (errno != EAGAIN)
		err(EXIT_FAILURE, "recvfrom");
}

/* Returns false if nothing came for so long. */
static bool take_answers(int wait_ms)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(epoll, events, EVENTS, wait_ms);

	for (int i = 0; i < count; i++)
		take_event(events[i].data.u64, events[i].events);
	return count > 0;
}

/* The other thread of `twin` and `pair`. Whoever takes a turn sends its datagram: the helper, at the
 * same moment as the main thread its own; or, if the helper has no CPU, the main thread both. */
#define LAST_TURN (~0ULL)
#define PATIENCE 4096 /* looks for a turn, about 10 us, before the CPU is left to others */

static pthread_t helper;
static atomic_ullong turn_given, turn_taken; /* number << 32 | flow */

static bool take_turn(unsigned long long turn)
{
	unsigned long long before = atomic_load(&turn_taken);

	return before < turn && atomic_compare_exchange_strong(&turn_taken, &before, turn);
}

static void *help(void *unused)
{
	unsigned long long turn;
	unsigned int looks = 0;

	while ((turn = atomic_load(&turn_given)) != LAST_TURN) {
		if (take_turn(turn))
			send_datagram(turn);
		else if (++looks % PATIENCE == 0)
			sched_yield();
	}
	return unused;
}

static void start_helper(void)
{
	cpu_set_t all, own, others;
	int processor = 0;

	turn_given = turn_taken = 0;
	if (sched_getaffinity(0, sizeof(all), &all) || pthread_create(&helper, NULL, help, NULL))
		err(EXIT_FAILURE, "thread");
	while (!CPU_ISSET(processor, &all))
		processor++;
	CPU_ZERO(&own);
	CPU_SET(processor, &own);
	CPU_XOR(&others, &all, &own);
	if (!CPU_COUNT(&others))
		return;
	pthread_setaffinity_np(pthread_self(), sizeof(own), &own);
	pthread_setaffinity_np(helper, sizeof(others), &others);
}

static void end_helper(void)
{
	atomic_store(&turn_given, LAST_TURN);
	pthread_join(helper, NULL);
}

/* Asks in both flows at once. */
static void ask_both(unsigned int number, __u32 id, __u32 other)
{
	unsigned long long turn = (unsigned long long)number << 32 | other;

	find_socket(id);
	find_socket(other);
	if (other != id)
		start_waiting(other);
	sent++;
	atomic_store(&turn_given, turn);
	for (unsigned int looks = 0; atomic_load(&turn_taken) != turn; looks++) {
		if (looks == PATIENCE && take_turn(turn))
			send_datagram(other);
	}
	ask(id);
}

struct command {
	char protocol[5];
	unsigned int first, step, sources, ports, wait_ms, tries;
};

static void ask_all(const struct command *command)
{
	bool is_pair = !strcmp(command->protocol, "pair");
	bool has_helper = is_pair || !strcmp(command->protocol, "twin");
	unsigned int total = command->sources * command->ports, next = 0;

	if (has_helper)
		start_helper();
	while ((next < total || waiting_count) && !wrong) {
		while (next < total && waiting_count + 2 <= WINDOW) {
			unsigned int index = next % command->ports;
			in_port_t source = command->first + next / command->ports * command->step;
			bool is_stream = !strcmp(command->protocol, "tcp");
			__u32 id = flow_id(HERE, is_stream, index, source);

			next++;
			if (has_helper)
				ask_both(next, id, flow_id(is_pair, is_stream, index, source));
			else
				ask(id);
		}
		if (!take_answers(command->wait_ms) && !ask_again(command->tries) &&
		    command->tries > 1)
			break;
	}
	waiting_count = 0;
	if (has_helper)
		end_helper();
}

static void run(const char *line)
{
	struct command command;
	__u64 start = now_ns();

	answered_ns = start;
	if (sscanf(line, "settle %u", &command.wait_ms) == 1) {
		while (take_answers(command.wait_ms))
			;
	} else if (sscanf(line, "%4s %u %u %u %u %u %u", command.protocol, &command.first,
			  &command.step, &command.sources, &command.ports, &command.wait_ms,
			  &command.tries) == 7) {
		ask_all(&command);
	} else {
		errx(EXIT_FAILURE, "not understood: %s", line);
	}
	printf("%lu %lu %lu %lu %lu %lu %llu\n", sent, answered, extra, wrong, moved, broken,
	       answered_ns - start);
}

int main(int argc, char **argv)
{
	const char *paths[SIDES] = { "/proc/self/ns/net", argc == 6 ? argv[5] : NULL };
	char line[256];

	if (argc != 5 && argc != 6)
		errx(EXIT_FAILURE, "TAG ADDRESS PORT COUNT [NETNS]");
	tag = number(argv[1]);
	server.sin_family = AF_INET;
	if (!inet_aton(argv[2], &server.sin_addr))
		errx(EXIT_FAILURE, "%s: no address", argv[2]);
	server.sin_port = htons(number(argv[3]));
	port_count = number(argv[4]);
	for (int side = 0; side < SIDES && paths[side]; side++) {
		namespaces[side] = open(paths[side], O_RDONLY | O_CLOEXEC);
		if (namespaces[side] < 0)
			err(EXIT_FAILURE, "%s", paths[side]);
	}
	flows = calloc(SIDES * 2 * port_count * (size_t)PORTS, sizeof(*flows));
	if (!flows)
		err(EXIT_FAILURE, "memory");
	prepare();
	while (fgets(line, sizeof(line), stdin))
		run(line);
	return 0;
}
