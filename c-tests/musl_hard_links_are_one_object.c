//#Rule: two names of one inode are one object
//#Compiler: musl-gcc
//#Library: lib/libinner.so -DVALUE=6 -Wl,-soname,libinner.so
//#Sh: ln lib/libinner.so lib/libsame.so
//#Library: stub/libsame.so -DVALUE=0 -Wl,-soname,libsame.so
//#Program: app -Wl,--no-as-needed -Llib -linner stub/libsame.so -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: musl
//#ExpectFiles: 3
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
