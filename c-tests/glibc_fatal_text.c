//#Rule: a candidate that is not an ELF file is fatal: it shadows a good one
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: mkdir a; echo text > a/libinner.so
//#Program: app -Lb -linner -Wl,--enable-new-dtags,-rpath,%D/a:%D/b
//#Oracle: glibc
//#ExpectFatal: not an ELF file
//#ExpectError: the loader stops here
//#NoRun
#include "one_level.h"
