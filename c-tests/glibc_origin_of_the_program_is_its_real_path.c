//#Rule: $ORIGIN of a program is the directory of its real path, not of the symbolic link it was started by
//#Library: real/lib/libinner.so -DVALUE=3 -Wl,-soname,libinner.so
//#Program: real/app -Lreal/lib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Sh: mkdir -p bin && ln -s ../real/app bin/app
//#Test: bin/app
//#Oracle: glibc
#include "one_level.h"
