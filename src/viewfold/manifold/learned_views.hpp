// Local manifold augmentation: views made of samples from an image's local manifold.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "viewfold/augment/substitutes.hpp"
#include "viewfold/core/config.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/manifold/manifold.hpp"
#include "viewfold/manifold/sample_cache.hpp"

namespace viewfold {

/// Settings of local manifold augmentation (LMA, Yang et al., arXiv:2211.02798; a reconstruction:
/// only the abstract is public, and each default is ours).
struct LearnedViewsConfig final : Config {
  std::string from;  // a folder; empty: no learned views
  std::string operator_name = "ic_gan";
  double probability_view1 = 0.5;  // with view2: real-real, real-sample, sample-sample 1 : 2 : 1
  double probability_view2 = 0.5;
  double fade = 0.0;
  std::string position = "before_base";
  std::string mode = "cached:10";
  double truncation = 0.0;
  double confidence_gate = 1.0;
  double confidence_gate_end = 1.0;

  void visit(FieldVisitor& v) override;

  [[nodiscard]] bool is_on() const { return !from.empty(); }

  /// Samples kept for each image; 0: drawn anew each time. Throws UsageError unless `mode` is
  /// "online" or "cached:S".
  [[nodiscard]] std::int64_t samples_kept() const;
};

/// Gives views samples of their image's local manifold: a coin for each view decides, and only
/// images whose neighbourhood is trusted take part.
class LearnedViews final : public SubstituteSource {
 public:
  /// cache  of samples made ahead, or null: they are drawn when they are needed
  LearnedViews(const LearnedViewsConfig& config,
               std::shared_ptr<const LocalManifold> manifold,
               std::shared_ptr<const Manifold> sampler,
               std::shared_ptr<const SampleCache> cache);

  void draw(const SubstituteRequest& request, std::span<Image> images) const override;
  [[nodiscard]] bool is_finished() const override { return config_.position == "replace_base"; }

 private:
  [[nodiscard]] std::vector<std::size_t> chosen(const SubstituteRequest& request) const;

  LearnedViewsConfig config_;
  std::shared_ptr<const LocalManifold> manifold_;
  std::shared_ptr<const Manifold> sampler_;
  std::shared_ptr<const SampleCache> cache_;
  std::vector<std::int64_t> rank_;  // of each image by its confidence, 0 the highest
};

/// What learned views are made from, besides their settings.
struct LearnedViewsParts {
  std::shared_ptr<const Dataset> images;  // of the run, in its order
  std::string data_fingerprint;           // of them
  std::int64_t bands = 3;
  std::uint64_t seed = 0;  // of the run
  std::function<bool()> stop_requested = [] { return false; };
};

/// Opens the fitted manifold that `config` names, and makes the samples to be kept unless they are
/// there. Throws DataError when it was fitted on other images or does not hold what the operator
/// needs, UsageError on unknown names.
[[nodiscard]] std::shared_ptr<const SubstituteSource> open_learned_views(
    const LearnedViewsConfig& config, const LearnedViewsParts& parts, LogSink& log);

/// What the samples of `config` depend on in the folder of the manifold, as one text: it changes
/// when the manifold is fitted anew. Throws DataError when the folder holds none.
[[nodiscard]] std::string manifold_fingerprint(const LearnedViewsConfig& config);

/// Conditions and neighbourhoods in the folder of a fitted manifold.
[[nodiscard]] std::filesystem::path neighbourhoods_file(const std::filesystem::path& folder);

}  // namespace viewfold
