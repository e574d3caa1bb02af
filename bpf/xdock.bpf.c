// SPDX-License-Identifier: GPL-2.0-only
/* All programs, as one object. They are compiled together and not linked, since bpftool 7.1 cannot
 * link what calls a kernel function (rewrite.h). */
#include "bpf/bridge.bpf.c"
#include "bpf/container.bpf.c"
#include "bpf/sample.bpf.c"
#include "bpf/socket.bpf.c"
#include "bpf/uplink.bpf.c"

char LICENSE[] SEC("license") = "GPL";
