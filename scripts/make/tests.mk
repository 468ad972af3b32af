# Test binaries, one a folder of tests/: built from test-y (plain) and test-torch-y (LibTorch) of its
# Build.mk, linked with the archives named there in needs-y and nothing above them.
test-dirs := $(sort $(patsubst tests/%/Build.mk,%,$(wildcard tests/*/Build.mk)))
test-bins :=

define read_tests
test-y :=
test-torch-y :=
needs-y :=
include tests/$(1)/Build.mk
tplain-$(1) := $$(addprefix $(B)/tests/$(1)/,$$(addsuffix .o,$$(test-y)))
ttorch-$(1) := $$(addprefix $(B)/tests/$(1)/,$$(addsuffix .o,$$(test-torch-y)))
tneeds-$(1) := $$(filter $$(needs-y),$(layers))
test-plain-objs += $$(tplain-$(1))
test-torch-objs += $$(ttorch-$(1))
test-bins += $(B)/tests/test_$(1)
endef
$(foreach d,$(test-dirs),$(eval $(call read_tests,$(d))))

$(test-torch-objs): $(B)/%.o: %.cpp $(pch).gch $(B)/.flags-torch | $(G)/knlp_config.h
	$(call say,CXX [T],$*.cpp)
	$(Q)mkdir -p $(@D) && $(CCACHE) $(CXX) $(torch-flags) -include $(pch) -MMD -MP -MT $@ -c $< -o $@
# -Wconversion stays off here: test tables are full of literals.
$(test-plain-objs): $(B)/%.o: %.cpp $(B)/.flags-plain | $(G)/knlp_config.h
	$(call say,CXX,$*.cpp)
	$(Q)mkdir -p $(@D) && $(CCACHE) $(CXX) $(plain-flags) -Wno-conversion -MMD -MP -MT $@ -c $< -o $@
-include $(wildcard $(test-plain-objs:.o=.d) $(test-torch-objs:.o=.d))

define test_binary
$(B)/tests/test_$(1): $$(tplain-$(1)) $$(ttorch-$(1)) $$(call archives,$$(tneeds-$(1)))
	$$(call say,LD,tests/test_$(1))
	$$(Q)$$(CXX) $$(ldflags) $$(tplain-$(1)) $$(ttorch-$(1)) $$(call archives,$$(tneeds-$(1))) \
	  $$(if $$(filter model optim train app,$$(tneeds-$(1)))$$(ttorch-$(1)),$$(libs-torch)) $$(libs-plain) \
	  -lgmock -lgtest -lgtest_main -o $$@
endef
$(foreach d,$(test-dirs),$(eval $(call test_binary,$(d))))

.PHONY: test-binaries
test-binaries: $(KNLP) $(test-bins)
