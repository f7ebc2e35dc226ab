#include "extent.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "parallel_for.hpp"
#include "vec3.hpp"

namespace miniffx {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kLargestInt = 2147483647.0;
constexpr double kFarthest = 1e100;  // Å: squares stay finite

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
        into.wraps[k] = std::max(into.wraps[k], other.wraps[k]);
        into.shift_low[k] = std::min(into.shift_low[k], other.shift_low[k]);
        into.shift_high[k] = std::max(into.shift_high[k], other.shift_high[k]);
        into.rounding[k] = std::max(into.rounding[k], other.rounding[k]);
    }
    into.largest = std::max(into.largest, other.largest);
    if (into.not_finite < 0) into.not_finite = other.not_finite;
    if (into.too_far < 0) into.too_far = other.too_far;
}

std::string describe_position(const double* position, std::int64_t atom) {
    std::ostringstream text;
    text << "[" << position[0] << ", " << position[1] << ", " << position[2] << "] for atom " << atom;
    return text.str();
}

}  // namespace

Coordinates locate(const Box& box, const double* position) {
    Coordinates result;
    for (int k = 0; k < 3; ++k) {
        const double along = dot(box.dual[k], position);
        result.wraps[k] = k < box.n_periodic ? std::floor(along) : 0;
        result.along[k] = along - result.wraps[k];
    }
    return result;
}

double caller_shift(const Box& box, const double* along, int a) {
    double shift = 0;
    for (int k = 0; k < box.n_periodic; ++k) shift += along[k] * static_cast<double>(box.transform[k][a]);
    return shift;
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
            vote(part, at.wraps, 1);
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

    // The lattice translations: wrapping, image and the caller's shift each round. The factor covers the
    // dozen or so operations behind any of these numbers.
    constexpr double kRounding = 32 * kEpsilon;
    double lattice = 0;
    for (int k = 0; k < box.n_periodic; ++k) {
        double length = 0;
        for (int a = 0; a < 3; ++a) length += std::abs(static_cast<double>(box.transform[k][a])) * norm(box.cell[a]);
        lattice += kRounding * length * (extent.wraps[k] + reach.images[k]);
    }
    reach.slack = lattice + kRounding * (extent.largest + cutoff);
    for (int k = 0; k < 3; ++k) {
        const double per_angstrom = norm(box.dual[k]);
        reach.margin[k] = kRounding * (extent.rounding[k] + 1) + per_angstrom * (lattice + 1e-9 * cutoff);
        reach.along[k] = per_angstrom * cutoff + reach.margin[k];
        if (k < box.n_periodic && reach.margin[k] > per_angstrom * cutoff + 1e-6) {
            throw std::invalid_argument(
                "`positions` must be near enough to the origin for doubles to resolve the cutoff, got up to " +
                std::to_string(extent.largest));
        }
    }
    return reach;
}

}  // namespace miniffx
