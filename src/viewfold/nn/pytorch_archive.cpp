// Implements the reading of PyTorch checkpoints: zip directory, pickle interpreter, walk over what
// it built. Every number in the file is a claim until it is checked, and every kind of work has a
// bound, so that a small file cannot ask for much time or memory.
#include "viewfold/nn/pytorch_archive.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/input_file.hpp"

namespace viewfold {

class PytorchArchive::Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// Fills `out`; the caller has checked that the bytes are there.
  virtual void read(std::uint64_t offset, std::span<std::byte> out) const = 0;
};

namespace {

using Bytes = std::vector<std::byte>;
using Source = PytorchArchive::Source;
using Id = std::uint32_t;  // of a value that a pickle built
using Ids = std::vector<Id>;

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian");

// Bounds, ours: each far beyond what checkpoints of encoders have, and small in memory. A ResNet-50
// with optimiser has a thousand tensors and some ten thousand values.
constexpr std::size_t kMaxValues = std::size_t{1} << 22U;
constexpr std::size_t kMaxSteps = std::size_t{1} << 25U;  // instructions and copied items
constexpr std::size_t kMaxMarks = std::size_t{1} << 16U;  // lists within lists, while they are read
constexpr std::size_t kMaxTensors = std::size_t{1} << 18U;
constexpr std::size_t kMaxDimensions = 16;
constexpr std::uint64_t kMaxText = std::uint64_t{1} << 20U;  // longer ones are skipped
constexpr std::size_t kMaxLine = std::size_t{1} << 16U;
constexpr std::size_t kMaxClassName = 256;
constexpr int kMaxDepth = 64;  // of the saved object
constexpr std::size_t kMaxVisits = std::size_t{1} << 21U;
constexpr std::size_t kMaxName = 1024;
constexpr std::size_t kMaxNames = std::size_t{1} << 26U;  // bytes of all names
constexpr std::size_t kMaxScalars = 4096;
constexpr std::size_t kMaxScalarText = 256;
constexpr std::uint64_t kMaxDirectory = std::uint64_t{1} << 26U;

// Text of a file as it may be shown on a terminal.
std::string printable(std::string_view text) {
  constexpr std::size_t kMost = 100;
  std::string shown(text.substr(0, kMost));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > kMost ? shown + "..." : shown;
}

[[noreturn]] void fail(const std::string& origin, std::string_view problem) {
  throw DataError(fmt::format("{}: {} (the file is damaged or is no checkpoint that PyTorch saved)",
                              origin, problem));
}

std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(value)));
  return value;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class MemorySource final : public Source {
 public:
  explicit MemorySource(Bytes bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
  }

 private:
  Bytes bytes_;
};

class FileSource final : public Source {
 public:
  explicit FileSource(const std::filesystem::path& path) : file_(path) {}
  [[nodiscard]] std::uint64_t size() const override { return file_.size(); }
  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    file_.read_at(offset, out);
  }

 private:
  InputFile file_;
};

Bytes read_bytes(const Source& source, std::uint64_t offset, std::uint64_t count) {
  Bytes bytes(static_cast<std::size_t>(count));
  source.read(offset, bytes);
  return bytes;
}

// CRC-32 of zip archives (ISO 3309; polynomial 0xEDB88320, reflected), eight bytes at a time.
class Crc32 {
 public:
  Crc32() {
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) {
        value = (value >> 1U) ^ ((value & 1U) != 0 ? 0xEDB88320U : 0U);
      }
      tables_[0][i] = value;
    }
    for (std::size_t t = 1; t < tables_.size(); ++t) {
      for (std::size_t i = 0; i < 256; ++i) {
        const std::uint32_t before = tables_[t - 1][i];
        tables_[t][i] = (before >> 8U) ^ tables_[0][before & 0xFFU];
      }
    }
  }

  [[nodiscard]] std::uint32_t of(std::span<const std::byte> bytes) const {
    std::uint32_t sum = 0xFFFFFFFFU;
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
      const std::uint64_t word = little_endian(bytes.first(8)) ^ sum;
      sum = 0;
      for (std::size_t i = 0; i < 8; ++i) {
        sum ^= tables_[7 - i][(word >> (8 * i)) & 0xFFU];
      }
    }
    for (const std::byte byte : bytes) {
      sum = (sum >> 8U) ^ tables_[0][(sum ^ std::to_integer<std::uint32_t>(byte)) & 0xFFU];
    }
    return ~sum;
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 8> tables_{};
};

// PyTorch writes 0 where it was told not to compute checksums.
bool is_intact(std::span<const std::byte> bytes, std::uint32_t checksum) {
  static const Crc32 crc;
  return checksum == 0 || crc.of(bytes) == checksum;
}

// ---- Element types ----

struct TypeRow {
  std::string_view storage;  // class of the storage, without "Storage"
  std::string_view name;     // of the dtype
  PytorchType type;
  std::size_t bytes;
};

constexpr std::array kTypes{TypeRow{"Double", "float64", PytorchType::kFloat64, 8},
                            TypeRow{"Float", "float32", PytorchType::kFloat32, 4},
                            TypeRow{"Half", "float16", PytorchType::kFloat16, 2},
                            TypeRow{"BFloat16", "bfloat16", PytorchType::kBfloat16, 2},
                            TypeRow{"Long", "int64", PytorchType::kInt64, 8},
                            TypeRow{"Int", "int32", PytorchType::kInt32, 4},
                            TypeRow{"Short", "int16", PytorchType::kInt16, 2},
                            TypeRow{"Char", "int8", PytorchType::kInt8, 1},
                            TypeRow{"Byte", "uint8", PytorchType::kUint8, 1},
                            TypeRow{"Untyped", "uint8", PytorchType::kUint8, 1},
                            TypeRow{"Bool", "bool", PytorchType::kBool, 1},
                            TypeRow{"ComplexFloat", "complex64", PytorchType::kOther, 8},
                            TypeRow{"ComplexDouble", "complex128", PytorchType::kOther, 16},
                            TypeRow{"QInt8", "qint8", PytorchType::kOther, 1},
                            TypeRow{"QUInt8", "quint8", PytorchType::kOther, 1},
                            TypeRow{"QInt32", "qint32", PytorchType::kOther, 4},
                            TypeRow{"QUInt4x2", "quint4x2", PytorchType::kOther, 1},
                            TypeRow{"QUInt2x4", "quint2x4", PytorchType::kOther, 1}};

// The row of "torch.FloatStorage", "torch.cuda.FloatStorage", "torch.storage.UntypedStorage".
const TypeRow* find_storage_type(std::string_view class_name) {
  const std::string_view name = class_name.substr(class_name.rfind('.') + 1);
  const auto row = std::find_if(kTypes.begin(), kTypes.end(), [name](const TypeRow& r) {
    return name.starts_with(r.storage) && name.substr(r.storage.size()) == "Storage";
  });
  return row == kTypes.end() ? nullptr : &*row;
}

// The row of "torch.float32".
const TypeRow* find_dtype(std::string_view class_name) {
  const std::string_view name = class_name.substr(class_name.rfind('.') + 1);
  const auto row = std::find_if(kTypes.begin(), kTypes.end(),
                                [name](const TypeRow& r) { return r.name == name; });
  return row == kTypes.end() ? nullptr : &*row;
}

// ---- Names that a checkpoint may mention ----

// Modules whose every name is harmless as a word: networks, optimisers and settings.
constexpr std::array<std::string_view, 30> kKnownModules{"torch.nn",
                                                         "torch.optim",
                                                         "torch.distributed",
                                                         "torch.cuda.amp",
                                                         "torch.amp",
                                                         "torch.torch_version",
                                                         "torch.jit._pickle",
                                                         "torchvision",
                                                         "torchmetrics",
                                                         "timm",
                                                         "lightly",
                                                         "lightly_train",
                                                         "solo",
                                                         "pl_bolts",
                                                         "pytorch_lightning",
                                                         "lightning",
                                                         "lightning_fabric",
                                                         "lightning_utilities",
                                                         "omegaconf",
                                                         "yacs",
                                                         "easydict",
                                                         "mmcv",
                                                         "mmcls",
                                                         "mmselfsup",
                                                         "mmpretrain",
                                                         "mmengine",
                                                         "apex",
                                                         "vissl",
                                                         "classy_vision",
                                                         "__torch__"};

// What else such files mention, by full name.
constexpr std::array<std::string_view, 72> kKnownNames{
    "torch.Size",
    "torch.device",
    "torch.Tensor",
    "torch.dtype",
    "torch.strided",
    "torch.sparse_coo",
    "torch.contiguous_format",
    "torch.channels_last",
    "torch.preserve_format",
    "torch.per_tensor_affine",
    "torch.per_channel_affine",
    "torch.serialization._get_layout",
    "torch._tensor._rebuild_from_type_v2",
    "torch._tensor.Tensor",
    "torch.tensor.Tensor",
    "torch.storage.TypedStorage",
    "torch.storage._TypedStorage",
    "torch.storage._load_from_bytes",
    "torch.nested._internal.nested_tensor.NestedTensor",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "collections.deque",
    "argparse.Namespace",
    "types.SimpleNamespace",
    "typing.Any",
    "typing.Dict",
    "typing.List",
    "typing.Union",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "_codecs.encode",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib._local.Path",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "datetime.datetime",
    "datetime.timedelta",
    "datetime.date",
    "datetime.time",
    "datetime.timezone",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.numeric._frombuffer",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.numeric._frombuffer",
    "numpy.bool_",
    "numpy.float16",
    "numpy.float32",
    "numpy.float64",
    "numpy.int32",
    "numpy.int64",
    "builtins.object",
    "builtins.dict",
    "builtins.list",
    "builtins.tuple",
    "builtins.set",
    "builtins.frozenset",
    "builtins.int",
    "builtins.float",
    "builtins.bool",
    "builtins.str",
    "builtins.bytes",
    "builtins.bytearray",
    "builtins.complex"};

bool is_dotted_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  });
}

// `name` has no dot: attributes of a module are not followed into what the module imports.
bool is_harmless(std::string_view module, std::string_view name) {
  if (!is_dotted_word(module) || !is_dotted_word(name) ||
      name.find('.') != std::string_view::npos) {
    return false;
  }
  const bool known =
      std::any_of(kKnownModules.begin(), kKnownModules.end(), [module](std::string_view m) {
        return module.starts_with(m) && (module.size() == m.size() || module[m.size()] == '.');
      });
  const std::string full = fmt::format("{}.{}", module, name);
  const bool is_torch = module == "torch" || module == "torch.cuda" || module == "torch.storage";
  return known || (is_torch && find_storage_type(full) != nullptr) ||
         (module == "torch" && (find_dtype(full) != nullptr || name.starts_with("float8_"))) ||
         (module == "torch._utils" && name.starts_with("_rebuild")) || module == "numpy.dtypes" ||
         std::find(kKnownNames.begin(), kKnownNames.end(), full) != kKnownNames.end();
}

// ---- Values ----

enum class Kind : std::uint8_t {
  kNone,
  kBool,     // number
  kInt,      // number
  kBigInt,   // text: hexadecimal
  kReal,     // number: the bits of a double
  kText,     // text
  kBytes,    // text
  kList,     // items
  kTuple,    // items
  kSet,      // items
  kDict,     // items: key, value, key, value
  kGlobal,   // text: the full name of a class or function
  kObject,   // text: the name of its class; items: attribute, value, ...
  kStorage,  // number: place in Values::views
  kTensor,   // number: place in Values::tensors
  kOpaque    // a value that nobody needs
};

struct Value {
  Kind kind = Kind::kNone;
  std::int64_t number = 0;  // or, for what has text, its place in Values::texts
  Ids items = {};
};

struct StorageClaim {
  std::string key;
  const TypeRow* type = nullptr;
  std::uint64_t count = 0;  // values
  std::uint64_t bytes = 0;
};

// A part of a storage; legacy files have some.
struct StorageView {
  std::size_t storage = 0;
  std::uint64_t first_byte = 0;
  std::uint64_t bytes = 0;
};

// The attribute that stands for "all attributes of the value beside it".
constexpr Id kState = std::numeric_limits<Id>::max();
constexpr Id kNone = 0;
constexpr Id kTrue = 1;
constexpr Id kFalse = 2;

// What the pickles of a file built. Values refer to one another by number: circles are harmless.
struct Values {
  std::deque<Value> all;
  std::deque<std::string> texts;
  std::vector<StorageClaim> storages;
  std::unordered_map<std::string, std::size_t> storage_of_key;
  std::vector<StorageView> views;
  std::vector<PytorchTensor> tensors;  // without names

  Values() {
    all.push_back({.kind = Kind::kNone});
    all.push_back({.kind = Kind::kBool, .number = 1});
    all.push_back({.kind = Kind::kBool, .number = 0});
  }

  [[nodiscard]] const Value& at(Id id) const { return all[id]; }
  [[nodiscard]] Kind kind(Id id) const { return all[id].kind; }
  [[nodiscard]] const Ids& items(Id id) const { return all[id].items; }
  [[nodiscard]] const std::string& text(Id id) const {
    return texts[static_cast<std::size_t>(all[id].number)];
  }
};

// ---- Bytes of a pickle ----

class PickleBytes {
 public:
  PickleBytes(const Source& source, std::uint64_t begin, std::uint64_t end, std::string origin)
      : source_(source),
        window_begin_(begin),
        end_(end),
        origin_(std::move(origin)) {}

  [[nodiscard]] std::uint64_t position() const { return window_begin_ + used_; }
  [[nodiscard]] std::uint64_t left() const { return end_ - position(); }
  [[nodiscard]] const std::string& origin() const { return origin_; }

  /// Valid until the next call.
  std::span<const std::byte> take(std::uint64_t count) {
    if (count > left()) {
      fail(origin_,
           fmt::format("a pickle ends at byte {}, {} bytes too early", end_, count - left()));
    }
    if (count > window_.size() - used_) {
      refill(count);
    }
    const auto taken = std::span<const std::byte>(window_).subspan(used_, count);
    used_ += static_cast<std::size_t>(count);
    return taken;
  }

  void skip(std::uint64_t count) {
    if (count > left()) {
      fail(origin_,
           fmt::format("a pickle ends at byte {}, {} bytes too early", end_, count - left()));
    }
    window_begin_ = position() + count;
    window_.clear();
    used_ = 0;
  }

  std::uint64_t number(std::size_t bytes) { return little_endian(take(bytes)); }

  /// Up to the end of the line, which is taken too.
  std::string line() {
    std::string text;
    for (char c = byte(); c != '\n'; c = byte()) {
      if (text.size() == kMaxLine) {
        fail(origin_, "a line in a pickle is too long");
      }
      text += c;
    }
    return text;
  }

 private:
  char byte() { return static_cast<char>(take(1)[0]); }

  void refill(std::uint64_t count) {
    constexpr std::uint64_t kWindow = 1 << 16;
    window_begin_ = position();
    used_ = 0;
    window_.resize(static_cast<std::size_t>(std::min(std::max(count, kWindow), left())));
    source_.read(window_begin_, window_);
  }

  const Source& source_;
  std::uint64_t window_begin_;
  std::uint64_t end_;
  std::string origin_;
  Bytes window_;
  std::size_t used_ = 0;
};

// ---- What the functions of PyTorch that rebuild values make ----

class Rebuilder {
 public:
  Rebuilder(Values& values, std::string origin) : values_(values), origin_(std::move(origin)) {}

  Id add(Value value) {
    if (values_.all.size() >= kMaxValues) {
      refuse("it holds more values than any checkpoint of an encoder");
    }
    values_.all.push_back(std::move(value));
    return static_cast<Id>(values_.all.size() - 1);
  }

  Id add_text(Kind kind, std::string text) {
    values_.texts.push_back(std::move(text));
    return add({.kind = kind, .number = static_cast<std::int64_t>(values_.texts.size() - 1)});
  }

  /// A step costs what it may copy: nothing is copied again and again.
  void spend(std::size_t steps) {
    steps_ += steps;
    if (steps_ > kMaxSteps) {
      refuse("its pickles have more instructions than any checkpoint of an encoder");
    }
  }

  /// Calls the function or class `callee`, as far as it is one that only rearranges values.
  Id call(Id callee, Id arguments) {
    if (values_.kind(arguments) != Kind::kTuple) {
      refuse("a pickle calls something without a tuple of arguments");
    }
    if (values_.kind(callee) != Kind::kGlobal) {
      return add({.kind = Kind::kOpaque});
    }
    const std::string& name = values_.text(callee);
    const Ids& given = values_.items(arguments);
    if (name == "torch._tensor._rebuild_from_type_v2" && given.size() == 4 &&
        values_.kind(given[0]) == Kind::kGlobal && values_.kind(given[2]) == Kind::kTuple &&
        values_.text(given[0]) != name) {
      return call(given[0], given[2]);
    }
    if (name.starts_with("torch._utils._rebuild_")) {
      return rebuild(name, given);
    }
    if (const auto container = call_container(name, given)) {
      return *container;
    }
    return object_of(callee, name, given);
  }

  /// The value of a persistent id: ('storage', type, key, location, numel[, view]) or
  /// ('module', class, source file, source).
  Id persistent(Id id) {
    const Ids& parts = values_.items(id);
    if (values_.kind(id) == Kind::kTuple && parts.size() >= 2 && is_text(parts[0], "module")) {
      return parts[1];
    }
    if (values_.kind(id) != Kind::kTuple || parts.size() < 5 || parts.size() > 6 ||
        !is_text(parts[0], "storage") || values_.kind(parts[1]) != Kind::kGlobal) {
      refuse("a reference is none to a storage");
    }
    const std::size_t storage = claim_storage(parts);
    StorageView view{.storage = storage, .bytes = values_.storages[storage].bytes};
    if (parts.size() == 6 && parts[5] != kNone) {
      narrow(view, parts[5]);
    }
    values_.views.push_back(view);
    return add(
        {.kind = Kind::kStorage, .number = static_cast<std::int64_t>(values_.views.size() - 1)});
  }

  [[noreturn]] void refuse(std::string_view problem) const { fail(origin_, problem); }

 private:
  [[nodiscard]] bool is_text(Id id, std::string_view text) const {
    return values_.kind(id) == Kind::kText && values_.text(id) == text;
  }

  [[nodiscard]] std::uint64_t count_of(Id id, std::string_view what) const {
    if (values_.kind(id) != Kind::kInt || values_.at(id).number < 0) {
      refuse(fmt::format("{} is no whole number from 0 on", what));
    }
    return static_cast<std::uint64_t>(values_.at(id).number);
  }

  // Legacy keys are texts, and numbers in some files.
  [[nodiscard]] std::string key_of(Id id) const {
    if (values_.kind(id) == Kind::kInt) {
      return std::to_string(values_.at(id).number);
    }
    if (values_.kind(id) != Kind::kText || values_.text(id).size() > kMaxName) {
      refuse("the key of a storage is no text");
    }
    return values_.text(id);
  }

  [[nodiscard]] std::uint64_t product(std::uint64_t a, std::uint64_t b) const {
    std::uint64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) {
      refuse("a tensor or storage is said to be larger than any memory");
    }
    return result;
  }

  std::size_t claim_storage(const Ids& parts) {
    const std::string& class_name = values_.text(parts[1]);
    const TypeRow* type = find_storage_type(class_name);
    if (type == nullptr) {
      refuse(fmt::format("'{}' is no known kind of storage", printable(class_name)));
    }
    const std::string key = key_of(parts[2]);
    const std::uint64_t count = count_of(parts[4], "the size of a storage");
    const auto [place, is_new] = values_.storage_of_key.emplace(key, values_.storages.size());
    if (is_new) {
      if (values_.storages.size() >= kMaxTensors) {
        refuse("it holds more storages than any checkpoint of an encoder");
      }
      values_.storages.push_back(
          {.key = key, .type = type, .count = count, .bytes = product(count, type->bytes)});
    }
    const StorageClaim& claim = values_.storages[place->second];
    if (claim.type != type || claim.count != count) {
      refuse(fmt::format("storage '{}' is described in two ways", printable(key)));
    }
    return place->second;
  }

  // description  (key of the view, first value, number of values)
  void narrow(StorageView& view, Id description) const {
    const Ids& parts = values_.items(description);
    if (values_.kind(description) != Kind::kTuple || parts.size() != 3) {
      refuse("a part of a storage is not described by key, first value and number of values");
    }
    const StorageClaim& storage = values_.storages[view.storage];
    const std::uint64_t first = count_of(parts[1], "the beginning of a part of a storage");
    const std::uint64_t count = count_of(parts[2], "the size of a part of a storage");
    if (first > storage.count || count > storage.count - first) {
      refuse(fmt::format("a part of storage '{}' leaves it", printable(storage.key)));
    }
    view.first_byte = first * storage.type->bytes;
    view.bytes = count * storage.type->bytes;
  }

  Id rebuild(std::string_view name, const Ids& given) {
    name.remove_prefix(std::string_view("torch._utils._rebuild_").size());
    if (name == "parameter" || name == "parameter_with_state") {
      if (given.empty()) {
        refuse("a parameter has no tensor");
      }
      return given[0];
    }
    const bool is_typed = name == "tensor_v3";
    if (!is_typed && name != "tensor" && name != "tensor_v2") {
      return add({.kind = Kind::kOpaque});  // sparse, quantised, on other devices
    }
    if (given.size() < (is_typed ? 7U : 4U) || values_.kind(given[0]) != Kind::kStorage) {
      refuse("a tensor is not described by storage, offset, shape and strides");
    }
    if (is_typed && values_.kind(given[6]) != Kind::kGlobal) {
      refuse("a tensor has no type");
    }
    return tensor_of(given, is_typed ? values_.text(given[6]) : std::string());
  }

  // dtype  full name, or "": that of the storage
  Id tensor_of(const Ids& given, const std::string& dtype) {
    const StorageView& view = values_.views[static_cast<std::size_t>(values_.at(given[0]).number)];
    const TypeRow* type = dtype.empty() ? values_.storages[view.storage].type : find_dtype(dtype);
    PytorchTensor tensor;
    tensor.storage = view.storage;
    tensor.shape = sizes(given[2], "shape");
    tensor.strides = sizes(given[3], "strides");
    if (tensor.shape.size() != tensor.strides.size()) {
      refuse(fmt::format("a tensor of {} dimensions has {} strides", tensor.shape.size(),
                         tensor.strides.size()));
    }
    if (type == nullptr) {
      tensor.type_name = dtype;
    } else {
      tensor.type = type->type;
      tensor.type_name = type->name;
      place(tensor, view, count_of(given[1], "the offset of a tensor"), type->bytes);
    }
    if (values_.tensors.size() >= kMaxTensors) {
      refuse("it holds more tensors than any checkpoint of an encoder");
    }
    values_.tensors.push_back(std::move(tensor));
    return add(
        {.kind = Kind::kTensor, .number = static_cast<std::int64_t>(values_.tensors.size() - 1)});
  }

  [[nodiscard]] std::vector<std::int64_t> sizes(Id id, std::string_view what) const {
    const Kind kind = values_.kind(id);
    const Ids& items = values_.items(id);
    if ((kind != Kind::kTuple && kind != Kind::kList) || items.size() > kMaxDimensions) {
      refuse(
          fmt::format("the {} of a tensor are no tuple of up to {} numbers", what, kMaxDimensions));
    }
    std::vector<std::int64_t> numbers;
    for (const Id item : items) {
      numbers.push_back(static_cast<std::int64_t>(
          count_of(item, fmt::format("one of the {} of a tensor", what))));
    }
    return numbers;
  }

  // Requires that every value of the tensor is one of its part of the storage.
  void place(PytorchTensor& tensor,
             const StorageView& view,
             std::uint64_t offset,
             std::uint64_t value_bytes) const {
    std::uint64_t end = offset;  // behind the last value
    bool is_empty = false;
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      is_empty = is_empty || tensor.shape[i] == 0;
    }
    for (std::size_t i = 0; i < tensor.shape.size() && !is_empty; ++i) {
      const std::uint64_t reach = product(static_cast<std::uint64_t>(tensor.shape[i] - 1),
                                          static_cast<std::uint64_t>(tensor.strides[i]));
      if (__builtin_add_overflow(end, reach, &end)) {
        refuse("a tensor is said to be larger than any memory");
      }
    }
    if (!is_empty && __builtin_add_overflow(end, std::uint64_t{1}, &end)) {
      refuse("a tensor is said to be larger than any memory");
    }
    if (product(end, value_bytes) > view.bytes) {
      refuse(fmt::format("a tensor of shape [{}] reaches to byte {} of storage '{}', which has {}",
                         fmt::join(tensor.shape, ", "), end * value_bytes,
                         printable(values_.storages[view.storage].key), view.bytes));
    }
    tensor.first_byte = view.first_byte + offset * value_bytes;
  }

  // Containers, and what wraps a value without changing it.
  std::optional<Id> call_container(std::string_view name, const Ids& given) {
    if (name == "collections.OrderedDict" || name == "builtins.dict") {
      return dict_of(given);
    }
    if (name == "collections.defaultdict") {
      return add({.kind = Kind::kDict});
    }
    if (name == "torch.Size" || name == "builtins.tuple") {
      return container_of(Kind::kTuple, given);
    }
    if (name == "builtins.list") {
      return container_of(Kind::kList, given);
    }
    if (name == "builtins.set" || name == "builtins.frozenset") {
      return container_of(Kind::kSet, given);
    }
    if (name.starts_with("torch.jit._pickle.") && !given.empty()) {
      return given[0];
    }
    return std::nullopt;
  }

  Id container_of(Kind kind, const Ids& given) {
    Ids items;
    if (!given.empty()) {
      const Kind from = values_.kind(given[0]);
      if (from == Kind::kList || from == Kind::kTuple || from == Kind::kSet) {
        items = values_.items(given[0]);
      }
    }
    spend(items.size());
    return add({.kind = kind, .items = std::move(items)});
  }

  // given  nothing, or a list of pairs
  Id dict_of(const Ids& given) {
    Ids items;
    const Id pairs = given.empty() ? kNone : given[0];
    spend(values_.items(pairs).size());
    for (const Id pair : values_.items(pairs)) {
      if (pair != kState && values_.items(pair).size() == 2) {
        items.insert(items.end(), values_.items(pair).begin(), values_.items(pair).end());
      }
    }
    spend(items.size());
    return add({.kind = Kind::kDict, .items = std::move(items)});
  }

  // A value that knows the name of its class.
  Id object_of(Id callee, std::string_view name, const Ids& given) {
    if (name.ends_with("._reconstructor") && !given.empty() &&
        values_.kind(given[0]) == Kind::kGlobal) {
      callee = given[0];
    }
    return add({.kind = Kind::kObject, .number = values_.at(callee).number});
  }

  Values& values_;
  std::string origin_;
  std::size_t steps_ = 0;
};

// ---- The interpreter ----

// Opcodes as in CPython's Lib/pickle.py, protocols 0 to 5.
class Unpickler {
 public:
  Unpickler(PickleBytes& bytes, Values& values, Rebuilder& rebuilder)
      : bytes_(bytes),
        values_(values),
        rebuilder_(rebuilder) {}

  /// Runs up to STOP; the saved value.
  Id run() {
    constexpr int kStop = '.';
    for (int code = opcode(); code != kStop; code = opcode()) {
      rebuilder_.spend(1);
      if (!read_number(code) && !read_text(code) && !change_stack(code) && !read_container(code) &&
          !fill_container(code) && !use_memo(code) && !use_class(code)) {
        rebuilder_.refuse(fmt::format("a pickle has the unknown instruction 0x{:02x} at byte {}",
                                      code, bytes_.position() - 1));
      }
    }
    return pop();
  }

 private:
  int opcode() { return static_cast<int>(bytes_.number(1)); }
  void push(Id id) { stack_.push_back(id); }
  void push_number(Kind kind, std::int64_t number) {
    push(rebuilder_.add({.kind = kind, .number = number}));
  }

  Id pop() {
    const Id id = top();
    stack_.pop_back();
    return id;
  }

  [[nodiscard]] Id top() const {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) {
      rebuilder_.refuse("a pickle takes a value that is not there");
    }
    return stack_.back();
  }

  // All values since the last mark.
  Ids pop_mark() {
    if (marks_.empty()) {
      rebuilder_.refuse("a pickle takes values up to a mark that is not there");
    }
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    Ids items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }

  bool read_number(int code) {
    switch (code) {
      case 'N':
        push(kNone);
        return true;
      case 0x88:
      case 0x89:
        push(code == 0x88 ? kTrue : kFalse);
        return true;
      case 'K':
      case 'M':
        push_number(Kind::kInt, static_cast<std::int64_t>(bytes_.number(code == 'K' ? 1 : 2)));
        return true;
      case 'J':
        push_number(Kind::kInt, static_cast<std::int32_t>(bytes_.number(4)));
        return true;
      case 'I':
      case 'L':
        read_decimal(bytes_.line(), code == 'I');
        return true;
      case 0x8a:
      case 0x8b:
        read_long(bytes_.number(code == 0x8a ? 1 : 4));
        return true;
      case 'G':
        push_number(Kind::kReal, static_cast<std::int64_t>(__builtin_bswap64(bytes_.number(8))));
        return true;
      case 'F':
        read_real(bytes_.line());
        return true;
      default:
        return false;
    }
  }

  void read_decimal(std::string line, bool has_bools) {
    if (has_bools && (line == "00" || line == "01")) {
      push(line == "01" ? kTrue : kFalse);
      return;
    }
    if (line.ends_with('L')) {
      line.pop_back();
    }
    std::int64_t number = 0;
    const char* const end = line.data() + line.size();
    const auto [last, error] = std::from_chars(line.data(), end, number);
    if (error == std::errc::result_out_of_range && last == end) {
      push(rebuilder_.add_text(Kind::kBigInt, line));
      return;
    }
    if (error != std::errc() || last != end) {
      rebuilder_.refuse(fmt::format("'{}' in a pickle is no number", printable(line)));
    }
    push_number(Kind::kInt, number);
  }

  // Two's complement of any length.
  void read_long(std::uint64_t count) {
    constexpr std::uint64_t kMostDigits = 64;
    if (count > kMostDigits) {
      bytes_.skip(count);
      push(rebuilder_.add({.kind = Kind::kOpaque}));
      return;
    }
    const auto digits = bytes_.take(count);
    if (count <= 8) {
      const bool is_negative = count > 0 && (std::to_integer<unsigned>(digits.back()) & 0x80U) != 0;
      std::uint64_t number = is_negative && count < 8 ? ~std::uint64_t{0} << (8 * count) : 0;
      number |= little_endian(digits);
      push_number(Kind::kInt, static_cast<std::int64_t>(number));
      return;
    }
    std::string text;
    for (const std::byte digit : digits) {
      text.insert(0, fmt::format("{:02x}", std::to_integer<unsigned>(digit)));
    }
    push(rebuilder_.add_text(Kind::kBigInt, text));
  }

  void read_real(const std::string& line) {
    double number = 0.0;
    const char* const end = line.data() + line.size();
    const auto [last, error] = std::from_chars(line.data(), end, number);
    if (error == std::errc::invalid_argument || last != end) {
      rebuilder_.refuse(fmt::format("'{}' in a pickle is no number", printable(line)));
    }
    push_number(Kind::kReal, std::bit_cast<std::int64_t>(number));
  }

  bool read_text(int code) {
    switch (code) {
      case 'U':
      case 0x8c:
        push_text(Kind::kText, bytes_.number(1));
        return true;
      case 'T':
      case 'X':
        push_text(Kind::kText, bytes_.number(4));
        return true;
      case 0x8d:
        push_text(Kind::kText, bytes_.number(8));
        return true;
      case 'C':
        push_text(Kind::kBytes, bytes_.number(1));
        return true;
      case 'B':
        push_text(Kind::kBytes, bytes_.number(4));
        return true;
      case 0x8e:
      case 0x96:
        push_text(Kind::kBytes, bytes_.number(8));
        return true;
      case 'V':
        push(rebuilder_.add_text(Kind::kText, bytes_.line()));
        return true;
      case 'S': {
        const std::string line = bytes_.line();
        if (line.size() < 2 || line.front() != line.back()) {
          rebuilder_.refuse("a text in a pickle has no quotes");
        }
        push(rebuilder_.add_text(Kind::kText, line.substr(1, line.size() - 2)));
        return true;
      }
      default:
        return false;
    }
  }

  void push_text(Kind kind, std::uint64_t count) {
    if (count > kMaxText) {
      bytes_.skip(count);
      push(rebuilder_.add({.kind = Kind::kOpaque}));
      return;
    }
    push(rebuilder_.add_text(kind, std::string(viewfold::text_of(bytes_.take(count)))));
  }

  bool change_stack(int code) {
    switch (code) {
      case '(':
        if (marks_.size() >= kMaxMarks) {
          rebuilder_.refuse("a pickle is nested too deep");
        }
        marks_.push_back(stack_.size());
        return true;
      case '0':
        if (!marks_.empty() && marks_.back() == stack_.size()) {
          marks_.pop_back();
        } else {
          (void)pop();
        }
        return true;
      case '1':
        (void)pop_mark();
        return true;
      case '2':
        push(top());
        return true;
      case 0x80:
        if (const std::uint64_t protocol = bytes_.number(1); protocol > 5) {
          rebuilder_.refuse(fmt::format("a pickle is of the unknown protocol {}", protocol));
        }
        return true;
      case 0x95:
        if (bytes_.number(8) > bytes_.left()) {
          rebuilder_.refuse("a part of a pickle is said to be longer than all of it");
        }
        return true;
      default:
        return false;
    }
  }

  bool read_container(int code) {
    switch (code) {
      case ']':
      case '}':
      case ')':
      case 0x8f:
        push(rebuilder_.add({.kind = code == ']'   ? Kind::kList
                                     : code == '}' ? Kind::kDict
                                     : code == ')' ? Kind::kTuple
                                                   : Kind::kSet}));
        return true;
      case 'l':
      case 't':
      case 0x91:
        push(rebuilder_.add({.kind = code == 'l'   ? Kind::kList
                                     : code == 't' ? Kind::kTuple
                                                   : Kind::kSet,
                             .items = pop_mark()}));
        return true;
      case 'd': {
        Ids items = pop_mark();
        check_pairs(items);
        push(rebuilder_.add({.kind = Kind::kDict, .items = std::move(items)}));
        return true;
      }
      case 0x85:
      case 0x86:
      case 0x87: {
        Ids items(static_cast<std::size_t>(code - 0x84));
        for (std::size_t i = items.size(); i-- > 0;) {
          items[i] = pop();
        }
        push(rebuilder_.add({.kind = Kind::kTuple, .items = std::move(items)}));
        return true;
      }
      default:
        return false;
    }
  }

  void check_pairs(const Ids& items) const {
    if (items.size() % 2 != 0) {
      rebuilder_.refuse("a dictionary in a pickle has a key without a value");
    }
  }

  bool fill_container(int code) {
    switch (code) {
      case 'a':
        append({pop()});
        return true;
      case 'e':
      case 0x90:
        append(pop_mark());
        return true;
      case 's': {
        const Id value = pop();
        const Id key = pop();
        set_items({key, value});
        return true;
      }
      case 'u':
        set_items(pop_mark());
        return true;
      default:
        return false;
    }
  }

  // What is appended to an object that behaves like a list is lost: nobody needs it.
  void append(const Ids& items) {
    Value& target = values_.all[top()];
    if (target.kind == Kind::kList || target.kind == Kind::kSet) {
      target.items.insert(target.items.end(), items.begin(), items.end());
    } else if (target.kind != Kind::kObject && target.kind != Kind::kOpaque) {
      rebuilder_.refuse("a pickle appends to what is no list");
    }
  }

  void set_items(const Ids& items) {
    check_pairs(items);
    Value& target = values_.all[top()];
    if (target.kind == Kind::kDict || target.kind == Kind::kObject) {
      target.items.insert(target.items.end(), items.begin(), items.end());
    } else if (target.kind != Kind::kOpaque) {
      rebuilder_.refuse("a pickle sets a key of what is no dictionary");
    }
  }

  bool use_memo(int code) {
    switch (code) {
      case 'g':
        recall(line_number());
        return true;
      case 'h':
      case 'j':
        recall(bytes_.number(code == 'h' ? 1 : 4));
        return true;
      case 'p':
        remember(line_number());
        return true;
      case 'q':
      case 'r':
        remember(bytes_.number(code == 'q' ? 1 : 4));
        return true;
      case 0x94:
        remember(memo_.size());
        return true;
      default:
        return false;
    }
  }

  std::uint64_t line_number() {
    const std::string line = bytes_.line();
    std::uint64_t number = 0;
    const char* const end = line.data() + line.size();
    const auto [last, error] = std::from_chars(line.data(), end, number);
    if (error != std::errc() || last != end) {
      rebuilder_.refuse(fmt::format("'{}' in a pickle is no number", printable(line)));
    }
    return number;
  }

  void recall(std::uint64_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) {
      rebuilder_.refuse("a pickle recalls a value that it did not remember");
    }
    push(found->second);
  }

  void remember(std::uint64_t place) {
    if (memo_.size() >= kMaxValues) {
      rebuilder_.refuse("it holds more values than any checkpoint of an encoder");
    }
    memo_[place] = top();
  }

  bool use_class(int code) {
    switch (code) {
      case 'c': {
        const std::string module = bytes_.line();
        push_class(module, bytes_.line());
        return true;
      }
      case 0x93: {
        const Id name = pop();
        const Id module = pop();
        if (values_.kind(name) != Kind::kText || values_.kind(module) != Kind::kText) {
          rebuilder_.refuse("the name of a class in a pickle is no text");
        }
        push_class(values_.text(module), values_.text(name));
        return true;
      }
      case 'i': {
        const std::string module = bytes_.line();
        const std::string name = bytes_.line();
        Ids arguments = pop_mark();
        push_class(module, name);
        const Id callee = pop();
        call(callee, rebuilder_.add({.kind = Kind::kTuple, .items = std::move(arguments)}));
        return true;
      }
      case 'P':
        push(rebuilder_.persistent(rebuilder_.add_text(Kind::kText, bytes_.line())));
        return true;
      case 'Q':
        push(rebuilder_.persistent(pop()));
        return true;
      default:
        return make_object(code);
    }
  }

  bool make_object(int code) {
    switch (code) {
      case 'R':
      case 0x81: {
        const Id arguments = pop();
        call(pop(), arguments);
        return true;
      }
      case 0x92: {
        (void)pop();  // named arguments
        const Id arguments = pop();
        call(pop(), arguments);
        return true;
      }
      case 'o': {
        Ids arguments = pop_mark();
        if (arguments.empty()) {
          rebuilder_.refuse("a pickle makes an object without a class");
        }
        const Id callee = arguments.front();
        arguments.erase(arguments.begin());
        call(callee, rebuilder_.add({.kind = Kind::kTuple, .items = std::move(arguments)}));
        return true;
      }
      case 'b': {
        const Id state = pop();
        Value& target = values_.all[top()];
        if (target.kind == Kind::kObject) {
          target.items.push_back(kState);
          target.items.push_back(state);
        }
        return true;
      }
      default:
        return false;
    }
  }

  void call(Id callee, Id arguments) { push(rebuilder_.call(callee, arguments)); }

  void push_class(std::string_view module, std::string_view name) {
    const std::string_view modern = module == "__builtin__" ? "builtins" : module;
    if (modern.size() > kMaxClassName || name.size() > kMaxClassName ||
        !is_harmless(modern, name)) {
      throw DataError(
          fmt::format("{}: mentions '{}.{}', which no checkpoint of an encoder needs; it was not "
                      "run, and nothing "
                      "of the file is used (ask its author for torch.save(model.state_dict(), "
                      "...), which holds "
                      "tensors only)",
                      bytes_.origin(), printable(module), printable(name)));
    }
    push(rebuilder_.add_text(Kind::kGlobal, fmt::format("{}.{}", modern, name)));
  }

  PickleBytes& bytes_;
  Values& values_;
  Rebuilder& rebuilder_;
  Ids stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Id> memo_;
};

// ---- From the tree of values to the list of tensors ----

class Walk {
 public:
  Walk(const Values& values,
       std::vector<PytorchTensor>& tensors,
       std::vector<PytorchScalar>& scalars,
       std::string origin)
      : values_(values),
        tensors_(tensors),
        scalars_(scalars),
        origin_(std::move(origin)),
        on_path_(values.all.size(), false) {}

  void run(Id root) { visit(root, 0); }

 private:
  void visit(Id id, int depth) {
    if (++visits_ > kMaxVisits) {
      fail(origin_, "the same values are part of it again and again");
    }
    const Value& value = values_.at(id);
    switch (value.kind) {
      case Kind::kTensor:
        add_tensor(value);
        return;
      case Kind::kList:
      case Kind::kTuple:
      case Kind::kSet:
      case Kind::kDict:
      case Kind::kObject:
        enter(id, depth);
        return;
      default:
        add_scalar(id, value, depth);
    }
  }

  // A value that is a part of itself brings nothing new.
  void enter(Id id, int depth) {
    if (on_path_[id]) {
      return;
    }
    if (depth >= kMaxDepth) {
      fail(origin_, "the saved object is nested too deep");
    }
    on_path_[id] = true;
    const Kind kind = values_.kind(id);
    if (kind == Kind::kDict || kind == Kind::kObject) {
      visit_pairs(values_.items(id), depth, kind == Kind::kObject);
    } else {
      visit_list(values_.items(id), depth);
    }
    on_path_[id] = false;
  }

  void visit_list(const Ids& items, int depth) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      visit_below(std::to_string(i), items[i], depth);
    }
  }

  // The dictionaries of a torch.nn.Module add no word to the names of what they hold.
  static bool is_part_of_module(std::string_view key) {
    return key == "_parameters" || key == "_buffers" || key == "_modules";
  }

  void visit_pairs(const Ids& items, int depth, bool are_attributes) {
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      if (items[i] == kState) {
        visit_state(items[i + 1], depth);
        continue;
      }
      const Value& key = values_.at(items[i]);
      if (key.kind == Kind::kInt) {
        visit_below(std::to_string(key.number), items[i + 1], depth);
      } else if (key.kind == Kind::kText) {
        const std::string& name = values_.text(items[i]);
        if (are_attributes && is_part_of_module(name)) {
          visit(items[i + 1], depth + 1);
        } else if (name.size() <= kMaxName) {
          visit_below(name, items[i + 1], depth);
        }
      }
    }
  }

  // state  what the object was restored from: a dictionary, or (dictionary or None, dictionary)
  void visit_state(Id state, int depth) {
    if (++visits_ > kMaxVisits) {
      fail(origin_, "the same values are part of it again and again");
    }
    if (on_path_[state]) {
      return;
    }
    const Kind kind = values_.kind(state);
    on_path_[state] = true;
    if (kind == Kind::kDict) {
      visit_pairs(values_.items(state), depth, true);
    } else if (kind == Kind::kTuple && values_.items(state).size() == 2) {
      for (const Id part : values_.items(state)) {
        if (values_.kind(part) == Kind::kDict && !on_path_[part]) {
          visit_pairs(values_.items(part), depth, true);
        }
      }
    }
    on_path_[state] = false;
  }

  void visit_below(std::string_view word, Id id, int depth) {
    const std::size_t length = name_.size();
    if (!name_.empty()) {
      name_ += '.';
    }
    name_ += word;
    visit(id, depth + 1);
    name_.resize(length);
  }

  void add_tensor(const Value& value) {
    names_ += name_.size();
    if (name_.size() > kMaxName || tensors_.size() >= kMaxTensors || names_ > kMaxNames) {
      fail(origin_, "it holds more or longer names than any checkpoint of an encoder");
    }
    tensors_.push_back(values_.tensors[static_cast<std::size_t>(value.number)]);
    tensors_.back().name = name_;
  }

  void add_scalar(Id id, const Value& value, int depth) {
    constexpr int kDeepest = 2;
    if (depth > kDeepest || scalars_.size() >= kMaxScalars || name_.size() > kMaxName) {
      return;
    }
    if (value.kind == Kind::kBool) {
      scalars_.push_back({name_, value.number != 0 ? "True" : "False"});
    } else if (value.kind == Kind::kInt) {
      scalars_.push_back({name_, std::to_string(value.number)});
    } else if (value.kind == Kind::kReal) {
      scalars_.push_back({name_, fmt::format("{}", std::bit_cast<double>(value.number))});
    } else if (value.kind == Kind::kText && values_.text(id).size() <= kMaxScalarText) {
      scalars_.push_back({name_, values_.text(id)});
    }
  }

  const Values& values_;
  std::vector<PytorchTensor>& tensors_;
  std::vector<PytorchScalar>& scalars_;
  std::string origin_;
  std::vector<bool> on_path_;
  std::string name_;
  std::size_t visits_ = 0;
  std::size_t names_ = 0;
};

// ---- Zip archives (PKWARE's APPNOTE 6.3, 4.3) ----

struct ZipEntry {
  std::string name;
  std::uint64_t header = 0;  // offset of the local header
  std::uint64_t packed = 0;
  std::uint64_t size = 0;
  std::uint32_t checksum = 0;
  std::uint16_t method = 0;
  std::uint16_t flags = 0;
};

class Zip {
 public:
  Zip(const Source& source, std::string origin) : source_(source), origin_(std::move(origin)) {
    read_directory();
  }

  [[nodiscard]] const std::vector<ZipEntry>& entries() const { return entries_; }

  [[nodiscard]] const ZipEntry* find(const std::string& name) const {
    const auto found = places_.find(name);
    return found == places_.end() ? nullptr : &entries_[found->second];
  }

  /// Where the bytes of an entry begin; they lie within the file.
  [[nodiscard]] std::uint64_t locate(const ZipEntry& entry) const {
    constexpr std::uint64_t kHeader = 30;
    constexpr std::uint16_t kEncrypted = 1;
    const std::string shown = printable(entry.name);
    if (entry.method != 0 || (entry.flags & kEncrypted) != 0) {
      throw DataError(fmt::format(
          "{}: its entry '{}' is compressed or encrypted, which PyTorch does not do (unpack the "
          "archive, or save it again with torch.save())",
          origin_, shown));
    }
    need(entry.packed == entry.size, "the size of an entry is given in two ways");
    need(entry.header <= source_.size() && source_.size() - entry.header >= kHeader,
         "an entry lies outside of the file");
    const Bytes bytes = read_bytes(source_, entry.header, kHeader);
    const std::span<const std::byte> header(bytes);
    need(text_of(header.first(4)) == "PK\3\4", "an entry of the zip archive has no header");
    const std::uint64_t name_size = little_endian(header.subspan(26, 2));
    const std::uint64_t begin =
        entry.header + kHeader + name_size + little_endian(header.subspan(28, 2));
    need(begin <= source_.size() && entry.size <= source_.size() - begin,
         "an entry reaches beyond the file");
    need(name_size == entry.name.size() &&
             text_of(read_bytes(source_, entry.header + kHeader, name_size)) == entry.name,
         "an entry has two names");
    return begin;
  }

 private:
  void need(bool ok, std::string_view problem) const {
    if (!ok) {
      fail(origin_, problem);
    }
  }

  struct Directory {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::uint64_t count = 0;
  };

  // The record at the end of the archive, behind which there may be a comment.
  [[nodiscard]] Directory find_directory() const {
    constexpr std::uint64_t kRecord = 22;
    constexpr std::uint64_t kLongestComment = 0xFFFF;
    const std::uint64_t tail_size = std::min(source_.size(), kRecord + kLongestComment);
    need(tail_size >= kRecord, "it is too short for a zip archive");
    const std::uint64_t tail_begin = source_.size() - tail_size;
    const Bytes tail = read_bytes(source_, tail_begin, tail_size);
    for (std::uint64_t at = tail_size - kRecord + 1; at-- > 0;) {
      const auto record = std::span<const std::byte>(tail).subspan(at);
      if (text_of(record.first(4)) == "PK\5\6" &&
          little_endian(record.subspan(20, 2)) <= record.size() - kRecord) {
        const Directory directory{.offset = little_endian(record.subspan(16, 4)),
                                  .size = little_endian(record.subspan(12, 4)),
                                  .count = little_endian(record.subspan(10, 2))};
        return find_large_directory(tail_begin + at).value_or(directory);
      }
    }
    fail(origin_, "the zip archive has no directory: its end is missing");
  }

  // The record of 64-bit numbers, if there is one.
  // record  offset of the one of 32-bit numbers
  [[nodiscard]] std::optional<Directory> find_large_directory(std::uint64_t record) const {
    constexpr std::uint64_t kLocator = 20;
    constexpr std::uint64_t kLargeRecord = 56;
    if (record < kLocator) {
      return std::nullopt;
    }
    const Bytes locator = read_bytes(source_, record - kLocator, kLocator);
    if (text_of(std::span<const std::byte>(locator).first(4)) != "PK\6\7") {
      return std::nullopt;
    }
    const std::uint64_t place = little_endian(std::span<const std::byte>(locator).subspan(8, 8));
    need(place <= source_.size() && source_.size() - place >= kLargeRecord,
         "the directory of the zip archive lies outside of the file");
    const Bytes bytes = read_bytes(source_, place, kLargeRecord);
    const std::span<const std::byte> large(bytes);
    need(text_of(large.first(4)) == "PK\6\6", "the directory of the zip archive is not there");
    return Directory{.offset = little_endian(large.subspan(48, 8)),
                     .size = little_endian(large.subspan(40, 8)),
                     .count = little_endian(large.subspan(32, 8))};
  }

  void read_directory() {
    const Directory directory = find_directory();
    need(directory.offset <= source_.size() &&
             directory.size <= source_.size() - directory.offset && directory.size <= kMaxDirectory,
         "the directory of the zip archive lies outside of the file");
    const Bytes bytes = read_bytes(source_, directory.offset, directory.size);
    std::span<const std::byte> rest(bytes);
    for (std::uint64_t i = 0; i < directory.count; ++i) {
      entries_.push_back(take_entry(rest));
      need(places_.emplace(entries_.back().name, entries_.size() - 1).second,
           "two entries of the zip archive have one name");
    }
  }

  [[nodiscard]] ZipEntry take_entry(std::span<const std::byte>& rest) const {
    constexpr std::size_t kHeader = 46;
    need(rest.size() >= kHeader && text_of(rest.first(4)) == "PK\1\2",
         "the directory of the zip archive ends too early");
    const auto number = [&rest](std::size_t at, std::size_t bytes) {
      return little_endian(rest.subspan(at, bytes));
    };
    const std::size_t name_size = number(28, 2);
    const std::size_t extra_size = number(30, 2);
    const std::size_t size = kHeader + name_size + extra_size + number(32, 2);
    need(size <= rest.size(), "the directory of the zip archive ends too early");
    ZipEntry entry{.name = std::string(text_of(rest.subspan(kHeader, name_size))),
                   .header = number(42, 4),
                   .packed = number(20, 4),
                   .size = number(24, 4),
                   .checksum = static_cast<std::uint32_t>(number(16, 4)),
                   .method = static_cast<std::uint16_t>(number(10, 2)),
                   .flags = static_cast<std::uint16_t>(number(8, 2))};
    read_large_numbers(entry, rest.subspan(kHeader + name_size, extra_size));
    rest = rest.subspan(size);
    return entry;
  }

  // Numbers that do not fit 32 bits are in an extra field, in this order.
  void read_large_numbers(ZipEntry& entry, std::span<const std::byte> extra) const {
    constexpr std::uint64_t kElsewhere = 0xFFFFFFFF;
    constexpr std::uint64_t kLargeNumbers = 1;
    while (extra.size() >= 4) {
      const std::uint64_t kind = little_endian(extra.first(2));
      const std::uint64_t size = little_endian(extra.subspan(2, 2));
      extra = extra.subspan(4);
      if (size > extra.size()) {
        return;
      }
      auto numbers = extra.first(size);
      extra = extra.subspan(size);
      for (auto* number : {&entry.size, &entry.packed, &entry.header}) {
        if (kind == kLargeNumbers && *number == kElsewhere) {
          need(numbers.size() >= 8, "an entry of the zip archive lacks its size or place");
          *number = little_endian(numbers.first(8));
          numbers = numbers.subspan(8);
        }
      }
    }
  }

  const Source& source_;
  std::string origin_;
  std::vector<ZipEntry> entries_;
  std::unordered_map<std::string, std::size_t> places_;
};

[[noreturn]] void fail_at(const std::string& origin,
                          const PytorchTensor& tensor,
                          std::string_view problem) {
  throw DataError(fmt::format("{}: tensor '{}' {}", origin, printable(tensor.name), problem));
}

bool is_contiguous(const PytorchTensor& tensor) {
  std::int64_t expected = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) {
      return false;
    }
    expected *= tensor.shape[i];
  }
  return true;
}

// The values of a strided tensor, the last dimension fastest.
// source  from its first value on
Bytes gather(const PytorchTensor& tensor, std::span<const std::byte> source, std::size_t count) {
  const std::size_t value = size_of(tensor.type);
  Bytes out(count * value);
  std::vector<std::int64_t> place(tensor.shape.size(), 0);
  std::int64_t at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(&out[i * value], &source[static_cast<std::size_t>(at) * value], value);
    for (std::size_t d = place.size(); d-- > 0;) {
      if (++place[d] < tensor.shape[d]) {
        at += tensor.strides[d];
        break;
      }
      at -= tensor.strides[d] * (tensor.shape[d] - 1);
      place[d] = 0;
    }
  }
  return out;
}

}  // namespace

// ---- The three formats ----

class PytorchArchive::Builder {
 public:
  Builder(std::shared_ptr<const Source> source, std::string origin) {
    archive_.source_ = std::move(source);
    archive_.origin_ = std::move(origin);
  }

  PytorchArchive build() {
    const std::string head = first_bytes();
    if (head.starts_with("PK\3\4")) {
      read_zip();
    } else if (head.starts_with("\x80") || head.starts_with("L")) {
      read_legacy();
    } else {
      refuse_unknown(head);
    }
    return std::move(archive_);
  }

 private:
  [[nodiscard]] const Source& source() const { return *archive_.source_; }
  [[nodiscard]] const std::string& origin() const { return archive_.origin_; }

  [[nodiscard]] std::string first_bytes() const {
    constexpr std::uint64_t kHead = 512;
    return std::string(text_of(read_bytes(source(), 0, std::min(kHead, source().size()))));
  }

  [[noreturn]] void refuse_unknown(const std::string& head) const {
    constexpr std::size_t kTarMagic = 257;
    if (head.starts_with("version https://git-lfs")) {
      throw DataError(fmt::format(
          "{}: is the pointer of Git LFS to a file, not the file (run `git lfs pull`)", origin()));
    }
    if (head.size() > kTarMagic && head.substr(kTarMagic, 5) == "ustar") {
      throw DataError(fmt::format(
          "{}: is a tar archive, as PyTorch wrote before 0.1.10 (save it again with a later one)",
          origin()));
    }
    fail(origin(), "it begins neither as a zip archive nor as a pickle");
  }

  Id unpickle(PickleBytes& bytes) { return Unpickler(bytes, values_, rebuilder()).run(); }

  Rebuilder& rebuilder() {
    if (!rebuilder_) {
      rebuilder_.emplace(values_, origin());
    }
    return *rebuilder_;
  }

  void walk(Id root) { Walk(values_, archive_.tensors_, archive_.scalars_, origin()).run(root); }

  void read_zip() {
    const Zip zip(source(), origin());
    const std::string folder = find_folder(zip);
    check_byte_order(zip, folder);
    const ZipEntry& pickle = *zip.find(folder + "data.pkl");
    const std::uint64_t begin = zip.locate(pickle);
    PickleBytes bytes(source(), begin, begin + pickle.size, origin());
    if (pickle.size <= kMaxDirectory &&
        !is_intact(read_bytes(source(), begin, pickle.size), pickle.checksum)) {
      fail(origin(), "data.pkl is not as it was saved (its checksum differs)");
    }
    const Id root = unpickle(bytes);
    for (const StorageClaim& claim : values_.storages) {
      archive_.storages_.push_back(find_storage(zip, folder, claim));
    }
    const bool is_script = zip.find(folder + "constants.pkl") != nullptr;
    archive_.format_ = is_script ? PytorchFormat::kTorchScript : PytorchFormat::kZip;
    walk(root);
  }

  // The one folder that all entries are in, with its slash.
  [[nodiscard]] std::string find_folder(const Zip& zip) const {
    std::optional<std::string> folder;
    for (const ZipEntry& entry : zip.entries()) {
      const std::size_t slash = entry.name.find('/');
      if (slash == std::string::npos || entry.name.substr(slash + 1) != "data.pkl") {
        continue;
      }
      if (folder) {
        fail(origin(), "it holds two files data.pkl");
      }
      folder = entry.name.substr(0, slash + 1);
    }
    if (!folder) {
      fail(origin(), "the zip archive holds no data.pkl");
    }
    return *folder;
  }

  void check_byte_order(const Zip& zip, const std::string& folder) const {
    constexpr std::uint64_t kLongest = 16;
    const ZipEntry* const entry = zip.find(folder + "byteorder");
    if (entry == nullptr) {
      return;  // before PyTorch 2.1
    }
    const std::uint64_t begin = zip.locate(*entry);
    const Bytes bytes = read_bytes(source(), begin, std::min(entry->size, kLongest));
    if (text_of(bytes) != "little") {
      refuse_byte_order(text_of(bytes));
    }
  }

  [[noreturn]] void refuse_byte_order(std::string_view order) const {
    throw DataError(
        fmt::format("{}: was saved in byte order '{}' (save it again on a little-endian machine)",
                    origin(), printable(order)));
  }

  [[nodiscard]] Storage find_storage(const Zip& zip,
                                     const std::string& folder,
                                     const StorageClaim& claim) const {
    const ZipEntry* const entry = zip.find(folder + "data/" + claim.key);
    if (entry == nullptr) {
      fail(origin(), fmt::format("storage '{}' is missing", printable(claim.key)));
    }
    if (claim.bytes > entry->size) {
      fail(origin(), fmt::format("storage '{}' is said to have {} bytes, its entry has {}",
                                 printable(claim.key), claim.bytes, entry->size));
    }
    return {.offset = zip.locate(*entry),
            .bytes = claim.bytes,
            .checksum = claim.bytes == entry->size ? entry->checksum : 0};
  }

  // Pickles of a magic number, of a version, of properties of the machine, of the object and of the
  // keys of its storages; then each storage behind the number of its values.
  void read_legacy() {
    PickleBytes bytes(source(), 0, source().size(), origin());
    const Id magic = unpickle(bytes);
    if (values_.kind(magic) != Kind::kBigInt ||
        (values_.text(magic) != "1950a86a20f9469cfc6c" &&
         values_.text(magic) != "119547037146038801333356")) {
      fail(origin(), "it is a pickle, but not one of torch.save()");
    }
    const Id version = unpickle(bytes);
    if (values_.kind(version) != Kind::kInt || values_.at(version).number != 1001) {
      fail(origin(), "it is of an unknown version of torch.save()");
    }
    check_machine(unpickle(bytes));
    const Id root = unpickle(bytes);
    const Id keys = unpickle(bytes);
    if (values_.kind(keys) != Kind::kList) {
      fail(origin(), "it does not say which storages it has");
    }
    archive_.format_ = PytorchFormat::kLegacy;
    place_storages(values_.items(keys), bytes.position());
    walk(root);
  }

  void check_machine(Id properties) const {
    const Ids& items = values_.items(properties);
    for (std::size_t i = 0; values_.kind(properties) == Kind::kDict && i + 1 < items.size();
         i += 2) {
      if (values_.kind(items[i]) == Kind::kText && values_.text(items[i]) == "little_endian" &&
          values_.kind(items[i + 1]) == Kind::kBool && values_.at(items[i + 1]).number == 0) {
        refuse_byte_order("big");
      }
    }
  }

  void place_storages(const Ids& keys, std::uint64_t position) {
    constexpr std::uint64_t kCount = 8;
    std::vector<bool> is_placed(values_.storages.size(), false);
    archive_.storages_.resize(values_.storages.size());
    for (const Id key : keys) {
      const std::size_t place = storage_place(key);
      const StorageClaim& claim = values_.storages[place];
      const std::string shown = printable(claim.key);
      if (is_placed[place]) {
        fail(origin(), fmt::format("storage '{}' is there twice", shown));
      }
      is_placed[place] = true;
      if (source().size() - position < kCount ||
          claim.bytes > source().size() - position - kCount) {
        fail(origin(), fmt::format("the file ends within storage '{}'", shown));
      }
      const std::uint64_t count = little_endian(read_bytes(source(), position, kCount));
      if (count != claim.count) {
        fail(origin(),
             fmt::format("storage '{}' has {} values instead of {}", shown, count, claim.count));
      }
      archive_.storages_[place] = {.offset = position + kCount, .bytes = claim.bytes};
      position += kCount + claim.bytes;
    }
    const auto missing = std::find(is_placed.begin(), is_placed.end(), false);
    if (missing != is_placed.end()) {
      const auto place = static_cast<std::size_t>(missing - is_placed.begin());
      fail(origin(),
           fmt::format("storage '{}' is missing", printable(values_.storages[place].key)));
    }
  }

  [[nodiscard]] std::size_t storage_place(Id key) const {
    const Kind kind = values_.kind(key);
    const std::string text = kind == Kind::kText  ? values_.text(key)
                             : kind == Kind::kInt ? std::to_string(values_.at(key).number)
                                                  : std::string();
    const auto found = values_.storage_of_key.find(text);
    if (found == values_.storage_of_key.end()) {
      fail(origin(), fmt::format("storage '{}' belongs to no tensor", printable(text)));
    }
    return found->second;
  }

  PytorchArchive archive_;
  Values values_;
  std::optional<Rebuilder> rebuilder_;
};

PytorchArchive PytorchArchive::open(const std::filesystem::path& path) {
  return Builder(std::make_shared<FileSource>(path), path.string()).build();
}

PytorchArchive PytorchArchive::parse(std::vector<std::byte> bytes, std::string origin) {
  return Builder(std::make_shared<MemorySource>(std::move(bytes)), std::move(origin)).build();
}

std::vector<std::byte> PytorchArchive::read(std::size_t index) const {
  const PytorchTensor& tensor = tensors_.at(index);
  const Storage& storage = storages_.at(tensor.storage);
  const std::size_t value = size_of(tensor.type);
  if (value == 0) {
    fail_at(origin_, tensor,
            fmt::format("is of type {}, which cannot be read", printable(tensor.type_name)));
  }
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) {
    return {};
  }
  // Where it does not repeat values it fits: that was checked when the archive was read.
  std::uint64_t count = 1;
  std::uint64_t end = 1;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    const auto size = static_cast<std::uint64_t>(tensor.shape[i]);
    end += (size - 1) * static_cast<std::uint64_t>(tensor.strides[i]);
    if (__builtin_mul_overflow(count, size, &count) || count > source_->size() / value) {
      fail_at(origin_, tensor,
              fmt::format("of shape [{}] repeats values: it is larger than the file",
                          fmt::join(tensor.shape, ", ")));
    }
  }
  Bytes bytes = read_bytes(*source_, storage.offset + tensor.first_byte, end * value);
  if (bytes.size() == storage.bytes && !is_intact(bytes, storage.checksum)) {
    fail_at(origin_, tensor, "is not as it was saved: its checksum differs (copy the file again)");
  }
  if (!is_contiguous(tensor)) {
    bytes = gather(tensor, bytes, static_cast<std::size_t>(count));
  }
  // Any other byte in a bool is undefined behaviour as soon as somebody branches on it.
  if (tensor.type == PytorchType::kBool &&
      std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b > std::byte{1}; })) {
    fail_at(origin_, tensor, "holds a bool that is neither 0 nor 1");
  }
  return bytes;
}

std::size_t size_of(PytorchType type) {
  const auto row = std::find_if(kTypes.begin(), kTypes.end(),
                                [type](const TypeRow& r) { return r.type == type; });
  return type == PytorchType::kOther || row == kTypes.end() ? 0 : row->bytes;
}

}  // namespace viewfold
