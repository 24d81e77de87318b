// SPDX-License-Identifier: Apache-2.0
// The kernels that are faster with AVX-512. CMakeLists.txt has the compiler flags.
#define HPIP_TARGET avx512

#include "kernels/blend_normalize_rows_inl.h"
#include "kernels/blend_normalize_rows_simd_inl.h"
#include "kernels/blend_rows_cubic_inl.h"
#include "kernels/blend_rows_linear_inl.h"
#include "kernels/collect_above_inl.h"
#include "kernels/column_sides_inl.h"
#include "kernels/encode_strip_inl.h"
#include "kernels/filter_row_hwc_inl.h"
#include "kernels/filter_taps_simd_inl.h"
#include "kernels/filter_taps_vbmi_inl.h"
#include "kernels/interleave_rows_inl.h"
#include "kernels/kernel_table.h"
#include "kernels/list_positions_inl.h"
#include "kernels/map_levels_vbmi_inl.h"
#include "kernels/narrow_row_f16_f16c_inl.h"
#include "kernels/overlaps_any_inl.h"
#include "kernels/pack_rows_u8_inl.h"
#include "kernels/pool_region_lanes_inl.h"
#include "kernels/region_taps_inl.h"
#include "kernels/span_ends_inl.h"
#include "kernels/stream_row_inl.h"
#include "kernels/vector_avx512.h"
#include "kernels/widen_row_inl.h"
#include "kernels/write_counts_vbmi_inl.h"

namespace hpip {

KernelTable avx512_kernels() {
  KernelTable table = avx2_kernels();
  table.isa = Isa::kAvx512;
  table.filter_linear_hwc_f32[1] = avx512::filter_row_hwc<2, 1, float, float>;
  table.filter_linear_hwc_f32[3] = avx512::filter_row_hwc<2, 3, float, float>;
  table.filter_linear_hwc_f32[4] = avx512::filter_row_hwc<2, 4, float, float>;
  table.filter_cubic_hwc_f32[1] = avx512::filter_row_hwc<4, 1, float, float>;
  table.filter_cubic_hwc_f32[3] = avx512::filter_row_hwc<4, 3, float, float>;
  table.filter_cubic_hwc_f32[4] = avx512::filter_row_hwc<4, 4, float, float>;
  table.blend_cubic_u8 = avx512::blend_rows_cubic<std::uint8_t>;
  table.widen_row = avx512::widen_row;
  table.filter_taps_u8 = avx512::filter_taps_u8<avx512::Vector>;
  table.filter_cubic_f32 = avx512::filter_taps_f32<avx512::Vector, 4, false>;
  table.pick_taps_f32 = avx512::pick_taps_f32<avx512::Vector>;
  table.filter_affine_linear_f32 = avx512::filter_taps_f32<avx512::Vector, 2, true>;
  table.filter_affine_cubic_f32 = avx512::filter_taps_f32<avx512::Vector, 4, true>;
  table.blend_normalize_linear_u8 = avx512::blend_normalize_linear_u8_simd<avx512::Vector>;
  table.blend_normalize_cubic_u8 = avx512::blend_normalize_cubic_u8;
  table.blend_linear_f32 = avx512::blend_rows_linear_f32;
  table.blend_cubic_f32 = avx512::blend_rows_cubic<float>;
  table.narrow_f16 = avx512::narrow_row_f16_f16c;
  table.interleave_f32 = avx512::interleave_rows<float>;
  table.interleave_f16 = avx512::interleave_rows<std::uint16_t>;
  table.stream_f32 = avx512::stream_row_f32;
  table.fence_streams = avx512::fence_streams;
  table.region_taps = avx512::region_taps;
  table.span_ends = avx512::span_ends;
  table.column_sides = avx512::column_sides;
  table.encode_strip = avx512::encode_strip;
  table.list_positions = avx512::list_positions;
  table.pack_rows_u8 = avx512::pack_rows_u8;
  if (__builtin_cpu_supports("avx512vbmi")) {  // from Ice Lake and Zen 4 on
    table.filter_taps_u8 = avx512::filter_taps_u8_vbmi;
    table.map_levels = avx512::map_levels_vbmi;
  }
  if (__builtin_cpu_supports("avx512vbmi2")) {  // likewise
    table.write_counts = avx512::write_counts_vbmi;
  }
  table.collect_above = avx512::collect_above;
  table.overlaps_any = avx512::overlaps_any;
  table.pool_region = avx512::pool_region_lanes;
  return table;
}

}  // namespace hpip
