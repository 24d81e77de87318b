// SPDX-License-Identifier: Apache-2.0
#include "ops/row_resizer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "hpip/dcheck.h"
#include "kernels/area_rows_hwc_inl.h"
#include "kernels/blend_rows_linear_inl.h"
#include "kernels/filter_row_hwc_inl.h"
#include "kernels/gather_row_hwc_inl.h"
#include "kernels/kernel_table.h"
#include "ops/resize_tables.h"

namespace hpip {
namespace {

// The sum of this many pixels with the value 255 still fits an int32.
constexpr std::ptrdiff_t kMaxIntegerCell = (std::ptrdiff_t{1} << 31) / 256;

// Calls body with the channel count as a compile-time constant.
template <typename Body>
void with_channels(std::ptrdiff_t channels, const Body& body) {
  HPIP_DCHECK(channels == 1 || channels == 3 || channels == 4, ==, true);
  switch (channels) {
    case 1:
      return body(std::integral_constant<int, 1>{});
    case 3:
      return body(std::integral_constant<int, 3>{});
    default:
      return body(std::integral_constant<int, 4>{});
  }
}

// Creates resizers of one class from a shape, tables and a source of rows.
template <typename T, typename Resizer>
class PlanOf final : public ResizePlan<T> {
 public:
  PlanOf(const ResizeShape& shape, typename Resizer::Tables tables)
      : shape_(shape), tables_(std::move(tables)) {}
  std::unique_ptr<RowResizer<T>> resizer(RowSource<T>& source) const override {
    return std::make_unique<Resizer>(shape_, tables_, source);
  }

 private:
  ResizeShape shape_;
  typename Resizer::Tables tables_;
};

template <typename T>
class CopyResizer final : public RowResizer<T> {
 public:
  struct Tables {};
  CopyResizer(const ResizeShape& shape, const Tables& /*tables*/, RowSource<T>& source)
      : values_(shape.target_width * shape.channels), source_(source) {}
  void row(std::ptrdiff_t y, T* out) override { std::copy_n(source_.row(y), values_, out); }

 private:
  std::ptrdiff_t values_;
  RowSource<T>& source_;
};

template <typename T>
class NearestResizer final : public RowResizer<T> {
 public:
  struct Tables {
    std::vector<std::int32_t> y;
    std::vector<std::int32_t> x;
  };
  NearestResizer(const ResizeShape& shape, const Tables& tables, RowSource<T>& source)
      : shape_(shape), tables_(tables), source_(source) {}
  void row(std::ptrdiff_t y, T* out) override {
    const T* source_row = source_.row(tables_.y[static_cast<std::size_t>(y)]);
    with_channels(shape_.channels, [&](auto channels) {
      kernels::gather_row_hwc<channels()>(source_row, tables_.x.data(), shape_.target_width, out);
    });
  }

 private:
  const ResizeShape& shape_;
  const Tables& tables_;
  RowSource<T>& source_;
};

// Separable filters of kTaps x kTaps. Source rows are filtered along x once, and kept while output
// rows need them: an output row needs neighbouring rows, so `row % kTaps` never collides.
template <typename T, typename Weight, int kTaps>
class FilterResizer final : public RowResizer<T> {
  static constexpr std::size_t kSlots = kTaps;
  static constexpr bool kWidens = std::is_same_v<T, std::uint8_t> && std::is_same_v<Weight, float>;

 public:
  struct Tables {
    FilterTable<Weight> y;
    FilterTable<Weight> x;
  };
  FilterResizer(const ResizeShape& shape, const Tables& tables, RowSource<T>& source)
      : shape_(shape), tables_(tables), source_(source) {
    held_.fill(-1);
    for (std::vector<Weight>& buffer : filtered_) {
      buffer.resize(static_cast<std::size_t>(shape.target_width * shape.channels));
    }
    if constexpr (kWidens) {
      widened_.resize(static_cast<std::size_t>(shape.source_width * shape.channels));
    }
  }

  void row(std::ptrdiff_t y, T* out) override {
    const std::ptrdiff_t count = shape_.target_width * shape_.channels;
    const Weight* weight = tables_.y.weight.data() + y * kTaps;
    const Weight* rows[kSlots];
    for (int k = 0; k < kTaps; ++k) {
      rows[k] = filtered_row(tables_.y.index[static_cast<std::size_t>(y * kTaps + k)]);
    }
    for (int k = 0; k < kTaps; ++k) {
      const std::int32_t source_y = tables_.y.index[static_cast<std::size_t>(y * kTaps + k)];
      HPIP_DCHECK(held_[static_cast<std::size_t>(source_y % kTaps)], ==, source_y);
    }
    constexpr bool kIsByte = std::is_same_v<T, std::uint8_t>;
    if constexpr (kTaps == 4 && kIsByte) {
      active_kernels().blend_cubic_u8(rows, weight, count, out);
    } else if constexpr (kTaps == 4) {
      active_kernels().blend_cubic_f32(rows, weight, count, out);
    } else if constexpr (kIsByte) {
      kernels::blend_rows_linear_u8(rows[0], rows[1], weight, count, out);
    } else {
      active_kernels().blend_linear_f32(rows[0], rows[1], weight, count, out);
    }
  }

 private:
  const Weight* filtered_row(std::int32_t source_y) {
    HPIP_DCHECK(source_y, >=, 0);
    HPIP_DCHECK(source_y, <, shape_.source_height);
    const std::size_t slot = static_cast<std::size_t>(source_y % kTaps);
    Weight* buffer = filtered_[slot].data();
    if (held_[slot] != source_y) {
      filter(filter_input(source_.row(source_y)), buffer);
      held_[slot] = source_y;
    }
    return buffer;
  }

  void filter(const float* source_row, float* out) {
    const auto& filters =
        kTaps == 2 ? active_kernels().filter_linear_hwc_f32 : active_kernels().filter_cubic_hwc_f32;
    HPIP_DCHECK(shape_.channels, >=, 1);
    HPIP_DCHECK(shape_.channels, <=, kMaxChannels);
    HPIP_DCHECK(filters[shape_.channels] != nullptr, ==, true);
    filters[shape_.channels](source_row, tables_.x.index.data(), tables_.x.weight.data(),
                             shape_.target_width, out);
  }

  void filter(const std::uint8_t* source_row, std::int32_t* out) {
    with_channels(shape_.channels, [&](auto channels) {
      kernels::filter_row_hwc<kTaps, channels()>(source_row, tables_.x.index.data(),
                                                 tables_.x.weight.data(), shape_.target_width, out);
    });
  }

  // The row in the input type of the filter.
  const auto* filter_input(const T* source_row) {
    if constexpr (kWidens) {
      active_kernels().widen_row(source_row, shape_.source_width * shape_.channels,
                                 widened_.data());
      return static_cast<const float*>(widened_.data());
    } else {
      return source_row;
    }
  }

  const ResizeShape& shape_;
  const Tables& tables_;
  RowSource<T>& source_;
  std::vector<float> widened_;
  std::array<std::vector<Weight>, kSlots> filtered_;
  std::array<std::int32_t, kSlots> held_;
};

// Area average over cells of any size.
template <typename T>
class AreaResizer final : public RowResizer<T> {
 public:
  struct Tables {
    AreaTable y;
    AreaTable x;
  };
  AreaResizer(const ResizeShape& shape, const Tables& tables, RowSource<T>& source)
      : shape_(shape),
        tables_(tables),
        source_(source),
        sums_(static_cast<std::size_t>(shape.target_width * shape.channels)) {}

  void row(std::ptrdiff_t y, T* out) override {
    std::fill(sums_.begin(), sums_.end(), 0.0F);
    const std::int32_t* first = tables_.y.first.data() + y;
    for (std::int32_t entry = first[0]; entry < first[1]; ++entry) {
      const std::size_t at = static_cast<std::size_t>(entry);
      const T* source_row = source_.row(tables_.y.index[at]);
      with_channels(shape_.channels, [&](auto channels) {
        kernels::area_add_row_hwc<channels()>(
            source_row, tables_.x.first.data(), tables_.x.index.data(), tables_.x.weight.data(),
            tables_.y.weight[at], shape_.target_width, sums_.data());
      });
    }
    kernels::area_store(sums_.data(), static_cast<std::ptrdiff_t>(sums_.size()), out);
  }

 private:
  const ResizeShape& shape_;
  const Tables& tables_;
  RowSource<T>& source_;
  std::vector<float> sums_;
};

// Area average over cells of whole pixels, in integer arithmetic.
class CellResizer final : public RowResizer<std::uint8_t> {
 public:
  struct Tables {
    std::ptrdiff_t cell_height;
    std::ptrdiff_t cell_width;
  };
  CellResizer(const ResizeShape& shape, const Tables& cell, RowSource<std::uint8_t>& source)
      : shape_(shape),
        cell_(cell),
        source_(source),
        sums_(static_cast<std::size_t>(shape.target_width * shape.channels)) {}

  void row(std::ptrdiff_t y, std::uint8_t* out) override {
    std::fill(sums_.begin(), sums_.end(), 0);
    for (std::ptrdiff_t i = 0; i < cell_.cell_height; ++i) {
      const std::uint8_t* source_row = source_.row(y * cell_.cell_height + i);
      with_channels(shape_.channels, [&](auto channels) {
        kernels::area_add_row_hwc_u8<channels()>(source_row, cell_.cell_width, shape_.target_width,
                                                 sums_.data());
      });
    }
    const bool is_2x2 = cell_.cell_height == 2 && cell_.cell_width == 2;
    kernels::area_store_cells_u8(sums_.data(), is_2x2,
                                 static_cast<float>(cell_.cell_height * cell_.cell_width),
                                 static_cast<std::ptrdiff_t>(sums_.size()), out);
  }

 private:
  const ResizeShape& shape_;
  const Tables& cell_;
  RowSource<std::uint8_t>& source_;
  std::vector<std::int32_t> sums_;
};

template <typename T>
std::unique_ptr<ResizePlan<T>> linear_plan(const ResizeShape& shape, LinearRule rule) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    using Resizer = FilterResizer<T, std::int32_t, 2>;
    return std::make_unique<PlanOf<T, Resizer>>(
        shape, typename Resizer::Tables{
                   linear_table_u8(shape.source_height, shape.target_height, rule, false),
                   linear_table_u8(shape.source_width, shape.target_width, rule, true)});
  } else {
    using Resizer = FilterResizer<T, float, 2>;
    return std::make_unique<PlanOf<T, Resizer>>(
        shape,
        typename Resizer::Tables{linear_table_f32(shape.source_height, shape.target_height, rule),
                                 linear_table_f32(shape.source_width, shape.target_width, rule)});
  }
}

template <typename T>
std::unique_ptr<ResizePlan<T>> area_plan(const ResizeShape& shape) {
  if (shape.source_height < shape.target_height || shape.source_width < shape.target_width) {
    return linear_plan<T>(shape, LinearRule::kArea);
  }
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    const std::ptrdiff_t cell_height = shape.source_height / shape.target_height;
    const std::ptrdiff_t cell_width = shape.source_width / shape.target_width;
    if (cell_height * shape.target_height == shape.source_height &&
        cell_width * shape.target_width == shape.source_width &&
        cell_height <= kMaxIntegerCell / cell_width) {
      return std::make_unique<PlanOf<T, CellResizer>>(shape,
                                                      CellResizer::Tables{cell_height, cell_width});
    }
  }
  return std::make_unique<PlanOf<T, AreaResizer<T>>>(
      shape, typename AreaResizer<T>::Tables{area_table(shape.source_height, shape.target_height),
                                             area_table(shape.source_width, shape.target_width)});
}

template <typename T>
std::unique_ptr<ResizePlan<T>> cubic_plan(const ResizeShape& shape) {
  using Resizer = FilterResizer<T, float, 4>;
  return std::make_unique<PlanOf<T, Resizer>>(
      shape, typename Resizer::Tables{cubic_table(shape.source_height, shape.target_height),
                                      cubic_table(shape.source_width, shape.target_width)});
}

template <typename T>
std::unique_ptr<ResizePlan<T>> nearest_plan(const ResizeShape& shape) {
  using Resizer = NearestResizer<T>;
  return std::make_unique<PlanOf<T, Resizer>>(
      shape, typename Resizer::Tables{nearest_table(shape.source_height, shape.target_height),
                                      nearest_table(shape.source_width, shape.target_width)});
}

}  // namespace

template <typename T>
std::unique_ptr<ResizePlan<T>> make_resize_plan(const ResizeShape& shape,
                                                Interpolation interpolation) {
  if (shape.source_height == shape.target_height && shape.source_width == shape.target_width) {
    return std::make_unique<PlanOf<T, CopyResizer<T>>>(shape, typename CopyResizer<T>::Tables{});
  }
  switch (interpolation) {
    case Interpolation::kNearest:
      return nearest_plan<T>(shape);
    case Interpolation::kLinear:
      return linear_plan<T>(shape, LinearRule::kCentre);
    case Interpolation::kCubic:
      return cubic_plan<T>(shape);
    default:
      return area_plan<T>(shape);
  }
}

template std::unique_ptr<ResizePlan<std::uint8_t>> make_resize_plan(const ResizeShape&,
                                                                    Interpolation);
template std::unique_ptr<ResizePlan<float>> make_resize_plan(const ResizeShape&, Interpolation);

}  // namespace hpip
