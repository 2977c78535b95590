// Tests of the loader: what its batches hold, and what happens to damaged images.
#include "viewfold/loader/loader.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <numeric>

#include "core/test_folder.hpp"
#include "loader/memory_dataset.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/augment/annotations.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/data/image_cache.hpp"
#include "viewfold/data/subset.hpp"

namespace viewfold {
namespace {

const Normalization kHalf{.mean = {0.5, 0.5, 0.5}, .std = {0.25, 0.25, 0.25}};

ViewPlan plan_of(std::int64_t size = 8, std::string_view recipe = "simclr") {
  return make_view_plan(RecipeConfig(recipe, size), 0, size);
}

std::unique_ptr<Loader> make_loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options) {
  return std::make_unique<Loader>(std::move(dataset), plan_of(), kHalf, options);
}

std::vector<ViewBatch> take_all(Loader& loader, std::int64_t count) {
  std::vector<ViewBatch> batches;
  for (std::int64_t i = 0; i < count; ++i) {
    batches.push_back(loader.next());
  }
  return batches;
}

void expect_equal(const ViewBatch& a, const ViewBatch& b) {
  ASSERT_EQ(a.groups.size(), b.groups.size());
  for (std::size_t g = 0; g < a.groups.size(); ++g) {
    EXPECT_TRUE(a.groups[g].equal(b.groups[g]));
  }
  EXPECT_EQ(a.indices, b.indices);
  EXPECT_EQ(a.epoch, b.epoch);
  ASSERT_EQ(a.records.size(), b.records.size());
  for (std::size_t i = 0; i < a.records.size(); ++i) {
    EXPECT_EQ(a.records[i].op, b.records[i].op);
    EXPECT_EQ(a.records[i].values, b.records[i].values);
  }
}

TEST(Loader, MakesShardsThatTogetherAreTheWholeBatch) {
  const auto dataset = std::make_shared<MemoryDataset>(21, 12);
  LoaderOptions options{.batch_size = 6, .total_steps = 5, .seed = 3};
  const auto whole = take_all(*make_loader(dataset, options), 5);
  options.shards = 3;
  for (options.shard = 0; options.shard < 3; ++options.shard) {
    const auto part = take_all(*make_loader(dataset, options), 5);
    for (std::size_t step = 0; step < part.size(); ++step) {
      ASSERT_EQ(part[step].size(), 2);
      EXPECT_EQ(part[step].epoch, whole[step].epoch);
      for (std::int64_t v = 0; v < 2; ++v) {
        EXPECT_TRUE(part[step].view(v).equal(whole[step].view(v).narrow(0, options.shard * 2, 2)));
        EXPECT_EQ(part[step].records_of(v, 1)[0].values,
                  whole[step].records_of(v, options.shard * 2 + 1)[0].values);
      }
    }
  }
  EXPECT_EQ(batch_bytes(plan_of(), options) * 3,
            batch_bytes(plan_of(), LoaderOptions{.batch_size = 6}));
  options.shard = 3;
  EXPECT_THROW((void)make_loader(dataset, options), ContractViolation);
  options.shard = 0;
  options.shards = 4;
  EXPECT_THROW((void)make_loader(dataset, options), ContractViolation);
}

TEST(Loader, MakesBatchesThatDependOnSeedAndStepOnly) {
  const auto dataset = std::make_shared<MemoryDataset>(21, 12);
  LoaderOptions options{.batch_size = 5, .total_steps = 11, .seed = 3};
  const auto expected = take_all(*make_loader(dataset, options), 11);
  for (const int threads : {2, 4, 7}) {
    options.threads = threads;
    options.prefetch = std::max(1, 5 - threads);
    const auto batches = take_all(*make_loader(dataset, options), 11);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expect_equal(batches[i], expected[i]);
    }
  }
  options.seed = 4;
  const auto other = make_loader(dataset, options)->next();
  EXPECT_NE(other.indices, expected[0].indices);
}

// One that a cache can be made of.
class StoredDataset final : public MemoryDataset {
 public:
  using MemoryDataset::MemoryDataset;
  [[nodiscard]] std::string stamp(std::size_t /*index*/) const override { return "1"; }
};

TEST(Loader, MakesTheSameBatchesOfDecodedHeldAndCachedImages) {
  const TestFolder folder("loader");
  const std::set<std::size_t> bad{3, 4};
  const auto stored = std::make_shared<StoredDataset>(21, 12, bad);
  const auto held = preload(std::make_shared<MemoryDataset>(21, 12), 3, 1'000'000, 0.0, 2).dataset;
  NullLog log;
  const auto cached = write_image_cache(
      stored, {.path = folder.path() / "images", .bands = 3, .max_bytes = 1'000'000, .threads = 2},
      log);
  ASSERT_NE(cached, nullptr);
  LoaderOptions options{.batch_size = 5, .total_steps = 9, .seed = 3, .max_bad_fraction = 0.1};
  const auto expected = take_all(*make_loader(stored, options), 9);
  const auto expected_whole =
      take_all(*make_loader(std::make_shared<MemoryDataset>(21, 12), options), 9);
  for (const int threads : {1, 2, 7}) {
    options.threads = threads;
    const auto of_stored = take_all(*make_loader(stored, options), 9);
    const auto of_cached = take_all(*make_loader(cached, options), 9);
    const auto of_held = take_all(*make_loader(held, options), 9);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expect_equal(of_stored[i], expected[i]);
      expect_equal(of_cached[i], expected[i]);
      expect_equal(of_held[i], expected_whole[i]);
    }
  }
}

// What `viewfold show` relies on: the key of a view is all that it depends on.
TEST(Loader, EveryViewCanBeMadeAgainFromItsKey) {
  const auto dataset = std::make_shared<MemoryDataset>(21, 12);
  const LoaderOptions options{.batch_size = 5, .total_steps = 6, .seed = 3, .threads = 3};
  const ViewPlan plan = plan_of(8, "dino");  // groups of two sizes, and different pipelines
  Loader loader(dataset, plan_of(8, "dino"), kHalf, options);
  for (const auto& batch : take_all(loader, 6)) {
    for (std::int64_t v = 0; v < batch.views(); ++v) {
      for (std::int64_t i = 0; i < batch.size(); ++i) {
        const std::uint32_t sample = batch.indices[static_cast<std::size_t>(i)];
        const View view = make_view(plan, dataset->image(sample),
                                    {.seed = 3,
                                     .stream = "view",
                                     .epoch = static_cast<std::uint32_t>(batch.epoch),
                                     .sample = sample,
                                     .view = static_cast<std::uint16_t>(v)});
        const auto expected = to_tensor({&view.image, 1}, kHalf).squeeze(0);  // [C, S, S]
        EXPECT_TRUE(batch.view(v)[i].equal(expected)) << v << " " << i;
        const auto records = batch.records_of(v, i);
        for (std::size_t k = 0; k < view.records.size(); ++k) {
          EXPECT_EQ(records[k].values, view.records[k].values);
        }
      }
    }
  }
}

TEST(Loader, MakesViewsInBfloat16AsTensorsAreConverted) {
  const auto dataset = std::make_shared<MemoryDataset>(21, 12);
  LoaderOptions options{.batch_size = 5, .total_steps = 4, .seed = 3};
  const auto floats = take_all(*make_loader(dataset, options), 4);
  options.type = at::kBFloat16;
  const auto halves = take_all(*make_loader(dataset, options), 4);
  for (std::size_t i = 0; i < floats.size(); ++i) {
    const auto& made = halves[i].groups.front();
    EXPECT_TRUE(made.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(made.equal(floats[i].groups.front().to(at::kBFloat16)));
  }
  options.type = at::kLong;
  EXPECT_THROW((void)make_loader(dataset, options), ContractViolation);
}

// Decodes at a half, a quarter or an eighth when asked, as JPEGs are; smooth pictures of 64 x 64.
class SmoothPhotographs final : public MemoryDataset {
 public:
  SmoothPhotographs() : MemoryDataset(12, 64) {}

  [[nodiscard]] Image image(std::size_t index) const override { return at_size(index, 64); }
  [[nodiscard]] const Image& read_reduced(std::size_t index,
                                          Image& buffer,
                                          const ReductionChoice& choose) const override {
    const int smaller = choose(64, 64);
    most_reduced_ = std::max<int>(most_reduced_, smaller);
    buffer = at_size(index, 64 / smaller);
    return buffer;
  }
  [[nodiscard]] int most_reduced() const { return most_reduced_; }

 private:
  static Image at_size(std::size_t index, int size) {
    Image image(size, size, 3);
    auto value = image.values<std::uint8_t>().begin();
    for (int y = 0; y < size; ++y) {
      for (int x = 0; x < size; ++x) {
        const int level = ((2 * y + 1) + (2 * x + 1)) * 64 / size + static_cast<int>(index);
        value = std::fill_n(value, 3, static_cast<std::uint8_t>(level / 2));
      }
    }
    return image;
  }

  mutable std::atomic<int> most_reduced_ = 0;
};

TEST(Loader, ReadsPicturesNoLargerThanTheirViewsNeed) {
  const auto dataset = std::make_shared<SmoothPhotographs>();
  LoaderOptions options{.batch_size = 6, .total_steps = 6, .seed = 3};
  const auto make = [&] { return Loader(dataset, plan_of(8, "spatial"), kHalf, options); };
  auto whole_loader = make();
  const auto whole = take_all(whole_loader, 6);
  EXPECT_EQ(dataset->most_reduced(), 0);
  options.reduce_jpeg = true;
  auto reduced_loader = make();
  const auto reduced = take_all(reduced_loader, 6);
  EXPECT_GE(dataset->most_reduced(), 4);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(whole[i].indices, reduced[i].indices);
    for (std::size_t k = 0; k < whole[i].records.size(); ++k) {
      EXPECT_EQ(whole[i].records[k].values, reduced[i].records[k].values);
    }
    const auto difference = whole[i].groups.front() - reduced[i].groups.front();
    EXPECT_LT(difference.abs().max().item<float>(), 4.0F / (255.0F * 0.25F));  // grey levels
  }
}

// A mask of three classes, two boxes and three keypoints for each picture of `side` pixels; nothing
// for every fifth.
std::vector<Annotations> annotations_for(std::size_t size, int side) {
  std::vector<Annotations> all(size);
  for (std::size_t n = 0; n < size; ++n) {
    if (n % 5 == 4) {
      continue;
    }
    Rng rng({.seed = 2, .stream = "test", .sample = static_cast<std::uint32_t>(n)});
    Image mask(side, side, 1);
    for (auto& value : mask.values<std::uint8_t>()) {
      value = static_cast<std::uint8_t>(rng.below(3));
    }
    all[n].mask = std::move(mask);
    for (int k = 0; k < 2; ++k) {
      const double left = rng.uniform(0.0, side - 2.0);
      const double top = rng.uniform(0.0, side - 2.0);
      all[n].boxes.push_back({left, top, left + 2.0, top + 1.5});
    }
    for (int k = 0; k < 3; ++k) {
      all[n].keypoints.push_back({rng.uniform(0.0, side), rng.uniform(0.0, side)});
    }
  }
  return all;
}

void expect_equal(const MovedAnnotations& a, const MovedAnnotations& b) {
  EXPECT_EQ(a.mask, b.mask);
  ASSERT_EQ(a.boxes.size(), b.boxes.size());
  for (std::size_t k = 0; k < a.boxes.size(); ++k) {
    EXPECT_EQ(a.boxes[k].box.left, b.boxes[k].box.left);
    EXPECT_EQ(a.boxes[k].box.top, b.boxes[k].box.top);
    EXPECT_EQ(a.boxes[k].box.right, b.boxes[k].box.right);
    EXPECT_EQ(a.boxes[k].box.bottom, b.boxes[k].box.bottom);
    EXPECT_EQ(a.boxes[k].kept, b.boxes[k].kept);
  }
  ASSERT_EQ(a.keypoints.size(), b.keypoints.size());
  for (std::size_t k = 0; k < a.keypoints.size(); ++k) {
    EXPECT_EQ(a.keypoints[k].point.x, b.keypoints[k].point.x);
    EXPECT_EQ(a.keypoints[k].point.y, b.keypoints[k].point.y);
    EXPECT_EQ(a.keypoints[k].visible, b.keypoints[k].visible);
  }
}

TEST(Loader, MovesAnnotationsOfASampleIntoEachOfItsViews) {
  const auto known = annotations_for(21, 12);
  const std::shared_ptr<const Dataset> dataset =
      with_annotations(std::make_shared<MemoryDataset>(21, 12, std::set<std::size_t>{3, 4}), known);
  const ViewPlan plan = plan_of(8, "dino");  // groups of two sizes, and different pipelines
  LoaderOptions options{.batch_size = 5, .total_steps = 6, .seed = 3, .max_bad_fraction = 0.1};
  for (const int threads : {1, 2, 7}) {
    options.threads = threads;
    Loader loader(dataset, plan_of(8, "dino"), kHalf, options);
    for (const auto& batch : take_all(loader, 6)) {
      ASSERT_EQ(batch.annotations.size(), static_cast<std::size_t>(batch.views() * batch.size()));
      for (std::int64_t v = 0; v < batch.views(); ++v) {
        const auto& made_by = plan.pipeline_of(v);
        for (std::int64_t i = 0; i < batch.size(); ++i) {
          const auto records = batch.records_of(v, i).first(made_by.ops().size());
          const auto& before = known[batch.indices[static_cast<std::size_t>(i)]];
          expect_equal(batch.annotations_of(v, i),
                       move_annotations(made_by, records, before, {12, 12}));
        }
      }
    }
  }
}

TEST(Loader, MasksHaveTheSizeOfTheirViewsAndMoveAsPixelsDo) {
  const auto pictures = std::make_shared<MemoryDataset>(6, 12, std::set<std::size_t>{}, 1);
  std::vector<Annotations> known(6);
  for (std::size_t n = 0; n < known.size(); ++n) {
    known[n].mask = pictures->image(n);  // the pixels themselves
  }
  const std::shared_ptr<const Dataset> dataset = with_annotations(pictures, known);
  Loader loader(dataset, plan_of(12, "none+horizontal_flip"), {.mean = {0.0}, .std = {1.0 / 255.0}},
                {.batch_size = 6, .total_steps = 4, .bands = 1, .seed = 3});
  for (const auto& batch : take_all(loader, 4)) {
    for (std::int64_t v = 0; v < batch.views(); ++v) {
      for (std::int64_t i = 0; i < batch.size(); ++i) {
        const auto& mask = batch.annotations_of(v, i).mask;
        ASSERT_TRUE(mask);
        const auto expected = to_tensor({&*mask, 1}, {.mean = {0.0}, .std = {1.0 / 255.0}});
        EXPECT_TRUE(batch.view(v)[i].equal(expected[0]));
      }
    }
  }
}

TEST(Loader, GivesAnnotationsOfSelectedHeldCachedAndReducedImages) {
  const TestFolder folder("annotated");
  const auto known = annotations_for(12, 64);
  const LoaderOptions options{.batch_size = 6, .total_steps = 4, .seed = 3, .reduce_jpeg = true};
  const auto make = [&](std::shared_ptr<const Dataset> dataset) {
    Loader loader(std::move(dataset), plan_of(8, "spatial"), kHalf, options);
    return take_all(loader, 4);
  };
  const auto reduced = std::make_shared<SmoothPhotographs>();
  const auto stored = std::make_shared<StoredDataset>(12, 64);
  const std::shared_ptr<const Dataset> base = with_annotations(stored, known);
  std::vector<std::uint32_t> all(12);
  std::iota(all.begin(), all.end(), 0U);
  NullLog log;
  const auto cached = write_image_cache(
      base, {.path = folder.path() / "images", .bands = 3, .max_bytes = 1'000'000, .threads = 2},
      log);
  ASSERT_NE(cached, nullptr);
  const auto expected = make(base);
  for (const std::shared_ptr<const Dataset>& dataset :
       {std::shared_ptr<const Dataset>(make_subset(base, all)),
        preload(base, 3, 1'000'000, 0.0, 2).dataset, preload(base, 3, 10, 0.0, 2).dataset,
        std::shared_ptr<const Dataset>(cached),
        std::shared_ptr<const Dataset>(with_annotations(reduced, known))}) {
    const auto batches = make(dataset);
    for (std::size_t i = 0; i < batches.size(); ++i) {
      ASSERT_EQ(batches[i].annotations.size(), expected[i].annotations.size());
      for (std::size_t k = 0; k < expected[i].annotations.size(); ++k) {
        expect_equal(batches[i].annotations[k], expected[i].annotations[k]);
      }
    }
  }
  EXPECT_GE(reduced->most_reduced(), 4);
}

TEST(Loader, GivesNoAnnotationsWhereThereAreNone) {
  const auto batch =
      make_loader(std::make_shared<MemoryDataset>(6, 8), {.batch_size = 3, .total_steps = 1})
          ->next();
  EXPECT_TRUE(batch.annotations.empty());
  EXPECT_THROW((void)batch.annotations_of(0, 0), ContractViolation);
}

TEST(Loader, SaysThatAMaskHasNotTheSizeOfItsPicture) {
  const std::shared_ptr<const Dataset> dataset =
      with_annotations(std::make_shared<MemoryDataset>(6, 8), annotations_for(6, 9));
  EXPECT_THROW((void)make_loader(dataset, {.batch_size = 6, .total_steps = 1})->next(),
               ContractViolation);
}

TEST(Loader, GoesOnFromAnyStepWithTheSameBatches) {
  const auto dataset = std::make_shared<MemoryDataset>(20, 12);
  LoaderOptions options{.batch_size = 6, .total_steps = 9, .seed = 3, .threads = 2};
  const auto expected = take_all(*make_loader(dataset, options), 9);
  for (std::int64_t first = 0; first < 9; ++first) {
    options.first_step = first;
    const auto batches = take_all(*make_loader(dataset, options), 9 - first);
    for (std::size_t i = 0; i < batches.size(); ++i) {
      expect_equal(batches[i], expected[static_cast<std::size_t>(first) + i]);
    }
  }
}

TEST(Loader, VisitsEachImageOnceAnEpochInANewOrder) {
  const auto dataset = std::make_shared<MemoryDataset>(24, 8);
  const auto loader = make_loader(dataset, {.batch_size = 6, .total_steps = 8, .seed = 1});
  std::vector<std::vector<std::uint32_t>> orders(2);
  for (std::int64_t step = 0; step < 8; ++step) {
    const auto batch = loader->next();
    EXPECT_EQ(batch.epoch, step / 4);
    auto& order = orders[static_cast<std::size_t>(batch.epoch)];
    order.insert(order.end(), batch.indices.begin(), batch.indices.end());
  }
  EXPECT_NE(orders[0], orders[1]);
  std::vector<std::uint32_t> all(24);
  std::iota(all.begin(), all.end(), 0U);
  for (auto& order : orders) {
    EXPECT_NE(order, all);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, all);
  }
}

TEST(Loader, DropsTheIncompleteBatchOfAnEpoch) {
  EXPECT_EQ(batches_per_epoch(23, 6), 3);
  EXPECT_EQ(batches_per_epoch(6, 6), 1);
  EXPECT_THROW((void)batches_per_epoch(5, 6), UsageError);
  const auto dataset = std::make_shared<MemoryDataset>(11, 8);
  const auto loader = make_loader(dataset, {.batch_size = 4, .total_steps = 3});
  EXPECT_EQ(loader->next().epoch, 0);
  EXPECT_EQ(loader->next().epoch, 0);
  EXPECT_EQ(loader->next().epoch, 1);
}

TEST(Loader, StacksTheViewsOfItsPlanNormalisedAndChannelsLast) {
  const auto dataset = std::make_shared<MemoryDataset>(6, 8);
  Loader loader(dataset, plan_of(8, "none"), kHalf, {.batch_size = 3, .total_steps = 1});
  const auto batch = loader.next();
  EXPECT_EQ(batch.groups.front().sizes(), (std::vector<std::int64_t>{6, 3, 8, 8}));
  EXPECT_TRUE(batch.groups.front().is_contiguous(at::MemoryFormat::ChannelsLast));
  // Without augmentation both views are the image.
  for (std::int64_t i = 0; i < 3; ++i) {
    const Image image = dataset->image(batch.indices[static_cast<std::size_t>(i)]);
    EXPECT_TRUE(batch.view(0)[i].equal(to_tensor({&image, 1}, kHalf)[0]));
    EXPECT_TRUE(batch.view(1)[i].equal(batch.view(0)[i]));
  }
}

TEST(Loader, MakesViewsThatDifferFromImageToImageAndFromEpochToEpoch) {
  const auto dataset = std::make_shared<MemoryDataset>(4, 16);
  const auto loader = make_loader(dataset, {.batch_size = 4, .total_steps = 2});
  const auto first = loader->next();
  const auto second = loader->next();
  EXPECT_FALSE(first.view(0).equal(first.view(1)));
  const auto place = std::find(second.indices.begin(), second.indices.end(), first.indices[0]);
  ASSERT_NE(place, second.indices.end());
  EXPECT_FALSE(first.view(0)[0].equal(second.view(0)[place - second.indices.begin()]));
}

TEST(Loader, GivesEveryImageTheBandsOfTheRun) {
  const auto gray = std::make_shared<MemoryDataset>(4, 8, std::set<std::size_t>{}, 1);
  EXPECT_EQ(make_loader(gray, {.batch_size = 2, .total_steps = 1, .bands = 3})
                ->next()
                .groups.front()
                .size(1),
            3);
}

TEST(Loader, NamesAnImageWhoseBandsCannotBeConverted) {
  const auto wide = std::make_shared<MemoryDataset>(4, 8, std::set<std::size_t>{}, 5);
  try {
    (void)make_loader(wide, {.batch_size = 2, .total_steps = 1, .bands = 3})->next();
    FAIL() << "5 bands are no RGB";
  } catch (const DataError& error) {
    EXPECT_EQ(std::string(error.what()).rfind("memory#", 0), 0U) << error.what();
  }
}

TEST(Loader, ReplacesFewDamagedImagesByTheirSuccessorsAndNamesThem) {
  const auto dataset = std::make_shared<MemoryDataset>(20, 8, std::set<std::size_t>{3, 4, 19});
  LoaderOptions options{.batch_size = 10, .total_steps = 2, .max_bad_fraction = 0.15};
  const auto loader = make_loader(dataset, options);
  std::multiset<std::uint32_t> seen;
  for (const auto& batch : take_all(*loader, 2)) {
    seen.insert(batch.indices.begin(), batch.indices.end());
  }
  EXPECT_EQ(seen.size(), 20U);
  EXPECT_EQ(seen.count(3) + seen.count(4) + seen.count(19), 0U);
  EXPECT_EQ(seen.count(5), 3U);  // for 3 and 4, too
  EXPECT_EQ(seen.count(0), 2U);  // the last image's successor is the first
  EXPECT_EQ(loader->left_out(),
            (std::vector<std::string>{"memory#3: is damaged", "memory#4: is damaged",
                                      "memory#19: is damaged"}));
}

TEST(Loader, RefusesMoreDamagedImagesThanAllowedWithNameAndCounts) {
  const auto dataset = std::make_shared<MemoryDataset>(20, 8, std::set<std::size_t>{3, 4, 19});
  for (const int threads : {1, 3}) {
    const auto loader = make_loader(
        dataset, {.batch_size = 10, .total_steps = 2, .threads = threads, .max_bad_fraction = 0.1});
    try {
      (void)take_all(*loader, 2);
      FAIL() << "3 of 20 are more than a tenth";
    } catch (const DataError& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("memory#"), std::string::npos) << text;
      EXPECT_NE(text.find("3 of 20 images"), std::string::npos) << text;
      EXPECT_NE(text.find("max_bad_fraction"), std::string::npos) << text;
    }
  }
}

TEST(Loader, GivesUpWhenNoImageCanBeRead) {
  const auto dataset = std::make_shared<MemoryDataset>(3, 8, std::set<std::size_t>{0, 1, 2});
  const auto loader =
      make_loader(dataset, {.batch_size = 2, .total_steps = 1, .max_bad_fraction = 1.0});
  EXPECT_THROW((void)loader->next(), DataError);
}

// Lets its images be read one by one, when the test says so.
class GatedDataset final : public MemoryDataset {
 public:
  GatedDataset() : MemoryDataset(64, 8) {}

  [[nodiscard]] Image image(std::size_t index) const override {
    std::unique_lock lock(mutex_);
    ++reads_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    return MemoryDataset::image(index);
  }

  void wait_for_reads(int count) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return reads_ >= count; });
  }

  void open() const {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

  [[nodiscard]] int reads() const {
    const std::scoped_lock lock(mutex_);
    return reads_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable bool open_ = false;
  mutable int reads_ = 0;
};

TEST(Loader, StopsAfterTheImageInWork) {
  const auto dataset = std::make_shared<GatedDataset>();
  auto loader = make_loader(dataset, {.batch_size = 32, .total_steps = 100});
  dataset->wait_for_reads(1);
  std::thread destruction([&loader] { loader.reset(); });
  // Nothing can be seen of a destructor that has begun: the image is let go at any time after.
  dataset->open();
  destruction.join();
  EXPECT_LT(dataset->reads(), 4 * 32);  // not the 100 batches of the run
}

TEST(Loader, GivesEveryThreadABatchToMake) {
  const auto dataset = std::make_shared<GatedDataset>();
  const auto loader =
      make_loader(dataset, {.batch_size = 2, .total_steps = 10, .threads = 5, .prefetch = 1});
  dataset->wait_for_reads(5);  // would wait for ever if fewer were at work
  dataset->open();
  EXPECT_EQ(loader->next().size(), 2);
}

TEST(Loader, MakesNoMoreThanItsPrefetchAhead) {
  const auto dataset = std::make_shared<GatedDataset>();
  dataset->open();
  const auto loader =
      make_loader(dataset, {.batch_size = 4, .total_steps = 100, .threads = 2, .prefetch = 3});
  (void)loader->next();
  dataset->wait_for_reads(16);  // the batch taken and three more
  EXPECT_LE(dataset->reads(), 16);
}

// Sees how far ahead of the trainer its images are read.
class WatchedDataset final : public MemoryDataset {
 public:
  WatchedDataset() : MemoryDataset(64, 8) {}

  [[nodiscard]] Image image(std::size_t index) const override {
    {
      const std::scoped_lock lock(mutex_);
      const int ahead = reads_++ / kBatch - taken_;  // batches, counting this one from 0
      furthest_ = std::max(furthest_, ahead);
      changed_.notify_all();
    }
    return MemoryDataset::image(index);
  }

  void wait_for_batches(int count) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return reads_ >= count * kBatch; });
  }

  void take_one() const {
    const std::scoped_lock lock(mutex_);
    ++taken_;
  }

  [[nodiscard]] int furthest() const {
    const std::scoped_lock lock(mutex_);
    return furthest_;
  }

  static constexpr int kBatch = 4;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable int reads_ = 0;
  mutable int taken_ = 0;
  mutable int furthest_ = 0;
};

TEST(Loader, MakesNoMoreAheadThanFitsIntoItsMemory) {
  LoaderOptions options{.batch_size = WatchedDataset::kBatch, .total_steps = 60, .prefetch = 12};
  const std::uint64_t one = batch_bytes(plan_of(), options);
  EXPECT_GE(one, std::uint64_t{4} * 2 * 3 * 8 * 8 * sizeof(float));
  const std::vector<std::pair<std::uint64_t, int>> cases{
      {3 * one, 3}, {4 * one - 1, 3}, {one, 1}, {0, 1}, {100 * one, 12}};
  for (const auto& [budget, batches] : cases) {
    options.memory_budget = budget;
    const auto dataset = std::make_shared<WatchedDataset>();
    const auto loader = make_loader(dataset, options);
    for (int step = 0; step + batches <= 60; ++step) {
      dataset->wait_for_batches(step + batches);  // would wait for ever if fewer were made
      dataset->take_one();
      (void)loader->next();
    }
    EXPECT_EQ(dataset->furthest(), batches - 1) << budget;
  }
}

TEST(Loader, ALittleMemoryIsEnoughForManyThreads) {
  const auto dataset = std::make_shared<MemoryDataset>(21, 12);
  LoaderOptions options{.batch_size = 5, .total_steps = 11, .seed = 3};
  const auto expected = take_all(*make_loader(dataset, options), 11);
  options.threads = 7;
  options.memory_budget = 1;
  const auto batches = take_all(*make_loader(dataset, options), 11);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    expect_equal(batches[i], expected[i]);
  }
}

// Fails with something that is no DataError.
class FailingDataset final : public MemoryDataset {
 public:
  FailingDataset() : MemoryDataset(8, 8) {}
  [[nodiscard]] Image image(std::size_t /*index*/) const override { throw std::bad_alloc(); }
};

TEST(Loader, HandsWhatAWorkerThrowsToTheTrainer) {
  for (const int threads : {1, 3}) {
    const auto loader = make_loader(std::make_shared<FailingDataset>(),
                                    {.batch_size = 2, .total_steps = 4, .threads = threads});
    EXPECT_THROW((void)loader->next(), std::bad_alloc);
    EXPECT_THROW((void)loader->next(), std::bad_alloc);  // again, not a wait for ever
  }
}

TEST(Loader, RefusesADataSetSmallerThanABatchAndStepsBeyondTheLast) {
  const auto dataset = std::make_shared<MemoryDataset>(7, 8);
  EXPECT_THROW((void)make_loader(dataset, {.batch_size = 8, .total_steps = 1}), UsageError);
  const auto loader = make_loader(dataset, {.batch_size = 2, .total_steps = 1});
  (void)loader->next();
  EXPECT_THROW((void)loader->next(), ContractViolation);
}

}  // namespace
}  // namespace viewfold
