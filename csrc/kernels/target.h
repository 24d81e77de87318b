// SPDX-License-Identifier: Apache-2.0
#pragma once

// A header of kernels is compiled once per instruction set, each time into another namespace:
// functions of one name would be merged by the linker, which keeps whichever it meets first, and
// code for AVX-512 would run where there is none. target_<isa>.cc defines this name; elsewhere, and
// in target_scalar.cc, it is the portable code. For the same reason a kernel calls no inline
// function of another namespace, the standard library's included.
#ifndef HPIP_TARGET
#define HPIP_TARGET kernels
#endif
