//#Rule: a relative needed name starts from the working directory, in the image from the configured one
//#Library: lib/libinner.so -DVALUE=8
//#Program: app lib/libinner.so
//#Oracle: glibc
//#Pack: -w /work
//#ExpectPath: work/lib/libinner.so
#include "one_level.h"
