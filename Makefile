# make            the dynamic module, against Debian's nginx-dev, in build/
# make unit       unit tests of the pure parts, with ASan and UBSan
# make sim        the simulators: a drive, the protocol, the whole store; and
#                 that they find what is broken on purpose (sim-controls)
# make sim-long   the whole store for an hour (LONG_SECONDS=...)
# make tsan       workers as threads over one shared memory, the thread pools
#                 and asynchronous I/O, under ThreadSanitizer
# make fuzz       every fuzzer: its corpus, then FUZZ_RUNS inputs, always the
#                 same; FUZZ_RUNS=-1 FUZZ_SEED=0 FUZZ_SECONDS=3600 searches on
# make s3ctl      the offline tool, build/s3ctl; s3ctl-asan with ASan and UBSan
# make bench      bench/run, with BENCH='options'; docs/benchmarks.md
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
FUZZ_SECONDS ?= 600
JOBS ?= $(shell nproc)
WARN := -Wall -Wextra -Werror
LIBS := -lisal -laio -lxxhash -ljansson -lexpat -lcrypto -lm -lpthread

PURE_SRC := $(sort $(wildcard storage/*.c ngx_s3_module/protocol/*.c))
PURE_ALL := $(sort $(wildcard storage/*.[ch] ngx_s3_module/protocol/*.[ch]))
CTL_SRC := $(sort $(wildcard ngx_s3_module/s3ctl/*.c))
CTL_ALL := $(sort $(wildcard ngx_s3_module/s3ctl/*.[ch]))
TEST_C := $(wildcard t/unit/*.[ch] t/sim/*.[ch] t/tsan/*.[ch] t/fuzz/*.[ch])
ALL_SRC := $(sort $(wildcard ngx_s3_module/*.[ch]) $(PURE_ALL))
INC := -I. -Istorage -Ingx_s3_module/protocol -Ingx_s3_module \
	-It/unit -It/sim

.PHONY: all module s3ctl s3ctl-asan unit tsan sim sim-store sim-long sim-controls \
	fuzz bench lint clean lint-rules \
	lint-format lint-clang
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
		> $(SOURCES).$$$$; \
	cmp -s $(SOURCES).$$$$ $(SOURCES) || cp $(SOURCES).$$$$ $(SOURCES); \
	rm -f $(SOURCES).$$$$)

# a release has ./configure, a checkout of the repository auto/configure
CONFIGURE := $(firstword $(wildcard $(NGINX_SRC)/configure) \
	$(NGINX_SRC)/auto/configure)

$(STAMP): config ngx_s3_module/status.html $(SOURCES) $(CONFIGURE)
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


# --- the offline tool -------------------------------------------------------

CTL := $(BUILD)/ctl
CTL_CFLAGS := -std=gnu11 -O2 -g $(WARN) $(INC) -MMD -MP
CTL_OWN := $(CTL_SRC:.c=.o) ngx_s3_module/ngx_s3_fs.o \
	ngx_s3_module/ngx_s3_fs_probe.o ngx_s3_module/ngx_s3_fs_time.o
CTL_OBJ := $(CTL_OWN) $(PURE_SRC:.c=.o)

$(CTL)/%.o: %.c
	@mkdir -p $(@D)
	@$(CC) $(CTL_CFLAGS) -c -o $@ $<

$(BUILD)/s3ctl: $(addprefix $(CTL)/,$(CTL_OBJ))
	@$(CC) -o $@ $^ $(LIBS)

s3ctl: $(BUILD)/s3ctl

# after the section below, which has the rule for its objects
s3ctl-asan: $(BUILD)/s3ctl-asan


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
SIM_SECONDS ?= 600

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
	@$(CC) $(SAN) -o $@ $(filter %.o,$^) $(UNIT_LIB) $(LIBS)

$(UNIT)/t/unit/test_s3ctl: $(addprefix $(UNIT)/,$(filter-out \
	ngx_s3_module/s3ctl/main.o,$(CTL_OWN)))

$(BUILD)/s3ctl-asan: $(addprefix $(UNIT)/,$(CTL_OBJ))
	@$(CC) $(SAN) -o $@ $^ $(LIBS)

# A file system with switches for what drives do, for t/faults.

.PHONY: faultfs
faultfs: $(BUILD)/faultfs

$(BUILD)/faultfs: t/faults/faultfs.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -D_FILE_OFFSET_BITS=64 \
		-o $@ $< $$(pkg-config --cflags --libs fuse3)

# A client that measures how long workers take, for t/faults.

.PHONY: probe
probe: $(BUILD)/probe

$(BUILD)/probe: t/faults/probe.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -o $@ $< -lpthread

# A library whose allocations fail when told to, for t/limits.

.PHONY: nomem
nomem: $(BUILD)/nomem.so

$(BUILD)/nomem.so: t/limits/nomem.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -shared -o $@ $<

# each of these commands, in quotes where there are arguments; as many at a
# time as there are processors
run_each = printf '%s\0' $(1) | xargs -0 -n 1 -P $(JOBS) t/lib/each $(SIM_SECONDS)

# those first that take longest, or one of them is what the others wait for
FIRST := $(wildcard $(patsubst %,t/unit/test_%.c,heal upload_race index store_local))
FIRST := $(FIRST:%.c=$(UNIT)/%)

.PHONY: programs
programs: $(UNIT_BIN) $(SIM_BIN)

unit: $(UNIT_BIN)
	@test -n "$(UNIT_BIN)" || { echo 'no unit tests found'; exit 1; }
	@$(call run_each,$(FIRST) $(filter-out $(FIRST),$(UNIT_BIN)))

sim: $(SIM_BIN) sim-store sim-controls
	@$(call run_each,$(SIM_BIN))

# The whole store in a simulated world: fast, and so that it can be broken on
# purpose and tells which blocks of storage/ were run.

WORLD := $(BUILD)/world
WORLD_OPT ?= -O2
WORLD_CFLAGS := -std=gnu11 $(WORLD_OPT) -g $(WARN) $(INC) -MMD -MP -DS3_BREAKS

# memory of its own, but not under a sanitizer; see s3_sim_memory.c
ifeq ($(findstring sanitize,$(WORLD_OPT)),)
WORLD_CFLAGS += -DSIM_MEMORY
WORLD_LINK := -Wl,--wrap=s3_place_init,--wrap=mmap,--wrap=munmap
endif

WORLD_SIM := $(filter-out t/sim/s3_mockdrive%.c,$(wildcard t/sim/s3_*.c)) \
	t/sim/store_sim.c
WORLD_PURE := $(wildcard storage/*.c)
STORE_SIM := $(WORLD)/store_sim

# where nothing happens between processes, there is nothing to watch
WORLD_PLAIN := $(addprefix storage/s3_,place.c code.c entry.c record.c \
	bloom.c format.c table.c table_block.c table_iter.c table_write.c \
	segment.c scan.c merge.c manifest_json.c core.c)

$(WORLD)/storage/%.o: storage/%.c
	@mkdir -p $(@D)
	@$(CC) $(WORLD_CFLAGS) -c -o $@ $< $(if $(filter $<,$(WORLD_PLAIN)),, \
		-fsanitize-coverage=trace-pc)

$(WORLD)/t/%.o: t/%.c
	@mkdir -p $(@D)
	@$(CC) $(WORLD_CFLAGS) -c -o $@ $<

$(STORE_SIM): $(patsubst %.c,$(WORLD)/%.o,$(WORLD_PURE) $(WORLD_SIM))
	@$(CC) $(WORLD_OPT) -no-pie $(WORLD_LINK) -o $@ $^ $(LIBS)

WORLD_SEED ?= 1
WORLD_SEEDS ?= 10000
WORLD_FLAGS ?=

# always the same seeds, on all processors
sim-store: $(STORE_SIM)
	@$(STORE_SIM) $(WORLD_SEED) $(WORLD_SEEDS) $(WORLD_FLAGS) \
		-c $(STORE_SIM).blocks
	@t/sim/cover $(STORE_SIM) $(STORE_SIM).blocks

sim-long: $(STORE_SIM)
	@$(MAKE) --no-print-directory sim-store WORLD_SEEDS=1000000000 \
		WORLD_FLAGS='-k -t $(or $(LONG_SECONDS),3600)' \
		WORLD_SEED=$(or $(LONG_SEED),1000000)

	-@$(MAKE) --no-print-directory sim-controls CONTROLS='$(RARE)'

# one way that seeds hardly ever find has a test of its own

WORLD_PENDING := $(WORLD)/t/unit/test_pending

$(WORLD_PENDING): $(patsubst %.c,$(WORLD)/%.o,$(WORLD_PURE) \
	$(wildcard t/sim/s3_mem*.c) t/unit/s3_nodebed.c t/unit/test_pending.c)
	@$(CC) $(WORLD_OPT) -o $@ $^ $(LIBS)

# broken on purpose: each way must be found, by so many seeds as the table in
# s3_sim_break.c says; RARE: mostly not by them
RARE := REFUSE_PENDING
CONTROLS = $(filter-out $(RARE),$(shell $(STORE_SIM) -l))

sim-controls: $(STORE_SIM) $(WORLD_PENDING)
	@$(WORLD_PENDING)
	@status=0; $(WORLD_PENDING) REFUSE_PENDING > /dev/null 2>&1 \
		|| status=$$?; test $$status = 1 \
		|| { echo "REFUSE_PENDING: $$status, not 1"; exit 1; }
	@failed=0; for x in $(CONTROLS); do \
		$(STORE_SIM) -x $$x > $(STORE_SIM).$$x || failed=1; \
		tail -1 $(STORE_SIM).$$x; rm -f $(STORE_SIM).$$x; done; \
	exit $$failed


# --- races ------------------------------------------------------------------------

# A report makes a program end with 66; the last run must.

TSAN := $(BUILD)/tsan
TSAN_SECONDS ?= 4
TSAN_CFLAGS := -std=gnu11 -O1 -g $(WARN) -fsanitize=thread $(INC) -It/tsan \
	-MMD -MP
TSAN_RACE := $(patsubst %.c,$(TSAN)/%,$(call programs,t/tsan))
TSAN_UNIT := $(TSAN)/t/unit/test_threads $(TSAN)/t/unit/test_aio
TSAN_OWN := $(call helpers,t/tsan) $(addprefix ngx_s3_module/ngx_s3_,fs.c \
	fs_probe.c fs_time.c threads.c aio.c)

$(TSAN)/%.o: %.c
	@mkdir -p $(@D)
	@$(CC) $(TSAN_CFLAGS) -c -o $@ $<

$(TSAN)/libs3.a: $(patsubst %.c,$(TSAN)/%.o,$(PURE_SRC))
	@rm -f $@
	@ar rcs $@ $^

$(TSAN_RACE): $(patsubst %.c,$(TSAN)/%.o,$(TSAN_OWN))

$(TSAN_RACE) $(TSAN_UNIT): $(TSAN)/%: $(TSAN)/%.o $(TSAN)/libs3.a
	@$(CC) -fsanitize=thread -o $@ $(filter %.o,$^) $(TSAN)/libs3.a $(LIBS)

tsan: $(TSAN_RACE) $(TSAN_UNIT)
	@$(call run_each,'$(TSAN)/t/tsan/race_node $(TSAN_SECONDS)' \
		'$(TSAN)/t/tsan/race_node $(TSAN_SECONDS) /dev/shm' \
		'$(TSAN)/t/tsan/race_zone 1' $(TSAN_UNIT))
	@status=0; $(TSAN)/t/tsan/race_zone broken > /dev/null 2>&1 \
		|| status=$$?; test $$status = 66 \
		|| { echo "race_zone broken: $$status, not 66"; exit 1; }


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
	@FUZZ_RUNS=$(FUZZ_RUNS) FUZZ_SEED=$(FUZZ_SEED) \
		FUZZ_SECONDS=$(FUZZ_SECONDS); \
	export FUZZ_RUNS FUZZ_SEED FUZZ_SECONDS; \
	printf '%s\0' $(FUZZ_BIN) | xargs -0 -n 1 -P $(JOBS) t/fuzz/run


# --- lint -------------------------------------------------------------------------

lint: lint-rules lint-format lint-clang

# storage/ and protocol/ know neither nginx nor the outside world; no file
# grows past what one can read; a note to oneself is no documentation
lint-rules:
	@! grep -nE '#include +[<"](ngx_|nginx)' $(PURE_ALL) $(filter-out \
		ngx_s3_module/s3ctl/rewrite.c,$(CTL_ALL)) /dev/null
	@! grep -nwE 'TODO|FIXME|XXX' $(ALL_SRC) $(CTL_ALL) $(TEST_C) /dev/null
	@wc -l $(ALL_SRC) $(CTL_ALL) /dev/null | awk '$$2 != "total" && $$1 > 800 \
		{ print $$2 ": " $$1 " lines, more than 800"; bad = 1 } \
		END { exit bad }'

lint-format:
	@test -z "$(PURE_ALL)" || $(CLANG_FORMAT) --dry-run -Werror $(PURE_ALL) \
		$(CTL_ALL)

lint-clang: config
	@printf '%s\0' $(PURE_SRC) $(CTL_SRC) $(filter %.c,$(TEST_C)) \
		| xargs -0 -n 8 -P $(JOBS) \
		$(CLANG) -std=gnu11 -fsyntax-only $(WARN) $(INC)
	+@$(MAKE) --no-print-directory module CC=$(CLANG) \
		BUILD=$(BUILD)/clang


bench:
	@bench/run --build $(ABS_BUILD) $(BENCH)

clean:
	rm -rf $(BUILD)

-include $(shell find $(CTL) $(UNIT) $(TSAN) $(FUZZ) $(WORLD) -name '*.d' 2>/dev/null)
