// The MNIST family: IDX files, gzipped or not (http://yann.lecun.com/exdb/mnist/).
#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <zlib.h>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/paths.hpp"
#include "viewfold/data/detail/raw_images.hpp"

namespace viewfold::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDebianFolder = "/usr/share/datasets/fashion-mnist";
constexpr std::uint32_t kImageMagic = 0x0803;  // uint8, three dimensions
constexpr std::uint32_t kLabelMagic = 0x0801;  // uint8, one dimension
constexpr std::uint64_t kImageHeader = 16;
constexpr std::uint64_t kLabelHeader = 8;

std::uint32_t big_endian(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint32_t value = 0;
  for (std::size_t i = offset; i < offset + 4; ++i) {
    value = (value << 8U) | std::to_integer<std::uint32_t>(bytes[i]);
  }
  return value;
}

[[noreturn]] void fail(const fs::path& path, const std::string& problem) {
  throw DataError(fmt::format("{}: {}", printable(path.string()), problem));
}

// Unpacks a gzip stream piece by piece, never more than is asked for.
class Inflater {
 public:
  explicit Inflater(const InputFile& file) : file_(file) {
    constexpr int kGzip = 16;  // accept the gzip wrapper only (zlib.h, inflateInit2)
    check(::inflateInit2(&stream_, MAX_WBITS + kGzip) == Z_OK, "zlib could not be started");
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { ::inflateEnd(&stream_); }

  /// Up to out.size() bytes; fewer only at the end of the stream.
  std::size_t read(std::span<std::byte> out) {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    while (stream_.avail_out > 0 && !ended_) {
      refill();
      const int code = ::inflate(&stream_, Z_NO_FLUSH);
      ended_ = code == Z_STREAM_END;
      if (code != Z_OK && !ended_) {
        fail(file_.path(), fmt::format("gzip data is damaged ({})",
                                       stream_.msg != nullptr ? stream_.msg : "no more of it"));
      }
    }
    return out.size() - stream_.avail_out;
  }

 private:
  void refill() {
    if (stream_.avail_in > 0) {
      return;
    }
    const std::uint64_t count = std::min<std::uint64_t>(buffer_.size(), file_.size() - offset_);
    if (count == 0) {
      fail(file_.path(), "gzip data is truncated");
    }
    file_.read_at(offset_, std::span(buffer_).first(static_cast<std::size_t>(count)));
    offset_ += count;
    stream_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_in = static_cast<uInt>(count);
  }

  const InputFile& file_;
  z_stream stream_{};
  std::vector<std::byte> buffer_ = std::vector<std::byte>(1U << 16U);
  std::uint64_t offset_ = 0;
  bool ended_ = false;
};

// Bytes of the whole file that a header of `size` bytes promises.
using Promise = std::uint64_t (*)(const fs::path&, std::span<const std::byte> header);

// The unpacked file; it must be exactly as long as its header promises.
std::vector<std::byte> unpack(const InputFile& file, std::uint64_t header_bytes, Promise promise) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 31U;
  constexpr std::uint64_t kChunk = std::uint64_t{1} << 22U;
  Inflater inflater(file);
  std::vector<std::byte> bytes(static_cast<std::size_t>(header_bytes));
  if (inflater.read(bytes) < header_bytes) {
    fail(file.path(), "is too short for an IDX header");
  }
  const std::uint64_t promised = promise(file.path(), bytes);
  if (promised > kMaxBytes) {
    fail(file.path(), fmt::format("unpacks to {} bytes, more than are held in memory (gunzip it "
                                  "to read it from disk)",
                                  promised));
  }
  while (bytes.size() < promised) {
    // In pieces, so that a header that lies costs no memory.
    const std::size_t old = bytes.size();
    bytes.resize(static_cast<std::size_t>(std::min(promised, old + kChunk)));
    const std::size_t got = inflater.read(std::span(bytes).subspan(old));
    if (old + got < bytes.size()) {
      fail(file.path(),
           fmt::format("unpacks to {} bytes, its header promises {}", old + got, promised));
    }
  }
  std::array<std::byte, 1> more{};
  if (inflater.read(more) != 0) {
    fail(file.path(), fmt::format("holds more than the {} bytes its header promises", promised));
  }
  return bytes;
}

std::uint64_t promised_image_bytes(const fs::path& path, std::span<const std::byte> header) {
  if (big_endian(header, 0) != kImageMagic) {
    fail(path, fmt::format("begins with {:#010x}, not with {:#010x} as IDX images of uint8 do",
                           big_endian(header, 0), kImageMagic));
  }
  const std::uint64_t count = big_endian(header, 4);
  const std::uint64_t height = big_endian(header, 8);
  const std::uint64_t width = big_endian(header, 12);
  constexpr std::uint64_t kMaxSide = 1U << 14U;
  if (count == 0 || height == 0 || width == 0 || height > kMaxSide || width > kMaxSide) {
    fail(path, fmt::format("claims {} images of {} x {} pixels", count, height, width));
  }
  return kImageHeader + count * height * width;
}

std::uint64_t promised_label_bytes(const fs::path& path, std::span<const std::byte> header) {
  if (big_endian(header, 0) != kLabelMagic) {
    fail(path, fmt::format("begins with {:#010x}, not with {:#010x} as IDX labels do",
                           big_endian(header, 0), kLabelMagic));
  }
  return kLabelHeader + big_endian(header, 4);
}

// The source of a whole IDX file whose length is as promised, and its header.
std::pair<std::variant<InputFile, std::vector<std::byte>>, std::vector<std::byte>> open_idx(
    const fs::path& path, std::uint64_t header_bytes, Promise promise) {
  InputFile file(path);
  if (path.extension() == ".gz") {
    std::vector<std::byte> bytes = unpack(file, header_bytes, promise);
    std::vector<std::byte> header(bytes.begin(),
                                  bytes.begin() + static_cast<std::ptrdiff_t>(header_bytes));
    return {std::move(bytes), std::move(header)};
  }
  std::vector<std::byte> header = file.read_at(0, header_bytes);
  const std::uint64_t promised = promise(path, header);
  if (file.size() != promised) {
    fail(path, fmt::format("has {} bytes, its header promises {}", file.size(), promised));
  }
  return {std::move(file), std::move(header)};
}

// What a spec means: the folder, and whether its classes are those of Fashion-MNIST.
struct Place {
  fs::path folder;
  bool fashion = false;
};

Place place_of(const std::string& spec) {
  if (spec == "fashion-mnist") {
    return {.folder = kDebianFolder, .fashion = true};
  }
  if (const auto folder = folder_by_name(spec, "fashion-mnist")) {
    return {.folder = *folder, .fashion = true};
  }
  return {.folder = folder_by_name(spec, "mnist").value_or(spec)};
}

// The file of a split ("images-idx3", "labels-idx1"), as published or as often renamed.
std::optional<fs::path> find_file(const fs::path& folder,
                                  const std::string& split,
                                  std::string_view what,
                                  std::string_view kind) {
  const char* const prefix = split == "train" ? "train" : "t10k";
  for (const char* const separator : {"-", "."}) {
    for (const char* const packing : {"", ".gz"}) {
      const fs::path path =
          folder / fmt::format("{}-{}{}{}-ubyte{}", prefix, what, separator, kind, packing);
      if (is_file(path)) {
        return path;
      }
    }
  }
  return std::nullopt;
}

std::vector<std::string> found_splits(const fs::path& folder) {
  std::vector<std::string> found;
  for (const char* const split : {"train", "test"}) {
    if (find_file(folder, split, "images", "idx3")) {
      found.emplace_back(split);
    }
  }
  return found;
}

int recognises(const std::string& spec) {
  const bool bare = spec == "mnist" && !is_folder(spec);
  if (spec == "fashion-mnist" || bare || folder_by_name(spec, "fashion-mnist") ||
      folder_by_name(spec, "mnist")) {
    return 100;
  }
  return found_splits(spec).empty() ? 0 : 50;
}

std::vector<std::string> splits(const std::string& spec) {
  auto found = found_splits(place_of(spec).folder);
  if (found.empty() && spec == "fashion-mnist") {
    throw DataError(
        fmt::format("fashion-mnist: {} does not hold it (install the package "
                    "dataset-fashion-mnist, or name its folder: fashion-mnist:DIR)",
                    kDebianFolder));
  }
  if (found.empty()) {
    throw DataError(
        fmt::format("{}: no IDX files: expected mnist:DIR with "
                    "DIR/train-images-idx3-ubyte, train-labels-idx1-ubyte, "
                    "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte (or .gz)",
                    printable(spec)));
  }
  return found;
}

Labels read_labels(const fs::path& path, std::size_t count, bool fashion) {
  auto [source, header] = open_idx(path, kLabelHeader, promised_label_bytes);
  const std::size_t found = big_endian(header, 4);
  if (found != count) {
    fail(path, fmt::format("holds {} labels for {} images", found, count));
  }
  const auto* const file = std::get_if<InputFile>(&source);
  const std::vector<std::byte> bytes = file != nullptr
                                           ? file->read_at(0, file->size())
                                           : std::move(std::get<std::vector<std::byte>>(source));
  Labels labels;
  if (fashion) {
    labels.class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                          "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  }
  std::size_t classes = 10;
  for (std::size_t i = kLabelHeader; i < bytes.size(); ++i) {
    const auto label = std::to_integer<std::int32_t>(bytes[i]);
    classes = std::max(classes, static_cast<std::size_t>(label) + 1);
    labels.of_image.emplace_back(label);
  }
  if (fashion && classes > labels.class_names.size()) {
    fail(path, fmt::format("label {} is not one of the 10 classes", classes - 1));
  }
  for (std::size_t i = labels.class_names.size(); i < classes; ++i) {
    labels.class_names.push_back(std::to_string(i));
  }
  return labels;
}

std::unique_ptr<Dataset> open(const DatasetRequest& request) {
  const Place place = place_of(request.spec);
  check_split(printable(request.spec), request.split, splits(request.spec));
  const auto images = find_file(place.folder, request.split, "images", "idx3");
  const auto labels = find_file(place.folder, request.split, "labels", "idx1");
  if (!images || !labels) {
    fail(place.folder, fmt::format("the {} images lack their labels, {}-labels-idx1-ubyte (or .gz)",
                                   request.split, request.split == "train" ? "train" : "t10k"));
  }
  auto [source, header] = open_idx(*images, kImageHeader, promised_image_bytes);
  const RawLayout layout{.height = static_cast<int>(big_endian(header, 8)),
                         .width = static_cast<int>(big_endian(header, 12)),
                         .header = kImageHeader};
  const std::size_t count = big_endian(header, 4);
  std::vector<RawPart> parts;
  parts.push_back(
      {.name = printable(images->string()), .source = std::move(source), .count = count});
  return make_raw_images(std::move(parts), layout, read_labels(*labels, count, place.fashion));
}

}  // namespace

DatasetEntry idx_entry() {
  return {.name = "idx",
          .summary =
              "fashion-mnist (Debian's package dataset-fashion-mnist), fashion-mnist:DIR, "
              "mnist:DIR, or a folder with train-images-idx3-ubyte(.gz) ...",
          .names = {"fashion-mnist", "fashion-mnist:DIR", "mnist:DIR"},
          .recognises = recognises,
          .open = open,
          .splits = splits};
}

}  // namespace viewfold::data
