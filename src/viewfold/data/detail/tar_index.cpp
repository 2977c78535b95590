// Implements the walk over the headers of a tar archive (POSIX.1-2017, pax; GNU tar manual, "Basic
// Tar Format").
#include "viewfold/data/detail/tar_index.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/detail/paths.hpp"

namespace viewfold::data {
namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::uint64_t kMaxExtension = std::uint64_t{1}
                                        << 20U;  // bytes of a long name or pax data

using Block = std::array<std::byte, kBlock>;

// Offset and length of the fields of a header block.
struct Field {
  std::size_t offset;
  std::size_t length;
};
constexpr Field kName{0, 100};
constexpr Field kSize{124, 12};
constexpr Field kChecksum{148, 8};
constexpr std::size_t kType = 156;
constexpr Field kLinkName{157, 100};
constexpr Field kMagic{257, 6};
constexpr Field kPrefix{345, 155};

std::string_view text_of(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.substr(0, text.find('\0'));
}

std::string_view text_of(const Block& block, Field field) {
  return text_of(std::span(block).subspan(field.offset, field.length));
}

// Octal digits between spaces, or (GNU) a big-endian number marked by its first bit; nothing when
// it is neither, or negative, or does not fit.
std::optional<std::uint64_t> number_of(const Block& block, Field field) {
  const auto bytes = std::span(block).subspan(field.offset, field.length);
  std::uint64_t value = 0;
  if ((bytes[0] & std::byte{0x80}) != std::byte{0}) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto byte = std::to_integer<std::uint64_t>(bytes[i]) & (i == 0 ? 0x7FU : 0xFFU);
      if (value >> 55U != 0) {
        return std::nullopt;
      }
      value = (value << 8U) | byte;
    }
    return value;
  }
  std::string_view text = text_of(bytes);
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  text = text.substr(0, text.find(' '));
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value, 8);
  const bool whole = text.empty() || (result.ec == std::errc() && result.ptr == end);
  return whole && value >> 62U == 0 ? std::optional(value) : std::nullopt;
}

bool is_zero(const Block& block) {
  return std::all_of(block.begin(), block.end(), [](std::byte b) { return b == std::byte{0}; });
}

// The sum of all bytes with the checksum itself as spaces; some old writers summed signed bytes.
bool has_valid_checksum(const Block& block) {
  std::int64_t plain = 0;
  std::int64_t with_sign = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.length;
    const auto byte = own ? std::uint8_t{' '} : std::to_integer<std::uint8_t>(block[i]);
    plain += byte;
    with_sign += static_cast<std::int8_t>(byte);
  }
  const auto stated = number_of(block, kChecksum);
  return stated && (static_cast<std::int64_t>(*stated) == plain ||
                    static_cast<std::int64_t>(*stated) == with_sign);
}

std::string header_name(const Block& block) {
  std::string name(text_of(block, kName));
  // GNU writes "ustar " and puts times where POSIX has the prefix.
  const bool is_posix = text_of(block, kMagic) == "ustar";
  if (is_posix && !text_of(block, kPrefix).empty()) {
    name = fmt::format("{}/{}", text_of(block, kPrefix), name);
  }
  return name;
}

std::string clean_name(std::string_view name) {
  while (name.starts_with("./") || name.starts_with('/')) {
    name.remove_prefix(name.starts_with('/') ? 1 : 2);
  }
  return std::string(name);
}

class TarWalk {
 public:
  explicit TarWalk(const InputFile& file) : file_(file) {}

  std::vector<TarMember> run();

 private:
  // What extension headers say about the next member.
  struct Extension {
    std::optional<std::string> name;
    std::optional<std::string> link;
    std::optional<std::uint64_t> size;
  };

  [[noreturn]] void fail(const std::string& problem) const;
  [[nodiscard]] bool next_header();
  void read_member();
  void read_extension(char type, std::uint64_t size);
  void read_pax(std::string_view records);
  void pass_data(std::uint64_t size, const std::string& name);

  const InputFile& file_;
  std::uint64_t offset_ = 0;  // of what follows the current header
  Block header_{};
  Extension extension_;
  std::map<std::string, TarMember> members_;
};

void TarWalk::fail(const std::string& problem) const {
  throw DataError(fmt::format("{}: {}", printable(file_.path().string()), problem));
}

bool TarWalk::next_header() {
  if (offset_ == file_.size()) {
    return false;  // some writers leave out the closing zeros
  }
  if (file_.size() < kBlock) {
    fail("is not a tar archive");
  }
  if (file_.size() - offset_ < kBlock) {
    fail(fmt::format("is truncated: ends within the tar header at byte {}", offset_));
  }
  file_.read_at(offset_, header_);
  if (is_zero(header_)) {
    return false;
  }
  if (!has_valid_checksum(header_)) {
    fail(offset_ == 0 ? std::string("is not a tar archive")
                      : fmt::format("the tar header at byte {} is damaged", offset_));
  }
  offset_ += kBlock;
  return true;
}

void TarWalk::pass_data(std::uint64_t size, const std::string& name) {
  const std::uint64_t left = file_.size() - offset_;
  const std::uint64_t padding = (kBlock - size % kBlock) % kBlock;
  if (size > left || padding > left - size) {
    fail(fmt::format("is truncated: {} claims {} bytes at byte {}, and {} are left",
                     printable(name), size, offset_, left));
  }
  offset_ += size + padding;
}

void TarWalk::read_pax(std::string_view records) {
  // Each is "LENGTH KEY=VALUE\n", where LENGTH counts all of it.
  while (!records.empty()) {
    std::size_t length = 0;
    const auto result = std::from_chars(records.data(), records.data() + records.size(), length);
    const auto digits = static_cast<std::size_t>(result.ptr - records.data());
    if (result.ec != std::errc() || length > records.size() || length < digits + 3 ||
        records[digits] != ' ' || records[length - 1] != '\n') {
      fail(fmt::format("the pax header before byte {} is damaged", offset_));
    }
    const std::string_view record = records.substr(digits + 1, length - digits - 2);
    const std::string_view key = record.substr(0, record.find('='));
    const std::string_view value = record.substr(std::min(key.size() + 1, record.size()));
    if (key == "path") {
      extension_.name = value;
    } else if (key == "linkpath") {
      extension_.link = value;
    } else if (key == "size") {
      std::uint64_t size = 0;
      const auto read = std::from_chars(value.data(), value.data() + value.size(), size);
      if (read.ec != std::errc() || read.ptr != value.data() + value.size() || size >> 62U != 0) {
        fail(fmt::format("the pax header before byte {} has the size \"{}\"", offset_,
                         printable(value)));
      }
      extension_.size = size;
    } else if (key.starts_with("GNU.sparse.")) {
      fail("holds sparse files, which are not supported (pack it again without --sparse)");
    }
    records.remove_prefix(length);
  }
}

void TarWalk::read_extension(char type, std::uint64_t size) {
  if (size > kMaxExtension) {
    fail(fmt::format("an extended header claims {} bytes at byte {}", size, offset_));
  }
  const std::uint64_t begin = offset_;
  pass_data(size, "an extended header");
  const std::vector<std::byte> bytes = file_.read_at(begin, size);
  if (type == 'L') {
    extension_.name = text_of(bytes);
  } else if (type == 'K') {
    extension_.link = text_of(bytes);
  } else if (type == 'x') {
    read_pax({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
}

void TarWalk::read_member() {
  const auto stated_size = number_of(header_, kSize);
  if (!stated_size) {
    fail(fmt::format("the tar header before byte {} has no valid size", offset_));
  }
  const char type = static_cast<char>(header_[kType]);
  if (type == 'L' || type == 'K' || type == 'x' || type == 'g') {
    read_extension(type, *stated_size);
    return;
  }
  const Extension extension = std::exchange(extension_, {});
  const std::string name = clean_name(extension.name.value_or(header_name(header_)));
  const std::uint64_t size = extension.size.value_or(*stated_size);
  if (type == 'S') {
    fail(fmt::format("{} is a sparse file, which is not supported (pack it again without --sparse)",
                     printable(name)));
  }
  const bool is_regular = type == '0' || type == '\0' || type == '7';
  if (type == '1') {
    const std::string target =
        clean_name(extension.link.value_or(std::string(text_of(header_, kLinkName))));
    if (const auto found = members_.find(target); found != members_.end()) {
      members_[name] = {.name = name, .offset = found->second.offset, .size = found->second.size};
    }
  } else if (is_regular) {
    const std::uint64_t begin = offset_;
    pass_data(size, name);
    if (!name.empty() && !name.ends_with('/')) {
      members_[name] = {.name = name, .offset = begin, .size = size};
    }
  } else if (type < '2' || type > '6') {
    pass_data(size, name);  // unknown to us, but its data is there
  }
}

std::vector<TarMember> TarWalk::run() {
  if (file_.size() == 0) {
    fail("is empty");
  }
  while (next_header()) {
    read_member();
  }
  std::vector<TarMember> members;
  members.reserve(members_.size());
  for (auto& [name, member] : members_) {
    members.push_back(std::move(member));
  }
  return members;
}

}  // namespace

bool is_tar(const std::filesystem::path& path) {
  try {
    const InputFile file(path);
    Block block{};
    file.read_at(0, block);
    return !is_zero(block) && has_valid_checksum(block);
  } catch (const DataError&) {
    return false;
  }
}

std::vector<TarMember> read_tar_index(const InputFile& file) {
  return TarWalk(file).run();
}

}  // namespace viewfold::data
