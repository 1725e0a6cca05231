//#Rule: an empty element of a search path is skipped: it is not the working directory
//#Compiler: musl-gcc
//#Library: libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Program: app -L. -linner -Wl,--enable-new-dtags,-rpath,:/no/such:
//#Env: LD_LIBRARY_PATH=::
//#Oracle: musl
//#ExpectMissing: libinner.so
//#ExpectError: libinner.so not found
//#NoRun
#include "one_level.h"
