// Feeds bytes to the reader of PyTorch checkpoints: what they hold is refused with a DataError, or
// keeps to what the reader promises.
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/pytorch_archive_writer.hpp"

#include "viewfold/core/error.hpp"
#include "viewfold/nn/pytorch_archive.hpp"

namespace viewfold {
namespace {

using Bytes = std::span<const std::byte>;

// Reading all tensors of a file that has one storage many times would take all the time.
constexpr std::uint64_t kMostRead = 1 << 22;

std::uint64_t value_count(const std::vector<std::int64_t>& shape) {
  std::uint64_t count = 1;
  for (const std::int64_t size : shape) {
    if (__builtin_mul_overflow(count, static_cast<std::uint64_t>(size), &count)) {
      return std::numeric_limits<std::uint64_t>::max();
    }
  }
  return count;
}

// Whether the tensor could be read.
void read(const PytorchArchive& archive, std::size_t index) {
  const PytorchTensor& tensor = archive.tensors()[index];
  try {
    const auto bytes = archive.read(index);
    check(bytes.size() == value_count(tensor.shape) * size_of(tensor.type),
          "a tensor has another size than its shape says");
  } catch (const DataError&) {
    return;
  }
}

void parse(Bytes bytes) {
  try {
    const auto archive = PytorchArchive::parse({bytes.begin(), bytes.end()}, "fuzz.pt");
    std::uint64_t read_bytes = 0;
    for (std::size_t i = 0; i < archive.tensors().size() && read_bytes < kMostRead; ++i) {
      const PytorchTensor& tensor = archive.tensors()[i];
      check(tensor.shape.size() == tensor.strides.size(), "a tensor without all of its strides");
      read_bytes += bytes.size();
      read(archive, i);
    }
  } catch (const DataError&) {
    return;
  }
}

// The same bytes as the pickle of an archive that is whole otherwise.
void parse_pickle(Bytes pickle) {
  const std::string text(reinterpret_cast<const char*>(pickle.data()), pickle.size());
  const std::string storage(64, '\1');
  const auto archive = testing::to_bytes(testing::zip_of({{"a/data.pkl", text, 0, false},
                                                          {"a/data/0", storage, 0, false},
                                                          {"a/data/1", storage, 0, false}}));
  parse(archive);
}

}  // namespace
}  // namespace viewfold

// The first byte says what the rest is: a file, or a pickle within one.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  if (input.empty()) {
    return 0;
  }
  if (data[0] % 2 == 0) {
    viewfold::parse(input.subspan(1));
  } else {
    viewfold::parse_pickle(input.subspan(1));
  }
  return 0;
}
