#include "model_binding.h"

#include "arguments.h"

namespace wavekv {
namespace {

SimdLevel simd_by_name(const Napi::CallbackInfo& info, const std::string& name) {
  if (name == "auto") return detect_simd_level();
  if (name == "avx512") return SimdLevel::kAvx512;
  if (name == "avx2") return SimdLevel::kAvx2;
  if (name == "portable") return SimdLevel::kPortable;
  wrong_type(info, "simd", "auto, avx512, avx2 or portable");
}

RopeOptions rope_options(const Napi::CallbackInfo& info, const Napi::Object& options) {
  RopeOptions rope;
  const std::string scaling = string_field(info, options, "ropeScaling");
  rope.from_file = scaling == "file";
  rope.factor = number_field(info, options, "ropeScale");
  if (scaling == "none" || scaling == "file") {
    rope.scaling = RopeScaling::kNone;
  } else if (scaling == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (scaling == "yarn") {
    rope.scaling = RopeScaling::kYarn;
  } else {
    wrong_type(info, "ropeScaling", "file, none, linear or yarn");
  }
  return rope;
}

}  // namespace

Napi::Function ModelBinding::define(Napi::Env env) {
  return DefineClass(env, "Model",
                     {InstanceMethod<&ModelBinding::info>("info"), InstanceMethod<&ModelBinding::close>("close")});
}

ModelBinding::ModelBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelBinding>(info) {
  const Napi::Object options = object_argument(info, 0, "options");
  model_ = std::make_shared<Model>(string_field(info, options, "path"), rope_options(info, options),
                                   simd_by_name(info, string_field(info, options, "simd")),
                                   static_cast<int>(integer_field(info, options, "numThreads")));
}

std::shared_ptr<Model> ModelBinding::model() const {
  if (model_ == nullptr) throw std::runtime_error("the model is closed");
  return model_;
}

Napi::Value ModelBinding::info(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Model> model = this->model();
  const ModelConfig& config = model->config;
  Napi::Object result = Napi::Object::New(info.Env());
  const auto number = [&](const char* name, int64_t value) { result.Set(name, static_cast<double>(value)); };
  result.Set("architecture", config.architecture);
  number("numLayers", config.num_layers);
  number("hiddenDim", config.hidden_dim);
  number("numHeads", config.num_heads);
  number("numKvHeads", config.num_kv_heads);
  number("headDim", config.head_dim);
  number("ffnDim", config.ffn_dim);
  number("vocabSize", config.vocab_size);
  number("trainedContext", config.trained_context);
  number("usableContext", config.usable_context());
  number("packedBytes", model->weights.packed_size_bytes());
  number("numThreads", model->pool.num_threads());
  result.Set("simdLevel", std::string(model->kernels.name));
  return result;
}

void ModelBinding::close(const Napi::CallbackInfo&) { model_.reset(); }

}  // namespace wavekv
