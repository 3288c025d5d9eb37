#include "runner_binding.h"

#include "arguments.h"
#include "model_binding.h"
#include "sequence_binding.h"

namespace wavekv {
namespace {

// Bits of an entry's flags, as src/native/addon.ts names them.
constexpr uint8_t kEntryDecode = 1, kEntryWave = 2, kEntryLogits = 4;

Ranking read_ranking(const Napi::CallbackInfo& info, const Napi::Object& o) {
  const std::string name = string_field(info, o, "ranking");
  if (name == "error") return Ranking::kError;
  if (name == "mass") return Ranking::kMass;
  if (name == "centroid") return Ranking::kCentroid;
  wrong_type(info, "ranking", "\"error\", \"mass\" or \"centroid\"");
}

KvType read_kv_type(const Napi::CallbackInfo& info, const Napi::Object& o) {
  const std::string name = string_field(info, o, "kvType");
  if (name == "f16") return KvType::kF16;
  if (name == "q8") return KvType::kQ8;
  wrong_type(info, "kvType", "\"f16\" or \"q8\"");
}

WaveOptions read_wave_options(const Napi::CallbackInfo& info, const Napi::Object& o) {
  WaveOptions options;
  options.estimation_budget = number_field(info, o, "estimationBudget");
  options.min_clusters = integer_field(info, o, "minClusters");
  options.variance_term = number_field(info, o, "varianceTerm");
  options.ranking = read_ranking(info, o);
  return options;
}

RunnerOptions read_options(const Napi::CallbackInfo& info, const Napi::Object& o) {
  RunnerOptions options;
  options.index.segment_tokens = integer_field(info, o, "segmentTokens");
  options.index.local_window = integer_field(info, o, "localWindow");
  options.index.sink_tokens = integer_field(info, o, "sinkTokens");
  options.index.query_metric = number_field(info, o, "queryMetric");
  options.index.clustering.spherical = boolean_field(info, o, "sphericalClusters");
  options.index.clustering.iterations = static_cast<int32_t>(integer_field(info, o, "clusterIterations"));
  options.index.clustering.tokens_per_cluster = static_cast<int32_t>(integer_field(info, o, "tokensPerCluster"));
  options.index.clustering.max_cluster_size = static_cast<int32_t>(integer_field(info, o, "maxClusterSize"));
  options.wave = read_wave_options(info, o);
  options.kv_type = read_kv_type(info, o);
  options.max_batch_tokens = integer_field(info, o, "maxBatchTokens");
  options.block_cache_blocks = integer_field(info, o, "blockCacheBlocks");
  return options;
}

template <typename T>
T typed_array_field(const Napi::CallbackInfo& info, const Napi::Object& o, const char* name, napi_typedarray_type type,
                    const char* expected) {
  const Napi::Value value = o.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) wrong_type(info, name, expected);
  return value.As<T>();
}

/// The pointers are the arrays' own: valid while the call runs.
LogitAdjustments read_adjustments(const Napi::CallbackInfo& info, const Napi::Object& o, int64_t vocab_size) {
  const auto tokens = typed_array_field<Napi::Int32Array>(info, o, "biasTokens", napi_int32_array, "an Int32Array");
  const auto biases = typed_array_field<Napi::Float32Array>(info, o, "biases", napi_float32_array, "a Float32Array");
  const auto repeats = typed_array_field<Napi::Int32Array>(info, o, "repeatTokens", napi_int32_array, "an Int32Array");
  if (tokens.ElementLength() != biases.ElementLength()) throw std::runtime_error("biasTokens and biases differ in length");
  LogitAdjustments adjustments;
  adjustments.bias_tokens = tokens.Data();
  adjustments.biases = biases.Data();
  adjustments.num_biases = static_cast<int64_t>(tokens.ElementLength());
  adjustments.repeat_tokens = repeats.Data();
  adjustments.num_repeats = static_cast<int64_t>(repeats.ElementLength());
  adjustments.repeat_penalty = static_cast<float>(number_field(info, o, "repeatPenalty"));
  if (!(adjustments.repeat_penalty > 0)) wrong_type(info, "repeatPenalty", "above 0");
  if (o.Get("allowed").IsNull()) return adjustments;
  const auto allowed = typed_array_field<Napi::Uint32Array>(info, o, "allowed", napi_uint32_array, "a Uint32Array or null");
  if (static_cast<int64_t>(allowed.ElementLength()) * 32 < vocab_size) {
    throw std::runtime_error("allowed has " + std::to_string(allowed.ElementLength()) + " words of 32 tokens, the vocabulary " +
                             std::to_string(vocab_size) + " tokens");
  }
  adjustments.allowed = allowed.Data();
  return adjustments;
}

uint8_t* region(const Napi::CallbackInfo& info, Napi::ArrayBuffer& memory, const Napi::Object& regions,
                const char* name, int64_t size_bytes) {
  const int64_t offset = integer_field(info, regions, name);
  if (offset < 0 || size_bytes < 0 || offset % 4 != 0 ||
      offset + size_bytes > static_cast<int64_t>(memory.ByteLength())) {
    throw std::runtime_error(std::string("control plane region ") + name + " at " + std::to_string(offset) + " of " +
                             std::to_string(size_bytes) + " bytes is outside its memory of " +
                             std::to_string(memory.ByteLength()) + " bytes");
  }
  return static_cast<uint8_t*>(memory.Data()) + offset;
}

}  // namespace

Napi::Function RunnerBinding::define(Napi::Env env) {
  return DefineClass(
      env, "Runner",
      {InstanceMethod<&RunnerBinding::geometry>("geometry"),
       InstanceMethod<&RunnerBinding::set_control_plane>("setControlPlane"),
       InstanceMethod<&RunnerBinding::set_wave_options>("setWaveOptions"),
       InstanceMethod<&RunnerBinding::make_sequence>("makeSequence"), InstanceMethod<&RunnerBinding::begin>("begin"),
       InstanceMethod<&RunnerBinding::project>("project"), InstanceMethod<&RunnerBinding::score>("score"),
       InstanceMethod<&RunnerBinding::attend>("attend"), InstanceMethod<&RunnerBinding::finish>("finish"),
       InstanceMethod<&RunnerBinding::logits>("logits"), InstanceMethod<&RunnerBinding::sample>("sample"),
       InstanceMethod<&RunnerBinding::logprobs>("logprobs"),
       InstanceMethod<&RunnerBinding::build_segment>("buildSegment"), InstanceMethod<&RunnerBinding::admit>("admit"),
       InstanceMethod<&RunnerBinding::phase_times>("phaseTimes"),
       InstanceMethod<&RunnerBinding::close>("close")});
}

RunnerBinding::RunnerBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RunnerBinding>(info) {
  ModelBinding* model = ModelBinding::Unwrap(object_argument(info, 0, "model"));
  runner_ = std::make_unique<Runner>(model->model(), read_options(info, object_argument(info, 1, "options")));
}

Runner& RunnerBinding::runner() const {
  if (runner_ == nullptr) throw std::runtime_error("the runner is closed");
  return *runner_;
}

Napi::Value RunnerBinding::geometry(const Napi::CallbackInfo& info) {
  const KvGeometry& geometry = runner().geometry();
  Napi::Object result = Napi::Object::New(info.Env());
  const auto number = [&](const char* name, int64_t value) { result.Set(name, static_cast<double>(value)); };
  number("numLayers", geometry.num_layers);
  number("numKvHeads", geometry.num_kv_heads);
  number("groupSize", geometry.group_size);
  number("headDim", geometry.head_dim);
  number("maxClusters", geometry.max_clusters);
  number("tailCapacity", geometry.tail_capacity);
  number("segmentTokens", geometry.index.segment_tokens);
  number("recordBytes", geometry.record_bytes());
  number("segmentBytes", segment_bytes(geometry));
  number("sequenceBytes", sequence_bytes(geometry));
  return result;
}

Napi::Value RunnerBinding::phase_times(const Napi::CallbackInfo& info) {
  const PhaseClock& clock = runner().clock();
  Napi::Object result = Napi::Object::New(info.Env());
  for (int phase = 0; phase < kNumPhases; ++phase) result.Set(kPhaseNames[phase], clock.milliseconds(phase));
  return result;
}

void RunnerBinding::set_control_plane(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsArrayBuffer()) wrong_type(info, "memory", "an ArrayBuffer");
  Napi::ArrayBuffer memory = info[0].As<Napi::ArrayBuffer>();
  const Napi::Object o = object_argument(info, 1, "regions");
  const KvGeometry& geometry = runner().geometry();
  ControlPlaneRegions regions;
  regions.max_rows = integer_field(info, o, "maxRows");
  regions.max_selected = integer_field(info, o, "maxSelectedPerRow");
  const int64_t request_bytes = integer_field(info, o, "requestStrideBytes");
  const int64_t plan_bytes = integer_field(info, o, "planStrideBytes");
  if (request_bytes < 4 * (1 + regions.max_selected) || plan_bytes < 16) {
    throw std::runtime_error("control plane strides are too small");
  }
  regions.request_stride = request_bytes / 4;
  regions.plan_stride = plan_bytes / 4;
  regions.ingest = reinterpret_cast<uint16_t*>(
      region(info, memory, o, "ingestOffset", geometry.num_rows() * (1 + geometry.max_clusters) * 2));
  regions.request =
      reinterpret_cast<uint32_t*>(region(info, memory, o, "requestOffset", regions.max_rows * request_bytes));
  regions.plan = reinterpret_cast<uint32_t*>(region(info, memory, o, "planOffset", regions.max_rows * plan_bytes));
  regions.admissions = reinterpret_cast<uint32_t*>(
      region(info, memory, o, "admissionsOffset", integer_field(info, o, "maxAdmissions") * 36));
  runner().set_control_plane(regions);
  control_plane_memory_ = Napi::Persistent(memory);
}

void RunnerBinding::set_wave_options(const Napi::CallbackInfo& info) {
  runner().set_wave_options(read_wave_options(info, object_argument(info, 0, "options")));
}

Napi::Value RunnerBinding::make_sequence(const Napi::CallbackInfo& info) {
  return SequenceBinding::make(info.Env(), runner().make_sequence());
}

Napi::Value RunnerBinding::begin(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsArray()) wrong_type(info, "sequences", "an array of sequences");
  Napi::Array sequences = info[0].As<Napi::Array>();
  const auto counts = typed_array_argument<Napi::Int32Array>(info, 1, "counts", napi_int32_array, "an Int32Array");
  const auto flags = typed_array_argument<Napi::Uint8Array>(info, 2, "flags", napi_uint8_array, "a Uint8Array");
  const auto budgets = typed_array_argument<Napi::Float64Array>(info, 3, "budgets", napi_float64_array, "a Float64Array");
  const auto tokens = typed_array_argument<Napi::Int32Array>(info, 4, "tokens", napi_int32_array, "an Int32Array");
  const uint32_t count = sequences.Length();
  if (counts.ElementLength() != count || flags.ElementLength() != count || budgets.ElementLength() != count) {
    throw std::runtime_error("sequences, counts, flags and budgets differ in length");
  }
  std::vector<BatchEntry> entries;
  for (uint32_t i = 0; i < count; ++i) {
    entries.push_back({SequenceBinding::Unwrap(sequences.Get(i).As<Napi::Object>())->sequence(), counts[i],
                       (flags[i] & kEntryDecode) != 0, (flags[i] & kEntryWave) != 0, budgets[i],
                       (flags[i] & kEntryLogits) != 0});
  }
  runner().begin(std::move(entries), tokens.Data(), static_cast<int64_t>(tokens.ElementLength()));
  return Napi::Number::New(info.Env(), static_cast<double>(runner().num_wave_rows()));
}

namespace {

int64_t layer_argument(const Napi::CallbackInfo& info, const Runner& runner) {
  const int64_t layer = integer_argument(info, 0, "layer");
  if (layer < 0 || layer >= runner.geometry().num_layers) {
    throw std::runtime_error("layer " + std::to_string(layer) + " is outside the model's " +
                             std::to_string(runner.geometry().num_layers));
  }
  return layer;
}

}  // namespace

void RunnerBinding::project(const Napi::CallbackInfo& info) { runner().project(layer_argument(info, runner())); }
void RunnerBinding::score(const Napi::CallbackInfo& info) { runner().score(layer_argument(info, runner())); }
void RunnerBinding::attend(const Napi::CallbackInfo& info) { runner().attend(layer_argument(info, runner())); }
void RunnerBinding::finish(const Napi::CallbackInfo&) { runner().finish(); }

Napi::Value RunnerBinding::logits(const Napi::CallbackInfo& info) {
  const float* logits = runner().logits(integer_argument(info, 0, "entry"));
  const size_t size = static_cast<size_t>(runner().model().config.vocab_size);
  Napi::Float32Array result = Napi::Float32Array::New(info.Env(), size);
  std::copy(logits, logits + size, result.Data());
  return result;
}

Napi::Value RunnerBinding::sample(const Napi::CallbackInfo& info) {
  const int64_t entry = integer_argument(info, 0, "entry");
  const Napi::Object o = object_argument(info, 1, "options");
  SamplingOptions options;
  options.temperature = static_cast<float>(number_field(info, o, "temperature"));
  options.top_p = static_cast<float>(number_field(info, o, "topP"));
  options.top_k = integer_field(info, o, "topK");
  options.min_p = static_cast<float>(number_field(info, o, "minP"));
  const double uniform = number_argument(info, 2, "uniform");
  const float* logits = runner().logits(entry);
  const int64_t vocab_size = runner().model().config.vocab_size;
  if (info.Length() < 4 || info[3].IsNull() || info[3].IsUndefined()) {
    return Napi::Number::New(info.Env(), sampler_.sample(logits, vocab_size, options, uniform));
  }
  const LogitAdjustments adjustments = read_adjustments(info, object_argument(info, 3, "adjustments"), vocab_size);
  return Napi::Number::New(info.Env(), sampler_.sample(logits, vocab_size, options, adjustments, uniform));
}

Napi::Value RunnerBinding::logprobs(const Napi::CallbackInfo& info) {
  const float* logits = runner().logits(integer_argument(info, 0, "entry"));
  const TokenLogprobs found =
      token_logprobs(logits, runner().model().config.vocab_size, static_cast<int32_t>(integer_argument(info, 1, "token")),
                     integer_argument(info, 2, "numTop"));
  Napi::Int32Array tokens = Napi::Int32Array::New(info.Env(), found.top_tokens.size());
  std::copy(found.top_tokens.begin(), found.top_tokens.end(), tokens.Data());
  Napi::Float32Array logprobs = Napi::Float32Array::New(info.Env(), found.top_logprobs.size());
  std::copy(found.top_logprobs.begin(), found.top_logprobs.end(), logprobs.Data());
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("logprob", static_cast<double>(found.chosen));
  result.Set("topTokens", tokens);
  result.Set("topLogprobs", logprobs);
  return result;
}

Napi::Value RunnerBinding::build_segment(const Napi::CallbackInfo& info) {
  SequenceBinding* sequence = SequenceBinding::Unwrap(object_argument(info, 0, "sequence"));
  return SegmentBinding::make(info.Env(),
                              runner().build_segment(*sequence->sequence(), integer_argument(info, 1, "slot")));
}

void RunnerBinding::admit(const Napi::CallbackInfo& info) {
  runner().admit(integer_argument(info, 0, "numAdmissions"));
}

void RunnerBinding::close(const Napi::CallbackInfo&) {
  runner_.reset();
  control_plane_memory_.Reset();
}

}  // namespace wavekv
