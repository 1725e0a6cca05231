//#Rule: a static musl program is an image of exactly one file
//#Compiler: musl-gcc
//#Program: app -static
//#Oracle: none
//#ExpectLinkage: static
//#ExpectFiles: 1
#include <stdio.h>
int main(void) {
    puts("static musl");
    return 0;
}
