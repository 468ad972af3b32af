# What plain `make` does with a configuration, and the two commands for a new machine.
# Variables become overrides of origin "make"; .config is never edited.
make-set := $(strip $(if $(TIME),GPT2_MAX_TIME=$(TIME)) $(if $(MAX_ITERS),GPT2_MAX_ITERS=$(MAX_ITERS)) \
	$(if $(MAX_TOKENS),GPT2_MAX_TOKENS=$(MAX_TOKENS)) $(if $(SEED),SEED=$(SEED)) \
	$(if $(THREADS),NUM_THREADS=$(THREADS)) \
	$(if $(SEEDS),MATRIX_SEEDS=$(SEEDS)) $(if $(JOBS),PARALLEL_JOBS=$(JOBS)) \
	$(if $(TRACKER),$(foreach t,tensorboard trackio wandb,$(tracker-symbol-$(t))=$(if $(filter $(t),$(trackers)),y,n))) \
	$(SET))
export KNLP_MAKE_SET := $(make-set)
device-flag = $(if $(DEVICE),--device '$(DEVICE)')
train-flags = $(if $(OUT),--out '$(OUT)') $(device-flag) $(if $(filter-out 0 n,$(STRICT)),--strict) \
	$(if $(filter-out 0 n,$(DRY_RUN)),--dry-run) $(EXTRA_ARGS) \
	$(if $(TEXT),--set GPT2_DATASET_CUSTOM=y --set 'GPT2_CUSTOM_DATASET_PATH=$(TEXT)')
# Name of the preset that $(1)/.config is, for the manifest; nothing once it was changed.
preset-flag = $$(sed -n "s/^$$(sha256sum < $(1)/.config | cut -c1-64) /--preset /p" $(1)/include/config/preset 2>/dev/null)
# What a matrix is asked besides its configuration, and where arms that need a build of their own get it.
matrix-plan = $(KNLP) matrix plan --config $(O)/.config $(call preset-flag,$(O)) $(if $(OUT),--out '$(OUT)') \
	$(if $(RANGE_CONFIG),--range '$(RANGE_CONFIG)') \
	$(foreach b,$(BASELINE),$(foreach run,$(or $(wildcard $(b)),$(b)),--baseline-from '$(run)')) $(if $(filter-out 0 n,$(STRICT)),--strict) --source . --pch '$(PCH_DIR)' \
	$(EXTRA_ARGS)
matrix-run = $(if $(filter-out 0 n,$(DRY_RUN)),exec $(matrix-plan) --dry-run,$(call need-clients,$(configured-mirrors))\
	mkdir -p $(B) && place=$(B)/matrix.$$$$ && $(matrix-plan) --place "$$place" && matrix=$$(cat "$$place") && \
	rm -f "$$place" || exit $$?; $(call start-mirror,$(configured-mirrors),"$$matrix")exec $(KNLP) matrix $(matrix-engine) "$$matrix")
# A Slurm cluster gets the cells that are left, this machine runs them.
matrix-engine = $(if $(filter slurm,$(or $(ENGINE),$(if $(CONFIG_MATRIX_ENGINE_SLURM),slurm))),submit,run)
$(if $(filter-out local slurm,$(ENGINE)),$(error ENGINE=$(ENGINE) is neither local nor slurm))
# What takes OUTPUT_DIR and the like from the configuration takes them from that of O=.
knlp-config = $(if $(wildcard $(O)/.config),KCONFIG_CONFIG='$(O)/.config')
knlp-here = $(knlp-config) exec

##@ Runs
.PHONY: all run train matrix test-matrix parallel matrix-dry-run test-matrix-dry-run continue test-rerun estimate status \
	quickstart smoke report
all: build ## build if needed, then do what .config says
	$(if $(CONFIG_RUN_BUILD_ONLY),@:,$(if $(CONFIG_RUN_MATRIX),@$(matrix-run),@$(call start-mirror,$(configured-mirrors))exec \
	  $(KNLP) train --config $(O)/.config $(call preset-flag,$(O)) $(train-flags)))
run: all ## the same
train: build ## train as .config says
	@$(call start-mirror,$(configured-mirrors))exec $(KNLP) train --config $(O)/.config $(call preset-flag,$(O)) $(train-flags)
matrix: build ## plan the test matrix of .config and run its cells (OUT= for its directory)
	@$(matrix-run)
test-matrix: matrix
matrix-dry-run: build ## show the plan of that matrix: cells, exclusions, time and memory
	@exec $(matrix-plan) --dry-run
test-matrix-dry-run: matrix-dry-run
# A run goes on with the binary that is here, the cells of a matrix with the one their plan keeps.
needs-knlp = @[ -x $(KNLP) ] || { echo '*** $(KNLP) is not built; run "make build"' >&2; exit 2; }
drift-flag = $(if $(filter-out 0 n,$(ALLOW_DRIFT)),--allow-drift)
jobs-flag = $(if $(filter-out 0,$(JOBS)),--jobs '$(JOBS)')
parallel: ## make matrix with as many cells at once as fit; parallel-N: N at once
	+@$(MAKE) matrix JOBS=0
parallel-%:
	+@$(MAKE) matrix JOBS=$*
continue: ## go on with the newest interrupted run or matrix (TARGET=DIR for another)
	$(needs-knlp)
	@$(if $(knlp-config),export $(knlp-config);) target='$(TARGET)'; \
	[ -n "$$target" ] || target=$$($(KNLP) matrix continue --which) || exit; \
	$(if $(TRACKER),$(call start-mirror,$(asked-mirrors)),$(continue-mirror))if [ -e "$$target/plan.json" ]; then exec $(KNLP) matrix continue "$$target" $(jobs-flag) $(drift-flag) $(EXTRA_ARGS); \
	else exec $(KNLP) train --resume "$$target" $(device-flag) $(EXTRA_ARGS); fi
test-rerun: ## run cells of a matrix again, keeping what they came to before (TARGET=DIR CELLS='GLOB')
	$(needs-knlp)
	$(if $(and $(TARGET),$(CELLS)),,@echo "*** say which: make test-rerun TARGET=DIR CELLS='*_s1'" >&2; exit 2)
	@$(knlp-here) $(KNLP) matrix rerun '$(TARGET)' --cells '$(CELLS)' $(jobs-flag) $(drift-flag) $(EXTRA_ARGS)
estimate: ## how long the newest unfinished matrix will take (TARGET=DIR for another)
	$(needs-knlp)
	@$(knlp-here) $(KNLP) matrix estimate $(if $(TARGET),'$(TARGET)') $(jobs-flag) $(EXTRA_ARGS)
status: ## how far each cell of the newest unfinished matrix is (TARGET=DIR for another)
	$(needs-knlp)
	@$(knlp-here) $(KNLP) matrix status $(if $(TARGET),'$(TARGET)') $(EXTRA_ARGS)
report: ## write the report of the newest run or matrix (TARGET=DIR for another)
	@$(knlp-here) $(KNLP) report $(TARGET)

quickstart: setup ## bare machine to a trained GPT with a report (TEXT=FILE for your own text)
	@+$(MAKE) quickstart-run
.PHONY: quickstart-run
# The user's .config, where there is one, stays: the preset goes to a file of its own.
quickstart-run:
	@[ -e $(O)/.config ] || $(MAKE) defconfig-gpt2-nano-cpu
	@$(MAKE) build
	@mkdir -p $(B)/quickstart && $(MAKE) -s O=$(B)/quickstart defconfig-gpt2-nano-cpu
	@$(call start-mirror,$(asked-mirrors))exec $(KNLP) train --config $(B)/quickstart/.config --preset gpt2-nano-cpu $(train-flags)
smoke: build ## the smoke preset, end to end, in a minute
	@mkdir -p $(B)/smoke && $(MAKE) -s O=$(B)/smoke defconfig-smoke-gpt2
	@$(call start-mirror,$(asked-mirrors))exec $(KNLP) train --config $(B)/smoke/.config --preset smoke-gpt2 $(train-flags)

##@ Data and measuring
.PHONY: data-linuxdoc data-import data-check bench
data-force = $(if $(filter-out 0 n,$(FORCE)),--force)
data-linuxdoc: build ## the kernel documentation as a dataset (SRC=DIR for a tree of your own)
	@$(knlp-here) $(KNLP) data linuxdoc $(if $(SRC),--src '$(SRC)') $(data-force) $(EXTRA_ARGS)
data-import: build ## files as a dataset (SRC=FILES NAME=NAME; EXTRA_ARGS="--format jsonl" and the like)
	$(if $(and $(SRC),$(NAME)),,@echo '*** say which: make data-import SRC=FILES NAME=NAME' >&2; exit 2)
	@$(knlp-here) $(KNLP) data import --name '$(NAME)' $(data-force) $(EXTRA_ARGS) $(SRC)
data-dir = $(subst ",',$(CONFIG_DATA_DIR))
data-check: build ## is every dataset in the data directory whole? (NAME= for one)
	@status=0; for meta in $(if $(NAME),'$(NAME)',$(data-dir)/*/meta.json); do \
	  case $$meta in *'*'*) echo "no dataset in "$(data-dir); exit;; esac; \
	  $(knlp-config) $(KNLP) data check "$${meta%/meta.json}" $(EXTRA_ARGS) || status=$$?; done; exit $$status
bench: build ## measure this machine (EXTRA_ARGS=VERB for one of the measurements, THREADS=)
	@$(knlp-here) $(KNLP) bench $(if $(THREADS),--threads '$(THREADS)') $(or $(EXTRA_ARGS),all)

##@ Setting up and cleaning
.PHONY: setup deps deps-check clean mrproper distclean data-clean doctor man
setup: ## install what is missing (packages, LibTorch); says what it does
	@TORCH_VERSION=$(TORCH_VERSION) TORCH_DIR='$(torch-given)' sh scripts/setup.sh $(if $(filter-out 0 n,$(DRY_RUN)),--dry-run)
deps: setup
doctor: ## what is missing or odd on this machine, and the command that mends it
	@$(knlp-here) scripts/doctor $(KNLP)
deps-check: doctor
man: build ## show the manual page
	@mkdir -p $(B) && $(KNLP) man > $(B)/knlp.1 && exec man -l $(B)/knlp.1
clean: ## remove objects, keep the configuration and the binary
	$(call say,CLEAN,$(B))
	$(Q)rm -rf $(B)
mrproper: clean ## clean, and remove .config, generated files and the binary; never results or data
	$(Q)rm -rf $(O)/include/generated $(O)/include/config
	$(Q)rm -f $(O)/.config $(addprefix $(O)/.config,.old .tmp .old.tmp .rejected) $(KNLP)
	$(Q)rmdir $(O)/include 2>/dev/null || true
distclean: mrproper
data-clean: ## remove prepared data in data/ (asks; YES=1 does not)
	@answer=; [ -n '$(YES)' ] && answer=y || { printf 'remove data/? [y/N] '; read answer || echo; }; \
	if [ "$$answer" = y ]; then rm -rf data; else echo '*** data/ not removed; YES=1 removes it without asking' >&2; exit 1; fi
