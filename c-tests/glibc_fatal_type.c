//#Rule: a candidate that is a relocatable object is fatal: it shadows a good one
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: mkdir a; cp b/libinner.so a && printf '\001' | dd of=a/libinner.so bs=1 seek=16 conv=notrunc status=none
//#Program: app -Lb -linner -Wl,--enable-new-dtags,-rpath,%D/a:%D/b
//#Oracle: glibc
//#ExpectFatal: not a shared library
//#ExpectError: the loader stops here
//#NoRun
#include "one_level.h"
