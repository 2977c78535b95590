// Clusters of frozen features, found without labels, beside the classes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/core/rng.hpp"
#include "viewfold/eval/detail/labels.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/nn/pseudo_labels.hpp"

namespace viewfold::eval {
namespace {

struct ClusteringConfig final : Config {
  std::int64_t restarts = 10;  // n_init of KMeans in scikit-learn up to version 1.3

  void visit(FieldVisitor& v) override {
    v.field("restarts", restarts,
            {.doc = "times that k-means starts anew; the tightest clusters count",
             .min = 1,
             .max = 10000});
  }
};

/// Counts of images by cluster, then class: K rows of K.
using Counts = std::vector<std::vector<std::int64_t>>;

// ---- k-means ----

struct Clusters {
  at::Tensor labels;       // [M] int64 in [0, K), each at least once
  double inertia = 0.0;    // summed squared distances to the means
  bool has_ended = false;  // no image would move
};

// [M] int64, of each row the nearest of the centroids; in pieces: [M, K] may be larger than memory.
at::Tensor nearest(const at::Tensor& rows, const at::Tensor& centroids) {
  constexpr std::int64_t kProducts = 1 << 22;  // 16 MB
  const auto half = centroids.square().sum(1).mul(0.5);
  std::vector<at::Tensor> labels;
  for (const auto& part : rows.split(std::max<std::int64_t>(1, kProducts / centroids.size(0)))) {
    labels.push_back(part.mm(centroids.t()).sub(half).argmax(1));
  }
  return at::cat(labels);
}

// One start: the bank's k-means, and Lloyd's steps on from there until no image moves.
Clusters k_means(PseudoLabels& bank, const at::Generator& generator) {
  constexpr int kMoreSteps = 280;  // with the 20 of the bank 300, max_iter of scikit-learn's KMeans
  bank.cluster(generator);
  const auto& rows = bank.rows();
  auto centroids = bank.centroids().clone();  // [K, D]
  const std::int64_t k = centroids.size(0);
  Clusters clusters{.labels = bank.labels().clone()};
  auto counts = at::bincount(clusters.labels, {}, k);
  for (int step = 0; step < kMoreSteps; ++step) {
    const auto labels = nearest(rows, centroids);
    const auto next_counts = at::bincount(labels, {}, k);
    clusters.has_ended = labels.equal(clusters.labels);
    // Of equal rows the bank may hold apart what distances cannot: its clusters stay.
    if (clusters.has_ended || next_counts.eq(0).any().item<bool>()) {
      break;
    }
    clusters.labels = labels;
    counts = next_counts;
    centroids = at::zeros_like(centroids).index_add_(0, labels, rows).div_(counts.unsqueeze(1));
  }
  const auto own = centroids.to(at::kDouble).square().sum(1).mul_(counts);  // [K]
  clusters.inertia = rows.square().sum(at::kDouble).item<double>() - own.sum().item<double>();
  return clusters;
}

Clusters best_clusters(const at::Tensor& features,
                       std::int64_t k,
                       std::int64_t restarts,
                       std::uint64_t seed) {
  PseudoLabels bank(
      {.samples = features.size(0), .dim = features.size(1), .clusters = k});  // unit rows
  bank.write(at::arange(features.size(0), at::kLong), features, 0.0);
  std::optional<Clusters> best;
  for (std::int64_t i = 0; i < restarts; ++i) {
    const auto key = derive_seed(
        {.seed = seed, .stream = "clustering", .sample = static_cast<std::uint32_t>(i)});
    auto found = k_means(bank, at::detail::createCPUGenerator(key));
    if (!best || found.inertia < best->inertia) {
      best = std::move(found);
    }
  }
  return *best;
}

// ---- Comparison with classes ----

struct Margins {
  std::vector<std::int64_t> clusters;
  std::vector<std::int64_t> classes;
  std::int64_t all = 0;
};

Margins margins_of(const Counts& counts) {
  Margins margins{.clusters = std::vector<std::int64_t>(counts.size()),
                  .classes = std::vector<std::int64_t>(counts.size())};
  for (std::size_t i = 0; i < counts.size(); ++i) {
    for (std::size_t j = 0; j < counts.size(); ++j) {
      margins.clusters[i] += counts[i][j];
      margins.classes[j] += counts[i][j];
      margins.all += counts[i][j];
    }
  }
  return margins;
}

double entropy(const std::vector<std::int64_t>& parts, std::int64_t all) {
  double sum = 0.0;
  for (const std::int64_t part : parts) {
    const double p = static_cast<double>(part) / static_cast<double>(all);
    sum -= part == 0 ? 0.0 : p * std::log(p);
  }
  return sum;
}

// Mutual information over the mean of both entropies (scikit-learn's normalized_mutual_info_score);
// 1 where both partitions have one part only.
double normalized_mutual_information(const Counts& counts) {
  const auto margins = margins_of(counts);
  const auto all = static_cast<double>(margins.all);
  double information = 0.0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    for (std::size_t j = 0; j < counts.size(); ++j) {
      if (counts[i][j] > 0) {
        const auto both = static_cast<double>(counts[i][j]);
        information += both / all *
                       std::log(both * all / static_cast<double>(margins.clusters[i]) /
                                static_cast<double>(margins.classes[j]));
      }
    }
  }
  const double entropies =
      entropy(margins.clusters, margins.all) + entropy(margins.classes, margins.all);
  return entropies > 0.0 ? std::clamp(2.0 * information / entropies, 0.0, 1.0) : 1.0;
}

double pairs(std::int64_t count) {
  return 0.5 * static_cast<double>(count) * static_cast<double>(count - 1);
}

double summed_pairs(const std::vector<std::int64_t>& parts) {
  double sum = 0.0;
  for (const std::int64_t part : parts) {
    sum += pairs(part);
  }
  return sum;
}

// Pairs of images that both partitions keep together, less what chance gives (Hubert and Arabie,
// "Comparing partitions", 1985); 1 where both have one part only, or only parts of one image.
double adjusted_rand_index(const Counts& counts) {
  const auto margins = margins_of(counts);
  double together = 0.0;
  for (const auto& row : counts) {
    together += summed_pairs(row);
  }
  const double by_cluster = summed_pairs(margins.clusters);
  const double by_class = summed_pairs(margins.classes);
  const double most = 0.5 * (by_cluster + by_class);
  const double expected = by_cluster * by_class / std::max(pairs(margins.all), 1.0);
  return most > expected ? (together - expected) / (most - expected) : 1.0;
}

// Share of images in the most frequent class of their cluster.
double purity(const Counts& counts) {
  std::int64_t right = 0;
  for (const auto& row : counts) {
    right += *std::max_element(row.begin(), row.end());
  }
  return static_cast<double>(right) / static_cast<double>(margins_of(counts).all);
}

/// One class for each cluster so that most images are right: the Hungarian method (Kuhn, 1955), as
/// shortest paths that add one cluster after the other. Images missed by a pair are its cost; the
/// prices keep cost - price of cluster - price of class from falling below 0, and at 0 on matches.
class Matching {
 public:
  explicit Matching(const Counts& counts)
      : counts_(counts),
        cluster_price_(counts.size()),
        class_price_(counts.size()),
        class_of_(counts.size(), kNone),
        cluster_of_(counts.size(), kNone) {
    for (const auto& row : counts) {
      most_ = std::max(most_, *std::max_element(row.begin(), row.end()));
    }
    for (std::size_t cluster = 0; cluster < counts.size(); ++cluster) {
      add(cluster);
    }
  }

  /// The class of each cluster.
  [[nodiscard]] const std::vector<std::size_t>& classes() const { return class_of_; }

 private:
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  // What is known of the way from the added cluster to each class.
  struct Ways {
    std::vector<std::int64_t> length;
    std::vector<std::size_t> last_cluster;
    std::vector<bool> is_final;
  };

  [[nodiscard]] std::int64_t reduced_cost(std::size_t cluster, std::size_t label) const {
    return most_ - counts_[cluster][label] - cluster_price_[cluster] - class_price_[label];
  }

  // The nearest class without a final way.
  [[nodiscard]] static std::size_t nearest_open(const Ways& ways) {
    std::size_t best = kNone;
    for (std::size_t label = 0; label < ways.length.size(); ++label) {
      if (!ways.is_final[label] && (best == kNone || ways.length[label] < ways.length[best])) {
        best = label;
      }
    }
    return best;
  }

  void add(std::size_t added) {
    const std::size_t size = counts_.size();
    Ways ways{.length = std::vector(size, std::numeric_limits<std::int64_t>::max()),
              .last_cluster = std::vector(size, kNone),
              .is_final = std::vector<bool>(size, false)};
    std::size_t cluster = added;
    std::int64_t length = 0;
    std::size_t label = kNone;
    while (true) {
      for (std::size_t next = 0; next < size; ++next) {
        const std::int64_t through = length + reduced_cost(cluster, next);
        if (!ways.is_final[next] && through < ways.length[next]) {
          ways.length[next] = through;
          ways.last_cluster[next] = cluster;
        }
      }
      label = nearest_open(ways);
      length = ways.length[label];
      if (cluster_of_[label] == kNone) {
        break;
      }
      ways.is_final[label] = true;
      cluster = cluster_of_[label];
    }
    change_prices(ways, added, length);
    rematch(ways, added, label);
  }

  // All edges of the shortest ways cost nothing afterwards.
  void change_prices(const Ways& ways, std::size_t added, std::int64_t length) {
    cluster_price_[added] += length;
    for (std::size_t label = 0; label < counts_.size(); ++label) {
      if (ways.is_final[label]) {
        cluster_price_[cluster_of_[label]] += length - ways.length[label];
        class_price_[label] -= length - ways.length[label];
      }
    }
  }

  // Every cluster on the way to `label` takes the next class on it.
  void rematch(const Ways& ways, std::size_t added, std::size_t label) {
    for (std::size_t cluster = kNone; cluster != added;) {
      cluster = ways.last_cluster[label];
      cluster_of_[label] = cluster;
      std::swap(label, class_of_[cluster]);
    }
  }

  const Counts& counts_;  // outlives this
  std::int64_t most_ = 0;
  std::vector<std::int64_t> cluster_price_;
  std::vector<std::int64_t> class_price_;
  std::vector<std::size_t> class_of_;
  std::vector<std::size_t> cluster_of_;
};

Counts count_both(const at::Tensor& clusters, const at::Tensor& classes, std::int64_t k) {
  const auto table = at::bincount(clusters * k + classes, {}, k * k).contiguous();
  const auto* const values = table.data_ptr<std::int64_t>();
  Counts counts;
  for (std::int64_t row = 0; row < k; ++row) {
    counts.emplace_back(values + row * k, values + (row + 1) * k);
  }
  return counts;
}

// [K] int64, the class (one of `present`, [K]) that each cluster stands for.
at::Tensor matched_classes(const Counts& counts, const at::Tensor& present) {
  const Matching matching(counts);
  const auto& matched = matching.classes();
  const std::vector<std::int64_t> places(matched.begin(), matched.end());
  return present.index_select(0, at::tensor(places, at::kLong));
}

EvaluationResult run(const EvaluationInput& input, const Config& config) {
  const auto& settings = dynamic_cast<const ClusteringConfig&>(config);
  const auto all_classes = check_labelled(input);
  const at::NoGradGuard no_grad;
  const auto& test = input.test;
  const auto [present, places] =
      at::_unique(test.labels, /*sorted=*/true, /*return_inverse=*/true);  // [K], [M]
  const std::int64_t k = present.size(0);
  const auto found = best_clusters(test.features, k, settings.restarts, input.seed);
  const auto counts = count_both(found.labels, places, k);
  const auto predicted = matched_classes(counts, present).index_select(0, found.labels);
  auto result = compare_labels(test.labels, predicted, all_classes);
  result.numbers["nmi"] = normalized_mutual_information(counts);
  result.numbers["ari"] = adjusted_rand_index(counts);
  result.numbers["purity"] = purity(counts);
  result.protocol = fmt::format(
      "k-means on unit features of {} test images, {} clusters for as many classes, k-means++, the "
      "tightest of {} starts; accuracy by the best matching of one class to "
      "each cluster, nmi by the mean of both entropies; no training images",
      test.features.size(0), k, settings.restarts);
  result.numbers["has_ended"] = found.has_ended ? 1.0 : 0.0;
  return result;
}

}  // namespace

EvaluationEntry clustering_entry() {
  return {
      .name = "clustering",
      .summary =
          "k-means on test features beside their classes: matched accuracy, NMI, ARI, purity "
          "(as SCAN, arXiv:2005.12320)",
      .config = []() -> std::unique_ptr<Config> { return std::make_unique<ClusteringConfig>(); },
      .run = run};
}

}  // namespace viewfold::eval
