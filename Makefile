# make            the dynamic module, against Debian's nginx-dev, in build/
# make unit       unit tests of the pure parts, with ASan and UBSan
# make sim        the simulator, built the same way
# make fuzz       every fuzzer: its corpus, then FUZZ_RUNS inputs, always the
#                 same; FUZZ_RUNS=-1 FUZZ_SEED=0 FUZZ_SECONDS=3600 searches on
# make lint       format, rules of the rooms, and a clang build of everything
# make clean
#
# Another nginx:  make NGINX_SRC=/path/to/nginx-1.29.8 \
#                      NGINX_CONFIGURE="--with-compat --with-debug" BUILD=build/mainline
# (the tree is one of nginx's own release sources; its Makefile is rewritten.)

SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.DELETE_ON_ERROR:

TOP := $(CURDIR)
BUILD ?= build
ABS_BUILD := $(abspath $(BUILD))
CC ?= cc
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
CLANG_FORMAT ?= clang-format
FUZZ_RUNS ?= 10000
FUZZ_SEED ?= 1
FUZZ_SECONDS ?= 60
WARN := -Wall -Wextra -Werror
LIBS := -lisal -laio -lxxhash -ljansson -lexpat -lcrypto -lm -lpthread

PURE_SRC := $(sort $(wildcard storage/*.c ngx_s3_module/protocol/*.c))
PURE_ALL := $(sort $(wildcard storage/*.[ch] ngx_s3_module/protocol/*.[ch]))
TEST_C := $(wildcard t/unit/*.[ch] t/sim/*.[ch] t/fuzz/*.[ch])
ALL_SRC := $(sort $(wildcard ngx_s3_module/*.[ch]) $(PURE_ALL))
INC := -I. -Istorage -Ingx_s3_module/protocol -Ingx_s3_module \
	-It/unit -It/sim

.PHONY: all module unit sim fuzz lint clean lint-rules lint-format lint-clang
all: module


# --- the module -------------------------------------------------------------

NGINX_SRC ?= /usr/share/nginx/src
OBJ := $(ABS_BUILD)/nginx
STAMP := $(ABS_BUILD)/configured
SOURCES := $(ABS_BUILD)/sources
CC_OPT ?= -O2 -g $(WARN) -Wno-unused-parameter
LD_OPT ?=

# the list of the sources, touched only when a file came or went
$(shell mkdir -p $(ABS_BUILD); \
	echo '$(ALL_SRC) $(NGINX_SRC) $(NGINX_CONFIGURE) $(CC) $(CC_OPT)' \
		> $(SOURCES).new; \
	cmp -s $(SOURCES).new $(SOURCES) || cp $(SOURCES).new $(SOURCES); \
	rm -f $(SOURCES).new)

# a release has ./configure, a checkout of the repository auto/configure
CONFIGURE := $(firstword $(wildcard $(NGINX_SRC)/configure) \
	$(NGINX_SRC)/auto/configure)

$(STAMP): config $(SOURCES) $(CONFIGURE)
	@echo "configure ($(NGINX_SRC))"
	@cd $(NGINX_SRC); \
	if [ -f conf_flags ]; then . ./conf_flags; else NGX_CONF_FLAGS=(); fi; \
	$(CONFIGURE) --with-cc='$(CC)' --with-cc-opt='$(CC_OPT)' \
		--with-ld-opt='$(LD_OPT)' "$${NGX_CONF_FLAGS[@]}" \
		$(NGINX_CONFIGURE) --add-dynamic-module=$(TOP) \
		--builddir=$(OBJ) > $(ABS_BUILD)/configure.log 2>&1 \
		|| { cat $(ABS_BUILD)/configure.log >&2; exit 1; }
	@touch $@

module: $(STAMP)
	+@$(MAKE) --no-print-directory -s -C $(NGINX_SRC) \
		-f $(OBJ)/Makefile modules
	@cd $(OBJ) && for so in *.so; do \
		cmp -s $$so ../$$so || { cp $$so ../$$so.new; \
		mv ../$$so.new ../$$so; }; done


# --- unit tests and the simulator ---------------------------------------------

# A .c file with a main function is a program; the others in its directory are
# linked into every program of that directory.
MAIN := ^(int )?main *\(
programs = $(if $(wildcard $(1)/*.c),$(shell grep -lE '$(MAIN)' $(1)/*.c))
helpers = $(filter-out $(call programs,$(1)),$(wildcard $(1)/*.c))

SAN := -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
UNIT_CFLAGS := -std=gnu11 -O1 -g $(WARN) $(SAN) $(INC) -MMD -MP
UNIT := $(BUILD)/unit
UNIT_LIB := $(UNIT)/libs3.a
SIM_SECONDS ?= 300

UNIT_BIN := $(patsubst %.c,$(UNIT)/%,$(call programs,t/unit))
SIM_BIN := $(patsubst %.c,$(UNIT)/%,$(call programs,t/sim))
LIB_SRC := $(PURE_SRC) $(call helpers,t/unit) $(call helpers,t/sim)

$(UNIT)/%.o: %.c
	@mkdir -p $(@D)
	@$(CC) $(UNIT_CFLAGS) -c -o $@ $<

$(UNIT_LIB): $(patsubst %.c,$(UNIT)/%.o,$(LIB_SRC))
	@rm -f $@
	@ar rcs $@ $^

$(UNIT_BIN) $(SIM_BIN): $(UNIT)/%: $(UNIT)/%.o $(UNIT_LIB)
	@$(CC) $(SAN) -o $@ $< $(UNIT_LIB) $(LIBS)

run_each = failed=0; for t in $(1); do printf '%-44s ' "$$t"; \
	if timeout $(SIM_SECONDS) $$t > $$t.out 2>&1; then tail -1 $$t.out; \
	else echo "FAILED ($$?)"; cat $$t.out; failed=1; fi; done; \
	exit $$failed

unit: $(UNIT_BIN)
	@test -n "$(UNIT_BIN)" || { echo 'no unit tests found'; exit 1; }
	@$(call run_each,$(UNIT_BIN))

sim: $(SIM_BIN)
	@$(call run_each,$(SIM_BIN))


# --- fuzzers --------------------------------------------------------------------

FUZZ := $(BUILD)/fuzz
FUZZ_CFLAGS := -std=gnu11 -O1 -g $(WARN) $(INC) -MMD -MP \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_BIN := $(patsubst t/fuzz/%.c,$(FUZZ)/%,$(wildcard t/fuzz/fuzz_*.c))
FUZZ_LIB := $(FUZZ)/libs3.a

$(FUZZ)/obj/%.o: %.c
	@mkdir -p $(@D)
	@$(CLANG) $(FUZZ_CFLAGS) -c -o $@ $<

$(FUZZ_LIB): $(patsubst %.c,$(FUZZ)/obj/%.o,$(LIB_SRC))
	@rm -f $@
	@ar rcs $@ $^

$(FUZZ_BIN): $(FUZZ)/%: $(FUZZ)/obj/t/fuzz/%.o $(FUZZ_LIB)
	@$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $< $(FUZZ_LIB) \
		$(LIBS)

fuzz: $(FUZZ_BIN)
	@test -n "$(FUZZ_BIN)" || { echo 'no fuzzers found'; exit 1; }
	@for f in $(FUZZ_BIN); do \
		name=$$(basename $$f); topic=$${name#fuzz_}; \
		seeds=t/fuzz/corpus/$$topic; found=$(FUZZ)/corpus/$$topic; \
		rm -rf $$found; mkdir -p $$found; \
		test -n "$$(ls $$seeds 2>/dev/null)" \
			|| { echo "$$name: no corpus in $$seeds"; exit 1; }; \
		printf '%-44s ' $$name; \
		$$f -seed=$(FUZZ_SEED) -runs=$(FUZZ_RUNS) \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 \
			-rss_limit_mb=2048 -artifact_prefix=$(FUZZ)/$$topic- \
			-print_final_stats=1 $$found $$seeds > $$f.out 2>&1 \
			|| { echo FAILED; tail -60 $$f.out; exit 1; }; \
		sed -n 's/^stat::number_of_executed_units: */executions: /p' \
			$$f.out; \
	done


# --- lint -------------------------------------------------------------------------

lint: lint-rules lint-format lint-clang

# storage/ and protocol/ know neither nginx nor the outside world; no file
# grows past what one can read; a note to oneself is no documentation
lint-rules:
	@! grep -nE '#include +[<"](ngx_|nginx)' $(PURE_ALL) /dev/null
	@! grep -nwE 'TODO|FIXME|XXX' $(ALL_SRC) $(TEST_C) /dev/null
	@wc -l $(ALL_SRC) /dev/null | awk '$$2 != "total" && $$1 > 800 \
		{ print $$2 ": " $$1 " lines, more than 800"; bad = 1 } \
		END { exit bad }'

lint-format:
	@test -z "$(PURE_ALL)" || $(CLANG_FORMAT) --dry-run -Werror $(PURE_ALL)

lint-clang: config
	@for f in $(PURE_SRC) $(wildcard t/unit/*.c t/sim/*.c t/fuzz/*.c); do \
		$(CLANG) -std=gnu11 -fsyntax-only $(WARN) $(INC) $$f; done
	+@$(MAKE) --no-print-directory module CC=$(CLANG) \
		BUILD=$(BUILD)/clang


clean:
	rm -rf $(BUILD)

-include $(shell find $(UNIT) $(FUZZ) -name '*.d' 2>/dev/null)
