# Virtual TPMs for Xen. Everything made lies below build/.
#
#   make            the programs, in build/
#   make demo       see a host with vTPMs work, and survive kill -9
#   make check      format, shell and C checks, unit, system and fuzz tests
#   make install    programs, scripts, units and man pages below $(DESTDIR)$(PREFIX)

PREFIX     ?= /usr/local
SBINDIR    ?= $(PREFIX)/sbin
MANDIR     ?= $(PREFIX)/share/man
XENDIR     ?= /etc/xen/scripts
UNITDIR    ?= /lib/systemd/system
BUILD      := build
VERSION    := 0.1

CC         := gcc
CLANG      := clang
PKGS       := libcrypto libevent libevent_pthreads json-c
WARNINGS   := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror
HARDENING  := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
CPPFLAGS   += -Iinclude -I. -D_GNU_SOURCE -DVTPM_VERSION='"$(VERSION)"'
CFLAGS     ?= -O2 -g
ALL_CFLAGS  = -std=c17 $(WARNINGS) $(CFLAGS) -pthread $(shell pkg-config --cflags $(PKGS))
LDFLAGS    += -pie -Wl,-z,relro,-z,now
LDLIBS     += $(shell pkg-config --libs $(PKGS)) -pthread

# The manager alone speaks to Xen. Its headers need anonymous unions.
XEN_PKGS   := xenstore xengnttab xenevtchn xencontrol
LDLIBS_vtpm_managerd = $(shell pkg-config --libs $(XEN_PKGS))
$(BUILD)/opt/manager/grants_xen.o $(BUILD)/san/manager/grants_xen.o: WARNINGS += -std=gnu17

# A program is the sources of its folder (but for other programs' main files) and of these layers.
COMMON     := $(wildcard include/vtpm/*.c)
TPMCORE    := $(wildcard tpmcore/*.c)
INSTANCE   := $(wildcard instance/*.c)
CTL        := $(wildcard manager/vtpmctl*.c)
MANAGER    := $(filter-out $(CTL),$(wildcard manager/*.c))
MIGRATION  := $(wildcard migration/*.c)
UNIT_TESTS := $(wildcard tests/unit/test_*.c)

PROGRAMS   := $(if $(INSTANCE),vtpmd) $(if $(wildcard manager/main.c),vtpm_managerd) $(if $(CTL),vtpmctl)
SOURCES_vtpmd         := $(INSTANCE) $(TPMCORE) $(COMMON)
SOURCES_vtpm_managerd := $(MANAGER) $(COMMON)
SOURCES_vtpmctl       := $(CTL) $(COMMON)

.SECONDARY:
.PHONY: all demo check check-format check-unit check-system clean install
all: $(PROGRAMS:%=$(BUILD)/%)

# Two builds of every object: opt/ for programs, san/ for tests under sanitizers.
FLAGS_opt := $(HARDENING)
FLAGS_san := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
objects    = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(2))

define variant
$(BUILD)/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) $$(ALL_CFLAGS) $$(FLAGS_$(1)) -MMD -MP -c -o $$@ $$<
endef
$(foreach v,opt san,$(eval $(call variant,$(v))))

define program
$(BUILD)/$(1): $(call objects,opt,$(SOURCES_$(1)))
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS) $$(LDLIBS_$(1))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

# A unit test links all of the layers that have no main of their own.
UNIT_LAYERS := $(call objects,san,$(TPMCORE) $(COMMON) \
	$(filter-out %/main.c %/vtpmd.c,$(INSTANCE)) $(filter-out %/main.c %/vtpm_managerd.c,$(MANAGER)))
UNIT_SUPPORT := $(call objects,san,$(filter-out $(UNIT_TESTS),$(wildcard tests/unit/*.c)))
$(BUILD)/tests/%: $(BUILD)/san/tests/unit/%.o $(UNIT_SUPPORT) $(UNIT_LAYERS)
	@mkdir -p $(@D)
	$(CC) $(FLAGS_san) -o $@ $^ $(LDLIBS) $(LDLIBS_vtpm_managerd) $(shell pkg-config --libs check)

check: check-format check-unit check-system

check-format:
	git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
	git ls-files hotplug tests .ci | xargs grep -lE '^#!/bin/(ba)?sh' | xargs shellcheck

check-unit: $(UNIT_TESTS:tests/unit/%.c=$(BUILD)/tests/%)
	@set -e; for t in $^; do $$t; done

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
