// Tests that encoders of other programs are found in their checkpoints and compute the same here.
#include "viewfold/eval/imported_encoder.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <sys/wait.h>
#include <utility>
#include <vector>

#include "core/test_folder.hpp"
#include "eval/small_sets.hpp"
#include "nn/pytorch_archive_writer.hpp"
#include "tensor/normal_tensor.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/nn/pytorch_archive.hpp"
#include "viewfold/nn/safetensors.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

namespace pickle = testing::pickle;
using Tensors = std::vector<NamedTensor>;

EncoderSpec spec_of(const std::string& name, const std::string& stem = "cifar") {
  return {.name = name,
          .width = 4,
          .stem = stem,
          .in_channels = 3,
          .input_size = stem == "imagenet" ? 224 : 32,
          .zero_init_residual = false};
}

std::string storage_kind(at::ScalarType type) {
  return type == at::kLong       ? "LongStorage"
         : type == at::kDouble   ? "DoubleStorage"
         : type == at::kHalf     ? "HalfStorage"
         : type == at::kBFloat16 ? "BFloat16Storage"
                                 : "FloatStorage";
}

// A checkpoint {"epoch": 200, "state_dict": tensors}.
testing::ByteVector checkpoint(const Tensors& tensors) {
  std::vector<std::pair<std::string, std::string>> items;
  std::vector<testing::StorageBytes> storages;
  for (const auto& item : tensors) {
    const auto tensor = item.tensor.contiguous();
    const std::string key = std::to_string(storages.size());
    items.emplace_back(item.name, pickle::tensor(pickle::storage(storage_kind(tensor.scalar_type()),
                                                                 key, tensor.numel()),
                                                 tensor.sizes().vec(), tensor.strides().vec()));
    storages.push_back({key, {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}});
  }
  return testing::zip_checkpoint(
      pickle::dict({{"epoch", pickle::number(200)}, {"state_dict", pickle::dict(items)}}),
      storages);
}

ImportedEncoder import_tensors(const Tensors& tensors, const ImportOptions& options = {}) {
  const TestFolder folder("import");
  write_file_atomically(folder.path() / "net.pth.tar", checkpoint(tensors));
  return import_encoder(folder.path() / "net.pth.tar", options);
}

// Why it is refused; "" where it is not.
std::string refusal(const Tensors& tensors, const ImportOptions& options = {}) {
  try {
    (void)import_tensors(tensors, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool says(const Tensors& tensors, const std::string& words) {
  const std::string reason = refusal(tensors);
  EXPECT_NE(reason.find(words), std::string::npos) << reason;
  return reason.find(words) != std::string::npos;
}

Tensors named(const Tensors& tensors, const std::function<std::string(std::string)>& name) {
  Tensors renamed;
  for (const auto& item : tensors) {
    renamed.push_back({name(item.name), item.tensor});
  }
  return renamed;
}

Tensors with_prefix(const std::string& prefix, const Tensors& tensors) {
  return named(tensors, [&prefix](const std::string& name) { return prefix + name; });
}

Tensors joined(Tensors a, const Tensors& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Tensors state_of(const std::string& name, const std::string& stem = "cifar") {
  return module_state(*testing::used_encoder(spec_of(name, stem)));
}

// The same network with other weights.
Tensors changed(const Tensors& tensors) {
  Tensors others;
  for (const auto& item : tensors) {
    others.push_back(
        {item.name, item.tensor.is_floating_point() ? item.tensor * 0.5 : item.tensor});
  }
  return others;
}

void expect_equal_state(const Encoder& encoder, const Tensors& expected) {
  const auto state = module_state(encoder);
  ASSERT_EQ(state.size(), expected.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    EXPECT_TRUE(state[i].tensor.equal(expected[i].tensor)) << state[i].name;
  }
}

Tensors head(const std::string& name) {
  return {{name, normal_tensor({2, 3}, 9, at::kFloat)}};
}

TEST(ImportedEncoder, FindsTheNetworkBehindThePrefixesOfKnownPrograms) {
  const auto net = state_of("resnet18");
  const auto other = changed(net);
  struct Case {
    std::string prefix;
    Tensors beside;
    std::string description;
  };
  for (const auto& [prefix, beside, description] : std::vector<Case>{
           {"", head("fc.weight"), "torchvision"},
           {"module.", head("module.prototypes.weight"), "SwAV"},
           {"module.encoder_q.", with_prefix("module.encoder_k.", other), "query encoder of MoCo"},
           {"module.base_encoder.", with_prefix("module.momentum_encoder.", other), "MoCo v3"},
           {"module.encoder.", head("module.predictor.0.weight"), "SimSiam"},
           {"module.backbone.", head("module.projector.0.weight"), "Barlow Twins"},
           {"backbone.",
            joined(head("classifier.weight"), with_prefix("momentum_backbone.", other)),
            "solo-learn"},
           {"backbone.", with_prefix("backbone_momentum.", other), "lightly"},
           {"backbone.", head("neck.fc0.weight"), "mmselfsup"},
           {"online_network.encoder.", with_prefix("target_network.encoder.", other), "BYOL"},
           {"my.own.part.", {}, "ResNet called 'state_dict.my.own.part.'"}}) {
    const auto imported = import_tensors(joined(beside, with_prefix(prefix, net)));
    EXPECT_EQ(imported.prefix, "state_dict." + prefix);
    EXPECT_NE(imported.described_as.find(description), std::string::npos)
        << prefix << ": " << imported.described_as;
    expect_equal_state(*imported.encoder, net);
    EXPECT_EQ(imported.matched.size(), net.size());
    EXPECT_EQ(imported.unused.size(), beside.size());
    EXPECT_TRUE(imported.missing.empty());
    EXPECT_FALSE(imported.encoder->is_training());
  }
}

TEST(ImportedEncoder, InfersDepthWidthBandsAndStem) {
  for (const std::string name : {"resnet10", "resnet18", "resnet34", "resnet50"}) {
    for (const std::string stem : {"cifar", "imagenet"}) {
      auto spec = spec_of(name, stem);
      spec.width = name == "resnet34" ? 6 : 4;
      spec.in_channels = stem == "cifar" ? 1 : 4;
      torch::manual_seed(3);
      const auto net = module_state(*make_encoder(spec));
      const auto found = import_tensors(with_prefix("module.", net));
      EXPECT_EQ(found.spec.name, name);
      EXPECT_EQ(found.spec.width, spec.width);
      EXPECT_EQ(found.spec.stem, stem);
      EXPECT_EQ(found.spec.in_channels, spec.in_channels);
      EXPECT_EQ(found.spec.input_size, spec.input_size);
      expect_equal_state(*found.encoder, net);
    }
  }
}

TEST(ImportedEncoder, TakesTheTeacherOfDinoAndTheStudentOfOthers) {
  const auto student = state_of("resnet10");
  const auto teacher = changed(student);
  const auto both = joined(with_prefix("student.module.backbone.", student),
                           with_prefix("teacher.module.backbone.", teacher));
  expect_equal_state(*import_tensors(both).encoder, student);
  const auto dino = import_tensors(joined(both, head("student.module.head.last_layer.weight_v")));
  expect_equal_state(*dino.encoder, teacher);
  EXPECT_NE(dino.described_as.find("teacher of DINO"), std::string::npos) << dino.described_as;
  EXPECT_NE(dino.notes.front().find("student.module.backbone."), std::string::npos);
}

TEST(ImportedEncoder, TakesTheNetworkWhosePrefixIsGiven) {
  const auto query = state_of("resnet10");
  const auto key = changed(query);
  const auto both =
      joined(with_prefix("module.encoder_q.", query), with_prefix("module.encoder_k.", key));
  for (const std::string prefix :
       {"encoder_k", "module.encoder_k.", "state_dict.module.encoder_k."}) {
    const auto imported = import_tensors(both, {.prefix = prefix});
    expect_equal_state(*imported.encoder, key);
    EXPECT_NE(imported.described_as.find("key encoder"), std::string::npos);
  }
  EXPECT_NE(refusal(both, {.prefix = "k"}).find("encoder_q"), std::string::npos);
}

TEST(ImportedEncoder, RefusesToChooseBetweenDifferentNetworks) {
  const auto net = state_of("resnet10");
  const auto a = with_prefix("left.", net);
  EXPECT_TRUE(says(joined(a, with_prefix("right.", changed(net))), "several networks"));
  // mmselfsup saves one network under two names.
  EXPECT_EQ(import_tensors(joined(a, with_prefix("right.0.", net))).prefix, "state_dict.left.");
}

// Names of the layers of nn.Sequential(*children) when stages begin at `first`.
Tensors numbered(const Tensors& net, int first) {
  return named(net, [first](std::string name) {
    const std::size_t dot = name.find('.');
    const std::string layer = name.substr(0, dot);
    const int number = layer == "conv1" ? 0 : layer == "bn1" ? 1 : first + layer.back() - '1';
    return "backbone." + std::to_string(number) + name.substr(dot);
  });
}

TEST(ImportedEncoder, ReadsNumberedLayersOfLightly) {
  const auto large = state_of("resnet18", "imagenet");
  const auto imported = import_tensors(numbered(large, 4));
  expect_equal_state(*imported.encoder, large);
  EXPECT_EQ(imported.prefix, "state_dict.backbone.");
  EXPECT_NE(imported.described_as.find("numbered"), std::string::npos);
  const auto small = state_of("resnet18");
  expect_equal_state(*import_tensors(numbered(small, 4)).encoder, small);
  expect_equal_state(*import_tensors(numbered(small, 3)).encoder, small);
  EXPECT_TRUE(says(numbered(small, 2), "rectification"));
  EXPECT_TRUE(says(numbered(large, 3), "first convolution"));
}

TEST(ImportedEncoder, ReadsShortcutsOfNetworksForCifar) {
  const auto net = state_of("resnet50");
  const auto imported = import_tensors(named(net, [](std::string name) {
    const auto at = name.find("downsample");
    return at == std::string::npos ? name : name.replace(at, 10, "shortcut");
  }));
  expect_equal_state(*imported.encoder, net);
}

TEST(ImportedEncoder, ConvertsHalfAndDoubleAndFillsMissingCounters) {
  const auto net = state_of("resnet10");
  for (const auto type : {at::kDouble, at::kHalf, at::kBFloat16}) {
    Tensors stored;
    Tensors expected;
    for (const auto& item : net) {
      const bool is_counter = !item.tensor.is_floating_point();
      if (!is_counter) {
        stored.push_back({item.name, item.tensor.to(type)});
      }
      expected.push_back(
          {item.name, is_counter ? at::zeros({}, at::kLong) : item.tensor.to(type).to(at::kFloat)});
    }
    const auto imported = import_tensors(stored);
    expect_equal_state(*imported.encoder, expected);
    EXPECT_EQ(imported.missing.size(), 9U + 3U);  // a batch norm for each convolution
  }
}

TEST(ImportedEncoder, NamesWhatIsMissingOrHasAnotherShape) {
  const auto net = with_prefix("module.", state_of("resnet18"));
  for (std::size_t i = 0; i < net.size(); i += 17) {
    auto tensors = net;
    const std::string name = tensors[i].name;
    if (!tensors[i].tensor.is_floating_point() || name.ends_with("conv1.weight")) {
      continue;
    }
    tensors[i].tensor = at::zeros({5, 5});
    EXPECT_TRUE(says(tensors, "'state_dict." + name + "' is [5, 5] instead of ["));
    tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_TRUE(says(tensors, "'state_dict." + name + "' is missing"));
    EXPECT_TRUE(says(tensors, "prefixes tried: 'state_dict.module.'"));
  }
  auto none = net;
  std::erase_if(none, [](const NamedTensor& t) { return t.name.find(".bn") != std::string::npos; });
  EXPECT_TRUE(says(none, " more"));
  EXPECT_TRUE(says(head("blocks.0.attn.qkv.weight"), "vision transformer"));
  EXPECT_TRUE(says({}, "no tensors at all"));
}

Tensors replaced(Tensors net, const std::string& ending, const std::vector<std::int64_t>& shape) {
  for (auto& item : net) {
    if (item.name.ends_with(ending)) {
      item.tensor = at::zeros(shape);
    }
  }
  return net;
}

TEST(ImportedEncoder, RefusesRelativesOfTheFamilyInWords) {
  const auto net = state_of("resnet50");
  EXPECT_TRUE(says(replaced(replaced(net, "layer1.0.conv1.weight", {8, 4, 1, 1}),
                            "layer1.0.conv2.weight", {8, 8, 3, 3}),
                   "Wide ResNet"));
  EXPECT_TRUE(says(replaced(net, "layer1.0.conv2.weight", {4, 1, 3, 3}), "ResNeXt"));
  EXPECT_TRUE(says(joined(net, head("layer1.0.se.fc1.weight")), "layer1.0.se.fc1.weight"));
  EXPECT_TRUE(says(joined(net, head("layer3.6.conv1.weight")), "[3, 4, 7, 3] bottleneck"));
  EXPECT_TRUE(says(joined(net, head("conv1.bias")), "conv1.bias"));
  EXPECT_TRUE(says(replaced(net, "conv1.weight", {4, 3, 5, 5}), "[4, 3, 5, 5]"));
  auto deep = net;
  deep.erase(deep.begin());
  EXPECT_TRUE(says(joined(deep, head("conv1.0.weight")), "stem"));
}

TEST(ImportedEncoder, RefusesValuesThatAreNotFinite) {
  auto net = state_of("resnet10");
  net[3].tensor = net[3].tensor.clone();
  net[3].tensor.flatten()[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(says(net, "not finite"));
  EXPECT_TRUE(says(net, net[3].name));
}

TEST(ImportedEncoder, TakesStemAndSizeFromTheUserWhereTheFileLeavesThemOpen) {
  const auto small = state_of("resnet10");
  const auto half = import_tensors(small, {.stem = "half", .input_size = 64});
  EXPECT_EQ(half.spec.stem, "half");
  EXPECT_EQ(half.spec.input_size, 64);
  EXPECT_EQ(half.encoder->stages(at::zeros({1, 3, 64, 64}))[0].size(2), 32);
  EXPECT_NE(refusal(small, {.stem = "imagenet"}).find("3x3"), std::string::npos);
  EXPECT_NE(refusal(state_of("resnet10", "imagenet"), {.stem = "cifar"}).find("7x7"),
            std::string::npos);
  EXPECT_NE(refusal(small, {.stem = "vgg"}).find("unknown stem"), std::string::npos);
}

TEST(ImportedEncoder, ReadsTheExportsOfViewfoldItself) {
  const TestFolder folder("own_exports");
  const auto spec = spec_of("resnet18");
  const auto encoder = testing::used_encoder(spec);
  const auto card = testing::card_of(*encoder, spec);
  write_encoder(*encoder, card, folder.path() / "encoder.safetensors", folder.path() / "card.json");
  write_torchscript(*encoder, card, folder.path() / "encoder.pt");
  const auto x = normal_tensor({2, 3, 32, 32}, 4, at::kFloat);
  const torch::NoGradGuard no_grad;
  const auto expected = encoder->forward(x);
  for (const char* const name : {"encoder.safetensors", "encoder.pt"}) {
    const auto imported = import_encoder(folder.path() / name);
    EXPECT_EQ(imported.prefix, "");
    EXPECT_TRUE(imported.unused.empty()) << name;
    EXPECT_TRUE(imported.encoder->forward(x).equal(expected)) << name;
  }
}

constexpr const char* kSaveNetworks = R"(
import os, sys
try:
    import torch, torchvision
except ImportError:
    sys.exit(77)
torch.set_num_threads(1)
folder = os.path.dirname(os.path.abspath(__file__))

def network(name, seed):
    torch.manual_seed(seed)
    net = getattr(torchvision.models, name)(weights=None)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for values in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                torch.nn.init.uniform_(values, 0.5, 1.5)
    return net.eval()

def features(net, x):
    return torch.nn.Sequential(*list(net.children())[:-1])(x).flatten(1)

def under(prefix, net):
    return {prefix + name: value for name, value in net.state_dict().items()}

def save(name, net, content, **options):
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.save({**content, "input": x, "features": features(net, x)},
                   os.path.join(folder, name), **options)

a, b = network("resnet18", 1), network("resnet18", 2)
save("plain.pth", a, {"state_dict": a.state_dict()})
save("moco.pth.tar", a, {"epoch": 200, "arch": "resnet18", "state_dict": {
    **under("module.encoder_q.", a), **under("module.encoder_k.", b),
    "module.queue": torch.randn(128, 16)},
    "optimizer": torch.optim.SGD(a.parameters(), 0.1).state_dict()},
    _use_new_zipfile_serialization=False)
save("lightly.ckpt", a, {"state_dict": {"backbone." + name: value for name, value in
    torch.nn.Sequential(*list(a.children())[:-1]).state_dict().items()}})
save("dino.pth", b, {"student": under("module.backbone.", a),
    "teacher": under("module.backbone.", b), "dino_loss": {"center": torch.zeros(1, 8)}})
save("whole_module.pth", a, {"model": a}, pickle_protocol=4)
c = network("resnet50", 3)
save("swav50.pth.tar", c, {"state_dict": {**under("module.", c),
    "module.prototypes.weight": torch.zeros(3, 4)}})
for name, options in (("wide.pth", {"width_per_group": 128}),
                      ("resnext.pth", {"groups": 32, "width_per_group": 4})):
    net = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], **options)
    torch.save(net.state_dict(), os.path.join(folder, name))
torch.jit.script(a).save(os.path.join(folder, "script.pt"))
)";

at::Tensor tensor_called(const PytorchArchive& archive, const std::string& name) {
  const auto& all = archive.tensors();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&name](const PytorchTensor& t) { return t.name == name; });
  const auto bytes = archive.read(static_cast<std::size_t>(found - all.begin()));
  auto tensor = at::empty(found->shape, at::kFloat);
  std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

TEST(ImportedEncoder, GivesTheFeaturesOfTorchvisionForItsCheckpoints) {
  const TestFolder folder("torchvision_checkpoints");
  write_file_atomically(folder.path() / "save.py", std::string_view(kSaveNetworks));
  const std::string command = fmt::format("/usr/bin/python3 {}/save.py", folder.path().string());
  const int status = std::system(command.c_str());  // NOLINT(cert-env33-c): a fixed command
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == 77 || code == 127) {
    GTEST_SKIP() << "PyTorch is not installed (Debian: python3-torch, python3-torchvision)";
  }
  ASSERT_EQ(code, 0);
  const torch::NoGradGuard no_grad;
  for (const auto& [name, prefix] : std::vector<std::pair<std::string, std::string>>{
           {"plain.pth", "state_dict."},
           {"moco.pth.tar", "state_dict.module.encoder_q."},
           {"lightly.ckpt", "state_dict.backbone."},
           {"dino.pth", "teacher.module.backbone."},
           {"whole_module.pth", "model."},
           {"swav50.pth.tar", "state_dict.module."}}) {
    const auto imported = import_encoder(folder.path() / name);
    EXPECT_EQ(imported.prefix, prefix) << name;
    EXPECT_EQ(imported.spec.width, 64);
    const auto archive = PytorchArchive::open(folder.path() / name);
    const auto expected = tensor_called(archive, "features");
    const auto features = imported.encoder->forward(tensor_called(archive, "input"));
    const double difference = (features - expected).abs().max().item<double>();
    EXPECT_LT(difference, 1e-4 * expected.abs().max().item<double>()) << name;
    EXPECT_GT(expected.abs().max().item<double>(), 0.1) << name;
  }
  EXPECT_EQ(import_encoder(folder.path() / "script.pt").spec.name, "resnet18");
  for (const auto& [name, word] :
       {std::pair{"wide.pth", "Wide ResNet"}, {"resnext.pth", "ResNeXt"}}) {
    try {
      (void)import_encoder(folder.path() / name);
      FAIL() << name << " is none of the family";
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace viewfold
