//#Rule: two libraries that need each other are loaded once each
//#Library: lib/libright.so -Wl,-soname,libright.so -DSTUB
//#Library: lib/libleft.so -Llib -lright -Wl,-soname,libleft.so
//#Library: lib/libright.so -Llib -lleft -Wl,-soname,libright.so
//#Program: app -Llib -lleft -Wl,-rpath-link,lib -Wl,--disable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectFiles: 5
#include <stdio.h>
#if defined STUB
int right(int n) { return n; }
#elif defined LIB_left
int right(int n);
int left(int n) { return n ? right(n - 1) + 1 : 0; }
#elif defined LIB_right
int left(int n);
int right(int n) { return n ? left(n - 1) + 1 : 0; }
#else
int left(int n);
int main(void) {
    printf("%d\n", left(5));
    return 0;
}
#endif
