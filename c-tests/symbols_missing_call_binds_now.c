//#Rule: with BIND_NOW a function that nothing defines keeps the program from starting
//#Library: full/libinner.so -Wl,-soname,libinner.so
//#Library: lib/libinner.so -DEMPTY -Wl,-soname,libinner.so
//#Program: app -Lfull -linner -Wl,-z,now -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#ExpectRefused: undefined symbol: inner
//#ExpectError: refers to the symbol inner
#include <stdio.h>
#if defined EMPTY
int other(void) { return 1; }
#elif defined LIBRARY
int inner(void) { return 2; }
int value = 5;
#else
int inner(void);
extern int value;
int main(int argc, char **argv) {
    printf("%d\n", argc > 1 ? inner() : 0);
    return 0;
}
#endif
