/* SPDX-License-Identifier: GPL-2.0-only */
/* A host for tests of the programs: the test moves into a network namespace of its own, which
 * vanishes with it, loads the skeleton there and fills the maps as the loader would.
 *
 *   client 192.0.2.7 .. router 198.51.100.254 -- uplink0 198.51.100.1/24 (default, canonical)
 *                                                        203.0.113.9/32  (a second address)
 *                       router 198.18.0.254 ---- uplink1 198.18.0.1/24
 *                                                docker0 172.17.0.1/16
 *                                                 |- web0: web 172.17.0.2
 *                                                 `- db0:  db  172.17.0.3
 *                                                docker1 172.18.0.1/16
 *                                                 `- app0: app 172.18.0.2
 *   neighbours known for good: both routers; never known: 198.51.100.20
 *   routes: default by the first router; 192.0.2.128/25 by it with a locked MTU of 1000
 *           (forwarding heeds no other);
 *           203.0.113.128/25 unreachable
 *   ports that the host takes for itself: 32768 to 60999 */
#ifndef TESTS_HOST_H
#define TESTS_HOST_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include "include/config.h"
#include "include/count.h"
#include "include/drop.h"
#include "include/endpoint.h"
#include "include/exception.h"
#include "include/fragment.h"
#include "include/network.h"
#include "include/port.h"
#include "include/snat.h"
#include "include/uplink.h"
#include "tests/prog/frame.h"
#include "xdock.skel.h" /* needs the structs of config.h and network.h */

/* Rows of xd_count that the tests use. */
enum host_counter {
	HOST_COUNT_WEB = 1, /* the container itself */
	HOST_COUNT_DB,
	HOST_COUNT_APP,
	HOST_COUNT_8761, /* tcp, 0.0.0.0:8761 -> web:8761 */
	HOST_COUNT_8761_UDP, /* udp, 0.0.0.0:8761 -> web:8761 */
	HOST_COUNT_5300, /* udp, 0.0.0.0:5300 -> web:53 */
	HOST_COUNT_8080, /* tcp, 0.0.0.0:8080 -> web:80 */
	HOST_COUNT_8081, /* tcp, 0.0.0.0:8081 -> web:80, not canonical */
	HOST_COUNT_9000, /* tcp, 203.0.113.9:9000 -> web:9000 */
	HOST_COUNT_7000, /* tcp, 198.51.100.1:7000 -> web:7000 */
	HOST_COUNT_MAX,
};

#define HOST_CLIENT "192.0.2.7"
#define HOST_CLIENT_FAR "192.0.2.200" /* behind the route with the small MTU */
#define HOST_NEIGHBOUR_UNKNOWN "198.51.100.20"
#define HOST_ROUTER "198.51.100.254"
#define HOST_DEFAULT "198.51.100.1"
#define HOST_SECOND "203.0.113.9"
#define HOST_GATEWAY "172.17.0.1"
#define HOST_WEB "172.17.0.2"
#define HOST_DB "172.17.0.3"
#define HOST_OTHER_ROUTER "198.18.0.254"
#define HOST_OTHER_UPLINK "198.18.0.1"
#define HOST_OTHER_GATEWAY "172.18.0.1"
#define HOST_APP "172.18.0.2"
#define HOST_CONTAINER_MTU 1500
#define HOST_PORT_LOW 32768
#define HOST_PORT_HIGH 60999

struct host {
	struct xdock_bpf *skeleton;
	__u32 uplink; /* these are ifindexes */
	__u32 other_uplink;
	__u32 bridge;
	__u32 other_bridge;
};

struct host_container {
	const char *name; /* its veth is that and a 0 */
	const char *address;
	const char *gateway;
	const __u8 *mac;
	const __u8 *gateway_mac;
	__u32 counter;
	__u32 ifindex; /* these two are filled by host_setup() */
	__u32 bridge;
};

extern struct host host;
extern struct host_container host_web, host_db, host_app;
extern const __u8 host_mac_router[6], host_mac_uplink[6], host_mac_bridge[6], host_mac_web[6],
	host_mac_db[6], host_mac_stranger[6], host_mac_broadcast[6], host_mac_other_router[6],
	host_mac_other_uplink[6], host_mac_other_bridge[6], host_mac_app[6];

/* Group fixtures. */
int host_setup(void **state);
int host_teardown(void **state);

/* First call of every test: all maps as after `up` of both networks and the `-p` above. Skips the
 * test when not run by root. */
void host_reset(void);

/* The state of the maps, for tests that need another one. Addresses are text. */
void host_publish(const char *address, __u16 port_host, __u8 protocol, __u16 container_port_host,
		  __u16 flags, __u32 counter);
void host_unpublish(const char *address, __u16 port_host, __u8 protocol);
/* XD_NETWORK_* of the network of a bridge; XD_NETWORK_MASQUERADE after host_reset(). */
void host_set_network(__u32 bridge, __u16 flags);
/* A container's row is made anew; what the programs noted in it is lost. */
void host_put_container(const struct host_container *container, __u16 flags);
bool host_get_port(const char *address, __u16 port_host, __u8 protocol, struct xd_port *ret_port);
bool host_get_rev(__u16 container_port_host, __u8 protocol, struct xd_port_rev *ret_rev);
void host_forget_device(__u32 ifindex);
__u16 host_get_hairpin(const struct host_container *container);
/* Any map: false if there is no row. The last one counts them. */
bool host_get(const struct bpf_map *map, const void *key, void *ret_value);
void host_put(const struct bpf_map *map, const void *key, const void *value);
void host_clear(const struct bpf_map *map);
void host_delete(const struct bpf_map *map, const void *key);
size_t host_count_rows(const struct bpf_map *map);
/* How long ago (jiffies) an address was proved to be local. */
#define HOST_FRESH 0
void host_age_local(const char *address, __u64 age);
bool host_has_local(const char *address);
bool host_has_exception(const struct frame_spec *inbound, __u16 container_port_host);
void host_age_exception(const struct frame_spec *inbound, __u16 container_port_host, __u64 age_ns);
/* The row becomes one of an earlier container. */
void host_disown_exception(const struct frame_spec *inbound, __u16 container_port_host);
/* Runs a command, or `ip` with these arguments; fails the test when it does. */
void host_command(const char *command);
void host_ip(const char *arguments);

/* One of the programs that see packets. HOST_CONTAINER is the one of TC; where a test expects
 * something of it, the one of XDP in front of it runs before, and either leaves the packet alone or
 * does the same. */
enum host_program {
	HOST_UPLINK_TC,
	HOST_UPLINK_XDP,
	HOST_CONTAINER,
	HOST_CONTAINER_XDP,
	HOST_SCREEN, /* of the uplink, XDP in front of TC */
	HOST_BRIDGE,
	HOST_PROGRAM_MAX,
};

const char *host_program_name(enum host_program program);

/* How many packets XDP has finished in front of HOST_CONTAINER so far. */
unsigned int host_carried(void);

static inline bool host_is_container(enum host_program program)
{
	return program == HOST_CONTAINER || program == HOST_CONTAINER_XDP;
}

static inline bool host_is_xdp(enum host_program program)
{
	return program == HOST_UPLINK_XDP || program == HOST_CONTAINER_XDP ||
	       program == HOST_SCREEN;
}

enum host_verdict {
	HOST_PASS,
	HOST_DROP,
	HOST_REDIRECT,
};

/* What the kernel knows of a packet beside its bytes. */
struct host_context {
	__u32 ifindex; /* 0: where the program belongs; web0 for a container */
	__u32 gso_size;
	__u32 mark;
};

struct host_result {
	enum host_verdict verdict;
	struct frame frame;
	__u32 mark;
};

/* Returns 0, or -errno when the kernel refuses to run the frame. Fails the test when the program
 * returns a verdict that it must not. */
int host_try(enum host_program program, const struct frame *frame,
	     const struct host_context *context, __u32 test_flags, struct host_result *ret_result);

/* Whether skb->csum still fits the bytes of an skb that carries a full sum (CHECKSUM_COMPLETE)
 * after in became out; the kernel refuses the test run with -EBADMSG if not. Without a UDP
 * checksum nothing cancels a changed port; nobody looks at the sum of such a datagram, and
 * netfilter leaves the same behind. */
bool host_keeps_complete(const struct frame *in, const struct frame *out);
#ifndef BPF_F_TEST_SKB_CHECKSUM_COMPLETE
#define BPF_F_TEST_SKB_CHECKSUM_COMPLETE (1U << 2)
#endif

/* Specs of packets, which tests change as they need. To the host: from the client by the router;
 * the ICMP ones are echo replies to who asked with port_host. */
struct frame_spec host_inbound(__u8 protocol, const char *address, __u16 port_host);
/* The same, or any other, as it arrives in a container at its port. */
struct frame_spec host_delivered(const struct frame_spec *spec,
				 const struct host_container *container, __u16 port_host);
/* By a container, to the client by way of its gateway: port 40000 there. */
struct frame_spec host_outbound(const struct host_container *container, __u8 protocol,
				__u16 port_host);
/* Its first packet: of TCP, a SYN. */
struct frame_spec host_opening(const struct host_container *container, __u8 protocol,
			       __u16 port_host);
/* The same as the router gets it: from address:port of the host. */
struct frame_spec host_sent(const struct frame_spec *spec, const char *address, __u16 port_host);

/* A test run tells that a packet was redirected and no more: where to is seen in tests/net.
 * Each of these runs the frame once (a second time with CHECKSUM_COMPLETE at TC, if redirected)
 * and asserts the verdict, every byte and every counter. context may be NULL. */
void host_expect_pass(enum host_program program, const struct frame *frame,
		      const struct host_context *context);
void host_expect_drop(enum host_program program, const struct frame *frame,
		      const struct host_context *context, enum xd_drop_reason reason);

struct host_redirect {
	const struct frame *frame; /* as it has to come out */
	__u32 counter;
	__u32 direction; /* XD_COUNT_IN or XD_COUNT_OUT */
	__u32 mark;
};

void host_expect_redirect(enum host_program program, const struct frame *frame,
			  const struct host_context *context, const struct host_redirect *want);

/* The same without a context: containers send by their own veths, which the MAC address tells, and
 * the direction follows from the program. */
void host_frame_passes(enum host_program program, const struct frame *frame);
void host_frame_drops(enum host_program program, const struct frame *frame,
		      enum xd_drop_reason reason);
void host_frame_becomes(enum host_program program, const struct frame *frame,
			const struct frame *to, __u32 counter);
/* The same for specs. */
void host_spec_passes(enum host_program program, const struct frame_spec *spec);
void host_spec_drops(enum host_program program, const struct frame_spec *spec,
		     enum xd_drop_reason reason);
void host_spec_becomes(enum host_program program, const struct frame_spec *spec,
		       const struct frame_spec *to, __u32 counter);

/* A flow of a container, by both of its rows. */
struct host_flow {
	struct xd_snat_key key;
	struct xd_snat_rev_key rev_key;
	struct xd_snat row;
	struct xd_snat_rev rev;
};

/* The flow that spec is a packet of, as its container sends it. False: it has no row, or (then row
 * is filled) no reverse row. */
bool host_get_flow(const struct frame_spec *spec, struct host_flow *ret_flow);
/* Lets the container send the packet, which must be redirected, and returns the port that its flow
 * has. */
__u16 host_open_flow(const struct frame_spec *spec);
/* What a flow has to look like. Every field of both rows is compared. */
struct host_flow_want {
	const struct host_container *container;
	const char *address;
	__u16 port_host;
	__u16 flags;
	__u32 ifindex;
	/* The remote as it answers, if that is not as the container knows it. */
	const char *remote;
	__u16 remote_port_host;
};
void host_expect_flow(const struct frame_spec *spec, const struct host_flow_want *want);
/* Writes both rows back. */
void host_put_flow(const struct host_flow *flow);
/* Both halves, or one, saw their last packet so long ago. */
enum host_half {
	HOST_OUT = 1,
	HOST_IN = 2,
	HOST_BOTH = 3,
};
void host_age_flow(const struct frame_spec *spec, enum host_half half, __u64 age_ns);
void host_delete_flow(const struct frame_spec *spec, enum host_half half);
/* How many rows there are in xd_snat and xd_snat_rev. */
void host_expect_flows(size_t out, size_t in);
/* CLOCK_MONOTONIC as programs read it. */
__u64 host_now_ns(void);

/* Tables of tests for both hooks of the uplink, which *state tells. */
enum host_program host_hook(void **state);
extern enum host_program host_tc, host_xdp;
#define HOST_TC(test) { #test " (tc)", test, NULL, NULL, &host_tc }
#define HOST_XDP(test) { #test " (xdp)", test, NULL, NULL, &host_xdp }
#define HOST_BOTH_HOOKS(test) HOST_TC(test), HOST_XDP(test)

#endif
