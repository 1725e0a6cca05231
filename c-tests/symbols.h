// libinner, which lacks inner() if EMPTY is defined; the program calls inner() if it has
// an argument, or as CALLS says.
#include <stdio.h>
#ifndef CALLS
#define CALLS (argc > 1)
#endif
#if defined EMPTY
int other(void) { return 1; }
#elif defined LIBRARY
int inner(void) { return 2; }
int value = 5;
#else
int inner(void);
extern int value;
int main(int argc, char **argv) {
    printf("%d\n", CALLS ? inner() : 0);
    return 0;
}
#endif
