// Implements fine-tuning with the steps of the one loop, on a copy of the encoder.
#include "viewfold/eval/fine_tuning.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <torch/torch.h>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/eval/detail/labels.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/loader/loader.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/state.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kEncoded = 250;  // images of a batch of the test

struct Share {
  std::int64_t percent = 0;
  std::int64_t epochs = 0;
};
constexpr std::array<Share, 2> kShares{{{1, 60}, {10, 30}}};  // arXiv:2002.05709, B.5

std::int64_t class_count(const Dataset& images, const at::Tensor& labels) {
  return std::max(static_cast<std::int64_t>(images.class_names().size()),
                  labels.max().item<std::int64_t>() + 1);
}

std::shared_ptr<Encoder> copy_of(const LoadedEncoder& loaded) {
  auto copy = make_encoder(loaded.card.encoder);
  load_module_state(
      *copy, {.tensors = module_state(*loaded.encoder), .metadata = {}, .origin = "the encoder"});
  use_channels_last(*copy);
  return copy;
}

// An encoder and a classifier that learn the labels of images.
class Classification final : public Task {
 public:
  Classification(std::shared_ptr<Encoder> encoder, at::Tensor labels, std::int64_t classes)
      : encoder_(std::move(encoder)),
        classifier_(encoder_->feature_dim(), classes),
        labels_(std::move(labels)) {
    module_.register_module("encoder", encoder_);
    module_.register_module("classifier", classifier_);
  }

  StepOutput training_step(const ViewBatch& batch, const StepContext& /*context*/) override {
    const std::vector<std::int64_t> rows(batch.indices.begin(), batch.indices.end());
    const auto labels = labels_.index_select(0, at::tensor(rows, at::kLong));
    const auto features = encoder_->forward(batch.groups.front());  // [N, F]
    const auto logits = classifier_->forward(features);             // [N, classes]
    const FullPrecision full_precision;
    return {.loss = at::cross_entropy_loss(logits.to(at::kFloat), labels),
            .embedding = features.detach()};
  }

  torch::nn::Module& module() override { return module_; }
  [[nodiscard]] Encoder& encoder() { return *encoder_; }

  // features  [M, F]; returns the likeliest class of each, [M] int64
  [[nodiscard]] at::Tensor predict(const at::Tensor& features) {
    const at::NoGradGuard no_grad;
    return classifier_->forward(features).argmax(1);
  }

 private:
  std::shared_ptr<Encoder> encoder_;
  torch::nn::Linear classifier_;
  at::Tensor labels_;  // [images] int64
  torch::nn::Module module_;
};

TrainConfig train_config(std::int64_t images, std::int64_t epochs) {
  constexpr std::int64_t kLargest = 256;
  constexpr std::int64_t kParts = 8;
  constexpr std::int64_t kSmallest = 2;  // batch norm needs more than one
  TrainConfig config;
  config.epochs = epochs;
  config.batch_size = std::clamp(images / kParts, kSmallest, kLargest);
  config.optimizer = "sgd";
  config.base_lr = 0.05;
  config.weight_decay = 0.0;
  return config;
}

// Trains a copy with the labels at `rows` of the training set.
std::shared_ptr<Classification> trained(const LoadedEncoder& loaded,
                                        const FineTuningSpec& spec,
                                        const at::Tensor& rows,
                                        std::int64_t epochs) {
  const auto* const begin = rows.data_ptr<std::int64_t>();
  std::shared_ptr<const Dataset> images =
      make_subset(spec.train, std::vector<std::uint32_t>(begin, begin + rows.numel()));
  const auto task = std::make_shared<Classification>(
      copy_of(loaded), labels_of(*images), class_count(*spec.train, labels_of(*spec.train)));
  const auto preprocess = loaded.preprocess();
  const RecipeConfig recipe("spatial", preprocess.input_size);
  const auto config = train_config(rows.numel(), epochs);
  const auto per_epoch = batches_per_epoch(images->size(), config.batch_size);
  const auto steps = per_epoch * epochs;
  Loader loader(images, make_view_plan(recipe, 1, preprocess.input_size), preprocess.normalization,
                {.batch_size = config.batch_size,
                 .total_steps = steps,
                 .bands = preprocess.bands,
                 .seed = spec.seed,
                 .type = uses_bf16(config.precision) ? at::kBFloat16 : at::kFloat});
  task->module().train();
  TrainingStep step(*task, config,
                    {.seed = spec.seed, .total_steps = steps, .steps_per_epoch = per_epoch});
  for (std::int64_t i = 0; i < steps; ++i) {
    auto batch = loader.next();
    const auto output = step.run(batch, i);
    if (!output.loss.isfinite().item<bool>()) {
      throw DivergedError("fine-tuning: the loss is not finite");
    }
  }
  return task;
}

// Accuracy on test images of what was trained.
double accuracy_of(Classification& task, const LoadedEncoder& loaded, const FineTuningSpec& spec) {
  const auto test =
      extract_features(task.encoder(), *spec.test, loaded.preprocess(), kEncoded, spec.threads);
  return test.labels.eq(task.predict(test.features)).to(at::kDouble).mean().item<double>();
}

}  // namespace

double fine_tuning_views(std::int64_t train_images) {
  double views = 0.0;
  for (const auto& share : kShares) {
    views += static_cast<double>(train_images * share.percent * share.epochs) / 100.0;
  }
  return views;
}

EvaluationResult fine_tune(const LoadedEncoder& loaded, const FineTuningSpec& spec) {
  check(spec.draws >= 1, "at least one draw of labels");
  const auto labels = labels_of(*spec.train);
  if (!labels.defined() || !labels_of(*spec.test).defined()) {
    throw DataError("fine-tuning needs labels of all images (use a data set with classes)");
  }
  const auto classes = class_count(*spec.train, labels);
  const auto counts = at::bincount(labels, {}, classes);
  EvaluationResult result;
  std::string shares;
  std::int64_t done = 0;
  for (const auto& share : kShares) {
    const auto quota = label_quota(share.percent, counts);
    std::vector<double> accuracies;
    std::int64_t drawn = 0;
    for (std::int64_t i = 0; i < spec.draws; ++i) {
      const RngKey draw{.seed = spec.seed,
                        .stream = "few_labels",  // those of the probe with few labels
                        .epoch = static_cast<std::uint32_t>(i)};
      const auto rows = draw_labels(labels, quota, classes, draw);
      drawn = rows.numel();
      torch::manual_seed(derive_seed(draw));  // of the classifier's first weights
      accuracies.push_back(accuracy_of(*trained(loaded, spec, rows, share.epochs), loaded, spec));
      if (spec.progress) {
        spec.progress(++done, spec.draws * static_cast<std::int64_t>(kShares.size()));
      }
    }
    result.numbers[fmt::format("accuracy_{}", share.percent)] = mean_of(accuracies);
    result.numbers[fmt::format("sd_{}", share.percent)] = deviation_of(accuracies);
    shares += fmt::format("{}{} % is {} labels, {} epochs", shares.empty() ? "" : "; ",
                          share.percent, drawn, share.epochs);
  }
  result.numbers["accuracy"] = result.numbers["accuracy_10"];
  result.protocol = fmt::format(
      "the whole encoder and a linear classifier trained with few labels of {} training images: "
      "{}; as many of each class; mean and sd of {} draw{}; crop and flip, SGD with momentum 0.9, "
      "rate 0.05 per 256 images with cosine decay, no weight decay (arXiv:2002.05709, B.5); {} "
      "test images; accuracy is accuracy_10",
      labels.numel(), shares, spec.draws, spec.draws == 1 ? "" : "s", spec.test->size());
  return result;
}

}  // namespace viewfold
