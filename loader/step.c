// SPDX-License-Identifier: GPL-2.0-only
/* One switch for all steps that change the machine. */
#include "loader/step.h"

#include <stdarg.h>
#include <stdio.h>

static void (*print_step)(const char *text);
static bool is_dry;

void xd_step_configure(void (*print)(const char *text), bool is_dry_run)
{
	print_step = print;
	is_dry = is_dry_run;
}

bool xd_step(const char *format, ...)
{
	char text[512];
	va_list arguments;

	if (print_step) {
		va_start(arguments, format);
		vsnprintf(text, sizeof(text), format, arguments);
		va_end(arguments);
		print_step(text);
	}
	return !is_dry;
}

bool xd_step_is_dry_run(void)
{
	return is_dry;
}
