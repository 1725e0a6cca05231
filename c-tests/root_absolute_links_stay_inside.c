//#Rule: an absolute symbolic link in a root stays inside the root, though the host has a decoy at its target
//#Sh: mkdir -p root/lib64 root/lib/x86_64-linux-gnu root/etc && cp -L /lib64/ld-linux-x86-64.so.2 root/lib64/ && cp -L /lib/x86_64-linux-gnu/libc.so.6 root/lib/x86_64-linux-gnu/
//#Library: root/opt/lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: decoy/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Sh: mkdir -p root$PWD/decoy && mv root/opt/lib/libinner.so root$PWD/decoy/ && ln -s $PWD/decoy/libinner.so root/usr-link.so; mkdir -p root/opt/lib && ln -s $PWD/decoy/libinner.so root/opt/lib/libinner.so
//#Program: root/app decoy/libinner.so -Wl,--enable-new-dtags,-rpath,/opt/lib
//#Root: root
//#Oracle: glibc
//#ExpectVia: libinner.so RUNPATH /opt/lib
#include "one_level.h"
