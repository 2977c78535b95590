// Images that a data set holds twice, within training or test images or across them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {

/// Images with the features that an encoder gives them.
struct DescribedImages {
  std::shared_ptr<const Dataset> images;
  at::Tensor features;  // [N, D] float32, row i of image i; need not be of length 1
};

/// When two images count as one picture. Features only find candidates: what an encoder ignores is
/// no ground to call images equal, so that their pixels decide, as gray thumbnails of 16 x 16 of
/// the whole image. Where all images look alike (centred clothes), so do the thumbnails of
/// different ones: hence a twin must also stand out among the neighbours. All numbers are ours,
/// chosen on CIFAR-10 (as JPEG; MoCo v2 features) and Fashion-MNIST (pixels as features), where no
/// pair was labelled by hand: of the 575 and 714 pairs that these find there, 99.7 % and 99.9 %
/// have equal labels (of neighbours at a correlation of 0.95 alone, 96 % and 89 %), and 1.5 % and
/// 1.6 % of the test images have a twin. By eye, Barz and Denzler (arXiv:1902.00423) find 3.3 % of
/// CIFAR-10, counting moved and recut ones, which are missed here.
struct NearDuplicateSpec {
  std::int64_t neighbours = 10;     // of each image that are looked at: in its set, and across
  double least_cosine = 0.8;        // of the features; pairs found on CIFAR-10 have 0.93 or more
  double least_correlation = 0.95;  // of the thumbnails
  // 1 - correlation over what is usual: its median over the neighbours (the smaller median of two).
  // Nothing is asked of a correlation of 0.999 or more, which copies of copies have, or where there
  // are fewer than 4 neighbours.
  double most_of_usual = 0.25;
  // Mean absolute difference of the thumbnails over the range of pixels: 5 % of brightness make
  // 0.05 at most, 10 % rarely 0.1.
  double most_difference = 0.1;
  int threads = 1;  // that decode and compare
};

enum class DuplicateKind { kTrain, kTest, kAcross };

/// Two images that show the same.
struct NearDuplicate {
  DuplicateKind kind = DuplicateKind::kTrain;
  std::size_t first = 0;     // of the training images, with kTest of the test images
  std::size_t second = 0;    // of the same, after first; with kAcross of the test images
  double similarity = 0.0;   // cosine of the features
  double correlation = 0.0;  // of the thumbnails
  double difference = 0.0;   // of the thumbnails: mean absolute, in [0, 1]
  double usual = 0.0;        // correlation with neighbours that is usual for these two
  bool mirrored = false;     // with one of them mirrored, left for right
  bool identical = false;    // every pixel is the same
  std::optional<bool> same_label = std::nullopt;  // nothing where one has none
};

struct NearDuplicates {
  std::vector<NearDuplicate> pairs;  // of descending similarity, then ascending difference
  EvaluationResult result;           // numbers: see find_near_duplicates()
};

/// Finds near duplicates among the nearest neighbours by cosine of features: within the training
/// images, within the test images, and across. Of a picture that is there more than five times,
/// copies are found that correlate by 0.999, if not in all pairs. Decodes every image once.
/// Numbers: "pairs_train", "pairs_test", "pairs_across", "identical_pairs", "mirrored_pairs",
/// "other_label_pairs" (where both have a label), "test_images_with_twin" and, where there are test
/// images, "test_twin_share" (a twin among the training images).
///
/// train, test  with the same D; either may be empty
///
/// Throws DataError as the data sets do, naming the image; ContractViolation when features do not
/// fit, or a value is not finite, or a threshold is out of its range.
[[nodiscard]] NearDuplicates find_near_duplicates(const DescribedImages& train,
                                                  const DescribedImages& test,
                                                  const NearDuplicateSpec& spec = {});

/// Writes a PNG of the first pairs, three pairs a row, each image beside its twin; as a whole file
/// or not at all. Returns how many pairs it shows; writes nothing when there are none.
/// Throws DataError and WriteError as reading and writing do.
/// most  pairs at most, >= 1
std::size_t write_pairs_sheet(const std::vector<NearDuplicate>& pairs,
                              const Dataset& train,
                              const Dataset& test,
                              const std::filesystem::path& path,
                              std::size_t most = 24);

}  // namespace viewfold
