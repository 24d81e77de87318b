// SPDX-License-Identifier: Apache-2.0
// Replaces libFuzzer for compilers without it: calls the target with RUNS random inputs of a fixed
// seed.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  const long runs = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 1000;
  // The same inputs in every run. NOLINTNEXTLINE(bugprone-random-generator-seed)
  std::mt19937 random(0);
  for (long run = 0; run < runs; ++run) {
    std::vector<std::uint8_t> input(random() % 400);
    // Half of the inputs consist of the characters of RLE strings.
    const bool is_text = random() % 2 == 0;
    for (std::uint8_t& byte : input) {
      byte = static_cast<std::uint8_t>(is_text ? '0' + random() % 64 : random());
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%ld random inputs\n", runs);
}
