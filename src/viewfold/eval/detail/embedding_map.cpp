// Implements maps of features and their thumbnails.
#include "viewfold/eval/embedding_map.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/augment/contact_sheet.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/core/thread_pool.hpp"
#include "viewfold/eval/detail/blas_threads.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/image/resample.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

// Van der Maaten's and Hinton's, but for the two that scikit-learn and Belkina et al. set.
constexpr double kExaggeration = 12.0;
constexpr std::int64_t kExaggerated = 250;  // iterations
constexpr double kEarlyMomentum = 0.5;
constexpr double kMomentum = 0.8;
constexpr double kGainStep = 0.2;
constexpr double kGainDecay = 0.8;
constexpr double kLeastGain = 0.01;
constexpr double kStartDeviation = 1e-4;
constexpr double kStartNoise = 1e-6;
constexpr double kLeastRate = 50.0;
constexpr double kStableRate = 0.25;  // of N; steps beyond swing to and fro
constexpr std::int64_t kTrustNeighbours = 10;
constexpr std::int64_t kRowsAtATime = 16;  // of a thread

void check_features(const at::Tensor& features) {
  check(features.defined() && features.dim() == 2 && features.scalar_type() == at::kFloat &&
            features.size(1) >= 1,
        "features of a map must be a float32 matrix");
  check(features.isfinite().all().item<bool>(),
        fmt::format("features {} of a map must be finite", shape_text(features)));
}

void check_perplexity(std::int64_t count, double perplexity) {
  if (!(perplexity > 1.0 && perplexity < static_cast<double>(count) - 1.0)) {
    throw UsageError(
        fmt::format("a perplexity of {} is above 1 and needs more than {:.0f} images; there are {} "
                    "(take more images, or a smaller perplexity)",
                    perplexity, std::floor(perplexity) + 1.0, count));
  }
}

// Rows of length 1 in float64; rows of zeros stay zeros.
at::Tensor unit_rows(const at::Tensor& features) {
  const auto rows = features.to(at::kDouble);
  return rows / at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, true).clamp_min_(1e-30);
}

// Squared distances between unit rows: [N, N] float64. On one thread: then the number of threads
// has no part in the rounding.
at::Tensor squared_distances(const at::Tensor& unit) {
  const SingleThreadedBlas one_thread;
  const auto squares = unit.square().sum(1);  // 1, or 0 of a row of zeros
  auto distances = unit.mm(unit.t()).mul_(-2.0);
  distances.add_(squares.unsqueeze(1)).add_(squares.unsqueeze(0)).clamp_min_(0.0);
  return distances;
}

// Turns squared distances from row `self` into weights exp(-precision (d - least)), 0 for itself.
// Returns their entropy in nats once they have a sum of 1, and the sum.
std::pair<double, double> weigh(std::span<const double> squares,
                                std::size_t self,
                                double least,
                                double precision,
                                std::span<double> weights) {
  double sum = 0.0;
  double moment = 0.0;
  for (std::size_t j = 0; j < squares.size(); ++j) {
    const double beyond = squares[j] - least;
    weights[j] = j == self ? 0.0 : std::exp(-precision * beyond);
    sum += weights[j];
    moment += weights[j] * beyond;
  }
  return {std::log(sum) + precision * moment / sum, sum};
}

// Turns squared distances from row `self` into the probabilities of its neighbours.
void find_probabilities(std::span<double> row, std::size_t self, double entropy) {
  constexpr int kMostSteps = 100;
  constexpr double kTolerance = 1e-5;
  constexpr double kSharpest = 1e10;  // beyond, the rounding of equal features would tell
  std::vector<double> weights(row.size());
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < row.size(); ++j) {
    least = j == self ? least : std::min(least, row[j]);
  }
  double precision = 1.0;
  double low = 0.0;
  double high = std::numeric_limits<double>::infinity();
  auto [found, sum] = weigh(row, self, least, precision, weights);
  for (int step = 0;
       step < kMostSteps && precision < kSharpest && std::abs(found - entropy) > kTolerance;
       ++step) {
    (found > entropy ? low : high) = precision;
    precision = std::isinf(high) ? 2.0 * precision : (low + high) / 2.0;
    std::tie(found, sum) = weigh(row, self, least, precision, weights);
  }
  for (std::size_t j = 0; j < row.size(); ++j) {
    row[j] = weights[j] / sum;
  }
}

// The first two principal components of rows, [N, 2] float64, by subspace iteration (Halko,
// Martinsson and Tropp, SIAM Review 53, 2011, Algorithm 4.4): to more digits than a start needs.
at::Tensor principal_components(const at::Tensor& rows, Rng& rng) {
  constexpr std::int64_t kColumns = 8;  // more than are wanted bring these sooner
  constexpr int kRounds = 20;
  const SingleThreadedBlas one_thread;
  const auto centred = rows - rows.mean(0);
  auto basis = at::empty({rows.size(1), std::min(kColumns, rows.size(1))}, at::kDouble);
  for (std::int64_t i = 0; i < basis.numel(); ++i) {
    basis.data_ptr<double>()[i] = rng.normal();
  }
  for (int round = 0; round < kRounds; ++round) {
    basis = std::get<0>(at::linalg_qr(centred.t().mm(centred.mm(basis))));
  }
  const auto scores = centred.mm(basis);  // [N, columns]
  const auto vectors = std::get<1>(at::linalg_eigh(scores.t().mm(scores)));
  auto components = at::zeros({rows.size(0), 2}, at::kDouble);
  for (std::int64_t c = 0; c < std::min<std::int64_t>(2, vectors.size(1)); ++c) {
    const auto component = scores.mv(vectors.select(1, vectors.size(1) - 1 - c));
    // Of the two directions of an axis, the one in which the farthest point is positive.
    const auto farthest = component[component.abs().argmax()].item<double>();
    components.select(1, c).copy_(component * (farthest < 0.0 ? -1.0 : 1.0));
  }
  return components;
}

// Points in the plane, and in what direction they are pushed.
class Plane {
 public:
  // probabilities  [N, N] float32, of a pair: symmetric, of sum 1
  Plane(const at::Tensor& probabilities, const at::Tensor& start)
      : count_(probabilities.size(0)),
        pairs_(probabilities),
        points_(start),
        step_(at::zeros_like(start)),
        gain_(at::ones_like(start)),
        gradient_(at::zeros_like(start)) {}

  // One step of gradient descent with momentum and gains.
  void move(double exaggeration, double momentum, double rate) {
    find_gradient(exaggeration);
    auto* const point = points_.data_ptr<double>();
    auto* const step = step_.data_ptr<double>();
    auto* const gain = gain_.data_ptr<double>();
    const auto* const gradient = gradient_.data_ptr<double>();
    for (std::int64_t i = 0; i < 2 * count_; ++i) {
      const bool goes_on = step[i] * gradient[i] < 0.0;  // downhill, as before
      gain[i] = std::max(kLeastGain, goes_on ? gain[i] + kGainStep : gain[i] * kGainDecay);
      step[i] = momentum * step[i] - rate * gain[i] * gradient[i];
      point[i] += step[i];
    }
    points_.sub_(points_.mean(0));
  }

  [[nodiscard]] const at::Tensor& points() const { return points_; }

  // sum p log(p / q), with q = n / sum n and n = 1 / (1 + d^2).
  [[nodiscard]] double divergence() const {
    std::vector<double> cost(static_cast<std::size_t>(count_));
    std::vector<double> nearness(static_cast<std::size_t>(count_));
    at::parallel_for(0, count_, kRowsAtATime, [&](std::int64_t first, std::int64_t end) {
      for (std::int64_t i = first; i < end; ++i) {
        add_cost(i, cost[static_cast<std::size_t>(i)], nearness[static_cast<std::size_t>(i)]);
      }
    });
    return std::accumulate(cost.begin(), cost.end(), 0.0) +
           std::log(std::accumulate(nearness.begin(), nearness.end(), 0.0));
  }

 private:
  // What all points do to one.
  struct Forces {
    double pull_x = 0.0, pull_y = 0.0;
    double push_x = 0.0, push_y = 0.0;
    double nearness = 0.0;
  };

  // Sums of p n (y_i - y_j), n^2 (y_i - y_j) and n over all j.
  static Forces forces_on(std::int64_t i, const float* p, std::span<const float> places) {
    const auto count = static_cast<std::int64_t>(places.size() / 2);
    const float* const x = places.data();
    const float* const y = x + count;
    float pull_x = 0.0F;
    float pull_y = 0.0F;
    float push_x = 0.0F;
    float push_y = 0.0F;
    float sum = 0.0F;
#pragma omp simd reduction(+ : pull_x, pull_y, push_x, push_y, sum)
    for (std::int64_t j = 0; j < count; ++j) {
      const float dx = x[i] - x[j];
      const float dy = y[i] - y[j];
      const float nearness = 1.0F / (1.0F + dx * dx + dy * dy);
      const float pull = p[j] * nearness;
      const float push = nearness * nearness;
      pull_x += pull * dx;
      pull_y += pull * dy;
      push_x += push * dx;
      push_y += push * dy;
      sum += nearness;
    }
    return {pull_x, pull_y, push_x, push_y, static_cast<double>(sum) - 1.0};  // without itself
  }

  // 4 sum_j (p - q) n (y_i - y_j) (Eq. 5), p exaggerated.
  void find_gradient(double exaggeration) {
    const auto places = points_.t().to(at::kFloat, false, false, at::MemoryFormat::Contiguous);
    const std::span values(places.data_ptr<float>(), static_cast<std::size_t>(2 * count_));
    std::vector<Forces> forces(static_cast<std::size_t>(count_));
    at::parallel_for(0, count_, kRowsAtATime, [&](std::int64_t first, std::int64_t end) {
      for (std::int64_t i = first; i < end; ++i) {
        forces[static_cast<std::size_t>(i)] =
            forces_on(i, pairs_.data_ptr<float>() + i * count_, values);
      }
    });
    double nearness = 0.0;
    for (const auto& force : forces) {
      nearness += force.nearness;
    }
    auto* gradient = gradient_.data_ptr<double>();
    for (const auto& force : forces) {
      *gradient++ = 4.0 * (exaggeration * force.pull_x - force.push_x / nearness);
      *gradient++ = 4.0 * (exaggeration * force.pull_y - force.push_y / nearness);
    }
  }

  void add_cost(std::int64_t i, double& cost, double& nearness) const {
    const auto* const p = pairs_.data_ptr<float>() + i * count_;
    const auto* const point = points_.data_ptr<double>();
    for (std::int64_t j = 0; j < count_; ++j) {
      if (j == i) {
        continue;
      }
      const double dx = point[2 * i] - point[2 * j];
      const double dy = point[2 * i + 1] - point[2 * j + 1];
      const double far = 1.0 + dx * dx + dy * dy;
      nearness += 1.0 / far;
      cost += p[j] > 0.0F ? p[j] * std::log(p[j] * far) : 0.0;
    }
  }

  std::int64_t count_;
  at::Tensor pairs_;     // [N, N] float32
  at::Tensor points_;    // [N, 2] float64
  at::Tensor step_;      // ditto, of the last iteration
  at::Tensor gain_;      // ditto
  at::Tensor gradient_;  // ditto
};

at::Tensor start_points(const at::Tensor& unit, std::uint64_t seed) {
  Rng rng({.seed = seed, .stream = "map"});
  auto start = principal_components(unit, rng);
  start.mul_(kStartDeviation / start.select(1, 0).std(/*unbiased=*/false).item<double>());
  for (std::int64_t i = 0; i < start.numel(); ++i) {
    start.data_ptr<double>()[i] += kStartNoise * rng.normal();
  }
  return start;
}

void check_map(const at::Tensor& features, const EmbeddingMapSpec& spec) {
  check_features(features);
  const std::int64_t count = features.size(0);
  if (count > kMostMapPoints) {
    throw UsageError(fmt::format("a map of {} images would take too long (at most {}: take some)",
                                 count, kMostMapPoints));
  }
  if (spec.iterations < 1) {
    throw UsageError(fmt::format("{} iterations make no map (1 or more)", spec.iterations));
  }
  check_perplexity(count, spec.perplexity);
}

// The k nearest of row i, which is not among them: of equal distances the smaller index first.
std::vector<std::int64_t> nearest_of(std::span<const double> distances,
                                     std::int64_t i,
                                     std::int64_t k) {
  std::vector<std::int64_t> order(distances.size());
  std::iota(order.begin(), order.end(), 0);
  order.erase(order.begin() + i);
  const auto nearer = [&](std::int64_t a, std::int64_t b) {
    return std::pair(distances[static_cast<std::size_t>(a)], a) <
           std::pair(distances[static_cast<std::size_t>(b)], b);
  };
  std::partial_sort(order.begin(), order.begin() + k, order.end(), nearer);
  order.resize(static_cast<std::size_t>(k));
  return order;
}

// 1 for the nearest.
std::int64_t rank_of(std::int64_t j, std::span<const double> distances, std::int64_t i) {
  const double own = distances[static_cast<std::size_t>(j)];
  std::int64_t rank = 1;
  for (std::int64_t other = 0; other < static_cast<std::int64_t>(distances.size()); ++other) {
    const double distance = distances[static_cast<std::size_t>(other)];
    rank += other != i && (distance < own || (distance == own && other < j)) ? 1 : 0;
  }
  return rank;
}

// How far the k nearest of point i on the map are from being so in truth.
std::int64_t intrusion(std::int64_t i,
                       const at::Tensor& truth,
                       const at::Tensor& points,
                       std::int64_t k) {
  const std::int64_t count = truth.size(0);
  const std::span distances(truth.data_ptr<double>() + i * count, static_cast<std::size_t>(count));
  std::vector<double> on_map(static_cast<std::size_t>(count));
  const auto* const point = points.data_ptr<double>();
  for (std::int64_t j = 0; j < count; ++j) {
    const double dx = point[2 * i] - point[2 * j];
    const double dy = point[2 * i + 1] - point[2 * j + 1];
    on_map[static_cast<std::size_t>(j)] = dx * dx + dy * dy;
  }
  std::int64_t sum = 0;
  for (const auto j : nearest_of(on_map, i, k)) {
    sum += std::max<std::int64_t>(0, rank_of(j, distances, i) - k);
  }
  return sum;
}

// Copies a tile to its place on the sheet.
void paste(const Image& tile, int x, int y, Image& sheet) {
  const auto row = static_cast<std::size_t>(tile.width()) * 3;
  for (int i = 0; i < tile.height(); ++i) {
    const auto to = (static_cast<std::size_t>(y + i) * static_cast<std::size_t>(sheet.width()) +
                     static_cast<std::size_t>(x)) *
                    3;
    std::memcpy(&sheet.bytes()[to], &tile.bytes()[static_cast<std::size_t>(i) * row], row);
  }
}

// A JPEG may come smaller, but twice as large as its thumbnail: no shortcut is then seen.
int harmless_reduction(int height, int width, int tile) {
  for (const int times : {8, 4, 2}) {
    if (std::min(height, width) / times >= 2 * tile) {
      return times;
    }
  }
  return 1;
}

}  // namespace

at::Tensor neighbour_probabilities(const at::Tensor& features, double perplexity) {
  const at::NoGradGuard no_grad;
  check_features(features);
  check_perplexity(features.size(0), perplexity);
  auto rows = squared_distances(unit_rows(features));
  const auto count = static_cast<std::size_t>(rows.size(0));
  at::parallel_for(0, rows.size(0), kRowsAtATime, [&](std::int64_t first, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(end); ++i) {
      find_probabilities({rows.data_ptr<double>() + i * count, count}, i, std::log(perplexity));
    }
  });
  return rows;
}

EmbeddingMap embedding_map(const at::Tensor& features, const EmbeddingMapSpec& spec) {
  constexpr std::int64_t kReportEvery = 50;
  const at::NoGradGuard no_grad;
  check_map(features, spec);
  const auto unit = unit_rows(features);
  constexpr double kSameDirection = 1e-12;  // what float32 leaves of the square of a distance
  if ((unit - unit.narrow(0, 0, 1)).square().sum(1).max().item<double>() < kSameDirection) {
    throw DataError(fmt::format(
        "the features of all {} images have the same direction, so that there is nothing to map "
        "(the encoder has collapsed, or the images are copies of one)",
        unit.size(0)));
  }
  const auto count = static_cast<double>(unit.size(0));
  const auto one_way = neighbour_probabilities(features, spec.perplexity);
  Plane plane((one_way + one_way.t()).div_(2.0 * count).to(at::kFloat),
              start_points(unit, spec.seed));
  const double early_rate = count / kExaggeration / 4.0;
  const double late_rate = std::max(early_rate, std::min(kLeastRate, kStableRate * count));
  for (std::int64_t i = 0; i < spec.iterations; ++i) {
    const bool early = i < kExaggerated;
    plane.move(early ? kExaggeration : 1.0, early ? kEarlyMomentum : kMomentum,
               early ? early_rate : late_rate);
    if (spec.progress && ((i + 1) % kReportEvery == 0 || i + 1 == spec.iterations)) {
      spec.progress(i + 1, spec.iterations);
    }
  }
  const auto neighbours = std::min(kTrustNeighbours, (unit.size(0) - 1) / 2);
  return {.points = plane.points(),
          .divergence = plane.divergence(),
          .trustworthiness = trustworthiness(features, plane.points(), neighbours)};
}

double trustworthiness(const at::Tensor& features,
                       const at::Tensor& points,
                       std::int64_t neighbours) {
  const at::NoGradGuard no_grad;
  check_features(features);
  const std::int64_t count = features.size(0);
  check(points.defined() && points.scalar_type() == at::kDouble && points.dim() == 2 &&
            points.size(0) == count && points.size(1) == 2 && points.isfinite().all().item<bool>(),
        "a map has two finite float64 for each row of its features");
  check(neighbours >= 1 && count > 2 * neighbours,
        fmt::format("{} neighbours of {} points: too few points", neighbours, count));
  const auto truth = squared_distances(unit_rows(features));
  const auto places = points.contiguous();
  std::vector<std::int64_t> sums(static_cast<std::size_t>(count));
  at::parallel_for(0, count, kRowsAtATime, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t i = first; i < end; ++i) {
      sums[static_cast<std::size_t>(i)] = intrusion(i, truth, places, neighbours);
    }
  });
  const auto sum = static_cast<double>(std::accumulate(sums.begin(), sums.end(), std::int64_t{0}));
  return 1.0 - 2.0 * sum /
                   (static_cast<double>(count * neighbours) *
                    static_cast<double>(2 * count - 3 * neighbours - 1));
}

Sprite write_sprite(
    const Dataset& images, int tile, int columns, const std::filesystem::path& path, int threads) {
  constexpr std::int64_t kMostSide = 65'500;  // of a JPEG
  constexpr int kQuality = 90;
  const auto count = static_cast<std::int64_t>(images.size());
  check(count >= 1 && tile >= 1 && columns >= 1, "a sheet needs images, tiles and columns");
  const std::int64_t rows = (count + columns - 1) / columns;
  check(std::max<std::int64_t>(rows, columns) * tile <= kMostSide,
        fmt::format("{} rows of {} tiles of {} pixels do not fit in a JPEG", rows, columns, tile));
  Image sheet(static_cast<int>(rows) * tile, columns * tile, 3);
  parallel_for(images.size(), threads, [&](std::size_t i) {
    Image buffer;
    const auto& image = images.read_reduced(i, buffer, [tile](int height, int width) {
      return harmless_reduction(height, width, tile);
    });
    const auto place = static_cast<int>(i);
    paste(resize_center_crop(displayable(image), tile), place % columns * tile,
          place / columns * tile, sheet);
  });
  const auto bytes = encode_jpeg(sheet, kQuality);
  write_file_atomically(path, bytes);
  return {.tile = tile, .columns = columns, .rows = static_cast<int>(rows), .bytes = bytes.size()};
}

}  // namespace viewfold
