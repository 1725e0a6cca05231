//#Rule: DT_RUNPATH also applies to the dependencies of a needed library
//#Compiler: musl-gcc
//#Library: lib/libinner.so -DVALUE=4 -Wl,-soname,libinner.so
//#Library: lib/libmiddle.so -Llib -linner -Wl,-soname,libmiddle.so
//#Program: app -Llib -lmiddle -Wl,-rpath-link,lib,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: musl
//#ExpectVia: libinner.so RUNPATH $ORIGIN/lib of %D/app
#include "two_levels.h"
