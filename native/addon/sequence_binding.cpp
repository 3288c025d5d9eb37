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
                      InstanceAccessor<&SequenceBinding::query_squares, &SequenceBinding::set_query_squares>("querySquares"),
                      InstanceMethod<&SequenceBinding::fork>("fork"),
                      InstanceMethod<&SequenceBinding::read_tokens>("readTokens"),
                      InstanceMethod<&SequenceBinding::append_tokens>("appendTokens"),
                      InstanceMethod<&SequenceBinding::zones>("zones"),
                      InstanceMethod<&SequenceBinding::attach>("attach"),
                      InstanceMethod<&SequenceBinding::adopt>("adopt"),
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

Napi::Value SequenceBinding::query_squares(const Napi::CallbackInfo& info) {
  const auto of = sequence();
  const int64_t count = of->geometry().num_rows() * of->geometry().head_dim;
  Napi::Float32Array result = Napi::Float32Array::New(info.Env(), static_cast<size_t>(count));
  std::copy(of->query_squares(0), of->query_squares(0) + count, result.Data());
  return result;
}

void SequenceBinding::set_query_squares(const Napi::CallbackInfo& info, const Napi::Value& value) {
  const auto of = sequence();
  const size_t count = static_cast<size_t>(of->geometry().num_rows() * of->geometry().head_dim);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array ||
      value.As<Napi::TypedArray>().ElementLength() != count) {
    wrong_type(info, "querySquares", ("a Float32Array of " + std::to_string(count)).c_str());
  }
  const Napi::Float32Array squares = value.As<Napi::Float32Array>();
  std::copy(squares.Data(), squares.Data() + count, of->query_squares(0));
}

Napi::Value SequenceBinding::fork(const Napi::CallbackInfo& info) { return make(info.Env(), sequence()->fork()); }

Napi::Value SequenceBinding::read_tokens(const Napi::CallbackInfo& info) {
  const auto of = sequence();
  const int64_t first = integer_argument(info, 0, "first"), count = integer_argument(info, 1, "count");
  if (count < 0 || count > of->num_tokens()) throw std::runtime_error("cannot read " + std::to_string(count) + " tokens");
  const KvGeometry& geometry = of->geometry();
  const int64_t length = 2 * geometry.num_rows() * count * geometry.head_dim;
  Napi::Uint16Array result = Napi::Uint16Array::New(info.Env(), static_cast<size_t>(length));
  of->read_tokens(first, count, result.Data());
  return result;
}

void SequenceBinding::append_tokens(const Napi::CallbackInfo& info) {
  const auto to = sequence();
  const auto data = typed_array_argument<Napi::Uint16Array>(info, 0, "keysAndValues", napi_uint16_array, "a Uint16Array");
  const int64_t token_values = 2 * to->geometry().num_rows() * to->geometry().head_dim;
  const int64_t length = static_cast<int64_t>(data.ElementLength());
  if (length % token_values != 0) {
    throw std::runtime_error(std::to_string(length) + " values are not whole tokens of " + std::to_string(token_values));
  }
  to->append_tokens(data.Data(), length / token_values);
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

namespace {

std::shared_ptr<Segment> segment_argument(const Napi::CallbackInfo& info) {
  SegmentBinding* binding = SegmentBinding::Unwrap(object_argument(info, 0, "segment"));
  if (binding->segment == nullptr) throw std::runtime_error("the segment is disposed");
  return binding->segment;
}

}  // namespace

void SequenceBinding::attach(const Napi::CallbackInfo& info) { sequence()->attach(segment_argument(info)); }

void SequenceBinding::adopt(const Napi::CallbackInfo& info) { sequence()->adopt(segment_argument(info)); }

void SequenceBinding::dispose(const Napi::CallbackInfo&) { sequence_.reset(); }

}  // namespace wavekv
