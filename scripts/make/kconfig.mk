# Configuration: targets that make or change .config, and the step from .config to make variables and
# generated headers. Everything strict happens in scripts/kconfig; no target here edits .config itself.
ifneq ($(words $(O)),1)
$(error O='$(O)' must be one directory, without blanks in its path)
endif
dotconfig := $(O)/.config
auto-conf := $(O)/include/config/auto.conf
PYTHON := /usr/bin/python3 -B
# nvcc decides whether USE_CUDA is offered; NVCC= names one that is not on PATH.
export KNLP_HAVE_CUDA := $(if $(shell command -v '$(or $(NVCC),nvcc)'),y)

kconfig-goals := config menuconfig nconfig oldconfig olddefconfig listnewconfig defconfig defconfig-% \
	savedefconfig allnoconfig allyesconfig alldefconfig randconfig diffconfig import-defconfig
# Goals that work without a .config, or bring one of their own.
no-config-goals := $(kconfig-goals) help kconfig-help list-defconfigs list-all-defconfigs check-kconfig \
	check-layers check-docs ledger-verify check-tree docs-config clean mrproper distclean data-clean setup deps deps-check doctor \
	quickstart quickstart-run check check-slow check-slow-builds check-random-build check-torch-versions \
	check-cuda check-slurm slurm-local check-reliability check-peers bench-peers bench-goals bench-binary include-cost bundle continue test-rerun estimate status report \
	trackers check-trackers track-export

# B is also the directory of objects, which clean removes.
ifeq ($(MAKELEVEL)-$(origin B),0-command line)
$(if $(filter-out diffconfig,$(or $(MAKECMDGOALS),all)),$(error B= belongs to diffconfig; O= chooses where things are made))
endif

asked-goals := $(filter $(kconfig-goals),$(MAKECMDGOALS))
other-goals := $(filter-out $(kconfig-goals),$(MAKECMDGOALS))
# Under -j they would race, and make would have read the .config before they change it.
ifneq ($(word 2,$(asked-goals))$(and $(asked-goals),$(other-goals)),)
$(error configuration targets go alone; run: $(wordlist 2,99,$(foreach g,$(asked-goals),&& make $(g)) \
	$(if $(other-goals),&& make $(other-goals))))
endif

ifneq ($(if $(MAKECMDGOALS),$(filter-out $(no-config-goals),$(MAKECMDGOALS)),all),)
ifeq ($(wildcard $(dotconfig)),)
# Nothing may be made, not even a directory, so this is no recipe.
$(shell scripts/list-defconfigs --missing '$(dotconfig)' >&2)
$(error no configuration)
endif
# Time stamps miss a .config that was moved into place and a compiler that came or went.
stale := $(shell cmp -s '$(dotconfig)' $(O)/include/config/synced && grep -qx 'synced-cuda := $(KNLP_HAVE_CUDA)' $(auto-conf) || echo FORCE)
include $(auto-conf)
endif

kconfig-run = KCONFIG_CONFIG='$(dotconfig)' exec $(PYTHON) scripts/kconfig/$(1)
need-python = @command -v $(firstword $(PYTHON)) >/dev/null || \
	{ echo '*** python3 not found: apt install python3 python3-kconfiglib' >&2; exit 2; }

$(auto-conf): $(dotconfig) Kconfig $(wildcard src/*/Kconfig) $(stale) \
		$(wildcard scripts/kconfig/*.py scripts/kconfig/*.list scripts/kconfig/aliases)
	$(need-python)
	$(call say,SYNC,$(dotconfig))
	$(Q)exec $(PYTHON) scripts/kconfig/sync.py '$(dotconfig)' '$(O)'
$(dotconfig):
$(G)/knlp_config.h $(G)/config_schema.inc: $(auto-conf) ;

##@ Configuration
.PHONY: $(filter-out %-%,$(kconfig-goals)) import-defconfig list-defconfigs list-all-defconfigs \
	check-kconfig docs-config help kconfig-help
menuconfig: ## change .config in menus
nconfig: ## the same with other keys
config: ## answer every question, one by one
oldconfig: ## answer only what is new since .config was written
olddefconfig: ## take the default of everything new
listnewconfig: ## what is new since .config was written
allnoconfig: ## everything off that can be off
allyesconfig: ## everything on that can be on
alldefconfig: ## every default
randconfig: ## a random configuration (KCONFIG_SEED= repeats one)
menuconfig nconfig config oldconfig olddefconfig listnewconfig allnoconfig allyesconfig alldefconfig randconfig:
	$(need-python)
	@$(call kconfig-run,configure.py) $@

# Each preset is a target of its own, so that shells complete it; the pattern answers for all others.
preset-goals := $(patsubst defconfigs/%,defconfig-%,$(filter-out %/RETIRED,$(wildcard defconfigs/*)))
.PHONY: $(preset-goals)
# $(call load-preset,NAME): also notes which preset the .config is, for the manifest of a run.
define load-preset
	$(need-python)
	@$(call kconfig-run,kconfcheck.py) preset '$(1)'
	@mkdir -p $(O)/include/config && printf '%s %s\n' "$$(sha256sum < '$(dotconfig)' | cut -c1-64)" \
	  '$(1)' > $(O)/include/config/preset
endef
$(preset-goals):
	$(call load-preset,$(patsubst defconfig-%,%,$@))
defconfig-%: FORCE ## load the preset of that name
	$(call load-preset,$*)
defconfig: ## load a preset (DEFCONFIG=NAME)
	$(if $(DEFCONFIG),,@echo 'knlp: note: no DEFCONFIG= given, taking gpt2-vanilla-baseline' >&2)
	$(call load-preset,$(or $(DEFCONFIG),gpt2-vanilla-baseline))
savedefconfig: ## write .config as a minimal preset (DEFCONFIG=NAME puts it in defconfigs/)
	$(need-python)
	@FORCE='$(FORCE)' $(call kconfig-run,defconfig.py) save $(if $(DEFCONFIG),'defconfigs/$(DEFCONFIG)','$(O)/defconfig')
import-defconfig: ## translate an upstream preset (FILE=path NAME=new)
	$(need-python)
	$(if $(and $(FILE),$(NAME)),,@echo '*** say which: make import-defconfig FILE=path NAME=new' >&2; exit 2)
	@FORCE='$(FORCE)' $(call kconfig-run,defconfig.py) import '$(FILE)' 'defconfigs/$(NAME)'
diffconfig: ## what changes from preset or file A= to B= (.config.old and .config)
	$(need-python)
	@$(call kconfig-run,defconfig.py) diff '$(or $(A),$(dotconfig).old)' '$(if $(filter command,$(origin B)),$(B),$(dotconfig))'
list-defconfigs: ## the presets
	@exec scripts/list-defconfigs
list-all-defconfigs: list-defconfigs
docs-config: ## write the pages of docs/ that follow from Kconfig files, presets and aliases
	$(need-python)
	@$(PYTHON) scripts/kconfig/reference.py docs/config-reference.md
	@exec $(PYTHON) scripts/kconfig/pages.py docs
check-kconfig: ## check the Kconfig tree, the presets and who reads which symbol
	$(need-python)
	@exec $(PYTHON) scripts/check-kconfig
help: ## this list
	@exec awk -f scripts/make-help.awk Makefile scripts/make/*.mk
kconfig-help: ## how configuration works
	@exec awk -f scripts/make-help.awk -v only=Configuration scripts/make/kconfig.mk
