//#Rule: an empty LD_LIBRARY_PATH does not mean the working directory
//#Library: libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Program: app -L. -linner
//#Env: LD_LIBRARY_PATH=
//#Oracle: glibc
//#ExpectMissing: libinner.so
//#ExpectError: libinner.so not found
//#NoRun
#include "one_level.h"
