//#Rule: an absent DT_FILTER library keeps the program from starting
//#Library: lib/libinner.so -DVALUE=2 -Wl,-soname,libinner.so,-F,libabsent.so
//#Program: app -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: none
//#ExpectMissing: libabsent.so
//#ExpectError: libabsent.so not found
//#NoRun
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
