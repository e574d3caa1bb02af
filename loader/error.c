// SPDX-License-Identifier: GPL-2.0-only
/* One message, and of which kind it is. */
#include "loader/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_LEN 1024

static enum xd_error_kind kind;
static char message[MESSAGE_LEN];

/* What does not fit is cut off. */
static void append(char text[MESSAGE_LEN], const char *more)
{
	size_t length = strlen(text);

	snprintf(text + length, MESSAGE_LEN - length, "%s", more);
}

/* An error is one line, and what it quotes was typed by somebody: no control characters. */
static void record(enum xd_error_kind new_kind, const char *text)
{
	char *c;

	strcpy(message, text);
	for (c = message; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	kind = new_kind;
}

static void record_system(int r, char text[MESSAGE_LEN])
{
	if (r != -EEXIST && r != -EBUSY && r != -ENOTSUP) {
		append(text, ": ");
		append(text, strerror(-r));
	}
	record(XD_ERROR_SYSTEM, text);
}

int xd_error_usage(const char *format, ...)
{
	char text[MESSAGE_LEN];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	record(XD_ERROR_USAGE, text);
	return -EINVAL;
}

int xd_error_system(int r, const char *format, ...)
{
	char text[MESSAGE_LEN];
	va_list arguments;

	assert(r < 0);
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	record_system(r, text);
	return r;
}

int xd_error_missing(const char *format, ...)
{
	char text[MESSAGE_LEN];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	record(XD_ERROR_MISSING, text);
	return -ENOENT;
}

int xd_error_in(int r, const char *format, ...)
{
	char text[MESSAGE_LEN];
	va_list arguments;

	assert(r < 0);
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (kind == XD_ERROR_NONE) {
		record_system(r, text);
		return r;
	}
	append(text, ": ");
	append(text, message);
	record(kind, text);
	return r;
}

enum xd_error_kind xd_error_kind(void)
{
	return kind;
}

const char *xd_error_message(void)
{
	return message;
}

void xd_error_clear(void)
{
	kind = XD_ERROR_NONE;
	message[0] = '\0';
}

void xd_error_save(struct xd_error_saved *ret_saved)
{
	ret_saved->kind = kind;
	snprintf(ret_saved->message, sizeof(ret_saved->message), "%s", message);
}

void xd_error_restore(const struct xd_error_saved *saved)
{
	record(saved->kind, saved->message);
}
