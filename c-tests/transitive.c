//#Rule: a library that only another library needs is found through that library's own RUNPATH
//#Library: lib/deep/libdeep.so -Wl,-soname,libdeep.so
//#Library: lib/libmiddle.so -Llib/deep -ldeep -Wl,-soname,libmiddle.so,--enable-new-dtags,-rpath,$ORIGIN/deep
//#Program: app -Llib -lmiddle -Wl,-rpath-link,lib/deep,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectVia: libdeep.so RUNPATH $ORIGIN/deep
//#ExpectPath: usr/local/bin/lib/deep/libdeep.so
#include <stdio.h>
#if defined LIB_deep
int deep(void) { return 1; }
#elif defined LIB_middle
int deep(void);
int middle(void) { return 40 + deep(); }
#else
int middle(void);
int main(void) {
    printf("%d\n", middle());
    return 0;
}
#endif
