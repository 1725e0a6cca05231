//#Rule: a provider without any version definitions causes a warning, and the program runs
//#Sh: printf 'V_1.0 { global: inner; local: *; };\n' > old.map; printf 'V_1.0 { global: inner; local: *; };\nV_1.2 { global: newer; } V_1.0;\n' > new.map
//#Library: lib/libinner.so -DOLD -DUSES_LIBC -Wl,-soname,libinner.so
//#Library: new/libinner.so -Wl,-soname,libinner.so,--version-script,new.map
//#Program: app -DNEWER=0 -Lnew -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
#include "versions.h"
