//#Rule: --hwcaps also finds variants in system directories
//#Sh: mkdir -p root/lib64 root/lib/x86_64-linux-gnu && cp -L /lib64/ld-linux-x86-64.so.2 root/lib64/ && cp -L /lib/x86_64-linux-gnu/libc.so.6 root/lib/x86_64-linux-gnu/
//#Library: root/usr/lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: root/usr/lib/glibc-hwcaps/x86-64-v2/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: root/app -Lroot/usr/lib -linner
//#Root: root
//#Oracle: none
//#Pack: --hwcaps
//#ExpectFiles: 5
//#ExpectPath: usr/lib/glibc-hwcaps/x86-64-v2/libinner.so
#include "one_level.h"
