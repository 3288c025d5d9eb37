#include "sequence_binding.h"

#include "arguments.h"
#include "instance_data.h"

namespace wavekv {

Napi::Function SegmentBinding::define(Napi::Env env) {
  return DefineClass(env, "Segment",
                     {InstanceAccessor<&SegmentBinding::slot>("slot"), InstanceMethod<&SegmentBinding::order>("order"),
                      InstanceMethod<&SegmentBinding::dispose>("dispose")});
}

SegmentBinding::SegmentBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SegmentBinding>(info) {}

Napi::Object SegmentBinding::make(Napi::Env env, std::shared_ptr<Segment> segment) {
  Napi::Object object = env.GetInstanceData<InstanceData>()->segment.New({});
  Unwrap(object)->segment = std::move(segment);
  return object;
}

Napi::Value SegmentBinding::slot(const Napi::CallbackInfo& info) {
  if (segment == nullptr) throw std::runtime_error("the segment is disposed");
  return Napi::Number::New(info.Env(), static_cast<double>(segment->slot()));
}

Napi::Value SegmentBinding::order(const Napi::CallbackInfo& info) {
  if (segment == nullptr) throw std::runtime_error("the segment is disposed");
  const int64_t row = integer_argument(info, 0, "row");
  if (row < 0 || row >= segment->num_rows()) throw std::runtime_error("row " + std::to_string(row) + " is out of range");
  const size_t tokens = static_cast<size_t>(segment->num_tokens());
  Napi::Uint16Array order = Napi::Uint16Array::New(info.Env(), tokens);
  std::copy(segment->order(row), segment->order(row) + tokens, order.Data());
  return order;
}

void SegmentBinding::dispose(const Napi::CallbackInfo&) { segment.reset(); }

Napi::Function SequenceBinding::define(Napi::Env env) {
  return DefineClass(env, "Sequence",
                     {InstanceAccessor<&SequenceBinding::num_tokens>("numTokens"),
                      InstanceAccessor<&SequenceBinding::num_segments>("numSegments"),
                      InstanceAccessor<&SequenceBinding::tail_room>("tailRoom"),
                      InstanceAccessor<&SequenceBinding::segment_ready>("segmentReady"),
                      InstanceMethod<&SequenceBinding::zones>("zones"),
                      InstanceMethod<&SequenceBinding::attach>("attach"),
                      InstanceMethod<&SequenceBinding::dispose>("dispose")});
}

SequenceBinding::SequenceBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SequenceBinding>(info) {}

Napi::Object SequenceBinding::make(Napi::Env env, std::shared_ptr<Sequence> sequence) {
  Napi::Object object = env.GetInstanceData<InstanceData>()->sequence.New({});
  Unwrap(object)->sequence_ = std::move(sequence);
  return object;
}

std::shared_ptr<Sequence> SequenceBinding::sequence() const {
  if (sequence_ == nullptr) throw std::runtime_error("the sequence is disposed");
  return sequence_;
}

Napi::Value SequenceBinding::num_tokens(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(sequence()->num_tokens()));
}

Napi::Value SequenceBinding::num_segments(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(sequence()->segments().size()));
}

Napi::Value SequenceBinding::tail_room(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(sequence()->tail_room()));
}

Napi::Value SequenceBinding::segment_ready(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), sequence()->segment_ready());
}

Napi::Value SequenceBinding::zones(const Napi::CallbackInfo& info) {
  const ZoneTotals& zones = sequence()->zones;
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("steadyMass", zones.steady_mass);
  result.Set("retrievalMass", zones.retrieval_mass);
  result.Set("estimationMass", zones.estimation_mass);
  result.Set("unattendedMass", zones.unattended_mass);
  result.Set("queryHeads", zones.query_heads);
  result.Set("steadyTokens", zones.steady_tokens);
  result.Set("retrievalTokens", zones.retrieval_tokens);
  result.Set("estimationTokens", zones.estimation_tokens);
  result.Set("rows", zones.rows);
  result.Set("steadyBytes", zones.steady_bytes);
  result.Set("indexBytes", zones.index_bytes);
  result.Set("retrievalBytes", zones.retrieval_bytes);
  result.Set("estimationBytes", zones.estimation_bytes);
  result.Set("fullBytes", zones.full_bytes);
  result.Set("cacheHits", zones.cache_hits);
  result.Set("cacheMisses", zones.cache_misses);
  return result;
}

void SequenceBinding::attach(const Napi::CallbackInfo& info) {
  SegmentBinding* binding = SegmentBinding::Unwrap(object_argument(info, 0, "segment"));
  if (binding->segment == nullptr) throw std::runtime_error("the segment is disposed");
  sequence()->attach(binding->segment);
}

void SequenceBinding::dispose(const Napi::CallbackInfo&) { sequence_.reset(); }

}  // namespace wavekv
