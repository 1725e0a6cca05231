//#Rule: DT_RUNPATH does not apply to the dependencies of a needed library
//#Library: lib/libinner.so -DVALUE=4 -Wl,-soname,libinner.so
//#Library: lib/libmiddle.so -Llib -linner -Wl,-soname,libmiddle.so
//#Program: app -Llib -lmiddle -Wl,-rpath-link,lib,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectMissing: libinner.so
//#ExpectError: libinner.so not found
//#NoRun
#include "two_levels.h"
