//#Rule: a candidate that is too short is fatal: it shadows a good one
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: mkdir a; head -c 20 b/libinner.so > a/libinner.so
//#Program: app -Lb -linner -Wl,--enable-new-dtags,-rpath,%D/a:%D/b
//#Oracle: glibc
//#ExpectFatal: ends inside the ELF header
//#ExpectError: the loader stops here
//#NoRun
#include "one_level.h"
