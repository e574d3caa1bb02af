/* SPDX-License-Identifier: GPL-2.0-only */
/* What was decided about a packet that is translated, and the one place of a program that does
 * it. */
#ifndef XD_BPF_TRANSLATE_H
#define XD_BPF_TRANSLATE_H

#include "bpf/count.h"
#include "bpf/fragment.h"
#include "bpf/rewrite.h"
#include "bpf/verdict.h"

/* Filled by whoever returns xd_translate(). */
struct xd_translation {
	struct xd_rewrite to;
	struct xd_verdict verdict; /* of the translated packet */
	__u32 counter;
	__u32 direction; /* XD_COUNT_IN or XD_COUNT_OUT */
};

static __always_inline struct xd_verdict xd_translate_do(const struct xd_packet *packet,
							 const struct xd_translation *translation)
{
	if (!xd_fragment_note(packet))
		return xd_drop_for(XD_DROP_FRAGMENT);
	switch (xd_rewrite(packet, &translation->to)) {
	case XD_REWRITTEN:
		break;
	case XD_REWRITTEN_NOT:
		return xd_pass();
	case XD_REWRITTEN_HALF:
		return xd_drop_for(XD_DROP_REWRITE);
	}
	xd_count_packet(packet, translation->counter, translation->direction);
	return translation->verdict;
}

#endif
