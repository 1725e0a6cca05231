// libinner, which with EMPTY lacks inner(); the program calls it when it has an argument.
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
