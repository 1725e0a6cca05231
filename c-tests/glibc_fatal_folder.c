//#Rule: a candidate that is a directory is fatal: it shadows a good one
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: mkdir a; mkdir a/libinner.so
//#Program: app -Lb -linner -Wl,--enable-new-dtags,-rpath,%D/a:%D/b
//#Oracle: glibc
//#ExpectFatal: it is a directory
//#ExpectError: the loader stops here
//#NoRun
#include "one_level.h"
