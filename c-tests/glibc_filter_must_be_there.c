//#Rule: a missing DT_FILTER library keeps the program from starting
//#Library: lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so,-F,libabsent.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#ExpectMissing: libabsent.so
//#ExpectError: libabsent.so not found
//#NoRun
#include "one_level.h"
