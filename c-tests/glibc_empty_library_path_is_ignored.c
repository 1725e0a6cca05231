//#Rule: an LD_LIBRARY_PATH that is empty as a whole is not the current folder
//#Library: libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Program: app -L. -linner
//#Env: LD_LIBRARY_PATH=
//#Oracle: glibc
//#ExpectMissing: libinner.so
//#ExpectError: libinner.so not found
//#NoRun
#include "one_level.h"
