// Fine-tuning with few labels: what an encoder is worth when it may move.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {

struct FineTuningSpec {
  std::shared_ptr<const Dataset> train = {};  // labelled
  std::shared_ptr<const Dataset> test = {};   // labelled
  std::int64_t draws = 3;                     // of labels; ours
  std::uint64_t seed = 0;
  int threads = 1;
  /// Called after each draw with how many of all are done; may be empty.
  std::function<void(std::int64_t done, std::int64_t all)> progress = {};
};

/// Views that the training images of one draw give, all epochs of both shares together: what it
/// costs to prepare and to train.
[[nodiscard]] double fine_tuning_views(std::int64_t train_images);

/// Accuracy on test images after training a copy of the encoder and a linear classifier with 1 %
/// and 10 % of the training labels, balanced over classes (SimCLR, arXiv:2002.05709, Sec. 6 and
/// B.5: crop and flip, SGD with momentum 0.9, rate 0.05 per 256 images, no weight decay, no
/// warm-up, 60 epochs with 1 % and 30 with 10 %). Batches of an eighth of the labels, at most 256,
/// and cosine decay are ours. Test images choose nothing. returns  "accuracy_1", "sd_1",
/// "accuracy_10", "sd_10": mean and deviation over the draws;
///          "accuracy" is that with 10 %. The encoder given stays as it is. Throws DataError
///          without labels, ContractViolation without a draw.
[[nodiscard]] EvaluationResult fine_tune(const LoadedEncoder& loaded, const FineTuningSpec& spec);

}  // namespace viewfold
