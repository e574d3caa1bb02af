/* SPDX-License-Identifier: GPL-2.0-only */
/* What a command says: built once as JSON, printed as JSON (-j) or as text made from it, so that
 * the two cannot differ in what they say. stdout is for data, stderr for the rest. */
#ifndef XD_OUTPUT_H
#define XD_OUTPUT_H

#include <json-c/json.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

void output_begin(bool is_json);
bool output_is_json(void);

/* An array of objects under KEY. As text: a table of the COLUMNS (keys, NULL at the end) with
 * their names in capitals, 16 at most; nothing if it is empty. Takes the array over. */
void output_table(const char *key, struct json_object *rows, const char *const *columns);

/* An object under KEY. As text: a line "name: value" for each. Takes the object over. */
void output_object(const char *key, struct json_object *object);

/* A sentence for the reader: as text a line, as JSON a member of the array "messages". */
void output_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A member of the array "steps", as text a line. */
void output_step(const char *text);

/* The recorded error: a line on stderr, or the object "error". Returns the exit status. */
int output_error(void);

/* stdout is a command's from here on: print no document but that of an error. */
void output_give_away(void);

/* Print the document. */
void output_end(void);

/* Rows and their members. */
void output_add_text(struct json_object *row, const char *key, const char *value);
void output_add_number(struct json_object *row, const char *key, __u64 value);
void output_add_bool(struct json_object *row, const char *key, bool value);
void output_add_address(struct json_object *row, const char *key, __be32 address);
void output_add_cidr(struct json_object *row, const char *key, __be32 address, __be32 mask);
void output_add_mac(struct json_object *row, const char *key, const __u8 mac[6]);

/* For long work, on a terminal alone. */
void output_progress(size_t done, size_t all);

#endif
