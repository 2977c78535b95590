// Draws the pictures of a run.
#include "viewfold/app/pictures.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "viewfold/augment/contact_sheet.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/index/neighbours.hpp"
#include "viewfold/report/text.hpp"

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

// The name that a recipe gives to the group of a view; "" where it has only one.
std::string group_of(const ViewPlan& plan, const RecipeConfig& recipe, std::size_t view) {
  std::size_t group = 0;
  for (; view >= static_cast<std::size_t>(plan.groups.at(group).views); ++group) {
    view -= static_cast<std::size_t>(plan.groups[group].views);
  }
  return recipe.groups().at(group).name;
}

// "In each epoch training makes 2 views of 96 px (large) and 6 of 40 px (small) of an image."
std::string views_sentence(const ViewPlan& plan, const RecipeConfig& recipe) {
  std::string views;
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const ViewGroup& group = plan.groups[g];
    const std::string& name = recipe.groups().at(g).name;
    views +=
        fmt::format("{}{} view{} of {} px{}", g == 0 ? "" : " and ", group.views,
                    group.views == 1 ? "" : "s", group.size, name.empty() ? "" : " (" + name + ")");
  }
  return fmt::format("In each epoch training makes {} of an image.", views);
}

std::vector<CaptionLine> caption_of(const View& view) {
  std::vector<CaptionLine> caption;
  for (const auto& record : view.records) {
    caption.push_back({.text = record_text(record), .faint = !was_applied(record)});
  }
  return caption;
}

PictureRow page_row(const SampleViews& sample, const ViewPlan& plan, const RecipeConfig& recipe) {
  PictureRow row{.name = fmt::format("{}: {}", sample.sample, sample.name), .pictures = {}};
  row.pictures.push_back(
      {.image = displayable(sample.image), .title = "original", .group = "", .caption = {}});
  const auto per_epoch = static_cast<std::size_t>(plan.views_per_sample());
  for (std::size_t v = 0; v < sample.views.size(); ++v) {
    const auto epoch = sample.epoch + static_cast<std::int64_t>(v / per_epoch);
    const std::string group = group_of(plan, recipe, v % per_epoch);
    row.pictures.push_back(
        {.image = displayable(sample.views[v].image),
         .title = fmt::format("view {}{}", v % per_epoch + 1,
                              sample.views[v].is_learned ? ", learned" : ""),
         .group = fmt::format("epoch {}{}{}", epoch, group.empty() ? "" : ", ", group),
         .caption = caption_of(sample.views[v])});
  }
  return row;
}

}  // namespace

SheetFormat sheet_format(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending == ".png") {
    return SheetFormat::kPicture;
  }
  if (ending == ".html") {
    return SheetFormat::kPage;
  }
  throw UsageError(
      fmt::format("--out {}: views are written as FILE.png (the pictures) or as FILE.html (a page "
                  "that also says what was drawn for each)",
                  path.string()));
}

std::vector<SampleViews> sheet_samples(const Dataset& dataset,
                                       const ViewPlan& plan,
                                       std::uint64_t seed,
                                       const SampleReading& reading,
                                       const SubstituteSource* substitutes) {
  constexpr std::size_t kRows = 8;
  const auto per_epoch = static_cast<std::size_t>(plan.views_per_sample());
  const std::size_t columns = std::max(kColumns, per_epoch);
  std::vector<SampleViews> samples;
  for (const std::size_t index : spread_indices(dataset.size(), kRows)) {
    SampleViews sample{.sample = index,
                       .name = dataset.name(index),
                       .image = convert_bands(dataset.image(index), reading.bands),
                       .epoch = 1,
                       .views = {}};
    for (std::uint32_t epoch = 0; sample.views.size() < columns; ++epoch) {
      const RngKey key{.seed = seed,
                       .stream = "view",
                       .epoch = epoch,
                       .sample = static_cast<std::uint32_t>(index)};
      std::ranges::move(sample_views({dataset, reading, plan, key}, substitutes),
                        std::back_inserter(sample.views));
    }
    sample.views.resize(columns);
    samples.push_back(std::move(sample));
  }
  return samples;
}

std::vector<View> sample_views(const SampleRequest& request,
                               const SubstituteSource* substitutes,
                               double progress) {
  const ViewPlan& plan = request.plan;
  const std::size_t ops = plan.ops_per_view();
  std::vector<OpRecord> records(static_cast<std::size_t>(plan.views_per_sample()) * ops);
  Image buffer;
  const Image& source = read_and_draw(request, records, buffer).image;
  Canvas canvas;
  std::vector<View> views;
  for (std::int64_t v = 0; v < plan.views_per_sample(); ++v) {
    const auto drawn = std::span(records).subspan(static_cast<std::size_t>(v) * ops, ops);
    Image substitute;
    if (substitutes != nullptr) {
      substitutes->draw({.seed = request.key.seed,
                         .epoch = request.key.epoch,
                         .progress = progress,
                         .view = v,
                         .samples = std::span(&request.key.sample, 1)},
                        std::span(&substitute, 1));
    }
    RngKey key = request.key;
    key.view = static_cast<std::uint16_t>(v);
    auto used = drawn.first(plan.pipeline_of(v).op_names().size());
    if (substitute.empty()) {
      apply_view(plan, v, used, source, canvas);
    } else if (substitutes->is_finished()) {
      used = used.first(0);
      make_finished_view(plan, v, substitute, canvas);
    } else {
      make_substitute_view(plan, key, substitute, used, canvas);
    }
    views.push_back({.image = canvas.image(),
                     .records = {used.begin(), used.end()},
                     .is_learned = !substitute.empty()});
  }
  return views;
}

void write_view_sheet(const std::vector<SampleViews>& samples, const std::filesystem::path& path) {
  check(!samples.empty(), "a sheet needs an image");
  std::vector<std::vector<Image>> rows;
  for (const auto& sample : samples) {
    std::vector<Image> row{sample.image};
    for (const auto& view : sample.views) {
      row.push_back(view.image);
    }
    rows.push_back(std::move(row));
  }
  const int cell = cell_size(samples.front().views.front().image.width());
  write_file_atomically(path, encode_png(contact_sheet(rows, cell, kGap)));
}

ViewPage view_page(const std::vector<SampleViews>& samples,
                   const ViewPlan& plan,
                   const RunConfig& config) {
  ViewPage page{
      .title = fmt::format("{} on {}", config.recipe_name, report::last_part(config.data.source)),
      .sentences = {views_sentence(plan, *config.recipe),
                    fmt::format("Seed {}. Under each view stands what was drawn to make it; an "
                                "operation that was not applied is faint.",
                                config.seed)},
      .rows = {}};
  for (const auto& sample : samples) {
    page.rows.push_back(page_row(sample, plan, *config.recipe));
  }
  return page;
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
