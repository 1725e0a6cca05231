//#Rule: a needed name with a slash is opened as a path, with tokens expanded, and not searched for
//#Library: lib/libinner.so -DVALUE=7 -Wl,-soname,$ORIGIN/lib/libinner.so
//#Program: app lib/libinner.so
//#Oracle: glibc
//#ExpectVia: libinner.so path in the name
//#ExpectPath: usr/local/bin/lib/libinner.so
#include "one_level.h"
