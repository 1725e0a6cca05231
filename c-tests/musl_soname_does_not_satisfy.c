//#Rule: a loaded object does not satisfy requests for its DT_SONAME: only file names count
//#Compiler: musl-gcc
//#Library: lib/libreal.so -DVALUE=5 -Wl,-soname,libinner.so
//#Library: lib/libmiddle.so lib/libreal.so -Wl,-soname,libmiddle.so
//#Library: nosoname/libreal.so -DVALUE=5
//#Program: app -Lnosoname -Llib -Wl,--no-as-needed -lreal -lmiddle -Wl,-rpath-link,lib -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: musl
//#ExpectMissing: libinner.so
//#ExpectError: libinner.so not found
//#NoRun
#include "two_levels.h"
