# Finds LibTorch: TORCH_DIR=, the copy that scripts/setup.sh keeps in the user's cache, or an installed
# Python package (looked up without importing it). Nothing is downloaded here.
TORCH_VERSION ?= 2.11.0
KNLP_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/knlp
torch-cached := $(KNLP_CACHE)/libtorch-$(TORCH_VERSION)/torch
torch-given := $(TORCH_DIR)
# "override", because TORCH_DIR= given empty asks for the search. An absolute path, because the binary keeps it.
ifneq ($(TORCH_DIR),)
override TORCH_DIR := $(abspath $(TORCH_DIR))
endif
ifeq ($(TORCH_DIR),)
override TORCH_DIR := $(patsubst %/version.py,%,$(firstword $(wildcard $(torch-cached)/version.py)))
endif
ifeq ($(TORCH_DIR),)
override TORCH_DIR := $(shell python3 -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null)
endif
ifeq ($(TORCH_DIR),)
override TORCH_DIR := $(patsubst %/version.py,%,$(firstword $(wildcard $(HOME)/.local/lib/python3*/site-packages/torch/version.py)))
endif
TORCH_VERSION_FOUND := $(if $(TORCH_DIR),$(shell sed -n "s/^__version__ = '\(.*\)'/\1/p" $(TORCH_DIR)/version.py 2>/dev/null))
torch-minor := $(shell printf '%s' '$(TORCH_VERSION_FOUND)' | sed -n 's/^2\.\([0-9]*\)\..*/\1/p')

# What is wrong with it, in one line; empty when it will do.
torch-problem := $(if $(TORCH_DIR),$(if $(TORCH_VERSION_FOUND),$(if $(filter 11 12 13 14 15,$(torch-minor)),,$(if \
	$(filter y,$(TORCH_VERSION_OK)),,LibTorch $(TORCH_VERSION_FOUND) found at $(TORCH_DIR)$(comma) 2.11 to 2.15 wanted (TORCH_VERSION_OK=y to try))),no \
	LibTorch at TORCH_DIR=$(TORCH_DIR): version.py is missing there; give the folder that holds include/ and lib/),LibTorch \
	not found. Run make setup$(comma) give TORCH_DIR=$(comma) or install the Python package torch==$(TORCH_VERSION))

.PHONY: check-torch
check-torch:
	@problem='$(torch-problem)'; [ -z "$$problem" ] || { echo "*** $$problem" >&2; exit 5; }
