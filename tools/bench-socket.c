// SPDX-License-Identifier: GPL-2.0-only
/* Sockets for tools/bench: one server, and clients that measure.
 *
 * usage: bench-socket serve PORT COUNT                      until it is killed
 *        bench-socket out|in ADDRESS PORT STREAMS SECONDS   bulk TCP, to or from the server
 *        bench-socket tcp|udp ADDRESS PORT SECONDS          round trips of one byte
 *        bench-socket connect ADDRESS PORT COUNT SECONDS    connect, request, answer, close
 *        bench-socket wait                                  as the only process of a container
 *
 * The server listens on COUNT ports of TCP, and `connect` dials them in turn; it closes first, as a
 * server of HTTP/1.0 does, so that the client never runs out of ports. The first byte of a
 * connection says what the client wants. Bulk is counted by its receiver, without the first
 * WARM_UP_NS. A client's answer is a line of JSON; what took longer than LIMIT_NS is lost. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000ULL
#define WARM_UP_NS 100000000ULL
#define LIMIT_NS SECOND_NS
#define BUFFER_SIZE (256 << 10)
#define SAMPLE_MAX (1 << 20)
#define STREAM_MAX 64
#define BACKLOG 1024

/* What a client wants, the first byte of a connection. */
enum want {
	WANT_ANSWER = 'a', /* of one byte, and the end */
	WANT_ECHO = 'e',
	WANT_SINK = 's', /* everything is read; the answer is a struct bulk */
	WANT_SOURCE = 'g', /* bytes until the client has enough */
};

struct bulk {
	uint64_t bytes;
	uint64_t ns;
};

static char buffer[BUFFER_SIZE];

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void limit_waits(int fd)
{
	struct timeval limit = { .tv_sec = LIMIT_NS / SECOND_NS };

	/* The latter is for connect(), too. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		err(EXIT_FAILURE, "setsockopt");
}

static void send_at_once(int fd)
{
	int yes = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)))
		err(EXIT_FAILURE, "TCP_NODELAY");
}

/* -1: refused, or not in time. */
static int dial(struct sockaddr_in *server, int type, char want)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	limit_waits(fd);
	if (type == SOCK_STREAM)
		send_at_once(fd);
	if (connect(fd, (struct sockaddr *)server, sizeof(*server)) ||
	    (type == SOCK_STREAM && write(fd, &want, 1) != 1)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Writes until the time is over or the other side has enough. */
static void pump(int fd, double seconds)
{
	uint64_t end_ns = now_ns() + seconds * SECOND_NS;

	while (now_ns() < end_ns && write(fd, buffer, sizeof(buffer)) > 0)
		;
}

/* Reads until the end, or until the time is over. */
static struct bulk drain(int fd, double seconds)
{
	uint64_t start_ns = now_ns(), end_ns = start_ns + seconds * SECOND_NS, first_ns = 0;
	struct bulk bulk = {};
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		uint64_t time_ns = now_ns();

		if (time_ns < start_ns + WARM_UP_NS)
			continue;
		if (!first_ns)
			first_ns = time_ns;
		else
			bulk.bytes += n;
		bulk.ns = time_ns - first_ns;
		if (seconds && time_ns > end_ns)
			break;
	}
	return bulk;
}

static void serve_connection(int fd, char want)
{
	struct bulk bulk;
	char byte;

	if (want == WANT_SOURCE) {
		pump(fd, 3600);
	} else if (want == WANT_SINK) {
		bulk = drain(fd, 0);
		if (write(fd, &bulk, sizeof(bulk)) != sizeof(bulk))
			exit(EXIT_FAILURE);
	} else {
		while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
			;
	}
}

static void accept_connection(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char want;

	if (fd < 0)
		return;
	limit_waits(fd);
	send_at_once(fd);
	if (read(fd, &want, 1) == 1) {
		if (want == WANT_ANSWER) {
			if (write(fd, &want, 1) != 1)
				warn("an answer");
		} else if (!fork()) {
			serve_connection(fd, want);
			exit(EXIT_SUCCESS);
		}
	}
	close(fd);
}

static void echo_datagrams(int fd)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	ssize_t n;

	while ((n = recvfrom(fd, buffer, sizeof(buffer), MSG_DONTWAIT, (struct sockaddr *)&peer,
			     &length)) >= 0) {
		if (sendto(fd, buffer, n, 0, (struct sockaddr *)&peer, length) != n)
			warn("an answer");
	}
}

static int bind_port(int type, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int yes = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    (type == SOCK_STREAM && listen(fd, BACKLOG)))
		err(EXIT_FAILURE, "port %u", port);
	return fd;
}

static void serve(uint16_t port, int count)
{
	struct rlimit files = { .rlim_cur = count + 64, .rlim_max = count + 64 };
	struct epoll_event event = { .events = EPOLLIN };
	int poll = epoll_create1(EPOLL_CLOEXEC), datagrams;

	if (poll < 0 || setrlimit(RLIMIT_NOFILE, &files))
		err(EXIT_FAILURE, "a server of %d ports", count);
	/* No child is waited for. */
	signal(SIGCHLD, SIG_IGN);
	datagrams = event.data.fd = bind_port(SOCK_DGRAM, port);
	if (epoll_ctl(poll, EPOLL_CTL_ADD, datagrams, &event))
		err(EXIT_FAILURE, "epoll_ctl");
	for (int i = 0; i < count; i++) {
		event.data.fd = bind_port(SOCK_STREAM, port + i);
		if (epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event))
			err(EXIT_FAILURE, "epoll_ctl");
	}
	printf("ready\n");
	fflush(stdout);
	while (epoll_wait(poll, &event, 1, -1) >= 0 || errno == EINTR) {
		if (event.data.fd == datagrams)
			echo_datagrams(datagrams);
		else
			accept_connection(event.data.fd);
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static void report(uint32_t *samples, size_t n, uint64_t elapsed_ns, uint64_t lost,
		   uint64_t reordered)
{
	qsort(samples, n, sizeof(*samples), compare);
	printf("{\"count\": %zu, \"elapsed_ns\": %lu, \"lost\": %lu, \"reordered\": %lu", n,
	       elapsed_ns, lost, reordered);
	if (n)
		printf(", \"p50_ns\": %u, \"p99_ns\": %u, \"p999_ns\": %u", samples[n / 2],
		       samples[n * 99 / 100], samples[n * 999 / 1000]);
	printf("}\n");
}

static void measure_bulk(struct sockaddr_in *server, bool is_out, int streams, double seconds)
{
	struct bulk *bulks = mmap(NULL, STREAM_MAX * sizeof(*bulks), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double bits_per_second = 0;
	int failed = 0, status;

	if (bulks == MAP_FAILED || streams > STREAM_MAX)
		errx(EXIT_FAILURE, "%d streams", streams);
	for (int i = 0; i < streams; i++) {
		int fd;

		if (fork())
			continue;
		fd = dial(server, SOCK_STREAM, is_out ? WANT_SINK : WANT_SOURCE);
		if (fd < 0)
			exit(EXIT_FAILURE);
		if (is_out) {
			pump(fd, seconds + WARM_UP_NS / 1e9);
			shutdown(fd, SHUT_WR);
			if (read(fd, &bulks[i], sizeof(bulks[i])) != sizeof(bulks[i]))
				exit(EXIT_FAILURE);
		} else {
			bulks[i] = drain(fd, seconds + WARM_UP_NS / 1e9);
		}
		exit(EXIT_SUCCESS);
	}
	while (wait(&status) > 0)
		failed += status != 0;
	for (int i = 0; i < streams; i++) {
		if (bulks[i].ns)
			bits_per_second += bulks[i].bytes * 8e9 / bulks[i].ns;
	}
	printf("{\"bits_per_second\": %.0f, \"failed\": %d}\n", bits_per_second, failed);
}

static uint32_t *new_samples(void)
{
	uint32_t *samples = calloc(SAMPLE_MAX, sizeof(*samples));

	if (!samples)
		err(EXIT_FAILURE, "samples");
	return samples;
}

static void measure_stream(struct sockaddr_in *server, double seconds)
{
	uint32_t *samples = new_samples();
	int fd = dial(server, SOCK_STREAM, WANT_ECHO);
	uint64_t warm_ns, start_ns, end_ns, lost = 0;
	size_t n = 0;

	if (fd < 0)
		err(EXIT_FAILURE, "connecting");
	warm_ns = now_ns() + WARM_UP_NS;
	end_ns = warm_ns + seconds * SECOND_NS;
	while ((start_ns = now_ns()) < end_ns && n < SAMPLE_MAX) {
		char byte = 0;

		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) {
			lost++;
			break;
		}
		if (start_ns >= warm_ns)
			samples[n++] = now_ns() - start_ns;
	}
	report(samples, n, now_ns() - warm_ns, lost, 0);
}

static void measure_datagrams(struct sockaddr_in *server, double seconds)
{
	uint32_t *samples = new_samples(), number = 0;
	uint64_t warm_ns = now_ns() + WARM_UP_NS, end_ns = warm_ns + seconds * SECOND_NS;
	uint64_t start_ns, lost = 0, reordered = 0;
	int fd = dial(server, SOCK_DGRAM, 0);
	size_t n = 0;

	if (fd < 0)
		err(EXIT_FAILURE, "connecting");
	while ((start_ns = now_ns()) < end_ns && n < SAMPLE_MAX) {
		uint32_t answer;
		ssize_t got;

		number++;
		if (write(fd, &number, sizeof(number)) != sizeof(number)) {
			lost++;
			continue;
		}
		/* An earlier one, late, was counted as lost. */
		while ((got = read(fd, &answer, sizeof(answer))) == sizeof(answer) &&
		       answer != number) {
			lost--;
			reordered++;
		}
		if (got < 0)
			lost++;
		else if (start_ns >= warm_ns)
			samples[n++] = now_ns() - start_ns;
	}
	report(samples, n, now_ns() - warm_ns, lost, reordered);
}

static void measure_connections(struct sockaddr_in *server, int count, double seconds)
{
	uint64_t start_ns = now_ns(), end_ns = start_ns + seconds * SECOND_NS, dialled_ns, lost = 0;
	uint16_t port = ntohs(server->sin_port);
	uint32_t *samples = new_samples();
	size_t n = 0;

	for (int i = 0; (dialled_ns = now_ns()) < end_ns && n < SAMPLE_MAX; i = (i + 1) % count) {
		char bytes[2];
		int fd;

		server->sin_port = htons(port + i);
		fd = dial(server, SOCK_STREAM, WANT_ANSWER);
		/* The answer, then the end. */
		if (fd < 0 || read(fd, bytes, 1) != 1 || read(fd, bytes, 1) != 0)
			lost++;
		else
			samples[n++] = now_ns() - dialled_ns;
		if (fd >= 0)
			close(fd);
	}
	report(samples, n, now_ns() - start_ns, lost, 0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	struct sockaddr_in server = { .sin_family = AF_INET };

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(mode, "wait")) {
		pause();
	} else if (!strcmp(mode, "serve") && argc == 4) {
		serve(strtoul(argv[2], NULL, 10), strtol(argv[3], NULL, 10));
	} else if (argc >= 5) {
		server.sin_addr.s_addr = inet_addr(argv[2]);
		server.sin_port = htons(strtoul(argv[3], NULL, 10));
		if (!strcmp(mode, "tcp"))
			measure_stream(&server, strtod(argv[4], NULL));
		else if (!strcmp(mode, "udp"))
			measure_datagrams(&server, strtod(argv[4], NULL));
		else if (!strcmp(mode, "connect") && argc == 6)
			measure_connections(&server, strtol(argv[4], NULL, 10),
					    strtod(argv[5], NULL));
		else if ((!strcmp(mode, "out") || !strcmp(mode, "in")) && argc == 6)
			measure_bulk(&server, !strcmp(mode, "out"), strtol(argv[4], NULL, 10),
				     strtod(argv[5], NULL));
		else
			errx(EXIT_FAILURE, "not understood: %s", mode);
	} else {
		errx(EXIT_FAILURE, "usage: see the head of bench-socket.c");
	}
	return 0;
}
