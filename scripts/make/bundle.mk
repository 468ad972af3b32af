# BUNDLE=DIR: a machine without the Debian packages builds with what `make bundle` gathered elsewhere. The
# configuration is the bundle's; the Kconfig programs are not needed.
$(O)/include/config/auto.conf: $(BUNDLE)/generated/auto.conf
	$(call say,BUNDLE,$(BUNDLE))
	$(Q)mkdir -p $(@D) $(G) && cp $(BUNDLE)/generated/*.h $(BUNDLE)/generated/*.inc $(G)/ && \
	{ [ -e $(O)/.config ] || cp $(BUNDLE)/config $(O)/.config; } && cp $< $@
$(G)/knlp_config.h $(G)/config_schema.inc: $(O)/include/config/auto.conf ;
include $(O)/include/config/auto.conf
bundle-include := -isystem $(BUNDLE)/include
bundle-lib := -L$(BUNDLE)/lib
.PHONY: check-kconfig
check-kconfig:
	@:
