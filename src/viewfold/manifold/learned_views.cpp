// Implements local manifold augmentation as a source of views.
#include "viewfold/manifold/learned_views.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

constexpr std::string_view kStream = "learned";

// Everything that the kept samples depend on.
std::string cache_key(const LearnedViewsConfig& config, const LearnedViewsParts& parts) {
  return fmt::format("{} of {}; {}; {} bands; truncation {}; seed {}; {}", config.operator_name,
                     parts.data_fingerprint, manifold_fingerprint(config), parts.bands,
                     config.truncation, parts.seed, uses_bf16("auto") ? "bf16" : "fp32");
}

std::shared_ptr<const SampleCache> open_samples(const LearnedViewsConfig& config,
                                                const LearnedViewsParts& parts,
                                                const Manifold& sampler,
                                                LogSink& log) {
  const std::filesystem::path folder = config.from;
  const std::int64_t kept = config.samples_kept();
  const std::string key = cache_key(config, parts);
  const auto path = folder / "samples" /
                    fmt::format("{}-{}-seed{}.pixels", config.operator_name, kept, parts.seed);
  if (auto cache = SampleCache::open(path, key); cache && cache->samples_each() == kept) {
    return cache;
  }
  const auto count = static_cast<std::int64_t>(parts.images->size());
  log.info(
      fmt::format("{}: making {} samples of each of {} images ...", path.string(), kept, count));
  return write_sample_cache(sampler, {.path = path,
                                      .key = key,
                                      .images = count,
                                      .samples_each = kept,
                                      .seed = parts.seed,
                                      .stop_requested = parts.stop_requested});
}

}  // namespace

void LearnedViewsConfig::visit(FieldVisitor& v) {
  v.field("from", from,
          {.doc = "folder of a fitted manifold (`viewfold manifold fit`) whose samples become "
                  "views; none when empty"});
  v.field("operator", operator_name,
          {.doc = "what gives the samples, see `viewfold list operators`"});
  v.field("probability_view1", probability_view1,
          {.doc = "share of first views that are made of a sample", .min = 0, .max = 1});
  v.field("probability_view2", probability_view2,
          {.doc = "ditto of second and further views", .min = 0, .max = 1});
  v.field("fade", fade,
          {.doc = "by which share the probabilities have fallen at the end of the run, linearly",
           .min = 0,
           .max = 1});
  v.field("position", position,
          {.doc = "the recipe's operations follow on a sample, or the sample is the view",
           .choices = {"before_base", "replace_base"}});
  v.field("mode", mode,
          {.doc = "cached:S makes S samples of each image once and keeps them in a file beside the "
                  "manifold; online makes each when it is needed. Neighbours need no cache"});
  v.field(
      "truncation", truncation,
      {.doc = "noise beyond this many deviations is drawn again; 0: never", .min = 0, .max = 100});
  v.field("confidence_gate", confidence_gate,
          {.doc = "share of images whose local manifold is trusted: those with the highest "
                  "confidence; the others keep their own views",
           .min = 0,
           .max = 1});
  v.field("confidence_gate_end", confidence_gate_end,
          {.doc = "the same at the end of the run; in between it changes linearly",
           .min = 0,
           .max = 1});
}

std::int64_t LearnedViewsConfig::samples_kept() const {
  constexpr std::string_view kCached = "cached:";
  constexpr std::int64_t kMost = 10000;
  if (mode == "online") {
    return 0;
  }
  std::int64_t kept = 0;
  if (mode.starts_with(kCached)) {
    const char* end = mode.data() + mode.size();
    const auto [stop, error] = std::from_chars(mode.data() + kCached.size(), end, kept);
    kept = error == std::errc() && stop == end ? kept : 0;
  }
  if (kept < 1 || kept > kMost) {
    throw UsageError(fmt::format(
        "views.learned.mode is online, or cached:S with S of 1 .. {}, not \"{}\"", kMost, mode));
  }
  return kept;
}

LearnedViews::LearnedViews(const LearnedViewsConfig& config,
                           std::shared_ptr<const LocalManifold> manifold,
                           std::shared_ptr<const Manifold> sampler,
                           std::shared_ptr<const SampleCache> cache)
    : config_(config),
      manifold_(std::move(manifold)),
      sampler_(std::move(sampler)),
      cache_(std::move(cache)) {
  const auto order = std::get<1>(at::sort(manifold_->confidence, true, 0, true));
  const auto* sample = order.data_ptr<std::int64_t>();
  rank_.resize(static_cast<std::size_t>(manifold_->size()));
  for (std::size_t i = 0; i < rank_.size(); ++i) {
    rank_[static_cast<std::size_t>(sample[i])] = static_cast<std::int64_t>(i);
  }
}

// Positions of the samples whose view is made of another image.
std::vector<std::size_t> LearnedViews::chosen(const SubstituteRequest& request) const {
  const double share = config_.confidence_gate +
                       (config_.confidence_gate_end - config_.confidence_gate) * request.progress;
  const auto trusted = std::llround(share * static_cast<double>(rank_.size()));
  const double probability =
      (request.view == 0 ? config_.probability_view1 : config_.probability_view2) *
      (1.0 - config_.fade * request.progress);
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < request.samples.size(); ++i) {
    Rng coin({.seed = request.seed,
              .stream = kStream,
              .epoch = static_cast<std::uint32_t>(request.epoch),
              .sample = request.samples[i],
              .view = static_cast<std::uint16_t>(request.view)});
    if (coin.bernoulli(probability) && rank_[request.samples[i]] < trusted) {
      positions.push_back(i);
    }
  }
  return positions;
}

void LearnedViews::draw(const SubstituteRequest& request, std::span<Image> images) const {
  const auto positions = chosen(request);
  RngKey key{.seed = request.seed,
             .stream = "learned_sample",
             .epoch = static_cast<std::uint32_t>(request.epoch),
             .view = static_cast<std::uint16_t>(request.view)};
  if (cache_) {
    for (const auto i : positions) {
      key.sample = request.samples[i];
      const auto which = Rng(key).below(static_cast<std::uint32_t>(cache_->samples_each()));
      cache_->read(request.samples[i], which, images[i]);
    }
    return;
  }
  std::vector<std::uint32_t> samples;
  for (const auto i : positions) {
    samples.push_back(request.samples[i]);
  }
  std::vector<Image> drawn(samples.size());
  sampler_->sample(samples, key, drawn);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    images[positions[i]] = std::move(drawn[i]);
  }
}

std::string manifold_fingerprint(const LearnedViewsConfig& config) {
  const std::filesystem::path folder = config.from;
  const auto generator = generator_file(folder);
  const bool generates =
      find_manifold(config.operator_name).is_costly && std::filesystem::exists(generator);
  return fmt::format("generator {}; neighbourhoods {}",
                     generates ? hex_hash(read_file(generator)) : "none",
                     hex_hash(read_file(neighbourhoods_file(folder))));
}

std::filesystem::path neighbourhoods_file(const std::filesystem::path& folder) {
  return folder / "neighbourhoods.safetensors";
}

std::shared_ptr<const SubstituteSource> open_learned_views(const LearnedViewsConfig& config,
                                                           const LearnedViewsParts& parts,
                                                           LogSink& log) {
  const auto& entry = find_manifold(config.operator_name);
  const std::filesystem::path folder = config.from;
  const bool keeps = entry.is_costly && config.samples_kept() > 0 &&
                     std::filesystem::exists(generator_file(folder));  // neighbours are there
  auto manifold =
      std::make_shared<const LocalManifold>(read_local_manifold(neighbourhoods_file(folder)));
  if (manifold->data_fingerprint != parts.data_fingerprint) {
    throw DataError(fmt::format(
        "{}: the manifold was fitted on other images than these {} (fit it with the same "
        "data.source, data.limit, data.hold_out and seed)",
        folder.string(), parts.images->size()));
  }
  const std::shared_ptr<const Manifold> sampler = entry.make({.manifold = manifold,
                                                              .images = parts.images,
                                                              .bands = parts.bands,
                                                              .folder = folder,
                                                              .truncation = config.truncation,
                                                              .seed = parts.seed});
  std::shared_ptr<const SampleCache> cache;
  if (keeps) {
    cache = open_samples(config, parts, *sampler, log);
  }
  return std::make_shared<const LearnedViews>(config, std::move(manifold), sampler,
                                              std::move(cache));
}

}  // namespace viewfold
