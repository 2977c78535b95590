// Implements the file of decoded images: a header, the pixels of one image behind another, a table
// of the images, and the reasons of those that cannot be read. Numbers are as the machine has them.
#include "viewfold/data/image_cache.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <mutex>
#include <span>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/fast_hash.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/thread_pool.hpp"
#include "viewfold/core/version.hpp"
#include "viewfold/data/survey.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::array<char, 8> kMagic{'V', 'F', 'P', 'I', 'X', 'E', 'L', 'S'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kByteOrder = 0x01020304;
constexpr double kGigabyte = 1e9;

struct Header {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t byte_order = kByteOrder;
  std::array<char, 64> key{};  // of the images: see cache_key()
  std::uint64_t images = 0;
  std::uint64_t table = 0;         // its place: where the pixels end
  std::uint64_t reason_bytes = 0;  // behind the table
  std::uint64_t table_hash = 0;    // of table and reasons
  std::uint64_t header_hash = 0;   // of all before
};
static_assert(sizeof(Header) == 120 && std::is_trivially_copyable_v<Header>);

struct Entry {
  std::uint64_t offset = 0;
  std::uint64_t hash = 0;    // of the pixels
  std::uint32_t height = 0;  // 0: cannot be read; then the reason is at `offset`, of `width` bytes
  std::uint32_t width = 0;
  std::uint32_t bands = 0;
  std::uint32_t type = 0;  // PixelType

  [[nodiscard]] std::uint64_t bytes() const {
    return height == 0 ? width
                       : std::uint64_t{height} * width * bands *
                             bytes_per_value(static_cast<PixelType>(type));
  }
};
static_assert(sizeof(Entry) == 32 && std::is_trivially_copyable_v<Entry>);

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::uint64_t hash_of_header(const Header& header) {
  return fast_hash(bytes_of(header).first(offsetof(Header, header_hash)));
}

// What the pixels in a cache depend on; empty when it cannot be told.
std::string cache_key(const Dataset& base, int bands) {
  const std::string images = storage_fingerprint(base);
  const std::string text = fmt::format("{} {} {}", images, bands, version());
  return images.empty() ? images : hex_hash(std::as_bytes(std::span(text)));
}

// A whole file as memory that is read when it is touched.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path) {
    const FileHandle file = open_file(path, O_RDONLY);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) {
      throw DataError("it is no file, or empty");
    }
    size_ = static_cast<std::size_t>(status.st_size);
    place_ = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
    if (place_ == MAP_FAILED) {
      throw DataError(
          fmt::format("it cannot be mapped: {}", std::generic_category().message(errno)));
    }
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { ::munmap(place_, size_); }

  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(place_), size_};
  }

  // Bytes that are about to be read: asks for all of them, where each fault would get a few.
  [[nodiscard]] std::span<const std::byte> part(std::uint64_t offset, std::uint64_t size) const {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::uint64_t begin = offset / page * page;
    // A hint: where it is not taken, reading is slower.
    (void)::posix_madvise(static_cast<std::byte*>(place_) + begin, offset + size - begin,
                          POSIX_MADV_WILLNEED);
    return bytes().subspan(offset, size);
  }

 private:
  void* place_ = nullptr;
  std::size_t size_ = 0;
};

Header read_header(std::span<const std::byte> file, const std::string& key, std::size_t images) {
  Header header;
  if (file.size() < sizeof(Header)) {
    throw DataError("it is cut short");
  }
  std::memcpy(&header, file.data(), sizeof(Header));
  if (header.magic != kMagic) {
    throw DataError("it is another kind of file");
  }
  if (header.version != kVersion || header.byte_order != kByteOrder) {
    throw DataError("another version of viewfold or another kind of machine has written it");
  }
  if (header.header_hash != hash_of_header(header)) {
    throw DataError("its header is damaged");
  }
  if (header.images != images || !std::equal(key.begin(), key.end(), header.key.begin())) {
    throw DataError("the images or viewfold have changed since it was written");
  }
  const std::uint64_t entries = header.images * sizeof(Entry);  // of as many images as there are
  if (header.table > file.size() || entries > file.size() - header.table ||
      header.reason_bytes != file.size() - header.table - entries) {
    throw DataError("it is cut short");
  }
  return header;
}

// Whether what an entry claims lies in a file of this size.
bool lies_within(const Entry& entry, std::uint64_t size) {
  constexpr std::uint32_t kMostSide = std::numeric_limits<std::int32_t>::max();
  if (entry.height > kMostSide || entry.width > kMostSide || entry.bands > kMostSide ||
      entry.type > static_cast<std::uint32_t>(PixelType::kFloat32)) {
    return false;
  }
  if (entry.height > 0) {
    const std::uint64_t row = std::uint64_t{entry.width} * entry.bands;  // no more than 62 bits
    if (row == 0 || row > size || entry.height > size / row) {
      return false;
    }
  }
  return entry.offset <= size && entry.bytes() <= size - entry.offset;
}

std::vector<Entry> read_table(std::span<const std::byte> file, const Header& header) {
  const auto table = file.subspan(header.table);
  if (fast_hash(table) != header.table_hash) {
    throw DataError("its table is damaged");
  }
  std::vector<Entry> entries(header.images);
  std::memcpy(entries.data(), table.data(), entries.size() * sizeof(Entry));
  // The hash is no signature: a file that was made to mislead must not lead outside either.
  if (!std::all_of(entries.begin(), entries.end(),
                   [&](const Entry& entry) { return lies_within(entry, file.size()); })) {
    throw DataError("its table is damaged");
  }
  return entries;
}

class CachedImages final : public ImageCache {
 public:
  // Throws DataError with the reason when the file cannot be used.
  CachedImages(std::shared_ptr<const Dataset> base,
               const ImageCacheOptions& options,
               const std::string& key)
      : base_(std::move(base)),
        bands_(options.bands),
        file_(options.path),
        entries_(read_table(file_.bytes(), read_header(file_.bytes(), key, base_->size()))),
        states_(entries_.size()) {}

  [[nodiscard]] std::size_t size() const override { return entries_.size(); }
  [[nodiscard]] Image image(std::size_t index) const override {
    Image buffer;
    const Image& image = read(index, buffer);
    return &image == &buffer ? std::move(buffer) : Image(image);
  }
  [[nodiscard]] const Image& read(std::size_t index, Image& buffer) const override;
  [[nodiscard]] std::string name(std::size_t index) const override { return base_->name(index); }
  [[nodiscard]] std::optional<std::int64_t> label(std::size_t index) const override {
    return base_->label(index);
  }
  [[nodiscard]] const std::vector<std::string>& class_names() const override {
    return base_->class_names();
  }
  [[nodiscard]] bool has_annotations() const override { return base_->has_annotations(); }
  [[nodiscard]] Annotations annotations(std::size_t index) const override {
    return base_->annotations(index);
  }
  [[nodiscard]] std::size_t damaged() const override {
    return static_cast<std::size_t>(std::count(states_.begin(), states_.end(), State::kDamaged));
  }
  [[nodiscard]] std::vector<BadImage> unreadable() const override;

 private:
  enum class State : std::uint8_t { kUnknown, kGood, kDamaged };

  [[nodiscard]] std::string reason_of(const Entry& entry) const;
  [[nodiscard]] bool is_good(std::size_t index, std::span<const std::byte> pixels) const;

  std::shared_ptr<const Dataset> base_;
  int bands_;
  MappedFile file_;
  std::vector<Entry> entries_;
  mutable std::vector<std::atomic<State>> states_;
};

std::vector<BadImage> CachedImages::unreadable() const {
  std::vector<BadImage> bad;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].height == 0) {
      bad.push_back({.index = i, .reason = reason_of(entries_[i])});
    }
  }
  return bad;
}

std::string CachedImages::reason_of(const Entry& entry) const {
  const auto reason = file_.bytes().subspan(entry.offset, entry.width);
  return {reinterpret_cast<const char*>(reason.data()), reason.size()};
}

const Image& CachedImages::read(std::size_t index, Image& buffer) const {
  check(index < size(), "index of an image is out of range");
  const Entry& entry = entries_[index];
  if (entry.height == 0) {
    throw DataError(reason_of(entry));
  }
  const auto pixels = file_.part(entry.offset, entry.bytes());
  if (!is_good(index, pixels)) {
    return read_with_bands(*base_, index, bands_, buffer);
  }
  buffer.reshape(static_cast<int>(entry.height), static_cast<int>(entry.width),
                 static_cast<int>(entry.bands), static_cast<PixelType>(entry.type));
  std::memcpy(buffer.bytes().data(), pixels.data(), pixels.size());
  return buffer;
}

// Looked at once: what is in memory from then on is not what disks damage.
bool CachedImages::is_good(std::size_t index, std::span<const std::byte> pixels) const {
  State state = states_[index];
  if (state == State::kUnknown) {
    state = fast_hash(pixels) == entries_[index].hash ? State::kGood : State::kDamaged;
    states_[index] = state;
  }
  return state == State::kGood;
}

// Removes what was not finished; once it has its final name, there is nothing to remove.
struct TemporaryFile {
  explicit TemporaryFile(fs::path path_in) : path(std::move(path_in)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { ::unlink(path.c_str()); }

  fs::path path;
};

// Takes the images from several threads, writes them in their order, and holds none of them.
class Writer {
 public:
  Writer(const fs::path& path, std::size_t images, std::uint64_t max_bytes, LogSink& log)
      : path_(path),
        file_(open_file(path, O_WRONLY | O_CREAT | O_TRUNC)),
        images_(images),
        max_bytes_(max_bytes),
        log_(log) {
    entries_.reserve(images);
    write(bytes_of(Header{}));  // keeps the place
  }

  // Waits for the turn of the image.
  void add(std::size_t index, const Image& image);
  // The same for one that cannot be read.
  void add_bad(std::size_t index, const std::string& reason);

  // An image will not come: nobody shall wait for it.
  void give_up();

  // Completes the file and gives it its final name.
  void finish(const std::string& key, const fs::path& path);

  [[nodiscard]] std::uint64_t bytes() const { return end_; }

 private:
  // False when there will be no turn.
  [[nodiscard]] bool wait_for_turn(std::unique_lock<std::mutex>& lock, std::size_t index);
  void end_turn(const Entry& entry);
  void write(std::span<const std::byte> bytes);

  const fs::path path_;
  FileHandle file_;
  const std::size_t images_;
  const std::uint64_t max_bytes_;
  LogSink& log_;

  std::mutex mutex_;
  std::condition_variable turn_;
  bool given_up_ = false;
  std::uint64_t end_ = 0;
  std::vector<Entry> entries_;
  std::string reasons_;
  Clock::time_point told_ = Clock::now();
};

void Writer::write(std::span<const std::byte> bytes) {
  if (bytes.size() > max_bytes_ - end_) {
    throw DataError(fmt::format("{}: they take more than {:.1f} GB", path_.string(),
                                static_cast<double>(max_bytes_) / kGigabyte));
  }
  write_all(file_, path_, bytes);
  end_ += bytes.size();
}

bool Writer::wait_for_turn(std::unique_lock<std::mutex>& lock, std::size_t index) {
  turn_.wait(lock, [&] { return given_up_ || entries_.size() == index; });
  return !given_up_;
}

void Writer::end_turn(const Entry& entry) {
  constexpr std::chrono::seconds kPause(30);
  entries_.push_back(entry);
  turn_.notify_all();
  if (Clock::now() - told_ >= kPause) {
    told_ = Clock::now();
    log_.info(fmt::format("{} of {} images are decoded", entries_.size(), images_));
  }
}

void Writer::add(std::size_t index, const Image& image) {
  Entry entry{.hash = fast_hash(image.bytes()),
              .height = static_cast<std::uint32_t>(image.height()),
              .width = static_cast<std::uint32_t>(image.width()),
              .bands = static_cast<std::uint32_t>(image.bands()),
              .type = static_cast<std::uint32_t>(image.type())};
  std::unique_lock lock(mutex_);
  if (wait_for_turn(lock, index)) {
    entry.offset = end_;
    write(image.bytes());
    end_turn(entry);
  }
}

void Writer::add_bad(std::size_t index, const std::string& reason) {
  std::unique_lock lock(mutex_);
  if (wait_for_turn(lock, index)) {
    // Counted from the first reason, until it is known where that will be.
    end_turn({.offset = reasons_.size(), .width = static_cast<std::uint32_t>(reason.size())});
    reasons_ += reason;
  }
}

void Writer::give_up() {
  const std::scoped_lock lock(mutex_);
  given_up_ = true;
  turn_.notify_all();
}

void Writer::finish(const std::string& key, const fs::path& path) {
  Header header;
  std::copy(key.begin(), key.end(), header.key.begin());
  header.images = entries_.size();
  header.table = end_;
  header.reason_bytes = reasons_.size();
  for (Entry& entry : entries_) {
    if (entry.height == 0) {
      entry.offset += header.table + entries_.size() * sizeof(Entry);
    }
  }
  const auto table = std::as_bytes(std::span(entries_));
  const auto reasons = std::as_bytes(std::span(reasons_));
  std::vector<std::byte> rest(table.begin(), table.end());
  rest.insert(rest.end(), reasons.begin(), reasons.end());
  header.table_hash = fast_hash(rest);
  header.header_hash = hash_of_header(header);
  write(rest);
  const bool rewound = ::lseek(file_.get(), 0, SEEK_SET) == 0;
  write_all(file_, path_, bytes_of(header));
  if (!rewound || ::fsync(file_.get()) != 0 || ::rename(path_.c_str(), path.c_str()) != 0) {
    throw DataError(fmt::format("{}: cannot be written ({})", path.string(),
                                std::generic_category().message(errno)));
  }
}

void decode_into(Writer& writer, const Dataset& base, std::size_t index, int bands) {
  Image buffer;
  const Image* image = nullptr;
  std::string reason;
  try {
    image = &read_with_bands(base, index, bands, buffer);
  } catch (const DataError& error) {
    reason = error.what();
  }
  if (image != nullptr) {
    writer.add(index, *image);
  } else {
    writer.add_bad(index, reason);
  }
}

void decode_all(Writer& writer, const Dataset& base, const ImageCacheOptions& options) {
  parallel_for(base.size(), options.threads, [&](std::size_t i) {
    try {
      if (options.stop_requested()) {
        throw Interrupted("stopped while the images were being decoded");
      }
      decode_into(writer, base, i, options.bands);
    } catch (...) {
      writer.give_up();
      throw;
    }
  });
}

// Makes the folder of the file, and says how many bytes the file may have.
std::uint64_t prepare_place(const ImageCacheOptions& options) {
  const fs::path folder =
      options.path.has_parent_path() ? options.path.parent_path() : fs::path(".");
  create_folder(folder);
  std::error_code failure;
  fs::remove(options.path, failure);  // what it takes can be taken again
  const std::uint64_t available = fs::space(folder, failure).available;
  return failure ? options.max_bytes : std::min(options.max_bytes, available / 2);
}

}  // namespace

std::shared_ptr<const ImageCache> open_image_cache(std::shared_ptr<const Dataset> base,
                                                   const ImageCacheOptions& options,
                                                   LogSink& log) {
  std::error_code ignored;
  const std::string key =
      fs::exists(options.path, ignored) ? cache_key(*base, options.bands) : std::string();
  if (key.empty()) {
    return nullptr;
  }
  try {
    return std::make_shared<CachedImages>(std::move(base), options, key);
  } catch (const DataError& error) {
    log.info(fmt::format("{}: the cache of decoded images is not used: {}", options.path.string(),
                         error.what()));
    return nullptr;
  }
}

std::shared_ptr<const ImageCache> write_image_cache(std::shared_ptr<const Dataset> base,
                                                    const ImageCacheOptions& options,
                                                    LogSink& log) {
  // Before the images are read: one that changes meanwhile is then known to have changed.
  const std::string key = options.max_bytes == 0 ? std::string() : cache_key(*base, options.bands);
  if (key.empty()) {
    return nullptr;
  }
  try {
    const std::uint64_t room = prepare_place(options);
    const double gigabytes =
        static_cast<double>(estimate_decoded_bytes(*base, options.bands)) / kGigabyte;
    if (gigabytes * kGigabyte > static_cast<double>(room)) {
      log.info(fmt::format(
          "no cache of decoded images: they would take about {:.1f} GB, and it may take {:.1f} GB "
          "(data.cache_gb, at most half of the free disk)",
          gigabytes, static_cast<double>(room) / kGigabyte));
      return nullptr;
    }
    log.info(fmt::format("decoding {} images once into {}, which takes about {:.1f} GB",
                         base->size(), options.path.string(), gigabytes));
    const auto start = Clock::now();
    const TemporaryFile temporary(options.path.string() + ".tmp");
    Writer writer(temporary.path, base->size(), room, log);
    decode_all(writer, *base, options);
    writer.finish(key, options.path);
    log.info(fmt::format("decoded: {:.2f} GB in {:.0f} s",
                         static_cast<double>(writer.bytes()) / kGigabyte,
                         std::chrono::duration<double>(Clock::now() - start).count()));
    return std::make_shared<CachedImages>(std::move(base), options, key);
  } catch (const DataError& error) {
    log.warning(fmt::format("no cache of decoded images, they are decoded at every access: {}",
                            error.what()));
    return nullptr;
  }
}

}  // namespace viewfold
