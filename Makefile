# Virtual TPMs for Xen. Everything made lies below build/.
#
#   make            the programs, in build/
#   make demo       see a host with vTPMs work, and survive kill -9
#   make check      all tests: format, unit, system, fuzz; make check-RING runs one of them
#   make install    programs, scripts, units and man pages below $(DESTDIR)$(PREFIX)
#   make bench      measures what a busy vTPM costs the others (docs/testing.md)
#   make format     formats the C sources
#
# demo and check install the Debian packages that are missing, when run as root.

# As many jobs as there are processors, unless told otherwise.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS  += -j$(shell nproc)
endif

PREFIX     ?= /usr/local
SBINDIR    ?= $(PREFIX)/sbin
MANDIR     ?= $(PREFIX)/share/man
COMPDIR    ?= $(PREFIX)/share/bash-completion/completions
XENDIR     ?= /etc/xen/scripts
UNITDIR    ?= /lib/systemd/system
STATEDIR   ?= /var/vtpm
BUILD      := build
VERSION    := 0.1

CC         := gcc
CLANG      := clang
# Debian's own Python, whatever else is in PATH: its packages hold pytest and cryptography.
PYTHON     := /usr/bin/python3 -B
PKGS       := libcrypto libssl libevent libevent_pthreads libevent_openssl json-c libseccomp \
	tss2-esys tss2-mu tss2-tctildr xenstore xengnttab xenevtchn xencontrol
# Asked when first used: `make demo` installs what is missing before.
PKG_CFLAGS  = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS    = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)
WARNINGS   := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror
HARDENING  := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
CPPFLAGS   += -Iinclude -I. -D_GNU_SOURCE -DVTPM_VERSION='"$(VERSION)"'
CFLAGS     ?= -O2 -g
ALL_CFLAGS  = -std=c17 $(CFLAGS) -pthread $(PKG_CFLAGS)
LDFLAGS    += -pie -Wl,-z,relro,-z,now,--as-needed
LDLIBS     += $(PKG_LIBS) -pthread

# The layers: the sources of a folder without the main functions of its programs. A program is its
# main file and the layers it uses.
MAIN_vtpmd            := $(wildcard instance/main.c)
MAIN_vtpm_managerd    := $(wildcard manager/main.c)
MAIN_vtpmctl          := $(wildcard manager/vtpmctl.c)
MAIN_vtpm_migrator    := $(wildcard migration/vtpm_migrator.c)
MAIN_vtpm_migratord   := $(wildcard migration/vtpm_migratord.c)
NAMES      := vtpmd vtpm_managerd vtpmctl vtpm_migrator vtpm_migratord
PROGRAMS   := $(foreach p,$(NAMES),$(if $(MAIN_$(p)),$(p)))
layer       = $(filter-out $(foreach p,$(NAMES),$(MAIN_$(p))),$(wildcard $(1)))

COMMON     := $(wildcard include/vtpm/*.c)
TPMCORE    := $(wildcard tpmcore/*.c)
INSTANCE   := $(call layer,instance/*.c)
CTL        := $(call layer,manager/vtpmctl_*.c)
MANAGER    := $(filter-out $(CTL),$(call layer,manager/*.c))
MIGRATION  := $(call layer,migration/*.c)
LAYERS     := $(COMMON) $(TPMCORE) $(INSTANCE) $(CTL) $(MANAGER) $(MIGRATION)

LAYERS_vtpmd          := $(INSTANCE) $(TPMCORE) $(COMMON)
LAYERS_vtpm_managerd  := $(MANAGER) $(COMMON)
LAYERS_vtpmctl        := $(CTL) $(COMMON)
LAYERS_vtpm_migrator  := $(MIGRATION) $(COMMON)
LAYERS_vtpm_migratord := $(MIGRATION) $(COMMON)

UNIT_TESTS := $(wildcard tests/unit/test_*.c)
FUZZERS    := $(wildcard tests/fuzz/fuzz_*.c)
C_FILES    := $(wildcard $(addsuffix /*.[ch],include/vtpm tpmcore instance manager migration \
	tests/unit tests/fuzz tests/system tests/xen tests/bench))

.PHONY: all bench demo check check-format check-unit check-system check-fuzz check-xen check-xen-hvm \
	xen-demo format install clean
all: $(PROGRAMS:%=$(BUILD)/%)

# Three builds of every object: opt/ for the programs, san/ for unit tests under sanitizers with
# coverage of tpmcore, fuzz/ for libFuzzer.
CC_opt     := $(CC)
FLAGS_opt  := $(WARNINGS) $(HARDENING)
CC_san     := $(CC)
FLAGS_san   = $(WARNINGS) -O1 $(SANITIZERS) $(if $(filter tpmcore/%,$<),--coverage)
CC_fuzz    := $(CLANG)
FLAGS_fuzz := $(SANITIZERS) -fsanitize=fuzzer-no-link
objects     = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(2))

define variant
$(BUILD)/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(CC_$(1)) $$(CPPFLAGS) $$(ALL_CFLAGS) $$(FLAGS_$(1)) -MMD -MP -c -o $$@ $$<

$(BUILD)/$(1)/layers.a: $(call objects,$(1),$(LAYERS))
	rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach v,opt san fuzz,$(eval $(call variant,$(v))))

# Xen's headers need GNU C.
$(BUILD)/%/manager/grants_xen.o $(BUILD)/%/migration/domains_xen.o: ALL_CFLAGS += -std=gnu17

define program
# Whatever the umask: vtpmd runs as a user of its own.
$(BUILD)/$(1): $(call objects,opt,$(MAIN_$(1)) $(LAYERS_$(1)))
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS)
	chmod 755 $$@
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

# Lets Xen's own xenstored run without a hypervisor.
$(BUILD)/xenstored_shim.so: tests/xen/xenstored_shim.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -D_GNU_SOURCE $(WARNINGS) -O2 -fPIC -shared -o $@ $<
# A front-end in user space
$(BUILD)/frontend: $(BUILD)/opt/tests/xen/frontend.o
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
# For guests, which have no libraries
$(BUILD)/tpm: $(BUILD)/opt/tests/xen/tpm.o
	$(CC) -static -o $@ $^
XEN_LAB := all $(BUILD)/frontend $(BUILD)/tpm

$(BUILD)/unit/test_xenbus $(BUILD)/unit/test_backend_xen: | $(BUILD)/xenstored_shim.so

# A test takes from the layers' archive what it needs.
UNIT_SUPPORT := $(call objects,san,$(filter-out $(UNIT_TESTS),$(wildcard tests/unit/*.c)))
$(BUILD)/unit/%: $(BUILD)/san/tests/unit/%.o $(UNIT_SUPPORT) $(BUILD)/san/layers.a
	@mkdir -p $(@D)
	$(CC) $(SANITIZERS) --coverage -o $@ $^ $(LDLIBS) $(shell pkg-config --libs check)

# RSA is out of a fuzzer's reach: fake_rsa.c stands in for it.
FUZZ_SUPPORT := $(call objects,fuzz,$(filter-out $(FUZZERS),$(wildcard tests/fuzz/*.c)))
FAKED        := $(shell sed -n 's/^__typeof__(\(.*\)) .*/-Wl,--wrap=\1/p' tests/fuzz/fake_rsa.h)
$(BUILD)/fuzzers/%: $(BUILD)/fuzz/tests/fuzz/%.o $(FUZZ_SUPPORT) $(BUILD)/fuzz/layers.a
	@mkdir -p $(@D)
	$(CLANG) $(SANITIZERS) -fsanitize=fuzzer $(FAKED) -o $@ $^ $(LDLIBS)

bench: all
	@$(PYTHON) tests/bench/neighbours.py

demo:
	@.ci/install
	@echo "Building ..."
	@$(MAKE) --no-print-directory -s all
	@$(PYTHON) tests/system/demo.py

RINGS ?= format unit system fuzz
check:
	@.ci/install check
	@MAKE='$(MAKE)' BUILD=$(BUILD) tests/check $(RINGS)

check-format:
	@clang-format --dry-run -Werror $(C_FILES)
	@grep -rlE --exclude='*.py' '^#!/bin/(ba)?sh' .ci $(wildcard hotplug) tests | xargs shellcheck -x

# The programs run side by side, as many as there are processors.
check-unit: $(UNIT_TESTS:tests/unit/%.c=$(BUILD)/unit/%)
	@find $(BUILD)/san -name '*.gcda' -delete
	@printf '%s\n' $^ | xargs -n 1 -P $(shell nproc) tests/unit/run
	@tests/coverage $(BUILD)/san/tpmcore 90

check-system: all $(BUILD)/frontend $(BUILD)/xenstored_shim.so
	@$(PYTHON) -m pytest -q --tb=short -p no:cacheprovider --durations=5 tests/system

# On a real Xen in an emulated machine. A test is repeated if that loses its guest (tests/xen/conftest.py).
XEN_PYTEST := $(PYTHON) -m pytest -q --tb=short -p no:cacheprovider --durations=5 \
	--reruns 2 --only-rerun 'lost by the emulated processor'
check-xen:
	@.ci/install check && .ci/install xen
	@$(MAKE) --no-print-directory -s $(XEN_LAB)
	@$(XEN_PYTEST) tests/xen --ignore=tests/xen/test_hvm_guest.py

# The same with an HVM guest; first builds a QEMU that has both Xen and TPM support, once.
check-xen-hvm:
	@.ci/install check && .ci/install xen && .ci/install xen-hvm
	@$(MAKE) --no-print-directory -s $(XEN_LAB)
	@tests/xen/build-qemu $(BUILD)/xen/qemu
	@$(XEN_PYTEST) tests/xen/test_hvm_guest.py

xen-demo:
	@.ci/install xen
	@$(MAKE) --no-print-directory -s $(XEN_LAB)
	@$(PYTHON) tests/xen/demo.py

# Each fuzz target runs for its share of FUZZ_SECONDS, from its corpus in the tree.
FUZZ_SECONDS ?= 60
check-fuzz: $(FUZZERS:tests/fuzz/%.c=$(BUILD)/fuzzers/%)
	@tests/fuzz/run $(FUZZ_SECONDS) $^

format:
	clang-format -i $(C_FILES)

# The link: the folder's old name, which some users' scripts know. The user, and what is in memory: a
# package's scripts make them on the host that it is installed on.
install: all
	install -d $(addprefix $(DESTDIR),$(SBINDIR) $(XENDIR) $(UNITDIR) $(MANDIR)/man8 $(COMPDIR) \
		/usr/lib/sysusers.d /usr/lib/tmpfiles.d)
	install $(PROGRAMS:%=$(BUILD)/%) $(DESTDIR)$(SBINDIR)
	install $(filter-out %.in %-pki %.sysusers %.tmpfiles,$(wildcard hotplug/*)) $(DESTDIR)$(XENDIR)
	for unit in vtpm_managerd vtpm_migratord; do \
		sed 's|@SBINDIR@|$(SBINDIR)|' hotplug/$$unit.service.in \
			>$(DESTDIR)$(UNITDIR)/$$unit.service || exit; \
	done
	install -m 644 $(wildcard docs/man/*.8) $(DESTDIR)$(MANDIR)/man8
	install -m 644 manager/vtpmctl.bash $(DESTDIR)$(COMPDIR)/vtpmctl
	install -m 644 migration/vtpm_migrator.bash $(DESTDIR)$(COMPDIR)/vtpm_migrator
	install hotplug/vtpm-pki $(DESTDIR)$(SBINDIR)
	install -d -m 711 $(DESTDIR)$(STATEDIR)
	ln -sfn socks $(DESTDIR)$(STATEDIR)/sockets
	install -m 644 hotplug/vtpm.sysusers $(DESTDIR)/usr/lib/sysusers.d/vtpm.conf
	install -m 644 hotplug/vtpm.tmpfiles $(DESTDIR)/usr/lib/tmpfiles.d/vtpm.conf
	if [ -z "$(DESTDIR)" ] && command -v systemd-sysusers >/dev/null; then \
		systemd-sysusers vtpm.conf && systemd-tmpfiles --create vtpm.conf; \
	fi

clean:
	rm -rf $(BUILD)

.SECONDARY:
-include $(shell find $(addprefix $(BUILD)/,opt san fuzz) -name '*.d' 2>/dev/null)
