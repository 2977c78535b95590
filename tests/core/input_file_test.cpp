// Tests of reading at a position, and of files that are none.
#include "viewfold/core/input_file.hpp"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>
#include <sys/stat.h>

#include "core/test_folder.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/thread_pool.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

fs::path write_counting(const fs::path& folder, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(i % 251);
  }
  write_file_atomically(folder / "f", bytes);
  return folder / "f";
}

bool counts_from(const std::vector<std::byte>& bytes, std::size_t offset) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != static_cast<std::byte>((offset + i) % 251)) {
      return false;
    }
  }
  return true;
}

template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "(no DataError)";
}

TEST(InputFile, ReadsAnyPart) {
  const TestFolder folder("input");
  const InputFile file(write_counting(folder.path(), 1000));
  EXPECT_EQ(file.size(), 1000U);
  EXPECT_EQ(file.path(), folder.path() / "f");
  for (const auto& [offset, count] :
       {std::pair{0, 1000}, std::pair{999, 1}, std::pair{300, 300}, std::pair{1000, 0}}) {
    const auto bytes =
        file.read_at(static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(count));
    EXPECT_EQ(bytes.size(), static_cast<std::size_t>(count));
    EXPECT_TRUE(counts_from(bytes, static_cast<std::size_t>(offset)));
  }
}

TEST(InputFile, RefusesWhatLiesBehindTheEndBeforeTakingMemory) {
  const TestFolder folder("input");
  const fs::path path = write_counting(folder.path(), 10);
  const InputFile file(path);
  EXPECT_EQ(error_of([&] { (void)file.read_at(8, std::uint64_t{3}); }),
            path.string() + ": has 10 bytes, too few for 3 at byte 8");
  constexpr auto kHuge = std::numeric_limits<std::uint64_t>::max();
  EXPECT_THROW((void)file.read_at(0, kHuge), DataError);
  EXPECT_THROW((void)file.read_at(kHuge, std::uint64_t{1}), DataError);
  EXPECT_THROW((void)file.read_at(kHuge, kHuge), DataError);
}

TEST(InputFile, SaysWhereAFileEndsThatHasBecomeShorter) {
  const TestFolder folder("input");
  const fs::path path = write_counting(folder.path(), 10);
  const InputFile file(path);
  fs::resize_file(path, 6);
  EXPECT_EQ(error_of([&] { (void)file.read_at(4, std::uint64_t{5}); }),
            path.string() + ": ends at byte 6, 3 bytes too early");
}

TEST(InputFile, GoesOnReadingAFileThatHasBeenReplaced) {
  const TestFolder folder("input");
  const fs::path path = write_counting(folder.path(), 10);
  const InputFile file(path);
  write_file_atomically(path, std::string_view("x"));
  EXPECT_TRUE(counts_from(file.read_at(0, std::uint64_t{10}), 0));
}

TEST(InputFile, RefusesWhatIsNoRegularFile) {
  const TestFolder folder("input");
  const fs::path pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { const InputFile file(pipe); }),
            pipe.string() + ": is not a regular file");
  EXPECT_EQ(error_of([&] { const InputFile file(folder.path()); }),
            folder.path().string() + ": is a folder, not a file");
  const fs::path missing = folder.path() / "none";
  EXPECT_EQ(error_of([&] { const InputFile file(missing); }),
            missing.string() + ": cannot be opened (No such file or directory)");
}

TEST(InputFile, ThreadsReadWithoutDisturbingEachOther) {
  const TestFolder folder("input");
  const InputFile file(write_counting(folder.path(), 100000));
  std::atomic<int> right{0};
  parallel_for(1000, 4, [&](std::size_t i) {
    right += counts_from(file.read_at(i * 97, std::uint64_t{1000}), i * 97) ? 1 : 0;
  });
  EXPECT_EQ(right, 1000);
}

}  // namespace
}  // namespace viewfold
