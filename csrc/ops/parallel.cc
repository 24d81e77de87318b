// SPDX-License-Identifier: Apache-2.0
#include "hpip/parallel.h"

#include <algorithm>
#include <exception>
#include <thread>
#include <vector>

#include "hpip/check.h"

namespace hpip {

void parallel_for(std::ptrdiff_t count, std::ptrdiff_t grain, int threads,
                  const std::function<void(std::ptrdiff_t, std::ptrdiff_t)>& body) {
  HPIP_REQUIRE(threads >= 1, "threads: expected at least 1, received ", threads);
  if (count <= 0) {
    return;
  }
  const std::ptrdiff_t most_parts =
      std::max<std::ptrdiff_t>(1, count / std::max<std::ptrdiff_t>(1, grain));
  const std::ptrdiff_t parts = std::min<std::ptrdiff_t>(threads, most_parts);
  const auto run_part = [&](std::ptrdiff_t part) {
    body(count * part / parts, count * (part + 1) / parts);
  };
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(parts));
  const auto guarded = [&](std::ptrdiff_t part) {
    try {
      run_part(part);
    } catch (...) {
      failures[static_cast<std::size_t>(part)] = std::current_exception();
    }
  };
  std::vector<std::thread> workers;
  workers.reserve(static_cast<std::size_t>(parts - 1));
  for (std::ptrdiff_t part = 1; part < parts; ++part) {
    workers.emplace_back(guarded, part);
  }
  guarded(0);
  for (std::thread& worker : workers) {
    worker.join();
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
}

}  // namespace hpip
