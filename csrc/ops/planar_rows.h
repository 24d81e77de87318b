// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "hpip/preprocess_ops.h"

// A resized and normalized image as a stream of planar float32 rows.
namespace hpip {

// The destination of a row: `width` values each of R, G and B.
struct RowTarget {
  float* channels[3];
  std::ptrdiff_t width;
  bool streams;  // use non-temporal stores; requires KernelTable::stream_f32
};

// Writes row `y` of the resized image, padded with zeros. Fastest if y ascends. Not thread-safe:
// every thread needs its own object.
class PlanarRows {
 public:
  virtual ~PlanarRows() = default;
  virtual void row(std::ptrdiff_t y, const RowTarget& out) = 0;
};

// The tables of one image, which all threads share. Must outlive the rows that it creates.
class PlanarPlan {
 public:
  virtual ~PlanarPlan() = default;
  virtual std::unique_ptr<PlanarRows> rows() const = 0;
};

// `item` must be valid. `params` must outlive the plan.
std::unique_ptr<PlanarPlan> make_planar_plan(const PreprocessItem& item,
                                             const PreprocessParams& params);

// Linear and cubic resizes in one fused pass; make_planar_plan selects it if it is applicable.
std::unique_ptr<PlanarPlan> make_fused_plan(const PreprocessItem& item,
                                            const PreprocessParams& params);

// The index of the channel with R (0), G (1) or B (2) in an image of three channels; 0 for grey
// images.
inline std::ptrdiff_t source_channel(ChannelOrder order, std::ptrdiff_t channels,
                                     std::ptrdiff_t rgb) {
  if (channels == 1) {
    return 0;
  }
  return order == ChannelOrder::kRgb ? rgb : 2 - rgb;
}

}  // namespace hpip
