#pragma once
#include <napi.h>

#include <memory>

#include "sequence.h"

namespace wavekv {

/// JavaScript's `Segment` and `Sequence`: see NativeSegment and NativeSequence in src/native/addon.ts. Both are made by
/// a runner only.
class SegmentBinding : public Napi::ObjectWrap<SegmentBinding> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, std::shared_ptr<Segment> segment);
  explicit SegmentBinding(const Napi::CallbackInfo& info);

  std::shared_ptr<Segment> segment;

 private:
  Napi::Value slot(const Napi::CallbackInfo& info);
  Napi::Value order(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
};

class SequenceBinding : public Napi::ObjectWrap<SequenceBinding> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, std::shared_ptr<Sequence> sequence);
  explicit SequenceBinding(const Napi::CallbackInfo& info);

  /// Throws a JavaScript error after dispose().
  std::shared_ptr<Sequence> sequence() const;

 private:
  Napi::Value num_tokens(const Napi::CallbackInfo& info);
  Napi::Value num_segments(const Napi::CallbackInfo& info);
  Napi::Value tail_room(const Napi::CallbackInfo& info);
  Napi::Value segment_ready(const Napi::CallbackInfo& info);
  Napi::Value query_squares(const Napi::CallbackInfo& info);
  void set_query_squares(const Napi::CallbackInfo& info, const Napi::Value& value);
  Napi::Value fork(const Napi::CallbackInfo& info);
  Napi::Value read_tokens(const Napi::CallbackInfo& info);
  void append_tokens(const Napi::CallbackInfo& info);
  Napi::Value zones(const Napi::CallbackInfo& info);
  void attach(const Napi::CallbackInfo& info);
  void adopt(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<Sequence> sequence_;
};

}  // namespace wavekv
