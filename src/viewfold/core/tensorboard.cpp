// Implements TensorBoard's event files.
#include "viewfold/core/tensorboard.hpp"

#include <array>
#include <bit>
#include <chrono>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

namespace viewfold {
namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  constexpr std::uint32_t kPolynomial = 0x82F63B78U;  // 0x1EDC6F41, bits reversed
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 1U) != 0 ? (value >> 1U) ^ kPolynomial : value >> 1U;
    }
    table[byte] = value;
  }
  return table;
}

// TFRecord stores checksums masked, so that data with embedded checksums stays checkable.
std::uint32_t masked_crc(const std::string& text) {
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(text)));
  return std::rotr(crc, 15) + 0xA282EAD8U;  // tensorflow/core/lib/hash/crc32c.h
}

template <class T>
std::string little_endian(T value) {
  std::string text;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    text += static_cast<char>((value >> (8 * i)) & 0xFFU);
  }
  return text;
}

std::string varint(std::uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7U) {
    text += static_cast<char>((value & 0x7FU) | 0x80U);
  }
  return text + static_cast<char>(value);
}

// Protocol buffer wire types.
enum class Wire : unsigned { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string tag(unsigned field, Wire wire) {
  return varint((field << 3U) | static_cast<unsigned>(wire));
}

std::string bytes_field(unsigned field, std::string_view bytes) {
  return tag(field, Wire::kBytes) + varint(bytes.size()) + std::string(bytes);
}

double wall_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

// Event.wall_time = 1
std::string event_head() {
  return tag(1, Wire::kFixed64) + little_endian(std::bit_cast<std::uint64_t>(wall_time()));
}

// Summary.Value: tag = 1, simple_value = 2
std::string summary_value(const std::string& name, double value) {
  return bytes_field(1, name) + tag(2, Wire::kFixed32) +
         little_endian(std::bit_cast<std::uint32_t>(static_cast<float>(value)));
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  static constexpr auto kTable = make_crc_table();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const std::byte byte : bytes) {
    crc = kTable[(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xFFU] ^ (crc >> 8U);
  }
  return ~crc;
}

void TensorboardWriter::append_record(const std::string& event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  const std::string record =
      length + little_endian(masked_crc(length)) + event + little_endian(masked_crc(event));
  write_all(file_, path_, std::as_bytes(std::span(record)));
}

void TensorboardWriter::open() {
  create_folder(folder_);
  // The name TensorBoard looks for; the process number keeps a run and its resumption apart.
  path_ = folder_ / fmt::format("events.out.tfevents.{:.0f}.{}.viewfold", wall_time(), getpid());
  file_ = open_file(path_, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC);
  append_record(event_head() + bytes_field(3, "brain.Event:2"));  // Event.file_version = 3
}

void TensorboardWriter::write(std::string_view group,
                              const std::vector<std::pair<std::string, double>>& scalars,
                              std::int64_t step) {
  if (!file_.is_open()) {
    open();
  }
  std::string summary;
  for (const auto& [name, value] : scalars) {
    summary += bytes_field(1, summary_value(fmt::format("{}/{}", group, name), value));
  }
  append_record(event_head() + tag(2, Wire::kVarint) + varint(static_cast<std::uint64_t>(step)) +
                bytes_field(5, summary));  // Event.step = 2, Event.summary = 5
}

}  // namespace viewfold
