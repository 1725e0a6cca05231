//#Rule: a program keeps the libraries it finds through $ORIGIN when it leaves its build directory
//#Library: build/lib/libinner.so.1.2 -DVALUE=7 -Wl,-soname,libinner.so.1
//#Sh: ln -s libinner.so.1.2 build/lib/libinner.so.1
//#Program: build/bin/app build/lib/libinner.so.1.2 -Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib
//#Oracle: glibc
//#ExpectVia: libinner.so.1 RUNPATH $ORIGIN/../lib
//#ExpectPath: usr/local/bin/app
//#ExpectPath: usr/local/lib/libinner.so.1
//#ExpectPath: usr/local/lib/libinner.so.1.2
#include "one_level.h"
