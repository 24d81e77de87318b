// SPDX-License-Identifier: Apache-2.0
#include "ops/resize_tables.h"

#include <algorithm>
#include <cmath>

#include "hpip/dcheck.h"
#include "hpip/preprocess_ops.h"
#include "kernels/tap_limits.h"

namespace hpip {
namespace {

// OpenCV ignores a part of an area cell that covers less than a thousandth of a source pixel.
constexpr double kSmallestShare = 1e-3;

// Source pixels per target pixel, with the same two divisions as in OpenCV.
double source_step(std::ptrdiff_t source, std::ptrdiff_t target) {
  HPIP_DCHECK(source, >=, 1);
  HPIP_DCHECK(source, <=, kMaxSide);
  HPIP_DCHECK(target, >=, 1);
  HPIP_DCHECK(target, <=, kMaxSide);
  return 1.0 / (static_cast<double>(target) / static_cast<double>(source));
}

std::int32_t clamp_index(std::ptrdiff_t index, std::ptrdiff_t source) {
  return static_cast<std::int32_t>(std::clamp<std::ptrdiff_t>(index, 0, source - 1));
}

// A position on the source axis: pixel `base` plus a fraction in [0, 1] of the distance to the next
// one.
template <typename Real>
struct Position {
  std::ptrdiff_t base;
  Real fraction;
};

template <typename Real>
Position<Real> centre_position(std::ptrdiff_t i, double step) {
  const Real position = static_cast<Real>((static_cast<double>(i) + 0.5) * step - 0.5);
  const Real base = std::floor(position);
  return {static_cast<std::ptrdiff_t>(base), position - base};
}

// In float32 for every type: if rounding makes the fraction 1, OpenCV uses 0.
template <typename Real>
Position<Real> area_position(std::ptrdiff_t i, double step, double targets_per_source) {
  const double base = std::floor(static_cast<double>(i) * step);
  const float fraction =
      static_cast<float>(static_cast<double>(i + 1) - (base + 1.0) * targets_per_source);
  return {static_cast<std::ptrdiff_t>(base),
          static_cast<Real>(fraction <= 0.0F ? 0.0F : fraction - std::floor(fraction))};
}

template <typename Real>
Position<Real> linear_position(std::ptrdiff_t i, std::ptrdiff_t source, std::ptrdiff_t target,
                               LinearRule rule) {
  const double step = source_step(source, target);
  if (rule == LinearRule::kCentre) {
    return centre_position<Real>(i, step);
  }
  return area_position<Real>(i, step, static_cast<double>(target) / static_cast<double>(source));
}

std::int32_t fixed_point(float weight) {
  return static_cast<std::int32_t>(std::nearbyint(weight * static_cast<float>(kLinearWeightOne)));
}

}  // namespace

FilterTable<std::int32_t> linear_table_u8(std::ptrdiff_t source, std::ptrdiff_t target,
                                          LinearRule rule, bool snap_ends) {
  FilterTable<std::int32_t> table;
  table.index.reserve(static_cast<std::size_t>(target) * 2);
  table.weight.reserve(static_cast<std::size_t>(target) * 2);
  for (std::ptrdiff_t i = 0; i < target; ++i) {
    Position<float> at = linear_position<float>(i, source, target, rule);
    if (snap_ends && (at.base < 0 || at.base >= source - 1)) {
      at.fraction = 0.0F;
    }
    table.index.push_back(clamp_index(at.base, source));
    table.index.push_back(clamp_index(at.base + 1, source));
    table.weight.push_back(fixed_point(1.0F - at.fraction));
    table.weight.push_back(fixed_point(at.fraction));
  }
  return table;
}

FilterTable<float> linear_table_f32(std::ptrdiff_t source, std::ptrdiff_t target, LinearRule rule) {
  FilterTable<float> table;
  table.index.reserve(static_cast<std::size_t>(target) * 2);
  table.weight.reserve(static_cast<std::size_t>(target) * 2);
  for (std::ptrdiff_t i = 0; i < target; ++i) {
    const Position<double> at = linear_position<double>(i, source, target, rule);
    table.index.push_back(clamp_index(at.base, source));
    table.index.push_back(clamp_index(at.base + 1, source));
    table.weight.push_back(static_cast<float>(1.0 - at.fraction));
    table.weight.push_back(static_cast<float>(at.fraction));
  }
  return table;
}

FilterTable<float> cubic_table(std::ptrdiff_t source, std::ptrdiff_t target) {
  constexpr double a = -0.75;
  const double step = source_step(source, target);
  // The weights of samples at the distances d and 1 + d, in pixels; d is at most 1.
  const auto near_weight = [](double d) { return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0; };
  const auto far_weight = [](double d) { return a * d * (1.0 - d) * (1.0 - d); };
  FilterTable<float> table;
  table.index.reserve(static_cast<std::size_t>(target) * 4);
  table.weight.reserve(static_cast<std::size_t>(target) * 4);
  for (std::ptrdiff_t i = 0; i < target; ++i) {
    const Position<double> at = centre_position<double>(i, step);
    // IPP stores the distance to the farther left sample in float32; this loss of precision affects
    // all four weights, and is visible in the result.
    const float far_distance = 1.0F + static_cast<float>(at.fraction);
    const double left = static_cast<double>(far_distance - 1.0F);
    const double right = 1.0 - left;
    for (std::ptrdiff_t k = -1; k <= 2; ++k) {
      table.index.push_back(clamp_index(at.base + k, source));
    }
    for (const double weight :
         {far_weight(left), near_weight(left), near_weight(right), far_weight(right)}) {
      table.weight.push_back(static_cast<float>(weight));
    }
  }
  return table;
}

std::vector<std::int32_t> nearest_table(std::ptrdiff_t source, std::ptrdiff_t target) {
  const double step = source_step(source, target);
  std::vector<std::int32_t> table;
  table.reserve(static_cast<std::size_t>(target));
  for (std::ptrdiff_t i = 0; i < target; ++i) {
    const double position = std::floor(static_cast<double>(i) * step);
    table.push_back(clamp_index(static_cast<std::ptrdiff_t>(position), source));
  }
  return table;
}

AreaTable area_table(std::ptrdiff_t source, std::ptrdiff_t target) {
  HPIP_DCHECK(source, >=, target);
  const double step = source_step(source, target);
  AreaTable table;
  const auto add = [&table](std::ptrdiff_t index, double share) {
    table.index.push_back(static_cast<std::int32_t>(index));
    table.weight.push_back(static_cast<float>(share));
  };
  for (std::ptrdiff_t i = 0; i < target; ++i) {
    table.first.push_back(static_cast<std::int32_t>(table.index.size()));
    const double begin = static_cast<double>(i) * step;
    const double end = begin + step;
    const double cell = std::min(step, static_cast<double>(source) - begin);
    const std::ptrdiff_t whole_end =
        std::min(static_cast<std::ptrdiff_t>(std::floor(end)), source - 1);
    const std::ptrdiff_t whole_begin =
        std::min(static_cast<std::ptrdiff_t>(std::ceil(begin)), whole_end);
    const double head = static_cast<double>(whole_begin) - begin;
    const double tail = end - static_cast<double>(whole_end);
    if (head > kSmallestShare) {
      add(whole_begin - 1, head / cell);
    }
    for (std::ptrdiff_t index = whole_begin; index < whole_end; ++index) {
      add(index, 1.0 / cell);
    }
    if (tail > kSmallestShare) {
      add(whole_end, std::min({tail, 1.0, cell}) / cell);
    }
  }
  table.first.push_back(static_cast<std::int32_t>(table.index.size()));
  return table;
}

}  // namespace hpip
