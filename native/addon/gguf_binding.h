#pragma once
#include <napi.h>

namespace wavekv {

/// Adds readGguf(path) to the addon's exports: { metadata: Map<string, GgufValue>, tensors: [{ name, type, shape,
/// sizeBytes }] }, values as src/text/types.ts lists them. It copies; the file is closed when it returns.
void register_gguf(Napi::Env env, Napi::Object exports);

}  // namespace wavekv
