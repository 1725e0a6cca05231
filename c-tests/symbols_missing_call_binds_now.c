//#Rule: with BIND_NOW, an undefined function keeps the program from starting
//#Library: full/libinner.so -Wl,-soname,libinner.so
//#Library: lib/libinner.so -DEMPTY -Wl,-soname,libinner.so
//#Program: app -Lfull -linner -Wl,-z,now -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#ExpectRefused: undefined symbol: inner
//#ExpectError: refers to the symbol inner
#include "symbols.h"
