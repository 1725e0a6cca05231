//#Rule: LD_LIBRARY_PATH is searched before DT_RUNPATH
//#Library: a/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: app -La -linner -Wl,--enable-new-dtags,-rpath,%D/a
//#Env: LD_LIBRARY_PATH=%D/b
//#Oracle: glibc
//#ExpectVia: libinner.so LD_LIBRARY_PATH %D/b
#include "one_level.h"
