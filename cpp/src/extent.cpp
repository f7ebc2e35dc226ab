#include "extent.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "parallel_for.hpp"
#include "text.hpp"
#include "vec3.hpp"

namespace miniffx {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kLargestInt = 2147483647.0;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kFarthest = 1e100;  // Å: squares stay finite

constexpr double kRounding = 32 * kEpsilon;  // covers the dozen or so operations behind any number

// Bound on the error of a coordinate along a periodic axis.
double rounding_along(const Box& box, const Extent& extent, int k) {
    double rounding = 1;
    for (int c = 0; c < 3; ++c) rounding += std::abs(box.dual[k][c]) * extent.largest[c];
    return kRounding * rounding;
}

Extent empty_extent() {
    Extent extent{};
    for (int k = 0; k < 3; ++k) {
        extent.low[k] = extent.wraps_low[k] = kInfinity;
        extent.high[k] = extent.wraps_high[k] = -kInfinity;
    }
    extent.not_finite = extent.too_far = -1;
    return extent;
}

// The majority vote of Boyer and Moore: pairs of different votes cancel.
void vote(Extent& extent, const double* wraps, std::int64_t votes) {
    if (std::equal(wraps, wraps + 3, extent.usual)) {
        extent.votes += votes;
    } else if (extent.votes >= votes) {
        extent.votes -= votes;
    } else {
        std::copy_n(wraps, 3, extent.usual);
        extent.votes = votes - extent.votes;
    }
}

void merge(Extent& into, const Extent& other) {
    vote(into, other.usual, other.votes);
    for (int k = 0; k < 3; ++k) {
        into.low[k] = std::min(into.low[k], other.low[k]);
        into.high[k] = std::max(into.high[k], other.high[k]);
        into.wraps_low[k] = std::min(into.wraps_low[k], other.wraps_low[k]);
        into.wraps_high[k] = std::max(into.wraps_high[k], other.wraps_high[k]);
        into.largest[k] = std::max(into.largest[k], other.largest[k]);
    }
    if (into.not_finite < 0) into.not_finite = other.not_finite;
    if (into.too_far < 0) into.too_far = other.too_far;
}

std::string describe_position(const double* position, std::int64_t atom) {
    return "[" + text_of(position[0]) + ", " + text_of(position[1]) + ", " + text_of(position[2]) + "] for atom " +
           std::to_string(atom);
}

// Moves the origin so that the atoms are in the middle of the box, if they span less than the whole of it: vibrations
// through a face, or a drift, then do not tear them apart.
void avoid_wraps(Extent& extent, const Box& box, int k) {
    const double room = 1 - (extent.high[k] - extent.low[k]);
    if (!(room > 8 * rounding_along(box, extent, k))) return;
    extent.origin[k] = extent.low[k] - room / 2;
    extent.usual[k] = extent.wraps_low[k] = extent.wraps_high[k] = 0;
}

// Bounds from those on the wraps, and if these do not fit into 32 bits the least bounds, atom by atom.
void bound_shifts(Extent& extent, const Box& box, std::int64_t n_atoms, const double* positions,
                  const std::int32_t* species) {
    bool fits = true;
    for (int a = 0; a < 3; ++a) {
        extent.shift_low[a] = extent.shift_high[a] = 0;
        for (int k = 0; k < box.n_periodic; ++k) {
            const auto times = static_cast<double>(box.transform[k][a]);
            extent.shift_low[a] += times * (times > 0 ? extent.wraps_low[k] : extent.wraps_high[k]);
            extent.shift_high[a] += times * (times > 0 ? extent.wraps_high[k] : extent.wraps_low[k]);
        }
        fits = fits && std::max(-extent.shift_low[a], extent.shift_high[a]) < kLargestInt / 4;
    }
    if (fits) return;
    for (int a = 0; a < 3; ++a) {
        extent.shift_low[a] = kInfinity;
        extent.shift_high[a] = -kInfinity;
    }
    for (std::int64_t i = 0; i < n_atoms; ++i) {
        if (species != nullptr && species[i] < 0) continue;
        const Coordinates at = locate(box, extent.origin, positions + 3 * i);
        for (int a = 0; a < 3; ++a) {
            const double shift = caller_shift(box, at.wraps, a);
            extent.shift_low[a] = std::min(extent.shift_low[a], shift);
            extent.shift_high[a] = std::max(extent.shift_high[a], shift);
        }
    }
}

}  // namespace

double caller_shift(const Box& box, const double* along, int a) {
    double shift = 0;
    for (int k = 0; k < box.n_periodic; ++k) shift += along[k] * static_cast<double>(box.transform[k][a]);
    return shift;
}

Extent measure(const Box& box, std::int64_t n_atoms, const double* positions, const std::int32_t* species,
               int threads) {
    constexpr std::int64_t kChunk = 1024;
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
            const Coordinates at = locate(box, part.origin, r);
            vote(part, at.wraps, 1);
            for (int k = 0; k < 3; ++k) {
                const bool too_far = !(std::abs(at.wraps[k]) < kLargestInt && std::abs(r[k]) < kFarthest);
                if (too_far && part.too_far < 0) part.too_far = i;
                part.low[k] = std::min(part.low[k], at.along[k] + at.wraps[k]);
                part.high[k] = std::max(part.high[k], at.along[k] + at.wraps[k]);
                part.wraps_low[k] = std::min(part.wraps_low[k], at.wraps[k]);
                part.wraps_high[k] = std::max(part.wraps_high[k], at.wraps[k]);
                part.largest[k] = std::max(part.largest[k], std::abs(r[k]));
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
    for (int k = 0; k < box.n_periodic; ++k) avoid_wraps(extent, box, k);
    bound_shifts(extent, box, n_atoms, positions, species);
    return extent;
}

Reach find_reach(const Box& box, double cutoff, const Extent& extent) {
    Reach reach{};
    for (int k = 0; k < box.n_periodic; ++k) {
        reach.images[k] = std::ceil(cutoff * norm(box.dual[k])) + 2;
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

    // The lattice translations: wrapping, image and the caller's shift each round.
    double lattice = 0;
    for (int k = 0; k < box.n_periodic; ++k) {
        double length = 0;
        for (int a = 0; a < 3; ++a) length += std::abs(static_cast<double>(box.transform[k][a])) * norm(box.cell[a]);
        const double wraps = std::max(std::abs(extent.wraps_low[k]), std::abs(extent.wraps_high[k]));
        lattice += kRounding * length * (wraps + reach.images[k]);
    }
    const double largest = *std::max_element(extent.largest, extent.largest + 3);
    reach.slack = lattice + kRounding * (largest + cutoff);
    for (int k = 0; k < 3; ++k) {
        const double per_angstrom = norm(box.dual[k]);
        reach.margin[k] = rounding_along(box, extent, k) + per_angstrom * (lattice + 1e-9 * cutoff);
        reach.along[k] = per_angstrom * cutoff + reach.margin[k];
        if (k < box.n_periodic && reach.margin[k] > per_angstrom * cutoff + 1e-6) {
            throw std::invalid_argument(
                "`positions` must be near enough to the origin for doubles to resolve the cutoff, got up to " +
                std::to_string(largest));
        }
    }
    return reach;
}

}  // namespace miniffx
