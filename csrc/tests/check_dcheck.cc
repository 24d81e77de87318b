// SPDX-License-Identifier: Apache-2.0
// HPIP_DCHECK aborts a Debug or sanitizer build at the first violated precondition and prints both
// values; other builds generate no code for it.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "hpip/dcheck.h"
#include "hpip/preprocess_ops.h"
#include "kernels/kernel_table.h"
#include "kernels/unpack_word_inl.h"
#include "ops/planar_rows.h"
#include "ops/row_resizer.h"

namespace {

int failures = 0;

void expect(bool condition, const std::string& what) {
  if (!condition) {
    ++failures;
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
  }
}

#if defined(HPIP_ENABLE_DCHECKS)

struct Ending {
  int status = 0;
  std::string errors;
};

// Runs `body` in a child process, and collects what it writes to stderr.
Ending run_in_child(const std::function<void()>& body) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) {
    std::abort();
  }
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    body();
    _exit(0);
  }
  close(ends[1]);
  Ending ending;
  std::array<char, 512> part{};
  for (ssize_t count = 0; (count = read(ends[0], part.data(), part.size())) > 0;) {
    ending.errors.append(part.data(), static_cast<std::size_t>(count));
  }
  close(ends[0]);
  waitpid(child, &ending.status, 0);
  return ending;
}

void expect_stops(const std::function<void()>& body, const std::string& message) {
  const Ending ending = run_in_child(body);
  expect(WIFSIGNALED(ending.status) && WTERMSIG(ending.status) == SIGABRT,
         "an abort for '" + message + "', received status " + std::to_string(ending.status));
  expect(ending.errors.find(message) != std::string::npos,
         "a message with '" + message + "', received: " + ending.errors);
}

void messages_have_the_place_and_both_values() {
  const std::ptrdiff_t count = 65;
  const float weight = -0.5F;
  const int* const nothing = nullptr;
  expect_stops([&] { HPIP_DCHECK(count, <=, 64); }, "HPIP_DCHECK failed: count <= 64 (received 65");
  expect_stops([&] { HPIP_DCHECK(weight, >=, 0.0F); }, "(received -0.5 and 0)");
  expect_stops([&] { HPIP_DCHECK(UINT64_MAX, ==, std::uint64_t{1}); },
               "18446744073709551615 and 1");
  expect_stops([&] { HPIP_DCHECK(nothing, !=, nullptr); }, "check_dcheck.cc:");
  const Ending ending = run_in_child([&] { HPIP_DCHECK(count, ==, 65); });
  expect(ending.status == 0 && ending.errors.empty(), "no message for a precondition that holds");
}

void kernels_stop_at_sizes_that_they_do_not_support() {
  std::array<std::uint8_t, 128> bytes{};
  expect_stops([&] { hpip::kernels::unpack_word(0, 65, bytes.data()); }, "columns <= 64");
  std::vector<std::int32_t> begin(64);
  std::vector<std::int16_t> weights(128);
  std::vector<std::int16_t> out(192);
  const auto filter = hpip::active_kernels().filter_taps_u8;
  expect_stops([&] { filter(bytes.data(), begin.data(), weights.data(), 40, 64, out.data()); },
               "(received 8 and 0)");
  expect_stops([&] { filter(bytes.data(), begin.data(), weights.data(), 64, 32, out.data()); },
               "count <= plane (received 64 and 32)");
}

void resizers_stop_at_channels_that_they_do_not_have() {
  const std::vector<std::uint8_t> pixels(16 * 16 * 2);
  const hpip::ImageView<const std::uint8_t> image{pixels.data(), 16, 16, 2, 32};
  std::vector<std::uint8_t> row(16);
  hpip::ViewRows<std::uint8_t> source(image);
  for (const auto interpolation : {hpip::Interpolation::kNearest, hpip::Interpolation::kLinear,
                                   hpip::Interpolation::kCubic, hpip::Interpolation::kArea}) {
    const auto plan = hpip::make_resize_plan<std::uint8_t>({16, 16, 8, 8, 2}, interpolation);
    const auto resizer = plan->resizer(source);
    expect_stops([&] { resizer->row(0, row.data()); }, "channels");
  }
  std::vector<float> values(48);
  const hpip::PreprocessParams params;
  const auto fused_plan = hpip::make_fused_plan({image, 8, 8}, params);
  const auto rows = fused_plan->rows();
  const hpip::RowTarget target{{values.data(), values.data() + 16, values.data() + 32}, 16, false};
  expect_stops([&] { rows->row(0, target); }, "image.channels");
}

void rows_stop_outside_of_their_target() {
  const std::vector<std::uint8_t> pixels(16 * 16 * 3);
  const hpip::PreprocessParams params;
  const auto plan = hpip::make_fused_plan({{pixels.data(), 16, 16, 3, 48}, 8, 8}, params);
  const auto rows = plan->rows();
  std::vector<float> values(24);
  float* const data = values.data();
  expect_stops([&] { rows->row(0, {{data, data + 8, data + 16}, 7, false}); },
               "(received 7 and 8)");
  expect_stops([&] { rows->row(8, {{data, data + 8, data + 16}, 8, false}); },
               "(received 8 and 8)");
}

#else

void a_disabled_check_evaluates_nothing() {
  int evaluations = 0;
  HPIP_DCHECK(++evaluations, <, 0);
  expect(evaluations == 0, "no evaluation of a disabled HPIP_DCHECK");
}

#endif

}  // namespace

int main() {
#if defined(HPIP_ENABLE_DCHECKS)
  messages_have_the_place_and_both_values();
  kernels_stop_at_sizes_that_they_do_not_support();
  resizers_stop_at_channels_that_they_do_not_have();
  rows_stop_outside_of_their_target();
#else
  a_disabled_check_evaluates_nothing();
#endif
  return failures == 0 ? 0 : 1;
}
