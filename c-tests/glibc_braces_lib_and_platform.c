//#Rule: ${ORIGIN}, $LIB and ${PLATFORM} are expanded
//#Library: x86_64/lib/x86_64-linux-gnu/libinner.so -DVALUE=3 -Wl,-soname,libinner.so
//#Program: app -Lx86_64/lib/x86_64-linux-gnu -linner -Wl,--enable-new-dtags,-rpath,${ORIGIN}/${PLATFORM}/$LIB
//#Env: GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2
//#Oracle: glibc
//#ExpectVia: libinner.so RUNPATH ${ORIGIN}/${PLATFORM}/$LIB
// An Intel processor without AVX2 is not a "haswell", and has the platform of the baseline.
#include "one_level.h"
