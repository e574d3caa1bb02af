// SPDX-License-Identifier: GPL-2.0-only
/* Network namespaces: opened by name, path or pid; made, kept under /run/xdock, and removed.
 *
 * A namespace is made by the calling thread, which leaves its own for as long as it takes to
 * bind-mount the new one. A process killed in between leaves a folder or an empty file, never a
 * half-made namespace: one that nothing is mounted on dies with the process. */
#include "loader/netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/error.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define NAMED "/run/netns"
#define SELF "/proc/thread-self/ns/net"

/* Mounts stacked on one file: killed or competing commands make two, a loop makes no more. */
#define STACKED_MAX 16

/* More than two instances do not end in the same moment. */
#define TRIES 8

/* O_NONBLOCK: a FIFO given by mistake must not block. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK)

static bool is_netns(int fd)
{
	return ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

/* -ENOENT is left to the caller to say, who knows what was asked for. */
static int open_path(const char *path, int *ret_fd)
{
	int fd = open(path, OPEN_FLAGS);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ?
			       -ENOENT :
			       xd_error_system(-errno, "namespace %s", path);
	if (!is_netns(fd)) {
		close(fd);
		return xd_error_usage("namespace %s: not a network namespace", path);
	}
	*ret_fd = fd;
	return 0;
}

static bool is_pid(const char *what, pid_t *ret_pid)
{
	unsigned long pid;

	if (!*what || what[strspn(what, "0123456789")])
		return false;
	errno = 0;
	pid = strtoul(what, NULL, 10);
	if (errno || !pid || pid > INT_MAX)
		return false;
	*ret_pid = pid;
	return true;
}

int xd_netns_open(const char *what, int *ret_fd)
{
	char path[PATH_MAX];
	pid_t pid;
	int r;

	if (strchr(what, '/')) {
		r = open_path(what, ret_fd);
		if (r == -ENOENT)
			return xd_error_missing("namespace %s: no such file", what);
		return r;
	}
	if (snprintf(path, sizeof(path), NAMED "/%s", what) >= (int)sizeof(path))
		return xd_error_missing("namespace %.64s...: no such name in " NAMED, what);
	r = open_path(path, ret_fd);
	if (r != -ENOENT)
		return r;
	if (is_pid(what, &pid))
		return xd_netns_open_pid(pid, ret_fd);
	return xd_error_missing("namespace %s: no such name in " NAMED, what);
}

int xd_netns_open_self(int *ret_fd)
{
	int fd = open(SELF, OPEN_FLAGS);

	if (fd < 0)
		return xd_error_system(-errno, SELF);
	*ret_fd = fd;
	return 0;
}

int xd_netns_open_pid(pid_t pid, int *ret_fd)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	r = open_path(path, ret_fd);
	if (r == -ENOENT)
		return xd_error_missing("namespace of process %d: no such process", pid);
	return r;
}

int xd_netns_enter(int fd)
{
	if (setns(fd, CLONE_NEWNET))
		return xd_error_system(-errno, "enter the network namespace");
	return 0;
}

int xd_netns_cookie(__u64 *ret_cookie)
{
	socklen_t length = sizeof(*ret_cookie);
	__u64 cookie;
	int fd, r;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return xd_error_system(-errno, "socket");
	r = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) ? -errno : 0;
	close(fd);
	if (r == -ENOPROTOOPT) {
		xd_error_system(-ENOTSUP, "network namespaces have no cookie on this kernel; "
					  "Linux 5.14 and later have");
		return r;
	}
	if (r)
		return xd_error_system(r, "cookie of the network namespace");
	*ret_cookie = cookie;
	return 0;
}

static bool has_cookie(const char *path, __u64 cookie)
{
	int fd, home = -1;
	__u64 found = 0;

	if (open_path(path, &fd))
		return false;
	if (!xd_netns_open_self(&home)) {
		if (!xd_netns_enter(fd)) {
			if (xd_netns_cookie(&found))
				found = 0;
			/* In a namespace that is not its own, all that the process does next
			 * would be wrong. */
			if (xd_netns_enter(home))
				abort();
		}
		close(home);
	}
	close(fd);
	return found == cookie;
}

/* One of the FOLDER/ENTRY/BELOW. */
static bool is_any_of(const char *folder, const char *below, __u64 cookie)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool is_found = false;
	DIR *directory = opendir(folder);

	if (!directory)
		return false;
	while (!is_found && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s%s", folder, entry->d_name, below);
		is_found = has_cookie(path, cookie);
	}
	closedir(directory);
	return is_found;
}

bool xd_netns_exists(__u64 cookie)
{
	bool is_found = is_any_of(NAMED, "", cookie) || is_any_of("/proc", "/ns/net", cookie);

	xd_error_clear();
	return is_found;
}

/* Make folder a mount of its own that is shared, once. The flock keeps two commands, each of which
 * sees no mount, from making two. */
static int share(const char *folder)
{
	int fd, r = 0;

	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return xd_error_system(-errno, "%s", folder);
	while (!r && flock(fd, LOCK_EX))
		r = errno == EINTR ? 0 : -errno;
	/* EINVAL: no mount point yet. */
	if (!r && mount("", folder, "none", MS_SHARED | MS_REC, NULL) &&
	    (errno != EINVAL || mount(folder, folder, "none", MS_BIND | MS_REC, NULL) ||
	     mount("", folder, "none", MS_SHARED | MS_REC, NULL)))
		r = -errno;
	close(fd);
	return r ? xd_error_system(r, "%s: make a shared mount", folder) : 0;
}

static int make_folder(const char *folder)
{
	int r = -ENOENT;

	/* xd_netns_tidy() of another instance may remove the folder behind mkdir(). */
	for (int i = 0; r == -ENOENT && i < TRIES; i++) {
		if (mkdir(folder, 0755) && errno != EEXIST)
			return xd_error_system(-errno, "%s: make the directory", folder);
		/* The first folder below /run. */
		r = !strncmp(folder, "/run/", 5) && !strchr(folder + 5, '/') ? share(folder) : 0;
	}
	return r;
}

static int make_folders(const char *path)
{
	char folder[PATH_MAX];
	const char *slash;
	int r = 0;

	for (slash = strchr(path + 1, '/'); !r && slash; slash = strchr(slash + 1, '/')) {
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
		r = make_folder(folder);
	}
	return r;
}

static int make_and_mount(const char *path, int *ret_fd)
{
	int fd = -1, home = -1, r;

	r = xd_netns_open_self(&home);
	if (r)
		return r;
	if (unshare(CLONE_NEWNET)) {
		r = xd_error_system(-errno, "namespace %s: make it", path);
		close(home);
		return r;
	}
	r = xd_netns_open_self(&fd);
	if (!r && mount(SELF, path, "none", MS_BIND, NULL)) {
		r = xd_error_system(-errno, "namespace %s: mount it", path);
		close(fd);
	}
	/* In a namespace that is not its own, all that the process does next would be wrong. */
	if (setns(home, CLONE_NEWNET))
		abort();
	close(home);
	if (!r)
		*ret_fd = fd;
	return r;
}

int xd_netns_add(const char *path, int *ret_fd)
{
	bool is_leftover;
	struct stat st;
	int fd, r;

	if (*path != '/' || strlen(path) >= PATH_MAX)
		return xd_error_usage("namespace %s: not an absolute path", path);
	r = make_folders(path);
	if (r)
		return r;
	fd = open(path, OPEN_FLAGS | O_CREAT | O_NOFOLLOW, 0);
	if (fd < 0)
		return xd_error_system(-errno, "namespace %s", path);
	if (is_netns(fd)) {
		*ret_fd = fd;
		return 0;
	}
	is_leftover = !fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_size;
	close(fd);
	if (!is_leftover)
		return xd_error_system(-EEXIST, "namespace %s: something else is there", path);
	r = make_and_mount(path, ret_fd);
	if (r)
		unlink(path);
	return r;
}

int xd_netns_remove(const char *path)
{
	int i, r = 0;

	for (i = 0; i < STACKED_MAX && !r; i++)
		r = umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) ? -errno : 0;
	/* EINVAL: nothing is mounted there, or nothing more. */
	if (r && r != -EINVAL && r != -ENOENT && r != -ENOTDIR)
		return xd_error_system(r, "namespace %s: unmount", path);
	if (unlink(path) && errno != ENOENT && errno != ENOTDIR)
		return xd_error_system(-errno, "namespace %s: remove", path);
	return 0;
}

bool xd_netns_is_same(int a, int b)
{
	struct stat at_a, at_b;

	return !fstat(a, &at_a) && !fstat(b, &at_b) && at_a.st_dev == at_b.st_dev &&
	       at_a.st_ino == at_b.st_ino;
}

int xd_netns_prepare(const char *path)
{
	int r = make_folders(path);

	return r ? r : xd_netns_remove(path);
}

static bool is_empty(const char *folder)
{
	struct dirent *entry;
	bool is_found = false;
	DIR *directory = opendir(folder);

	if (!directory)
		return false;
	while (!is_found && (entry = readdir(directory)))
		is_found = strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(directory);
	return !is_found;
}

int xd_netns_tidy(const char *run)
{
	char folder[PATH_MAX];
	int fd;

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(run, '/') - run), run);
	rmdir(run);
	/* Other instances live beside this one; share() may be about to use it. */
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : xd_error_system(-errno, "%s", folder);
	while (flock(fd, LOCK_EX) && errno == EINTR)
		;
	/* Our own descriptor keeps the mount busy, so it is taken off the tree first. */
	if (is_empty(folder) && !umount2(folder, MNT_DETACH | UMOUNT_NOFOLLOW))
		rmdir(folder);
	close(fd);
	return 0;
}
