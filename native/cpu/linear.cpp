// Linear layers over the thread pool: who computes which panels, for which tokens.
#include "linear.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "packed_matrix.h"

namespace wavekv {
namespace {

// A sweep of a panel pair reads the whole chunk of inputs, so a chunk stays well inside L2 (1 or 2 MiB).
constexpr int64_t kChunkInputBytes = int64_t{512} << 10;
constexpr int64_t kChunkMultiple = 24;  // whole tiles at every SIMD level
// Below this much work a second thread costs more than it saves (waking it takes about a microsecond).
constexpr int64_t kMinTaskBytes = int64_t{32} << 10;

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

class Activations {
 public:
  /// Makes room for the inputs x [numTokens, numCols], which stay where they are.
  void resize(const float* x, int64_t x_stride, int64_t num_tokens, int64_t num_cols);
  QuantizedRow row(int64_t t);
  const LinearInputs& inputs() const { return inputs_; }
  int64_t num_cols() const { return num_cols_; }

  /// Room for the unpacked panels of each thread, so that no kernel allocates.
  void reserve_scratch(int num_threads, int64_t bytes_a_thread);
  int num_threads() const { return num_threads_; }
  uint8_t* scratch(int thread_index) const { return scratch_.data() + thread_index * scratch_stride_; }

 private:
  HugeBuffer buffer_;
  LinearInputs inputs_{};  // points into buffer_
  int64_t num_cols_ = 0;
  HugeBuffer scratch_;  // [numThreads, scratchStride]
  int64_t scratch_stride_ = 0;
  int num_threads_ = 0;
  int64_t q_offset_ = 0, scales_offset_ = 0, scaled_sums_offset_ = 0, sums_offset_ = 0, halves_offset_ = 0;
};

void Activations::resize(const float* x, int64_t x_stride, int64_t num_tokens, int64_t num_cols) {
  const int64_t num_blocks = num_cols / kBlockCols;
  num_cols_ = num_cols;
  inputs_.num_tokens = num_tokens;
  // Rows a multiple of 4 KiB apart would all fall into the same few sets of L1.
  inputs_.q_stride = num_cols % 1024 == 0 ? num_cols + 64 : round_up(num_cols, 64);
  inputs_.block_stride = num_blocks;
  inputs_.x = x;
  inputs_.x_stride = x_stride;
  int64_t used = 0;
  const auto place = [&](int64_t bytes_a_token) {
    const int64_t offset = used;
    used += round_up(bytes_a_token * num_tokens, 64);
    return offset;
  };
  q_offset_ = place(inputs_.q_stride);
  scales_offset_ = place(num_blocks * 4);
  scaled_sums_offset_ = place(num_blocks * 4);
  sums_offset_ = place(num_blocks * 4);
  halves_offset_ = place(num_blocks * 8);
  if (used > buffer_.size_bytes()) buffer_ = HugeBuffer(round_up(used + used / 2, 4096));
  inputs_.q = buffer_.as<int8_t>(q_offset_);
  inputs_.scales = buffer_.as<float>(scales_offset_);
  inputs_.scaled_sums = buffer_.as<float>(scaled_sums_offset_);
  inputs_.negative_sums = buffer_.as<int32_t>(sums_offset_);
  inputs_.negative_halves = buffer_.as<int32_t>(halves_offset_);
}

QuantizedRow Activations::row(int64_t t) {
  const int64_t at = t * inputs_.block_stride;
  return {buffer_.as<int8_t>(q_offset_) + t * inputs_.q_stride, buffer_.as<float>(scales_offset_) + at,
          buffer_.as<float>(scaled_sums_offset_) + at, buffer_.as<int32_t>(sums_offset_) + at,
          buffer_.as<int32_t>(halves_offset_) + 2 * at};
}

void Activations::reserve_scratch(int num_threads, int64_t bytes_a_thread) {
  num_threads_ = num_threads;
  scratch_stride_ = round_up(bytes_a_thread, 4096);
  const int64_t needed = num_threads * scratch_stride_;
  if (needed > scratch_.size_bytes()) scratch_ = HugeBuffer(needed);
}

std::shared_ptr<Activations> make_activations() { return std::make_shared<Activations>(); }

void prepare_activations(const float* x, int64_t x_stride, int64_t num_tokens, int64_t num_cols, Activations& out,
                         const Kernels& kernels, ThreadPool& pool) {
  if (num_tokens < 0 || num_cols <= 0 || num_cols % kBlockCols != 0 || x_stride < num_cols) {
    throw std::runtime_error("prepare_activations: " + std::to_string(num_tokens) + " tokens of " +
                             std::to_string(num_cols) + " columns, stride " + std::to_string(x_stride) +
                             "; columns are a positive multiple of 32, at most the stride");
  }
  out.resize(x, x_stride, num_tokens, num_cols);
  out.reserve_scratch(pool.num_threads(), kernels.linear->many_scratch_bytes(num_cols));
  const int64_t grain = 1 + kMinTaskBytes / (num_cols * 4);
  pool.parallel_for(num_tokens, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      kernels.linear->quantize_row(x + t * x_stride, num_cols, out.row(t));
    }
  });
}

namespace {

LinearInputs slice(LinearInputs inputs, int64_t first, int64_t count) {
  inputs.q += first * inputs.q_stride;
  inputs.scales += first * inputs.block_stride;
  inputs.scaled_sums += first * inputs.block_stride;
  inputs.negative_sums += first * inputs.block_stride;
  inputs.negative_halves += 2 * first * inputs.block_stride;
  inputs.x += first * inputs.x_stride;
  inputs.num_tokens = count;
  return inputs;
}

/// Calls body(task, firstPanel, lastPanel) for the pieces of [begin, end) of all tasks' panels, laid end to end.
template <typename Body>
void for_each_task(const LinearTask* tasks, int64_t num_tasks, int64_t begin, int64_t end, Body&& body) {
  int64_t offset = 0;
  for (int64_t i = 0; i < num_tasks && offset < end; ++i) {
    const int64_t count = num_panels(tasks[i].weights->panels());
    const int64_t first = std::max<int64_t>(begin - offset, 0), last = std::min(end - offset, count);
    if (first < last) body(tasks[i], first, last);
    offset += count;
  }
}

LinearOutputs outputs_from(const LinearTask& task, int64_t first_token) {
  return {task.y + first_token * task.y_stride, task.y_stride, task.bias, task.accumulate};
}

void linear_few(const LinearTask* tasks, int64_t num_tasks, int64_t total_panels, const LinearInputs& inputs,
                const LinearKernels& kernels, ThreadPool& pool) {
  const int64_t shares = round_up(total_panels, 4 * pool.num_threads()) / (4 * pool.num_threads());
  const int64_t smallest = 1 + kMinTaskBytes / tasks[0].weights->panels().panel_bytes;
  pool.parallel_for(total_panels, std::max(shares, smallest), [&](int64_t begin, int64_t end, int) {
    for_each_task(tasks, num_tasks, begin, end, [&](const LinearTask& task, int64_t first, int64_t last) {
      kernels.few(task.weights->panels(), first, last, inputs, outputs_from(task, 0));
    });
  });
}

void linear_many(const LinearTask* tasks, int64_t num_tasks, int64_t total_panels, const Activations& x,
                 const LinearKernels& kernels, ThreadPool& pool) {
  const int64_t fitting = kChunkInputBytes / x.num_cols() / kChunkMultiple * kChunkMultiple;
  const int64_t chunk = std::max(fitting, kChunkMultiple);
  const LinearInputs& inputs = x.inputs();
  for (int64_t first_token = 0; first_token < inputs.num_tokens; first_token += chunk) {
    const LinearInputs part = slice(inputs, first_token, std::min(inputs.num_tokens - first_token, chunk));
    pool.parallel_for(total_panels, 2, [&](int64_t begin, int64_t end, int thread_index) {
      for_each_task(tasks, num_tasks, begin, end, [&](const LinearTask& task, int64_t first, int64_t last) {
        kernels.many(task.weights->panels(), first, last, part, outputs_from(task, first_token),
                     x.scratch(thread_index));
      });
    });
  }
}

void check_task(const LinearTask& task, const Activations& x, const ThreadPool& pool) {
  const PackedPanels& panels = task.weights->panels();
  if (x.num_cols() == panels.num_cols && task.y_stride >= panels.num_rows && pool.num_threads() <= x.num_threads()) return;
  throw std::runtime_error("linear: weights [" + std::to_string(panels.num_rows) + ", " +
                           std::to_string(panels.num_cols) + "], inputs of " + std::to_string(x.num_cols()) +
                           " columns for " + std::to_string(x.num_threads()) + " threads, output stride " +
                           std::to_string(task.y_stride) + ", pool of " + std::to_string(pool.num_threads()) +
                           " threads");
}

}  // namespace

void linear_group(const LinearTask* tasks, int64_t num_tasks, const Activations& x, const Kernels& kernels,
                  ThreadPool& pool) {
  int64_t total_panels = 0;
  for (int64_t i = 0; i < num_tasks; ++i) {
    check_task(tasks[i], x, pool);
    total_panels += num_panels(tasks[i].weights->panels());
  }
  if (x.inputs().num_tokens == 0 || num_tasks == 0) return;
  if (x.inputs().num_tokens <= kernels.linear->few_tokens) {
    linear_few(tasks, num_tasks, total_panels, x.inputs(), *kernels.linear, pool);
  } else {
    linear_many(tasks, num_tasks, total_panels, x, *kernels.linear, pool);
  }
}

void linear(const PackedMatrix& w, const Activations& x, float* y, int64_t y_stride, const float* bias, bool accumulate,
            const Kernels& kernels, ThreadPool& pool) {
  const LinearTask task{&w, y, y_stride, bias, accumulate};
  linear_group(&task, 1, x, kernels, pool);
}

}  // namespace wavekv
