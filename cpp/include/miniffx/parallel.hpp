// Threads. No result of the library depends on how many there are.
#pragma once

#include <cstdint>
#include <functional>

namespace miniffx {

// Whether the threads are OpenMP's. Where it was not found, the library starts threads of its own.
bool has_openmp() noexcept;

// OMP_NUM_THREADS where it is set, else the processors that this process may use. `threads = 0` means this many in
// every function, fewer where the work is small.
int max_threads() noexcept;

// body(structure, threads) for every structure of a batch, of n_atoms each: structures side by side, each with one
// thread, where there are as many of them as threads, or where they are too small for several; else one after the
// other, each with all `threads`. A body may write only what belongs to its structure. The first exception to be caught
// is rethrown once all threads are done.
void for_each_structure(std::int64_t n_structures, std::int64_t n_atoms, int threads,
                        const std::function<void(std::int64_t, int)>& body);

}  // namespace miniffx
