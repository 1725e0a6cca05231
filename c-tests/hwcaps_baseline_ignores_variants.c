//#Rule: an image is resolved for the baseline machine: variants for newer CPUs are left out
//#Library: lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: lib/glibc-hwcaps/x86-64-v2/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#ExpectVia: libinner.so RUNPATH $ORIGIN/lib
//#ExpectFiles: 4
//#ExpectAbsent: usr/local/bin/lib/glibc-hwcaps/x86-64-v2/libinner.so
//#NoRun
#include "one_level.h"
