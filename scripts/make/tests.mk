# Test binaries, one a folder of tests/: built from test-y (plain) and test-torch-y (LibTorch) of its
# Build.mk, linked with the archives named there in needs-y and nothing above them.
test-dirs := $(sort $(patsubst tests/%/Build.mk,%,$(wildcard tests/*/Build.mk)))
test-bins :=

define read_tests
test-y :=
test-torch-y :=
needs-y :=
include tests/$(1)/Build.mk
tplain-$(1) := $$(addprefix $(B)/tests/$(1)/,$$(addsuffix .o,$$(test-y)))
ttorch-$(1) := $$(addprefix $(B)/tests/$(1)/,$$(addsuffix .o,$$(test-torch-y)))
tneeds-$(1) := $$(filter $$(needs-y),$(layers))
test-plain-objs += $$(tplain-$(1))
test-torch-objs += $$(ttorch-$(1))
test-bins += $(B)/tests/test_$(1)
endef
$(foreach d,$(test-dirs),$(eval $(call read_tests,$(d))))

$(test-torch-objs): $(B)/%.o: %.cpp $(call gch,torch) $(B)/.flags-torch | $(G)/knlp_config.h
	$(call say,CXX [T],$*.cpp)
	$(call compile,torch)
$(test-plain-objs): $(B)/%.o: %.cpp $(call gch,test) $(B)/.flags-test | $(G)/knlp_config.h
	$(call say,CXX,$*.cpp)
	$(call compile,test)
-include $(wildcard $(test-plain-objs:.o=.d) $(test-torch-objs:.o=.d))

define test_binary
$(B)/tests/test_$(1): $$(tplain-$(1)) $$(ttorch-$(1)) $$(call archives,$$(tneeds-$(1)))
	$$(call say,LD,tests/test_$(1))
	$$(Q)$$(CXX) $$(ldflags) $$(tplain-$(1)) $$(ttorch-$(1)) $$(call archives,$$(tneeds-$(1))) \
	  $$(if $$(filter model optim train app,$$(tneeds-$(1)))$$(ttorch-$(1)),$$(libs-torch) $$(libs-cuda)) $$(libs-plain) \
	  -lgmock -lgtest -lgtest_main -o $$@.$$$$$$$$ && mv $$@.$$$$$$$$ $$@
endef
$(foreach d,$(test-dirs),$(eval $(call test_binary,$(d))))

.PHONY: test-binaries
test-binaries: $(KNLP) $(test-bins)

# Checking happens in a build of its own, so that the user's .config is neither needed nor touched.
CHECK_DIR ?= $(B)/check$(addprefix -,$(SAN))
check-o = $(CHECK_DIR)
check-make = +@mkdir -p $(check-o) && $(MAKE) O=$(check-o) PCH_DIR=$(PCH_DIR)
test-jobs := $(shell nproc 2>/dev/null || echo 2)
# SAN=address and its like: the same configuration with that sanitizer.
ifneq ($(filter-out address undefined thread,$(SAN))$(word 2,$(SAN)),)
$(error SAN=$(SAN) is none of address, undefined, thread)
endif
san-symbol = CONFIG_SANITIZE_$(if $(SAN:address=),$(if $(SAN:thread=),UNDEFINED,THREAD),ADDRESS)
san-config = $(if $(SAN),@sed -i 's/^CONFIG_SANITIZE_NONE=y/# CONFIG_SANITIZE_NONE is not set/; \
	s/^# $(san-symbol) is not set/$(san-symbol)=y/' $(check-o)/.config)
# LibTorch is not instrumented: what it allocates and frees across the border, and keeps to the end, is
# no finding.
san-environment = $(if $(CONFIG_SANITIZE_ADDRESS),LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp \
	ASAN_OPTIONS=detect_container_overflow=0:alloc_dealloc_mismatch=0:detect_odr_violation=0:protect_shadow_gap=0)

##@ Quality
.PHONY: check check-slow check-reliability check-docs ledger-verify test test-slow test-reliability check-tree check-torch-versions check-slow-builds check-random-build check-cuda check-slurm slurm-local
check: setup ## bare machine to tested: installs what is missing, builds, runs the tests
	$(check-make) defconfig-gpt2-nano-cpu
	$(san-config)
	$(check-make) check-tree
	$(check-make) test-binaries
	$(check-make) test
check-slow: setup ## the tests that take longer, and one random configuration built
	$(check-make) defconfig-gpt2-nano-cpu
	$(check-make) test-binaries
	$(check-make) test-slow
	@scripts/check-rebuild $(check-o)
	+@scripts/check-bundle $(check-o)
	@scripts/check-slurm $(check-o)
	+@$(MAKE) check-random-build
check-reliability: setup ## what kills, full disks, damage and signals may not do to a run, item by item
	$(check-make) defconfig-gpt2-nano-cpu
	$(check-make) test-binaries
	$(check-make) test-reliability
test: test-binaries
	@$(san-environment) KNLP_BIN=$(abspath $(KNLP)) KNLP_SRC=$(CURDIR) exec scripts/run-tests --jobs $(test-jobs) $(test-bins)
test-slow: test-binaries
	@KNLP_BIN=$(abspath $(KNLP)) KNLP_SRC=$(CURDIR) exec scripts/run-tests --jobs 1 --slow $(slow-bins)
test-reliability: test-binaries
	@KNLP_BIN=$(abspath $(KNLP)) KNLP_SRC=$(CURDIR) exec scripts/check-reliability $(B)/tests
slow-bins = $(foreach b,$(test-bins),$(if $(shell grep -lE 'Slow,' tests/$(patsubst test_%,%,$(notdir $(b)))/*.cpp 2>/dev/null),$(b)))
check-tree: check-kconfig ## what needs no build: Kconfig, layers, format, docs
	@scripts/check-layers
	@scripts/check-lists
	@scripts/check-format
	@scripts/check-docs
check-docs: ## links, commands and figures of the documentation; with a built knlp its commands run
	@scripts/check-docs $(addprefix --knlp ,$(firstword $(wildcard $(KNLP) $(check-o)/knlp)))
ledger-verify: ## is results/ledger.jsonl whole, and are its files what it says?
	@knlp='$(firstword $(wildcard $(KNLP) $(check-o)/knlp))'; \
	[ -n "$$knlp" ] || { echo '*** knlp is not built; run "make build"' >&2; exit 2; }; \
	exec "$$knlp" report verify-ledger results/ledger.jsonl

check-random-build: setup ## build one random configuration (KCONFIG_SEED= repeats one)
	+@scripts/check-random-builds 1
check-slow-builds: setup ## build everything off, everything on, and five random configurations
	+@scripts/check-random-builds --ends 5
check-torch-versions: ## build and test with the oldest and the newest LibTorch
	+@for version in 2.11.0 2.15.0; do echo "  LIBTORCH $$version"; \
	  $(MAKE) TORCH_VERSION=$$version TORCH_DIR= CHECK_DIR=$(B)/torch-$$version check || exit 1; done
check-cuda: setup ## build with USE_CUDA=y where nvcc is, start it without a driver, run the tests it has
	+@scripts/check-cuda
check-slurm: setup ## a matrix on a real Slurm: preemption, requeue, time limit, a killed cell (as root, with its packages)
	$(check-make) defconfig-gpt2-nano-cpu
	$(check-make) build
	@scripts/check-slurm $(check-o)
slurm-local: ## start a Slurm of one node (TARGET=DIR for its files; EXTRA_ARGS=stop ends it, status shows it)
	@scripts/slurm-local $(or $(EXTRA_ARGS),start) '$(or $(TARGET),$(B)/slurm)'
