/* SPDX-License-Identifier: GPL-2.0-only */
/* What libbpf and the verifier say. It is kept, and shown only if a load fails. */
#ifndef XD_LOG_H
#define XD_LOG_H

#include <stdbool.h>

/* Forget what was said, and listen. */
void xd_log_begin(void);

/* Stop listening, or go on: for what is expected to fail. */
void xd_log_pause(bool is_paused);

/* "" if nothing was said; valid until the next call of libbpf. */
const char *xd_log(void);

#endif
