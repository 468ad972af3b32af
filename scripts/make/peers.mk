# Comparison with PyTorch, transformers, tokenizers, tiktoken, safetensors and TensorBoard, in a Python
# environment of its own in the user's cache directory; with llm.c and llama.cpp where the user has them.
peers-venv := $(KNLP_CACHE)/peers-$(TORCH_VERSION)
peers-o := $(B)/check
peers-imports := import numpy, safetensors, tensorboard, tiktoken, tokenizers, torch, transformers; \
	assert torch.__version__.split("+")[0] == "$(TORCH_VERSION)", torch.__version__
peers-packages := torch==$(TORCH_VERSION) transformers tokenizers tiktoken safetensors tensorboard numpy
# torch.compile writes C++ that includes Python's header; everything else works without.
peers-header = import os, sysconfig; raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))
define make-peers-venv
	@scripts/make-venv '$(peers-venv)' PEERS '$(peers-imports)' $(peers-packages)
	@'$(peers-venv)/bin/python' -c '$(peers-header)' || \
	  echo '  PEERS   Python.h is missing: torch.compile will not take part; run: apt install python3-dev' >&2
endef
# With DEVICE=cuda what is measured is built with CUDA, and the rows are those of a device.
bench-o := $(peers-o)$(if $(filter cuda%,$(DEVICE)),-cuda)

##@ Quality
.PHONY: check-peers bench-peers bench-goals bench-binary
check-peers: setup ## compare with PyTorch, transformers and friends (PEERS= names one part)
	$(make-peers-venv)
	+@mkdir -p $(peers-o) && $(MAKE) -s O=$(peers-o) PCH_DIR=$(PCH_DIR) defconfig-gpt2-nano-cpu
	+@$(MAKE) O=$(peers-o) PCH_DIR=$(PCH_DIR) test-binaries
	@exec '$(peers-venv)/bin/python' scripts/peers/check --knlp $(peers-o)/knlp --config $(peers-o)/.config \
	  --tests $(peers-o)/build/tests --only '$(PEERS)' $(if $(KNLP_TEST_DATA),--data '$(KNLP_TEST_DATA)')
bench-binary: setup
	+@mkdir -p $(bench-o) && $(MAKE) -s O=$(bench-o) PCH_DIR=$(PCH_DIR) defconfig-gpt2-nano-cpu
	+@$(if $(filter cuda%,$(DEVICE)),sed -i 's/^# CONFIG_USE_CUDA is not set/CONFIG_USE_CUDA=y/' $(bench-o)/.config && \
	  $(MAKE) -s O=$(bench-o) PCH_DIR=$(PCH_DIR) olddefconfig)
	+@$(MAKE) O=$(bench-o) PCH_DIR=$(PCH_DIR) build $(if $(filter cuda%,$(DEVICE)),$(bench-o)/build/tests/test_model)
# What torch.compile made stays in $(B)/peers, so that a second run begins sooner.
bench-peers: bench-binary ## speed and memory against PyTorch and others, in turns (PEERS= ROUNDS= THREADS= DEVICE= RECORD=1)
	$(make-peers-venv)
	@exec '$(peers-venv)/bin/python' scripts/peers/bench --knlp $(bench-o)/knlp --config $(bench-o)/.config \
	  --scratch $(B)/peers --only '$(PEERS)' $(if $(DEVICE),--device '$(DEVICE)') $(if $(THREADS),--threads '$(THREADS)') \
	  $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(filter-out 0 n,$(RECORD)),--record) \
	  $(if $(LLMC_DIR),--llmc '$(LLMC_DIR)') $(if $(LLAMA_DIR),--llama '$(LLAMA_DIR)') \
	  $(if $(LLAMA_GGUF),--gguf '$(LLAMA_GGUF)') \
	  $(if $(KNLP_TEST_DATA),$(if $(wildcard $(KNLP_TEST_DATA)/gpt2.tiktoken),--ranks '$(KNLP_TEST_DATA)/gpt2.tiktoken'))
bench-goals: bench-binary ## what this machine reaches by itself, against its goals (GOALS= THREADS= DEVICE= RECORD=1)
	@exec python3 scripts/peers/bench_goals --knlp $(bench-o)/knlp --config $(bench-o)/.config --scratch $(B)/goals \
	  --only '$(GOALS)' $(if $(DEVICE),--device '$(DEVICE)') $(if $(THREADS),--threads '$(THREADS)') $(if $(filter-out 0 n,$(RECORD)),--record)
