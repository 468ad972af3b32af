# Trackio and W&B: their clients in a Python environment of its own, and the process that mirrors a run to them.
# The mirror is no part of a run: knlp starts nothing, and whatever becomes of the mirror, the run goes on.
trackers-packages := trackio==0.43.0 wandb==0.29.0 tensorboard==2.21.0
trackers-venv := $(KNLP_CACHE)/trackers-trackio-0.43.0-wandb-0.29.0
trackers-imports := import tensorboard, trackio, wandb; from wandb.sdk.internal.datastore import DataStore
trackers-python = '$(trackers-venv)/bin/python'
tracker-symbol-tensorboard := ENABLE_TENSORBOARD
tracker-symbol-trackio := ENABLE_TRACKIO
tracker-symbol-wandb := ENABLE_WANDB

asked-mirrors = $(filter trackio wandb,$(trackers))
configured-mirrors = $(if $(TRACKER),$(asked-mirrors),$(if $(CONFIG_ENABLE_TRACKIO)$(filter ENABLE_TRACKIO=y,$(SET)),trackio) \
	$(if $(CONFIG_ENABLE_WANDB)$(filter ENABLE_WANDB=y,$(SET)),wandb))
# $$ of the recipe's shell is the process that exec makes knlp of; the mirror looks where that process writes.
run-mirror = export KNLP_MIRROR=1; mkdir -p $(B); \
	$(trackers-python) scripts/track_mirror.py --process $$$$ $(1) < /dev/null > /dev/null 2>> $(B)/mirror.log & 
need-clients = $(if $(strip $(1)),[ -e '$(trackers-venv)/.complete' ] || { echo '*** the clients of $(strip $(1)) are not \
	installed; run: make trackers (TRACKER=none goes without)' >&2; exit 5; };)
# $(call start-mirror,CLIENTS[,DIRECTORY]): before "exec knlp" in a recipe; nothing without clients.
start-mirror = $(if $(strip $(1)),$(call need-clients,$(1)) \
	echo '  MIRROR  $(strip $(1)); what goes wrong is in mirror.log of the run directory' >&2; \
	$(call run-mirror,--to $(subst $(space),$(comma),$(strip $(1))) $(2)))
# What the run that is gone on with was configured for; the mirror looks, and ends when that is nothing.
continue-mirror = $(if $(wildcard $(trackers-venv)/.complete),$(call run-mirror,))

##@ Runs
.PHONY: trackers track-export
trackers: ## install the clients of Trackio and W&B for TRACKER= (by pip, apart from everything else)
	@scripts/make-venv '$(trackers-venv)' TRACKERS '$(trackers-imports)' $(trackers-packages)
track-export: $(if $(TARGET),trackers) ## write runs or matrices anew into trackers (TARGET=DIR TRACKER=)
	$(if $(TARGET),,@echo '*** say which: make track-export TARGET=DIR [TRACKER=trackio,wandb]' >&2; exit 2)
	$(if $(TRACKER),$(if $(asked-mirrors),,@echo '*** TRACKER=$(TRACKER): take trackio, wandb or both; TensorBoard files \
	are written by the run itself' >&2; exit 2))
	@exec $(trackers-python) scripts/track_mirror.py --once --anew \
	  --to '$(if $(TRACKER),$(subst $(space),$(comma),$(asked-mirrors)),both)' $(TARGET)

##@ Quality
.PHONY: check-trackers
check-trackers: setup trackers ## mirror small runs to the real clients and read them back
	+@mkdir -p $(peers-o) $(B)/smoke && $(MAKE) -s O=$(peers-o) PCH_DIR=$(PCH_DIR) defconfig-gpt2-nano-cpu
	+@$(MAKE) -s O=$(B)/smoke PCH_DIR=$(PCH_DIR) defconfig-smoke-gpt2
	+@$(MAKE) O=$(peers-o) PCH_DIR=$(PCH_DIR) build
	@exec $(trackers-python) scripts/check-trackers --knlp $(peers-o)/knlp --config $(B)/smoke/.config
