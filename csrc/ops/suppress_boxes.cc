// SPDX-License-Identifier: Apache-2.0
#include "ops/suppress_boxes.h"

#include <limits>

#include "hpip/dcheck.h"
#include "kernels/kernel_table.h"

namespace hpip {
namespace {

// The kernel compares whole blocks; the last one is filled up with a box that intersects no other.
constexpr std::size_t kBlock = 64;

float box_area(const float* box, float extra) {
  if (box[2] < box[0] || box[3] < box[1]) {
    return 0.0F;
  }
  return (box[2] - box[0] + extra) * (box[3] - box[1] + extra);
}

// Boxes as columns of x0, y0, x1, y1 and area.
class KeptBoxes {
 public:
  explicit KeptBoxes(std::size_t most) : stride_((most + kBlock - 1) / kBlock * kBlock) {
    values_.assign(5 * stride_, 0.0F);
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < stride_; ++i) {
      values_[i] = kInfinity;
      values_[2 * stride_ + i] = -kInfinity;
    }
  }

  void add(const float* box, float area) {
    HPIP_DCHECK(count_, <, stride_);
    for (std::size_t row = 0; row < 4; ++row) {
      values_[row * stride_ + count_] = box[row];
    }
    values_[4 * stride_ + count_] = area;
    ++count_;
  }

  bool meet(const float* box, float area, float extra, float threshold) const {
    return overlaps_any_(values_.data(), static_cast<std::ptrdiff_t>(stride_),
                         static_cast<std::ptrdiff_t>(count_), box, area, extra, threshold);
  }

 private:
  decltype(KernelTable::overlaps_any) overlaps_any_ = active_kernels().overlaps_any;
  std::size_t stride_;
  std::size_t count_ = 0;
  std::vector<float> values_;
};

}  // namespace

std::vector<std::size_t> suppress_boxes(const float* boxes_xyxy, std::ptrdiff_t stride,
                                        const std::vector<std::ptrdiff_t>& order,
                                        const SuppressionRules& rules) {
  const float extra = rules.with_last_pixel ? 1.0F : 0.0F;
  float threshold = rules.threshold;
  KeptBoxes kept(order.size());
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (rules.most >= 0 && static_cast<std::ptrdiff_t>(positions.size()) >= rules.most) {
      break;
    }
    const float* box = boxes_xyxy + stride * order[i];
    const float area = box_area(box, extra);
    if (kept.meet(box, area, extra, threshold)) {
      continue;
    }
    kept.add(box, area);
    positions.push_back(i);
    if (rules.eta < 1.0F && threshold > 0.5F) {
      threshold *= rules.eta;
    }
  }
  return positions;
}

}  // namespace hpip
