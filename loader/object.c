// SPDX-License-Identifier: GPL-2.0-only
/* The BPF object: loaded into the kernel, its maps and programs pinned.
 *
 * Every map is pinned under its own name, the two maps of global data (.data.xd_host and
 * .data.xd_subnet) under the part behind ".data.". What is constant (.rodata) belongs to the
 * programs and goes with them. */
#include "loader/object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "include/config.h"
#include "include/count.h"
#include "include/endpoint.h"
#include "include/limits.h"
#include "include/network.h"
#include "include/port.h"
#include "include/uplink.h"
#include "loader/error.h"
#include "loader/log.h"
#include "loader/probe.h"
#include "loader/step.h"
#include "xdock.skel.h"

static int open_skeleton(__u64 cookie, struct xdock_bpf **ret_skeleton)
{
	struct xdock_bpf *skeleton;

	xd_log_begin();
	skeleton = xdock_bpf__open();
	if (!skeleton)
		return xd_error_system(-errno, "read the BPF object");
	((struct xd_config *)&skeleton->rodata->xd_config)->netns_cookie = cookie;
	*ret_skeleton = skeleton;
	return 0;
}

/* Where a map is pinned below the instance's directory; NULL: it is not. */
static const char *pin_name(const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);

	if (!bpf_map__is_internal(map))
		return name;
	return strncmp(name, ".data.", 6) ? NULL : name + 6;
}

static int set_max_ports(struct xdock_bpf *skeleton, __u32 max_ports)
{
	int r;

	r = bpf_map__set_max_entries(skeleton->maps.xd_port, max_ports);
	if (!r)
		r = bpf_map__set_max_entries(skeleton->maps.xd_port_rev, max_ports);
	return r ? xd_error_system(r, "xd_port: set its size") : 0;
}

static int load(struct xdock_bpf *skeleton)
{
	int r = xdock_bpf__load(skeleton), missing;

	if (!r)
		return 0;
	missing = xd_probe_missing();
	return missing ? missing : xd_error_system(r, "the kernel refused the BPF programs");
}

/* Pin everything into DIRECTORY, which nobody sees yet. */
static int pin_all(struct xdock_bpf *skeleton, const char *directory)
{
	char path[XD_PIN_PATH_LEN + 64];
	__u32 key = 0, version = XD_ABI_VERSION;
	struct bpf_program *program;
	struct bpf_map *map;

	if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.xd_abi), &key, &version, BPF_ANY))
		return xd_error_system(-errno, "xd_abi");
	bpf_object__for_each_map(map, skeleton->obj) {
		if (!pin_name(map))
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, pin_name(map));
		if (bpf_obj_pin(bpf_map__fd(map), path))
			return xd_error_system(-errno, "%s: pin it", path);
	}
	bpf_object__for_each_program(program, skeleton->obj) {
		snprintf(path, sizeof(path), "%s/prog/%s", directory, bpf_program__name(program));
		if (bpf_obj_pin(bpf_program__fd(program), path))
			return xd_error_system(-errno, "%s: pin it", path);
	}
	return 0;
}

static int load_fresh(struct xd_instance *instance, struct xdock_bpf *skeleton, __u32 max_ports)
{
	char directory[XD_PIN_PATH_LEN];
	int r;

	r = set_max_ports(skeleton, max_ports ? max_ports : XD_PORT_MAX);
	if (!r)
		r = load(skeleton);
	if (!r)
		r = xd_pin_prepare(instance, directory);
	if (!r)
		r = pin_all(skeleton, directory);
	if (!r)
		r = xd_pin_publish(instance);
	return r;
}

static int reuse_maps(const struct xd_instance *instance, struct xdock_bpf *skeleton)
{
	char path[XD_PIN_PATH_LEN];
	struct bpf_map *map;

	bpf_object__for_each_map(map, skeleton->obj) {
		int fd, r;

		if (!pin_name(map))
			continue;
		fd = bpf_obj_get(xd_pin_path(instance, pin_name(map), path));
		if (fd < 0)
			return xd_error_system(-errno, "%s", path);
		r = bpf_map__reuse_fd(map, fd);
		close(fd);
		if (r)
			return xd_error_system(r, "%s: use it again", path);
	}
	return 0;
}

/* Put the program in the place of the pinned one. */
static int replace_program(const struct xd_instance *instance, struct bpf_program *program)
{
	char path[XD_PIN_PATH_LEN], fresh[XD_PIN_PATH_LEN + 8], name[64];

	snprintf(name, sizeof(name), "prog/%s", bpf_program__name(program));
	snprintf(fresh, sizeof(fresh), "%s-new", xd_pin_path(instance, name, path));
	unlink(fresh);
	if (bpf_obj_pin(bpf_program__fd(program), fresh))
		return xd_error_system(-errno, "%s: pin it", fresh);
	if (rename(fresh, path))
		return xd_error_system(-errno, "%s: rename", fresh);
	return 0;
}

static int load_again(struct xd_instance *instance, struct xdock_bpf *skeleton, __u32 max_ports)
{
	struct bpf_program *program;
	int r;

	r = reuse_maps(instance, skeleton);
	if (r)
		return r;
	if (max_ports && bpf_map__max_entries(skeleton->maps.xd_port) != max_ports)
		return xd_error_usage("--max-ports %u: the instance is up with %u; `xdock down` first",
				      max_ports, bpf_map__max_entries(skeleton->maps.xd_port));
	r = load(skeleton);
	bpf_object__for_each_program(program, skeleton->obj) {
		if (!r)
			r = replace_program(instance, program);
	}
	return r;
}

int xd_object_load(struct xd_instance *instance, __u32 max_ports)
{
	struct xdock_bpf *skeleton;
	int r;

	if (!xd_step("load the BPF programs, pin them and their maps in %s", instance->pins))
		return 0;
	r = open_skeleton(instance->cookie, &skeleton);
	if (r)
		return r;
	r = instance->is_up ? load_again(instance, skeleton, max_ports)
			    : load_fresh(instance, skeleton, max_ports);
	xdock_bpf__destroy(skeleton);
	return r;
}

int xd_object_try(void)
{
	struct xdock_bpf *skeleton;
	int r;

	r = open_skeleton(0, &skeleton);
	if (r)
		return r;
	r = load(skeleton);
	xdock_bpf__destroy(skeleton);
	return r;
}

int xd_object_program(const struct xd_instance *instance, const char *name, int *ret_fd)
{
	char path[XD_PIN_PATH_LEN], below[64];
	int fd;

	snprintf(below, sizeof(below), "prog/%s", name);
	fd = bpf_obj_get(xd_pin_path(instance, below, path));
	if (fd < 0)
		return xd_error_system(-errno, "%s", path);
	*ret_fd = fd;
	return 0;
}
