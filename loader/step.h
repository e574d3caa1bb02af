/* SPDX-License-Identifier: GPL-2.0-only */
/* Steps that change the machine: -v prints each one, -n prints and does not do it.
 *
 *     if (xd_step("delete interface %s", name))
 *             r = xd_link_delete(rtnl, ifindex);
 */
#ifndef XD_STEP_H
#define XD_STEP_H

#include <stdbool.h>

/* print is called for each step with its text (no newline); NULL: quiet. */
void xd_step_configure(void (*print)(const char *text), bool is_dry_run);

/* Announce a step. False: it must not be done. */
bool xd_step(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool xd_step_is_dry_run(void);

#endif
