//#Rule: ${ORIGIN}, $LIB and ${PLATFORM} are expanded
//#Library: x86_64/lib/x86_64-linux-gnu/libinner.so -DVALUE=3 -Wl,-soname,libinner.so
//#Program: app -Lx86_64/lib/x86_64-linux-gnu -linner -Wl,--enable-new-dtags,-rpath,${ORIGIN}/${PLATFORM}/$LIB
//#Oracle: glibc
//#ExpectVia: libinner.so RUNPATH ${ORIGIN}/${PLATFORM}/$LIB
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
