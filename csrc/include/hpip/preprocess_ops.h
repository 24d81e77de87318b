// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hpip/exported.h"
#include "hpip/image_view.h"

// Checked preprocessing operators. All throw InvalidInput if an argument is not valid, distribute
// their rows among `threads` threads (at least 1, including the caller's), and return the same bits
// for every number of threads. Inputs and outputs must not overlap.
namespace hpip HPIP_EXPORTED {

// As defined by OpenCV 4 and 5. Sampling is at pixel centres, and borders are replicated. Only
// kArea averages when it shrinks: the others sample a fixed number of neighbours, without
// antialiasing.
enum class Interpolation { kNearest, kLinear, kCubic, kArea };

// Sides of images are 1 to kMaxSide pixels, so that every pixel position is exact in float32.
inline constexpr std::ptrdiff_t kMaxSide = std::ptrdiff_t{1} << 24;

inline constexpr std::ptrdiff_t kMaxChannels = 4;

// Resizes `image` to the size of `out`; 1, 3 or 4 channels, T is uint8_t or float. Copies if the
// sizes are equal. Memory: the filter tables, and at most five rows per thread.
template <typename T>
void resize(ImageView<const T> image, Interpolation interpolation, ImageView<T> out, int threads);

// value * factor[c] + offset[c], each operation rounded to float32.
struct ChannelAffine {
  std::array<float, kMaxChannels> factor{1.0F, 1.0F, 1.0F, 1.0F};
  std::array<float, kMaxChannels> offset{};
};

// Applies `affine` to every pixel; `out` has the size of the image, T is uint8_t or float.
template <typename T>
void normalize(ImageView<const T> image, const ChannelAffine& affine, ImageView<float> out,
               int threads);

// One image of a batch, and its size after the resize.
struct PreprocessItem {
  ImageView<const std::uint8_t> image;  // 3 channels, or 1 (grey), which is used for R, G and B
  std::ptrdiff_t resized_height = 0;
  std::ptrdiff_t resized_width = 0;
};

// Channel order of images with 3 channels; tensors are always RGB.
enum class ChannelOrder { kBgr, kRgb };

struct PreprocessParams {
  Interpolation interpolation = Interpolation::kLinear;
  ChannelAffine affine_rgb;
  bool normalize_first = false;  // normalize before the resize, which is then in float32
  ChannelOrder order = ChannelOrder::kBgr;
};

enum class TensorLayout { kNchw, kNhwc };

// A contiguous (batch, 3, height, width) or (batch, height, width, 3) tensor of float32, or of
// float16 as uint16_t.
template <typename T>
struct BatchView {
  T* data = nullptr;
  std::ptrdiff_t batch = 0;
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;
  TensorLayout layout = TensorLayout::kNchw;
};

// Writes the network's input. Each item is converted to RGB, resized and normalized in the given
// order, and zero-padded on the right and at the bottom; float16 values are the float32 values
// rounded to nearest, ties to even. Every value of `out` is written. There is no intermediate
// image: each thread has buffers of a few rows. Defined for float and uint16_t.
template <typename T>
void preprocess(const std::vector<PreprocessItem>& items, const PreprocessParams& params,
                BatchView<T> out, int threads);

}  // namespace hpip HPIP_EXPORTED
