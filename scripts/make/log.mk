comma := ,
empty :=
space := $(empty) $(empty)
# Kernel-style quiet log: one line a command, the command itself with V=1.
ifeq ($(V),1)
Q :=
say =
else
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(patsubst $(O)/%,%,$(2))';
endif
FORCE:
.PHONY: FORCE
