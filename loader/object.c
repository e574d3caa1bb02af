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

struct room {
	const char *option;
	const char *maps[2]; /* NULL: there is no second one */
	__u32 fallback;
};

static const struct room rooms[XD_ROOMS] = {
	[XD_ROOM_PORTS] = { "--max-ports", { "xd_port", "xd_port_rev" }, XD_PORT_MAX },
	[XD_ROOM_FLOWS] = { "--max-flows", { "xd_snat", "xd_snat_rev" }, XD_SNAT_MAX },
	[XD_ROOM_EXCEPTIONS] = { "--max-exceptions", { "xd_exception" }, XD_EXCEPTION_MAX },
	[XD_ROOM_FRAGMENTS] = { "--max-fragments", { "xd_fragment" }, XD_FRAGMENT_MAX },
};

static int set_rooms(struct xdock_bpf *skeleton, const __u32 room[XD_ROOMS])
{
	for (size_t i = 0; i < XD_ROOMS; i++) {
		for (size_t j = 0; j < 2 && rooms[i].maps[j]; j++) {
			const char *name = rooms[i].maps[j];
			int r = bpf_map__set_max_entries(
				bpf_object__find_map_by_name(skeleton->obj, name),
				room[i] ? room[i] : rooms[i].fallback);

			if (r)
				return xd_error_system(r, "%s: set its size", name);
		}
	}
	return 0;
}

/* The maps that are there have the sizes that are asked for. */
static int check_rooms(const struct xdock_bpf *skeleton, const __u32 room[XD_ROOMS])
{
	for (size_t i = 0; i < XD_ROOMS; i++) {
		__u32 now = bpf_map__max_entries(
			bpf_object__find_map_by_name(skeleton->obj, rooms[i].maps[0]));

		if (room[i] && room[i] != now)
			return xd_error_usage("%s %u: the instance is up with %u; `xdock down` "
					      "first",
					      rooms[i].option, room[i], now);
	}
	return 0;
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

static int load_fresh(struct xd_instance *instance, struct xdock_bpf *skeleton,
		      const __u32 room[XD_ROOMS])
{
	char directory[XD_PIN_PATH_LEN];
	int r;

	r = set_rooms(skeleton, room);
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

static int load_again(struct xd_instance *instance, struct xdock_bpf *skeleton,
		      const __u32 room[XD_ROOMS])
{
	struct bpf_program *program;
	int r;

	r = reuse_maps(instance, skeleton);
	if (!r)
		r = check_rooms(skeleton, room);
	if (r)
		return r;
	r = load(skeleton);
	bpf_object__for_each_program(program, skeleton->obj) {
		if (!r)
			r = replace_program(instance, program);
	}
	return r;
}

int xd_object_load(struct xd_instance *instance, const __u32 room[XD_ROOMS])
{
	struct xdock_bpf *skeleton;
	int r;

	if (!xd_step("load the BPF programs, pin them and their maps in %s", instance->pins))
		return 0;
	r = open_skeleton(instance->cookie, &skeleton);
	if (r)
		return r;
	r = instance->is_up ? load_again(instance, skeleton, room)
			    : load_fresh(instance, skeleton, room);
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
