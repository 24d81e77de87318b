// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/cpu_isa.h"
#include "kernels/axis_taps.h"
#include "kernels/region_taps.h"
#include "kernels/strip.h"
#include "kernels/tap_limits.h"

namespace hpip {

// Number of characters that write_counts may overwrite beyond the end of its output.
inline constexpr std::size_t kTextPadding = 64;

// The kernels that benefit from an instruction set, one pointer each; their documentation is at the
// portable implementation. A table starts as a copy of the one for the next lower instruction set,
// so a kernel has an implementation only for instruction sets on which it was measured to be
// faster.
struct KernelTable {
  using FilterTaps = void(const std::uint8_t* pixels, const std::int32_t* begin,
                          const float* weight, const float* factor, const float* offset,
                          std::ptrdiff_t count, std::ptrdiff_t plane, float* out) noexcept;

  using FilterRow = void(const float* source, const std::int32_t* index, const float* weight,
                         std::ptrdiff_t width, float* out) noexcept;

  Isa isa = Isa::kScalar;

  // Resizing; filters are indexed by the number of channels, 1, 3 or 4; other entries are null.
  FilterRow* filter_linear_hwc_f32[5];
  FilterRow* filter_cubic_hwc_f32[5];
  void (*blend_cubic_u8)(const float* const rows[4], const float* weight, std::ptrdiff_t count,
                         std::uint8_t* out) noexcept;

  // Preprocessing
  void (*widen_row)(const std::uint8_t* source, std::ptrdiff_t count, float* out) noexcept;
  void (*filter_taps_u8)(const std::uint8_t* pixels, const std::int32_t* begin,
                         const std::int16_t* weight, std::ptrdiff_t count, std::ptrdiff_t plane,
                         std::int16_t* out) noexcept;
  FilterTaps* filter_cubic_f32;
  void (*pick_taps_f32)(const std::uint8_t* pixels, const std::int32_t* begin, std::ptrdiff_t count,
                        std::ptrdiff_t plane, float* out) noexcept;
  FilterTaps* filter_affine_linear_f32;
  FilterTaps* filter_affine_cubic_f32;
  void (*blend_normalize_linear_u8)(const std::int16_t* upper, const std::int16_t* lower,
                                    std::int16_t upper_weight, std::int16_t lower_weight,
                                    float factor, float offset, std::ptrdiff_t count,
                                    float* out) noexcept;
  void (*blend_normalize_cubic_u8)(const float* const rows[4], const float* weight, float factor,
                                   float offset, std::ptrdiff_t count, float* out) noexcept;
  void (*blend_linear_f32)(const float* upper, const float* lower, const float* weight,
                           std::ptrdiff_t count, float* out) noexcept;
  void (*blend_cubic_f32)(const float* const rows[4], const float* weight, std::ptrdiff_t count,
                          float* out) noexcept;
  void (*narrow_f16)(const float* values, std::ptrdiff_t count, std::uint16_t* out) noexcept;
  void (*interleave_f32)(const float* const rows[3], std::ptrdiff_t width, float* out) noexcept;
  void (*interleave_f16)(const std::uint16_t* const rows[3], std::ptrdiff_t width,
                         std::uint16_t* out) noexcept;

  // Both null on instruction sets without non-temporal stores.
  void (*stream_f32)(const float* values, std::ptrdiff_t count, float* out) noexcept;
  void (*fence_streams)() noexcept;

  // Masks
  void (*region_taps)(float low, float high, std::int32_t source_length, std::int32_t first_pixel,
                      std::size_t count, const MutableAxisTaps& taps) noexcept;
  std::uint64_t (*span_ends)(const AxisTaps& taps, std::size_t count) noexcept;
  bool (*column_sides)(const float* items, std::size_t count, float limit, Sides* sides) noexcept;
  ColumnChanges* (*encode_strip)(const Strip& strip, const StripRows& rows, float limit,
                                 ColumnChanges* changes) noexcept;
  std::uint32_t* (*list_positions)(const ColumnChanges* changes, const ColumnChanges* changes_end,
                                   std::size_t columns, std::uint32_t position,
                                   std::uint32_t height, std::uint32_t* out) noexcept;
  char* (*write_counts)(const std::uint32_t* runs, std::size_t begin, std::size_t end,
                        char* text) noexcept;
  void (*pack_rows_u8)(const std::uint8_t* items, std::ptrdiff_t height, std::ptrdiff_t blocks,
                       std::ptrdiff_t row_stride, std::uint8_t limit,
                       std::uint64_t* words) noexcept;
  void (*map_levels)(const std::uint8_t* levels, std::size_t count, std::uint8_t* pixels) noexcept;

  // Detection
  std::ptrdiff_t (*collect_above)(const float* values, std::ptrdiff_t count, float limit,
                                  std::int32_t* out) noexcept;
  bool (*overlaps_any)(const float* kept, std::ptrdiff_t stride, std::ptrdiff_t count,
                       const float* box, float area, float extra, float threshold) noexcept;
  void (*pool_region)(const float* plane, std::ptrdiff_t row_stride, const RegionRows& rows,
                      const RegionColumns& columns, float* row, float* out) noexcept;
};

// Each function may only be called if is_supported(isa), and exists only on its architecture.
KernelTable scalar_kernels();
#if defined(__x86_64__)
KernelTable avx2_kernels();
KernelTable avx512_kernels();
#elif defined(__aarch64__)
KernelTable neon_kernels();
#endif

// The table of active_isa().
const KernelTable& active_kernels();

}  // namespace hpip
