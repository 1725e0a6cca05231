//#Rule: if the file of a cache entry is gone, the system directories are searched
//#Sh: mkdir -p root/lib64 root/lib/x86_64-linux-gnu root/etc && cp -L /lib64/ld-linux-x86-64.so.2 root/lib64/ && cp -L /lib/x86_64-linux-gnu/libc.so.6 root/lib/x86_64-linux-gnu/
//#Library: root/opt/lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: root/app -Lroot/opt/lib -linner
//#Sh: echo /opt/lib > root/etc/ld.so.conf && /usr/sbin/ldconfig -r root && rm root/opt/lib/libinner.so
//#Library: root/usr/lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Root: root
//#Oracle: glibc
//#ExpectVia: libinner.so system folder
#include "one_level.h"
