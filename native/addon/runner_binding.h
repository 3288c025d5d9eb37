#pragma once
#include <napi.h>

#include <memory>

#include "runner.h"
#include "sampler.h"

namespace wavekv {

/// JavaScript's `Runner`: see NativeRunner in src/native/addon.ts. Holds its model and the control plane's memory.
class RunnerBinding : public Napi::ObjectWrap<RunnerBinding> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit RunnerBinding(const Napi::CallbackInfo& info);

 private:
  Runner& runner() const;
  Napi::Value geometry(const Napi::CallbackInfo& info);
  void set_control_plane(const Napi::CallbackInfo& info);
  void set_wave_options(const Napi::CallbackInfo& info);
  Napi::Value make_sequence(const Napi::CallbackInfo& info);
  Napi::Value begin(const Napi::CallbackInfo& info);
  void project(const Napi::CallbackInfo& info);
  void score(const Napi::CallbackInfo& info);
  void attend(const Napi::CallbackInfo& info);
  void finish(const Napi::CallbackInfo& info);
  Napi::Value logits(const Napi::CallbackInfo& info);
  Napi::Value sample(const Napi::CallbackInfo& info);
  Napi::Value logprobs(const Napi::CallbackInfo& info);
  Napi::Value build_segment(const Napi::CallbackInfo& info);
  void admit(const Napi::CallbackInfo& info);
  Napi::Value phase_times(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::unique_ptr<Runner> runner_;
  Sampler sampler_;
  Napi::Reference<Napi::ArrayBuffer> control_plane_memory_;  // keeps the regions alive
};

}  // namespace wavekv
