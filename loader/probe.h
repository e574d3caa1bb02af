/* SPDX-License-Identifier: GPL-2.0-only */
/* What this kernel can do, found by trying and never by its version. */
#ifndef XD_PROBE_H
#define XD_PROBE_H

#include <stdbool.h>
#include <stddef.h>

struct xd_feature {
	const char *name;
	const char *purpose; /* what xdock does with it */
	const char *since; /* where it is to be had: "Linux 5.10" or a kernel option */
	bool is_required;
	bool is_found;
};

/* Try all. The caller frees *ret_features. Nothing that is tried stays. Errors: -ENOMEM. */
int xd_probe(struct xd_feature **ret_features, size_t *ret_count);

/* Record that the first required feature that is missing is missing; returns -ENOTSUP. 0 if
 * nothing is. */
int xd_probe_missing(void);

#endif
