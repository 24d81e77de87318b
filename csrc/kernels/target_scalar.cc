// SPDX-License-Identifier: Apache-2.0
// The portable kernels: the reference for all others, compiled for the oldest processor of the
// architecture.
#include "kernels/blend_normalize_rows_inl.h"
#include "kernels/blend_rows_cubic_inl.h"
#include "kernels/blend_rows_linear_inl.h"
#include "kernels/collect_above_inl.h"
#include "kernels/column_sides_inl.h"
#include "kernels/encode_strip_inl.h"
#include "kernels/filter_row_hwc_inl.h"
#include "kernels/filter_taps_inl.h"
#include "kernels/interleave_rows_inl.h"
#include "kernels/kernel_table.h"
#include "kernels/list_positions_inl.h"
#include "kernels/map_levels_inl.h"
#include "kernels/narrow_row_f16_inl.h"
#include "kernels/overlaps_any_inl.h"
#include "kernels/pack_rows_u8_inl.h"
#include "kernels/pool_region_inl.h"
#include "kernels/region_taps_inl.h"
#include "kernels/span_ends_inl.h"
#include "kernels/widen_row_inl.h"
#include "kernels/write_counts_inl.h"

namespace hpip {

KernelTable scalar_kernels() {
  KernelTable table{};
  table.isa = Isa::kScalar;
  table.filter_linear_hwc_f32[1] = kernels::filter_row_hwc<2, 1, float, float>;
  table.filter_linear_hwc_f32[3] = kernels::filter_row_hwc<2, 3, float, float>;
  table.filter_linear_hwc_f32[4] = kernels::filter_row_hwc<2, 4, float, float>;
  table.filter_cubic_hwc_f32[1] = kernels::filter_row_hwc<4, 1, float, float>;
  table.filter_cubic_hwc_f32[3] = kernels::filter_row_hwc<4, 3, float, float>;
  table.filter_cubic_hwc_f32[4] = kernels::filter_row_hwc<4, 4, float, float>;
  table.blend_cubic_u8 = kernels::blend_rows_cubic<std::uint8_t>;
  table.widen_row = kernels::widen_row;
  table.filter_taps_u8 = kernels::filter_taps_u8;
  table.filter_cubic_f32 = kernels::filter_taps_f32<4, false>;
  table.pick_taps_f32 = kernels::pick_taps_f32;
  table.filter_affine_linear_f32 = kernels::filter_taps_f32<2, true>;
  table.filter_affine_cubic_f32 = kernels::filter_taps_f32<4, true>;
  table.blend_normalize_linear_u8 = kernels::blend_normalize_linear_u8;
  table.blend_normalize_cubic_u8 = kernels::blend_normalize_cubic_u8;
  table.blend_linear_f32 = kernels::blend_rows_linear_f32;
  table.blend_cubic_f32 = kernels::blend_rows_cubic<float>;
  table.narrow_f16 = kernels::narrow_row_f16;
  table.interleave_f32 = kernels::interleave_rows<float>;
  table.interleave_f16 = kernels::interleave_rows<std::uint16_t>;
  table.region_taps = kernels::region_taps;
  table.span_ends = kernels::span_ends;
  table.column_sides = kernels::column_sides;
  table.encode_strip = kernels::encode_strip;
  table.list_positions = kernels::list_positions;
  table.write_counts = kernels::write_counts;
  table.pack_rows_u8 = kernels::pack_rows_u8;
  table.map_levels = kernels::map_levels;
  table.collect_above = kernels::collect_above;
  table.overlaps_any = kernels::overlaps_any;
  table.pool_region = kernels::pool_region;
  return table;
}

}  // namespace hpip
