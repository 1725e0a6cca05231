//#Rule: a hundred libraries that need all later ones are resolved and drawn once each
//#Sh: for i in $(seq 99 -1 0); do n=""; for j in $(seq $((i + 1)) $((i + 9))); do test -e lib/liblayer$j.so && n="$n -llayer$j"; done; mkdir -p lib; echo "int layer$i(void) { return $i; }" > x.c; cc -shared -fPIC x.c -o lib/liblayer$i.so -Wl,-soname,liblayer$i.so,--no-as-needed -Llib $n; done
//#Program: app -Llib -Wl,--no-as-needed -llayer0 -llayer1 -Wl,-rpath-link,lib -Wl,--disable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
//#ExpectFiles: 103
#include <stdio.h>
int layer1(void);
int main(void) {
    printf("%d\n", layer1());
    return 0;
}
