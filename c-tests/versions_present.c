//#Rule: a program starts if all versions that it needs are defined
//#Sh: printf 'V_1.0 { global: inner; local: *; };\n' > old.map; printf 'V_1.0 { global: inner; local: *; };\nV_1.2 { global: newer; } V_1.0;\n' > new.map
//#Library: lib/libinner.so -Wl,-soname,libinner.so,--version-script,new.map
//#Program: app '-DNEWER=newer()' -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
#include "versions.h"
