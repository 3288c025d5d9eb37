#pragma once
#include <chrono>
#include <cstdint>

namespace wavekv {

/// What a step's time goes to. Each moment between begin() and finish() of a runner belongs to exactly one of these.
enum class Phase {
  kBegin,         // checks, embedding, RoPE angles
  kProject,       // norm, Q, K and V, RoPE, append to the tail
  kScore,         // decode: steady zone and centroid scores
  kChoose,        // decode: shares, priorities, choice of clusters
  kControlPlane,  // between native calls: the crossing and the control plane's lookup
  kAttend,        // decode: retrieval and estimation zones, or full attention
  kMerge,         // decode: merge of states, counting
  kPrefill,       // attention of prompt chunks
  kOutput,        // output projection
  kFeedForward,
  kFinish,        // final norm and output head
  kNumPhases,
};

constexpr const char* kPhaseNames[] = {"begin",   "project", "score",  "choose",      "controlPlane", "attend",
                                       "merge",   "prefill", "output", "feedForward", "finish"};
constexpr int kNumPhases = static_cast<int>(Phase::kNumPhases);

/// A stopwatch that never stops: lap() adds the time since the last lap to a phase.
class PhaseClock {
 public:
  void start() { mark_ = Clock::now(); }
  void lap(Phase phase) {
    const Clock::time_point now = Clock::now();
    milliseconds_[static_cast<int>(phase)] += std::chrono::duration<double, std::milli>(now - mark_).count();
    mark_ = now;
  }
  /// Sum over all steps so far.
  double milliseconds(int phase) const { return milliseconds_[phase]; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point mark_ = Clock::now();
  double milliseconds_[kNumPhases] = {};
};

}  // namespace wavekv
