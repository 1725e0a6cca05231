//#Rule: a loaded object satisfies requests for its DT_SONAME, without a search
//#Library: lib/libreal.so -DVALUE=5 -Wl,-soname,libinner.so
//#Library: lib/libmiddle.so lib/libreal.so -Wl,-soname,libmiddle.so
//#Library: nosoname/libreal.so -DVALUE=5
//#Program: app -Lnosoname -Llib -Wl,--no-as-needed -lreal -lmiddle -Wl,-rpath-link,lib -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
#include "two_levels.h"
