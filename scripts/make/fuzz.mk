# Tools of the tests: the preload libraries, a stand-in for others, and the fuzz targets.
# CC follows CXX's rule: make's own default is not a choice of the user's.
CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))

$(B)/tests/crash_shim.so: tests/support/crash_shim.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -O2 -Wall -Wextra -shared -fPIC $< -o $@.$$$$ -ldl && mv $@.$$$$ $@
$(B)/tests/malloc_shim.so: tests/support/malloc_shim.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -O2 -Wall -Wextra -fno-builtin -shared -fPIC $< -o $@.$$$$ -ldl && mv $@.$$$$ $@
$(B)/tests/fake_gpus.so: tests/support/fake_gpus.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -O2 -Wall -Wextra -shared -fPIC $< -o $@.$$$$ && mv $@.$$$$ $@
$(B)/tests/throwing_shim.so $(B)/tests/no_onednn_shim.so: $(B)/tests/%.so: tests/support/%.cpp
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && $(CXX) -std=c++20 -O2 -Wall -Wextra -shared -fPIC $< -o $@.$$$$ && mv $@.$$$$ $@
$(B)/tests/support/atomic_writer.o: tests/support/atomic_writer.cpp $(B)/.flags-plain | $(G)/knlp_config.h
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && $(CCACHE) $(CXX) $(plain-flags) $(to-object)
-include $(wildcard $(B)/tests/support/atomic_writer.d)
$(B)/tests/atomic_writer: $(B)/tests/support/atomic_writer.o $(B)/lib/core.a
	$(call say,LD,tests/atomic_writer)
	$(Q)$(CXX) $(ldflags) $^ $(libs-plain) -o $@.$$$$ && mv $@.$$$$ $@

##@ Quality
# `make fuzz`: each reader of foreign files under libFuzzer with the address and undefined-behaviour
# sanitizers, FUZZ_SECONDS each, from the seeds and findings in tests/fuzz/corpus. Needs clang.
FUZZ_SECONDS ?= 60
FUZZ_CXX ?= $(firstword $(foreach c,clang++-19 clang++,$(shell command -v $(c))))
fuzz-flags := -std=c++20 -O1 -g1 -pthread -DFMT_HEADER_ONLY -DKNLP_LIBFUZZER -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -I$(O)/include -Iinclude -I. \
	-Wno-everything -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined
fuzz-objs := $(patsubst $(B)/%,$(B)/fuzz/%,$(filter-out $(torch-objs),$(objs-core) $(objs-config) $(objs-data) $(objs-track)))
fuzz-mains := $(addprefix $(B)/fuzz/tests/fuzz/fuzz_,$(addsuffix .o,$(fuzz-targets)))
$(fuzz-objs) $(fuzz-mains): $(B)/fuzz/%.o: %.cpp | $(G)/knlp_config.h
	$(call say,CXX [F],$*.cpp)
	$(Q)mkdir -p $(@D) && $(CCACHE) $(FUZZ_CXX) $(fuzz-flags) -fsanitize=fuzzer-no-link $(to-object)
-include $(wildcard $(fuzz-objs:.o=.d) $(fuzz-mains:.o=.d))
$(B)/fuzz/readers.a: $(fuzz-objs)
	$(Q)rm -f $@.$$$$ && ar rcsD $@.$$$$ $^ && mv $@.$$$$ $@
$(addprefix $(B)/fuzz/fuzz_,$(fuzz-targets)): $(B)/fuzz/fuzz_%: $(B)/fuzz/tests/fuzz/fuzz_%.o $(B)/fuzz/readers.a
	$(call say,LD,fuzz/fuzz_$*)
	$(Q)$(FUZZ_CXX) -pthread -fsanitize=fuzzer,address,undefined $^ $(libs-plain) -o $@.$$$$ && mv $@.$$$$ $@

.PHONY: fuzz check-fuzz-tools $(addprefix fuzz-,$(fuzz-targets))
check-fuzz-tools:
	@[ -n '$(FUZZ_CXX)' ] || { echo '*** make fuzz needs clang with libFuzzer: apt install clang-19 libclang-rt-19-dev' >&2; exit 5; }
fuzz: $(addprefix fuzz-,$(fuzz-targets)) ## fuzz every reader of foreign files for FUZZ_SECONDS each
# New inputs go to the build folder; a finding is copied to tests/fuzz/corpus by whoever mends it.
$(addprefix fuzz-,$(fuzz-targets)): fuzz-%: check-fuzz-tools $(B)/fuzz/fuzz_%
	$(Q)mkdir -p $(B)/fuzz/corpus/$* && cd $(B)/fuzz && exec ./fuzz_$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
	  -malloc_limit_mb=256 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 -print_pcs=0 -print_funcs=0 -artifact_prefix=$*- corpus/$* $(CURDIR)/tests/fuzz/corpus/$*
