/* SPDX-License-Identifier: GPL-2.0-only */
/* One error chain: the callee records what failed, callers add which object, main() prints.
 *
 * Every function of the library that can fail returns 0 or a negative errno and, on failure,
 * has recorded a message here; its outputs are then untouched. Not thread safe. */
#ifndef XD_ERROR_H
#define XD_ERROR_H

enum xd_error_kind {
	XD_ERROR_NONE,
	XD_ERROR_USAGE, /* the request makes no sense, nothing was changed: exit 1 */
	XD_ERROR_SYSTEM, /* the system, or the state of the instance, refused: exit 2 */
	XD_ERROR_MISSING, /* not up, or no such object: exit 3 */
};

/* Record a message (printf format, no newline, no final dot) and return the error code.
 * `system` takes a negative errno and appends ": " and its text, unless the code is -EEXIST,
 * -EBUSY or -ENOTSUP, of which the message itself says what is meant. usage returns -EINVAL,
 * missing -ENOENT. */
int xd_error_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
int xd_error_system(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));
int xd_error_missing(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Put "CONTEXT: " before the recorded message; returns r. */
int xd_error_in(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum xd_error_kind xd_error_kind(void);
const char *xd_error_message(void); /* "" when nothing is recorded; valid until the next call */
void xd_error_clear(void);

/* For what is undone after a failure: its own failures are not what has to be told. */
struct xd_error_saved {
	enum xd_error_kind kind;
	char message[1024];
};
void xd_error_save(struct xd_error_saved *ret_saved);
void xd_error_restore(const struct xd_error_saved *saved);

#endif
