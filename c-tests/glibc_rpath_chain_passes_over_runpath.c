//#Rule: the walk up the DT_RPATH chain goes on past an object that has DT_RUNPATH
//#Library: deep/libinner.so -DVALUE=4 -Wl,-soname,libinner.so
//#Library: lib/libmiddle.so -Ldeep -linner -Wl,-soname,libmiddle.so
//#Library: lib/libouter.so -Llib -lmiddle -Wl,-rpath-link,deep,-soname,libouter.so -Wl,--enable-new-dtags,-rpath,%D/lib
//#Program: app -Llib -louter -Wl,-rpath-link,lib:deep -Wl,--disable-new-dtags,-rpath,%D/deep:%D/lib
//#Oracle: glibc
//#ExpectVia: libinner.so RPATH %D/deep of %D/app
#include <stdio.h>
#if defined LIB_inner
int inner(void) { return VALUE; }
#elif defined LIB_middle
int inner(void);
int middle(void) { return 10 * inner(); }
#elif defined LIB_outer
int middle(void);
int outer(void) { return 10 * middle(); }
#else
int outer(void);
int main(void) {
    printf("%d\n", outer());
    return 0;
}
#endif
