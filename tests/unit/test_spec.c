// SPDX-License-Identifier: GPL-2.0-only
/* What users write, and what they are told when it makes no sense. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "include/limits.h"
#include "loader/error.h"
#include "loader/spec.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct good {
	const char *text;
	const char *shortest; /* of xd_spec_format() */
	const char *address;
	__u16 host_port, host_port_end;
	__u16 port, port_end;
	__u8 protocol;
	bool is_dynamic;
	unsigned int count;
};

static const struct good good[] = {
	{ "80", "80", "0.0.0.0", 0, 0, 80, 80, IPPROTO_TCP, true, 1 },
	{ "1", "1", "0.0.0.0", 0, 0, 1, 1, IPPROTO_TCP, true, 1 },
	{ "65535", "65535", "0.0.0.0", 0, 0, 65535, 65535, IPPROTO_TCP, true, 1 },
	{ "80-82", "80-82", "0.0.0.0", 0, 0, 80, 82, IPPROTO_TCP, true, 3 },
	{ ":80", "80", "0.0.0.0", 0, 0, 80, 80, IPPROTO_TCP, true, 1 },
	{ "8080:80", "8080:80", "0.0.0.0", 8080, 8080, 80, 80, IPPROTO_TCP, false, 1 },
	{ "65535:65535", "65535:65535", "0.0.0.0", 65535, 65535, 65535, 65535, IPPROTO_TCP, false,
	  1 },
	{ "8080-8080:80-80", "8080:80", "0.0.0.0", 8080, 8080, 80, 80, IPPROTO_TCP, false, 1 },
	{ "127.0.0.1:8080:80", "127.0.0.1:8080:80", "127.0.0.1", 8080, 8080, 80, 80, IPPROTO_TCP,
	  false, 1 },
	{ "127.0.0.1::80", "127.0.0.1::80", "127.0.0.1", 0, 0, 80, 80, IPPROTO_TCP, true, 1 },
	{ "127.0.0.1::80-81/udp", "127.0.0.1::80-81/udp", "127.0.0.1", 0, 0, 80, 81, IPPROTO_UDP,
	  true, 2 },
	{ "0.0.0.0:80:80", "80:80", "0.0.0.0", 80, 80, 80, 80, IPPROTO_TCP, false, 1 },
	{ "0.0.0.0::80", "80", "0.0.0.0", 0, 0, 80, 80, IPPROTO_TCP, true, 1 },
	{ "8000-8010:80", "8000-8010:80", "0.0.0.0", 8000, 8010, 80, 80, IPPROTO_TCP, true, 1 },
	{ "8000-8010:9000-9010", "8000-8010:9000-9010", "0.0.0.0", 8000, 8010, 9000, 9010,
	  IPPROTO_TCP, false, 11 },
	{ "1-65535:1-65535", "1-65535:1-65535", "0.0.0.0", 1, 65535, 1, 65535, IPPROTO_TCP, false,
	  65535 },
	{ "80/tcp", "80", "0.0.0.0", 0, 0, 80, 80, IPPROTO_TCP, true, 1 },
	{ "80/TCP", "80", "0.0.0.0", 0, 0, 80, 80, IPPROTO_TCP, true, 1 },
	{ "80/udp", "80/udp", "0.0.0.0", 0, 0, 80, 80, IPPROTO_UDP, true, 1 },
	{ "53:53/Udp", "53:53/udp", "0.0.0.0", 53, 53, 53, 53, IPPROTO_UDP, false, 1 },
	{ "08", "8", "0.0.0.0", 0, 0, 8, 8, IPPROTO_TCP, true, 1 },
	{ "0010:000080", "10:80", "0.0.0.0", 10, 10, 80, 80, IPPROTO_TCP, false, 1 },
	/* The container's own port is the only one that can be chosen. */
	{ "80/sctp", "80:80/sctp", "0.0.0.0", 80, 80, 80, 80, IPPROTO_SCTP, false, 1 },
	{ "80:80/SCTP", "80:80/sctp", "0.0.0.0", 80, 80, 80, 80, IPPROTO_SCTP, false, 1 },
	{ "127.0.0.1::80/sctp", "127.0.0.1:80:80/sctp", "127.0.0.1", 80, 80, 80, 80, IPPROTO_SCTP,
	  false, 1 },
	{ "70-90:80/sctp", "80:80/sctp", "0.0.0.0", 80, 80, 80, 80, IPPROTO_SCTP, false, 1 },
	{ "80-89/sctp", "80-89:80-89/sctp", "0.0.0.0", 80, 89, 80, 89, IPPROTO_SCTP, false, 10 },
	{ "80-89:80-89/sctp", "80-89:80-89/sctp", "0.0.0.0", 80, 89, 80, 89, IPPROTO_SCTP, false,
	  10 },
	{ "255.255.255.254:10000-19999:20000-29999/udp",
	  "255.255.255.254:10000-19999:20000-29999/udp", "255.255.255.254", 10000, 19999, 20000,
	  29999, IPPROTO_UDP, false, 10000 },
};

struct bad {
	const char *text;
	const char *message;
};

static const struct bad no_numbers[] = {
	{ "a", "port spec a: container port \"a\" is not a number" },
	{ "a:80", "port spec a:80: host port \"a\" is not a number" },
	{ " 80", "port spec  80: container port \" 80\" is not a number" },
	{ "80 ", "port spec 80 : container port \"80 \" is not a number" },
	{ "+80", "port spec +80: container port \"+80\" is not a number" },
	{ "0x50", "port spec 0x50: container port \"0x50\" is not a number" },
	{ "8.0", "port spec 8.0: container port \"8.0\" is not a number" },
	{ "80-90-100", "port spec 80-90-100: container port \"90-100\" is not a number" },
	{ "-", "port spec -: a container port is missing" },
	{ "-80", "port spec -80: a container port is missing" },
	{ "80-", "port spec 80-: a container port is missing" },
	{ "80-:80-81", "port spec 80-:80-81: a host port is missing" },
	{ "80:", "port spec 80:: a container port is missing" },
	{ ":", "port spec :: a container port is missing" },
	{ "127.0.0.1:80:", "port spec 127.0.0.1:80:: a container port is missing" },
	{ "/tcp", "port spec /tcp: a container port is missing" },
};

static const struct bad zeros[] = {
	{ "0", "port spec 0: ports begin at 1; without a host port one is chosen" },
	{ "0:80", "port spec 0:80: ports begin at 1; without a host port one is chosen" },
	{ "80:0", "port spec 80:0: ports begin at 1; without a host port one is chosen" },
	{ "0-1:80", "port spec 0-1:80: ports begin at 1; without a host port one is chosen" },
};

static const struct bad too_high[] = {
	{ "70000:80", "port spec 70000:80: port 70000 is above 65535" },
	{ "65536:80", "port spec 65536:80: port 65536 is above 65535" },
	{ "80:65536", "port spec 80:65536: port 65536 is above 65535" },
	{ "80-65536", "port spec 80-65536: port 65536 is above 65535" },
	/* 2^16 + 80, 2^32 + 80 and more than 2^64 */
	{ "65616", "port spec 65616: port 65616 is above 65535" },
	{ "4294967376", "port spec 4294967376: port 4294967376 is above 65535" },
	{ "18446744073709551696",
	  "port spec 18446744073709551696: port 18446744073709551696 is above 65535" },
};

static const struct bad ranges[] = {
	{ "90-80", "port spec 90-80: range 90-80 runs backwards" },
	{ "90-80:90-80", "port spec 90-80:90-80: range 90-80 runs backwards" },
	{ "90-80:80", "port spec 90-80:80: range 90-80 runs backwards" },
	{ "1-3:1-2", "port spec 1-3:1-2: the host range has 3 ports, the container range has 2" },
	{ "80:80-90",
	  "port spec 80:80-90: the host range has 1 ports, the container range has 11" },
	{ "127.0.0.1:1-2:1-3/udp", "port spec 127.0.0.1:1-2:1-3/udp: the host range has 2 ports, "
				   "the container range has 3" },
};

#define CHANGED(spec)                                                                              \
	"port spec " spec ": sctp ports cannot be changed (no kernel recomputes CRC32c for it): "  \
	"publish N:N"

static const struct bad protocols[] = {
	{ "81:80/sctp", CHANGED("81:80/sctp") },
	{ "80:81/SCTP", CHANGED("80:81/SCTP") },
	{ "127.0.0.1:81:80/sctp", CHANGED("127.0.0.1:81:80/sctp") },
	{ "80-82:81-83/sctp", CHANGED("80-82:81-83/sctp") },
	{ "81-90:80/sctp", CHANGED("81-90:80/sctp") },
	{ "80/", "port spec 80/: a protocol is missing behind the slash: tcp, udp or sctp" },
	{ "80/icmp",
	  "port spec 80/icmp: protocol icmp is unknown, only tcp, udp and sctp are published" },
	{ "80/tcp/udp", "port spec 80/tcp/udp: protocol tcp/udp is unknown, only tcp, udp and sctp "
			"are published" },
	{ "80/tcp:80",
	  "port spec 80/tcp:80: protocol tcp:80 is unknown, only tcp, udp and sctp are published" },
	{ "80/tcp ",
	  "port spec 80/tcp : protocol tcp  is unknown, only tcp, udp and sctp are published" },
};

static const struct bad addresses[] = {
	{ "localhost:80:80",
	  "port spec localhost:80:80: localhost is not an IPv4 address such as 127.0.0.1" },
	{ "1.2.3:80:80", "port spec 1.2.3:80:80: 1.2.3 is not an IPv4 address such as 127.0.0.1" },
	{ "1.2.3.4.5:80:80",
	  "port spec 1.2.3.4.5:80:80: 1.2.3.4.5 is not an IPv4 address such as 127.0.0.1" },
	{ "1.2.3.256::80",
	  "port spec 1.2.3.256::80: 1.2.3.256 is not an IPv4 address such as 127.0.0.1" },
	{ "010.0.0.1:80:80",
	  "port spec 010.0.0.1:80:80: 010.0.0.1 is not an IPv4 address such as 127.0.0.1" },
	{ " 127.0.0.1:80:80",
	  "port spec  127.0.0.1:80:80:  127.0.0.1 is not an IPv4 address such as 127.0.0.1" },
	{ "127.0.0.1:80", "port spec 127.0.0.1:80: 127.0.0.1 is an address, not a port; "
			  "`127.0.0.1::PORT` lets the host port be chosen" },
	{ ":8080:80", "port spec :8080:80: the host address is empty; leave out its colon, too, "
		      "to publish on every address" },
	{ "::80", "port spec ::80: the host address is empty; leave out its colon, too, to "
		  "publish on every address" },
	{ "224.0.0.1:80:80", "port spec 224.0.0.1:80:80: 224.0.0.1 is a multicast address, which "
			     "no host has as its own" },
	{ "239.255.255.255::80", "port spec 239.255.255.255::80: 239.255.255.255 is a multicast "
				 "address, which no host has as its own" },
	{ "255.255.255.255:80:80", "port spec 255.255.255.255:80:80: 255.255.255.255 is the "
				   "broadcast address, which no host has as its own" },
};

static const struct bad ipv6[] = {
	{ "[::1]:80:80", "port spec [::1]:80:80: IPv6 host addresses are not supported" },
	{ "[::]::80/udp", "port spec [::]::80/udp: IPv6 host addresses are not supported" },
	{ "::1:80:80", "port spec ::1:80:80: too many colons; HOST_ADDRESS:HOST_PORT:PORT is all, "
		       "and IPv6 addresses are not supported" },
	{ "1:2:3:4", "port spec 1:2:3:4: too many colons; HOST_ADDRESS:HOST_PORT:PORT is all, "
		     "and IPv6 addresses are not supported" },
};

/* The code, the kind, the whole message, and an output that is untouched. */
static void assert_bad(const struct bad *cases, size_t count)
{
	struct xd_spec before, spec;
	size_t i;

	memset(&before, 0x5a, sizeof(before));
	for (i = 0; i < count; i++) {
		xd_error_clear();
		memcpy(&spec, &before, sizeof(spec));
		if (xd_spec_parse(cases[i].text, &spec) != -EINVAL)
			fail_msg("\"%s\" was not refused", cases[i].text);
		assert_string_equal(xd_error_message(), cases[i].message);
		assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
		assert_memory_equal(&spec, &before, sizeof(spec));
	}
}

static void assert_spec(const char *text, const struct good *expected)
{
	struct xd_spec spec;
	struct in_addr address;

	if (xd_spec_parse(text, &spec))
		fail_msg("\"%s\" was refused: %s", text, xd_error_message());
	assert_int_equal(inet_pton(AF_INET, expected->address, &address), 1);
	assert_int_equal(spec.address, address.s_addr);
	assert_int_equal(spec.host_port, expected->host_port);
	assert_int_equal(spec.host_port_end, expected->host_port_end);
	assert_int_equal(spec.port, expected->port);
	assert_int_equal(spec.port_end, expected->port_end);
	assert_int_equal(spec.protocol, expected->protocol);
	assert_int_equal(xd_spec_is_dynamic(&spec), expected->is_dynamic);
	assert_int_equal(xd_spec_count(&spec), expected->count);
}

static void parses_every_form_that_docker_run_knows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(good); i++)
		assert_spec(good[i].text, &good[i]);
}

static void prints_the_shortest_form_that_parses_back(void **state)
{
	char buffer[XD_SPEC_TEXT_LEN];
	struct xd_spec spec;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(good); i++) {
		assert_int_equal(xd_spec_parse(good[i].text, &spec), 0);
		assert_ptr_equal(xd_spec_format(&spec, buffer), buffer);
		assert_string_equal(buffer, good[i].shortest);
		assert_spec(buffer, &good[i]);
	}
}

static void refuses_what_is_no_number(void **state)
{
	(void)state;
	assert_bad(no_numbers, COUNT(no_numbers));
}

static void refuses_port_zero(void **state)
{
	(void)state;
	assert_bad(zeros, COUNT(zeros));
}

static void refuses_ports_above_65535(void **state)
{
	(void)state;
	assert_bad(too_high, COUNT(too_high));
}

static void refuses_ranges_backwards_or_of_unequal_length(void **state)
{
	(void)state;
	assert_bad(ranges, COUNT(ranges));
}

static void refuses_unknown_protocols_and_other_ports_of_sctp(void **state)
{
	(void)state;
	assert_bad(protocols, COUNT(protocols));
}

static void refuses_addresses_that_no_host_has(void **state)
{
	(void)state;
	assert_bad(addresses, COUNT(addresses));
}

static void refuses_ipv6_by_name(void **state)
{
	(void)state;
	assert_bad(ipv6, COUNT(ipv6));
}

static void refuses_an_empty_spec(void **state)
{
	static const struct bad empty = {
		"", "port spec: empty; such as 8080:80, 127.0.0.1:8080:80/udp"
	};

	(void)state;
	assert_bad(&empty, 1);
}

/* Of a very long text the message quotes the beginning, and still says why. */
static void refuses_very_long_specs(void **state)
{
	char text[20000], message[200];
	struct bad bad = { text, message };
	size_t length;

	(void)state;
	for (length = XD_SPEC_TEXT_LEN; length < sizeof(text); length = length * 3 / 2) {
		memset(text, '8', length);
		text[length] = '\0';
		snprintf(message, sizeof(message), "port spec %.64s%s: longer than any port spec",
			 text, length > 64 ? "..." : "");
		assert_bad(&bad, 1);
	}
}

static void reads_the_longest_spec_whole(void **state)
{
	char text[XD_SPEC_TEXT_LEN];
	struct xd_spec spec;

	(void)state;
	memset(text, '0', sizeof(text));
	strcpy(text + sizeof(text) - 3, "80");
	assert_int_equal(strlen(text), XD_SPEC_TEXT_LEN - 1);
	assert_int_equal(xd_spec_parse(text, &spec), 0);
	assert_int_equal(spec.port, 80);
}

/* Any bytes: no crash, and what is accepted prints and parses back to the same. */
static void survives_random_text(void **state)
{
	static const char alphabet[] = "0123456789::--//.. tcpudp[]+\377";
	__u64 random = 1;
	unsigned int accepted = 0, i;

	(void)state;
	for (i = 0; i < 300000; i++) {
		char text[24], buffer[XD_SPEC_TEXT_LEN];
		struct xd_spec spec, again;
		unsigned int length, at;

		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		length = (random >> 33) % 12;
		for (at = 0; at < length; at++) {
			random = random * 6364136223846793005ULL + 1442695040888963407ULL;
			text[at] = alphabet[(random >> 33) % (sizeof(alphabet) - 1)];
		}
		text[length] = '\0';
		if (xd_spec_parse(text, &spec))
			continue;
		accepted++;
		assert_int_equal(xd_spec_parse(xd_spec_format(&spec, buffer), &again), 0);
		assert_int_equal(again.address, spec.address);
		assert_int_equal(again.host_port, spec.host_port);
		assert_int_equal(again.host_port_end, spec.host_port_end);
		assert_int_equal(again.port, spec.port);
		assert_int_equal(again.port_end, spec.port_end);
		assert_int_equal(again.protocol, spec.protocol);
	}
	assert_in_range(accepted, 5000, 295000);
}

static void parses_subnets_and_keeps_the_host_bits(void **state)
{
	static const struct {
		const char *text, *address, *mask;
	} cases[] = {
		{ "10.1.2.3/24", "10.1.2.3", "255.255.255.0" },
		{ "172.17.0.0/16", "172.17.0.0", "255.255.0.0" },
		{ "10.0.0.1/8", "10.0.0.1", "255.0.0.0" },
		{ "192.168.1.1/30", "192.168.1.1", "255.255.255.252" },
		{ "255.255.255.255/30", "255.255.255.255", "255.255.255.252" },
	};
	__be32 address, mask;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		assert_int_equal(xd_spec_parse_cidr(cases[i].text, &address, &mask), 0);
		assert_int_equal(address, inet_addr(cases[i].address));
		assert_int_equal(mask, inet_addr(cases[i].mask));
	}
}

static void refuses_subnets_that_are_none(void **state)
{
	static const struct bad cases[] = {
		{ "", "subnet : a prefix length is missing, as in 172.17.0.0/16" },
		{ "10.0.0.0", "subnet 10.0.0.0: a prefix length is missing, as in 172.17.0.0/16" },
		{ "/16", "subnet /16: what is before the slash is not an IPv4 address" },
		{ "10.0.0/16",
		  "subnet 10.0.0/16: what is before the slash is not an IPv4 address" },
		{ "fd00::/64",
		  "subnet fd00::/64: what is before the slash is not an IPv4 address" },
		{ "0255.255.255.255000/8",
		  "subnet 0255.255.255.255000/8: what is before the slash is not an IPv4 address" },
		{ "10.0.0.0/", "subnet 10.0.0.0/: the prefix length is not a number from 8 to 30" },
		{ "10.0.0.0/7",
		  "subnet 10.0.0.0/7: the prefix length is not a number from 8 to 30" },
		{ "10.0.0.0/31",
		  "subnet 10.0.0.0/31: the prefix length is not a number from 8 to 30" },
		{ "10.0.0.0/-8",
		  "subnet 10.0.0.0/-8: the prefix length is not a number from 8 to 30" },
		{ "10.0.0.0/16/16",
		  "subnet 10.0.0.0/16/16: the prefix length is not a number from 8 to 30" },
		{ "10.0.0.0/4294967312",
		  "subnet 10.0.0.0/4294967312: the prefix length is not a number from 8 to 30" },
		{ "10.0.0.0/255.255.0.0",
		  "subnet 10.0.0.0/255.255.0.0: the prefix length is not a number from 8 to 30" },
	};
	__be32 address = 1, mask = 2;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		xd_error_clear();
		assert_int_equal(xd_spec_parse_cidr(cases[i].text, &address, &mask), -EINVAL);
		assert_string_equal(xd_error_message(), cases[i].message);
		assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
	}
	assert_int_equal(address, 1);
	assert_int_equal(mask, 2);
}

static void parses_a_dotted_quad_and_nothing_else(void **state)
{
	static const struct bad cases[] = {
		{ "", "address : not an IPv4 address such as 172.17.0.2" },
		{ "web", "address web: not an IPv4 address such as 172.17.0.2" },
		{ "10.1", "address 10.1: not an IPv4 address such as 172.17.0.2" },
		{ "10.0.0.1/8", "address 10.0.0.1/8: not an IPv4 address such as 172.17.0.2" },
		{ "10.0.0.256", "address 10.0.0.256: not an IPv4 address such as 172.17.0.2" },
		{ "10.0.0.1 ", "address 10.0.0.1 : not an IPv4 address such as 172.17.0.2" },
		{ "fe80::1", "address fe80::1: IPv6 addresses are not supported" },
	};
	__be32 address;
	size_t i;

	(void)state;
	assert_int_equal(xd_spec_parse_address("10.1.2.3", &address), 0);
	assert_int_equal(address, htonl(0x0a010203));
	for (i = 0; i < COUNT(cases); i++) {
		xd_error_clear();
		assert_int_equal(xd_spec_parse_address(cases[i].text, &address), -EINVAL);
		assert_string_equal(xd_error_message(), cases[i].message);
		assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
	}
	assert_int_equal(address, htonl(0x0a010203));
}

static void parses_numbers_at_both_limits(void **state)
{
	unsigned long number;

	(void)state;
	assert_int_equal(xd_spec_parse_number("mtu", "68", 68, 65535, &number), 0);
	assert_int_equal(number, 68);
	assert_int_equal(xd_spec_parse_number("mtu", "65535", 68, 65535, &number), 0);
	assert_int_equal(number, 65535);
	assert_int_equal(xd_spec_parse_number("n", "0", 0, 0, &number), 0);
	assert_int_equal(number, 0);
	assert_int_equal(xd_spec_parse_number("n", "18446744073709551615", 0, ~0UL, &number), 0);
	assert_true(number == ~0UL);
}

static void refuses_numbers_beyond_the_limits(void **state)
{
	static const struct bad cases[] = {
		{ "", "mtu : not a number" },
		{ "1500x", "mtu 1500x: not a number" },
		{ "-1500", "mtu -1500: not a number" },
		{ "+1500", "mtu +1500: not a number" },
		{ " 1500", "mtu  1500: not a number" },
		{ "0x5dc", "mtu 0x5dc: not a number" },
		{ "67", "mtu 67: below 68" },
		{ "65536", "mtu 65536: above 65535" },
		{ "18446744073709553116", "mtu 18446744073709553116: above 65535" },
	};
	unsigned long number = 7;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		xd_error_clear();
		assert_int_equal(xd_spec_parse_number("mtu", cases[i].text, 68, 65535, &number),
				 -EINVAL);
		assert_string_equal(xd_error_message(), cases[i].message);
		assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
	}
	assert_int_equal(xd_spec_parse_number("n", "18446744073709551616", 0, ~0UL, &number),
			 -EINVAL);
	assert_int_equal(number, 7);
}

static void takes_on_and_off_alone_for_a_switch(void **state)
{
	static const struct bad cases[] = {
		{ "", "icc : neither on nor off" },
		{ "ON", "icc ON: neither on nor off" },
		{ "yes", "icc yes: neither on nor off" },
		{ "off ", "icc off : neither on nor off" },
		{ "1", "icc 1: neither on nor off" },
	};
	bool is_on = false;
	size_t i;

	(void)state;
	assert_int_equal(xd_spec_parse_switch("icc", "on", &is_on), 0);
	assert_true(is_on);
	for (i = 0; i < COUNT(cases); i++) {
		xd_error_clear();
		assert_int_equal(xd_spec_parse_switch("icc", cases[i].text, &is_on), -EINVAL);
		assert_string_equal(xd_error_message(), cases[i].message);
		assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
	}
	assert_true(is_on);
	assert_int_equal(xd_spec_parse_switch("icc", "off", &is_on), 0);
	assert_false(is_on);
}

static void allows_the_names_that_docker_allows(void **state)
{
	static const char *const names[] = {
		"w", "web", "web-1", "Web_1.a", "9", "a..", "a2345678901234567890123456789_1",
	};
	size_t i;

	(void)state;
	assert_int_equal(strlen(names[6]), XD_NAME_LEN - 1);
	for (i = 0; i < COUNT(names); i++)
		assert_int_equal(xd_spec_parse_name(names[i]), 0);
}

static void refuses_names_that_are_no_file_names(void **state)
{
	static const struct bad cases[] = {
		{ "", "container name: empty" },
		{ ".", "container name .: it has to begin with a letter or a digit" },
		{ "..", "container name ..: it has to begin with a letter or a digit" },
		{ "-n", "container name -n: it has to begin with a letter or a digit" },
		{ "_x", "container name _x: it has to begin with a letter or a digit" },
		{ "/etc", "container name /etc: it has to begin with a letter or a digit" },
		{ "a/b", "container name a/b: only letters, digits and _ . - are allowed" },
		{ "a b", "container name a b: only letters, digits and _ . - are allowed" },
		{ "a\n", "container name a?: only letters, digits and _ . - are allowed" },
		{ "é", "container name é: it has to begin with a letter or a digit" },
		{ "aé", "container name aé: only letters, digits and _ . - are allowed" },
		{ "a23456789012345678901234567890_1",
		  "container name a23456789012345678901234567890_1: longer than 31 characters" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		xd_error_clear();
		assert_int_equal(xd_spec_parse_name(cases[i].text), -EINVAL);
		assert_string_equal(xd_error_message(), cases[i].message);
		assert_int_equal(xd_error_kind(), XD_ERROR_USAGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_every_form_that_docker_run_knows),
		cmocka_unit_test(prints_the_shortest_form_that_parses_back),
		cmocka_unit_test(refuses_what_is_no_number),
		cmocka_unit_test(refuses_port_zero),
		cmocka_unit_test(refuses_ports_above_65535),
		cmocka_unit_test(refuses_ranges_backwards_or_of_unequal_length),
		cmocka_unit_test(refuses_unknown_protocols_and_other_ports_of_sctp),
		cmocka_unit_test(refuses_addresses_that_no_host_has),
		cmocka_unit_test(refuses_ipv6_by_name),
		cmocka_unit_test(refuses_an_empty_spec),
		cmocka_unit_test(refuses_very_long_specs),
		cmocka_unit_test(reads_the_longest_spec_whole),
		cmocka_unit_test(survives_random_text),
		cmocka_unit_test(parses_subnets_and_keeps_the_host_bits),
		cmocka_unit_test(refuses_subnets_that_are_none),
		cmocka_unit_test(parses_a_dotted_quad_and_nothing_else),
		cmocka_unit_test(parses_numbers_at_both_limits),
		cmocka_unit_test(refuses_numbers_beyond_the_limits),
		cmocka_unit_test(takes_on_and_off_alone_for_a_switch),
		cmocka_unit_test(allows_the_names_that_docker_allows),
		cmocka_unit_test(refuses_names_that_are_no_file_names),
	};

	return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
