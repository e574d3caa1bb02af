// SPDX-License-Identifier: GPL-2.0-only
/* Preloaded into xdock: a kill at a chosen moment, or an older kernel.
 *
 * XD_SHIM_KILL=N   SIGKILL instead of the N-th call that changes something. What only reads is not
 *                  counted: a kill before it leaves what a kill before the next change leaves.
 * XD_SHIM_STOP=N   SIGSTOP before that call, which is then made.
 * XD_SHIM_STUB=1   programs that do nothing, under the names of the real ones: for who loads them
 *                  often and wants no verifier to look at each of them every time.
 * XD_SHIM_COUNT=PATH  when it ends, the number of these calls is written there.
 * XD_SHIM_LACK=... one of: tcx (links are refused), redirect_peer (programs that call it are
 *                  refused), cookie (namespaces have none). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COOKIE 71 /* SO_NETNS_COOKIE */
#define TCX_INGRESS 46
#define TCX_EGRESS 47

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

/* bpf(2) reads the attributes with the size that its caller knew. */
struct link_create {
	__u32 program, target, type;
};

static long calls;

__attribute__((destructor)) static void count(void)
{
	const char *path = getenv("XD_SHIM_COUNT");
	FILE *file = path ? fopen(path, "w") : NULL;

	if (file) {
		fprintf(file, "%ld\n", calls);
		fclose(file);
	}
}

static void change(void)
{
	const char *kill_at = getenv("XD_SHIM_KILL"), *stop_at = getenv("XD_SHIM_STOP");

	calls++;
	if (kill_at && calls == atol(kill_at))
		kill(getpid(), SIGKILL);
	if (stop_at && calls == atol(stop_at))
		kill(getpid(), SIGSTOP);
}

static int lacks(const char *feature)
{
	const char *lack = getenv("XD_SHIM_LACK");

	return lack && !strcmp(lack, feature);
}

static int calls_helper(const union bpf_attr *attr, int helper)
{
	const struct bpf_insn *insns = (const struct bpf_insn *)(unsigned long)attr->insns;

	for (__u32 i = 0; i < attr->insn_cnt; i++)
		if (insns[i].code == (BPF_JMP | BPF_CALL) && !insns[i].src_reg &&
		    insns[i].imm == helper)
			return 1;
	return 0;
}

static long refuse(int error)
{
	errno = error;
	return -1;
}

/* As the verifier says it. */
static long refuse_helper(const union bpf_attr *attr, int helper)
{
	if (attr->log_buf && attr->log_size)
		snprintf((char *)(unsigned long)attr->log_buf, attr->log_size,
			 "invalid func unknown#%d\n", helper);
	return refuse(EINVAL);
}

static int is_change(long command)
{
	switch (command) {
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_DELETE_ELEM:
	case BPF_MAP_UPDATE_BATCH:
	case BPF_MAP_DELETE_BATCH:
	case BPF_OBJ_PIN:
	case BPF_LINK_CREATE:
	case BPF_LINK_UPDATE:
		return 1;
	default:
		return 0;
	}
}

/* "return TCX_NEXT;" or, to a socket that asks, "return 1;" instead of what libbpf loads. */
static long load_stub(typeof(&syscall) next, const union bpf_attr *original, long size)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {};

	memcpy(&attr, original, (size_t)size < sizeof(attr) ? (size_t)size : sizeof(attr));
	insns[0].imm = attr.prog_type == BPF_PROG_TYPE_SCHED_CLS ? -1 :
		       attr.prog_type == BPF_PROG_TYPE_XDP	 ? XDP_PASS :
								   1;
	attr.insns = (unsigned long)insns;
	attr.insn_cnt = 2;
	attr.func_info_cnt = attr.line_info_cnt = attr.core_relo_cnt = 0;
	return next(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr), 0, 0, 0);
}

long syscall(long number, ...)
{
	typeof(&syscall) next = NEXT(syscall);
	long a[6];
	va_list arguments;

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_bpf) {
		const struct link_create *link = (void *)a[1];

		if (a[0] == BPF_LINK_CREATE && lacks("tcx") &&
		    (link->type == TCX_INGRESS || link->type == TCX_EGRESS))
			return refuse(EINVAL);
		if (a[0] == BPF_PROG_LOAD && lacks("redirect_peer") &&
		    calls_helper((void *)a[1], BPF_FUNC_redirect_peer))
			return refuse_helper((void *)a[1], BPF_FUNC_redirect_peer);
		if (is_change(a[0]))
			change();
		if (a[0] == BPF_PROG_LOAD && getenv("XD_SHIM_STUB") &&
		    !strncmp(((union bpf_attr *)a[1])->prog_name, "xd_", 3))
			return load_stub(next, (void *)a[1], a[2]);
	}
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	if (level == SOL_SOCKET && option == COOKIE && lacks("cookie"))
		return refuse(ENOPROTOOPT);
	return NEXT(getsockopt)(fd, level, option, value, length);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *data;

	va_start(arguments, request);
	data = va_arg(arguments, void *);
	va_end(arguments);
	if (request == SIOCETHTOOL &&
	    *(__u32 *)((struct ifreq *)data)->ifr_data == ETHTOOL_SFEATURES)
		change();
	return NEXT(ioctl)(fd, request, data);
}

/* RTM_GET... is the third of each four types. */
static void look_at_message(const struct nlmsghdr *header)
{
	if (header->nlmsg_type >= NLMSG_MIN_TYPE && (header->nlmsg_type & 3) != 2)
		change();
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	look_at_message(msg->msg_iov->iov_base);
	return NEXT(sendmsg)(fd, msg, flags);
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
	look_at_message(data);
	return NEXT(send)(fd, data, length, flags);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
		change();
	}
	return NEXT(open)(path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t length)
{
	change();
	return NEXT(write)(fd, data, length);
}

#define WRAP(name, parameters, ...)                                                                \
	int name parameters                                                                        \
	{                                                                                          \
		change();                                                                          \
		return NEXT(name)(__VA_ARGS__);                                                    \
	}

WRAP(mkdir, (const char *path, mode_t mode), path, mode)
WRAP(rmdir, (const char *path), path)
WRAP(unlink, (const char *path), path)
WRAP(rename, (const char *from, const char *to), from, to)
WRAP(symlink, (const char *target, const char *path), target, path)
WRAP(mount,
     (const char *source, const char *target, const char *type, unsigned long flags,
      const void *data),
     source, target, type, flags, data)
WRAP(umount2, (const char *target, int flags), target, flags)
