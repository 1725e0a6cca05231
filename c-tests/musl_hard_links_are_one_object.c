//#Rule: two names of one inode are one object
//#Compiler: musl-gcc
//#Library: lib/libinner.so -DVALUE=6 -Wl,-soname,libinner.so
//#Sh: ln lib/libinner.so lib/libsame.so
//#Library: stub/libsame.so -DVALUE=0 -Wl,-soname,libsame.so
//#Program: app -Wl,--no-as-needed -Llib -linner stub/libsame.so -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: musl
//#ExpectFiles: 3
#include "one_level.h"
