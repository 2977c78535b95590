// Pictures of what a fitted manifold gives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "viewfold/core/log.hpp"

namespace viewfold {

/// What is drawn from a manifold.
struct SampleOrder {
  std::string operator_name = "ic_gan";  // see `viewfold list operators`
  std::int64_t images = 10;              // spread over the data set
  std::int64_t each = 10;                // samples of an image
  double truncation = 0.0;  // noise beyond this many deviations is drawn again; 0: none
  std::uint64_t seed = 1;
};

/// Writes samples of a finished manifold into `out`, a folder that is made: NNNNNN-SS.png for
/// sample SS of image NNNNNN of the run's images, and sheet.png, a row for each image: the image
/// itself, then its samples. Returns the path of the sheet. Throws DataError when the manifold is
/// not finished, its images have changed or the operator finds nothing there, UsageError on unknown
/// names and counts out of range.
std::filesystem::path write_manifold_samples(const std::filesystem::path& folder,
                                             const SampleOrder& order,
                                             const std::filesystem::path& out,
                                             LogSink& log);

}  // namespace viewfold
