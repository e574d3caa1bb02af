// SPDX-License-Identifier: GPL-2.0-only
/* What users write: port specs, addresses, numbers, names. */
#include "loader/spec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/limits.h"
#include "loader/error.h"

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#define PREFIX_MIN 8
#define PREFIX_MAX 30

/* What a message quotes of an overlong text leaves room for the reason. */
#define QUOTE_LEN 68

static const char *quote(const char *text, char buffer[QUOTE_LEN])
{
	if (strlen(text) < QUOTE_LEN)
		return text;
	snprintf(buffer, QUOTE_LEN, "%.*s...", QUOTE_LEN - 4, text);
	return buffer;
}

/* Digits alone: no sign, no space, no base. Leading zeros mean nothing, as in Docker.
 * Errors (not recorded): -EINVAL, -ERANGE. */
static int parse_digits(const char *text, unsigned long *ret_number)
{
	unsigned long number;

	if (!*text || text[strspn(text, DIGITS)])
		return -EINVAL;
	errno = 0;
	number = strtoul(text, NULL, 10);
	if (errno)
		return -ERANGE;
	*ret_number = number;
	return 0;
}

static int parse_port(const char *spec, const char *side, const char *text, __u16 *ret_port)
{
	unsigned long port;
	struct in_addr address;
	int r;

	if (!*text)
		return xd_error_usage("port spec %s: a %s port is missing", spec, side);
	r = parse_digits(text, &port);
	if (r == -EINVAL && inet_pton(AF_INET, text, &address) == 1)
		return xd_error_usage("port spec %s: %s is an address, not a port; "
				      "`%s::PORT` lets the host port be chosen",
				      spec, text, text);
	if (r == -EINVAL)
		return xd_error_usage("port spec %s: %s port \"%s\" is not a number", spec, side,
				      text);
	if (r || port > 65535)
		return xd_error_usage("port spec %s: port %s is above 65535", spec, text);
	if (!port)
		return xd_error_usage("port spec %s: ports begin at 1; without a host port one is "
				      "chosen",
				      spec);
	*ret_port = port;
	return 0;
}

static int parse_range(const char *spec, const char *side, char *text, __u16 *ret_first,
		       __u16 *ret_last)
{
	char *dash = strchr(text, '-');
	__u16 first, last;
	int r;

	if (dash)
		*dash = '\0';
	r = parse_port(spec, side, text, &first);
	if (r)
		return r;
	last = first;
	if (dash)
		r = parse_port(spec, side, dash + 1, &last);
	if (r)
		return r;
	if (last < first)
		return xd_error_usage("port spec %s: range %u-%u runs backwards", spec, first,
				      last);
	*ret_first = first;
	*ret_last = last;
	return 0;
}

static int parse_protocol(const char *spec, const char *text, __u8 *ret_protocol)
{
	if (!strcasecmp(text, "tcp"))
		*ret_protocol = IPPROTO_TCP;
	else if (!strcasecmp(text, "udp"))
		*ret_protocol = IPPROTO_UDP;
	else if (!strcasecmp(text, "sctp"))
		*ret_protocol = IPPROTO_SCTP;
	else if (!*text)
		return xd_error_usage("port spec %s: a protocol is missing behind the slash: "
				      "tcp, udp or sctp",
				      spec);
	else
		return xd_error_usage("port spec %s: protocol %s is unknown, only tcp, udp and "
				      "sctp are published",
				      spec, text);
	return 0;
}

const char *xd_spec_protocol(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_ICMP:
		return "icmp";
	default:
		return "?";
	}
}

static int parse_host_address(const char *spec, const char *text, __be32 *ret_address)
{
	struct in_addr address;

	/* An unset variable in a script must not publish to the world. */
	if (!*text)
		return xd_error_usage("port spec %s: the host address is empty; leave out its "
				      "colon, too, to publish on every address",
				      spec);
	if (inet_pton(AF_INET, text, &address) != 1)
		return xd_error_usage("port spec %s: %s is not an IPv4 address such as 127.0.0.1",
				      spec, text);
	if (IN_MULTICAST(ntohl(address.s_addr)))
		return xd_error_usage("port spec %s: %s is a multicast address, which no host has "
				      "as its own",
				      spec, text);
	if (address.s_addr == htonl(INADDR_BROADCAST))
		return xd_error_usage("port spec %s: %s is the broadcast address, which no host "
				      "has as its own",
				      spec, text);
	*ret_address = address.s_addr;
	return 0;
}

/* "ADDRESS:PORTS" or "PORTS", where PORTS may be empty if a host port is to be chosen. */
static int parse_host(const char *spec, char *text, struct xd_spec *parsed)
{
	char *colon = strchr(text, ':');
	int r;

	if (colon) {
		*colon = '\0';
		r = parse_host_address(spec, text, &parsed->address);
		if (r)
			return r;
		text = colon + 1;
	}
	if (!*text)
		return 0;
	return parse_range(spec, "host", text, &parsed->host_port, &parsed->host_port_end);
}

static unsigned int count_colons(const char *text)
{
	unsigned int count = 0;

	while ((text = strchr(text, ':'))) {
		count++;
		text++;
	}
	return count;
}

unsigned int xd_spec_count(const struct xd_spec *spec)
{
	return spec->port_end - spec->port + 1U;
}

bool xd_spec_is_dynamic(const struct xd_spec *spec)
{
	if (!spec->host_port)
		return true;
	return spec->port == spec->port_end && spec->host_port != spec->host_port_end;
}

/* Where the host port may be chosen, the container's own. Errors (not recorded): -EINVAL. */
static int choose_same(struct xd_spec *spec)
{
	bool may_choose = xd_spec_is_dynamic(spec);

	if (may_choose && spec->host_port &&
	    (spec->port < spec->host_port || spec->port > spec->host_port_end))
		return -EINVAL;
	if (may_choose) {
		spec->host_port = spec->port;
		spec->host_port_end = spec->port_end;
	}
	return spec->host_port == spec->port ? 0 : -EINVAL;
}

int xd_spec_parse(const char *text, struct xd_spec *ret_spec)
{
	struct xd_spec parsed = { .protocol = IPPROTO_TCP };
	char rest[XD_SPEC_TEXT_LEN], buffer[QUOTE_LEN];
	const char *spec = quote(text, buffer);
	char *colon, *slash;
	int r;

	if (!*text)
		return xd_error_usage("port spec: empty; such as 8080:80, 127.0.0.1:8080:80/udp");
	if (strlen(text) >= sizeof(rest))
		return xd_error_usage("port spec %s: longer than any port spec", spec);
	if (text[0] == '[')
		return xd_error_usage("port spec %s: IPv6 host addresses are not supported", spec);
	strcpy(rest, text);

	slash = strchr(rest, '/');
	if (slash) {
		*slash = '\0';
		r = parse_protocol(spec, slash + 1, &parsed.protocol);
		if (r)
			return r;
	}
	if (count_colons(rest) > 2)
		return xd_error_usage("port spec %s: too many colons; HOST_ADDRESS:HOST_PORT:PORT "
				      "is all, and IPv6 addresses are not supported",
				      spec);
	colon = strrchr(rest, ':');
	r = parse_range(spec, "container", colon ? colon + 1 : rest, &parsed.port,
			&parsed.port_end);
	if (r)
		return r;
	if (colon) {
		*colon = '\0';
		r = parse_host(spec, rest, &parsed);
		if (r)
			return r;
	}
	if (!xd_spec_is_dynamic(&parsed) &&
	    parsed.host_port_end - parsed.host_port != parsed.port_end - parsed.port)
		return xd_error_usage("port spec %s: the host range has %u ports, the container "
				      "range has %u",
				      spec, parsed.host_port_end - parsed.host_port + 1U,
				      xd_spec_count(&parsed));
	if (parsed.protocol == IPPROTO_SCTP && choose_same(&parsed))
		return xd_error_usage("port spec %s: sctp ports cannot be changed (no kernel "
				      "recomputes CRC32c for it): publish N:N",
				      spec);
	*ret_spec = parsed;
	return 0;
}

static int print_range(char *text, __u16 first, __u16 last)
{
	return first == last ? sprintf(text, "%u", first) : sprintf(text, "%u-%u", first, last);
}

const char *xd_spec_format(const struct xd_spec *spec, char buffer[XD_SPEC_TEXT_LEN])
{
	char address[INET_ADDRSTRLEN];
	char *end = buffer;

	if (spec->address) {
		inet_ntop(AF_INET, &spec->address, address, sizeof(address));
		end += sprintf(end, "%s:", address);
	}
	if (spec->host_port)
		end += print_range(end, spec->host_port, spec->host_port_end);
	if (spec->address || spec->host_port)
		end += sprintf(end, ":");
	end += print_range(end, spec->port, spec->port_end);
	if (spec->protocol != IPPROTO_TCP)
		sprintf(end, "/%s", xd_spec_protocol(spec->protocol));
	return buffer;
}

int xd_spec_parse_cidr(const char *text, __be32 *ret_address, __be32 *ret_mask)
{
	char before[INET_ADDRSTRLEN] = "", buffer[QUOTE_LEN];
	const char *slash = strchr(text, '/');
	struct in_addr address;
	unsigned long prefix;

	if (!slash)
		return xd_error_usage("subnet %s: a prefix length is missing, as in 172.17.0.0/16",
				      quote(text, buffer));
	/* What does not fit is no address either. */
	if (slash - text < INET_ADDRSTRLEN)
		memcpy(before, text, slash - text);
	if (inet_pton(AF_INET, before, &address) != 1)
		return xd_error_usage("subnet %s: what is before the slash is not an IPv4 address",
				      quote(text, buffer));
	if (parse_digits(slash + 1, &prefix) || prefix < PREFIX_MIN || prefix > PREFIX_MAX)
		return xd_error_usage("subnet %s: the prefix length is not a number from %u to %u",
				      quote(text, buffer), PREFIX_MIN, PREFIX_MAX);
	*ret_address = address.s_addr;
	*ret_mask = htonl(~0U << (32 - prefix));
	return 0;
}

int xd_spec_parse_address(const char *text, __be32 *ret_address)
{
	char buffer[QUOTE_LEN];
	struct in_addr address;

	if (strchr(text, ':'))
		return xd_error_usage("address %s: IPv6 addresses are not supported",
				      quote(text, buffer));
	if (inet_pton(AF_INET, text, &address) != 1)
		return xd_error_usage("address %s: not an IPv4 address such as 172.17.0.2",
				      quote(text, buffer));
	*ret_address = address.s_addr;
	return 0;
}

int xd_spec_parse_number(const char *what, const char *text, unsigned long minimum,
			 unsigned long maximum, unsigned long *ret_number)
{
	char buffer[QUOTE_LEN];
	unsigned long number;
	int r;

	r = parse_digits(text, &number);
	if (r == -EINVAL)
		return xd_error_usage("%s %s: not a number", what, quote(text, buffer));
	if (r || number > maximum)
		return xd_error_usage("%s %s: above %lu", what, quote(text, buffer), maximum);
	if (number < minimum)
		return xd_error_usage("%s %s: below %lu", what, quote(text, buffer), minimum);
	*ret_number = number;
	return 0;
}

int xd_spec_parse_switch(const char *what, const char *text, bool *ret_is_on)
{
	char buffer[QUOTE_LEN];

	if (strcmp(text, "on") && strcmp(text, "off"))
		return xd_error_usage("%s %s: neither on nor off", what, quote(text, buffer));
	*ret_is_on = !strcmp(text, "on");
	return 0;
}

int xd_spec_parse_name(const char *text)
{
	char buffer[QUOTE_LEN];
	size_t allowed = strspn(text, LETTERS DIGITS "_.-");

	if (!*text)
		return xd_error_usage("container name: empty");
	if (!strchr(LETTERS DIGITS, text[0]))
		return xd_error_usage("container name %s: it has to begin with a letter or a digit",
				      quote(text, buffer));
	if (text[allowed])
		return xd_error_usage("container name %s: only letters, digits and _ . - are "
				      "allowed",
				      quote(text, buffer));
	if (strlen(text) >= XD_NAME_LEN)
		return xd_error_usage("container name %s: longer than %u characters",
				      quote(text, buffer), XD_NAME_LEN - 1);
	return 0;
}
