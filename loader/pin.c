// SPDX-License-Identifier: GPL-2.0-only
/* The pin directory, the lock and the ABI version of an instance. */
#include "loader/pin.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "include/limits.h"
#include "loader/error.h"
#include "loader/log.h"
#include "loader/netns.h"
#include "loader/step.h"

#define BPFFS "/sys/fs/bpf"
#define ROOT BPFFS "/xdock"

/* `ip netns exec NAME` mounts a sysfs over /sys whose source is NAME. Whatever is pinned below it
 * is gone when that shell ends. Returns true and the name if this is such a shell. */
static bool is_netns_exec(char ret_name[64])
{
	char line[512], type[32], path[128];
	bool is_found = false;
	FILE *mounts;

	mounts = fopen("/proc/self/mounts", "re");
	if (!mounts)
		return false;
	while (fgets(line, sizeof(line), mounts)) {
		char source[64], target[256];
		struct statfs at;

		if (sscanf(line, "%63s %255s %31s", source, target, type) != 3)
			continue;
		if (strcmp(target, "/sys") || strcmp(type, "sysfs"))
			continue;
		/* The last mount on /sys is the one that is seen. */
		snprintf(path, sizeof(path), "/run/netns/%s", source);
		is_found = !strchr(source, '/') && !statfs(path, &at) && at.f_type == NSFS_MAGIC;
		if (is_found)
			snprintf(ret_name, 64, "%s", source);
	}
	fclose(mounts);
	return is_found;
}

static int check_bpffs(void)
{
	struct statfs at;
	char name[64];

	if (is_netns_exec(name))
		return xd_error_system(-ENOTSUP,
				       BPFFS ": `ip netns exec %s` has mounted another /sys here; use "
					     "`xdock -N %s` or `nsenter --net=/run/netns/%s`",
				       name, name, name);
	if (statfs(BPFFS, &at) || at.f_type != BPF_FS_MAGIC)
		return xd_error_system(-ENOTSUP, BPFFS ": no bpffs is mounted here; do "
						       "`mount -t bpf bpf " BPFFS "`");
	return 0;
}

static int check_abi(const struct xd_instance *instance)
{
	char path[XD_PIN_PATH_LEN];
	__u32 key = 0, version;
	int fd, r;

	fd = bpf_obj_get(xd_pin_path(instance, "xd_abi", path));
	if (fd < 0)
		return xd_error_system(-errno, "%s", path);
	r = bpf_map_lookup_elem(fd, &key, &version) ? -errno : 0;
	close(fd);
	if (r)
		return xd_error_system(r, "%s", path);
	if (version != XD_ABI_VERSION)
		return xd_error_system(-ENOTSUP,
				       "%s: made by an xdock with map version %u, this one has %u; "
				       "take it down with that one first",
				       instance->pins, version, XD_ABI_VERSION);
	return 0;
}

static int remove_directory(const char *path)
{
	char child[XD_PIN_PATH_LEN + 256];
	struct dirent *entry;
	DIR *directory;
	int r = 0;

	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while (!r && (entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		if (entry->d_type == DT_DIR)
			r = remove_directory(child);
		else if (unlink(child) && errno != ENOENT)
			r = -errno;
	}
	closedir(directory);
	if (!r && rmdir(path) && errno != ENOENT)
		r = -errno;
	return r;
}

static int look(struct xd_instance *instance)
{
	struct stat st;

	instance->is_up = !stat(instance->pins, &st);
	return instance->is_up ? check_abi(instance) : 0;
}

int xd_instance_open(const char *netns, struct xd_instance *ret_instance)
{
	struct xd_instance instance = { .netns_fd = -1, .lock_fd = -1 };
	int r;

	xd_log_begin();
	if (geteuid())
		return xd_error_system(-ENOTSUP, "xdock has to be run by root");
	if (netns) {
		r = xd_netns_open(netns, &instance.netns_fd);
		if (r)
			return r;
		r = xd_netns_enter(instance.netns_fd);
	} else {
		r = xd_netns_open_self(&instance.netns_fd);
		if (r)
			return r;
	}
	if (!r)
		r = xd_netns_cookie(&instance.cookie);
	if (!r)
		r = check_bpffs();
	if (r)
		goto close;

	snprintf(instance.name, sizeof(instance.name), "net-%llu", instance.cookie);
	snprintf(instance.pins, sizeof(instance.pins), ROOT "/%s", instance.name);
	snprintf(instance.run, sizeof(instance.run), "/run/xdock/%s", instance.name);
	r = look(&instance);
	if (r)
		goto close;
	*ret_instance = instance;
	return 0;
close:
	close(instance.netns_fd);
	return r;
}

void xd_instance_close(struct xd_instance *instance)
{
	xd_instance_unlock(instance);
	if (instance->netns_fd >= 0)
		close(instance->netns_fd);
	instance->netns_fd = -1;
}

/* The directory above all pins, ours alone: with bpffs at its default mode anybody may have made
 * one of that name. */
static int open_root(int *ret_fd)
{
	struct stat st;
	int fd;

	if (!xd_step_is_dry_run() && mkdir(ROOT, 0700) && errno != EEXIST)
		return xd_error_system(-errno, ROOT ": make the directory");
	fd = open(ROOT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : xd_error_system(-errno, ROOT);
	/* One that is root's, but open to others, could be locked by them. */
	if (fstat(fd, &st) || st.st_uid || st.st_mode & 022 ||
	    (st.st_mode & 077 && fchmod(fd, 0700))) {
		close(fd);
		return xd_error_system(-ENOTSUP, ROOT ": others than root may write to it; remove "
						      "it, it is not of xdock");
	}
	*ret_fd = fd;
	return 0;
}

/* Whoever unlocks it removes the directory if it is empty; then a new one is the lock. */
static int lock_root(int *ret_fd)
{
	struct stat locked, there;
	int fd = -1, r;

	for (;;) {
		r = open_root(&fd);
		if (r == -ENOENT && !xd_step_is_dry_run())
			continue;
		if (r)
			return r == -ENOENT ? 0 : r;
		while (!r && flock(fd, LOCK_EX))
			r = errno == EINTR ? 0 : xd_error_system(-errno, ROOT ": lock it");
		if (!r && !fstat(fd, &locked) && !stat(ROOT, &there) &&
		    locked.st_dev == there.st_dev && locked.st_ino == there.st_ino)
			break;
		close(fd);
		if (r)
			return r;
	}
	*ret_fd = fd;
	return 0;
}

int xd_instance_lock(struct xd_instance *instance)
{
	char path[XD_PIN_PATH_LEN];
	int r;

	r = lock_root(&instance->lock_fd);
	if (r)
		return r;
	if (xd_step_is_dry_run())
		return look(instance);
	snprintf(path, sizeof(path), "%s-new", instance->pins);
	r = remove_directory(path);
	if (r)
		return xd_error_system(r, "%s", path);
	snprintf(path, sizeof(path), "%s-old", instance->pins);
	r = remove_directory(path);
	if (r)
		return xd_error_system(r, "%s", path);
	return look(instance);
}

void xd_instance_unlock(struct xd_instance *instance)
{
	if (instance->lock_fd < 0)
		return;
	if (!xd_step_is_dry_run())
		rmdir(ROOT);
	close(instance->lock_fd);
	instance->lock_fd = -1;
}

/* All links to devices are dead, there is one, and no namespace has the cookie. */
static bool is_dead(const char pins[XD_PIN_PATH_LEN + 256])
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *directory;
	bool is_any = false, is_alive = false;
	unsigned long long cookie;

	snprintf(path, sizeof(path), "%s/link", pins);
	directory = opendir(path);
	if (!directory)
		return false;
	while (!is_alive && (entry = readdir(directory))) {
		struct bpf_link_info info = {};
		__u32 length = sizeof(info);
		int fd;

		/* POINT-IFINDEX; those of sockets have no number. */
		if (!strchr(entry->d_name, '-'))
			continue;
		snprintf(path, sizeof(path), "%s/link/%s", pins, entry->d_name);
		fd = bpf_obj_get(path);
		is_alive = fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) ||
			   info.xdp.ifindex;
		is_any = true;
		if (fd >= 0)
			close(fd);
	}
	closedir(directory);
	return is_any && !is_alive && sscanf(strrchr(pins, '/'), "/net-%llu", &cookie) == 1 &&
	       !xd_netns_exists(cookie);
}

/* What the instance kept below /run, where containers have their namespaces. */
static int remove_run(const char *name)
{
	char run[sizeof("/run/xdock/") + NAME_MAX], path[sizeof(run) + 1 + NAME_MAX];
	struct dirent *entry;
	DIR *directory;
	int r = 0;

	snprintf(run, sizeof(run), "/run/xdock/%s", name);
	directory = opendir(run);
	if (!directory)
		return errno == ENOENT ? 0 : xd_error_system(-errno, "%s", run);
	while (!r && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", run, entry->d_name);
		r = xd_netns_remove(path);
	}
	closedir(directory);
	return r ? r : xd_netns_tidy(run);
}

int xd_pin_sweep(const struct xd_instance *instance)
{
	char path[XD_PIN_PATH_LEN + 256];
	struct dirent *entry;
	DIR *directory;
	int r = 0;

	directory = opendir(ROOT);
	if (!directory)
		return errno == ENOENT ? 0 : xd_error_system(-errno, ROOT);
	while (!r && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), ROOT "/%s", entry->d_name);
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, instance->name) ||
		    !is_dead(path))
			continue;
		if (!xd_step("remove the pins in %s, whose namespace is gone", path))
			continue;
		r = remove_run(entry->d_name);
		if (!r && remove_directory(path))
			r = xd_error_system(-EBUSY, "%s: cannot be removed", path);
	}
	closedir(directory);
	return r;
}

int xd_instance_require_up(const struct xd_instance *instance)
{
	if (instance->is_up)
		return 0;
	return xd_error_missing("not up: no pins in %s; `xdock up` makes them", instance->pins);
}

const char *xd_pin_path(const struct xd_instance *instance, const char *name,
			char buffer[XD_PIN_PATH_LEN])
{
	snprintf(buffer, XD_PIN_PATH_LEN, "%s/%s", instance->pins, name);
	return buffer;
}

static int make_directory(const char *path)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return xd_error_system(-errno, "%s: make the directory", path);
	return 0;
}

int xd_pin_prepare(const struct xd_instance *instance, char ret_directory[XD_PIN_PATH_LEN])
{
	char path[XD_PIN_PATH_LEN], folder[XD_PIN_PATH_LEN + 8];
	int r;

	snprintf(path, sizeof(path), "%s-new", instance->pins);
	r = make_directory(path);
	if (r)
		return r;
	snprintf(folder, sizeof(folder), "%s/prog", path);
	r = make_directory(folder);
	if (r)
		return r;
	snprintf(folder, sizeof(folder), "%s/link", path);
	r = make_directory(folder);
	if (r)
		return r;
	strcpy(ret_directory, path);
	return 0;
}

int xd_pin_publish(struct xd_instance *instance)
{
	char path[XD_PIN_PATH_LEN];

	snprintf(path, sizeof(path), "%s-new", instance->pins);
	if (rename(path, instance->pins))
		return xd_error_system(-errno, "%s: rename", path);
	instance->is_up = true;
	return 0;
}

int xd_pin_remove(struct xd_instance *instance)
{
	char path[XD_PIN_PATH_LEN];
	int r;

	snprintf(path, sizeof(path), "%s-old", instance->pins);
	if (rename(instance->pins, path) && errno != ENOENT)
		return xd_error_system(-errno, "%s: rename", instance->pins);
	instance->is_up = false;
	r = remove_directory(path);
	if (r)
		return xd_error_system(r, "%s: remove", path);
	return 0;
}
