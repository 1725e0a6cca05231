//#Rule: musl expands $ORIGIN even at the start of a longer word
//#Compiler: musl-gcc
//#Library: lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Sh: d=$(pwd); mkdir -p "${d}AL" && mv lib/libinner.so "${d}AL"
//#Library: link/libinner.so -DVALUE=0 -Wl,-soname,libinner.so
//#Program: app -Llink -linner -Wl,--enable-new-dtags,-rpath,$ORIGINAL
//#Oracle: musl
//#NoRun
#include "one_level.h"
