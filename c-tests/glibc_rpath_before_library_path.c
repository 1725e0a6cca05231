//#Rule: DT_RPATH is searched before LD_LIBRARY_PATH
//#Library: a/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Library: b/libinner.so -DVALUE=2 -Wl,-soname,libinner.so
//#Program: app -La -linner -Wl,--disable-new-dtags,-rpath,%D/a
//#Env: LD_LIBRARY_PATH=%D/b
//#Oracle: glibc
//#ExpectVia: libinner.so RPATH %D/a
#include <stdio.h>
#ifdef LIBRARY
int inner(void) { return VALUE; }
#else
int inner(void);
int main(void) {
    printf("%d\n", inner());
    return 0;
}
#endif
