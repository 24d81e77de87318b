// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hpip/image_view.h"

// Checked preprocessing operations. All throw InvalidInput when an argument is out of contract,
// split their rows over `threads` threads (at least 1, the caller's among them), and give the same
// bits for every thread count. Inputs and outputs must not overlap.
namespace hpip {

// As OpenCV 4 and 5 define them. Sampling is at pixel centres, borders are replicated, and only
// kArea averages when it shrinks: the others take their few taps wherever they fall.
enum class Interpolation { kNearest, kLinear, kCubic, kArea };

// Sides of images are 1 to kMaxSide pixels, so that a pixel's position is exact in float32.
inline constexpr std::ptrdiff_t kMaxSide = std::ptrdiff_t{1} << 24;

inline constexpr std::ptrdiff_t kMaxChannels = 4;

// Fills `out` with `image` resized to out's size; 1, 3 or 4 channels, T is uint8_t or float.
// Equal sizes copy. Besides its tables it holds at most five rows per thread.
template <typename T>
void resize(ImageView<const T> image, Interpolation interpolation, ImageView<T> out, int threads);

// value * factor[c] + offset[c], each operation rounded to float32.
struct ChannelAffine {
  std::array<float, kMaxChannels> factor{1.0F, 1.0F, 1.0F, 1.0F};
  std::array<float, kMaxChannels> offset{};
};

// Fills `out`, of the image's size, with the image after `affine`; T is uint8_t or float.
template <typename T>
void normalize(ImageView<const T> image, const ChannelAffine& affine, ImageView<float> out,
               int threads);

// One picture of a batch, and the size that it is resized to.
struct PreprocessItem {
  ImageView<const std::uint8_t> image;  // 3 channels, or 1: grey, which is taken for R, G and B
  std::ptrdiff_t resized_height = 0;
  std::ptrdiff_t resized_width = 0;
};

// Of pictures with 3 channels; tensors are always RGB.
enum class ChannelOrder { kBgr, kRgb };

struct PreprocessParams {
  Interpolation interpolation = Interpolation::kLinear;
  ChannelAffine affine_rgb;
  bool normalize_first = false;  // before the resize, which is in float32 then
  ChannelOrder order = ChannelOrder::kBgr;
};

enum class TensorLayout { kNchw, kNhwc };

// A dense (batch, 3, height, width) or (batch, height, width, 3) tensor of float, or of the bits of
// IEEE halves in uint16_t.
template <typename T>
struct BatchView {
  T* data = nullptr;
  std::ptrdiff_t batch = 0;
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;
  TensorLayout layout = TensorLayout::kNchw;
};

// Writes the network's input: per item to RGB, resize and normalize in the given order, zeros to
// the right and below; halves are the float32 values rounded to nearest, ties to even. Every value
// of `out` is written. No intermediate image: a thread holds a few rows. Defined for float and
// uint16_t.
template <typename T>
void preprocess(const std::vector<PreprocessItem>& items, const PreprocessParams& params,
                BatchView<T> out, int threads);

}  // namespace hpip
