//#Rule: DT_RPATH also applies to the dependencies of a needed library
//#Library: lib/libinner.so -DVALUE=4 -Wl,-soname,libinner.so
//#Library: lib/libmiddle.so -Llib -linner -Wl,-soname,libmiddle.so
//#Program: app -Llib -lmiddle -Wl,-rpath-link,lib,--disable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectPath: usr/local/bin/lib/libinner.so
#include "two_levels.h"
