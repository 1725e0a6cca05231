//#Rule: a missing audit library (DT_AUDIT, DT_DEPAUDIT) is not an error
//#Library: lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so,--audit,libabsent.so
//#Program: app -Llib -linner -Wl,--depaudit,libabsent.so -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
#include "one_level.h"
