//#Rule: a library found by an absolute DT_RPATH keeps the path under which the loader opens it
//#Library: lib/libinner.so -Wl,-soname,libinner.so
//#Program: app -Llib -linner -Wl,--disable-new-dtags,-rpath,%D/lib
//#Oracle: glibc
#include <stdio.h>
#ifdef LIBRARY
int inner(void) { return 7; }
#else
int inner(void);
int main(void) {
    printf("%d\n", inner());
    return 0;
}
#endif
