// program → libmiddle → libinner, whose VALUE shows which file was loaded.
#include <stdio.h>
#if defined LIB_middle
int inner(void);
int middle(void) { return 10 * inner(); }
#elif defined LIBRARY
int inner(void) { return VALUE; }
#else
int middle(void);
int main(void) {
    printf("%d\n", middle());
    return 0;
}
#endif
