//#Rule: a missing library is reported with its requester and the paths tried, and nothing is written
//#Library: lib/libgone.so -Wl,-soname,libgone.so
//#Library: lib/libmiddle.so -Llib -lgone -Wl,-soname,libmiddle.so
//#Program: app -Llib -lmiddle -lgone -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Sh: rm lib/libgone.so
//#Oracle: glibc
//#ExpectMissing: libgone.so
//#ExpectError: libgone.so not found (needed by
//#NoRun
#include <stdio.h>
#if defined LIB_gone
int gone(void) { return 1; }
#elif defined LIB_middle
int gone(void);
int middle(void) { return gone(); }
#else
int gone(void);
int middle(void);
int main(void) { return gone() + middle(); }
#endif
