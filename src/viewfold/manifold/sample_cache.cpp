// Implements the file of samples: written beside, renamed when whole, checked when opened.
#include "viewfold/manifold/sample_cache.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/core/fast_hash.hpp"

namespace viewfold {
namespace {

constexpr std::size_t kHeaderBytes = 4096;
constexpr std::size_t kBlock = 1024;  // images drawn, and hashed, together

std::string header_text(const nlohmann::ordered_json& header) {
  std::string text = header.dump() + "\n";
  check(text.size() <= kHeaderBytes, "the header of a sample cache is one page");
  text.resize(kHeaderBytes, ' ');
  return text;
}

// Chains the hashes of blocks.
std::uint64_t chained(std::uint64_t before, std::span<const std::byte> block) {
  const std::array<std::uint64_t, 2> both{before, fast_hash(block)};
  return fast_hash(std::as_bytes(std::span(both)));
}

// A file that goes away again unless it is kept.
class Unfinished {
 public:
  explicit Unfinished(std::filesystem::path path) : path_(std::move(path)) {}
  ~Unfinished() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  Unfinished(Unfinished&&) = delete;
  Unfinished& operator=(Unfinished&&) = delete;

 private:
  std::filesystem::path path_;
};

// S samples of each of `samples`, one after another.
std::vector<std::byte> draw_block(const Manifold& manifold,
                                  std::span<const std::uint32_t> samples,
                                  const SampleCacheOptions& options,
                                  Image& first) {
  const auto each = static_cast<std::size_t>(options.samples_each);
  std::vector<std::byte> pixels;
  std::vector<Image> images(samples.size());
  for (std::size_t s = 0; s < each; ++s) {
    manifold.sample(
        samples,
        {.seed = options.seed, .stream = "sample_cache", .view = static_cast<std::uint16_t>(s)},
        images);
    if (first.empty()) {
      first = images.front();
    }
    const std::size_t bytes = first.bytes().size();
    pixels.resize(samples.size() * each * bytes);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      check(images[i].height() == first.height() && images[i].width() == first.width() &&
                images[i].bands() == first.bands() && images[i].type() == PixelType::kUint8,
            "samples to keep are images of uint8 of one size");
      std::ranges::copy(images[i].bytes(), &pixels[(i * each + s) * bytes]);
    }
  }
  return pixels;
}

}  // namespace

std::shared_ptr<const SampleCache> write_sample_cache(const Manifold& manifold,
                                                      const SampleCacheOptions& options) {
  create_folder(options.path.parent_path());
  auto beside = options.path;
  beside += fmt::format(".{}.part", ::getpid());
  const Unfinished unfinished(beside);
  const FileHandle file = open_file(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
  const std::string empty(kHeaderBytes, ' ');
  write_all(file, beside, std::as_bytes(std::span(empty)));
  Image first;
  std::uint64_t hash = 0;
  for (std::int64_t begin = 0; begin < options.images; begin += kBlock) {
    if (options.stop_requested()) {
      throw Interrupted("stopped while samples were made; they will be made again");
    }
    std::vector<std::uint32_t> samples;
    const auto end = std::min<std::int64_t>(begin + kBlock, options.images);
    for (std::int64_t i = begin; i < end; ++i) {
      samples.push_back(static_cast<std::uint32_t>(i));
    }
    const auto pixels = draw_block(manifold, samples, options, first);
    hash = chained(hash, pixels);
    write_all(file, beside, pixels);
  }
  const std::string header = header_text({{"viewfold", "samples of a manifold"},
                                          {"schema", 1},
                                          {"images", options.images},
                                          {"samples_each", options.samples_each},
                                          {"height", first.height()},
                                          {"width", first.width()},
                                          {"bands", first.bands()},
                                          {"hash", fmt::format("{:016x}", hash)},
                                          {"key", options.key}});
  if (::pwrite(file.get(), header.data(), header.size(), 0) !=
          static_cast<ssize_t>(header.size()) ||
      ::fsync(file.get()) != 0) {
    throw WriteError(fmt::format("{}: {}", beside.string(),
                                 std::error_code(errno, std::generic_category()).message()));
  }
  std::error_code failure;
  std::filesystem::rename(beside, options.path, failure);
  if (failure) {
    throw WriteError(fmt::format("{}: {}", options.path.string(), failure.message()));
  }
  auto cache = SampleCache::open(options.path, options.key);
  if (!cache) {
    throw WriteError(fmt::format("{}: is not what was written to it (is the disk sound?)",
                                 options.path.string()));
  }
  return cache;
}

std::shared_ptr<const SampleCache> SampleCache::open(const std::filesystem::path& path,
                                                     const std::string& key) {
  std::error_code missing;
  const auto size = std::filesystem::file_size(path, missing);
  if (missing || size < kHeaderBytes) {
    return nullptr;
  }
  std::shared_ptr<SampleCache> cache(new SampleCache());
  cache->file_ = open_file(path, O_RDONLY | O_CLOEXEC);
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, cache->file_.get(), 0);
  if (mapped == MAP_FAILED) {
    throw DataError(fmt::format("{}: {}", path.string(),
                                std::error_code(errno, std::generic_category()).message()));
  }
  cache->bytes_ = static_cast<const std::byte*>(mapped);
  cache->size_ = size;
  const std::string_view text(reinterpret_cast<const char*>(cache->bytes_), kHeaderBytes);
  const auto header = nlohmann::json::parse(text, nullptr, false);
  const auto number = [&header](const char* name) -> std::int64_t {
    const auto found = header.find(name);
    constexpr std::int64_t kLargest = std::int64_t{1} << 31;
    const bool good = found != header.end() && found->is_number_integer();
    const auto value = good ? found->get<std::int64_t>() : 0;
    return value >= 1 && value < kLargest ? value : 0;
  };
  if (!header.is_object() || header.value("key", nlohmann::json()) != key) {
    return nullptr;
  }
  cache->images_ = number("images");
  cache->samples_each_ = number("samples_each");
  cache->height_ = static_cast<int>(number("height"));
  cache->width_ = static_cast<int>(number("width"));
  cache->bands_ = static_cast<int>(number("bands"));
  // As floating point: what a damaged header says may be more than any integer holds.
  const double expected = static_cast<double>(cache->images_) *
                          static_cast<double>(cache->samples_each_) * cache->height_ *
                          static_cast<double>(cache->width_) * cache->bands_;
  if (expected < 1.0 || expected != static_cast<double>(size - kHeaderBytes)) {
    return nullptr;
  }
  std::uint64_t hash = 0;
  const std::size_t block = kBlock * ((size - kHeaderBytes) / cache->images_);
  for (std::size_t at = kHeaderBytes; at < size; at += block) {
    hash = chained(hash, {cache->bytes_ + at, std::min(block, size - at)});
  }
  if (header.value("hash", nlohmann::json()) != fmt::format("{:016x}", hash)) {
    return nullptr;
  }
  return cache;
}

SampleCache::~SampleCache() {
  if (bytes_ != nullptr) {
    ::munmap(const_cast<std::byte*>(bytes_), size_);
  }
}

void SampleCache::read(std::int64_t image, std::int64_t sample, Image& out) const {
  check(image >= 0 && image < images_ && sample >= 0 && sample < samples_each_,
        "the cache has no such sample");
  out.reshape(height_, width_, bands_, PixelType::kUint8);
  const std::size_t bytes = out.bytes().size();
  std::memcpy(
      out.bytes().data(),
      bytes_ + kHeaderBytes + static_cast<std::size_t>(image * samples_each_ + sample) * bytes,
      bytes);
}

}  // namespace viewfold
