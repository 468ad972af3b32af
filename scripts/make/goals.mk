# The command line: a misspelt goal or variable is named with the nearest ones before anything is looked for
# or made, and one that would do nothing is refused.
nearest = $(shell awk -v word='$(1)' -v names='$(2)' -f scripts/nearest.awk)
# "$(1): " and what absent.list says of it.
absent = $(shell awk -v name='$(1)' '$$1 == name || ($$1 ~ /[*]$$/ && index(name, substr($$1, 1, length($$1) - 1)) == 1) \
	{sub(/^[^ ]+ +/, name ": "); print; exit}' scripts/make/absent.list)
# $(call refuse,NAME,what it is not,NAMES there are)
refuse = $(error $(or $(call absent,$(1)),$(1) is not $(2) of this Makefile; did you mean \
	$(call nearest,$(1:==),$(3))? make help lists them))

# Files are goals too; they have a slash or a dot in their names, as no target has.
named-goals := $(foreach g,$(MAKECMDGOALS),$(if $(findstring /,$(g))$(findstring .,$(g)),,$(g)))
ifneq ($(named-goals),)
known-goals := $(shell awk -F: '/^[a-z][a-z0-9 -]*:([^=]|$$)/ {print $$1}' Makefile scripts/make/*.mk) knlp
unknown-goal := $(firstword $(filter-out $(known-goals) defconfig-% fuzz-% parallel-%,$(named-goals)))
$(if $(unknown-goal),$(call refuse,$(unknown-goal),a target,$(known-goals)))
endif

given-variables := $(foreach v,$(filter-out -% MAKE% .%,$(.VARIABLES)),$(if $(filter command,$(origin $(v))),$(v)))
unknown-variable := $(firstword $(filter-out $(known-variables),$(given-variables)))
$(if $(unknown-variable),$(call refuse,$(unknown-variable)=,a variable,$(known-variables)))

# The goals that a variable is for; one without a line here is for all, or for the build.
train-goals := all run train quickstart quickstart-run smoke
run-goals := $(train-goals) continue
plan-goals := all run matrix test-matrix parallel parallel-% matrix-dry-run test-matrix-dry-run
cell-goals := continue test-rerun
goals-of-SEEDS := $(plan-goals)
goals-of-JOBS := $(plan-goals) $(cell-goals) estimate
goals-of-ENGINE := all run matrix test-matrix parallel parallel-%
goals-of-ALLOW_DRIFT := $(cell-goals)
goals-of-CELLS := test-rerun
goals-of-RANGE_CONFIG := $(plan-goals)
goals-of-BASELINE := $(plan-goals)
goals-of-TIME := $(run-goals) $(plan-goals)
goals-of-MAX_ITERS := $(run-goals) $(plan-goals)
goals-of-MAX_TOKENS := $(run-goals) $(plan-goals)
goals-of-SEED := $(run-goals) bench
goals-of-SET := $(run-goals) $(plan-goals) bench
goals-of-STRICT := $(train-goals) $(plan-goals)
goals-of-TEXT := $(train-goals)
goals-of-OUT := $(train-goals) $(plan-goals)
goals-of-TRACKER := $(run-goals) $(plan-goals) track-export
goals-of-TARGET := slurm-local continue test-rerun estimate status report track-export
goals-of-EXTRA_ARGS := slurm-local $(run-goals) $(plan-goals) test-rerun estimate status bench data-linuxdoc data-import data-check
goals-of-DEVICE := $(run-goals) bench-peers bench-goals bench-binary
goals-of-THREADS := $(run-goals) $(plan-goals) bench-peers bench-goals bench
goals-of-ROUNDS := bench-peers
goals-of-GOALS := bench-goals
goals-of-PEERS := bench-peers check-peers
goals-of-RECORD := bench-peers bench-goals
goals-of-LLMC_DIR := bench-peers
goals-of-LLAMA_DIR := bench-peers
goals-of-LLAMA_GGUF := bench-peers
goals-of-FUZZ_SECONDS := fuzz fuzz-%
goals-of-FUZZ_CXX := fuzz fuzz-%
goals-of-DEFCONFIG := defconfig savedefconfig
goals-of-FILE := import-defconfig
goals-of-NAME := import-defconfig data-import data-check
goals-of-SRC := data-import data-linuxdoc
goals-of-FORCE := savedefconfig import-defconfig data-import data-linuxdoc
goals-of-A := diffconfig
goals-of-SAN := check
goals-of-YES := data-clean

# What a make within make is given was meant for the outer one.
ifeq ($(MAKELEVEL),0)
asked-for := $(or $(MAKECMDGOALS),all)
idle-variable := $(firstword $(foreach v,$(given-variables),$(if $(goals-of-$(v)),$(if $(filter \
	$(goals-of-$(v)),$(asked-for)),,$(v)))))
$(if $(idle-variable),$(error $(idle-variable)= does nothing for make $(asked-for); it is for: \
	$(filter-out quickstart-run bench-binary,$(goals-of-$(idle-variable)))))
endif

# both is Trackio and W&B; TensorBoard's files are knlp's own.
trackers := $(patsubst both,trackio wandb,$(subst $(comma), ,$(TRACKER)))
tracker-names := none tensorboard trackio wandb
$(if $(filter-out $(tracker-names),$(trackers)),$(error TRACKER=$(TRACKER) is none of: $(tracker-names) both; \
	several go with commas between))
$(if $(and $(filter none,$(trackers)),$(filter-out none,$(trackers))),$(error TRACKER=$(TRACKER): none goes alone))
