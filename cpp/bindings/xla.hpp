// What the Python module needs to know of the XLA FFI handler.
#pragma once

#include <string>

namespace miniffx {

// The address of the handler, for jax.ffi.register_ffi_target.
void* xla_update_handler();

// The version of the FFI that it was built for.
std::string xla_ffi_version();

}  // namespace miniffx
