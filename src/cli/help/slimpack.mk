# Images in a Makefile: include slimpack.mk, then make NAME.tar packs the program NAME.
# From slimpack help slimpack.mk; needs GNU Make, sed and readlink.

SLIMPACK ?= slimpack
# Options of every image; app.tar: SLIMPACK_FLAGS += -t me/app:1.0 adds some for one.
SLIMPACK_FLAGS ?=

# A link to a library that is led elsewhere counts, though the file that it leads to may be old.
MAKEFLAGS += --check-symlink-times

%.tar: %
	$(SLIMPACK) $< -o $@ --depfile $(SLIMPACK_FLAGS)

slimpack.depfiles := $(wildcard *.tar.d)
-include $(slimpack.depfiles)

# What no prerequisite can say stands in comments: paths that a loader looks at before the file that
# it finds, which must not appear, and where links to folders lead.
define slimpack.changed
sed -n 's/^# absent: //p' $1 | while IFS= read -r path; do \
    [ ! -e "$$path" ] || echo "$$path"; done; \
sed -n 's/^# link: //p' $1 | while IFS= read -r line; do \
    [ "$$(readlink "$${line% -> *}")" = "$${line##* -> }" ] || echo "$$line"; done
endef
$(foreach depfile,$(slimpack.depfiles),\
    $(if $(shell $(call slimpack.changed,$(depfile))),$(eval $(depfile:.d=): slimpack.again)))

.PHONY: slimpack.again
slimpack.again:
