// The pictures of a run: its views, and what its encoder finds alike.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "viewfold/app/run_config.hpp"
#include "viewfold/augment/sample_views.hpp"
#include "viewfold/augment/substitutes.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/nn/encoder.hpp"
#include "viewfold/report/view_page.hpp"

namespace viewfold {

/// What a sheet of views is written as.
enum class SheetFormat { kPicture, kPage };

/// By the ending of the file: .png or .html. Throws UsageError that names both for any other.
[[nodiscard]] SheetFormat sheet_format(const std::filesystem::path& path);

/// An image of a data set and views of it.
struct SampleViews {
  std::size_t sample = 0;  // its index in the data set
  std::string name;
  Image image;
  std::int64_t epoch = 1;   // that of the first views, counted from 1
  std::vector<View> views;  // all of that epoch, then those of the next one, ...
};

/// Eight images, spread over the data set, and of each eight of the views that training would make
/// of it in its first epochs; more where the plan makes more in one.
[[nodiscard]] std::vector<SampleViews> sheet_samples(const Dataset& dataset,
                                                     const ViewPlan& plan,
                                                     std::uint64_t seed,
                                                     const SampleReading& reading,
                                                     const SubstituteSource* substitutes = nullptr);

/// All views of one sample in one epoch, as training makes them at `progress` of the run.
[[nodiscard]] std::vector<View> sample_views(const SampleRequest& request,
                                             const SubstituteSource* substitutes = nullptr,
                                             double progress = 0.0);

/// Writes a PNG: a row for each sample, its image and its views.
void write_view_sheet(const std::vector<SampleViews>& samples, const std::filesystem::path& path);

/// The same as the content of a page: under each view what was drawn to make it, in the words of
/// record_text(). `plan` has made the views, by the recipe of `config`.
[[nodiscard]] ViewPage view_page(const std::vector<SampleViews>& samples,
                                 const ViewPlan& plan,
                                 const RunConfig& config);

/// Writes a PNG: twelve images, each followed by its eight nearest among all of `dataset` by the
/// cosine of their features, nearest first. Nothing is written for fewer than two images.
void write_neighbour_sheet(const Dataset& dataset,
                           Encoder& encoder,
                           const Preprocess& preprocess,
                           const std::filesystem::path& path);

}  // namespace viewfold
