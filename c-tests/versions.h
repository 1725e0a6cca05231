// libinner with inner(), and with newer() unless OLD is defined; the program adds NEWER.
#include <stdio.h>
#ifndef WEAK
#define WEAK
#endif
#if defined OLD && defined USES_LIBC
// A library that needs a version of another one has a version table.
int inner(void) { return puts("inner") < 0; }
#elif defined OLD
int inner(void) { return 1; }
#elif defined LIBRARY
int inner(void) { return 2; }
int newer(void) { return 3; }
#else
int inner(void);
WEAK int newer(void);
int main(void) {
    printf("%d\n", inner() + NEWER);
    return 0;
}
#endif
