//#Rule: a missing DT_AUXILIARY library is not an error
//#Library: lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so,-f,libabsent.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
#include "one_level.h"
