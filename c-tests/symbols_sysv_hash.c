//#Rule: symbols are found through a System V hash table alone
//#Library: lib/libinner.so -Wl,-soname,libinner.so,--hash-style=sysv
//#Program: app -DCALLS=1 -Llib -linner -Wl,-z,now -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
#include "symbols.h"
