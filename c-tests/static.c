//#Rule: a static program is an image of exactly one file
//#Program: app -static
//#Oracle: none
//#ExpectLinkage: static
//#ExpectFiles: 1
//#ExpectPath: usr/local/bin/app
#include <stdio.h>
int main(void) {
    puts("static");
    return 3;
}
