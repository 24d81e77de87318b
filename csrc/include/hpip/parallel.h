// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace hpip {

// Calls body(begin, end) on half-open ranges that cover [0, count) exactly once, on at most
// `threads` threads, the caller's among them. Ranges hold at least `grain` items where count
// allows, so small work stays on the caller. Returns when all ranges are done; the first exception
// of a body is rethrown in the caller. There is no global pool: threads live as long as the call.
void parallel_for(std::ptrdiff_t count, std::ptrdiff_t grain, int threads,
                  const std::function<void(std::ptrdiff_t, std::ptrdiff_t)>& body);

}  // namespace hpip
