// SPDX-License-Identifier: GPL-2.0-only
/* The pinned programs on their hooks: links of TC (tcx) and of the cgroup tree. */
#include "loader/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/error.h"
#include "loader/object.h"
#include "loader/step.h"
#include "loader/undo.h"

/* enum bpf_attach_type of Linux 6.6; the headers of libbpf 1.1 end before. */
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define TCX_EGRESS ((enum bpf_attach_type)47)
#define TCX_BEFORE (1 << 3) /* BPF_F_BEFORE */

/* Our place among the filters of a clsact qdisc: behind those that were given no priority, which
 * the kernel numbers down from 49152. */
#define CLSACT_PRIORITY 50000
#define CLSACT_HANDLE 0x7864

struct point {
	const char *name;
	const char *program;
	enum bpf_attach_type tcx;
	enum bpf_tc_attach_point clsact;
};

static const struct point points[XD_ATTACH_POINTS] = {
	[XD_ATTACH_UPLINK] = { "uplink", "xd_uplink_tc", TCX_INGRESS, BPF_TC_INGRESS },
	[XD_ATTACH_CONTAINER] = { "container", "xd_container_tc", TCX_INGRESS, BPF_TC_INGRESS },
	[XD_ATTACH_BRIDGE] = { "bridge", "xd_bridge_tc", TCX_EGRESS, BPF_TC_EGRESS },
};

struct socket_program {
	const char *program;
	enum bpf_attach_type type;
};

static const struct socket_program socket_programs[] = {
	{ "xd_connect4", BPF_CGROUP_INET4_CONNECT },
	{ "xd_connect6", BPF_CGROUP_INET6_CONNECT },
	{ "xd_sendmsg4", BPF_CGROUP_UDP4_SENDMSG },
	{ "xd_recvmsg4", BPF_CGROUP_UDP4_RECVMSG },
	{ "xd_recvmsg6", BPF_CGROUP_UDP6_RECVMSG },
	{ "xd_getpeername4", BPF_CGROUP_INET4_GETPEERNAME },
	{ "xd_getpeername6", BPF_CGROUP_INET6_GETPEERNAME },
	{ "xd_bind4", BPF_CGROUP_INET4_BIND },
	{ "xd_bind6", BPF_CGROUP_INET6_BIND },
};

#define SOCKET_PROGRAMS (sizeof(socket_programs) / sizeof(socket_programs[0]))

/* The pinned link; 0 with fd -1 if there is none or it is dead (which removes the pin). All links
 * of devices begin with the ifindex. */
static int open_link(const char *path, bool is_of_device, int *ret_fd)
{
	struct bpf_link_info info = {};
	__u32 length = sizeof(info);
	int fd;

	*ret_fd = -1;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT ? 0 : xd_error_system(-errno, "%s", path);
	/* 0 once the device is gone, or a killed command has detached the link. */
	if (!bpf_obj_get_info_by_fd(fd, &info, &length) &&
	    !(is_of_device ? info.xdp.ifindex : info.cgroup.cgroup_id)) {
		close(fd);
		if (unlink(path))
			return xd_error_system(-errno, "%s: remove the pin", path);
		return 0;
	}
	*ret_fd = fd;
	return 0;
}

static const char *point_path(const struct xd_instance *instance, enum xd_attach_point point,
			      __u32 ifindex, char path[XD_PIN_PATH_LEN])
{
	char name[64];

	snprintf(name, sizeof(name), "link/%s-%u", points[point].name, ifindex);
	return xd_pin_path(instance, name, path);
}

/* Update the pinned link at PATH, or create and pin it. Errors: negative errno, not recorded. */
static int set_link(const char *path, bool is_of_device, int program, int target,
		    enum bpf_attach_type type)
{
	int fd, r;

	r = open_link(path, is_of_device, &fd);
	if (r)
		return r;
	if (fd >= 0) {
		r = bpf_link_update(fd, program, NULL) ? -errno : 0;
	} else {
		fd = bpf_link_create(program, target, type, NULL);
		if (fd < 0)
			return -errno;
		r = bpf_obj_pin(fd, path) ? -errno : 0;
	}
	close(fd);
	return r;
}

static void clsact_describe(enum xd_attach_point point, __u32 ifindex, struct bpf_tc_hook *ret_hook,
			    struct bpf_tc_opts *ret_filter)
{
	*ret_hook = (struct bpf_tc_hook){
		.sz = sizeof(*ret_hook),
		.ifindex = ifindex,
		.attach_point = points[point].clsact,
	};
	*ret_filter = (struct bpf_tc_opts){
		.sz = sizeof(*ret_filter),
		.handle = CLSACT_HANDLE,
		.priority = CLSACT_PRIORITY,
	};
}

static bool is_program(int fd, const char *name)
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &length) && !strcmp(info.name, name);
}

/* The filter at our place. *ret_is_ours tells by the program's name. */
static bool clsact_find(enum xd_attach_point point, __u32 ifindex, bool *ret_is_ours)
{
	struct bpf_tc_opts filter;
	struct bpf_tc_hook hook;
	int fd;

	clsact_describe(point, ifindex, &hook, &filter);
	if (bpf_tc_query(&hook, &filter))
		return false;
	fd = bpf_prog_get_fd_by_id(filter.prog_id);
	*ret_is_ours = fd >= 0 && is_program(fd, points[point].program);
	if (fd >= 0)
		close(fd);
	return true;
}

static int clsact_attach(const struct xd_instance *instance, enum xd_attach_point point,
			 __u32 ifindex, const char *name, int program)
{
	struct bpf_tc_opts filter;
	struct bpf_tc_hook hook;
	bool is_ours, is_noted, had_row;
	int r;

	if (clsact_find(point, ifindex, &is_ours) && !is_ours)
		return xd_error_system(-EBUSY,
				       "%s: another program has priority %u, handle 0x%x of its "
				       "clsact qdisc",
				       name, CLSACT_PRIORITY, CLSACT_HANDLE);
	clsact_describe(point, ifindex, &hook, &filter);
	/* The qdisc of a container's veth goes with it. */
	is_noted = point != XD_ATTACH_CONTAINER;
	had_row = is_noted && xd_undo_has(instance, "clsact", name);
	r = is_noted ? xd_undo_note(instance, "clsact", name, "") : 0;
	if (r)
		return r;
	r = bpf_tc_hook_create(&hook);
	if (r == -EEXIST) {
		r = is_noted && !had_row ? xd_undo_forget(instance, "clsact", name) : 0;
		if (r)
			return r;
	} else if (r) {
		return xd_error_system(r, "%s: add a clsact qdisc", name);
	}
	filter.prog_fd = program;
	filter.flags = BPF_TC_F_REPLACE;
	r = bpf_tc_attach(&hook, &filter);
	return r ? xd_error_system(r, "%s: attach %s to its clsact qdisc", name,
				   points[point].program)
		 : 0;
}

int xd_attach(const struct xd_instance *instance, enum xd_attach_point point, __u32 ifindex,
	      const char *name)
{
	char path[XD_PIN_PATH_LEN];
	int program, r;

	if (!xd_step("attach %s to %s", points[point].program, name))
		return 0;
	r = xd_object_program(instance, points[point].program, &program);
	if (r)
		return r;
	if (xd_attach_has_tcx(program)) {
		r = set_link(point_path(instance, point, ifindex, path), true, program, ifindex,
			     points[point].tcx);
		if (r)
			r = xd_error_system(r, "%s: attach %s", name, points[point].program);
	} else {
		r = clsact_attach(instance, point, ifindex, name, program);
	}
	close(program);
	return r;
}

int xd_attach_first(int program_fd, __u32 ifindex, const char *name, int *ret_link_fd)
{
	/* union bpf_attr of Linux 6.6 for BPF_LINK_CREATE: neither libbpf 1.1 nor its headers know
	 * its members for tcx. Before nothing is in front of all. */
	struct {
		__u32 program_fd;
		__u32 ifindex;
		__u32 attach_type;
		__u32 flags;
		__u32 relative_fd;
		__u64 expected_revision;
	} attributes = {
		.program_fd = program_fd,
		.ifindex = ifindex,
		.attach_type = TCX_INGRESS,
		.flags = TCX_BEFORE,
	};
	int fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes));

	if (fd < 0)
		return xd_error_system(-errno, "%s: attach a program in front of all", name);
	*ret_link_fd = fd;
	return 0;
}

/* The pin is the last reference, but a link that loses it is detached some time later. */
static int remove_link(const char *path)
{
	int fd = bpf_obj_get(path);

	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	if (unlink(path) && errno != ENOENT)
		return xd_error_system(-errno, "%s: remove the pin", path);
	return 0;
}

int xd_detach(const struct xd_instance *instance, enum xd_attach_point point, __u32 ifindex,
	      const char *name)
{
	char path[XD_PIN_PATH_LEN];
	struct bpf_tc_opts filter;
	struct bpf_tc_hook hook;
	bool is_ours;
	int r;

	if (xd_attach_state(instance, point, ifindex) == XD_ATTACHED_NOT &&
	    access(point_path(instance, point, ifindex, path), F_OK))
		return 0;
	if (!xd_step("detach %s from %s", points[point].program, name))
		return 0;
	r = remove_link(point_path(instance, point, ifindex, path));
	if (r)
		return r;
	if (clsact_find(point, ifindex, &is_ours) && is_ours) {
		clsact_describe(point, ifindex, &hook, &filter);
		r = bpf_tc_detach(&hook, &filter);
		if (r && r != -ENOENT)
			return xd_error_system(r, "%s: detach %s", name, points[point].program);
	}
	return 0;
}

enum xd_attached xd_attach_state(const struct xd_instance *instance, enum xd_attach_point point,
				 __u32 ifindex)
{
	struct bpf_link_info info = {};
	__u32 length = sizeof(info);
	char path[XD_PIN_PATH_LEN];
	bool is_ours;
	int fd;

	fd = bpf_obj_get(point_path(instance, point, ifindex, path));
	if (fd >= 0) {
		bool is_alive = !bpf_obj_get_info_by_fd(fd, &info, &length) &&
				info.xdp.ifindex == ifindex;

		close(fd);
		if (is_alive)
			return XD_ATTACHED_TCX;
	}
	return clsact_find(point, ifindex, &is_ours) && is_ours ? XD_ATTACHED_CLSACT
								: XD_ATTACHED_NOT;
}

bool xd_attach_has_tcx(int program_fd)
{
	int fd = bpf_link_create(program_fd, INT32_MAX, TCX_INGRESS, NULL);

	if (fd >= 0)
		close(fd);
	/* An older kernel does not get as far as looking for the interface. */
	return fd >= 0 || errno == ENODEV;
}

/* A mount that nobody else sees: so it does not matter where, or if, cgroup2 is mounted. */
int xd_attach_open_cgroup(int *ret_fd)
{
	int context, mount, fd, r;

	context = syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
	if (context < 0)
		return xd_error_system(-errno, "cgroup2");
	mount = syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (!mount)
		mount = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	r = mount < 0 ? -errno : 0;
	close(context);
	if (r)
		return xd_error_system(r, "cgroup2");
	fd = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : 0;
	close(mount);
	if (r)
		return xd_error_system(r, "cgroup2");
	*ret_fd = fd;
	return 0;
}

static const char *socket_path(const struct xd_instance *instance, const char *program,
			       char path[XD_PIN_PATH_LEN])
{
	char name[64];

	snprintf(name, sizeof(name), "link/%s", program);
	return xd_pin_path(instance, name, path);
}

int xd_attach_sockets(const struct xd_instance *instance)
{
	char path[XD_PIN_PATH_LEN];
	int cgroup, r;

	if (!xd_step("attach %zu socket programs to the root of the cgroup tree", SOCKET_PROGRAMS))
		return 0;
	r = xd_attach_open_cgroup(&cgroup);
	if (r)
		return r;
	for (size_t i = 0; !r && i < SOCKET_PROGRAMS; i++) {
		const struct socket_program *s = &socket_programs[i];
		int program;

		r = xd_object_program(instance, s->program, &program);
		if (r)
			break;
		r = set_link(socket_path(instance, s->program, path), false, program, cgroup,
			     s->type);
		if (r == -E2BIG)
			r = xd_error_system(-EBUSY,
					    "attach %s to the root of the cgroup tree: it has the "
					    "64 programs that Linux allows",
					    s->program);
		else if (r)
			r = xd_error_system(r, "attach %s to the cgroup tree", s->program);
		close(program);
	}
	close(cgroup);
	return r;
}

int xd_detach_sockets(const struct xd_instance *instance)
{
	char path[XD_PIN_PATH_LEN];
	int r = 0;

	if (!xd_step("detach the socket programs"))
		return 0;
	for (size_t i = 0; !r && i < SOCKET_PROGRAMS; i++)
		r = remove_link(socket_path(instance, socket_programs[i].program, path));
	return r;
}

unsigned int xd_attach_count_sockets(const struct xd_instance *instance, unsigned int *ret_all)
{
	char path[XD_PIN_PATH_LEN];
	unsigned int count = 0;

	for (size_t i = 0; i < SOCKET_PROGRAMS; i++)
		count += !access(socket_path(instance, socket_programs[i].program, path), F_OK);
	*ret_all = SOCKET_PROGRAMS;
	return count;
}

bool xd_attach_is_left(enum xd_attach_point point, __u32 ifindex)
{
	__u32 ids[64], count = sizeof(ids) / sizeof(ids[0]);
	bool is_left = false;

	if (clsact_find(point, ifindex, &is_left) && is_left)
		return true;
	if (bpf_prog_query(ifindex, points[point].tcx, 0, NULL, ids, &count))
		return false;
	for (__u32 i = 0; !is_left && i < count; i++) {
		int fd = bpf_prog_get_fd_by_id(ids[i]);

		if (fd < 0)
			continue;
		is_left = is_program(fd, points[point].program);
		close(fd);
	}
	return is_left;
}

const char *xd_attach_program(enum xd_attach_point point)
{
	return points[point].program;
}
