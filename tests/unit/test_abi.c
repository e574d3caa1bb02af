// SPDX-License-Identifier: GPL-2.0-only
/* The kernel/user border, byte for byte: a change here is a change of XD_ABI_VERSION. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "include/config.h"
#include "include/count.h"
#include "include/drop.h"
#include "include/endpoint.h"
#include "include/exception.h"
#include "include/fragment.h"
#include "include/limit.h"
#include "include/limits.h"
#include "include/local.h"
#include "include/network.h"
#include "include/peer.h"
#include "include/port.h"
#include "include/reserved.h"
#include "include/sample.h"
#include "include/snat.h"
#include "include/undo.h"
#include "include/uplink.h"

struct member {
	const char *name; /* of struct and member */
	const char *type; /* of the struct */
	size_t size; /* of the struct */
	size_t offset;
	size_t length;
	size_t expected; /* offset */
};

#define AT(type, member, expected)                                                                \
	{                                                                                         \
		#type "." #member, #type, sizeof(struct type), offsetof(struct type, member),     \
			sizeof(((struct type *)0)->member), expected                              \
	}

/* All members of all structs, in order. */
static const struct member members[] = {
	AT(xd_config, netns_cookie, 0),
	AT(xd_host, address, 0),
	AT(xd_host, port_low_host, 4),
	AT(xd_host, port_high_host, 6),
	AT(xd_host, proved, 8),
	AT(xd_host, sources, 16),
	AT(xd_host, want, 24),
	AT(xd_host, pad, 28),
	AT(xd_count, packets, 0),
	AT(xd_count, bytes, 8),
	AT(xd_endpoint, address, 0),
	AT(xd_endpoint, mask, 4),
	AT(xd_endpoint, gateway, 8),
	AT(xd_endpoint, bridge, 12),
	AT(xd_endpoint, counter, 16),
	AT(xd_endpoint, mtu, 20),
	AT(xd_endpoint, flags, 24),
	AT(xd_endpoint, hairpin, 26),
	AT(xd_endpoint, want, 28),
	AT(xd_endpoint, mac, 32),
	AT(xd_endpoint, gateway_mac, 38),
	AT(xd_endpoint, name, 44),
	AT(xd_address_key, bridge, 0),
	AT(xd_address_key, address, 4),
	AT(xd_address, ifindex, 0),
	AT(xd_address, counter, 4),
	AT(xd_address, mac, 8),
	AT(xd_address, pad, 14),
	AT(xd_exception_key, container_address, 0),
	AT(xd_exception_key, client_address, 4),
	AT(xd_exception_key, container_port, 8),
	AT(xd_exception_key, client_port, 10),
	AT(xd_exception_key, protocol, 12),
	AT(xd_exception_key, pad, 13),
	AT(xd_exception, address, 0),
	AT(xd_exception, port, 4),
	AT(xd_exception, owner, 6),
	AT(xd_exception, seen_ns, 8),
	AT(xd_local, proved, 0),
	AT(xd_network, gateway, 0),
	AT(xd_network, mask, 4),
	AT(xd_network, mtu, 8),
	AT(xd_network, mac, 12),
	AT(xd_network, flags, 18),
	AT(xd_network, name, 20),
	AT(xd_subnet, gateway, 0),
	AT(xd_subnet, prefix, 4),
	AT(xd_subnet, pad, 5),
	AT(xd_subnet, flags, 6),
	AT(xd_peer_key, cookie, 0),
	AT(xd_peer_key, address, 8),
	AT(xd_peer_key, port, 12),
	AT(xd_peer_key, protocol, 14),
	AT(xd_peer_key, pad, 15),
	AT(xd_peer, address, 0),
	AT(xd_peer, port, 4),
	AT(xd_peer, pad, 6),
	AT(xd_port_key, address, 0),
	AT(xd_port_key, port, 4),
	AT(xd_port_key, protocol, 6),
	AT(xd_port_key, pad, 7),
	AT(xd_port, address, 0),
	AT(xd_port, mask, 4),
	AT(xd_port, port, 8),
	AT(xd_port, flags, 10),
	AT(xd_port, ifindex, 12),
	AT(xd_port, counter, 16),
	AT(xd_port, mtu, 20),
	AT(xd_port, mac, 24),
	AT(xd_port, gateway_mac, 30),
	AT(xd_port, name, 36),
	AT(xd_port_rev_key, address, 0),
	AT(xd_port_rev_key, port, 4),
	AT(xd_port_rev_key, protocol, 6),
	AT(xd_port_rev_key, pad, 7),
	AT(xd_port_rev, address, 0),
	AT(xd_port_rev, port, 4),
	AT(xd_port_rev, flags, 6),
	AT(xd_port_rev, counter, 8),
	AT(xd_reserved, published, 0),
	AT(xd_reserved, added, 8192),
	AT(xd_reserved, excluded, 16384),
	AT(xd_limit, interval_ns, 0),
	AT(xd_limit, burst_ns, 8),
	AT(xd_limit, flags, 16),
	AT(xd_limit, rate, 20),
	AT(xd_bucket_key, counter, 0),
	AT(xd_bucket_key, source, 4),
	AT(xd_bucket, due_ns, 0),
	AT(xd_list_key, prefix, 0),
	AT(xd_list_key, counter, 4),
	AT(xd_list_key, address, 8),
	AT(xd_list, verdict, 0),
	AT(xd_fragment_key, source, 0),
	AT(xd_fragment_key, destination, 4),
	AT(xd_fragment_key, id, 8),
	AT(xd_fragment_key, protocol, 10),
	AT(xd_fragment_key, pad, 11),
	AT(xd_fragment, seen_ns, 0),
	AT(xd_fragment, source_port, 8),
	AT(xd_fragment, destination_port, 10),
	AT(xd_fragment, pad, 12),
	AT(xd_sample_key, client_address, 0),
	AT(xd_sample_key, address, 4),
	AT(xd_sample_key, client_port, 8),
	AT(xd_sample_key, port, 10),
	AT(xd_sample_key, protocol, 12),
	AT(xd_sample_key, pad, 13),
	AT(xd_sample, packets, 0),
	AT(xd_sample, bytes, 8),
	AT(xd_sample, container_address, 16),
	AT(xd_sample, container_port, 20),
	AT(xd_sample, pad, 22),
	AT(xd_snat_key, container_address, 0),
	AT(xd_snat_key, remote_address, 4),
	AT(xd_snat_key, container_port, 8),
	AT(xd_snat_key, remote_port, 10),
	AT(xd_snat_key, protocol, 12),
	AT(xd_snat_key, pad, 13),
	AT(xd_snat, address, 0),
	AT(xd_snat, port, 4),
	AT(xd_snat, flags, 6),
	AT(xd_snat, seen_ns, 8),
	AT(xd_snat, ifindex, 16),
	AT(xd_snat, owner, 20),
	AT(xd_snat_rev_key, remote_address, 0),
	AT(xd_snat_rev_key, address, 4),
	AT(xd_snat_rev_key, remote_port, 8),
	AT(xd_snat_rev_key, port, 10),
	AT(xd_snat_rev_key, protocol, 12),
	AT(xd_snat_rev_key, pad, 13),
	AT(xd_snat_rev, container_address, 0),
	AT(xd_snat_rev, container_port, 4),
	AT(xd_snat_rev, owner, 6),
	AT(xd_snat_rev, seen_ns, 8),
	AT(xd_snat_rev, ifindex, 16),
	AT(xd_snat_rev, counter, 20),
	AT(xd_snat_rev, dialled_address, 24),
	AT(xd_snat_rev, dialled_port, 28),
	AT(xd_snat_rev, flags, 30),
	AT(xd_snat_rev, mac, 32),
	AT(xd_snat_rev, gateway_mac, 38),
	AT(xd_snat_rev, mtu, 44),
	AT(xd_undo_key, what, 0),
	AT(xd_undo, before, 0),
	AT(xd_uplink, ifindex, 0),
	AT(xd_uplink, mac, 4),
	AT(xd_uplink, flags, 10),
	AT(xd_uplink, name, 12),
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static void keeps_every_member_at_its_offset(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < MEMBERS; i++) {
		if (members[i].offset != members[i].expected)
			fail_msg("%s is at %zu, not %zu", members[i].name, members[i].offset,
				 members[i].expected);
	}
}

/* Each member begins where the one before ends, and the last one ends the struct. */
static void has_no_hidden_padding(void **state)
{
	size_t i, end = 0;

	(void)state;
	for (i = 0; i < MEMBERS; i++) {
		const struct member *member = &members[i];

		if (member->offset != end)
			fail_msg("%s begins at %zu, not at %zu", member->name, member->offset, end);
		end = member->offset + member->length;
		if (i + 1 < MEMBERS && !strcmp(member->type, members[i + 1].type))
			continue;
		if (end != member->size)
			fail_msg("%s ends at %zu of %zu", member->name, end, member->size);
		end = 0;
	}
}

static void keeps_the_size_of_every_struct(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct xd_config), 8);
	assert_int_equal(sizeof(struct xd_host), 32);
	assert_int_equal(sizeof(struct xd_count), 16);
	assert_int_equal(sizeof(struct xd_endpoint), 76);
	assert_int_equal(sizeof(struct xd_address_key), 8);
	assert_int_equal(sizeof(struct xd_address), 16);
	assert_int_equal(sizeof(struct xd_exception_key), 16);
	assert_int_equal(sizeof(struct xd_exception), 16);
	assert_int_equal(sizeof(struct xd_local), 8);
	assert_int_equal(sizeof(struct xd_network), 36);
	assert_int_equal(sizeof(struct xd_subnet), 8);
	assert_int_equal(sizeof(struct xd_peer_key), 16);
	assert_int_equal(sizeof(struct xd_peer), 8);
	assert_int_equal(sizeof(struct xd_port_key), 8);
	assert_int_equal(sizeof(struct xd_port), 68);
	assert_int_equal(sizeof(struct xd_port_rev_key), 8);
	assert_int_equal(sizeof(struct xd_port_rev), 12);
	assert_int_equal(sizeof(struct xd_reserved), 24576);
	assert_int_equal(sizeof(struct xd_fragment_key), 12);
	assert_int_equal(sizeof(struct xd_fragment), 16);
	assert_int_equal(sizeof(struct xd_sample_key), 16);
	assert_int_equal(sizeof(struct xd_sample), 24);
	assert_int_equal(sizeof(struct xd_snat_key), 16);
	assert_int_equal(sizeof(struct xd_snat), 24);
	assert_int_equal(sizeof(struct xd_snat_rev_key), 16);
	assert_int_equal(sizeof(struct xd_snat_rev), 48);
	assert_int_equal(sizeof(struct xd_undo_key), 64);
	assert_int_equal(sizeof(struct xd_undo), 64);
	assert_int_equal(sizeof(struct xd_uplink), 28);
}

/* Programs write these words whole: a reader must never see half of one. */
static void keeps_shared_words_aligned(void **state)
{
	(void)state;
	assert_int_equal(_Alignof(struct xd_subnet), 8);
	assert_int_equal(_Alignof(struct xd_exception), 8);
	assert_int_equal(offsetof(struct xd_exception, seen_ns) % 8, 0);
	assert_int_equal(offsetof(struct xd_host, proved) % 8, 0);
	assert_int_equal(_Alignof(struct xd_snat_rev), 8);
	assert_int_equal(offsetof(struct xd_snat_rev, container_address) % 8, 0);
	assert_int_equal(offsetof(struct xd_snat_rev, seen_ns) % 8, 0);
	assert_int_equal(offsetof(struct xd_snat, seen_ns) % 8, 0);
}

static void keeps_the_limits_of_abi_version_3(void **state)
{
	(void)state;
	assert_int_equal(XD_ABI_VERSION, 3);
	assert_int_equal(XD_NAME_LEN, 32);
	assert_int_equal(XD_SUBNET_MAX, 64);
	assert_int_equal(XD_UPLINK_MAX, 64);
	assert_int_equal(XD_ENDPOINT_MAX, 16384);
	assert_int_equal(XD_PORT_MAX, 65536);
	assert_int_equal(XD_LOCAL_MAX, 4096);
	assert_int_equal(XD_EXCEPTION_MAX, 65536);
	assert_int_equal(XD_SNAT_MAX, 131072);
	assert_int_equal(XD_FRAGMENT_MAX, 8192);
	assert_int_equal(XD_SAMPLE_MAX, 8192);
	assert_int_equal(XD_PEER_MAX, 65536);
	assert_int_equal(XD_COUNTER_MAX, 32768);
	assert_int_equal(XD_UNDO_MAX, 32768);
	assert_int_equal(XD_COUNT_IN, 0);
	assert_int_equal(XD_COUNT_OUT, 1);
	assert_int_equal(XD_COUNT_DIRECTIONS, 2);
	assert_int_equal(XD_PORT_CANONICAL, 1);
	assert_int_equal(XD_PORT_EXCEPTION, 2);
	assert_int_equal(XD_PORT_MASQUERADED, 4);
	assert_int_equal(XD_PORT_ROUTED, 8);
	assert_int_equal(XD_PORT_LIMITED, 16);
	assert_int_equal(XD_UPLINK_XDP, 1);
	assert_int_equal(XD_PORT_REV_EXCEPTION, 1);
	assert_int_equal(XD_NETWORK_ICC_OFF, 1);
	assert_int_equal(XD_NETWORK_INTERNAL, 2);
	assert_int_equal(XD_NETWORK_MASQUERADE, 4);
	assert_int_equal(XD_NETWORK_ROUTED, 8);
	assert_int_equal(XD_NETWORK_UNPROTECTED, 16);
	assert_int_equal(XD_NETWORK_SOURCE_CHECK, 32);
	assert_int_equal(XD_HAIRPIN_SIBLING, 1);
	assert_int_equal(XD_HAIRPIN_GATEWAY, 2);
	assert_int_equal(XD_SNAT_REPLIED, 1);
	assert_int_equal(XD_SNAT_FIN_OUT, 2);
	assert_int_equal(XD_SNAT_FIN_IN, 4);
	assert_int_equal(XD_SNAT_RST, 8);
	assert_int_equal(XD_SNAT_PLAIN, 16);
	assert_int_equal(XD_SNAT_HAIRPIN, 32);
}

struct reason {
	int number;
	const char *name;
	const char *sentence;
};

static const struct reason reasons[] = {
#define X(number, symbol, name, sentence) { number, name, sentence },
	XD_DROP_REASONS(X)
#undef X
};
#define REASONS (sizeof(reasons) / sizeof(reasons[0]))

/* Only ever add to this list. */
static void keeps_the_numbers_of_drop_reasons_for_ever(void **state)
{
	static const char *const names[] = {
		"direct-routed", "martian",	  "spoofed",	   "ttl",
		"rewrite",	 "port-conflict", "exception-full", "untranslated",
		"isolated",	 "icc",		  "untracked",	    "no-port",
		"flow-full",	 "fragment",	  "limited",	    "denied",
	};
	size_t i;

	(void)state;
	assert_int_equal(REASONS, sizeof(names) / sizeof(names[0]));
	for (i = 0; i < REASONS; i++)
		assert_string_equal(reasons[i].name, names[i]);
}

/* They index xd_drop. */
static void numbers_drop_reasons_without_gaps(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < REASONS; i++)
		assert_int_equal(reasons[i].number, i);
	assert_int_equal(XD_DROP_MAX, REASONS);
}

static void names_each_drop_reason_once(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < REASONS; i++) {
		for (j = i + 1; j < REASONS; j++) {
			assert_string_not_equal(reasons[i].name, reasons[j].name);
			assert_string_not_equal(reasons[i].sentence, reasons[j].sentence);
		}
	}
}

static void writes_drop_reasons_in_lower_case_with_hyphens(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < REASONS; i++) {
		const char *name = reasons[i].name;
		size_t length = strlen(name);

		if (!length || name[strspn(name, "abcdefghijklmnopqrstuvwxyz-")] ||
		    name[0] == '-' || name[length - 1] == '-')
			fail_msg("name of drop reason %zu: \"%s\"", i, name);
	}
}

static void explains_each_drop_reason_in_a_sentence(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < REASONS; i++) {
		const char *sentence = reasons[i].sentence;
		size_t length = strlen(sentence);

		/* Without a dot, as all messages are. */
		if (length < 20 || !strchr(sentence, ' ') || !isalpha(sentence[0]) ||
		    !isalpha(sentence[length - 1]) || strstr(sentence, "  "))
			fail_msg("sentence of %s: \"%s\"", reasons[i].name, sentence);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_every_member_at_its_offset),
		cmocka_unit_test(has_no_hidden_padding),
		cmocka_unit_test(keeps_the_size_of_every_struct),
		cmocka_unit_test(keeps_shared_words_aligned),
		cmocka_unit_test(keeps_the_limits_of_abi_version_3),
		cmocka_unit_test(keeps_the_numbers_of_drop_reasons_for_ever),
		cmocka_unit_test(numbers_drop_reasons_without_gaps),
		cmocka_unit_test(names_each_drop_reason_once),
		cmocka_unit_test(writes_drop_reasons_in_lower_case_with_hyphens),
		cmocka_unit_test(explains_each_drop_reason_in_a_sentence),
	};

	return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
