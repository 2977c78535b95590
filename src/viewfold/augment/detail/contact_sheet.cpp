// Implements the contact sheet.
#include "viewfold/augment/contact_sheet.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "viewfold/core/error.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold {
namespace {

constexpr std::uint8_t kBackground = 245;

// Every pixel becomes a rectangle: enlarging without inventing anything.
Image repeat_pixels(const Image& image, int height, int width) {
  Image out(height, width, 3);
  auto* to = out.bytes().data();
  for (int y = 0; y < height; ++y) {
    const std::int64_t row = std::int64_t{y} * image.height() / height * image.width();
    for (int x = 0; x < width; ++x, to += 3) {
      const std::int64_t pixel = row + std::int64_t{x} * image.width() / width;
      std::memcpy(to, &image.bytes()[static_cast<std::size_t>(3 * pixel)], 3);
    }
  }
  return out;
}

Image fit(const Image& image, int cell) {
  const int longer = std::max(image.height(), image.width());
  const auto scaled = [&](int side) {
    return std::max(1, static_cast<int>(std::int64_t{side} * cell / longer));
  };
  const int height = scaled(image.height());
  const int width = scaled(image.width());
  const Image rgb = displayable(image);
  return longer > cell ? resize_crop(rgb, {0, 0, rgb.width(), rgb.height()}, height, width)
                       : repeat_pixels(rgb, height, width);
}

void paste(const Image& image, int y, int x, Image& sheet) {
  const auto row = static_cast<std::size_t>(image.width()) * 3;
  for (int i = 0; i < image.height(); ++i) {
    const auto to = (static_cast<std::size_t>(y + i) * static_cast<std::size_t>(sheet.width()) +
                     static_cast<std::size_t>(x)) *
                    3;
    std::memcpy(&sheet.bytes()[to], &image.bytes()[static_cast<std::size_t>(i) * row], row);
  }
}

}  // namespace

Image displayable(const Image& image) {
  const Image bytes = convert_type(image, PixelType::kUint8);
  if (bytes.bands() == 1 || bytes.bands() == 3) {
    return convert_bands(bytes, 3);
  }
  Image rgb(bytes.height(), bytes.width(), 3);
  const auto bands = static_cast<std::size_t>(bytes.bands());
  const auto from = bytes.values<std::uint8_t>();
  const auto to = rgb.values<std::uint8_t>();
  for (std::size_t i = 0; i < to.size(); ++i) {
    to[i] = from[i / 3 * bands + (bands >= 3 ? i % 3 : 0)];
  }
  return rgb;
}

Image contact_sheet(const std::vector<std::vector<Image>>& rows, int cell, int gap) {
  check(cell >= 1 && gap >= 0, "a contact sheet needs cells of at least one pixel");
  std::size_t columns = 0;
  for (const auto& row : rows) {
    columns = std::max(columns, row.size());
  }
  check(columns >= 1, "a contact sheet needs an image");
  const int pitch = cell + gap;
  Image sheet(gap + pitch * static_cast<int>(rows.size()), gap + pitch * static_cast<int>(columns),
              3);
  std::ranges::fill(sheet.values<std::uint8_t>(), kBackground);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      if (rows[r][c].empty()) {
        continue;
      }
      const Image picture = fit(rows[r][c], cell);
      paste(picture, gap + pitch * static_cast<int>(r) + (cell - picture.height()) / 2,
            gap + pitch * static_cast<int>(c) + (cell - picture.width()) / 2, sheet);
    }
  }
  return sheet;
}

}  // namespace viewfold
