// Implements the drawing of samples as pictures.
#include "viewfold/app/manifold_sample.hpp"

#include <algorithm>
#include <span>
#include <vector>

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "viewfold/app/manifold_run.hpp"
#include "viewfold/augment/contact_sheet.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/manifold/learned_views.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kMostImages = 100000;
constexpr std::int64_t kMostEach = 1000;

void check_order(const SampleOrder& order, std::size_t images) {
  if (order.images < 1 || order.images > std::min(kMostImages, static_cast<std::int64_t>(images))) {
    throw UsageError(fmt::format("--images must be 1 .. {}, not {}",
                                 std::min(kMostImages, static_cast<std::int64_t>(images)),
                                 order.images));
  }
  if (order.each < 1 || order.each > kMostEach) {
    throw UsageError(fmt::format("--each must be 1 .. {}, not {}", kMostEach, order.each));
  }
}

// The images that a finished manifold was fitted on.
RunImages reopen_images(const RunDir& run, const ManifoldConfig& config, LogSink& log) {
  if (run.info().status != RunStatus::kFinished) {
    throw DataError(
        fmt::format("{}: the manifold is not finished (go on with the same command that began it)",
                    run.path().string()));
  }
  return open_run_images(config.data, static_cast<std::uint64_t>(config.seed),
                         thread_count(config.train.threads), log);
}

}  // namespace

std::filesystem::path write_manifold_samples(const std::filesystem::path& folder,
                                             const SampleOrder& order,
                                             const std::filesystem::path& out,
                                             LogSink& log) {
  constexpr int kCell = 64;
  constexpr int kGap = 4;
  const auto& entry = find_manifold(order.operator_name);
  const RunDir run = RunDir::open(folder);
  ConfigSource source;
  source.add_toml_file(run.config().string());
  const ManifoldConfig config = read_manifold_config(source, 32);
  const RunImages images = reopen_images(run, config, log);
  check_order(order, images.train->size());
  auto manifold =
      std::make_shared<const LocalManifold>(read_local_manifold(neighbourhoods_file(folder)));
  if (manifold->data_fingerprint != images.fingerprint) {
    throw DataError(
        fmt::format("{}: the images have changed since the manifold was fitted: "
                    "restore them, or fit it again",
                    config.data.source));
  }
  at::set_num_threads(thread_count(config.train.threads));
  const auto sampler = entry.make({.manifold = manifold,
                                   .images = images.train,
                                   .bands = images.bands,
                                   .folder = folder,
                                   .truncation = order.truncation,
                                   .seed = order.seed});
  create_folder(out);
  std::vector<std::vector<Image>> rows;
  for (std::int64_t i = 0; i < order.images; ++i) {
    const auto sample = static_cast<std::uint32_t>(
        i * static_cast<std::int64_t>(images.train->size()) / order.images);
    std::vector<Image> row{displayable(images.train->image(sample)), Image()};
    for (std::int64_t s = 0; s < order.each; ++s) {
      Image drawn;
      sampler->sample(std::span(&sample, 1),
                      {.seed = order.seed, .stream = "draw", .view = static_cast<std::uint16_t>(s)},
                      std::span(&drawn, 1));
      write_file_atomically(out / fmt::format("{:06}-{:02}.png", sample, s), encode_png(drawn));
      row.push_back(displayable(drawn));
    }
    rows.push_back(std::move(row));
  }
  write_file_atomically(out / "sheet.png", encode_png(contact_sheet(rows, kCell, kGap)));
  return out / "sheet.png";
}

}  // namespace viewfold
