//#Rule: DT_RPATH is searched before LD_LIBRARY_PATH
//#Library: a/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: app -La -linner -Wl,--disable-new-dtags,-rpath,%D/a
//#Env: LD_LIBRARY_PATH=%D/b
//#Oracle: glibc
//#ExpectVia: libinner.so RPATH %D/a
#include "one_level.h"
