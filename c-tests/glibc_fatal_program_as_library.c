//#Rule: a candidate that is a position-independent executable is fatal: it shadows a good one
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: mkdir a && cp /bin/true a/libinner.so
//#Program: app -Lb -linner -Wl,--enable-new-dtags,-rpath,%D/a:%D/b
//#Oracle: glibc
//#ExpectFatal: position-independent executable
//#ExpectError: the loader stops here
//#NoRun
#include "one_level.h"
