//#Rule: DF_1_NODEFLIB excludes the system directories, and cache entries in them
//#Sh: mkdir -p root/lib64 root/lib/x86_64-linux-gnu root/etc && cp -L /lib64/ld-linux-x86-64.so.2 root/lib64/ && cp -L /lib/x86_64-linux-gnu/libc.so.6 root/lib/x86_64-linux-gnu/
//#Library: root/lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: root/app -Lroot/lib -linner -Wl,-z,nodefaultlib,-rpath,/lib/x86_64-linux-gnu
//#Sh: /usr/sbin/ldconfig -r root
//#Root: root
//#Oracle: glibc
//#ExpectMissing: libinner.so
//#ExpectError: not allowed by NODEFLIB
//#NoRun
#include "one_level.h"
