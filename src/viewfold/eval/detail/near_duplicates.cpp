// Implements the search for images that are there twice.
#include "viewfold/eval/near_duplicates.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/augment/contact_sheet.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/thread_pool.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/image/resample.hpp"
#include "viewfold/index/neighbourhoods.hpp"
#include "viewfold/index/neighbours.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

constexpr int kSide = 16;  // of a thumbnail
constexpr std::size_t kValues = std::size_t{kSide} * kSide;
using Thumbnail = std::array<std::uint8_t, kValues>;  // gray, row by row

constexpr std::int64_t kFewestToCompare = 4;  // neighbours, to say what is usual
constexpr double kAlwaysEnough = 0.001;       // that is missing to a correlation of 1

void check_described(const DescribedImages& set, const char* what) {
  check(set.images != nullptr && set.features.defined() && set.features.dim() == 2 &&
            set.features.size(0) == static_cast<std::int64_t>(set.images->size()),
        fmt::format("features must have a row for each of the {} images", what));
}

void check_spec(const NearDuplicateSpec& spec) {
  const auto is_cosine = [](double value) { return value >= -1.0 && value <= 1.0; };
  check(is_cosine(spec.least_cosine) && is_cosine(spec.least_correlation) &&
            spec.most_of_usual >= 0.0 && spec.most_difference >= 0.0 && spec.neighbours >= 1,
        "near duplicates: cosine and correlation are in [-1, 1], shares and differences are not "
        "negative, and one neighbour or more is looked at");
}

const Dataset& first_set(const NearDuplicate& pair, const Dataset& train, const Dataset& test) {
  return pair.kind == DuplicateKind::kTest ? test : train;
}

const Dataset& second_set(const NearDuplicate& pair, const Dataset& train, const Dataset& test) {
  return pair.kind == DuplicateKind::kTrain ? train : test;
}

// The whole image, whatever its shape.
Thumbnail thumbnail_of(const Dataset& images, std::size_t index) {
  Image buffer;
  const auto& image = images.read_reduced(index, buffer, [](int height, int width) {
    int times = 8;
    while (times > 1 && std::min(height, width) / times < 4 * kSide) {
      times /= 2;
    }
    return times;
  });
  const Image gray = convert_bands(displayable(image), 1);
  const Image small = resize_crop(gray, {0, 0, gray.width(), gray.height()}, kSide, kSide);
  Thumbnail thumbnail{};
  std::ranges::copy(small.values<std::uint8_t>(), thumbnail.begin());
  return thumbnail;
}

using Thumbnails = std::vector<Thumbnail>;

Thumbnails thumbnails_of(const Dataset& images, int threads) {
  Thumbnails thumbnails(images.size());
  parallel_for(images.size(), threads,
               [&](std::size_t i) { thumbnails[i] = thumbnail_of(images, i); });
  return thumbnails;
}

struct Agreement {
  double correlation = 0.0;
  double difference = 0.0;
  bool mirrored = false;
};

// Of two thumbnails without contrast the correlation is 1, of one and another 0.
Agreement compare_as_is(const Thumbnail& a, const Thumbnail& b) {
  constexpr auto kCount = static_cast<std::int64_t>(kValues);
  std::int32_t sum_a = 0;
  std::int32_t sum_b = 0;
  std::int32_t squares_a = 0;
  std::int32_t squares_b = 0;
  std::int32_t products = 0;
  std::int32_t apart = 0;
  for (std::size_t i = 0; i < kValues; ++i) {
    const std::int32_t x = a[i];
    const std::int32_t y = b[i];
    sum_a += x;
    sum_b += y;
    squares_a += x * x;
    squares_b += y * y;
    products += x * y;
    apart += std::abs(x - y);
  }
  const auto moment = [](std::int64_t sum, std::int64_t x, std::int64_t y) {
    return static_cast<double>(kCount * sum - x * y);
  };
  const double variance_a = moment(squares_a, sum_a, sum_a);
  const double variance_b = moment(squares_b, sum_b, sum_b);
  const bool is_flat = variance_a == 0.0 || variance_b == 0.0;
  const double correlation =
      is_flat ? (variance_a == variance_b ? 1.0 : 0.0)
              : moment(products, sum_a, sum_b) / std::sqrt(variance_a * variance_b);
  return {.correlation = correlation,
          .difference = static_cast<double>(apart) / (255.0 * static_cast<double>(kCount))};
}

Thumbnail mirror(const Thumbnail& thumbnail) {
  Thumbnail out = thumbnail;
  for (auto row = out.begin(); row != out.end(); row += kSide) {
    std::reverse(row, row + kSide);
  }
  return out;
}

// With the second as it is or mirrored, whichever is more alike.
Agreement compare(const Thumbnail& a, const Thumbnail& b, const Thumbnail& mirrored_b) {
  const auto as_is = compare_as_is(a, b);
  auto turned = compare_as_is(a, mirrored_b);
  turned.mirrored = true;
  return turned.correlation > as_is.correlation ? turned : as_is;
}

// The nearest of each query in a bank, by features, and how their thumbnails agree.
struct Search {
  DuplicateKind kind = DuplicateKind::kTrain;
  std::int64_t k = 0;                      // 0: there was nothing to search
  at::Tensor index = {};                   // [Q, k] int64
  at::Tensor similarity = {};              // [Q, k] float32
  std::vector<Agreement> agreements = {};  // [Q, k]
};

void compare_all(const Thumbnails& bank, const Thumbnails& queries, int threads, Search& search) {
  const auto k = static_cast<std::size_t>(search.k);
  const auto* const neighbour = search.index.data_ptr<std::int64_t>();
  search.agreements.resize(queries.size() * k);
  parallel_for(queries.size(), threads, [&](std::size_t q) {
    const auto mirrored = mirror(queries[q]);
    for (std::size_t i = q * k; i < (q + 1) * k; ++i) {
      search.agreements[i] =
          compare(bank[static_cast<std::size_t>(neighbour[i])], queries[q], mirrored);
    }
  });
}

Search search_within(const at::Tensor& features,
                     const Thumbnails& thumbnails,
                     DuplicateKind kind,
                     const NearDuplicateSpec& spec) {
  Search search{.kind = kind};
  if (features.size(0) >= 2) {
    search.k = std::min(spec.neighbours, features.size(0) - 1);
    const auto found = find_neighbourhoods(features, search.k);
    search.index = found.index;
    search.similarity = found.similarity;
    compare_all(thumbnails, thumbnails, spec.threads, search);
  }
  return search;
}

Search search_across(const at::Tensor& train,
                     const at::Tensor& test,
                     const std::array<const Thumbnails*, 2>& thumbnails,
                     const NearDuplicateSpec& spec) {
  Search search{.kind = DuplicateKind::kAcross};
  if (train.size(0) >= 1 && test.size(0) >= 1) {
    search.k = std::min(spec.neighbours, train.size(0));
    const auto found = nearest_by_cosine(train, test, search.k);
    search.index = found.index;
    search.similarity = found.similarity;
    compare_all(*thumbnails[0], *thumbnails[1], spec.threads, search);
  }
  return search;
}

// What an image lacks of agreeing with the images that an encoder finds near it, for each query:
// the median of 1 - correlation. 1 where there are too few to say so.
std::vector<double> usual_lacks(const Search& search, std::size_t queries) {
  std::vector<double> lacks(queries, 1.0);
  const auto k = static_cast<std::size_t>(search.k);
  if (search.k < kFewestToCompare) {
    return lacks;
  }
  std::vector<double> of_one(k);
  for (std::size_t q = 0; q < queries; ++q) {
    for (std::size_t i = 0; i < k; ++i) {
      of_one[i] = 1.0 - search.agreements[q * k + i].correlation;
    }
    const auto middle = of_one.begin() + static_cast<std::ptrdiff_t>(k / 2);
    std::nth_element(of_one.begin(), middle, of_one.end());
    lacks[q] = *middle;
  }
  return lacks;
}

// Adds the pairs of a search that agree, each once: those of one set with the smaller index first.
void keep_pairs(const Search& search,
                const std::array<const std::vector<double>*, 2>& usual,
                const NearDuplicateSpec& spec,
                std::vector<NearDuplicate>& pairs) {
  const auto begin = static_cast<std::ptrdiff_t>(pairs.size());
  for (std::size_t i = 0; i < search.agreements.size(); ++i) {
    const auto& agreement = search.agreements[i];
    NearDuplicate pair{.kind = search.kind,
                       .first = static_cast<std::size_t>(search.index.data_ptr<std::int64_t>()[i]),
                       .second = i / static_cast<std::size_t>(search.k),
                       .similarity = search.similarity.data_ptr<float>()[i],
                       .correlation = agreement.correlation,
                       .difference = agreement.difference,
                       .mirrored = agreement.mirrored};
    const double lack = 1.0 - agreement.correlation;
    const double common = std::min((*usual[0])[pair.first], (*usual[1])[pair.second]);
    pair.usual = 1.0 - common;
    if (pair.similarity < spec.least_cosine || agreement.correlation < spec.least_correlation ||
        agreement.difference > spec.most_difference ||
        lack > std::max(kAlwaysEnough, spec.most_of_usual * common)) {
      continue;
    }
    if (search.kind != DuplicateKind::kAcross && pair.first > pair.second) {
      std::swap(pair.first, pair.second);
    }
    pairs.push_back(pair);
  }
  // A pair that was found from both sides may differ in its last digit: the larger stays.
  const auto key = [](const NearDuplicate& pair) {
    return std::tuple(pair.first, pair.second, -pair.similarity);
  };
  const auto from = pairs.begin() + begin;
  std::sort(from, pairs.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  pairs.erase(std::unique(from, pairs.end(),
                          [](const auto& a, const auto& b) {
                            return a.first == b.first && a.second == b.second;
                          }),
              pairs.end());
}

std::optional<bool> same_label(std::optional<std::int64_t> a, std::optional<std::int64_t> b) {
  return a && b ? std::optional(*a == *b) : std::nullopt;
}

bool comes_first(const NearDuplicate& a, const NearDuplicate& b) {
  return std::tuple(-a.similarity, a.difference, a.kind, a.first, a.second) <
         std::tuple(-b.similarity, b.difference, b.kind, b.first, b.second);
}

void add_numbers(const std::vector<NearDuplicate>& pairs,
                 std::size_t test_images,
                 std::map<std::string, double>& numbers) {
  const auto count = [&](auto&& holds) {
    return static_cast<double>(std::ranges::count_if(pairs, holds));
  };
  const auto of_kind = [&](DuplicateKind kind) {
    return count([kind](const NearDuplicate& pair) { return pair.kind == kind; });
  };
  numbers["pairs_train"] = of_kind(DuplicateKind::kTrain);
  numbers["pairs_test"] = of_kind(DuplicateKind::kTest);
  numbers["pairs_across"] = of_kind(DuplicateKind::kAcross);
  numbers["identical_pairs"] = count([](const NearDuplicate& pair) { return pair.identical; });
  numbers["mirrored_pairs"] = count([](const NearDuplicate& pair) { return pair.mirrored; });
  numbers["other_label_pairs"] =
      count([](const NearDuplicate& pair) { return !pair.same_label.value_or(true); });
  std::set<std::size_t> with_twin;
  for (const auto& pair : pairs) {
    if (pair.kind == DuplicateKind::kAcross) {
      with_twin.insert(pair.second);
    }
  }
  numbers["test_images_with_twin"] = static_cast<double>(with_twin.size());
  if (test_images > 0) {
    numbers["test_twin_share"] =
        static_cast<double>(with_twin.size()) / static_cast<double>(test_images);
  }
}

}  // namespace

NearDuplicates find_near_duplicates(const DescribedImages& train,
                                    const DescribedImages& test,
                                    const NearDuplicateSpec& spec) {
  check_described(train, "training");
  check_described(test, "test");
  check_spec(spec);
  const Dataset& train_images = *train.images;
  const Dataset& test_images = *test.images;
  const auto of_train = thumbnails_of(train_images, spec.threads);
  const auto of_test = thumbnails_of(test_images, spec.threads);
  const std::array searches = {
      search_within(train.features, of_train, DuplicateKind::kTrain, spec),
      search_within(test.features, of_test, DuplicateKind::kTest, spec),
      search_across(train.features, test.features, {&of_train, &of_test}, spec)};
  // What is usual: among training images, whose are more.
  const auto usual_train = usual_lacks(searches[0], train_images.size());
  const auto usual_test = usual_lacks(searches[2], test_images.size());
  NearDuplicates found;
  keep_pairs(searches[0], {&usual_train, &usual_train}, spec, found.pairs);
  keep_pairs(searches[1], {&usual_test, &usual_test}, spec, found.pairs);
  keep_pairs(searches[2], {&usual_train, &usual_test}, spec, found.pairs);
  for (auto& pair : found.pairs) {
    const auto& a = first_set(pair, train_images, test_images);
    const auto& b = second_set(pair, train_images, test_images);
    pair.same_label = same_label(a.label(pair.first), b.label(pair.second));
    pair.identical =
        pair.difference == 0.0 && !pair.mirrored && a.image(pair.first) == b.image(pair.second);
  }
  std::ranges::sort(found.pairs, comes_first);
  add_numbers(found.pairs, test_images.size(), found.result.numbers);
  found.result.protocol = fmt::format(
      "near duplicates among {} training and {} test images: of the {} nearest by cosine of "
      "features those of at least {} whose gray thumbnails of {} x {} pixels, or one of them "
      "mirrored, correlate by at least {}, lack at most {} of what neighbours usually lack of a "
      "correlation of 1, and differ by at most {} of the range in the mean",
      train_images.size(), test_images.size(), spec.neighbours, spec.least_cosine, kSide, kSide,
      spec.least_correlation, spec.most_of_usual, spec.most_difference);
  return found;
}

std::size_t write_pairs_sheet(const std::vector<NearDuplicate>& pairs,
                              const Dataset& train,
                              const Dataset& test,
                              const std::filesystem::path& path,
                              std::size_t most) {
  constexpr std::size_t kPairsInRow = 3;
  constexpr int kComfortable = 96;
  constexpr int kGap = 4;
  check(most >= 1, "a sheet shows a pair or more");
  const std::size_t count = std::min(most, pairs.size());
  if (count == 0) {
    return 0;
  }
  std::vector<std::vector<Image>> rows((count + kPairsInRow - 1) / kPairsInRow);
  int longest = 1;
  for (std::size_t i = 0; i < count; ++i) {
    auto& row = rows[i / kPairsInRow];
    if (!row.empty()) {
      row.emplace_back();  // room between pairs
    }
    row.push_back(first_set(pairs[i], train, test).image(pairs[i].first));
    row.push_back(second_set(pairs[i], train, test).image(pairs[i].second));
    for (const auto& image : {std::cref(row[row.size() - 2]), std::cref(row.back())}) {
      longest = std::max({longest, image.get().height(), image.get().width()});
    }
  }
  // Enlarged by a whole factor, so that small pictures stay sharp.
  const int cell = longest >= kComfortable ? kComfortable : kComfortable / longest * longest;
  write_file_atomically(path, encode_png(contact_sheet(rows, cell, kGap)));
  return count;
}

}  // namespace viewfold
