// Training of an instance-conditioned GAN (Casanova et al., arXiv:2109.05070).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "viewfold/core/config.hpp"
#include "viewfold/manifold/local_manifold.hpp"
#include "viewfold/nn/discriminator.hpp"
#include "viewfold/nn/generator.hpp"
#include "viewfold/tensor/image_tensor.hpp"
#include "viewfold/train/task.hpp"

namespace viewfold {

/// Settings of generator and discriminator.
struct IcGanConfig final : Config {
  std::string discriminator = "projected";
  std::int64_t channels = 64;
  std::int64_t discriminator_channels = 64;
  std::int64_t embedding_dim = 64;
  std::int64_t noise_chunk = 16;
  double ema = 0.999;
  std::int64_t ema_start = 500;
  double translation = 0.125;
  bool flip = true;
  double mismatched = 0.5;
  bool permute_pairs = false;

  void visit(FieldVisitor& v) override;
};

/// Hinge loss of the discriminator: mean(relu(1 - real)) + mean(relu(1 + fake)) over images and
/// answers; of the generator: -mean(fake). With a weight w of mismatched pairs, real images with
/// conditions of others: (1 - w) mean(relu(1 + fake)) + w mean(relu(1 + mismatched)) instead of the
/// second term (Reed et al., arXiv:1605.05396, Alg. 1, has w = 0.5).
[[nodiscard]] at::Tensor hinge_discriminator(const at::Tensor& real, const at::Tensor& fake);
[[nodiscard]] at::Tensor hinge_discriminator(const at::Tensor& real,
                                             const at::Tensor& fake,
                                             const at::Tensor& mismatched,
                                             double weight);
[[nodiscard]] at::Tensor hinge_generator(const at::Tensor& fake);

/// Moves each picture of [N, C, H, W] by its own up to ratio x side pixels along both axes; what
/// comes in is 0 (DiffAugment, Zhao et al., arXiv:2006.10738). Gradients pass.
[[nodiscard]] at::Tensor translate_each(const at::Tensor& x, double ratio);

/// Images of `generator`, in [-1, 1], as an encoder sees them.
[[nodiscard]] at::Tensor normalize_generated(const at::Tensor& images,
                                             const Normalization& normalization);

/// Trains generator and discriminator together: in one step both gradients are taken at the same
/// weights. A batch holds real neighbours of the samples that it names: view 0 of sample i is made
/// of a random one of its neighbourhood. Their condition is the sample's own, that of its mirror
/// image half of the time; generated images have conditions drawn independently of them.
class IcGanTask final : public Task {
 public:
  /// Throws UsageError when no generator can make images of that size.
  IcGanTask(const IcGanConfig& config,
            const GeneratorSpec& spec,
            const LocalManifold& manifold,
            std::shared_ptr<Discriminator> discriminator,
            const Normalization& normalization);

  StepOutput training_step(const ViewBatch& batch, const StepContext& context) override;
  void after_optimizer_step(const StepContext& context) override;
  torch::nn::Module& module() override { return module_; }
  std::vector<KnownConstant> known_constants(std::int64_t batch_size) const override;

  /// The moving average of the generator: what samples are made with.
  [[nodiscard]] Generator& averaged() { return *averaged_; }

 private:
  [[nodiscard]] at::Tensor real_conditions(const ViewBatch& batch) const;

  IcGanConfig config_;
  const LocalManifold& manifold_;
  Normalization normalization_;
  std::shared_ptr<Generator> generator_;
  std::shared_ptr<Generator> averaged_;
  std::shared_ptr<Discriminator> discriminator_;
  torch::nn::Module module_;
};

/// Writes a generator with all that is needed to use it, and some numbers about it.
void write_generator(const Generator& generator,
                     const std::map<std::string, double>& numbers,
                     const std::filesystem::path& path);

/// A generator, and what was written with it.
struct LoadedGenerator {
  std::shared_ptr<Generator> generator;  // in evaluation mode, without gradients
  std::map<std::string, double> numbers;
};

/// Reads it. Throws DataError naming the file and what is missing or wrong.
[[nodiscard]] LoadedGenerator read_generator(const std::filesystem::path& path);

}  // namespace viewfold
