//#Rule: two names of one inode are one object, whose first path counts
//#Library: lib/libinner.so -DVALUE=6 -Wl,-soname,libinner.so
//#Sh: ln lib/libinner.so lib/libsame.so
//#Library: stub/libsame.so -DVALUE=0 -Wl,-soname,libsame.so
//#Program: app -Wl,--no-as-needed -Llib -linner stub/libsame.so -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectFiles: 4
//#ExpectPath: usr/local/bin/lib/libsame.so
#include "one_level.h"
