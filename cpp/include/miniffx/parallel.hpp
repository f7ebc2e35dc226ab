// Threads. No result of the library depends on how many there are.
#pragma once

namespace miniffx {

// Whether the threads are OpenMP's. Where it was not found, the library starts threads of its own.
bool has_openmp() noexcept;

// OMP_NUM_THREADS where it is set, else the processors that this process may use. `threads = 0` means this many in
// every function, fewer where the work is small.
int max_threads() noexcept;

}  // namespace miniffx
