// What every operation in the table must keep to.
#include <filesystem>
#include <set>

#include "augment/operations.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::certain;
using testing::noise;

constexpr std::array kTypes = {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32};
constexpr std::array kBands = {1, 3, 5};
constexpr std::array kSizes = {ImageSize{1, 1}, ImageSize{1, 7}, ImageSize{7, 1},
                               ImageSize{33, 29}};

bool same(const OpRecord& a, const OpRecord& b) {
  return a.op == b.op && a.count == b.count && a.values == b.values;
}

OpRecord draw(const Augmentation& op, const RngKey& key, ImageSize size) {
  Rng rng(key);
  return op.sample(rng, size);
}

// Calls `visit` with each operation, and with each kind of image that there is.
template <class Visit>
void for_each_kind(const Visit& visit) {
  for (const auto& entry : augmentation_table()) {
    for (const auto size : kSizes) {
      for (const int bands : kBands) {
        for (const auto type : kTypes) {
          SCOPED_TRACE(fmt::format("{} of {} x {} x {}, {} bytes", entry.name, size.height,
                                   size.width, bands, bytes_per_value(type)));
          visit(entry, noise(size, bands, type));
        }
      }
    }
  }
}

TEST(AugmentationTable, NamesAreFileStems) {
  std::set<std::string> stems;
  for (const auto& file :
       std::filesystem::directory_iterator(VIEWFOLD_SOURCE_DIR "/src/viewfold/augment")) {
    if (file.path().extension() == ".cpp") {
      stems.insert(file.path().stem().string());
    }
  }
  std::set<std::string> names;
  for (const auto& entry : augmentation_table()) {
    names.insert(std::string(entry.name));
  }
  EXPECT_EQ(names, stems);
}

TEST(AugmentationTable, IdsAreFarEnoughApartForRepeatedOperations) {
  const auto table = augmentation_table();
  for (std::size_t i = 0; i < table.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_GE(std::abs(int{operation_id(table[i].name)} - int{operation_id(table[j].name)}), 8)
          << table[i].name << " " << table[j].name;
    }
  }
}

TEST(AugmentationTable, AnUnknownNameIsRefusedWithTheNearest) {
  EXPECT_EQ(find_augmentation("solarize").name, "solarize");
  try {
    (void)find_augmentation("solarise");
    FAIL() << "an unknown operation was found";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "there is no augmentation \"solarise\" (did you mean \"solarize\"?)");
  }
  EXPECT_THROW((void)find_augmentation(""), UsageError);
}

TEST(EveryAugmentation, DescribesItself) {
  for (const auto& entry : augmentation_table()) {
    EXPECT_TRUE(entry.summary.ends_with('.')) << entry.name;
    const auto config = entry.config();
    const auto fields = describe_config(*config);
    EXPECT_FALSE(fields.empty()) << entry.name;
    for (const auto& field : fields) {
      EXPECT_FALSE(field.doc.empty()) << entry.name << "." << field.key;
      EXPECT_TRUE(!field.range.empty() || field.type == "bool") << entry.name << "." << field.key;
    }
  }
}

// A strength beyond all floats would be recorded as infinite.
TEST(EveryAugmentation, HasNoNumberWithoutLimits) {
  for (const auto& entry : augmentation_table()) {
    const auto config = entry.config();
    for (const auto& field : describe_config(*config)) {
      const bool is_number = field.type == "number" || field.type == "integer";
      EXPECT_TRUE(!is_number || field.range.find(" .. ") != std::string::npos)
          << entry.name << "." << field.key;
    }
  }
}

TEST(EveryAugmentation, ItsSettingsSurviveBeingPrintedAndRead) {
  for (const auto& entry : augmentation_table()) {
    const auto config = entry.config();
    ConfigSource source;
    source.add_toml_text(print_config(*config), "printed");
    const auto read = entry.config();
    read_config(*read, source);
    EXPECT_EQ(print_config(*read), print_config(*config)) << entry.name;
    EXPECT_NE(entry.make(*read), nullptr);
  }
}

TEST(EveryAugmentation, RecordsNamedFiniteValues) {
  for (const auto& entry : augmentation_table()) {
    for (std::uint32_t sample = 0; sample < 100; ++sample) {
      const auto record = draw(*certain(entry), {.sample = sample}, {33, 29});
      EXPECT_EQ(record.op, operation_id(entry.name)) << entry.name;
      ASSERT_EQ(record.count, entry.columns.size()) << entry.name;
      for (std::size_t i = 0; i < record.values.size(); ++i) {
        EXPECT_TRUE(std::isfinite(record.values[i])) << entry.name;
        EXPECT_TRUE(i < record.count || record.values[i] == 0.0F) << entry.name;
      }
    }
  }
}

TEST(EveryAugmentation, DrawsFromTheKeyAlone) {
  for (const auto& entry : augmentation_table()) {
    const auto op = certain(entry);
    const RngKey key{.seed = 4, .stream = "view", .epoch = 2, .sample = 77, .view = 1};
    const auto record = draw(*op, key, {33, 29});
    (void)draw(*op, {.seed = 5}, {33, 29});  // what was drawn in between does not matter
    EXPECT_TRUE(same(draw(*op, key, {33, 29}), record)) << entry.name;
    EXPECT_TRUE(same(draw(*certain(entry), key, {33, 29}), record)) << entry.name;
  }
}

TEST(EveryAugmentation, KeepsTypeAndBandsAndMakesTheSizeItStates) {
  for_each_kind([](const AugmentationEntry& entry, const Image& image) {
    const auto op = certain(entry);
    const ImageSize size{image.height(), image.width()};
    const Image changed = testing::applied(*op, draw(*op, {.seed = 1}, size), image);
    EXPECT_EQ(changed.height(), op->size_after(size).height);
    EXPECT_EQ(changed.width(), op->size_after(size).width);
    EXPECT_EQ(changed.bands(), image.bands());
    EXPECT_EQ(changed.type(), image.type());
  });
}

TEST(EveryAugmentation, ARecordAppliedAgainGivesTheSameBits) {
  for_each_kind([](const AugmentationEntry& entry, const Image& image) {
    const auto op = certain(entry);
    const auto record = draw(*op, {.seed = 2}, {image.height(), image.width()});
    EXPECT_EQ(testing::applied(*op, record, image),
              testing::applied(*certain(entry), record, image));
  });
}

TEST(EveryAugmentation, KeepsFloatsBetweenBlackAndWhite) {
  for_each_kind([](const AugmentationEntry& entry, const Image& image) {
    if (image.type() != PixelType::kFloat32) {
      return;
    }
    const auto op = certain(entry);
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const auto record = draw(*op, {.seed = seed}, {image.height(), image.width()});
      const Image changed = testing::applied(*op, record, image);
      for (const float value : changed.values<float>()) {
        ASSERT_TRUE(value >= 0.0F && value <= 1.0F) << value;
      }
    }
  });
}

// The same picture in another pixel type must become the same view. Rounding to 8 bits comes before
// the operation for one and after it for the other: one grey level.
TEST(EveryAugmentation, TreatsAllPixelTypesAlike) {
  for (const auto& entry : augmentation_table()) {
    const auto op = certain(entry);
    for (const auto type : {PixelType::kUint16, PixelType::kFloat32}) {
      for (std::uint64_t seed = 0; seed < 10; ++seed) {
        const auto record = draw(*op, {.seed = seed}, {33, 29});
        const Image source = noise({33, 29}, 3, PixelType::kUint8);
        const Image bytes = testing::applied(*op, record, source);
        const Image other = testing::applied(*op, record, convert_type(source, type));
        EXPECT_LE(testing::difference(convert_type(other, PixelType::kUint8), bytes).largest, 1)
            << entry.name;
      }
    }
  }
}

// Bands are bands: what happens to a band does not depend on the others, except through colour. The
// noise of a band is its own, as that of the elements of a sensor: band 3 cannot have the noise
// that an image of this one band would have.
TEST(EveryAugmentation, TreatsFiveBandsAsFiveImages) {
  for (const auto& entry : augmentation_table()) {
    if (entry.name == "additive_noise") {
      continue;
    }
    const auto op = certain(entry);
    const auto record = draw(*op, {.seed = 3}, {33, 29});
    const Image image = noise({33, 29}, 5, PixelType::kUint8);
    const Image all = testing::applied(*op, record, image);
    for (std::size_t band = 0; band < 5; ++band) {
      Image one(33, 29, 1);
      for (std::size_t i = 0; i < one.value_count(); ++i) {
        one.values<std::uint8_t>()[i] = image.values<std::uint8_t>()[5 * i + band];
      }
      one = testing::applied(*op, record, one);
      for (std::size_t i = 0; i < one.value_count(); ++i) {
        ASSERT_EQ(one.values<std::uint8_t>()[i], all.values<std::uint8_t>()[5 * i + band])
            << entry.name << " band " << band;
      }
    }
  }
}

}  // namespace
}  // namespace viewfold
