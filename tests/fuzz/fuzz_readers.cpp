// Feeds bytes to the readers of data sets and settings: what they hold is refused with an error of
// its kind, or keeps to the promises of the interfaces.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "data/sample_sets.hpp"
#include "fuzz/cache_input.hpp"
#include "fuzz/reader_input.hpp"

#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/config.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/input_file.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/data/detail/tar_index.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::ByteVector;
using testing::Reader;
using testing::ReaderInput;
using Bytes = std::span<const std::byte>;

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A folder for the files of one reader. In memory where TMPDIR is.
fs::path folder_of(Reader reader) {
  static const testing::TemporaryFolder folder;
  return folder / std::to_string(static_cast<int>(reader));
}

void write(const fs::path& path, Bytes bytes) {
  testing::write_bytes(path, {bytes.begin(), bytes.end()});
}

enum class Pixels { kRead, kLeave };

void read_split(const std::string& spec, const std::string& split, Pixels pixels) {
  constexpr std::size_t kMostImages = 16;
  const auto dataset = open_dataset({.spec = spec, .split = split});
  const auto classes = static_cast<std::int64_t>(dataset->class_names().size());
  for (std::size_t i = 0; i < std::min(dataset->size(), kMostImages); ++i) {
    const auto label = dataset->label(i);
    check(!label || (*label >= 0 && *label < classes), "a label that is no class");
    check(!dataset->name(i).empty(), "an image without a name");
    if (pixels == Pixels::kRead) {
      check(!dataset->image(i).empty(), "an image without pixels");
    }
  }
}

// The pixels of image files are fuzz_decode's concern: here they may be left.
void read_dataset(const std::string& spec, Pixels pixels) {
  try {
    for (const std::string& split : dataset_splits(spec)) {
      read_split(spec, split, pixels);
    }
  } catch (const DataError&) {
    return;
  }
}

// Gives the headers of an archive the checksums that belong to them: no other change gets past
// those.
ByteVector with_checksums(Bytes archive) {
  constexpr std::size_t kBlock = 512;
  constexpr std::size_t kChecksum = 148;
  constexpr std::size_t kMagic = 257;
  ByteVector tar(archive.begin(), archive.end());
  for (std::size_t at = 0; at + kBlock <= tar.size(); at += kBlock) {
    if (std::memcmp(&tar[at + kMagic], "ustar", 5) != 0) {
      continue;
    }
    char text[9] = "        ";
    std::memcpy(&tar[at + kChecksum], text, 8);
    unsigned sum = 0;
    for (std::size_t i = at; i < at + kBlock; ++i) {
      sum += std::to_integer<unsigned>(tar[i]);
    }
    std::snprintf(text, sizeof(text), "%06o", sum);
    std::memcpy(&tar[at + kChecksum], text, 8);
  }
  return tar;
}

void read_tar(Bytes archive) {
  const fs::path path = folder_of(Reader::kTar) / "set.tar";
  write(path, with_checksums(archive));
  read_dataset(path.string(), Pixels::kLeave);
  const InputFile file(path);
  std::vector<data::TarMember> members;
  try {
    members = data::read_tar_index(file);
  } catch (const DataError&) {
    return;
  }
  for (const auto& member : members) {
    check(member.size <= file.size() && member.offset <= file.size() - member.size,
          "a member that leaves its archive");
  }
}

void read_idx(const ReaderInput& input) {
  const fs::path folder = folder_of(input.reader);
  const std::string ending = input.reader == Reader::kIdx ? "" : ".gz";
  const auto write_file = [&](const std::string& name, Bytes bytes) {
    const bool packed = input.reader == Reader::kIdxPacked;
    write(folder / (name + ending),
          packed ? Bytes(testing::gzip({bytes.begin(), bytes.end()})) : bytes);
  };
  write_file("train-images-idx3-ubyte", input.first);
  write_file("train-labels-idx1-ubyte", input.second);
  read_dataset("mnist:" + folder.string(), Pixels::kRead);
}

// Two files in a folder that is a data set.
void read_pair(const ReaderInput& input, const std::string& first, const std::string& second) {
  const fs::path folder = folder_of(input.reader);
  write(folder / first, input.first);
  write(folder / second, input.second);
  read_dataset(folder.string(), Pixels::kRead);
}

// Settings that are accepted come back the same when they are printed and read.
void read_settings(const ConfigSource& source) {
  RecipeConfig config("dino", 32);
  try {
    read_config(config, source);
  } catch (const UsageError&) {
    return;
  }
  const std::string printed = print_config(config);
  ConfigSource again;
  again.add_toml_text(printed, "printed");
  RecipeConfig copy("dino", 32);
  read_config(copy, again);
  check(print_config(copy) == printed, "settings that change when they are printed and read");
}

void read_toml(std::string_view text) {
  ConfigSource source;
  try {
    source.add_toml_text(text, "fuzz.toml");
  } catch (const UsageError&) {
    return;
  }
  read_settings(source);
}

void read_arguments(std::string_view text) {
  ConfigSource source;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t equals = std::min(line.find('='), line.size());
    const std::string key(line.substr(0, equals));
    try {
      source.set(key, std::string(line.substr(std::min(equals + 1, line.size()))), "--" + key);
    } catch (const UsageError&) {
      return;
    }
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  read_settings(source);
}

// Where the hashes say that the pixels have changed, the images are those that they were made of.
void read_cache(const ReaderInput& input) {
  static const std::shared_ptr<const Dataset> pictures = std::make_shared<testing::FourPictures>();
  static const ByteVector good = testing::good_cache(pictures);
  const bool right_pixels = !input.second.empty();
  const fs::path path = folder_of(Reader::kCache) / "images";
  write(path, testing::with_hashes({input.first.begin(), input.first.end()}, good, right_pixels));
  NullLog log;
  const auto cache = open_image_cache(pictures, {.path = path}, log);
  if (cache == nullptr) {
    return;
  }
  check(cache->size() == pictures->size(), "a cache of another number of images");
  check(cache->unreadable().size() <= cache->size(), "more unreadable images than there are");
  for (std::size_t i = 0; i < cache->size(); ++i) {
    try {
      const std::size_t damaged = cache->damaged();
      const Image image = cache->image(i);
      check(!image.empty(), "an image without pixels");
      check(cache->damaged() == damaged || image == pictures->image(i),
            "a damaged image that was not decoded anew");
    } catch (const DataError&) {
      continue;
    }
  }
}

void read(const ReaderInput& input) {
  switch (input.reader) {
    case Reader::kIdx:
    case Reader::kIdxGzip:
    case Reader::kIdxPacked:
      return read_idx(input);
    case Reader::kCifar10:
      return read_pair(input, "test_batch.bin", "batches.meta.txt");
    case Reader::kCifar100:
      return read_pair(input, "train.bin", "fine_label_names.txt");
    case Reader::kStl10:
      return read_pair(input, "train_X.bin", "train_y.bin");
    case Reader::kTar:
      return read_tar(input.first);
    case Reader::kList: {
      const fs::path path = folder_of(Reader::kList) / "list.txt";
      write(path, input.first);
      return read_dataset(path.string(), Pixels::kLeave);
    }
    case Reader::kToml:
      return read_toml(text_of(input.first));
    case Reader::kArguments:
      return read_arguments(text_of(input.first));
    case Reader::kCache:
      return read_cache(input);
  }
}

}  // namespace
}  // namespace viewfold

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  viewfold::read(viewfold::testing::split_reader_input(std::as_bytes(std::span(data, size))));
  return 0;
}
