// Tests of selections and of data sets in memory.
#include "viewfold/data/subset.hpp"

#include <atomic>

#include "data/sample_sets.hpp"

namespace viewfold {
namespace {

// Images of three sizes of pixels; every `bad_every`-th cannot be read.
class FakeDataset : public Dataset {
 public:
  explicit FakeDataset(std::size_t size, std::size_t bad_every = 0, int large_from = 1'000'000)
      : size_(size),
        bad_every_(bad_every),
        large_from_(large_from) {}

  [[nodiscard]] std::size_t size() const override { return size_; }
  [[nodiscard]] Image image(std::size_t index) const override {
    ++reads;
    if (bad_every_ > 0 && index % bad_every_ == bad_every_ - 1) {
      throw DataError(name(index) + ": broken");
    }
    const int side = static_cast<int>(index) >= large_from_ ? 100 : 4;
    return testing::noise(side, side, index % 2 == 0 ? 1 : 3,
                          index % 3 == 0 ? PixelType::kUint16 : PixelType::kUint8,
                          static_cast<std::uint32_t>(index));
  }
  [[nodiscard]] std::string name(std::size_t index) const override {
    return "image" + std::to_string(index);
  }
  [[nodiscard]] std::optional<std::int64_t> label(std::size_t index) const override {
    return static_cast<std::int64_t>(index % 2);
  }
  [[nodiscard]] const std::vector<std::string>& class_names() const override { return names_; }

  mutable std::atomic<int> reads{0};

 private:
  std::size_t size_;
  std::size_t bad_every_;
  int large_from_;
  std::vector<std::string> names_{"even", "odd"};
};

constexpr std::uint64_t kMuch = 1'000'000'000;

TEST(MakeChanged, ChangesImagesWhenTheyAreReadAndNothingElse) {
  const auto base = std::make_shared<FakeDataset>(6);
  const std::shared_ptr<const Dataset> changed = make_changed(
      base,
      [](const Image& image, std::size_t index) { return index == 2 ? Image(1, 1, 1) : image; });
  EXPECT_EQ(changed->size(), 6U);
  EXPECT_EQ(changed->image(2).height(), 1);
  EXPECT_EQ(changed->image(1), base->image(1));
  EXPECT_EQ(changed->name(5), "image5");
  EXPECT_EQ(testing::labels_of(*changed), testing::labels_of(*base));
  EXPECT_FALSE(changed->has_annotations());
}

TEST(MakeImageList, HoldsImagesWithoutLabels) {
  const auto list =
      make_image_list({testing::noise(2, 3, 3, PixelType::kUint8, 1), Image(4, 4, 1)});
  ASSERT_EQ(list->size(), 2U);
  Image buffer;
  EXPECT_EQ(list->image(0), testing::noise(2, 3, 3, PixelType::kUint8, 1));
  EXPECT_EQ(&list->read(1, buffer), &list->read(1, buffer));
  EXPECT_EQ(list->name(1), "image#1");
  EXPECT_FALSE(list->label(0).has_value());
  EXPECT_TRUE(list->class_names().empty());
  EXPECT_THROW((void)list->image(2), ContractViolation);
}

TEST(WithAnnotations, GivesThemForTheirImagesAndLeavesTheRestAsItIs) {
  const auto base = std::make_shared<FakeDataset>(3);
  EXPECT_FALSE(base->has_annotations());
  EXPECT_TRUE(base->annotations(1).boxes.empty());
  std::vector<Annotations> known(3);
  known[1].boxes = {{1.0, 0.0, 3.0, 2.0}};
  known[2].keypoints = {{0.5, 0.5}};
  const std::shared_ptr<const Dataset> annotated = with_annotations(base, known);
  EXPECT_TRUE(annotated->has_annotations());
  EXPECT_EQ(annotated->image(1), base->image(1));
  EXPECT_EQ(annotated->name(2), "image2");
  EXPECT_EQ(testing::labels_of(*annotated), testing::labels_of(*base));
  EXPECT_EQ(annotated->class_names(), base->class_names());
  EXPECT_EQ(annotated->stamp(0), base->stamp(0));
  ASSERT_EQ(annotated->annotations(1).boxes.size(), 1U);
  EXPECT_EQ(annotated->annotations(1).boxes[0].right, 3.0);
  EXPECT_THROW((void)annotated->annotations(3), ContractViolation);
  const auto subset = make_subset(annotated, {2});
  EXPECT_EQ(subset->annotations(0).keypoints.size(), 1U);
  EXPECT_THROW((void)with_annotations(base, std::vector<Annotations>(2)), ContractViolation);
}

TEST(Subset, GivesTheChosenImagesInTheirOrder) {
  const auto base = std::make_shared<FakeDataset>(10);
  const auto subset = make_subset(base, {7, 2, 7});
  ASSERT_EQ(subset->size(), 3U);
  EXPECT_EQ(subset->name(1), "image2");
  EXPECT_EQ(subset->image(2), base->image(7));
  EXPECT_EQ(testing::labels_of(*subset), (std::vector<int>{1, 0, 1}));
  EXPECT_EQ(subset->class_names(), base->class_names());
  EXPECT_THROW((void)subset->image(3), ContractViolation);
  EXPECT_THROW((void)make_subset(base, {10}), ContractViolation);
}

std::vector<int> class_counts(const Dataset& images, const std::vector<std::uint32_t>& chosen) {
  std::vector<int> counts(images.class_names().size(), 0);
  for (const auto index : chosen) {
    ++counts[static_cast<std::size_t>(*images.label(index))];
  }
  return counts;
}

TEST(LongTail, GivesEachClassItsShareAsFarAsItsImagesGo) {
  const FakeDataset images(200);  // a hundred of each class
  EXPECT_EQ(class_counts(images, long_tail(images, 10.0, 0, 1)), (std::vector<int>{100, 10}));
  EXPECT_EQ(class_counts(images, long_tail(images, 10.0, 55, 1)), (std::vector<int>{50, 5}));
  EXPECT_EQ(class_counts(images, long_tail(images, 1.0, 50, 1)), (std::vector<int>{25, 25}));
  EXPECT_EQ(class_counts(images, long_tail(images, 1e6, 0, 1)), (std::vector<int>{100, 1}));
}

TEST(LongTail, DrawsAscendingDistinctImagesByTheSeed) {
  const FakeDataset images(200);
  const auto chosen = long_tail(images, 3.0, 60, 1);
  for (std::size_t i = 1; i < chosen.size(); ++i) {
    EXPECT_LT(chosen[i - 1], chosen[i]);
  }
  EXPECT_EQ(chosen, long_tail(images, 3.0, 60, 1));
  EXPECT_NE(chosen, long_tail(images, 3.0, 60, 2));
}

TEST(LongTail, NeedsImagesOfEveryClass) {
  EXPECT_THROW((void)long_tail(FakeDataset(1), 2.0, 0, 1), DataError);
  EXPECT_THROW((void)long_tail(*make_image_list({Image(1, 1, 1)}), 2.0, 0, 1), DataError);
  EXPECT_THROW((void)long_tail(FakeDataset(10), 0.5, 0, 1), ContractViolation);
}

TEST(Preload, HoldsEveryImageAsItIsStored) {
  const auto base = std::make_shared<FakeDataset>(20);
  for (const int threads : {1, 3}) {
    const Preloaded loaded = preload(base, 0, kMuch, 0.0, threads);
    EXPECT_TRUE(loaded.in_memory);
    ASSERT_EQ(loaded.dataset->size(), 20U);
    for (std::size_t i = 0; i < 20; ++i) {
      EXPECT_EQ(loaded.dataset->image(i), base->image(i));
    }
  }
}

TEST(Preload, ReadsTheBaseOnlyWhileLoading) {
  const auto base = std::make_shared<FakeDataset>(20);
  const Preloaded loaded = preload(base, 0, kMuch, 0.0, 1);
  const int reads = base->reads;
  (void)loaded.dataset->image(3);
  EXPECT_EQ(base->reads, reads);
}

TEST(Preload, ImagesInMemoryAreReadWhereTheyAre) {
  const auto base = std::make_shared<FakeDataset>(8);
  const Preloaded loaded = preload(base, 0, kMuch, 0.0, 1);
  const auto subset = make_subset(loaded.dataset, {5, 3});
  Image buffer;
  Image other;
  EXPECT_EQ(loaded.dataset->read(3, buffer), base->image(3));
  EXPECT_EQ(&loaded.dataset->read(3, buffer), &loaded.dataset->read(3, other));
  EXPECT_EQ(&subset->read(1, buffer), &loaded.dataset->read(3, other));
  EXPECT_EQ(&read_with_bands(*subset, 1, 3, buffer), &loaded.dataset->read(3, other));
  EXPECT_TRUE(buffer.empty());
  EXPECT_THROW((void)loaded.dataset->read(8, buffer), ContractViolation);
}

TEST(Preload, ImagesOnDiskAreReadIntoTheBuffer) {
  const auto base = std::make_shared<FakeDataset>(8);
  const Preloaded loaded = preload(base, 3, 10, 0.0, 1);
  Image buffer;
  for (const std::size_t i : {2U, 5U, 2U}) {  // of one band and of three
    EXPECT_EQ(&loaded.dataset->read(i, buffer), &buffer);
    EXPECT_EQ(buffer, convert_bands(base->image(i), 3));
  }
}

TEST(Preload, GivesTheAskedBandsInMemoryAndOnDisk) {
  const auto base = std::make_shared<FakeDataset>(20);
  for (const std::uint64_t budget : {kMuch, std::uint64_t{10}}) {
    const Preloaded loaded = preload(base, 3, budget, 0.0, 2);
    EXPECT_EQ(loaded.in_memory, budget == kMuch);
    ASSERT_EQ(loaded.dataset->size(), 20U);
    EXPECT_EQ(loaded.dataset->image(2), convert_bands(base->image(2), 3));
    EXPECT_EQ(loaded.dataset->name(2), "image2");
    EXPECT_EQ(loaded.dataset->label(3), 1);
  }
}

TEST(Preload, LeavesOutBadImagesAndSaysWhich) {
  const auto base = std::make_shared<FakeDataset>(10, 4);
  const Preloaded loaded = preload(base, 0, kMuch, 0.2, 2);
  ASSERT_EQ(loaded.bad.size(), 2U);
  EXPECT_EQ(loaded.bad[1].index, 7U);
  EXPECT_EQ(loaded.bad[1].reason, "image7: broken");
  ASSERT_EQ(loaded.dataset->size(), 8U);
  EXPECT_EQ(loaded.dataset->name(3), "image4");
  EXPECT_EQ(loaded.dataset->image(3), base->image(4));
  EXPECT_EQ(loaded.dataset->label(6), 0);
}

TEST(Preload, RefusesTooManyBadImagesNamingTheFirst) {
  const auto base = std::make_shared<FakeDataset>(20, 4);
  const std::string message =
      testing::data_error_of([&] { (void)preload(base, 0, kMuch, 0.2, 2); });
  EXPECT_TRUE(message.starts_with("5 of 20 images cannot be read")) << message;
  EXPECT_NE(message.find("image3: broken; image7: broken; image11: broken; ..."), std::string::npos)
      << message;
}

TEST(Preload, RefusesADataSetWithoutAGoodImageWhateverIsAccepted) {
  const auto base = std::make_shared<FakeDataset>(3, 1);
  EXPECT_THROW((void)preload(base, 0, kMuch, 1.0, 2), DataError);
}

TEST(Preload, CountsImagesThatCannotHaveTheAskedBandsAsBad) {
  const auto base = std::make_shared<FakeDataset>(4);
  const Preloaded loaded = preload(base, 2, kMuch, 0.5, 1);
  ASSERT_EQ(loaded.bad.size(), 2U);
  EXPECT_TRUE(loaded.bad[0].reason.starts_with("image1: ")) << loaded.bad[0].reason;
}

TEST(Preload, StaysOnDiskWhenItIsLargerThanItsFirstImagesSuggest) {
  const auto base = std::make_shared<FakeDataset>(100, 0, 50);
  const Preloaded loaded = preload(base, 0, 50'000, 0.0, 2);
  EXPECT_FALSE(loaded.in_memory);
  EXPECT_EQ(loaded.dataset->size(), 100U);
  EXPECT_LT(base->reads, 80);
}

}  // namespace
}  // namespace viewfold
