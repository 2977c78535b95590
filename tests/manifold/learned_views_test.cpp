// Tests of local manifold augmentation: when a view is made of another image, and of which one.
#include "viewfold/manifold/learned_views.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "core/test_folder.hpp"
#include "loader/memory_dataset.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/loader/loader.hpp"

namespace viewfold {
namespace {

constexpr std::uint32_t kImages = 40;
const Normalization kHalf{.mean = {0.5, 0.5, 0.5}, .std = {0.25, 0.25, 0.25}};

// Image i as a sample shows it: its number in its first pixel, the sample's in its second.
class Marked final : public Manifold {
 public:
  void sample(std::span<const std::uint32_t> samples,
              const RngKey& key,
              std::span<Image> images) const override {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      images[i] = Image(8, 8, 3);
      images[i].values<std::uint8_t>()[0] = static_cast<std::uint8_t>(samples[i]);
      images[i].values<std::uint8_t>()[1] = static_cast<std::uint8_t>(key.view);
    }
  }
};

std::shared_ptr<const LocalManifold> manifold_of(std::int64_t k = 3) {
  torch::manual_seed(5);
  auto manifold = make_local_manifold(at::randn({kImages, 6}), at::randn({kImages, 6}), k);
  manifold.data_fingerprint = "these images";
  manifold.condition = "random";
  return std::make_shared<const LocalManifold>(std::move(manifold));
}

std::shared_ptr<const Dataset> images() {
  return std::make_shared<MemoryDataset>(kImages, 8);
}

LearnedViewsConfig config_of(double p1, double p2) {
  LearnedViewsConfig config;
  config.from = "somewhere";
  config.operator_name = "neighbour";
  config.mode = "online";
  config.probability_view1 = p1;
  config.probability_view2 = p2;
  return config;
}

std::shared_ptr<const LearnedViews> views_of(const LearnedViewsConfig& config) {
  return std::make_shared<const LearnedViews>(config, manifold_of(),
                                              std::make_shared<const Marked>(), nullptr);
}

std::vector<Image> drawn(const SubstituteSource& source,
                         std::span<const std::uint32_t> samples,
                         std::int64_t view,
                         std::int64_t epoch = 0,
                         double progress = 0.0) {
  std::vector<Image> result(samples.size());
  source.draw({.seed = 1, .epoch = epoch, .progress = progress, .view = view, .samples = samples},
              result);
  return result;
}

std::vector<std::uint32_t> all_images() {
  std::vector<std::uint32_t> samples(kImages);
  for (std::uint32_t i = 0; i < kImages; ++i) {
    samples[i] = i;
  }
  return samples;
}

std::vector<ViewBatch> batches(std::shared_ptr<const SubstituteSource> substitutes) {
  Loader loader(images(), make_view_plan(RecipeConfig("simclr", 8), 0, 8), kHalf,
                {.batch_size = 8,
                 .total_steps = 10,
                 .seed = 1,
                 .threads = 2,
                 .substitutes = std::move(substitutes)});
  std::vector<ViewBatch> taken;
  for (int i = 0; i < 10; ++i) {
    taken.push_back(loader.next());
  }
  return taken;
}

TEST(LearnedViews, ChangeNoBitAtProbabilityZero) {
  const auto without = batches(nullptr);
  const auto with = batches(views_of(config_of(0.0, 0.0)));
  for (std::size_t i = 0; i < without.size(); ++i) {
    EXPECT_TRUE(without[i].groups[0].equal(with[i].groups[0]));
    EXPECT_EQ(without[i].indices, with[i].indices);
    EXPECT_EQ(std::ranges::count(with[i].substituted, 1), 0);
  }
}

// The view that is not made of a sample is the same as without learned views: the draws of the
// recipe do not move.
TEST(LearnedViews, LeaveTheOtherViewAsItWas) {
  const auto without = batches(nullptr);
  const auto with = batches(views_of(config_of(1.0, 0.0)));
  for (std::size_t i = 0; i < without.size(); ++i) {
    EXPECT_FALSE(without[i].view(0).equal(with[i].view(0)));
    EXPECT_TRUE(without[i].view(1).equal(with[i].view(1)));
    EXPECT_EQ(std::ranges::count(with[i].substituted, 1), 8);
  }
}

TEST(LearnedViews, TossAFairCoinForEachImageViewAndEpoch) {
  const auto views = views_of(config_of(0.5, 0.5));
  const auto samples = all_images();
  int replaced = 0;
  int both = 0;
  constexpr int kEpochs = 250;  // 10,000 draws: one deviation is 50
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const auto first = drawn(*views, samples, 0, epoch);
    const auto second = drawn(*views, samples, 1, epoch);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      replaced += first[i].empty() ? 0 : 1;
      both += first[i].empty() || second[i].empty() ? 0 : 1;
    }
  }
  EXPECT_NEAR(replaced, 5000, 5 * 50);
  EXPECT_NEAR(both, 2500, 5 * 44);
}

TEST(LearnedViews, PairEachImageWithItsOwnSample) {
  const auto views = views_of(config_of(1.0, 1.0));
  const std::vector<std::uint32_t> shuffled{7, 3, 39, 0, 12};
  const auto result = drawn(*views, shuffled, 1);
  for (std::size_t i = 0; i < shuffled.size(); ++i) {
    EXPECT_EQ(result[i].values<std::uint8_t>()[0], shuffled[i]);
    // Alone or in company, it is the same.
    EXPECT_EQ(result[i], drawn(*views, std::span(&shuffled[i], 1), 1)[0]);
  }
}

TEST(LearnedViews, FadeToTheEndOfTheRun) {
  auto config = config_of(1.0, 1.0);
  config.fade = 1.0;
  const auto views = views_of(config);
  const auto count = [&](double progress) {
    int found = 0;
    for (int epoch = 0; epoch < 100; ++epoch) {
      for (const auto& image : drawn(*views, all_images(), 0, epoch, progress)) {
        found += image.empty() ? 0 : 1;
      }
    }
    return found;
  };
  EXPECT_EQ(count(0.0), 4000);
  EXPECT_NEAR(count(0.75), 1000, 5 * 28);
}

TEST(LearnedViews, ReplaceOnlyTrustedImages) {
  auto config = config_of(1.0, 1.0);
  config.confidence_gate = 0.25;
  config.confidence_gate_end = 1.0;
  const auto views = views_of(config);
  const auto manifold = manifold_of();
  const auto best = std::get<1>(manifold->confidence.topk(10));
  std::set<std::int64_t> trusted(best.data_ptr<std::int64_t>(), best.data_ptr<std::int64_t>() + 10);
  const auto start = drawn(*views, all_images(), 0);
  for (std::size_t i = 0; i < kImages; ++i) {
    EXPECT_EQ(!start[i].empty(), trusted.contains(static_cast<std::int64_t>(i))) << i;
  }
  const auto middle = drawn(*views, all_images(), 0, 0, 1.0 / 3);  // 0.5 of 40
  EXPECT_EQ(std::ranges::count_if(middle, [](const Image& image) { return !image.empty(); }), 20);
}

TEST(LearnedViews, AreTheSampleItselfWhereTheyReplaceTheRecipe) {
  auto config = config_of(1.0, 0.0);
  config.position = "replace_base";
  for (const auto& batch : batches(views_of(config))) {
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const double pixel = batch.view(0)[i][0][0][0].item<double>() * 0.25 + 0.5;
      EXPECT_NEAR(pixel * 255, batch.indices[static_cast<std::size_t>(i)], 1.0);
    }
  }
}

TEST(LearnedViews, NameTheFormOfAWrongMode) {
  LearnedViewsConfig config;
  for (const char* mode : {"cached", "cached:", "cached:0", "cached:x", "cached:10x", "offline"}) {
    config.mode = mode;
    EXPECT_THROW((void)config.samples_kept(), UsageError) << mode;
  }
  config.mode = "cached:7";
  EXPECT_EQ(config.samples_kept(), 7);
}

TEST(LearnedViews, RefuseAManifoldOfOtherImages) {
  const TestFolder folder("learned_views");
  write_local_manifold(*manifold_of(), neighbourhoods_file(folder.path()));
  auto config = config_of(0.5, 0.5);
  config.from = folder.path();
  NullLog log;
  LearnedViewsParts parts{.images = images(), .data_fingerprint = "these images"};
  EXPECT_NE(open_learned_views(config, parts, log), nullptr);
  parts.data_fingerprint = "other images";
  EXPECT_THROW((void)open_learned_views(config, parts, log), DataError);
  config.operator_name = "ic_gan";
  parts.data_fingerprint = "these images";
  EXPECT_THROW((void)open_learned_views(config, parts, log), DataError);  // there is no generator
}

TEST(Neighbour, GivesEachNeighbourAsOften) {
  const auto manifold = manifold_of(4);
  const auto dataset = images();
  const auto neighbour = find_manifold("neighbour").make({.manifold = manifold, .images = dataset});
  const std::uint32_t sample = 11;
  std::map<std::int64_t, int> counts;
  constexpr std::uint32_t kDraws = 4000;
  for (std::uint32_t epoch = 0; epoch < kDraws; ++epoch) {
    Image image;
    neighbour->sample(std::span(&sample, 1), {.seed = 1, .stream = "test", .epoch = epoch},
                      std::span(&image, 1));
    for (std::int64_t c = 0; c < 4; ++c) {
      const auto index = manifold->neighbourhoods.index[sample][c].item<std::int64_t>();
      counts[index] += image == dataset->image(static_cast<std::size_t>(index)) ? 1 : 0;
    }
  }
  ASSERT_EQ(counts.size(), 4U);
  for (const auto& [index, count] : counts) {
    EXPECT_NEAR(count, 1000, 5 * 28) << index;
  }
}

TEST(Shuffled, NeverGivesAnImageItsOwn) {
  const auto others = other_samples(100, 3);
  std::set<std::uint32_t> seen;
  for (std::uint32_t i = 0; i < 100; ++i) {
    EXPECT_NE(others[i], i);
    seen.insert(others[i]);
  }
  EXPECT_EQ(seen.size(), 100U);
}

class Cached : public ::testing::Test {
 protected:
  SampleCacheOptions options() {
    return {.path = folder_.path() / "samples.pixels",
            .key = "what \"they\" are",
            .images = kImages,
            .samples_each = 3,
            .seed = 1};
  }
  // Changes one byte of the file.
  void damage(std::streamoff place) {
    std::fstream file(options().path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(place);
    const char value = static_cast<char>(file.get() ^ 1);
    file.seekp(place);
    file.put(value);
  }
  TestFolder folder_{"sample_cache"};
};

TEST_F(Cached, SamplesBelongToTheirImages) {
  const auto cache = write_sample_cache(Marked(), options());
  Image image;
  for (std::uint32_t i = 0; i < kImages; ++i) {
    for (std::int64_t s = 0; s < 3; ++s) {
      cache->read(i, s, image);
      EXPECT_EQ(image.values<std::uint8_t>()[0], i);
      EXPECT_EQ(image.values<std::uint8_t>()[1], s);
    }
  }
  EXPECT_THROW(cache->read(kImages, 0, image), ContractViolation);
  EXPECT_THROW(cache->read(0, 3, image), ContractViolation);
  const LearnedViews views(config_of(1.0, 1.0), manifold_of(), nullptr, cache);
  std::set<int> used;
  for (int epoch = 0; epoch < 20; ++epoch) {
    const auto result = drawn(views, all_images(), 0, epoch);
    for (std::uint32_t i = 0; i < kImages; ++i) {
      EXPECT_EQ(result[i].values<std::uint8_t>()[0], i);
      used.insert(result[i].values<std::uint8_t>()[1]);
    }
  }
  EXPECT_EQ(used.size(), 3U);
}

TEST_F(Cached, SamplesOfAnotherKeyOrDamagedAreNotOpened) {
  EXPECT_EQ(SampleCache::open(options().path, options().key), nullptr);  // none there
  (void)write_sample_cache(Marked(), options());
  ASSERT_NE(SampleCache::open(options().path, options().key), nullptr);
  EXPECT_EQ(SampleCache::open(options().path, "another"), nullptr);
  damage(4096 + 1000);
  EXPECT_EQ(SampleCache::open(options().path, options().key), nullptr);
  damage(4096 + 1000);
  ASSERT_NE(SampleCache::open(options().path, options().key), nullptr);
  damage(1);
  EXPECT_EQ(SampleCache::open(options().path, options().key), nullptr);
  damage(1);
  std::filesystem::resize_file(options().path, 4096 + 500);
  EXPECT_EQ(SampleCache::open(options().path, options().key), nullptr);
  std::filesystem::resize_file(options().path, 10);
  EXPECT_EQ(SampleCache::open(options().path, options().key), nullptr);
}

TEST_F(Cached, SamplesLeaveNothingWhenStopped) {
  auto stopped = options();
  stopped.stop_requested = [] { return true; };
  EXPECT_THROW((void)write_sample_cache(Marked(), stopped), Interrupted);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace viewfold
