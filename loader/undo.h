/* SPDX-License-Identifier: GPL-2.0-only */
/* The journal of changes to the machine: written before a change, emptied by `down`.
 *
 * A row says what was before xdock came, so an existing row is never overwritten: the second
 * `up` finds its own change and must not take it for the state before. */
#ifndef XD_LOADER_UNDO_H
#define XD_LOADER_UNDO_H

#include <stdbool.h>
#include <stddef.h>

#include "include/undo.h"
#include "loader/pin.h"

/* KIND and NAME as listed in include/undo.h. No error when the row is there already. */
int xd_undo_note(const struct xd_instance *instance, const char *kind, const char *name,
		 const char *before);
int xd_undo_forget(const struct xd_instance *instance, const char *kind, const char *name);
bool xd_undo_has(const struct xd_instance *instance, const char *kind, const char *name);

/* Errors: -ENOENT, not recorded, when there is no such row. */
int xd_undo_get(const struct xd_instance *instance, const char *kind, const char *name,
		struct xd_undo *ret_before);

/* Set net.ipv4.ip_forward, and remember what the kernel sets along with it. */
int xd_undo_set_forwarding(const struct xd_instance *instance);

/* Put all sysctls back and remove the clsact qdiscs that are empty. Other kinds of rows belong to
 * the network that they name, and are taken back with it. */
int xd_undo_all(const struct xd_instance *instance);

/* The journal as "KIND NAME" keys. The caller frees *ret_keys. */
int xd_undo_list(const struct xd_instance *instance, struct xd_undo_key **ret_keys,
		 struct xd_undo **ret_before, size_t *ret_count);

/* Text of the sysctl NAME ("net.ipv4.ip_forward"), without its newline, in the namespace of the
 * calling thread. */
int xd_sysctl_read(const char *name, char *buffer, size_t size);
int xd_sysctl_write(const char *name, const char *value);

#endif
