// The neighbours of one centre that take part in triples, in a form that the inner loops like.
#pragma once

#include <cstdint>
#include <vector>

namespace miniffx {

// Displacements in separate arrays, with the slot (pair or column) that each belongs to. Sized once, for
// reuse.
class NearSlots {
  public:
    NearSlots(std::int64_t capacity, double cutoff, bool closed)
        : square_(cutoff * cutoff),
          closed_(closed),
          slot_(static_cast<std::size_t>(capacity)),
          joined_(slot_.size()),
          x_(slot_.size()),
          y_(slot_.size()),
          z_(slot_.size()) {}

    void clear() { size_ = 0; }
    std::int64_t size() const { return static_cast<std::int64_t>(size_); }
    std::int64_t slot(std::int64_t k) const { return slot_[static_cast<std::size_t>(k)]; }

    // Takes the slot if it is shorter than the triples' cutoff.
    void add(std::int64_t slot, double x, double y, double z) {
        if (!(x * x + y * y + z * z < square_)) return;
        slot_[size_] = slot;
        x_[size_] = x;
        y_[size_] = y;
        z_[size_] = z;
        ++size_;
    }

    // How many entries from `begin` to `end` make a triple with entry a.
    std::int64_t count_joined(std::int64_t a, std::int64_t begin, std::int64_t end) const {
        if (!closed_) return end > begin ? end - begin : 0;
        std::int64_t count = 0;
        for (std::int64_t b = begin; b < end; ++b) count += square_between(a, b) < square_ ? 1 : 0;
        return count;
    }

    // As count_joined, and keeps their slots in joined(). No branch depends on the distances.
    std::int64_t find_joined(std::int64_t a, std::int64_t begin, std::int64_t end) {
        std::int64_t count = 0;
        for (std::int64_t b = begin; b < end; ++b) {
            joined_[static_cast<std::size_t>(count)] = slot(b);
            count += !closed_ || square_between(a, b) < square_ ? 1 : 0;
        }
        return count;
    }
    const std::int64_t* joined() const { return joined_.data(); }

  private:
    double square_between(std::int64_t a, std::int64_t b) const {
        const auto u = static_cast<std::size_t>(a), v = static_cast<std::size_t>(b);
        const double dx = x_[v] - x_[u], dy = y_[v] - y_[u], dz = z_[v] - z_[u];
        return dx * dx + dy * dy + dz * dz;
    }

    double square_;
    bool closed_;
    std::size_t size_ = 0;
    std::vector<std::int64_t> slot_, joined_;
    std::vector<double> x_, y_, z_;
};

}  // namespace miniffx
