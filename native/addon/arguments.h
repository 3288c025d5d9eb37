#pragma once
#include <napi.h>

#include <stdexcept>
#include <string>

namespace wavekv {

// Argument checks: a wrong type becomes a JavaScript TypeError that names the argument.

[[noreturn]] inline void wrong_type(const Napi::CallbackInfo& info, const std::string& name, const char* expected) {
  throw Napi::TypeError::New(info.Env(), name + " must be " + expected);
}

inline double number_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (info.Length() <= index || !info[index].IsNumber()) wrong_type(info, name, "a number");
  return info[index].As<Napi::Number>().DoubleValue();
}

inline int64_t integer_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const double value = number_argument(info, index, name);
  if (!(value >= -9007199254740991.0 && value <= 9007199254740991.0) || value != static_cast<double>(static_cast<int64_t>(value))) {
    wrong_type(info, name, "an integer");
  }
  return static_cast<int64_t>(value);
}

inline Napi::Object object_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (info.Length() <= index || !info[index].IsObject()) wrong_type(info, name, "an object");
  return info[index].As<Napi::Object>();
}

inline double number_field(const Napi::CallbackInfo& info, const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber()) wrong_type(info, name, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

inline int64_t integer_field(const Napi::CallbackInfo& info, const Napi::Object& object, const char* name) {
  return static_cast<int64_t>(number_field(info, object, name));
}

inline bool boolean_field(const Napi::CallbackInfo& info, const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsBoolean()) wrong_type(info, name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

inline std::string string_field(const Napi::CallbackInfo& info, const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsString()) wrong_type(info, name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

template <typename T>
T typed_array_argument(const Napi::CallbackInfo& info, size_t index, const char* name, napi_typedarray_type type,
                       const char* expected) {
  if (info.Length() <= index || !info[index].IsTypedArray() ||
      info[index].As<Napi::TypedArray>().TypedArrayType() != type) {
    wrong_type(info, name, expected);
  }
  return info[index].As<T>();
}

}  // namespace wavekv
