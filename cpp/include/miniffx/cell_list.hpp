// Atoms sorted into bins, and the bins around a bin.
//
// The bins divide the search basis of the Box. Memory is proportional to the number of atoms: where a full
// table of bins would be larger (vacuum, scattered atoms) only the occupied ones are kept, and looked up by
// bisection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "miniffx/box.hpp"
#include "miniffx/memory.hpp"

namespace miniffx {

struct CellList {
    Box box;
    double cutoff;

    // Atoms in the order of their bins; within a bin in the caller's order. Those to be ignored are left out.
    std::int64_t n_atoms;
    Buffer<std::int32_t> atom;  // [n_atoms] the caller's index
    Buffer<double> x, y, z;     // [n_atoms] wrapped into the box along periodic axes
    Buffer<double> position;    // [n_atoms, 3] as the caller gave it
    Buffer<std::int32_t> wrap;  // [n_atoms, 3] position = wrapped + wrap . cell

    // Bins. Axis 0 varies fastest in a key: bins that follow each other along it hold consecutive atoms.
    std::int64_t bins[3];
    std::vector<std::int64_t> key;    // occupied bins, ascending
    std::vector<std::int32_t> begin;  // [key.size() + 1] their first atoms
    std::vector<std::int32_t> table;  // [number of bins + 1] first atom of every bin; empty if not affordable

    // Rows of bins, relative to a bin, that can hold an atom within the cutoff of any atom in it.
    struct Row {
        std::int64_t d2, d1, low, high;  // offsets along the axes 2 and 1; inclusive range along axis 0
    };
    std::vector<Row> stencil;

    // Bound on the error, in Å, of a displacement component computed from wrapped coordinates.
    double slack;
};

// Consecutive atoms that one bin has to look at, all translated by the same lattice vector.
struct Segment {
    std::int32_t begin, end;
    bool home;              // no translation: an atom finds itself here
    double translation[3];  // in Å
    std::int64_t shift[3];  // the same in units of the caller's cell
};

// `species` may be null; atoms whose species is negative are ignored, whatever their position.
// Throws std::invalid_argument for a non-finite position and where a shift would not fit into 32 bits.
CellList build_cell_list(const Box& box, std::int64_t n_atoms, const double* positions, double cutoff,
                         const std::int32_t* species, int threads);

// Where an enumeration of segments has got to: so far along which row of the stencil.
struct SegmentCursor {
    std::size_t row = 0;
    std::int64_t along = 0;
};

// The next segments around occupied bin `bin`, `room` of them at most; 0 when there are no more. The cursor moves on.
std::int64_t next_segments(const CellList& cells, std::int64_t bin, SegmentCursor& cursor, Segment* segments,
                           std::int64_t room);

}  // namespace miniffx
