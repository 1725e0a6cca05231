//#Rule: symbols are found through a System V hash table alone
//#Library: lib/libinner.so -Wl,-soname,libinner.so,--hash-style=sysv
//#Program: app -Llib -linner -Wl,-z,now -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
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
    printf("%d\n", inner());
    return 0;
}
#endif
