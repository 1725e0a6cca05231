# Images in a Makefile: include slimpack.mk, then make NAME.tar packs the
# program NAME.
# Printed by slimpack help slimpack.mk; requires GNU Make, sed and readlink.

# The first goal stays that of the Makefile.
slimpack.goal := $(.DEFAULT_GOAL)

SLIMPACK ?= slimpack
# Options for all images; app.tar: SLIMPACK_FLAGS += -t me/app:1.0 adds some for
# one image.
SLIMPACK_FLAGS ?=

# Notice a retargeted link to a library, even if the file that it points to is
# old.
MAKEFLAGS += --check-symlink-times

%.tar: %
	$(SLIMPACK) $< -o $@ --depfile $(SLIMPACK_FLAGS)

# Of images in this directory and in two levels below it.
slimpack.depfiles := $(wildcard *.tar.d */*.tar.d */*/*.tar.d)
-include $(slimpack.depfiles)

# What a prerequisite cannot express is in comments: paths that a loader tries
# before the file that it finds, which must not appear, and the targets of links
# to directories.
define slimpack.changed
sed -n 's/^# absent: //p' $1 | while IFS= read -r path; do \
    [ ! -e "$$path" ] || echo "$$path"; done; \
sed -n 's/^# link: //p' $1 | while IFS= read -r line; do \
    [ "$$(readlink "$${line% -> *}")" = "$${line##* -> }" ] || \
    echo "$$line"; done
endef
$(foreach depfile,$(slimpack.depfiles),\
    $(if $(shell $(call slimpack.changed,$(depfile))),\
        $(eval $(depfile:.d=): slimpack.again)))

.PHONY: slimpack.again
slimpack.again:

.DEFAULT_GOAL := $(slimpack.goal)
