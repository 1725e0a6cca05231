//#Rule: the symbols of a DT_AUXILIARY library come before those of the object that names it
//#Library: lib/libaux.so -DVALUE=1 -Wl,-soname,libaux.so
//#Library: lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so,-f,libaux.so,--enable-new-dtags,-rpath,$ORIGIN
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectFiles: 5
#include "one_level.h"
