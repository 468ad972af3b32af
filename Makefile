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

include scripts/make/log.mk
include scripts/make/kconfig.mk
include scripts/make/torch.mk
include scripts/make/build.mk
include scripts/make/tests.mk
include scripts/make/run.mk
