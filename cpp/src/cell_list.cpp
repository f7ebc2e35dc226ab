#include "miniffx/cell_list.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "parallel_for.hpp"
#include "vec3.hpp"

namespace miniffx {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kLargestInt = 2147483647.0;
constexpr std::int64_t kMostBins = std::int64_t{1} << 20;  // per axis: three of them fit into a 64-bit key
constexpr double kFarthest = 1e100;                        // Å: squares stay finite
constexpr double kPi = 3.141592653589793;

struct Interval {
    double low, high;
};

Interval operator+(Interval u, Interval v) { return {u.low + v.low, u.high + v.high}; }
Interval operator*(double a, Interval u) {
    return a >= 0 ? Interval{a * u.low, a * u.high} : Interval{a * u.high, a * u.low};
}
double distance_to_zero(Interval u) { return std::max({u.low, -u.high, 0.0}); }

// What all atoms together span, in coordinates along the search axes: fractions along periodic axes, Å along
// open ones.
struct Extent {
    double low[3], high[3];
    double wraps[3];                             // the most lattice vectors taken off, either way
    double shift_low[3], shift_high[3];          // the same in the caller's cell
    double rounding[3];                          // sum of the magnitudes that were added up into the coordinate
    double largest;                              // |position component|
    std::int64_t not_finite = -1, too_far = -1;  // first atom of the kind
};

Extent empty_extent() {
    Extent extent{};
    constexpr double infinity = std::numeric_limits<double>::infinity();
    for (int k = 0; k < 3; ++k) {
        extent.low[k] = extent.shift_low[k] = infinity;
        extent.high[k] = extent.shift_high[k] = -infinity;
    }
    extent.not_finite = extent.too_far = -1;
    return extent;
}

void merge(Extent& into, const Extent& other) {
    for (int k = 0; k < 3; ++k) {
        into.low[k] = std::min(into.low[k], other.low[k]);
        into.high[k] = std::max(into.high[k], other.high[k]);
        into.wraps[k] = std::max(into.wraps[k], other.wraps[k]);
        into.shift_low[k] = std::min(into.shift_low[k], other.shift_low[k]);
        into.shift_high[k] = std::max(into.shift_high[k], other.shift_high[k]);
        into.rounding[k] = std::max(into.rounding[k], other.rounding[k]);
    }
    into.largest = std::max(into.largest, other.largest);
    if (into.not_finite < 0) into.not_finite = other.not_finite;
    if (into.too_far < 0) into.too_far = other.too_far;
}

struct Coordinates {
    double along[3];  // wrapped into [0, 1] on periodic axes (1 by round-off), Å on open ones
    double wraps[3];  // whole lattice vectors taken off
};

Coordinates locate(const Box& box, const double* position) {
    Coordinates result;
    for (int k = 0; k < 3; ++k) {
        const double along = dot(box.dual[k], position);
        result.wraps[k] = k < box.n_periodic ? std::floor(along) : 0;
        result.along[k] = along - result.wraps[k];
    }
    return result;
}

// Component a, in the caller's cell, of a translation given in search axes.
double caller_shift(const Box& box, const double* along, int a) {
    double shift = 0;
    for (int k = 0; k < box.n_periodic; ++k) shift += along[k] * static_cast<double>(box.transform[k][a]);
    return shift;
}

std::string describe_position(const double* position, std::int64_t atom) {
    std::ostringstream text;
    text << "[" << position[0] << ", " << position[1] << ", " << position[2] << "] for atom " << atom;
    return text.str();
}

Extent measure(const Box& box, std::int64_t n_atoms, const double* positions, const std::int32_t* species,
               int threads) {
    constexpr std::int64_t kChunk = 4096;
    const std::int64_t chunks = (n_atoms + kChunk - 1) / kChunk;
    std::vector<Extent> parts(static_cast<std::size_t>(chunks), empty_extent());
    parallel_for(chunks, threads, 1, [&](std::int64_t chunk, int) {
        Extent part = empty_extent();
        for (std::int64_t i = chunk * kChunk; i < std::min(n_atoms, (chunk + 1) * kChunk); ++i) {
            if (species != nullptr && species[i] < 0) continue;
            const double* r = positions + 3 * i;
            if (!(std::isfinite(r[0]) && std::isfinite(r[1]) && std::isfinite(r[2]))) {
                if (part.not_finite < 0) part.not_finite = i;
                continue;
            }
            const Coordinates at = locate(box, r);
            for (int k = 0; k < 3; ++k) {
                const bool too_far = !(std::abs(at.wraps[k]) < kLargestInt && std::abs(r[k]) < kFarthest);
                if (too_far && part.too_far < 0) part.too_far = i;
                part.low[k] = std::min(part.low[k], at.along[k]);
                part.high[k] = std::max(part.high[k], at.along[k]);
                part.wraps[k] = std::max(part.wraps[k], std::abs(at.wraps[k]));
                const double shift = caller_shift(box, at.wraps, k);
                part.shift_low[k] = std::min(part.shift_low[k], shift);
                part.shift_high[k] = std::max(part.shift_high[k], shift);
                double rounding = 0;
                for (int c = 0; c < 3; ++c) rounding += std::abs(box.dual[k][c] * r[c]);
                part.rounding[k] = std::max(part.rounding[k], rounding);
                part.largest = std::max(part.largest, std::abs(r[k]));
            }
        }
        parts[static_cast<std::size_t>(chunk)] = part;
    });
    Extent extent = empty_extent();
    for (const Extent& part : parts) merge(extent, part);

    if (extent.not_finite >= 0) {
        throw std::invalid_argument("`positions` must be finite, got " +
                                    describe_position(positions + 3 * extent.not_finite, extent.not_finite));
    }
    if (extent.too_far >= 0) {
        throw std::invalid_argument("`positions` must lie within 2^31 lattice vectors and 1e100 Å of the origin, got " +
                                    describe_position(positions + 3 * extent.too_far, extent.too_far));
    }
    return extent;
}

// How far the search has to reach along each axis, with room for every rounding on the way.
struct Reach {
    double margin[3];  // along the axis: fractions or Å
    double along[3];   // the cutoff with its margin
    double images[3];  // lattice vectors, 0 on open axes
};

Reach find_reach(CellList& cells, const Extent& extent) {
    const Box& box = cells.box;
    Reach reach{};
    for (int k = 0; k < box.n_periodic; ++k) {
        reach.images[k] = std::ceil(cells.cutoff * norm(box.dual[k])) + 2;
    }

    // Shifts in units of the caller's cell, at most.
    for (int a = 0; a < 3; ++a) {
        const double absolute = std::max(-extent.shift_low[a], extent.shift_high[a]);
        double relative = extent.shift_high[a] - extent.shift_low[a];
        for (int k = 0; k < box.n_periodic; ++k) {
            relative += reach.images[k] * std::abs(static_cast<double>(box.transform[k][a]));
        }
        if (absolute > kLargestInt || relative > kLargestInt) {
            throw std::invalid_argument(
                "`positions`, `cell` and `cutoff` must keep lattice shifts within 32 bits, got up to " +
                std::to_string(std::max(absolute, relative)));
        }
    }

    // The lattice translations: wrapping, image and the caller's shift each round. The factor covers the
    // dozen or so operations behind any of these numbers.
    constexpr double kRounding = 32 * kEpsilon;
    double lattice = 0;
    for (int k = 0; k < box.n_periodic; ++k) {
        double length = 0;
        for (int a = 0; a < 3; ++a) length += std::abs(static_cast<double>(box.transform[k][a])) * norm(box.cell[a]);
        lattice += kRounding * length * (extent.wraps[k] + reach.images[k]);
    }
    cells.slack = lattice + kRounding * (extent.largest + cells.cutoff);
    for (int k = 0; k < 3; ++k) {
        const double per_angstrom = norm(box.dual[k]);
        reach.margin[k] = kRounding * (extent.rounding[k] + 1) + per_angstrom * (lattice + 1e-9 * cells.cutoff);
        reach.along[k] = per_angstrom * cells.cutoff + reach.margin[k];
        if (k < box.n_periodic && reach.margin[k] > per_angstrom * cells.cutoff + 1e-6) {
            throw std::invalid_argument(
                "`positions` must be near enough to the origin for doubles to resolve the cutoff, got up to " +
                std::to_string(extent.largest));
        }
    }
    return reach;
}

// Refuses a list that could never be stored before any time is spent on it: an atom alone sees about as many
// images of itself as fit into the cutoff.
void check_images(const CellList& cells) {
    const Box& box = cells.box;
    const double r = cells.cutoff;
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
        require_memory(kBytesPerPair * images * static_cast<double>(cells.n_atoms),
                       "`cutoff` reaches so many periodic images that a list of the pairs");
    }
}

struct Grid {
    double low[3];
    double step[3];  // of one bin, along the axis
};

// Bins as wide as the cutoff over `divisions`, or a little wider, but not narrower even by round-off: a bin as wide
// as the cutoff then sees just one on either side.
Grid choose_bins(CellList& cells, const Extent& extent, const Reach& reach, const double divisions[3]) {
    Grid grid{};
    for (int k = 0; k < 3; ++k) {
        const double width = (reach.along[k] * (1 + 1e-6) + 2 * reach.margin[k]) / divisions[k];
        const bool periodic = k < cells.box.n_periodic;
        const double length = periodic ? 1 : extent.high[k] - extent.low[k];
        const double count = periodic ? std::floor(length / width) : std::floor(length / width) + 1;
        cells.bins[k] = static_cast<std::int64_t>(std::clamp(count, 1.0, static_cast<double>(kMostBins)));
        grid.low[k] = periodic ? 0 : extent.low[k];
        grid.step[k] = periodic ? 1 / static_cast<double>(cells.bins[k])
                                : std::max(width, length / static_cast<double>(cells.bins[k]));
    }
    return grid;
}

double bin_count(const CellList& cells) {
    return static_cast<double>(cells.bins[0]) * static_cast<double>(cells.bins[1]) * static_cast<double>(cells.bins[2]);
}

// Fine bins waste fewer distance checks, coarse ones less bookkeeping. Returns whether a table of all bins is
// affordable.
bool choose_grid(CellList& cells, const Extent& extent, const Reach& reach, Grid& grid) {
    constexpr double kTries[][3] = {{4, 2, 2}, {4, 1, 1}, {2, 1, 1}, {1, 1, 1}};
    for (const auto& divisions : kTries) {
        grid = choose_bins(cells, extent, reach, divisions);
        // Rows of few atoms are not worth making thinner.
        const double atoms_per_row = 9.0 * static_cast<double>(cells.n_atoms) / bin_count(cells);
        if (divisions[1] > 1 && atoms_per_row < 24) continue;
        const double most = divisions[0] > 1 ? 1 : 4;  // bins per atom
        if (bin_count(cells) <= most * static_cast<double>(cells.n_atoms) + 64) return true;
    }
    constexpr double kSparse[3] = {2, 1, 1};
    grid = choose_bins(cells, extent, reach, kSparse);
    return false;
}

// Bounds in a Cartesian frame in which the search axes are triangular: axis 2 alone decides the third
// component, axes 1 and 2 the second. Every bound holds for any two points of the two bins.
void build_stencil(CellList& cells, const Grid& grid, const Reach& reach) {
    double frame[3][3];
    double triangle[3][3] = {};  // triangle[k][m] = axis[k] . frame[m]
    for (int k = 0; k < 3; ++k) {
        std::copy(cells.box.axis[k], cells.box.axis[k] + 3, frame[k]);
        for (int m = 0; m < k; ++m) {
            triangle[k][m] = dot(cells.box.axis[k], frame[m]);
            const double overlap = dot(frame[k], frame[m]);
            for (int c = 0; c < 3; ++c) frame[k][c] -= overlap * frame[m][c];
        }
        triangle[k][k] = norm(frame[k]);
        for (int c = 0; c < 3; ++c) frame[k][c] /= triangle[k][k];
    }

    const double radius = cells.cutoff * (1 + 1e-9);
    const auto across = [](double square) { return std::sqrt(std::max(square, 0.0)); };
    // Bins d along axis k such that some difference of coordinates lies in `wanted`.
    const auto offsets = [&](int k, Interval wanted) {
        constexpr double kTiny = 1e-8;  // of a bin: rounding in the bin index itself
        double low = std::ceil((wanted.low - reach.margin[k]) / grid.step[k] - 1 - kTiny);
        double high = std::floor((wanted.high + reach.margin[k]) / grid.step[k] + 1 + kTiny);
        if (k >= cells.box.n_periodic) {
            const auto most = static_cast<double>(cells.bins[k] - 1);
            low = std::max(low, -most);
            high = std::min(high, most);
        }
        return std::pair<std::int64_t, std::int64_t>(static_cast<std::int64_t>(low), static_cast<std::int64_t>(high));
    };
    const auto difference = [&](int k, std::int64_t d) {
        const auto centre = static_cast<double>(d) * grid.step[k];
        const double half = grid.step[k] * (1 + 1e-8) + reach.margin[k];
        return Interval{centre - half, centre + half};
    };
    // Differences along axis k for which triangle[k][k] * difference + rest can be in [-r, r].
    const auto wanted = [&](int k, Interval rest, double r) {
        return Interval{(-r - rest.high) / triangle[k][k], (r - rest.low) / triangle[k][k]};
    };

    const auto range2 = offsets(2, wanted(2, {0, 0}, radius));
    for (std::int64_t d2 = range2.first; d2 <= range2.second; ++d2) {
        const Interval f2 = difference(2, d2);
        const double gap2 = distance_to_zero(triangle[2][2] * f2);
        const double radius1 = across(radius * radius - gap2 * gap2);
        const auto range1 = offsets(1, wanted(1, triangle[2][1] * f2, radius1));
        for (std::int64_t d1 = range1.first; d1 <= range1.second; ++d1) {
            const Interval f1 = difference(1, d1);
            const double gap1 = distance_to_zero(triangle[1][1] * f1 + triangle[2][1] * f2);
            if (gap1 > radius1) continue;
            const double radius0 = across(radius1 * radius1 - gap1 * gap1);
            const auto range0 = offsets(0, wanted(0, triangle[1][0] * f1 + triangle[2][0] * f2, radius0));
            if (range0.first > range0.second) continue;
            cells.stencil.push_back({d2, d1, range0.first, range0.second});
        }
    }
}

// Sorts by key, stably. Returns the occupied bins and, if `tabulate`, the table of all.
void sort_into_bins(CellList& cells, const std::vector<std::int64_t>& keys, const std::vector<std::int32_t>& active,
                    bool tabulate) {
    const auto n = keys.size();
    if (tabulate) {
        const auto n_bins = static_cast<std::size_t>(cells.bins[0] * cells.bins[1] * cells.bins[2]);
        cells.table.assign(n_bins + 1, 0);
        for (const std::int64_t key : keys) ++cells.table[static_cast<std::size_t>(key) + 1];
        for (std::size_t b = 0; b < n_bins; ++b) {
            if (cells.table[b + 1] != 0) {
                cells.key.push_back(static_cast<std::int64_t>(b));
                cells.begin.push_back(cells.table[b]);
            }
            cells.table[b + 1] += cells.table[b];
        }
        std::vector<std::int32_t> next(cells.table.begin(), cells.table.end() - 1);
        for (std::size_t a = 0; a < n; ++a) cells.atom[next[static_cast<std::size_t>(keys[a])]++] = active[a];
    } else {
        std::vector<std::pair<std::int64_t, std::int32_t>> sorted(n);
        for (std::size_t a = 0; a < n; ++a) sorted[a] = {keys[a], active[a]};
        std::sort(sorted.begin(), sorted.end());
        for (std::size_t a = 0; a < n; ++a) {
            cells.atom[static_cast<std::int64_t>(a)] = sorted[a].second;
            if (a == 0 || sorted[a].first != sorted[a - 1].first) {
                cells.key.push_back(sorted[a].first);
                cells.begin.push_back(static_cast<std::int32_t>(a));
            }
        }
    }
    cells.begin.push_back(static_cast<std::int32_t>(n));
}

// The atoms in the bins from key `low` to key `high`, both included.
std::pair<std::int32_t, std::int32_t> atoms_between(const CellList& cells, std::int64_t low, std::int64_t high) {
    if (!cells.table.empty()) {
        return {cells.table[static_cast<std::size_t>(low)], cells.table[static_cast<std::size_t>(high) + 1]};
    }
    const auto first = std::lower_bound(cells.key.begin(), cells.key.end(), low);
    const auto last = std::upper_bound(first, cells.key.end(), high);
    return {cells.begin[static_cast<std::size_t>(first - cells.key.begin())],
            cells.begin[static_cast<std::size_t>(last - cells.key.begin())]};
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
    threads = thread_count(threads, n_atoms, 16384);

    std::vector<std::int32_t> active;
    active.reserve(static_cast<std::size_t>(n_atoms));
    for (std::int32_t i = 0; i < n_atoms; ++i) {
        if (species == nullptr || species[i] >= 0) active.push_back(i);
    }
    cells.n_atoms = static_cast<std::int64_t>(active.size());
    if (active.empty()) {
        cells.begin.push_back(0);
        return cells;
    }

    const Extent extent = measure(box, n_atoms, positions, species, threads);
    const Reach reach = find_reach(cells, extent);
    check_images(cells);
    Grid grid{};
    const bool tabulate = choose_grid(cells, extent, reach, grid);
    build_stencil(cells, grid, reach);

    std::vector<std::int64_t> keys(active.size());
    parallel_for(cells.n_atoms, threads, 4096, [&](std::int64_t a, int) {
        const auto slot = static_cast<std::size_t>(a);
        const Coordinates at = locate(box, positions + 3 * active[slot]);
        std::int64_t bin[3];
        for (int k = 0; k < 3; ++k) {
            const double along = std::floor((at.along[k] - grid.low[k]) / grid.step[k]);
            bin[k] = static_cast<std::int64_t>(std::clamp(along, 0.0, static_cast<double>(cells.bins[k] - 1)));
        }
        keys[slot] = (bin[2] * cells.bins[1] + bin[1]) * cells.bins[0] + bin[0];
    });
    cells.atom = Buffer<std::int32_t>(cells.n_atoms);
    sort_into_bins(cells, keys, active, tabulate);

    cells.x = Buffer<double>(cells.n_atoms);
    cells.y = Buffer<double>(cells.n_atoms);
    cells.z = Buffer<double>(cells.n_atoms);
    cells.position = Buffer<double>(3 * cells.n_atoms);
    cells.wrap = Buffer<std::int32_t>(3 * cells.n_atoms);
    parallel_for(cells.n_atoms, threads, 4096, [&](std::int64_t p, int) {
        const double* r = positions + 3 * cells.atom[p];
        const Coordinates at = locate(box, r);
        double wrapped[3];
        for (int c = 0; c < 3; ++c) {
            cells.position[3 * p + c] = wrapped[c] = r[c];
            for (int k = 0; k < box.n_periodic; ++k) wrapped[c] -= at.wraps[k] * box.axis[k][c];
            cells.wrap[3 * p + c] = static_cast<std::int32_t>(caller_shift(box, at.wraps, c));
        }
        cells.x[p] = wrapped[0];
        cells.y[p] = wrapped[1];
        cells.z[p] = wrapped[2];
    });
    return cells;
}

std::int64_t next_segments(const CellList& cells, std::int64_t bin, SegmentCursor& cursor, Segment* segments,
                           std::int64_t room) {
    const std::int64_t* n = cells.bins;
    const Box& box = cells.box;
    const std::int64_t key = cells.key[static_cast<std::size_t>(bin)];
    const std::int64_t b0 = key % n[0], b1 = key / n[0] % n[1], b2 = key / n[0] / n[1];
    std::int64_t found = 0;
    for (; cursor.row < cells.stencil.size(); ++cursor.row, cursor.along = 0) {
        const CellList::Row& row = cells.stencil[cursor.row];
        const std::int64_t c2 = b2 + row.d2, c1 = b1 + row.d1;
        const std::int64_t image2 = image_of(c2, n[2]), image1 = image_of(c1, n[1]);
        if (image2 != 0 && box.n_periodic < 3) continue;
        if (image1 != 0 && box.n_periodic < 2) continue;
        std::int64_t low = b0 + row.low, high = b0 + row.high;
        if (box.n_periodic < 1) {
            low = std::max<std::int64_t>(low, 0);
            high = std::min(high, n[0] - 1);
        }
        const std::int64_t base = ((c2 - image2 * n[2]) * n[1] + (c1 - image1 * n[1])) * n[0];
        for (std::int64_t first = low + cursor.along; first <= high; first = low + cursor.along) {
            if (found == room) return found;
            const std::int64_t image0 = image_of(first, n[0]);
            const std::int64_t last = std::min(high, (image0 + 1) * n[0] - 1);
            const auto atoms = atoms_between(cells, base + first - image0 * n[0], base + last - image0 * n[0]);
            cursor.along = last + 1 - low;
            if (atoms.first == atoms.second) continue;
            const std::int64_t images[3] = {image0, image1, image2};
            Segment& segment = segments[found++];
            segment.begin = atoms.first;
            segment.end = atoms.second;
            segment.home = image0 == 0 && image1 == 0 && image2 == 0;
            for (int c = 0; c < 3; ++c) {
                segment.translation[c] = 0;
                segment.shift[c] = 0;
                for (int k = 0; k < box.n_periodic; ++k) {
                    segment.translation[c] += static_cast<double>(images[k]) * box.axis[k][c];
                    segment.shift[c] += images[k] * box.transform[k][c];
                }
            }
        }
    }
    return found;
}

}  // namespace miniffx
