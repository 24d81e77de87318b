// SPDX-License-Identifier: Apache-2.0
#include "ops/planar_rows.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "hpip/dcheck.h"
#include "kernels/normalize_plane_f32_inl.h"
#include "ops/row_resizer.h"

namespace hpip {
namespace {

// The rows of a uint8 image after normalization: R, G and B interleaved in float32.
class NormalizedRows final : public RowSource<float> {
 public:
  NormalizedRows(ImageView<const std::uint8_t> image, const PreprocessParams& params)
      : image_(image), params_(params), buffer_(static_cast<std::size_t>(image.width * 3)) {}

  const float* row(std::ptrdiff_t y) override {
    for (std::size_t c = 0; c < 3; ++c) {
      const auto rgb = static_cast<std::ptrdiff_t>(c);
      kernels::normalize_plane_f32(
          image_.row(y) + source_channel(params_.order, image_.channels, rgb), image_.channels,
          params_.affine_rgb.factor[c], params_.affine_rgb.offset[c], image_.width, 3,
          buffer_.data() + rgb);
    }
    return buffer_.data();
  }

 private:
  ImageView<const std::uint8_t> image_;
  const PreprocessParams& params_;
  std::vector<float> buffer_;
};

// Any resize of interleaved rows, which are split into planes afterwards. T is the type of the
// resize: uint8_t, or float after normalization.
template <typename T>
class SplitPlan final : public PlanarPlan {
  static constexpr bool kNormalizeFirst = std::is_same_v<T, float>;

 public:
  SplitPlan(const PreprocessItem& item, const PreprocessParams& params)
      : item_(item),
        params_(params),
        channels_(kNormalizeFirst ? 3 : item.image.channels),
        resize_(make_resize_plan<T>({item.image.height, item.image.width, item.resized_height,
                                     item.resized_width, channels_},
                                    params.interpolation)) {}

  std::unique_ptr<PlanarRows> rows() const override { return std::make_unique<Rows>(*this); }

 private:
  class Rows final : public PlanarRows {
   public:
    explicit Rows(const SplitPlan& plan)
        : plan_(plan),
          source_(make_source(plan)),
          resizer_(plan.resize_->resizer(*source_)),
          resized_(static_cast<std::size_t>(plan.item_.resized_width * plan.channels_)) {}

    void row(std::ptrdiff_t y, const RowTarget& out) override {
      const std::ptrdiff_t width = plan_.item_.resized_width;
      HPIP_DCHECK(out.width, >=, width);
      resizer_->row(y, resized_.data());
      const ChannelAffine affine = kNormalizeFirst ? ChannelAffine{} : plan_.params_.affine_rgb;
      const ChannelOrder order = kNormalizeFirst ? ChannelOrder::kRgb : plan_.params_.order;
      for (std::size_t c = 0; c < 3; ++c) {
        const std::ptrdiff_t channel =
            source_channel(order, plan_.channels_, static_cast<std::ptrdiff_t>(c));
        kernels::normalize_plane_f32(resized_.data() + channel, plan_.channels_, affine.factor[c],
                                     affine.offset[c], width, 1, out.channels[c]);
        std::fill_n(out.channels[c] + width, out.width - width, 0.0F);
      }
    }

   private:
    static std::unique_ptr<RowSource<T>> make_source(const SplitPlan& plan) {
      if constexpr (kNormalizeFirst) {
        return std::make_unique<NormalizedRows>(plan.item_.image, plan.params_);
      } else {
        return std::make_unique<ViewRows<T>>(plan.item_.image);
      }
    }

    const SplitPlan& plan_;
    std::unique_ptr<RowSource<T>> source_;
    std::unique_ptr<RowResizer<T>> resizer_;
    std::vector<T> resized_;
  };

  PreprocessItem item_;
  const PreprocessParams& params_;
  std::ptrdiff_t channels_;
  std::unique_ptr<ResizePlan<T>> resize_;
};

}  // namespace

std::unique_ptr<PlanarPlan> make_planar_plan(const PreprocessItem& item,
                                             const PreprocessParams& params) {
  const bool resizes =
      item.image.height != item.resized_height || item.image.width != item.resized_width;
  if (resizes && (params.interpolation == Interpolation::kLinear ||
                  params.interpolation == Interpolation::kCubic)) {
    return make_fused_plan(item, params);
  }
  if (params.normalize_first) {
    return std::make_unique<SplitPlan<float>>(item, params);
  }
  return std::make_unique<SplitPlan<std::uint8_t>>(item, params);
}

}  // namespace hpip
