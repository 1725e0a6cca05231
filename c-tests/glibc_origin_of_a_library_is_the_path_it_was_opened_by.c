//#Rule: $ORIGIN of a library is the folder it was opened in, also when that is a link
//#Library: real/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: links/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Library: real/libmiddle.so -Lreal -linner -Wl,-soname,libmiddle.so,--enable-new-dtags,-rpath,$ORIGIN
//#Sh: ln -s ../real/libmiddle.so links/libmiddle.so
//#Program: app -Llinks -lmiddle -Wl,-rpath-link,real -Wl,--enable-new-dtags,-rpath,%D/links
//#Oracle: glibc
#include <stdio.h>
#if defined LIB_middle
int inner(void);
int middle(void) { return 10 * inner(); }
#elif defined LIBRARY
int inner(void) { return VALUE; }
#else
int middle(void);
int main(void) {
    printf("%d\n", middle());
    return 0;
}
#endif
