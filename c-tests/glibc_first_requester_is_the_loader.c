//#Rule: the object that requests a name first decides where it is found, for all others too
//#Library: l/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: r/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: lib/libleft.so -Ll -linner -Wl,-soname,libleft.so -Wl,--enable-new-dtags,-rpath,%D/l
//#Library: lib/libright.so -Lr -linner -Wl,-soname,libright.so -Wl,--enable-new-dtags,-rpath,%D/r
//#Program: app -Llib -lright -lleft -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib -Wl,-rpath-link,l
//#Oracle: glibc
//#ExpectVia: libinner.so RUNPATH %D/r
#include "two_requesters.h"
