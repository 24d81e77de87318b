// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <cstring>
#include <string>

#include "hpip/check.h"
#include "hpip/cpu_isa.h"
#include "kernels/kernel_table.h"

namespace hpip {
namespace {

bool is_supported(Isa isa) {
#if defined(__x86_64__)
  // These functions also check that the operating system saves the wide registers.
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  switch (isa) {
    case Isa::kAvx2:
      return has_avx2;
    case Isa::kAvx512:
      return has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    default:
      return isa == Isa::kScalar;
  }
#elif defined(__aarch64__)
  return isa == Isa::kScalar || isa == Isa::kNeon;
#else
  return isa == Isa::kScalar;
#endif
}

Isa chosen_isa() {
  const std::vector<Isa> isas = supported_isas();
  const char* forced = std::getenv("HPIP_FORCE_ISA");
  if (forced == nullptr || *forced == '\0') {
    return isas.back();
  }
  std::string names;
  for (const Isa isa : isas) {
    if (std::strcmp(forced, isa_name(isa)) == 0) {
      return isa;
    }
    names += names.empty() ? "" : ", ";
    names += isa_name(isa);
  }
  throw InvalidInput(concat("HPIP_FORCE_ISA: expected one of ", names,
                            ", which this build and processor support, received '", forced,
                            "'; change or unset the environment variable"));
}

KernelTable chosen_kernels() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return avx2_kernels();
    case Isa::kAvx512:
      return avx512_kernels();
#elif defined(__aarch64__)
    case Isa::kNeon:
      return neon_kernels();
#endif
    default:
      return scalar_kernels();
  }
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kNeon:
      return "neon";
    default:
      return "scalar";
  }
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kNeon}) {
    if (is_supported(isa)) {
      isas.push_back(isa);
    }
  }
  return isas;
}

Isa active_isa() {
  static const Isa isa = chosen_isa();
  return isa;
}

const KernelTable& active_kernels() {
  static const KernelTable table = chosen_kernels();
  return table;
}

}  // namespace hpip
