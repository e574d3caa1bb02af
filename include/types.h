/* SPDX-License-Identifier: GPL-2.0-only */
/* The integer types of the border, from vmlinux.h in BPF and from the UAPI in userland. */
#ifndef XD_TYPES_H
#define XD_TYPES_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Nothing on the border may have hidden padding: every struct states its size. */
#define XD_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " is " #size " bytes")

#endif
