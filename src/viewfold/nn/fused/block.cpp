// Implements fused residual blocks: forward and backward, a few images at a time on a thread team.
//
// A convolution's output is stored as it is ("raw"). Who needs its normalised and rectified form
// makes it again from there: it is one multiplication and one addition away, and in the cache.
#include "viewfold/nn/fused/block.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <mutex>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/thread_team.hpp"
#include "viewfold/image/aligned.hpp"
#include "viewfold/nn/fused/convolution.hpp"
#include "viewfold/nn/fused/rows.hpp"

namespace viewfold::fused {
namespace {

thread_local bool fused_enabled = false;

std::atomic<std::int64_t> convolution_nanoseconds{0};
std::atomic<std::int64_t> norm_nanoseconds{0};
std::atomic<std::int64_t> multiply_adds{0};

// Adds the time until it goes to a total.
class PartTimer {
 public:
  explicit PartTimer(std::atomic<std::int64_t>& total) : total_(total) {}
  ~PartTimer() {
    const auto spent = std::chrono::steady_clock::now() - begin_;
    total_.fetch_add(std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count(),
                     std::memory_order_relaxed);
  }
  PartTimer(const PartTimer&) = delete;
  PartTimer& operator=(const PartTimer&) = delete;
  PartTimer(PartTimer&&) = delete;
  PartTimer& operator=(PartTimer&&) = delete;

 private:
  std::atomic<std::int64_t>& total_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// Runs body(0) ... body(count - 1) on the threads of LibTorch's setting.
void run_on_team(std::size_t count, const std::function<void(std::size_t)>& body) {
  static std::mutex mutex;
  static std::unique_ptr<ThreadTeam> team;
  const std::scoped_lock lock(mutex);
  const int threads = at::get_num_threads();
  if (!team || team->size() != threads) {
    team.reset();
    team = std::make_unique<ThreadTeam>(threads, [] {
      // For the life of the thread: what runs in it is part of a loop that is parallel already.
      static thread_local const OneThreadGuard kOneThread;
    });
  }
  const OneThreadGuard one_thread;
  team->run(count, body);
}

// Room of the calling thread for a few images; there are three.
enum Room : std::size_t { kInput, kGradient, kOther };
void* room(Room which, std::size_t bytes) {
  thread_local std::array<AlignedVector<std::byte>, 3> rooms;
  auto& found = rooms.at(which);
  if (found.size() < bytes) {
    found.resize(bytes);
  }
  return found.data();
}

ElementType element_type(at::ScalarType type) {
  return type == at::kBFloat16 ? ElementType::kBf16 : ElementType::kFloat;
}

// A few images of one part of the batch.
struct Chunk {
  std::int64_t part = 0;
  std::int64_t first = 0;
  std::int64_t images = 0;
};

std::vector<Chunk> cut(std::int64_t images, std::int64_t parts, std::int64_t size) {
  std::vector<Chunk> chunks;
  const std::int64_t per_part = images / parts;
  for (std::int64_t part = 0; part < parts; ++part) {
    for (std::int64_t i = 0; i < per_part; i += size) {
      chunks.push_back({part, part * per_part + i, std::min(size, per_part - i)});
    }
  }
  return chunks;
}

// What a layer does to images like `x`; `images` of them.
ConvolutionShape shape_of(const ConvNorm& layer, ConvolutionShape x, std::int64_t in_channels) {
  const auto& options = layer.conv->options;
  x.in_channels = in_channels;
  x.out_channels = options.out_channels();
  x.kernel = options.kernel_size()->at(0);
  x.stride = options.stride()->at(0);
  x.padding = c10::get<torch::ExpandingArray<2>>(options.padding())->at(0);
  return x;
}

// The shapes of the convolutions of a block: of the chain, then of the projection.
std::vector<ConvolutionShape> shapes_of(const at::Tensor& x, const BlockLayers& layers) {
  ConvolutionShape in;
  in.type = element_type(x.scalar_type());
  in.images = x.size(0);
  in.height = x.size(2);
  in.width = x.size(3);
  std::vector<ConvolutionShape> shapes;
  ConvolutionShape next = in;
  std::int64_t channels = x.size(1);
  for (const auto& layer : layers.chain) {
    shapes.push_back(shape_of(layer, next, channels));
    next.height = shapes.back().out_height();
    next.width = shapes.back().out_width();
    channels = shapes.back().out_channels;
  }
  if (layers.shortcut == Shortcut::kProjection) {
    shapes.push_back(shape_of(layers.projection, in, x.size(1)));
  }
  return shapes;
}

std::int64_t in_bytes(const ConvolutionShape& shape) {
  return shape.in_channels * shape.height * shape.width *
         (shape.type == ElementType::kBf16 ? 2 : 4);
}

std::int64_t out_bytes(const ConvolutionShape& shape) {
  return shape.out_channels * shape.out_height() * shape.out_width() *
         (shape.type == ElementType::kBf16 ? 2 : 4);
}

std::int64_t weight_bytes_of(const ConvolutionShape& shape) {
  return shape.kernel * shape.kernel * shape.in_channels * shape.out_channels *
         static_cast<std::int64_t>(sizeof(float));
}

// Multiply-adds of one pass of a layer over all its images.
std::int64_t multiply_adds_of(const ConvolutionShape& shape) {
  return shape.images * shape.out_channels * shape.out_height() * shape.out_width() *
         shape.in_channels * shape.kernel * shape.kernel;
}

std::shared_ptr<const Convolution> find_convolution_of(ConvolutionShape shape,
                                                       std::int64_t images) {
  shape.images = images;
  return find_convolution(shape);
}

// The number of images of a chunk: as many as keep the largest maps in the second cache, but few
// enough to give every thread some chunks, and, before both, no fewer than the gradients of the
// weights allow, of which every chunk has its own. A divisor of `per_part` where one is near.
std::int64_t chunk_size(const std::vector<ConvolutionShape>& shapes, std::int64_t parts) {
  constexpr std::int64_t kCacheBytes = 512 * 1024;           // of 1 MiB
  constexpr std::int64_t kGradientBytes = 32 * 1024 * 1024;  // of all chunks together
  constexpr std::int64_t kBusy = 16;                         // chunks for a few threads
  constexpr std::int64_t kFewest = 4;                        // chunks, however large the gradients
  std::int64_t map_bytes = 1;
  std::int64_t weight_bytes = 1;
  for (const auto& shape : shapes) {
    map_bytes = std::max({map_bytes, in_bytes(shape), out_bytes(shape)});
    weight_bytes = std::max(weight_bytes, weight_bytes_of(shape));
  }
  const std::int64_t per_part = shapes.front().images / parts;
  const std::int64_t threads = at::get_num_threads();
  // Images of a chunk when the batch is cut into so many.
  const auto images_for = [&](std::int64_t chunks) {
    const std::int64_t of_part = std::max<std::int64_t>(1, chunks / parts);
    return (per_part + of_part - 1) / of_part;
  };
  const std::int64_t wanted =
      std::min(kCacheBytes / map_bytes, images_for(std::max(kBusy, 2 * threads)));
  const std::int64_t least =
      images_for(std::max({kGradientBytes / weight_bytes, kFewest, threads}));
  const std::int64_t most = std::max({std::int64_t{1}, wanted, least});
  for (std::int64_t size = most; 2 * size > most; --size) {
    if (per_part % size == 0) {
      return size;
    }
  }
  return most;
}

// The chunks of all convolutions of a block.
std::vector<Chunk> chunks_of(const std::vector<ConvolutionShape>& shapes, std::int64_t parts) {
  const std::int64_t images = shapes.front().images;
  const std::int64_t size = chunk_size(shapes, parts);
  const std::int64_t rest = images / parts % size;
  const bool fits =
      rest == 0 || std::all_of(shapes.begin(), shapes.end(), [&](const auto& shape) {
        return find_convolution_of(shape, size)->shares_layouts(*find_convolution_of(shape, rest));
      });
  return cut(images, parts, fits ? size : images / parts);
}

// One convolution and its batch norm, for one call.
class Unit {
 public:
  Unit(const ConvNorm& layers,
       const ConvolutionShape& shape,
       const at::TensorOptions& options,
       const std::vector<Chunk>& chunks)
      : layers_(layers),
        weight_(layers.conv->weight.detach().contiguous(at::MemoryFormat::ChannelsLast)),
        gamma_(layers.norm->weight.detach().contiguous()),
        beta_(layers.norm->bias.detach().contiguous()),
        shape_(shape),
        chunks_(chunks),
        parts_(chunks.back().part + 1),
        raw_(at::empty({shape.images, shape.out_channels, shape.out_height(), shape.out_width()},
                       options.memory_format(at::MemoryFormat::ChannelsLast))),
        first_(find_convolution_of(shape, chunks.front().images)),
        last_(find_convolution_of(shape, chunks.back().images)),
        center_(static_cast<std::size_t>(chunk_count() * channels())),
        sums_(2 * center_.size()) {}

  // The rows of a chunk of the output.
  [[nodiscard]] RowShape rows(const Chunk& chunk) const {
    return {static_cast<std::size_t>(chunk.images * shape_.out_height() * shape_.out_width()),
            static_cast<std::size_t>(channels())};
  }

  // Bytes of a chunk's input and output.
  [[nodiscard]] std::size_t in_bytes_of(const Chunk& chunk) const {
    return static_cast<std::size_t>(chunk.images * in_bytes(shape_));
  }
  [[nodiscard]] std::size_t out_bytes_of(const Chunk& chunk) const {
    return static_cast<std::size_t>(chunk.images * out_bytes(shape_));
  }

  // The chunk's place in a tensor that is shaped as the unit's input, or its output.
  template <class T>
  [[nodiscard]] T* in_place(T* all, const Chunk& chunk) const {
    return all + chunk.first * in_bytes(shape_) / static_cast<std::int64_t>(sizeof(T));
  }
  template <class T>
  [[nodiscard]] T* out_place(T* all, const Chunk& chunk) const {
    return all + chunk.first * out_bytes(shape_) / static_cast<std::int64_t>(sizeof(T));
  }

  template <class T>
  [[nodiscard]] T* raw_of(const Chunk& chunk) const {
    return out_place(static_cast<T*>(raw_.data_ptr()), chunk);
  }

  [[nodiscard]] Affine affine(const Chunk& chunk) const {
    return {row_of(scale_, chunk), row_of(shift_, chunk)};
  }

  // An uninitialised tensor like the unit's output.
  [[nodiscard]] at::Tensor empty_like_output() const {
    return at::empty_like(raw_, at::MemoryFormat::ChannelsLast);
  }

  // Where the gradient of the unit's input goes, chunk by chunk: over the unit's output, of which
  // each chunk is needed for itself only, where both have one shape.
  [[nodiscard]] at::Tensor room_for_input_gradient() const {
    const std::array<std::int64_t, 4> in{shape_.images, shape_.in_channels, shape_.height,
                                         shape_.width};
    if (raw_.sizes() == at::IntArrayRef(in)) {
      return raw_;
    }
    return at::empty(in, raw_.options().memory_format(at::MemoryFormat::ChannelsLast));
  }

  void forget_output() { raw_.reset(); }

  void count(std::int64_t passes) const { multiply_adds += passes * multiply_adds_of(shape_); }

  void pack(bool for_backward);

  // This chunk of x to raw; in training also the sums that batch norm takes its statistics from.
  template <class T>
  void forward(std::size_t index, const T* x, bool training) {
    const Chunk& chunk = chunks_[index];
    T* const out = raw_of<T>(chunk);
    {
      const PartTimer timer(convolution_nanoseconds);
      convolution(chunk).forward(x, packed_.data(), out);
    }
    if (training) {
      const PartTimer timer(norm_nanoseconds);
      // Around the first pixel, so that little is lost when the mean is far from zero.
      float* const center = &center_[index * static_cast<std::size_t>(channels())];
      std::transform(out, out + channels(), center, [](T value) { return to_float(value); });
      sum_rows(out, rows(chunk), center, sums_of(0, index), sums_of(1, index));
    }
  }

  // Scale and shift of each part, from those sums or, in evaluation, from the running statistics.
  void finish_forward(bool training);

  // The sums that the gradients of batch norm are made of; gradient: of this chunk.
  template <class T>
  void sum_gradient(std::size_t index, const T* gradient, const Gate<T>& gate) {
    const PartTimer timer(norm_nanoseconds);
    const Chunk& chunk = chunks_[index];
    sum_gradient_rows(gradient, gate, raw_of<T>(chunk), rows(chunk), row_of(mean_, chunk),
                      sums_of(0, index), sums_of(1, index));
  }

  // The gradients of gamma and beta and the coefficients of that of raw, from those sums.
  void finish_sums();

  // This chunk of the gradient of raw, from that of the rectified output.
  template <class T>
  void gradient_of_raw(std::size_t index, const T* gradient, const Gate<T>& gate, T* out) const {
    const PartTimer timer(norm_nanoseconds);
    const Chunk& chunk = chunks_[index];
    normalize_gradient_rows(
        gradient, gate, raw_of<T>(chunk), rows(chunk),
        {row_of(of_gradient_, chunk), row_of(of_input_, chunk), row_of(constant_, chunk)}, out);
  }

  void begin_backward() {
    partial_ =
        at::empty({chunk_count(), static_cast<std::int64_t>(first_->gradient_count())}, at::kFloat);
  }

  void backward_weights(std::size_t index, const void* x, const void* gradient) const {
    const PartTimer timer(convolution_nanoseconds);
    convolution(chunks_[index])
        .backward_weights(
            x, gradient,
            partial_.data_ptr<float>() + static_cast<std::int64_t>(index) * partial_.size(1));
  }

  void backward_data(std::size_t index, const void* gradient, void* grad_x) const {
    const PartTimer timer(convolution_nanoseconds);
    convolution(chunks_[index]).backward_data(gradient, packed_.data(), grad_x);
  }

  // Adds the chunks' gradients of the weights up, in their order, and lets go of what has served.
  void finish_backward();

  // Of weight, gamma and beta.
  [[nodiscard]] std::array<at::Tensor, 3> gradients() const {
    return {grad_weight_, grad_gamma_, grad_beta_};
  }

 private:
  static float to_float(float value) { return value; }
  static float to_float(Bf16 value) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16U);
  }
  [[nodiscard]] std::int64_t channels() const { return shape_.out_channels; }
  [[nodiscard]] std::int64_t chunk_count() const {
    return static_cast<std::int64_t>(chunks_.size());
  }
  // Of a channel in a row, of a chunk or a part.
  [[nodiscard]] std::size_t place(std::int64_t row, std::int64_t channel) const {
    return static_cast<std::size_t>(row * channels() + channel);
  }
  // The constants of the part that a chunk belongs to.
  [[nodiscard]] const float* row_of(const std::vector<float>& constants, const Chunk& chunk) const {
    return &constants[static_cast<std::size_t>(chunk.part * channels())];
  }
  [[nodiscard]] double* sums_of(std::size_t which, std::size_t index) {
    return &sums_[(which * chunks_.size() + index) * static_cast<std::size_t>(channels())];
  }
  // All parts have the same chunks; only the last of a part may be smaller.
  [[nodiscard]] const Convolution& convolution(const Chunk& chunk) const {
    return chunk.images == first_->shape().images ? *first_ : *last_;
  }
  [[nodiscard]] at::Tensor statistics_sums();
  void use_running_statistics();
  void update_running(std::int64_t channel, double mean, double variance, double pixels) const;

  ConvNorm layers_;
  at::Tensor weight_, gamma_, beta_;
  ConvolutionShape shape_;
  const std::vector<Chunk>& chunks_;
  std::int64_t parts_;
  at::Tensor raw_;                            // [N, C', H', W']: output of the convolution
  std::shared_ptr<const Convolution> first_;  // of as many images as the first chunk has
  std::shared_ptr<const Convolution> last_;   // of as many as the last chunk has
  AlignedVector<std::byte> packed_;
  std::vector<float> center_;                             // [chunks, C']
  std::vector<double> sums_;                              // [2, chunks, C']
  std::vector<double> pixels_;                            // [parts]: that statistics are of
  std::vector<float> mean_, inverse_std_;                 // [parts, C']
  std::vector<float> scale_, shift_;                      // [parts, C']
  std::vector<float> of_gradient_, of_input_, constant_;  // [parts, C']
  at::Tensor partial_;                                    // [chunks, weights] float32
  at::Tensor grad_weight_, grad_gamma_, grad_beta_;
};

void Unit::pack(bool for_backward) {
  packed_.resize(for_backward ? first_->backward_weight_bytes() : first_->forward_weight_bytes());
  if (for_backward) {
    first_->pack_for_backward(weight_.data_ptr<float>(), packed_.data());
  } else {
    first_->pack_for_forward(weight_.data_ptr<float>(), packed_.data());
  }
}

void Unit::use_running_statistics() {
  const auto scale = gamma_.div(layers_.norm->running_var.add(layers_.norm->options.eps()).sqrt());
  const auto shift = beta_.sub(layers_.norm->running_mean.mul(scale));
  const auto* const scales = scale.data_ptr<float>();
  const auto* const shifts = shift.data_ptr<float>();
  scale_.assign(scales, scales + channels());
  shift_.assign(shifts, shifts + channels());
}

// [3, parts, C']: pixels, sum and sum of squares around zero, from sums around each chunk's own
// center.
at::Tensor Unit::statistics_sums() {
  auto total = at::zeros({3, parts_, channels()}, at::kDouble);
  auto sums = total.accessor<double, 3>();
  for (std::size_t i = 0; i < chunks_.size(); ++i) {
    const auto n = static_cast<double>(rows(chunks_[i]).rows);
    const double* const around = sums_of(0, i);
    const double* const squares = sums_of(1, i);
    for (std::int64_t c = 0; c < channels(); ++c) {
      const double center = center_[place(static_cast<std::int64_t>(i), c)];
      sums[0][chunks_[i].part][c] += n;
      sums[1][chunks_[i].part][c] += around[c] + n * center;
      sums[2][chunks_[i].part][c] += squares[c] + center * (2.0 * around[c] + n * center);
    }
  }
  return total;
}

void Unit::finish_forward(bool training) {
  if (!training) {
    use_running_statistics();
    return;
  }
  const auto total = statistics_sums();
  layers_.norm->communicator().all_reduce_sum(total);
  auto sums = total.accessor<double, 3>();
  const auto* const gamma = gamma_.data_ptr<float>();
  const auto* const beta = beta_.data_ptr<float>();
  for (std::int64_t part = 0; part < parts_; ++part) {
    pixels_.push_back(sums[0][part][0]);
    for (std::int64_t c = 0; c < channels(); ++c) {
      const double mean = sums[1][part][c] / pixels_.back();
      const double variance = std::max(sums[2][part][c] / pixels_.back() - mean * mean, 0.0);
      const double inverse_std = 1.0 / std::sqrt(variance + layers_.norm->options.eps());
      mean_.push_back(static_cast<float>(mean));
      inverse_std_.push_back(static_cast<float>(inverse_std));
      scale_.push_back(static_cast<float>(gamma[c] * inverse_std));
      shift_.push_back(static_cast<float>(beta[c] - mean * gamma[c] * inverse_std));
      update_running(c, mean, variance, pixels_.back());
    }
  }
  auto tracked = layers_.norm->num_batches_tracked;
  tracked.add_(parts_);
}

void Unit::update_running(std::int64_t channel, double mean, double variance, double pixels) const {
  const double momentum = layers_.norm->options.momentum().value();
  const auto update = [momentum](float& running, double value) {
    running = static_cast<float>((1.0 - momentum) * running + momentum * value);
  };
  update(layers_.norm->running_mean.data_ptr<float>()[channel], mean);
  const double unbiased = pixels > 1.0 ? pixels / (pixels - 1.0) : 1.0;
  update(layers_.norm->running_var.data_ptr<float>()[channel], variance * unbiased);
}

void Unit::finish_sums() {
  const auto total = at::zeros({2, parts_, channels()}, at::kDouble);
  grad_gamma_ = at::zeros({channels()}, at::kFloat);
  grad_beta_ = at::zeros({channels()}, at::kFloat);
  auto sums = total.accessor<double, 3>();
  for (std::size_t i = 0; i < chunks_.size(); ++i) {
    for (std::int64_t c = 0; c < channels(); ++c) {
      sums[0][chunks_[i].part][c] += sums_of(0, i)[c];
      sums[1][chunks_[i].part][c] += sums_of(1, i)[c];
    }
  }
  for (std::int64_t c = 0; c < channels(); ++c) {
    double gamma = 0.0;
    double beta = 0.0;
    for (std::int64_t part = 0; part < parts_; ++part) {
      gamma += sums[1][part][c] * inverse_std_[place(part, c)];
      beta += sums[0][part][c];
    }
    grad_gamma_.data_ptr<float>()[c] = static_cast<float>(gamma);
    grad_beta_.data_ptr<float>()[c] = static_cast<float>(beta);
  }
  layers_.norm->communicator().all_reduce_sum(total);
  // d raw = gamma / std * (g - mean(g) - (raw - mean) / std^2 * mean(g * (raw - mean)))
  const auto* const gamma = gamma_.data_ptr<float>();
  for (std::int64_t part = 0; part < parts_; ++part) {
    const double pixels = pixels_[static_cast<std::size_t>(part)];
    for (std::int64_t c = 0; c < channels(); ++c) {
      const double inverse_std = inverse_std_[place(part, c)];
      const double of_gradient = gamma[c] * inverse_std;
      const double of_input = -of_gradient * inverse_std * inverse_std * sums[1][part][c] / pixels;
      of_gradient_.push_back(static_cast<float>(of_gradient));
      of_input_.push_back(static_cast<float>(of_input));
      constant_.push_back(static_cast<float>(-of_gradient * sums[0][part][c] / pixels -
                                             of_input * mean_[place(part, c)]));
    }
  }
}

void Unit::finish_backward() {
  constexpr std::int64_t kSlice = 16384;
  const std::int64_t size = partial_.size(1);
  float* const sums = partial_.data_ptr<float>();
  run_on_team(static_cast<std::size_t>((size + kSlice - 1) / kSlice), [&](std::size_t slice) {
    const PartTimer timer(convolution_nanoseconds);
    const auto begin = static_cast<std::int64_t>(slice) * kSlice;
    const auto end = std::min(begin + kSlice, size);
    for (std::int64_t chunk = 1; chunk < chunk_count(); ++chunk) {
      const float* const more = sums + chunk * size;
      for (std::int64_t i = begin; i < end; ++i) {
        sums[i] += more[i];
      }
    }
  });
  grad_weight_ = at::empty_like(weight_, at::MemoryFormat::ChannelsLast);
  first_->unpack_gradient(sums, grad_weight_.data_ptr<float>());
  partial_.reset();
  raw_.reset();
}

// A block of one call, from its forward to its backward pass.
class BlockCall {
 public:
  BlockCall(const at::Tensor& x, const BlockLayers& layers, std::int64_t parts)
      : x_(x.detach().contiguous(at::MemoryFormat::ChannelsLast)),
        shortcut_(layers.shortcut),
        training_(layers.chain.front().norm->is_training()) {
    const auto shapes = shapes_of(x_, layers);
    chunks_ = chunks_of(shapes, training_ ? parts : 1);
    for (std::size_t k = 0; k < shapes.size(); ++k) {
      const auto& layer = k < layers.chain.size() ? layers.chain[k] : layers.projection;
      units_.emplace_back(layer, shapes[k], x_.options(), chunks_);
    }
    chain_ = layers.chain.size();
  }
  ~BlockCall() = default;
  BlockCall(const BlockCall&) = delete;  // units refer to chunks_
  BlockCall& operator=(const BlockCall&) = delete;
  BlockCall(BlockCall&&) = delete;
  BlockCall& operator=(BlockCall&&) = delete;

  // keep  whether backward() will follow
  at::Tensor forward(bool keep) {
    return x_.scalar_type() == at::kBFloat16 ? forward_as<Bf16>(keep) : forward_as<float>(keep);
  }

  // Gradients of x, undefined unless wanted, then of weight, gamma and beta of each unit.
  std::vector<at::Tensor> backward(const at::Tensor& grad_y, bool wants_grad_x) {
    return x_.scalar_type() == at::kBFloat16 ? backward_as<Bf16>(grad_y, wants_grad_x)
                                             : backward_as<float>(grad_y, wants_grad_x);
  }

 private:
  template <class T>
  at::Tensor forward_as(bool keep);
  template <class T>
  void unit_forward(std::size_t k);
  template <class T>
  void join();
  template <class T>
  std::vector<at::Tensor> backward_as(const at::Tensor& grad_y, bool wants_grad_x);
  template <class T>
  void sum_last_gradient(const T* grad_y);
  template <class T>
  void unit_backward(std::size_t k, const T* gradient, T* grad_in);
  template <class T>
  void add_shortcut_gradient(const T* grad_y, T* grad_x);
  template <class T>
  void projection_backward(const T* grad_y, T* grad_x);

  Unit& last() { return units_[chain_ - 1]; }
  Unit& projection() { return units_.back(); }
  template <class T>
  [[nodiscard]] const T* x_data() const {
    return static_cast<const T*>(x_.data_ptr());
  }
  template <class T>
  [[nodiscard]] T* y_data() const {
    return static_cast<T*>(y_.data_ptr());
  }

  // The input of unit k for one chunk: of the block, or made in the thread's room.
  template <class T>
  [[nodiscard]] const T* input_of(std::size_t k, const Chunk& chunk) const {
    if (k == 0 || k == chain_) {
      return units_[k].in_place(x_data<T>(), chunk);
    }
    const PartTimer timer(norm_nanoseconds);
    const Unit& before = units_[k - 1];
    T* const in = static_cast<T*>(room(kInput, before.out_bytes_of(chunk)));
    normalize_rows(before.raw_of<T>(chunk), before.rows(chunk), before.affine(chunk), in);
    return in;
  }

  // Where the ReLU behind unit k let the gradient through.
  template <class T>
  [[nodiscard]] Gate<T> gate_of(std::size_t k, const Chunk& chunk) const {
    if (k + 1 >= chain_) {
      return {.output = units_[k].out_place(y_data<T>(), chunk)};
    }
    return {.input = units_[k].raw_of<T>(chunk), .affine = units_[k].affine(chunk)};
  }

  at::Tensor x_, y_;
  Shortcut shortcut_;
  bool training_;
  std::vector<Chunk> chunks_;
  std::vector<Unit> units_;  // of the chain, then of the projection
  std::size_t chain_ = 0;
};

template <class T>
void BlockCall::unit_forward(std::size_t k) {
  Unit& unit = units_[k];
  run_on_team(chunks_.size(),
              [&](std::size_t i) { unit.forward<T>(i, input_of<T>(k, chunks_[i]), training_); });
  unit.count(1);
  unit.finish_forward(training_);
}

template <class T>
void BlockCall::join() {
  y_ = last().empty_like_output();
  run_on_team(chunks_.size(), [&](std::size_t i) {
    const PartTimer timer(norm_nanoseconds);
    const Chunk& chunk = chunks_[i];
    const T* const raw = last().raw_of<T>(chunk);
    T* const out = last().out_place(y_data<T>(), chunk);
    const auto rows = last().rows(chunk);
    const auto affine = last().affine(chunk);
    if (shortcut_ == Shortcut::kNone) {
      normalize_rows(raw, rows, affine, out);
    } else if (shortcut_ == Shortcut::kInput) {
      join_rows(raw, rows, affine, input_of<T>(0, chunk), {}, out);
    } else {
      join_rows(raw, rows, affine, static_cast<const T*>(projection().raw_of<T>(chunk)),
                projection().affine(chunk), out);
    }
  });
}

template <class T>
at::Tensor BlockCall::forward_as(bool keep) {
  RECORD_FUNCTION("viewfold::fused_forward", std::vector<c10::IValue>());
  run_on_team(units_.size(), [this](std::size_t k) { units_[k].pack(false); });
  for (std::size_t k = 0; k < units_.size(); ++k) {
    unit_forward<T>(k);
    if (!keep && k > 0 && k < chain_) {
      units_[k - 1].forget_output();
    }
  }
  join<T>();
  at::Tensor y = y_;
  y_ = y.detach();  // what is kept must not keep the graph that keeps it
  return y;
}

template <class T>
void BlockCall::sum_last_gradient(const T* grad_y) {
  run_on_team(chunks_.size(), [&](std::size_t i) {
    const Chunk& chunk = chunks_[i];
    const auto gate = gate_of<T>(chain_ - 1, chunk);
    const T* const gradient = last().out_place(grad_y, chunk);
    last().sum_gradient<T>(i, gradient, gate);
    if (shortcut_ == Shortcut::kProjection) {
      projection().sum_gradient<T>(i, gradient, gate);
    }
  });
  last().finish_sums();
  if (shortcut_ == Shortcut::kProjection) {
    projection().finish_sums();
  }
}

// gradient  of the unit's rectified output; of the block's, for the last
// grad_in   of the unit's input; null where nobody wants it
template <class T>
void BlockCall::unit_backward(std::size_t k, const T* gradient, T* grad_in) {
  Unit& unit = units_[k];
  unit.begin_backward();
  run_on_team(chunks_.size(), [&](std::size_t i) {
    const Chunk& chunk = chunks_[i];
    T* const grad_raw = static_cast<T*>(room(kGradient, unit.out_bytes_of(chunk)));
    unit.gradient_of_raw<T>(i, unit.out_place(gradient, chunk), gate_of<T>(k, chunk), grad_raw);
    unit.backward_weights(i, input_of<T>(k, chunk), grad_raw);
    if (grad_in == nullptr) {
      return;
    }
    T* const out = unit.in_place(grad_in, chunk);
    unit.backward_data(i, grad_raw, out);
    if (k > 0) {
      units_[k - 1].sum_gradient<T>(i, out, gate_of<T>(k - 1, chunk));
    }
  });
  unit.count(grad_in == nullptr ? 1 : 2);
  unit.finish_backward();
  if (k > 0) {
    units_[k - 1].finish_sums();
  }
}

template <class T>
void BlockCall::add_shortcut_gradient(const T* grad_y, T* grad_x) {
  run_on_team(chunks_.size(), [&](std::size_t i) {
    const PartTimer timer(norm_nanoseconds);
    const Chunk& chunk = chunks_[i];
    add_gated_rows(last().out_place(grad_y, chunk), last().out_place<const T>(y_data<T>(), chunk),
                   last().rows(chunk), last().out_place(grad_x, chunk));
  });
}

// Adds to grad_x, which may be null.
template <class T>
void BlockCall::projection_backward(const T* grad_y, T* grad_x) {
  Unit& unit = projection();
  unit.begin_backward();
  run_on_team(chunks_.size(), [&](std::size_t i) {
    const Chunk& chunk = chunks_[i];
    T* const grad_raw = static_cast<T*>(room(kGradient, unit.out_bytes_of(chunk)));
    unit.gradient_of_raw<T>(i, unit.out_place(grad_y, chunk), gate_of<T>(chain_ - 1, chunk),
                            grad_raw);
    unit.backward_weights(i, input_of<T>(chain_, chunk), grad_raw);
    if (grad_x == nullptr) {
      return;
    }
    T* const more = static_cast<T*>(room(kOther, unit.in_bytes_of(chunk)));
    unit.backward_data(i, grad_raw, more);
    const PartTimer timer(norm_nanoseconds);
    add_rows<T>(more, {unit.in_bytes_of(chunk) / sizeof(T) / kChannelStep, kChannelStep},
                unit.in_place(grad_x, chunk));
  });
  unit.count(grad_x == nullptr ? 1 : 2);
  unit.finish_backward();
}

template <class T>
std::vector<at::Tensor> BlockCall::backward_as(const at::Tensor& grad_y, bool wants_grad_x) {
  RECORD_FUNCTION("viewfold::fused_backward", std::vector<c10::IValue>());
  const auto* const grad_y_data = static_cast<const T*>(grad_y.data_ptr());
  run_on_team(units_.size(), [this](std::size_t k) { units_[k].pack(true); });
  sum_last_gradient<T>(grad_y_data);
  at::Tensor grad = grad_y;  // of the output of unit k
  for (std::size_t k = chain_; k-- > 0;) {
    at::Tensor grad_in;
    if (k > 0 || wants_grad_x) {
      grad_in = units_[k].room_for_input_gradient();
    }
    unit_backward<T>(k, static_cast<const T*>(grad.data_ptr()),
                     grad_in.defined() ? static_cast<T*>(grad_in.data_ptr()) : nullptr);
    grad = grad_in;
  }
  T* const grad_x = wants_grad_x ? static_cast<T*>(grad.data_ptr()) : nullptr;
  if (shortcut_ == Shortcut::kProjection) {
    projection_backward<T>(grad_y_data, grad_x);
  } else if (shortcut_ == Shortcut::kInput && grad_x != nullptr) {
    add_shortcut_gradient<T>(grad_y_data, grad_x);
  }
  std::vector<at::Tensor> gradients{grad};
  for (const auto& unit : units_) {
    const auto of_unit = unit.gradients();
    gradients.insert(gradients.end(), of_unit.begin(), of_unit.end());
  }
  return gradients;
}

// The step of the graph.
class BlockNode : public torch::autograd::Node {
 public:
  explicit BlockNode(std::unique_ptr<BlockCall> call, at::ScalarType type)
      : call_(std::move(call)),
        type_(type) {}

  torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override {
    check(!at::GradMode::is_enabled(), "a fused block has no second derivative");
    if (!call_) {
      throw ContractViolation("a fused block can be differentiated once");
    }
    if (!grads.front().defined()) {
      return torch::autograd::variable_list(num_outputs());
    }
    const auto grad_y = grads.front().to(type_).contiguous(at::MemoryFormat::ChannelsLast);
    grads.clear();
    return call_->backward(grad_y, task_should_compute_output(0));
  }

  void release_variables() override { call_.reset(); }
  [[nodiscard]] std::string name() const override { return "FusedBlockBackward"; }

 private:
  std::unique_ptr<BlockCall> call_;
  at::ScalarType type_;
};

std::vector<at::Tensor> variables_of(const at::Tensor& x, const BlockLayers& layers) {
  std::vector<at::Tensor> variables{x};
  const auto add = [&variables](const ConvNorm& layer) {
    variables.insert(variables.end(), {layer.conv->weight, layer.norm->weight, layer.norm->bias});
  };
  std::for_each(layers.chain.begin(), layers.chain.end(), add);
  if (layers.shortcut == Shortcut::kProjection) {
    add(layers.projection);
  }
  return variables;
}

bool supports_layer(const ConvNorm& layer, bool training) {
  const auto& conv = layer.conv->options;
  const auto& norm = layer.norm->options;
  const auto* const padding = c10::get_if<torch::ExpandingArray<2>>(&conv.padding());
  const auto square = [](const torch::ExpandingArray<2>& sides) {
    return sides->at(0) == sides->at(1);
  };
  return conv.out_channels() % static_cast<std::int64_t>(kChannelStep) == 0 && !conv.bias() &&
         conv.groups() == 1 && square(conv.kernel_size()) && square(conv.stride()) &&
         padding != nullptr && square(*padding) && conv.dilation()->at(0) == 1 &&
         conv.dilation()->at(1) == 1 && norm.affine() && norm.track_running_stats() &&
         norm.momentum().has_value() && layer.norm->is_training() == training &&
         layer.conv->weight.scalar_type() == at::kFloat && layer.conv->weight.device().is_cpu() &&
         layer.norm->weight.scalar_type() == at::kFloat;
}

// Whether each layer takes as many channels as come to it.
bool has_fitting_channels(std::int64_t channels, const BlockLayers& layers) {
  const bool projects = layers.shortcut == Shortcut::kProjection;
  if (projects && layers.projection.conv->options.in_channels() != channels) {
    return false;
  }
  return std::all_of(layers.chain.begin(), layers.chain.end(), [&](const ConvNorm& layer) {
    const bool fits = layer.conv->options.in_channels() == channels;
    channels = layer.conv->options.out_channels();
    return fits;
  });
}

}  // namespace

bool supports(const at::Tensor& x, const BlockLayers& layers) {
  const bool training = layers.chain.front().norm->is_training();
  const auto fits = [training](const ConvNorm& layer) { return supports_layer(layer, training); };
  return x.device().is_cpu() && x.dim() == 4 && x.size(0) > 0 &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         (training || !at::GradMode::is_enabled()) && has_fitting_channels(x.size(1), layers) &&
         std::all_of(layers.chain.begin(), layers.chain.end(), fits) &&
         (layers.shortcut != Shortcut::kProjection || fits(layers.projection)) &&
         (layers.shortcut == Shortcut::kNone ||
          x.size(1) % static_cast<std::int64_t>(kChannelStep) == 0);
}

at::Tensor block_forward(const at::Tensor& x, const BlockLayers& layers, std::int64_t parts) {
  check(supports(x, layers), "this block cannot be computed in one step");
  check(parts >= 1 && x.size(0) % parts == 0, "the parts of a batch are of one size");
  auto call = std::make_unique<BlockCall>(x, layers, parts);
  const auto variables = variables_of(x, layers);
  const bool keep = torch::autograd::compute_requires_grad(variables);
  at::Tensor y;
  {
    const at::NoGradGuard no_grad;
    y = call->forward(keep);
  }
  if (!keep) {
    return y;
  }
  const std::shared_ptr<BlockNode> node(new BlockNode(std::move(call), x.scalar_type()),
                                        torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(variables));
  torch::autograd::set_history(y, node);
  return y;
}

FusedGuard::FusedGuard(bool enabled) : before_(fused_enabled) {
  fused_enabled = enabled;
}

FusedGuard::~FusedGuard() {
  fused_enabled = before_;
}

bool enabled() {
  return fused_enabled;
}

Totals totals() {
  constexpr double kNano = 1e-9;
  return {.convolution_seconds = static_cast<double>(convolution_nanoseconds) * kNano,
          .norm_seconds = static_cast<double>(norm_nanoseconds) * kNano,
          .multiply_adds = static_cast<double>(multiply_adds)};
}

}  // namespace viewfold::fused
