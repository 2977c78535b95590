// Implements the safetensors format; the reader treats every number in the file as a claim.
#include "viewfold/nn/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <set>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kAlignment = 8;
// The reference implementation's limit (safetensors, MAX_HEADER_SIZE).
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::string_view kMetadata = "__metadata__";

struct TypeName {
  std::string_view name;
  at::ScalarType type;
};

constexpr std::array<TypeName, 10> kTypes{{{"F64", at::kDouble},
                                           {"F32", at::kFloat},
                                           {"F16", at::kHalf},
                                           {"BF16", at::kBFloat16},
                                           {"I64", at::kLong},
                                           {"I32", at::kInt},
                                           {"I16", at::kShort},
                                           {"I8", at::kChar},
                                           {"U8", at::kByte},
                                           {"BOOL", at::kBool}}};

std::string_view name_of(const NamedTensor& item) {
  const auto type = item.tensor.scalar_type();
  const auto* row = std::find_if(kTypes.begin(), kTypes.end(),
                                 [type](const TypeName& t) { return t.type == type; });
  check(row != kTypes.end(), fmt::format("tensor '{}' has a type that safetensors cannot hold: {}",
                                         item.name, at::toString(type)));
  return row->name;
}

// One tensor as the header claims it; offsets count from the end of the header.
struct Claim {
  std::string name;
  at::ScalarType type = at::kFloat;
  std::vector<std::int64_t> shape = {};
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& origin)
      : bytes_(bytes),
        origin_(origin) {}

  SafetensorsFile read() const {
    const auto header_size = read_header_size();
    const json header = parse_header(bytes_.subspan(kLengthBytes, header_size));
    const auto data = bytes_.subspan(kLengthBytes + header_size);
    SafetensorsFile file{.tensors = {}, .metadata = {}, .origin = origin_};
    std::vector<Claim> claims;
    for (const auto& [name, value] : header.items()) {
      if (name == kMetadata) {
        file.metadata = read_metadata(value);
      } else {
        claims.push_back(read_claim(name, value));
      }
    }
    check_layout(claims, data.size());
    for (const auto& claim : claims) {
      file.tensors.push_back({claim.name, copy_tensor(claim, data)});
    }
    return file;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw DataError(
        fmt::format("{}: {} (the file is damaged or is not safetensors)", origin_, problem));
  }

  [[noreturn]] void fail(const std::string& tensor, const std::string& problem) const {
    fail(fmt::format("tensor '{}': {}", tensor, problem));
  }

  std::size_t read_header_size() const {
    if (bytes_.size() < kLengthBytes) {
      fail(fmt::format("{} bytes are too few for a header", bytes_.size()));
    }
    std::uint64_t size = 0;
    std::memcpy(&size, bytes_.data(), kLengthBytes);
    if (size > bytes_.size() - kLengthBytes || size > kMaxHeaderBytes) {
      fail(
          fmt::format("the header is said to have {} bytes, the file has {}", size, bytes_.size()));
    }
    return size;
  }

  // Refuses what json would accept quietly or expand without bound: repeated keys, deep nesting.
  json parse_header(std::span<const std::byte> text) const {
    constexpr int kMaxDepth = 2;  // header, tensor, shape
    std::vector<std::set<std::string>> keys;
    const auto watch = [&](int depth, json::parse_event_t event, json& value) {
      const bool opens =
          event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
      if (opens && depth > kMaxDepth) {
        fail("the header is nested too deep");
      }
      if (event == json::parse_event_t::object_start) {
        keys.emplace_back();
      } else if (event == json::parse_event_t::object_end) {
        keys.pop_back();
      } else if (event == json::parse_event_t::key) {
        const auto& key = value.get_ref<const std::string&>();
        if (!keys.back().insert(key).second) {
          fail(key, "named twice in the header");
        }
      }
      return true;
    };
    const auto* begin = reinterpret_cast<const char*>(text.data());
    try {
      json header = json::parse(begin, begin + text.size(), watch);
      if (!header.is_object()) {
        fail("the header is not a JSON object");
      }
      return header;
    } catch (const json::exception& e) {
      fail(fmt::format("the header is not JSON: {}", e.what()));
    }
  }

  std::map<std::string, std::string> read_metadata(const json& value) const {
    std::map<std::string, std::string> metadata;
    if (!value.is_object()) {
      fail("__metadata__ is not an object");
    }
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) {
        fail(fmt::format("__metadata__ entry '{}' is not text", key));
      }
      metadata[key] = text.get<std::string>();
    }
    return metadata;
  }

  Claim read_claim(const std::string& name, const json& value) const {
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
        !value.contains("shape") || !value.contains("data_offsets")) {
      fail(name, "is not described by exactly dtype, shape and data_offsets");
    }
    Claim claim{.name = name};
    claim.type = read_type(name, value["dtype"]);
    claim.shape = read_shape(name, value["shape"]);
    const auto& offsets = value["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      fail(name, "data_offsets are not two whole numbers");
    }
    claim.begin = offsets[0].get<std::uint64_t>();
    claim.end = offsets[1].get<std::uint64_t>();
    return claim;
  }

  at::ScalarType read_type(const std::string& name, const json& value) const {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    const auto* row = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&text](const TypeName& t) { return t.name == text; });
    if (row == kTypes.end()) {
      fail(name, fmt::format("unknown dtype '{}'", text));
    }
    return row->type;
  }

  // The product of the dimensions that are not zero fits an int64: strides cannot overflow.
  std::vector<std::int64_t> read_shape(const std::string& name, const json& value) const {
    if (!value.is_array()) {
      fail(name, "shape is not a list");
    }
    std::vector<std::int64_t> shape;
    std::int64_t product = 1;
    for (const auto& item : value) {
      if (!item.is_number_unsigned() || item.get<std::uint64_t>() > INT64_MAX) {
        fail(name, "shape holds something else than sizes");
      }
      shape.push_back(item.get<std::int64_t>());
      if (__builtin_mul_overflow(product, std::max<std::int64_t>(shape.back(), 1), &product)) {
        fail(name, "shape is larger than any memory");
      }
    }
    return shape;
  }

  // Sorts by place and requires that the tensors tile the data: no gap, no overlap, no rest.
  void check_layout(std::vector<Claim>& claims, std::uint64_t data_size) const {
    std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t place = 0;
    for (const auto& claim : claims) {
      if (claim.begin != place || claim.end < claim.begin || claim.end > data_size) {
        fail(claim.name, fmt::format("data_offsets [{}, {}] do not follow {} within {} bytes",
                                     claim.begin, claim.end, place, data_size));
      }
      if (needed_bytes(claim) != claim.end - claim.begin) {
        fail(claim.name, fmt::format("its shape needs {} bytes, it has {}", needed_bytes(claim),
                                     claim.end - claim.begin));
      }
      place = claim.end;
    }
    if (place != data_size) {
      fail(fmt::format("{} bytes after the last tensor", data_size - place));
    }
  }

  std::uint64_t needed_bytes(const Claim& claim) const {
    std::uint64_t bytes = c10::elementSize(claim.type);
    for (const auto size : claim.shape) {
      if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes)) {
        fail(claim.name, "shape is larger than any memory");
      }
    }
    return bytes;
  }

  at::Tensor copy_tensor(const Claim& claim, std::span<const std::byte> data) const {
    const auto source = data.subspan(claim.begin, claim.end - claim.begin);
    // Any other byte in a bool is undefined behaviour as soon as somebody branches on it.
    if (claim.type == at::kBool &&
        std::any_of(source.begin(), source.end(), [](std::byte b) { return b > std::byte{1}; })) {
      fail(claim.name, "a BOOL is neither 0 nor 1");
    }
    auto tensor = at::empty(claim.shape, at::TensorOptions().dtype(claim.type));
    if (!source.empty()) {
      std::memcpy(tensor.data_ptr(), source.data(), source.size());
    }
    return tensor;
  }

  std::span<const std::byte> bytes_;
  const std::string& origin_;
};

// Wider types first: every offset is then a multiple of the element size, as mapping readers need.
std::vector<NamedTensor> in_file_order(const std::vector<NamedTensor>& tensors) {
  std::vector<NamedTensor> ordered;
  for (const auto& item : tensors) {
    ordered.push_back({item.name, item.tensor.detach().cpu().contiguous()});
  }
  std::stable_sort(ordered.begin(), ordered.end(), [](const NamedTensor& a, const NamedTensor& b) {
    return a.tensor.element_size() > b.tensor.element_size();
  });
  return ordered;
}

std::string header_text(const std::vector<NamedTensor>& ordered,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    header[std::string(kMetadata)] = metadata;
  }
  std::set<std::string_view> names{kMetadata};
  std::size_t place = 0;
  for (const auto& item : ordered) {
    check(names.insert(item.name).second,
          fmt::format("tensor name '{}' is reserved or repeated", item.name));
    const auto end = place + item.tensor.nbytes();
    header[item.name] = {{"dtype", name_of(item)},
                         {"shape", item.tensor.sizes().vec()},
                         {"data_offsets", {place, end}}};
    place = end;
  }
  // Metadata may hold paths, and a path may hold any bytes.
  auto text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  return text;
}

}  // namespace

const at::Tensor& SafetensorsFile::at(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [name](const NamedTensor& item) { return item.name == name; });
  if (found == tensors.end()) {
    throw DataError(fmt::format("{}: holds no tensor '{}'", origin, name));
  }
  return found->tensor;
}

std::vector<std::byte> write_safetensors(const std::vector<NamedTensor>& tensors,
                                         const std::map<std::string, std::string>& metadata) {
  const auto ordered = in_file_order(tensors);
  const auto header = header_text(ordered, metadata);
  const std::uint64_t header_size = header.size();
  std::vector<std::byte> bytes;
  const auto append = [&bytes](const void* data, std::size_t size) {
    const auto* begin = static_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), begin, begin + size);
  };
  append(&header_size, kLengthBytes);
  append(header.data(), header.size());
  for (const auto& item : ordered) {
    append(item.tensor.data_ptr(), item.tensor.nbytes());
  }
  return bytes;
}

SafetensorsFile parse_safetensors(std::span<const std::byte> bytes, const std::string& origin) {
  return Reader(bytes, origin).read();
}

SafetensorsFile read_safetensors(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || !std::filesystem::is_regular_file(path)) {
    throw DataError(fmt::format("{}: cannot be opened as a file", path.string()));
  }
  std::vector<std::byte> bytes(std::filesystem::file_size(path));
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (static_cast<std::size_t>(file.gcount()) != bytes.size()) {
    throw DataError(fmt::format("{}: cannot be read to its end", path.string()));
  }
  return parse_safetensors(bytes, path.string());
}

}  // namespace viewfold
