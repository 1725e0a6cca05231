//#Rule: without a path file musl searches /lib, /usr/local/lib and /usr/lib
//#Compiler: musl-gcc
//#Sh: mkdir -p root/lib root/etc && cp -L /lib/ld-musl-x86_64.so.1 root/lib/
//#Library: root/usr/lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: root/usr/local/lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Program: root/app -Lroot/usr/lib -linner
//#Root: root
//#Oracle: musl
//#ExpectVia: libinner.so system folder
//#ExpectPath: usr/local/lib/libinner.so
#include "one_level.h"
