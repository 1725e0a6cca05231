//#Rule: an empty path file leaves no system directories at all
//#Compiler: musl-gcc
//#Sh: mkdir -p root/lib root/etc && cp -L /lib/ld-musl-x86_64.so.1 root/lib/
//#Library: root/usr/lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: touch root/etc/ld-musl-x86_64.path
//#Program: root/app -Lroot/usr/lib -linner
//#Root: root
//#Oracle: musl
//#ExpectMissing: libinner.so
//#ExpectError: libinner.so not found
//#NoRun
#include "one_level.h"
