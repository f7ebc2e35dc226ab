// Atoms sorted into bins, and the bins around a bin.
//
// The bins divide the search basis of the Box. Memory is proportional to the number of atoms: where a full
// table of bins would be larger (vacuum, scattered atoms) only the occupied ones are kept, and searched for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "grid.hpp"
#include "miniffx/box.hpp"
#include "miniffx/memory.hpp"
#include "simd.hpp"

namespace miniffx {

struct CellList {
    Box box;
    double cutoff;

    // Atoms in the order of their bins; within a bin in the caller's order. Those to be ignored are left out.
    // Most are where the caller put them, and are translated to all images alike. Where the caller's atoms are in
    // several images of the box, those outside of the usual one have a place next to their neighbours, known up to
    // `slack`. What is reported is computed from `exact`.
    std::int64_t n_atoms;
    Buffer<double> x, y, z;  // [n_atoms] places; with room to read kLanes at a time
    struct Exact {
        double position[3];  // as the caller gave it
        std::int32_t atom;   // the caller's index
        std::int32_t wrap;   // which of `wraps` leads from the place to the position; -1 if they are the same
    };
    Buffer<Exact> exact;                             // [n_atoms]
    std::vector<std::array<std::int32_t, 3>> wraps;  // in lattice vectors of the caller's cell

    // Bins. Axis 0 varies fastest in a key: bins that follow each other along it hold consecutive atoms.
    std::int64_t bins[3];
    std::vector<std::int64_t> key;    // occupied bins, ascending
    std::vector<std::int32_t> begin;  // [key.size() + 1] their first atoms
    std::vector<std::int32_t> table;  // [number of bins + 1] first atom of every bin; empty if not affordable

    // Rows of bins, relative to a bin, that can hold an atom within the cutoff of any atom in it.
    std::vector<StencilRow> stencil;

    // Bound on the error, in Å, of a displacement component whatever the order it is computed in.
    double slack;
};

// `species` may be null; atoms whose species is negative are ignored, whatever their position.
// Throws std::invalid_argument for a non-finite position and where a shift would not fit into 32 bits.
CellList build_cell_list(const Box& box, std::int64_t n_atoms, const double* positions, double cutoff,
                         const std::int32_t* species, int threads);

// Consecutive atoms that one bin has to look at, all translated by the same lattice vector.
struct Segment {
    std::int32_t begin, end;
    bool home;              // no translation: an atom finds itself here
    double translation[3];  // in Å, rounded
    std::int64_t shift[3];  // the same in units of the caller's cell
};

// Walks over the segments around one bin after another. Where there is no table it remembers for each row of
// the stencil where the last search ended: for a bin nearby the next one ends nearby.
class SegmentWalk {
  public:
    explicit SegmentWalk(const CellList& cells)
        : cells_(cells), hints_(cells.table.empty() ? cells.stencil.size() : 0) {}

    void start(std::int64_t bin);
    bool next(Segment& segment);  // false when there are no more

  private:
    void atoms_between(std::int64_t low, std::int64_t high, Segment& segment);

    const CellList& cells_;
    std::vector<std::size_t> hints_;
    std::int64_t home_[3] = {};
    std::size_t row_ = 0;
    std::int64_t along_ = 0;  // how much of the row is done
};

}  // namespace miniffx
