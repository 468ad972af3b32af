# knlp: machine-learning research built the way the Linux kernel is built.
# `make help` lists the targets. Features live in */Build.mk and Kconfig, never here.
MAKEFLAGS += -rR --no-print-directory
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

O ?= .
O := $(patsubst %/,%,$(O))
B := $(O)/build
KNLP := $(O)/knlp
G := $(O)/include/generated

# A LibTorch object takes about 1.2 GB: no more jobs than memory or cores allow. -jN given by hand wins.
jobs := $(shell awk -v n=$$(nproc) '/MemAvailable/ {m = int($$2 / 1258291); print (m < 1 ? 1 : m < n ? m : n)}' /proc/meminfo)
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(jobs)
endif

include scripts/make/log.mk
include scripts/make/variables.mk
include scripts/make/goals.mk
include scripts/make/$(if $(BUNDLE),bundle,kconfig).mk
include scripts/make/torch.mk
include scripts/make/build.mk
include scripts/make/tests.mk
include scripts/make/fuzz.mk
include scripts/make/peers.mk
include scripts/make/trackers.mk
include scripts/make/cost.mk
include scripts/make/run.mk
