// Small data sets in every format, made here so that no binary file has to be kept.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <zlib.h>

#include "image/sample_files.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/dataset.hpp"

namespace viewfold::testing {

/// The message of the DataError that `work` throws; "" when it throws none.
template <class Work>
std::string data_error_of(Work work) {
  try {
    work();
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

inline std::string open_error(const std::filesystem::path& spec,
                              const std::string& split = "train") {
  return data_error_of([&] { (void)open_dataset({.spec = spec.string(), .split = split}); });
}

inline std::unique_ptr<Dataset> open_at(const std::filesystem::path& spec,
                                        const std::string& split = "train") {
  return open_dataset({.spec = spec.string(), .split = split});
}

/// Labels of all images; -1 for none.
inline std::vector<int> labels_of(const Dataset& dataset) {
  std::vector<int> labels;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    labels.push_back(static_cast<int>(dataset.label(i).value_or(-1)));
  }
  return labels;
}

/// Names of all images behind `folder` and its slash.
inline std::vector<std::string> names_below(const Dataset& dataset,
                                            const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const std::string name = dataset.name(i);
    EXPECT_TRUE(name.starts_with(folder.string())) << name;
    names.push_back(name.substr(folder.string().size() + 1));
  }
  return names;
}

inline Image sample(std::uint32_t number, int bands = 3) {
  return noise(5, 7, bands, PixelType::kUint8, number);
}

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  write_bytes(path, bytes_of(text));
}

inline ByteVector gzip(const ByteVector& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  ByteVector packed(deflateBound(&stream, bytes.size()));
  ByteVector copy = bytes;  // zlib's input is not const
  stream.next_in = reinterpret_cast<Bytef*>(copy.data());
  stream.avail_in = static_cast<uInt>(copy.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

struct TarFile {
  std::string name;
  ByteVector bytes;
  std::string hard_link = {};  // name of the earlier file with these bytes
};

/// An archive as the program tar writes it: "v7", "ustar", "gnu" or "pax". A name that is there
/// twice is appended once more.
inline ByteVector make_tar(const std::vector<TarFile>& files, const char* format = "ustar") {
  const TemporaryFolder work;
  const auto content = work / "content";
  std::string names;
  char mode = 'c';
  const auto flush = [&] {
    write_bytes(work / "names", bytes_of(names));
    const std::string command = fmt::format(
        "tar -C '{0}/content' --format={1} -b1 --no-recursion -{2}f '{0}/out.tar' -T '{0}/names'",
        work.path().string(), format, mode);
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    names.clear();
    mode = 'r';
  };
  for (const TarFile& file : files) {
    const auto path = content / file.name;
    if (std::filesystem::is_regular_file(path)) {
      flush();
    }
    if (file.name.ends_with('/')) {
      std::filesystem::create_directories(path);
    } else if (file.hard_link.empty()) {
      write_bytes(path, file.bytes);
    } else {
      std::filesystem::create_hard_link(content / file.hard_link, path);
    }
    names += file.name + "\n";
  }
  flush();
  return load_bytes(work / "out.tar");
}

inline ByteVector big_endian(const std::vector<std::uint32_t>& numbers) {
  ByteVector bytes;
  for (const std::uint32_t number : numbers) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<std::byte>(number >> shift));
    }
  }
  return bytes;
}

inline ByteVector idx_images(const std::vector<Image>& images) {
  const auto side = [](int value) { return static_cast<std::uint32_t>(value); };
  ByteVector bytes = big_endian({0x0803, static_cast<std::uint32_t>(images.size()),
                                 side(images.front().height()), side(images.front().width())});
  for (const Image& image : images) {
    bytes.insert(bytes.end(), image.bytes().begin(), image.bytes().end());
  }
  return bytes;
}

inline ByteVector idx_labels(const std::vector<std::uint8_t>& labels) {
  ByteVector bytes = big_endian({0x0801, static_cast<std::uint32_t>(labels.size())});
  for (const std::uint8_t label : labels) {
    bytes.push_back(std::byte{label});
  }
  return bytes;
}

/// Pixels band by band, each row by row or column by column.
inline ByteVector planar(const Image& image, bool by_columns) {
  ByteVector bytes;
  const int outer = by_columns ? image.width() : image.height();
  const int inner = by_columns ? image.height() : image.width();
  for (int band = 0; band < image.bands(); ++band) {
    for (int a = 0; a < outer; ++a) {
      for (int b = 0; b < inner; ++b) {
        const int y = by_columns ? b : a;
        const int x = by_columns ? a : b;
        bytes.push_back(
            image
                .bytes()[static_cast<std::size_t>((y * image.width() + x) * image.bands() + band)]);
      }
    }
  }
  return bytes;
}

/// Records of `labels` (the same bytes before each image) and pixels, as CIFAR's.
inline ByteVector cifar_records(const std::vector<Image>& images,
                                const std::vector<std::vector<std::uint8_t>>& labels) {
  ByteVector bytes;
  for (std::size_t i = 0; i < images.size(); ++i) {
    for (const std::uint8_t label : labels[i]) {
      bytes.push_back(std::byte{label});
    }
    append(bytes, planar(images[i], false));
  }
  return bytes;
}

inline Image cifar_image(std::uint32_t number) {
  return noise(32, 32, 3, PixelType::kUint8, number);
}

/// Two images per file, numbered on; the label of each is its number modulo 10.
inline void write_cifar10(const std::filesystem::path& folder) {
  std::uint32_t number = 0;
  for (const char* const file : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                 "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}) {
    const auto label = static_cast<std::uint8_t>(number % 10);
    const auto next = static_cast<std::uint8_t>((number + 1) % 10);
    write_bytes(folder / file,
                cifar_records({cifar_image(number), cifar_image(number + 1)}, {{label}, {next}}));
    number += 2;
  }
}

/// The images of train, then those of test; labels count from 1.
inline void write_stl10(const std::filesystem::path& folder, const std::vector<Image>& images) {
  ByteVector pixels;
  ByteVector labels;
  for (std::size_t i = 0; i < images.size(); ++i) {
    append(pixels, planar(images[i], true));
    labels.push_back(static_cast<std::byte>(1 + i * 9 % 10));
  }
  for (const std::string split : {"train", "test"}) {
    write_bytes(folder / (split + "_X.bin"), pixels);
    write_bytes(folder / (split + "_y.bin"), labels);
  }
  write_bytes(folder / "unlabeled_X.bin", pixels);
}

/// 28 x 28, one band; both splits.
inline void write_mnist(const std::filesystem::path& folder,
                        const std::vector<Image>& images,
                        bool packed) {
  std::vector<std::uint8_t> labels;
  for (std::size_t i = 0; i < images.size(); ++i) {
    labels.push_back(static_cast<std::uint8_t>(9 - i % 10));
  }
  for (const std::string prefix : {"train", "t10k"}) {
    const auto write = [&](const std::string& name, const ByteVector& bytes) {
      write_bytes(folder / (prefix + name + (packed ? ".gz" : "")), packed ? gzip(bytes) : bytes);
    };
    write("-images-idx3-ubyte", idx_images(images));
    write("-labels-idx1-ubyte", idx_labels(labels));
  }
}

}  // namespace viewfold::testing
