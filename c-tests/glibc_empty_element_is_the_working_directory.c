//#Rule: an empty element of a search path is the working directory
//#Library: ./libinner.so -DVALUE=3 -Wl,-soname,libinner.so
//#Program: app -L. -linner -Wl,--enable-new-dtags,-rpath,:/no/such
//#Oracle: none
//#ExpectPath: libinner.so
#include "one_level.h"
