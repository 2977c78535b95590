// The sparse manifold transform (Chen et al., arXiv:2209.15261): patches that occur in one image
// get similar embeddings. Solved, not trained: a look at the images for whitening and dictionary, a
// second for two matrices of moments and a generalised eigenproblem, a third for principal
// components.
#include <algorithm>

#include <fmt/format.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/patch_encoder.hpp"

namespace viewfold::methods {
namespace {

struct SparseManifoldConfig final : Config {
  explicit SparseManifoldConfig(ImageScale /*scale*/) {}

  double ridge = 1e-3;           // ours; no other was tried
  std::int64_t every_patch = 8;  // ours, ditto; keeps the sums to a minute

  void visit(FieldVisitor& v) override {
    v.field("ridge", ridge,
            {.doc = "added to the diagonal of the moments within patches, in units of its mean",
             .min = 1e-6,
             .max = 10.0});
    v.field(
        "every_patch", every_patch,
        {.doc = "one patch in so many enters the moments within patches", .min = 1, .max = 1024});
  }
};

class SparseManifold final : public Method {
 public:
  SparseManifold(const SparseManifoldConfig& config, const MethodContext& context)
      : config_(config) {
    auto encoder = std::dynamic_pointer_cast<PatchEncoder>(make_encoder(context.encoder));
    if (!encoder) {
      throw UsageError(
          fmt::format("sparse_manifold is a method for the encoder \"patches\", not \"{}\" (leave "
                      "encoder.name out)",
                      context.encoder.name));
    }
    encoder_ = encoder;
    encoder_->embedding().requires_grad_(false);
    const std::int64_t d = encoder_->patch_dim();
    const std::int64_t elements = encoder_->elements();
    module_.register_module("encoder", encoder_);
    sum_ = module_.register_buffer("sum", at::zeros({d}));
    products_ = module_.register_buffer("products", at::zeros({d, d}));
    candidates_ = module_.register_buffer("candidates", at::zeros({elements, d}));
    within_ = module_.register_buffer("within", at::zeros({elements, elements}));
    between_ = module_.register_buffer("between", at::zeros({elements, elements}));
    const std::int64_t values = encoder_->cell_values();
    cell_sum_ = module_.register_buffer("cell_sum", at::zeros({values}));
    cell_products_ = module_.register_buffer("cell_products", at::zeros({values, values}));
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    if (context.communicator.size() > 1 || context.total_steps < kLooks) {
      throw UsageError(
          context.total_steps < kLooks
              ? "sparse_manifold looks at the images three times: take train.epochs for 3 steps or "
                "more"
              : "sparse_manifold is solved in one process (start one, without torchrun or mpirun)");
    }
    const at::NoGradGuard no_grad;
    const auto x = batch.view(0);
    const auto patches = patches_of(x);
    const Looks looks = looks_of(context);
    Coded coded;
    if (context.step < looks.dictionary) {
      look_at_patches(patches, context.step, looks.dictionary);
    } else if (context.step < looks.moments) {
      coded = count_codes(x);
    } else {
      look_at_cells(x);
      coded.uncoded = 0.0;
    }
    return {.output = {.loss = at::scalar_tensor(coded.uncoded, at::kFloat),
                       .embedding = patches.mean(1),
                       .scalars = {{"active", coded.active}}}};
  }

  void after_optimizer_step(const StepContext& context) override {
    const at::NoGradGuard no_grad;
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
    const Looks looks = looks_of(context);
    const std::int64_t done = context.step + 1;
    if (done == looks.dictionary) {
      const auto mean = sum_ / static_cast<double>(done);
      encoder_->set_dictionary(candidates_, mean, covariance(products_, mean, done));
    } else if (done == looks.moments) {
      solve();
    } else if (done == context.total_steps) {
      const auto mean = cell_sum_ / static_cast<double>(done - looks.moments);
      encoder_->set_projection(mean, covariance(cell_products_, mean, done - looks.moments));
    }
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

 private:
  // What a step says of itself.
  struct Coded {
    double uncoded = 1.0;  // share of patches that resemble no element
    double active = 0.0;   // elements per patch
  };

  static constexpr std::int64_t kLooks = 3;

  // The steps before which a look ends; the last ends with the run.
  struct Looks {
    std::int64_t dictionary = 0;
    std::int64_t moments = 0;
  };

  // Of the run: a tenth, three fifths and the rest. Of two epochs of 50,000 images these are 10,000
  // for 8192 elements of the dictionary, 60,000 for the moments and 30,000 for the components.
  [[nodiscard]] static Looks looks_of(const StepContext& context) {
    const std::int64_t first = std::max<std::int64_t>(1, context.total_steps / 10);
    return {.dictionary = first, .moments = std::max(first + 1, context.total_steps * 7 / 10)};
  }

  // Of sums of the means of steps.
  [[nodiscard]] static at::Tensor covariance(const at::Tensor& products,
                                             const at::Tensor& mean,
                                             std::int64_t steps) {
    return products / static_cast<double>(steps) - mean.unsqueeze(1) * mean.unsqueeze(0);
  }

  // In float32, whatever the precision of the run.
  [[nodiscard]] at::Tensor patches_of(const at::Tensor& x) const {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
    return encoder_->contrast_patches(x);  // [N, L, d]
  }

  // Moments of the patches, and this step's share of the dictionary.
  void look_at_patches(const at::Tensor& patches, std::int64_t step, std::int64_t steps) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
    const auto rows = patches.reshape({-1, patches.size(2)});
    sum_ += rows.mean(0);
    products_ += rows.t().mm(rows) / static_cast<double>(rows.size(0));
    const std::int64_t first = step * candidates_.size(0) / steps;
    const std::int64_t end = (step + 1) * candidates_.size(0) / steps;
    candidates_.narrow(0, first, end - first)
        .copy_(rows.index_select(0, at::randint(rows.size(0), {end - first}, at::kLong)));
  }

  void look_at_cells(const at::Tensor& x) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
    const auto cells = encoder_->cells(x);  // [N, F]
    cell_sum_ += cells.mean(0);
    cell_products_.addmm_(cells.t(), cells, 1.0, 1.0 / static_cast<double>(cells.size(0)));
  }

  // Adds the codes of a batch to the moments: of one patch in every_patch with itself, and of the
  // mean code of every image with itself.
  Coded count_codes(const at::Tensor& x) {
    const auto codes = encoder_->codes(x);
    auto means = at::zeros({x.size(0), encoder_->elements()});
    Coded coded{.uncoded = 0.0};
    std::int64_t patches = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      float* mean = means.data_ptr<float>() + static_cast<std::int64_t>(i) * means.size(1);
      const float share = 1.0F / static_cast<float>(codes[i].patches());
      for (const auto element : codes[i].elements) {
        mean[element] += share;
      }
      patches += static_cast<std::int64_t>(codes[i].patches());
      coded.active += static_cast<double>(codes[i].elements.size());
      for (std::size_t l = 0; l < codes[i].patches(); ++l) {
        coded.uncoded += codes[i].of(l).empty() ? 1.0 : 0.0;
      }
    }
    add_within(codes);
    {
      const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
      between_.addmm_(means.t(), means);
    }
    coded.active /= static_cast<double>(patches);
    coded.uncoded /= static_cast<double>(patches);
    return coded;
  }

  // Each thread has rows of its own, so that the sums have one order.
  void add_within(const std::vector<PatchCodes>& codes) {
    const std::int64_t elements = encoder_->elements();
    constexpr std::int64_t kRows = 64;
    const auto every = static_cast<std::size_t>(config_.every_patch);
    at::parallel_for(0, (elements + kRows - 1) / kRows, 1, [&](std::int64_t from, std::int64_t to) {
      for (std::size_t i = 0; i < codes.size(); ++i) {
        for (std::size_t l = i % every; l < codes[i].patches(); l += every) {
          const auto code = codes[i].of(l);
          const auto* row = std::lower_bound(code.data(), code.data() + code.size(), from * kRows);
          for (; row != code.data() + code.size() && *row < to * kRows; ++row) {
            float* target = within_.data_ptr<float>() + *row * elements;
            for (const auto column : code) {
              target[column] += 1.0F;
            }
          }
        }
      }
    });
  }

  // Maximises the variance of the mean embeddings of images at unit covariance of the embeddings of
  // patches: the smallest distance between patches of one image (Chen et al., with the whole image
  // as context). The first direction is that of a constant and left out.
  void solve() {
    auto& embedding = encoder_->embedding();
    const double mean_square = within_.diagonal().mean().item<double>();
    if (!(mean_square > 0.0)) {
      throw DivergedError(
          "no patch resembles any element of the dictionary: take more images, or images with "
          "more to see in them");
    }
    const auto scaled = within_ / mean_square;
    scaled.diagonal().add_(config_.ridge);
    const auto root = at::linalg_cholesky(scaled);
    auto matrix = at::linalg_solve_triangular(root, between_, /*upper=*/false);
    matrix = at::linalg_solve_triangular(root, matrix.t().contiguous(), /*upper=*/false);
    matrix = (matrix + matrix.t()).div(2.0);
    const std::int64_t dims = embedding.size(1);
    const auto leading = leading_eigenvectors(matrix, dims + 1).vectors.narrow(1, 0, dims);
    embedding.copy_(at::linalg_solve_triangular(root.t().contiguous(), leading, /*upper=*/true));
  }

  SparseManifoldConfig config_;
  std::shared_ptr<PatchEncoder> encoder_;
  torch::nn::Module module_;
  at::Tensor sum_;            // [d], of the means of the steps
  at::Tensor products_;       // [d, d], ditto
  at::Tensor candidates_;     // [D, d], patches for the dictionary
  at::Tensor within_;         // [D, D], of the codes of patches
  at::Tensor between_;        // [D, D], of the mean codes of images
  at::Tensor cell_sum_;       // [F], of the means of the steps
  at::Tensor cell_products_;  // [F, F], ditto
};

void train_defaults(ImageScale /*scale*/, TrainConfig& config) {
  config.epochs = 2;  // see looks_of()
}

}  // namespace

MethodEntry sparse_manifold_entry() {
  return method_entry<SparseManifold, SparseManifoldConfig>(
      {.name = "sparse_manifold",
       .paper = "arXiv:2209.15261",
       .summary = "embeds a dictionary of patches in closed form: patches of one image are alike",
       .recipe = "none",
       .views = 1,
       .encoder = "patches",
       .closed_form = true,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
