//#Rule: musl binds every function when the program is loaded
//#Compiler: musl-gcc
//#Library: full/libinner.so -Wl,-soname,libinner.so
//#Library: lib/libinner.so -DEMPTY -Wl,-soname,libinner.so
//#Program: app -Lfull -linner -Wl,-z,lazy -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#ExpectRefused: inner: symbol not found
//#ExpectError: refers to the symbol inner
#include "symbols.h"
