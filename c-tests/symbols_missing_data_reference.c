//#Rule: an undefined address keeps the program from starting, however functions bind
//#Library: full/libinner.so -Wl,-soname,libinner.so
//#Library: lib/libinner.so -DEMPTY -Wl,-soname,libinner.so
//#Program: app -fPIE -pie -Lfull -linner -Wl,-z,lazy -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#ExpectRefused: undefined symbol: inner
//#ExpectError: refers to the symbol inner
#include <stdio.h>
#if defined EMPTY
int other(void) { return 1; }
#elif defined LIBRARY
int inner(void) { return 2; }
#else
int inner(void);
int (*pointer)(void) = inner;
int main(int argc, char **argv) {
    printf("%d\n", argc > 1 ? pointer() : 0);
    return 0;
}
#endif
