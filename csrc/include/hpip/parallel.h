// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

#include "hpip/exported.h"

namespace hpip HPIP_EXPORTED {

// Calls body(begin, end) on half-open ranges that cover [0, count) exactly once, on at most
// `threads` threads, including the caller's. Ranges have at least `grain` items if count allows it,
// so small work runs in the calling thread. Returns after all ranges; rethrows the first exception
// of a body. There is no global pool: threads exist only during the call.
void parallel_for(std::ptrdiff_t count, std::ptrdiff_t grain, int threads,
                  const std::function<void(std::ptrdiff_t, std::ptrdiff_t)>& body);

}  // namespace hpip HPIP_EXPORTED
