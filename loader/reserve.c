// SPDX-License-Identifier: GPL-2.0-only
/* Host ports: taken from the host's own processes before they are published. */
#include "loader/reserve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loader/error.h"
#include "loader/step.h"
#include "loader/table.h"
#include "loader/undo.h"

#define SYSCTL "net.ipv4.ip_local_reserved_ports"

/* bind() takes the broadcast address of a subnet, connect() wants a permission for it. */
static bool is_broadcast(struct sockaddr_in in)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_found = false;

	in.sin_port = htons(9);
	if (fd >= 0) {
		is_found = connect(fd, (struct sockaddr *)&in, sizeof(in)) && errno == EACCES;
		close(fd);
	}
	return is_found;
}

/* bind() to any port says whether the address is the host's. */
static int check_address(__be32 address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = address };
	int fd, r;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = bind(fd, (struct sockaddr *)&in, sizeof(in)) ? -errno : 0;
	close(fd);
	return r;
}

int xd_hold_port(struct xd_hold *hold, __be32 address, __u8 protocol, __u16 port,
		 __u16 *ret_port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = address,
		.sin_port = htons(port),
	};
	socklen_t length = sizeof(in);
	int yes = 1, fd, r;

	if (address && is_broadcast(in))
		return -EADDRNOTAVAIL;
	if (hold->count == hold->room) {
		size_t room = hold->room ? hold->room * 2 : 64;
		int *fds = realloc(hold->fds, room * sizeof(*fds));

		if (!fds)
			return -ENOMEM;
		hold->fds = fds;
		hold->room = room;
	}
	fd = socket(AF_INET, (protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC,
		    protocol);
	if (fd < 0 && errno == EPROTONOSUPPORT && port) {
		/* A kernel without SCTP has no socket that could be at the port. */
		r = check_address(address);
		if (!r)
			*ret_port = port;
		return r;
	}
	if (fd < 0)
		return -errno;
	/* Connections of the last user that are in TIME_WAIT hinder nobody. For UDP the option
	 * would mean sharing. */
	if (protocol == IPPROTO_TCP &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)))
		goto fail;
	if (bind(fd, (struct sockaddr *)&in, length) ||
	    getsockname(fd, (struct sockaddr *)&in, &length))
		goto fail;
	hold->fds[hold->count++] = fd;
	*ret_port = ntohs(in.sin_port);
	return 0;
fail:
	r = -errno;
	close(fd);
	return r;
}

void xd_hold_release(struct xd_hold *hold)
{
	for (size_t i = 0; i < hold->count; i++)
		close(hold->fds[i]);
	free(hold->fds);
	*hold = (struct xd_hold){};
}

void xd_hold_expect(size_t count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= count + 256)
		return;
	limit.rlim_cur = count + 256;
	if (limit.rlim_max < limit.rlim_cur)
		limit.rlim_max = limit.rlim_cur;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* A set of ports, as one member of struct xd_reserved. */
struct ports {
	__u8 bits[8192];
};

static bool has(const struct ports *set, unsigned int port)
{
	return set->bits[port / 8] & 1 << port % 8;
}

static void add(struct ports *set, unsigned int port)
{
	set->bits[port / 8] |= 1 << port % 8;
}

/* "80,8000-8010" as the kernel prints it. */
static int parse(const char *text, struct ports *ret_set)
{
	struct ports set = {};

	while (*text) {
		unsigned long first, last;
		char *end;

		first = last = strtoul(text, &end, 10);
		if (end == text)
			goto bad;
		if (*end == '-') {
			text = end + 1;
			last = strtoul(text, &end, 10);
			if (end == text)
				goto bad;
		}
		if (first > last || last > 65535 || (*end && *end != ','))
			goto bad;
		for (unsigned long port = first; port <= last; port++)
			add(&set, port);
		text = *end ? end + 1 : end;
	}
	*ret_set = set;
	return 0;
bad:
	return xd_error_system(-EPROTO, "sysctl " SYSCTL ": cannot read `%s`", text);
}

/* The same in the other direction; at most 12 characters for each two ports. */
static void format(const struct ports *set, char *text)
{
	char *start = text;

	for (unsigned int port = 0; port < 65536; port++) {
		unsigned int last = port;

		if (!has(set, port))
			continue;
		while (last < 65535 && has(set, last + 1))
			last++;
		text += sprintf(text, port == last ? "%u," : "%u-%u,", port, last);
		port = last;
	}
	/* An empty line clears the list. */
	strcpy(text > start ? text - 1 : text, "\n");
}

#define TEXT_MAX (65536 / 2 * 12 + 2)

static int read_sysctl(struct ports *ret_set)
{
	char *text = malloc(TEXT_MAX);
	int r;

	if (!text)
		return xd_error_system(-ENOMEM, "sysctl " SYSCTL);
	r = xd_sysctl_read(SYSCTL, text, TEXT_MAX);
	if (!r)
		r = parse(text, ret_set);
	free(text);
	return r;
}

static int write_sysctl(const struct ports *set)
{
	char *text = malloc(TEXT_MAX);
	int r;

	if (!text)
		return xd_error_system(-ENOMEM, "sysctl " SYSCTL);
	format(set, text);
	r = xd_sysctl_write(SYSCTL, text);
	free(text);
	return r;
}

/* One write into the map and one into the sysctl would do, but for a kill between the two: what
 * is new is announced before, what is over is cleared after. */
int xd_reserve_update(const struct xd_instance *instance, const struct xd_state *state,
		      const struct xd_port_key *more, size_t more_count)
{
	struct ports wanted = {}, now, next;
	struct xd_reserved row, before, after = {};
	unsigned int added = 0, removed = 0;
	int r;

	if (!instance->is_up)
		return 0;
	for (size_t i = 0; i < state->port_count; i++)
		add(&wanted, ntohs(state->ports[i].key.port));
	for (size_t i = 0; i < more_count; i++)
		add(&wanted, ntohs(more[i].port));

	r = read_sysctl(&now);
	if (!r)
		r = xd_reserved_get(instance, &row);
	if (r)
		return r;
	for (size_t i = 0; i < sizeof(now.bits); i++) {
		__u8 fresh = wanted.bits[i] & ~now.bits[i];
		__u8 over = now.bits[i] & row.added[i] & ~wanted.bits[i];

		next.bits[i] = (now.bits[i] | fresh) & ~over;
		before.published[i] = row.published[i] | wanted.bits[i];
		before.added[i] = row.added[i] | fresh;
		after.published[i] = wanted.bits[i];
		after.added[i] = before.added[i] & wanted.bits[i];
		after.excluded[i] = next.bits[i] & ~after.added[i];
		before.excluded[i] = after.excluded[i];
		added += __builtin_popcount(fresh);
		removed += __builtin_popcount(over);
	}
	if (!memcmp(&row, &after, sizeof(row)) && !added && !removed)
		return 0;
	if (added || removed) {
		if (!xd_step("sysctl " SYSCTL ": %u ports more, %u ports less", added, removed))
			return 0;
		r = xd_reserved_put(instance, &before);
		if (!r)
			r = write_sysctl(&next);
	} else if (xd_step_is_dry_run()) {
		return 0;
	}
	return r ? r : xd_reserved_put(instance, &after);
}
