#include "miniffx/memory.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace miniffx {
namespace {

// Bytes that can still be had, infinity where the system does not say.
double available_memory() {
    double available = std::numeric_limits<double>::infinity();
    std::ifstream meminfo("/proc/meminfo");
    for (std::string line; std::getline(meminfo, line);) {
        std::istringstream words(line);
        std::string key;
        double kib = 0;
        if (words >> key >> kib && key == "MemAvailable:") available = kib * 1024;
    }
    // A container's limit; the word "max", for none, does not parse.
    double limit = 0;
    if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit && limit < available) available = limit;
    return available;
}

constexpr std::size_t kHugePage = std::size_t{1} << 21;

}  // namespace

void require_memory(double bytes, const std::string& what) {
    if (bytes < 64e6) return;
    const double available = available_memory();
    if (bytes < available) return;
    std::ostringstream message;
    message.precision(3);
    message << what << " would need about " << bytes / 1e9 << " GB, " << available / 1e9 << " GB are available";
    throw OutOfMemory(message.str());
}

void* allocate(std::size_t bytes) {
    void* memory = nullptr;
#if defined(__linux__)
    // Page faults on fresh 4 KiB pages would otherwise cost as much as filling a long list.
    if (bytes >= 4 * kHugePage) {
        if (bytes > std::numeric_limits<std::size_t>::max() - kHugePage) throw std::bad_alloc();
        memory = std::aligned_alloc(kHugePage, (bytes + kHugePage - 1) / kHugePage * kHugePage);
        if (memory != nullptr) (void)madvise(memory, bytes, MADV_HUGEPAGE);
    } else {
        memory = std::malloc(bytes > 0 ? bytes : 1);
    }
#else
    memory = std::malloc(bytes > 0 ? bytes : 1);
#endif
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void deallocate(void* memory) noexcept { std::free(memory); }

}  // namespace miniffx
