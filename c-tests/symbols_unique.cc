//#Rule: a unique symbol (a static variable of an inline function) is one for all objects
//#Library: lib/libinner.so -Wl,-soname,libinner.so
//#Program: app -Llib -linner -Wl,-z,now -Wl,--enable-new-dtags,-rpath,$ORIGIN/lib
//#Oracle: glibc
#include <cstdio>
struct Counter {
    static int &value() {
        static int count = 0;
        return ++count;
    }
};
#ifdef LIBRARY
int inner() { return Counter::value(); }
#else
int inner();
int main() {
    int sum = Counter::value() + inner();
    std::printf("%d\n", sum);
    return 0;
}
#endif
