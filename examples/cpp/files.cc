// SPDX-License-Identifier: Apache-2.0
#include "files.h"

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace {

std::ifstream open(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error(path + ": can't be opened");
  return stream;
}

void read(std::ifstream& stream, void* data, std::size_t size_bytes, const std::string& path) {
  stream.read(static_cast<char*>(data), static_cast<std::streamsize>(size_bytes));
  if (!stream) throw std::runtime_error(path + ": ends early");
}

}  // namespace

Picture read_ppm(const std::string& path) {
  std::ifstream stream = open(path);
  std::string magic;
  int highest = 0;
  Picture picture;
  stream >> magic >> picture.width >> picture.height >> highest;
  stream.get();
  if (!stream || magic != "P6" || highest != 255 || picture.width < 1 || picture.height < 1) {
    throw std::runtime_error(path + ": expected a PPM file of kind P6 with 8 bits");
  }
  picture.pixels.resize(static_cast<std::size_t>(picture.width * picture.height * 3));
  read(stream, picture.pixels.data(), picture.pixels.size(), path);
  return picture;
}

Tensor read_npy(const std::string& path) {
  std::ifstream stream = open(path);
  char start[10];
  read(stream, start, sizeof start, path);
  const auto length = static_cast<std::size_t>(static_cast<unsigned char>(start[8]) +
                                               256 * static_cast<unsigned char>(start[9]));
  std::string header(length, ' ');
  read(stream, header.data(), length, path);
  const std::size_t shape = header.find("'shape': (");
  if (std::string(start + 1, 5) != "NUMPY" || header.find("'<f4'") == std::string::npos ||
      header.find("'fortran_order': False") == std::string::npos || shape == std::string::npos) {
    throw std::runtime_error(path + ": expected a .npy file with float32 in C order");
  }
  Tensor tensor;
  std::size_t count = 1;
  std::istringstream lengths(header.substr(shape + 10));
  for (std::ptrdiff_t axis = 0; lengths >> axis; lengths.ignore()) {
    tensor.shape.push_back(axis);
    count *= static_cast<std::size_t>(axis);
    if (lengths.peek() == ')') break;
  }
  tensor.data.resize(count);
  read(stream, tensor.data.data(), count * sizeof(float), path);
  return tensor;
}
