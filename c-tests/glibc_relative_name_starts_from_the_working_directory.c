//#Rule: a relative needed name starts from the current folder; in the image from the working directory
//#Library: lib/libinner.so -DVALUE=8
//#Program: app lib/libinner.so
//#Oracle: glibc
//#Pack: -w /work
//#ExpectPath: work/lib/libinner.so
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
