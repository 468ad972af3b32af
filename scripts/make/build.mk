# From Build.mk lists to objects, one archive a source folder, and the binary.
#   list-y   objects without LibTorch       torch-y  objects that see it (precompiled header)
#   cuda-y   objects of .cu sources, by nvcc
#   table lists (cmd-y, attn-y, …) become X(name) lines in include/generated/<list>.inc
build-dirs := $(sort $(patsubst %/Build.mk,%,$(wildcard src/*/Build.mk src/*/*/Build.mk kernels/Build.mk kernels/*/Build.mk)))
# Archives in link order: a folder needs only those after it.
layers := app report matrix bench train optim model data track config core kernels
tables :=
# Simply expanded, or += would keep $(list-y) for later, when it is another folder's.
torch-objs :=
cuda-objs :=
$(foreach l,$(layers),$(eval objs-$(l) :=))

define read_dir
list-y :=
torch-y :=
cuda-y :=
table-y :=
include $(1)/Build.mk
objs-$(2) += $$(addprefix $(B)/$(1)/,$$(list-y) $$(torch-y) $$(cuda-y))
torch-objs += $$(addprefix $(B)/$(1)/,$$(torch-y))
cuda-objs += $$(addprefix $(B)/$(1)/,$$(cuda-y))
tables += $$(table-y)
endef
folder_of = $(if $(filter kernels%,$(1)),kernels,$(word 2,$(subst /, ,$(1))))
$(foreach d,$(build-dirs),$(eval $(call read_dir,$(d),$(call folder_of,$(d)))))
all-objs := $(foreach l,$(layers),$(objs-$(l)))

# --- Tools and flags
CXX := $(if $(filter default undefined,$(origin CXX)),g++,$(CXX))
CCACHE := $(if $(NO_CCACHE),,$(shell command -v ccache))
export CCACHE_SLOPPINESS := pch_defines,time_macros,include_file_mtime,include_file_ctime
LINKER := $(if $(shell command -v mold),-fuse-ld=mold,$(if $(shell command -v ld.lld),-fuse-ld=lld))

opt-flags := $(if $(CONFIG_BUILD_DEBUG),-O0 -g -D_GLIBCXX_ASSERTIONS,-O2 -DNDEBUG$(if $(CONFIG_BUILD_RELWITHDEBINFO), -g1))
san-flags := $(if $(CONFIG_SANITIZE_ADDRESS),-fsanitize=address -fno-omit-frame-pointer) \
	$(if $(CONFIG_SANITIZE_UNDEFINED),-fsanitize=undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined) \
	$(if $(CONFIG_SANITIZE_THREAD),-fsanitize=thread)
lto-flags := $(if $(CONFIG_LTO),-flto=auto)
# g++ collects garbage whenever its heap has doubled; with a precompiled header of 100 MB that is often, and in
# vain: without it a file takes a tenth less time, and 50 MB more.
gc-flags := $(if $(findstring clang,$(CXX)),,--param ggc-min-heapsize=500000)
common-flags := -std=c++20 -fPIC -pthread $(strip $(opt-flags) $(san-flags) $(lto-flags)) $(gc-flags) \
	-I$(O)/include -Iinclude -I.
# With a sanitizer g++ 12 takes members of std::regex for uninitialized (GCC bug 105562) and short strings
# for overrun: there alone, these warnings are off.
warn-flags := -Wall -Wextra -Wno-missing-field-initializers $(if $(CONFIG_WERROR),-Werror)$(if \
	$(strip $(san-flags)), -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow)
# fmt's library saves 1 to 2 s a file against its header alone; a bundle has the header only.
fmt-flags := $(if $(BUNDLE),-DFMT_HEADER_ONLY)
plain-flags := $(common-flags) $(fmt-flags) $(warn-flags) -Wshadow -Wconversion $(bundle-include)
# What parses, records and prints: compile time counts more than speed, and -Og takes a quarter less than -O1.
# Still more so in tests, whose tables are full of literals; what they test keeps its own flags.
cold-layers := app report matrix config track bench train
cold-flags := $(patsubst -O2,-Og,$(plain-flags))
test-flags := $(patsubst -O2,-O0,$(plain-flags)) -Wno-conversion
# What sees LibTorch gives orders to kernels and to LibTorch, and is compiled as what is cold; its tests too, since
# a precompiled header of their own would cost more than it saves. src/model/aten holds the header that stands
# before one of LibTorch's. LibTorch itself comes last: it brings an fmt and a json of its own, which each object
# would compile anew. Only where another LibTorch lies in the system does it come first.
torch-first := $(wildcard /usr/include/ATen /usr/local/include/ATen)
torch-include := $(if $(torch-first),-isystem,-idirafter)
torch-flags := $(patsubst -O2,-Og,$(common-flags)) $(if $(torch-first),-DFMT_HEADER_ONLY,$(fmt-flags)) $(warn-flags) \
	-fopenmp -DAT_PER_OPERATOR_HEADERS -D_GLIBCXX_USE_CXX11_ABI=1 $(bundle-include) \
	-isystem src/model/aten $(addprefix $(torch-include) $(TORCH_DIR)/include,/ /torch/csrc/api/include)
# SIMD level by file suffix: adamw_step_avx512.cpp.
cxxflags-avx2 := -mavx2 -mfma -mf16c
cxxflags-avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
cxxflags-bf16 := $(cxxflags-avx512) -mavx512bf16
kernel-flags := -ffp-contract=off

# --- CUDA: nvcc compiles our kernels; the binary needs only libcudart, which libtorch_cpu needs anyway.
NVCC ?= nvcc
cuda-archs := $(foreach a,80 86 89 90 100 120,$(if $(CONFIG_CUDA_ARCH_SM$(a)),$(a)))
cuda-flags := -std=c++20 -O3 -Xcompiler -fPIC -I$(O)/include -Iinclude -I. \
	$(foreach a,$(cuda-archs),-gencode arch=compute_$(a),code=sm_$(a)) \
	$(if $(cuda-archs),-gencode arch=compute_$(lastword $(cuda-archs))$(comma)code=compute_$(lastword $(cuda-archs)))
cudart-dir := $(firstword $(wildcard $(TORCH_DIR)/../nvidia/cu13/lib /usr/local/cuda/lib64))
cuda-include := $(firstword $(wildcard $(TORCH_DIR)/../nvidia/cu13/include /usr/local/cuda/include))
libs-cuda := $(if $(CONFIG_USE_CUDA),-L$(cudart-dir) -Wl$(comma)-rpath$(comma)$(cudart-dir) -l:libcudart.so.13)

# The one file that sees CUDA's own headers.
$(B)/src/model/device_graph_cuda.o: private torch-flags += -isystem $(cuda-include)

# Writes the target from the output of a command, only where it differs: what depends on it is then
# remade for a change alone.
write_if_changed = @mkdir -p $(@D); $(1) > $@.$$$$ && \
	if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi

# A stamp per kind of compilation holds its command; not where O= is, or objects could not be shared.
define flags_stamp
$(B)/.flags-$(1): FORCE
	$$(call write_if_changed,printf '%s\n' '$$(CXX) $$(subst -I$$(O)/,-IO/,$$($(1)-flags))')
endef
$(foreach k,plain cold test torch kernel cuda,$(eval $(call flags_stamp,$(k))))

# Another LibTorch relinks (and, by the header's path, recompiles) what sees it.
$(B)/.torch: FORCE
	$(call write_if_changed,printf '%s\n' '$(TORCH_DIR) $(TORCH_VERSION_FOUND)')

# --- Precompiled headers, each in a directory named by a hash of its flags: torch for what sees LibTorch;
# plain, cold and test for the rest, unless NO_PCH=1, which proves that every file includes what it uses.
PCH_DIR ?= $(B)/pch
pch-headers := torch:src/torch_pch.h $(if $(NO_PCH),, \
	plain:src/plain_pch.h cold:src/plain_pch.h test:tests/test_pch.h)
pch-version-torch = $(TORCH_VERSION_FOUND)
# $(call pch_rule,KIND,HEADER): $(pch-KIND) is the copy to include, with its .gch beside it.
define pch_rule
pch-flags-$(1) := $$(filter-out -I%,$$($(1)-flags)) -I.
pch-hash-$(1) := $$(shell printf '%s' '$$(CXX) $$(pch-flags-$(1)) $$(pch-version-$(1))' | sha256sum | cut -c1-12)
pch-$(1) := $$(PCH_DIR)/$$(pch-hash-$(1))/$(notdir $(2))
$$(pch-$(1)).gch: $(2) $(if $(filter torch,$(1)),| check-torch)
	$$(call say,PCH,$(2))
	$$(Q)mkdir -p $$(@D) && cp $(2) $$(pch-$(1)).$$$$$$$$ && mv $$(pch-$(1)).$$$$$$$$ $$(pch-$(1)) && \
	$$(CCACHE) $$(CXX) $$(pch-flags-$(1)) $(if $(filter-out torch,$(1)),-MD -MT $$@ -MF $$(pch-$(1)).d.$$$$$$$$) \
	  -x c++-header $$(pch-$(1)) -o $$@.$$$$$$$$ && $(if $(filter-out torch,$(1)),mv $$(pch-$(1)).d.$$$$$$$$ $$(pch-$(1)).d && \
	  )mv $$@.$$$$$$$$ $$@
-include $$(wildcard $$(pch-$(1)).d)
endef
$(foreach h,$(pch-headers),$(eval $(call pch_rule,$(word 1,$(subst :, ,$(h))),$(word 2,$(subst :, ,$(h))))))
gch = $(addsuffix .gch,$(pch-$(1)))
$(call gch,torch): $(wildcard src/model/aten/*/*.h)
# Another make may be at the same object: each writes files of its own and moves them into place, the
# object last.
own = $(@D)/.$$$$.$(basename $(@F))
to-object = -MMD -MP -MT $@ -MF $(own).d -c $< -o $(own).o && mv $(own).d $(@:.o=.d) && mv $(own).o $@
# $(call compile,KIND): the command of an object with the flags and the precompiled header of its kind.
compile = $(Q)mkdir -p $(@D) && $(CCACHE) $(CXX) $($(1)-flags) $(addprefix -include ,$(pch-$(1))) $(to-object)

# --- Objects
cold-objs := $(filter-out $(torch-objs) $(cuda-objs),$(foreach l,$(cold-layers),$(objs-$(l))))
simd_flags = $(cxxflags-$(lastword $(subst _, ,$(basename $(notdir $(1))))))
$(torch-objs): $(B)/%.o: %.cpp $(call gch,torch) $(B)/.flags-torch | $(G)/knlp_config.h
	$(call say,CXX [T],$*.cpp)
	$(call compile,torch)
$(cold-objs): $(B)/%.o: %.cpp $(call gch,cold) $(B)/.flags-cold | $(G)/knlp_config.h
	$(call say,CXX,$*.cpp)
	$(call compile,cold)
# A whole class: seconds less without optimization, and what is called often is inlined where it is used.
$(B)/src/core/json_class.o: private plain-flags := $(patsubst -O2,-O0,$(plain-flags))
$(B)/src/core/json_class.o: private pch-plain :=
$(filter-out $(torch-objs) $(cuda-objs) $(objs-kernels) $(cold-objs),$(all-objs)): \
$(B)/%.o: %.cpp $(call gch,plain) $(B)/.flags-plain | $(G)/knlp_config.h
	$(call say,CXX,$*.cpp)
	$(call compile,plain)
$(filter-out $(cuda-objs),$(objs-kernels)): $(B)/%.o: %.cpp $(B)/.flags-plain $(B)/.flags-kernel | $(G)/knlp_config.h
	$(call say,CXX,$*.cpp)
	$(Q)mkdir -p $(@D) && $(CCACHE) $(CXX) $(plain-flags) -O3 $(kernel-flags) $(call simd_flags,$*) $(to-object)
$(cuda-objs): $(B)/%.o: %.cu $(B)/.flags-cuda | $(G)/knlp_config.h
	$(call say,NVCC,$*.cu)
	$(Q)mkdir -p $(@D) && $(NVCC) $(cuda-flags) $(to-object)
-include $(wildcard $(all-objs:.o=.d))

# --- X tables
$(addprefix $(G)/,$(addsuffix .inc,$(tables))): $(G)/%.inc: FORCE
	$(call write_if_changed,$(if $($*-y),printf 'X(%s)\n' $($*-y),:))
$(all-objs): | $(addprefix $(G)/,$(addsuffix .inc,$(tables)))

# --- Archives and the binary
define archive_rule
$(B)/lib/$(1).a: $$(objs-$(1)) $(B)/lib/.$(1).list
	$$(call say,AR,lib/$(1).a)
	$$(Q)rm -f $$@.$$$$$$$$ && ar rcsD $$@.$$$$$$$$ $$(objs-$(1)) && mv $$@.$$$$$$$$ $$@
$(B)/lib/.$(1).list: FORCE
	$$(call write_if_changed,printf '%s\n' '$$(objs-$(1))')
endef
$(foreach l,$(layers),$(eval $(call archive_rule,$(l))))

ldflags := $(LINKER) $(bundle-lib) -pthread $(san-flags) $(lto-flags)
libs-plain := $(if $(BUNDLE),,-lfmt) -lpcre2-8 -lsqlite3 -lssl -lcrypto -lxxhash -lz -ldl
torch-gomp := $(firstword $(wildcard $(TORCH_DIR)/lib/libgomp*.so*))
libs-torch := -L$(TORCH_DIR)/lib -Wl,--no-as-needed -ltorch_cpu -Wl,--as-needed -lc10 $(torch-gomp) \
	-Wl,-rpath,$(TORCH_DIR)/lib -Wl,--allow-shlib-undefined
archives = $(foreach l,$(1),$(B)/lib/$(l).a)

$(KNLP): $(call archives,$(layers)) $(B)/.torch | check-torch
	$(call say,LD,$@)
	$(Q)$(CXX) $(ldflags) -Wl,--whole-archive $(B)/lib/app.a -Wl,--no-whole-archive \
	  $(call archives,$(filter-out app,$(layers))) $(libs-torch) $(libs-cuda) $(libs-plain) -o $@.$$$$ && mv $@.$$$$ $@

.PHONY: build
build: $(KNLP) ## compile and link ./knlp
.PHONY: bundle
bundle: $(O)/include/config/auto.conf $(addprefix $(G)/,$(addsuffix .inc,$(tables))) ## gather what the build takes from packages under build/bundle (see BUNDLE=)
	@scripts/bundle $(O) $(B)/bundle
