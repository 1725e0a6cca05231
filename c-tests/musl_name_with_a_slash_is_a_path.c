//#Rule: a needed name with a slash is opened as it is, without expansion of tokens
//#Compiler: musl-gcc
//#Library: lib/libinner.so -DVALUE=7 -Wl,-soname,%D/lib/libinner.so
//#Program: app lib/libinner.so
//#Oracle: musl
//#ExpectVia: libinner.so path in the name
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
