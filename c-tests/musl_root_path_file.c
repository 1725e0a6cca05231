//#Rule: the path file replaces the default path, is split at colons and newlines, and is in the image
//#Compiler: musl-gcc
//#Sh: mkdir -p root/lib root/etc && cp -L /lib/ld-musl-x86_64.so.1 root/lib/
//#Library: root/usr/lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: root/opt/lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Sh: printf '/no/such:/nowhere\n/opt/lib\n' > root/etc/ld-musl-x86_64.path
//#Program: root/app -Lroot/usr/lib -linner
//#Root: root
//#Oracle: musl
//#ExpectVia: libinner.so musl path file
//#ExpectPath: etc/ld-musl-x86_64.path
#include "one_level.h"
