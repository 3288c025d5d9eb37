#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "block_cache.h"
#include "control_plane_regions.h"
#include "decode_attention.h"
#include "model.h"
#include "phase_clock.h"
#include "prefill_attention.h"
#include "sequence.h"

namespace wavekv {

struct RunnerOptions {
  IndexOptions index;
  WaveOptions wave;
  KvType kv_type = KvType::kQ8;    // of keys and values in segments
  int64_t max_batch_tokens = 512;  // tokens of one step: a prefill chunk and the decode tokens beside it
  int64_t block_cache_blocks = 0;
};

/// What one sequence does in a step: a decode token (numTokens 1, decode true) or a chunk of its prompt.
struct BatchEntry {
  std::shared_ptr<Sequence> sequence;
  int64_t num_tokens;
  bool decode;
  bool wave;  // decode only; ignored where the sequence has no segment
  double retrieval_budget;
  bool wants_logits;  // of its last token
};

/// Runs a batch through the model layer by layer. The caller drives the layers, since the control plane sits between
/// score() and attend(): begin, then for each layer project, score, (lookup), attend, then finish.
class Runner {
 public:
  Runner(std::shared_ptr<Model> model, const RunnerOptions& options);

  const KvGeometry& geometry() const { return geometry_; }
  const PhaseClock& clock() const { return clock_; }
  Model& model() const { return *model_; }
  void set_control_plane(const ControlPlaneRegions& regions);
  /// From the next step on; the index is not touched.
  void set_wave_options(const WaveOptions& options);
  std::shared_ptr<Sequence> make_sequence() const { return std::make_shared<Sequence>(geometry_); }

  /// Checks and embeds a batch; entries in wave mode must come first. Throws std::runtime_error without side effects.
  void begin(std::vector<BatchEntry> entries, const int32_t* tokens, int64_t num_tokens);
  /// Number of wave sequences of the batch; their batch rows are [entry, kvHead].
  int64_t num_wave_rows() const { return decode_ ? decode_->num_wave_rows() : 0; }
  void project(int64_t layer);
  void score(int64_t layer);
  void attend(int64_t layer);
  /// Final norm and output head for the entries that want logits; then the sequences advance.
  void finish();

  /// f32 [vocabSize] of an entry that wanted logits, valid until the next begin(); throws for others.
  const float* logits(int64_t entry) const;

  /// Index build over a sequence's tail into the control plane's ingest region; attach it once that was published.
  std::shared_ptr<Segment> build_segment(Sequence& sequence, int64_t slot);
  /// Copies the step's admissions into the block cache.
  void admit(int64_t num_admissions);

 private:
  void append_keys_and_values(int64_t layer);
  void feed_forward(int64_t layer);

  std::shared_ptr<Model> model_;
  KvGeometry geometry_;
  RunnerOptions options_;
  ControlPlaneRegions regions_;
  PhaseClock clock_;
  BlockCache block_cache_;
  std::unique_ptr<DecodeAttention> decode_;
  PrefillAttention prefill_;

  std::vector<BatchEntry> entries_;
  std::vector<int64_t> first_token_;   // [entry]
  std::vector<int64_t> logits_row_;    // [entry], -1 for none
  int64_t num_tokens_ = 0;
  std::vector<float> angles_;          // [token, ropeDim / 2, 2]
  std::vector<float> hidden_;          // [token, hiddenDim], the residual stream
  std::vector<float> normed_;          // [token, hiddenDim]
  std::vector<float> queries_;         // [token, numHeads, headDim]
  std::vector<float> keys_, values_;   // [token, numKvHeads, headDim]
  std::vector<float> attended_;        // [token, numHeads, headDim]
  std::vector<float> gate_, up_;       // [token, ffnDim]
  std::vector<float> logits_;          // [logits row, vocabSize]
  std::shared_ptr<Activations> activations_;
};

}  // namespace wavekv
