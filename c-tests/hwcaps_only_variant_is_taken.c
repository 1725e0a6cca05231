//#Rule: a library that exists only as a variant for newer CPUs is used
//#Library: lib/glibc-hwcaps/x86-64-v2/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: app -Llib/glibc-hwcaps/x86-64-v2 -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectVia: libinner.so glibc-hwcaps/x86-64-v2 below RUNPATH $ORIGIN/lib
#include "one_level.h"
