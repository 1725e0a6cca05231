//#Rule: a static-pie program is static: it relocates itself
//#Program: app -static-pie
//#Oracle: none
//#ExpectLinkage: static-pie
//#ExpectFiles: 1
//#ExpectPath: usr/local/bin/app
#include <stdio.h>
int main(void) {
    puts("static-pie");
    return 3;
}
