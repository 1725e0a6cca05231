//#Rule: the vDSO satisfies its own name, and is not a file
//#Library: stub/linux-vdso.so.1 -DVALUE=1 -Wl,-soname,linux-vdso.so.1
//#Program: app -Wl,--no-as-needed stub/linux-vdso.so.1
//#Oracle: glibc
//#ExpectFiles: 3
#include <stdio.h>
#ifndef LIBRARY
int main(void) {
    puts("vdso");
    return 0;
}
#endif
