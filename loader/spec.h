/* SPDX-License-Identifier: GPL-2.0-only */
/* SPEC, as in `docker run -p`: [[HOST_ADDRESS:]HOST_PORT[-END]:]PORT[-END][/tcp|/udp|/sctp].
 * Pure. */
#ifndef XD_SPEC_H
#define XD_SPEC_H

#include <linux/types.h>
#include <stdbool.h>

struct xd_spec {
	__be32 address; /* of the host; 0 is every local one */
	__u16 host_port; /* host order, first of the range; 0: chosen by xdock, one for each port */
	__u16 host_port_end; /* host order, last of the range; 0 with host_port 0 */
	__u16 port; /* host order, of the container, first of the range */
	__u16 port_end; /* host order, of the container, last of the range */
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP */
};

/* Number of ports that the spec publishes. When the container side is one port and the host
 * side a range (`8000-8010:80`), it is one port, and the first free of the range is taken. */
unsigned int xd_spec_count(const struct xd_spec *spec);

/* True where the host port is chosen at run time (`80`, `127.0.0.1::80`, `8000-8010:80`). */
bool xd_spec_is_dynamic(const struct xd_spec *spec);

/* Parse TEXT. Of SCTP both sides have the same ports: no port of it can be changed, since the
 * kernel recomputes no CRC32c, so that what is left to be chosen is the container's. Errors:
 * -EINVAL, each with a message of its own that quotes TEXT and says what is wrong with it (empty,
 * not a number, port 0, above 65535, range backwards, ranges of unequal length, unknown protocol,
 * other ports of sctp, IPv6 address, bad address, too many colons). */
int xd_spec_parse(const char *text, struct xd_spec *ret_spec);

/* Print in the shortest form that parses back to the same spec. Returns a pointer to buffer. */
#define XD_SPEC_TEXT_LEN 64
const char *xd_spec_format(const struct xd_spec *spec, char buffer[XD_SPEC_TEXT_LEN]);

/* "tcp", "udp", "sctp", "icmp", by IPPROTO_*; "?" for others. */
const char *xd_spec_protocol(__u8 protocol);

/* "10.1.2.3/24" -> address (as written, host bits kept) and mask. Prefix 8..30.
 * Errors: -EINVAL with a message that quotes TEXT. */
int xd_spec_parse_cidr(const char *text, __be32 *ret_address, __be32 *ret_mask);

/* Dotted quad. Errors: -EINVAL with a message that quotes TEXT. */
int xd_spec_parse_address(const char *text, __be32 *ret_address);

/* Decimal number within minimum..maximum (both allowed), nothing behind it.
 * Errors: -EINVAL with a message "WHAT TEXT: ...". */
int xd_spec_parse_number(const char *what, const char *text, unsigned long minimum,
			 unsigned long maximum, unsigned long *ret_number);

/* "on" or "off". Errors: -EINVAL with a message "WHAT TEXT: ...". */
int xd_spec_parse_switch(const char *what, const char *text, bool *ret_is_on);

/* Container names: 1 to XD_NAME_LEN - 1 characters of [a-zA-Z0-9_.-], the first of
 * [a-zA-Z0-9] (Docker's rule, so that a name is also a file name). */
int xd_spec_parse_name(const char *text);

#endif
