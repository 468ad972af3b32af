# Variables of the command line. One that is not listed is an error: a misspelt TRACKER= must not pass.
known-variables += O            ## directory for everything that is made
known-variables += V            ## 1 prints the commands themselves
known-variables += TIME         ## training budget in seconds
known-variables += MAX_ITERS    ## training budget in optimizer steps
known-variables += MAX_TOKENS   ## training budget in tokens
known-variables += SEED         ## random seed
known-variables += SET          ## "SYMBOL=value …" for this run; .config stays as it is
known-variables += STRICT       ## 1 refuses substitutes and schedules that cannot complete
known-variables += TEXT         ## a text file or directory to learn from
known-variables += OUT          ## run directory
known-variables += TARGET       ## run directory to continue or to report
known-variables += DRY_RUN      ## 1 shows what would be done
known-variables += EXTRA_ARGS   ## more options for knlp
known-variables += DEFCONFIG    ## preset to load or to save
known-variables += FORCE        ## 1 overwrites a preset
known-variables += A B          ## what diffconfig compares
known-variables += FILE NAME    ## what import-defconfig reads and writes
known-variables += KCONFIG_SEED ## repeats a randconfig
known-variables += KCONFIG_PROBABILITY ## of y in randconfig, in percent
known-variables += KCONFIG_ALLCONFIG ## a file of values that allyesconfig and the like keep
known-variables += TORCH_DIR    ## a LibTorch of your own
known-variables += TORCH_VERSION ## another LibTorch release
known-variables += TORCH_VERSION_OK ## y tries a release that is not tested
known-variables += NVCC         ## CUDA compiler that is not on PATH
known-variables += CXX          ## another C++ compiler
known-variables += NO_CCACHE    ## 1 compiles without ccache
known-variables += NO_PCH       ## 1 compiles what does not see LibTorch without precompiled headers
known-variables += PCH_DIR      ## where the precompiled header goes
known-variables += CHECK_DIR    ## where make check builds
known-variables += YES          ## 1 answers questions
known-variables += PEERS        ## part of check-peers (tests models use records tokenizers training); rows of bench-peers
known-variables += GOALS        ## rows of bench-goals
known-variables += THREADS      ## threads of bench-goals, and of every side of bench-peers
known-variables += DEVICE       ## cuda: bench-peers compares on that device
known-variables += ROUNDS       ## turns of every side of bench-peers
known-variables += RECORD       ## 1 keeps the results of bench-peers or bench-goals under results/ and in docs/performance.md
known-variables += LLMC_DIR     ## llm.c with train_gpt2 built, for bench-peers
known-variables += LLAMA_DIR    ## llama.cpp with llama-bench built, for bench-peers
known-variables += LLAMA_GGUF   ## a GPT-2 124M for llama-bench
known-variables += BUNDLE       ## a directory that make bundle made elsewhere: build from it, without packages
known-variables += FUZZ_SECONDS ## time of each target of make fuzz
known-variables += FUZZ_CXX     ## clang++ with libFuzzer

given-variables := $(foreach v,$(filter-out -% MAKE% .%,$(.VARIABLES)),$(if $(filter command,$(origin $(v))),$(v)))
unknown-variable := $(firstword $(filter-out $(known-variables),$(given-variables)))
ifneq ($(unknown-variable),)
$(error $(unknown-variable)= is not a variable of this Makefile; did you mean $(shell \
	awk -v word='$(unknown-variable)' -v names='$(known-variables)' -f scripts/nearest.awk)? make help lists them)
endif
