// SPDX-License-Identifier: GPL-2.0-only
/* The journal of changes to the machine: written before a change, emptied by `down`. */
#include "loader/undo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/error.h"
#include "loader/link.h"
#include "loader/step.h"
#include "loader/table.h"

#define FORWARDING "net.ipv4.ip_forward"

static struct xd_undo_key make_key(const char *kind, const char *name)
{
	struct xd_undo_key key = {};

	snprintf(key.what, sizeof(key.what), "%s %s", kind, name);
	return key;
}

int xd_undo_get(const struct xd_instance *instance, const char *kind, const char *name,
		struct xd_undo *ret_before)
{
	struct xd_undo_key key = make_key(kind, name);

	return xd_table_get(instance, XD_TABLE_UNDO, &key, ret_before);
}

bool xd_undo_has(const struct xd_instance *instance, const char *kind, const char *name)
{
	struct xd_undo before;

	return !xd_undo_get(instance, kind, name, &before);
}

int xd_undo_note(const struct xd_instance *instance, const char *kind, const char *name,
		 const char *before)
{
	struct xd_undo_key key = make_key(kind, name);
	struct xd_undo row = {};

	if (xd_undo_has(instance, kind, name))
		return 0;
	if (strlen(before) >= sizeof(row.before))
		return xd_error_system(-ENAMETOOLONG, "%s %s: remember `%s`", kind, name, before);
	strcpy(row.before, before);
	return xd_table_put(instance, XD_TABLE_UNDO, &key, &row);
}

int xd_undo_forget(const struct xd_instance *instance, const char *kind, const char *name)
{
	struct xd_undo_key key = make_key(kind, name);

	return xd_table_delete(instance, XD_TABLE_UNDO, &key);
}

static void sysctl_path(const char *name, char path[256])
{
	snprintf(path, 256, "/proc/sys/%s", name);
	for (char *c = path + strlen("/proc/sys/"); *c; c++) {
		if (*c == '.' || *c == '/')
			*c ^= '.' ^ '/';
	}
}

int xd_sysctl_read(const char *name, char *buffer, size_t size)
{
	char path[256];
	ssize_t length;
	int fd;

	sysctl_path(name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return xd_error_system(-errno, "sysctl %s", name);
	/* In one read: the kernel does not go on where a short one ended. */
	length = read(fd, buffer, size - 1);
	if (length < 0) {
		close(fd);
		return xd_error_system(-errno, "sysctl %s", name);
	}
	close(fd);
	buffer[length] = '\0';
	buffer[strcspn(buffer, "\n")] = '\0';
	return 0;
}

int xd_sysctl_write(const char *name, const char *value)
{
	size_t done = 0, length = strlen(value);
	char path[256];
	int fd, r = 0;

	sysctl_path(name, path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return xd_error_system(-errno, "sysctl %s", name);
	while (!r && done < length) {
		ssize_t n = write(fd, value + done, length - done);

		if (n > 0)
			done += n;
		else
			r = xd_error_system(n ? -errno : -EIO, "sysctl %s: write it", name);
	}
	close(fd);
	return r;
}

/* Sysctls that the kernel sets itself whenever ip_forward changes, where they are not what it
 * will set when ip_forward is put back. In a sysctl's name a dot of an interface is a slash. */
static int note_followers(const struct xd_instance *instance)
{
	static const char redirects[] = "net.ipv4.conf.all.accept_redirects";
	char name[300], value[16];
	struct dirent *entry;
	DIR *directory;
	int r;

	r = xd_sysctl_read(redirects, value, sizeof(value));
	if (!r && !strcmp(value, "0"))
		r = xd_undo_note(instance, "sysctl", redirects, value);
	if (r)
		return r;
	directory = opendir("/proc/sys/net/ipv4/conf");
	if (!directory)
		return xd_error_system(-errno, "sysctl net.ipv4.conf");
	while (!r && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "all"))
			continue;
		for (char *c = entry->d_name; *c; c++)
			if (*c == '.')
				*c = '/';
		snprintf(name, sizeof(name), "net.ipv4.conf.%s.forwarding", entry->d_name);
		r = xd_sysctl_read(name, value, sizeof(value));
		if (!r && strcmp(value, "0"))
			r = xd_undo_note(instance, "sysctl", name, value);
	}
	closedir(directory);
	return r;
}

static int set_sysctl(const struct xd_instance *instance, const char *name, const char *value)
{
	char before[sizeof(((struct xd_undo *)0)->before)];
	int r;

	r = xd_sysctl_read(name, before, sizeof(before));
	if (r || !strcmp(before, value))
		return r;
	if (!xd_step("set sysctl %s = %s (was %s)", name, value, before))
		return 0;
	r = xd_undo_note(instance, "sysctl", name, before);
	return r ? r : xd_sysctl_write(name, value);
}

int xd_undo_set_forwarding(const struct xd_instance *instance)
{
	char before[16];
	int r;

	r = xd_sysctl_read(FORWARDING, before, sizeof(before));
	if (!r && !xd_step_is_dry_run() && !strcmp(before, "0"))
		r = note_followers(instance);
	return r ? r : set_sysctl(instance, FORWARDING, "1");
}

static int restore_sysctl(const char *name, const char *before)
{
	char now[sizeof(((struct xd_undo *)0)->before)];
	int r;

	r = xd_sysctl_read(name, now, sizeof(now));
	if (r == -ENOENT) {
		/* The interface is gone. */
		xd_error_clear();
		return 0;
	}
	if (r || !strcmp(now, before))
		return r;
	return xd_step("put sysctl %s = %s back", name, before) ? xd_sysctl_write(name, before)
								 : 0;
}

/* The qdisc stays when somebody else uses it by now. */
static int restore_clsact(const char *name)
{
	struct xd_rtnl *rtnl;
	struct xd_link link;
	int r;

	r = xd_rtnl_open(-1, &rtnl);
	if (r)
		return r;
	r = xd_link_find(rtnl, name, &link);
	if (r == -ENODEV)
		r = 0;
	else if (!r && !xd_link_has_filters(rtnl, link.ifindex) &&
		 xd_step("remove the clsact qdisc of %s", name))
		r = xd_link_delete_clsact(rtnl, link.ifindex);
	xd_rtnl_close(rtnl);
	return r;
}

int xd_undo_all(const struct xd_instance *instance)
{
	struct xd_undo_key *keys;
	struct xd_undo forwarding, *before;
	size_t count;
	int r;

	/* Before those that follow it. */
	if (!xd_undo_get(instance, "sysctl", FORWARDING, &forwarding)) {
		r = restore_sysctl(FORWARDING, forwarding.before);
		if (r)
			return r;
	}
	r = xd_undo_list(instance, &keys, &before, &count);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++) {
		const char *name = strchr(keys[i].what, ' ') + 1;

		if (!strcmp(keys[i].what, "sysctl " FORWARDING))
			r = 0;
		else if (!strncmp(keys[i].what, "sysctl ", 7))
			r = restore_sysctl(name, before[i].before);
		else if (!strncmp(keys[i].what, "clsact ", 7))
			r = restore_clsact(name);
		else
			continue;
		if (!r && !xd_step_is_dry_run())
			r = xd_table_delete(instance, XD_TABLE_UNDO, &keys[i]);
	}
	free(keys);
	free(before);
	return r;
}

int xd_undo_list(const struct xd_instance *instance, struct xd_undo_key **ret_keys,
		 struct xd_undo **ret_before, size_t *ret_count)
{
	return xd_table_read(instance, XD_TABLE_UNDO, (void **)ret_keys, (void **)ret_before,
			     ret_count);
}
