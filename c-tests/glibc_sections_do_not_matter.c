//#Rule: a library without section headers, and one whose headers are nonsense, load like any other
//#Library: lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: printf '\377\377\377\377\377\377\377\177' | dd of=lib/libinner.so bs=1 seek=40 conv=notrunc status=none
//#Sh: cp lib/libinner.so good.so; mkdir nonsense; mv good.so nonsense
//#Library: link/libinner.so -DVALUE=0 -Wl,-soname,libinner.so
//#Program: app -Llink -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
#include "one_level.h"
