# Four servers on one common library; one non-recursive Makefile. `make help` lists the targets.
#
# A file added to a folder needs no edit here: every .c beside a service's main.c is part of it,
# every .c in tests/unit/<component>/ is a test program linked with that component's objects, the
# same for tests/fuzz/; every .c in tests/harness/c/ is a program for the integration tests to
# drive, and every one in tests/load/ a load client or a server that is a limit, linked with the
# common library and lib/ beside them. VARIANT=release|asan|tsan builds into its own folder.

SERVICES := scribe delivery-hub dicom-vault student-portal
VARIANT ?= release
PREFIX ?= /usr/local
ARCH := $(shell uname -m)

OUT := $(if $(filter release,$(VARIANT)),build,build/$(VARIANT))
OBJ := build/obj/$(VARIANT)
GEN := build/gen

# `make V=1` shows the commands.
say = $(if $(V),,@echo '  $(1)';)

# --- flags ----------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wshadow -Wconversion -Wvla -Werror -Wformat=2 -Wstrict-prototypes \
        -Wmissing-prototypes -Wimplicit-fallthrough
HARDEN := -fstack-protector-strong -fstack-clash-protection -fno-strict-overflow \
          $(if $(filter x86_64,$(ARCH)),-fcf-protection=full) \
          $(if $(filter aarch64,$(ARCH)),-mbranch-protection=standard)
LINK_HARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed

ifeq ($(VARIANT),release)
  MODE := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 $(HARDEN)
  LINK_MODE := $(LINK_HARDEN)
else ifeq ($(VARIANT),asan)
  MODE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
  LINK_MODE := -fsanitize=address,undefined
else ifeq ($(VARIANT),tsan)
  MODE := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
  LINK_MODE := -fsanitize=thread
else ifeq ($(VARIANT),fuzz)
  CC := clang
  MODE := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
          -fno-sanitize-recover=all
  LINK_MODE := -fsanitize=address,undefined
else
  $(error VARIANT is release, asan, tsan or fuzz)
endif

pkg = $(shell pkg-config $(1) 2>/dev/null)
# MariaDB Connector/C, or MySQL's own libmysqlclient.
MYSQL_PC := $(shell pkg-config --exists libmariadb 2>/dev/null && echo libmariadb || echo mysqlclient)
COMMON_PCS := $(MYSQL_PC) hiredis libmicrohttpd jansson sqlite3 libcrypto
PCS_common := $(COMMON_PCS)
PCS_scribe := $(COMMON_PCS) libwebsockets libuv libmongoc-1.0
PCS_delivery-hub := $(COMMON_PCS)
PCS_dicom-vault := $(COMMON_PCS) libargon2 libjpeg libpng
PCS_student-portal := $(COMMON_PCS) libargon2
PCS_load := $(COMMON_PCS)

# Library headers as system headers: their warnings are not ours.
sys = $(patsubst -I%,-isystem %,$(call pkg,--cflags $(1)))
CPPFLAGS += -D_GNU_SOURCE -Icommon -I$(GEN) -MMD -MP
CFLAGS += -std=c17 -fPIE -pthread $(MODE) $(WARN)
LDFLAGS += $(LINK_MODE) -pthread

# --- what is built --------------------------------------------------------------------------

all: $(SERVICES:%=$(OUT)/%)

sources = $(wildcard $(1)/*.c)
objects = $(patsubst %.c,$(OBJ)/%.o,$(call sources,$(1)))
COMMON_LIB := $(OBJ)/libcommon.a

$(COMMON_LIB): $(call objects,common)
	@rm -f $@
	$(call say,AR $@)$(AR) rcs $@ $^

# The test programs of component $(1): everything but its main.c, and the common library.
COMPONENTS := common $(SERVICES) load
LOAD_LIB := $(call objects,tests/load/lib)
service_parts = $(filter-out $(OBJ)/$(1)/main.o,$(call objects,$(1))) $(OBJ)/gen/$(1)_embed.o
parts = $(if $(filter common,$(1)),,$(if $(filter load,$(1)),$(LOAD_LIB),$(call service_parts,$(1))))
unit_sources = $(wildcard tests/unit/$(1)/*.c)
fuzz_sources = $(wildcard tests/fuzz/$(1)/*.c)
UNIT_TESTS := $(foreach c,$(COMPONENTS),$(patsubst tests/unit/%.c,$(OUT)/unit/%,$(call unit_sources,$(c))))
FUZZERS := $(foreach c,$(COMPONENTS),$(patsubst tests/fuzz/%.c,$(OUT)/fuzz/%,$(call fuzz_sources,$(c))))
# Without libFuzzer (any variant but fuzz) a fuzz target runs over the files it is given.
FUZZ_MAIN := $(if $(filter fuzz,$(VARIANT)),-fsanitize=fuzzer,$(OBJ)/tests/fuzz/replay.o)

define COMPONENT
$(OBJ)/$(1)/%.o $(OBJ)/tests/unit/$(1)/%.o $(OBJ)/tests/fuzz/$(1)/%.o: CPPFLAGS += -I$(if $(filter load,$(1)),tests/load/lib,$(1)) \
    $(call sys,$(PCS_$(1)))

$(OUT)/unit/$(1)/%: $(OBJ)/tests/unit/$(1)/%.o $(call parts,$(1)) $(COMMON_LIB)
	@mkdir -p $$(@D)
	$$(call say,LINK $$@)$$(CC) $$(LDFLAGS) -o $$@ $$^ $(call pkg,--libs $(PCS_$(1)) cmocka) -lm

$(OBJ)/tests/proofs/$(1)/%.o: CPPFLAGS += -I$(1) $(call sys,$(PCS_$(1)))
$(OUT)/proofs/$(1)/%: $(OBJ)/tests/proofs/$(1)/%.o $(call parts,$(1)) $(COMMON_LIB)
	@mkdir -p $$(@D)
	$$(call say,LINK $$@)$$(CC) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $(COMMON_LIB) $(call pkg,--libs $(PCS_$(1))) -lm

$(OUT)/fuzz/$(1)/%: $(OBJ)/tests/fuzz/$(1)/%.o $(call parts,$(1)) $(COMMON_LIB) $(filter %.o,$(FUZZ_MAIN))
	@mkdir -p $$(@D)
	$$(call say,LINK $$@)$$(CC) $$(LDFLAGS) $(filter -%,$(FUZZ_MAIN)) -o $$@ $$^ $(call pkg,--libs $(PCS_$(1))) -lm
endef
$(foreach c,$(COMPONENTS),$(eval $(call COMPONENT,$(c))))

HARNESS := $(patsubst tests/harness/c/%.c,$(OUT)/harness/%,$(wildcard tests/harness/c/*.c))
HARNESS_OBJ := $(patsubst %.c,$(OBJ)/%.o,$(wildcard tests/harness/c/*.c tests/harness/c/lib/*.c))
$(HARNESS_OBJ): CPPFLAGS += -Itests/harness/c/lib $(call sys,$(COMMON_PCS))

$(OUT)/harness/%: $(OBJ)/tests/harness/c/%.o $(filter $(OBJ)/tests/harness/c/lib/%,$(HARNESS_OBJ)) $(COMMON_LIB)
	@mkdir -p $(@D)
	$(call say,LINK $@)$(CC) $(LDFLAGS) -o $@ $^ $(call pkg,--libs $(COMMON_PCS)) -lm

LOAD := $(patsubst tests/load/%.c,$(OUT)/load-bin/%,$(wildcard tests/load/*.c))
LOAD_OBJ := $(call objects,tests/load) $(LOAD_LIB)
$(LOAD_OBJ): CPPFLAGS += -Itests/load/lib $(call sys,$(COMMON_PCS))

$(OUT)/load-bin/%: $(OBJ)/tests/load/%.o $(LOAD_LIB) $(COMMON_LIB)
	@mkdir -p $(@D)
	$(call say,LINK $@)$(CC) $(LDFLAGS) -o $@ $^ $(call pkg,--libs $(COMMON_PCS)) -lm

# Always the plain build: `make VARIANT=release proof-programs`. Those in a folder named after a
# service are linked with its objects.
proof_sources = $(wildcard tests/proofs/$(1)/*.c)
SERVICE_PROOFS := $(foreach s,$(SERVICES),$(call proof_sources,$(s)))
PROOF_PROGRAMS := $(patsubst tests/proofs/%.c,$(OUT)/proofs/%,$(wildcard tests/proofs/*.c) \
    $(SERVICE_PROOFS))
PROOF_LIB := $(call objects,tests/proofs/lib)
PROOF_OBJ := $(call objects,tests/proofs) $(PROOF_LIB) $(patsubst %.c,$(OBJ)/%.o,$(SERVICE_PROOFS))
$(PROOF_OBJ): CPPFLAGS += -Itests/proofs/lib

# The service itself, of which one table is put aside.
$(OUT)/proofs/student-portal/hole: $(OBJ)/student-portal/main.o
$(OUT)/proofs/student-portal/hole: LDFLAGS += -Wl,--wrap=portal_routes

$(OUT)/proofs/%: $(OBJ)/tests/proofs/%.o $(PROOF_LIB) $(COMMON_LIB)
	@mkdir -p $(@D)
	$(call say,LINK $@)$(CC) $(LDFLAGS) -o $@ $^ $(call pkg,--libs $(COMMON_PCS)) -lm

define SERVICE
$(OUT)/$(1): $(call objects,$(1)) $(OBJ)/gen/$(1)_embed.o $(COMMON_LIB)
	@mkdir -p $$(@D)
	$$(call say,LINK $$@)$$(CC) $$(LDFLAGS) -o $$@ $$^ $(call pkg,--libs $(PCS_$(1))) -lm

$(call objects,$(1)) $(patsubst %.c,$(OBJ)/%.o,$(call unit_sources,$(1)) $(call fuzz_sources,$(1))): \
    | $(GEN)/$(1)_embed.h

$(GEN)/$(1)_embed.c $(GEN)/$(1)_embed.h &: common/embed.sh $(1)/schema $(1)/web \
    $(wildcard $(1)/schema/* $(1)/web/* common/web/*)
	@mkdir -p $(GEN)
	$$(call say,EMBED $(1))sh common/embed.sh $(1) $(GEN)

$(OBJ)/gen/$(1)_embed.o: $(GEN)/$(1)_embed.c
	@mkdir -p $$(@D)
	$$(call say,CC $$@)$$(CC) $$(CPPFLAGS) $$(CFLAGS) -c -o $$@ $$<
endef
$(foreach s,$(SERVICES),$(eval $(call SERVICE,$(s))))

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC $@)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

unit-tests: $(UNIT_TESTS) $(HARNESS) $(LOAD)
load-programs: $(LOAD)
proof-programs: $(PROOF_PROGRAMS)
fuzzers: $(FUZZERS)
# Every object there is, nothing linked.
compile: $(foreach c,$(COMPONENTS),$(call objects,$(c)) $(call parts,$(c)) \
    $(patsubst %.c,$(OBJ)/%.o,$(call unit_sources,$(c)) $(call fuzz_sources,$(c)))) \
    $(HARNESS_OBJ) $(LOAD_OBJ) $(PROOF_OBJ) $(OBJ)/tests/fuzz/replay.o

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
.SECONDARY:
.DELETE_ON_ERROR:

# --- what a person runs ---------------------------------------------------------------------

help:
	@echo 'make             release binaries in build/'
	@echo 'make demo        all four services on private stores, and a tour (ONCE=1: end after it)'
	@echo 'make test        unit and integration tests on the ASan and UBSan build (T=name: one of these)'
	@echo 'make test-tsan   unit tests, and those of the chat server, on the TSan build'
	@echo 'make lint        format check, warnings on gcc and clang, static analysis, layering'
	@echo 'make fuzz        every fuzz target for SECONDS=10'
	@echo 'make bench-scribe, bench-hub, bench-vault, bench-portal'
	@echo '                 load on one of them, beside the limit of the machine (QUICK=1: short)'
	@echo 'make load        all of these, then build/load/report.html'
	@echo 'make proofs      each question answered by an experiment (QUICK=1: short); make proof-d1: one'
	@echo 'make test-chroot test and demo on a clean SUITE=trixie, as root'
	@echo 'make test-mysql  what speaks SQL, built and run with MySQL itself (in a chroot, as root)'
	@echo 'make test-compose docker-compose.yml up, tour, faults and down, on stand-ins of the stores'
	@echo 'make format      clang-format in place'
	@echo 'make install     PREFIX=/usr/local, DESTDIR='
	@echo 'make clean'

# After set-up, as it brings the compiler and the libraries that pkg-config is asked for.
compiled = @$(MAKE) --no-print-directory -j$(shell nproc) $(if $(V),,-s)

demo:
	@tests/setup.sh demo
	$(compiled) all
	@exec tests/demo/demo $(if $(ONCE),--once)

test:
	@tests/setup.sh test
	@tests/run.sh asan '$(T)'

test-tsan:
	@tests/setup.sh test
	@tests/run.sh tsan

lint:
	@tests/setup.sh lint
	@tests/lint.sh

fuzz:
	@tests/setup.sh fuzz
	@tests/fuzz/run.sh $(or $(SECONDS),10)

bench-scribe bench-hub bench-vault bench-portal: bench-%:
	@tests/setup.sh demo
	@$(if $(filter portal,$*),tests/setup.sh bench-portal)
	$(compiled) all load-programs
	@PYTHONPATH=tests VARIANT=release python3 -B -m load.bench_$*

load:
	@tests/setup.sh load
	@tests/setup.sh bench-portal
	$(compiled) all load-programs
	@PYTHONPATH=tests VARIANT=release /usr/bin/python3 -B tests/load/load.py

test-chroot:
	@tests/setup.sh chroot
	@tests/chroot.sh $(or $(SUITE),trixie)

test-mysql:
	@tests/setup.sh chroot
	@tests/chroot.sh sid tests/mysql.sh

test-compose:
	@tests/setup.sh test
	@tests/setup.sh compose
	@build/venv/bin/python -B tests/compose/run.py

format:
	git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(SERVICES:%=$(OUT)/%) $(DESTDIR)$(PREFIX)/bin

clean:
	rm -rf build

# `make proof-d1` runs tests/proofs/d1_*/proof.py; `make proofs` all of them, then the report.
PROOFS := $(patsubst tests/proofs/%/proof.py,%,$(wildcard tests/proofs/*/proof.py))
PROOF_TARGETS := $(foreach p,$(PROOFS),proof-$(firstword $(subst _, ,$(p))))
$(PROOF_TARGETS): proof-%:
	@tests/setup.sh test
	$(compiled) all load-programs proof-programs
	@PYTHONPATH=tests:tests/proofs:tests/integration:tests/demo build/venv/bin/python -B \
	    tests/proofs/$*_*/proof.py

# All are made, then the report; it is what fails when one does not hold.
proofs:
	@tests/setup.sh load
	@rm -f build/proofs/*.json
	@for p in $(PROOF_TARGETS); do $(MAKE) --no-print-directory $$p || failed="$$failed $$p"; done; \
	    PYTHONPATH=tests:tests/proofs /usr/bin/python3 -B tests/proofs/report.py && \
	    if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi

.PHONY: proofs $(PROOF_TARGETS) all unit-tests fuzzers load-programs proof-programs load compile help demo test test-tsan lint fuzz bench-scribe bench-hub \
        bench-vault bench-portal test-chroot test-mysql test-compose format install clean
.DEFAULT_GOAL := all
