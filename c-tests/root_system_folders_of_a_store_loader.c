//#Rule: the system directories are those compiled into the loader (in Nix, a store path)
//#Sh: mkdir -p root/nix/store/abcde1/lib root/nix/store/abcdefghij/lib && LC_ALL=C sed 's#/usr/lib/x86_64-linux-gnu/#/nix/store/abcdefghij/lib/#g; s#/lib/x86_64-linux-gnu/#/nix/store/abcde1/lib/#g' /lib64/ld-linux-x86-64.so.2 > root/nix/store/abcde1/lib/ld-linux-x86-64.so.2 && chmod +x root/nix/store/abcde1/lib/ld-linux-x86-64.so.2 && cp -L /lib/x86_64-linux-gnu/libc.so.6 root/nix/store/abcde1/lib/
//#Library: root/nix/store/abcdefghij/lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: root/nix/app -Lroot/nix/store/abcdefghij/lib -linner -Wl,--dynamic-linker=/nix/store/abcde1/lib/ld-linux-x86-64.so.2
//#Root: root
//#Oracle: glibc
//#ExpectVia: libinner.so system folder
#include "one_level.h"
