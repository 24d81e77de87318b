// SPDX-License-Identifier: Apache-2.0
// Tests what Python can't reach: the distribution of work, and checks that the Python wrappers
// duplicate.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "hpip/check.h"
#include "hpip/parallel.h"
#include "hpip/preprocess_ops.h"

namespace {

int failures = 0;

void expect(bool condition, const std::string& what) {
  if (!condition) {
    ++failures;
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
  }
}

template <typename Error>
void expect_throws(const std::function<void()>& run, const std::string& message) {
  try {
    run();
  } catch (const Error& error) {
    const std::string text = error.what();
    expect(text.find(message) != std::string::npos, "message with '" + message + "': " + text);
    return;
  }
  expect(false, "an exception with '" + message + "'");
}

void parallel_for_covers_every_item_once() {
  for (const std::ptrdiff_t count : {0, 1, 2, 7, 1000}) {
    for (const std::ptrdiff_t grain : {0, 1, 3, 5000}) {
      for (const int threads : {1, 2, 7, 64}) {
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
        hpip::parallel_for(count, grain, threads, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
          for (std::ptrdiff_t i = begin; i < end; ++i) {
            ++visits[static_cast<std::size_t>(i)];
          }
        });
        for (const std::atomic<int>& visit : visits) {
          expect(visit == 1, hpip::concat("one visit of each of ", count, " items, grain ", grain,
                                          ", threads ", threads));
        }
      }
    }
  }
}

void parallel_for_passes_on_exceptions() {
  const auto fail_at_the_end = [](std::ptrdiff_t /*begin*/, std::ptrdiff_t end) {
    if (end == 100) throw std::runtime_error("the last range");
  };
  for (const int threads : {1, 4}) {
    expect_throws<std::runtime_error>([&] { hpip::parallel_for(100, 1, threads, fail_at_the_end); },
                                      "the last range");
  }
  expect_throws<hpip::InvalidInput>([&] { hpip::parallel_for(100, 1, 0, fail_at_the_end); },
                                    "threads: expected at least 1, received 0");
}

void ops_refuse_views_that_do_not_fit() {
  std::vector<std::uint8_t> pixels(4 * 4 * 3);
  std::vector<float> floats(4 * 4 * 3);
  const hpip::ImageView<const std::uint8_t> image{pixels.data(), 4, 4, 3, 12};
  const hpip::ImageView<std::uint8_t> grey{pixels.data(), 2, 2, 1, 2};
  const hpip::ImageView<float> small{floats.data(), 2, 4, 3, 12};
  const hpip::BatchView<float> batch{floats.data(), 1, 4, 4};
  expect_throws<hpip::InvalidInput>(
      [&] { hpip::resize(image, hpip::Interpolation::kLinear, grey, 1); },
      "out: expected 3 channels, as in the image, received 1");
  expect_throws<hpip::InvalidInput>(
      [&] { hpip::normalize(image, {}, small, 1); },
      "out: expected 4 x 4 x 3, the shape of the image, received 2 x 4 x 3");
  expect_throws<hpip::InvalidInput>([&] { hpip::preprocess({}, {}, batch, 1); },
                                    "out: expected a batch of 0, one per image, received 1");
  expect_throws<hpip::InvalidInput>([&] { hpip::preprocess({{image, 4, 5}}, {}, batch, 1); },
                                    "out: expected room for a resized image of 4 x 5");
  expect_throws<hpip::InvalidInput>([&] { hpip::preprocess({{image, 0, 4}}, {}, batch, 1); },
                                    "plan: expected a height and a width of 1 to");
}

}  // namespace

int main() {
  parallel_for_covers_every_item_once();
  parallel_for_passes_on_exceptions();
  ops_refuse_views_that_do_not_fit();
  return failures == 0 ? 0 : 1;
}
