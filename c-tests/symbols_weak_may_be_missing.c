//#Rule: a weak symbol may be missing
//#Program: app -Wl,-z,now
//#Oracle: glibc
#include <stdio.h>
__attribute__((weak)) int inner(void);
int main(void) {
    printf("%d\n", inner ? inner() : 0);
    return 0;
}
