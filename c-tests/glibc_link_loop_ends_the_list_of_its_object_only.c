//#Rule: each object of an RPATH chain has its own list: a loop of symbolic links ends only that one
//#Library: good/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Sh: mkdir bad && ln -s libinner.so bad/libinner.so
//#Library: lib/libmiddle.so -Lgood -linner -Wl,-soname,libmiddle.so,--disable-new-dtags,-rpath,%D/bad
//#Program: app -Llib -lmiddle -Wl,-rpath-link,good,--disable-new-dtags,-rpath,%D/lib:%D/good
//#Oracle: glibc
//#ExpectVia: libinner.so RPATH %D/good of %D/app
#include "two_levels.h"
