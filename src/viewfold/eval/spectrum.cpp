// How frozen features spread over their space: numbers that need no labels.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/core/rng.hpp"
#include "viewfold/eval/detail/labels.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold::eval {
namespace {

struct SpectrumConfig final : Config {
  std::int64_t images = 10000;  // ours: all pairs of them are compared

  void visit(FieldVisitor& v) override {
    v.field("images", images,
            {.doc = "most test images that the numbers without labels look at; of more, as many "
                    "are drawn",
             .min = 2,
             .max = 1000000});
  }
};

constexpr std::int64_t kBlockValues = 1 << 22;  // of a block of rows beside all others

std::int64_t rows_per_block(std::int64_t row_values) {
  return std::max<std::int64_t>(1, kBlockValues / row_values);
}

// The features of some images where there are too many.
at::Tensor drawn(const at::Tensor& features, std::int64_t most, std::uint64_t seed) {
  if (features.size(0) <= most) {
    return features;
  }
  Rng rng({.seed = seed, .stream = "spectrum"});
  const auto order = rng.permutation(static_cast<std::uint32_t>(features.size(0)));
  const std::vector<std::int64_t> rows(order.begin(), order.begin() + most);
  return features.index_select(0, at::tensor(rows, at::kLong));
}

at::Tensor unit(const at::Tensor& rows) {
  return rows.div(at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, true).clamp_min(1e-12));
}

// The smaller Gram matrix has all non-zero eigenvalues of the other.
at::Tensor gram(const at::Tensor& x) {
  return x.size(0) < x.size(1) ? x.mm(x.t()) : x.t().mm(x);
}

// log mean over i != j of exp(-2 |u_i - u_j|^2) of unit rows u (Wang and Isola, arXiv:2005.10242,
// with t = 2); nothing of a single row. x  [M, D] float64
std::optional<double> uniformity(const at::Tensor& x) {
  const std::int64_t count = x.size(0);
  if (count < 2) {
    return std::nullopt;
  }
  const auto rows = unit(x).to(at::kFloat);
  const auto squares = rows.square().sum(1);  // 1, or 0 of a row of zeros
  const std::int64_t block = rows_per_block(count);
  double sum = 0.0;
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const std::int64_t size = std::min(block, count - begin);
    auto potential = squares.narrow(0, begin, size)
                         .unsqueeze(1)
                         .add(squares)
                         .sub_(rows.narrow(0, begin, size).mm(rows.t()), 2.0)
                         .clamp_min_(0.0)
                         .mul_(-2.0)
                         .exp_();  // [B, M]
    potential.diagonal(begin).zero_();
    sum += potential.sum(at::kDouble).item<double>();
  }
  return std::log(sum / static_cast<double>(count) / static_cast<double>(count - 1));
}

// RankMe: exp of the entropy of p_k = s_k / sum(s) + 1e-7, s the singular values of the features as
// they are (Garrido et al., arXiv:2210.02885, Eq. 1 and 2); nothing of zeros. x  [M, D] float64
std::optional<double> effective_rank(const at::Tensor& x) {
  auto squares = at::linalg_eigvalsh(gram(x));
  const double largest = squares.max().item<double>();
  if (!(largest > 0.0)) {
    return std::nullopt;
  }
  // Below this an eigenvalue is what rounding makes of 0, and its root would count.
  const double noise =
      std::numeric_limits<double>::epsilon() * static_cast<double>(x.size(0) + x.size(1));
  squares = squares.masked_fill(squares.lt(noise * largest), 0.0);
  const auto singular = squares.sqrt();
  const auto p = singular.div(singular.sum()).add(1e-7);
  return std::exp(-p.mul(p.log()).sum().item<double>());
}

// (sum of l)^2 / sum of l^2 of the eigenvalues l of the covariance; nothing where nothing varies.
// centred  [M, D] float64
std::optional<double> participation_ratio(const at::Tensor& centred) {
  const auto matrix = gram(centred);
  const double trace = matrix.trace().item<double>();
  return trace > 0.0 ? std::optional(trace * trace / matrix.square().sum().item<double>())
                     : std::nullopt;
}

// [M, 2]: distances of each row to the two nearest others, ascending. centred  [M >= 3, D] float64
at::Tensor two_nearest(const at::Tensor& centred) {
  // Chosen in single precision, in which near ones may change places, then measured in double.
  const std::int64_t count = centred.size(0);
  const std::int64_t candidates = std::min<std::int64_t>(8, count - 1);
  const auto rows = centred.to(at::kFloat);
  const auto half = rows.square().sum(1).mul(0.5);
  const std::int64_t block = rows_per_block(std::max(count, candidates * centred.size(1)));
  std::vector<at::Tensor> nearest;
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const std::int64_t size = std::min(block, count - begin);
    auto order = half.sub(rows.narrow(0, begin, size).mm(rows.t()));  // [B, M], (d^2 - |x|^2) / 2
    order.diagonal(begin).fill_(std::numeric_limits<float>::infinity());
    const auto index = std::get<1>(order.topk(candidates, 1, /*largest=*/false));  // [B, c]
    const auto apart =
        centred.index({index}).sub(centred.narrow(0, begin, size).unsqueeze(1));  // [B, c, D]
    const auto distance = at::linalg_vector_norm(apart, 2, at::IntArrayRef{2});
    nearest.push_back(std::get<0>(distance.topk(2, 1, /*largest=*/false, /*sorted=*/true)));
  }
  return at::cat(nearest);
}

// TwoNN (Facco et al., "Estimating the intrinsic dimension of datasets by a minimal neighborhood
// information", Scientific Reports 7, 2017): the slope through the origin of -log(1 - F(mu)) over
// log(mu), mu the ratio of the distances to the second and the first neighbour, F the share of rows
// up to it, without the tenth with the largest mu. Rows that equal another one are left out.
// Nothing where no slope can be had. centred  [M, D] float64
std::optional<double> intrinsic_dimension(const at::Tensor& centred) {
  if (centred.size(0) < 3) {
    return std::nullopt;
  }
  const auto distances = two_nearest(centred);
  const auto first = distances.select(1, 0);
  const auto ratio = distances.select(1, 1).div(first).masked_select(first.gt(0.0));
  const std::int64_t count = ratio.size(0);
  const std::int64_t kept = count * 9 / 10;
  const auto x = std::get<0>(ratio.log().sort()).narrow(0, 0, kept);
  const auto y = at::arange(1, kept + 1, at::kDouble).div(static_cast<double>(count)).neg().log1p();
  const double squares = x.square().sum().item<double>();
  return squares > 0.0 ? std::optional(-x.mul(y).sum().item<double>() / squares) : std::nullopt;
}

// Share of dimensions with less than 1e-6 of the mean standard deviation; 1 where nothing varies.
// centred  [M, D] float64
double dead_features(const at::Tensor& centred) {
  const auto deviation = centred.square().mean(0).sqrt();
  return deviation.le(deviation.mean().mul(1e-6)).to(at::kDouble).mean().item<double>();
}

// [M] int64: for each test image the class whose training features have the nearest mean by cosine,
// all of unit length.
at::Tensor nearest_means(const EvaluationInput& input, std::int64_t classes) {
  const auto train = unit(input.train.features);
  const auto sums = at::zeros({classes, train.size(1)}).index_add_(0, input.train.labels, train);
  const auto absent = at::bincount(input.train.labels, {}, classes).eq(0);
  return unit(input.test.features)
      .mm(unit(sums).t())
      .masked_fill_(absent, -std::numeric_limits<float>::infinity())
      .argmax(1);
}

EvaluationResult run(const EvaluationInput& input, const Config& config) {
  const auto& settings = dynamic_cast<const SpectrumConfig&>(config);
  const at::NoGradGuard no_grad;
  EvaluationResult result;
  if (check_features(input)) {
    const auto classes = check_labelled(input);
    result = compare_labels(input.test.labels, nearest_means(input, classes), classes);
  }
  const auto x = drawn(input.test.features, settings.images, input.seed).to(at::kDouble);
  // From the first row on: what does not vary is then 0, not what rounding leaves of a mean.
  const auto shifted = x.sub(x.narrow(0, 0, 1));
  const auto centred = shifted.sub(shifted.mean(0));
  const auto add = [&result](const char* name, const std::optional<double>& value) {
    if (value) {
      result.numbers[name] = *value;
    }
  };
  add("uniformity", uniformity(x));
  add("effective_rank", effective_rank(x));
  add("participation_ratio", participation_ratio(centred));
  add("intrinsic_dimension", intrinsic_dimension(centred));
  add("dead_features", dead_features(centred));
  result.protocol = fmt::format(
      "without labels, of {} of {} test images: uniformity with t = 2 on unit features, "
      "effective_rank as RankMe (not centred), participation_ratio of the covariance, "
      "intrinsic_dimension by TwoNN, dead_features: share of {} dimensions with less than 1e-6 of "
      "the mean deviation; what is undefined is left out; with labels, accuracy: nearest class "
      "mean of {} training images by cosine",
      x.size(0), input.test.features.size(0), x.size(1), input.train.features.size(0));
  return result;
}

}  // namespace

EvaluationEntry spectrum_entry() {
  return {.name = "spectrum",
          .summary =
              "how test features spread: uniformity (arXiv:2005.10242), RankMe (arXiv:2210.02885), "
              "participation ratio, TwoNN dimension (Facco et al., 2017), dead features",
          .config = []() -> std::unique_ptr<Config> { return std::make_unique<SpectrumConfig>(); },
          .run = run,
          .needs_labels = false};
}

}  // namespace viewfold::eval
