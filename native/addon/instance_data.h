#pragma once
#include <napi.h>

namespace wavekv {

/// The classes of one JavaScript environment (main thread and engine thread each load the addon on their own).
struct InstanceData {
  Napi::FunctionReference segment;
  Napi::FunctionReference sequence;
};

}  // namespace wavekv
