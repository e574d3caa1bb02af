/* SPDX-License-Identifier: GPL-2.0-only */
/* Why a packet was dropped. The numbers index xd_drop; names and sentences are printed by
 * `xdock drops` and listed in xdock(8). A number is never given to another reason.
 *
 * X(number, symbol, name, sentence) */
#ifndef XD_DROP_H
#define XD_DROP_H

#define XD_DROP_REASONS(X)                                                                        \
	X(0, DIRECT_ROUTED, "direct-routed",                                                      \
	  "a packet from outside was addressed to a container instead of a published port")       \
	X(1, MARTIAN, "martian",                                                                  \
	  "a packet from outside had a loopback or container address or its own destination as "  \
	  "its source, or a packet had a loopback address as its destination")                    \
	X(2, SPOOFED, "spoofed",                                                                  \
	  "a container sent with the address of its gateway, of another container or a loopback " \
	  "address as the source, or with any but its own where a network checks that")           \
	X(3, TTL, "ttl",                                                                          \
	  "the TTL of a packet for a container ran out at this host")                        \
	X(4, REWRITE, "rewrite", "the kernel failed to rewrite a packet half way")                \
	X(5, PORT_CONFLICT, "port-conflict",                                                      \
	  "a client used one source port for two host ports that lead to the same container port") \
	X(6, EXCEPTION_FULL, "exception-full",                                                    \
	  "no room in xd_exception for a flow to another address than the canonical one")         \
	X(7, UNTRANSLATED, "untranslated",                                                        \
	  "a reply of a published port would have to be fragmented or encapsulated by the "       \
	  "kernel, which would send it with the container's address")                            \
	X(8, ISOLATED, "isolated",                                                                \
	  "a container addressed another network, or left an internal one")                      \
	X(9, ICC, "icc", "a container addressed a sibling on a network with --icc off")           \
	X(10, UNTRACKED, "untracked",                                                             \
	  "a container sent to the outside in the middle of a flow that nobody knows")           \
	X(11, NO_PORT, "no-port",                                                                 \
	  "no source port was found for a new flow of a container to the outside")               \
	X(12, FLOW_FULL, "flow-full", "no room in xd_snat for a new flow of a container")         \
	X(13, FRAGMENT, "fragment",                                                               \
	  "a later fragment came whose first one was not seen, or is longer ago than 30 seconds") \
	X(14, LIMITED, "limited", "a client sent more packets to a published port than --limit")  \
	X(15, DENIED, "denied", "a client is refused by --deny, or on no list of --allow")

enum xd_drop_reason {
#define X(number, symbol, name, sentence) XD_DROP_##symbol = number,
	XD_DROP_REASONS(X)
#undef X
	XD_DROP_MAX,
};

#endif
