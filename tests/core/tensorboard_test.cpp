// Tests of TensorBoard's event files: published checksums, framing, and the reading of another
// program.
#include "viewfold/core/tensorboard.hpp"

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <numeric>

#include "core/test_folder.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

std::uint32_t crc_of(std::string_view text) {
  return crc32c(std::as_bytes(std::span(text)));
}

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return value;
}

// The inverse of the mask as tensorflow/core/lib/hash/crc32c.h has it.
std::uint32_t unmask(std::uint32_t masked) {
  const std::uint32_t rotated = masked - 0xA282EAD8U;
  return (rotated >> 17U) | (rotated << 15U);
}

// The messages of a file of records; checks the framing on its way.
std::vector<std::string> records_of(const fs::path& file) {
  const std::string text = read_text_file(file);
  std::vector<std::string> records;
  for (std::size_t at = 0; at < text.size();) {
    const std::string length = text.substr(at, 8);
    EXPECT_EQ(unmask(static_cast<std::uint32_t>(little_endian(text.substr(at + 8, 4)))),
              crc_of(length));
    records.push_back(text.substr(at + 12, little_endian(length)));
    const std::size_t end = at + 12 + records.back().size();
    EXPECT_EQ(unmask(static_cast<std::uint32_t>(little_endian(text.substr(end, 4)))),
              crc_of(records.back()));
    at = end + 4;
  }
  return records;
}

fs::path only_file(const fs::path& folder) {
  const std::vector<fs::directory_entry> entries(fs::directory_iterator(folder), {});
  EXPECT_EQ(entries.size(), 1U);
  return entries.at(0).path();
}

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
constexpr std::string_view kProto = R"(syntax = "proto3";
message Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
message Summary {
  message Value { string tag = 1; float simple_value = 2; }
  repeated Value value = 1;
}
)";

// What protoc makes of an Event, or nothing when it calls the bytes malformed.
std::string decoded(const std::string& record, const fs::path& folder) {
  std::ofstream(folder / "event.proto") << kProto;
  std::ofstream(folder / "event.bin", std::ios::binary) << record;
  const std::string command = fmt::format(
      "protoc --decode=Event --proto_path='{0}' event.proto < '{0}/event.bin'", folder.string());
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  std::string text;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    text += static_cast<char>(c);
  }
  return ::pclose(pipe) == 0 ? text : "";
}

bool has_protoc() {
  return std::system("protoc --version > /dev/null 2>&1") == 0;
}

TEST(Crc32c, ReproducesThePublishedVectors) {
  // RFC 3720, Appendix B.4, and the check value of the catalogue of CRCs.
  std::string rising(32, '\0');
  std::iota(rising.begin(), rising.end(), '\0');
  EXPECT_EQ(crc_of(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc_of(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(crc_of(rising), 0x46DD794EU);
  EXPECT_EQ(crc_of(std::string(rising.rbegin(), rising.rend())), 0x113FDB5CU);
  EXPECT_EQ(crc_of("123456789"), 0xE3069283U);
  EXPECT_EQ(crc_of(""), 0U);
}

TEST(TensorboardWriter, WritesNothingBeforeTheFirstNumber) {
  const TestFolder folder("tensorboard");
  const TensorboardWriter writer(folder.path() / "tb");
  EXPECT_FALSE(fs::exists(folder.path() / "tb"));
}

TEST(TensorboardWriter, TheFileBeginsAsThoseOfTensorFlow) {
  const TestFolder folder("tensorboard");
  TensorboardWriter(folder.path()).write("train", {{"loss", 1.0}}, 1);
  const fs::path file = only_file(folder.path());
  EXPECT_TRUE(file.filename().string().starts_with("events.out.tfevents.")) << file;
  // The length of the version record, 24, and its masked checksum: the same in every event file.
  EXPECT_TRUE(read_text_file(file).starts_with(std::string("\x18\0\0\0\0\0\0\0\xA3\x7FK\"", 12)));
}

TEST(TensorboardWriter, FramesEveryRecord) {
  const TestFolder folder("tensorboard");
  TensorboardWriter writer(folder.path());
  for (int step = 0; step < 300; ++step) {
    writer.write("train", {{std::string(static_cast<std::size_t>(step), 'x'), 0.5}}, step);
  }
  EXPECT_EQ(records_of(only_file(folder.path())).size(), 301U);
}

TEST(TensorboardWriter, ProtocReadsEveryField) {
  if (!has_protoc()) {
    GTEST_SKIP() << "protoc is not installed";
  }
  const TestFolder folder("tensorboard");
  constexpr std::int64_t kStep = 3000000000;  // beyond 32 bits
  TensorboardWriter(folder.path() / "tb")
      .write("train", {{"loss", -0.25}, {"rate", 0.1}, {"bad", std::nan("")}, {"big", 1e300}},
             kStep);
  const auto records = records_of(only_file(folder.path() / "tb"));
  ASSERT_EQ(records.size(), 2U);
  const std::string head = decoded(records[0], folder.path());
  EXPECT_TRUE(head.starts_with("wall_time: ")) << head;
  EXPECT_EQ(head.substr(head.find('\n') + 1), "file_version: \"brain.Event:2\"\n");
  const std::string event = decoded(records[1], folder.path());
  const auto value = [](const std::string& tag, const std::string& number) {
    return "  value {\n    tag: \"train/" + tag + "\"\n    simple_value: " + number + "\n  }\n";
  };
  // 0.1 as the nearest float32; what float32 cannot hold is infinite.
  EXPECT_TRUE(event.starts_with("wall_time: ")) << event;
  EXPECT_EQ(event.substr(event.find('\n') + 1),
            "step: 3000000000\nsummary {\n" + value("loss", "-0.25") + value("rate", "0.1") +
                value("bad", "nan") + value("big", "inf") + "}\n");
}

TEST(TensorboardWriter, WallTimeIsNow) {
  const TestFolder folder("tensorboard");
  const auto now = [] {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
  const double before = now();
  TensorboardWriter(folder.path()).write("train", {{"loss", 1.0}}, 1);
  for (const auto& record : records_of(only_file(folder.path()))) {
    ASSERT_EQ(record[0], '\x09');  // field 1, 64 bits
    const auto time = std::bit_cast<double>(little_endian(record.substr(1, 8)));
    EXPECT_GE(time, before);
    EXPECT_LE(time, now());
  }
}

TEST(TensorboardWriter, NamesTheFolderThatCannotBeMade) {
  const TestFolder folder("tensorboard");
  std::ofstream(folder.path() / "file") << "x";
  const fs::path inside = folder.path() / "file" / "tb";
  try {
    TensorboardWriter(inside).write("train", {{"loss", 1.0}}, 1);
    FAIL() << "a folder inside a file was made";
  } catch (const DataError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with(inside.string() + ": ")) << error.what();
  }
}

}  // namespace
}  // namespace viewfold
