// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "hpip/preprocess_ops.h"

// A picture, resized and normalized, as a stream of planar float32 rows.
namespace hpip {

// Where a row goes: `width` values of R, G and B each.
struct RowTarget {
  float* channels[3];
  std::ptrdiff_t width;
  bool streams;  // may be stored past the caches; KernelTable::stream_f32 is there
};

// Writes row `y` of the resized picture, and zeros behind it. Fastest when y ascends; every thread
// needs its own.
class PlanarRows {
 public:
  virtual ~PlanarRows() = default;
  virtual void row(std::ptrdiff_t y, const RowTarget& out) = 0;
};

// The tables of one picture, shared by the threads. Must outlive the rows that it makes.
class PlanarPlan {
 public:
  virtual ~PlanarPlan() = default;
  virtual std::unique_ptr<PlanarRows> rows() const = 0;
};

// `item` has been checked. `params` must outlive the plan.
std::unique_ptr<PlanarPlan> make_planar_plan(const PreprocessItem& item,
                                             const PreprocessParams& params);

// Linear and cubic resizes in one fused pass; make_planar_plan picks it where it applies.
std::unique_ptr<PlanarPlan> make_fused_plan(const PreprocessItem& item,
                                            const PreprocessParams& params);

// The channel of a picture that holds R (0), G (1) or B (2), of its three or of its only one.
inline std::ptrdiff_t source_channel(ChannelOrder order, std::ptrdiff_t channels,
                                     std::ptrdiff_t rgb) {
  if (channels == 1) {
    return 0;
  }
  return order == ChannelOrder::kRgb ? rgb : 2 - rgb;
}

}  // namespace hpip
