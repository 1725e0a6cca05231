//#Rule: a candidate for another machine is skipped
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: mkdir a && cp b/libinner.so a && printf '\267' | dd of=a/libinner.so bs=1 seek=18 conv=notrunc status=none
//#Program: app -Lb -linner -Wl,--enable-new-dtags,-rpath,%D/a:%D/b
//#Oracle: glibc
//#ExpectVia: libinner.so RUNPATH %D/b
#include "one_level.h"
