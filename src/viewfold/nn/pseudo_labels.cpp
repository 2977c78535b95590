// Implements the bank of features, k-means on it, and the draws from it.
#include "viewfold/nn/pseudo_labels.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {
namespace {

constexpr int kIterations = 20;  // the authors' code
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The places of the last of equal values, in the order of the values.
at::Tensor last_of_equals(const at::Tensor& values) {
  const auto n = values.size(0);
  const auto sorted = at::sort(values, /*stable=*/true, 0, /*descending=*/false);
  auto is_last = at::ones({n}, at::kBool);
  if (n > 1) {
    const auto& ordered = std::get<0>(sorted);
    is_last.narrow(0, 0, n - 1).copy_(ordered.narrow(0, 0, n - 1).ne(ordered.narrow(0, 1, n - 1)));
  }
  return std::get<1>(sorted).masked_select(is_last);
}

// [M] int64, the c with the largest rows . centroids_c - handicaps_c; in pieces: [M, K] may be
// larger than the memory.
at::Tensor best_centroids(const at::Tensor& rows,
                          const at::Tensor& centroids,
                          const at::Tensor& handicaps) {
  constexpr std::int64_t kProducts = 1 << 22;  // 16 MB
  const auto piece = std::max<std::int64_t>(1, kProducts / centroids.size(0));
  std::vector<at::Tensor> best;
  for (const auto& part : rows.split(piece)) {
    best.push_back(part.mm(centroids.t()).sub(handicaps).argmax(1));
  }
  return at::cat(best);
}

// The same by distance: |x - c|^2 = |x|^2 - 2 (x . c - |c|^2 / 2).
at::Tensor nearest_centroids(const at::Tensor& rows, const at::Tensor& centroids) {
  return best_centroids(rows, centroids, centroids.pow(2).sum(1).mul(0.5));
}

// [K] int64; labels of -1 do not count.
at::Tensor count_labels(const at::Tensor& labels, std::int64_t k) {
  return labels.add(1).bincount({}, k + 1).narrow(0, 1, k);
}

// [K, C]; 0 of an empty cluster. Rows with a label of -1 do not count.
at::Tensor means_of(const at::Tensor& rows, const at::Tensor& labels, std::int64_t k) {
  const auto sums =
      at::zeros({k + 1, rows.size(1)}, rows.options()).index_add_(0, labels.add(1), rows);
  return sums.narrow(0, 1, k).div(count_labels(labels, k).clamp_min(1).unsqueeze(1));
}

// [M] bool, both values among them: which of two parts of M >= 2 rows each is in.
at::Tensor two_parts(const at::Tensor& rows, const at::Generator& generator) {
  const auto m = rows.size(0);
  const auto order = at::randperm(m, generator, at::kLong);
  auto centroids = rows.index_select(0, order.narrow(0, 0, 2));
  at::Tensor part;
  for (int i = 0; i < kIterations; ++i) {
    part = nearest_centroids(rows, centroids);
    const auto second = part.sum().item<std::int64_t>();
    if (second == 0 || second == m) {
      return order.lt(m / 2);
    }
    centroids = means_of(rows, part, 2);
  }
  return part.to(at::kBool);
}

struct Refilled {
  at::Tensor labels;                // as given, with no cluster empty
  std::set<std::int64_t> clusters;  // that are others now
};

// Gives every empty cluster a part of the largest. Needs labels of `k` rows or more.
Refilled refill(const at::Tensor& rows,
                const at::Tensor& labels,
                std::int64_t k,
                const at::Generator& generator) {
  Refilled refilled{.labels = labels.clone(), .clusters = {}};
  auto counts = count_labels(labels, k).clone();
  const auto empty = counts.eq(0).nonzero().squeeze(1);
  for (std::int64_t i = 0; i < empty.size(0); ++i) {
    const auto id = empty[i].item<std::int64_t>();
    const auto largest = counts.argmax().item<std::int64_t>();
    const auto members = refilled.labels.eq(largest).nonzero().squeeze(1);
    const auto taken = members.masked_select(two_parts(rows.index_select(0, members), generator));
    refilled.labels.index_fill_(0, taken, id);
    counts[id] += taken.size(0);
    counts[largest] -= taken.size(0);
    refilled.clusters.insert({id, largest});
  }
  return refilled;
}

// [k, C]: each start is a row, likelier the farther it is from the starts before, by the square of
// the distance.
at::Tensor draw_starts(const at::Tensor& rows, std::int64_t k, const at::Generator& generator) {
  const auto n = rows.size(0);
  const auto squares = rows.pow(2).sum(1);  // [F]
  const auto draws = at::rand({k}, generator, at::kDouble);
  std::vector<at::Tensor> starts;
  auto distances = at::ones({n}, at::kDouble);  // squared, to the nearest start
  for (std::int64_t i = 0; i < k; ++i) {
    const auto below = distances.cumsum(0);
    const double total = below[n - 1].item<double>();
    const double draw = draws[i].item<double>();
    // Where all rows are starts already, one of them comes again: its cluster is refilled.
    const auto place = total > 0.0
                           ? at::searchsorted(below, draw * total, false, true).item<std::int64_t>()
                           : static_cast<std::int64_t>(draw * static_cast<double>(n));
    const auto row = std::min(place, n - 1);
    starts.push_back(rows[row]);
    const auto to_start =
        (squares + squares[row] - 2.0 * rows.mv(rows[row])).clamp_min(0.0).to(at::kDouble);
    distances = i == 0 ? to_start : at::minimum(distances, to_start);
  }
  return at::stack(starts);
}

struct Clusters {
  at::Tensor labels;     // [F]
  at::Tensor centroids;  // [K, C], means of their rows
};

// Lloyd's k-means; rows [F, C], F >= k.
Clusters k_means(const at::Tensor& rows, std::int64_t k, const at::Generator& generator) {
  Clusters clusters{.labels = {}, .centroids = draw_starts(rows, k, generator)};
  for (int i = 0; i < kIterations; ++i) {
    const auto labels = nearest_centroids(rows, clusters.centroids);
    clusters.labels = refill(rows, labels, k, generator).labels;
    clusters.centroids = means_of(rows, clusters.labels, k);
  }
  return clusters;
}

std::span<const std::int64_t> values_of(const at::Tensor& contiguous) {
  return {contiguous.data_ptr<std::int64_t>(), static_cast<std::size_t>(contiguous.numel())};
}

std::size_t as_size(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

std::int64_t draw_below(std::int64_t bound, Rng& rng) {
  return rng.below(static_cast<std::uint32_t>(bound));
}

// The images with a label, sorted by it: an image with another label is drawn in one go.
class LabelledImages {
 public:
  LabelledImages(const at::Tensor& labels, std::int64_t k)
      : order_(std::get<1>(at::sort(labels, /*stable=*/true, 0, /*descending=*/false))),
        ends_(labels.add(1).bincount({}, k + 1).cumsum(0)) {}

  // How many have the label.
  [[nodiscard]] std::int64_t count(std::int64_t label) const { return end(label) - begin(label); }
  [[nodiscard]] std::int64_t count() const { return order_.size(0) - begin(0); }

  // One with the label, but not `excluded` (-1: any).
  [[nodiscard]] std::int64_t draw(std::int64_t label, std::int64_t excluded, Rng& rng) const {
    const auto images = values_of(order_).subspan(as_size(begin(label)), as_size(count(label)));
    if (excluded < 0) {
      return images[as_size(draw_below(count(label), rng))];
    }
    const auto drawn = images[as_size(draw_below(count(label) - 1, rng))];
    return drawn == excluded ? images.back() : drawn;
  }

  // One with another label.
  [[nodiscard]] std::int64_t draw_other(std::int64_t label, Rng& rng) const {
    const auto place = begin(0) + draw_below(count() - count(label), rng);
    return values_of(order_)[as_size(place < begin(label) ? place : place + count(label))];
  }

 private:
  // Images without a label, -1, come first.
  [[nodiscard]] std::int64_t begin(std::int64_t label) const {
    return values_of(ends_)[as_size(label)];
  }
  [[nodiscard]] std::int64_t end(std::int64_t label) const { return begin(label + 1); }

  at::Tensor order_;  // [n], the images by label
  at::Tensor ends_;   // [1 + K], of labels -1, 0, ...
};

// [N, P] int64, the pool of each query, in the order of similarity; of hard negatives just these.
// Where there are too few, images without a label or with the query's own stand at the end.
at::Tensor pools_of(const PseudoLabels& bank,
                    const at::Tensor& queries,
                    const at::Tensor& own,
                    const InterDrawSpec& spec) {
  const auto& labels = bank.labels();
  if (spec.sampling == NegativeSampling::kRandom) {
    return at::empty({queries.size(0), 0}, at::kLong);
  }
  const bool easy = spec.sampling == NegativeSampling::kSemiEasy;
  const bool hard = spec.sampling == NegativeSampling::kHard;
  auto barred = labels.lt(0).unsqueeze(0);  // [1, n]
  if (hard) {
    barred = barred.logical_or(labels.unsqueeze(0).eq(own.unsqueeze(1)));  // [N, n]
  }
  const auto similarities = queries.detach()
                                .to(bank.rows().scalar_type())
                                .mm(bank.rows().t())
                                .masked_fill_(barred, easy ? kInfinity : -kInfinity);  // [N, n]
  const auto most =
      std::min(hard ? spec.negatives : spec.pool, bank.counts().sum().item<std::int64_t>());
  return std::get<1>(similarities.topk(most, 1, /*largest=*/!easy, /*sorted=*/true)).contiguous();
}

// Draws R of the candidates, which all have another label than the query.
std::vector<std::int64_t> draw_negatives(std::vector<std::int64_t> candidates,
                                         const LabelledImages& images,
                                         std::int64_t label,
                                         const InterDrawSpec& spec,
                                         Rng& rng) {
  const auto size = static_cast<std::int64_t>(candidates.size());
  if (spec.sampling != NegativeSampling::kHard) {
    for (std::int64_t i = 0; i < std::min(size, spec.negatives); ++i) {
      std::swap(candidates[as_size(i)], candidates[as_size(i + draw_below(size - i, rng))]);
    }
  }
  while (candidates.size() < as_size(spec.negatives)) {
    candidates.push_back(size == 0 ? images.draw_other(label, rng)
                                   : candidates[as_size(draw_below(size, rng))]);
  }
  candidates.resize(as_size(spec.negatives));
  return candidates;
}

}  // namespace

PseudoLabels::PseudoLabels(const PseudoLabelSizes& sizes) {
  check(sizes.dim >= 1 && sizes.clusters >= 1 && sizes.clusters <= sizes.samples,
        fmt::format("{} clusters of {} images with features of {} are not possible", sizes.clusters,
                    sizes.samples, sizes.dim));
  rows_ = register_buffer("rows", at::zeros({sizes.samples, sizes.dim}));
  filled_ = register_buffer("filled", at::zeros({sizes.samples}, at::kBool));
  labels_ = register_buffer("labels", at::full({sizes.samples}, -1, at::kLong));
  centroids_ = register_buffer("centroids", at::zeros({sizes.clusters, sizes.dim}));
}

at::Tensor PseudoLabels::counts() const {
  return count_labels(labels_, centroids_.size(0));
}

void PseudoLabels::write(const at::Tensor& indices, const at::Tensor& keys, double mu) {
  check_indices(indices);
  check(keys.dim() == 2 && keys.size(0) == indices.size(0) && keys.size(1) == rows_.size(1),
        fmt::format("keys [{}] of {} images do not fit a bank of rows of {}",
                    fmt::join(keys.sizes(), ", "), indices.size(0), rows_.size(1)));
  check(mu >= 0.0 && mu <= 1.0, fmt::format("a momentum of {} is outside [0, 1]", mu));
  const at::NoGradGuard no_grad;
  const auto last = last_of_equals(indices);
  const auto places = indices.index_select(0, last);                                 // [M]
  const auto fresh = unit_rows(keys.index_select(0, last)).to(rows_.scalar_type());  // [M, C]
  const auto mixed = unit_rows(rows_.index_select(0, places).mul(1.0 - mu).add(fresh.mul(mu)));
  const auto known = filled_.index_select(0, places).unsqueeze(1);  // [M, 1]
  rows_.index_copy_(0, places, at::where(known, mixed, fresh));
  filled_.index_fill_(0, places, true);
}

void PseudoLabels::cluster(const at::Generator& generator) {
  const at::NoGradGuard no_grad;
  const FullPrecision full_precision;
  const auto k = centroids_.size(0);
  const auto places = filled_.nonzero().squeeze(1);  // [F]
  check(places.size(0) >= k,
        fmt::format("{} images with features do not fill {} clusters", places.size(0), k));
  const auto clusters = k_means(rows_.index_select(0, places), k, generator);
  labels_.index_copy_(0, places, clusters.labels);
  centroids_.copy_(clusters.centroids);
}

double PseudoLabels::relabel(const at::Tensor& indices) {
  check_indices(indices);
  if (indices.size(0) == 0) {
    return 0.0;
  }
  const at::NoGradGuard no_grad;
  const FullPrecision full_precision;
  const auto places = indices.index_select(0, last_of_equals(indices));
  check(filled_.index_select(0, places).all().item<bool>(), "an image without a feature");
  const auto before = labels_.index_select(0, places);
  const auto after = best_centroids(rows_.index_select(0, places), centroids_,
                                    at::zeros({centroids_.size(0)}, centroids_.options()));
  labels_.index_copy_(0, places, after);
  return after.ne(before).to(at::kDouble).mean().item<double>();
}

std::int64_t PseudoLabels::maintain(std::int64_t min_cluster, const at::Generator& generator) {
  const at::NoGradGuard no_grad;
  const FullPrecision full_precision;
  const auto k = centroids_.size(0);
  const auto before = counts();
  check(before.sum().item<std::int64_t>() >= k,
        fmt::format("fewer images with labels than {} clusters", k));
  auto small = before.lt(std::max<std::int64_t>(1, min_cluster));  // [K]
  if (small.all().item<bool>()) {
    small = before.eq(0);
  }
  const auto dissolved = small.sum().item<std::int64_t>();
  if (dissolved == 0) {
    return 0;
  }
  const auto released = labels_.ge(0)
                            .logical_and(small.index_select(0, labels_.clamp_min(0)))
                            .nonzero()
                            .squeeze(1);  // [M]
  const auto handicaps = at::zeros({k}, centroids_.options()).masked_fill_(small, kInfinity);
  labels_.index_copy_(0, released,
                      best_centroids(rows_.index_select(0, released), centroids_, handicaps));
  const auto refilled = refill(rows_, labels_, k, generator);
  labels_.copy_(refilled.labels);
  for (const auto id : refilled.clusters) {
    const auto members = labels_.eq(id).nonzero().squeeze(1);
    centroids_[id].copy_(rows_.index_select(0, members).mean(0));
  }
  return dissolved;
}

void PseudoLabels::update_centroids() {
  const at::NoGradGuard no_grad;
  const auto lives = counts().gt(0).unsqueeze(1);  // [K, 1]
  centroids_.copy_(at::where(lives, means_of(rows_, labels_, centroids_.size(0)), centroids_));
}

void PseudoLabels::check_indices(const at::Tensor& indices) const {
  const auto n = rows_.size(0);
  check(indices.dim() == 1 && indices.scalar_type() == at::kLong,
        "indices of images are a list of int64");
  check(indices.ge(0).logical_and(indices.lt(n)).all().item<bool>(),
        fmt::format("an index outside the {} images of the bank", n));
}

at::Tensor can_draw(const PseudoLabels& bank,
                    const at::Tensor& indices,
                    const InterDrawSpec& spec) {
  const auto labels = bank.labels().index_select(0, indices);  // [N]
  const auto counts = bank.counts();                           // [K]
  const auto same = counts.index_select(0, labels.clamp_min(0));
  return labels.ge(0)
      .logical_and(same.lt(counts.sum()))
      .logical_and(same.ge(spec.exclude_self ? 2 : 1));
}

InterDraws draw_inter_image(const PseudoLabels& bank,
                            const at::Tensor& queries,
                            const at::Tensor& indices,
                            const at::Tensor& seeds,
                            const InterDrawSpec& spec) {
  const auto n = indices.size(0);
  check(queries.dim() == 2 && queries.size(0) == n && queries.size(1) == bank.rows().size(1) &&
            seeds.dim() == 1 && seeds.size(0) == n && seeds.scalar_type() == at::kLong,
        fmt::format("queries [{}] and seeds [{}] do not fit {} images",
                    fmt::join(queries.sizes(), ", "), fmt::join(seeds.sizes(), ", "), n));
  check(spec.negatives >= 1 && spec.pool >= 1, "neither negatives nor their pool may be empty");
  check(can_draw(bank, indices, spec).all().item<bool>(), "an image for which there is no draw");
  const at::NoGradGuard no_grad;
  const FullPrecision full_precision;
  const auto own = bank.labels().index_select(0, indices);  // [N]
  const LabelledImages images(bank.labels(), bank.centroids().size(0));
  const auto pools = pools_of(bank, queries, own, spec);  // [N, P]
  const auto labels = values_of(bank.labels());
  std::vector<std::int64_t> positives;
  std::vector<std::int64_t> negatives;
  for (std::int64_t i = 0; i < n; ++i) {
    Rng rng({.seed = static_cast<std::uint64_t>(seeds[i].item<std::int64_t>()),
             .stream = "inter_image"});
    const auto label = own[i].item<std::int64_t>();
    const auto self = indices[i].item<std::int64_t>();
    positives.push_back(images.draw(label, spec.exclude_self ? self : -1, rng));
    std::vector<std::int64_t> candidates;
    std::ranges::copy_if(values_of(pools[i]), std::back_inserter(candidates), [&](auto image) {
      const auto other = labels[as_size(image)];
      return other >= 0 && other != label;
    });
    const auto drawn = draw_negatives(std::move(candidates), images, label, spec, rng);
    negatives.insert(negatives.end(), drawn.begin(), drawn.end());
  }
  return {.positives = at::tensor(positives, at::kLong),
          .negatives = at::tensor(negatives, at::kLong).view({n, spec.negatives})};
}

}  // namespace viewfold
