// What an encoder keeps and forgets of pictures whose every factor is known: the rendered solids.
#pragma once

#include <cstdint>

#include "viewfold/eval/evaluation.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/nn/encoder.hpp"

namespace viewfold {

/// How many pictures are rendered.
struct SolidFactorsSpec {
  std::int64_t train = 4000;  // whiten, and fit what is read out; at most 10,000
  std::int64_t test = 1000;   // at most 2,000
  std::int64_t views = 4;     // of each of a quarter of the test scenes, for each factor
  bool is_plain = false;      // before walls of one colour (the data set "plain-solids")
  std::uint64_t seed = 0;
  std::int64_t batch_size = 250;
  int threads = 1;
};

/// Renders scenes of the data set "solids" (data/solids.hpp) at the encoder's input size and
/// measures, for the factors pose, light, background and position:
///  - "invariance_FACTOR": mean cosine of whitened features (arXiv:2111.11398, Sec. 3.1) between
///    pictures of one scene in which that factor alone is drawn anew, over pairs of different
///    views, then over scenes; whitened by the training pictures
///  - "read_out_FACTOR": how well the factor is read from the features by ridge regression: mean
///    R^2, each at least 0, of its numbers: elevation and roll of the pose (not of spheres);
///    azimuth, elevation and intensity of the light; colours of the background; x, y and scale
///    of the position; also "read_out_colour", of the solid's colour. R^2 of each number alone is
///    "read_out_FACTOR_NUMBER" ("read_out_position_x")
///  - "solid": share of test pictures whose solid a kNN vote of the training pictures names
/// The pictures are in colour; an encoder of one band sees their luma. Throws UsageError when there
/// are fewer than twice as many training pictures as features, or an encoder has neither one nor
/// three bands; ContractViolation when counts are out of their range.
[[nodiscard]] EvaluationResult measure_solid_factors(Encoder& encoder,
                                                     const Preprocess& preprocess,
                                                     const SolidFactorsSpec& spec);

}  // namespace viewfold
