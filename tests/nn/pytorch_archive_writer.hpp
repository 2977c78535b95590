// Writes PyTorch checkpoints for tests, as torch.save() and torch.jit.save() do and as they never
// would: pickles are put together from their instructions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace viewfold::testing {

using ByteVector = std::vector<std::byte>;

/// `value` in its lowest `count` bytes, the lowest first.
inline std::string little(std::uint64_t value, std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) {
    bytes += static_cast<char>(value >> (8 * i));
  }
  return bytes;
}

/// The bytes of numbers as they are in memory.
template <class Number>
std::string raw(const std::vector<Number>& numbers) {
  std::string bytes(numbers.size() * sizeof(Number), '\0');
  if (!numbers.empty()) {
    std::memcpy(bytes.data(), numbers.data(), bytes.size());
  }
  return bytes;
}

inline ByteVector to_bytes(std::string_view text) {
  const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

namespace pickle {

inline std::string none() {
  return "N";
}

inline std::string text(const std::string& value) {
  return "X" + little(value.size(), 4) + value;
}

inline std::string number(std::int64_t value) {
  return "\x8a\x08" + little(static_cast<std::uint64_t>(value), 8);
}

inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string joined(const std::vector<std::string>& values) {
  std::string all;
  for (const auto& value : values) {
    all += value;
  }
  return all;
}

inline std::string tuple(const std::vector<std::string>& values) {
  return "(" + joined(values) + "t";
}

inline std::string list(const std::vector<std::string>& values) {
  return "](" + joined(values) + "e";
}

inline std::string numbers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> all;
  for (const auto value : values) {
    all.push_back(number(value));
  }
  return tuple(all);
}

/// `target` with keys and values set: a dictionary where it is "}".
inline std::string with_items(const std::string& target,
                              const std::vector<std::pair<std::string, std::string>>& items) {
  std::string all = target + "(";
  for (const auto& [key, value] : items) {
    all += text(key) + value;
  }
  return all + "u";
}

inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  return with_items("}", items);
}

inline std::string call(const std::string& callee, const std::vector<std::string>& arguments) {
  return callee + tuple(arguments) + "R";
}

/// An object of a class, made without a call, with attributes.
inline std::string object(const std::string& module,
                          const std::string& name,
                          const std::vector<std::pair<std::string, std::string>>& attributes) {
  return global(module, name) + ")\x81" + dict(attributes) + "b";
}

inline std::string storage(const std::string& kind,
                           const std::string& key,
                           std::int64_t count,
                           const std::string& view = "") {
  std::vector<std::string> parts{text("storage"), global("torch", kind), text(key), text("cpu"),
                                 number(count)};
  if (!view.empty()) {
    parts.push_back(view);
  }
  return tuple(parts) + "Q";
}

/// A call of torch._utils._rebuild_tensor_v2.
inline std::string tensor(const std::string& storage,
                          const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides,
                          std::int64_t offset = 0) {
  const std::string hooks = call(global("collections", "OrderedDict"), {});
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {storage, number(offset), numbers(shape), numbers(strides), "\x89", hooks});
}

/// A float32 tensor that fills a storage of its own.
inline std::string float_tensor(const std::string& key, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t count = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = count;
    count *= shape[i];
  }
  return tensor(storage("FloatStorage", key, count), shape, strides);
}

inline std::string program(const std::string& value) {
  return "\x80\x02" + value + ".";
}

}  // namespace pickle

// ---- Zip ----

struct ZipFile {
  std::string name;
  std::string content;
  std::uint16_t method = 0;
  bool has_checksum = true;
};

/// CRC-32 bit by bit.
inline std::uint32_t crc32_of(std::string_view bytes) {
  std::uint32_t sum = 0xFFFFFFFFU;
  for (const char c : bytes) {
    sum ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) {
      sum = (sum >> 1U) ^ ((sum & 1U) != 0 ? 0xEDB88320U : 0U);
    }
  }
  return ~sum;
}

enum class ZipNumbers { k32, k64 };

/// k64: sizes and places are in the fields for large archives only.
inline std::string zip_of(const std::vector<ZipFile>& files, ZipNumbers kind = ZipNumbers::k32) {
  const bool large = kind == ZipNumbers::k64;
  const std::string elsewhere(4, '\xFF');
  std::string archive;
  std::string directory;
  for (const auto& file : files) {
    const std::uint64_t place = archive.size();
    const std::string checksum = little(file.has_checksum ? crc32_of(file.content) : 0, 4);
    const std::string size = large ? elsewhere : little(file.content.size(), 4);
    const std::string common = little(0, 2) + little(file.method, 2) + little(0, 4) + checksum +
                               size + size + little(file.name.size(), 2);
    const std::string sizes = little(file.content.size(), 8) + little(file.content.size(), 8);
    // A field of its own kind fills up to where values are aligned, as PyTorch has it.
    const std::string local =
        (large ? little(1, 2) + little(16, 2) + sizes : "") + "FB" + little(3, 2) + "ZZZ";
    archive += "PK\x03\x04" + little(45, 2) + common + little(local.size(), 2) + file.name + local +
               file.content;
    const std::string extra =
        large ? little(1, 2) + little(24, 2) + sizes + little(place, 8) : std::string();
    directory += "PK\x01\x02" + little(45, 2) + little(45, 2) + common + little(extra.size(), 2) +
                 little(0, 2) + little(0, 4) + little(0, 4) +
                 (large ? elsewhere : little(place, 4)) + file.name + extra;
  }
  const std::uint64_t place = archive.size();
  archive += directory;
  if (large) {
    const std::uint64_t record = archive.size();
    archive += "PK\x06\x06" + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 8) +
               little(files.size(), 8) + little(files.size(), 8) + little(directory.size(), 8) +
               little(place, 8);
    archive += "PK\x06\x07" + little(0, 4) + little(record, 8) + little(1, 4);
  }
  const std::string count = large ? "\xFF\xFF" : little(files.size(), 2);
  return archive + "PK\x05\x06" + little(0, 4) + count + count +
         (large ? elsewhere + elsewhere : little(directory.size(), 4) + little(place, 4)) +
         little(0, 2);
}

// ---- Checkpoints ----

/// What a storage holds, under the key that a pickle knows it by.
struct StorageBytes {
  std::string key;
  std::string bytes;
};

/// The entries of a checkpoint as torch.save() writes it since 1.6.
inline std::vector<ZipFile> checkpoint_files(const std::string& object,
                                             const std::vector<StorageBytes>& storages,
                                             const std::string& folder = "archive") {
  std::vector<ZipFile> files{{folder + "/data.pkl", pickle::program(object)},
                             {folder + "/byteorder", "little"}};
  for (const auto& storage : storages) {
    files.push_back({folder + "/data/" + storage.key, storage.bytes});
  }
  files.push_back({folder + "/version", "3\n"});
  return files;
}

inline ByteVector zip_checkpoint(const std::string& object,
                                 const std::vector<StorageBytes>& storages) {
  return to_bytes(zip_of(checkpoint_files(object, storages)));
}

/// A storage of a legacy file.
struct LegacyStorage {
  std::string key;
  std::uint64_t count = 0;
  std::string bytes;
};

/// A checkpoint as torch.save() wrote it before 1.6.
inline ByteVector legacy_checkpoint(const std::string& object,
                                    const std::vector<LegacyStorage>& storages,
                                    bool is_little = true) {
  const std::string magic("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 12);
  std::vector<std::string> keys;
  std::string data;
  for (const auto& storage : storages) {
    keys.push_back(pickle::text(storage.key));
    data += little(storage.count, 8) + storage.bytes;
  }
  const std::string machine = pickle::dict(
      {{"protocol_version", pickle::number(1001)}, {"little_endian", is_little ? "\x88" : "\x89"}});
  return to_bytes(pickle::program(magic) + pickle::program("M\xe9\x03") + pickle::program(machine) +
                  pickle::program(object) + pickle::program(pickle::list(keys)) + data);
}

}  // namespace viewfold::testing
