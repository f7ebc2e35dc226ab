#include "miniffx/memory.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "text.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace miniffx {
namespace {

// The number in the first line of this form in a file; 0 where there is none.
double number_in(const char* path, const char* form) {
    std::FILE* const file = std::fopen(path, "r");
    if (file == nullptr) return 0;
    double number = 0;
    for (char line[256]; std::fgets(line, sizeof line, file) != nullptr;) {
        if (std::sscanf(line, form, &number) == 1) break;
    }
    std::fclose(file);
    return number;
}

// Bytes that can still be had, infinity where the system does not say.
double available_memory() {
    double available = std::numeric_limits<double>::infinity();
    const double kib = number_in("/proc/meminfo", "MemAvailable: %lf");
    if (kib > 0) available = kib * 1024;
    // A container's limit; the word "max", for none, does not parse.
    const double limit = number_in("/sys/fs/cgroup/memory.max", "%lf");
    if (limit > 0 && limit < available) available = limit;
    return available;
}

constexpr std::size_t kPage = 4096, kHugePage = std::size_t{1} << 21;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__linux__)
constexpr std::size_t kLarge = std::numeric_limits<std::size_t>::max();  // every block is the system's own
#else
constexpr std::size_t kLarge = std::size_t{1} << 18;
#endif

// What is really asked for: an eighth more at most, so that requests of about a size share blocks.
std::size_t block_size(std::size_t bytes) {
    std::size_t step = kPage;
    while (16 * step <= bytes) step *= 2;
    return (bytes + step - 1) / step * step;
}

#if defined(__linux__)
void* fresh_block(std::size_t size) {
    const bool huge = size >= 4 * kHugePage;
    const std::size_t alignment = huge ? kHugePage : 64;  // JAX takes over what begins with a cache line
    size = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment;
    void* const memory = std::aligned_alloc(alignment, size);
    if (huge && memory != nullptr) (void)madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

void give_up_contents(void* memory, std::size_t size) {
    if (size >= 4 * kHugePage) (void)madvise(memory, size, MADV_FREE);
}
#else
void* fresh_block(std::size_t size) { return std::malloc(size > 0 ? size : 1); }
void give_up_contents(void*, std::size_t) {}
#endif

// Blocks that wait to be used again. A request that none of them serves releases those that are larger: what waits
// is then a small part of what is in use.
class Pool {
  public:
    void* take(std::size_t size) {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (std::size_t k = blocks_.size(); k-- > 0;) {
            if (blocks_[k].size != size) continue;
            void* const memory = blocks_[k].memory;
            blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(k));
            return memory;
        }
        const auto larger = std::stable_partition(blocks_.begin(), blocks_.end(),
                                                  [&](const Block& block) { return block.size <= size; });
        for (auto block = larger; block != blocks_.end(); ++block) std::free(block->memory);
        blocks_.erase(larger, blocks_.end());
        return nullptr;
    }

    void put(void* memory, std::size_t size) noexcept {
        give_up_contents(memory, size);
        const std::lock_guard<std::mutex> lock(mutex_);
        if (blocks_.size() == kMostBlocks) {
            std::free(blocks_.front().memory);  // the one that has waited longest
            blocks_.erase(blocks_.begin());
        }
        blocks_.push_back({memory, size});  // within what is reserved
    }

    Pool() { blocks_.reserve(kMostBlocks); }

  private:
    struct Block {
        void* memory;
        std::size_t size;
    };
    static constexpr std::size_t kMostBlocks = 256;
    std::mutex mutex_;
    std::vector<Block> blocks_;
};

Pool& pool() {
    static Pool* const instance = new Pool;  // outlives whatever still holds a block when the program ends
    return *instance;
}

}  // namespace

void require_memory(double bytes, const std::string& what) {
    if (bytes < 64e6) return;
    const double available = available_memory();
    if (bytes < available) return;
    throw OutOfMemory(what + " would need about " + text_of(bytes / 1e9, 3) + " GB, " + text_of(available / 1e9, 3) +
                      " GB are available");
}

void* allocate(std::size_t bytes) {
    if (bytes > std::numeric_limits<std::size_t>::max() / 2) throw std::bad_alloc();
    void* memory = nullptr;
    if (bytes < kLarge) {
        memory = fresh_block(bytes);
    } else {
        const std::size_t size = block_size(bytes);
        memory = pool().take(size);
        if (memory == nullptr) memory = fresh_block(size);
    }
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void deallocate(void* memory, std::size_t bytes) noexcept {
    if (memory == nullptr || bytes < kLarge) {
        std::free(memory);
    } else {
        pool().put(memory, block_size(bytes));
    }
}

}  // namespace miniffx
