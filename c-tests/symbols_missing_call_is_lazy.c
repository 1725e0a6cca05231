//#Rule: with lazy binding, an undefined function fails only when called: the program starts
//#Library: full/libinner.so -Wl,-soname,libinner.so
//#Library: lib/libinner.so -DEMPTY -Wl,-soname,libinner.so
//#Program: app -Lfull -linner -Wl,-z,lazy -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectSaid: warning: no object defines inner
#include "symbols.h"
