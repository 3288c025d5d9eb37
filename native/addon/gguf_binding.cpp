#include "gguf_binding.h"

#include <cmath>

#include "arguments.h"
#include "gguf.h"

namespace wavekv {
namespace {

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

// All arrays of a file together. V8 ends the process where its heap or an array buffer cannot grow, so that sizes are
// refused before; the largest vocabularies have some 300,000 tokens and as many merges.
constexpr int64_t kMaxElements = int64_t{1} << 24;

// Handles kept alive at a time while a long array of strings is filled.
constexpr size_t kStringsPerScope = 1024;

/// Bytes that are not UTF-8 become U+FFFD.
Napi::Value to_js(Napi::Env env, const std::string& text) { return Napi::String::New(env, text.data(), text.size()); }

template <typename Integer>
Napi::Value integer_to_js(Napi::Env env, Integer value) {
  bool safe = value <= static_cast<Integer>(kMaxSafeInteger);
  if constexpr (std::is_signed_v<Integer>) safe = safe && value >= -kMaxSafeInteger;
  if (safe) return Napi::Number::New(env, static_cast<double>(value));
  return Napi::BigInt::New(env, value);
}

Napi::Value to_js(Napi::Env env, uint64_t value) { return integer_to_js(env, value); }
Napi::Value to_js(Napi::Env env, int64_t value) { return integer_to_js(env, value); }
Napi::Value to_js(Napi::Env env, double value) { return Napi::Number::New(env, value); }
Napi::Value to_js(Napi::Env env, bool value) { return Napi::Boolean::New(env, value); }

template <typename Array, typename T>
Napi::Value copy_to(Napi::Env env, const std::vector<T>& values) {
  Array array = Array::New(env, values.size());
  auto* out = array.Data();
  for (size_t i = 0; i < values.size(); ++i) out[i] = static_cast<std::remove_reference_t<decltype(out[0])>>(values[i]);
  return array;
}

template <typename Integer>
bool fits_int32(Integer value) {
  if constexpr (std::is_signed_v<Integer>) {
    if (value < INT32_MIN) return false;
  }
  return value <= static_cast<Integer>(INT32_MAX);
}

/// Integers of any width: Int32Array where every one fits, else Float64Array (rounded past 2^53).
template <typename Integer>
Napi::Value to_js(Napi::Env env, const std::vector<Integer>& values) {
  if constexpr (sizeof(Integer) >= 4) {
    for (const Integer value : values) {
      if (!fits_int32(value)) return copy_to<Napi::Float64Array>(env, values);
    }
  }
  return copy_to<Napi::Int32Array>(env, values);
}

Napi::Value to_js(Napi::Env env, const std::vector<float>& values) { return copy_to<Napi::Float32Array>(env, values); }
Napi::Value to_js(Napi::Env env, const std::vector<double>& values) { return copy_to<Napi::Float64Array>(env, values); }

template <typename T>
Napi::Value array_to_js(Napi::Env env, const std::vector<T>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (size_t begin = 0; begin < values.size(); begin += kStringsPerScope) {
    const Napi::HandleScope scope(env);
    const size_t end = std::min(values.size(), begin + kStringsPerScope);
    for (size_t i = begin; i < end; ++i) array.Set(static_cast<uint32_t>(i), to_js(env, T(values[i])));
  }
  return array;
}

Napi::Value to_js(Napi::Env env, const std::vector<bool>& values) { return array_to_js(env, values); }
Napi::Value to_js(Napi::Env env, const std::vector<std::string>& values) { return array_to_js(env, values); }

Napi::Value to_js(Napi::Env env, const GgufArray& array) {
  return std::visit([env](const auto& values) { return to_js(env, values); }, array);
}

void check_elements(const GgufFile& file) {
  int64_t elements = 0;
  for (const auto& pair : file.metadata()) {
    if (const GgufArray* array = std::get_if<GgufArray>(&pair.second)) {
      elements += std::visit([](const auto& values) { return static_cast<int64_t>(values.size()); }, *array);
    }
  }
  if (elements <= kMaxElements) return;
  throw std::runtime_error(file.path() + ": the metadata hold arrays of " + std::to_string(elements) +
                           " elements in all, more than " + std::to_string(kMaxElements));
}

Napi::Value metadata_to_js(Napi::Env env, const GgufFile& file) {
  Napi::Object map = env.Global().Get("Map").As<Napi::Function>().New({});
  const Napi::Function set = map.Get("set").As<Napi::Function>();
  for (const auto& pair : file.metadata()) {
    const Napi::HandleScope scope(env);
    const Napi::Value value = std::visit([env](const auto& held) { return to_js(env, held); }, pair.second);
    set.Call(map, {to_js(env, pair.first), value});
  }
  return map;
}

Napi::Value tensor_to_js(Napi::Env env, const GgufTensor& tensor) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("name", to_js(env, tensor.name));
  result.Set("type", Napi::String::New(env, ggml_type_info(tensor.type)->name));
  Napi::Array shape = Napi::Array::New(env, tensor.shape.size());
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    shape.Set(static_cast<uint32_t>(i), Napi::Number::New(env, static_cast<double>(tensor.shape[i])));
  }
  result.Set("shape", shape);
  result.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(tensor.size_bytes)));
  return result;
}

Napi::Value tensors_to_js(Napi::Env env, const GgufFile& file) {
  Napi::Array tensors = Napi::Array::New(env, file.tensors().size());
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const Napi::HandleScope scope(env);
    tensors.Set(static_cast<uint32_t>(i), tensor_to_js(env, file.tensors()[i]));
  }
  return tensors;
}

Napi::Value read_gguf(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsString()) wrong_type(info, "path", "a string");
  const GgufFile file(info[0].As<Napi::String>().Utf8Value());
  check_elements(file);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("metadata", metadata_to_js(info.Env(), file));
  result.Set("tensors", tensors_to_js(info.Env(), file));
  return result;
}

}  // namespace

void register_gguf(Napi::Env env, Napi::Object exports) {
  exports.Set("readGguf", Napi::Function::New(env, read_gguf, "readGguf"));
}

}  // namespace wavekv
