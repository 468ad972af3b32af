# Tools of the tests: the preload library of the crash tests, and the fuzz targets.
# CC follows CXX's rule: make's own default is not a choice of the user's.
CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))

$(B)/tests/crash_shim.so: tests/support/crash_shim.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -O2 -Wall -Wextra -shared -fPIC $< -o $@ -ldl
$(B)/tests/support/atomic_writer.o: tests/support/atomic_writer.cpp $(B)/.flags-plain | $(G)/knlp_config.h
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && $(CCACHE) $(CXX) $(plain-flags) -MMD -MP -MT $@ -c $< -o $@
-include $(wildcard $(B)/tests/support/atomic_writer.d)
$(B)/tests/atomic_writer: $(B)/tests/support/atomic_writer.o $(B)/lib/core.a
	$(call say,LD,tests/atomic_writer)
	$(Q)$(CXX) $(ldflags) $^ $(libs-plain) -o $@
