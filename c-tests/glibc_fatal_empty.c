//#Rule: an empty candidate is fatal: it shadows a good one
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: mkdir a; touch a/libinner.so
//#Program: app -Lb -linner -Wl,--enable-new-dtags,-rpath,%D/a:%D/b
//#Oracle: glibc
//#ExpectFatal: it is empty
//#ExpectError: the loader stops here
//#NoRun
#include "one_level.h"
