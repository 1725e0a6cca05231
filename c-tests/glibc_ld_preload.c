//#Rule: LD_PRELOAD libraries come before all others
//#Library: lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: first/libfirst.so -DVALUE=1 -Wl,-soname,libfirst.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Env: LD_PRELOAD=%D/first/libfirst.so
//#Oracle: glibc
#include "one_level.h"
