// Every reader against files that are not what they should be: each must be read, or refused by a
// DataError that names the file.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <sys/resource.h>

#include "data/sample_sets.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::ByteVector;
using testing::TemporaryFolder;

// A valid data set in a folder of its own.
struct ValidSet {
  std::string name;
  std::string spec;  // relative to the folder; with '@' for the folder itself
  std::function<void(const fs::path&)> write;
};

void write_all_formats(const fs::path& folder) {
  const Image image = testing::sample(1);
  testing::write_bytes(folder / "a/1.png", encode_png(image));
  testing::write_bytes(folder / "a/2.webp", testing::encode_webp(image));
  testing::write_bytes(folder / "b/3.bmp", testing::encode_bmp(image));
  testing::write_bytes(folder / "b/4.tiff", testing::encode_tiff(image));
  testing::write_bytes(folder / "b/5.ppm", testing::encode_pnm(image));
  testing::write_bytes(folder / "b/6.jpg", encode_jpeg(image, 90));
}

std::vector<testing::TarFile> shard_files() {
  return {{"train/k1.png", encode_png(testing::sample(1))},
          {"train/k1.cls", testing::bytes_of("3")},
          {"train/" + std::string(60, 'n') + "/" + std::string(60, 'n') + ".png",
           encode_png(testing::sample(2))},
          {"test/k2.png", encode_png(testing::sample(2))},
          {"test/k2.json", testing::bytes_of("{\"label\": 1}")}};
}

void write_cifar100(const fs::path& folder) {
  for (const char* const file : {"train.bin", "test.bin"}) {
    testing::write_bytes(folder / file,
                         testing::cifar_records({testing::cifar_image(1)}, {{3, 99}}));
  }
}

std::vector<ValidSet> valid_sets() {
  const auto mnist = [](bool packed) {
    return [packed](const fs::path& folder) {
      testing::write_mnist(folder, {testing::noise(28, 28, 1), testing::noise(28, 28, 1)}, packed);
    };
  };
  const auto tar = [](const char* format) {
    return [format](const fs::path& folder) {
      testing::write_bytes(folder / "set.tar", testing::make_tar(shard_files(), format));
    };
  };
  return {
      {"folder", "@", write_all_formats},
      {"idx", "mnist:@", mnist(false)},
      {"idx_gz", "@", mnist(true)},
      {"cifar10", "cifar10:@", testing::write_cifar10},
      {"cifar100", "cifar100:@", write_cifar100},
      {"stl10", "@",
       [](const fs::path& folder) { testing::write_stl10(folder, {testing::noise(96, 96, 3)}); }},
      {"tar_gnu", "@/set.tar", tar("gnu")},
      {"tar_pax", "@/set.tar", tar("pax")},
      {"shards", "@", tar("ustar")},
      {"list", "@/list.txt", [](const fs::path& folder) {
         write_all_formats(folder);
         testing::write_text(folder / "list.txt", "a/1.png\tx\nb/3.bmp\ty\n# c\nb/6.jpg\n");
       }}};
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// One of many ways to break a file.
ByteVector broken(const ByteVector& whole, std::uint32_t way, Rng& rng) {
  const auto below = [&](std::size_t bound) {
    return static_cast<std::size_t>(
        rng.below(static_cast<std::uint32_t>(std::max<std::size_t>(1, bound))));
  };
  ByteVector bytes = whole;
  switch (way % 8) {
    case 0:  // cut anywhere
      bytes.resize(below(bytes.size()));
      return bytes;
    case 1:  // cut within the header
      bytes.resize(below(std::min<std::size_t>(bytes.size(), 600)));
      return bytes;
    case 2:  // one bit of the header
      bytes[below(std::min<std::size_t>(bytes.size(), 600))] ^= std::byte{1} << below(8);
      return bytes;
    case 3:  // some bits anywhere
      for (int i = 0; i < 10; ++i) {
        bytes[below(bytes.size())] ^= std::byte{1} << below(8);
      }
      return bytes;
    case 4: {  // largest numbers in the header
      const std::size_t begin = below(std::min<std::size_t>(bytes.size(), 200));
      for (std::size_t i = begin; i < std::min(begin + 4, bytes.size()); ++i) {
        bytes[i] = std::byte{0xFF};
      }
      return bytes;
    }
    case 5:  // more than there should be
      bytes.resize(bytes.size() + 1 + below(2000), std::byte{0x5A});
      return bytes;
    case 6:  // noise of any length, also none
      bytes.resize(below(3000));
      for (std::byte& byte : bytes) {
        byte = static_cast<std::byte>(below(256));
      }
      return bytes;
    default:  // another kind of file
      return below(2) == 0 ? encode_png(testing::sample(7))
                           : testing::gzip(testing::idx_images({testing::sample(7, 1)}));
  }
}

// Opens all splits and reads everything.
void read_everything(const std::string& spec) {
  for (const std::string& split : dataset_splits(spec)) {
    const auto dataset = open_dataset({.spec = spec, .split = split});
    std::string first_problem;
    for (std::size_t i = 0; i < dataset->size(); ++i) {
      const auto label = dataset->label(i).value_or(0);
      ASSERT_TRUE(label == 0 || label < static_cast<std::int64_t>(dataset->class_names().size()));
      ASSERT_FALSE(dataset->name(i).empty());
      try {
        ASSERT_FALSE(dataset->image(i).empty());
      } catch (const DataError& error) {
        first_problem = first_problem.empty() ? error.what() : first_problem;
      }
    }
    if (!first_problem.empty()) {
      throw DataError(first_problem);
    }
  }
}

bool names_a_file(const std::string& message, const std::vector<fs::path>& files) {
  return std::any_of(files.begin(), files.end(), [&](const fs::path& file) {
    return message.find(file.filename().string()) != std::string::npos;
  });
}

std::string replaced(std::string spec, const fs::path& folder) {
  return spec.replace(spec.find('@'), 1, folder.string());
}

TEST(BrokenFiles, AreReadOrRefusedByName) {
  constexpr std::uint32_t kPerSet = 80;
  std::size_t count = 0;
  std::size_t refused = 0;
  for (const ValidSet& set : valid_sets()) {
    const TemporaryFolder folder;
    set.write(folder.path());
    const std::string spec = replaced(set.spec, folder.path());
    ASSERT_NO_THROW(read_everything(spec)) << set.name;
    const std::vector<fs::path> files = files_in(folder.path());
    for (std::uint32_t i = 0; i < kPerSet; ++i) {
      Rng rng({.seed = 1, .stream = set.name, .sample = i});
      const fs::path& file = files[rng.below(static_cast<std::uint32_t>(files.size()))];
      const ByteVector whole = testing::load_bytes(file);
      testing::write_bytes(file, broken(whole, i, rng));
      const std::string message = testing::data_error_of([&] { read_everything(spec); });
      EXPECT_TRUE(message.empty() || names_a_file(message, files))
          << set.name << " " << i << " " << file << ": " << message;
      refused += message.empty() ? 0 : 1;
      testing::write_bytes(file, whole);
      ++count;
    }
  }
  EXPECT_GE(count, 300U);
  EXPECT_GT(refused, count / 3);  // they are broken indeed
  EXPECT_LT(refused, count);
}

TEST(BrokenFiles, TakeNoHugeMemory) {
  rusage usage{};
  ASSERT_EQ(::getrusage(RUSAGE_SELF, &usage), 0);
  EXPECT_LT(usage.ru_maxrss, 2'000'000) << "kilobytes";  // this whole program so far
}

TEST(BrokenFiles, UnusualImagesHaveKnownOutcomes) {
  const TemporaryFolder folder;
  const Image rgb = testing::sample(1);
  testing::write_bytes(folder / "a_cmyk.jpg", testing::encode_cmyk_jpeg(testing::ramp(8, 8, 4)));
  testing::write_bytes(folder / "b_deep.png",
                       encode_png(testing::noise(5, 7, 3, PixelType::kUint16)));
  testing::write_bytes(folder / "c_animated.webp",
                       testing::encode_animated_webp(rgb, testing::sample(2)));
  testing::write_bytes(folder / "d_pixel.png", encode_png(testing::noise(1, 1, 1)));
  testing::write_text(folder / "e_gif.png", "GIF89a\x01");
  testing::write_text(folder / "f_enormous.pgm", "P5 200000000 200000000 255\n");
  testing::write_text(folder / "ignored.gif", "GIF89a\x01");
  const auto dataset = testing::open_at(folder.path());
  ASSERT_EQ(dataset->size(), 6U);
  EXPECT_EQ(dataset->image(0).bands(), 3);
  EXPECT_EQ(dataset->image(1), testing::noise(5, 7, 3, PixelType::kUint16));
  EXPECT_EQ(dataset->image(2), rgb);
  EXPECT_EQ(dataset->image(3), testing::noise(1, 1, 1));
  const auto problem = [&](std::size_t i) {
    return testing::data_error_of([&] { (void)dataset->image(i); });
  };
  EXPECT_EQ(problem(4).find((folder / "e_gif.png").string() + ": gif"), 0U) << problem(4);
  EXPECT_NE(problem(5).find("f_enormous.pgm: pnm: claims 200000000 x"), std::string::npos)
      << problem(5);
}

}  // namespace
}  // namespace viewfold
