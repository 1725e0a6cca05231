//#Rule: a needed name with a slash is opened as a path, without token expansion
//#Compiler: musl-gcc
//#Library: lib/libinner.so -DVALUE=7 -Wl,-soname,%D/lib/libinner.so
//#Program: app lib/libinner.so
//#Oracle: musl
//#ExpectVia: libinner.so path in the name
#include "one_level.h"
