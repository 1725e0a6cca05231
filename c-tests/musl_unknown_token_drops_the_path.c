//#Rule: a $ that is not $ORIGIN makes musl drop the whole path
//#Compiler: musl-gcc
//#Library: lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib:/x/$LIB
//#Oracle: musl
//#ExpectMissing: libinner.so
//#ExpectError: libinner.so not found
//#NoRun
#include "one_level.h"
