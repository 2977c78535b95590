// Retrieval: training images in the order of their cosine to each test image.
#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/eval/detail/labels.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/index/neighbours.hpp"

namespace viewfold::eval {
namespace {

struct RetrievalConfig final : Config {
  std::int64_t depth = 0;

  void visit(FieldVisitor& v) override {
    v.field("depth", depth,
            {.doc = "nearest training images that the mean average precision looks at; 0 takes all "
                    "of them, which is slow beyond 100000 training images",
             .min = 0,
             .max = 1e9});
  }
};

constexpr std::int64_t kShort = 10;  // the longest list but that of the mean average precision
// Of query and neighbour at a time: 200 MB with what the search needs.
constexpr std::int64_t kPairs = 1 << 22;

/// What the ranking of one query is worth.
struct QueryScore {
  double average_precision = 0.0;
  std::int64_t first_hit = 0;  // rank from 0; the length of the ranking where there is none
  double precision = 0.0;      // of the first kShort
};

/// What a query asks for.
struct Query {
  std::int64_t label = 0;
  std::int64_t relevant = 0;  // training images with it, >= 1
};

// ranking  labels of the neighbours, nearest first
// depth    how many of them the average precision looks at, at most all
QueryScore score_of(std::span<const std::int64_t> ranking, const Query& query, std::int64_t depth) {
  const auto length = static_cast<std::int64_t>(ranking.size());
  const std::int64_t in_short = std::min(kShort, length);
  QueryScore score{.first_hit = length};
  std::int64_t hits = 0;
  for (std::int64_t rank = 0; rank < length; ++rank) {
    if (ranking[static_cast<std::size_t>(rank)] != query.label) {
      continue;
    }
    ++hits;
    score.first_hit = std::min(score.first_hit, rank);
    score.precision += rank < in_short ? 1.0 / static_cast<double>(in_short) : 0.0;
    if (rank < depth) {
      score.average_precision += static_cast<double>(hits) / static_cast<double>(rank + 1);
    }
  }
  score.average_precision /= static_cast<double>(std::min(query.relevant, depth));
  return score;
}

struct Rankings {
  std::vector<QueryScore> scores;  // of each query
  at::Tensor nearest;              // [Q] int64, label of the first neighbour
};

// Ranks `length` neighbours for some queries at a time.
Rankings rank_all(const EvaluationInput& input, std::int64_t length, std::int64_t depth) {
  const std::int64_t count = input.test.features.size(0);
  const auto labels = input.test.labels.contiguous();
  const auto relevant = at::bincount(input.train.labels).index_select(0, labels).contiguous();
  Rankings all{.scores = std::vector<QueryScore>(static_cast<std::size_t>(count)),
               .nearest = at::empty({count}, at::kLong)};
  const std::int64_t block = std::max<std::int64_t>(1, kPairs / length);
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const std::int64_t rows = std::min(block, count - begin);
    const auto found =
        nearest_by_cosine(input.train.features, input.test.features.narrow(0, begin, rows), length);
    const auto ranked = input.train.labels.take(found.index).contiguous();  // [rows, length]
    all.nearest.narrow(0, begin, rows).copy_(ranked.select(1, 0));
    at::parallel_for(0, rows, 16, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        const Query query{.label = labels.data_ptr<std::int64_t>()[begin + row],
                          .relevant = relevant.data_ptr<std::int64_t>()[begin + row]};
        const std::span ranking(ranked.data_ptr<std::int64_t>() + row * length,
                                static_cast<std::size_t>(length));
        all.scores[static_cast<std::size_t>(begin + row)] = score_of(ranking, query, depth);
      }
    });
  }
  return all;
}

void add_means(const std::vector<QueryScore>& scores, EvaluationResult& result) {
  const double share = 1.0 / static_cast<double>(scores.size());
  auto& numbers = result.numbers;
  const std::array<std::int64_t, 3> lists{1, 5, kShort};
  std::array<std::int64_t, 3> found{};
  double average_precision = 0.0;
  double precision = 0.0;
  for (const auto& score : scores) {
    average_precision += score.average_precision;
    precision += score.precision;
    for (std::size_t i = 0; i < lists.size(); ++i) {
      found[i] += score.first_hit < lists[i] ? 1 : 0;
    }
  }
  numbers["map"] = average_precision * share;
  numbers["precision_10"] = precision * share;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    numbers[fmt::format("recall_{}", lists[i])] = static_cast<double>(found[i]) * share;
  }
}

EvaluationResult run(const EvaluationInput& input, const Config& config) {
  const auto& settings = dynamic_cast<const RetrievalConfig&>(config);
  const auto classes = check_labelled(input);
  const at::NoGradGuard no_grad;
  const std::int64_t bank = input.train.features.size(0);
  const std::int64_t depth = settings.depth == 0 ? bank : std::min(settings.depth, bank);
  const auto rankings = rank_all(input, std::max(depth, std::min(kShort, bank)), depth);
  auto result = compare_labels(input.test.labels, rankings.nearest, classes);
  add_means(rankings.scores, result);
  result.protocol = fmt::format(
      "retrieval by cosine of frozen features, exact: {} test images ask for training images of "
      "their class among {}; map: mean average precision over {}; recall_k: queries with one of "
      "their class among the first k; precision_10: share of their class among the first {}; "
      "accuracy is recall_1",
      input.test.features.size(0), bank,
      depth == bank
          ? "the whole ranking"
          : fmt::format("the first {0}, of {0} or of as many as there are of the class", depth),
      std::min(kShort, bank));
  return result;
}

}  // namespace

EvaluationEntry retrieval_entry() {
  return {
      .name = "retrieval",
      .summary =
          "training images ranked by cosine to test images: mean average precision, recall at 1, "
          "5, 10 (as arXiv:1511.06452), precision at 10",
      .config = []() -> std::unique_ptr<Config> { return std::make_unique<RetrievalConfig>(); },
      .run = run};
}

}  // namespace viewfold::eval
