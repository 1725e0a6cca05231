//#Rule: a library found by an absolute DT_RUNPATH keeps the path under which the loader opens it
//#Library: lib/libinner.so -DVALUE=7 -Wl,-soname,libinner.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,%D/lib
//#Oracle: glibc
#include "one_level.h"
