// SPDX-License-Identifier: Apache-2.0
#pragma once

// Kernel headers are compiled once per instruction set, each time in another namespace. Otherwise
// the linker would merge functions of the same name and keep any of them, so that AVX-512 code
// could run on processors without it. target_<isa>.cc defines this macro; everywhere else, and in
// target_scalar.cc, it is the namespace of the portable code. For the same reason, a kernel must
// not call inline functions of another namespace, including those of the standard library.
#ifndef HPIP_TARGET
#define HPIP_TARGET kernels
#endif
