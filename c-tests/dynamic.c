//#Rule: a dynamic program needs its loader and libc, the symbolic links to them, and nothing else
//#Program: app
//#Oracle: glibc
//#ExpectLinkage: dynamic
//#ExpectVia: libc.so.6 ld.so.cache
//#ExpectFiles: 3
#include <stdio.h>
int main(void) {
    puts("dynamic");
    return 0;
}
