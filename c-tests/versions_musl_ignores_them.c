//#Rule: musl ignores symbol versions
//#Compiler: musl-gcc
//#Sh: printf 'V_1.0 { global: inner; local: *; };\n' > old.map; printf 'V_1.0 { global: inner; local: *; };\nV_1.2 { global: newer; } V_1.0;\n' > new.map
//#Library: lib/libinner.so -DOLD -Wl,-soname,libinner.so,--version-script,old.map
//#Sh: sed -i s/V_1.0/V_2.0/ old.map
//#Library: new/libinner.so -DOLD -Wl,-soname,libinner.so,--version-script,old.map
//#Program: app -DNEWER=0 -Lnew -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: musl
#include "versions.h"
