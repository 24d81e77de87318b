// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "hpip/check.h"
#include "hpip/detection_ops.h"
#include "hpip/parallel.h"
#include "kernels/kernel_table.h"

namespace hpip {
namespace {

// Maximum coordinate in cells: larger ones are errors, and their tap tables would exhaust the
// memory.
constexpr std::ptrdiff_t kMostCells = 1 << 20;

// The taps of all boxes, concatenated.
struct RowTables {
  std::ptrdiff_t bins = 0;
  std::vector<RegionTap> taps;
  std::vector<std::int32_t> counts;     // (boxes, bins)
  std::vector<std::size_t> first_taps;  // per box

  RegionRows of_box(std::size_t box) const {
    return {taps.data() + first_taps[box], counts.data() + box * static_cast<std::size_t>(bins),
            bins};
  }
};

struct ColumnTables {
  std::vector<RegionTap> taps;
  std::vector<LaneTaps> lane_taps;
  std::vector<RegionColumns> boxes;          // their tap pointers are set from the offsets below
  std::vector<std::size_t> first_taps;       // per box
  std::vector<std::size_t> first_lane_taps;  // per box

  RegionColumns of_box(std::size_t box) const {
    RegionColumns columns = boxes[box];
    columns.taps = taps.data() + first_taps[box];
    const bool has_lanes = columns.length <= kLaneCells && columns.bins <= kLaneBins;
    columns.lane_taps = has_lanes ? lane_taps.data() + first_lane_taps[box] : nullptr;
    return columns;
  }

  // Adds the register taps of the last box, whose taps must be complete.
  void add_lane_taps() {
    const RegionColumns& columns = boxes.back();
    first_lane_taps.push_back(lane_taps.size());
    if (columns.length > kLaneCells || columns.bins > kLaneBins) {
      return;
    }
    const RegionTap* box_taps = taps.data() + first_taps.back();
    for (std::ptrdiff_t t = 0; t < columns.taps_per_bin; ++t) {
      LaneTaps& lanes = lane_taps.emplace_back();
      for (std::ptrdiff_t bin = 0; bin < columns.bins; ++bin) {
        const RegionTap& tap = box_taps[bin * columns.taps_per_bin + t];
        lanes.indices[bin] = tap.index;
        lanes.weights[bin] = tap.weight;
      }
    }
  }
};

bool comes_before(const RegionTap& a, const RegionTap& b) { return a.index < b.index; }

// The samples of one box along one axis, in cells of the feature map.
struct Samples {
  float start;
  float bin_length;
  int per_bin;
};

Samples samples_of(float low, float high, std::ptrdiff_t bins, const RoiAlignRules& rules) {
  const float shift = rules.aligned ? 0.5F : 0.0F;
  const float start = low * rules.spatial_scale - shift;
  float length = high * rules.spatial_scale - shift - start;
  if (!rules.aligned) {
    length = std::max(length, 1.0F);
  }
  const float bin_length = length / static_cast<float>(bins);
  const int adaptive = static_cast<int>(std::ceil(bin_length));
  return {start, bin_length, rules.sampling_ratio > 0 ? rules.sampling_ratio : adaptive};
}

void add_tap(std::size_t first, std::ptrdiff_t index, float weight, std::vector<RegionTap>& taps) {
  for (std::size_t i = taps.size(); i > first && i + 2 > taps.size(); --i) {
    if (taps[i - 1].index == index) {
      taps[i - 1].weight += weight;
      return;
    }
  }
  taps.push_back({static_cast<std::int32_t>(index), weight});
}

// Adds the two cells around a sample; none if the sample is more than one cell outside the map.
void add_sample(float position, std::ptrdiff_t length, float share, std::size_t first,
                std::vector<RegionTap>& taps) {
  if (position < -1.0F || position > static_cast<float>(length)) {
    return;
  }
  const float inside = std::max(position, 0.0F);
  const auto low = static_cast<std::ptrdiff_t>(inside);
  if (low >= length - 1) {
    add_tap(first, length - 1, share, taps);
    return;
  }
  const float low_weight = static_cast<float>(low + 1) - inside;
  add_tap(first, low, low_weight * share, taps);
  add_tap(first, low + 1, (1.0F - low_weight) * share, taps);
}

// Appends the taps of each bin to `taps`, and the number of taps to `counts`.
void add_bins(const Samples& samples, std::ptrdiff_t bins, std::ptrdiff_t length,
              std::vector<RegionTap>& taps, std::vector<std::int32_t>& counts) {
  const auto per_bin = static_cast<float>(samples.per_bin);
  for (std::ptrdiff_t bin = 0; bin < bins; ++bin) {
    const std::size_t first = taps.size();
    for (int i = 0; i < samples.per_bin; ++i) {
      const float place = static_cast<float>(bin) + (static_cast<float>(i) + 0.5F) / per_bin;
      add_sample(samples.start + samples.bin_length * place, length, 1.0F / per_bin, first, taps);
    }
    counts.push_back(static_cast<std::int32_t>(taps.size() - first));
  }
}

// Number of floats in the widest vector; rows of cells are read in multiples of it if possible.
constexpr std::ptrdiff_t kVector = 16;

// Adds the columns of one box, whose bins have `counts` of the `found` taps. The map has
// `most_length` cells from the start of the last row that the box reads.
void add_columns(const std::vector<RegionTap>& found, const std::vector<std::int32_t>& counts,
                 std::ptrdiff_t most_length, ColumnTables& tables) {
  // The minimum and maximum, not the first and last tap: the bins of an inverted box are in reverse
  // order.
  const auto [lowest, highest] = std::minmax_element(found.begin(), found.end(), comes_before);
  const std::int32_t low = found.empty() ? 0 : lowest->index;
  const std::ptrdiff_t length = found.empty() ? 0 : highest->index - low + 1;
  const std::ptrdiff_t whole = (length + kVector - 1) / kVector * kVector;
  const std::int32_t most = *std::max_element(counts.begin(), counts.end());
  tables.first_taps.push_back(tables.taps.size());
  tables.boxes.push_back({nullptr, most, static_cast<std::ptrdiff_t>(counts.size()), low,
                          low + whole <= most_length ? whole : length, nullptr});
  auto tap = found.begin();
  for (const std::int32_t count : counts) {
    std::int32_t index = 0;
    for (std::int32_t i = 0; i < count; ++i, ++tap) {
      index = tap->index - low;
      tables.taps.push_back({index, tap->weight});
    }
    tables.taps.insert(tables.taps.end(), static_cast<std::size_t>(most - count), {index, 0.0F});
  }
  tables.add_lane_taps();
}

void require_box(const float* box, std::size_t row, const RoiAlignRules& rules) {
  const bool is_finite = std::all_of(box, box + 4, [&](float value) {
    return std::abs(value * rules.spatial_scale) <= static_cast<float>(kMostCells);
  });
  HPIP_REQUIRE(is_finite, "boxes_xyxy[", row, "]: expected finite numbers within ", kMostCells,
               " cells of the feature map, received (", box[0], ", ", box[1], ", ", box[2], ", ",
               box[3], ")");
}

std::pair<RowTables, ColumnTables> tables_of(const FeatureMaps& features, const float* boxes_xyxy,
                                             std::size_t count, const RoiAlignRules& rules) {
  RowTables rows;
  rows.bins = rules.pooled_height;
  ColumnTables columns;
  std::vector<RegionTap> taps;
  std::vector<std::int32_t> counts;
  for (std::size_t i = 0; i < count; ++i) {
    const float* box = boxes_xyxy + 4 * i;
    require_box(box, i, rules);
    rows.first_taps.push_back(rows.taps.size());
    add_bins(samples_of(box[1], box[3], rows.bins, rules), rows.bins, features.height, rows.taps,
             rows.counts);
    taps.clear();
    counts.clear();
    add_bins(samples_of(box[0], box[2], rules.pooled_width, rules), rules.pooled_width,
             features.width, taps, counts);
    // The number of cells from the start of the box's last row to the end of the map.
    const auto first_tap = rows.taps.begin() + static_cast<std::ptrdiff_t>(rows.first_taps[i]);
    const auto last_tap = std::max_element(first_tap, rows.taps.end(), comes_before);
    const std::ptrdiff_t last_row = last_tap == rows.taps.end() ? 0 : last_tap->index;
    add_columns(taps, counts, (features.height - last_row) * features.width, columns);
  }
  return {std::move(rows), std::move(columns)};
}

void require_rules(const FeatureMaps& features, const RoiAlignRules& rules) {
  constexpr std::ptrdiff_t kMostBins = 1024;
  constexpr int kMostSamples = 1024;
  HPIP_REQUIRE(features.channels >= 1 && features.height >= 1 && features.width >= 1 &&
                   features.height <= kMostCells && features.width <= kMostCells,
               "features: expected at least one channel, and 1 to ", kMostCells,
               " rows and columns, received ", features.channels, " x ", features.height, " x ",
               features.width);
  HPIP_REQUIRE(std::min(rules.pooled_height, rules.pooled_width) >= 1 &&
                   std::max(rules.pooled_height, rules.pooled_width) <= kMostBins,
               "output_hw: expected 1 to ", kMostBins, " bins on each axis, received (",
               rules.pooled_height, ", ", rules.pooled_width, ")");
  HPIP_REQUIRE(std::isfinite(rules.spatial_scale) && rules.spatial_scale > 0.0F,
               "spatial_scale: expected a finite number above 0, received ", rules.spatial_scale);
  HPIP_REQUIRE(rules.sampling_ratio <= kMostSamples, "sampling_ratio: expected at most ",
               kMostSamples, ", received ", rules.sampling_ratio);
}

}  // namespace

void roi_align(const FeatureMaps& features, const float* boxes_xyxy,
               const std::vector<std::ptrdiff_t>& first_rows, const RoiAlignRules& rules,
               const std::int64_t* out_rows, float* out, int threads) {
  require_rules(features, rules);
  const auto count = static_cast<std::size_t>(first_rows.back());
  const auto images = static_cast<std::ptrdiff_t>(first_rows.size()) - 1;
  const auto [rows, columns] = tables_of(features, boxes_xyxy, count, rules);
  const std::ptrdiff_t bins = rules.pooled_height * rules.pooled_width;
  const std::ptrdiff_t plane_size = features.height * features.width;
  // The outer loop is over channels, not boxes: boxes overlap, and one channel of the largest map
  // of a 768 x 1344 input (258 KB) stays in the L2 cache while all boxes read it.
  const auto pool_channels = [&, &row_tables = rows, &column_tables = columns](std::ptrdiff_t begin,
                                                                               std::ptrdiff_t end) {
    const auto pool_region = active_kernels().pool_region;
    std::vector<float> row(static_cast<std::size_t>(features.width + kVector));
    for (std::ptrdiff_t plane = begin; plane < end; ++plane) {
      const std::ptrdiff_t image = plane / features.channels;
      const std::ptrdiff_t channel = plane % features.channels;
      for (auto box = static_cast<std::size_t>(first_rows[static_cast<std::size_t>(image)]);
           box < static_cast<std::size_t>(first_rows[static_cast<std::size_t>(image) + 1]); ++box) {
        const std::int64_t target =
            out_rows == nullptr ? static_cast<std::int64_t>(box) : out_rows[box];
        pool_region(features.data + plane * plane_size, features.width, row_tables.of_box(box),
                    column_tables.of_box(box), row.data(),
                    out + (target * features.channels + channel) * bins);
      }
    }
  };
  parallel_for(count == 0 ? 0 : images * features.channels, 1, threads, pool_channels);
}

}  // namespace hpip
