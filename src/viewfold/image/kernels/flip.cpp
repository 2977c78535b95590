// Implements the mirrors, once for every instruction set.
#include "viewfold/image/kernels/flip.hpp"

#include <cstring>

#include "viewfold/core/error.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/flip.cpp"
#include <hwy/foreach_target.h>

#include "viewfold/image/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

// Writes pixels [first, width) of `from`, each of `pixel` bytes, mirrored to `to`.
void mirror_pixels(const std::uint8_t* from,
                   std::size_t first,
                   std::size_t width,
                   std::size_t pixel,
                   std::uint8_t* to) {
  for (std::size_t x = first; x < width; ++x) {
    std::memcpy(to + (width - 1 - x) * pixel, from + x * pixel, pixel);
  }
}

#if HWY_TARGET == HWY_SCALAR
void mirror_bytes(const std::uint8_t* from,
                  std::size_t rows,
                  std::size_t width,
                  std::size_t pixel,
                  std::uint8_t* to) {
  for (std::size_t y = 0; y < rows; ++y) {
    mirror_pixels(from + y * width * pixel, 0, width, pixel, to + y * width * pixel);
  }
}
#else
// As many whole pixels as 16 bytes hold are turned round by one shuffle, whatever type and bands
// they have. They are put at the end of the 16 bytes that are written; what is in front of them is
// written again with the next ones.
void mirror_bytes(const std::uint8_t* from,
                  std::size_t rows,
                  std::size_t width,
                  std::size_t pixel,
                  std::uint8_t* to) {
  constexpr std::size_t kBlock = 16;
  const hn::FixedTag<std::uint8_t, kBlock> d;
  const std::size_t at_once = kBlock / pixel;
  const std::size_t stride = width * pixel;
  HWY_ALIGN std::uint8_t order[kBlock] = {};
  if (at_once > 0) {
    for (std::size_t i = 0; i < at_once * pixel; ++i) {
      order[kBlock - 1 - i] = static_cast<std::uint8_t>(i / pixel * pixel + pixel - 1 - i % pixel);
    }
  }
  const auto shuffle = hn::Load(d, order);
  for (std::size_t y = 0; y < rows; ++y, from += stride, to += stride) {
    std::size_t x = 0;
    while (at_once > 1 && x * pixel + kBlock <= stride) {
      const auto pixels = hn::LoadU(d, from + x * pixel);
      hn::StoreU(hn::TableLookupBytes(pixels, shuffle), d, to + stride - x * pixel - kBlock);
      x += at_once;
    }
    mirror_pixels(from, x, width, pixel, to);
  }
}
#endif

// Copies rows of `stride` bytes, the last first. Short rows take longer to call memcpy for than to
// copy: where a vector fits, the last one of a row overlaps the one before.
void reverse_rows(const std::uint8_t* from,
                  std::size_t rows,
                  std::size_t stride,
                  std::uint8_t* to) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  constexpr std::size_t kLong = 1024;
  from += rows * stride;
  for (std::size_t y = 0; y < rows; ++y, to += stride) {
    from -= stride;
    if (stride < lanes || stride > kLong) {
      std::memcpy(to, from, stride);
      continue;
    }
    for (std::size_t i = 0; i + lanes < stride; i += lanes) {
      hn::StoreU(hn::LoadU(d, from + i), d, to + i);
    }
    hn::StoreU(hn::LoadU(d, from + stride - lanes), d, to + stride - lanes);
  }
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(mirror_bytes);
HWY_EXPORT(reverse_rows);

void check_shape(const Image& image, const Image& out) {
  check(image.height() == out.height() && image.width() == out.width() &&
            image.bands() == out.bands() && image.type() == out.type() && &image != &out,
        "the output must be another image of the same size, bands and type");
}

}  // namespace

void mirror_rows(const Image& image, Image& out) {
  check_shape(image, out);
  HWY_DYNAMIC_DISPATCH(mirror_bytes)
  (reinterpret_cast<const std::uint8_t*>(image.bytes().data()),
   static_cast<std::size_t>(image.height()), static_cast<std::size_t>(image.width()),
   static_cast<std::size_t>(image.bands()) * bytes_per_value(image.type()),
   reinterpret_cast<std::uint8_t*>(out.bytes().data()));
}

void mirror_columns(const Image& image, Image& out) {
  check_shape(image, out);
  const auto rows = static_cast<std::size_t>(image.height());
  HWY_DYNAMIC_DISPATCH(reverse_rows)
  (reinterpret_cast<const std::uint8_t*>(image.bytes().data()), rows, image.bytes().size() / rows,
   reinterpret_cast<std::uint8_t*>(out.bytes().data()));
}

}  // namespace viewfold
#endif  // HWY_ONCE
