//#Rule: the error names the newest version that the provider has
//#Sh: printf 'V_1.0 { global: inner; local: *; };\n' > old.map; printf 'V_1.0 { global: inner; local: *; };\nV_1.2 { global: newer; } V_1.0;\n' > new.map
//#Library: lib/libinner.so -DOLD -Wl,-soname,libinner.so,--version-script,old.map
//#Library: new/libinner.so -Wl,-soname,libinner.so,--version-script,new.map
//#Program: app '-DNEWER=newer()' -Lnew -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#ExpectRefused: version `V_1.2' not found
//#ExpectError: has V_1.0 at most
#include "versions.h"
