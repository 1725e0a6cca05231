//#Rule: a version that is needed only weakly may be missing: the loader warns and continues
//#Sh: printf 'V_1.0 { global: inner; local: *; };\n' > old.map; printf 'V_1.0 { global: inner; local: *; };\nV_1.2 { global: newer; } V_1.0;\n' > new.map
//#Library: lib/libinner.so -DOLD -Wl,-soname,libinner.so,--version-script,old.map
//#Library: new/libinner.so -Wl,-soname,libinner.so,--version-script,new.map
//#Program: app '-DWEAK=__attribute__((weak))' '-DNEWER=(newer?newer():0)' -Lnew -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Sh: at=$(LC_ALL=C grep -obUaP '\x12\x24\x5c\x00' app | head -1 | cut -d: -f1) && printf '\002' | dd of=app bs=1 seek=$((at + 4)) conv=notrunc status=none # vna_flags = VER_FLG_WEAK
//#Oracle: none
#include "versions.h"
