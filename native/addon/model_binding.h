#pragma once
#include <napi.h>

#include <memory>

#include "model.h"

namespace wavekv {

/// JavaScript's `Model`: see NativeModel in src/native/addon.ts.
class ModelBinding : public Napi::ObjectWrap<ModelBinding> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ModelBinding(const Napi::CallbackInfo& info);

  /// Throws a JavaScript error after close().
  std::shared_ptr<Model> model() const;

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<Model> model_;
};

}  // namespace wavekv
