// Implements the training of an instance-conditioned GAN, and the generator as a file.
#include "viewfold/manifold/ic_gan_task.hpp"

#include <cmath>
#include <string_view>

#include <fmt/format.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/nn/momentum.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

constexpr std::string_view kNumberPrefix = "number.";

// Keeps weights out of a gradient while it lives: it reaches what they are applied to.
class Frozen {
 public:
  explicit Frozen(torch::nn::Module& module) {
    for (auto& parameter : module.parameters()) {
      if (parameter.requires_grad()) {
        parameters_.push_back(parameter);
        parameter.set_requires_grad(false);
      }
    }
  }
  ~Frozen() {
    for (auto& parameter : parameters_) {
      parameter.set_requires_grad(true);
    }
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;
  Frozen(Frozen&&) = delete;
  Frozen& operator=(Frozen&&) = delete;

 private:
  std::vector<at::Tensor> parameters_;
};

at::Tensor band_row(const std::vector<double>& values) {
  return at::tensor(values, at::kFloat).view({1, -1, 1, 1});
}

// Parameters as ema_update() does, and buffers (batch statistics) as they are.
void follow(torch::nn::Module& target, const torch::nn::Module& source, double m) {
  ema_update(target, source, m);
  const at::NoGradGuard no_grad;
  auto to = target.buffers();
  const auto from = source.buffers();
  for (std::size_t i = 0; i < to.size(); ++i) {
    to[i].copy_(from[i]);
  }
}

std::int64_t number_of(const SafetensorsFile& file, const char* key) {
  const auto found = file.metadata.find(key);
  char* end = nullptr;
  const long value =
      found == file.metadata.end() ? 0 : std::strtol(found->second.c_str(), &end, 10);
  constexpr long kLargest = 1L << 20;
  if (value < 1 || value > kLargest || *end != '\0') {
    throw DataError(
        fmt::format("{}: \"{}\" in its metadata is no number above 0 (is it a generator's file?)",
                    file.origin, key));
  }
  return value;
}

}  // namespace

void IcGanConfig::visit(FieldVisitor& v) {
  v.field("discriminator", discriminator,
          {.doc = "what tells real from generated: projected looks through a frozen encoder, pixel "
                  "is BigGAN's",
           .choices = {"projected", "pixel"}});
  v.field("channels", channels, {.doc = "of every block of the generator", .min = 4, .max = 1024});
  v.field("discriminator_channels", discriminator_channels,
          {.doc = "of the discriminator's blocks or heads", .min = 4, .max = 1024});
  v.field("embedding_dim", embedding_dim,
          {.doc = "width of E(h), the condition as the generator sees it", .min = 1, .max = 4096});
  v.field("noise_chunk", noise_chunk,
          {.doc = "values of the noise z for each block", .min = 1, .max = 1024});
  v.field("ema", ema, {.doc = "decay of the generator's moving average", .min = 0, .max = 0.99999});
  v.field("ema_start", ema_start,
          {.doc = "steps before the moving average begins; until then it is the generator itself",
           .min = 0});
  v.field("translation", translation,
          {.doc = "DiffAugment: both kinds of images are moved by up to this share of their side",
           .min = 0,
           .max = 0.5});
  v.field("flip", flip,
          {.doc = "mirror half of the real images, and take the condition of the mirror image for "
                  "half of them"});
  v.field("mismatched", mismatched,
          {.doc = "weight of real images with conditions of others among what the discriminator is "
                  "to refuse; makes it look at the condition early. 0: IC-GAN's own loss",
           .min = 0,
           .max = 0.99});
  v.field("permute_pairs", permute_pairs,
          {.doc = "control: real images with the condition of somebody else, which must make the "
                  "generator ignore its condition"});
}

at::Tensor hinge_discriminator(const at::Tensor& real, const at::Tensor& fake) {
  return at::relu(1.0 - real).mean() + at::relu(1.0 + fake).mean();
}

at::Tensor hinge_discriminator(const at::Tensor& real,
                               const at::Tensor& fake,
                               const at::Tensor& mismatched,
                               double weight) {
  const auto refused = at::relu(1.0 + fake).mean() * (1.0 - weight);
  return at::relu(1.0 - real).mean() + refused + at::relu(1.0 + mismatched).mean() * weight;
}

at::Tensor hinge_generator(const at::Tensor& fake) {
  return -fake.mean();
}

at::Tensor translate_each(const at::Tensor& x, double ratio) {
  const auto most = std::llround(ratio * static_cast<double>(x.size(2)));
  if (most == 0) {
    return x;
  }
  const auto padded = at::constant_pad_nd(x, {most, most, most, most});
  const auto shifts = at::randint(2 * most + 1, {2, x.size(0)}, at::kLong);
  const auto shift = shifts.accessor<std::int64_t, 2>();
  std::vector<at::Tensor> moved;
  for (std::int64_t i = 0; i < x.size(0); ++i) {
    moved.push_back(padded[i].narrow(1, shift[0][i], x.size(2)).narrow(2, shift[1][i], x.size(3)));
  }
  return at::stack(moved).contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor normalize_generated(const at::Tensor& images, const Normalization& normalization) {
  const auto std = band_row(normalization.std);
  const auto mean = band_row(normalization.mean);
  return images.mul(0.5 / std).add((0.5 - mean) / std);
}

IcGanTask::IcGanTask(const IcGanConfig& config,
                     const GeneratorSpec& spec,
                     const LocalManifold& manifold,
                     std::shared_ptr<Discriminator> discriminator,
                     const Normalization& normalization)
    : config_(config),
      manifold_(manifold),
      normalization_(normalization),
      generator_(std::make_shared<Generator>(spec)),
      averaged_(std::make_shared<Generator>(spec)),
      discriminator_(std::move(discriminator)) {
  copy_parameters(*generator_, *averaged_);
  follow(*averaged_, *generator_, 0.0);
  module_.register_module("generator", generator_);
  module_.register_module("averaged", averaged_);
  module_.register_module("discriminator", discriminator_);
}

at::Tensor IcGanTask::real_conditions(const ViewBatch& batch) const {
  std::vector<std::int64_t> rows(batch.indices.begin(), batch.indices.end());
  auto index = at::tensor(rows, at::kLong);
  if (config_.permute_pairs) {
    index = index.roll(1);
  }
  auto h = manifold_.features.index_select(0, index);
  if (config_.flip && manifold_.flipped.defined()) {
    const auto coin = at::rand({batch.size(), 1}) < 0.5;
    h = at::where(coin, manifold_.flipped.index_select(0, index), h);
  }
  return h;
}

StepOutput IcGanTask::training_step(const ViewBatch& batch, const StepContext& /*context*/) {
  const std::int64_t n = batch.size();
  const auto real = batch.groups.front().to(at::kFloat);  // [N, C, S, S]
  const auto real_h = real_conditions(batch);             // [N, D]
  const auto fake_h =
      manifold_.features.index_select(0, at::randint(manifold_.size(), {n}, at::kLong));
  const auto z = torch::randn({n, generator_->noise_dim()});
  const auto fake = normalize_generated(generator_->forward(z, fake_h), normalization_);
  const auto shown = translate_each(fake, config_.translation);

  const auto pairs = at::stack({real_h, real_h.roll(1, 0)});  // [2, N, D]: own, of others
  const auto real_answers =
      discriminator_->forward(translate_each(real, config_.translation), pairs);
  const auto real_answer = real_answers[0];
  const auto fake_answer = discriminator_->forward(shown.detach(), fake_h);
  const auto loss_d =
      hinge_discriminator(real_answer, fake_answer, real_answers[1], config_.mismatched);
  at::Tensor loss_g;
  {
    const Frozen frozen(*discriminator_);
    loss_g = hinge_generator(discriminator_->forward(shown, fake_h));
  }
  const auto spread = fake.detach().flatten(1);  // what the alarm watches: all images alike
  return {.loss = loss_d + loss_g,
          .embedding = spread - spread.mean(1, true),
          .scalars = {{"loss_discriminator", loss_d.item<double>()},
                      {"loss_generator", loss_g.item<double>()},
                      {"answer_real", real_answer.mean().item<double>()},
                      {"answer_mismatched", real_answers[1].mean().item<double>()},
                      {"answer_generated", fake_answer.mean().item<double>()}}};
}

void IcGanTask::after_optimizer_step(const StepContext& context) {
  follow(*averaged_, *generator_, context.step < config_.ema_start ? 0.0 : config_.ema);
}

std::vector<KnownConstant> IcGanTask::known_constants(std::int64_t /*batch_size*/) const {
  return {{.name = "2",
           .value = 2.0,
           .cause = "the discriminator answers 0 to everything: it has learned nothing, likely a "
                    "learning rate that is too low or too high"}};
}

void write_generator(const Generator& generator,
                     const std::map<std::string, double>& numbers,
                     const std::filesystem::path& path) {
  const auto& spec = generator.spec();
  std::map<std::string, std::string> metadata{{"size", fmt::to_string(spec.size)},
                                              {"bands", fmt::to_string(spec.bands)},
                                              {"condition_dim", fmt::to_string(spec.condition_dim)},
                                              {"channels", fmt::to_string(spec.channels)},
                                              {"embedding_dim", fmt::to_string(spec.embedding_dim)},
                                              {"noise_chunk", fmt::to_string(spec.noise_chunk)}};
  for (const auto& [name, value] : numbers) {
    metadata[std::string(kNumberPrefix) + name] = fmt::format("{}", value);
  }
  write_file_atomically(path, write_safetensors(module_state(generator), metadata));
}

LoadedGenerator read_generator(const std::filesystem::path& path) {
  const SafetensorsFile file = read_safetensors(path);
  const GeneratorSpec spec{.size = number_of(file, "size"),
                           .bands = number_of(file, "bands"),
                           .condition_dim = number_of(file, "condition_dim"),
                           .channels = number_of(file, "channels"),
                           .embedding_dim = number_of(file, "embedding_dim"),
                           .noise_chunk = number_of(file, "noise_chunk")};
  LoadedGenerator loaded;
  try {
    loaded.generator = std::make_shared<Generator>(spec);
  } catch (const UsageError& error) {
    throw DataError(fmt::format("{}: {}", file.origin, error.what()));
  }
  load_module_state(*loaded.generator, file);
  loaded.generator->eval();
  for (auto& parameter : loaded.generator->parameters()) {
    parameter.set_requires_grad(false);
  }
  for (const auto& [key, value] : file.metadata) {
    if (key.starts_with(kNumberPrefix)) {
      loaded.numbers[key.substr(kNumberPrefix.size())] = std::strtod(value.c_str(), nullptr);
    }
  }
  return loaded;
}

}  // namespace viewfold
