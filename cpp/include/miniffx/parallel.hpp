// Threads. No result of the library depends on how many there are.
#pragma once

namespace miniffx {

bool has_openmp() noexcept;

// The OpenMP default, 1 without OpenMP. `threads = 0` means this many in every function, fewer where the work is small.
int max_threads() noexcept;

}  // namespace miniffx
