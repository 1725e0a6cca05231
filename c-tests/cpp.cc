//#Rule: a C++ program brings libstdc++ and libgcc_s, which exceptions need
//#Program: app
//#Oracle: glibc
#include <iostream>
#include <stdexcept>
#include <vector>
int main() {
    try {
        std::vector<int> empty;
        return empty.at(1);
    } catch (const std::out_of_range &) {
        std::cout << "caught" << std::endl;
    }
    return 0;
}
