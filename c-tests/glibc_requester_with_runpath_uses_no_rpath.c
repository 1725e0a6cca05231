//#Rule: a requester that has DT_RUNPATH does not look at the DT_RPATH of its loaders
//#Library: deep/libinner.so -DVALUE=4 -Wl,-soname,libinner.so
//#Library: lib/libmiddle.so -Ldeep -linner -Wl,-soname,libmiddle.so -Wl,--enable-new-dtags,-rpath,%D/nowhere
//#Program: app -Llib -lmiddle -Wl,-rpath-link,deep -Wl,--disable-new-dtags,-rpath,%D/deep:%D/lib
//#Oracle: glibc
//#ExpectMissing: libinner.so
//#ExpectError: tried
//#NoRun
#include "two_levels.h"
