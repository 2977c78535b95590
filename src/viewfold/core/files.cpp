// Implements whole-file reading, atomic writing and SHA-256.
#include "viewfold/core/files.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, std::string_view what, int code) {
  throw DataError(
      fmt::format("{}: {} ({})", path.string(), what, std::generic_category().message(code)));
}

std::string_view remedy_for(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space there";
    case EFBIG:
      return "; raise the limit of file sizes, `ulimit -f`";
    case EROFS:
    case EACCES:
    case EPERM:
      return "; make it writable";
    default:
      return "";
  }
}

[[noreturn]] void fail_to_write(const fs::path& path, std::string_view what, int code) {
  throw WriteError(fmt::format("{}: {} ({}{})", path.string(), what,
                               std::generic_category().message(code), remedy_for(code)));
}

template <class Buffer>
Buffer read_into(const fs::path& path) {
  const FileHandle file = open_file(path, O_RDONLY);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    fail(path, "cannot be read", errno);
  }
  Buffer buffer(static_cast<std::size_t>(std::max<off_t>(status.st_size, 0)), {});
  std::size_t used = 0;
  while (true) {
    if (used == buffer.size()) {
      // Pipes and /proc state no size; one more byte also finds the end of an ordinary file.
      buffer.resize(used + std::max<std::size_t>(used / 2, 1));
    }
    const ssize_t got = ::read(file.get(), buffer.data() + used, buffer.size() - used);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      fail(path, "cannot be read", errno);
    }
    if (got == 0) {
      break;
    }
    used += static_cast<std::size_t>(got);
  }
  buffer.resize(used);
  return buffer;
}

// A new file beside `path`. O_EXCL makes the name ours even when two processes write the same path.
std::pair<FileHandle, fs::path> create_beside(const fs::path& path) {
  for (int attempt = 0;; ++attempt) {
    fs::path temporary = path.parent_path();
    temporary /= fmt::format(".{}.{}.{}.tmp", path.filename().string(), ::getpid(), attempt);
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    const int descriptor = ::open(temporary.c_str(), kFlags, 0666);
    if (descriptor >= 0) {
      return {FileHandle(descriptor), std::move(temporary)};
    }
    if (errno != EEXIST) {
      fail_to_write(path, "cannot be written", errno);
    }
  }
}

void sync_folder(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const FileHandle handle = open_file(folder, O_RDONLY | O_DIRECTORY);
  // Some file systems cannot sync a folder; the rename is still atomic there.
  if (::fsync(handle.get()) != 0 && errno != EINVAL && errno != EROFS) {
    fail_to_write(path, "cannot be made durable", errno);
  }
}

void write_and_rename(const FileHandle& file,
                      const fs::path& temporary,
                      const fs::path& path,
                      std::span<const std::byte> bytes) {
  write_all(file, path, bytes);
  if (::fsync(file.get()) != 0) {
    fail_to_write(path, "cannot be written", errno);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    fail_to_write(path, "cannot be replaced", errno);
  }
}

// FIPS 180-4, Sec. 4.2.2.
constexpr std::array<std::uint32_t, 64> kRoundConstants = {
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2};

constexpr std::size_t kBlockBytes = 64;
using HashState = std::array<std::uint32_t, 8>;

// Absorbs one block (FIPS 180-4, Sec. 6.2.2; the letters are the standard's).
void absorb(HashState& state, const std::byte* block) {
  std::array<std::uint32_t, 64> w{};
  for (std::size_t t = 0; t < 16; ++t) {
    for (std::size_t i = 0; i < 4; ++i) {
      w[t] = (w[t] << 8U) | std::to_integer<std::uint32_t>(block[4 * t + i]);
    }
  }
  for (std::size_t t = 16; t < 64; ++t) {
    const std::uint32_t x = w[t - 15];
    const std::uint32_t y = w[t - 2];
    w[t] = w[t - 16] + w[t - 7] + (std::rotr(x, 7) ^ std::rotr(x, 18) ^ (x >> 3U)) +
           (std::rotr(y, 17) ^ std::rotr(y, 19) ^ (y >> 10U));
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (std::size_t t = 0; t < 64; ++t) {
    const std::uint32_t choice = (e & f) ^ (~e & g);
    const std::uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
    const std::uint32_t t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + choice +
                             kRoundConstants[t] + w[t];
    const std::uint32_t t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + majority;
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const HashState mixed = {a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < state.size(); ++i) {
    state[i] += mixed[i];
  }
}

}  // namespace

FileHandle::FileHandle(FileHandle&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileHandle::~FileHandle() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

FileHandle open_file(const fs::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor < 0 && (flags & O_ACCMODE) == O_RDONLY) {
    fail(path, "cannot be opened", errno);
  }
  if (descriptor < 0) {
    fail_to_write(path, "cannot be opened for writing", errno);
  }
  return FileHandle(descriptor);
}

void write_all(const FileHandle& file, const fs::path& path, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(file.get(), bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) {
      continue;
    }
    if (done < 0) {
      fail_to_write(path, "cannot be written", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

std::vector<std::byte> read_file(const fs::path& path) {
  return read_into<std::vector<std::byte>>(path);
}

std::string read_text_file(const fs::path& path) {
  return read_into<std::string>(path);
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  const auto [file, temporary] = create_beside(path);
  try {
    write_and_rename(file, temporary, path, bytes);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(path);
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void create_folder(const fs::path& path) {
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure) {
    fail_to_write(path, "cannot be made a folder", failure.value());
  }
}

std::string hex_hash(std::span<const std::byte> bytes) {
  // FIPS 180-4, Sec. 5.3.3.
  HashState state = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                     0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
  const std::size_t whole = bytes.size() / kBlockBytes * kBlockBytes;
  for (std::size_t at = 0; at < whole; at += kBlockBytes) {
    absorb(state, bytes.data() + at);
  }
  // The rest, a one bit, zeros, and the length in bits (Sec. 5.1.1) fill one block or two.
  std::array<std::byte, 2 * kBlockBytes> tail{};
  const std::size_t rest = bytes.size() - whole;
  std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(whole), bytes.end(), tail.begin());
  tail[rest] = std::byte{0x80};
  const std::size_t tail_size = rest + 9 <= kBlockBytes ? kBlockBytes : 2 * kBlockBytes;
  const std::uint64_t bits = std::uint64_t{bytes.size()} * 8;
  for (std::size_t i = 0; i < 8; ++i) {
    tail[tail_size - 1 - i] = static_cast<std::byte>(bits >> (8 * i));
  }
  for (std::size_t at = 0; at < tail_size; at += kBlockBytes) {
    absorb(state, tail.data() + at);
  }
  std::string hex;
  for (const std::uint32_t word : state) {
    hex += fmt::format("{:08x}", word);
  }
  return hex;
}

}  // namespace viewfold
