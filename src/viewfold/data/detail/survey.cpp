// Implements statistics, fingerprints and surveys of data sets.
#include "viewfold/data/survey.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/core/thread_pool.hpp"
#include "viewfold/image/pixel.hpp"

namespace viewfold {
namespace {

// Sums over the pixels of one image, or of many.
struct BandSums {
  double pixels = 0.0;
  std::vector<double> sum;
  std::vector<double> square_sum;

  void add(const BandSums& other) {
    sum.resize(other.sum.size());
    square_sum.resize(other.sum.size());
    pixels += other.pixels;
    for (std::size_t band = 0; band < sum.size(); ++band) {
      sum[band] += other.sum[band];
      square_sum[band] += other.square_sum[band];
    }
  }

  [[nodiscard]] BandStatistics statistics() const {
    BandStatistics statistics;
    for (std::size_t band = 0; band < sum.size(); ++band) {
      const double mean = sum[band] / pixels;
      const double variance = square_sum[band] / pixels - mean * mean;
      statistics.mean.push_back(mean);
      statistics.std.push_back(std::max(1e-6, std::sqrt(std::max(0.0, variance))));
    }
    return statistics;
  }
};

template <class T>
BandSums sums_of(const Image& image) {
  const auto bands = static_cast<std::size_t>(image.bands());
  const auto values = image.values<T>();
  const std::size_t pixels = values.size() / bands;
  BandSums sums{.pixels = static_cast<double>(pixels),
                .sum = std::vector<double>(bands),
                .square_sum = std::vector<double>(bands)};
  for (std::size_t i = 0; i < values.size(); i += bands) {
    for (std::size_t band = 0; band < bands; ++band) {
      const auto value = static_cast<double>(values[i + band]);
      sums.sum[band] += value;
      sums.square_sum[band] += value * value;
    }
  }
  constexpr auto kScale = static_cast<double>(full_scale<T>());
  for (std::size_t band = 0; band < bands; ++band) {
    sums.sum[band] /= kScale;
    sums.square_sum[band] /= kScale * kScale;
  }
  return sums;
}

BandSums band_sums(const Image& image) {
  return with_pixel_type(image.type(), [&]<class T>() { return sums_of<T>(image); });
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
  throw ContractViolation("unknown pixel type");
}

std::uint32_t checked_count(std::size_t count) {
  check(count <= std::numeric_limits<std::uint32_t>::max(), "too many images");
  return static_cast<std::uint32_t>(count);
}

// Characters of the folders that all names share.
std::size_t shared_folders(const Dataset& dataset) {
  std::string shared = dataset.size() == 0 ? "" : dataset.name(0);
  for (std::size_t i = 1; i < dataset.size(); ++i) {
    const std::string name = dataset.name(i);
    const auto differs = std::mismatch(shared.begin(), shared.end(), name.begin(), name.end());
    shared.erase(differs.first, shared.end());
  }
  const std::size_t slash = shared.rfind('/');
  return slash == std::string::npos ? 0 : slash + 1;
}

// Hashes lines without keeping all of them.
class LineHash {
 public:
  void add(const std::string& line) {
    constexpr std::size_t kMaxText = 1U << 20U;
    text_ += line;
    text_ += '\n';
    if (text_.size() > kMaxText) {
      text_ = digits();
    }
  }

  [[nodiscard]] std::string digits() const { return hex_hash(std::as_bytes(std::span(text_))); }

 private:
  std::string text_;
};

std::string pixel_digest(const Dataset& dataset, std::size_t index) {
  try {
    const Image image = dataset.image(index);
    return fmt::format("{} {} {} {} {}", image.height(), image.width(), image.bands(),
                       type_name(image.type()), hex_hash(image.bytes()));
  } catch (const DataError&) {
    return "unreadable";  // the reason may name the folder
  }
}

// What a survey keeps of one image.
struct ImageFacts {
  bool readable = false;
  int height = 0;
  int width = 0;
  PixelKind kind;
  BandSums sums;
  std::size_t pixel_hash = 0;
  std::string reason;

  // Images with equal content are those with equal pixels, up to collisions of 64 bits.
  [[nodiscard]] auto content() const { return std::tie(pixel_hash, height, width, kind); }
};

ImageFacts facts_of(const Dataset& dataset, std::size_t index) {
  ImageFacts facts;
  try {
    const Image image = dataset.image(index);
    const std::string_view bytes(reinterpret_cast<const char*>(image.bytes().data()),
                                 image.bytes().size());
    facts = {.readable = true,
             .height = image.height(),
             .width = image.width(),
             .kind = {.bands = image.bands(), .type = std::string(type_name(image.type()))},
             .sums = band_sums(image),
             .pixel_hash = std::hash<std::string_view>()(bytes),
             .reason = {}};
  } catch (const DataError& error) {
    facts.reason = error.what();
  }
  return facts;
}

SideRange range_of(const std::vector<ImageFacts>& facts, int ImageFacts::*side) {
  std::vector<int> sides;
  for (const ImageFacts& fact : facts) {
    if (fact.readable) {
      sides.push_back(fact.*side);
    }
  }
  if (sides.empty()) {
    return {};
  }
  std::sort(sides.begin(), sides.end());
  return {.min = sides.front(), .max = sides.back(), .median = sides[sides.size() / 2]};
}

BandStatistics common_statistics(const std::vector<ImageFacts>& facts) {
  std::map<int, std::pair<std::size_t, BandSums>> by_bands;
  for (const ImageFacts& fact : facts) {
    if (fact.readable) {
      auto& [count, sums] = by_bands[fact.kind.bands];
      ++count;
      sums.add(fact.sums);
    }
  }
  const auto most = std::max_element(
      by_bands.begin(), by_bands.end(),
      [](const auto& a, const auto& b) { return a.second.first < b.second.first; });
  return most == by_bands.end() ? BandStatistics{} : most->second.second.statistics();
}

std::vector<std::vector<std::string>> find_duplicates(const Dataset& dataset,
                                                      const std::vector<ImageFacts>& facts) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (facts[i].readable) {
      order.push_back(i);
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return facts[a].content() < facts[b].content();
  });
  std::map<std::size_t, std::vector<std::string>> groups;  // by the first image of each
  for (auto begin = order.begin(); begin != order.end();) {
    const auto end = std::find_if(begin, order.end(), [&](std::size_t i) {
      return facts[i].content() != facts[*begin].content();
    });
    for (auto it = begin; end - begin > 1 && it != end; ++it) {
      groups[*begin].push_back(dataset.name(*it));
    }
    begin = end;
  }
  std::vector<std::vector<std::string>> duplicates;
  duplicates.reserve(groups.size());
  for (auto& [first, names] : groups) {
    duplicates.push_back(std::move(names));
  }
  return duplicates;
}

std::vector<std::pair<std::string, std::size_t>> count_classes(const Dataset& dataset) {
  std::vector<std::pair<std::string, std::size_t>> counts;
  counts.reserve(dataset.class_names().size());
  for (const std::string& name : dataset.class_names()) {
    counts.emplace_back(name, 0);
  }
  for (std::size_t i = 0; i < dataset.size() && !counts.empty(); ++i) {
    if (const auto label = dataset.label(i)) {
      ++counts[static_cast<std::size_t>(*label)].second;
    }
  }
  return counts;
}

}  // namespace

BandStatistics band_statistics(
    const Dataset& dataset, int bands, std::size_t max_images, std::uint64_t seed, int threads) {
  Rng rng({.seed = seed, .stream = "statistics"});
  auto chosen = rng.permutation(checked_count(dataset.size()));
  chosen.resize(std::min(chosen.size(), max_images));
  std::vector<BandSums> sums(chosen.size());
  std::vector<std::string> reasons(chosen.size());
  parallel_for(chosen.size(), threads, [&](std::size_t i) {
    try {
      sums[i] = band_sums(convert_bands(dataset.image(chosen[i]), bands));
    } catch (const DataError& error) {
      reasons[i] = error.what();
    }
  });
  // Added in one order, whatever the threads did: floating-point sums depend on it.
  BandSums total;
  for (const BandSums& sum : sums) {
    if (sum.pixels > 0.0) {
      total.add(sum);
    }
  }
  if (total.sum.empty()) {
    throw DataError(chosen.empty() ? std::string("there are no images to measure")
                                   : fmt::format("none of {} images can be read, the first: {}",
                                                 chosen.size(), reasons.front()));
  }
  return total.statistics();
}

std::string data_fingerprint(const Dataset& dataset) {
  constexpr std::size_t kLooks = 64;
  const std::size_t shared = shared_folders(dataset);
  LineHash hash;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    hash.add(dataset.name(i).substr(shared));
  }
  const std::size_t looks = std::min(kLooks, dataset.size());
  for (std::size_t i = 0; i < looks; ++i) {
    hash.add(pixel_digest(dataset, i * dataset.size() / looks));
  }
  return hash.digits();
}

std::string storage_fingerprint(const Dataset& dataset) {
  const std::size_t shared = shared_folders(dataset);
  LineHash hash;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const std::string stamp = dataset.stamp(i);
    if (stamp.empty()) {
      return {};
    }
    hash.add(fmt::format("{}\n{}", dataset.name(i).substr(shared), stamp));
  }
  return hash.digits();
}

Split hold_out(std::size_t size, double fraction, std::uint64_t seed) {
  check(fraction >= 0.0 && fraction <= 1.0, fmt::format("fraction {} is not in 0 .. 1", fraction));
  Rng rng({.seed = seed, .stream = "holdout"});
  const auto order = rng.permutation(checked_count(size));
  const auto count = std::llround(fraction * static_cast<double>(size));
  Split split{.kept = {order.begin() + count, order.end()},
              .held_out = {order.begin(), order.begin() + count}};
  std::sort(split.kept.begin(), split.kept.end());
  std::sort(split.held_out.begin(), split.held_out.end());
  return split;
}

DataSurvey survey(const Dataset& dataset, int threads) {
  std::vector<ImageFacts> facts(dataset.size());
  parallel_for(dataset.size(), threads, [&](std::size_t i) { facts[i] = facts_of(dataset, i); });
  DataSurvey survey;
  survey.count = dataset.size();
  survey.height = range_of(facts, &ImageFacts::height);
  survey.width = range_of(facts, &ImageFacts::width);
  survey.statistics = common_statistics(facts);
  survey.class_counts = count_classes(dataset);
  survey.duplicates = find_duplicates(dataset, facts);
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (facts[i].readable) {
      ++survey.kinds[facts[i].kind];
    } else {
      survey.unreadable.push_back({.index = i, .reason = facts[i].reason});
    }
  }
  return survey;
}

}  // namespace viewfold
