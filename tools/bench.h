/* SPDX-License-Identifier: GPL-2.0-only */
/* The border between tools/bench-load.c and tools/bench.bpf.c. */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#define FRAME_WORDS 15 /* 60 bytes, and 4 of check sequence that a veth does not carry */
#define LANE_MAX 64 /* CPUs */

/* In the payload of each frame. */
struct bench_mark {
	__u32 number;
	__u32 complement;
	__u32 lane;
	__u32 lane_complement;
};

/* What one CPU generates and what it receives, in cache lines of its own. */
struct bench_lane {
	/* The frames of one system call, and what the clock said at the first and the last of
	 * them: the call itself also waits for grace periods of RCU. */
	__u32 frames_left;
	__u32 number; /* of the next frame */
	__u32 first_flow;
	__u32 last; /* number that arrived, from this lane */
	__u64 started_ns;
	__u64 stopped_ns;
	/* What arrived here: [0] as it was sent, [1] translated to the container's address. */
	__u64 delivered[2];
	__u64 reordered;
	__u64 unused;
};

#endif
