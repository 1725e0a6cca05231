//#Rule: $ORIGIN/libinner.so is a different file for each requester
//#Library: l/libinner.so -DVALUE=1 -Wl,-soname,$ORIGIN/libinner.so
//#Library: r/libinner.so -DVALUE=2 -Wl,-soname,$ORIGIN/libinner.so
//#Library: l/libleft.so l/libinner.so -Wl,-soname,libleft.so
//#Library: r/libright.so r/libinner.so -Wl,-soname,libright.so
//#Program: app -Ll -Lr -lleft -lright -Wl,--unresolved-symbols=ignore-all -Wl,--enable-new-dtags,-rpath,$ORIGIN/l:$ORIGIN/r
//#Oracle: glibc
//#ExpectPath: usr/local/bin/l/libinner.so
//#ExpectPath: usr/local/bin/r/libinner.so
#include "two_requesters.h"
