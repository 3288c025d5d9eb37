// The choice of clusters against a stable sort.
#include <algorithm>
#include <numeric>

#include "attention_reference.h"

using namespace wavekv_test;

namespace {

constexpr uint32_t kUntouched = 0xffffffff;

/// Checks select_largest() on x, which may be followed by anything up to a multiple of 16.
void check_selection(const Kernels& kernels, const std::vector<float>& x, int64_t k) {
  std::vector<uint32_t> expected;
  for (uint32_t i = 0; i < x.size(); ++i) {
    if (x[i] >= 0) expected.push_back(i);
  }
  std::stable_sort(expected.begin(), expected.end(), [&](uint32_t a, uint32_t b) { return x[a] > x[b]; });
  expected.resize(std::min(expected.size(), static_cast<size_t>(k)));
  std::sort(expected.begin(), expected.end());
  std::vector<float> padded = x;
  padded.resize((x.size() + 15) / 16 * 16 + 16, 1e30f);  // must not be seen
  std::vector<uint32_t> out(x.size() + 16, kUntouched);
  const int64_t count = kernels.select_largest(padded.data(), static_cast<int64_t>(x.size()), k, out.data());
  CHECK(count == static_cast<int64_t>(expected.size()));
  CHECK(std::equal(expected.begin(), expected.end(), out.begin()));
  CHECK(std::all_of(out.begin() + count, out.end(), [](uint32_t i) { return i == kUntouched; }));
}

}  // namespace

TEST(the_largest_are_those_of_a_stable_sort) {
  for (const Kernels* kernels : levels()) {
    Random random(71);
    for (int64_t n : {0, 1, 3, 4, 15, 16, 17, 31, 100, 1000}) {
      for (int kind = 0; kind < 5; ++kind) {
        std::vector<float> x;
        for (int64_t i = 0; i < n; ++i) {
          const float wide = static_cast<float>(std::exp(8 * random.normal()));
          x.push_back(kind == 0   ? wide
                      : kind == 1 ? static_cast<float>(random.below(4))             // ties and zeros
                      : kind == 2 ? (random.below(3) == 0 ? -1.0f : wide)           // taken already
                      : kind == 3 ? static_cast<float>(random.below(3)) * 1e-44f    // subnormal
                                  : 0.25f);
        }
        for (int64_t k : {int64_t{0}, int64_t{1}, int64_t{2}, n / 3, n / 2, n - 1, n, n + 5}) {
          if (k >= 0) check_selection(*kernels, x, k);
        }
      }
    }
  }
}

TEST(extremes_are_chosen_first_and_negatives_never) {
  for (const Kernels* kernels : levels()) {
    const float top = std::numeric_limits<float>::max();
    for (int64_t k = 0; k <= 9; ++k) {
      check_selection(*kernels, {0.0f, top, 1.0f, -1.0f, top, 0.0f, 1e-38f}, k);
      check_selection(*kernels, {-1.0f, -1.0f, -1.0f}, k);
      check_selection(*kernels, {-1e-3f, 0.0f, -0.25f, -0.75f, 5.0f, 0.0f}, k);
    }
  }
}

TEST(expected_error_is_share_by_deviation_by_size) {
  for (const Kernels* kernels : levels()) {
    Random random(72);
    for (int64_t n : {0, 1, 5, 16, 31, 200}) {
      std::vector<float> share, variances, priority(static_cast<size_t>(n + 1), 7.0f);
      std::vector<uint16_t> sizes;
      for (int64_t i = 0; i < n; ++i) {
        share.push_back(static_cast<float>(random.uniform()));
        variances.push_back(i % 7 == 0 ? 0.0f : static_cast<float>(20 * random.uniform()));
        sizes.push_back(static_cast<uint16_t>(i == 3 ? 65535 : 1 + random.below(40)));
      }
      kernels->expected_error(share.data(), variances.data(), sizes.data(), n, priority.data());
      for (size_t i = 0; i < share.size(); ++i) {
        CHECK_NEAR(priority[i], static_cast<double>(share[i]) * std::sqrt(static_cast<double>(variances[i])) / sizes[i], 0, 1e-6);
      }
      CHECK(priority[static_cast<size_t>(n)] == 7.0f);
    }
  }
}

TEST_MAIN()
