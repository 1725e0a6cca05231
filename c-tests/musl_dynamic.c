//#Rule: a dynamic musl program needs one file beside itself: its loader is its libc
//#Compiler: musl-gcc
//#Program: app
//#Oracle: musl
//#ExpectFiles: 2
#include <stdio.h>
int main(void) {
    puts("musl");
    return 0;
}
