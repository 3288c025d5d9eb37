#include <napi.h>

#include "gguf_binding.h"
#include "instance_data.h"
#include "model_binding.h"
#include "runner_binding.h"
#include "sequence_binding.h"

namespace {

using namespace wavekv;

Napi::Value cpu_info(const Napi::CallbackInfo& info) {
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("simdLevel", std::string(kernels_for(detect_simd_level()).name));
  result.Set("numCpus", usable_cpus());
  return result;
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  auto* data = new InstanceData();
  data->segment = Napi::Persistent(SegmentBinding::define(env));
  data->sequence = Napi::Persistent(SequenceBinding::define(env));
  env.SetInstanceData(data);  // freed with the environment
  exports.Set("cpuInfo", Napi::Function::New(env, cpu_info));
  exports.Set("Model", ModelBinding::define(env));
  exports.Set("Runner", RunnerBinding::define(env));
  register_gguf(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(wavekv, initialise)
