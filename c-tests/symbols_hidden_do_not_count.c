//#Rule: a hidden definition does not count for other objects
//#Library: full/libinner.so -Wl,-soname,libinner.so
//#Library: lib/libinner.so -DHIDE -Wl,-soname,libinner.so
//#Program: app -Lfull -linner -Wl,-z,now -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#ExpectRefused: undefined symbol: inner
//#ExpectError: refers to the symbol inner
#include <stdio.h>
#if defined HIDE
__attribute__((visibility("hidden"))) int inner(void) { return 2; }
int other(void) { return inner(); }
#elif defined LIBRARY
int inner(void) { return 2; }
#else
int inner(void);
int main(void) {
    printf("%d\n", inner());
    return 0;
}
#endif
