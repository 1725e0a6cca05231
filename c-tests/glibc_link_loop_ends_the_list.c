//#Rule: a candidate that is a loop of symbolic links ends its list, not the search
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: c/libinner.so -DVALUE=3 -Wl,-soname,libinner.so
//#Sh: mkdir a && ln -s libinner.so a/libinner.so
//#Program: app -Lb -linner -Wl,--disable-new-dtags,-rpath,%D/a:%D/b
//#Env: LD_LIBRARY_PATH=%D/c
//#Oracle: glibc
//#ExpectVia: libinner.so LD_LIBRARY_PATH %D/c
#include "one_level.h"
