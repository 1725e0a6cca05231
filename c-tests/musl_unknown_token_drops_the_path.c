//#Rule: a $ that is not $ORIGIN makes musl drop the whole path
//#Compiler: musl-gcc
//#Library: lib/libinner.so -DVALUE=1 -Wl,-soname,libinner.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib:/x/$LIB
//#Oracle: musl
//#ExpectMissing: libinner.so
//#ExpectError: libinner.so not found
//#NoRun
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
