// Implements what evaluations by label share.
#include "viewfold/eval/detail/labels.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

void check_set(const FeatureSet& set, std::string_view name) {
  check(
      set.features.defined() && set.features.dim() == 2 && set.features.scalar_type() == at::kFloat,
      fmt::format("{} features must be a float32 matrix", name));
  if (set.features.size(0) == 0) {
    throw DataError(fmt::format("the {} set has no images to evaluate", name));
  }
  check(set.features.isfinite().all().item<bool>(),
        fmt::format("{} features must be finite", name));
}

void check_labels(const FeatureSet& set, std::string_view name) {
  if (!set.labels.defined()) {
    throw DataError(fmt::format(
        "the {} set has no labels, which this evaluation needs (use a data set with classes)",
        name));
  }
  check(set.labels.dim() == 1 && set.labels.scalar_type() == at::kLong &&
            set.labels.size(0) == set.features.size(0),
        fmt::format("{} labels {} must be one int64 for each row of {}", name,
                    shape_text(set.labels), shape_text(set.features)));
  check(set.labels.min().item<std::int64_t>() >= 0,
        fmt::format("{} labels must not be negative", name));
}

}  // namespace

bool check_features(const EvaluationInput& input) {
  check_set(input.train, "train");
  check_set(input.test, "test");
  check(input.train.features.size(1) == input.test.features.size(1),
        fmt::format("train {} and test {} features must have one width",
                    shape_text(input.train.features), shape_text(input.test.features)));
  return input.train.labels.defined() && input.test.labels.defined();
}

std::int64_t check_labelled(const EvaluationInput& input) {
  (void)check_features(input);
  check_labels(input.train, "train");
  check_labels(input.test, "test");
  const auto largest = input.train.labels.max().item<std::int64_t>();
  const auto named = static_cast<std::int64_t>(input.classes.size());
  check(named == 0 || largest < named,
        fmt::format("train label {} has no name among {}", largest, named));
  const auto seen = at::zeros({largest + 1}, at::TensorOptions(at::kBool))
                        .index_fill_(0, input.train.labels, true);
  const auto unseen = input.test.labels.gt(largest).logical_or_(
      seen.index({input.test.labels.clamp_max(largest)}).logical_not_());
  if (unseen.any().item<bool>()) {
    const auto label = input.test.labels.index({unseen})[0].item<std::int64_t>();
    const auto name = label < named ? input.classes[static_cast<std::size_t>(label)]
                                    : fmt::format("number {}", label);
    throw DataError(fmt::format(
        "{} test images are of classes that no training image has, such as class {} (check that "
        "both splits use the same classes)",
        unseen.sum().item<std::int64_t>(), name));
  }
  return named > 0 ? named : largest + 1;
}

EvaluationResult compare_labels(const at::Tensor& truth,
                                const at::Tensor& predicted,
                                std::int64_t classes) {
  check(truth.sizes() == predicted.sizes() && truth.numel() >= 1,
        fmt::format("truth {} and predicted {} must have one shape", shape_text(truth),
                    shape_text(predicted)));
  const auto counts = at::bincount(truth * classes + predicted, {}, classes * classes)
                          .reshape({classes, classes})
                          .contiguous();  // [class, class]
  EvaluationResult result;
  result.numbers["accuracy"] =
      counts.diag().sum().item<double>() / static_cast<double>(truth.numel());
  for (std::int64_t row = 0; row < classes; ++row) {
    const auto* begin = counts.data_ptr<std::int64_t>() + row * classes;
    result.confusion.emplace_back(begin, begin + classes);
  }
  return result;
}

LabelQuota label_quota(std::int64_t percent, const at::Tensor& class_counts) {
  const auto present = class_counts.gt(0).sum().item<std::int64_t>();
  const auto labels = class_counts.sum().item<std::int64_t>();
  const double share = static_cast<double>(percent * labels) / 100.0;
  const auto per_class = std::llround(share / static_cast<double>(present));
  return {.percent = percent, .per_class = std::max<std::int64_t>(1, per_class)};
}

at::Tensor draw_labels(const at::Tensor& labels,
                       const LabelQuota& quota,
                       std::int64_t classes,
                       const RngKey& draw) {
  Rng rng(draw);
  const auto contiguous = labels.contiguous();
  const auto* const label = contiguous.data_ptr<std::int64_t>();
  std::vector<std::int64_t> taken(static_cast<std::size_t>(classes), 0);
  std::vector<std::int64_t> rows;
  for (const std::uint32_t row : rng.permutation(static_cast<std::uint32_t>(labels.size(0)))) {
    auto& of_class = taken[static_cast<std::size_t>(label[row])];
    if (of_class < quota.per_class) {
      ++of_class;
      rows.push_back(row);
    }
  }
  return at::tensor(rows, at::kLong);
}

double mean_of(const std::vector<double>& values) {
  check(!values.empty(), "a mean is of at least one value");
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double squares = 0.0;
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  return values.size() < 2 ? 0.0 : std::sqrt(squares / static_cast<double>(values.size() - 1));
}

}  // namespace viewfold
