//#Rule: a library found by an absolute DT_RPATH keeps the path under which the loader opens it
//#Library: lib/libinner.so -DVALUE=7 -Wl,-soname,libinner.so
//#Program: app -Llib -linner -Wl,--disable-new-dtags,-rpath,%D/lib
//#Oracle: glibc
#include "one_level.h"
