// All atoms that a few atoms of one bin have to look at, copied side by side with their lattice parts.
#pragma once

#include <cstdint>
#include <vector>

#include "cell_list.hpp"
#include "within.hpp"

namespace miniffx {

// One thread's memory for the surroundings of one group of atoms at a time. Candidates come in blocks of bounded
// size, in an order that depends on nothing but the cell list.
class Candidates {
  public:
    static constexpr std::int64_t kCapacity = 2048;

    Candidates(const CellList& cells, const Within& within);

    // Atoms from `begin` to `end` of a bin become the group.
    void start(std::int64_t bin, std::int32_t begin, std::int32_t end);
    bool next();  // gathers the next block; false when there is none

    // The block as atom p of the group sees it: without itself, and from its own image.
    const Block& around(std::int32_t p);
    const double* center() const { return center_; }  // the position of that atom

    // A candidate as it enters the list: labels are atoms, all with shift 0, or else places in entries().
    struct Entry {
        std::int32_t shift[3];
        std::int32_t atom;
    };
    bool labels_are_atoms() const { return !block_.shifted; }
    const Entry* entries() const { return seen_from_stray_ ? moved_.data() : entry_.data(); }

  private:
    struct Run {  // candidates of one segment
        std::int64_t begin;
        std::int64_t shift[3];
    };

    void append(const Segment& segment, std::int32_t begin, std::int32_t end);
    void expand();
    void place_stray(std::int64_t k, const Run& run);
    void look_from(const CellList::Stray& stray);

    const CellList& cells_;
    const Within& within_;
    SegmentWalk walk_;
    Segment pending_{};
    Block block_{};
    std::int64_t size_ = 0;
    std::vector<Run> runs_;

    // The group, what it spans, and how far from there a candidate may be.
    std::int32_t begin_ = 0, end_ = 0;
    double low_[3] = {}, high_[3] = {};
    double reach_square_;
    bool has_stray_ = false;

    Buffer<double> x_, y_, z_;
    Buffer<std::int32_t> atom_, place_;
    // As the usual image sees the candidates, and as one stray does.
    Buffer<double> lattice_[3], moved_lattice_[3];
    Buffer<Entry> entry_, moved_;
    bool seen_from_stray_ = false;

    double center_[3] = {};
    std::int64_t home_ = -1;    // place of the first atom of the group, if it is in the block
    std::int64_t hidden_ = -1;  // the candidate that is out of the way, and where it belongs
    double hidden_x_ = 0;
    std::int32_t home_begin_ = 0, home_end_ = 0;  // the part of the group in the block
};

}  // namespace miniffx
