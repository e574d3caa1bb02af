// SPDX-License-Identifier: GPL-2.0-only
/* What a command says: built once as JSON, printed as JSON or as text made from it. */
#include "user/output.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loader/error.h"

#define CELL_LEN 256
#define COLUMNS_MAX 16

static bool is_json_wanted;
static bool is_given_away;
static struct json_object *document;

void output_begin(bool is_json)
{
	is_json_wanted = is_json;
	if (!document)
		document = json_object_new_object();
}

bool output_is_json(void)
{
	return is_json_wanted;
}

/* yes, no, a number, a text, or - for what is not there. */
static const char *format_cell(struct json_object *value, char cell[CELL_LEN])
{
	if (!value)
		snprintf(cell, CELL_LEN, "-");
	else if (json_object_is_type(value, json_type_boolean))
		snprintf(cell, CELL_LEN, "%s", json_object_get_boolean(value) ? "yes" : "no");
	else
		snprintf(cell, CELL_LEN, "%s", json_object_get_string(value));
	return cell;
}

static void print_title(const char *key, int width)
{
	for (int i = 0; i < width; i++)
		putchar(*key ? toupper(*key++) : ' ');
}

static struct json_object *get_cell(struct json_object *rows, size_t row, const char *column)
{
	return json_object_object_get(json_object_array_get_idx(rows, row), column);
}

static void print_table(struct json_object *rows, const char *const *columns)
{
	size_t count = json_object_array_length(rows), last = 0;
	int widths[COLUMNS_MAX] = {};
	char cell[CELL_LEN];

	if (!count)
		return;
	while (columns[last + 1])
		last++;
	/* The last column is as wide as it is. */
	for (size_t c = 0; c < last; c++) {
		widths[c] = strlen(columns[c]);
		for (size_t row = 0; row < count; row++) {
			int length = strlen(format_cell(get_cell(rows, row, columns[c]), cell));

			if (length > widths[c])
				widths[c] = length;
		}
	}
	for (size_t c = 0; c <= last; c++) {
		print_title(columns[c], c < last ? widths[c] : (int)strlen(columns[c]));
		fputs(c < last ? "  " : "\n", stdout);
	}
	for (size_t row = 0; row < count; row++)
		for (size_t c = 0; c <= last; c++)
			printf("%-*s%s", widths[c],
			       format_cell(get_cell(rows, row, columns[c]), cell),
			       c < last ? "  " : "\n");
}

void output_table(const char *key, struct json_object *rows, const char *const *columns)
{
	if (!is_json_wanted)
		print_table(rows, columns);
	json_object_object_add(document, key, rows);
}

void output_object(const char *key, struct json_object *object)
{
	struct json_object_iterator at = json_object_iter_begin(object);
	struct json_object_iterator end = json_object_iter_end(object);
	char cell[CELL_LEN];

	for (; !is_json_wanted && !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		printf("%s: %s\n", json_object_iter_peek_name(&at),
		       format_cell(json_object_iter_peek_value(&at), cell));
	json_object_object_add(document, key, object);
}

static void add_to_array(const char *key, const char *text)
{
	struct json_object *array;

	if (!is_json_wanted) {
		puts(text);
		return;
	}
	if (!json_object_object_get_ex(document, key, &array)) {
		array = json_object_new_array();
		json_object_object_add(document, key, array);
	}
	json_object_array_add(array, json_object_new_string(text));
}

void output_line(const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	add_to_array("messages", text);
}

void output_step(const char *text)
{
	add_to_array("steps", text);
}

int output_error(void)
{
	static const struct {
		const char *name;
		int status;
	} kinds[] = {
		[XD_ERROR_NONE] = { "system", 2 },
		[XD_ERROR_USAGE] = { "usage", 1 },
		[XD_ERROR_SYSTEM] = { "system", 2 },
		[XD_ERROR_MISSING] = { "missing", 3 },
	};
	enum xd_error_kind kind = xd_error_kind();
	struct json_object *error;

	if (!is_json_wanted) {
		fflush(stdout);
		fprintf(stderr, "xdock: %s\n", xd_error_message());
		return kinds[kind].status;
	}
	error = json_object_new_object();
	output_add_text(error, "kind", kinds[kind].name);
	output_add_text(error, "message", xd_error_message());
	json_object_object_add(document, "error", error);
	return kinds[kind].status;
}

void output_give_away(void)
{
	fflush(stdout);
	is_given_away = true;
}

void output_end(void)
{
	if (is_json_wanted && (!is_given_away || json_object_object_length(document)))
		puts(json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY |
								      JSON_C_TO_STRING_SPACED |
								      JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(document);
	document = NULL;
	fflush(stdout);
}

void output_add_text(struct json_object *row, const char *key, const char *value)
{
	json_object_object_add(row, key, json_object_new_string(value));
}

void output_add_number(struct json_object *row, const char *key, __u64 value)
{
	json_object_object_add(row, key, json_object_new_uint64(value));
}

void output_add_bool(struct json_object *row, const char *key, bool value)
{
	json_object_object_add(row, key, json_object_new_boolean(value));
}

void output_add_address(struct json_object *row, const char *key, __be32 address)
{
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &address, text, sizeof(text));
	output_add_text(row, key, text);
}

void output_add_cidr(struct json_object *row, const char *key, __be32 address, __be32 mask)
{
	char text[INET_ADDRSTRLEN], cidr[32];

	inet_ntop(AF_INET, &address, text, sizeof(text));
	snprintf(cidr, sizeof(cidr), "%s/%d", text, __builtin_popcount(mask));
	output_add_text(row, key, cidr);
}

void output_add_mac(struct json_object *row, const char *key, const __u8 mac[6])
{
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	output_add_text(row, key, text);
}

void output_progress(size_t done, size_t all)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r%zu of %zu ports%s", done, all, done == all ? "\r\033[K" : "");
}
