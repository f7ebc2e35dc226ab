// Who is near whom, in a form so compact that it can wait until it is known how many there are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cell_list.hpp"
#include "miniffx/memory.hpp"
#include "miniffx/pairs.hpp"

namespace miniffx {

// Numbers appended by one thread, which stay where they are. On cache lines of its own, as all that a thread writes.
class alignas(128) Log {
  public:
    // Room for n more; valid for as long as the log.
    std::int32_t* append(std::int64_t n);

  private:
    std::vector<Buffer<std::int32_t>> chunks_;
    std::int64_t used_ = 0;
};

// A translation of neighbours relative to their centre, and its contribution to the displacement. The fourth numbers
// are zero.
struct Image {
    double vector[4];
    std::int32_t shift[4];
};
Image make_image(const Box& box, const std::int32_t* shift);

struct Vector {
    double x, y, z;
};

// D of pairs.hpp, for the neighbour at `to` in the image.
inline Vector displacement(const CellList::Exact& from, const CellList::Exact& to, const Image& image) {
    return {(to.position[0] - from.position[0]) + image.vector[0],
            (to.position[1] - from.position[1]) + image.vector[1],
            (to.position[2] - from.position[2]) + image.vector[2]};
}

struct Found {
    std::int64_t n_atoms;
    CellList cells;
    double cutoff;

    // What one thread looked at in one go: atoms from `begin` to `end` of the cell list, of one bin.
    struct Group {
        std::int32_t bin, begin, end;
        std::int32_t n_shifts;       // 0: all neighbours are in the image of the group
        const std::int32_t* shifts;  // [n_shifts, 3]
    };
    std::vector<Group> groups;

    // For each place in the cell list how many neighbours there are, and their places; where the group has shifts
    // two numbers for each neighbour: its place, and the number of the shift.
    Buffer<std::int32_t> counts;
    Buffer<const std::int32_t*> hits;
    std::vector<Log> logs;
};

// One thread's view of what was found.
class alignas(128) FoundReader {
  public:
    explicit FoundReader(const Found& found);

    void open(const Found::Group& group);

    // visit(k, neighbour, image) for the neighbours k = 0, 1, ... of the atom at place p of the group.
    template <class Visit>
    void each(std::int32_t p, const Visit& visit) {
        const CellList::Exact* const exact = found_.cells.exact.data();
        const std::int32_t* const hits = found_.hits[p];
        const std::int32_t n = found_.counts[p];
        const std::int32_t wrap = exact[p].wrap;
        const Image* const images = wrap < 0 ? images_.data() : moved_by(wrap);
        if (group_->n_shifts == 0) {
            const Image home = images[0];
            for (std::int32_t k = 0; k < n; ++k) pass(k, exact[hits[k]], home, visit);
        } else {
            for (std::int32_t k = 0; k < n; ++k) pass(k, exact[hits[2 * k]], images[hits[2 * k + 1]], visit);
        }
    }

    // The neighbours of an atom of the group as they are stored: in the one image if `home`, and else with the number
    // of an image for each. The wraps of the atoms are yet to be added.
    struct Neighbors {
        std::int32_t n;
        bool home;
        const std::int32_t* hits;
        const CellList::Exact* atoms;
        const Image* images;
    };
    Neighbors neighbors(std::int32_t p) const {
        return {found_.counts[p], group_->n_shifts == 0, found_.hits[p], found_.cells.exact.data(), images_.data()};
    }
    const CellList::Exact& center(std::int32_t p) const { return found_.cells.exact[p]; }
    // The image of a neighbour in which its place is in `image`.
    Image with_wrap(const CellList::Exact& to, const Image& image) const {
        return to.wrap < 0 ? image : back_by(to.wrap, image);
    }

  private:
    template <class Visit>
    void pass(std::int32_t k, const CellList::Exact& to, const Image& image, const Visit& visit) const {
        if (to.wrap < 0) {
            visit(k, to, image);
        } else {
            visit(k, to, back_by(to.wrap, image));
        }
    }
    const Image* moved_by(std::int32_t wrap);
    Image back_by(std::int32_t wrap, const Image& image) const;

    const Found& found_;
    const Found::Group* group_ = nullptr;
    std::vector<Image> images_, moved_;
};

}  // namespace miniffx
