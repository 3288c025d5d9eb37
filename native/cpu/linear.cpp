// Linear layers over the thread pool: who computes which panels, for which tokens.
#include "linear.h"

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

void linear_few(const PackedPanels& panels, const LinearInputs& inputs, const LinearOutputs& outputs,
                const LinearKernels& kernels, ThreadPool& pool) {
  const int64_t count = num_panels(panels);
  const int64_t shares = round_up(count, 4 * pool.num_threads()) / (4 * pool.num_threads());
  const int64_t smallest = 1 + kMinTaskBytes / panels.panel_bytes;
  pool.parallel_for(count, shares > smallest ? shares : smallest, [&](int64_t begin, int64_t end, int) {
    kernels.few(panels, begin, end, inputs, outputs);
  });
}

void linear_many(const PackedPanels& panels, const Activations& x, const LinearOutputs& outputs,
                 const LinearKernels& kernels, ThreadPool& pool) {
  const int64_t token_bytes = panels.num_cols * (panels.format >= PackedFormat::kF32 ? 4 : 1);
  const int64_t fitting = kChunkInputBytes / token_bytes / kChunkMultiple * kChunkMultiple;
  const int64_t chunk = fitting > kChunkMultiple ? fitting : kChunkMultiple;
  const LinearInputs& inputs = x.inputs();
  for (int64_t first = 0; first < inputs.num_tokens; first += chunk) {
    const int64_t left = inputs.num_tokens - first;
    const LinearInputs part = slice(inputs, first, left < chunk ? left : chunk);
    LinearOutputs to = outputs;
    to.y += first * outputs.stride;
    pool.parallel_for(num_panels(panels), 2, [&](int64_t begin, int64_t end, int thread_index) {
      kernels.many(panels, begin, end, part, to, x.scratch(thread_index));
    });
  }
}

}  // namespace

void linear(const PackedMatrix& w, const Activations& x, float* y, int64_t y_stride, const float* bias, bool accumulate,
            const Kernels& kernels, ThreadPool& pool) {
  const PackedPanels& panels = w.panels();
  if (x.num_cols() != panels.num_cols || y_stride < panels.num_rows || pool.num_threads() > x.num_threads()) {
    throw std::runtime_error("linear: weights [" + std::to_string(panels.num_rows) + ", " +
                             std::to_string(panels.num_cols) + "], inputs of " + std::to_string(x.num_cols()) +
                             " columns for " + std::to_string(x.num_threads()) + " threads, output stride " +
                             std::to_string(y_stride) + ", pool of " + std::to_string(pool.num_threads()) + " threads");
  }
  const LinearInputs& inputs = x.inputs();
  if (inputs.num_tokens == 0) return;
  const LinearOutputs outputs{y, y_stride, bias, accumulate};
  if (inputs.num_tokens <= kernels.linear->few_tokens) {
    linear_few(panels, inputs, outputs, *kernels.linear, pool);
  } else {
    linear_many(panels, x, outputs, *kernels.linear, pool);
  }
}

}  // namespace wavekv
