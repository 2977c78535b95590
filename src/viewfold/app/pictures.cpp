// Draws the pictures of a run.
#include "viewfold/app/pictures.hpp"

#include <algorithm>

#include "viewfold/augment/contact_sheet.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/index/neighbours.hpp"

namespace viewfold {
namespace {

constexpr std::size_t kColumns = 8;  // beside the image itself
constexpr int kGap = 4;

// Enlarged by a whole factor, so that small pictures stay sharp.
int cell_size(std::int64_t side) {
  constexpr std::int64_t kComfortable = 84;
  return static_cast<int>(side * std::max<std::int64_t>(1, kComfortable / side));
}

std::vector<std::size_t> spread_indices(std::size_t size, std::size_t count) {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < std::min(size, count); ++i) {
    indices.push_back(i * size / std::min(size, count));
  }
  return indices;
}

}  // namespace

void write_view_sheet(const Dataset& dataset,
                      const ViewPlan& plan,
                      std::uint64_t seed,
                      std::int64_t bands,
                      const std::filesystem::path& path) {
  constexpr std::size_t kRows = 8;
  std::vector<std::vector<Image>> rows;
  for (const std::size_t index : spread_indices(dataset.size(), kRows)) {
    const Image source = convert_bands(dataset.image(index), static_cast<int>(bands));
    std::vector<Image> row{source};
    for (std::size_t v = 0; v < kColumns; ++v) {
      const auto views = static_cast<std::size_t>(plan.views_per_sample());
      row.push_back(make_view(plan, source,
                              {.seed = seed,
                               .stream = "view",
                               .epoch = static_cast<std::uint32_t>(v / views),
                               .sample = static_cast<std::uint32_t>(index),
                               .view = static_cast<std::uint16_t>(v % views)})
                        .image);
    }
    rows.push_back(std::move(row));
  }
  write_file_atomically(path,
                        encode_png(contact_sheet(rows, cell_size(plan.groups.front().size), kGap)));
}

std::vector<View> sample_views(const ViewPlan& plan, const Image& source, RngKey key) {
  std::vector<View> views;
  for (std::int64_t v = 0; v < plan.views_per_sample(); ++v) {
    key.view = static_cast<std::uint16_t>(v);
    views.push_back(make_view(plan, source, key));
  }
  return views;
}

void write_sample_sheet(const Image& source,
                        const std::vector<View>& views,
                        const std::filesystem::path& path) {
  std::vector<Image> row{source};
  for (const auto& view : views) {
    row.push_back(view.image);
  }
  const int cell = cell_size(views.front().image.width());
  write_file_atomically(path, encode_png(contact_sheet({row}, cell, kGap)));
}

void write_neighbour_sheet(const Dataset& dataset,
                           Encoder& encoder,
                           const Preprocess& preprocess,
                           const std::filesystem::path& path) {
  constexpr std::size_t kRows = 12;
  constexpr std::int64_t kBatch = 256;
  if (dataset.size() < 2) {
    return;
  }
  const auto bank = extract_features(encoder, dataset, preprocess, kBatch, 1).features;
  std::vector<std::int64_t> chosen;
  for (const std::size_t index : spread_indices(dataset.size(), kRows)) {
    chosen.push_back(static_cast<std::int64_t>(index));
  }
  const auto k = static_cast<std::int64_t>(std::min(kColumns + 1, dataset.size()));
  const auto found =
      nearest_by_cosine(bank, bank.index_select(0, at::tensor(chosen, at::kLong)), k).index;
  std::vector<std::vector<Image>> rows;
  for (std::size_t r = 0; r < chosen.size(); ++r) {
    std::vector<Image> row{dataset.image(static_cast<std::size_t>(chosen[r]))};
    for (std::int64_t c = 0; c < k && row.size() <= kColumns; ++c) {
      const auto index = found[static_cast<std::int64_t>(r)][c].item<std::int64_t>();
      if (index != chosen[r]) {
        row.push_back(dataset.image(static_cast<std::size_t>(index)));
      }
    }
    rows.push_back(std::move(row));
  }
  write_file_atomically(path,
                        encode_png(contact_sheet(rows, cell_size(preprocess.input_size), kGap)));
}

}  // namespace viewfold
