// Frozen features: what every evaluation and embedding is made from.
#pragma once

#include <cstdint>

#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/nn/encoder.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {

/// How an image becomes the input of an encoder: converted to `bands` bands, scaled and cut to
/// input_size x input_size (resize_center_crop(), nothing when it has that size), normalised.
struct Preprocess {
  std::int64_t input_size = 0;  // pixels a side
  std::int64_t bands = 0;
  Normalization normalization;
};

/// Features of every image of `dataset`, in its order, in float32 and evaluation mode (which mode
/// the encoder was in before is restored); with labels when all images have one. Checks that the
/// encoder's parameters and buffers are the same bits before and after, else ContractViolation.
/// Throws DataError as the data set does.
/// batch_size  images per forward pass; does not change the result beyond rounding
/// threads     that decode; tensor operations use at::get_num_threads()
[[nodiscard]] FeatureSet extract_features(Encoder& encoder,
                                          const Dataset& dataset,
                                          const Preprocess& preprocess,
                                          std::int64_t batch_size,
                                          int threads);

/// Labels of all images: [M] int64; undefined when there are none, or an image has none.
[[nodiscard]] at::Tensor labels_of(const Dataset& dataset);

/// The pixels themselves as features [M, input_size * input_size * bands], preprocessed in the same
/// way: the control that every encoder must beat.
[[nodiscard]] FeatureSet pixel_features(const Dataset& dataset,
                                        const Preprocess& preprocess,
                                        int threads);

}  // namespace viewfold
