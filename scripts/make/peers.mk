# Comparison with PyTorch, transformers, tokenizers, safetensors and TensorBoard, in a Python environment of
# its own in the user's cache directory.
peers-venv := $(KNLP_CACHE)/peers-$(TORCH_VERSION)
peers-o := $(B)/check

##@ Quality
.PHONY: check-peers
check-peers: setup ## compare with PyTorch, transformers and friends (PEERS= names one part)
	@scripts/peers/make_venv '$(peers-venv)' '$(TORCH_VERSION)'
	+@mkdir -p $(peers-o) && $(MAKE) -s O=$(peers-o) PCH_DIR=$(abspath $(PCH_DIR)) defconfig-gpt2-nano-cpu
	+@$(MAKE) O=$(peers-o) PCH_DIR=$(abspath $(PCH_DIR)) test-binaries
	@exec '$(peers-venv)/bin/python' scripts/peers/check --knlp $(peers-o)/knlp --config $(peers-o)/.config \
	  --tests $(peers-o)/build/tests --only '$(PEERS)' $(if $(KNLP_TEST_DATA),--data '$(KNLP_TEST_DATA)')
