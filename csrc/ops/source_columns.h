// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "hpip/mask_ops.h"
#include "hpip/strided_array.h"
#include "ops/axis_table.h"

namespace hpip {

struct RowRange {
  std::ptrdiff_t begin;
  std::ptrdiff_t end;
};

// The values that a mask is sampled from, one column at a time.
class SourceColumns {
 public:
  virtual ~SourceColumns() = default;
  // Writes the column's items in `rows`, which must be the same at every call.
  virtual void load(std::ptrdiff_t column, RowRange rows, float* out) = 0;
};

// A mask, padded with `border` zeros on each side.
class PlaneColumns final : public SourceColumns {
 public:
  PlaneColumns(const Plane<float>& plane, std::ptrdiff_t border) : plane_(plane), border_(border) {}

  void load(std::ptrdiff_t column, RowRange rows, float* out) override;

 private:
  Plane<float> plane_;
  std::ptrdiff_t border_;
};

// Taps of the first of two resizes, shared by all masks.
struct UpsampleTaps {
  AxisTable rows;
  AxisTable columns;
};

UpsampleTaps upsample_taps(const Upsampling& upsampling, ImageSize source);

// A mask resized bilinearly, zero outside `window`.
class UpsampledColumns final : public SourceColumns {
 public:
  UpsampledColumns(const Plane<float>& plane, const UpsampleTaps& taps, const PixelBox& window)
      : plane_(plane), taps_(taps), window_(window) {}

  void load(std::ptrdiff_t column, RowRange rows, float* out) override;

 private:
  // A column of the mask after the resize along y.
  struct TallColumn {
    std::ptrdiff_t column = -1;
    std::vector<float> items;
  };

  const float* tall_column(std::ptrdiff_t column, RowRange rows);

  Plane<float> plane_;
  const UpsampleTaps& taps_;
  PixelBox window_;
  std::array<TallColumn, 2> tall_;  // even columns in the first, odd ones in the second
};

}  // namespace hpip
