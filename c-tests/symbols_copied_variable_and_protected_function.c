//#Rule: a variable with a copy relocation and a protected function are found
//#Library: lib/libinner.so -Wl,-soname,libinner.so
//#Program: app -no-pie -Llib -linner -Wl,-z,now -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
#include <stdio.h>
#ifdef LIBRARY
int value = 5;
__attribute__((visibility("protected"))) int inner(void) { return 2; }
#else
extern int value;
int inner(void);
int main(void) {
    printf("%d\n", value + inner());
    return 0;
}
#endif
