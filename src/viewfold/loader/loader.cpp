// Implements the loader: each worker makes whole batches, the trainer takes them in order.
#include "viewfold/loader/loader.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include <fmt/format.h>

#include "viewfold/augment/annotations.hpp"
#include "viewfold/augment/sample_views.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {

std::int64_t batches_per_epoch(std::size_t dataset_size, std::int64_t batch_size) {
  const auto batches = static_cast<std::int64_t>(dataset_size) / batch_size;
  if (batches < 1) {
    throw UsageError(
        fmt::format("{} images do not fill one batch of {} (use --train.batch_size {})",
                    dataset_size, batch_size, std::max<std::size_t>(2, dataset_size / 2)));
  }
  return batches;
}

std::uint64_t batch_bytes(const ViewPlan& plan, const LoaderOptions& options) {
  std::int64_t views = 0;
  std::int64_t values = 0;
  for (const auto& group : plan.groups) {
    views += group.views;
    values += group.views * options.bands * group.size * group.size;
  }
  const std::size_t sample =
      static_cast<std::size_t>(values) * c10::elementSize(options.type) +
      static_cast<std::size_t>(views) * plan.ops_per_view() * sizeof(OpRecord) +
      sizeof(std::uint32_t);
  return static_cast<std::uint64_t>(options.batch_size / options.shards) * sample;
}

namespace {

// Batches that may be in work or waiting. Those in work count, too: fewer than threads would leave
// some of them idle.
std::int64_t batches_ahead(const ViewPlan& plan, const LoaderOptions& options) {
  const auto wanted = static_cast<std::uint64_t>(std::max({1, options.prefetch, options.threads}));
  const std::uint64_t fitting = options.memory_budget / batch_bytes(plan, options);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::min(wanted, fitting)));
}

// What a worker keeps from one sample to the next.
struct Workplace {
  Image decoded;
  std::vector<OpRecord> records;  // of the views of the sample
  Annotations known;              // of the sample, where the data set has any
  Canvas canvas;
  std::vector<Image> substitutes;  // of a batch, in the order of its views; empty: a view's own
};

}  // namespace

struct Loader::State {
  std::shared_ptr<const Dataset> dataset;
  ViewPlan plan;
  std::optional<Normalizer> normalizer;
  LoaderOptions options;
  std::int64_t ahead = 1;  // batches

  mutable std::mutex mutex;
  std::condition_variable batch_ready;
  std::condition_variable room_left;
  std::map<std::int64_t, ViewBatch> finished;       // by step
  std::int64_t next_to_make = 0;                    // step
  std::int64_t next_to_take = 0;                    // step
  std::map<std::uint32_t, std::string> bad_images;  // index -> reason
  std::exception_ptr failure;
  bool stopping = false;
  double waited = 0.0;
  // The order of the epoch in work; a worker that is one epoch behind makes its own copy.
  std::int64_t order_epoch = -1;
  std::shared_ptr<const std::vector<std::uint32_t>> order;

  std::vector<std::thread> workers;

  void work();
  std::shared_ptr<const std::vector<std::uint32_t>> order_of(std::int64_t epoch);
  ViewBatch make_batch(std::int64_t step, Workplace& place);
  DrawnSample read_sample(RngKey& key, Workplace& place);
  void draw_substitutes(ViewBatch& batch, Workplace& place) const;
  void make_substitute(const Image& substitute,
                       const RngKey& key,
                       std::span<OpRecord> records,
                       Canvas& canvas) const;
  void write_view(const Image& view, const at::Tensor& group, std::size_t row) const;
  void make_sample(ViewBatch& batch, std::size_t position, Workplace& place);
  void move_known(ViewBatch& batch,
                  std::size_t position,
                  const Annotations& known,
                  ImageSize size) const;
};

std::shared_ptr<const std::vector<std::uint32_t>> Loader::State::order_of(std::int64_t epoch) {
  const std::scoped_lock lock(mutex);
  if (order_epoch != epoch) {
    Rng rng({.seed = options.seed, .stream = "order", .epoch = static_cast<std::uint32_t>(epoch)});
    order = std::make_shared<const std::vector<std::uint32_t>>(
        rng.permutation(static_cast<std::uint32_t>(dataset->size())));
    order_epoch = epoch;
  }
  return order;
}

// Reads an image and draws its views; an unreadable one is replaced by its successor while few
// enough are bad.
DrawnSample Loader::State::read_sample(RngKey& key, Workplace& place) {
  const SampleReading reading{static_cast<int>(options.bands), options.reduce_jpeg};
  while (true) {
    try {
      if (dataset->has_annotations()) {
        place.known = dataset->annotations(key.sample);
      }
      return read_and_draw({*dataset, reading, plan, key}, place.records, place.decoded);
    } catch (const DataError& error) {
      const std::scoped_lock lock(mutex);
      bad_images.emplace(key.sample, error.what());
      const bool none_is_good = bad_images.size() == dataset->size();
      if (none_is_good || static_cast<double>(bad_images.size()) >
                              options.max_bad_fraction * static_cast<double>(dataset->size())) {
        throw DataError(fmt::format(
            "{} ({} of {} images are unreadable, data.max_bad_fraction allows {:g} of "
            "them: repair or remove them, or raise it)",
            error.what(), bad_images.size(), dataset->size(), options.max_bad_fraction));
      }
    }
    key.sample = (key.sample + 1) % static_cast<std::uint32_t>(dataset->size());
  }
}

// Normalised values of a view, as picture `row` of the tensor of its group.
void Loader::State::write_view(const Image& view, const at::Tensor& group, std::size_t row) const {
  const std::size_t values = view.value_count();
  if (options.type == at::kBFloat16) {
    normalizer->write(view, std::span(group.data_ptr<at::BFloat16>() + row * values, values));
  } else {
    normalizer->write(view, std::span(group.data_ptr<float>() + row * values, values));
  }
}

void Loader::State::make_sample(ViewBatch& batch, std::size_t position, Workplace& place) {
  RngKey key{.seed = options.seed,
             .stream = "view",
             .epoch = static_cast<std::uint32_t>(batch.epoch),
             .sample = batch.indices[position]};
  const std::size_t ops = batch.ops_per_view;
  place.records.resize(static_cast<std::size_t>(batch.views()) * ops);
  const DrawnSample source = read_sample(key, place);
  const bool is_another = batch.indices[position] != key.sample;  // what was drawn is not its own
  batch.indices[position] = key.sample;
  const auto n = static_cast<std::size_t>(batch.size());
  std::size_t view = 0;
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    for (std::int64_t i = 0; i < plan.groups[g].views; ++i, ++view) {
      const auto records = std::span(place.records).subspan(view * ops, ops);
      const std::size_t place_in_batch = view * n + position;
      const std::size_t row = static_cast<std::size_t>(i) * n + position;
      if (is_another && !batch.substituted.empty()) {
        batch.substituted[place_in_batch] = 0;
      }
      if (!batch.substituted.empty() && batch.substituted[place_in_batch] != 0) {
        key.view = static_cast<std::uint16_t>(view);
        make_substitute(place.substitutes[place_in_batch], key, records, place.canvas);
      } else {
        apply_view(plan, static_cast<std::int64_t>(view), records, source.image, place.canvas);
      }
      write_view(place.canvas.image(), batch.groups[g], row);
      std::ranges::copy(records, &batch.records[place_in_batch * ops]);
    }
  }
  if (!batch.annotations.empty()) {
    move_known(batch, position, place.known, source.size);
  }
}

// What the views of the batch are made of instead of their samples' own images.
void Loader::State::draw_substitutes(ViewBatch& batch, Workplace& place) const {
  place.substitutes.clear();
  if (!options.substitutes) {
    return;
  }
  const std::int64_t per_epoch = batches_per_epoch(dataset->size(), options.batch_size);
  const auto n = static_cast<std::size_t>(batch.size());
  place.substitutes.resize(static_cast<std::size_t>(batch.views()) * n);
  for (std::int64_t view = 0; view < batch.views(); ++view) {
    options.substitutes->draw(
        {.seed = options.seed,
         .epoch = batch.epoch,
         .progress = static_cast<double>(batch.epoch * per_epoch) /
                     static_cast<double>(options.total_steps),
         .view = view,
         .samples = batch.indices},
        std::span(place.substitutes).subspan(static_cast<std::size_t>(view) * n, n));
  }
  batch.substituted.resize(place.substitutes.size());
  std::ranges::transform(place.substitutes, batch.substituted.begin(), [](const Image& image) {
    return static_cast<std::uint8_t>(image.empty() ? 0 : 1);
  });
}

// Makes view key.view of another image than its sample's own.
void Loader::State::make_substitute(const Image& substitute,
                                    const RngKey& key,
                                    std::span<OpRecord> records,
                                    Canvas& canvas) const {
  if (options.substitutes->is_finished()) {
    std::ranges::fill(records, OpRecord{});
    make_finished_view(plan, key.view, substitute, canvas);
  } else {
    make_substitute_view(plan, key, substitute, records, canvas);
  }
}

// Moves what is known about places in a sample of this size into all its views.
void Loader::State::move_known(ViewBatch& batch,
                               std::size_t position,
                               const Annotations& known,
                               ImageSize size) const {
  const auto i = static_cast<std::int64_t>(position);
  for (std::int64_t v = 0; v < batch.views(); ++v) {
    if (!batch.substituted.empty() &&
        batch.substituted[static_cast<std::size_t>(v * batch.size() + i)] != 0) {
      continue;  // nothing is known of the other image
    }
    const Pipeline& made_by = plan.pipeline_of(v);
    const auto records = batch.records_of(v, i).first(made_by.ops().size());
    batch.annotations[static_cast<std::size_t>(v * batch.size() + i)] =
        move_annotations(made_by, records, known, size);
  }
}

ViewBatch Loader::State::make_batch(std::int64_t step, Workplace& place) {
  const std::int64_t per_epoch = batches_per_epoch(dataset->size(), options.batch_size);
  ViewBatch batch;
  batch.epoch = step / per_epoch;
  const auto epoch_order = order_of(batch.epoch);
  const std::int64_t samples = options.batch_size / options.shards;
  const auto first =
      epoch_order->begin() + (step % per_epoch) * options.batch_size + options.shard * samples;
  batch.indices.assign(first, first + samples);
  for (const auto& group : plan.groups) {
    batch.groups.push_back(empty_channels_last(group.views * samples, options.bands, group.size,
                                               group.size, options.type));
  }
  batch.ops_per_view = plan.ops_per_view();
  batch.records.resize(static_cast<std::size_t>(batch.views() * samples) * batch.ops_per_view);
  if (dataset->has_annotations()) {
    batch.annotations.resize(static_cast<std::size_t>(batch.views() * samples));
  }
  draw_substitutes(batch, place);
  for (std::size_t i = 0; i < batch.indices.size(); ++i) {
    {
      const std::scoped_lock lock(mutex);
      if (stopping) {
        return {};
      }
    }
    make_sample(batch, i, place);
  }
  return batch;
}

void Loader::State::work() {
  Workplace place;
  while (true) {
    std::int64_t step = 0;
    {
      std::unique_lock lock(mutex);
      room_left.wait(lock, [this] {
        return stopping || next_to_make >= options.total_steps ||
               next_to_make < next_to_take + ahead;
      });
      if (stopping || next_to_make >= options.total_steps) {
        return;
      }
      step = next_to_make++;
    }
    try {
      ViewBatch batch = make_batch(step, place);
      const std::scoped_lock lock(mutex);
      finished.emplace(step, std::move(batch));
    } catch (...) {
      const std::scoped_lock lock(mutex);
      if (failure == nullptr) {
        failure = std::current_exception();
      }
      stopping = true;
    }
    batch_ready.notify_all();
    room_left.notify_all();
  }
}

Loader::Loader(std::shared_ptr<const Dataset> dataset,
               ViewPlan plan,
               const Normalization& normalization,
               const LoaderOptions& options)
    : state_(std::make_unique<State>()) {
  (void)batches_per_epoch(dataset->size(), options.batch_size);
  check(options.shards >= 1 && options.batch_size % options.shards == 0 && options.shard >= 0 &&
            options.shard < options.shards,
        "shards divide a batch into equal runs");
  check(options.type == at::kFloat || options.type == at::kBFloat16,
        "views are float32 or bfloat16");
  state_->dataset = std::move(dataset);
  state_->plan = std::move(plan);
  state_->normalizer.emplace(normalization);
  state_->options = options;
  state_->ahead = batches_ahead(state_->plan, options);
  state_->next_to_make = options.first_step;
  state_->next_to_take = options.first_step;
  for (int t = 0; t < std::max(1, options.threads); ++t) {
    state_->workers.emplace_back([state = state_.get()] { state->work(); });
  }
}

Loader::~Loader() {
  {
    const std::scoped_lock lock(state_->mutex);
    state_->stopping = true;
  }
  state_->room_left.notify_all();
  for (auto& worker : state_->workers) {
    worker.join();
  }
}

ViewBatch Loader::next() {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(state_->mutex);
  check(state_->next_to_take < state_->options.total_steps, "the loader has no more batches");
  state_->batch_ready.wait(lock, [this] {
    return state_->failure != nullptr || state_->finished.contains(state_->next_to_take);
  });
  state_->waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (state_->failure != nullptr) {
    std::rethrow_exception(state_->failure);
  }
  auto node = state_->finished.extract(state_->next_to_take++);
  lock.unlock();
  state_->room_left.notify_all();
  return std::move(node.mapped());
}

double Loader::waited_seconds() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->waited;
}

std::vector<std::string> Loader::left_out() const {
  const std::scoped_lock lock(state_->mutex);
  std::vector<std::string> lines;
  for (const auto& [index, reason] : state_->bad_images) {
    lines.push_back(reason);
  }
  return lines;
}

}  // namespace viewfold
