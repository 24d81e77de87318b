// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "hpip/parallel.h"
#include "hpip/preprocess_ops.h"
#include "kernels/normalize_chw_f32_inl.h"
#include "kernels/normalize_hwc_f32_inl.h"
#include "ops/image_checks.h"
#include "ops/row_resizer.h"

namespace hpip {
namespace {

// The rows of a BGR uint8 image after normalization, in float32.
class NormalizedRows final : public RowSource<float> {
 public:
  NormalizedRows(ImageView<const std::uint8_t> bgr, const ChannelAffine& affine_rgb)
      : bgr_(bgr), affine_bgr_(affine_rgb), buffer_(static_cast<std::size_t>(bgr.width * 3)) {
    std::swap(affine_bgr_.factor[0], affine_bgr_.factor[2]);
    std::swap(affine_bgr_.offset[0], affine_bgr_.offset[2]);
  }

  const float* row(std::ptrdiff_t y) override {
    kernels::normalize_hwc_f32<3>(bgr_.row(y), affine_bgr_.factor.data(), affine_bgr_.offset.data(),
                                  bgr_.width, buffer_.data());
    return buffer_.data();
  }

 private:
  ImageView<const std::uint8_t> bgr_;
  ChannelAffine affine_bgr_;
  std::vector<float> buffer_;
};

// T is the type that is resized: uint8_t, or float when normalization comes first.
template <typename T>
class BatchWriter {
 public:
  BatchWriter(const std::vector<PreprocessItem>& items, const PreprocessParams& params,
              BatchView out)
      : items_(items), params_(params), out_(out) {
    for (const PreprocessItem& item : items) {
      plans_.push_back(make_resize_plan<T>(
          {item.bgr.height, item.bgr.width, item.resized_height, item.resized_width, 3},
          params.interpolation));
    }
  }

  // Rows are counted through the batch: item * out.height + y. Safe to call from several threads.
  void write_rows(std::ptrdiff_t begin, std::ptrdiff_t end) const {
    while (begin < end) {
      const std::ptrdiff_t item = begin / out_.height;
      const std::ptrdiff_t item_end = std::min(end, (item + 1) * out_.height);
      write_item(static_cast<std::size_t>(item), begin - item * out_.height,
                 item_end - item * out_.height);
      begin = item_end;
    }
  }

 private:
  std::unique_ptr<RowSource<T>> make_source(const PreprocessItem& item) const {
    if constexpr (std::is_same_v<T, float>) {
      return std::make_unique<NormalizedRows>(item.bgr, params_.affine_rgb);
    } else {
      return std::make_unique<ViewRows<T>>(item.bgr);
    }
  }

  void write_item(std::size_t index, std::ptrdiff_t begin, std::ptrdiff_t end) const {
    const PreprocessItem& item = items_[index];
    const std::unique_ptr<RowSource<T>> source = make_source(item);
    const std::unique_ptr<RowResizer<T>> resizer = plans_[index]->resizer(*source);
    const ChannelAffine affine = std::is_same_v<T, float> ? ChannelAffine{} : params_.affine_rgb;
    const std::ptrdiff_t plane = out_.height * out_.width;
    std::vector<T> resized(static_cast<std::size_t>(item.resized_width * 3));
    float* row = out_.data + static_cast<std::ptrdiff_t>(index) * 3 * plane + begin * out_.width;
    for (std::ptrdiff_t y = begin; y < end; ++y, row += out_.width) {
      const std::ptrdiff_t filled = y < item.resized_height ? item.resized_width : 0;
      if (filled > 0) {
        resizer->row(y, resized.data());
        kernels::normalize_chw_f32(resized.data(), affine.factor.data(), affine.offset.data(),
                                   filled, plane, row);
      }
      for (std::ptrdiff_t c = 0; c < 3; ++c) {
        std::fill_n(row + c * plane + filled, out_.width - filled, 0.0F);
      }
    }
  }

  const std::vector<PreprocessItem>& items_;
  const PreprocessParams& params_;
  BatchView out_;
  std::vector<std::unique_ptr<ResizePlan<T>>> plans_;
};

template <typename T>
void run(const std::vector<PreprocessItem>& items, const PreprocessParams& params, BatchView out,
         int threads) {
  const BatchWriter<T> writer(items, params, out);
  parallel_for(out.batch * out.height, row_grain(out.width * 3), threads,
               [&](std::ptrdiff_t begin, std::ptrdiff_t end) { writer.write_rows(begin, end); });
}

}  // namespace

void preprocess(const std::vector<PreprocessItem>& items, const PreprocessParams& params,
                BatchView out, int threads) {
  require_threads(threads);
  HPIP_REQUIRE(out.batch == static_cast<std::ptrdiff_t>(items.size()), "out: expected a batch of ",
               items.size(), ", one per image, received ", out.batch);
  for (const PreprocessItem& item : items) {
    require_image("images", item.bgr);
    HPIP_REQUIRE(item.bgr.channels == 3, "images: expected 3 channels (BGR), received ",
                 item.bgr.channels);
    require_sides("plan", item.resized_height, item.resized_width);
    HPIP_REQUIRE(item.resized_height <= out.height && item.resized_width <= out.width,
                 "out: expected room for a resized image of ", item.resized_height, " x ",
                 item.resized_width, ", received ", out.height, " x ", out.width);
  }
  if (params.normalize_first) {
    run<float>(items, params, out, threads);
  } else {
    run<std::uint8_t>(items, params, out, threads);
  }
}

}  // namespace hpip
