// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "hpip/check.h"
#include "hpip/detection_ops.h"

namespace hpip {
namespace {

float side_of_square(const float* box, float extra) {
  if (box[2] < box[0] || box[3] < box[1]) {
    return 0.0F;
  }
  return std::sqrt((box[2] - box[0] + extra) * (box[3] - box[1] + extra));
}

// The level of one box, in float32 as in Paddle: the rounding decides about boxes between two
// levels.
int level_of(const float* box, const FpnLevels& rules) {
  const float side = side_of_square(box, rules.pixel_offset ? 1.0F : 0.0F);
  HPIP_REQUIRE(std::isfinite(side), "boxes_xyxy: expected finite areas, received a box (", box[0],
               ", ", box[1], ", ", box[2], ", ", box[3], ")");
  const float octave = std::log2(side / static_cast<float>(rules.refer_scale) + 1e-6F);
  const float level = std::floor(octave + static_cast<float>(rules.refer_level));
  return std::min(rules.max_level, std::max(static_cast<int>(level), rules.min_level));
}

}  // namespace

FpnAssignment assign_fpn_levels(const float* boxes_xyxy,
                                const std::vector<std::ptrdiff_t>& first_rows,
                                const FpnLevels& rules) {
  constexpr int kMostLevels = 64;
  HPIP_REQUIRE(
      0 <= rules.min_level && rules.min_level <= rules.max_level && rules.max_level < kMostLevels,
      "min_level, max_level: expected 0 <= min_level <= max_level < ", kMostLevels, ", received ",
      rules.min_level, " and ", rules.max_level);
  HPIP_REQUIRE(std::abs(rules.refer_level) < kMostLevels && rules.refer_scale >= 1,
               "refer_level, refer_scale: expected a level below ", kMostLevels,
               " and a scale of at least 1, received ", rules.refer_level, " and ",
               rules.refer_scale);
  const auto levels = static_cast<std::size_t>(rules.max_level - rules.min_level) + 1;
  const std::size_t images = first_rows.size() - 1;
  FpnAssignment assignment;
  assignment.rows.resize(levels);
  assignment.counts.assign(levels, std::vector<std::int32_t>(images));
  for (std::size_t image = 0; image < images; ++image) {
    for (std::ptrdiff_t row = first_rows[image]; row < first_rows[image + 1]; ++row) {
      const auto slot =
          static_cast<std::size_t>(level_of(boxes_xyxy + 4 * row, rules) - rules.min_level);
      assignment.rows[slot].push_back(row);
      ++assignment.counts[slot][image];
    }
  }
  assignment.restore_index.resize(static_cast<std::size_t>(first_rows.back()));
  std::int32_t next = 0;
  for (const std::vector<std::int64_t>& rows : assignment.rows) {
    for (const std::int64_t row : rows) {
      assignment.restore_index[static_cast<std::size_t>(row)] = next++;
    }
  }
  return assignment;
}

}  // namespace hpip
