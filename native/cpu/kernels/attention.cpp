// Attention states: merge, finish, and the sums over log masses that rank clusters.
#include "attention_kernels.h"
#include "vec_ops.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

bool is_empty(const AttentionState& state, int64_t a) {
  return state.max[a] <= kNoMass || !(state.denominator[a] > 0.0f);
}

}  // namespace

void merge_states(int64_t num_queries, int64_t head_dim, AttentionState from, AttentionState into) {
  for (int64_t a = 0; a < num_queries; ++a) {
    if (is_empty(from, a)) continue;
    const bool fresh = is_empty(into, a);
    const float top = fresh || from.max[a] > into.max[a] ? from.max[a] : into.max[a];
    const float scale_from = exp_one(from.max[a] - top);
    const float scale_into = fresh ? 0.0f : exp_one(into.max[a] - top);
    const Vec x = broadcast(scale_from), y = broadcast(scale_into);
    const float* source = from.out + a * head_dim;
    float* target = into.out + a * head_dim;
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      const Vec kept = fresh ? broadcast(0.0f) : load(target + i) * y;
      store(target + i, fma(load(source + i), x, kept));
    }
    into.denominator[a] = from.denominator[a] * scale_from + (fresh ? 0.0f : into.denominator[a] * scale_into);
    into.max[a] = top;
  }
}

void finish_state(int64_t num_queries, int64_t head_dim, AttentionState state, float* out) {
  for (int64_t a = 0; a < num_queries; ++a) {
    const Vec inverse = broadcast(is_empty(state, a) ? 0.0f : 1.0f / state.denominator[a]);
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      store(out + a * head_dim + i, load(state.out + a * head_dim + i) * inverse);
    }
  }
}

void softmax_terms(const float* x, int64_t n, float* out, float* max_out, float* sum_out) {
  const int64_t whole = n - n % kLanes;
  float tail[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) tail[i] = whole + i < n ? x[whole + i] : kNoMass;
  Vec top = load(tail);
  for (int64_t i = 0; i < whole; i += kLanes) top = max(top, load(x + i));
  const float largest = maximum(top);
  *max_out = largest > kNoMass ? largest : kNoMass;
  *sum_out = 0.0f;
  if (largest <= kNoMass) {
    for (int64_t i = 0; i < n; ++i) out[i] = 0.0f;
    return;
  }
  const Vec shift = broadcast(largest);
  Vec total = broadcast(0.0f);
  for (int64_t i = 0; i < whole; i += kLanes) {
    const Vec term = exp_at_most_0(load(x + i) - shift);
    store(out + i, term);
    total = total + term;
  }
  store(tail, keep_first(exp_at_most_0(load(tail) - shift), n - whole, 0.0f));
  for (int64_t i = whole; i < n; ++i) out[i] = tail[i - whole];
  *sum_out = sum(total + load(tail));
}

void add_scaled(const float* x, int64_t n, float scale, float* y) {
  const Vec factor = broadcast(scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, fma(load(x + i), factor, load(y + i)));
  for (; i < n; ++i) y[i] += x[i] * scale;
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
