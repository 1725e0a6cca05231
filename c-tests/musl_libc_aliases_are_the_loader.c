//#Rule: libm, libpthread, libdl and similar names are the loader itself, whether the files exist or not
//#Compiler: musl-gcc
//#Library: stub/libm.so.6 -Wl,-soname,libm.so.6
//#Library: stub/libpthread.so.0 -Wl,-soname,libpthread.so.0
//#Program: app -Wl,--no-as-needed stub/libm.so.6 stub/libpthread.so.0
//#Oracle: musl
//#ExpectFiles: 2
#include <stdio.h>
#ifndef LIBRARY
int main(void) {
    puts("aliases");
    return 0;
}
#endif
