// Reads PyTorch checkpoints as data: tensors and their names; nothing that a file says is run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace viewfold {

/// Element types that can be read. kOther is every further one (complex, quantised, 8-bit floats).
enum class PytorchType : std::uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBfloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUint8,
  kBool,
  kOther
};

/// A tensor as the checkpoint describes it. What lies within its storage is checked.
struct PytorchTensor {
  std::string name;                        // "state_dict.module.encoder_q.conv1.weight"
  PytorchType type = PytorchType::kOther;  // of its values
  std::string type_name;                   // PyTorch's word for it: "float32", "ComplexFloat"
  std::vector<std::int64_t> shape = {};
  std::vector<std::int64_t> strides = {};  // in values, never negative
  std::size_t storage = 0;                 // in the archive's table of storages
  std::uint64_t first_byte = 0;            // of the storage
};

/// A number or short text beside the tensors ("epoch": "200", "arch": "resnet50").
struct PytorchScalar {
  std::string name;
  std::string value;  // as Python prints it; a text without quotes
};

enum class PytorchFormat : std::uint8_t {
  kZip,         // torch.save() since 1.6
  kLegacy,      // torch.save() before
  kTorchScript  // torch.jit.save()
};

/// A checkpoint whose pickles have been read by an interpreter that knows no functions: classes and
/// functions are names, calling one makes a value that remembers the name. Names that no checkpoint
/// of an encoder needs (posix.system, builtins.eval, everything that is not of PyTorch, NumPy, the
/// well-known training libraries or Python's plain containers) are refused, so that such a file is
/// not handed on as harmless. Code of TorchScript archives is not looked at. Const and thread-safe.
class PytorchArchive {
 public:
  /// Reads the description of what the file holds; tensors are read from it when they are asked
  /// for. Throws DataError naming the path, what is wrong and, for a refused class, its name, when
  /// it is not a little-endian checkpoint of one of the three formats with uncompressed entries, or
  /// when a length, offset, stride, count or checksum in it does not hold.
  [[nodiscard]] static PytorchArchive open(const std::filesystem::path& path);

  /// The same of bytes in memory. `origin` stands for the file in errors.
  [[nodiscard]] static PytorchArchive parse(std::vector<std::byte> bytes, std::string origin);

  [[nodiscard]] PytorchFormat format() const { return format_; }
  [[nodiscard]] const std::string& origin() const { return origin_; }

  /// All tensors below the saved object, in its order: keys of dictionaries, attributes of objects
  /// and places in lists, joined by dots. The parts of a saved torch.nn.Module have the names of
  /// its state_dict(). A name may occur twice: {"a.b": x, "a": {"b": y}}.
  [[nodiscard]] const std::vector<PytorchTensor>& tensors() const { return tensors_; }

  /// Numbers and texts of up to 256 bytes in the saved object and one level below, in its order;
  /// the first 4096.
  [[nodiscard]] const std::vector<PytorchScalar>& scalars() const { return scalars_; }

  /// The values of tensors()[index], contiguous in row-major order, little-endian. Throws DataError
  /// naming the tensor when its type is kOther, when it repeats its storage beyond the size of the
  /// file (stride 0), when its bytes are not those that were saved (CRC-32 of the zip formats; only
  /// of tensors that fill their storage), or when a bool is neither 0 nor 1.
  [[nodiscard]] std::vector<std::byte> read(std::size_t index) const;

  /// What is read from: a file or bytes in memory.
  class Source;

  /// Where the values of a storage are.
  struct Storage {
    std::uint64_t offset = 0;  // in the file
    std::uint64_t bytes = 0;
    std::uint32_t checksum = 0;  // CRC-32; 0: not known
  };

 private:
  class Builder;
  PytorchArchive() = default;

  std::string origin_;
  PytorchFormat format_ = PytorchFormat::kZip;
  std::vector<PytorchTensor> tensors_;
  std::vector<PytorchScalar> scalars_;
  std::vector<Storage> storages_;
  std::shared_ptr<const Source> source_;
};

/// Bytes of one value; 0 for kOther.
[[nodiscard]] std::size_t size_of(PytorchType type);

}  // namespace viewfold
