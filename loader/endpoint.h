/* SPDX-License-Identifier: GPL-2.0-only */
/* Endpoints: containers, each with a namespace, a veth pair, an address and published ports. */
#ifndef XD_LOADER_ENDPOINT_H
#define XD_LOADER_ENDPOINT_H

#include <linux/types.h>
#include <stddef.h>

#include "loader/link.h"
#include "loader/pin.h"
#include "loader/reconcile.h"
#include "loader/spec.h"

/* The container's own end of its veth pair. */
#define XD_ENDPOINT_LINK "eth0"

struct xd_endpoint_options {
	const char *name;
	const char *bridge; /* NULL: docker0, or the only network */
	__be32 address; /* 0: the lowest free one */
	int netns_fd; /* the container's namespace; -1: make one and keep it */
	const char *netns; /* a path to it, for `container exec`; with netns_fd */
	const struct xd_spec *specs; /* ports to publish */
	size_t spec_count;
};

/* Connect a container, or finish what a killed command began. All or nothing: when a port cannot
 * be published, no container is left. The instance is locked and up. Errors: name, address or
 * namespace in use, address outside of the subnet, subnet full, and those of xd_port_add(). */
int xd_endpoint_add(const struct xd_instance *instance, const struct xd_endpoint_options *options,
		    struct xd_endpoint_row *ret_endpoint);

/* Disconnect it: ports, addresses, veth, and the namespace if xdock made it. No error when there
 * is no such container. The instance is locked. */
int xd_endpoint_remove(const struct xd_instance *instance, const char *name);

/* The live endpoint NAME of state. Errors: missing. */
int xd_endpoint_find(const struct xd_state *state, const char *name,
		     const struct xd_endpoint_row **ret_endpoint);

/* Its namespace. Errors: missing when its path leads nowhere, or to another namespace by now. */
int xd_endpoint_open_netns(const struct xd_instance *instance,
			   const struct xd_endpoint_row *endpoint, int *ret_fd);
/* Where xd_endpoint_open_netns() looks: below instance->run. Returns path. */
const char *xd_endpoint_netns_path(const struct xd_instance *instance, const char *name,
				   char path[160]);

/* Write its row of xd_endpoint; what BPF has noted in the one that is there (hairpin) stays. */
int xd_endpoint_put(const struct xd_instance *instance, const struct xd_endpoint_row *endpoint);

/* The state of the maps after all that killed commands and vanished containers left was removed:
 * rows, veths without a row, namespaces without a container, reservations without a port. Every
 * writer begins with it. The instance is locked; state is freed by the caller. */
int xd_endpoint_heal(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		     struct xd_state *ret_state);

/* Where there are no pins any more (bpffs was unmounted): remove the namespaces of the instance
 * and their containers' veth pairs. Errors: -EBUSY when one is in use by pins elsewhere. */
int xd_endpoint_sweep(const struct xd_instance *instance);

/* The part of xd_endpoint_remove() behind the lookup, for several at once. */
int xd_endpoint_delete(const struct xd_instance *instance, struct xd_rtnl *rtnl,
		       const struct xd_state *state, const struct xd_endpoint_row *endpoints,
		       size_t count);

#endif
