// SPDX-License-Identifier: GPL-2.0-only
/* What this kernel can do, found by trying and never by its version. */
#include "loader/probe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/attach.h"
#include "loader/error.h"
#include "loader/link.h"
#include "loader/log.h"
#include "loader/netns.h"

/* return 0; */
static int load_nothing(void)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "xd_probe", "GPL", nothing, 2, NULL);
}

static bool has_programs(void)
{
	int fd = load_nothing();

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool has_tcx(void)
{
	int fd = load_nothing();
	bool is_found = fd >= 0 && xd_attach_has_tcx(fd);

	if (fd >= 0)
		close(fd);
	return is_found;
}

/* BPF_FIB_LOOKUP_SRC; the headers of Linux 6.1 end before. */
#define FIB_LOOKUP_SRC 16

#define ZERO(at)                                                                                   \
	{                                                                                          \
		.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = (at)              \
	}
#define SET(reg, value)                                                                            \
	{                                                                                          \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (reg), .imm = (value)              \
	}

/* Asked for a route of interface 0, a kernel that knows the flag finds no such interface. */
static bool has_fib_source(void)
{
	static const struct bpf_insn ask[] = {
		/* struct bpf_fib_lookup, of family AF_INET */
		ZERO(-8),
		ZERO(-16),
		ZERO(-24),
		ZERO(-32),
		ZERO(-40),
		ZERO(-48),
		ZERO(-56),
		ZERO(-64),
		{ .code = BPF_ST | BPF_MEM | BPF_B, .dst_reg = BPF_REG_10, .off = -64, .imm = 2 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X,
		  .dst_reg = BPF_REG_2,
		  .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -64 },
		SET(BPF_REG_3, 64),
		SET(BPF_REG_4, FIB_LOOKUP_SRC),
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_fib_lookup },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	char frame[64] = {};
	struct bpf_test_run_opts run = {
		.sz = sizeof(run),
		.data_in = frame,
		.data_size_in = sizeof(frame),
	};
	bool is_found;
	int fd;

	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "xd_probe", "GPL", ask,
			   sizeof(ask) / sizeof(ask[0]), NULL);
	if (fd < 0)
		return false;
	is_found = !bpf_prog_test_run_opts(fd, &run) && (int)run.retval == -ENODEV;
	close(fd);
	return is_found;
}

static bool has_function(const struct btf *btf, const char *name)
{
	return btf && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

/* In the kernel, or in its module if that is there. */
static bool has_conntrack(void)
{
	static const char name[] = "bpf_skb_ct_lookup";
	struct btf *kernel = btf__load_vmlinux_btf(), *module;
	bool is_found = has_function(kernel, name);

	if (!is_found && kernel) {
		module = btf__load_module_btf("nf_conntrack", kernel);
		is_found = has_function(module, name);
		btf__free(module);
	}
	btf__free(kernel);
	return is_found;
}

/* Where the kernel says how its structures look. */
static bool has_btf(void)
{
	return !access("/sys/kernel/btf/vmlinux", R_OK);
}

static bool has_cookie(void)
{
	__u64 cookie;

	return !xd_netns_cookie(&cookie);
}

static bool has_cgroup(void)
{
	int fd;

	if (xd_attach_open_cgroup(&fd))
		return false;
	close(fd);
	return true;
}

/* A bridge with one veth pair, in a namespace that dies with the child. */
static bool has_links(void)
{
	static const __u8 mac[6] = { 0x02, 0x42, 0, 0, 0, 1 };
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return false;
	if (!pid) {
		struct xd_rtnl *rtnl;
		struct xd_link bridge;
		int fd;

		_exit(unshare(CLONE_NEWNET) || xd_netns_open_self(&fd) || xd_rtnl_open(fd, &rtnl) ||
		      xd_link_add_bridge(rtnl, "br", mac, 1500) ||
		      xd_link_find(rtnl, "br", &bridge) ||
		      xd_link_add_veth(rtnl, "veth", bridge.ifindex, 1500, fd, "peer", mac));
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

#define HELPER(type, helper)                                                                      \
	static bool has_##helper(void)                                                            \
	{                                                                                         \
		return libbpf_probe_bpf_helper(BPF_PROG_TYPE_##type, BPF_FUNC_##helper, NULL) ==  \
		       1;                                                                         \
	}
HELPER(SCHED_CLS, fib_lookup)
HELPER(SCHED_CLS, redirect_neigh)
HELPER(SCHED_CLS, redirect_peer)
HELPER(SCHED_CLS, ktime_get_coarse_ns)
HELPER(SCHED_CLS, loop)
HELPER(SCHED_CLS, skc_lookup_tcp)
HELPER(CGROUP_SOCK_ADDR, get_netns_cookie)
HELPER(CGROUP_SOCK_ADDR, bind)
HELPER(CGROUP_SOCK_ADDR, for_each_map_elem)
HELPER(CGROUP_SOCK_ADDR, set_retval)

static bool has_devmap_hash(void)
{
	return libbpf_probe_bpf_map_type(BPF_MAP_TYPE_DEVMAP_HASH, NULL) == 1;
}

struct probe {
	bool (*has)(void);
	struct xd_feature feature;
};

static const struct probe probes[] = {
	{ has_programs,
	  { "BPF programs for TC", "everything", "CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF", true,
	    false } },
	{ has_links,
	  { "bridge and veth", "the containers' links", "CONFIG_BRIDGE, CONFIG_VETH", true,
	    false } },
	{ has_btf,
	  { "BTF of the kernel", "to read packets' checksums", "CONFIG_DEBUG_INFO_BTF", true,
	    false } },
	{ has_cookie, { "SO_NETNS_COOKIE", "an instance's name", "Linux 5.14", true, false } },
	{ has_cgroup,
	  { "cgroup2", "clients on the host itself", "CONFIG_CGROUPS, CONFIG_CGROUP_BPF", true,
	    false } },
	{ has_devmap_hash,
	  { "map type devmap_hash", "to forget devices that are gone", "Linux 5.4", true, false } },
	{ has_fib_lookup,
	  { "bpf_fib_lookup()", "routes of replies, local addresses", "Linux 4.18", true, false } },
	{ has_redirect_neigh,
	  { "bpf_redirect_neigh()", "replies to neighbours not yet known", "Linux 5.10", true,
	    false } },
	{ has_redirect_peer,
	  { "bpf_redirect_peer()", "packets into containers", "Linux 5.10", true, false } },
	{ has_ktime_get_coarse_ns,
	  { "bpf_ktime_get_coarse_ns()", "the age of what was learned", "Linux 5.11", true,
	    false } },
	{ has_loop, { "bpf_loop()", "to look for a free source port", "Linux 5.17", true, false } },
	{ has_skc_lookup_tcp,
	  { "bpf_skc_lookup_tcp()", "to leave the host's own ports alone", "Linux 5.6", true,
	    false } },
	{ has_get_netns_cookie,
	  { "bpf_get_netns_cookie()", "to leave other namespaces' sockets alone", "Linux 5.7", true,
	    false } },
	{ has_bind,
	  { "bpf_bind()", "the source address of clients on the host", "Linux 4.17", true,
	    false } },
	{ has_for_each_map_elem,
	  { "bpf_for_each_map_elem()", "to refuse a bind() to a published port", "Linux 5.13", true,
	    false } },
	{ has_set_retval,
	  { "bpf_set_retval()", "to refuse it with EADDRINUSE", "Linux 5.18", true, false } },
	{ has_fib_source, { "BPF_FIB_LOOKUP_SRC", "masquerading", "Linux 6.7", false, false } },
	{ has_conntrack,
	  { "bpf_skb_ct_lookup()", "flows that began before `up`",
	    "Linux 5.18, CONFIG_NF_CONNTRACK", false, false } },
	{ has_tcx, { "tcx", "links instead of clsact filters", "Linux 6.6", false, false } },
};

#define PROBES (sizeof(probes) / sizeof(probes[0]))

int xd_probe(struct xd_feature **ret_features, size_t *ret_count)
{
	struct xd_feature *features = calloc(PROBES, sizeof(*features));

	if (!features)
		return xd_error_system(-ENOMEM, "probe the kernel");
	xd_log_pause(true);
	for (size_t i = 0; i < PROBES; i++) {
		features[i] = probes[i].feature;
		features[i].is_found = probes[i].has();
	}
	xd_log_pause(false);
	xd_error_clear();
	*ret_features = features;
	*ret_count = PROBES;
	return 0;
}

int xd_probe_missing(void)
{
	struct xd_feature *features;
	size_t count;
	int r;

	r = xd_probe(&features, &count);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++)
		if (features[i].is_required && !features[i].is_found)
			r = xd_error_system(-ENOTSUP, "this kernel lacks %s, needed for %s; %s has it",
					    features[i].name, features[i].purpose,
					    features[i].since);
	free(features);
	return r;
}
