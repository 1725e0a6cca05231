//#Rule: versions that are all defined are no obstacle
//#Sh: printf 'V_1.0 { global: inner; local: *; };\n' > old.map; printf 'V_1.0 { global: inner; local: *; };\nV_1.2 { global: newer; } V_1.0;\n' > new.map
//#Library: lib/libinner.so -Wl,-soname,libinner.so,--version-script,new.map
//#Program: app '-DNEWER=newer()' -Llib -linner -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
#include <stdio.h>
#if defined OLD
int inner(void) { return 1; }
#elif defined LIBRARY
int inner(void) { return 2; }
int newer(void) { return 3; }
#else
int inner(void);
int newer(void);
int main(void) {
    printf("%d\n", inner() + NEWER);
    return 0;
}
#endif
