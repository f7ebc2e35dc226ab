// All atoms that a few atoms of one bin have to look at, copied side by side.
#pragma once

#include <cstdint>
#include <vector>

#include "cell_list.hpp"
#include "within.hpp"

namespace miniffx {

// One thread's memory for the surroundings of one group of atoms at a time. The order of the candidates depends on
// nothing but the cell list.
class Candidates {
  public:
    Candidates(const CellList& cells, const Within& within);

    // Gathers what atoms from `begin` to `end` of a bin have to look at.
    void gather(std::int64_t bin, std::int32_t begin, std::int32_t end);

    // Candidates that come from one image of the box.
    struct Run {
        std::int32_t begin;     // its first candidate
        std::int32_t shift[3];  // from the place of the group to theirs
    };
    const std::vector<Run>& runs() const { return runs_; }  // closed by one that begins at the end

    // Whether some candidate is in another image. Otherwise there is one run, with shift zero.
    bool shifted() const { return shifted_; }

    // Finds the candidates within the cutoff of atom p of the group, p left out: how many, in hits(), as numbers of
    // candidates if shifted() and else as places in the cell list. `doubt`: there may be some too many.
    std::int64_t find(std::int32_t p, bool& doubt);
    const std::int32_t* hits() const { return hits_.data(); }
    std::int32_t place(std::int32_t candidate) const { return place_[static_cast<std::size_t>(candidate)]; }

  private:
    void append(const Segment& segment);
    void reserve(std::size_t size);

    const CellList& cells_;
    const Within& within_;
    SegmentWalk walk_;
    double reach_;

    // The frame: the middle of the group, and a power of two that scales all candidates into a cube of edge 2.
    std::int32_t begin_ = 0;
    double origin_[3] = {};
    double scale_ = 1;
    Bounds bounds_{};
    Range range_{};

    std::vector<float> x_, y_, z_;
    std::vector<std::int32_t> place_, number_, hits_;
    Block block_{};
    std::vector<Run> runs_;
    bool shifted_ = false;
    std::int64_t home_ = 0;  // the group's first atom among the candidates
};

}  // namespace miniffx
