//#Rule: $ORIGIN of a library is the directory it was opened in, even through a symbolic link
//#Library: real/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: links/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: real/libmiddle.so -Lreal -linner -Wl,-soname,libmiddle.so,--enable-new-dtags,-rpath,$ORIGIN
//#Sh: ln -s ../real/libmiddle.so links/libmiddle.so
//#Program: app -Llinks -lmiddle -Wl,-rpath-link,real -Wl,--enable-new-dtags,-rpath,%D/links
//#Oracle: glibc
#include "two_levels.h"
