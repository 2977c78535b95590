// Tests of whole-file reading, atomic writing and hashing.
#include "viewfold/core/files.hpp"

#include <algorithm>
#include <fstream>

#include "core/file_size_limit.hpp"
#include "core/test_folder.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

std::string hash_of(std::string_view text) {
  return hex_hash(std::as_bytes(std::span(text)));
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Files, ReadsBackWhatWasWritten) {
  const TestFolder folder("files");
  std::vector<std::byte> bytes(100000);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i * 31);
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, bytes.size()}) {
    const auto part = std::span(bytes).first(size);
    write_file_atomically(folder.path() / "f", part);
    const auto read = read_file(folder.path() / "f");
    EXPECT_TRUE(std::equal(read.begin(), read.end(), part.begin(), part.end())) << size;
  }
  write_file_atomically(folder.path() / "f", std::string_view("text\0x", 6));
  EXPECT_EQ(read_text_file(folder.path() / "f"), std::string("text\0x", 6));
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"f"});
}

TEST(Files, ReadsFilesThatStateNoSize) {
  if (!fs::exists("/proc/self/status")) {
    GTEST_SKIP() << "no /proc on this system";
  }
  EXPECT_TRUE(read_text_file("/proc/self/status").starts_with("Name:"));
}

TEST(Files, ReadingNamesThePathAndTheReason) {
  const TestFolder folder("files");
  const std::string missing = (folder.path() / "none").string();
  try {
    (void)read_file(missing);
    FAIL() << "a missing file was read";
  } catch (const DataError& error) {
    EXPECT_EQ(error.what(), missing + ": cannot be opened (No such file or directory)");
  }
  EXPECT_THROW((void)read_file(folder.path()), DataError);
}

TEST(Files, AFullDiskLeavesTheOldFileAndNothingElse) {
  const TestFolder folder("files");
  const fs::path path = folder.path() / "f";
  write_file_atomically(path, std::string_view("old"));
  const std::string large(100000, 'x');
  {
    const FileSizeLimit limit(4096);
    EXPECT_THROW(write_file_atomically(path, large), WriteError);
  }
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"f"});
  write_file_atomically(path, large);
  EXPECT_EQ(read_text_file(path), large);
}

TEST(Files, ATargetThatIsAFolderIsKept) {
  const TestFolder folder("files");
  fs::create_directory(folder.path() / "sub");
  EXPECT_THROW(write_file_atomically(folder.path() / "sub", std::string_view("x")), WriteError);
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"sub"});
}

TEST(Files, WritingIntoAMissingFolderNamesThePath) {
  const TestFolder folder("files");
  const std::string path = (folder.path() / "none" / "f").string();
  try {
    write_file_atomically(path, std::string_view("x"));
    FAIL() << "a file was written into a missing folder";
  } catch (const WriteError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with(path + ": ")) << error.what();
  }
}

TEST(Files, ALeftoverTemporaryFileIsNoObstacle) {
  const TestFolder folder("files");
  const auto leftover = folder.path() / (".f." + std::to_string(::getpid()) + ".0.tmp");
  std::ofstream(leftover) << "torn";
  write_file_atomically(folder.path() / "f", std::string_view("new"));
  EXPECT_EQ(read_text_file(folder.path() / "f"), "new");
  EXPECT_EQ(read_text_file(leftover), "torn");
}

TEST(HexHash, ReproducesThePublishedVectors) {
  // NIST, "Examples with intermediate values" for SHA-256, and the empty message.
  EXPECT_EQ(hash_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hash_of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(HexHash, DiffersAroundTheBlockBoundary) {
  std::vector<std::string> hashes;
  for (std::size_t size = 54; size <= 130; ++size) {
    hashes.push_back(hash_of(std::string(size, '\0')));
  }
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::adjacent_find(hashes.begin(), hashes.end()), hashes.end());
}

}  // namespace
}  // namespace viewfold
