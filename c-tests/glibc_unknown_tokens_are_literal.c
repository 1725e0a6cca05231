//#Rule: $ORIGINAL and $FOO are not tokens: they stay in the path unchanged
//#Library: lib/libinner.so -DVALUE=9 -Wl,-soname,libinner.so
//#Sh: mkdir '$FOO' && cp lib/libinner.so '$FOO'
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGINAL/lib:%D/$FOO
//#Oracle: glibc
//#ExpectVia: libinner.so RUNPATH %D/$FOO
#include "one_level.h"
