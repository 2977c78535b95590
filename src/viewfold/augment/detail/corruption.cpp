// Implements the table of the corruptions and their public function.
#include "viewfold/augment/corruption.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "viewfold/augment/detail/corruption_parts.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/named_table.hpp"

namespace viewfold {
namespace {

struct Row : Corruption {
  corruption::Apply* apply = nullptr;
};

enum Flags : unsigned { kFixed = 0, kRandom = 1, kExtra = 2 };

Row row(std::string_view name,
        std::string_view group,
        std::string_view summary,
        unsigned flags,
        corruption::Apply* apply) {
  return {{name, group, summary, (flags & kExtra) != 0, (flags & kRandom) != 0}, apply};
}

std::span<const Row> rows() {
  namespace c = corruption;
  static const std::array table{
      row("gaussian_noise", "noise", "Adds normal noise, as a sensor does in poor light.", kRandom,
          c::gaussian_noise),
      row("shot_noise", "noise", "Counts photons: Poisson noise, stronger where it is brighter.",
          kRandom, c::shot_noise),
      row("impulse_noise", "noise", "Makes single values black or white (salt and pepper).",
          kRandom, c::impulse_noise),
      row("defocus_blur", "blur", "Blurs with a disc, as a lens out of focus.", kFixed,
          c::defocus_blur),
      row("glass_blur", "blur", "Displaces pixels to neighbours, as frosted glass.", kRandom,
          c::glass_blur),
      row("motion_blur", "blur", "Blurs along a line: the camera moves (own kernel).", kRandom,
          c::motion_blur),
      row("zoom_blur", "blur", "Blurs from the middle outwards: the camera approaches.", kFixed,
          c::zoom_blur),
      row("snow", "weather", "Lets snow fall through a whitened picture.", kRandom, c::snow),
      row("frost", "weather",
          "Puts ice crystals on the lens (own texture; the published sets use photographs).",
          kRandom, c::frost),
      row("fog", "weather", "Hides the picture behind clouds of fog.", kRandom, c::fog),
      row("brightness", "weather", "Makes everything brighter, by the value of HSV.", kFixed,
          c::brightness),
      row("contrast", "digital", "Moves every value towards the mean of its band.", kFixed,
          c::contrast),
      row("elastic_transform", "digital", "Moves, shears and bends small parts.", kRandom,
          c::elastic_transform),
      row("pixelate", "digital", "Shows coarser pixels, as after enlarging a small picture.",
          kFixed, c::pixelate),
      row("jpeg_compression", "digital", "Stores as JPEG of low quality.", kFixed,
          c::jpeg_compression),
      row("speckle_noise", "noise", "Multiplies by normal noise.", kRandom | kExtra,
          c::speckle_noise),
      row("gaussian_blur", "blur", "Blurs with a Gaussian.", kExtra, c::gaussian_blur),
      row("spatter", "weather", "Splashes water, then mud, on the lens.", kRandom | kExtra,
          c::spatter),
      row("saturate", "digital", "Makes colours weaker, then stronger; of RGB pictures only.",
          kExtra, c::saturate),
  };
  return table;
}

const Row& find(std::string_view name) {
  return find_row(rows(), name, "corruption");
}

std::string_view type_name(PixelType type) {
  switch (type) {
    case PixelType::kUint8:
      return "uint8";
    case PixelType::kUint16:
      return "uint16";
    case PixelType::kFloat32:
      return "float32";
  }
  return "unknown";
}

void check_request(const Image& image, const Row& row, int severity) {
  if (severity < 1 || severity > kSeverities) {
    throw UsageError(fmt::format("corruption {} has no severity {} (give 1, the weakest, to {})",
                                 row.name, severity, kSeverities));
  }
  check(!image.empty(), "an empty image cannot be corrupted");
  const bool gray = image.bands() == 1;
  if (image.type() != PixelType::kUint8 || (!gray && image.bands() != 3)) {
    throw UsageError(fmt::format(
        "corruption {} is defined for uint8 with 1 band or 3, not {} with {} (convert the image)",
        row.name, type_name(image.type()), image.bands()));
  }
  if (gray && row.apply == corruption::saturate) {
    throw UsageError(
        "corruption saturate changes colours, and the image is gray (leave it out, or convert the "
        "image to 3 bands)");
  }
}

}  // namespace

std::span<const Corruption> corruptions() {
  static const auto table = [] {
    std::vector<Corruption> found;
    std::ranges::copy(rows(), std::back_inserter(found));
    return found;
  }();
  return table;
}

const Corruption& find_corruption(std::string_view name) {
  return find_row(corruptions(), name, "corruption");
}

Image corrupt(const Image& image, std::string_view name, int severity, const RngKey& key) {
  const Row& row = find(name);
  check_request(image, row, severity);
  RngKey own = key;
  // Mixed in, so that what the caller says of the operation still counts.
  own.op = static_cast<std::uint16_t>(key.op ^ name_hash(name));
  Rng rng(own);
  auto picture = corruption::to_picture(image);
  const bool small = std::min(image.height(), image.width()) <= kSmallCorruptions;
  row.apply(picture, {.severity = severity, .small = small}, rng);
  return corruption::to_image(picture);
}

}  // namespace viewfold
