#include <algorithm>
#include <cstring>

#include "attention_reference.h"

using namespace wavekv_test;
using wavekv::KvType;

namespace {

constexpr KvType kTypes[] = {KvType::kF16, KvType::kQ8};
/// What is special about the keys and values of a Memory.
enum class Shape {
  kPlain,
  kBiased,      // every key has 50 added to two of its dims, as attention biases do
  kZeroValues,  // half of the values are 0
  kSink,        // token 0 has nearly all the weight and a small value
};
constexpr Shape kShapes[] = {Shape::kPlain, Shape::kBiased, Shape::kZeroValues, Shape::kSink};

// Error of an output, as a share of its largest element, and of the logarithm of the whole mass.
// kF16: f32 sums; of scores up to 80, and of outputs far below the values, where the shape is not plain.
// kQ8: weights of 15 bits, and scores off by about 0.3 * (largest element of q) / 32767 * |key - centre|: 1e-4 for most of the
// keys below, 2e-4 for the sink, times 3 to 4 for the worst of thousands.
double tolerance_of(KvType type, Shape shape) {
  if (type == KvType::kQ8) return shape == Shape::kSink ? 1e-3 : 5e-4;
  return shape == Shape::kPlain ? 1e-5 : 5e-5;
}
double log_tolerance_of(KvType type) { return type == KvType::kQ8 ? 1e-3 : 1e-4; }
/// As check_state(), with the tolerances of a type and shape.
void check_tile(const Kernels& kernels, State& state, int64_t query, int64_t head_dim, const Reference& reference, KvType type,
                Shape shape) {
  check_state(kernels, state, query, head_dim, reference, tolerance_of(type, shape), log_tolerance_of(type));
}

/// Keys and values as a kernel reads them, and what they stand for.
struct Memory {
  KvType type;
  int64_t head_dim, num_tokens;
  std::vector<uint16_t> centre;
  std::vector<uint8_t> bytes;                       // records
  std::vector<std::vector<double>> keys, values;    // [token][headDim]

  Memory(KvType t, Random& random, int64_t n, int64_t d, Shape shape, double key_scale = 1)
      : type(t), head_dim(d), num_tokens(n), bytes(static_cast<size_t>(n * wavekv::kv_record_bytes(t, d))) {
    for (int64_t i = 0; i < d; ++i) {
      const bool biased = shape == Shape::kBiased && (i == 5 || i == 37);
      centre.push_back(half_of(biased ? 50.2 : 0.3 * static_cast<double>(i % 3)));
    }
    for (int64_t token = 0; token < n; ++token) {
      std::vector<float> key = random_floats(random, d, key_scale), value = random_floats(random, d, 1);
      for (size_t i = 0; i < key.size(); ++i) key[i] += static_cast<float>(half_value(centre[i]));
      if (shape == Shape::kZeroValues && random.below(2) == 0) std::fill(value.begin(), value.end(), 0.0f);
      if (shape == Shape::kSink && token == 0) {
        for (float& x : key) x += 1.5f;
        for (float& x : value) x *= 1e-3f;
      }
      store(token, key, value);
    }
  }
  void store(int64_t token, const std::vector<float>& key, const std::vector<float>& value) {
    keys.resize(static_cast<size_t>(num_tokens));
    values.resize(static_cast<size_t>(num_tokens));
    uint8_t* record = bytes.data() + token * wavekv::kv_record_bytes(type, head_dim);
    std::vector<double>&k = keys[static_cast<size_t>(token)], &v = values[static_cast<size_t>(token)];
    k.assign(key.size(), 0);
    v.assign(key.size(), 0);
    if (type == KvType::kF16) {
      for (size_t i = 0; i < key.size(); ++i) {
        const uint16_t halves[2] = {half_of(key[i]), half_of(value[i])};
        memcpy(record + 2 * i, halves, 2);
        memcpy(record + 2 * (key.size() + i), halves + 1, 2);
        k[i] = half_value(halves[0]);
        v[i] = half_value(halves[1]);
      }
      return;
    }
    std::vector<float> centred = key;
    for (size_t i = 0; i < key.size(); ++i) centred[i] -= static_cast<float>(half_value(centre[i]));
    int8_t* integers = reinterpret_cast<int8_t*>(record);
    const Kernels& kernels = wavekv::kernels_for(SimdLevel::kPortable);
    const float scales[2] = {kernels.to_i8(centred.data(), integers, head_dim),
                             kernels.to_i8(value.data(), integers + head_dim, head_dim)};
    memcpy(record + 2 * head_dim, scales, sizeof scales);
    for (size_t i = 0; i < key.size(); ++i) {
      k[i] = half_value(centre[i]) + static_cast<double>(scales[0]) * integers[i];
      v[i] = static_cast<double>(scales[1]) * integers[key.size() + i];
    }
  }
  KvRange range(int64_t first, int64_t count) const {
    return wavekv::kv_records(type, bytes.data(), head_dim, first, count, type == KvType::kQ8 ? centre.data() : nullptr);
  }
  /// Tokens 0 .. count under one query.
  Reference reference(const float* q, int64_t count) const {
    Reference all;
    for (size_t t = 0; t < static_cast<size_t>(count); ++t) {
      double score = 0;
      for (size_t i = 0; i < keys[t].size(); ++i) score += static_cast<double>(q[i]) * keys[t][i];
      all.logs.push_back(score);
      all.vectors.push_back(values[t]);
    }
    return all;
  }
};

/// Scratch of a size that is checked to suffice.
struct Scratch {
  std::vector<float> floats;
  Scratch(const Kernels& kernels, int64_t head_dim, int64_t num_queries)
      : floats(static_cast<size_t>(kernels.tile_scratch_floats(head_dim, num_queries)) + 8, 42.0f) {}
  float* data() { return floats.data(); }
  bool intact() const { return std::count(floats.end() - 8, floats.end(), 42.0f) == 8; }
};

}  // namespace

TEST(tile_matches_the_naive_sum_under_any_visibility) {
  for (const Kernels* kernels : levels()) {
    Random random(16);
    for (KvType type : kTypes) {
      for (int64_t d : {64, 80, 128}) {
        for (Shape shape : kShapes) {
          for (int64_t num_queries : {1, 5, 6, 13, 40}) {
            for (int64_t num_tokens : {1, 17, 64, 131}) {
              const Memory memory(type, random, num_tokens, d, shape);
              const std::vector<float> q = random_floats(random, num_queries * d, 3.0 / std::sqrt(static_cast<double>(d)));
              std::vector<int64_t> visible;
              for (int64_t a = 0; a < num_queries; ++a) visible.push_back(a == 2 ? 0 : random.below(num_tokens + 1));
              Scratch scratch(*kernels, d, num_queries);
              State causal(num_queries, d), all(num_queries, d);
              kernels->attend_tile(q.data(), num_queries, d, memory.range(0, num_tokens), visible.data(), scratch.data(),
                                   causal.view());
              kernels->attend_tile(q.data(), num_queries, d, memory.range(0, num_tokens), nullptr, scratch.data(), all.view());
              CHECK(scratch.intact());
              for (int64_t a = 0; a < num_queries; ++a) {
                const float* query = q.data() + a * d;
                check_tile(*kernels, causal, a, d, memory.reference(query, visible[static_cast<size_t>(a)]), type, shape);
                check_tile(*kernels, all, a, d, memory.reference(query, num_tokens), type, shape);
              }
            }
          }
        }
      }
    }
  }
}

TEST(segments_then_a_tail_make_one_state) {
  for (const Kernels* kernels : levels()) {
    Random random(17);
    const int64_t d = 64, num_queries = 21;
    for (Shape shape : kShapes) {
      const Memory segment(KvType::kQ8, random, 150, d, shape, 2), tail(KvType::kF16, random, 90, d, shape, 2);
      const std::vector<float> q = random_floats(random, num_queries * d, 0.4);
      std::vector<int64_t> visible;
      for (int64_t a = 0; a < num_queries; ++a) visible.push_back(a * 90 / (num_queries - 1));
      Scratch scratch(*kernels, d, num_queries);
      State state(num_queries, d);
      kernels->attend_tile(q.data(), num_queries, d, segment.range(0, 64), nullptr, scratch.data(), state.view());
      kernels->attend_tile(q.data(), num_queries, d, segment.range(64, 86), nullptr, scratch.data(), state.view());
      kernels->attend_tile(q.data(), num_queries, d, tail.range(0, 90), visible.data(), scratch.data(), state.view());
      for (int64_t a = 0; a < num_queries; ++a) {
        Reference all = segment.reference(q.data() + a * d, 150);
        const Reference rest = tail.reference(q.data() + a * d, visible[static_cast<size_t>(a)]);
        all.logs.insert(all.logs.end(), rest.logs.begin(), rest.logs.end());
        all.vectors.insert(all.vectors.end(), rest.vectors.begin(), rest.vectors.end());
        check_tile(*kernels, state, a, d, all, KvType::kQ8, shape);
      }
    }
  }
}

// Bit by bit: neither tokens beyond a query's bound nor the queries beside it may show, however large they are.
TEST(a_query_gets_the_same_beside_others_and_before_later_tokens) {
  for (const Kernels* kernels : levels()) {
    Random random(18);
    const int64_t d = 80, num_tokens = 200, num_queries = 25;
    for (KvType type : kTypes) {
      const Memory memory(type, random, num_tokens, d, Shape::kBiased);
      const std::vector<float> q = random_floats(random, num_queries * d, 0.3);
      std::vector<int64_t> visible;
      for (int64_t a = 0; a < num_queries; ++a) visible.push_back(random.below(num_tokens + 1));
      Scratch scratch(*kernels, d, num_queries);
      State together(num_queries, d);
      kernels->attend_tile(q.data(), num_queries, d, memory.range(0, num_tokens), visible.data(), scratch.data(),
                           together.view());
      for (int64_t a = 0; a < num_queries; ++a) {
        const int64_t seen = visible[static_cast<size_t>(a)];
        Memory changed = memory;
        for (int64_t t = seen; t < num_tokens; ++t) {
          changed.store(t, random_floats(random, d, 100), random_floats(random, d, 1000));
        }
        State alone(1, d), before_others(num_queries, d);
        kernels->attend_tile(q.data() + a * d, 1, d, memory.range(0, seen), nullptr, scratch.data(), alone.view());
        kernels->attend_tile(q.data(), num_queries, d, changed.range(0, num_tokens), visible.data(), scratch.data(),
                             before_others.view());
        for (const State* other : {&alone, &before_others}) {
          const size_t row = other == &alone ? 0 : static_cast<size_t>(a), width = static_cast<size_t>(d);
          CHECK(other->max[row] == together.max[static_cast<size_t>(a)]);
          CHECK(other->denominator[row] == together.denominator[static_cast<size_t>(a)]);
          CHECK(memcmp(&other->out[row * width], &together.out[static_cast<size_t>(a) * width], width * sizeof(float)) == 0);
        }
      }
    }
  }
}

// The largest integer sums there are: every product of one sign, at the largest head dim.
TEST(largest_sums_stay_within_32_bits) {
  for (const Kernels* kernels : levels()) {
    Random random(19);
    const int64_t d = 256, num_tokens = 64;
    for (KvType type : kTypes) {
      Memory memory(type, random, num_tokens, d, Shape::kPlain);
      const std::vector<float> even(static_cast<size_t>(d), 7.0f), opposite(static_cast<size_t>(d), -7.0f);
      for (int64_t t = 0; t < num_tokens; ++t) memory.store(t, t % 2 == 0 ? even : opposite, even);
      std::vector<float> q(static_cast<size_t>(2 * d), 0.01f);
      std::fill(q.begin() + d, q.end(), 0.0f);
      Scratch scratch(*kernels, d, 2);
      State state(2, d);
      kernels->attend_tile(q.data(), 2, d, memory.range(0, num_tokens), nullptr, scratch.data(), state.view());
      for (int64_t a = 0; a < 2; ++a) {
        check_tile(*kernels, state, a, d, memory.reference(q.data() + a * d, num_tokens), type, Shape::kPlain);
      }
    }
  }
}

TEST_MAIN()
