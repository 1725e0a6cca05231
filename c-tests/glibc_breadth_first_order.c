//#Rule: a library of the program comes before a library of its libraries, wherever each is found
//#Library: a/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: lib/libleft.so -La -linner -Wl,-soname,libleft.so -Wl,--enable-new-dtags,-rpath,%D/a
//#Library: lib/libright.so -Lb -linner -Wl,-soname,libright.so -Wl,--enable-new-dtags,-rpath,%D/b
//#Program: app -Llib -Lb -lleft -lright -Wl,--no-as-needed -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib:%D/b
//#Oracle: glibc
//#ExpectVia: libinner.so RUNPATH %D/b
#include "two_requesters.h"
