// Implements the audit of views.
#include "viewfold/augment/view_audit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "viewfold/augment/annotations.hpp"
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold {
namespace {

// Limits of the verdicts; ours, see judge().
constexpr double kSameView = 0.02;     // pixel distance: nothing has changed
constexpr double kOtherImage = 0.97;   // pixel and feature distance: nothing is left
constexpr double kLeastKept = 0.02;    // median share of the area
constexpr double kColoursWork = 0.3;   // share of pairs that histograms find
constexpr double kThumbWorks = 0.5;    // share of pairs that thumbnails find
constexpr double kBoxesLost = 0.5;     // share of the known boxes
constexpr double kBoxKept = 0.25;      // share of its area from which on a box is there
constexpr double kTurned = 45.0;       // degrees
constexpr double kOrientation = 1.02;  // cost from which on up and down differ

using Row = std::vector<float>;

// The picture in RGB order or as it is, of size x size pixels, values in [0, 1].
Image scaled(const Image& image, std::int64_t size) {
  const auto side = static_cast<int>(size);
  const Image real = convert_type(image, PixelType::kFloat32);
  return real.height() == side && real.width() == side ? real : resize_center_crop(real, side);
}

Row pixels_of(const Image& image) {
  const auto values = image.values<float>();
  return {values.begin(), values.end()};
}

Row histogram_of(const Image& image) {
  constexpr std::size_t kBins = 16;
  const auto bands = static_cast<std::size_t>(image.bands());
  const auto values = image.values<float>();
  Row histogram(bands * kBins);
  const float share = static_cast<float>(bands) / static_cast<float>(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bin = static_cast<std::size_t>(values[i] * static_cast<float>(kBins));
    histogram[(i % bands) * kBins + std::min(bin, kBins - 1)] += share;
  }
  return histogram;
}

Row thumbnail_of(const Image& image) {
  return pixels_of(resize_crop(image, {0, 0, image.width(), image.height()}, 4, 4));
}

double squared_distance(const Row& a, const Row& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return sum;
}

template <class Describe>
std::vector<Row> rows_of(std::span<const Image> images, const Describe& describe) {
  std::vector<Row> rows;
  rows.reserve(images.size());
  for (const auto& image : images) {
    rows.push_back(describe(image));
  }
  return rows;
}

// Share of rows of `first` whose own row of `second` is strictly the nearest one.
double match_share(const std::vector<Row>& first, const std::vector<Row>& second) {
  std::size_t matched = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const double own = squared_distance(first[i], second[i]);
    bool nearest = true;
    for (std::size_t j = 0; j < second.size() && nearest; ++j) {
      nearest = j == i || squared_distance(first[i], second[j]) > own;
    }
    matched += nearest ? 1 : 0;
  }
  return static_cast<double>(matched) / static_cast<double>(first.size());
}

// Mean over all rows of the distance to the nearest other row of `bank`.
double nearest_other(const std::vector<Row>& rows, const std::vector<Row>& bank) {
  double sum = 0.0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    double nearest = std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < bank.size(); ++j) {
      nearest = j == i ? nearest : std::min(nearest, squared_distance(rows[i], bank[j]));
    }
    sum += std::sqrt(nearest);
  }
  return sum / static_cast<double>(rows.size());
}

bool turns_over(const OpRecord& record) {
  const auto is = [&record](std::string_view name) { return record.op == operation_id(name); };
  if (record.count == 0 || !happened(record)) {
    return false;
  }
  return is("vertical_flip") ||
         ((is("rotation") || is("affine")) && std::abs(record.values[1]) > kTurned);
}

// The share of the whole image that is inside the view.
double kept_share(const Pipeline& pipeline, std::span<const OpRecord> records, ImageSize size) {
  Annotations whole;
  whole.boxes.push_back(
      {0.0, 0.0, static_cast<double>(size.width), static_cast<double>(size.height)});
  return move_annotations(pipeline, records, whole, size).boxes.front().kept;
}

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

// Counts the boxes of one image that a view loses.
std::size_t count_lost(const Pipeline& pipeline,
                       std::span<const OpRecord> records,
                       const Annotations& known,
                       ImageSize size) {
  const auto moved = move_annotations(pipeline, records, known, size);
  return static_cast<std::size_t>(std::count_if(
      moved.boxes.begin(), moved.boxes.end(), [](const auto& box) { return box.kept < kBoxKept; }));
}

}  // namespace

ViewPairs make_pairs(const Pipeline& pipeline,
                     std::span<const Image> images,
                     std::span<const KnownBox> boxes,
                     std::int64_t size,
                     std::uint64_t seed) {
  check(!images.empty() && size >= 1, "an audit needs images and a size");
  std::vector<Annotations> known(images.size());
  for (const auto& box : boxes) {
    known.at(box.image).boxes.push_back(box.box);
  }
  ViewPairs pairs;
  std::vector<double> kept;
  std::size_t lost = 0;
  Canvas canvas;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const ImageSize before{images[i].height(), images[i].width()};
    for (std::uint16_t view = 0; view < 2; ++view) {
      const auto records = pipeline.sample(
          {.seed = seed, .stream = "audit", .sample = static_cast<std::uint32_t>(i), .view = view},
          before);
      canvas.start(images[i]);
      pipeline.apply(records, canvas);
      (view == 0 ? pairs.first : pairs.second).push_back(scaled(canvas.image(), size));
      kept.push_back(kept_share(pipeline, records, before));
      lost += count_lost(pipeline, records, known[i], before);
      pairs.turns = pairs.turns || std::any_of(records.begin(), records.end(), turns_over);
    }
  }
  pairs.kept_median = percentile(kept, 0.5);
  pairs.kept_low = percentile(kept, 0.1);
  pairs.boxes_lost =
      boxes.empty() ? 0.0 : static_cast<double>(lost) / (2.0 * static_cast<double>(boxes.size()));
  return pairs;
}

PairNumbers measure_pairs(const ViewPairs& pairs) {
  check(!pairs.first.empty() && pairs.first.size() == pairs.second.size(), "pairs are two lists");
  const auto first = rows_of(pairs.first, pixels_of);
  const auto second = rows_of(pairs.second, pixels_of);
  const std::size_t n = first.size();
  double own = 0.0;
  double other = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    own += std::sqrt(squared_distance(first[i], second[i]));
    other += std::sqrt(squared_distance(first[i], second[(i + 1) % n]));
  }
  return {.pixel_distance = other > 0.0 ? own / other : 0.0,
          .histogram_match =
              match_share(rows_of(pairs.first, histogram_of), rows_of(pairs.second, histogram_of)),
          .thumbnail_match =
              match_share(rows_of(pairs.first, thumbnail_of), rows_of(pairs.second, thumbnail_of))};
}

double orientation_cost(std::span<const Image> images, std::int64_t size) {
  check(images.size() >= 3, "up and down are told from at least 3 images");
  std::vector<Row> upright;
  std::vector<Row> turned;
  for (const auto& image : images) {
    const Image square = scaled(image, size);
    upright.push_back(pixels_of(square));
    Row rows = upright.back();
    const auto stride = static_cast<std::ptrdiff_t>(rows.size() / static_cast<std::size_t>(size));
    for (std::ptrdiff_t top = 0, bottom = size - 1; top < bottom; ++top, --bottom) {
      std::swap_ranges(rows.begin() + top * stride, rows.begin() + (top + 1) * stride,
                       rows.begin() + bottom * stride);
    }
    turned.push_back(std::move(rows));
  }
  const double usual = nearest_other(upright, upright);
  return usual > 0.0 ? nearest_other(turned, upright) / usual : 1.0;
}

std::vector<Finding> judge(const AuditLine& line) {
  std::vector<Finding> findings;
  const auto add = [&findings](Verdict verdict, const std::string& reason) {
    findings.push_back({verdict, reason});
  };
  const double feature_distance = line.feature_distance.value_or(line.numbers.pixel_distance);
  if (line.pairs.kept_median < kLeastKept) {
    add(Verdict::kDestroysContent,
        fmt::format("half of the views keep less than {:.1f} % of the image (limit {:g} %)",
                    100.0 * line.pairs.kept_median, 100.0 * kLeastKept));
  }
  if (line.pairs.boxes_lost > kBoxesLost) {
    add(Verdict::kDestroysContent,
        fmt::format("{:.0f} % of the known objects are lost (limit {:g} %)",
                    100.0 * line.pairs.boxes_lost, 100.0 * kBoxesLost));
  }
  if (line.numbers.pixel_distance > kOtherImage && feature_distance > kOtherImage) {
    add(Verdict::kDestroysContent, "two views of one image are as far apart as two images");
  }
  if (line.numbers.pixel_distance < kSameView) {
    add(Verdict::kTooWeak, line.whole ? "two views of an image are the same picture"
                                      : "changes nothing on these images");
  } else if (line.whole && line.numbers.histogram_match > kColoursWork) {
    add(Verdict::kTooWeak,
        fmt::format("colours alone find {:.0f} % of the pairs (limit {:g} %): change them more",
                    100.0 * line.numbers.histogram_match, 100.0 * kColoursWork));
  }
  if (line.whole && line.numbers.pixel_distance >= kSameView &&
      line.numbers.thumbnail_match > kThumbWorks) {
    add(Verdict::kTooWeak,
        fmt::format(
            "thumbnails of 4 x 4 pixels find {:.0f} % of the pairs (limit {:g} %): crop more",
            100.0 * line.numbers.thumbnail_match, 100.0 * kThumbWorks));
  }
  if (line.pairs.turns && line.orientation_cost > kOrientation) {
    add(Verdict::kCheck,
        fmt::format("views are turned over, and these images have an up and a down (upside down "
                    "they are {:.2f} times as far from their nearest image): do classes differ by "
                    "it, as 6 and 9?",
                    line.orientation_cost));
  }
  if (findings.empty()) {
    findings.push_back({Verdict::kFine, ""});
  }
  return findings;
}

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kFine:
      return "fine";
    case Verdict::kTooWeak:
      return "too weak";
    case Verdict::kDestroysContent:
      return "destroys content";
    case Verdict::kCheck:
      return "check";
  }
  return "";
}

}  // namespace viewfold
