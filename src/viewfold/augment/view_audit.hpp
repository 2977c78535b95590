// What a view recipe does to given images: how much of them it keeps, how far it moves them, and
// which cheap tricks still recognise them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "viewfold/augment/recipe.hpp"

namespace viewfold {

/// Two views of each of N images, made by one pipeline, and what was drawn for the first ones.
struct ViewPairs {
  std::vector<Image> first;   // N
  std::vector<Image> second;  // N
  double kept_median = 1.0;   // share of the area of an image that is inside a view: median
  double kept_low = 1.0;      // and the smallest tenth of them
  double boxes_lost = 0.0;    // share of the known boxes of which a view keeps less than a quarter
  bool turns = false;         // some view is upside down or turned by more than 45 degrees
};

/// A known place in an image: a box in its pixels.
struct KnownBox {
  std::size_t image = 0;
  Rect box;
};

/// Makes the pairs: view 0 and 1 of each image under (seed, stream "audit"). Images have one number
/// of bands. Views that are not size x size pixels after the pipeline are scaled to that.
[[nodiscard]] ViewPairs make_pairs(const Pipeline& pipeline,
                                   std::span<const Image> images,
                                   std::span<const KnownBox> boxes,
                                   std::int64_t size,
                                   std::uint64_t seed);

/// Numbers about pairs; all of them cheap tricks of a few values per image.
struct PairNumbers {
  /// Mean distance of the pixels of two views of one image, as a share of that of two images: 0
  /// when views are equal, 1 when a view is as far from its own image as from another one.
  double pixel_distance = 0.0;
  /// Share of first views whose second view is the nearest of all N by a histogram of 16 values per
  /// band, and by a thumbnail of 4 x 4 pixels. By chance 1 / N.
  double histogram_match = 0.0;
  double thumbnail_match = 0.0;
};
[[nodiscard]] PairNumbers measure_pairs(const ViewPairs& pairs);

/// How much further an upside-down image is from its nearest other image than it is the right way
/// up: about 1 where there is no up and down (tissue, ground seen from above), above where there
/// is. Needs at least 3 images, of size x size pixels or scaled to that.
[[nodiscard]] double orientation_cost(std::span<const Image> images, std::int64_t size);

enum class Verdict { kFine, kTooWeak, kDestroysContent, kCheck };

/// A verdict with the rule that gave it.
struct Finding {
  Verdict verdict = Verdict::kFine;
  std::string reason;
};

/// What is known about one line of an audit.
struct AuditLine {
  std::string name;    // an operation, or "recipe"
  bool whole = false;  // the whole recipe: only this is judged by what tricks still recognise
  ViewPairs pairs;
  PairNumbers numbers;
  std::optional<double> feature_distance;  // as pixel_distance, by the features of an encoder
  double orientation_cost = 1.0;
};

/// All that is wrong with a line; one finding kFine when nothing is. The limits are ours;
/// docs/views.md says what passes them.
[[nodiscard]] std::vector<Finding> judge(const AuditLine& line);

[[nodiscard]] std::string_view to_string(Verdict verdict);

}  // namespace viewfold
