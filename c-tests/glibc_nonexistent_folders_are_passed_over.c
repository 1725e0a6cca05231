//#Rule: search-path elements that do not exist or are files are skipped
//#Library: lib/libinner.so -DVALUE=9 -Wl,-soname,libinner.so
//#Sh: touch file
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,/no/such:%D/file:%D/lib
//#Oracle: glibc
#include "one_level.h"
