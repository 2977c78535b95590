// Tests of the file of decoded images: what it gives, and when it is not used.
#include "viewfold/data/image_cache.hpp"

#include <atomic>
#include <cstring>
#include <filesystem>
#include <new>
#include <span>
#include <utility>

#include "core/file_size_limit.hpp"
#include "data/sample_sets.hpp"

#include "viewfold/core/fast_hash.hpp"
#include "viewfold/data/survey.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::ByteVector;
using testing::TemporaryFolder;

// Images of two sizes, one and three bands, 8 and 16 bits; some cannot be read.
class StoredDataset : public Dataset {
 public:
  explicit StoredDataset(std::size_t size = 12) : size_(size) {}

  [[nodiscard]] std::size_t size() const override { return size_; }
  [[nodiscard]] Image image(std::size_t index) const override {
    ++reads;
    if (index % 7 == 5) {
      throw DataError(name(index) + ": broken");
    }
    const bool large = static_cast<int>(index) >= large_from;
    return testing::noise(large ? 200 : 4, index % 2 == 0 ? 5 : 9, index % 3 == 0 ? 1 : 3,
                          index % 4 == 1 ? PixelType::kUint16 : PixelType::kUint8,
                          static_cast<std::uint32_t>(index));
  }
  [[nodiscard]] std::string name(std::size_t index) const override {
    return folder + "image" + std::to_string(index);
  }
  [[nodiscard]] std::optional<std::int64_t> label(std::size_t index) const override {
    return static_cast<std::int64_t>(index % 2);
  }
  [[nodiscard]] const std::vector<std::string>& class_names() const override { return names_; }
  [[nodiscard]] std::string stamp(std::size_t index) const override {
    return index == 3 ? stamp_of_three : "1";
  }

  std::string folder = "pictures/";
  std::string stamp_of_three = "1";
  int large_from = 1'000'000;
  mutable std::atomic<int> reads{0};

 private:
  std::size_t size_;
  std::vector<std::string> names_{"even", "odd"};
};

constexpr std::uint64_t kMuch = 1'000'000'000;

// A folder for the file, and what was logged.
struct Place {
  TemporaryFolder folder;
  MemoryLog log;

  [[nodiscard]] fs::path path() const { return folder / "cache/images"; }
  [[nodiscard]] ImageCacheOptions options(int bands = 0, int threads = 2) const {
    return {.path = path(), .bands = bands, .max_bytes = kMuch, .threads = threads};
  }
  [[nodiscard]] std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
      count += entry.is_directory() ? 0 : 1;
    }
    return count;
  }
};

std::string error_of(const Dataset& dataset, std::size_t index) {
  return testing::data_error_of([&] { (void)dataset.image(index); });
}

void expect_equal(const Dataset& cached, const Dataset& base, int bands) {
  ASSERT_EQ(cached.size(), base.size());
  EXPECT_EQ(cached.class_names(), base.class_names());
  Image buffer;
  Image base_buffer;
  for (std::size_t i = 0; i < base.size(); ++i) {
    EXPECT_EQ(cached.name(i), base.name(i));
    EXPECT_EQ(cached.label(i), base.label(i));
    const std::string problem = error_of(base, i);
    EXPECT_EQ(error_of(cached, i), problem);
    if (problem.empty()) {
      const Image& expected = read_with_bands(base, i, bands, base_buffer);
      EXPECT_EQ(cached.read(i, buffer), expected) << i;
      EXPECT_EQ(cached.image(i), expected) << i;
    }
  }
}

TEST(ImageCache, GivesWhatItsDataSetGivesBitForBit) {
  const auto base = std::make_shared<StoredDataset>();
  for (const auto& [bands, threads] :
       {std::pair{0, 1}, std::pair{3, 1}, std::pair{1, 3}, std::pair{3, 7}}) {
    Place place;
    const auto cache = write_image_cache(base, place.options(bands, threads), place.log);
    ASSERT_NE(cache, nullptr);
    expect_equal(*cache, *base, bands);
    EXPECT_EQ(cache->damaged(), 0U);
    ASSERT_EQ(cache->unreadable().size(), 1U);
    EXPECT_EQ(cache->unreadable()[0].index, 5U);
    EXPECT_EQ(cache->unreadable()[0].reason, "pictures/image5: broken");
    EXPECT_EQ(place.files(), 1U);
    EXPECT_TRUE(place.log.warnings.empty());
  }
}

TEST(ImageCache, TheFileDoesNotDependOnThreads) {
  const auto base = std::make_shared<StoredDataset>(60);
  std::vector<ByteVector> files;
  for (const int threads : {1, 2, 7}) {
    Place place;
    ASSERT_NE(write_image_cache(base, place.options(3, threads), place.log), nullptr);
    files.push_back(testing::load_bytes(place.path()));
  }
  EXPECT_EQ(files[1], files[0]);
  EXPECT_EQ(files[2], files[0]);
}

TEST(ImageCache, IsOpenedAgainWithoutDecoding) {
  const auto base = std::make_shared<StoredDataset>();
  const auto again = std::make_shared<StoredDataset>();
  again->folder = "moved/to/pictures/";  // names lose the folders that they share
  Place place;
  ASSERT_NE(write_image_cache(base, place.options(3), place.log), nullptr);
  const auto cache = open_image_cache(again, place.options(3), place.log);
  ASSERT_NE(cache, nullptr);
  for (std::size_t i = 0; i < cache->size(); ++i) {
    (void)error_of(*cache, i);
  }
  EXPECT_EQ(again->reads, 0);
  EXPECT_EQ(error_of(*cache, 5), "pictures/image5: broken");  // as it was found
  EXPECT_EQ(cache->image(3), convert_bands(base->image(3), 3));
}

TEST(ImageCache, IsNotUsedForOtherImages) {
  const auto base = std::make_shared<StoredDataset>();
  Place place;
  ASSERT_NE(write_image_cache(base, place.options(3), place.log), nullptr);
  const auto changed = std::make_shared<StoredDataset>();
  changed->stamp_of_three = "2";
  const auto renamed = std::make_shared<StoredDataset>();
  renamed->folder = "pictures_";
  using Case = std::pair<std::shared_ptr<const Dataset>, int>;
  const std::vector<Case> cases{{changed, 3},
                                {renamed, 3},
                                {std::make_shared<StoredDataset>(11), 3},
                                {make_subset(base, {1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}), 3},
                                {base, 0}};
  for (const auto& [other, bands] : cases) {
    place.log.infos.clear();
    EXPECT_EQ(open_image_cache(other, place.options(bands), place.log), nullptr);
    ASSERT_EQ(place.log.infos.size(), 1U);
    EXPECT_NE(place.log.infos[0].find("have changed"), std::string::npos) << place.log.infos[0];
  }
  const auto rebuilt = write_image_cache(changed, place.options(3), place.log);
  ASSERT_NE(rebuilt, nullptr);
  EXPECT_NE(open_image_cache(changed, place.options(3), place.log), nullptr);
  EXPECT_EQ(open_image_cache(base, place.options(3), place.log), nullptr);
}

TEST(ImageCache, IsNotUsedWhenAnyByteBesideThePixelsIsDamaged) {
  const auto base = std::make_shared<StoredDataset>();
  Place place;
  ASSERT_NE(write_image_cache(base, place.options(), place.log), nullptr);
  const ByteVector good = testing::load_bytes(place.path());
  std::size_t pixels = 0;
  for (std::size_t i = 0; i < base->size(); ++i) {
    pixels += i == 5 ? 0 : base->image(i).bytes().size();
  }
  const std::size_t header = 120;
  const auto expect_unused = [&](const ByteVector& bytes, std::size_t place_of_damage) {
    testing::write_bytes(place.path(), bytes);
    place.log.infos.clear();
    EXPECT_EQ(open_image_cache(base, place.options(), place.log), nullptr) << place_of_damage;
    EXPECT_EQ(place.log.infos.size(), 1U) << place_of_damage;
  };
  for (std::size_t at = 0; at < good.size(); at += at + 1 == header ? 1 + pixels : 1) {
    ByteVector bytes = good;
    bytes[at] ^= std::byte{0x10};
    expect_unused(bytes, at);
  }
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, header - 1, header, header + pixels, good.size() - 1}) {
    expect_unused({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}, size);
  }
  ByteVector longer = good;
  longer.push_back(std::byte{0});
  expect_unused(longer, good.size());
  testing::write_bytes(place.path(), good);
  EXPECT_NE(open_image_cache(base, place.options(), place.log), nullptr);
}

template <class T>
void put(ByteVector& bytes, std::size_t at, T value) {
  std::memcpy(&bytes[at], &value, sizeof(T));
}

template <class T>
T number_at(const ByteVector& bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, &bytes[at], sizeof(T));
  return value;
}

// The hashes find accidents. Whoever makes a file with right hashes must not lead outside it.
TEST(ImageCache, IsNotUsedWhenItPointsOutsideItself) {
  constexpr std::size_t kTable = 88;  // places in the header: of the table's place, ...
  constexpr std::size_t kReasonBytes = 96;
  constexpr std::size_t kTableHash = 104;
  constexpr std::size_t kHeaderHash = 112;
  const auto base = std::make_shared<StoredDataset>();
  Place place;
  ASSERT_NE(write_image_cache(base, place.options(), place.log), nullptr);
  const ByteVector good = testing::load_bytes(place.path());
  const auto table = static_cast<std::size_t>(number_at<std::uint64_t>(good, kTable));
  const auto opens = [&](ByteVector bytes) {
    put(bytes, kTableHash, fast_hash(std::span(bytes).subspan(table)));
    put(bytes, kHeaderHash, fast_hash(std::span(bytes).first(kHeaderHash)));
    testing::write_bytes(place.path(), bytes);
    return open_image_cache(base, place.options(), place.log) != nullptr;
  };
  EXPECT_TRUE(opens(good));
  const auto changed = [&](std::size_t at, auto value) {
    ByteVector bytes = good;
    put(bytes, at, value);
    return bytes;
  };
  constexpr auto kHuge = std::uint32_t{0x7FFFFFFF};
  EXPECT_FALSE(opens(changed(table, std::uint64_t{1} << 63U)));         // offset
  EXPECT_FALSE(opens(changed(table, std::uint64_t{good.size() - 1})));  // offset
  EXPECT_FALSE(opens(changed(table + 16, kHuge)));                      // height
  EXPECT_FALSE(opens(changed(table + 20, kHuge)));                      // width
  EXPECT_FALSE(opens(changed(table + 20, std::uint32_t{0})));           // width
  EXPECT_FALSE(opens(changed(table + 24, std::uint32_t{0xFFFFFFFF})));  // bands
  EXPECT_FALSE(opens(changed(table + 28, std::uint32_t{3})));           // type
  // Places whose sum is right only because it overflows.
  ByteVector wrapped = changed(kTable, std::uint64_t{table} - 4096);
  put(wrapped, kReasonBytes, number_at<std::uint64_t>(good, kReasonBytes) + 4096);
  EXPECT_FALSE(opens(wrapped));
}

TEST(ImageCache, DecodesAnewWhatIsDamagedInTheFile) {
  const auto base = std::make_shared<StoredDataset>();
  Place place;
  ASSERT_NE(write_image_cache(base, place.options(3), place.log), nullptr);
  ByteVector bytes = testing::load_bytes(place.path());
  bytes[120 + 4 * 5 * 3 + 7] ^= std::byte{1};  // in the second image
  testing::write_bytes(place.path(), bytes);
  const auto cache = open_image_cache(base, place.options(3), place.log);
  ASSERT_NE(cache, nullptr);
  base->reads = 0;
  Image buffer;
  EXPECT_EQ(cache->read(0, buffer), convert_bands(testing::noise(4, 5, 1), 3));
  EXPECT_EQ(base->reads, 0);
  EXPECT_EQ(cache->damaged(), 0U);
  for (int time = 1; time <= 2; ++time) {
    EXPECT_EQ(cache->read(1, buffer), testing::noise(4, 9, 3, PixelType::kUint16, 1));
    EXPECT_EQ(base->reads, time);
    EXPECT_EQ(cache->damaged(), 1U);
  }
}

TEST(ImageCache, IsNotMadeWhereItWouldBeTooLarge) {
  const auto base = std::make_shared<StoredDataset>(40);
  Place place;
  ImageCacheOptions options = place.options(3);
  options.max_bytes = 1000;
  EXPECT_EQ(write_image_cache(base, options, place.log), nullptr);
  EXPECT_EQ(place.log.infos.size(), 1U);
  EXPECT_EQ(base->reads, 16);  // a look, no more
  EXPECT_EQ(place.files(), 0U);
  options.max_bytes = 0;
  EXPECT_EQ(write_image_cache(base, options, place.log), nullptr);
  EXPECT_EQ(place.log.infos.size(), 1U);
}

TEST(ImageCache, IsGivenUpWhenItGrowsBeyondWhatItsFirstImagesSuggest) {
  const auto base = std::make_shared<StoredDataset>(60);
  base->large_from = 20;
  for (const int threads : {1, 5}) {
    Place place;
    ImageCacheOptions options = place.options(3, threads);
    options.max_bytes = 20'000;
    EXPECT_EQ(write_image_cache(base, options, place.log), nullptr);
    EXPECT_EQ(place.log.warnings.size(), 1U);
    EXPECT_EQ(place.files(), 0U);
  }
}

TEST(ImageCache, AFullDiskOrAPlaceThatCannotBeWrittenLeavesNothingAndIsSaid) {
  const auto base = std::make_shared<StoredDataset>(60);
  for (const int threads : {1, 5}) {
    Place place;
    {
      const FileSizeLimit limit(2000);
      EXPECT_EQ(write_image_cache(base, place.options(3, threads), place.log), nullptr);
    }
    EXPECT_EQ(place.log.warnings.size(), 1U);
    EXPECT_EQ(place.files(), 0U);
    testing::write_text(place.folder / "file", "no folder");
    ImageCacheOptions options = place.options(3, threads);
    options.path = place.folder / "file/images";
    EXPECT_EQ(write_image_cache(base, options, place.log), nullptr);
    ASSERT_EQ(place.log.warnings.size(), 2U);
    EXPECT_NE(place.log.warnings[1].find("file"), std::string::npos) << place.log.warnings[1];
  }
}

TEST(ImageCache, StoppingLeavesNothing) {
  const auto base = std::make_shared<StoredDataset>(60);
  for (const int threads : {1, 5}) {
    Place place;
    ImageCacheOptions options = place.options(3, threads);
    std::atomic<int> asked{0};
    options.stop_requested = [&] { return ++asked > 20; };
    EXPECT_THROW((void)write_image_cache(base, options, place.log), Interrupted);
    EXPECT_EQ(place.files(), 0U);
    EXPECT_LT(base->reads, 2 * 60);
  }
}

// Fails with something that is no DataError.
class FailingDataset final : public StoredDataset {
 public:
  FailingDataset() : StoredDataset(60) {}
  [[nodiscard]] Image image(std::size_t index) const override {
    if (index == 30) {
      throw std::bad_alloc();
    }
    return StoredDataset::image(index);
  }
};

TEST(ImageCache, HandsOnWhatIsNoFaultOfTheData) {
  for (const int threads : {1, 5}) {
    Place place;
    EXPECT_THROW((void)write_image_cache(std::make_shared<FailingDataset>(),
                                         place.options(3, threads), place.log),
                 std::bad_alloc);
    EXPECT_EQ(place.files(), 0U);
  }
}

TEST(ImageCache, IsOfNoUseForRawPixels) {
  const TemporaryFolder data;
  testing::write_cifar10(data.path());
  Place place;
  EXPECT_EQ(storage_fingerprint(*testing::open_at(data.path())), "");
  EXPECT_EQ(write_image_cache(testing::open_at(data.path()), place.options(), place.log), nullptr);
  EXPECT_TRUE(place.log.infos.empty() && place.log.warnings.empty());
  EXPECT_EQ(place.files(), 0U);
}

TEST(ImageCache, NoticesThatAFileWasWrittenAnewWithTheSameSizeAndTime) {
  const TemporaryFolder data;
  const auto file = data / "b.pgm";
  const auto write = [&](char pixel) {
    testing::write_text(file, std::string("P5 1 1 255\n") + pixel);
  };
  testing::write_text(data / "a.pgm", "P5 1 1 255\nx");
  write('a');
  const std::shared_ptr<const Dataset> dataset = testing::open_at(data.path());
  Place place;
  ASSERT_NE(write_image_cache(dataset, place.options(), place.log), nullptr);
  ASSERT_NE(open_image_cache(dataset, place.options(), place.log), nullptr);
  const std::string before = dataset->stamp(1);
  const auto time = fs::last_write_time(file);
  do {  // until the clock of the file system has ticked
    write('b');
    fs::last_write_time(file, time);
  } while (dataset->stamp(1) == before);
  EXPECT_EQ(fs::last_write_time(file), time);
  EXPECT_EQ(open_image_cache(dataset, place.options(), place.log), nullptr);
  const auto cache = write_image_cache(dataset, place.options(), place.log);
  ASSERT_NE(cache, nullptr);
  EXPECT_EQ(cache->image(1).bytes()[0], std::byte{'b'});
}

TEST(ImageCache, HoldsTheMembersOfArchives) {
  const TemporaryFolder data;
  const auto write = [&](std::uint32_t number) {
    testing::write_bytes(data / "images.tar",
                         testing::make_tar({{"a.png", encode_png(testing::sample(1))},
                                            {"b.png", encode_png(testing::sample(number))}}));
    return std::shared_ptr<const Dataset>(testing::open_at(data / "images.tar"));
  };
  Place place;
  const auto first = write(2);
  ASSERT_NE(write_image_cache(first, place.options(), place.log), nullptr);
  const auto cache = open_image_cache(first, place.options(), place.log);
  ASSERT_NE(cache, nullptr);
  EXPECT_EQ(cache->image(1), testing::sample(2));
  const std::string before = first->stamp(1);
  while (first->stamp(1) == before) {  // until the clock of the file system has ticked
    (void)write(3);
  }
  EXPECT_EQ(open_image_cache(write(3), place.options(), place.log), nullptr);
}

}  // namespace
}  // namespace viewfold
