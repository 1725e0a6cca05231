//#Rule: a provider without a version table (DT_VERSYM) aborts a program that needs a version
//#Sh: printf 'V_1.0 { global: inner; local: *; };\nV_1.2 { global: newer; } V_1.0;\n' > new.map
//#Library: lib/libinner.so -DOLD -Wl,-soname,libinner.so
//#Library: new/libinner.so -Wl,-soname,libinner.so,--version-script,new.map
//#Program: app -DNEWER=0 -Lnew -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectRefused: check_match: Assertion
//#ExpectError: needs version V_1.0
#include "versions.h"
