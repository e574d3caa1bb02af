// SPDX-License-Identifier: GPL-2.0-only
/* What the flow maps of an instance hold, read by the thousand:
 *
 *     rows PINS
 *
 * prints FORWARD REVERSE EXCEPTIONS SHARED HALF: rows of xd_snat, of xd_snat_rev and of
 * xd_exception; rows of xd_snat with the reverse tuple of another one; rows of xd_snat whose
 * reverse row is not there or is not theirs. */
#include <bpf/bpf.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/exception.h"
#include "include/snat.h"

struct rows {
	int fd;
	__u32 count;
	void *keys, *values;
};

static struct rows read_map(const char *pins, const char *name, size_t key_size, size_t value_size)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info), batch;
	struct rows rows;
	char path[4096];
	int r = 0;

	snprintf(path, sizeof(path), "%s/%s", pins, name);
	rows.fd = bpf_obj_get(path);
	if (rows.fd < 0 || bpf_obj_get_info_by_fd(rows.fd, &info, &size))
		err(EXIT_FAILURE, "%s", path);
	if (info.key_size != key_size || info.value_size != value_size)
		errx(EXIT_FAILURE, "%s: of another version", path);
	rows.keys = calloc(info.max_entries, key_size);
	rows.values = calloc(info.max_entries, value_size);
	if (!rows.keys || !rows.values)
		err(EXIT_FAILURE, "memory");
	for (rows.count = 0; !r && rows.count < info.max_entries;) {
		__u32 count = info.max_entries - rows.count;

		r = bpf_map_lookup_batch(rows.fd, rows.count ? &batch : NULL, &batch,
					 (char *)rows.keys + rows.count * key_size,
					 (char *)rows.values + rows.count * value_size, &count,
					 NULL);
		if (r && errno != ENOENT)
			err(EXIT_FAILURE, "%s", path);
		rows.count += count;
	}
	return rows;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct xd_snat_rev_key));
}

int main(int argc, char **argv)
{
	unsigned int shared = 0, half = 0;
	struct rows forward, reverse, exceptions;
	struct xd_snat_rev_key *tuples;

	if (argc != 2)
		errx(EXIT_FAILURE, "PINS");
	forward = read_map(argv[1], "xd_snat", sizeof(struct xd_snat_key), sizeof(struct xd_snat));
	reverse = read_map(argv[1], "xd_snat_rev", sizeof(struct xd_snat_rev_key),
			   sizeof(struct xd_snat_rev));
	exceptions = read_map(argv[1], "xd_exception", sizeof(struct xd_exception_key),
			      sizeof(struct xd_exception));
	tuples = calloc(forward.count + 1, sizeof(*tuples));
	if (!tuples)
		err(EXIT_FAILURE, "memory");
	for (__u32 i = 0; i < forward.count; i++) {
		const struct xd_snat_key *key = (struct xd_snat_key *)forward.keys + i;
		const struct xd_snat *value = (struct xd_snat *)forward.values + i;
		struct xd_snat_rev back;

		tuples[i] = (struct xd_snat_rev_key){
			.remote_address = key->remote_address,
			.address = value->address,
			.remote_port = key->remote_port,
			.port = value->port,
			.protocol = key->protocol,
		};
		half += bpf_map_lookup_elem(reverse.fd, &tuples[i], &back) ||
			back.container_address != key->container_address ||
			back.container_port != key->container_port;
	}
	qsort(tuples, forward.count, sizeof(*tuples), compare);
	for (__u32 i = 1; i < forward.count; i++)
		shared += !compare(&tuples[i - 1], &tuples[i]);
	printf("%u %u %u %u %u\n", forward.count, reverse.count, exceptions.count, shared, half);
	return 0;
}
