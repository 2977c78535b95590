// How near the views of one image stay to each other: alignment (Wang and Isola, arXiv:2005.10242).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <ATen/core/Tensor.h>

#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {

struct AlignmentSpec {
  std::int64_t size = 32;  // of the views, in pixels a side
  std::uint64_t seed = 0;
};

/// Makes two views of each image by SimCLR's recipe for their size, the same for all encoders, and
/// measures
///  - "alignment": mean squared distance between the unit features of both (Eq. 2 with alpha = 2);
///    0 is best
///  - "distance_of_others": the same between views of different images, which makes the first
///    number comparable: 2 where these are in no relation
///
/// features_of  [N, D] float32 features of N images
/// Throws ContractViolation on fewer than two images.
[[nodiscard]] EvaluationResult measure_alignment(
    const std::function<at::Tensor(const Dataset& views)>& features_of,
    const std::shared_ptr<const Dataset>& images,
    const AlignmentSpec& spec);

}  // namespace viewfold
