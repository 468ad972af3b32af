# The configuration: schema, .config, overrides, and the plain structs that the rest reads.
list-y := schema.o choice.o expr.o evaluate.o semantic.o dot_config.o resolve.o symbols.o resolved.o overrides.o environment.o \
	rules.o build_info.o read_general.o read_model.o read_data.o read_train.o read_optimizer.o read_matrix.o read_slurm.o

KNLP_VERSION := 0.1.0
$(B)/src/config/schema.o: $(G)/config_schema.inc
$(B)/src/config/build_info.o $(B)/fuzz/src/config/build_info.o: $(G)/version.h $(G)/knlp_config.h

# What this build was made from; rewritten only when it changes. Outside of git: commit unknown.
# The hash is that of `git diff HEAD | sha256sum`, so that a saved patch can be recognized.
$(G)/version.h: FORCE
	@mkdir -p $(@D); commit=$$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown); \
	dirty=0; [ -z "$$(git status --porcelain --untracked-files=no 2>/dev/null | head -n 1)" ] || dirty=1; \
	diff=; [ $$dirty = 0 ] || diff=$$(git diff --no-ext-diff HEAD 2>/dev/null | sha256sum | cut -c1-64); \
	{ echo '#pragma once'; \
	  printf '#define %s "%s"\n' KNLP_VERSION '$(KNLP_VERSION)' KNLP_GIT_COMMIT "$$commit" KNLP_GIT_DIFF_SHA256 "$$diff" \
	    KNLP_FLAGS '$(subst ",\",$(strip $(opt-flags) $(san-flags) $(lto-flags)))' KNLP_TORCH_VERSION '$(TORCH_VERSION_FOUND)'; \
	  echo "#define KNLP_GIT_DIRTY $$dirty"; } > $@.$$$$ && \
	if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi
