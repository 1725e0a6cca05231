// libleft and libright both need libinner, whose VALUE shows which file was loaded.
#include <stdio.h>
#if defined LIB_inner
int inner(void) { return VALUE; }
#elif defined LIB_left
int inner(void);
int left(void) { return inner(); }
#elif defined LIB_right
int inner(void);
int right(void) { return inner(); }
#else
int left(void);
int right(void);
int main(void) {
    printf("%d %d\n", left(), right());
    return 0;
}
#endif
