# Configuration: from .config to make variables and generated headers.
PYTHON := /usr/bin/python3 -B
KCONFIG_CONFIG ?= $(O)/.config
export KCONFIG_CONFIG
export KNLP_HAVE_CUDA := $(if $(shell command -v $(or $(NVCC),nvcc)),y)
kconfig-files := Kconfig $(wildcard src/*/Kconfig)
kconfig-tools := $(wildcard scripts/kconfig/*.py scripts/kconfig/*.list scripts/kconfig/aliases)
kconfig-goals := defconfig-%
no-config-goals := $(kconfig-goals) clean help

config-wanted := $(if $(MAKECMDGOALS),$(filter-out $(no-config-goals),$(MAKECMDGOALS)),all)
ifneq ($(config-wanted),)
include $(O)/include/config/auto.conf
endif

$(O)/include/config/auto.conf: $(wildcard $(KCONFIG_CONFIG)) $(kconfig-files) $(kconfig-tools)
	$(Q)$(PYTHON) scripts/kconfig/sync.py $(KCONFIG_CONFIG) $(O)
$(G)/knlp_config.h $(G)/config_schema.inc: $(O)/include/config/auto.conf ;

defconfig-%:
	$(Q)mkdir -p $(O) && kconfig-conf -s --defconfig=defconfigs/$* Kconfig
