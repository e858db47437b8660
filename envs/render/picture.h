// A picture in memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mentor::envs {

struct Picture {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3], the top row first.

  Picture() = default;
  Picture(int width_pixels, int height_pixels)
      : width(width_pixels), height(height_pixels), rgb(size_t{3} * width * height) {}

  uint8_t* Row(int y) { return rgb.data() + size_t{3} * width * y; }
  const uint8_t* Row(int y) const { return rgb.data() + size_t{3} * width * y; }
  // Copies a whole picture to a place where it fits.
  void Paste(const Picture& part, int x, int y) {
    for (int row = 0; row < part.height; ++row)
      std::copy_n(part.Row(row), 3 * part.width, Row(y + row) + 3 * x);
  }
};

}  // namespace mentor::envs
