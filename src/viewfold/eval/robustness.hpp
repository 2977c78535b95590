// How much of its accuracy an encoder keeps when images are corrupted.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/nn/encoder.hpp"

namespace viewfold {

/// What is corrupted, and how.
struct RobustnessSpec {
  std::shared_ptr<const Dataset> images;      // labelled test images
  std::vector<std::string> corruptions = {};  // names (augment/corruption.hpp); {}: all
  std::uint64_t seed = 0;
  std::int64_t batch_size = 250;
  int threads = 1;
};

/// Accuracy under one kind of corruption.
struct CorruptionRow {
  std::string name;
  std::array<double, 5> accuracy{};  // at severities 1 .. 5, in [0, 1]
};

/// Accuracy under one distortion of the robustness study (arXiv:2206.05259).
struct DistortionRow {
  std::string name;  // as parse_image_corruption() reads it: "gamma:0.2", "global_shuffle:4"
  double accuracy = 0.0;
};

struct RobustnessResult {
  EvaluationResult result;  // "clean_accuracy", "accuracy" (mean over all corruptions), ...
  std::vector<CorruptionRow> rows;
  std::vector<DistortionRow> distortions;  // numbers "accuracy_gamma:0.2", ...
};

/// Accuracy of a kNN vote (its defaults) with a bank of clean training features, on clean test
/// images and on the same corrupted: common corruptions of Hendrycks and Dietterich
/// (arXiv:1903.12261) at severities 1 to 5. Means are over the 15 kinds of that benchmark; the four
/// extra kinds have rows of their own. Beside them the distortions of arXiv:2206.05259, whose
/// strengths are not published: gamma 0.2 to 5, tiles and pixels within tiles shuffled on grids of
/// 2, 4 and 8, each image in its own way; grids that do not divide the images are left out. Nothing
/// is fitted to corrupted images.
///
/// bank      features of training images with labels
/// progress  called after each kind with how many of all are done; may be empty
///
/// Throws UsageError on an unknown corruption, DataError without labels.
[[nodiscard]] RobustnessResult measure_robustness(
    Encoder& encoder,
    const Preprocess& preprocess,
    const EvaluationInput& bank,
    const RobustnessSpec& spec,
    const std::function<void(std::size_t done, std::size_t all)>& progress = {});

}  // namespace viewfold
