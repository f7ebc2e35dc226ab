// Memory for the large arrays: uninitialized, and refused with an estimate before the machine runs out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <type_traits>

namespace miniffx {

// A request that the machine cannot satisfy; says how much was needed and for what.
class OutOfMemory : public std::bad_alloc {
  public:
    explicit OutOfMemory(const std::string& message) : message_(std::make_shared<std::string>(message)) {}
    const char* what() const noexcept override { return message_->c_str(); }

  private:
    std::shared_ptr<const std::string> message_;
};

// Throws OutOfMemory when `bytes` exceed what the system says is available. `what` is for the message: "12
// pairs".
void require_memory(double bytes, const std::string& what);

// Large blocks that are given back stay ready for requests of about their size, since fresh pages cost as much as
// filling a list does. In the meantime the system may take the pages of the largest when it needs memory.
void* allocate(std::size_t bytes);
void deallocate(void* memory, std::size_t bytes) noexcept;

// An array that owns its memory and leaves it uninitialized, so that the threads which fill it also
// touch its pages first.
template <class T>
class Buffer {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

  public:
    Buffer() = default;
    explicit Buffer(std::int64_t size) : size_(size) {
        const auto count = static_cast<std::size_t>(size);
        if (size < 0 || count > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_alloc();
        data_ = std::unique_ptr<T[], Deleter>(static_cast<T*>(allocate(count * sizeof(T))), {count * sizeof(T)});
    }

    T* data() noexcept { return data_.get(); }
    const T* data() const noexcept { return data_.get(); }
    std::int64_t size() const noexcept { return size_; }
    T& operator[](std::int64_t k) noexcept { return data_[static_cast<std::size_t>(k)]; }
    const T& operator[](std::int64_t k) const noexcept { return data_[static_cast<std::size_t>(k)]; }
    const T* begin() const noexcept { return data(); }
    const T* end() const noexcept { return data() + size_; }

  private:
    struct Deleter {
        std::size_t bytes = 0;
        void operator()(T* memory) const noexcept { deallocate(memory, bytes); }
    };
    std::unique_ptr<T[], Deleter> data_;
    std::int64_t size_ = 0;
};

}  // namespace miniffx
