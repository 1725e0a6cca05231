//#Rule: the root's /etc/ld.so.preload comes first, and is in the image
//#Sh: mkdir -p root/lib64 root/lib/x86_64-linux-gnu root/etc && cp -L /lib64/ld-linux-x86-64.so.2 root/lib64/ && cp -L /lib/x86_64-linux-gnu/libc.so.6 root/lib/x86_64-linux-gnu/
//#Library: root/lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: root/opt/libfirst.so -DVALUE=1 -Wl,-soname,libfirst.so
//#Program: root/app -Lroot/lib -linner
//#Sh: printf '# comment\n/opt/libfirst.so\n' > root/etc/ld.so.preload
//#Root: root
//#Oracle: glibc
//#ExpectPath: etc/ld.so.preload
//#ExpectPath: opt/libfirst.so
#include "one_level.h"
