// Tests of the bank of features, its clusters, and what is drawn from it.
#include "viewfold/nn/pseudo_labels.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>

#include "tensor/normal_tensor.hpp"
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

using Labels = std::vector<std::int64_t>;

at::Generator generator(std::uint64_t seed) {
  return at::detail::createCPUGenerator(seed);
}

at::Tensor longs(const Labels& values) {
  return at::tensor(values, at::kLong);
}

Labels list_of(const at::Tensor& values) {
  const auto flat = values.contiguous();
  return {flat.data_ptr<std::int64_t>(), flat.data_ptr<std::int64_t>() + flat.numel()};
}

// Tight blobs around the first axes: blob b has sizes[b] rows. [n, dim] float32, unit rows.
at::Tensor blobs(const Labels& sizes, std::int64_t dim, std::uint64_t seed) {
  constexpr double kLength = 50.0;
  std::vector<at::Tensor> rows;
  const auto axes = at::eye(dim, at::kDouble).mul(kLength);
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    rows.push_back(axes[static_cast<std::int64_t>(b)] + normal_tensor({sizes[b], dim}, seed + b));
  }
  return unit_rows(at::cat(rows)).to(at::kFloat);
}

std::shared_ptr<PseudoLabels> bank_of(const at::Tensor& rows, std::int64_t clusters) {
  auto bank = std::make_shared<PseudoLabels>(
      PseudoLabelSizes{.samples = rows.size(0), .dim = rows.size(1), .clusters = clusters});
  bank->write(at::arange(rows.size(0), at::kLong), rows, 1.0);
  return bank;
}

// With labels as told and centroids that fit them.
std::shared_ptr<PseudoLabels> labelled(const at::Tensor& rows,
                                       const at::Tensor& labels,
                                       std::int64_t clusters) {
  auto bank = bank_of(rows, clusters);
  bank->named_buffers()["labels"].copy_(labels);
  bank->update_centroids();
  return bank;
}

// Of blobs of these sizes.
at::Tensor blob_labels(const Labels& sizes) {
  std::vector<at::Tensor> labels;
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    labels.push_back(at::full({sizes[b]}, static_cast<std::int64_t>(b), at::kLong));
  }
  return at::cat(labels);
}

at::Tensor mean_of_label(const PseudoLabels& bank, std::int64_t label) {
  const auto members = bank.labels().eq(label).nonzero().squeeze(1);
  return bank.rows().index_select(0, members).to(at::kDouble).mean(0);
}

void expect_means(const PseudoLabels& bank, std::int64_t label) {
  const auto expected = mean_of_label(bank, label);
  EXPECT_TRUE(bank.centroids()[label].to(at::kDouble).allclose(expected, 0.0, 1e-6)) << label;
}

void expect_whole(const PseudoLabels& bank) {
  const auto n = bank.rows().size(0);
  const auto k = bank.centroids().size(0);
  EXPECT_TRUE(bank.labels().ge(0).logical_and(bank.labels().lt(k)).all().item<bool>());
  EXPECT_TRUE(bank.counts().gt(0).all().item<bool>()) << bank.counts();
  EXPECT_EQ(bank.counts().sum().item<std::int64_t>(), n);
}

void expect_unit_rows(const PseudoLabels& bank) {
  EXPECT_TRUE(bank.rows().norm(2, {1}).allclose(at::ones({bank.rows().size(0)}), 0.0, 1e-6));
}

TEST(PseudoLabels, MixesRowsOfUnitLengthByTheMomentum) {
  const auto start = unit_rows(normal_tensor({6, 5}, 1, at::kFloat));
  const auto keys = normal_tensor({2, 5}, 2).mul(3.0);
  for (const double mu : {0.0, 0.25, 1.0}) {
    const auto bank = bank_of(start, 2);
    const auto before = bank->rows().clone();
    bank->write(longs({4, 1}), keys, mu);
    const auto old = start.index_select(0, longs({4, 1})).to(at::kDouble);
    const auto expected = unit_rows(old.mul(1.0 - mu).add(unit_rows(keys).mul(mu)));
    const auto written = bank->rows().index_select(0, longs({4, 1})).to(at::kDouble);
    EXPECT_TRUE(written.allclose(expected, 0.0, 1e-6)) << mu;
    const auto others = longs({0, 2, 3, 5});
    EXPECT_TRUE(bank->rows().index_select(0, others).equal(before.index_select(0, others))) << mu;
    expect_unit_rows(*bank);
  }
}

TEST(PseudoLabels, TakesAFirstKeyAsItIs) {
  PseudoLabels bank({.samples = 4, .dim = 3, .clusters = 2});
  EXPECT_FALSE(bank.filled().any().item<bool>());
  const auto keys = normal_tensor({2, 3}, 3, at::kFloat);
  bank.write(longs({3, 0}), keys, 0.25);
  EXPECT_TRUE(bank.filled().equal(at::tensor({1, 0, 0, 1}, at::kLong).to(at::kBool)));
  EXPECT_TRUE(bank.rows().index_select(0, longs({3, 0})).allclose(unit_rows(keys), 0.0, 1e-6));
  EXPECT_TRUE(bank.labels().eq(-1).all().item<bool>());
}

TEST(PseudoLabels, TakesTheLastOfEqualIndices) {
  const auto start = unit_rows(normal_tensor({5, 4}, 4, at::kFloat));
  const auto bank = bank_of(start, 2);
  const auto keys = normal_tensor({4, 4}, 5, at::kFloat);
  bank->write(longs({2, 0, 2, 2}), keys, 1.0);
  EXPECT_TRUE(bank->rows()[2].allclose(unit_rows(keys)[3], 0.0, 1e-6));
  EXPECT_TRUE(bank->rows()[0].allclose(unit_rows(keys)[1], 0.0, 1e-6));
  // From the row as it was before, not one after the other.
  bank->write(longs({1, 1}), keys.narrow(0, 0, 2), 0.5);
  const auto once = unit_rows((start[1] + unit_rows(keys)[1]).unsqueeze(0));
  EXPECT_TRUE(bank->rows()[1].allclose(once[0], 0.0, 1e-6));
}

TEST(PseudoLabels, KeepsNoGraph) {
  PseudoLabels bank({.samples = 4, .dim = 3, .clusters = 2});
  bank.write(longs({0, 1}), normal_tensor({2, 3}, 6, at::kFloat).requires_grad_(true), 1.0);
  EXPECT_FALSE(bank.rows().requires_grad());
  EXPECT_TRUE(bank.parameters().empty());
}

TEST(PseudoLabels, FindsSeparateBlobs) {
  const Labels sizes{6, 9, 5, 12};
  const auto bank = bank_of(blobs(sizes, 8, 7), 4);
  bank->cluster(generator(1));
  expect_whole(*bank);
  std::int64_t first = 0;
  std::set<std::int64_t> found;
  for (const auto size : sizes) {
    const auto of_blob = bank->labels().narrow(0, first, size);
    EXPECT_TRUE(of_blob.eq(of_blob[0]).all().item<bool>()) << of_blob;
    found.insert(of_blob[0].item<std::int64_t>());
    first += size;
  }
  EXPECT_EQ(found.size(), sizes.size());
  for (std::int64_t c = 0; c < 4; ++c) {
    expect_means(*bank, c);
  }
}

TEST(PseudoLabels, ClustersAlikeForTheSameStateOfTheGenerator) {
  const auto rows = unit_rows(normal_tensor({60, 5}, 8, at::kFloat));
  const auto a = bank_of(rows, 7);
  const auto b = bank_of(rows, 7);
  a->cluster(generator(3));
  b->cluster(generator(3));
  EXPECT_TRUE(a->labels().equal(b->labels()));
  EXPECT_TRUE(a->centroids().equal(b->centroids()));
  b->cluster(generator(4));
  EXPECT_FALSE(a->labels().equal(b->labels()));
}

TEST(PseudoLabels, LeavesNoClusterEmptyWhereRowsAreEqual) {
  const auto one = unit_rows(normal_tensor({1, 4}, 9, at::kFloat));
  const auto two = unit_rows(normal_tensor({2, 4}, 10, at::kFloat));
  for (const auto& rows : {one.repeat({9, 1}), two.repeat({4, 1}), two.repeat({3, 1})}) {
    const auto bank = bank_of(rows, 6);
    bank->cluster(generator(5));
    expect_whole(*bank);
  }
}

TEST(PseudoLabels, ClustersImagesWithFeaturesOnly) {
  PseudoLabels bank({.samples = 10, .dim = 4, .clusters = 2});
  bank.write(longs({9, 2, 5}), blobs({2, 1}, 4, 11), 1.0);
  bank.cluster(generator(6));
  EXPECT_EQ(bank.counts().sum().item<std::int64_t>(), 3);
  EXPECT_EQ(list_of(bank.labels().lt(0).nonzero()), (Labels{0, 1, 3, 4, 6, 7, 8}));
  EXPECT_EQ(bank.labels()[9].item<std::int64_t>(), bank.labels()[2].item<std::int64_t>());
  EXPECT_NE(bank.labels()[9].item<std::int64_t>(), bank.labels()[5].item<std::int64_t>());
}

TEST(PseudoLabels, ChangesNoLabelWhereCentroidsAreMeansOfSeparateBlobs) {
  const Labels sizes{5, 8, 7};
  const auto bank = labelled(blobs(sizes, 6, 12), blob_labels(sizes), 3);
  EXPECT_EQ(bank->relabel(at::arange(20, at::kLong)), 0.0);
  EXPECT_TRUE(bank->labels().equal(blob_labels(sizes)));
}

TEST(PseudoLabels, SaysTheShareOfImagesThatChangeTheirLabel) {
  const Labels sizes{5, 5};
  const auto rows = blobs(sizes, 4, 13);
  const auto bank = labelled(rows, blob_labels(sizes), 2);
  // Image 0 now looks as those of the other blob; image 1 comes twice and stays.
  bank->write(longs({0}), rows.narrow(0, 7, 1), 1.0);
  EXPECT_EQ(bank->relabel(longs({0, 1, 1, 2, 6})), 0.25);
  EXPECT_EQ(bank->labels()[0].item<std::int64_t>(), 1);
  EXPECT_EQ(bank->relabel(longs({0, 1})), 0.0);
  EXPECT_EQ(bank->relabel(longs({})), 0.0);
}

TEST(PseudoLabels, TakesTheLargestProductAndNotTheNearestCentroid) {
  const auto bank = bank_of(unit_rows(normal_tensor({40, 3}, 14, at::kFloat)), 4);
  auto centroids = bank->named_buffers()["centroids"];
  centroids.copy_(normal_tensor({4, 3}, 15, at::kFloat));
  (void)bank->relabel(at::arange(40, at::kLong));
  EXPECT_TRUE(bank->labels().equal(bank->rows().mm(centroids.t()).argmax(1)));
  EXPECT_FALSE(bank->labels().equal(at::cdist(bank->rows(), centroids).argmin(1)));
}

TEST(PseudoLabels, SetsCentroidsToMeansThatAreNotOfUnitLength) {
  const auto rows = unit_rows(normal_tensor({9, 3}, 16, at::kFloat));
  const auto bank = labelled(rows, longs({0, 0, 0, 2, 2, 2, 2, -1, -1}), 3);
  expect_means(*bank, 0);
  expect_means(*bank, 2);
  EXPECT_LT(bank->centroids()[0].norm().item<double>(), 0.99);
  const auto empty = normal_tensor({3}, 17, at::kFloat);
  bank->named_buffers()["centroids"][1].copy_(empty);
  bank->update_centroids();
  EXPECT_TRUE(bank->centroids()[1].equal(empty));  // stays
}

TEST(PseudoLabels, DissolvesSmallClustersAndSplitsTheLargest) {
  // Cluster 0 is small, and nearer to 1 than to 2. Cluster 2 is the largest, made of two blobs.
  const Labels sizes{2, 6, 7, 8};
  const auto rows = blobs(sizes, 6, 18);
  rows.narrow(0, 0, 2).select(1, 1).add_(0.2);
  const auto bank = labelled(rows, blob_labels(sizes).clamp_max(2), 3);
  EXPECT_EQ(bank->maintain(3, generator(1)), 1);
  expect_whole(*bank);
  const auto labels = bank->labels();
  const auto third = labels.narrow(0, 8, 7);
  const auto fourth = labels.narrow(0, 15, 8);
  EXPECT_TRUE(third.eq(third[0]).all().item<bool>()) << third;
  EXPECT_TRUE(fourth.eq(fourth[0]).all().item<bool>()) << fourth;
  EXPECT_EQ(third[0].item<std::int64_t>() + fourth[0].item<std::int64_t>(), 2);  // 0 and 2
  EXPECT_TRUE(labels.narrow(0, 0, 8).eq(1).all().item<bool>()) << labels;
  expect_means(*bank, 0);
  expect_means(*bank, 2);
  EXPECT_EQ(bank->maintain(1, generator(1)), 0);
}

TEST(PseudoLabels, SplitsTheLargestAgainForEveryEmptyCluster) {
  const Labels sizes{20, 4};
  const auto bank = labelled(blobs(sizes, 5, 19), blob_labels(sizes), 6);
  EXPECT_EQ(bank->maintain(2, generator(2)), 4);
  expect_whole(*bank);
  EXPECT_LT(bank->counts().max().item<std::int64_t>(), 20);
}

TEST(PseudoLabels, SplitsEqualRowsInHalves) {
  const auto rows = unit_rows(normal_tensor({1, 4}, 20, at::kFloat)).repeat({10, 1});
  const auto bank = labelled(rows, at::zeros({10}, at::kLong), 2);
  EXPECT_EQ(bank->maintain(3, generator(3)), 1);
  EXPECT_EQ(list_of(bank->counts()), (Labels{5, 5}));
}

TEST(PseudoLabels, DissolvesOnlyEmptyClustersWhereAllAreSmall) {
  const Labels sizes{3, 4, 5};
  const auto bank = labelled(blobs(sizes, 5, 21), blob_labels(sizes), 3);
  EXPECT_EQ(bank->maintain(1000, generator(4)), 0);
  EXPECT_TRUE(bank->labels().equal(blob_labels(sizes)));
  const auto sparse = labelled(blobs(sizes, 5, 21), blob_labels(sizes), 4);
  EXPECT_EQ(sparse->maintain(1000, generator(4)), 1);
  expect_whole(*sparse);
}

TEST(PseudoLabels, CarriesAllItKnowsInItsState) {
  const auto bank = bank_of(unit_rows(normal_tensor({20, 4}, 22, at::kFloat)), 3);
  bank->cluster(generator(5));
  const auto bytes = write_safetensors(module_state(*bank), {});
  PseudoLabels loaded({.samples = 20, .dim = 4, .clusters = 3});
  load_module_state(loaded, parse_safetensors(bytes, "state"));
  EXPECT_TRUE(loaded.rows().equal(bank->rows()));
  EXPECT_TRUE(loaded.filled().equal(bank->filled()));
  EXPECT_TRUE(loaded.labels().equal(bank->labels()));
  EXPECT_TRUE(loaded.centroids().equal(bank->centroids()));
}

TEST(PseudoLabels, RefusesWhatDoesNotFit) {
  EXPECT_THROW(PseudoLabels({.samples = 3, .dim = 2, .clusters = 4}), ContractViolation);
  EXPECT_THROW(PseudoLabels({.samples = 3, .dim = 0, .clusters = 2}), ContractViolation);
  EXPECT_THROW(PseudoLabels({.samples = 3, .dim = 2, .clusters = 0}), ContractViolation);
  PseudoLabels bank({.samples = 5, .dim = 2, .clusters = 3});
  const auto keys = at::ones({2, 2});
  EXPECT_THROW(bank.write(longs({0, 5}), keys, 1.0), ContractViolation);
  EXPECT_THROW(bank.write(longs({0, -1}), keys, 1.0), ContractViolation);
  EXPECT_THROW(bank.write(longs({0}), keys, 1.0), ContractViolation);
  EXPECT_THROW(bank.write(longs({0, 1}), at::ones({2, 3}), 1.0), ContractViolation);
  EXPECT_THROW(bank.write(longs({0, 1}), keys, 1.5), ContractViolation);
  EXPECT_THROW(bank.relabel(longs({0})), ContractViolation);  // no feature yet
  bank.write(longs({0, 1}), keys, 1.0);
  EXPECT_THROW(bank.cluster(generator(1)), ContractViolation);  // two features, three clusters
  EXPECT_THROW(bank.maintain(1, generator(1)), ContractViolation);
}

// A bank of random rows, of which every seventh has neither a feature nor a label.
struct Drawing {
  static constexpr std::int64_t kImages = 70;
  static constexpr std::int64_t kClusters = 4;
  std::shared_ptr<PseudoLabels> bank;
  at::Tensor queries;  // [N, 6]
  at::Tensor indices;  // [N]
  at::Tensor seeds;    // [N]

  Drawing() : bank(bank_of(unit_rows(normal_tensor({kImages, 6}, 23, at::kFloat)), kClusters)) {
    const auto image = at::arange(kImages, at::kLong);
    const auto unknown = image.remainder(7).eq(0);
    auto buffers = bank->named_buffers();
    buffers["filled"].masked_fill_(unknown, false);
    buffers["labels"].copy_(image.remainder(kClusters));
    buffers["labels"].masked_fill_(unknown, -1);
    indices = unknown.logical_not().nonzero().squeeze(1);
    queries = normal_tensor({indices.size(0), 6}, 24, at::kFloat);
    seeds = at::arange(indices.size(0), at::kLong).add(1000);
  }

  [[nodiscard]] InterDraws draw(const InterDrawSpec& spec) const {
    return draw_inter_image(*bank, queries, indices, seeds, spec);
  }

  [[nodiscard]] std::int64_t label(std::int64_t image) const {
    return bank->labels()[image].item<std::int64_t>();
  }

  // Images with a label, by similarity with query i, by a sort; the most similar first.
  [[nodiscard]] Labels sorted(std::int64_t i) const {
    std::vector<std::pair<double, std::int64_t>> all;
    for (std::int64_t j = 0; j < kImages; ++j) {
      if (label(j) >= 0) {
        all.emplace_back(-(queries[i] * bank->rows()[j]).sum().item<double>(), j);
      }
    }
    std::ranges::sort(all);
    Labels images;
    for (const auto& [similarity, image] : all) {
      images.push_back(image);
    }
    return images;
  }
};

const std::vector<NegativeSampling> kSamplings{NegativeSampling::kRandom,
                                               NegativeSampling::kSemiHard, NegativeSampling::kHard,
                                               NegativeSampling::kSemiEasy};

TEST(InterDraws, TakesPositivesWithTheLabelAndNegativesWithoutIt) {
  const Drawing drawing;
  for (const auto sampling : kSamplings) {
    const auto drawn = drawing.draw({.sampling = sampling, .negatives = 9, .pool = 20});
    ASSERT_EQ(drawn.negatives.sizes(), (std::vector<std::int64_t>{drawing.indices.size(0), 9}));
    const auto own = drawing.bank->labels().index_select(0, drawing.indices);
    EXPECT_TRUE(drawing.bank->labels().index_select(0, drawn.positives).equal(own));
    const auto others = drawing.bank->labels()
                            .index_select(0, drawn.negatives.flatten())
                            .view(drawn.negatives.sizes());
    EXPECT_FALSE(others.eq(own.unsqueeze(1)).any().item<bool>());
    EXPECT_TRUE(others.ge(0).all().item<bool>()) << "an image without a feature";
  }
}

TEST(InterDraws, TakesDifferentNegativesOfThePool) {
  constexpr std::size_t kPool = 30;
  const Drawing drawing;
  for (const auto sampling : {NegativeSampling::kSemiHard, NegativeSampling::kSemiEasy}) {
    const auto drawn = drawing.draw({.sampling = sampling, .negatives = 5, .pool = kPool});
    for (std::int64_t i = 0; i < drawing.indices.size(0); ++i) {
      const auto sorted = drawing.sorted(i);
      const auto first = sampling == NegativeSampling::kSemiHard ? 0 : sorted.size() - kPool;
      const std::set<std::int64_t> pool(
          sorted.begin() + static_cast<std::ptrdiff_t>(first),
          sorted.begin() + static_cast<std::ptrdiff_t>(first + kPool));
      const auto of_row = list_of(drawn.negatives[i]);
      const std::set<std::int64_t> distinct(of_row.begin(), of_row.end());
      EXPECT_TRUE(std::ranges::includes(pool, distinct)) << i;
      EXPECT_EQ(distinct.size(), of_row.size()) << i;
    }
  }
}

TEST(InterDraws, TakesTheHardestByASort) {
  const Drawing drawing;
  const auto drawn = drawing.draw({.sampling = NegativeSampling::kHard, .negatives = 6, .pool = 1});
  for (std::int64_t i = 0; i < drawing.indices.size(0); ++i) {
    const auto own = drawing.label(drawing.indices[i].item<std::int64_t>());
    Labels expected;
    for (const auto image : drawing.sorted(i)) {
      if (expected.size() < 6 && drawing.label(image) != own) {
        expected.push_back(image);
      }
    }
    EXPECT_EQ(list_of(drawn.negatives[i]), expected) << i;
  }
}

TEST(InterDraws, ComesToEveryImageWithAnotherLabelAboutEquallyOften) {
  constexpr std::int64_t kDraws = 20000;
  const Drawing drawing;
  const auto image = drawing.indices.narrow(0, 0, 1);
  const auto drawn =
      draw_inter_image(*drawing.bank, drawing.queries.narrow(0, 0, 1), image, longs({7}),
                       {.sampling = NegativeSampling::kRandom, .negatives = kDraws, .pool = 1});
  const auto counts = drawn.negatives.flatten().bincount({}, Drawing::kImages);
  const auto own = drawing.label(image.item<std::int64_t>());
  const auto others = drawing.bank->labels().ge(0).logical_and(drawing.bank->labels().ne(own));
  EXPECT_TRUE(counts.gt(0).equal(others));
  const double expected = kDraws / others.sum().item<double>();
  // Five standard deviations of a Poisson count.
  const auto off = counts.masked_select(others).to(at::kDouble).sub(expected).abs();
  EXPECT_LT(off.max().item<double>(), 5.0 * std::sqrt(expected));
}

TEST(InterDraws, LeavesThePoolWhereAllOfItHasTheLabelOfTheQuery) {
  // The pool of an image of the large blob is the blob.
  const Labels sizes{12, 3};
  const auto rows = blobs(sizes, 4, 25);
  const auto bank = labelled(rows, blob_labels(sizes), 2);
  const auto drawn =
      draw_inter_image(*bank, rows.narrow(0, 0, 1), longs({0}), longs({1}),
                       {.sampling = NegativeSampling::kSemiHard, .negatives = 40, .pool = 10});
  const auto negatives = list_of(drawn.negatives);
  EXPECT_EQ(std::set<std::int64_t>(negatives.begin(), negatives.end()),
            (std::set<std::int64_t>{12, 13, 14}));
}

TEST(InterDraws, TakesImagesAgainWhereTooFewHaveAnotherLabel) {
  const Labels sizes{5, 3};
  const auto rows = blobs(sizes, 4, 26);
  const auto bank = labelled(rows, blob_labels(sizes), 2);
  for (const auto sampling : kSamplings) {
    const auto drawn = draw_inter_image(*bank, rows.narrow(0, 0, 1), longs({0}), longs({1}),
                                        {.sampling = sampling, .negatives = 60, .pool = 60});
    const auto negatives = list_of(drawn.negatives);
    EXPECT_EQ(std::set<std::int64_t>(negatives.begin(), negatives.end()),
              (std::set<std::int64_t>{5, 6, 7}));
  }
}

// The positives of image `self` for many seeds.
std::set<std::int64_t> positives_of(const PseudoLabels& bank,
                                    std::int64_t self,
                                    bool exclude_self) {
  const auto rows = bank.rows()[self].unsqueeze(0).repeat({200, 1});
  const auto drawn = draw_inter_image(bank, rows, at::full({200}, self, at::kLong),
                                      at::arange(200, at::kLong), {.exclude_self = exclude_self});
  const auto positives = list_of(drawn.positives);
  return {positives.begin(), positives.end()};
}

TEST(InterDraws, ComesToAllImagesWithTheLabelAndWhereToldNotToItself) {
  const Labels sizes{3, 4, 1};
  const auto bank = labelled(blobs(sizes, 4, 27), blob_labels(sizes), 3);
  EXPECT_EQ(positives_of(*bank, 4, false), (std::set<std::int64_t>{3, 4, 5, 6}));
  for (std::int64_t self = 3; self < 7; ++self) {
    std::set<std::int64_t> expected{3, 4, 5, 6};
    expected.erase(self);
    EXPECT_EQ(positives_of(*bank, self, true), expected);
  }
}

TEST(InterDraws, TakesASingletonForItsOwnPositiveUnlessTold) {
  const Labels sizes{3, 1};
  const auto bank = labelled(blobs(sizes, 4, 28), blob_labels(sizes), 2);
  EXPECT_EQ(positives_of(*bank, 3, false), (std::set<std::int64_t>{3}));
  const auto all = at::arange(4, at::kLong);
  EXPECT_TRUE(can_draw(*bank, all, {}).all().item<bool>());
  const auto without_self = can_draw(*bank, all, {.exclude_self = true});
  EXPECT_EQ(list_of(without_self.to(at::kLong)), (Labels{1, 1, 1, 0}));
}

TEST(InterDraws, HasNothingToDrawWithoutALabelOrWithoutOthers) {
  const auto rows = unit_rows(normal_tensor({4, 3}, 29, at::kFloat));
  const auto all = at::arange(4, at::kLong);
  const auto sparse = labelled(rows, longs({0, -1, 1, -1}), 2);
  EXPECT_EQ(list_of(can_draw(*sparse, all, {}).to(at::kLong)), (Labels{1, 0, 1, 0}));
  const auto alike = labelled(rows, longs({1, 1, 1, -1}), 2);
  EXPECT_FALSE(can_draw(*alike, all, {}).any().item<bool>());
  EXPECT_THROW((void)draw_inter_image(*alike, rows, all, all, {}), ContractViolation);
  EXPECT_THROW((void)draw_inter_image(*sparse, rows, longs({0}), longs({0}), {}),
               ContractViolation);
}

TEST(InterDraws, DrawsForARowWhateverTheOthersAre) {
  const Drawing drawing;
  for (const auto sampling : kSamplings) {
    const InterDrawSpec spec{.sampling = sampling, .negatives = 8, .pool = 25};
    const auto whole = drawing.draw(spec);
    const auto part =
        draw_inter_image(*drawing.bank, drawing.queries.narrow(0, 10, 5),
                         drawing.indices.narrow(0, 10, 5), drawing.seeds.narrow(0, 10, 5), spec);
    EXPECT_TRUE(part.positives.equal(whole.positives.narrow(0, 10, 5)));
    EXPECT_TRUE(part.negatives.equal(whole.negatives.narrow(0, 10, 5)));
  }
}

// Two clusters for each of four classes: negatives of the other cluster of the class are false.
// The nearer negatives are, the more of them are.
TEST(InterDraws, TakesFalseNegativesTheOftenerTheHarderTheyAre) {
  const Labels sizes(8, 10);
  auto rows = blobs(sizes, 12, 30).to(at::kDouble);
  for (std::int64_t c = 0; c < 4; ++c) {  // what the images of a class have in common
    rows.narrow(0, 20 * c, 20).select(1, 8 + c).add_(1.0);
  }
  const auto bank = labelled(unit_rows(rows), blob_labels(sizes), 8);
  const auto all = at::arange(80, at::kLong);
  const auto false_share = [&](NegativeSampling sampling) {
    const auto drawn = draw_inter_image(*bank, bank->rows(), all, all,
                                        {.sampling = sampling, .negatives = 8, .pool = 40});
    const auto classes = drawn.negatives.div(20, "floor");
    return classes.eq(all.div(20, "floor").unsqueeze(1)).to(at::kDouble).mean().item<double>();
  };
  const double random = false_share(NegativeSampling::kRandom);
  const double semi_hard = false_share(NegativeSampling::kSemiHard);
  EXPECT_EQ(false_share(NegativeSampling::kHard), 1.0);
  EXPECT_NEAR(random, 10.0 / 70.0, 0.07);
  EXPECT_NEAR(semi_hard, 10.0 / 30.0, 0.08);  // five standard deviations
  EXPECT_EQ(false_share(NegativeSampling::kSemiEasy), 0.0);
}

}  // namespace
}  // namespace viewfold
