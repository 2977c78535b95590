// Writes what fuzz_checkpoint begins with: a file of every format, and pickles with instructions of
// every protocol.
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/seeds.hpp"
#include "nn/pytorch_archive_writer.hpp"

namespace viewfold::testing {
namespace {

// The first byte of the input of fuzz_checkpoint.
constexpr char kFile = '\0';
constexpr char kPickle = '\1';

void add(Corpus& corpus, char kind, std::string_view content) {
  corpus.add(to_bytes(std::string(1, kind) + std::string(content)));
}

void add(Corpus& corpus, const ByteVector& file) {
  add(corpus, kFile, {reinterpret_cast<const char*>(file.data()), file.size()});
}

// Two tensors of one storage and a float16 one without a type of its own.
std::string weights() {
  const std::string floats = pickle::storage("FloatStorage", "0", 6);
  const std::string typed = pickle::call(
      pickle::global("torch._utils", "_rebuild_tensor_v3"),
      {pickle::storage("UntypedStorage", "1", 8), pickle::number(0), pickle::numbers({4}),
       pickle::numbers({1}), "\x89", pickle::none(), pickle::global("torch", "float16")});
  const std::string parameter =
      pickle::call(pickle::global("torch._utils", "_rebuild_parameter"),
                   {pickle::tensor(floats, {3, 2}, {1, 3}), "\x88", pickle::none()});
  return pickle::dict(
      {{"w", pickle::tensor(floats, {2, 3}, {3, 1})}, {"t", parameter}, {"h", typed}});
}

std::string checkpoint() {
  const std::string args =
      pickle::object("argparse", "Namespace", {{"arch", pickle::text("resnet18")}});
  const std::string module = pickle::object("torch.nn.modules.linear", "Linear",
                                            {{"_parameters", weights()}, {"_modules", "}"}});
  return pickle::dict({{"epoch", pickle::number(3)},
                       {"args", args},
                       {"net", module},
                       {"list", pickle::list({weights(), pickle::none(), "\x88"})}});
}

void write_files(Corpus& corpus) {
  const std::vector<StorageBytes> storages{{"0", std::string(24, '\2')},
                                           {"1", std::string(8, '\3')}};
  auto files = checkpoint_files(checkpoint(), storages);
  add(corpus, kFile, zip_of(files));
  add(corpus, kFile, zip_of(files, ZipNumbers::k64));
  for (auto& file : files) {
    file.has_checksum = false;  // what is changed then is read all the same
  }
  add(corpus, kFile, zip_of(files));
  files.push_back({"archive/constants.pkl", pickle::program(")")});
  files.push_back({"archive/code/__torch__.py", "x", 8});
  add(corpus, kFile, zip_of(files, ZipNumbers::k64));
  const std::string part =
      pickle::tuple({pickle::text("part"), pickle::number(1), pickle::number(2)});
  add(corpus, legacy_checkpoint(
                  pickle::dict({{"w", weights()},
                                {"p", pickle::tensor(pickle::storage("LongStorage", "7", 4, part),
                                                     {2}, {1})}}),
                  {{"7", 4, std::string(32, '\1')},
                   {"0", 6, storages[0].bytes},
                   {"1", 8, storages[1].bytes}}));
}

void write_pickles(Corpus& corpus) {
  const std::string tensor = pickle::float_tensor("0", {2, 2});
  const std::vector<std::string> values{
      weights(),
      checkpoint(),
      "(dp0\nVw\nctorch._utils\n_rebuild_tensor\n((S'storage'\nctorch\nFloatStorage\nS'0'\n"
      "S'cpu'\nL2L\ntp7\nQI0\n(I2\nt(I1\nttRsVon\nI01\nsVx\nF0.5\ns(lp9\n0",
      "}\x94(\x8c\1n\x94\x8c\5torch\x94\x8c\4Size\x94\x93K\2K\3\x86\x85R\x8c\1b"
      "C\2hi\x8c\1s\x8f(K\1\x90\x8c\1m\x8a\1\xff\x8c\1v" +
          tensor + "u",
      "}q\1(" + pickle::text("self") + "h\1" + pickle::text("w") + tensor + "u",
      "ccopyreg\n_reconstructor\n(cargparse\nNamespace\ncbuiltins\nobject\nNtR}(" +
          pickle::text("w") + tensor + "ub",
      "(iargparse\nNamespace\n(N" + pickle::dict({{"w", tensor}}) + "tb",
      "(cargparse\nNamespace\no2\x86((K\1K\2l1M\x01\x02J\1\2\3\4G" + std::string(8, '\2'),
      "ccollections\nOrderedDict\n(](" + pickle::tuple({pickle::text("w"), tensor}) + "etR",
      "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n"
      "ctorch\nTensor\n(" +
          pickle::storage("FloatStorage", "0", 2) + pickle::number(0) + "K\2\x85K\1\x85\x89NtNtR",
      pickle::call(pickle::global("posix", "system"), {pickle::text("true")})};
  for (const auto& value : values) {
    add(corpus, kPickle, pickle::program(value));
  }
}

}  // namespace

void write_checkpoint_seeds(Corpus corpus) {
  write_files(corpus);
  write_pickles(corpus);
}

}  // namespace viewfold::testing
