#include "cell_list.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "extent.hpp"
#include "parallel_for.hpp"
#include "prefetch.hpp"
#include "radix_sort.hpp"
#include "vec3.hpp"

namespace miniffx {
namespace {

constexpr double kPi = 3.141592653589793;

// Refuses a list that could never be stored before any time is spent on it: an atom alone sees about as many
// images of itself as fit into the cutoff.
void check_images(const Box& box, double r, std::int64_t n_atoms) {
    double images = 0;
    if (box.n_periodic == 1) images = 2 * r / norm(box.axis[0]);
    if (box.n_periodic >= 2) {
        double normal[3];
        cross(box.axis[0], box.axis[1], normal);
        images = box.n_periodic == 2 ? kPi * r * r / norm(normal)
                                     : 4.0 / 3.0 * kPi * r * r * r / std::abs(dot(normal, box.axis[2]));
    }
    images /= 2;  // volumes only estimate a count, and the list that is possible after all must not be refused
    constexpr double kBytesPerPair = 44;
    if (images > 1e6) {
        require_memory(kBytesPerPair * images * static_cast<double>(n_atoms),
                       "`cutoff` reaches so many periodic images that a list of the pairs");
    }
}

// The atoms that count, each with its bin; marked are those in another image of the box than the usual one.
Buffer<Keyed> assign_bins(const Box& box, const Grid& grid, std::int64_t n_atoms, const double* positions,
                          const std::int32_t* species, std::int64_t n_active, const Extent& extent, int threads) {
    Buffer<Keyed> items(n_active);
    if (n_active < n_atoms) {
        std::int64_t at = 0;
        for (std::int32_t i = 0; i < n_atoms; ++i) {
            if (species[i] >= 0) items[at++].atom = i;
        }
    }
    const double inverse[3] = {1 / grid.step[0], 1 / grid.step[1], 1 / grid.step[2]};
    parallel_for(n_active, threads, 1024, [&](std::int64_t a, int) {
        if (n_active == n_atoms) items[a].atom = static_cast<std::int32_t>(a);
        const Coordinates at = locate(box, extent.origin, positions + 3 * std::int64_t{items[a].atom});
        std::int64_t bin[3];
        items[a].mark = 0;
        for (int k = 0; k < 3; ++k) {
            if (at.wraps[k] != extent.usual[k]) items[a].mark = 1;
            const double along = floor_of((at.along[k] - grid.low[k]) * inverse[k]);
            bin[k] = static_cast<std::int64_t>(std::clamp(along, 0.0, static_cast<double>(grid.bins[k] - 1)));
        }
        items[a].key = (bin[2] * grid.bins[1] + bin[1]) * grid.bins[0] + bin[0];
    });
    return items;
}

// The occupied bins, and where it takes no more memory than a few numbers per atom the table of all.
void index_bins(CellList& cells, const Buffer<Keyed>& sorted, double n_bins) {
    std::int64_t last = -1;
    for (std::int64_t p = 0; p < sorted.size(); ++p) {
        if (sorted[p].key == last) continue;
        last = sorted[p].key;
        cells.key.push_back(last);
        cells.begin.push_back(static_cast<std::int32_t>(p));
    }
    cells.begin.push_back(static_cast<std::int32_t>(sorted.size()));
    constexpr double kBinsPerAtom = 4;
    if (n_bins > kBinsPerAtom * static_cast<double>(sorted.size()) + 64) return;
    cells.table.resize(static_cast<std::size_t>(n_bins) + 1);
    std::size_t from = 0;
    for (std::size_t b = 0; b < cells.key.size(); ++b) {
        const auto to = static_cast<std::size_t>(cells.key[b]) + 1;
        std::fill(cells.table.begin() + static_cast<std::ptrdiff_t>(from),
                  cells.table.begin() + static_cast<std::ptrdiff_t>(to), cells.begin[b]);
        from = to;
    }
    std::fill(cells.table.begin() + static_cast<std::ptrdiff_t>(from), cells.table.end(), cells.begin.back());
}

template <class T>
Buffer<T> lanes_of(std::int64_t n) {
    Buffer<T> buffer(n + kLanes);
    std::fill_n(buffer.data() + n, kLanes, T{0});
    return buffer;
}

// Gives the marked atoms a place in the usual image.
void place_wrapped(CellList& cells, const Buffer<Keyed>& sorted, const Extent& extent, int threads) {
    const Box& box = cells.box;
    constexpr std::int64_t kChunk = 4096;
    const std::int64_t chunks = (cells.n_atoms + kChunk - 1) / kChunk;
    const auto end_of = [&](std::int64_t chunk) { return std::min(cells.n_atoms, (chunk + 1) * kChunk); };
    std::vector<std::int64_t> first(static_cast<std::size_t>(chunks) + 1, 0);
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        std::int64_t& count = first[static_cast<std::size_t>(chunk) + 1];
        count = first[static_cast<std::size_t>(chunk)];
        for (std::int64_t p = chunk * kChunk; p < end_of(chunk); ++p) count += sorted[p].mark;
    }
    cells.wraps.resize(static_cast<std::size_t>(first.back()));
    parallel_for(chunks, threads, 1, [&](std::int64_t chunk, int) {
        std::int64_t k = first[static_cast<std::size_t>(chunk)];
        for (std::int64_t p = chunk * kChunk; p < end_of(chunk); ++p) {
            if (sorted[p].mark == 0) continue;
            CellList::Exact& exact = cells.exact[p];
            double place[3], wraps[3];
            std::copy_n(exact.position, 3, place);
            const Coordinates at = locate(box, extent.origin, exact.position);
            for (int l = 0; l < 3; ++l) wraps[l] = at.wraps[l] - extent.usual[l];
            for (int c = 0; c < 3; ++c) {
                for (int l = 0; l < box.n_periodic; ++l) place[c] -= wraps[l] * box.axis[l][c];
                cells.wraps[static_cast<std::size_t>(k)][static_cast<std::size_t>(c)] =
                    static_cast<std::int32_t>(caller_shift(box, wraps, c));
            }
            exact.wrap = static_cast<std::int32_t>(k++);
            cells.x[p] = place[0];
            cells.y[p] = place[1];
            cells.z[p] = place[2];
        }
    });
}

// The periodic image that bin `c` of `n` lies in; nearly always the box itself.
std::int64_t image_of(std::int64_t c, std::int64_t n) {
    if (0 <= c && c < n) return 0;
    return c > 0 ? c / n : -((n - 1 - c) / n);
}

}  // namespace

CellList build_cell_list(const Box& box, std::int64_t n_atoms, const double* positions, double cutoff,
                         const std::int32_t* species, int threads) {
    CellList cells{};
    cells.box = box;
    cells.cutoff = cutoff;
    threads = thread_count(threads, n_atoms, 2048);

    cells.n_atoms = n_atoms;
    if (species != nullptr) cells.n_atoms = std::count_if(species, species + n_atoms, [](int s) { return s >= 0; });
    if (cells.n_atoms == 0) {
        cells.begin.push_back(0);
        return cells;
    }

    const Extent extent = measure(box, n_atoms, positions, species, threads);
    const Reach reach = find_reach(box, cutoff, extent);
    check_images(box, cutoff, cells.n_atoms);
    const Grid grid = choose_grid(box, cells.n_atoms, extent, reach);
    std::copy_n(grid.bins, 3, cells.bins);
    cells.stencil = build_stencil(box, cutoff, grid, reach);
    cells.slack = reach.slack;

    Buffer<Keyed> items = assign_bins(box, grid, n_atoms, positions, species, cells.n_atoms, extent, threads);
    radix_sort(items, grid.bins[0] * grid.bins[1] * grid.bins[2], threads);
    index_bins(cells, items, grid.size());

    cells.exact = Buffer<CellList::Exact>(cells.n_atoms);
    cells.x = lanes_of<double>(cells.n_atoms);
    cells.y = lanes_of<double>(cells.n_atoms);
    cells.z = lanes_of<double>(cells.n_atoms);
    constexpr std::int64_t kAhead = 16;
    parallel_for(cells.n_atoms, threads, 1024, [&](std::int64_t p, int) {
        const std::int32_t i = items[p].atom;
        if (p + kAhead < cells.n_atoms) prefetch(positions + 3 * std::int64_t{items[p + kAhead].atom});
        const double* r = positions + 3 * std::int64_t{i};
        cells.exact[p] = {{r[0], r[1], r[2]}, i, -1};
        cells.x[p] = r[0];
        cells.y[p] = r[1];
        cells.z[p] = r[2];
    });
    if (extent.wraps_differ()) place_wrapped(cells, items, extent, threads);
    return cells;
}

void SegmentWalk::start(std::int64_t bin) {
    const std::int64_t* n = cells_.bins;
    const std::int64_t key = cells_.key[static_cast<std::size_t>(bin)];
    home_[0] = key % n[0];
    home_[1] = key / n[0] % n[1];
    home_[2] = key / n[0] / n[1];
    row_ = 0;
    along_ = 0;
}

// The atoms in the bins from key `low` to key `high`, both included.
void SegmentWalk::atoms_between(std::int64_t low, std::int64_t high, Segment& segment) {
    if (!cells_.table.empty()) {
        segment.begin = cells_.table[static_cast<std::size_t>(low)];
        segment.end = cells_.table[static_cast<std::size_t>(high) + 1];
        return;
    }
    const std::vector<std::int64_t>& key = cells_.key;
    // Out from the hint in steps that double, until the first key >= low is enclosed.
    std::size_t& hint = hints_[row_];
    std::size_t from = hint, to = hint, step = 1;
    while (from > 0 && key[from - 1] >= low) {
        to = from - 1;
        from -= std::min(from, step);
        step *= 2;
    }
    while (to < key.size() && key[to] < low) {
        from = to + 1;
        to = std::min(key.size(), to + step);
        step *= 2;
    }
    const auto at = [&](std::size_t k) { return key.begin() + static_cast<std::ptrdiff_t>(k); };
    const auto first = std::lower_bound(at(from), at(to), low);
    hint = static_cast<std::size_t>(first - key.begin());
    std::size_t last = hint;
    while (last < key.size() && key[last] <= high) ++last;
    segment.begin = cells_.begin[hint];
    segment.end = cells_.begin[last];
}

bool SegmentWalk::next(Segment& segment) {
    const std::int64_t* n = cells_.bins;
    const Box& box = cells_.box;
    for (; row_ < cells_.stencil.size(); ++row_, along_ = 0) {
        const StencilRow& row = cells_.stencil[row_];
        const std::int64_t c2 = home_[2] + row.d2, c1 = home_[1] + row.d1;
        const std::int64_t image2 = image_of(c2, n[2]), image1 = image_of(c1, n[1]);
        if (image2 != 0 && box.n_periodic < 3) continue;
        if (image1 != 0 && box.n_periodic < 2) continue;
        std::int64_t low = home_[0] + row.low, high = home_[0] + row.high;
        if (box.n_periodic < 1) {
            low = std::max<std::int64_t>(low, 0);
            high = std::min(high, n[0] - 1);
        }
        const std::int64_t base = ((c2 - image2 * n[2]) * n[1] + (c1 - image1 * n[1])) * n[0];
        for (std::int64_t first = low + along_; first <= high; first = low + along_) {
            const std::int64_t image0 = image_of(first, n[0]);
            const std::int64_t last = std::min(high, (image0 + 1) * n[0] - 1);
            atoms_between(base + first - image0 * n[0], base + last - image0 * n[0], segment);
            along_ = last + 1 - low;
            if (segment.begin == segment.end) continue;
            const std::int64_t images[3] = {image0, image1, image2};
            segment.home = image0 == 0 && image1 == 0 && image2 == 0;
            for (int c = 0; c < 3; ++c) {
                segment.shift[c] = 0;
                segment.translation[c] = 0;
                for (int k = 0; k < box.n_periodic; ++k) {
                    segment.shift[c] += images[k] * box.transform[k][c];
                    segment.translation[c] += static_cast<double>(images[k]) * box.axis[k][c];
                }
            }
            return true;
        }
    }
    return false;
}

}  // namespace miniffx
