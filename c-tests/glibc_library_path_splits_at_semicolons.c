//#Rule: LD_LIBRARY_PATH is split at colons and semicolons
//#Library: lib/libinner.so -DVALUE=3 -Wl,-soname,libinner.so
//#Program: app -Llib -linner
//#Env: LD_LIBRARY_PATH=/no/such;%D/lib
//#Oracle: glibc
#include "one_level.h"
