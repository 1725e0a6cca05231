//#Rule: an absent DT_AUXILIARY library is no error
//#Library: lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so,-f,libabsent.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
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
