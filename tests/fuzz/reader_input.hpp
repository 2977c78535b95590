// What the input of fuzz_readers means: which reader, and the bytes of its one or two files.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "image/sample_files.hpp"

namespace viewfold::testing {

enum class Reader : std::uint8_t {
  kIdx,        // images; labels
  kIdxGzip,    // the same, compressed by whoever wrote them
  kIdxPacked,  // the same, compressed here: no change but one to the content gets past gzip's
               // checksum
  kCifar10,    // records; names of the classes
  kCifar100,   // records; names of the classes
  kStl10,      // images; labels
  kTar,        // an archive
  kList,       // a list of paths
  kToml,       // settings
  kArguments,  // a setting per line, "key=value"
  kCache,      // decoded images; anything, where the hashes of their pixels shall be right
};
inline constexpr std::size_t kReaders = 11;

struct ReaderInput {
  Reader reader = Reader::kIdx;
  std::span<const std::byte> first;
  std::span<const std::byte> second;
};

/// The first byte names the reader, the next two (low one first) say how many of the last bytes are
/// the second file.
inline ReaderInput split_reader_input(std::span<const std::byte> bytes) {
  if (bytes.size() < 3) {
    return {};
  }
  const auto number = [&bytes](std::size_t i) { return std::to_integer<std::size_t>(bytes[i]); };
  const auto files = bytes.subspan(3);
  const std::size_t first = files.size() - std::min(files.size(), number(1) | number(2) << 8U);
  return {static_cast<Reader>(number(0) % kReaders), files.first(first), files.subspan(first)};
}

inline ByteVector join_reader_input(Reader reader,
                                    const ByteVector& first,
                                    const ByteVector& second = {}) {
  ByteVector bytes{static_cast<std::byte>(reader), static_cast<std::byte>(second.size()),
                   static_cast<std::byte>(second.size() >> 8U)};
  append(bytes, first);
  append(bytes, second);
  return bytes;
}

}  // namespace viewfold::testing
