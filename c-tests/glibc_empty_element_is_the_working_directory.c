//#Rule: an empty element of a search path is the current folder
//#Library: ./libinner.so -DVALUE=3 -Wl,-soname,libinner.so
//#Program: app -L. -linner -Wl,--enable-new-dtags,-rpath,:/no/such
//#Oracle: none
//#ExpectPath: libinner.so
#include <stdio.h>
#ifdef LIBRARY
int inner(void) { return VALUE; }
#else
int inner(void);
int main(void) {
    printf("%d\n", inner());
    return 0;
}
#endif
