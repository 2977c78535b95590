// InterCLR (Xie et al., arXiv:2008.11702): contrasts every image with other images of its cluster
// too, where clusters are those of a bank of the features of all images.
#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/extension.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/losses/inter_image.hpp"
#include "viewfold/nn/pseudo_labels.hpp"

namespace viewfold::extensions {
namespace {

// All values but those marked as ours are of the authors' ImageNet configuration.
struct InterClrConfig final : Config {
  // The authors cluster before the first step, by features of a pass over all images. Here the
  // features come from the steps, so that an epoch must pass. Small: ours, three, as the clusters
  // of a network that has hardly learnt are those of colours.
  explicit InterClrConfig(ImageScale scale) : warmup_epochs(scale == ImageScale::kSmall ? 3 : 1) {}

  std::int64_t clusters = 0;
  std::int64_t negatives = 0;
  std::int64_t pool = 0;
  std::int64_t min_cluster = 0;
  std::string sampling = "semi_hard";
  bool exclude_self = false;
  std::string margin_kind = "cosine";
  double margin = -0.5;
  double temperature = 0.2;
  double intra_weight = 0.75;
  double inter_weight = 0.25;
  double bank_momentum = 1.0;
  std::string labels = "online";
  std::int64_t centroid_every = 10;
  std::int64_t offline_every = 5;  // ours: the authors' is not known
  std::int64_t warmup_epochs;

  void visit(FieldVisitor& v) override {
    visit_draws(v);
    visit_loss(v);
    visit_labels(v);
  }

 private:
  void visit_draws(FieldVisitor& v) {
    v.field("clusters", clusters,
            {.doc = "clusters of all images; 0 takes one for 128 images, as 10000 for ImageNet",
             .min = 0,
             .max = 1 << 20});
    v.field("negatives", negatives,
            {.doc = "images of other clusters per query; 0 takes 12.8 % of the pool, at least 64",
             .min = 0,
             .max = 1 << 20});
    v.field("pool", pool,
            {.doc = "images that are most similar to a query (semi_easy: least), from which "
                    "negatives are drawn; 0 takes a tenth of all",
             .min = 0,
             .max = 1 << 30});
    v.field("sampling", sampling,
            {.doc = "negatives are drawn from all images, from the pool, or are the most similar",
             .choices = {"random", "semi_hard", "hard", "semi_easy"}});
    v.field("exclude_self", exclude_self,
            {.doc = "never take an image for its own positive (the authors' code may)"});
  }

  void visit_loss(FieldVisitor& v) {
    v.field("margin", margin,
            {.doc = "m by which the positive must be ahead; below 0 it may lag behind",
             .min = -1.5,
             .max = 1.5});
    v.field("margin_kind", margin_kind,
            {.doc = "m is subtracted from the cosine, or added to its angle",
             .choices = {"cosine", "arc"}});
    v.field("temperature", temperature,
            {.doc = "T of the loss between images", .min = 1e-3, .max = 100});
    v.field("intra_weight", intra_weight,
            {.doc = "of the method's own loss once images are compared", .min = 0, .max = 100});
    v.field("inter_weight", inter_weight,
            {.doc = "of the loss between images", .min = 0, .max = 100});
  }

  void visit_labels(FieldVisitor& v) {
    v.field(
        "bank_momentum", bank_momentum,
        {.doc = "share of the new feature of an image in its row of the bank", .min = 0, .max = 1});
    v.field("labels", labels,
            {.doc = "an image changes its cluster at every step that sees it, or all are clustered "
                    "anew from time to time",
             .choices = {"online", "offline"}});
    v.field("min_cluster", min_cluster,
            {.doc = "smaller clusters are dissolved and the largest split, with labels online; 0 "
                    "takes 16 % of the mean size",
             .min = 0,
             .max = 1 << 30});
    v.field("centroid_every", centroid_every,
            {.doc = "steps between updates of all centroids, with labels online",
             .min = 1,
             .max = 1 << 30});
    v.field("offline_every", offline_every,
            {.doc = "epochs between clusterings, with labels offline", .min = 1, .max = 1 << 20});
    v.field("warmup_epochs", warmup_epochs,
            {.doc = "epochs of the method alone, which fill the bank, before the first clustering",
             .min = 1,
             .max = 1 << 20});
  }
};

std::int64_t rounded(double value) {
  return static_cast<std::int64_t>(std::llround(value));
}

// The settings with sizes in place of zeros, in the proportions that the authors' have to the
// 1281167 images of ImageNet.
InterClrConfig resolved(InterClrConfig config, std::int64_t samples) {
  if (samples < 2) {
    throw UsageError(fmt::format(
        "inter_clr keeps a feature of every image: it needs a data set of two or more, not {}",
        samples));
  }
  const auto n = static_cast<double>(samples);
  if (config.clusters == 0) {
    config.clusters = std::clamp<std::int64_t>(rounded(n / 128.0), 2, samples);
  }
  if (config.clusters < 2 || config.clusters > samples) {
    throw UsageError(
        fmt::format("method.inter_clr.clusters = {} is not in 2 .. {}, the number of images",
                    config.clusters, samples));
  }
  if (config.negatives == 0) {
    const double pool = config.pool > 0 ? static_cast<double>(config.pool) : 0.1 * n;
    config.negatives = std::max<std::int64_t>(rounded(0.128 * pool), 64);
  }
  if (config.pool == 0) {
    config.pool = std::max(rounded(0.1 * n), config.negatives);
  }
  if (config.pool < config.negatives && config.sampling.starts_with("semi_")) {
    throw UsageError(fmt::format(
        "method.inter_clr.pool = {} has too few images for method.inter_clr.negatives = {}",
        config.pool, config.negatives));
  }
  if (config.min_cluster == 0) {
    config.min_cluster =
        std::max<std::int64_t>(rounded(0.16 * n / static_cast<double>(config.clusters)), 1);
  }
  return config;
}

NegativeSampling sampling_of(const InterClrConfig& config) {
  if (config.sampling == "random") {
    return NegativeSampling::kRandom;
  }
  if (config.sampling == "hard") {
    return NegativeSampling::kHard;
  }
  return config.sampling == "semi_easy" ? NegativeSampling::kSemiEasy : NegativeSampling::kSemiHard;
}

// Of one view what is compared, and of the other what it is compared with.
struct Direction {
  at::Tensor queries;  // [N, d]
  at::Tensor keys;     // [N, d]
};

// From view 0 to view 1, unless the method has only the other.
Direction direction_of(const MethodStep& step, std::int64_t n) {
  for (std::size_t v = 0; v < step.outputs.size() && v < 2; ++v) {
    const auto other = 1 - v;
    if (!step.outputs[v].defined() || step.targets.size() <= other ||
        !step.targets[other].defined()) {
      continue;
    }
    const auto& queries = step.outputs[v];
    const auto& keys = step.targets[other];
    if (keys.sizes() != queries.sizes() || queries.dim() != 2 || queries.size(0) != n) {
      throw UsageError(fmt::format(
          "inter_clr needs targets that are of the same shape as what is compared with them, not "
          "[{}] and [{}]",
          fmt::join(keys.sizes(), ", "), fmt::join(queries.sizes(), ", ")));
    }
    return {.queries = queries, .keys = keys.detach()};
  }
  throw UsageError("inter_clr needs a view that is compared with a target of the other");
}

at::Tensor indices_of(const ViewBatch& batch) {
  return at::tensor(std::vector<std::int64_t>(batch.indices.begin(), batch.indices.end()),
                    at::kLong);
}

class InterClr final : public Extension {
 public:
  InterClr(const InterClrConfig& config, const ExtensionContext& context)
      : config_(resolved(config, context.samples)),
        draws_{.sampling = sampling_of(config_),
               .negatives = config_.negatives,
               .pool = config_.pool,
               .exclude_self = config_.exclude_self},
        margin_{.kind = config_.margin_kind == "arc" ? MarginKind::kArc : MarginKind::kCosine,
                .m = config_.margin},
        module_(std::make_shared<torch::nn::Module>()) {
    bank_ = std::make_shared<PseudoLabels>(PseudoLabelSizes{
        .samples = context.samples, .dim = context.output_dim, .clusters = config_.clusters});
    module_->register_module("bank", bank_);
    clustered_ = module_->register_buffer("clustered", at::full({}, -1, at::kLong));
  }

  // What follows the loss changes the bank alone, and what is drawn depends on the whole batch: all
  // processes have the same bank.
  void extend(MethodStep& step, const ViewBatch& batch, const StepContext& context) override {
    const auto& processes = context.communicator;
    const auto [queries, keys] = direction_of(step, batch.size());
    const auto indices = processes.all_gather(indices_of(batch));  // [N of all]
    const auto all_keys = processes.all_gather(unit_rows(keys));   // [N of all, d]
    check(indices.lt(samples()).all().item<bool>(),
          fmt::format("inter_clr was told of {} images, and the batch has others", samples()));
    if (is_due(batch.epoch)) {
      bank_->cluster(at::detail::getDefaultCPUGenerator());
      clustered_.fill_(batch.epoch);
    }
    const bool compares = clustered_.item<std::int64_t>() >= 0;
    if (compares) {
      const auto inter = inter_loss(queries, indices, processes);
      step.output.loss =
          step.output.loss.mul(config_.intra_weight).add(inter.mul(config_.inter_weight));
      step.output.scalars.emplace_back("inter_loss", mean_of(inter, processes));
    }
    bank_->write(indices, all_keys, config_.bank_momentum);
    if (compares) {
      follow(indices, context.step, step.output);
    }
  }

  std::shared_ptr<torch::nn::Module> module() override { return module_; }

  // Where all outputs are alike, so are all cosines. On the arc it would matter at which cosine.
  [[nodiscard]] std::optional<double> at_standstill(double /*own*/, double so_far) const override {
    if (margin_.kind == MarginKind::kArc) {
      return std::nullopt;
    }
    const double ahead = std::exp(config_.margin / config_.temperature);
    return config_.intra_weight * so_far +
           config_.inter_weight * std::log1p(static_cast<double>(config_.negatives) * ahead);
  }

 private:
  [[nodiscard]] std::int64_t samples() const { return bank_->filled().size(0); }

  // Whether all images are to be clustered now. Later than after the warm-up where too few images
  // have come by then.
  [[nodiscard]] bool is_due(std::int64_t epoch) const {
    const auto last = clustered_.item<std::int64_t>();
    if (last >= 0) {
      return config_.labels == "offline" && epoch - last >= config_.offline_every;
    }
    return epoch >= config_.warmup_epochs &&
           bank_->filled().sum().item<std::int64_t>() >= config_.clusters;
  }

  // The share of this process in the mean over the images of the whole batch for which there is
  // something to draw.
  // queries  [N, d]
  // indices  [N of all]
  [[nodiscard]] at::Tensor inter_loss(const at::Tensor& queries,
                                      const at::Tensor& indices,
                                      const Communicator& processes) const {
    const auto n = queries.size(0);
    const auto first = processes.rank() * n;
    const auto seeds =
        at::randint(std::numeric_limits<std::int64_t>::max(), {indices.size(0)}, at::kLong);
    const auto usable = can_draw(*bank_, indices, draws_);             // [N of all]
    const auto own = usable.narrow(0, first, n).nonzero().squeeze(1);  // [M], M <= N
    if (own.size(0) == 0) {
      return at::zeros({}, queries.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
    }
    const auto of_own = [&](const at::Tensor& all) {
      return all.narrow(0, first, n).index_select(0, own);
    };
    const auto query = queries.index_select(0, own);  // [M, d]
    const auto drawn = draw_inter_image(*bank_, query, of_own(indices), of_own(seeds), draws_);
    const auto positives = bank_->rows().index_select(0, drawn.positives);  // [M, d]
    const auto negatives = bank_->rows()
                               .index_select(0, drawn.negatives.flatten())
                               .view({own.size(0), config_.negatives, -1});  // [M, R, d]
    const double share = static_cast<double>(own.size(0) * processes.size()) /
                         static_cast<double>(usable.sum().item<std::int64_t>());
    return inter_image(query, positives, negatives, margin_, config_.temperature).mul(share);
  }

  // The mean over the processes, as the loss of the whole batch is.
  [[nodiscard]] static double mean_of(const at::Tensor& share, const Communicator& processes) {
    const auto sum = share.detach().to(at::kDouble).reshape({1}).clone();
    processes.all_reduce_sum(sum);
    return sum.item<double>() / processes.size();
  }

  // Lets labels and clusters follow the rows that have been written.
  void follow(const at::Tensor& indices, std::int64_t step, StepOutput& output) {
    auto clusters = config_.clusters;
    if (config_.labels == "offline") {
      const auto unlabelled = bank_->labels().index_select(0, indices).lt(0);
      (void)bank_->relabel(indices.masked_select(unlabelled));
    } else {
      output.scalars.emplace_back("changed_labels", bank_->relabel(indices));
      clusters -= bank_->maintain(config_.min_cluster, at::detail::getDefaultCPUGenerator());
      if ((step + 1) % config_.centroid_every == 0) {
        bank_->update_centroids();
      }
    }
    output.scalars.emplace_back("clusters", static_cast<double>(clusters));
  }

  InterClrConfig config_;
  InterDrawSpec draws_;
  Margin margin_;
  std::shared_ptr<torch::nn::Module> module_;
  std::shared_ptr<PseudoLabels> bank_;
  at::Tensor clustered_;  // [] int64, the epoch of the last clustering, -1 before the first
};

}  // namespace

ExtensionEntry inter_clr_entry() {
  return extension_entry<InterClr, InterClrConfig>(
      {.name = "inter_clr",
       .paper = "arXiv:2008.11702",
       .summary = "contrasts every image with others of its cluster, too, by a bank of all images",
       .needs_targets = true,
       .needs_embeddings = true});
}

}  // namespace viewfold::extensions
