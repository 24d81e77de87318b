// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/strip.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Appends the positions at which a strip's columns change, column by column of `height` pixels, and
// returns their end; the first column starts at `position`. If a column is foreground down to its
// end and the next one starts with foreground, their two changes cancel out. out[-1] is the
// previous position, or any other value if there is none; `out` has room for all changes of all
// columns plus one. All changes are written, and the advance of the output pointer determines which
// remain, because branches on the changes of a column would be mispredicted.
inline std::uint32_t* list_positions(const ColumnChanges* changes, const ColumnChanges* changes_end,
                                     std::size_t columns, std::uint32_t position,
                                     std::uint32_t height, std::uint32_t* out) noexcept {
  HPIP_DCHECK(columns, >=, 1U);
  HPIP_DCHECK(columns, <=, kCellColumns);
  HPIP_DCHECK(position + columns * std::uint64_t{height}, <=, UINT32_MAX);
  for (std::size_t x = 0; x < columns; ++x, position += height) {
    std::uint32_t* const begin = out;
    for (const ColumnChanges* change = changes; change != changes_end; ++change) {
      HPIP_DCHECK(change->rows[x] >= 0 || (change->columns >> x & 1) == 0, ==, true);
      *out = position + static_cast<std::uint32_t>(change->rows[x]);
      out += change->columns >> x & 1;
    }
    if (begin != out && begin[0] == begin[-1]) {
      for (const std::uint32_t* kept = begin + 1; kept != out; ++kept) {
        begin[kept - begin - 2] = *kept;
      }
      out -= 2;
    }
  }
  return out;
}

}  // namespace hpip::HPIP_TARGET
