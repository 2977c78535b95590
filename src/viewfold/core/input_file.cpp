// Implements reading at a position on POSIX descriptors.
#include "viewfold/core/input_file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& problem) {
  throw DataError(fmt::format("{}: {}", path.string(), problem));
}

std::string system_message() {
  return std::generic_category().message(errno);
}

}  // namespace

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
  file_ = open_file(path_, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  const bool known = ::fstat(file_.get(), &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    fail(path_,
         known && S_ISDIR(status.st_mode) ? "is a folder, not a file" : "is not a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

void InputFile::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      fail(path_, fmt::format("cannot be read at byte {} ({})", offset, system_message()));
    }
    if (count == 0) {
      fail(path_, fmt::format("ends at byte {}, {} bytes too early", offset, out.size()));
    }
    offset += static_cast<std::uint64_t>(count);
    out = out.subspan(static_cast<std::size_t>(count));
  }
}

std::vector<std::byte> InputFile::read_at(std::uint64_t offset, std::uint64_t count) const {
  if (offset > size_ || count > size_ - offset) {
    fail(path_, fmt::format("has {} bytes, too few for {} at byte {}", size_, count, offset));
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(count));
  read_at(offset, bytes);
  return bytes;
}

}  // namespace viewfold
