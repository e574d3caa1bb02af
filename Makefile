# SPDX-License-Identifier: GPL-2.0-only
# One Makefile; every output is under build/. `make help` lists the targets.

CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
DESTDIR ?=
PREFIX ?= /usr/local
O ?= build

ifneq ($(V),1)
Q := @
say = @printf '  %-8s %s\n' '$(1)' '$(2)'
endif
ifeq ($(SAN),1)
override O := $(O)/san
CFLAGS += -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
endif
ifeq ($(COV),1)
override O := $(O)/cov
CFLAGS += --coverage
endif

libraries := libbpf libelf zlib libnl-3.0 json-c
# Asked once, when something is compiled: `make setup` may install pkg-config first.
pkg_cflags = $(eval pkg_cflags := $$(shell $(PKG_CONFIG) --cflags $(libraries)))$(pkg_cflags)
pkg_libs = $(eval pkg_libs := $$(shell $(PKG_CONFIG) --libs $(libraries)))$(pkg_libs)

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
version := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
user_cflags = -std=gnu11 $(warnings) -D_GNU_SOURCE -I. -I$(O) $(pkg_cflags) $(CFLAGS)
bpf_cflags := -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Werror -I.

loader_objects := $(patsubst %.c,$(O)/%.o,$(wildcard loader/*.c))
user_objects := $(patsubst %.c,$(O)/%.o,$(wildcard user/*.c))
unit_tests := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c))
prog_tests := $(patsubst %.c,$(O)/%,$(wildcard tests/prog/test_*.c))
net_programs := $(patsubst %.c,$(O)/%,$(filter-out %/shim.c,$(wildcard tests/net/*.c)))
prog_objects := $(patsubst %.c,$(O)/%.o,$(filter-out tests/prog/test_%.c,$(wildcard tests/prog/*.c)))
skeleton := $(O)/xdock.skel.h
library := $(O)/libxdock.a

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: FORCE all setup demo test check bench install uninstall clean help

all: $(O)/xdock ## build the xdock command

setup: ## install what is missing to build and test
	$(Q)tools/setup

demo: setup ## show the main job on real traffic, in namespaces of its own
	$(Q)$(MAKE) --no-print-directory all
	$(Q)O=$(O) tools/demo

test: setup ## run all tests; the last line counts them
	$(Q)$(MAKE) --no-print-directory all test-programs
	$(Q)O=$(O) tests/run

check: setup ## read the sources with the linters
	$(Q)tools/check

bench: setup ## measure xdock beside Docker, nftables and others; QUICK=1: two minutes
	$(Q)O=$(O) tools/setup bench
	$(Q)$(MAKE) --no-print-directory bench-programs
	$(Q)O=$(O) tools/bench $(if $(QUICK),--quick)

.PHONY: unit-programs test-programs bench-programs
unit-programs: $(unit_tests)
test-programs: $(unit_tests) $(prog_tests) $(net_programs)
bench-programs: $(O)/xdock $(O)/tools/bench-load $(O)/tools/bench-socket

install: all ## install below $(DESTDIR)$(PREFIX)
	install -Dm755 $(O)/xdock $(DESTDIR)$(PREFIX)/sbin/xdock
	install -Dm644 user/xdock.8 $(DESTDIR)$(PREFIX)/share/man/man8/xdock.8
	install -Dm644 user/xdock.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/xdock

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/sbin/xdock $(DESTDIR)$(PREFIX)/share/man/man8/xdock.8 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/xdock

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
	@echo 'Variables: V=1 (say each command) SAN=1 (sanitizers) COV=1 (coverage) O= DESTDIR= PREFIX='

$(O)/%.bpf.o: %.bpf.c
	$(call say,CLANG,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(bpf_cflags) -MMD -MP -c $< -o $@

$(skeleton): $(O)/bpf/xdock.bpf.o
	$(call say,SKELETON,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name xdock_bpf >$@

$(O)/tools/bench.skel.h: $(O)/tools/bench.bpf.o
	$(call say,SKELETON,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name bench_bpf >$@

# Whatever includes the skeleton needs it made first; -MMD keeps it exact afterwards.
$(O)/loader/object.o $(prog_tests:=.o) $(prog_objects): | $(skeleton)
$(O)/tools/bench-load.o: | $(O)/tools/bench.skel.h

$(O)/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(user_cflags) -DXD_VERSION='"$(version)"' -MMD -MP -c $< -o $@

# The one that says the version is compiled again when that changes.
$(O)/user/main.o: $(O)/version
$(O)/version: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(version)' | cmp -s - $@ || echo '$(version)' >$@

$(library): $(loader_objects)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

$(O)/xdock: $(user_objects) $(library)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(pkg_libs)

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(library)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(pkg_libs) -lcmocka

$(O)/tests/prog/%: $(O)/tests/prog/%.o $(prog_objects) $(library)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(pkg_libs) -lcmocka

$(net_programs): %: %.o
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(pkg_libs)

$(O)/tools/bench-load: $(O)/tools/bench-load.o
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(pkg_libs)

# Static, because it is also all that is in the image of a container.
$(O)/tools/bench-socket: $(O)/tools/bench-socket.o
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -static -o $@ $^

-include $(shell find $(O) -name '*.d' 2>/dev/null)
