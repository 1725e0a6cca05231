//#Rule: ${ORIGIN}, $LIB and ${PLATFORM} are expanded
//#Library: x86_64/lib/x86_64-linux-gnu/libinner.so -DVALUE=3 -Wl,-soname,libinner.so
//#Program: app -Lx86_64/lib/x86_64-linux-gnu -linner -Wl,--enable-new-dtags,-rpath,${ORIGIN}/${PLATFORM}/$LIB
//#Env: GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2
//#Oracle: glibc
//#ExpectVia: libinner.so RUNPATH ${ORIGIN}/${PLATFORM}/$LIB
// Without AVX2 an Intel processor is no "haswell" and the platform is the baseline's.
#include "one_level.h"
