// The pictures of a run: its views, and what its encoder finds alike.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/nn/encoder.hpp"

namespace viewfold {

/// Writes a PNG: for each of eight images, spread over the data set, the image and eight of the
/// views that training would make of it in its first epochs.
void write_view_sheet(const Dataset& dataset,
                      const ViewPlan& plan,
                      std::uint64_t seed,
                      std::int64_t bands,
                      const std::filesystem::path& path);

/// All views of one sample: `key` says which and when; its view is set here.
[[nodiscard]] std::vector<View> sample_views(const ViewPlan& plan, const Image& source, RngKey key);

/// Writes a PNG: the image and its views in a row.
void write_sample_sheet(const Image& source,
                        const std::vector<View>& views,
                        const std::filesystem::path& path);

/// Writes a PNG: twelve images, each followed by its eight nearest among all of `dataset` by the
/// cosine of their features, nearest first. Nothing is written for fewer than two images.
void write_neighbour_sheet(const Dataset& dataset,
                           Encoder& encoder,
                           const Preprocess& preprocess,
                           const std::filesystem::path& path);

}  // namespace viewfold
