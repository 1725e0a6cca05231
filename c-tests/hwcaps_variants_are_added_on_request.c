//#Rule: --hwcaps adds the variants next to the library, and the loader takes the best
//#Library: lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: lib/glibc-hwcaps/x86-64-v2/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#Pack: --hwcaps
//#ExpectFiles: 5
//#ExpectPath: usr/local/bin/lib/glibc-hwcaps/x86-64-v2/libinner.so
#include "one_level.h"
