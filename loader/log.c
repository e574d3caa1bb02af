// SPDX-License-Identifier: GPL-2.0-only
/* What libbpf and the verifier say. */
#include "loader/log.h"

#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text;
static size_t length;
static bool is_silent;

__attribute__((format(printf, 2, 0))) static int collect(enum libbpf_print_level level,
							  const char *format, va_list arguments)
{
	char *line = NULL, *more;
	int n;

	if (level == LIBBPF_DEBUG || is_silent)
		return 0;
	n = vasprintf(&line, format, arguments);
	if (n < 0)
		return 0;
	more = realloc(text, length + n + 1);
	if (more) {
		text = more;
		memcpy(text + length, line, n + 1);
		length += n;
	}
	free(line);
	return n;
}

void xd_log_begin(void)
{
	free(text);
	text = NULL;
	length = 0;
	libbpf_set_print(collect);
}

void xd_log_pause(bool is_paused)
{
	is_silent = is_paused;
}

const char *xd_log(void)
{
	return text ? text : "";
}
